//! How it ends: nothing that the sink does not have may be forgotten.

use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{BATCHES_PER_COMMIT, Stage};
use crate::buffer::Received;
use crate::ledger::Reason;
use crate::sink::End;
use crate::spool;

/// How long the last outcomes may take when the time for the stop is over.
const LAST_OUTCOMES: Duration = Duration::from_millis(300);

impl Stage {
    /// Lets the cursor pass also what the sink has had from memory before the disk had it.
    fn settle_all(&mut self) -> Result<(), spool::Error> {
        self.spool.acknowledge(self.done)?;
        while self.spool.acknowledged() < self.done && !self.spool.is_read() {
            self.spool.read(1, |_| ())?;
            self.count_damage();
            self.spool.acknowledge(self.done)?;
        }
        self.spool.checkpoint()
    }

    /// Gives up what is in memory: its senders send it again.
    pub(super) fn fail(mut self, reason: String) -> End {
        self.output = None;
        self.take_the_rest();
        for batch in self.waiting.drain(..).chain(self.appended.drain(..).map(|(batch, _)| batch)) {
            batch.dropped(Reason::Shutdown);
        }
        End::Failed(reason)
    }

    fn take_the_rest(&mut self) {
        self.input.close();
        while self.input.receive(&mut self.waiting, BATCHES_PER_COMMIT, Duration::ZERO) == Received::Batches {}
    }

    /// Keeps on the disk what the sink does not have.
    pub(super) fn finish(mut self) -> End {
        let until = Instant::now() + LAST_OUTCOMES;
        self.output = None;
        while self.given.iter().any(|given| given.failed.is_none()) && Instant::now() < until {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
            if let Err(error @ spool::Error::Fatal { .. }) = self.settle() {
                return self.fail(error.to_string());
            }
        }
        self.take_the_rest();
        self.append_given();
        self.append_waiting();
        let committed = self.commit();
        let durable = self.spool.durable();
        for mut given in self.given.drain(..) {
            if given.failed == Some(0) || given.last.is_some_and(|last| last <= durable) {
                given.pay();
            } else {
                // What is owed and not paid fails.
                self.ledger.drop_spooled(given.failed.unwrap_or_default(), Reason::Shutdown);
            }
        }
        for (batch, last) in self.appended.drain(..) {
            if last <= durable {
                batch.spooled();
            } else {
                batch.dropped(Reason::Shutdown);
            }
        }
        let settled = self.settle_all();
        let left = self.ledger.spooled();
        if left > 0 {
            info!(
                sink = self.name,
                records = left,
                "the spool keeps what the sink has not delivered, for the next start"
            );
        }
        match (committed, settled) {
            (Ok(()), Ok(())) => {}
            (Err(error @ spool::Error::Fatal { .. }), _) | (_, Err(error @ spool::Error::Fatal { .. })) => {
                return End::Failed(error.to_string());
            }
            (Err(error), _) => {
                warn!(sink = self.name, "{error}; what was not yet on the disk is dropped because of the stop");
            }
            (Ok(()), Err(error)) => {
                warn!(sink = self.name, "{error}; some of what the sink has comes again with the next start");
            }
        }
        End::Finished
    }
}
