//! The buffers: batches on their way to a sink, in a queue that is bounded in bytes.

mod batch;
mod queue;
mod spare;
mod waiting;

pub use batch::{Batch, ByteRange, Encoded, Entry, Records, divide};
pub use queue::{Received, Receiver, Room, Sender, queue};
pub use spare::{EncodedLines, Spare};
pub use waiting::{Waiting, Waits};
