//! The buffers: batches on their way to a sink, in a queue that is bounded in bytes.

mod batch;
mod queue;
mod spare;
mod waiting;

pub use batch::{Batch, Encoded, Entry, Records, Span, divide};
pub use queue::{Received, Receiver, Room, Sender, queue};
pub use spare::{Lines, Spare};
pub use waiting::{Waiting, Waits};
