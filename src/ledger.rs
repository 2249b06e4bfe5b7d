//! The ledger: received = delivered + dropped (by reason) + in flight.
//!
//! Every frame that a source reads is either dropped there, by a named reason, or offered to every sink; every record
//! offered to a sink is filtered out by its configuration, delivered, dropped by a named reason, or still in flight:
//!
//! ```text
//! received = dropped at the source + waiting + offered          (summed over the sources)
//! offered + recovered = filtered + delivered + dropped + in flight + spooled    (per sink)
//! ```
//!
//! A reload replaces the pipeline, and perhaps sources and sinks: to a sink was offered what went through the pipelines
//! of its time.
//!
//! `recovered` is what a spool held at the start, and `spooled` what only its disk holds now. Of the records in flight,
//! `stored` are on the disk of the spool as well. At the end nothing is in flight any more
//! ([`SinkCounts::at_the_end`]): those are spooled then, and the others are dropped.
//!
//! What the kernel dropped before a source could read it is no part of this; it is counted beside it, as
//! `kernel_drops`.
//!
//! Records in flight are counted by a guard that counts when it is dropped, so a path that forgets a record shows as
//! [`Reason::Lost`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::receipt::Receipt;

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The frame had no byte.
    Empty,
    /// A TLS handshake came to a port without TLS.
    UnexpectedTls,
    /// A datagram came from a peer that may not send.
    Denied,
    /// A datagram came from a peer that had sent as many as it may.
    RateLimited,
    /// A datagram came while the sink's queue was full.
    QueueFull,
    /// A datagram came while the source had its most bytes in flight.
    InFlightLimit,
    /// The destination refused the record for good.
    Rejected,
    /// The same, but the dead-letter file of the sink was full.
    DeadLetterFull,
    /// Its sender waited too long for an acknowledgement, and will send it again.
    Unacknowledged,
    /// The spool was full, and gave up its oldest records.
    SpoolFull,
    /// The disk of the spool gave it back damaged.
    Damaged,
    /// The time for the stop was over.
    Shutdown,
    /// A path in the program forgot it: a defect.
    Lost,
}

/// What one source did.
#[derive(Debug, Default)]
pub struct SourceLedger {
    /// Frames read.
    pub received: AtomicU64,
    /// Bytes of those frames.
    pub received_bytes: AtomicU64,
    /// Frames that were cut at the limit, or whose stream ended inside of them.
    pub truncated: AtomicU64,
    /// Frames of streams that wait for room; no record is made of them yet. None when a source has ended.
    pub waiting: AtomicU64,
    /// Frames that reached no sink.
    pub dropped: Dropped,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections closed at once because there were too many.
    pub connections_refused: AtomicU64,
    /// Connections closed at once because their peer had as many as it may.
    pub connections_refused_per_peer: AtomicU64,
    /// Connections closed because they were silent for too long.
    pub connections_idle: AtomicU64,
    /// Connections closed because their peer may not send.
    pub connections_denied: AtomicU64,
    /// Connections closed because the header of the PROXY protocol was missing or wrong.
    pub proxy_errors: AtomicU64,
    /// Failed calls of accept or receive, failed connections, failed handshakes of TLS, and damaged compressed files.
    pub errors: AtomicU64,
    /// Datagrams that the kernel dropped before they could be read; they are not among those received.
    pub kernel_drops: AtomicU64,
}

/// What one sink did.
#[derive(Debug, Default)]
pub struct SinkLedger {
    /// Records that the pipeline showed to the sink's filter.
    pub offered: AtomicU64,
    /// Records that the filter kept away.
    pub filtered: AtomicU64,
    /// Records that the destination has.
    pub delivered: AtomicU64,
    /// Bytes of those records.
    pub delivered_bytes: AtomicU64,
    /// Records that it will never have.
    pub dropped: Dropped,
    /// Failed attempts that will be repeated.
    pub retries: AtomicU64,
    /// Records that the spool held at the start, from an earlier run.
    pub recovered: AtomicU64,
    in_flight: AtomicI64,
    /// Those of the records in flight that the disk of the spool has too.
    stored: AtomicI64,
    spooled: AtomicI64,
}

/// The counts of a [`SinkLedger`] at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// As in [`SinkLedger`].
    pub offered: u64,
    /// As in [`SinkLedger`].
    pub filtered: u64,
    /// As in [`SinkLedger`].
    pub delivered: u64,
    /// As in [`SinkLedger`].
    pub delivered_bytes: u64,
    /// By reason, in the order of [`Reason::ALL`].
    pub dropped: [u64; Reason::ALL.len()],
    /// Records that are neither delivered nor dropped yet.
    pub in_flight: u64,
    /// Those of them that the disk of the spool has too.
    pub stored: u64,
    /// As in [`SinkLedger`].
    pub recovered: u64,
    /// Records that are on the disk of the spool and nowhere else.
    pub spooled: u64,
    /// As in [`SinkLedger`].
    pub retries: u64,
}

/// Counts by reason.
#[derive(Debug, Default)]
pub struct Dropped([AtomicU64; Reason::ALL.len()]);

/// Records in flight to one sink. Resolve it with [`InFlight::delivered`] or [`InFlight::dropped`]; one that goes out
/// of scope unresolved counts as [`Reason::Lost`].
#[derive(Debug)]
pub struct InFlight {
    ledger: Arc<SinkLedger>,
    records: u64,
    bytes: u64,
    outcome: Option<Outcome>,
    receipt: Option<Arc<Receipt>>,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Delivered,
    Spooled,
    Dropped(Reason),
}

// === impl Reason ===

impl Reason {
    /// Every reason, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Empty,
        Self::UnexpectedTls,
        Self::Denied,
        Self::RateLimited,
        Self::QueueFull,
        Self::InFlightLimit,
        Self::Rejected,
        Self::DeadLetterFull,
        Self::Unacknowledged,
        Self::SpoolFull,
        Self::Damaged,
        Self::Shutdown,
        Self::Lost,
    ];

    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnexpectedTls => "unexpected_tls",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::InFlightLimit => "in_flight_limit",
            Self::Rejected => "rejected",
            Self::DeadLetterFull => "dead_letter_full",
            Self::Unacknowledged => "unacknowledged",
            Self::SpoolFull => "spool_full",
            Self::Damaged => "damaged",
            Self::Shutdown => "shutdown",
            Self::Lost => "lost",
        }
    }
}

// === impl Dropped ===

impl Dropped {
    /// Counts `records` more.
    pub fn add(&self, reason: Reason, records: u64) {
        self.0[reason as usize].fetch_add(records, Relaxed);
    }

    /// How many were dropped for `reason`.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Relaxed)
    }

    /// How many were dropped for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Relaxed)).sum()
    }
}

// === impl SourceLedger ===

impl SourceLedger {
    /// Frames that were offered to every sink.
    pub fn offered(&self) -> u64 {
        // What leaves by the way is counted as received before: asked in this order, the difference is never negative.
        let elsewhere = self.dropped.total() + self.waiting.load(Relaxed);
        self.received.load(Relaxed).saturating_sub(elsewhere)
    }
}

// === impl SinkLedger ===

impl SinkLedger {
    /// Takes charge of `records` that hold `bytes` of JSON, for a source that may wait for the `receipt`.
    pub fn enter(self: &Arc<Self>, records: u64, bytes: u64, receipt: Option<Arc<Receipt>>) -> InFlight {
        self.in_flight.fetch_add(records.cast_signed(), Relaxed);
        let mut in_flight = InFlight { ledger: Arc::clone(self), records, bytes, outcome: None, receipt: None };
        if let Some(receipt) = receipt {
            let _ = in_flight.exchange_receipt(receipt);
        }
        in_flight
    }

    /// Records that are neither delivered, spooled nor dropped yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed).max(0).cast_unsigned()
    }

    /// Records that are on the disk of the spool and nowhere else.
    pub fn spooled(&self) -> u64 {
        self.spooled.load(Relaxed).max(0).cast_unsigned()
    }

    /// The spool holds `records` of an earlier run.
    pub fn recover(&self, records: u64) {
        self.recovered.fetch_add(records, Relaxed);
        self.spooled.fetch_add(records.cast_signed(), Relaxed);
    }

    /// Takes charge of records that were read back from the spool.
    pub fn leave_spool(self: &Arc<Self>, records: u64, bytes: u64, receipt: Arc<Receipt>) -> InFlight {
        let in_flight = self.enter(records, bytes, Some(receipt));
        self.spooled.fetch_sub(records.cast_signed(), Relaxed);
        in_flight
    }

    /// The spool will never give `records` of those that it holds.
    pub fn drop_spooled(&self, records: u64, reason: Reason) {
        self.dropped.add(reason, records);
        self.spooled.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// The disk of the spool has the records of `receipt` too, from now on.
    pub fn store(&self, receipt: &Receipt) {
        self.stored.fetch_add(receipt.store().cast_signed(), Relaxed);
    }

    /// The disk of the spool has `records` of a batch too, of which it never gets the rest.
    pub fn store_part(&self, records: u64) {
        self.stored.fetch_add(records.cast_signed(), Relaxed);
    }

    /// The disk of the spool has `records` that a sink has given back.
    pub fn store_returned(&self, records: u64) {
        self.spooled.fetch_add(records.cast_signed(), Relaxed);
        self.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// The same, of records that count as stored already.
    pub fn keep_returned(&self, records: u64) {
        self.stored.fetch_sub(records.cast_signed(), Relaxed);
        self.store_returned(records);
    }

    /// Nothing has `records` that a sink has given back.
    pub fn drop_returned(&self, records: u64, reason: Reason) {
        self.dropped.add(reason, records);
        self.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// The counts now. While records move, they need not fit together.
    pub fn counts(&self) -> SinkCounts {
        let whole = |count: &AtomicI64| count.load(Relaxed).max(0).cast_unsigned();
        SinkCounts {
            offered: self.offered.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            delivered_bytes: self.delivered_bytes.load(Relaxed),
            dropped: Reason::ALL.map(|reason| self.dropped.get(reason)),
            in_flight: whole(&self.in_flight),
            stored: whole(&self.stored),
            recovered: self.recovered.load(Relaxed),
            spooled: whole(&self.spooled),
            retries: self.retries.load(Relaxed),
        }
    }

    /// Whether every record that was offered is accounted for. True at any time when nothing is moving.
    pub fn balances(&self) -> bool {
        self.counts().balance()
    }
}

// === impl SinkCounts ===

impl SinkCounts {
    /// Whether every record that was offered is accounted for.
    pub fn balance(&self) -> bool {
        let resolved = self.filtered + self.delivered + self.dropped.iter().sum::<u64>();
        self.offered + self.recovered == resolved + self.in_flight + self.spooled
    }

    /// How many were dropped for `reason`.
    pub const fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// The counts of a process that ends now: what is in flight stays in the spool, or is dropped by the stop.
    #[must_use]
    pub fn at_the_end(mut self) -> Self {
        let stored = self.stored.min(self.in_flight);
        self.spooled += stored;
        self.dropped[Reason::Shutdown as usize] += self.in_flight - stored;
        (self.in_flight, self.stored) = (0, 0);
        self
    }
}

// === impl InFlight ===

impl InFlight {
    /// Whether a source waits to hear that all of it is durable.
    pub fn is_awaited(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.is_durable())
    }

    /// The same, unless whoever waited has given up.
    pub fn is_still_awaited(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.is_durable() && receipt.has_listener())
    }

    /// Puts `receipt` in the place of the one that it has, which whoever takes it must resolve.
    pub fn exchange_receipt(&mut self, receipt: Arc<Receipt>) -> Option<Arc<Receipt>> {
        if receipt.is_of_spool() && receipt.hold(self.records) {
            self.ledger.stored.fetch_add(self.records.cast_signed(), Relaxed);
        }
        self.receipt.replace(receipt)
    }

    /// Whether a spool has handed it on, and keeps what the sink does not take.
    pub fn is_of_spool(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.is_of_spool())
    }

    /// The destination has all of it.
    pub fn delivered(mut self) {
        self.outcome = Some(Outcome::Delivered);
    }

    /// The spool has all of it on its disk, and gives it later.
    pub fn spooled(mut self) {
        self.outcome = Some(Outcome::Spooled);
    }

    /// The destination will never have any of it.
    pub fn dropped(mut self, reason: Reason) {
        self.outcome = Some(Outcome::Dropped(reason));
    }

    /// Splits off `records` with `bytes`, for a batch that was taken in part.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn split(&mut self, records: u64, bytes: u64) -> Self {
        self.records = self.records.checked_sub(records).expect("a batch holds what is split off it");
        self.bytes = self.bytes.checked_sub(bytes).expect("a batch holds what is split off it");
        let (ledger, receipt) = (Arc::clone(&self.ledger), self.receipt.clone());
        Self { ledger, records, bytes, outcome: None, receipt }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (ledger, records) = (&self.ledger, self.records);
        let outcome = self.outcome.unwrap_or(Outcome::Dropped(Reason::Lost));
        let given_up = matches!(outcome, Outcome::Dropped(reason) if reason != Reason::Rejected);
        let receipt = self.receipt.take();
        if let Some(receipt) = receipt.as_ref().filter(|_| given_up) {
            receipt.fail(records);
        }
        let spool = receipt.as_ref().filter(|receipt| receipt.is_of_spool());
        match (spool, given_up) {
            // The spool keeps it, or has it back: then it decides what becomes of it.
            (Some(receipt), true) => {
                if receipt.release_stored(records) {
                    ledger.keep_returned(records);
                }
                return;
            }
            (Some(receipt), false) => {
                if receipt.release(records) {
                    ledger.stored.fetch_sub(records.cast_signed(), Relaxed);
                }
            }
            (None, _) => {}
        }
        match outcome {
            Outcome::Delivered => {
                ledger.delivered.fetch_add(records, Relaxed);
                ledger.delivered_bytes.fetch_add(self.bytes, Relaxed);
            }
            Outcome::Spooled => {
                ledger.spooled.fetch_add(records.cast_signed(), Relaxed);
            }
            Outcome::Dropped(reason) => ledger.dropped.add(reason, records),
        }
        ledger.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }
}

#[cfg(test)]
mod tests;
