//! The ledgers in the log: at the shutdown, once an hour, and on SIGUSR1.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ledger::{ByReason, Reason};
use crate::status::{Balance, SinkStatus, Snapshot, SourceStatus};
use crate::unparsed::Unparsed;

/// Interval between two ledgers while the program runs.
const INTERVAL: Duration = Duration::from_secs(3600);

const DROPPED_BY_STOP: &str = "the stop dropped unacknowledged records; RELP senders send their records again, files are read again, and the records \
                               of other sources are gone";

/// The ledgers in the log.
pub(super) struct LedgerLog {
    unparsed: Arc<Unparsed>,
    /// Number of unparsed lines that the log has reported.
    unparsed_told: u64,
    /// Time at which the next ledger is due.
    due: Instant,
}

impl LedgerLog {
    pub(super) fn new(unparsed: Arc<Unparsed>) -> Self {
        Self { unparsed, unparsed_told: 0, due: Instant::now() + INTERVAL }
    }

    /// Returns true once an hour, when a ledger is due.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + INTERVAL;
        }
        is_due
    }

    /// Logs every count.
    pub(super) fn log(&mut self, snapshot: &Snapshot) {
        let unparsed = snapshot.ledger.unparsed;
        if unparsed > std::mem::replace(&mut self.unparsed_told, unparsed) {
            tracing::warn!(
                lines = %self.unparsed,
                "Postrider does not understand some lines of Postfix; `postrider decode --unparsed` prints them for a report"
            );
        }
        let is_end = snapshot.phase.is_end();
        snapshot.sources.iter().for_each(|source| log_source(source, is_end));
        snapshot.sinks.iter().for_each(|sink| log_sink(sink, is_end));
        let created = snapshot.ledger.created;
        if let Some(line) = snapshot.correlate.as_ref().and_then(|joins| joins.ledger_line(created)) {
            tracing::info!("{line}");
        }
    }
}

/// Logs the counts of the source, and at its end what the shutdown dropped before any sink had it.
pub(super) fn log_source(source: &SourceStatus, is_end: bool) {
    tracing::info!("{}", source.ledger_line());
    if let Some(records) = dropped_by_stop(&source.counts.dropped).filter(|_| is_end) {
        tracing::warn!(source = source.name, records, "{DROPPED_BY_STOP}");
    }
}

/// Logs the counts of the sink and whether they balance, and at its end what the shutdown dropped.
pub(super) fn log_sink(sink: &SinkStatus, is_end: bool) {
    tracing::info!("{}", sink.ledger_line());
    if let Some(records) = dropped_by_stop(&sink.counts.dropped).filter(|_| is_end) {
        tracing::warn!(sink = sink.name, records, "{DROPPED_BY_STOP}");
    }
    if sink.balance == Balance::Broken {
        tracing::error!(sink = sink.name, "the ledger does not balance: a defect in Postrider, please report it");
    }
}

fn dropped_by_stop(dropped: &ByReason) -> Option<u64> {
    Some(dropped[Reason::Shutdown as usize]).filter(|records| *records > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_due_once_an_hour() {
        let begun = Instant::now();
        let mut log = LedgerLog::new(Arc::default());
        let mut due = Vec::new();
        for minute in 0..=185 {
            if log.is_due(begun + Duration::from_secs(minute * 60 + 1)) {
                due.push(minute);
            }
        }
        assert_eq!(due, [60, 120, 180]);
    }
}
