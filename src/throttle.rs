//! Log lines that a peer or a destination can cause often, at a bearable rate.

use std::time::{Duration, Instant};

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one log line pass in ten seconds and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// `Some` if a line may be logged now, with the number of those that were held back since the last.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        self.pass_many(1, now)
    }

    /// The same for `lines` lines at once, at least one, of which one may be logged.
    pub(crate) fn pass_many(&mut self, lines: u64, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.suppressed += lines;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::replace(&mut self.suppressed, lines - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_and_the_next_says_how_many_did_not() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        assert_eq!(throttle.pass(now), Some(0));
        assert_eq!((throttle.pass(now), throttle.pass(now + INTERVAL / 2)), (None, None));
        assert_eq!(throttle.pass(now + INTERVAL), Some(2));
        assert_eq!(throttle.pass(now + INTERVAL * 2), Some(0));
        assert_eq!(throttle.pass_many(5, now + INTERVAL * 3), Some(0));
        assert_eq!(throttle.pass_many(3, now + INTERVAL * 3), None);
        assert_eq!(throttle.pass(now + INTERVAL * 4), Some(7));
    }
}
