//! The spool: records on disk, in order, until they are acknowledged.
//!
//! ```text
//! append --> group in memory --commit--> segment files --read--> acknowledge --> cursor, then whole segments are deleted
//!                                        fdatasync
//! ```
//!
//! One thread owns a [`Spool`], and its calls block only on the disk. When [`Spool::commit`] has returned, the
//! committed records survive any crash of the process or the machine, in order, until they are acknowledged.
//! Acknowledged records may be delivered again after a crash. `docs/spool.md` describes the files and their guarantees
//! for the operator; `format.rs` describes their bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::PathBuf;

use crate::record::RecordId;

pub mod command;
mod cursor;
mod error;
mod format;
mod group;
mod inspect;
mod limit;
mod owner;
mod quarantine;
mod read;
mod recover;
mod retire;
mod scan;
// The tests in tests/ use more of it.
#[cfg(test)]
#[allow(dead_code)]
pub(crate) mod simulated;
mod storage;

pub use error::{Error, Limit, OpenError};
pub use format::TooLong;
pub use inspect::InspectError;
pub use owner::{Owner, left_by_another};
pub use read::Progress;
pub use recover::{CursorState, Recovery, TornTail};
pub use storage::{Disk, Mode, Storage};

use cursor::CursorFile;
use group::Groups;
use quarantine::Quarantine;
use read::{Losses, SpoolReader};

/// Limits of a spool, and how often it writes its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Maximum size of a segment file in bytes: a record that would exceed it starts a new file. A larger record gets a
    /// file of its own. The size is capped at slightly less than a quarter of [`max_size`](Self::max_size).
    pub segment_size: u64,
    /// Maximum size of all files of the spool together: segments, the cursor and `quarantine/`, each rounded up to the
    /// blocks of a file system.
    pub max_size: u64,
    /// Minimum number of bytes that stay free on the file system, for others, for the cursor and for quarantine.
    pub free_space_floor: u64,
    /// Maximum number of records that are acknowledged before the cursor is written again. It is also written when a
    /// segment can be deleted, and by [`Spool::checkpoint`]. At most this number of records can be delivered twice
    /// after a crash.
    pub cursor_records: u64,
}

/// A record on its way into the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolEntry<'e> {
    /// Id of the record.
    pub id: RecordId,
    /// Time under which the destination keeps the record, in milliseconds since 1970: the earlier of `timestamp` and
    /// `received_at`.
    pub timestamp_ms: i64,
    /// Destination: a path or a topic; empty for a sink that has none.
    pub route: &'e str,
    /// Key, if the record has one.
    pub key: Option<&'e str>,
    /// Line of the record, with its LF.
    pub line: &'e [u8],
}

/// A record read from the spool: an [`SpoolEntry`] and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolRecord<'r> {
    /// Number in the spool. Numbers rise; a gap between two records means lost records.
    pub seq: u64,
    /// As in [`SpoolEntry`].
    pub id: RecordId,
    /// As in [`SpoolEntry`].
    pub timestamp_ms: i64,
    /// As in [`SpoolEntry`].
    pub route: &'r str,
    /// As in [`SpoolEntry`].
    pub key: Option<&'r str>,
    /// As in [`SpoolEntry`].
    pub line: &'r [u8],
}

/// Counts of what a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolCounts {
    /// Records that are durable and not acknowledged, without those that are known to be lost.
    pub pending_records: u64,
    /// Bytes of the segment files from the first pending record on, exact to some 64 KiB.
    pub pending_bytes: u64,
    /// Records that wait for [`Spool::commit`].
    pub buffered_records: u64,
    /// Bytes that the buffered records will take on disk.
    pub buffered_bytes: u64,
    /// Records lost to damage that were found since the start: their numbers are missing.
    pub damaged_records: u64,
    /// Bytes of segment files that hold no record that can be read, found since the start.
    pub damaged_bytes: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Number of segment files.
    pub segments: usize,
}

/// A spool in a directory that no other process uses meanwhile.
#[derive(Debug)]
pub struct Spool<S: Storage = Disk> {
    storage: S,
    settings: Settings,
    /// Durable segments, the oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, if it is open for appending.
    active: Option<S::File>,
    groups: Groups<S::File>,
    /// Lower bound of the number of the next record that becomes durable.
    durable_next: u64,
    reader: SpoolReader<S::File>,
    losses: Losses,
    quarantine: Quarantine<S::File>,
    cursor: CursorFile<S::File>,
    /// All records up to this number are acknowledged.
    acknowledged: u64,
    /// Every record before this position is acknowledged.
    acknowledged_to: Position,
    /// Contents of the cursor on disk.
    saved: Saved,
    /// Sync error: once set, every call fails with it.
    failed: Option<Error>,
}

/// The durable part of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Lower bound of the numbers of its records.
    base: u64,
    size: u64,
}

/// Contents of the cursor on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    acknowledged: u64,
    durable: u64,
}

/// A position in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// Base of the segment. If no segment has this base, the next segment is meant.
    base: u64,
    offset: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_size: 32 << 20, max_size: 1 << 30, free_space_floor: 256 << 20, cursor_records: 10_000 }
    }
}

impl<S: Storage> Spool<S> {
    /// Returns what the spool holds now.
    pub fn figures(&self) -> SpoolCounts {
        let last = self.durable_next - 1;
        SpoolCounts {
            pending_records: last.saturating_sub(self.acknowledged).saturating_sub(self.losses.ahead()),
            pending_bytes: self.pending_bytes(),
            buffered_records: self.groups.records(),
            buffered_bytes: self.groups.bytes(),
            damaged_records: self.losses.records(),
            damaged_bytes: self.quarantine.damaged_bytes(),
            disk_bytes: self.disk_bytes(),
            segments: self.segments.len(),
        }
    }

    /// Returns the number of the last durable record; 0 if there never was one.
    pub const fn durable(&self) -> u64 {
        self.durable_next - 1
    }

    /// Returns the number up to which all records are acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns what the cursor should say.
    const fn state(&self) -> Saved {
        Saved { acknowledged: self.acknowledged, durable: self.durable() }
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    fn pending_bytes(&self) -> u64 {
        let Position { base, offset } = self.acknowledged_to;
        let behind = self.segments.iter().rev().take_while(|segment| segment.base >= base);
        behind.map(|segment| segment.size - if segment.base == base { offset.min(segment.size) } else { 0 }).sum()
    }

    /// Stores a sync error and returns it.
    fn fail(&mut self, path: PathBuf, error: &io::Error) -> Error {
        let error = Error::Fatal { path, reason: error.to_string() };
        self.failed = Some(error.clone());
        error
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

/// Writes all of `slices` at `offset`.
fn write_all<S: Storage>(
    storage: &S,
    file: &S::File,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    while slices.iter().any(|slice| !slice.is_empty()) {
        match storage.write_at(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
