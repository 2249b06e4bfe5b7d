//! The buffer to which JSON is appended.

use std::ops::{Deref, DerefMut, Range};

/// Buffer for appending bytes.
///
/// The free space in the buffer is always initialised. This makes it cheap to append a short text: after one check of
/// the free space, the text is copied in blocks of a fixed length, without a call.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// Offset at which the next text is appended.
    end: usize,
}

/// Maximum length of a text that is copied in blocks.
const SHORT: usize = 64;
/// Space for one such text, and for the bytes around it.
const PIECE: usize = SHORT + 64;

impl Buffer {
    /// Returns an empty buffer with room for `size` bytes.
    pub fn with_room(size: usize) -> Self {
        Self { bytes: vec![0; size], end: 0 }
    }

    /// Makes room for `size` more bytes. If the buffer must grow, the new free space is at least as large as the whole
    /// buffer before.
    #[inline]
    pub fn reserve(&mut self, size: usize) {
        if self.bytes.len() - self.end < size {
            self.grow(size);
        }
    }

    #[cold]
    fn grow(&mut self, size: usize) {
        // The allocator supplies zeros at no cost, while lengthening a vector would write them.
        let mut larger = vec![0; self.end + size.max(self.bytes.len())];
        larger[..self.end].copy_from_slice(self);
        self.bytes = larger;
    }

    /// Removes all bytes, but keeps the allocated memory.
    pub const fn clear(&mut self) {
        self.end = 0;
    }

    /// Returns the size of the allocated memory in bytes.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Frees the unused memory.
    pub fn shrink(&mut self) {
        self.bytes.truncate(self.end);
        self.bytes.shrink_to_fit();
    }

    /// Appends a byte.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.end) {
            Some(place) => {
                *place = byte;
                self.end += 1;
            }
            None => self.append(&[byte]),
        }
    }

    /// Appends bytes.
    pub fn append(&mut self, text: &[u8]) {
        self.reserve(text.len());
        self.bytes[self.end..][..text.len()].copy_from_slice(text);
        self.end += text.len();
    }

    /// Appends a text, with the bytes `before` and `behind` it, which must be at most 64 together.
    #[expect(clippy::inline_always, reason = "so the length of what stands around a text is known where it is copied")]
    #[inline(always)]
    pub(super) fn piece(&mut self, before: &[u8], text: &[u8], behind: &[u8]) {
        debug_assert!(before.len() + behind.len() <= PIECE - SHORT);
        if text.len() <= SHORT
            && let Some(room) = self.piece_room()
        {
            let (start, end) = (before.len(), before.len() + text.len());
            room[..start].copy_from_slice(before);
            copy_short(&mut room[start..][..SHORT.min(PIECE - start)], text);
            room[end..end + behind.len()].copy_from_slice(behind);
            self.end += end + behind.len();
        } else {
            self.long_piece([before, text, behind]);
        }
    }

    #[inline]
    fn piece_room(&mut self) -> Option<&mut [u8; PIECE]> {
        self.bytes.get_mut(self.end..)?.first_chunk_mut()
    }

    #[inline(never)]
    fn long_piece(&mut self, texts: [&[u8]; 3]) {
        self.reserve(texts.iter().map(|text| text.len()).sum());
        for text in texts {
            self.append(text);
        }
    }

    /// Appends a copy of the bytes at `place`.
    pub(super) fn append_again(&mut self, place: Range<usize>) {
        let size = place.len();
        self.reserve(size);
        self.bytes.copy_within(place, self.end);
        self.end += size;
    }
}

/// Copies a text of at most [`SHORT`] bytes by its first and its last bytes, which may overlap.
#[expect(clippy::inline_always, reason = "so the room is known to be there")]
#[inline(always)]
fn copy_short(to: &mut [u8], text: &[u8]) {
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        if let (Some(first), Some(last)) = (text.first_chunk::<32>(), text.last_chunk::<32>()) {
            copy_ends(to, text.len(), first, last);
        } else {
            copy_ends(to, text.len(), first, last);
        }
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        copy_ends(to, text.len(), first, last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        copy_ends(to, text.len(), first, last);
    } else if let [first, .., last] | [first @ last] = text {
        let middle = text.len() / 2;
        (to[0], to[middle], to[text.len() - 1]) = (*first, text[middle], *last);
    }
}

#[expect(clippy::inline_always, reason = "so the room is known to be there")]
#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], length: usize, first: &[u8; N], last: &[u8; N]) {
    to[..N].copy_from_slice(first);
    to[length - N..length].copy_from_slice(last);
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { end: bytes.len(), bytes }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.end]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_each_length_are_copied_whole() {
        let text: Vec<u8> = (0..200).collect();
        let (mut buffer, mut expected) = (Buffer::default(), Vec::new());
        for (from, length) in (0..100).flat_map(|from| [(from, from), (from, 99 - from)]) {
            let text = &text[from..from + length];
            buffer.piece(b"before ", text, b"!");
            expected.extend([b"before ", text, b"!"].concat());
            assert_eq!(buffer[..], expected, "{length} bytes");
        }
        buffer.append_again(7..9000);
        expected.extend_from_within(7..9000);
        buffer.push(b'.');
        expected.push(b'.');
        assert_eq!(buffer[..], expected);
    }

    #[test]
    fn what_is_there_stays_when_room_is_made_and_given_back() {
        let mut buffer = Buffer::from(b"0123456789".to_vec());
        buffer.reserve(1000);
        assert!(buffer.capacity() >= 1010);
        buffer.append(b"!");
        buffer.shrink();
        assert!(buffer.capacity() < 1000);
        buffer.push(b'?');
        assert_eq!(buffer[..], *b"0123456789!?");
        buffer.clear();
        assert!(buffer.is_empty());
    }
}
