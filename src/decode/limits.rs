//! What bounds the memory of `decode`.

use std::num::NonZero;
use std::thread;

/// Read at a time.
pub(super) const READ_SIZE: usize = 256 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a read, which is what a worker takes at a time, behind what the read before left of a frame.
    pub(super) chunk: usize,
    /// The largest line in bytes; Postfix writes at most some 2,100.
    pub(super) frame: usize,
    /// Bytes of records at which a worker waits for its turn to write them, before it encodes more of its chunk.
    /// Records of Postfix's lines are some five times as long as those, and never get there; those of empty lines do.
    pub(super) lines: usize,
    /// Threads, once there is more than one chunk.
    pub(super) workers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        Self { chunk: READ_SIZE, frame: 64 * 1024, lines: 16 * READ_SIZE, workers }
    }
}
