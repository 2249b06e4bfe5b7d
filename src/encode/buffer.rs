//! What JSON is appended to.

use std::ops::{Deref, DerefMut, Range};

/// Bytes that are appended to.
///
/// All the room in it holds a value already. This makes it cheap to append a short text: after one look at the room,
/// the text is copied in blocks of a fixed length, without a call.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// Where the next text goes.
    end: usize,
}

/// The longest text that is copied in blocks.
const SHORT: usize = 64;
/// Room for one such text, and for what stands around it.
const PIECE: usize = SHORT + 64;

impl Buffer {
    /// An empty buffer with room for `size` bytes.
    pub fn with_room(size: usize) -> Self {
        Self { bytes: vec![0; size], end: 0 }
    }

    /// Makes room for `size` more bytes, and for as many as it has room for now.
    #[inline]
    pub fn reserve(&mut self, size: usize) {
        if self.bytes.len() - self.end < size {
            self.grow(size);
        }
    }

    #[cold]
    fn grow(&mut self, size: usize) {
        // The allocator has zeroes at no cost, while those that lengthen a vector are written.
        let mut larger = vec![0; self.end + size.max(self.bytes.len())];
        larger[..self.end].copy_from_slice(self);
        self.bytes = larger;
    }

    /// Removes all bytes, and keeps the room.
    pub const fn clear(&mut self) {
        self.end = 0;
    }

    /// The memory that it holds, in bytes.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what it has to spare.
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

    /// Appends a text with what stands `before` and `behind` it, which come to 64 bytes at most.
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

    /// Appends again what stands at `place`.
    pub(super) fn append_again(&mut self, place: Range<usize>) {
        let size = place.len();
        self.reserve(size);
        self.bytes.copy_within(place, self.end);
        self.end += size;
    }
}

/// Copies a text of at most [`SHORT`] bytes: its first and its last bytes, which may overlap.
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
