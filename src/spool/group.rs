//! Writing: records wait in a group until one sync makes all of them durable.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::error::Error;
use super::format::{
    MAX_PAYLOAD, RECORD_HEADER, SEGMENT_HEADER, TooLong, push_record, record_size, segment_header, segment_name,
};
use super::storage::{Mode, Storage};
use super::{Segment, Spool, SpoolEntry, write_all};
use crate::crash::crash_point;

/// Maximum number of bytes of memory that are kept from one group to the next.
const KEPT: usize = 4 << 20;

/// Records that are not written yet, grouped by their segment.
#[derive(Debug)]
pub(super) struct Groups<F> {
    waiting: VecDeque<Group<F>>,
    /// Number of the next record.
    next_seq: u64,
    /// Size of the last segment once all groups are written; `None` if the next record starts a new segment.
    tail: Option<u64>,
    spare: Vec<u8>,
}

/// Records of one segment.
#[derive(Debug)]
struct Group<F> {
    first: u64,
    last: u64,
    /// True if the records start a new segment.
    begins: bool,
    /// File of the new segment, once it is created.
    made: Option<F>,
    bytes: Vec<u8>,
}

impl<F> Groups<F> {
    /// Starts empty: the next record gets the number `next_seq` and goes to the end of a segment of `tail` bytes.
    pub(super) const fn new(next_seq: u64, tail: Option<u64>) -> Self {
        Self { waiting: VecDeque::new(), next_seq, tail, spare: Vec::new() }
    }

    pub(super) fn records(&self) -> u64 {
        self.waiting.iter().map(|group| group.last + 1 - group.first).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.waiting.iter().map(Group::size).sum()
    }

    /// Appends a record; returns its number.
    fn push(&mut self, entry: &SpoolEntry<'_>, size: usize, segment_size: u64) -> u64 {
        let seq = self.next_seq;
        let header = SEGMENT_HEADER as u64;
        let fits = self.tail.is_some_and(|tail| tail <= header || tail.saturating_add(size as u64) <= segment_size);
        if !fits || self.waiting.is_empty() {
            let bytes = std::mem::take(&mut self.spare);
            self.waiting.push_back(Group { first: seq, last: seq, begins: !fits, made: None, bytes });
        }
        if let Some(group) = self.waiting.back_mut() {
            push_record(&mut group.bytes, seq, entry, size);
            group.last = seq;
        }
        self.tail = Some(if fits { self.tail.unwrap_or(header) } else { header } + size as u64);
        self.next_seq += 1;
        seq
    }

    /// Returns the bytes of the first group, and whether it starts a new segment.
    fn first(&self) -> Option<(u64, bool)> {
        self.waiting.front().map(|group| (group.size(), group.begins))
    }

    /// Starts a new segment for the waiting records: the current one is about to be deleted.
    fn begin(&mut self) {
        let Some(first) = self.waiting.front_mut() else { return self.tail = None };
        first.begins = true;
        let size = first.size();
        if self.waiting.len() == 1 {
            self.tail = Some(size);
        }
    }

    /// Removes the first group, which is durable.
    fn done(&mut self) {
        if let Some(mut group) = self.waiting.pop_front()
            && group.bytes.capacity() <= KEPT
        {
            group.bytes.clear();
            self.spare = group.bytes;
        }
    }
}

impl<F> Group<F> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64 + if self.begins { SEGMENT_HEADER as u64 } else { 0 }
    }
}

impl<S: Storage> Spool<S> {
    /// Adds a record to the group that the next [`commit`](Self::commit) writes, and returns its number. Until then the
    /// record is only in memory: do not let [`SpoolCounts::buffered_bytes`](super::SpoolCounts::buffered_bytes) grow
    /// without bound.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if the record is longer than [`Spool::longest_record`]. The record is not added.
    pub fn append(&mut self, entry: &SpoolEntry<'_>) -> Result<u64, TooLong> {
        let (size, most) = (record_size(entry), self.longest_record());
        if size as u64 > most {
            return Err(TooLong { bytes: size as u64, most });
        }
        let seq = self.groups.push(entry, size, self.settings.segment_size);
        crash_point("after-append");
        Ok(seq)
    }

    /// Returns the maximum size of a record in bytes, including its route, its key and some 60 bytes more.
    pub fn longest_record(&self) -> u64 {
        let most = self.settings.largest_segment().saturating_sub(SEGMENT_HEADER as u64);
        most.min((RECORD_HEADER + MAX_PAYLOAD) as u64)
    }

    /// Makes all appended records durable, with one write and one fdatasync for each segment that they go to. When this
    /// returns, all of them can be read, and they survive any crash.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] and [`Error::Retry`]: the first of the records may be durable, as [`durable`](Self::durable)
    /// tells; the others are kept, and the next call tries again. [`Error::Fatal`]: the process must end.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.check()?;
        let before = self.durable_next;
        let written = self.write_groups();
        if self.durable_next > before {
            self.cursor.mark(&self.storage, self.durable());
        }
        written
    }

    fn write_groups(&mut self) -> Result<(), Error> {
        while let Some((bytes, begins)) = self.groups.first() {
            if let Some(limit) = self.lacks(bytes, begins)? {
                let emptied = self.recycle()?;
                let (bytes, begins) = self.groups.first().unwrap_or((bytes, begins));
                if !emptied || self.lacks(bytes, begins)?.is_some() {
                    return Err(Error::Full { path: self.storage.path().to_owned(), limit });
                }
            }
            match self.write_group() {
                Err(Error::Full { .. }) if self.recycle()? => {}
                written => written?,
            }
        }
        Ok(())
    }

    /// Deletes all segments if every record is acknowledged: acknowledged records in a segment that is still being
    /// written take room too. Returns false if there is nothing to delete.
    fn recycle(&mut self) -> Result<bool, Error> {
        let drained = self.acknowledged + 1 >= self.durable_next && !self.segments.is_empty();
        if drained {
            self.groups.begin();
            self.retire_all()?;
        }
        Ok(drained)
    }

    /// Makes the first group durable.
    fn write_group(&mut self) -> Result<(), Error> {
        let Some(group) = self.groups.waiting.front_mut() else { return Ok(()) };
        let (storage, directory) = (&self.storage, self.storage.path());
        let active = if group.begins { None } else { self.active.as_ref().zip(self.segments.back()) };
        let base = active.map_or(group.first, |(_, last)| last.base);
        let name = segment_name(base);
        if active.is_none() && group.made.is_none() {
            crash_point("after-seal");
            let made = storage.open(&name, Mode::Create);
            group.made = Some(made.map_err(|error| Error::of_write("create", directory, &name, &error))?);
            crash_point("after-create");
        }
        let header = segment_header(base);
        let mut slices = [IoSlice::new(&header), IoSlice::new(&group.bytes)];
        let (file, offset, slices) = match (active, &group.made) {
            (Some((file, last)), _) => (file, last.size, &mut slices[1..]),
            (None, Some(file)) => (file, 0, &mut slices[..]),
            (None, None) => return Ok(()),
        };
        let written: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        write_all(storage, file, slices, offset)
            .map_err(|error| Error::of_write("write to", directory, &name, &error))?;
        crash_point("before-fdatasync");
        if let Err(error) = storage.sync(file) {
            return Err(self.fail(directory.join(&name), &error));
        }
        crash_point("after-fdatasync");
        if group.made.is_some() {
            if let Err(error) = storage.sync_directory("") {
                return Err(self.fail(directory.to_owned(), &error));
            }
            crash_point("after-directory-fsync");
            self.active = group.made.take();
            self.segments.push_back(Segment { base, size: written });
        } else if let Some(last) = self.segments.back_mut() {
            last.size += written;
        }
        self.durable_next = group.last + 1;
        self.groups.done();
        Ok(())
    }
}
