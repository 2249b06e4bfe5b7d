//! A batch: the encoded records of one read, as one sink takes them.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::EncodedLines;
use crate::ledger::{InFlight, Reason, SpoolReceipt};
use crate::receipt::Receipt;
use crate::record::RecordId;

/// The encoded records of one read, one JSON object per line, shared by every sink that takes any of them.
#[derive(Debug)]
pub struct Encoded {
    lines: EncodedLines,
    /// Room in the limit of the source, released when the last sink is done.
    _room: Option<OwnedSemaphorePermit>,
    /// Token that is gone when the last sink is done.
    _token: Option<Arc<()>>,
}

/// The records of an [`Encoded`] that one sink takes.
#[derive(Debug)]
pub struct Records {
    encoded: Arc<Encoded>,
    entries: Vec<Entry>,
    text: String,
}

/// Records on their way to a sink. A batch is resolved once, by [`Batch::delivered`] or [`Batch::dropped`].
#[derive(Debug)]
pub struct Batch {
    records: Arc<Records>,
    in_flight: InFlight,
    room: Option<OwnedSemaphorePermit>,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Position of its line, LF included, in the lines of [`Encoded`].
    pub line: ByteRange,
    /// Position of its destination in the text of the batch: a path or a topic; empty for a sink that has none.
    pub route: ByteRange,
    /// Position of its key in the text of the batch, if it has a key.
    pub key: Option<ByteRange>,
    /// Id of the record.
    pub id: RecordId,
    /// Time under which the destination keeps the record, in milliseconds since 1970: the earlier of `timestamp` and
    /// `received_at`.
    pub timestamp_ms: i64,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

// === impl Encoded ===

impl Encoded {
    /// Creates the value from JSON `lines`, each with its LF, and the `room` that they take in the limit of bytes in
    /// flight of the source.
    pub const fn new(lines: EncodedLines, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { lines, _room: room, _token: None }
    }

    /// Lets the value hold `token`. The owner learns from the number of its clones when the last sink is done.
    #[must_use]
    pub fn with(self, token: Option<Arc<()>>) -> Self {
        Self { _token: token, ..self }
    }
}

/// Divides `room` into one part for each of `held`, the memory that each part stands for, in bytes. The whole is first
/// resized to their sum, as far as the limit allows; the last parts are smaller if it does not.
pub fn divide(room: OwnedSemaphorePermit, held: &[usize]) -> Vec<OwnedSemaphorePermit> {
    let mut rest = settle(room, held.iter().sum());
    let mut parts = Vec::with_capacity(held.len());
    for held in &held[..held.len().saturating_sub(1)] {
        let part = (*held).min(rest.num_permits());
        parts.extend(rest.split(part));
    }
    parts.push(rest);
    parts
}

/// Resizes `room` to `held`, as far as the limit allows. The function never waits: a task that waits while it holds
/// room could deadlock with another such task.
fn settle(mut room: OwnedSemaphorePermit, held: usize) -> OwnedSemaphorePermit {
    let taken = room.num_permits();
    if held < taken {
        drop(room.split(taken - held));
        return room;
    }
    let all = Arc::clone(room.semaphore());
    let more = (held - taken).min(all.available_permits());
    if let Ok(more) = all.try_acquire_many_owned(u32::try_from(more).unwrap_or(u32::MAX)) {
        room.merge(more);
    }
    room
}

// === impl Records ===

impl Records {
    /// Creates the records `entries`, whose lines are in `encoded`, and whose routes and keys are in `text`.
    pub fn new(encoded: Arc<Encoded>, entries: Vec<Entry>, text: String) -> Self {
        Self { encoded, entries, text }
    }

    /// Returns the records in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the JSON line of an entry, with its LF.
    pub fn line(&self, entry: &Entry) -> &[u8] {
        &self.encoded.lines[entry.line.range()]
    }

    /// Returns the JSON lines from `first` to `last`, both included, if only lines of these records lie between them.
    pub fn lines(&self, first: &Entry, last: &Entry) -> &[u8] {
        &self.encoded.lines[first.line.start as usize..last.line.end as usize]
    }

    /// Returns the destination of an entry.
    pub fn route(&self, entry: &Entry) -> &str {
        &self.text[entry.route.range()]
    }

    /// Returns the key of an entry.
    pub fn key(&self, entry: &Entry) -> Option<&str> {
        entry.key.map(|key| &self.text[key.range()])
    }

    /// Returns the number of bytes of the lines.
    pub fn line_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.line.range().len()).sum()
    }

    /// Returns the memory that the records use, in bytes, as a queue counts it.
    pub fn size(&self) -> usize {
        self.line_bytes() + self.text.len() + self.entries.len() * size_of::<Entry>()
    }
}

// === impl Batch ===

impl Batch {
    /// Creates a batch of records that `in_flight` accounts for.
    pub fn new(records: Records, in_flight: InFlight) -> Self {
        Self { records: Arc::new(records), in_flight, room: None }
    }

    /// Returns the records, for a caller that keeps them longer than the batch.
    pub fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    /// Hands on the records to the sink of a spool, which keeps them from now on. Returns the receipt of their source,
    /// which the spool must resolve.
    pub fn hand_on(&mut self, receipt: Arc<SpoolReceipt>) -> Option<Arc<Receipt>> {
        self.in_flight.hand_on(receipt)
    }

    /// Stores the room that the batch takes in the queue of its sink.
    pub(super) fn hold(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// Returns true if a source waits until the batch is durable. The batch must then be durable before it counts as
    /// delivered.
    pub fn is_awaited(&self) -> bool {
        self.in_flight.is_awaited()
    }

    /// Like [`is_awaited`](Self::is_awaited), but false if the waiting side has given up, such as a sender whose
    /// session has ended: nothing needs what is kept for it any more.
    pub fn is_still_awaited(&self) -> bool {
        self.in_flight.is_still_awaited()
    }

    /// Returns true if the records that the sink does not take are kept elsewhere: by the spool that has handed on the
    /// batch, or in the file that is replayed.
    pub const fn is_kept(&self) -> bool {
        self.in_flight.is_kept()
    }

    /// Resolves the batch as delivered to the destination.
    pub fn delivered(self) {
        self.make_room().delivered();
    }

    /// Resolves the batch as spooled: the spool has all of it on its disk.
    pub fn spooled(self) {
        self.make_room().spooled();
    }

    /// Resolves the batch as dropped: the destination will never receive it.
    pub fn dropped(self, reason: Reason) {
        self.make_room().dropped(reason);
    }

    /// Releases the room before others learn that the batch is resolved: they may look for room at once.
    fn make_room(self) -> InFlight {
        let Self { in_flight, room, .. } = self;
        drop(room);
        in_flight
    }

    /// Resolves `records` of the batch as spooled, whose lines hold `bytes`, each with its LF. The rest is still to be
    /// resolved.
    pub fn spooled_part(&mut self, records: u64, bytes: u64) {
        self.in_flight.split(records, bytes).spooled();
    }

    /// Resolves `records` of the batch as dropped, whose lines hold `bytes`, each with its LF. The rest is still to be
    /// resolved.
    pub fn dropped_part(&mut self, records: u64, bytes: u64, reason: Reason) {
        self.in_flight.split(records, bytes).dropped(reason);
    }

    /// Resolves the batch: the records that the destination refused for good count as dropped, and the others as
    /// delivered.
    pub fn delivered_except(mut self, refused_records: u64, refused_bytes: u64) {
        self.dropped_part(refused_records, refused_bytes, Reason::Rejected);
        self.delivered();
    }
}

impl Deref for Batch {
    type Target = Records;

    fn deref(&self) -> &Records {
        &self.records
    }
}

// === impl ByteRange ===

impl ByteRange {
    /// Returns the span as a range for indexing.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}
