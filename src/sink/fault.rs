//! The backoff and the log lines of a worker while its destination fails.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::{Level, info, warn};

use crate::poison;
use crate::throttle::{LineOwner, Throttle};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Minimum time between two lines about the same fault.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The faults of one destination. An outage lasts from the first failed attempt to the next one that works.
#[derive(Debug)]
pub(super) struct DestinationFaults {
    name: String,
    outage: Option<Outage>,
    report: OutageReport,
    /// Throttle for the beginnings of outages. Otherwise a spool that is full at times, because its reader is slower
    /// than a sender, would fill the log.
    beginnings: Throttle,
}

/// The outage that lasts, for whoever watches the sink. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct OutageReport(Arc<Mutex<Option<LastingOutage>>>);

/// An outage that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastingOutage {
    /// Time of the first failed attempt.
    pub since: Instant,
    /// The reason of the last failed attempt.
    pub reason: String,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Time when the log last reported the outage; `None` if it has not yet.
    logged: Option<Instant>,
    attempts: u64,
    /// The reason of the first failed attempt.
    reason: String,
}

// === impl DestinationFaults ===

impl DestinationFaults {
    pub(super) fn new(name: &str, report: OutageReport) -> Self {
        let beginnings = Throttle::new(Level::WARN, LineOwner::Sink(name.to_owned()), "short failures of the sink");
        Self { name: name.to_owned(), outage: None, report, beginnings }
    }

    /// Counts a failed attempt and returns how long to wait. Logs the attempt if it is the first or if the last line is
    /// old.
    ///
    /// An outage that begins soon after the last is logged only if it lasts, so that the last line always gives the
    /// current state.
    pub(super) fn failed(&mut self, reason: &str, now: Instant) -> Duration {
        let sink = self.name.as_str();
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            logged: None,
            attempts: 0,
            reason: reason.to_owned(),
        });
        outage.attempts += 1;
        self.report.set(Some(LastingOutage { since: outage.since, reason: reason.to_owned() }));
        // An outage that the log has not reported is counted when it is over.
        let earlier = if outage.logged.is_none() { self.beginnings.pass_with(0, now) } else { None };
        match outage.logged {
            None if earlier.is_some() => {
                let untold = earlier.filter(|untold| *untold > 0);
                warn!(sink, untold, "{reason}; retrying until it works");
                outage.logged = Some(now);
            }
            Some(logged) if now.duration_since(logged) >= LOG_EVERY => {
                outage.logged = Some(now);
                let seconds = now.duration_since(outage.since).as_secs();
                warn!(sink, attempts = outage.attempts, seconds, "{reason}; still retrying");
            }
            None | Some(_) => {}
        }
        let attempts = outage.attempts;
        jittered(attempts, fastrand::u64(..))
    }

    /// Notes that an attempt worked, and logs the end of an outage that the log has reported.
    pub(super) fn worked(&mut self, now: Instant) {
        let Some(outage) = self.outage.take() else { return };
        self.report.set(None);
        if outage.logged.is_none() {
            self.beginnings.hold_back(1);
            return;
        }
        let Outage { since, attempts, reason, .. } = outage;
        let seconds = now.duration_since(since).as_secs_f32();
        info!(sink = self.name, attempts, "works again after {seconds:.1} s; the failure was: {reason}");
    }
}

// === impl OutageReport ===

impl OutageReport {
    /// Returns the outage if there is one.
    pub fn lasting(&self) -> Option<LastingOutage> {
        poison::ignore(self.0.lock()).clone()
    }

    fn set(&self, outage: Option<LastingOutage>) {
        *poison::ignore(self.0.lock()) = outage;
    }
}

/// Returns the backoff: from 100 ms, doubled after each attempt, up to 5 s. The wait is a random part of that, between
/// half and all, so that many programs do not return to one destination at the same moment.
fn jittered(attempts: u64, random: u64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let whole = (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT);
    let half = whole / 2;
    // The range is at most 2500 ms.
    half + Duration::from_millis(random % (half.as_millis() as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_up_to_a_limit() {
        for random in [0, 1, 17, u64::MAX] {
            assert!((50..=100).contains(&jittered(1, random).as_millis()));
            assert!((200..=400).contains(&jittered(3, random).as_millis()));
            assert!((2500..=5000).contains(&jittered(u64::MAX, random).as_millis()));
        }
    }

    #[test]
    fn an_outage_soon_after_another_is_told_of_when_it_lasts() {
        let mut fault = DestinationFaults::new("test", OutageReport::default());
        let begun = Instant::now();
        let told = |fault: &DestinationFaults| fault.outage.as_ref().is_some_and(|outage| outage.logged.is_some());
        for (after, expected, untold) in [(0, true, 0), (1, false, 1), (2, false, 2), (10, true, 0), (11, false, 1)] {
            let now = begun + Duration::from_secs(after);
            fault.failed("full", now);
            assert_eq!(told(&fault), expected, "after {after} s");
            fault.worked(now);
            assert_eq!(fault.beginnings.suppressed(), untold, "after {after} s");
        }
        let now = begun + Duration::from_secs(12);
        fault.failed("full", now);
        assert!(!told(&fault));
        fault.failed("full", now + Duration::from_secs(10));
        assert!(told(&fault), "it lasts");
    }

    #[test]
    fn an_outage_ends_when_an_attempt_works() {
        let report = OutageReport::default();
        let mut fault = DestinationFaults::new("test", report.clone());
        let now = Instant::now();
        fault.failed("no", now);
        assert!(fault.failed("no longer", now + Duration::from_secs(1)) >= Duration::from_millis(100));
        assert_eq!(report.lasting(), Some(LastingOutage { since: now, reason: "no longer".to_owned() }));
        fault.worked(now);
        assert_eq!(report.lasting(), None);
        assert!(fault.failed("no", now) <= Duration::from_millis(100));
    }
}
