//! Settings of the sinks whose destination may refuse a record.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Key, Type};
use crate::config::reader::Reader;

pub(super) const DEAD_LETTER: Key = Key::optional(
    "dead_letter",
    Type::Path,
    r#""/var/lib/postrider/dead-letter.jsonl""#,
    "Records that the destination refuses for good are appended to this file, for `postrider replay`; without it they are gone.",
);

pub(super) const DEAD_LETTER_MAX_SIZE: Key = Key::default(
    "dead_letter_max_size",
    Type::Size(1 << 20, u64::MAX),
    r#""1GiB""#,
    "Maximum size of that file; what is refused beyond it waits if its sender waits, and is dropped and counted if not.",
);

/// `dead_letter` and `dead_letter_max_size` of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// The file, an absolute path.
    pub path: PathBuf,
    /// Maximum size of the file in bytes.
    pub max_size: u64,
}

/// Reads both keys. The path must be absolute, because a replay may start in another directory than the daemon.
pub(super) fn read(table: &mut Reader<'_, '_>) -> Option<DeadLetterConfig> {
    let (path, max_size) = (table.path("dead_letter"), table.size("dead_letter_max_size"));
    if table.gives("dead_letter_max_size") && !table.gives("dead_letter") {
        let error = Diagnostic::at(table.place("dead_letter_max_size"), "`dead_letter_max_size` without `dead_letter`");
        table.error(error.help("add `dead_letter`, or leave it out"));
    }
    let (path, max_size) = (path?, max_size?);
    let error = if !path.is_absolute() {
        ("not an absolute path", "write it from the root on: \"/var/lib/postrider/dead-letter.jsonl\"")
    } else if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        ("the path of a directory", "add the name of a file, e.g. dead-letter.jsonl")
    } else {
        return Some(DeadLetterConfig { path, max_size });
    };
    table.error(Diagnostic::at(table.place("dead_letter"), error.0).help(error.1));
    None
}
