//! Scanning a segment file: its records, and the bytes that are no record.

use std::io;
use std::ops::Range;

use memchr::memmem;
use nix::errno::Errno;

use super::SpoolRecord;
use super::format::{BadHeader, RECORD_HEADER, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER, check_segment_header};
use super::storage::Storage;

/// Bytes of one read, unless a record needs more.
const CHUNK: usize = 256 << 10;
/// Size of the piece that is read again alone after a read error: the sector size of today's disks.
const SECTOR: usize = 4096;

/// A position in a segment, and the bytes around it.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    buffer: Vec<u8>,
    /// Offset of the buffer in the file.
    start: u64,
    at: u64,
}

/// Item at the position of a [`Scanner`], which then moves past it.
#[derive(Debug)]
pub(super) enum ScannedItem<'s> {
    /// A record and its bytes.
    Record(SpoolRecord<'s>, &'s [u8]),
    /// Bytes that are no record, or the bytes of the record `seq` whose payload is damaged. More bytes of the same
    /// damage may follow.
    Damage { bytes: &'s [u8], seq: Option<u64> },
    /// Zeroes: bytes that the file system allocated, and that were never written.
    Zeroes,
    /// End of the file, or of the part to be scanned.
    End,
}

/// Item of a segment, by the numbers of the records that may still stand there.
#[derive(Debug)]
pub(super) enum JudgedItem<'s> {
    /// A record that may stand there, and its bytes. Those before it are missing.
    Record(SpoolRecord<'s>, &'s [u8]),
    /// The bytes of the record with this number, which may stand there, but has a damaged payload.
    Damaged(u64, &'s [u8]),
    /// A record with this number, which cannot have been written there or was read before, and its bytes.
    Misplaced(u64, &'s [u8]),
    /// Bytes that are no record.
    Noise(&'s [u8]),
    /// Zeroes: bytes that the file system allocated, and that were never written.
    Zeroes,
    /// End of the file, or of the part to be scanned.
    End,
}

impl<'s> ScannedItem<'s> {
    /// Returns the item as it counts if the records with these `numbers` may still stand there.
    pub(super) fn among(self, numbers: &Range<u64>) -> JudgedItem<'s> {
        match self {
            Self::Record(record, bytes) if numbers.contains(&record.seq) => JudgedItem::Record(record, bytes),
            Self::Record(record, bytes) => JudgedItem::Misplaced(record.seq, bytes),
            Self::Damage { bytes, seq: Some(seq) } if numbers.contains(&seq) => JudgedItem::Damaged(seq, bytes),
            Self::Damage { bytes, .. } => JudgedItem::Noise(bytes),
            Self::Zeroes => JudgedItem::Zeroes,
            Self::End => JudgedItem::End,
        }
    }
}

impl Scanner {
    /// Moves to the byte `at` of the same or another file, and discards the buffer.
    pub(super) fn seek(&mut self, at: u64) {
        self.buffer.clear();
        (self.start, self.at) = (at, at);
    }

    /// Returns the offset where the next step begins.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Moves past the header of the segment `base`, if it is valid; to be called at the start of a file.
    pub(super) fn header<S: Storage>(
        &mut self,
        storage: &S,
        file: &S::File,
        base: u64,
        end: u64,
    ) -> io::Result<Result<(), BadHeader>> {
        self.fill(storage, file, SEGMENT_HEADER, end)?;
        let checked = check_segment_header(self.rest(), base);
        if checked.is_ok() {
            self.at += SEGMENT_HEADER as u64;
        }
        Ok(checked)
    }

    /// Advances by one step, but not beyond `end`. A step that finds damage covers at most some 256 KiB of it, or one
    /// record.
    pub(super) fn next<S: Storage>(&mut self, storage: &S, file: &S::File, end: u64) -> io::Result<ScannedItem<'_>> {
        let left = end.saturating_sub(self.at);
        if left == 0 || self.fill(storage, file, RECORD_HEADER, end)? == 0 {
            return Ok(ScannedItem::End);
        }
        if let Some(header) = RecordHeader::parse(self.rest()) {
            let size = RECORD_HEADER + header.payload;
            if size as u64 <= left && self.fill(storage, file, size, end)? >= size {
                let bytes = self.take(size);
                return Ok(match header.record(&bytes[RECORD_HEADER..]) {
                    Some(record) => ScannedItem::Record(record, bytes),
                    None => ScannedItem::Damage { bytes, seq: Some(header.seq) },
                });
            }
        }
        let rest = self.rest();
        let zeroes = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        let all = rest.len() as u64 == left;
        if zeroes >= RECORD_HEADER || (all && zeroes == rest.len()) {
            self.take(zeroes);
            return Ok(ScannedItem::Zeroes);
        }
        let damaged = damaged(rest, all);
        Ok(ScannedItem::Damage { bytes: self.take(damaged), seq: None })
    }

    /// Advances by one piece, whatever it holds. Returns its offset and its bytes, which are empty at the end.
    pub(super) fn bytes<S: Storage>(&mut self, storage: &S, file: &S::File, end: u64) -> io::Result<(u64, &[u8])> {
        let size = self.fill(storage, file, CHUNK, end)?;
        Ok((self.at, self.take(size)))
    }

    /// Returns the buffered bytes from the position on.
    fn rest(&self) -> &[u8] {
        &self.buffer[(self.at - self.start) as usize..]
    }

    fn take(&mut self, bytes: usize) -> &[u8] {
        let from = (self.at - self.start) as usize;
        self.at += bytes as u64;
        &self.buffer[from..from + bytes]
    }

    /// Fills the buffer with `want` bytes from the position on, or with as many as there are before `end`; returns how
    /// many.
    fn fill<S: Storage>(&mut self, storage: &S, file: &S::File, want: usize, end: u64) -> io::Result<usize> {
        let left = end.saturating_sub(self.at);
        let want = want.min(usize::try_from(left).unwrap_or(usize::MAX));
        let have = self.rest().len();
        if have >= want {
            return Ok(have);
        }
        self.buffer.drain(..(self.at - self.start) as usize);
        self.start = self.at;
        let size = want.max(CHUNK).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.buffer.resize(size, 0);
        let mut filled = have;
        while filled < size {
            match read_at(storage, file, &mut self.buffer[filled..], self.start + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(filled);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(filled)
    }
}

/// Reads; a sector that the disk cannot read is filled with bytes that are neither a record nor zeroes.
fn read_at<S: Storage>(storage: &S, file: &S::File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let unreadable = |error: &io::Error| error.raw_os_error() == Some(Errno::EIO as i32);
    match storage.read_at(file, bytes, offset) {
        Err(error) if unreadable(&error) => {}
        read => return read,
    }
    let size = (SECTOR - (offset % SECTOR as u64) as usize).min(bytes.len());
    match storage.read_at(file, &mut bytes[..size], offset) {
        Err(error) if unreadable(&error) => {
            bytes[..size].fill(0xff);
            Ok(size)
        }
        read => read,
    }
}

/// Returns how many bytes of `rest`, which does not begin with a record, come before the next possible record. `all`
/// means that nothing follows `rest`.
fn damaged(rest: &[u8], all: bool) -> usize {
    let magic = memmem::find_iter(rest, &RECORD_MAGIC).find(|at| {
        let header = &rest[*at..];
        // A header that the buffer cuts off is checked in the next step.
        *at > 0 && (RecordHeader::parse(header).is_some() || (header.len() < RECORD_HEADER && !all))
    });
    match magic {
        Some(at) => at,
        None if all => rest.len(),
        None => rest.len().saturating_sub(RECORD_MAGIC.len() - 1).max(1),
    }
}
