//! The batch of an item, or its rest after the batch went to the sink. The thread holds it.

use std::sync::{Arc, Weak};

use crate::buffer::{Batch, Records};
use crate::ledger::{Reason, SinkLedger, SpoolCopy, SpoolOutcome, SpoolReceipt};
use crate::receipt::{Receipt, Ticket};

/// The batch of an item, or its rest. The thread holds it.
#[derive(Debug)]
pub(super) enum Held {
    /// The sink was not given the batch.
    Kept(Kept),
    /// The sink was given the batch.
    Given(GivenBatch),
}

/// A batch that the sink was not given.
#[derive(Debug)]
pub(super) struct Kept {
    batch: Batch,
    /// Number of records, from the first, that count as spooled. The stage may read them back before the rest is on the
    /// disk.
    spooled: usize,
}

/// The rest of a batch that the sink was given.
#[derive(Debug)]
pub(super) struct GivenBatch {
    /// The records, while the disk does not have them.
    records: Option<Arc<Records>>,
    /// The source's receipt, while the records are neither on the disk nor delivered.
    pending: Option<PendingReceipt>,
    /// The receipt of the part that the sink still holds; gone when the sink holds none of the batch.
    receipt: Weak<SpoolReceipt>,
    /// Number of records that the sink has given back and whose fate is open.
    returned: u64,
}

/// A receipt that fails unless [`GivenBatch::acknowledge`] releases it: whatever happens to the thread, no source gets
/// a false success.
#[derive(Debug)]
struct PendingReceipt(Option<Arc<Receipt>>);

// === impl Held ===

impl Held {
    pub(super) const fn new(batch: Batch) -> Self {
        Self::Kept(Kept { batch, spooled: 0 })
    }

    /// Returns the records, while the thread holds them.
    pub(super) fn records(&self) -> Option<&Records> {
        match self {
            Self::Kept(kept) => Some(&kept.batch),
            Self::Given(given) => given.records.as_deref(),
        }
    }

    /// Takes the batch out, for the sink, which reports its outcome by `ticket`. With `stored`, the disk has the batch.
    pub(super) fn give(&mut self, ticket: Ticket<SpoolOutcome>, stored: bool) -> Option<Batch> {
        let Self::Kept(Kept { mut batch, .. }) =
            std::mem::replace(self, Self::Given(GivenBatch::from_disk(Weak::new())))
        else {
            return None;
        };
        let copy = if stored { SpoolCopy::Disk } else { SpoolCopy::Memory { is_awaited: batch.is_awaited() } };
        let receipt = Arc::new(SpoolReceipt::new(ticket, copy));
        let mut given = GivenBatch::from_disk(Arc::downgrade(&receipt));
        let pending = batch.hand_on(receipt);
        // The source of a stored batch learns here that it is safe.
        if !stored {
            given.records = Some(batch.records());
            given.pending = pending.map(|receipt| PendingReceipt(Some(receipt)));
        }
        *self = Self::Given(given);
        Some(batch)
    }

    /// Releases the source's receipt: the source need not wait any longer.
    pub(super) fn acknowledge(&mut self) {
        if let Self::Given(given) = self {
            given.acknowledge();
        }
    }

    /// Notes that the disk has the records: they are safe, whatever becomes of the sink.
    pub(super) fn store(&mut self, ledger: &SinkLedger) {
        if let Self::Given(given) = self {
            given.store(ledger);
        }
    }

    /// Takes in the outcome of a batch that the sink has resolved.
    pub(super) fn resolve(&mut self, outcome: SpoolOutcome, ledger: &SinkLedger) {
        let Self::Given(given) = self else { return };
        if outcome.stored {
            ledger.keep_returned(outcome.returned);
        } else if given.records.is_none() {
            ledger.store_returned(outcome.returned);
        } else {
            given.returned = outcome.returned;
        }
    }

    /// Resolves the batch as spooled.
    pub(super) fn spool(self) {
        if let Self::Kept(kept) = self {
            kept.batch.spooled();
        }
    }

    /// Resolves the next `records` of the batch as spooled.
    pub(super) fn spool_part(&mut self, records: u64) {
        if let Self::Kept(kept) = self {
            kept.spool_part(records);
        }
    }

    /// Resolves the batch as dropped.
    pub(super) fn drop(self, reason: Reason) {
        if let Self::Kept(kept) = self {
            kept.batch.dropped(reason);
        }
    }

    /// Gives up a batch that the sink has not delivered, and of which the disk has the first `stored` records. The
    /// source gets a failure.
    pub(super) fn abandon(self, stored: u64, ledger: &SinkLedger) {
        let Self::Given(given) = self else { return };
        ledger.store_part(stored);
        // Records that a blocked sink still holds are counted when the process ends.
        let kept = given.returned.min(stored);
        ledger.keep_returned(kept);
        ledger.drop_returned(given.returned - kept, Reason::Shutdown);
    }
}

// === impl Kept ===

impl Kept {
    fn spool_part(&mut self, records: u64) {
        // The place of a record in its batch is far below 4 GiB.
        let end = self.spooled + records as usize;
        let entries = &self.batch.entries()[self.spooled..end];
        let bytes = entries.iter().map(|entry| entry.line.range().len() as u64).sum();
        self.spooled = end;
        self.batch.spooled_part(records, bytes);
    }
}

// === impl GivenBatch ===

impl GivenBatch {
    /// Describes a batch that the sink gets from the disk.
    pub(super) const fn from_disk(receipt: Weak<SpoolReceipt>) -> Self {
        Self { records: None, pending: None, receipt, returned: 0 }
    }

    fn acknowledge(&mut self) {
        if let Some(mut pending) = self.pending.take() {
            pending.0 = None;
        }
    }

    fn store(&mut self, ledger: &SinkLedger) {
        self.records = None;
        if let Some(receipt) = self.receipt.upgrade() {
            ledger.store(&receipt);
        }
        ledger.store_returned(std::mem::take(&mut self.returned));
        self.acknowledge();
    }
}

// === impl PendingReceipt ===

impl Drop for PendingReceipt {
    fn drop(&mut self) {
        if let Some(receipt) = &self.0 {
            receipt.fail();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sink::testing;

    #[test]
    fn a_part_on_the_disk_counts_as_spooled_the_rest_as_in_flight() {
        let ledger = Arc::<SinkLedger>::default();
        let mut held = Held::new(testing::lines(&ledger, &["one", "two", "three", "four", "five"]));
        for (part, spooled) in [(0, 0), (1, 1), (2, 3), (2, 5)] {
            held.spool_part(part);
            let counts = ledger.counts();
            assert_eq!((counts.spooled, counts.in_flight), (spooled, 5 - spooled), "{part}");
            assert!(counts.balance() && counts.at_the_end().balance(), "{part}: {counts:?}");
        }
    }

    #[test]
    fn a_part_read_back_before_the_rest_is_on_the_disk_counts_once() {
        let ledger = Arc::<SinkLedger>::default();
        let mut held = Held::new(testing::lines(&ledger, &["one", "two", "three"]));
        held.spool_part(2);
        let ticket = Ticket { number: 0, outcomes: Arc::default(), waiter: thread::current() };
        let read_back = ledger.leave_spool(2, 0, Arc::new(SpoolReceipt::new(ticket, SpoolCopy::Disk)));
        let counts = ledger.counts();
        assert_eq!((counts.offered, counts.in_flight, counts.spooled), (3, 3, 0));
        read_back.delivered();
        held.spool();
        let counts = ledger.counts();
        assert_eq!((counts.delivered, counts.in_flight, counts.spooled), (2, 0, 1));
        assert!(counts.balance());
    }
}
