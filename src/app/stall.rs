//! Detection of sinks that stall, or whose queues stay full. The thread of a sink whose destination hangs cannot report
//! that itself: the app checks the counts of each sink once a second.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::sinks::LiveSink;
use super::sources::LiveSource;
use crate::ledger::Reason;
use crate::status::StallKind;

/// Number of checks in a row, a second apart, after which a sink counts as stalled. Checks are counted instead of time,
/// because a program that was suspended and resumed has checked nothing meanwhile.
const LOOKS: u32 = 5;
/// Minimum time between the beginnings of two logged stalls: a stall that ends earlier is not worth a line.
const BEGINNINGS: Duration = Duration::from_secs(10);

/// Results of the checks of one sink.
#[derive(Debug, Default)]
pub(super) struct Stall(RefCell<Watch>);

#[derive(Debug, Default)]
struct Watch {
    /// Number of records that the destination has accepted or refused.
    progress: u64,
    /// Number of records that found no room.
    refused: u64,
    /// Checks in a row between which nothing left the sink, although it held records.
    idle: Streak,
    /// Checks in a row that found its queue full.
    full: Streak,
    /// Checks in a row that found room since the queue was full.
    roomy: u32,
    /// Stall that the log has reported, and that lasts.
    told: Option<Told>,
    /// Time at which the log last reported the beginning of a stall.
    begun: Option<Instant>,
}

/// Checks in a row with the same result.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    since: Option<Instant>,
    looks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    kind: StallKind,
    since: Instant,
    /// `refused` at that time.
    refused: u64,
}

/// Result of one check.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    progress: u64,
    in_flight: u64,
    is_full: bool,
    refused: u64,
}

/// Change that one check finds.
#[derive(Clone, Copy, Debug)]
enum StallChange {
    Begins(Told),
    Ends(Told),
}

impl LiveSink {
    /// Checks whether the sink stalls, and logs the beginning and the end of a stall.
    pub(super) fn look(&self, sources: &[LiveSource], now: Instant) {
        let seen = self.seen();
        let change = self.stall.0.borrow_mut().look(seen, now);
        match change {
            Some(StallChange::Begins(told)) => self.tell_stall(told, seen, sources, now),
            Some(StallChange::Ends(told)) => {
                let (sink, seconds) = (self.config.name.as_str(), told.seconds(now));
                let dropped = Some(seen.refused - told.refused).filter(|dropped| *dropped > 0);
                match told.kind {
                    // During the shutdown, no more records arrive.
                    StallKind::Full if !self.life.is_current() => {}
                    StallKind::Still => tracing::info!(sink, seconds, dropped, "the sink makes progress again"),
                    StallKind::Full => tracing::info!(sink, seconds, dropped, "the queue of the sink has room again"),
                }
            }
            None => {}
        }
    }

    /// Logs at the shutdown that the sink stalls: this is why the shutdown may take long.
    pub(super) fn tell_stall_at_stop(&self, sources: &[LiveSource], now: Instant) {
        let told = self.stall.0.borrow().told;
        if let Some(told) = told {
            self.tell_stall(told, self.seen(), sources, now);
        }
    }

    fn tell_stall(&self, told: Told, seen: Seen, sources: &[LiveSource], now: Instant) {
        let (sink, seconds) = (self.config.name.as_str(), told.seconds(now));
        let waiting = self.waiting(sources);
        let waiting = (!waiting.is_empty()).then(|| waiting.into_iter().collect::<Vec<_>>().join(", "));
        let records = seen.in_flight;
        let spooled = Some(self.ledger.spooled()).filter(|spooled| *spooled > 0);
        // All records may be in the spool.
        let queue_bytes = self.life.current().map(|outlet| outlet.queue.held()).filter(|bytes| *bytes > 0);
        let dropped = Some(seen.refused - told.refused).filter(|dropped| *dropped > 0);
        let what = match told.kind {
            StallKind::Still => "the sink makes no progress: its destination is unreachable or blocked",
            StallKind::Full => "the queue of the sink is full: more records arrive than its destination takes",
        };
        tracing::warn!(sink, seconds, records, queue_bytes, spooled, waiting, dropped, "{what}");
    }

    /// Returns the sources that wait for the sink: for room in its queue, or for room in their own limit, which the
    /// sink holds.
    pub(super) fn waiting(&self, sources: &[LiveSource]) -> BTreeSet<String> {
        let of_queue = self.life.current().into_iter().flat_map(|outlet| outlet.waiting.names());
        let of_limit = sources.iter().filter(|source| source.ledger.waiting.load(Relaxed) > 0);
        of_queue.chain(of_limit.map(|source| source.config.name.clone())).collect()
    }

    fn seen(&self) -> Seen {
        let ledger = &self.ledger;
        let progress = ledger.delivered.load(Relaxed) + ledger.dropped.get(Reason::Rejected);
        let is_full = self.life.current().is_some_and(|outlet| outlet.queue.is_full());
        let refused = ledger.dropped.get(Reason::QueueFull);
        Seen { progress, in_flight: ledger.in_flight(), is_full, refused }
    }
}

// === impl Stall ===

impl Stall {
    /// Returns the stall that the log has reported and that lasts, and the time when it began.
    pub(super) fn told(&self) -> Option<(StallKind, Instant)> {
        self.0.borrow().told.map(|told| (told.kind, told.since))
    }
}

// === impl Told ===

impl Told {
    fn seconds(&self, now: Instant) -> u64 {
        // The checks are about a second apart.
        (now.duration_since(self.since) + Duration::from_millis(500)).as_secs()
    }
}

// === impl Watch ===

impl Watch {
    fn look(&mut self, seen: Seen, now: Instant) -> Option<StallChange> {
        let moved = seen.progress != std::mem::replace(&mut self.progress, seen.progress);
        let refused = seen.refused != std::mem::replace(&mut self.refused, seen.refused);
        self.idle.count(!moved && seen.in_flight > 0, now);
        if seen.is_full || refused {
            self.roomy = 0;
            self.full.count(true, now);
        } else {
            self.roomy += 1;
            // A queue that has room for a moment is often full again in the next.
            if self.told.is_none() || self.roomy >= LOOKS {
                self.full.count(false, now);
            }
        }
        let idle = match self.told.map(|told| told.kind) {
            Some(StallKind::Still) => self.idle.since,
            // The queue is found full one check before its sink is found idle; the sink must not be reported as slow
            // then.
            None if self.full.begun().is_some() && self.idle.looks > LOOKS / 2 => self.idle.since,
            Some(StallKind::Full) | None => self.idle.begun(),
        };
        let found = match (idle, self.full.begun()) {
            (Some(since), _) => Some((StallKind::Still, since)),
            (None, Some(since)) => Some((StallKind::Full, since)),
            (None, None) => None,
        };
        match (self.told, found) {
            (None, Some((kind, since))) => self.begin(Told { kind, since, refused: seen.refused }, now),
            (Some(told), None) => self.told.take().map(|_| StallChange::Ends(told)),
            (None, None) => None,
            (Some(told), Some((kind, since))) => match (told.kind, kind) {
                // The state is worse now.
                (StallKind::Full, StallKind::Still) => self.begin(Told { kind, since, ..told }, now),
                // The sink continues, and still has much to do.
                (StallKind::Still, StallKind::Full) => {
                    self.told = Some(Told { kind, since: now, ..told });
                    Some(StallChange::Ends(told))
                }
                (StallKind::Still, StallKind::Still) | (StallKind::Full, StallKind::Full) => None,
            },
        }
    }

    /// Reports the beginning of a stall, unless another one was reported just before: it is then reported later, if it
    /// lasts.
    fn begin(&mut self, told: Told, now: Instant) -> Option<StallChange> {
        if self.begun.is_some_and(|begun| now.duration_since(begun) < BEGINNINGS) {
            return None;
        }
        (self.begun, self.told) = (Some(now), Some(told));
        Some(StallChange::Begins(told))
    }
}

// === impl Streak ===

impl Streak {
    fn count(&mut self, holds: bool, now: Instant) {
        if holds {
            self.since.get_or_insert(now);
            self.looks += 1;
        } else {
            *self = Self::default();
        }
    }

    /// Returns the start of the streak, if it is long enough.
    fn begun(self) -> Option<Instant> {
        self.since.filter(|_| self.looks > LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the log lines of looks that are a second apart.
    fn said(looks: impl IntoIterator<Item = Seen>) -> Vec<(usize, &'static str)> {
        let (mut watch, begun) = (Watch::default(), Instant::now());
        let mut said = Vec::new();
        for (second, seen) in looks.into_iter().enumerate() {
            match watch.look(seen, begun + Duration::from_secs(second as u64)) {
                Some(StallChange::Begins(Told { kind: StallKind::Still, .. })) => said.push((second, "still")),
                Some(StallChange::Begins(Told { kind: StallKind::Full, .. })) => said.push((second, "full")),
                Some(StallChange::Ends(Told { kind: StallKind::Still, .. })) => said.push((second, "goes on")),
                Some(StallChange::Ends(Told { kind: StallKind::Full, .. })) => said.push((second, "has room")),
                None => {}
            }
        }
        said
    }

    fn seen(progress: u64, in_flight: u64, is_full: bool) -> Seen {
        Seen { progress, in_flight, is_full, refused: 0 }
    }

    #[test]
    fn a_sink_from_which_nothing_comes_is_told_of_once() {
        // Something comes at second 3, and is taken at second 40.
        let looks = (0..60).map(|second| seen(u64::from(second >= 40), u64::from((3..40).contains(&second)), false));
        assert_eq!(said(looks), [(8, "still"), (40, "goes on")]);
    }

    #[test]
    fn a_sink_that_has_nothing_or_delivers_is_not_told_of() {
        assert_eq!(said((0..60).map(|_| seen(7, 0, false))), []);
        assert_eq!(said((0..60).map(|second| seen(second, 100, false))), []);
        // Each time for less than five seconds.
        assert_eq!(said((0..60).map(|second| seen(second / 5, 100, second % 5 > 0))), []);
    }

    #[test]
    fn a_full_queue_is_reported_until_it_has_had_room_for_a_while() {
        // It has room for a moment at 12 and 14.
        let looks = (0..60).map(|second| seen(second, 100, (2..30).contains(&second) && second != 12 && second != 14));
        assert_eq!(said(looks), [(7, "full"), (34, "has room")]);
        let looks = (0..60).map(|second| Seen { refused: second.min(20), ..seen(second, 100, false) });
        assert_eq!(said(looks), [(6, "full"), (25, "has room")], "datagrams find none");
    }

    #[test]
    fn a_full_queue_before_a_sink_that_stands_still_is_one_stall() {
        let progress = |second: u64| if second < 20 { 0 } else { second };
        let looks = (0..60).map(|second| seen(progress(second), 100, second < 30));
        assert_eq!(said(looks), [(5, "still"), (20, "goes on"), (34, "has room")]);
        // It has taken something when its queue was full already.
        let looks = (0..60).map(|second| seen(u64::min(second, 3), 100, second >= 2));
        assert_eq!(said(looks), [(7, "still")]);
        // It gets worse.
        let looks = (0..60).map(|second| seen(u64::min(second, 20), 100, true));
        assert_eq!(said(looks), [(5, "full"), (26, "still")]);
    }

    #[test]
    fn stalls_that_follow_each_other_soon_are_not_all_told_of() {
        let looks = (0..100).map(|second| seen(second / 7, 100, false));
        let said = said(looks);
        assert!((8..=14).contains(&said.len()), "{said:?}");
    }
}
