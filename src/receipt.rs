//! Receipts: a source that acknowledges learns from one when every sink has what it handed on.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::poison;

/// Told to the source once, when the last that holds it lets go: the sinks' batches each hold it until they are
/// resolved.
#[derive(Debug)]
pub struct Receipt {
    /// Records that some sink will not have.
    failed: AtomicU64,
    durable: bool,
    custody: Custody,
    tell: Tell,
}

/// How many records of a batch of a spool are in flight, and whether the disk of the spool has them: one number, so
/// that whoever changes one of the two knows the other.
#[derive(Debug, Default)]
struct Custody(AtomicU64);

/// Who is told.
#[derive(Debug)]
enum Tell {
    Source(Option<oneshot::Sender<Outcome>>),
    Spool(Ticket),
}

/// A batch that a spool has handed to its sink, by the number that the spool gave it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its number.
    pub number: u64,
    /// Where its outcome goes: one for each batch that the sink has.
    pub outcomes: Arc<Mutex<Vec<Resolved>>>,
    /// The thread that waits for it.
    pub spool: Thread,
}

/// What became of a batch with a [`Ticket`].
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// Its number.
    pub number: u64,
    /// How many of its records the sink does not have, and has not refused for good either.
    pub failed: u64,
    /// How many of those are still in flight in the ledger: the disk did not have them when the sink gave them back.
    pub returned: u64,
    /// Whether the ledger counts those as stored.
    pub stored: bool,
}

/// What became of the records of one read: the worst of what the sinks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every sink that takes them has them durably, or has refused some of them for good.
    Delivered,
    /// Some sink has not, and will not: the sender should send them again.
    Failed,
}

/// A receipt, and where its outcome arrives.
pub fn receipt() -> (Receipt, oneshot::Receiver<Outcome>) {
    let (tell, outcome) = oneshot::channel();
    let tell = Tell::Source(Some(tell));
    (Receipt { failed: AtomicU64::new(0), durable: true, custody: Custody::default(), tell }, outcome)
}

impl Receipt {
    /// A receipt that tells a spool. With `durable`, the sink must have the records on its disk before it counts them
    /// as delivered, because nothing else will keep them. With `stored`, the disk of the spool has them.
    pub fn of_spool(ticket: Ticket, durable: bool, stored: bool) -> Self {
        let custody = Custody(AtomicU64::new(if stored { Custody::STORED } else { 0 }));
        Self { failed: AtomicU64::new(0), durable, custody, tell: Tell::Spool(ticket) }
    }

    /// Whether what it stands for must be durable before it counts as delivered.
    pub const fn is_durable(&self) -> bool {
        self.durable
    }

    /// Whether somebody is still there to be told. A sender whose session has ended is not.
    pub fn has_listener(&self) -> bool {
        match &self.tell {
            Tell::Source(tell) => tell.as_ref().is_some_and(|tell| !tell.is_closed()),
            Tell::Spool(_) => true,
        }
    }

    /// Whether a spool has the records, and keeps those that a sink does not take.
    pub const fn is_of_spool(&self) -> bool {
        matches!(self.tell, Tell::Spool(_))
    }

    /// So many records more are in flight for it. True if the disk of its spool has them.
    pub fn hold(&self, records: u64) -> bool {
        Custody::is_stored(self.custody.0.fetch_add(records * Custody::RECORD, AcqRel))
    }

    /// So many records are in flight no more. True if the disk of its spool has them.
    pub fn release(&self, records: u64) -> bool {
        Custody::is_stored(self.custody.0.fetch_sub(records * Custody::RECORD, AcqRel))
    }

    /// The same, only if the disk of its spool has them.
    pub fn release_stored(&self, records: u64) -> bool {
        let release = |state| Custody::is_stored(state).then(|| state - records * Custody::RECORD);
        self.custody.0.fetch_update(AcqRel, Acquire, release).is_ok()
    }

    /// The disk of its spool has the records from now on. Says how many of them are in flight, once.
    pub fn store(&self) -> u64 {
        let before = self.custody.0.fetch_or(Custody::STORED, AcqRel);
        if Custody::is_stored(before) { 0 } else { before / Custody::RECORD }
    }

    /// A sink will not have `records` of it.
    pub fn fail(&self, records: u64) {
        self.failed.fetch_add(records.max(1), Relaxed);
    }
}

impl Custody {
    /// The bit that says that the disk has the records.
    const STORED: u64 = 1;
    /// One record.
    const RECORD: u64 = 2;

    const fn is_stored(state: u64) -> bool {
        state & Self::STORED != 0
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let failed = *self.failed.get_mut();
        match &mut self.tell {
            // A source whose connection has gone does not want to know.
            Tell::Source(tell) => {
                let outcome = if failed > 0 { Outcome::Failed } else { Outcome::Delivered };
                let _ = tell.take().map(|tell| tell.send(outcome));
            }
            Tell::Spool(ticket) => {
                let custody = *self.custody.0.get_mut();
                let (returned, stored) = (custody / Custody::RECORD, Custody::is_stored(custody));
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

    /// What two sinks make of a receipt.
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
