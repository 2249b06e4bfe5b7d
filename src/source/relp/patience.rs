//! A limit on how long a peer may leave its answers unread while other connections need the memory that its connection
//! holds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::Intake;

/// Maximum time that writing the answers to the messages of one read may wait for the peer, in total, if other
/// connections need the memory. A sender that reads its answers never comes near it: the kernel buffers more answers
/// than a window has.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often to check whether other connections need the memory.
const LOOK: Duration = Duration::from_millis(50);

/// The time limit for the peer of one connection.
#[derive(Debug)]
pub(super) struct Patience<'i> {
    intake: &'i Intake,
    /// Time spent waiting for the peer since the last read, in microseconds.
    waited: AtomicU64,
}

// === impl Patience ===

impl<'i> Patience<'i> {
    /// Returns the time limit for a peer that sends to `intake`.
    pub(super) const fn new(intake: &'i Intake) -> Self {
        Self { intake, waited: AtomicU64::new(0) }
    }

    /// Resets the time spent waiting, as another read begins.
    pub(super) fn renew(&self) {
        self.waited.store(0, Relaxed);
    }

    /// Waits for `write`. Returns `None` if the peer has kept it waiting for too long while other connections needed
    /// the memory.
    pub(super) async fn wait<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        let begun = Instant::now();
        let left = PATIENCE.saturating_sub(Duration::from_micros(self.waited.load(Relaxed)));
        let over = async {
            sleep(left).await;
            while !self.intake.is_crowded() {
                sleep(LOOK).await;
            }
        };
        let written = tokio::select! {
            biased;
            written = write => Some(written),
            () = over => None,
        };
        let waited = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waited.fetch_add(waited, Relaxed);
        written
    }
}
