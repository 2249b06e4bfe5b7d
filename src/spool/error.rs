//! Errors of a spool, grouped by how the caller must react.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Reason why an operation on a spool failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no room. Nothing is lost: the records to be written are kept, and the call may be repeated when there
    /// is room.
    #[error("the spool {} is full: {limit}", path.display())]
    Full {
        /// Path of the directory.
        path: PathBuf,
        /// Limit that was reached.
        limit: Limit,
    },
    /// A temporary failure: too many open files, a permission. Nothing is lost, and the call may be repeated.
    #[error("cannot {act} {}: {reason}", path.display())]
    Retry {
        /// Operation that failed.
        act: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        reason: String,
    },
    /// A sync failed: the written bytes may or may not be on the disk, and a second sync would not tell. The process
    /// must end (exit code 74) without acknowledging any of them, and read the disk again at its next start. Every
    /// further call fails with this error too.
    #[error("cannot sync {}: {reason}; written data may be lost", path.display())]
    Fatal {
        /// Path of the file or the directory.
        path: PathBuf,
        /// Cause of the failure.
        reason: String,
    },
}

/// Limit that a full spool has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The limit of the spool itself.
    #[error(
        "max_size is {bytes} bytes{}",
        if *quarantine > 0 { format!("; quarantine/ has {quarantine} bytes too many: examine and delete its files") }
        else { String::new() }
    )]
    MaxSize {
        /// Limit in bytes.
        bytes: u64,
        /// Bytes that copies of damage take beyond their share.
        quarantine: u64,
    },
    /// The free space of the file system would fall below its minimum.
    #[error("its file system would have less than {0} bytes left")]
    FreeSpace(u64),
    /// The file system is full.
    #[error("no space left on its file system")]
    Disk,
    /// The quota of the user is used up.
    #[error("the disk quota of its user is used up")]
    Quota,
}

/// Reason why a spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the spool.
    #[error(
        "the spool {} is in use{}; only one Postrider process can use it", 
        path.display(),
        process.map(|process| format!(" by process {process}")).unwrap_or_default()
    )]
    Locked {
        /// Path of the directory.
        path: PathBuf,
        /// Id of the process, if it is known.
        process: Option<u32>,
    },
    /// A later version of Postrider wrote it, and this one cannot read it.
    #[error("{} has version {version} of the spool format; use the newer Postrider that wrote it", path.display())]
    Newer {
        /// Path of the segment file.
        path: PathBuf,
        /// Version of the file.
        version: u32,
    },
    /// The directory or a file in it cannot be used.
    #[error("cannot {act} {}: {source}", path.display())]
    Io {
        /// Operation that failed.
        act: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
}

impl Error {
    /// Converts an error of a write, or of another change of a file: no room, or a temporary failure.
    pub(super) fn of_write(act: &'static str, directory: &std::path::Path, name: &str, error: &io::Error) -> Self {
        let limit = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC) => Limit::Disk,
            Some(Errno::EDQUOT) => Limit::Quota,
            _ => return Self::Retry { act, path: directory.join(name), reason: error.to_string() },
        };
        Self::Full { path: directory.to_owned(), limit }
    }
}
