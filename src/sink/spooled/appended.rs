//! A batch in the spool's buffer, of which the disk may have a part.

use crate::buffer::Batch;

/// A batch that was appended to the spool.
pub(super) struct Appended {
    /// The batch, which accounts for the records that the disk does not have.
    pub(super) batch: Batch,
    /// The number of its last record in the spool.
    pub(super) last: u64,
    /// Number of records, from the first, that the disk has.
    stored: usize,
}

impl Appended {
    /// Makes the entry for a batch of which the disk has nothing yet.
    pub(super) const fn new(batch: Batch, last: u64) -> Self {
        Self { batch, last, stored: 0 }
    }

    /// Returns the number of the batch's first record in the spool.
    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.batch.entries().len() as u64
    }

    /// Returns the number of records that the disk does not have.
    pub(super) fn left(&self) -> u64 {
        (self.batch.entries().len() - self.stored) as u64
    }

    /// Notes that the disk has the records up to the number `durable`. They count as spooled, because the stage may
    /// read them back before the rest is on the disk.
    pub(super) fn store(&mut self, durable: u64) {
        // A batch holds less than 4 GiB.
        let stored = (durable + 1).saturating_sub(self.first()).min(self.batch.entries().len() as u64) as usize;
        if stored <= self.stored {
            return;
        }
        let entries = &self.batch.entries()[self.stored..stored];
        let bytes = entries.iter().map(|entry| entry.line.range().len() as u64).sum();
        let records = entries.len() as u64;
        self.stored += entries.len();
        self.batch.spooled_part(records, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::ledger::SinkLedger;
    use crate::receipt::{Receipt, Ticket};
    use crate::sink::testing;

    #[test]
    fn the_part_that_is_on_the_disk_counts_as_spooled_and_the_rest_as_in_flight() {
        let ledger = Arc::<SinkLedger>::default();
        let mut appended = Appended::new(testing::lines(&ledger, &["one", "two", "three", "four", "five"]), 12);
        assert_eq!((appended.first(), appended.left()), (8, 5));
        for (durable, stored) in [(0, 0), (7, 0), (8, 1), (8, 1), (10, 3), (12, 5), (20, 5)] {
            appended.store(durable);
            let counts = ledger.counts();
            assert_eq!(
                (counts.spooled, counts.in_flight, appended.left()),
                (stored, 5 - stored, 5 - stored),
                "{durable}"
            );
            assert!(counts.balance() && counts.at_the_end().balance(), "{durable}: {counts:?}");
        }
    }

    #[test]
    fn what_is_read_back_before_the_rest_is_on_the_disk_counts_once() {
        let ledger = Arc::<SinkLedger>::default();
        let mut appended = Appended::new(testing::lines(&ledger, &["one", "two", "three"]), 3);
        appended.store(2);
        let ticket = Ticket { number: 0, outcomes: Arc::default(), spool: thread::current() };
        let read_back = ledger.leave_spool(2, 0, Arc::new(Receipt::of_spool(ticket, true, true)));
        let counts = ledger.counts();
        assert_eq!((counts.offered, counts.in_flight, counts.spooled), (3, 3, 0));
        read_back.delivered();
        appended.store(3);
        appended.batch.spooled();
        let counts = ledger.counts();
        assert_eq!((counts.delivered, counts.in_flight, counts.spooled), (2, 0, 1));
        assert!(counts.balance());
    }
}
