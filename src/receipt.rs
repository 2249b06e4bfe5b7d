//! Receipts: a source that acknowledges learns from its receipt when every sink has resolved the records of a read.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::poison;

/// A token that the batches of all sinks hold until they are resolved. When the last holder drops it, it reports the
/// outcome once. A sink must have the records durably before they count as delivered.
#[derive(Debug)]
pub struct Receipt {
    /// True if some sink will not deliver some of the records.
    failed: AtomicBool,
    tell: Tell,
}

/// Receiver of the outcome.
#[derive(Debug)]
enum Tell {
    Nobody,
    Source(oneshot::Sender<Outcome>),
    Waiter(Ticket<Outcome>),
}

/// Identifies a batch to the thread that has handed it on, and waits for the outcomes of several batches.
#[derive(Clone, Debug)]
pub struct Ticket<O> {
    /// Number of the batch.
    pub number: u64,
    /// Outcomes that the thread has not taken yet.
    pub outcomes: Arc<Mutex<Vec<Resolved<O>>>>,
    /// The thread, which is woken for each outcome.
    pub waiter: Thread,
}

/// Outcome of a batch with a [`Ticket`].
#[derive(Clone, Copy, Debug)]
pub struct Resolved<O> {
    /// Number of the batch.
    pub number: u64,
    /// Its outcome.
    pub outcome: O,
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
    (Receipt::new(Tell::Source(tell)), outcome)
}

// === impl Receipt ===

impl Receipt {
    const fn new(tell: Tell) -> Self {
        Self { failed: AtomicBool::new(false), tell }
    }

    /// Returns a receipt whose outcome nobody learns: it only has sinks make the records durable before they count as
    /// delivered.
    pub const fn of_durable() -> Self {
        Self::new(Tell::Nobody)
    }

    /// Returns a receipt that reports to the thread of the ticket.
    pub const fn of_ticket(ticket: Ticket<Outcome>) -> Self {
        Self::new(Tell::Waiter(ticket))
    }

    /// Returns true if the receiver of the outcome still exists. A sender whose session has ended does not.
    pub fn has_listener(&self) -> bool {
        match &self.tell {
            Tell::Nobody => false,
            Tell::Source(tell) => !tell.is_closed(),
            Tell::Waiter(_) => true,
        }
    }

    /// Makes the outcome a failure: a sink will not deliver some of the records.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let outcome = if *self.failed.get_mut() { Outcome::Failed } else { Outcome::Delivered };
        match std::mem::replace(&mut self.tell, Tell::Nobody) {
            Tell::Nobody => {}
            // If the connection of the source is gone, nothing receives the outcome.
            Tell::Source(tell) => drop(tell.send(outcome)),
            Tell::Waiter(ticket) => ticket.report(outcome),
        }
    }
}

// === impl Ticket ===

impl<O> Ticket<O> {
    /// Reports the outcome of the batch, and wakes the thread.
    pub fn report(&self, outcome: O) {
        poison::ignore(self.outcomes.lock()).push(Resolved { number: self.number, outcome });
        self.waiter.unpark();
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
