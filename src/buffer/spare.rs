//! Buffers that are reused: for a new buffer, the kernel has to provide every page again, which costs more than the
//! records in it.

use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::encode::Buffer;
use crate::poison;

/// Maximum number of buffers that are kept.
const KEPT: usize = 4;
/// Maximum size of a buffer that is kept, in bytes: those of a read of 64 KiB are smaller.
const LARGEST: usize = 1024 * 1024;

/// Buffers whose records are delivered. Clones share the same buffers.
#[derive(Clone, Debug, Default)]
pub struct Spare(Arc<Mutex<Vec<Buffer>>>);

/// The bytes of encoded records, whose buffer is reused after the last record is delivered.
#[derive(Debug)]
pub struct EncodedLines {
    bytes: Buffer,
    spare: Option<Spare>,
}

// === impl Spare ===

impl Spare {
    /// Returns an empty buffer for about `size` bytes. A reused buffer is at most twice as large, because nothing
    /// counts its unused part.
    pub fn lines(&self, size: usize) -> EncodedLines {
        let mut kept = self.kept();
        let fitting = kept.iter().position(|buffer| (size..=size * 2).contains(&buffer.capacity()));
        let bytes = fitting.map(|place| kept.swap_remove(place));
        drop(kept);
        EncodedLines { bytes: bytes.unwrap_or_else(|| Buffer::with_room(size)), spare: Some(self.clone()) }
    }

    fn give(&self, mut buffer: Buffer) {
        let mut kept = self.kept();
        if kept.len() < KEPT {
            buffer.clear();
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Buffer>> {
        poison::ignore(self.0.lock())
    }
}

// === impl EncodedLines ===

impl EncodedLines {
    /// Returns the buffer, to append to.
    pub const fn bytes(&mut self) -> &mut Buffer {
        &mut self.bytes
    }

    /// Returns the memory that the buffer holds, in bytes.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Releases the unused part of the buffer if it is larger than the used part: it would lie idle until the slowest
    /// sink is done.
    pub fn shrink(&mut self) {
        if self.bytes.capacity() > self.bytes.len() * 2 {
            self.bytes.shrink();
        }
    }
}

impl From<Vec<u8>> for EncodedLines {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), spare: None }
    }
}

impl Deref for EncodedLines {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for EncodedLines {
    fn drop(&mut self) {
        // A small buffer is cheap to allocate, and would take the place of a large one.
        if let Some(spare) = &self.spare
            && (LARGEST / 16..=LARGEST).contains(&self.bytes.capacity())
        {
            spare.give(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let spare = Spare::default();
        let mut lines = spare.lines(100_000);
        lines.bytes().append(b"a record");
        let place = lines.as_ptr();
        drop(lines);
        assert!(spare.lines(40_000).bytes.capacity() < 80_000, "too large for so little");
        let again = spare.lines(90_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_ne!(spare.lines(90_000).as_ptr(), place, "one at a time");
    }

    #[test]
    fn few_are_kept_and_none_that_is_small_or_huge() {
        let spare = Spare::default();
        drop((0..10).map(|_| spare.lines(100_000)).collect::<Vec<_>>());
        assert_eq!(spare.kept().len(), KEPT);
        let spare = Spare::default();
        drop([spare.lines(1000), spare.lines(2 * LARGEST)]);
        assert!(spare.kept().is_empty());
    }
}
