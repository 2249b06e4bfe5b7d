//! The spool: records on disk, in order, until they are acknowledged.
//!
//! ```text
//! append --> group in memory --commit--> segment files --read--> acknowledge --> cursor, then whole segments are deleted
//!                                        fdatasync
//! ```
//!
//! One thread owns a [`Spool`]; nothing in it waits but for the disk. What [`Spool::commit`] has returned for is there
//! after any crash of the process or the machine, in order, until it is acknowledged; what is acknowledged may come
//! again after a crash. `docs/spool.md` tells the operator of the files and what they promise; `format.rs` of their
//! bytes.

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
use read::{Losses, Reader};

/// How large a spool may grow, and what it does how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment file is begun anew when it would become larger than so many bytes. A record that is larger gets a file
    /// of its own. Not quite a quarter of [`max_size`](Self::max_size) at most.
    pub segment_size: u64,
    /// All files of the spool together take no more bytes than that: segments, the cursor and `quarantine/`, each
    /// rounded up to the blocks of a file system.
    pub max_size: u64,
    /// The file system keeps so many bytes for others, for the cursor and for quarantine.
    pub free_space_floor: u64,
    /// The cursor is written when so many records were acknowledged since the last time, at most; also when a segment
    /// can be deleted, and by [`Spool::checkpoint`]. So many can come twice after a crash.
    pub cursor_records: u64,
}

/// A record on its way into the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Its id.
    pub id: RecordId,
    /// Its time for the destination, in milliseconds since 1970: the earlier of `timestamp` and `received_at`.
    pub timestamp_ms: i64,
    /// Its destination: a path or a topic; empty for a sink that has none.
    pub route: &'e str,
    /// Its key, where it has one.
    pub key: Option<&'e str>,
    /// Its line, with its LF.
    pub line: &'e [u8],
}

/// A record out of the spool: an [`Entry`] and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// Its number in the spool. They rise; what is missing between two was lost.
    pub seq: u64,
    /// As in [`Entry`].
    pub id: RecordId,
    /// As in [`Entry`].
    pub timestamp_ms: i64,
    /// As in [`Entry`].
    pub route: &'r str,
    /// As in [`Entry`].
    pub key: Option<&'r str>,
    /// As in [`Entry`].
    pub line: &'r [u8],
}

/// What a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that are durable and not acknowledged, without those that are known to be lost.
    pub pending_records: u64,
    /// The bytes of the segment files that they lie in, from the first of them on, exact to some 64 KiB.
    pub pending_bytes: u64,
    /// Records that wait for [`Spool::commit`].
    pub buffered_records: u64,
    /// Their bytes, as they will be written.
    pub buffered_bytes: u64,
    /// Records that damage has taken, found since the start: their numbers are missing.
    pub damaged_records: u64,
    /// Bytes of segment files that hold no record that can be read, found since the start.
    pub damaged_bytes: u64,
    /// The bytes of all segment files.
    pub disk_bytes: u64,
    /// The segment files.
    pub segments: usize,
}

/// A spool in a directory, which no other process has meanwhile.
#[derive(Debug)]
pub struct Spool<S: Storage = Disk> {
    storage: S,
    settings: Settings,
    /// What is durable, the oldest first.
    segments: VecDeque<Segment>,
    /// The last of the segments, if it is open to be written on.
    active: Option<S::File>,
    groups: Groups<S::File>,
    /// The number that the next record to be durable has, at least.
    durable_next: u64,
    reader: Reader<S::File>,
    losses: Losses,
    quarantine: Quarantine<S::File>,
    cursor: CursorFile<S::File>,
    /// All records up to this number are acknowledged.
    acknowledged: u64,
    /// A place that no record that is not acknowledged lies before.
    acknowledged_to: Position,
    /// What the cursor on disk says.
    saved: Saved,
    /// A sync that failed: nothing is tried any more.
    failed: Option<Error>,
    /// The oldest timestamp, as it was when so much was acknowledged.
    oldest: Option<(u64, i64)>,
}

/// A segment file, as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// No record in it has a lower number.
    base: u64,
    size: u64,
}

/// What the cursor on disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    acknowledged: u64,
    durable: u64,
}

/// A place in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// The segment. If there is none of this base, the next.
    base: u64,
    offset: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_size: 32 << 20, max_size: 1 << 30, free_space_floor: 256 << 20, cursor_records: 10_000 }
    }
}

impl<S: Storage> Spool<S> {
    /// What it holds now.
    pub fn figures(&self) -> Figures {
        let last = self.durable_next - 1;
        Figures {
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

    /// The number of the last record that is durable; 0 if there never was one.
    pub const fn durable(&self) -> u64 {
        self.durable_next - 1
    }

    /// All records up to this number are acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What the cursor should say.
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

    /// Remembers a sync that failed.
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
