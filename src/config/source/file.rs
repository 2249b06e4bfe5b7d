//! `[[source.file]]`: log files that grow.

use std::path::PathBuf;
use std::time::Duration;

use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::key::{Choice, Key, Type};
use crate::config::kind::Kind;
use crate::record::Transport;

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

/// True for a start at the beginning.
static START: Choice<bool, 2> = Choice::new([("beginning", true), ("end", false)]);

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "file",
    doc: "Log files that grow, such as Postfix's own maillog_file, through their rotation.",
    single: false,
    keys: &[
        Key::required(
            "paths",
            Type::Paths,
            r#"["/var/log/postfix.log"]"#,
            "Absolute paths; `*`, `?` and `[..]` match in every component. Files that end with .gz are read once.",
        ),
        Key::required(
            "state",
            Type::Path,
            r#""/var/lib/postrider""#,
            "The directory of the cursor, which says how far each file has been delivered.",
        ),
        Key::default(
            "start",
            Type::Word(START.words()),
            r#""end""#,
            "Where files are begun that are there when no cursor is; what appears later is read from its beginning.",
        ),
        Key::default("poll_interval", Type::Duration(&[]), r#""250ms""#, "How often files are looked for and read."),
        Key::optional(
            "follow_symlinks",
            Type::Bool,
            "false",
            "Whether links are followed; without it those in directories that only root or Postrider's user may write to.",
        ),
    ],
    read: |table| {
        let (paths, state) = (table.absolute_paths("paths"), table.path("state"));
        let (start, poll_interval) = (table.choice("start", &START), table.duration("poll_interval"));
        let links = match table.bool("follow_symlinks") {
            Some(true) => Links::All,
            Some(false) => Links::None,
            None => Links::Trusted,
        };
        Some(SourceKind::File(FollowConfig {
            paths: paths?,
            state: state?,
            from_beginning: start?,
            poll_interval: poll_interval?,
            links,
        }))
    },
};

impl FollowConfig {
    /// Maximum number of open files of a source, if it may have that many descriptors. To open another file, the source
    /// closes the one that was silent for the longest time.
    pub const OPEN_FILES: usize = 1000;
}

impl SourceFacts for FollowConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Cursor(&self.state)
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
