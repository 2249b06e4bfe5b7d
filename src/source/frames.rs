//! Taking the complete frames out of what a stream or a file has given.

use crate::frame::{Frame, Framer, Step};
use crate::pipeline::Arrival;

/// Maximum number of frames that are handed on together. A read of the shortest lines holds 32 times as many, and their
/// records take a hundred times the memory of the read.
pub(super) const MOST_FRAMES: usize = 1024;

/// Complete frames at the beginning of a buffer.
pub(super) struct NextFrames<'b> {
    /// The frames, at most [`MOST_FRAMES`].
    pub(super) arrivals: Vec<Arrival<'b>>,
    /// Number of bytes consumed at the beginning of the buffer.
    pub(super) consumed: usize,
    /// True if the buffer may contain more complete frames.
    pub(super) more: bool,
}

/// Takes the next complete frames out of `buffer`, each as the arrival that `arrive` makes of it.
pub(super) fn next_frames<'b>(
    framer: &mut Framer,
    buffer: &'b [u8],
    mut arrive: impl FnMut(Frame<'b>) -> Arrival<'b>,
) -> NextFrames<'b> {
    let mut next = NextFrames { arrivals: Vec::new(), consumed: 0, more: true };
    while next.more && next.arrivals.len() < MOST_FRAMES {
        match framer.next(&buffer[next.consumed..]) {
            Step::Frame { frame, consumed } => {
                next.arrivals.push(arrive(frame));
                next.consumed += consumed;
            }
            Step::More { consumed } => {
                next.consumed += consumed;
                next.more = false;
            }
        }
    }
    next
}
