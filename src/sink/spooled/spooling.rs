//! The log lines that say that a sink is behind, so that its records wait on the disk, and that it has caught up.

use std::time::{Duration, Instant};

/// Minimum time that a sink is behind before the log says so.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// Minimum time between two lines that report a beginning. A sink that is slower than its senders falls behind again
/// and again.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Tracks whether the records of a sink wait on the disk.
#[derive(Debug, Default)]
pub(super) struct Spooling {
    state: SpoolingState,
    /// Time when the log last reported a beginning.
    told: Option<Instant>,
}

#[derive(Debug)]
enum SpoolingState {
    /// The sink has everything, or will soon have it. `durable` is the number of the last record in the spool.
    CaughtUp { durable: u64 },
    /// The sink is behind.
    Behind { since: Instant, durable: u64, is_told: bool },
}

/// News for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Records wait on the disk.
    Began,
    /// The sink has all records.
    Ended {
        /// Number of records that were written to the disk.
        records: u64,
        /// The time that the sink was behind.
        time: Duration,
    },
}

impl Default for SpoolingState {
    fn default() -> Self {
        Self::CaughtUp { durable: 0 }
    }
}

impl Spooling {
    /// Notes whether the sink is behind, and that the last record in the spool has the number `durable`. Returns the
    /// news for the log, if any.
    pub(super) fn note(&mut self, is_behind: bool, durable: u64, now: Instant) -> Option<News> {
        match &mut self.state {
            SpoolingState::CaughtUp { durable: before } if !is_behind => *before = durable,
            SpoolingState::CaughtUp { durable: before } => {
                self.state = SpoolingState::Behind { since: now, durable: *before, is_told: false };
            }
            SpoolingState::Behind { since, durable: before, is_told } if !is_behind => {
                let ended = News::Ended { records: durable - *before, time: now.duration_since(*since) };
                let is_told = *is_told;
                self.state = SpoolingState::CaughtUp { durable };
                return is_told.then_some(ended);
            }
            SpoolingState::Behind { since, is_told, .. } => {
                let is_worth = now.duration_since(*since) >= WORTH_TELLING;
                let is_time = self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
                if !*is_told && is_worth && is_time {
                    *is_told = true;
                    self.told = Some(now);
                    return Some(News::Began);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_told_with_what_came_between() {
        let mut spooling = Spooling::default();
        let start = Instant::now();
        let mut at = |tenths: u64, is_behind, durable| {
            spooling.note(is_behind, durable, start + Duration::from_millis(100 * tenths))
        };
        assert_eq!(at(0, false, 7), None);
        assert_eq!(at(1, true, 9), None);
        assert_eq!(at(5, true, 20), None, "it may be over at once");
        assert_eq!(at(11, true, 30), Some(News::Began));
        assert_eq!(at(12, true, 40), None, "told once");
        let time = Duration::from_millis(5900);
        assert_eq!(at(60, false, 107), Some(News::Ended { records: 100, time }));
        assert_eq!(at(61, false, 107), None);
    }

    #[test]
    fn what_comes_and_goes_is_told_once_in_a_while() {
        let mut spooling = Spooling::default();
        let start = Instant::now();
        let mut told = 0;
        for tenths in 0..600 {
            // Behind for two seconds of every three.
            let now = start + Duration::from_millis(100 * tenths);
            told += u64::from(spooling.note(tenths % 30 < 20, tenths, now) == Some(News::Began));
        }
        assert!((4..=6).contains(&told), "{told} in a minute");
        // Less than a second is nothing.
        let mut spooling = Spooling::default();
        for tenths in 0..600 {
            assert_eq!(spooling.note(tenths % 10 < 9, tenths, start + Duration::from_millis(100 * tenths)), None);
        }
    }
}
