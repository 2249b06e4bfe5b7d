//! What a source does with the frames that it read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::stream::READ_SIZE;
use crate::ledger::{Reason, SourceLedger};
use crate::pipeline::{Arrival, Current};
use crate::receipt::Receipt;
use crate::record::Origin;
use crate::time::Timestamp;

/// What a record takes besides its text, in bytes: the fields that every record has, and its place in the batches. Without
/// this, messages of one byte would take hundreds of times the room that is counted for them.
const RECORD: usize = 512;

/// A source's end of the pipeline. Clones share the source's counts and limits.
#[derive(Clone, Debug)]
pub struct Intake {
    pipeline: Current,
    origin: Arc<Origin>,
    ledger: Arc<SourceLedger>,
    room: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    max_bytes_in_flight: u32,
    max_frame_size: usize,
    stop: Stop,
}

/// What ends a source: a successor at its address, or the two steps of a stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Another source reads the sockets from now on: leave them to it as they are. Connections go on.
    pub listening: CancellationToken,
    /// Read no more, and hand on what has been read.
    pub reading: CancellationToken,
    /// The time is over: what still waits for room is dropped.
    pub waiting: CancellationToken,
}

impl Intake {
    /// An intake that holds at most `max_bytes_in_flight` of frames which some sink has not yet delivered; each counts as its
    /// bytes and `RECORD`.
    pub fn new(
        pipeline: Current,
        origin: Origin,
        ledger: Arc<SourceLedger>,
        max_bytes_in_flight: usize,
        max_frame_size: usize,
        stop: Stop,
    ) -> Self {
        let max_bytes_in_flight = u32::try_from(max_bytes_in_flight).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(max_bytes_in_flight as usize));
        let turns = Arc::new(Semaphore::new((max_bytes_in_flight as usize).div_ceil(READ_SIZE)));
        Self { pipeline, origin: Arc::new(origin), ledger, room, turns, max_bytes_in_flight, max_frame_size, stop }
    }

    /// The configured name of the source.
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// The counts of the source.
    pub fn ledger(&self) -> &SourceLedger {
        &self.ledger
    }

    /// The largest frame in bytes.
    pub const fn max_frame_size(&self) -> usize {
        self.max_frame_size
    }

    /// Resolves when the sockets of the source have a new reader.
    pub(super) const fn succeeded(&self) -> &CancellationToken {
        &self.stop.listening
    }

    /// Resolves when the source has to stop reading.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop.reading
    }

    /// Resolves when the time is over in which what is read may still be delivered.
    pub(super) const fn over(&self) -> &CancellationToken {
        &self.stop.waiting
    }

    /// Whether the time is over in which what is read may still be delivered.
    pub fn is_over(&self) -> bool {
        self.stop.waiting.is_cancelled()
    }

    /// Waits until the caller may read, and lets it until the value is dropped, after what was read is handed on. Of the
    /// connections that wait for a sink, only so many hold the memory of a read as fit into `max_bytes_in_flight`.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Hands on the frames of one read, and waits for room: until it returns, its caller reads no more.
    pub async fn submit(&self, arrivals: Vec<Arrival<'_>>) {
        self.submit_for(arrivals, None).await;
    }

    /// The same for a source that acknowledges: `receipt` resolves when every sink is done with the frames.
    pub async fn submit_for(&self, arrivals: Vec<Arrival<'_>>, receipt: Option<Receipt>) {
        self.submit_until(arrivals, receipt, &CancellationToken::new()).await;
    }

    /// The same for a source whose sender gives up: when `given_up` is cancelled, what still waits for room is dropped.
    pub async fn submit_until(
        &self,
        mut arrivals: Vec<Arrival<'_>>,
        receipt: Option<Receipt>,
        given_up: &CancellationToken,
    ) {
        let size = self.count(&mut arrivals);
        if arrivals.is_empty() {
            return;
        }
        let received_at = Timestamp::now();
        let frames = arrivals.len() as u64;
        self.ledger.waiting.fetch_add(frames, Relaxed);
        let over = || async {
            tokio::select! {
                biased;
                () = self.stop.waiting.cancelled() => Reason::Shutdown,
                () = given_up.cancelled() => Reason::Unacknowledged,
            }
        };
        let room = tokio::select! {
            biased;
            room = Arc::clone(&self.room).acquire_many_owned(size) => room.ok(),
            _ = over() => None,
        };
        let pipeline = self.pipeline.get();
        let batches = pipeline.process(&arrivals, &self.origin, received_at, room, receipt);
        self.ledger.waiting.fetch_sub(frames, Relaxed);
        drop(arrivals);
        pipeline.send(batches, over()).await;
    }

    /// Counts a frame of `bytes` that goes no further as dropped.
    pub(super) fn refuse(&self, bytes: usize, reason: Reason) {
        self.ledger.received.fetch_add(1, Relaxed);
        self.ledger.received_bytes.fetch_add(bytes as u64, Relaxed);
        self.ledger.dropped.add(reason, 1);
    }

    /// Hands on the datagrams of one read; those for which there is no room now are dropped and counted.
    pub fn offer(&self, mut arrivals: Vec<Arrival<'_>>) {
        let size = self.count(&mut arrivals);
        if arrivals.is_empty() {
            return;
        }
        match Arc::clone(&self.room).try_acquire_many_owned(size) {
            Ok(room) => self.offer_with(&arrivals, room),
            Err(_) => self.ledger.dropped.add(Reason::InFlightLimit, arrivals.len() as u64),
        }
    }
    fn offer_with(&self, arrivals: &[Arrival<'_>], room: OwnedSemaphorePermit) {
        let pipeline = self.pipeline.get();
        let batches = pipeline.process(arrivals, &self.origin, Timestamp::now(), Some(room), None);
        pipeline.offer(batches);
    }

    /// Counts the frames, takes the empty ones out, and gives the room that the others need.
    fn count(&self, arrivals: &mut Vec<Arrival<'_>>) -> u32 {
        let received = arrivals.len();
        arrivals.retain(|arrival| !arrival.frame.bytes.is_empty());
        let bytes: usize = arrivals.iter().map(|arrival| arrival.frame.bytes.len()).sum();
        let truncated = arrivals.iter().filter(|arrival| arrival.frame.truncated).count();
        self.ledger.received.fetch_add(received as u64, Relaxed);
        self.ledger.received_bytes.fetch_add(bytes as u64, Relaxed);
        self.ledger.truncated.fetch_add(truncated as u64, Relaxed);
        self.ledger.dropped.add(Reason::Empty, (received - arrivals.len()) as u64);
        let size = bytes + arrivals.len() * RECORD;
        u32::try_from(size).unwrap_or(u32::MAX).min(self.max_bytes_in_flight)
    }
}
