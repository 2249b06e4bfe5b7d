//! The way from a source to the pipeline: counts, limits and back-pressure for the frames that were read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::descriptors::Descriptors;
use super::drops::Drops;
use super::sizes::{MOST_READ, READ_SIZE};
use super::unfinished::{CUT, Unfinished, UnfinishedPlace};
use crate::correlate::Correlator;
use crate::ledger::{Reason, SourceLedger};
use crate::pipeline::{Arrival, Current};
use crate::receipt::Receipt;
use crate::record::Origin;
use crate::time::Timestamp;

/// Maximum memory that a record takes besides its text, in bytes: the fields that every record has, the texts that
/// explain a code, and its place in the batches.
const RECORD: usize = 2048;

/// Maximum memory that one byte of a message takes in the record. A control character is six bytes long in up to three
/// fields, and the buffer of the records grows by doubling.
const BYTE: usize = 24;

/// Maximum size in bytes of what is handed on together once the shutdown deadline has passed or the sender has given
/// up. It fits into the smallest queue.
const LAST_PART: usize = 64 * 1024;

/// Maximum memory of one read in bytes: the bytes that were read, and the list of the frames in them.
const TURN: usize = 2 * READ_SIZE;

/// A source's end of the pipeline. Clones share the source's counts and limits.
#[derive(Clone, Debug)]
pub struct Intake {
    pipeline: Current,
    origin: Arc<Origin>,
    /// Configured name of the source.
    name: Arc<str>,
    ledger: Arc<SourceLedger>,
    room: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    unfinished: Arc<Unfinished>,
    descriptors: Descriptors,
    drops: Arc<Drops>,
    max_bytes_in_flight: u32,
    max_frame_size: usize,
    stop: Stop,
}

/// The signals that end a source: a successor at its address, or the two steps of a stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Another source reads the sockets from now on: stop listening and leave the sockets as they are. Open connections
    /// continue.
    pub listening: CancellationToken,
    /// Stop reading, and hand on what has been read.
    pub reading: CancellationToken,
    /// The shutdown deadline has passed: drop what still waits for room.
    pub waiting: CancellationToken,
}

/// Frames of one read that wait for room. Frames that are left when this value is dropped are counted as dropped.
struct WaitingFrames<'i> {
    ledger: &'i SourceLedger,
    receipt: Option<&'i Receipt>,
    frames: u64,
}

impl Intake {
    /// Returns an intake that holds at most `max_bytes_in_flight` of records that some sink has not yet delivered, or
    /// one record that is larger than that.
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
        // Connections hold the same amount again: one half is for reads that are not yet split into frames, the other
        // half for messages that are not yet complete.
        let half = max_bytes_in_flight as usize / 2;
        let turns = (half / TURN).max(1);
        let unfinished = Arc::new(Unfinished::new(&origin.name, half / (max_frame_size + MOST_READ), turns / 2));
        let turns = Arc::new(Semaphore::new(turns));
        let drops = Arc::new(Drops::new(&origin.name));
        let (name, origin) = (origin.name.as_str().into(), Arc::new(origin));
        Self {
            pipeline,
            origin,
            name,
            ledger,
            room,
            turns,
            unfinished,
            descriptors: Descriptors::default(),
            drops,
            max_bytes_in_flight,
            max_frame_size,
            stop,
        }
    }

    /// Returns the intake for a source that shares `descriptors` with other sources.
    #[must_use]
    pub fn with(self, descriptors: Descriptors) -> Self {
        Self { descriptors, ..self }
    }

    /// Returns the file descriptors that connections and followed files may take.
    pub(super) const fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Returns the configured name of the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the counts of the source.
    pub fn ledger(&self) -> &SourceLedger {
        &self.ledger
    }

    /// Returns the maximum size of a frame in bytes.
    pub const fn max_frame_size(&self) -> usize {
        self.max_frame_size
    }

    /// Returns the token that is cancelled when the sockets of the source have a new reader.
    pub(super) const fn succeeded(&self) -> &CancellationToken {
        &self.stop.listening
    }

    /// Returns the token that is cancelled when the source has to stop reading.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop.reading
    }

    /// Returns the token that is cancelled at the shutdown deadline, until which records may still be delivered.
    pub(super) const fn over(&self) -> &CancellationToken {
        &self.stop.waiting
    }

    /// Returns true if the shutdown deadline has passed, until which records may still be delivered.
    pub fn is_over(&self) -> bool {
        self.stop.waiting.is_cancelled()
    }

    /// Waits until the caller may read. The permit allows it until it is dropped, which is after the bytes that were
    /// read are handed on. It limits the connections that hold the memory of a read while they wait for a sink:
    /// together they take at most half of `max_bytes_in_flight`.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.turns.acquire().await.ok()
    }

    /// Returns true if connections wait, or soon will wait, for the memory of a read or of an incomplete message.
    pub(super) fn is_crowded(&self) -> bool {
        self.turns.available_permits() == 0 || self.unfinished.is_wanted()
    }

    /// Waits for a place for a message that is longer than what a connection may keep without one. Returns `None` once
    /// the shutdown deadline has passed.
    pub(super) async fn place(&self) -> Option<UnfinishedPlace> {
        tokio::select! {
            biased;
            place = self.unfinished.place() => place,
            () = self.over().cancelled() => None,
        }
    }

    /// Logs, at a limited rate, the datagrams that were dropped because there was no room.
    pub(super) fn tell_drops(&self) {
        self.drops.tell();
    }

    /// Logs, at a limited rate, that a message of `peer` was cut after `bytes` because there was no place for it.
    pub(super) fn log_cut(&self, peer: Option<&str>, bytes: usize) {
        if let Some(suppressed) = self.unfinished.cut() {
            tracing::warn!(source = self.name(), peer, bytes, suppressed, "{CUT}");
        }
    }

    /// Hands on the frames of one read and waits for room. Back-pressure: the caller does not read until this returns.
    pub async fn submit(&self, arrivals: Vec<Arrival<'_>>) {
        self.submit_for(arrivals, None).await;
    }

    /// Hands on the frames of a source that acknowledges: `receipt` resolves when every sink is done with them.
    pub async fn submit_for(&self, arrivals: Vec<Arrival<'_>>, receipt: Option<Receipt>) {
        self.submit_until(arrivals, receipt, &CancellationToken::new()).await;
    }

    /// Hands on the frames of a source whose sender may give up. It stops waiting once the shutdown deadline has passed
    /// or `given_up` is cancelled. From then on, it drops a frame for which no sink has room, before spending work on
    /// its record.
    pub async fn submit_until(
        &self,
        mut arrivals: Vec<Arrival<'_>>,
        receipt: Option<Receipt>,
        given_up: &CancellationToken,
    ) {
        self.count(&mut arrivals);
        let received_at = Timestamp::now();
        let receipt = receipt.map(Arc::new);
        let mut waiting = WaitingFrames::enter(&self.ledger, receipt.as_deref(), arrivals.len());
        let over = || async {
            tokio::select! {
                biased;
                () = self.stop.waiting.cancelled() => Reason::Shutdown,
                () = given_up.cancelled() => Reason::Unacknowledged,
            }
        };
        let mut done = 0;
        while done < arrivals.len() {
            let ended = self.ended(given_up);
            let most = if ended.is_some() { LAST_PART } else { self.half() };
            let (frames, size) = self.part(&arrivals[done..], most);
            let room = match ended {
                None => tokio::select! {
                    biased;
                    room = Arc::clone(&self.room).acquire_many_owned(size) => room.ok(),
                    _ = over() => continue,
                },
                Some(reason) if !self.pipeline.get().has_room(size as usize) => {
                    waiting.dropped(frames, reason);
                    done += frames;
                    continue;
                }
                Some(_) => Arc::clone(&self.room).try_acquire_many_owned(size).ok(),
            };
            let pipeline = self.pipeline.get();
            let part = &arrivals[done..done + frames];
            let processed = pipeline.process(part, &self.origin, received_at, room, receipt.as_ref());
            waiting.leave(frames);
            done += frames;
            if done == arrivals.len() {
                (arrivals, done) = (Vec::new(), 0);
            }
            processed.send(&self.name, over()).await;
        }
    }

    /// Returns the joins of the lines, if lines are joined.
    pub(super) fn joins(&self) -> Option<Arc<Correlator>> {
        self.pipeline.get().joins().cloned()
    }

    /// Joins frames whose records were delivered before: a restart may have lost what was joined.
    pub(super) async fn rejoin(&self, arrivals: &[Arrival<'_>]) {
        let pipeline = self.pipeline.get();
        let over = async {
            self.stop.waiting.cancelled().await;
            Reason::Shutdown
        };
        pipeline.rejoin(arrivals, &self.origin, Timestamp::now()).send(&self.name, over).await;
    }

    /// Returns the reason why nothing may wait for room any more, if there is one.
    fn ended(&self, given_up: &CancellationToken) -> Option<Reason> {
        if self.is_over() { Some(Reason::Shutdown) } else { given_up.is_cancelled().then_some(Reason::Unacknowledged) }
    }

    /// Counts a refused frame of `bytes` as received and dropped.
    pub(super) fn refuse(&self, bytes: usize, reason: Reason) {
        self.ledger.received.fetch_add(1, Relaxed);
        self.ledger.received_bytes.fetch_add(bytes as u64, Relaxed);
        self.ledger.dropped.add(reason, 1);
    }

    /// Hands on the datagrams of one read without waiting. Datagrams for which there is no room now are dropped and
    /// counted.
    pub fn offer(&self, mut arrivals: Vec<Arrival<'_>>) {
        self.count(&mut arrivals);
        let received_at = Timestamp::now();
        let mut rest = arrivals.as_slice();
        while !rest.is_empty() {
            let (frames, size) = self.part(rest, self.half());
            let (part, others) = rest.split_at(frames);
            rest = others;
            let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
                self.ledger.dropped.add(Reason::InFlightLimit, frames as u64);
                self.drops.add(None, frames as u64);
                continue;
            };
            let pipeline = self.pipeline.get();
            let processed = pipeline.process(part, &self.origin, received_at, Some(room), None);
            processed.offer(|sink, records| self.drops.add(Some(sink), records));
        }
    }

    /// Returns the maximum memory that is handed on together: it leaves room for others.
    const fn half(&self) -> usize {
        self.max_bytes_in_flight as usize / 2
    }

    /// Returns how many of these frames (at least one) are handed on together, and the maximum room that their records
    /// can take. The room is at most `most`, unless the first frame alone needs more.
    fn part(&self, arrivals: &[Arrival<'_>], most: usize) -> (usize, u32) {
        let all = self.max_bytes_in_flight as usize;
        let shapes = self.pipeline.get().shapes().max(1);
        let (mut frames, mut size) = (0, 0);
        for arrival in arrivals {
            let more = (arrival.frame.bytes.len() * BYTE + RECORD) * shapes;
            if frames > 0 && size + more > most {
                break;
            }
            (frames, size) = (frames + 1, size + more);
        }
        (frames, u32::try_from(size.min(all)).unwrap_or(u32::MAX))
    }

    /// Counts the frames and removes the empty ones.
    fn count(&self, arrivals: &mut Vec<Arrival<'_>>) {
        let received = arrivals.len();
        arrivals.retain(|arrival| !arrival.frame.bytes.is_empty());
        let bytes: usize = arrivals.iter().map(|arrival| arrival.frame.bytes.len()).sum();
        let truncated = arrivals.iter().filter(|arrival| arrival.frame.truncated).count();
        self.ledger.received.fetch_add(received as u64, Relaxed);
        self.ledger.received_bytes.fetch_add(bytes as u64, Relaxed);
        self.ledger.truncated.fetch_add(truncated as u64, Relaxed);
        self.ledger.dropped.add(Reason::Empty, (received - arrivals.len()) as u64);
    }
}

// === impl WaitingFrames ===

impl<'i> WaitingFrames<'i> {
    fn enter(ledger: &'i SourceLedger, receipt: Option<&'i Receipt>, frames: usize) -> Self {
        let frames = frames as u64;
        ledger.waiting.fetch_add(frames, Relaxed);
        Self { ledger, receipt, frames }
    }

    /// Counts `frames` frames as no longer waiting: they are offered to the sinks, or dropped.
    fn leave(&mut self, frames: usize) {
        self.frames -= frames as u64;
        self.ledger.waiting.fetch_sub(frames as u64, Relaxed);
    }

    /// Counts `frames` frames as dropped and fails their receipt.
    fn dropped(&mut self, frames: usize, reason: Reason) {
        if let Some(receipt) = self.receipt {
            receipt.fail();
        }
        self.ledger.dropped.add(reason, frames as u64);
        self.leave(frames);
    }
}

impl Drop for WaitingFrames<'_> {
    /// Counts the remaining frames as dropped. A task is aborted if it has not ended when the shutdown ends.
    fn drop(&mut self) {
        if self.frames > 0 {
            let reason = if std::thread::panicking() { Reason::Lost } else { Reason::Shutdown };
            self.dropped(self.frames as usize, reason);
        }
    }
}

#[cfg(test)]
mod tests;
