//! Opening: repairs the spool after a crash, and reads only the last segment for it.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use super::cursor::{self, CURSOR, CursorFile, CursorFound, SaveError};
use super::error::OpenError;
use super::format::{BadHeader, segment_base, segment_name};
use super::group::Groups;
use super::quarantine::{QUARANTINE, Quarantine};
use super::read::{Losses, SpoolReader};
use super::scan::{ScannedItem, Scanner};
use super::storage::{LOCK, Mode, Storage};
use super::{Position, Saved, Segment, Settings, Spool};
use crate::crash::crash_point;

/// State of a spool when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// State of the cursor.
    pub cursor: CursorState,
    /// Bytes cut off the last segment: a write that a crash interrupted.
    pub torn: Option<TornTail>,
    /// Number of acknowledged segments that a crash kept from being deleted; they are deleted now.
    pub leftovers: usize,
    /// Durable records that are missing at the end: they are lost to damage.
    pub missing: u64,
    /// Pending records, as far as their numbers tell before they are read.
    pub pending_records: u64,
    /// Bytes of the segment files in which the pending records lie.
    pub pending_bytes: u64,
}

/// State of the cursor when a spool was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorState {
    /// There was no spool.
    New,
    /// The cursor was found and is valid.
    Found,
    /// The cursor is missing, but segments exist: all are read again, from the oldest.
    Missing,
    /// Neither slot is valid: all segments are read again, from the oldest.
    Damaged,
}

/// Bytes after the last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Name of the segment file.
    pub segment: String,
    /// Offset of the first of the bytes.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// True if the bytes are copied to `quarantine/` and cut off the segment. Bytes that could not be copied stay.
    pub copied: bool,
}

/// End of a segment.
struct SegmentEnd<F> {
    file: F,
    header: bool,
    records: bool,
    /// Offset of the end of the last record.
    end: u64,
    /// Number of the next record.
    next: u64,
    /// Offset after the last byte that is not zero.
    used: u64,
}

/// Result of the check of the last segments.
struct Last<F> {
    active: Option<F>,
    tail: Option<u64>,
    next_seq: u64,
    torn: Option<TornTail>,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, torn, leftovers, missing, pending_records, pending_bytes } = self;
        write!(f, "{pending_records} records pending in {pending_bytes} bytes")?;
        match cursor {
            CursorState::New | CursorState::Found => {}
            CursorState::Missing => f.write_str("; its cursor is missing, so Postrider delivers all records again")?,
            CursorState::Damaged => f.write_str("; its cursor is damaged, so Postrider delivers all records again")?,
        }
        if let Some(TornTail { segment, offset, bytes, copied }) = torn {
            let copied = if *copied { "moved to quarantine" } else { "left there: no copy in quarantine is possible" };
            write!(f, "; {bytes} bytes of an unfinished write in {segment} at byte {offset} {copied}")?;
        }
        if *missing > 0 {
            write!(f, "; the disk has lost {missing} records at its end")?;
        }
        if *leftovers > 0 {
            write!(f, "; deleted {leftovers} delivered segments")?;
        }
        Ok(())
    }
}

impl<S: Storage> Spool<S> {
    /// Opens the spool in a directory, which is created if it does not exist. No contents of the directory keep it from
    /// opening, except files of a later version. Reads the last segment now; the others are read when their turn comes.
    ///
    /// # Errors
    ///
    /// Another process uses the spool, or the directory or a file in it cannot be used.
    pub fn open(mut storage: S, settings: Settings) -> Result<(Self, Recovery), OpenError> {
        storage.create_directory("").map_err(failed(&storage, "make the directory", ""))?;
        lock(&mut storage)?;
        let files = storage.list("").map_err(failed(&storage, "list", ""))?;
        let mut segments: VecDeque<Segment> =
            files.iter().filter_map(|(name, size)| Some(Segment { base: segment_base(name)?, size: *size })).collect();
        segments.make_contiguous().sort_unstable_by_key(|segment| segment.base);
        let fresh = segments.is_empty();

        let loaded = cursor::load(&storage).map_err(failed(&storage, "read", CURSOR))?;
        let known = cursor::load_durable(&storage).map_err(failed(&storage, "read", CURSOR))?;
        let mut quarantine = Quarantine::new(&storage, settings.most_quarantine());
        let mut last = examine_last(&storage, &mut segments, &mut quarantine)?;

        let oldest = segments.front().map_or(last.next_seq, |segment| segment.base);
        let (acknowledged, mut position) = match loaded {
            CursorFound::Cursor(cursor) => (cursor.acknowledged, cursor.position),
            CursorFound::Missing | CursorFound::Damaged => {
                (oldest.saturating_sub(1), Position { base: oldest, offset: 0 })
            }
        };
        last.next_seq = last.next_seq.max(acknowledged + 1);
        // The numbers of missing records are not used again, so that each is counted once.
        let missing = last.next_seq..last.next_seq.max(known + 1);
        last.next_seq = missing.end;
        if segments.iter().any(|segment| segment.base == position.base && segment.size < position.offset) {
            position.offset = 0;
        }
        let mut cursor_file = CursorFile::open(&storage, loaded).map_err(failed(&storage, "open", CURSOR))?;
        let saved = Saved { acknowledged, durable: last.next_seq - 1 };
        cursor_file.save(&storage, acknowledged, position, saved.durable).map_err(|error| match error {
            SaveError::Write(source) => failed(&storage, "write", CURSOR)(source),
            SaveError::Sync(source) => failed(&storage, "sync", CURSOR)(source),
        })?;
        storage.sync_directory("").map_err(failed(&storage, "sync", ""))?;

        let leftovers = segments.iter().skip(1).take_while(|segment| segment.base <= acknowledged + 1).count();
        // At least four segments fit, so that a full spool can be evicted in parts.
        let segment_size = settings.segment_size.min(settings.largest_segment() / 4);
        let settings = Settings { segment_size, ..settings };
        let mut spool = Self {
            settings,
            segments,
            active: last.active,
            groups: Groups::new(last.next_seq, last.tail),
            durable_next: last.next_seq,
            reader: SpoolReader::new(acknowledged, position),
            losses: Losses::new(acknowledged, missing.clone(), storage.path()),
            quarantine,
            cursor: cursor_file,
            acknowledged,
            acknowledged_to: position,
            saved,
            failed: None,
            storage,
        };
        if leftovers > 0 {
            spool.retire(leftovers).map_err(|error| {
                failed(&spool.storage, "delete acknowledged segments in", "")(io::Error::other(error.to_string()))
            })?;
        }
        let cursor = match loaded {
            CursorFound::Cursor(_) => CursorState::Found,
            _ if fresh => CursorState::New,
            CursorFound::Missing => CursorState::Missing,
            CursorFound::Damaged => CursorState::Damaged,
        };
        let figures = spool.figures();
        let (pending_records, pending_bytes) = (figures.pending_records, figures.pending_bytes);
        let missing = missing.end - missing.start;
        Ok((spool, Recovery { cursor, torn: last.torn, leftovers, missing, pending_records, pending_bytes }))
    }
}

fn failed<S: Storage>(storage: &S, act: &'static str, name: &str) -> impl Fn(io::Error) -> OpenError + use<S> {
    let path = if name.is_empty() { storage.path().to_owned() } else { storage.path().join(name) };
    move |source| OpenError::Io { act, path: path.clone(), source }
}

fn lock<S: Storage>(storage: &mut S) -> Result<(), OpenError> {
    match storage.lock() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(OpenError::Locked { path: storage.path().to_owned(), process: holder(storage) })
        }
        locked => locked.map_err(failed(storage, "lock", LOCK)),
    }
}

/// Returns the process that uses the spool, as its lock file says.
pub(super) fn holder<S: Storage>(storage: &S) -> Option<u32> {
    let file = storage.open(LOCK, Mode::Read).ok()?;
    let mut text = [0; 16];
    let read = storage.read_at(&file, &mut text, 0).ok()?;
    std::str::from_utf8(&text[..read]).ok()?.trim_end().parse().ok()
}

/// Cuts off an interrupted write, and deletes empty segments at the end.
fn examine_last<S: Storage>(
    storage: &S,
    segments: &mut VecDeque<Segment>,
    quarantine: &mut Quarantine<S::File>,
) -> Result<Last<S::File>, OpenError> {
    let mut last = Last { active: None, tail: None, next_seq: 1, torn: None };
    while let Some(segment) = segments.back_mut() {
        let name = segment_name(segment.base);
        let tail = examine(storage, *segment, &name)?;
        last.next_seq = last.next_seq.max(tail.next);
        let keep = if tail.header || tail.records { tail.end } else { 0 };
        if tail.used > keep {
            let copied = quarantine_tail(storage, quarantine, *segment, &tail, keep)
                .map_err(failed(storage, "copy to", QUARANTINE))?;
            let torn = TornTail { segment: name.clone(), offset: keep, bytes: tail.used - keep, copied };
            last.torn = Some(torn);
            crash_point("after-quarantine");
            if !copied {
                // The file stays as it is, as damage; its name must not be used for another segment.
                last.next_seq = last.next_seq.max(segment.base + 1);
                return Ok(last);
            }
        }
        if keep == 0 {
            storage.unlink(&name).map_err(failed(storage, "delete", &name))?;
            storage.sync_directory("").map_err(failed(storage, "sync", ""))?;
            segments.pop_back();
            continue;
        }
        if segment.size > keep {
            storage.truncate(&tail.file, keep).map_err(failed(storage, "truncate", &name))?;
            crash_point("after-truncate");
        }
        // The process that wrote it may have died before the sync.
        storage.sync(&tail.file).map_err(failed(storage, "sync", &name))?;
        segment.size = keep;
        if tail.header {
            last.tail = Some(keep);
            last.active = Some(tail.file);
        }
        break;
    }
    Ok(last)
}

/// Reads a segment to its end.
fn examine<S: Storage>(storage: &S, segment: Segment, name: &str) -> Result<SegmentEnd<S::File>, OpenError> {
    let file = storage.open(name, Mode::Write).map_err(failed(storage, "open", name))?;
    let read = failed(storage, "read", name);
    let mut scanner = Scanner::default();
    let header = scanner.header(storage, &file, segment.base, segment.size).map_err(&read)?;
    if let Err(BadHeader::Newer(version)) = header {
        return Err(OpenError::Newer { path: storage.path().join(name), version });
    }
    let start = scanner.at();
    let mut tail =
        SegmentEnd { file, header: header.is_ok(), records: false, end: start, next: segment.base, used: start };
    loop {
        match scanner.next(storage, &tail.file, segment.size).map_err(&read)? {
            ScannedItem::Record(record, _) => {
                if record.seq >= tail.next {
                    tail.next = record.seq + 1;
                    tail.records = true;
                    tail.end = scanner.at();
                }
                tail.used = scanner.at();
            }
            ScannedItem::Damage { bytes, .. } => {
                if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                    let behind = (bytes.len() - last - 1) as u64;
                    tail.used = scanner.at() - behind;
                }
            }
            ScannedItem::Zeroes => {}
            ScannedItem::End => return Ok(tail),
        }
    }
}

/// Copies the bytes after the last record of a segment; returns true if that succeeded.
fn quarantine_tail<S: Storage>(
    storage: &S,
    quarantine: &mut Quarantine<S::File>,
    segment: Segment,
    tail: &SegmentEnd<S::File>,
    from: u64,
) -> io::Result<bool> {
    let mut scanner = Scanner::default();
    scanner.seek(from);
    loop {
        let (offset, bytes) = scanner.bytes(storage, &tail.file, tail.used)?;
        if bytes.is_empty() {
            break;
        }
        if !quarantine.keep(storage, segment.base, offset, bytes) {
            return Ok(false);
        }
    }
    quarantine.sync(storage).map_err(|(_, error)| error)?;
    Ok(true)
}
