//! The ledgers in the log: at the stop, once an hour, and on SIGUSR1.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::sinks::{LiveSink, Shown};
use super::sources::LiveSource;
use crate::ledger::{Dropped, Reason, SinkLedger, SourceLedger};
use crate::unparsed::Unparsed;

/// The time between two ledgers while the program runs.
const INTERVAL: Duration = Duration::from_secs(3600);

/// What outlives sources and sinks.
pub(super) struct Totals {
    pub(super) unparsed: Arc<Unparsed>,
    /// How many unparsed lines the log has told of.
    unparsed_told: u64,
    /// What was shown to sinks, through all pipelines.
    pub(super) shown: Shown,
    /// What the sources have handed on that are no more.
    pub(super) ended_sources: u64,
    /// When the next ledger is due.
    due: Instant,
}

/// The counts of one ledger as ` name=N`, without those that are zero.
struct Counts(String);

// === impl Totals ===

impl Totals {
    pub(super) fn new(unparsed: Arc<Unparsed>) -> Self {
        let (shown, due) = (Shown::default(), Instant::now() + INTERVAL);
        Self { unparsed, unparsed_told: 0, shown, ended_sources: 0, due }
    }

    /// Whether the last ledger is an hour old. True once an hour.
    pub(super) fn are_due(&mut self, now: Instant) -> bool {
        let are_due = now >= self.due;
        if are_due {
            self.due = now + INTERVAL;
        }
        are_due
    }

    /// Logs every count, and whether received = delivered + dropped + in flight holds; where it does not although nothing
    /// moves any more, that is a defect.
    pub(super) fn log(&mut self, sources: &[LiveSource], sinks: &[LiveSink], at_rest: bool) {
        let unparsed = self.unparsed.total();
        if unparsed > std::mem::replace(&mut self.unparsed_told, unparsed) {
            tracing::warn!(
                lines = %self.unparsed,
                "lines of Postfix that Postrider does not understand; `postrider decode --unparsed` prints them for a report"
            );
        }
        let mut offered = self.ended_sources;
        for source in sources {
            offered += source.ledger.offered();
            source.log();
        }
        for sink in sinks {
            sink.log(offered == self.shown.total(), at_rest);
        }
    }
}

impl LiveSource {
    /// Logs its counts.
    pub(super) fn log(&self) {
        tracing::info!("ledger source={:?}{}", self.config.name, Counts::of_source(&self.ledger));
    }
}

impl LiveSink {
    /// Logs its counts; `complete` says whether all that the sources handed on went through a pipeline.
    pub(super) fn log(&self, complete: bool, at_rest: bool) {
        let (name, ledger) = (self.config.name.as_str(), &self.ledger);
        let balanced = complete && ledger.balances() && ledger.offered.load(Relaxed) == self.shown.total();
        // Read one after the other while records move, the counts need not fit together.
        let verdict = if balanced || at_rest { format!(" balanced={balanced}") } else { String::new() };
        tracing::info!("ledger sink={name:?}{}{verdict}", Counts::of_sink(ledger));
        if !balanced && at_rest {
            tracing::error!(sink = name, "the ledger does not balance: a defect in Postrider, please report it");
        }
    }
}

// === impl Counts ===

impl Counts {
    fn of_source(ledger: &SourceLedger) -> Self {
        let mut counts = Self(String::new());
        counts.add_all(&[("received", &ledger.received), ("received_bytes", &ledger.received_bytes)]);
        counts.add("truncated", ledger.truncated.load(Relaxed));
        counts.add_dropped(&ledger.dropped);
        counts.add_all(&[
            ("waiting", &ledger.waiting),
            ("connections", &ledger.connections),
            ("connections_refused", &ledger.connections_refused),
            ("connections_refused_per_peer", &ledger.connections_refused_per_peer),
            ("connections_idle", &ledger.connections_idle),
            ("connections_denied", &ledger.connections_denied),
            ("proxy_errors", &ledger.proxy_errors),
            ("errors", &ledger.errors),
            ("kernel_drops", &ledger.kernel_drops),
        ]);
        counts
    }

    fn of_sink(ledger: &SinkLedger) -> Self {
        let mut counts = Self(String::new());
        counts.add_all(&[
            ("offered", &ledger.offered),
            ("filtered", &ledger.filtered),
            ("delivered", &ledger.delivered),
            ("delivered_bytes", &ledger.delivered_bytes),
        ]);
        counts.add_dropped(&ledger.dropped);
        counts.add("in_flight", ledger.in_flight());
        counts.add("recovered", ledger.recovered.load(Relaxed));
        counts.add("spooled", ledger.spooled());
        counts.add("retries", ledger.retries.load(Relaxed));
        counts
    }

    fn add_all(&mut self, counts: &[(&str, &AtomicU64)]) {
        for (name, count) in counts {
            self.add(name, count.load(Relaxed));
        }
    }

    /// The sum, and each reason of which there is any.
    fn add_dropped(&mut self, dropped: &Dropped) {
        // Each count is read once, so that the parts add up to the sum.
        let counts = Reason::ALL.map(|reason| (reason.name(), dropped.get(reason)));
        self.add("dropped", counts.iter().map(|(_, count)| count).sum());
        for (reason, count) in counts {
            self.add(&format!("dropped_{reason}"), count);
        }
    }

    fn add(&mut self, name: &str, count: u64) {
        if count > 0 {
            write!(self.0, " {name}={count}").expect("a String takes everything");
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_zero_is_shown() {
        let source = SourceLedger::default();
        assert_eq!(Counts::of_source(&source).to_string(), "");
        source.received.store(7, Relaxed);
        source.dropped.add(Reason::Denied, 2);
        source.dropped.add(Reason::InFlightLimit, 3);
        source.errors.store(1, Relaxed);
        let expected = " received=7 dropped=5 dropped_denied=2 dropped_in_flight_limit=3 errors=1";
        assert_eq!(Counts::of_source(&source).to_string(), expected);

        let sink = Arc::<SinkLedger>::default();
        assert_eq!(Counts::of_sink(&sink).to_string(), "");
        sink.offered.store(28890, Relaxed);
        sink.dropped.add(Reason::QueueFull, 28886);
        let held = sink.enter(4, 400, None);
        assert_eq!(
            Counts::of_sink(&sink).to_string(),
            " offered=28890 dropped=28886 dropped_queue_full=28886 in_flight=4"
        );
        held.delivered();
        assert_eq!(
            Counts::of_sink(&sink).to_string(),
            " offered=28890 delivered=4 delivered_bytes=400 dropped=28886 dropped_queue_full=28886"
        );
    }

    #[test]
    fn a_ledger_is_due_once_an_hour() {
        let begun = Instant::now();
        let mut totals = Totals::new(Arc::default());
        let mut due = Vec::new();
        for minute in 0..=185 {
            if totals.are_due(begun + Duration::from_secs(minute * 60 + 1)) {
                due.push(minute);
            }
        }
        assert_eq!(due, [60, 120, 180]);
    }
}
