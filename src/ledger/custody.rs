//! Custody: who keeps the records in flight that the sink does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use crate::receipt::{Receipt, Ticket};

/// Keeper of the records in flight that the sink does not take. [`InFlight`](super::InFlight) has exactly one.
#[derive(Clone, Debug)]
pub(super) enum Keeper {
    /// Nobody here: the records count as dropped. If their source waits for the receipt, it may send them again.
    Source(Option<Arc<Receipt>>),
    /// The file that is replayed, and the replay learns of it by the receipt. The records count as dropped, but are not
    /// lost.
    Replay(Arc<Receipt>),
    /// A spool has handed on the records. It has those back that the sink does not take, and decides how they count.
    Spool(Arc<SpoolReceipt>),
}

/// The receipt of a batch that a spool has handed to its sink: it counts the records that the sink has not resolved,
/// and reports to the spool when the sink has none of them any more.
#[derive(Debug)]
pub struct SpoolReceipt {
    ticket: Ticket<SpoolOutcome>,
    /// True if the records must be durable before they count as delivered.
    durable: bool,
    /// Number of records that the sink has given back.
    failed: AtomicU64,
    custody: CustodyCount,
}

/// Copy of a batch that the spool has when it hands the batch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolCopy {
    /// On the disk. Nothing but the spool keeps the records: their source need not wait any longer.
    Disk,
    /// In memory. The disk may have the records later ([`SinkLedger::store`](super::SinkLedger::store)).
    Memory {
        /// True if a source waits until the records are durable.
        is_awaited: bool,
    },
}

/// Outcome of a batch that a spool has handed to its sink.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOutcome {
    /// Number of its records that the sink has neither delivered nor refused for good.
    pub failed: u64,
    /// Number of the failed records that are still in flight in the ledger: the disk did not have them when the sink
    /// returned them.
    pub returned: u64,
    /// True if the ledger counts the returned records as stored.
    pub stored: bool,
}

/// Number of records of a spooled batch that are in flight, and a flag that the disk of the spool has them. Both are
/// one number, so that a thread that changes one of the two knows the other.
#[derive(Debug, Default)]
struct CustodyCount(AtomicU64);

// === impl Keeper ===

impl Keeper {
    /// Returns true if the records must be durable before they count as delivered.
    pub(super) fn wants_durable(&self) -> bool {
        match self {
            Self::Source(receipt) => receipt.is_some(),
            Self::Replay(_) => true,
            Self::Spool(receipt) => receipt.durable,
        }
    }

    /// Returns true if somebody still waits until the records are durable.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Source(receipt) => receipt.as_ref().is_some_and(|receipt| receipt.has_listener()),
            Self::Replay(_) => true,
            Self::Spool(receipt) => receipt.durable,
        }
    }
}

// === impl SpoolReceipt ===

impl SpoolReceipt {
    /// Makes the receipt of a batch that the spool keeps as `copy`.
    pub const fn new(ticket: Ticket<SpoolOutcome>, copy: SpoolCopy) -> Self {
        let (durable, custody) = match copy {
            SpoolCopy::Disk => (true, CustodyCount::STORED),
            SpoolCopy::Memory { is_awaited } => (is_awaited, 0),
        };
        Self { ticket, durable, failed: AtomicU64::new(0), custody: CustodyCount(AtomicU64::new(custody)) }
    }

    /// Adds `records` to those in flight. Returns true if the disk of the spool has them.
    pub(super) fn hold(&self, records: u64) -> bool {
        CustodyCount::is_stored(self.custody.0.fetch_add(records * CustodyCount::RECORD, AcqRel))
    }

    /// Removes from those in flight `records` that the sink has resolved for good. Returns true if the disk of the
    /// spool has them.
    pub(super) fn release(&self, records: u64) -> bool {
        CustodyCount::is_stored(self.custody.0.fetch_sub(records * CustodyCount::RECORD, AcqRel))
    }

    /// Takes back `records` that the sink does not take. Returns true if the disk of the spool has them: they are
    /// removed from those in flight. The others stay in flight, and the outcome has them as returned.
    pub(super) fn take_back(&self, records: u64) -> bool {
        self.failed.fetch_add(records, Relaxed);
        let release = |state| CustodyCount::is_stored(state).then(|| state - records * CustodyCount::RECORD);
        self.custody.0.fetch_update(AcqRel, Acquire, release).is_ok()
    }

    /// Marks the records as stored on the disk of the spool. Returns how many of them are in flight; later calls return
    /// 0.
    pub(super) fn store(&self) -> u64 {
        let before = self.custody.0.fetch_or(CustodyCount::STORED, AcqRel);
        if CustodyCount::is_stored(before) { 0 } else { before / CustodyCount::RECORD }
    }
}

impl Drop for SpoolReceipt {
    fn drop(&mut self) {
        let custody = *self.custody.0.get_mut();
        let (returned, stored) = (custody / CustodyCount::RECORD, CustodyCount::is_stored(custody));
        self.ticket.report(SpoolOutcome { failed: *self.failed.get_mut(), returned, stored });
    }
}

// === impl CustodyCount ===

impl CustodyCount {
    /// Flag: the disk has the records.
    const STORED: u64 = 1;
    /// Unit of the count: one record.
    const RECORD: u64 = 2;

    const fn is_stored(state: u64) -> bool {
        state & Self::STORED != 0
    }
}
