//! The batches that the sink was given and has not delivered.

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::buffer::Records;
use crate::ledger::SinkLedger;
use crate::receipt::{Receipt, Resolved};

/// A batch that the sink was given.
pub(super) struct Given {
    pub(super) since: Instant,
    /// The records, while they are not in the spool.
    pub(super) records: Option<Arc<Records>>,
    /// The number in the spool of the batch's last record, if the batch is there.
    pub(super) last: Option<u64>,
    /// The source's receipt, while the records are neither on the disk nor delivered.
    pub(super) owed: Option<Owed>,
    /// Number of records that the sink does not have and has not refused for good; `None` until that is known.
    pub(super) failed: Option<u64>,
    /// The receipt of the part that the sink still holds; gone when the sink holds none of the batch.
    pub(super) receipt: Weak<Receipt>,
    /// True if the disk has the records.
    pub(super) stored: bool,
    /// Number of records that the sink has given back and whose fate is open.
    pub(super) returned: u64,
}

/// A receipt that fails unless [`Owed::pay`] releases it: whatever happens to the thread, no source gets a false
/// success.
pub(super) struct Owed(Option<Arc<Receipt>>);

// === impl Owed ===

impl Owed {
    pub(super) const fn new(receipt: Arc<Receipt>) -> Self {
        Self(Some(receipt))
    }

    fn pay(mut self) {
        self.0 = None;
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(receipt) = &self.0 {
            receipt.fail(1);
        }
    }
}

// === impl Given ===

impl Given {
    /// Releases the source's receipt: the source need not wait any longer.
    pub(super) fn pay(&mut self) {
        if let Some(owed) = self.owed.take() {
            owed.pay();
        }
    }

    /// Returns true if the records are in the spool's buffer and not on the disk.
    pub(super) const fn is_appended(&self) -> bool {
        !self.stored && self.last.is_some()
    }

    /// Returns true if the disk or the sink has all of the batch.
    pub(super) fn is_safe(&self) -> bool {
        self.stored || self.failed == Some(0)
    }

    /// Notes that the disk has the records: they are safe, whatever becomes of the sink.
    pub(super) fn store(&mut self, ledger: &SinkLedger) {
        self.stored = true;
        self.records = None;
        if let Some(receipt) = self.receipt.upgrade() {
            ledger.store(&receipt);
        }
        ledger.store_returned(std::mem::take(&mut self.returned));
        self.pay();
    }

    /// Takes in the outcome of a batch that the sink has resolved.
    pub(super) fn resolve(&mut self, resolved: Resolved, ledger: &SinkLedger) {
        self.failed = Some(resolved.failed);
        if resolved.stored {
            ledger.keep_returned(resolved.returned);
        } else if self.stored {
            ledger.store_returned(resolved.returned);
        } else {
            self.returned = resolved.returned;
        }
    }
}
