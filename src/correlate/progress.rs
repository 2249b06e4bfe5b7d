//! How far the checkpoints are: what a source must give once more after a crash, and what the sinks have.
//!
//! A summary is made once. If a checkpoint has its message as over, the summary must not be lost with the program: it
//! has to be resolved before the checkpoint is used. Each batch therefore holds a token, and a checkpoint takes the
//! place of the one before it when all tokens are gone that were given out until it was written.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, RwLock};

use crate::poison;

/// A token that the batches hold until they are resolved. Its clones are counted.
pub type BatchToken = Arc<()>;

/// The numbers of the checkpoints that were begun, and that are on the disk.
#[derive(Debug, Default)]
pub struct CheckpointProgress {
    begun: AtomicU64,
    done: AtomicU64,
    /// Number of blocks of lines that were joined.
    changes: AtomicU64,
    token: RwLock<BatchToken>,
}

impl CheckpointProgress {
    /// Begins a checkpoint. Returns its number, from 1.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, AcqRel) + 1
    }

    /// Returns the number of the last checkpoint that was begun. A line that is joined now is in the next one.
    pub fn begun(&self) -> u64 {
        self.begun.load(Acquire)
    }

    /// Notes that the checkpoint with this number is on the disk.
    pub fn finish(&self, number: u64) {
        self.done.store(number, Release);
    }

    /// Returns the number of the last checkpoint that is on the disk; 0 if there is none of this run.
    pub fn done(&self) -> u64 {
        self.done.load(Acquire)
    }

    /// Returns a token for a batch. The lines of the batch must not be joined yet.
    pub fn token(&self) -> BatchToken {
        Arc::clone(&*poison::ignore(self.token.read()))
    }

    /// Returns the token of all batches until now. Others get a new one.
    pub fn renew_token(&self) -> BatchToken {
        std::mem::take(&mut *poison::ignore(self.token.write()))
    }

    /// Returns a number that grows with the lines that are joined.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }
}
