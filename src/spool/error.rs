//! What can go wrong with a spool, told apart by what its owner does then.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why a spool could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no room. Nothing is lost: what was to be written is kept, and the call may be repeated when there is
    /// room.
    #[error("the spool {} is full: {limit}", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// What it has no room by.
        limit: Limit,
    },
    /// Something that may pass: too many open files, a permission. Nothing is lost, and the call may be repeated.
    #[error("cannot {act} {}: {reason}", path.display())]
    Retry {
        /// What was being done.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A sync failed: what was written may or may not be on the disk, and no second sync would tell. The process must
    /// end (exit code 74) without acknowledging any of it, and read the disk again at its next start. Every further
    /// call fails with this too.
    #[error("cannot sync {}: {reason}; what was written to it may be lost", path.display())]
    Fatal {
        /// The file or the directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What a full spool has no room by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The limit of the spool itself.
    #[error(
        "its files would take more than its {bytes} bytes{}",
        if *quarantine > 0 { format!(", of which quarantine/ takes {quarantine} bytes too many: delete what you have seen there") }
        else { String::new() }
    )]
    MaxSize {
        /// The limit.
        bytes: u64,
        /// What copies of damage take of it beyond their share.
        quarantine: u64,
    },
    /// The file system would be left with less than it shall keep.
    #[error("its file system would have less than {0} bytes left")]
    FreeSpace(u64),
    /// The file system is full.
    #[error("no space left on its file system")]
    Disk,
    /// The quota of the user is used up.
    #[error("the disk quota of its user is used up")]
    Quota,
}

/// Why a spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the spool {} is in use{}; only one process of Postrider may have it", 
        path.display(),
        process.map(|process| format!(" by process {process}")).unwrap_or_default()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, if it could be found out.
        process: Option<u32>,
    },
    /// A later version of Postrider wrote it, and this one cannot read it.
    #[error("{} is of version {version} of the spool's files; use the Postrider that wrote it", path.display())]
    Newer {
        /// The segment file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The directory or a file in it cannot be used.
    #[error("cannot {act} {}: {source}", path.display())]
    Io {
        /// What was being done.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// What an error in a write or another change of a file means: no room, or something that may pass.
    pub(super) fn of_write(act: &'static str, directory: &std::path::Path, name: &str, error: &io::Error) -> Self {
        let limit = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC) => Limit::Disk,
            Some(Errno::EDQUOT) => Limit::Quota,
            _ => return Self::Retry { act, path: directory.join(name), reason: error.to_string() },
        };
        Self::Full { path: directory.to_owned(), limit }
    }
}
