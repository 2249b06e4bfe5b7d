//! The sinks: one destination each. A sink never retries, buffers or spools by itself; its worker does.

use std::collections::VecDeque;
use std::time::Instant;

use crate::buffer::Batch;

/// What every sink does. Calls come from the sink's own thread, so they may block.
pub trait Sink: Send {
    /// Takes batches from the front of `batches` and sees to it that each is resolved, now or when the destination has
    /// answered. What it could not take it leaves there, whole and in order, and says why.
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error>;

    /// Called when the queue has been empty for a moment, and at least once in a second.
    fn tick(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Closes what must be closed for another program to rename or remove it; the next write opens it anew (SIGHUP).
    fn reopen(&mut self) {}

    /// Hands over everything that is still inside, as far as that is possible before `deadline`, and resolves all of it.
    fn finish(&mut self, deadline: Instant) -> Result<(), Error>;
}

/// Why a sink could not write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may work later; the batches are still there.
    #[error("{0}")]
    Retry(String),
    /// The reader of the output has gone and wants no more.
    #[error("{0}")]
    Closed(String),
}
