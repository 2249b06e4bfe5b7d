//! Reading: the durable records in order, with damage skipped.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use tracing::{Level, warn};

use super::error::Error;
use super::format::segment_name;
use super::scan::{JudgedItem, Scanner};
use super::storage::{Mode, Storage};
use super::{Position, Spool, SpoolRecord};
use crate::throttle::{LineOwner, Throttle};

/// Maximum number of bytes that one call reads without handing them on: damage, and records that are already
/// acknowledged.
const SCAN: u64 = 1 << 20;
/// Minimum distance in bytes between the positions to which an acknowledgement can move the cursor.
const BETWEEN_MARKS: u64 = 64 << 10;

/// Result of a call of [`Spool::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More records may follow.
    More,
    /// Every record that is durable has been read.
    End,
}

/// Read position in the spool.
#[derive(Debug)]
pub(super) struct SpoolReader<F> {
    position: Position,
    /// Expected number of the next record.
    next: u64,
    /// Number of the last record that was handed on.
    handed_on: u64,
    scanner: Scanner,
    open: Option<(u64, F)>,
    marks: VecDeque<SafePosition>,
}

/// A position between two records up to which all records may be acknowledged.
#[derive(Clone, Copy, Debug)]
struct SafePosition {
    /// Number of the last record before it that was handed on.
    handed_on: u64,
    /// Expected number of the record after it.
    next: u64,
    position: Position,
}

/// Numbers of lost records.
#[derive(Debug)]
pub(super) struct Losses {
    records: u64,
    /// Losses up to this number are counted.
    counted: u64,
    /// Losses that are not acknowledged, without those `at_end`.
    ahead: VecDeque<Range<u64>>,
    /// Records missing at the end, known since the spool was opened.
    at_end: Range<u64>,
    /// Number of those `at_end` that are not acknowledged.
    at_end_ahead: u64,
    throttle: Throttle,
}

// === impl Losses ===

impl Losses {
    /// Starts with only the losses `at_end`, in the spool at `path`; numbers up to `counted` are never counted as lost.
    pub(super) fn new(counted: u64, at_end: Range<u64>, path: &Path) -> Self {
        let records = at_end.end - at_end.start;
        let what = format!("damage has destroyed records of the spool {}", path.display());
        let throttle = Throttle::new(Level::WARN, LineOwner::Named, what);
        Self { records, counted, ahead: VecDeque::new(), at_end, at_end_ahead: records, throttle }
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Returns how many of the lost records are not acknowledged.
    pub(super) fn ahead(&self) -> u64 {
        self.ahead.iter().map(|range| range.end - range.start).sum::<u64>() + self.at_end_ahead
    }

    /// Counts the numbers from `first` to before `end` as missing.
    fn add(&mut self, first: u64, end: u64, path: &Path) {
        let first = first.max(self.counted + 1);
        if first >= end {
            return;
        }
        self.counted = end - 1;
        // Losses at the end are counted already.
        for range in [first..end.min(self.at_end.start), first.max(self.at_end.end)..end] {
            if !range.is_empty() {
                self.lose(range, path);
            }
        }
    }

    fn lose(&mut self, Range { start: first, end }: Range<u64>, path: &std::path::Path) {
        self.records += end - first;
        match self.ahead.back_mut() {
            Some(last) if last.end == first => last.end = end,
            _ => self.ahead.push_back(first..end),
        }
        if let Some(suppressed) = self.throttle.pass_with(end - first, Instant::now()) {
            let (records, last) = (end - first, end - 1);
            warn!(records, first, last, suppressed, "damage has destroyed records of the spool {}", path.display());
        }
    }

    /// Forgets the losses up to the number `acknowledged`.
    pub(super) fn forget(&mut self, acknowledged: u64) {
        while let Some(first) = self.ahead.front_mut() {
            if first.end > acknowledged + 1 {
                first.start = first.start.max(acknowledged + 1);
                break;
            }
            self.ahead.pop_front();
        }
        self.at_end_ahead = self.at_end_ahead.min(self.at_end.end.saturating_sub(acknowledged + 1));
    }
}

// === impl SpoolReader ===

impl<F> SpoolReader<F> {
    /// Starts after the acknowledged records.
    pub(super) fn new(acknowledged: u64, position: Position) -> Self {
        Self {
            position,
            next: acknowledged + 1,
            handed_on: acknowledged,
            scanner: Scanner::default(),
            open: None,
            marks: VecDeque::new(),
        }
    }

    /// Adds a mark at the read position, or moves the last mark there.
    fn mark(&mut self) {
        let mark = SafePosition { handed_on: self.handed_on, next: self.next, position: self.position };
        let count = self.marks.len();
        let near = |one: Position, other: Position| {
            one.base == other.base && other.offset - one.offset.min(other.offset) < BETWEEN_MARKS
        };
        let replace = count > 1 && near(self.marks[count - 2].position, mark.position);
        match self.marks.back_mut() {
            Some(last) if replace || last.position == mark.position => *last = mark,
            _ => self.marks.push_back(mark),
        }
    }

    /// Returns the position up to which all is acknowledged and the number of the last record before it, if a mark was
    /// passed since the last call.
    pub(super) fn settle(&mut self, acknowledged: u64) -> Option<(u64, Position)> {
        let mut settled = None;
        let mut to = acknowledged;
        while let Some(mark) = self.marks.front()
            && mark.handed_on <= to
        {
            to = to.max(mark.next - 1);
            settled = Some((to, mark.position));
            self.marks.pop_front();
        }
        settled
    }

    /// Returns the number of the last record that may be acknowledged.
    pub(super) const fn handed_on(&self) -> u64 {
        self.handed_on
    }

    /// Closes the file of a segment before it is deleted.
    pub(super) fn close(&mut self, base: u64) {
        self.open.take_if(|(open, _)| *open == base);
    }

    /// Continues at the segment `base`, unless the reader is past it already. Returns the numbers that it skips.
    pub(super) fn pass_by(&mut self, base: u64) -> Range<u64> {
        let first = self.next.min(base);
        if first < base {
            (self.next, self.handed_on) = (base, base - 1);
            self.go(Position { base, offset: 0 });
            self.mark();
        }
        first..base
    }

    fn go(&mut self, position: Position) {
        self.position = position;
        self.scanner.seek(position.offset);
    }
}

// === impl Spool ===

impl<S: Storage> Spool<S> {
    /// Hands the next durable records to `take`, in order: at least one if there is any, and more until `limit` bytes
    /// are reached. Damage is skipped, counted, and copied to `quarantine/`. One call handles a bounded amount of
    /// damage, so it may hand on nothing and still return [`Progress::More`].
    ///
    /// # Errors
    ///
    /// [`Error::Retry`] if a file cannot be opened or read now; records handed on before the error stay handed on.
    pub fn read(&mut self, limit: usize, mut take: impl FnMut(SpoolRecord<'_>)) -> Result<Progress, Error> {
        self.check()?;
        let (mut left, mut budget) = (limit.max(1), SCAN);
        let mut progress = Ok(Progress::More);
        while left > 0 && budget > 0 {
            match self.step(&mut left, &mut budget, &mut take) {
                Ok(true) => {}
                Ok(false) => {
                    // Durable records that were not found are lost.
                    self.losses.add(self.reader.next, self.durable_next, self.storage.path());
                    self.reader.next = self.reader.next.max(self.durable_next);
                    progress = Ok(Progress::End);
                    break;
                }
                Err(error) => {
                    progress = Err(error);
                    break;
                }
            }
        }
        self.reader.mark();
        self.settle();
        if let Err((path, error)) = self.quarantine.sync(&self.storage) {
            return Err(self.fail(path, &error));
        }
        progress
    }

    /// Moves back to the first record that is not acknowledged: records that were handed on without being acknowledged
    /// are read again. A pending acknowledgement of such a record counts only after the record has been read again.
    pub fn rewind(&mut self) {
        self.reader = SpoolReader::new(self.acknowledged, self.acknowledged_to);
    }

    /// Skips the durable records that were not read: the caller still has them in memory and acknowledges them as if
    /// they had been read.
    pub fn skip(&mut self) {
        let Some(last) = self.segments.back().copied() else { return };
        (self.reader.next, self.reader.handed_on) = (self.durable_next, self.durable_next - 1);
        self.reader.go(Position { base: last.base, offset: last.size });
        self.reader.mark();
    }

    /// Returns true if every durable record has been read.
    pub fn is_read(&self) -> bool {
        self.reader.next >= self.durable_next
    }

    /// Returns the index of the segment of `position`, or of the next segment.
    fn find(&self, position: Position) -> Option<usize> {
        let index = self.segments.partition_point(|segment| segment.base < position.base);
        (index < self.segments.len()).then_some(index)
    }

    /// Reads one record or one piece of damage. Returns false at the end.
    fn step(
        &mut self,
        left: &mut usize,
        budget: &mut u64,
        take: &mut impl FnMut(SpoolRecord<'_>),
    ) -> Result<bool, Error> {
        let Some(index) = self.find(self.reader.position) else { return Ok(false) };
        let segment = self.segments[index];
        let following = self.segments.get(index + 1).map(|segment| segment.base);
        if segment.base != self.reader.position.base {
            self.enter(segment.base);
        }
        if self.reader.position.offset >= segment.size {
            let Some(following) = following else { return Ok(false) };
            self.enter(following);
            return Ok(true);
        }
        let before_end = following.unwrap_or(self.durable_next);
        if !self.open_segment(segment.base, segment.size)? {
            return Ok(true);
        }
        let Self { reader, storage, losses, quarantine, .. } = self;
        let SpoolReader { scanner, open, .. } = reader;
        let Some((_, file)) = open else { return Ok(true) };
        let start = scanner.at();
        let mut damage = |bytes: &[u8]| quarantine.add(storage, segment.base, start, bytes);
        let item =
            scanner.next(storage, file, segment.size).map_err(|error| unreadable(storage, segment.base, &error))?;
        match item.among(&(reader.next..before_end)) {
            JudgedItem::Record(record, bytes) => {
                losses.add(reader.next, record.seq, storage.path());
                reader.next = record.seq + 1;
                reader.handed_on = record.seq;
                *left = left.saturating_sub(bytes.len());
                take(record);
            }
            JudgedItem::Misplaced(seq, bytes) => {
                // It is not damage if the record is acknowledged already.
                if seq > self.acknowledged {
                    damage(bytes);
                }
                *budget = budget.saturating_sub(bytes.len() as u64);
            }
            JudgedItem::Damaged(seq, bytes) => {
                damage(bytes);
                *budget = budget.saturating_sub(bytes.len() as u64);
                losses.add(reader.next, seq + 1, storage.path());
                reader.next = seq + 1;
            }
            JudgedItem::Noise(bytes) => {
                damage(bytes);
                *budget = budget.saturating_sub(bytes.len() as u64);
            }
            JudgedItem::Zeroes => *budget = budget.saturating_sub(scanner.at() - start),
            JudgedItem::End => {
                // The file has become shorter.
                reader.position.offset = segment.size;
                return Ok(true);
            }
        }
        reader.position.offset = reader.scanner.at();
        Ok(true)
    }

    /// Moves to the first byte of a segment.
    fn enter(&mut self, base: u64) {
        self.losses.add(self.reader.next, base, self.storage.path());
        self.reader.next = self.reader.next.max(base);
        self.reader.go(Position { base, offset: 0 });
    }

    /// Opens the segment of the read position. Returns false if the file is gone; the reader then stands after the
    /// segment.
    fn open_segment(&mut self, base: u64, size: u64) -> Result<bool, Error> {
        if self.reader.open.as_ref().is_some_and(|(open, _)| *open == base) {
            return Ok(true);
        }
        let file = match self.storage.open(&segment_name(base), Mode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.reader.position.offset = size;
                return Ok(false);
            }
            Err(error) => return Err(unreadable(&self.storage, base, &error)),
        };
        let position = self.reader.position;
        self.reader.scanner.seek(position.offset);
        if position.offset == 0 {
            // Records are read even if the header is wrong: a wrong header is damage like any other.
            let header = self.reader.scanner.header(&self.storage, &file, base, size);
            let _ = header.map_err(|error| unreadable(&self.storage, base, &error))?;
        }
        self.reader.open = Some((base, file));
        Ok(true)
    }
}

fn unreadable(storage: &impl Storage, base: u64, error: &io::Error) -> Error {
    Error::Retry { act: "read", path: storage.path().join(segment_name(base)), reason: error.to_string() }
}
