//! Settings of the sinks whose destination may refuse a record.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{PATH, Size};
use crate::config::key::{default, keys, optional};

keys! {
    /// Keys of the sinks whose destination may refuse a record.
    pub(super) struct DeadLetterKeys {
        /// File to which the sink appends the records that its destination refuses permanently, for `postrider replay`
        /// (docs/dead-letter.md). Without this key, such records are dropped and counted.
        dead_letter: PathBuf = optional(PATH, r#""/var/lib/postrider/dead-letter.jsonl""#),
        /// Maximum size of that file. Beyond it, a file sink with placeholders in its path writes a refused record to
        /// the file of `others` (see `max_routes`). Any other sink keeps it waiting if its source waits for an
        /// acknowledgement; otherwise the record is dropped and counted as `dead_letter_full`.
        dead_letter_max_size: u64 = default(Size(1 << 20, u64::MAX), r#""1GiB""#),
    }
}

/// `dead_letter` and `dead_letter_max_size` of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// The file, an absolute path.
    pub path: PathBuf,
    /// Maximum size of the file in bytes.
    pub max_size: u64,
}

impl DeadLetterKeys {
    /// Returns the setting, if there is one. The path must be absolute, because a replay may start in another directory
    /// than the daemon.
    pub(super) fn config(self, found: &mut Diagnostics) -> Option<DeadLetterConfig> {
        let Self { dead_letter, dead_letter_max_size: max_size } = self;
        if let (Some(place), false) = (max_size.written(), dead_letter.is_written()) {
            let error = Diagnostic::at(place, "`dead_letter_max_size` without `dead_letter`");
            found.push(error.help("add `dead_letter`, or leave out `dead_letter_max_size`"));
        }
        let (path, max_size) = (dead_letter.value?, max_size.value?);
        let error = if !path.is_absolute() {
            ("not an absolute path", "begin it with /, e.g. \"/var/lib/postrider/dead-letter.jsonl\"")
        } else if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            ("the path of a directory", "add the name of a file, e.g. dead-letter.jsonl")
        } else {
            return Some(DeadLetterConfig { path, max_size });
        };
        found.push(Diagnostic::at(dead_letter.place, error.0).help(error.1));
        None
    }
}
