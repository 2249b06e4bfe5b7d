//! The memory for long incomplete messages: a limited number of them at a time.
//!
//! A connection that keeps more than [`IDLE_SIZE`](super::stream::IDLE_SIZE) between two reads holds a place, which is
//! large enough for the longest possible message. It never waits for more memory, nor for connections without a place,
//! so all connections with a place make progress. A connection that waits for its peer instead gives up its place when
//! others need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::Level;

use crate::throttle::{LineOwner, Throttle};

/// Log line for a message that was cut.
pub(super) const CUT: &str = "message cut off: its rest came too slowly while the memory for unfinished messages (half of \
                              max_bytes_in_flight) was full; raise max_bytes_in_flight if you trust the sender";

/// Maximum time for the rest of a long message while other connections need its place: the first value if few wait, the
/// second if many do. Each connection that waits for a place holds the memory of a read, and so keeps others from being
/// read.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(50));

/// The places of a source.
#[derive(Debug)]
pub(super) struct Unfinished {
    places: Arc<Semaphore>,
    /// Number of connections that wait for a place, and the number above which they count as many.
    waiting: AtomicUsize,
    many: usize,
    /// Notified when another connection begins to wait.
    wanted: Notify,
    cut: Throttle,
}

/// A place in the memory, held until this value is dropped.
#[derive(Debug)]
pub(super) struct UnfinishedPlace {
    owner: Arc<Unfinished>,
    _permit: OwnedSemaphorePermit,
    /// Time spent waiting for the peer of the connection.
    waited: Duration,
}

// === impl Unfinished ===

impl Unfinished {
    /// Returns the `places` (at least one) of `source`. If more than `many` connections wait for one, the shorter
    /// patience applies.
    pub(super) fn new(source: &str, places: usize, many: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            waiting: AtomicUsize::new(0),
            many,
            wanted: Notify::new(),
            cut: Throttle::new(Level::WARN, LineOwner::Source(source.to_owned()), CUT),
        }
    }

    /// Waits for a place.
    pub(super) async fn place(self: &Arc<Self>) -> Option<UnfinishedPlace> {
        let permit = if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            permit
        } else {
            let _waiting = WaitingConnection::new(self);
            // The semaphore is never closed.
            Arc::clone(&self.places).acquire_owned().await.ok()?
        };
        Some(UnfinishedPlace { owner: Arc::clone(self), _permit: permit, waited: Duration::ZERO })
    }

    /// Returns true if a connection waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Notes that a message was cut because there is no place for it. Returns the number of log lines suppressed since
    /// the last one, if another line may be logged now.
    pub(super) fn cut(&self) -> Option<u64> {
        self.cut.pass(Instant::now())
    }

    /// Resolves when more than `some` connections wait for a place.
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

// === impl UnfinishedPlace ===

impl UnfinishedPlace {
    /// Resets the time spent waiting, as another message of the same peer takes the place.
    pub(super) const fn renew(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// Resolves when the peer has used up its time, over all waits together, and another connection needs the place.
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

/// Resolves when `place` is overdue; never for a connection without a place.
pub(super) async fn overdue(place: &mut Option<UnfinishedPlace>) {
    match place {
        Some(place) => place.overdue().await,
        None => std::future::pending().await,
    }
}

/// Adds the time until this value is dropped to `waited`.
struct Clock<'p> {
    begun: Instant,
    waited: &'p mut Duration,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        *self.waited += self.begun.elapsed();
    }
}

/// Counts a connection that waits, until this value is dropped.
struct WaitingConnection<'u>(&'u Unfinished);

impl<'u> WaitingConnection<'u> {
    fn new(unfinished: &'u Unfinished) -> Self {
        unfinished.waiting.fetch_add(1, Relaxed);
        unfinished.wanted.notify_waiters();
        Self(unfinished)
    }
}

impl Drop for WaitingConnection<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// How long a place lasts whose peer is silent, while this number of others wait for it.
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
    async fn a_place_is_given_up_only_if_others_need_it_sooner_if_many_do() {
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
