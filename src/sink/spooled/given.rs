//! What the sink was given and has not delivered.

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::buffer::Records;
use crate::ledger::SinkLedger;
use crate::receipt::{Receipt, Resolved};

/// A batch that the sink was given.
pub(super) struct Given {
    pub(super) since: Instant,
    /// The records, as long as they are not in the spool.
    pub(super) records: Option<Arc<Records>>,
    /// The number of the last of them there.
    pub(super) last: Option<u64>,
    /// The source's receipt, as long as they are neither on the disk nor delivered.
    pub(super) owed: Option<Owed>,
    /// How many records the sink does not have and has not refused for good, once that is known.
    pub(super) failed: Option<u64>,
    /// What the sink holds of the batch, as long as it holds any.
    pub(super) receipt: Weak<Receipt>,
    /// Whether the disk has the records.
    pub(super) stored: bool,
    /// How many records the sink has given back, whose fate is open.
    pub(super) returned: u64,
}

/// A receipt that fails unless it is paid: whatever becomes of the thread, no source is told what is not so.
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
    /// Its source need not wait any longer.
    pub(super) fn pay(&mut self) {
        if let Some(owed) = self.owed.take() {
            owed.pay();
        }
    }

    /// Whether its records are in the spool's buffer, and not on the disk.
    pub(super) const fn is_appended(&self) -> bool {
        !self.stored && self.last.is_some()
    }

    /// Whether the disk or the sink has all of it.
    pub(super) fn is_safe(&self) -> bool {
        self.stored || self.failed == Some(0)
    }

    /// The disk has its records: they are safe, whatever becomes of the sink.
    pub(super) fn store(&mut self, ledger: &SinkLedger) {
        self.stored = true;
        self.records = None;
        if let Some(receipt) = self.receipt.upgrade() {
            ledger.store(&receipt);
        }
        ledger.store_returned(std::mem::take(&mut self.returned));
        self.pay();
    }

    /// The sink is done with it.
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
