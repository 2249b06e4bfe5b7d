//! Receipts: a source that acknowledges learns from its receipt when every sink has resolved the records of a read.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::poison;

/// A token that the batches of all sinks hold until they are resolved. When the last holder drops it, it reports the
/// outcome once.
#[derive(Debug)]
pub struct Receipt {
    /// Number of records that some sink will not deliver.
    failed: AtomicU64,
    durable: bool,
    custody: CustodyCount,
    tell: Tell,
}

/// Number of records of a spooled batch that are in flight, and a flag that the disk of the spool has them. Both are
/// one number, so that a thread that changes one of the two knows the other.
#[derive(Debug, Default)]
struct CustodyCount(AtomicU64);

/// Receiver of the outcome.
#[derive(Debug)]
enum Tell {
    Nobody,
    Source(Option<oneshot::Sender<Outcome>>),
    Spool(Ticket),
}

/// A batch that a spool has handed to its sink, identified by the number that the spool gave it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Number of the batch.
    pub number: u64,
    /// Outcomes of all batches that the sink has.
    pub outcomes: Arc<Mutex<Vec<Resolved>>>,
    /// Thread that waits for the outcome.
    pub spool: Thread,
}

/// Outcome of a batch with a [`Ticket`].
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// Number of the batch.
    pub number: u64,
    /// Number of its records that the sink has neither delivered nor refused for good.
    pub failed: u64,
    /// Number of the failed records that are still in flight in the ledger: the disk did not have them when the sink
    /// returned them.
    pub returned: u64,
    /// True if the ledger counts the returned records as stored.
    pub stored: bool,
}

/// Outcome of the records of one read: the worst result of all sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every sink that takes the records has them durably, or has refused some of them for good.
    Delivered,
    /// Some sink has not delivered the records, and will not: the sender should send them again.
    Failed,
}

/// Returns a receipt, and the channel on which its outcome arrives.
pub fn receipt() -> (Receipt, oneshot::Receiver<Outcome>) {
    let (tell, outcome) = oneshot::channel();
    let tell = Tell::Source(Some(tell));
    (Receipt { failed: AtomicU64::new(0), durable: true, custody: CustodyCount::default(), tell }, outcome)
}

impl Receipt {
    /// Returns a receipt whose outcome nobody learns: it only has sinks make the records durable before they count as
    /// delivered.
    pub fn of_durable() -> Self {
        Self { failed: AtomicU64::new(0), durable: true, custody: CustodyCount::default(), tell: Tell::Nobody }
    }

    /// Returns a receipt that reports to a spool. With `durable`, the sink must have the records on its disk before it
    /// counts them as delivered, because nothing else will keep them. With `stored`, the disk of the spool has them.
    pub fn of_spool(ticket: Ticket, durable: bool, stored: bool) -> Self {
        let custody = CustodyCount(AtomicU64::new(if stored { CustodyCount::STORED } else { 0 }));
        Self { failed: AtomicU64::new(0), durable, custody, tell: Tell::Spool(ticket) }
    }

    /// Returns true if the records must be durable before they count as delivered.
    pub const fn is_durable(&self) -> bool {
        self.durable
    }

    /// Returns true if the receiver of the outcome still exists. A sender whose session has ended does not.
    pub fn has_listener(&self) -> bool {
        match &self.tell {
            Tell::Nobody => false,
            Tell::Source(tell) => tell.as_ref().is_some_and(|tell| !tell.is_closed()),
            Tell::Spool(_) => true,
        }
    }

    /// Returns true if a spool has the records, and keeps those that a sink does not take.
    pub const fn is_of_spool(&self) -> bool {
        matches!(self.tell, Tell::Spool(_))
    }

    /// Adds `records` to those in flight. Returns true if the disk of the spool has them.
    pub fn hold(&self, records: u64) -> bool {
        CustodyCount::is_stored(self.custody.0.fetch_add(records * CustodyCount::RECORD, AcqRel))
    }

    /// Removes `records` from those in flight. Returns true if the disk of the spool has them.
    pub fn release(&self, records: u64) -> bool {
        CustodyCount::is_stored(self.custody.0.fetch_sub(records * CustodyCount::RECORD, AcqRel))
    }

    /// Like [`release`](Self::release), but only if the disk of the spool has the records. Returns true if it has.
    pub fn release_stored(&self, records: u64) -> bool {
        let release = |state| CustodyCount::is_stored(state).then(|| state - records * CustodyCount::RECORD);
        self.custody.0.fetch_update(AcqRel, Acquire, release).is_ok()
    }

    /// Marks the records as stored on the disk of the spool. Returns how many of them are in flight; later calls return
    /// 0.
    pub fn store(&self) -> u64 {
        let before = self.custody.0.fetch_or(CustodyCount::STORED, AcqRel);
        if CustodyCount::is_stored(before) { 0 } else { before / CustodyCount::RECORD }
    }

    /// Counts `records` that a sink will not deliver.
    pub fn fail(&self, records: u64) {
        self.failed.fetch_add(records.max(1), Relaxed);
    }
}

impl CustodyCount {
    /// Flag: the disk has the records.
    const STORED: u64 = 1;
    /// Unit of the count: one record.
    const RECORD: u64 = 2;

    const fn is_stored(state: u64) -> bool {
        state & Self::STORED != 0
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let failed = *self.failed.get_mut();
        match &mut self.tell {
            Tell::Nobody => {}
            // If the connection of the source is gone, nothing receives the outcome.
            Tell::Source(tell) => {
                let outcome = if failed > 0 { Outcome::Failed } else { Outcome::Delivered };
                let _ = tell.take().map(|tell| tell.send(outcome));
            }
            Tell::Spool(ticket) => {
                let custody = *self.custody.0.get_mut();
                let (returned, stored) = (custody / CustodyCount::RECORD, CustodyCount::is_stored(custody));
                let resolved = Resolved { number: ticket.number, failed, returned, stored };
                poison::ignore(ticket.outcomes.lock()).push(resolved);
                ticket.spool.unpark();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Reason, SinkLedger};

    /// Returns the outcome of a receipt that two sinks resolve.
    fn outcome(first: impl FnOnce(crate::ledger::InFlight), second: impl FnOnce(crate::ledger::InFlight)) -> Outcome {
        let (receipt, mut outcome) = receipt();
        let receipt = Arc::new(receipt);
        let ledger = Arc::<SinkLedger>::default();
        let [one, two] = [(); 2].map(|()| ledger.enter(1, 10, Some(Arc::clone(&receipt))));
        drop(receipt);
        first(one);
        assert!(outcome.try_recv().is_err(), "the second sink is not done");
        second(two);
        outcome.try_recv().unwrap()
    }

    #[test]
    fn the_worst_outcome_counts() {
        use crate::ledger::InFlight;
        assert_eq!(outcome(InFlight::delivered, InFlight::delivered), Outcome::Delivered);
        assert_eq!(outcome(InFlight::delivered, |batch| batch.dropped(Reason::Rejected)), Outcome::Delivered);
        assert_eq!(outcome(|batch| batch.dropped(Reason::Shutdown), InFlight::delivered), Outcome::Failed);
        assert_eq!(outcome(InFlight::delivered, drop), Outcome::Failed);
        let split = |mut batch: InFlight| {
            batch.split(1, 10).dropped(Reason::Shutdown);
            batch.delivered();
        };
        assert_eq!(outcome(InFlight::delivered, split), Outcome::Failed);
    }
}
