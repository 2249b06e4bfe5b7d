//! The memory of long messages that have begun and are not whole yet: so many of them at a time as have room.
//!
//! A connection that keeps more than [`IDLE_SIZE`](super::stream::IDLE_SIZE) between two reads has a place for the
//! longest message that there can be. It never waits for more, and who has a place waits for nobody who has none: so
//! all of them can go on. A connection that waits for its peer instead gives its place up when others need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::Level;

use crate::throttle::{Owner, Throttle};

/// What is logged when a message is cut.
pub(super) const CUT: &str = "message cut off: its rest did not come while others needed the memory for unfinished \
                              messages, which is half of max_bytes_in_flight; raise that if its sender is a good one";

/// A peer may take so long to send the rest of a long message while others need its place: the first of them if few do,
/// the second if many do, because whoever waits for a place holds the memory of a read, and so keeps others from being
/// read.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(50));

/// The places of a source.
#[derive(Debug)]
pub(super) struct Unfinished {
    places: Arc<Semaphore>,
    /// How many wait for a place, and from how many on they are many.
    waiting: AtomicUsize,
    many: usize,
    /// Another one waits.
    wanted: Notify,
    cut: Throttle,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    owner: Arc<Unfinished>,
    _permit: OwnedSemaphorePermit,
    /// How long its peer has been waited for.
    waited: Duration,
}

// === impl Unfinished ===

impl Unfinished {
    /// So many `places` of `source`, at least one. If more than `many` wait for one, they do so no longer than they
    /// must.
    pub(super) fn new(source: &str, places: usize, many: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            waiting: AtomicUsize::new(0),
            many,
            wanted: Notify::new(),
            cut: Throttle::new(Level::WARN, Owner::Source(source.to_owned()), CUT),
        }
    }

    /// Waits for a place.
    pub(super) async fn place(self: &Arc<Self>) -> Option<Place> {
        let permit = if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            permit
        } else {
            let _waiting = Waiting::new(self);
            // It is never closed.
            Arc::clone(&self.places).acquire_owned().await.ok()?
        };
        Some(Place { owner: Arc::clone(self), _permit: permit, waited: Duration::ZERO })
    }

    /// Returns true if somebody waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// A message was cut, because there is no place for it. Gives how many others were since the last log line, if it
    /// is time for another.
    pub(super) fn cut(&self) -> Option<u64> {
        self.cut.pass(Instant::now())
    }

    /// Resolves when more than `some` wait for a place.
    async fn are_waiting(&self, some: usize) {
        loop {
            let wanted = self.wanted.notified();
            if self.waiting.load(Relaxed) > some {
                return;
            }
            wanted.await;
        }
    }
}

// === impl Place ===

impl Place {
    /// Another message of the same peer takes the place.
    pub(super) const fn renew(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// Resolves when the peer has been waited for long enough, in all waits together, and somebody else needs the
    /// place.
    async fn overdue(&mut self) {
        let (long, short) = (PATIENCE.0.saturating_sub(self.waited), PATIENCE.1.saturating_sub(self.waited));
        let owner = Arc::clone(&self.owner);
        let _clock = Clock { begun: Instant::now(), waited: &mut self.waited };
        let wanted_by = |some, time| {
            let owner = &owner;
            async move {
                tokio::time::sleep(time).await;
                owner.are_waiting(some).await;
            }
        };
        tokio::select! {
            () = wanted_by(0, long) => {}
            () = wanted_by(owner.many, short) => {}
        }
    }
}

/// The same for a connection that has a place or none.
pub(super) async fn overdue(place: &mut Option<Place>) {
    match place {
        Some(place) => place.overdue().await,
        None => std::future::pending().await,
    }
}

/// Adds the time until it is dropped.
struct Clock<'p> {
    begun: Instant,
    waited: &'p mut Duration,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        *self.waited += self.begun.elapsed();
    }
}

/// Counts somebody who waits.
struct Waiting<'u>(&'u Unfinished);

impl<'u> Waiting<'u> {
    fn new(unfinished: &'u Unfinished) -> Self {
        unfinished.waiting.fetch_add(1, Relaxed);
        unfinished.wanted.notify_waiters();
        Self(unfinished)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// How long a place lasts whose peer is silent, while so many others wait for it.
    async fn lasts(others: usize) -> Option<Duration> {
        let unfinished = Arc::new(Unfinished::new("test", 1, 2));
        let mut place = unfinished.place().await;
        let begun = tokio::time::Instant::now();
        let waiting: Vec<_> = (0..others)
            .map(|_| {
                let unfinished = Arc::clone(&unfinished);
                tokio::spawn(async move { unfinished.place().await.is_some() })
            })
            .collect();
        timeout(PATIENCE.0 * 10, overdue(&mut place)).await.ok()?;
        let lasted = begun.elapsed();
        drop(place);
        for waiting in waiting {
            assert!(timeout(MOMENT, waiting).await.unwrap().unwrap(), "each gets the place in its turn");
        }
        Some(lasted)
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_up_only_if_others_need_it_and_sooner_if_many_do() {
        assert_eq!(lasts(0).await, None);
        assert_eq!(lasts(2).await.map(|time| time.as_millis()), Some(PATIENCE.0.as_millis()));
        assert_eq!(lasts(3).await.map(|time| time.as_millis()), Some(PATIENCE.1.as_millis()));
    }

    #[tokio::test]
    async fn all_waits_for_the_peer_count_together() {
        let unfinished = Arc::new(Unfinished::new("test", 1, 0));
        let mut place = unfinished.place().await;
        let other = Arc::clone(&unfinished);
        let other = tokio::spawn(async move { other.place().await.is_some() });
        let mut waits = 0;
        // A peer that sends a byte now and then.
        while timeout(PATIENCE.1 / 4, overdue(&mut place)).await.is_err() {
            waits += 1;
            assert!(waits < 10, "it goes on for ever");
        }
        place.as_mut().unwrap().renew();
        assert!(timeout(PATIENCE.1 / 4, overdue(&mut place)).await.is_err(), "the next message has time of its own");
        drop(place);
        assert!(other.await.unwrap());
    }
}
