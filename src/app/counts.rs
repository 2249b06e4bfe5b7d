//! The ledgers in the log: at the shutdown, once an hour, and on SIGUSR1.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::sinks::{LiveSink, Shown};
use super::sources::LiveSource;
use crate::ledger::{Reason, SinkCounts, SourceLedger};
use crate::unparsed::Unparsed;

/// Interval between two ledgers while the program runs.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Maximum time to wait for consistent counts while records move.
const MOVING: Duration = Duration::from_millis(200);

const DROPPED_BY_STOP: &str = "records are dropped by the stop, of which none was acknowledged: RELP senders send them again and files are read \
                               again; what came over TCP, TLS, UDP, unix sockets or the standard input is gone";

/// Moment at which a ledger is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The program continues.
    Running,
    /// The program exits at once, while records move: the counts are those of the end, with nothing in flight.
    Leaving,
    /// Nothing moves any more, or the time for it is over: the counts are those of the end, with nothing in flight.
    Rest,
}

/// Counts that outlive sources and sinks.
pub(super) struct Totals {
    pub(super) unparsed: Arc<Unparsed>,
    /// Number of unparsed lines that the log has reported.
    unparsed_told: u64,
    /// Frames offered to sinks, through all pipelines.
    pub(super) shown: Shown,
    /// Frames handed on by sources that no longer exist.
    pub(super) ended_sources: u64,
    /// Time at which the next ledger is due.
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

    /// Returns true once an hour, when a ledger is due.
    pub(super) fn are_due(&mut self, now: Instant) -> bool {
        let are_due = now >= self.due;
        if are_due {
            self.due = now + INTERVAL;
        }
        are_due
    }

    /// Logs every count. Returns the names of the sinks whose ledger does not balance although nothing moves any more.
    pub(super) fn log(&mut self, sources: &[LiveSource], sinks: &[LiveSink], moment: Moment) -> Vec<String> {
        let unparsed = self.unparsed.total();
        if unparsed > std::mem::replace(&mut self.unparsed_told, unparsed) {
            tracing::warn!(
                lines = %self.unparsed,
                "lines of Postfix that Postrider does not understand; `postrider decode --unparsed` prints them for a report"
            );
        }
        for source in sources {
            source.log(moment);
        }
        let complete = || {
            let offered: u64 = sources.iter().map(|source| source.ledger.offered()).sum();
            self.ended_sources + offered == self.shown.total()
        };
        let unbalanced = sinks.iter().filter(|sink| !sink.log(complete, moment));
        unbalanced.map(|sink| sink.config.name.clone()).collect()
    }
}

impl LiveSource {
    /// Logs the counts of the source, and what the shutdown dropped before any sink had it.
    pub(super) fn log(&self, moment: Moment) {
        let name = self.config.name.as_str();
        tracing::info!("ledger source={name:?}{}", Counts::of_source(&self.ledger, moment));
        let dropped = self.ledger.dropped.get(Reason::Shutdown) + self.ledger.waiting.load(Relaxed);
        if moment != Moment::Running && dropped > 0 {
            tracing::warn!(source = name, records = dropped, "{DROPPED_BY_STOP}");
        }
    }
}

impl LiveSink {
    /// Logs the counts of the sink, and whether received = delivered + dropped + in flight + spooled holds. Returns
    /// false if it does not hold although nothing moves any more, which is a defect. `complete` returns true if all
    /// that the sources handed on went through a pipeline.
    pub(super) fn log(&self, complete: impl Fn() -> bool, moment: Moment) -> bool {
        let name = self.config.name.as_str();
        let (counts, balanced) = self.counts(complete, moment);
        // The counts are read one after the other: while records move, they may be inconsistent.
        let at_rest = moment == Moment::Rest;
        let verdict = if balanced || at_rest { format!(" balanced={balanced}") } else { String::new() };
        tracing::info!("ledger sink={name:?}{}{verdict}", Counts::of_sink(&counts));
        let dropped = counts.dropped(Reason::Shutdown);
        if moment != Moment::Running && dropped > 0 {
            tracing::warn!(sink = name, records = dropped, "{DROPPED_BY_STOP}");
        }
        if !balanced && at_rest {
            tracing::error!(sink = name, "the ledger does not balance: a defect in Postrider, please report it");
        }
        balanced || !at_rest
    }

    /// Returns counts that are consistent, if there is such a moment soon, and whether they are.
    fn counts(&self, complete: impl Fn() -> bool, moment: Moment) -> (SinkCounts, bool) {
        let until = Instant::now() + if moment == Moment::Running { Duration::ZERO } else { MOVING };
        loop {
            let counts = self.ledger.counts();
            let balanced = complete() && counts.balance() && counts.offered == self.shown.total();
            if balanced || Instant::now() >= until {
                return (if moment == Moment::Running { counts } else { counts.at_the_end() }, balanced);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Formats the counts of a source. At the end, frames that still wait for room count as dropped by the shutdown.
    fn of_source(ledger: &SourceLedger, moment: Moment) -> Self {
        let waiting = ledger.waiting.load(Relaxed);
        let (waiting, left) = if moment == Moment::Running { (waiting, 0) } else { (0, waiting) };
        let mut counts = Self(String::new());
        counts.add_all(&[("received", &ledger.received), ("received_bytes", &ledger.received_bytes)]);
        counts.add("truncated", ledger.truncated.load(Relaxed));
        counts.add_dropped(|reason| ledger.dropped.get(reason) + if reason == Reason::Shutdown { left } else { 0 });
        counts.add("waiting", waiting);
        counts.add_all(&[
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

    fn of_sink(of: &SinkCounts) -> Self {
        let mut counts = Self(String::new());
        counts.add("offered", of.offered);
        counts.add("filtered", of.filtered);
        counts.add("delivered", of.delivered);
        counts.add("delivered_bytes", of.delivered_bytes);
        counts.add_dropped(|reason| of.dropped(reason));
        counts.add("in_flight", of.in_flight);
        counts.add("recovered", of.recovered);
        counts.add("spooled", of.spooled);
        counts.add("retries", of.retries);
        counts
    }

    fn add_all(&mut self, counts: &[(&str, &AtomicU64)]) {
        for (name, count) in counts {
            self.add(name, count.load(Relaxed));
        }
    }

    /// Adds the sum, and each reason with a count above zero.
    fn add_dropped(&mut self, dropped: impl Fn(Reason) -> u64) {
        // Each count is read once, so that the parts add up to the sum.
        let counts = Reason::ALL.map(|reason| (reason.name(), dropped(reason)));
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
    use crate::ledger::SinkLedger;

    #[test]
    fn only_what_is_not_zero_is_shown() {
        let source = SourceLedger::default();
        assert_eq!(Counts::of_source(&source, Moment::Running).to_string(), "");
        source.received.store(7, Relaxed);
        source.dropped.add(Reason::Denied, 2);
        source.dropped.add(Reason::InFlightLimit, 3);
        source.errors.store(1, Relaxed);
        let expected = " received=7 dropped=5 dropped_denied=2 dropped_in_flight_limit=3 errors=1";
        assert_eq!(Counts::of_source(&source, Moment::Running).to_string(), expected);

        source.waiting.store(4, Relaxed);
        assert!(Counts::of_source(&source, Moment::Running).to_string().contains(" waiting=4 "));
        let end = Counts::of_source(&source, Moment::Rest).to_string();
        assert!(end.contains(" dropped_shutdown=4 ") && !end.contains("waiting"), "{end}");

        let sink = Arc::<SinkLedger>::default();
        assert_eq!(Counts::of_sink(&sink.counts()).to_string(), "");
        sink.offered.store(28890, Relaxed);
        sink.dropped.add(Reason::QueueFull, 28886);
        let held = sink.enter(4, 400, None);
        assert_eq!(
            Counts::of_sink(&sink.counts()).to_string(),
            " offered=28890 dropped=28886 dropped_queue_full=28886 in_flight=4"
        );
        held.delivered();
        assert_eq!(
            Counts::of_sink(&sink.counts()).to_string(),
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
