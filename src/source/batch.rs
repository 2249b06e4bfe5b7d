//! Receiving many datagrams with one system call (recvmmsg), and the memory into which they are read.

use std::array;
use std::io::{self, IoSliceMut};
use std::os::fd::RawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, recvmmsg};

use crate::frame::Frame;

/// Maximum number of datagrams per call.
const BATCH: usize = 64;

/// Size in bytes of the head of a slot, which holds nearly every syslog message completely. It is a cache line more
/// than 2 KiB, so that the beginnings of all slots do not compete for the same few cache sets.
const HEAD: usize = 2048 + 64;

/// Number of bytes read beyond the size limit. At least one of them shows that a message exceeds the limit. The others
/// are for LF, CR and NUL, which may follow a message and are not part of it.
const TAIL: usize = 16;

/// Maximum memory for the rest of long datagrams. The kernel provides it page by page, only once such datagrams come.
const LONG: usize = 4 << 20;

/// Datagrams that one call received.
///
/// A slot has to be as large as the largest datagram, because what does not fit is lost. But 64 slots of 64 KiB, each
/// holding 200 bytes, would lie too far apart for the caches. Therefore each slot has two parts. The heads lie close
/// together. The rest of a datagram goes to the slot's part of `long`, after a gap for a copy of its head, so that the
/// datagram can be made contiguous again.
pub(super) struct ReceivedDatagrams<A> {
    heads: Vec<u8>,
    long: Vec<u8>,
    /// Maximum size of a datagram that is received completely.
    largest: usize,
    received: Vec<ReceivedDatagram<A>>,
}

/// A datagram, by its place in the batch.
struct ReceivedDatagram<A> {
    size: usize,
    cut: bool,
    address: Option<A>,
}

/// A datagram of a batch.
pub(super) struct Datagram<'a, A> {
    bytes: &'a [u8],
    /// True if the datagram was longer and its end is lost (`MSG_TRUNC`).
    cut: bool,
    pub(super) address: Option<A>,
}

impl<'a, A> Datagram<'a, A> {
    /// Returns the message of the datagram, of at most `max` bytes.
    pub(super) fn frame(&self, max: usize) -> Frame<'a> {
        let frame = Frame::datagram(self.bytes, max);
        Frame { truncated: frame.truncated || self.cut, ..frame }
    }
}

impl<A: SockaddrLike + Copy> ReceivedDatagrams<A> {
    /// Returns a batch for messages of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        let largest = (max + TAIL).max(HEAD + 1);
        let slots = (LONG / largest).clamp(1, BATCH);
        // Zeroed memory of this size costs nothing until it is written to.
        let (heads, long) = (vec![0; slots * HEAD], vec![0; slots * largest]);
        Self { heads, long, largest, received: Vec::with_capacity(slots) }
    }

    /// Receives the available datagrams without waiting. Returns true if all slots were filled, so that there may be
    /// more.
    pub(super) fn receive(&mut self, socket: RawFd) -> io::Result<bool> {
        let slots = self.heads.len() / HEAD;
        let mut heads = self.heads.chunks_exact_mut(HEAD);
        let mut long = self.long.chunks_exact_mut(self.largest);
        let mut slices: [[IoSliceMut<'_>; 2]; BATCH] = array::from_fn(|_| {
            let head = heads.next().unwrap_or_default();
            let rest = long.next().map_or(&mut [][..], |long| &mut long[HEAD..]);
            [IoSliceMut::new(head), IoSliceMut::new(rest)]
        });
        // The headers are new for each call, because the kernel stores the lengths of the address and of the control
        // messages in them. In a second call, it would take these lengths for the available room.
        let mut headers = MultiHeaders::<A>::preallocate(slots, None);
        let results = recvmmsg(socket, &mut headers, slices.iter_mut().take(slots), MsgFlags::MSG_DONTWAIT, None)?;
        self.received.extend(results.map(|result| ReceivedDatagram {
            size: result.bytes,
            cut: result.flags.contains(MsgFlags::MSG_TRUNC),
            address: result.address,
        }));
        for (slot, received) in self.received.iter().enumerate() {
            if received.size > HEAD {
                self.long[slot * self.largest..][..HEAD].copy_from_slice(&self.heads[slot * HEAD..][..HEAD]);
            }
        }
        Ok(self.received.len() == slots)
    }

    /// Returns the received datagrams.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_, A>> {
        self.received.iter().enumerate().map(|(slot, &ReceivedDatagram { size, cut, address })| {
            let start = if size > HEAD { &self.long[slot * self.largest..] } else { &self.heads[slot * HEAD..] };
            Datagram { bytes: &start[..size], cut, address }
        })
    }

    /// Removes the received datagrams.
    pub(super) fn clear(&mut self) {
        self.received.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// Sends datagrams of these sizes, receives them in one call for messages of at most `max` bytes, and gives the
    /// size of each frame and whether it is truncated.
    fn receive(max: usize, datagrams: &[Vec<u8>]) -> Vec<(usize, bool)> {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        for datagram in datagrams {
            sender.send(datagram).unwrap();
        }
        let mut batch = ReceivedDatagrams::<()>::new(max);
        assert!(!batch.receive(receiver.as_raw_fd()).unwrap());
        let frames = batch.datagrams().map(|datagram| {
            let frame = datagram.frame(max);
            assert!(frame.bytes.iter().enumerate().all(|(place, byte)| *byte == letter(place)), "not in order");
            (frame.bytes.len(), frame.truncated)
        });
        frames.collect()
    }

    fn letter(place: usize) -> u8 {
        b'a' + u8::try_from(place % 23).unwrap()
    }

    fn letters(size: usize) -> Vec<u8> {
        (0..size).map(letter).collect()
    }

    #[test]
    fn a_datagram_is_whole_or_seen_to_be_over_the_limit() {
        for max in [480, HEAD - 1, HEAD, HEAD + 1, 50_000] {
            for size in [max - 1, max, max + 1, 2 * max] {
                let expected = (size.min(max), size > max);
                assert_eq!(receive(max, &vec![letters(size); 3]), [expected; 3], "{size} of {max}");
            }
        }
    }

    #[test]
    fn line_ends_of_a_datagram_are_dropped_and_do_not_hide_a_cut() {
        let ended = |size, end: &str| [letters(size), end.as_bytes().to_vec()].concat();
        let much = "\n".repeat(HEAD);
        let datagrams = [ended(5000, "\n"), ended(5000, "\r\n\0"), ended(5001, "\n"), ended(5000, &much)];
        assert_eq!(receive(5000, &datagrams), [(5000, false), (5000, false), (5000, true), (5000, true)]);
    }

    #[test]
    fn short_and_long_datagrams_do_not_touch_each_other() {
        let sizes = [1, HEAD + 1, HEAD, 60_000, 1, HEAD];
        let datagrams: Vec<_> = sizes.iter().map(|size| letters(*size)).collect();
        assert_eq!(receive(64 << 10, &datagrams), sizes.map(|size| (size, false)));
    }

    #[test]
    fn a_full_batch_says_that_there_may_be_more() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        // One slot: more would not fit into the memory for long datagrams.
        let mut batch = ReceivedDatagrams::<()>::new(LONG);
        for expected in [1, 2] {
            sender.send(&letters(expected)).unwrap();
            assert!(batch.receive(receiver.as_raw_fd()).unwrap());
            assert_eq!(batch.datagrams().map(|datagram| datagram.bytes.len()).collect::<Vec<_>>(), [expected]);
            batch.clear();
        }
        assert_eq!(batch.receive(receiver.as_raw_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
