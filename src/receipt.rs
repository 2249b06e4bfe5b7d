//! Receipts: a source that acknowledges learns from one when every sink has what it handed on.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::oneshot;

/// Told to the source once, when the last that holds it lets go: the sinks' batches each hold it until they are resolved.
#[derive(Debug)]
pub struct Receipt {
    failed: AtomicBool,
    tell: Option<oneshot::Sender<Outcome>>,
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
    (Receipt { failed: AtomicBool::new(false), tell: Some(tell) }, outcome)
}

impl Receipt {
    /// A sink will not have all of it.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let outcome = if *self.failed.get_mut() { Outcome::Failed } else { Outcome::Delivered };
        if let Some(tell) = self.tell.take() {
            // A source whose connection has gone does not want to know.
            let _ = tell.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
