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
//! A reload replaces the pipeline, and perhaps sources and sinks: to a sink was offered what went through the pipelines of its
//! time.
//!
//! `recovered` is what a spool held at the start, and `spooled` what only its disk holds now.
//!
//! What the kernel dropped before a source could read it is no part of this; it is counted beside it, as `kernel_drops`.
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
    spooled: AtomicI64,
}

/// Counts by reason.
#[derive(Debug, Default)]
pub struct Dropped([AtomicU64; Reason::ALL.len()]);

/// Records in flight to one sink. Resolve it with [`InFlight::delivered`] or [`InFlight::dropped`]; one that goes out of
/// scope unresolved counts as [`Reason::Lost`].
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
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::UnexpectedTls,
        Self::Denied,
        Self::RateLimited,
        Self::QueueFull,
        Self::InFlightLimit,
        Self::Rejected,
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
        InFlight { ledger: Arc::clone(self), records, bytes, outcome: None, receipt }
    }

    /// Records that are neither delivered nor dropped yet.
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

    /// Whether every record that was offered is accounted for. True at any time when nothing is moving.
    pub fn balances(&self) -> bool {
        let resolved = self.filtered.load(Relaxed) + self.delivered.load(Relaxed) + self.dropped.total();
        let entered = self.offered.load(Relaxed) + self.recovered.load(Relaxed);
        entered == resolved + self.in_flight() + self.spooled()
    }
}

// === impl InFlight ===

impl InFlight {
    /// Whether a source waits to hear that all of it is durable.
    pub fn is_awaited(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.is_durable())
    }

    /// Puts `receipt` in the place of the one that it has, which whoever takes it must resolve.
    pub fn exchange_receipt(&mut self, receipt: Arc<Receipt>) -> Option<Arc<Receipt>> {
        self.receipt.replace(receipt)
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
        let kept = self.receipt.as_ref().is_some_and(|receipt| receipt.is_of_spool());
        let outcome = self.outcome.unwrap_or(Outcome::Dropped(Reason::Lost));
        let resolved = !matches!(outcome, Outcome::Dropped(reason) if reason != Reason::Rejected);
        match outcome {
            Outcome::Delivered => {
                self.ledger.delivered.fetch_add(self.records, Relaxed);
                self.ledger.delivered_bytes.fetch_add(self.bytes, Relaxed);
            }
            Outcome::Dropped(reason) if resolved || !kept => self.ledger.dropped.add(reason, self.records),
            Outcome::Spooled | Outcome::Dropped(_) => {
                self.ledger.spooled.fetch_add(self.records.cast_signed(), Relaxed);
            }
        }
        if let Some(receipt) = self.receipt.as_ref().filter(|_| !resolved) {
            receipt.fail(self.records);
        }
        self.ledger.in_flight.fetch_sub(self.records.cast_signed(), Relaxed);
    }
}
