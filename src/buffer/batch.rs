//! A batch: the encoded records of one read, as one sink takes them.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::ledger::{InFlight, Reason};
use crate::record::RecordId;

/// The encoded records of one read, one JSON object per line, shared by every sink that takes any of them.
#[derive(Debug)]
pub struct Encoded {
    /// JSON lines, each with its LF.
    pub lines: Vec<u8>,
    /// The room in the source's limit of bytes in flight, given back when the last sink is done.
    pub room: Option<OwnedSemaphorePermit>,
}

/// What one sink takes of an [`Encoded`]. It is resolved once, by [`Batch::delivered`] or [`Batch::dropped`].
#[derive(Debug)]
pub struct Batch {
    encoded: Arc<Encoded>,
    entries: Vec<Entry>,
    text: String,
    in_flight: InFlight,
    room: Option<OwnedSemaphorePermit>,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its line, LF included, in [`Encoded::lines`].
    pub line: Span,
    /// Its destination in the batch's text: a path or a topic; empty for a sink that has none.
    pub route: Span,
    /// Its key in the batch's text, where it has one.
    pub key: Option<Span>,
    /// Its id.
    pub id: RecordId,
    /// Its `timestamp` in milliseconds since 1970.
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

// === impl Batch ===

impl Batch {
    /// A batch of `entries`, whose routes and keys stand in `text`.
    pub fn new(encoded: Arc<Encoded>, entries: Vec<Entry>, text: String, in_flight: InFlight) -> Self {
        Self { encoded, entries, text, in_flight, room: None }
    }

    /// The records in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The JSON line of an entry, with its LF.
    pub fn line(&self, entry: &Entry) -> &[u8] {
        &self.encoded.lines[entry.line.range()]
    }

    /// The JSON lines from `first` to `last`, both included, if nothing lies between them that is not of this batch.
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

    /// The memory that it keeps busy, in bytes, as a queue counts it.
    pub fn size(&self) -> usize {
        let lines: usize = self.entries.iter().map(|entry| entry.line.range().len()).sum();
        lines + self.text.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Gives the batch the room that it fills in its sink's queue.
    pub(super) fn hold(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// Whether a source waits to hear that all of it is durable: then it must be, before it counts as delivered.
    pub const fn is_awaited(&self) -> bool {
        self.in_flight.is_awaited()
    }

    /// The destination has all of it.
    pub fn delivered(self) {
        self.in_flight.delivered();
    }

    /// The destination will never have any of it.
    pub fn dropped(self, reason: Reason) {
        self.in_flight.dropped(reason);
    }

    /// The destination will never have `records` of it, whose lines hold `bytes`, each with its LF. The rest is still to
    /// be resolved.
    pub fn dropped_part(&mut self, records: u64, bytes: u64, reason: Reason) {
        self.in_flight.split(records, bytes).dropped(reason);
    }

    /// The records that the destination refused for good are counted as dropped, the others as delivered.
    pub fn delivered_except(mut self, refused_records: u64, refused_bytes: u64) {
        self.dropped_part(refused_records, refused_bytes, Reason::Rejected);
        self.delivered();
    }
}

// === impl Span ===

impl Span {
    /// The range of an index.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}
