//! A batch: the encoded records of one read, as one sink takes them.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Lines;
use crate::ledger::{InFlight, Reason};
use crate::receipt::Receipt;
use crate::record::RecordId;

/// The encoded records of one read, one JSON object per line, shared by every sink that takes any of them.
#[derive(Debug)]
pub struct Encoded {
    lines: Lines,
    /// Given back when the last sink is done.
    _room: Option<OwnedSemaphorePermit>,
}

/// What one sink takes of an [`Encoded`].
#[derive(Debug)]
pub struct Records {
    encoded: Arc<Encoded>,
    entries: Vec<Entry>,
    text: String,
}

/// Records on their way to a sink. It is resolved once, by [`Batch::delivered`] or [`Batch::dropped`].
#[derive(Debug)]
pub struct Batch {
    records: Arc<Records>,
    in_flight: InFlight,
    room: Option<OwnedSemaphorePermit>,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its line, LF included, in the lines of [`Encoded`].
    pub line: Span,
    /// Its destination in the batch's text: a path or a topic; empty for a sink that has none.
    pub route: Span,
    /// Its key in the batch's text, where it has one.
    pub key: Option<Span>,
    /// Its id.
    pub id: RecordId,
    /// Its time for the destination, in milliseconds since 1970: the earlier of `timestamp` and `received_at`.
    pub timestamp_ms: i64,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

// === impl Encoded ===

impl Encoded {
    /// JSON `lines`, each with its LF, and the `room` that they take in the source's limit of bytes in flight. The room
    /// becomes what they hold in memory, and `beside` them what the sinks' records hold.
    pub fn new(lines: Lines, room: Option<OwnedSemaphorePermit>, beside: usize) -> Self {
        let held = lines.capacity() + beside;
        Self { lines, _room: room.map(|room| settle(room, held)) }
    }
}

/// Makes `room` as large as `held`, as far as there is any. It never waits: whoever waits and holds room at the same
/// time could wait for another that does.
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
    /// The records `entries`, whose lines stand in `encoded`, and whose routes and keys stand in `text`.
    pub fn new(encoded: Arc<Encoded>, entries: Vec<Entry>, text: String) -> Self {
        Self { encoded, entries, text }
    }

    /// The records in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The JSON line of an entry, with its LF.
    pub fn line(&self, entry: &Entry) -> &[u8] {
        &self.encoded.lines[entry.line.range()]
    }

    /// The JSON lines from `first` to `last`, both included, if nothing lies between them that is not of these records.
    pub fn lines(&self, first: &Entry, last: &Entry) -> &[u8] {
        &self.encoded.lines[first.line.start as usize..last.line.end as usize]
    }

    /// The destination of an entry.
    pub fn route(&self, entry: &Entry) -> &str {
        &self.text[entry.route.range()]
    }

    /// The key of an entry.
    pub fn key(&self, entry: &Entry) -> Option<&str> {
        entry.key.map(|key| &self.text[key.range()])
    }

    /// The bytes of the lines.
    pub fn line_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.line.range().len()).sum()
    }

    /// The memory that they keep busy, in bytes, as a queue counts it.
    pub fn size(&self) -> usize {
        self.line_bytes() + self.text.len() + self.entries.len() * size_of::<Entry>()
    }
}

// === impl Batch ===

impl Batch {
    /// A batch of records that are accounted for by `in_flight`.
    pub fn new(records: Records, in_flight: InFlight) -> Self {
        Self { records: Arc::new(records), in_flight, room: None }
    }

    /// The records, for whoever keeps them beyond the batch.
    pub fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    /// Puts `receipt` in the place of the one that it has, which whoever takes it must resolve.
    pub fn exchange_receipt(&mut self, receipt: Arc<Receipt>) -> Option<Arc<Receipt>> {
        self.in_flight.exchange_receipt(receipt)
    }

    /// Gives the batch the room that it fills in its sink's queue.
    pub(super) fn hold(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// Whether a source waits to hear that all of it is durable: then it must be, before it counts as delivered.
    pub fn is_awaited(&self) -> bool {
        self.in_flight.is_awaited()
    }

    /// The same, unless whoever waited has given up, as a sender whose session has ended: what is kept for it now is
    /// kept for nobody.
    pub fn is_still_awaited(&self) -> bool {
        self.in_flight.is_still_awaited()
    }

    /// Whether a spool has handed it on, and keeps what the sink does not take.
    pub fn is_of_spool(&self) -> bool {
        self.in_flight.is_of_spool()
    }

    /// The destination has all of it.
    pub fn delivered(self) {
        self.make_room().delivered();
    }

    /// The spool has all of it on its disk.
    pub fn spooled(self) {
        self.make_room().spooled();
    }

    /// The destination will never have any of it.
    pub fn dropped(self, reason: Reason) {
        self.make_room().dropped(reason);
    }

    /// Gives back its room before others hear that it is resolved: they may look for it at once.
    fn make_room(self) -> InFlight {
        let Self { in_flight, room, .. } = self;
        drop(room);
        in_flight
    }

    /// The spool has `records` of it on its disk, whose lines hold `bytes`, each with its LF. The rest is still to be
    /// resolved.
    pub fn spooled_part(&mut self, records: u64, bytes: u64) {
        self.in_flight.split(records, bytes).spooled();
    }

    /// The destination will never have `records` of it, whose lines hold `bytes`, each with its LF. The rest is still
    /// to be resolved.
    pub fn dropped_part(&mut self, records: u64, bytes: u64, reason: Reason) {
        self.in_flight.split(records, bytes).dropped(reason);
    }

    /// The records that the destination refused for good are counted as dropped, the others as delivered.
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

// === impl Span ===

impl Span {
    /// The range of an index.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}
