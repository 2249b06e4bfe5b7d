//! `[[source.file]]`: log files that grow.

use std::path::PathBuf;
use std::time::Duration;

use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{ABSOLUTE_PATH, BOOL, Choice, List, PATH, Span};
use crate::config::key::{default, keys, optional, required};
use crate::config::kind::{Kind, Section};
use crate::record::Transport;

/// True for a start at the beginning.
static START: Choice<bool, 2> = Choice::new([("beginning", true), ("end", false)]);

keys! {
    /// Keys of `[[source.file]]`.
    struct FollowKeys {
        /// Absolute paths of the files. `*`, `?` and `[..]` match in every component. A file whose name ends with .gz
        /// is read once.
        paths: Vec<PathBuf> = required(List(ABSOLUTE_PATH), r#"["/var/log/postfix.log"]"#),
        /// Directory of the cursor, which records how far each file has been delivered.
        state: PathBuf = required(PATH, r#""/var/lib/postrider""#),
        /// Start position in files that exist before there is a cursor. Files that appear later are read from their
        /// beginning.
        start: bool = default(&START, r#""end""#),
        /// Interval at which Postrider looks for files and reads them.
        poll_interval: Duration = default(Span, r#""250ms""#),
        /// Symbolic links to follow: `true` for all, `false` for none. Without this key, Postrider follows the links in
        /// directories to which only root or its own user may write.
        follow_symlinks: bool = optional(BOOL, "false"),
    }
}

pub(super) const KIND: Kind<SourceKind> = Kind::of::<FollowKeys>(
    "file",
    "Log files that grow, such as Postfix's own maillog_file, through their rotation. See docs/file.md.",
);

/// `[[source.file]]`: log files that grow.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowConfig {
    /// Absolute paths, with globs.
    pub paths: Vec<PathBuf>,
    /// Directory of the cursor.
    pub state: PathBuf,
    /// Start position of files that exist when there is no cursor: true for their beginning, false for their end.
    pub from_beginning: bool,
    /// Interval at which files are looked for and read.
    pub poll_interval: Duration,
    /// Symbolic links that are followed.
    pub links: Links,
}

/// Which symbolic links on the way to a file are followed, and whether a file may have several names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Links in directories that belong to root or the user of this process, and to which nobody else may write.
    Trusted,
    /// All.
    All,
    /// None.
    None,
}

impl Section for FollowKeys {
    type Config = SourceKind;

    fn config(self, _: &mut Diagnostics) -> Option<SourceKind> {
        let links = match self.follow_symlinks.value {
            Some(true) => Links::All,
            Some(false) => Links::None,
            None => Links::Trusted,
        };
        Some(SourceKind::File(FollowConfig {
            paths: self.paths.value?,
            state: self.state.value?,
            from_beginning: self.start.value?,
            poll_interval: self.poll_interval.value?,
            links,
        }))
    }
}

impl FollowConfig {
    /// Maximum number of open files of a source, if it may have that many descriptors. To open another file, the source
    /// closes the one that was silent for the longest time.
    pub const OPEN_FILES: usize = 1000;
}

impl SourceFacts for FollowConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Cursor(&self.state)
    }

    fn transport(&self) -> Transport {
        Transport::File
    }

    fn failure(&self) -> String {
        format!("cannot keep a cursor in {}", self.state.display())
    }

    /// The cursor is the acknowledgement.
    fn acknowledges_by(&self) -> Option<&'static str> {
        Some("state")
    }

    fn followed(&self) -> &[PathBuf] {
        &self.paths
    }

    fn max_open_files(&self) -> usize {
        Self::OPEN_FILES
    }

    /// Counts the lock of the cursor, and files that are examined before they are followed.
    fn descriptors(&self) -> usize {
        8
    }
}
