//! The ledger: what became of each frame of a source, and of each record of a sink.
//!
//! Every frame that a source reads is dropped there, by a named reason, or offered to every sink. Every record that is
//! offered to a sink is filtered out by its configuration, delivered, dropped by a named reason, or still in flight:
//!
//! ```text
//! received = dropped at the source + waiting + offered          (summed over the sources)
//! offered + recovered = filtered + delivered + dropped + in flight + spooled    (per sink)
//! ```
//!
//! A reload replaces the pipeline, and perhaps sources and sinks. The frames offered to a sink are those that went
//! through the pipelines of its lifetime.
//!
//! `recovered` counts the records that a spool held at the start, and `spooled` those that are only on its disk now.
//! `stored` counts the records in flight that are on the disk of the spool as well. At the end nothing is in flight any
//! more ([`SinkCounts::at_the_end`]): the stored records then count as spooled, and the others as dropped.
//!
//! Datagrams that the kernel dropped before a source could read them are not in these sums; they are counted
//! separately, as `kernel_drops`.
//!
//! Records in flight are counted by a guard that resolves them when it is dropped, so a code path that forgets a record
//! shows as [`Reason::Lost`].

mod counts;
mod custody;
mod reason;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use self::counts::Live as _;
pub use self::counts::{SinkCounts, SourceCounts};
use self::custody::Keeper;
pub use self::custody::{SpoolCopy, SpoolOutcome, SpoolReceipt};
pub use self::reason::{ByReason, Dropped, Reason};
use crate::receipt::Receipt;

/// Counts of one source.
#[derive(Debug, Default)]
pub struct SourceLedger {
    /// Frames read.
    pub received: AtomicU64,
    /// Bytes of the frames read.
    pub received_bytes: AtomicU64,
    /// Frames that were cut at the size limit, or whose stream ended in the middle of the frame.
    pub truncated: AtomicU64,
    /// Frames of streams that wait for room; no record is made of them yet. Zero when the source has ended.
    pub waiting: AtomicU64,
    /// Frames that reached no sink.
    pub dropped: Dropped,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections closed at once because there were too many.
    pub connections_refused: AtomicU64,
    /// Connections closed at once because their peer had reached its limit of connections.
    pub connections_refused_per_peer: AtomicU64,
    /// Connections closed because they were silent for too long.
    pub connections_idle: AtomicU64,
    /// Connections closed because their peer is not allowed to send.
    pub connections_denied: AtomicU64,
    /// Connections closed because the header of the PROXY protocol was missing or wrong.
    pub proxy_errors: AtomicU64,
    /// Failed calls of accept or receive, failed connections, failed TLS handshakes, and damaged compressed files.
    pub errors: AtomicU64,
    /// Datagrams that the kernel dropped before they could be read; `received` does not include them.
    pub kernel_drops: AtomicU64,
}

/// Counts of one sink.
#[derive(Debug, Default)]
pub struct SinkLedger {
    /// Records that the pipeline passed to the filter of the sink.
    pub offered: AtomicU64,
    /// Records that the filter rejected.
    pub filtered: AtomicU64,
    /// Records that were delivered to the destination.
    pub delivered: AtomicU64,
    /// Bytes of the delivered records.
    pub delivered_bytes: AtomicU64,
    /// Records that the destination will never receive.
    pub dropped: Dropped,
    /// Failed attempts that are retried.
    pub retries: AtomicU64,
    /// Records that the spool held at the start, from an earlier run.
    pub recovered: AtomicU64,
    /// Size of the segment files of the spool, in bytes; those of records that are delivered are deleted file by file.
    pub spool_bytes: AtomicU64,
    in_flight: AtomicI64,
    /// Those of the records in flight that are also on the disk of the spool.
    stored: AtomicI64,
    spooled: AtomicI64,
}

/// Records in flight to one sink. Resolve them with [`InFlight::delivered`] or [`InFlight::dropped`]; a value that goes
/// out of scope unresolved counts as [`Reason::Lost`].
#[derive(Debug)]
pub struct InFlight {
    ledger: Arc<SinkLedger>,
    records: u64,
    bytes: u64,
    outcome: Option<Resolution>,
    keeper: Keeper,
}

#[derive(Clone, Copy, Debug)]
enum Resolution {
    Delivered,
    Spooled,
    Dropped(Reason),
}

// === impl SinkLedger ===

impl SinkLedger {
    /// Counts `records` that hold `bytes` of JSON as in flight. A source may wait for the `receipt`.
    pub fn enter(self: &Arc<Self>, records: u64, bytes: u64, receipt: Option<Arc<Receipt>>) -> InFlight {
        self.enter_from(Keeper::Source(receipt), records, bytes)
    }

    /// Counts as in flight `records` that are replayed from a file, which keeps those that the sink does not take. The
    /// replay waits for the `receipt`.
    pub fn enter_replayed(self: &Arc<Self>, records: u64, bytes: u64, receipt: Arc<Receipt>) -> InFlight {
        self.enter_from(Keeper::Replay(receipt), records, bytes)
    }

    fn enter_from(self: &Arc<Self>, keeper: Keeper, records: u64, bytes: u64) -> InFlight {
        self.in_flight.fetch_add(records.cast_signed(), Relaxed);
        InFlight { ledger: Arc::clone(self), records, bytes, outcome: None, keeper }
    }

    /// Returns the number of records that are neither delivered, spooled nor dropped yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.now()
    }

    /// Returns the number of records that are on the disk of the spool and nowhere else.
    pub fn spooled(&self) -> u64 {
        self.spooled.now()
    }

    /// Counts `records` that the spool holds from an earlier run.
    pub fn recover(&self, records: u64) {
        self.recovered.fetch_add(records, Relaxed);
        self.spooled.fetch_add(records.cast_signed(), Relaxed);
    }

    /// Counts as in flight the records that were read back from the spool.
    pub fn leave_spool(self: &Arc<Self>, records: u64, bytes: u64, receipt: Arc<SpoolReceipt>) -> InFlight {
        let mut in_flight = self.enter(records, bytes, None);
        let _ = in_flight.hand_on(receipt);
        self.spooled.fetch_sub(records.cast_signed(), Relaxed);
        in_flight
    }

    /// Counts as dropped the `records` that the spool holds and will never return.
    pub fn drop_spooled(&self, records: u64, reason: Reason) {
        self.dropped.add(reason, records);
        self.spooled.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// Counts the records of `receipt` as stored: they are on the disk of the spool too, from now on.
    pub fn store(&self, receipt: &SpoolReceipt) {
        self.stored.fetch_add(receipt.store().cast_signed(), Relaxed);
    }

    /// Counts `records` of a batch as stored: they are on the disk of the spool too, but the rest of the batch will
    /// never be.
    pub fn store_part(&self, records: u64) {
        self.stored.fetch_add(records.cast_signed(), Relaxed);
    }

    /// Counts as spooled the `records` that a sink has returned: the disk of the spool has them.
    pub fn store_returned(&self, records: u64) {
        self.spooled.fetch_add(records.cast_signed(), Relaxed);
        self.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// Like [`store_returned`](Self::store_returned), for records that count as stored already.
    pub fn keep_returned(&self, records: u64) {
        self.stored.fetch_sub(records.cast_signed(), Relaxed);
        self.store_returned(records);
    }

    /// Counts as dropped the `records` that a sink has returned, and that nothing keeps.
    pub fn drop_returned(&self, records: u64, reason: Reason) {
        self.dropped.add(reason, records);
        self.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }

    /// Returns true if every offered record is accounted for. This holds at any time when nothing is moving.
    pub fn balances(&self) -> bool {
        self.counts().balance()
    }
}

// === impl InFlight ===

impl InFlight {
    /// Returns true if the batch must be durable before it counts as delivered, because a source waits for that.
    pub fn is_awaited(&self) -> bool {
        self.keeper.wants_durable()
    }

    /// Like [`is_awaited`](Self::is_awaited), but false if the waiting side has given up.
    pub fn is_still_awaited(&self) -> bool {
        self.keeper.is_waiting()
    }

    /// Returns true if the records that the sink does not take are kept elsewhere: by the spool that has handed them
    /// on, or in the file that is replayed.
    pub const fn is_kept(&self) -> bool {
        matches!(self.keeper, Keeper::Replay(_) | Keeper::Spool(_))
    }

    /// Hands on the records to the sink of a spool, which keeps them from now on. Returns the receipt of their source,
    /// which the spool must resolve.
    pub fn hand_on(&mut self, receipt: Arc<SpoolReceipt>) -> Option<Arc<Receipt>> {
        debug_assert!(matches!(self.keeper, Keeper::Source(_)), "a sink has one spool, and a replay has none");
        if receipt.hold(self.records) {
            self.ledger.stored.fetch_add(self.records.cast_signed(), Relaxed);
        }
        match std::mem::replace(&mut self.keeper, Keeper::Spool(receipt)) {
            Keeper::Source(pending) => pending,
            Keeper::Replay(pending) => Some(pending),
            Keeper::Spool(_) => None,
        }
    }

    /// Resolves all records as delivered to the destination.
    pub fn delivered(mut self) {
        self.outcome = Some(Resolution::Delivered);
    }

    /// Resolves all records as spooled: the spool has them on its disk, and returns them later.
    pub fn spooled(mut self) {
        self.outcome = Some(Resolution::Spooled);
    }

    /// Resolves all records as dropped: the destination will never receive them.
    pub fn dropped(mut self, reason: Reason) {
        self.outcome = Some(Resolution::Dropped(reason));
    }

    /// Splits off `records` with `bytes`, for a partially processed batch.
    ///
    /// # Panics
    /// If `self` holds fewer records or bytes.
    #[must_use]
    pub fn split(&mut self, records: u64, bytes: u64) -> Self {
        self.records = self.records.checked_sub(records).expect("a batch holds what is split off it");
        self.bytes = self.bytes.checked_sub(bytes).expect("a batch holds what is split off it");
        let (ledger, keeper) = (Arc::clone(&self.ledger), self.keeper.clone());
        Self { ledger, records, bytes, outcome: None, keeper }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (ledger, records) = (&self.ledger, self.records);
        let outcome = self.outcome.unwrap_or(Resolution::Dropped(Reason::Lost));
        let is_given_up = outcome.is_given_up() && records > 0;
        match &self.keeper {
            Keeper::Source(Some(receipt)) | Keeper::Replay(receipt) if is_given_up => receipt.fail(),
            Keeper::Source(_) | Keeper::Replay(_) => {}
            Keeper::Spool(receipt) if is_given_up => {
                if receipt.take_back(records) {
                    ledger.keep_returned(records);
                }
                return;
            }
            Keeper::Spool(receipt) => {
                if receipt.release(records) {
                    ledger.stored.fetch_sub(records.cast_signed(), Relaxed);
                }
            }
        }
        match outcome {
            Resolution::Delivered => {
                ledger.delivered.fetch_add(records, Relaxed);
                ledger.delivered_bytes.fetch_add(self.bytes, Relaxed);
            }
            Resolution::Spooled => {
                ledger.spooled.fetch_add(records.cast_signed(), Relaxed);
            }
            Resolution::Dropped(reason) => ledger.dropped.add(reason, records),
        }
        ledger.in_flight.fetch_sub(records.cast_signed(), Relaxed);
    }
}

// === impl Resolution ===

impl Resolution {
    /// Returns true if the destination has not decided about the records: whoever keeps them may send them again.
    fn is_given_up(self) -> bool {
        matches!(self, Self::Dropped(reason) if reason != Reason::Rejected)
    }
}

#[cfg(test)]
mod tests;
