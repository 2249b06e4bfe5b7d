//! Input and output of a step of the machine.

use std::ops::Range;
use std::time::Duration;

use super::spooling::News;
use crate::spool;

/// An event: something happened, or an action has been carried out.
#[derive(Debug)]
pub(super) enum StageEvent<H> {
    /// A batch came from the queue.
    Arrived { held: H, records: u64 },
    /// No batch will come any more.
    Ended,
    /// The sink has resolved the item of this number; `failed` of its records are neither delivered nor refused.
    Resolved { number: u64, failed: u64 },
    /// The thread woke, and has told all that happened meanwhile.
    Woke(WakeFacts),
    /// Answer to [`StageRequest::Advance`].
    Advanced(Result<(), spool::Error>),
    /// Answer to [`StageRequest::Append`]: the number of the last record, and the state of the spool.
    Appended { last: u64, spool: SpoolState },
    /// Answer to [`StageRequest::Append`]: a record is larger than the spool.
    TooLarge,
    /// Answer to [`StageRequest::Commit`].
    Committed { result: Result<(), spool::Error>, spool: SpoolState },
    /// Answer to [`StageRequest::Evict`]: the numbers of the evicted records that were not read.
    Evicted { result: Result<Range<u64>, spool::Error>, spool: SpoolState },
    /// Answer to [`StageRequest::Give`]: the sink has the batches.
    Given,
    /// Answer to [`StageRequest::Give`] and [`StageRequest::ReadBack`]: the queue of the sink has no room.
    NoRoom,
    /// Answer to [`StageRequest::ReadBack`]: what was read and given to the sink, if it was anything.
    ReadBack { chunk: Option<ReadBack<H>>, result: Result<(), spool::Error>, spool: SpoolState },
    /// Answer to [`StageRequest::CloseQueues`].
    QueuesClosed,
    /// Answer to [`StageRequest::Close`].
    Closed(Result<(), spool::Error>),
}

/// Facts about the outside when the thread wakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WakeFacts {
    /// The state of the stop.
    pub(super) stop: StopState,
    /// Time that a stop may take.
    pub(super) timeout: Duration,
    /// True if the thread of the sink has ended.
    pub(super) is_sink_gone: bool,
}

/// State of the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopState {
    /// No stop was asked for.
    No,
    /// The stop has begun, and its deadline lies ahead.
    Begun,
    /// The stop deadline has passed.
    Overdue,
}

/// State of the spool after an action.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolState {
    /// Number of the last durable record.
    pub(super) durable: u64,
    /// True if every durable record has been read.
    pub(super) is_read: bool,
    /// Bytes that wait for a commit.
    pub(super) buffered: u64,
}

/// Records that were read back from the disk and given to the sink.
#[derive(Debug)]
pub(super) struct ReadBack<H> {
    pub(super) held: H,
    pub(super) records: u64,
    /// Number of the last record.
    pub(super) last: u64,
}

/// An action that cannot fail, and has no answer. A `place` is one in the queue of the items as it is after the step.
#[derive(Debug)]
pub(super) enum StageAction<H> {
    /// Tell the source of an item that its records are safe. The item has left the queue.
    Acknowledge(H),
    /// Note that the disk has all records of a given item, and tell its source.
    Store { place: usize },
    /// Resolve the batch of an item as spooled. The item has left the queue.
    Spool(H),
    /// Resolve the next `records` of a waiting item as spooled.
    SpoolPart { place: usize, records: u64 },
    /// Drop the batch of an item. The item has left the queue.
    Drop { held: H, why: Why },
    /// Give up an item that the sink has not delivered, and of which the disk has the first `stored` records. The item
    /// has left the queue.
    Abandon { held: H, stored: u64 },
    /// Count records as dropped because the spool was full.
    Lose { records: u64 },
    /// Count the damage that the spool has found.
    CountDamage,
    /// Skip the durable records that were not read: the sink was given all of them.
    Skip,
    /// Log that the sink is behind, or has caught up.
    Tell(News),
    /// Note the last error of the turn, or that everything worked.
    NoteResult(Option<spool::Error>),
    /// Log the end.
    Report { dropped: u64, stored: Option<spool::Error>, settled: Option<spool::Error> },
}

/// An action with an answer, which is the next event that leads to a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StageRequest {
    /// Acknowledge the records of the spool up to this number, and write the cursor if asked to.
    Advance { through: u64, checkpoint: bool },
    /// Append the records of an item to the spool's buffer.
    Append { place: usize },
    /// Write the buffer to the disk.
    Commit,
    /// Evict the oldest records of the spool, which is full. If there are none, the answer is the error `full`.
    Evict { full: spool::Error },
    /// Give the sink the batches of the first `count` waiting items, or none of them.
    Give { count: usize },
    /// Read records back from the disk and give the sink those after the number `after`.
    ReadBack { after: u64 },
    /// Give the sink nothing more, and take what is left in the queue. With `stop_now`, the stop of the sink need not
    /// wait for its destination.
    CloseQueues { stop_now: bool },
    /// Move the cursor up to this number, also past records that were not read, and write it.
    Close { through: u64 },
    /// Wait for something to happen.
    Wait(StageWait),
    /// End the thread, with an error if there is one. There is no answer.
    End(Result<(), spool::Error>),
}

/// Reason why a batch is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// One of its records is larger than the spool.
    TooLarge,
    /// The stage ends.
    Stop,
}

/// Form of a wait. Outcomes of the sink and a stop end each of them early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StageWait {
    /// Take batches from the queue; wait at most for this time until one comes.
    ForBatches(Duration),
    /// Take no batches.
    ForTime(Duration),
    /// Take no batches until the last error may be gone.
    BackOff,
}
