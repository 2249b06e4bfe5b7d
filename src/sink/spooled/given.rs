//! What the sink was given and has not delivered.

use std::sync::Arc;
use std::time::Instant;

use crate::buffer::Records;
use crate::receipt::Receipt;

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

    /// Whether its records are in the spool's buffer.
    pub(super) const fn is_appended(&self) -> bool {
        self.records.is_some() && self.last.is_some()
    }
}
