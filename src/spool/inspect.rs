//! Inspecting a spool without a change to it and without its lock, even while a process uses it.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::cursor::{self, CURSOR, CursorFound};
use super::format::{BadHeader, SEGMENT_MAGIC, segment_base, segment_name};
use super::quarantine::QUARANTINE;
use super::recover::holder;
use super::scan::{JudgedItem, Scanner};
use super::storage::{Disk, LOCK, Mode, Storage};
use super::{Segment, SpoolRecord};

/// Reason why a spool could not be inspected or deleted.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The directory exists, but is not a spool.
    #[error("{} is not a spool: it has no segment file and no cursor of Postrider", .0.display())]
    NotASpool(PathBuf),
    /// A later version of Postrider wrote it.
    #[error("{} has version {version} of the spool format; use the newer Postrider that wrote it", path.display())]
    Newer {
        /// Path of the segment file.
        path: PathBuf,
        /// Version of the file.
        version: u32,
    },
    /// A process uses the spool that is to be changed.
    #[error(
        "the spool {} is in use{}; stop that process first",
        path.display(),
        process.map(|process| format!(" by process {process}")).unwrap_or_default()
    )]
    InUse {
        /// Path of the directory.
        path: PathBuf,
        /// Id of the process, if it is known.
        process: Option<u32>,
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
    /// The result cannot be written out.
    #[error("cannot write to the standard output: {0}")]
    Output(#[from] io::Error),
}

/// A spool as it is now.
#[derive(Debug)]
pub(super) struct View {
    pub(super) disk: Disk,
    pub(super) segments: Vec<Segment>,
    pub(super) cursor: CursorFound,
    /// All records up to this number were durable before the segments were listed.
    pub(super) durable: u64,
    /// Id of the process that uses the spool.
    pub(super) process: Option<u32>,
    /// Number of files in quarantine, and their bytes.
    pub(super) quarantine: (usize, u64),
}

/// An item found in a spool.
#[derive(Debug)]
pub(super) enum Found<'f> {
    /// A segment begins.
    Segment(Segment),
    Record(SpoolRecord<'f>),
    Damage(Damage),
}

/// A damaged place in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Name of the file.
    pub(super) name: String,
    /// Range of the damaged bytes in the file.
    pub(super) bytes: Range<u64>,
    pub(super) kind: DamageKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DamageKind {
    /// The header of a segment.
    Header,
    /// The payload of this record.
    Record(u64),
    /// Bytes that are no record.
    Noise,
    /// A record of this number, which cannot have been written there.
    Misplaced(u64),
    /// Bytes after the last record of the last segment.
    Tail,
    /// Records of these numbers are missing before this file or position.
    Missing(Range<u64>),
    /// Records of these numbers are missing after this position, at the end of the spool.
    MissingAtEnd(Range<u64>),
    /// The cursor.
    Cursor(&'static str),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, kind } = self;
        let Range { start, end } = bytes;
        match kind {
            DamageKind::Cursor(what) => return write!(f, "{name}: {what}"),
            DamageKind::Missing(numbers) if numbers.end - numbers.start == 1 => {
                return write!(f, "{name}: byte {start}: the record {} before it is missing", numbers.start);
            }
            DamageKind::Missing(numbers) => {
                let (first, last) = (numbers.start, numbers.end - 1);
                return write!(f, "{name}: byte {start}: the records {first} to {last} before it are missing");
            }
            DamageKind::MissingAtEnd(numbers) => {
                let (first, last) = (numbers.start, numbers.end - 1);
                return write!(
                    f,
                    "{name}: byte {start}: the spool ends here, and the records {first} to {last} are missing"
                );
            }
            _ => write!(f, "{name}: byte {start}: {} bytes ", end - start)?,
        }
        match kind {
            DamageKind::Header => f.write_str("of a damaged header"),
            DamageKind::Record(seq) => write!(f, "of the damaged record {seq}"),
            DamageKind::Misplaced(seq) => write!(f, "of a record {seq}, which does not belong there"),
            DamageKind::Tail => f.write_str("after the last record: an unfinished write"),
            DamageKind::Noise | DamageKind::Missing(_) | DamageKind::MissingAtEnd(_) | DamageKind::Cursor(_) => {
                f.write_str("outside of any record")
            }
        }
    }
}

impl View {
    /// Lists the files of the spool in `path`.
    pub(super) fn open(path: &Path) -> Result<Self, InspectError> {
        let disk = Disk::new(path);
        // The list contains all that was durable before it was made; it need not contain what a running process writes
        // meanwhile.
        let durable = cursor::load_durable(&disk).map_err(failed(&disk, "read", CURSOR))?;
        // The cursor is read after the list: segments that a running process deleted before the list lie before the
        // cursor, and do not count as missing.
        let files = disk.list("").map_err(failed(&disk, "read", ""))?;
        let cursor = cursor::load(&disk).map_err(failed(&disk, "read", CURSOR))?;
        let segment = |(name, size): &(String, u64)| Some(Segment { base: segment_base(name)?, size: *size });
        let mut segments: Vec<Segment> = files.iter().filter_map(segment).collect();
        segments.sort_unstable_by_key(|segment| segment.base);
        if !matches!(cursor, CursorFound::Cursor(_)) && !segments.iter().any(|segment| has_magic(&disk, segment.base)) {
            return Err(InspectError::NotASpool(path.to_owned()));
        }
        let kept = disk.list(QUARANTINE).unwrap_or_default();
        let quarantine = (kept.len(), kept.iter().map(|(_, size)| size).sum());
        Ok(Self { segments, cursor, durable, process: process(&disk), quarantine, disk })
    }

    /// Returns the number up to which all records are acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        match self.cursor {
            CursorFound::Cursor(cursor) => cursor.acknowledged,
            CursorFound::Missing | CursorFound::Damaged => {
                self.segments.first().map_or(0, |first| first.base.saturating_sub(1))
            }
        }
    }

    /// Returns the damage of the cursor.
    pub(super) fn cursor_damage(&self) -> Option<Damage> {
        let what = match self.cursor {
            CursorFound::Cursor(_) => return None,
            CursorFound::Missing => "it is missing; Postrider will deliver all records again",
            CursorFound::Damaged => "both of its slots are damaged; Postrider will deliver all records again",
        };
        Some(Damage { name: CURSOR.to_owned(), bytes: 0..0, kind: DamageKind::Cursor(what) })
    }

    /// Reads all segments that hold records above `after`, and hands what they hold to `found`, in order.
    pub(super) fn walk(
        &self,
        after: u64,
        found: impl FnMut(Found<'_>) -> Result<(), InspectError>,
    ) -> Result<(), InspectError> {
        let done = self.segments.iter().skip(1).take_while(|segment| segment.base <= after.saturating_add(1)).count();
        let segments = &self.segments[done..];
        let first = segments.first().map_or(1, |first| first.base);
        let next = if done == 0 { first.min(self.acknowledged() + 1) } else { first };
        let mut walk = Walk { view: self, next, found };
        for (at, segment) in segments.iter().enumerate() {
            walk.segment(*segment, segments.get(at + 1).map(|segment| segment.base))?;
        }
        // Records that a running process has deleted meanwhile are acknowledged.
        let now = cursor::load(&self.disk).map_err(failed(&self.disk, "read", CURSOR))?;
        let acknowledged =
            if let CursorFound::Cursor(cursor) = now { cursor.acknowledged } else { self.acknowledged() };
        let missing = walk.next.max(acknowledged.saturating_add(1))..self.durable.saturating_add(1);
        if missing.is_empty() {
            return Ok(());
        }
        let (name, end) =
            self.segments.last().map_or_else(|| (CURSOR.to_owned(), 0), |last| (segment_name(last.base), last.size));
        (walk.found)(Found::Damage(Damage { name, bytes: end..end, kind: DamageKind::MissingAtEnd(missing) }))
    }
}

/// Walk through the segments of a spool, in order.
struct Walk<'w, F> {
    view: &'w View,
    /// Number that the next record should have.
    next: u64,
    found: F,
}

impl<F: FnMut(Found<'_>) -> Result<(), InspectError>> Walk<'_, F> {
    /// Reads a segment; `following` is the first number of the segment after it.
    fn segment(&mut self, segment: Segment, following: Option<u64>) -> Result<(), InspectError> {
        let disk = &self.view.disk;
        let name = segment_name(segment.base);
        let file = match disk.open(&name, Mode::Read) {
            // Deleted meanwhile: all of it is acknowledged.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.next = following.unwrap_or(self.next).max(self.next);
                return Ok(());
            }
            file => file.map_err(failed(disk, "read", &name))?,
        };
        (self.found)(Found::Segment(segment))?;
        self.report_missing(&name, segment.base, 0)?;
        self.next = segment.base.max(self.next);
        let Some(mut last) = self.items(&name, &file, segment, following)? else { return Ok(()) };
        if following.is_none() {
            last.kind = DamageKind::Tail;
            if self.view.process.is_some() {
                // The process is still writing it.
                return Ok(());
            }
        }
        (self.found)(Found::Damage(last))
    }

    /// Reads the records of a segment, and returns the damage at its end.
    fn items(
        &mut self,
        name: &str,
        file: &fs::File,
        segment: Segment,
        following: Option<u64>,
    ) -> Result<Option<Damage>, InspectError> {
        let disk = &self.view.disk;
        let read = failed(disk, "read", name);
        let mut scanner = Scanner::default();
        let header = scanner.header(disk, file, segment.base, segment.size).map_err(&read)?;
        if let Err(BadHeader::Newer(version)) = header {
            return Err(InspectError::Newer { path: disk.path().join(name), version });
        }
        let mut open: Option<Damage> = None;
        loop {
            let start = scanner.at();
            let numbers = self.next..following.unwrap_or(u64::MAX);
            let (bytes, kind) = match scanner.next(disk, file, segment.size).map_err(&read)?.among(&numbers) {
                JudgedItem::End => return Ok(open),
                JudgedItem::Zeroes => continue,
                JudgedItem::Record(record, _) => {
                    open.take().map_or(Ok(()), |damage| (self.found)(Found::Damage(damage)))?;
                    self.report_missing(name, record.seq, start)?;
                    self.next = record.seq + 1;
                    (self.found)(Found::Record(record))?;
                    continue;
                }
                JudgedItem::Misplaced(seq, bytes) => (bytes.len(), DamageKind::Misplaced(seq)),
                JudgedItem::Damaged(seq, bytes) => {
                    self.report_missing(name, seq, start)?;
                    self.next = seq + 1;
                    (bytes.len(), DamageKind::Record(seq))
                }
                JudgedItem::Noise(bytes) if start == 0 => (bytes.len(), DamageKind::Header),
                JudgedItem::Noise(bytes) => (bytes.len(), DamageKind::Noise),
            };
            let end = start + bytes as u64;
            match &mut open {
                Some(damage) if damage.bytes.end == start && kind == DamageKind::Noise => damage.bytes.end = end,
                _ => {
                    let damage = open.replace(Damage { name: name.to_owned(), bytes: start..end, kind });
                    damage.map_or(Ok(()), |damage| (self.found)(Found::Damage(damage)))?;
                }
            }
        }
    }

    /// Reports the records before the record `found` that are missing. It is in the file `name`, at the byte `at`.
    fn report_missing(&mut self, name: &str, found: u64, at: u64) -> Result<(), InspectError> {
        if self.next >= found {
            return Ok(());
        }
        let kind = DamageKind::Missing(self.next..found);
        (self.found)(Found::Damage(Damage { name: name.to_owned(), bytes: at..at, kind }))
    }
}

fn has_magic(disk: &Disk, base: u64) -> bool {
    let mut magic = [0; SEGMENT_MAGIC.len()];
    let file = disk.open(&segment_name(base), Mode::Read);
    file.is_ok_and(|file| disk.read_at(&file, &mut magic, 0).is_ok()) && magic == SEGMENT_MAGIC
}

pub(super) fn failed(disk: &Disk, act: &'static str, name: &str) -> impl Fn(io::Error) -> InspectError + use<> {
    let path = if name.is_empty() { disk.path().to_owned() } else { disk.path().join(name) };
    move |source| InspectError::Io { act, path: path.clone(), source }
}

/// Returns the process that holds the lock, as the kernel tells. A try to take the lock could keep a process from
/// starting at that moment.
fn process(disk: &Disk) -> Option<u32> {
    let inode = fs::metadata(disk.path().join(LOCK)).ok()?.ino().to_string();
    let Ok(locks) = fs::read_to_string("/proc/locks") else {
        let process = holder(disk)?;
        return Path::new("/proc").join(process.to_string()).exists().then_some(process);
    };
    // 1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, process, place, ..] = fields[..] else { return None };
        (place.rsplit(':').next()? == inode).then(|| process.parse().ok()).flatten()
    })
}
