//! Rate limiting of log lines that a peer or a destination can cause often.
//!
//! At most one line of a kind is logged in ten seconds, and it tells how many were suppressed before it. Events
//! suppressed after the last line of a burst are logged as a sum: the program calls [`tell_sums`] once a second, and
//! [`tell_rest`] at its end. The code that causes the lines needs no timer, and its thread may even be blocked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::poison;

/// Minimum time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);
/// Extra time in which the next line may still come and carry the sum, because a line tells more than the sum alone.
const GRACE: Duration = Duration::from_secs(2);

/// All kinds of lines whose sum may have to be logged. Their number is bounded by the sources, sinks and spools, and
/// they are removed with them.
static KINDS: Mutex<Vec<Arc<ThrottledKind>>> = Mutex::new(Vec::new());

/// Allows one log line in ten seconds and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle(Arc<ThrottledKind>);

/// Owner of the lines.
#[derive(Clone, Debug)]
pub(crate) enum LineOwner {
    /// The source of this name.
    Source(String),
    /// The sink of this name.
    Sink(String),
    /// The text of the line names its owner.
    Named,
}

#[derive(Debug)]
struct ThrottledKind {
    level: Level,
    owner: LineOwner,
    what: String,
    state: Mutex<ThrottleState>,
}

#[derive(Debug, Default)]
struct ThrottleState {
    last: Option<Instant>,
    suppressed: u64,
}

// === impl Throttle ===

impl Throttle {
    /// Creates a throttle for lines of `level` that say `what`.
    pub(crate) fn new(level: Level, owner: LineOwner, what: impl Into<String>) -> Self {
        let kind = Arc::new(ThrottledKind { level, owner, what: what.into(), state: Mutex::default() });
        lock(&KINDS).push(Arc::clone(&kind));
        Self(kind)
    }

    /// Returns `Some` if a line may be logged now, with the number of lines that were suppressed since the last one.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        self.pass_with(1, now)
    }

    /// Like [`pass`](Self::pass), for a line about `events`: suppressed events are counted instead of lines. With 0,
    /// the caller counts the events.
    pub(crate) fn pass_with(&self, events: u64, now: Instant) -> Option<u64> {
        lock(&self.0.state).pass(events, 0, now)
    }

    /// Counts `events` as suppressed without asking for a line.
    pub(crate) fn hold_back(&self, events: u64) {
        lock(&self.0.state).suppressed += events;
    }

    /// Returns how many events are suppressed.
    #[cfg(test)]
    pub(crate) fn suppressed(&self) -> u64 {
        lock(&self.0.state).suppressed
    }

    /// Like [`pass`](Self::pass), for `lines` lines at once (`lines` >= 1), of which one may be logged.
    pub(crate) fn pass_many(&self, lines: u64, now: Instant) -> Option<u64> {
        lock(&self.0.state).pass(lines, lines - 1, now)
    }
}

/// Logs the sums of the bursts that are over.
pub(crate) fn tell_sums(now: Instant) {
    tell(|state| state.due(now));
}

/// Logs all sums, because no other line follows.
pub(crate) fn tell_rest() {
    tell(|state| Some(std::mem::take(&mut state.suppressed)).filter(|suppressed| *suppressed > 0));
}

fn tell(due: impl Fn(&mut ThrottleState) -> Option<u64>) {
    let mut sums = Vec::new();
    lock(&KINDS).retain(|kind| {
        let suppressed = due(&mut lock(&kind.state));
        // A kind whose last owner is gone counts no more events: it stays until its sum is logged.
        let lasts = Arc::strong_count(kind) > 1 || lock(&kind.state).suppressed > 0;
        sums.extend(suppressed.map(|suppressed| (Arc::clone(kind), suppressed)));
        lasts
    });
    // A slow log must not block code that creates a throttle.
    for (kind, suppressed) in sums {
        kind.tell(suppressed);
    }
}

// === impl ThrottledKind ===

impl ThrottledKind {
    fn tell(&self, suppressed: u64) {
        let (source, sink) = match &self.owner {
            LineOwner::Source(name) => (Some(name.as_str()), None),
            LineOwner::Sink(name) => (None, Some(name.as_str())),
            LineOwner::Named => (None, None),
        };
        let what = self.what.as_str();
        match self.level {
            Level::ERROR => {
                tracing::error!(source, sink, suppressed, "{suppressed} more since the last such line: {what}");
            }
            Level::WARN => {
                tracing::warn!(source, sink, suppressed, "{suppressed} more since the last such line: {what}");
            }
            _ => tracing::info!(source, sink, suppressed, "{suppressed} more since the last such line: {what}"),
        }
    }
}

// === impl ThrottleState ===

impl ThrottleState {
    /// Counts `events`. Returns `Some` if a line may be logged; `rest` of the events then stay suppressed.
    fn pass(&mut self, events: u64, rest: u64, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.suppressed += events;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::replace(&mut self.suppressed, rest))
    }

    /// Returns the number of suppressed events if no line has come that could have told it. The sum counts as a line.
    fn due(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.suppressed > 0 && self.last.is_none_or(|last| now.duration_since(last) >= INTERVAL + GRACE);
        is_due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.suppressed)
        })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    poison::ignore(shared.lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_and_the_next_says_how_many_did_not() {
        // No other test tells its sum.
        let what = "a line".to_owned();
        let throttle = Throttle(Arc::new(ThrottledKind {
            level: Level::INFO,
            owner: LineOwner::Named,
            what,
            state: Mutex::default(),
        }));
        let now = Instant::now();
        assert_eq!(throttle.pass(now), Some(0));
        assert_eq!((throttle.pass(now), throttle.pass(now + INTERVAL / 2)), (None, None));
        assert_eq!(throttle.pass(now + INTERVAL), Some(2));
        assert_eq!(throttle.pass(now + INTERVAL * 2), Some(0));
        assert_eq!(throttle.pass_many(5, now + INTERVAL * 3), Some(0));
        assert_eq!(throttle.pass_many(3, now + INTERVAL * 3), None);
        assert_eq!(throttle.pass(now + INTERVAL * 4), Some(7));
        assert_eq!(throttle.pass_with(5, now + INTERVAL * 5), Some(0), "the line tells of all five");
        assert_eq!(throttle.pass_with(3, now + INTERVAL * 5), None);
        assert_eq!(throttle.pass_with(2, now + INTERVAL * 6), Some(3));
    }

    #[test]
    fn what_no_line_follows_is_due_as_a_sum() {
        let mut state = ThrottleState::default();
        let now = Instant::now();
        assert_eq!(state.due(now), None);
        assert_eq!(state.pass(1, 0, now), Some(0));
        assert_eq!(state.due(now + INTERVAL * 2), None, "nothing was held back");
        assert_eq!(state.pass(1, 0, now + INTERVAL), Some(0));
        let burst = now + INTERVAL;
        assert_eq!((state.pass(1, 0, burst), state.pass(7, 0, burst)), (None, None));
        assert_eq!(state.due(burst + INTERVAL), None, "a line could still come");
        assert_eq!(state.due(burst + INTERVAL + GRACE), Some(8));
        // The sum counts as a line.
        assert_eq!(state.pass(1, 0, burst + INTERVAL + GRACE * 2), None);
        assert_eq!(state.pass(1, 0, burst + INTERVAL * 2 + GRACE), Some(1));
    }

    #[test]
    fn a_kind_leaves_with_its_owner_and_its_sum() {
        let now = Instant::now();
        let kept = |what: &str| lock(&KINDS).iter().any(|kind| kind.what == what);
        let what = "a kind that leaves with its owner";
        let throttle = Throttle::new(Level::INFO, LineOwner::Named, what);
        throttle.pass(now);
        throttle.pass(now);
        drop(throttle);
        // Other tests may do the same at any time.
        tell_sums(now);
        assert!(kept(what), "its sum is not logged yet");
        tell_sums(now + INTERVAL + GRACE);
        tell_sums(now + INTERVAL + GRACE);
        assert!(!kept(what));
    }
}
