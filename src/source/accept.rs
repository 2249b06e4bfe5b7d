//! An accept loop with limits, for every kind of listener.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::Intake;
use crate::config::StreamConfig;
use crate::throttle::Throttle;

/// The first and the longest pause after a failed accept. Running out of file descriptors is the usual cause, and ends
/// only when a connection does.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listener, and what to do with a connection.
pub(super) trait Accept {
    /// An accepted connection.
    type Connection: Send + 'static;
    /// Waits for the next.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
    /// Reads it to its end.
    fn serve(
        connection: Self::Connection,
        config: StreamConfig,
        intake: Intake,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// Accepts and serves connections until told to stop, then waits for the last to end.
pub(super) async fn run<A: Accept>(listener: &A, config: &StreamConfig, intake: &Intake) {
    let places = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    let mut backoff = BACKOFF.0;
    let mut failed = Throttle::default();
    let mut refused = Throttle::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = intake.stop().cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                backoff = BACKOFF.0;
                if let Some(place) = place(&places, config, intake, &mut refused) {
                    let served = A::serve(connection, config.clone(), intake.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                intake.ledger().errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = failed.pass(Instant::now()) {
                    tracing::warn!(source = intake.name(), %error, suppressed, "cannot accept a connection; pausing");
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// A place for a connection; without one the connection is closed at once.
fn place(
    places: &Arc<Semaphore>,
    config: &StreamConfig,
    intake: &Intake,
    refused: &mut Throttle,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        intake.ledger().connections.fetch_add(1, Relaxed);
        return Some(place);
    }
    intake.ledger().connections_refused.fetch_add(1, Relaxed);
    if let Some(suppressed) = refused.pass(Instant::now()) {
        let max_connections = config.max_connections;
        tracing::warn!(
            source = intake.name(),
            max_connections,
            suppressed,
            "connection closed: there are max_connections already"
        );
    }
    None
}
