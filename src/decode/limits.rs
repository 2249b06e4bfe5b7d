//! Limits on the memory of `decode`.

use std::num::NonZero;
use std::thread;

use crate::correlate::JoinSettings;
use crate::input::{LONGEST_LINE, READ_SIZE};

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Size of a read in bytes. A worker takes one read at a time, appended to the rest of a frame from the read
    /// before.
    pub(super) chunk: usize,
    /// Maximum size of a line in bytes.
    pub(super) frame: usize,
    /// Size of records in bytes at which a worker waits for its turn to write them before it encodes more of its chunk.
    /// Records of Postfix's lines are some five times as long as the lines, and never reach this size; those of empty
    /// lines do.
    pub(super) lines: usize,
    /// Number of threads, once there is more than one chunk.
    pub(super) workers: usize,
    /// Limits of the joins.
    pub(super) joins: JoinSettings,
}

/// Limits of the joins: those of the memory of a usual machine. A log on disk can have the lines of many days.
pub(super) const JOINS: JoinSettings =
    JoinSettings { max_messages: 10_000_000, max_memory: 1 << 30, ..JoinSettings::DEFAULT };

impl Default for Limits {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        Self { chunk: READ_SIZE, frame: LONGEST_LINE, lines: 16 * READ_SIZE, workers, joins: JOINS }
    }
}
