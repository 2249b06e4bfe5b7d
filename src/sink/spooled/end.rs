//! The end of the stage: no record that the sink does not have may be lost.

use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{BATCHES_PER_COMMIT, Stage, TICK_BEHIND};
use crate::buffer::Received;
use crate::ledger::Reason;
use crate::sink::End;
use crate::spool;

/// Maximum time to wait for the last outcomes after the stop deadline.
const LAST_OUTCOMES: Duration = Duration::from_millis(200);
/// Maximum time that a sender which already has room may take to use it.
const LAST_SENDERS: Duration = Duration::from_secs(1);

impl Stage {
    /// Moves the cursor also past delivered records that the sink got from memory before the disk had them.
    fn settle_all(&mut self) -> Result<(), spool::Error> {
        self.spool.acknowledge(self.done)?;
        while self.spool.acknowledged() < self.done && !self.spool.is_read() {
            self.spool.read(1, |_| ())?;
            self.count_damage();
            self.spool.acknowledge(self.done)?;
        }
        self.spool.checkpoint()
    }

    /// Drops the batches in memory: their senders send them again.
    pub(super) fn fail(mut self, reason: String) -> End {
        self.output = None;
        self.take_the_rest();
        for batch in self.waiting.drain(..).chain(self.appended.drain(..).map(|appended| appended.batch)) {
            batch.dropped(Reason::Shutdown);
        }
        End::Failed(reason)
    }

    /// Takes the batches left in the queue. A sender that already has room may still use it.
    fn take_the_rest(&mut self) {
        self.input.close();
        let until = Instant::now() + LAST_SENDERS;
        while self.input.receive(&mut self.waiting, BATCHES_PER_COMMIT, TICK_BEHIND) != Received::Closed
            && Instant::now() < until
        {}
    }

    /// Writes the records that the sink does not have to the disk.
    pub(super) fn finish(mut self) -> End {
        if !self.given.is_empty() {
            // The sink is away, so its worker need not wait for it either. The worker must learn this before it sees
            // the end of its queue: there it would wait until the stop deadline.
            self.control.hurry();
        }
        self.output = None;
        self.take_the_rest();
        let stored = self.store_all();
        let heard = self.hear_the_last();
        let dropped = self.give_up_the_rest();
        let settled = heard.and_then(|()| self.settle_all());
        self.report(&stored, dropped);
        match (stored, settled) {
            (Err(error @ spool::Error::Fatal { .. }), _) | (_, Err(error @ spool::Error::Fatal { .. })) => {
                return End::Failed(error.to_string());
            }
            (_, Err(error)) => {
                warn!(sink = self.name, "{error}; some of what the sink has comes again with the next start");
            }
            (_, Ok(())) => {}
        }
        End::Finished
    }

    fn store_all(&mut self) -> Result<(), spool::Error> {
        self.flush()?;
        self.append_given()?;
        self.append_waiting()?;
        self.flush()
    }

    /// Waits a moment for the last outcomes: records that the sink has need not come again.
    fn hear_the_last(&mut self) -> Result<(), spool::Error> {
        let until = Instant::now() + LAST_OUTCOMES;
        while self.given.iter().any(|given| given.failed.is_none()) && Instant::now() < until {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
            if let Err(error @ spool::Error::Fatal { .. }) = self.settle() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Drops the records that neither the sink nor the disk has, and returns how many they were. Their sources get a
    /// failure.
    fn give_up_the_rest(&mut self) -> u64 {
        let mut dropped = 0;
        let durable = self.spool.durable();
        for mut given in self.given.drain(..) {
            if given.is_safe() {
                given.pay();
                continue;
            }
            let records = given.records.as_ref().map_or(0, |records| records.entries().len() as u64);
            let stored = stored_part(durable, given.last, records);
            self.ledger.store_part(stored);
            // Records that a blocked sink still holds are counted when the process ends.
            let returned = given.returned.min(stored);
            self.ledger.keep_returned(returned);
            self.ledger.drop_returned(given.returned - returned, Reason::Shutdown);
            dropped += records - stored;
        }
        for mut appended in self.appended.drain(..) {
            appended.store(durable);
            dropped += appended.left();
            appended.batch.dropped(Reason::Shutdown);
        }
        for batch in self.waiting.drain(..) {
            dropped += batch.entries().len() as u64;
            batch.dropped(Reason::Shutdown);
        }
        dropped
    }

    fn report(&self, stored: &Result<(), spool::Error>, dropped: u64) {
        let records = self.ledger.counts().at_the_end().spooled;
        if records > 0 {
            info!(sink = self.name, records, "the spool keeps what the sink has not delivered, for the next start");
        }
        if dropped > 0 {
            let reason = stored.as_ref().err().map_or_else(|| "not stored".to_owned(), ToString::to_string);
            warn!(
                sink = self.name,
                records = dropped,
                "{reason}; records that have no room there are dropped by the stop"
            );
        }
    }
}

/// Returns how many of `records`, the last of which has the number `last`, are on a disk that has the records up to the
/// number `durable`.
fn stored_part(durable: u64, last: Option<u64>, records: u64) -> u64 {
    last.map_or(0, |last| records.saturating_sub(last.saturating_sub(durable)))
}
