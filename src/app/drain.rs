//! The shutdown: the sources hand on what they have read, then the sinks deliver it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::Error;
use super::checkpoint::PresentCheckpoint;
use super::joins::{self, JoinTicks};
use super::sinks::{LiveSink, worker_ended};
use super::sources::LiveSource;
use crate::ledger::Reason;
use crate::pipeline::{Current, Outlet};
use crate::sink::WorkerEnd;

/// Time limits of the shutdown, counted from its start. The sources come first, to hand on what they have read, then
/// the sinks. A reserve at the end is for counting what is left; a sink that the kernel blocks in a write is not waited
/// for any longer.
pub(super) struct Times {
    pub(super) sources: Duration,
    pub(super) sinks: Duration,
    all: Duration,
}

/// Stops the sources, waits until they have handed on what they read, saves or closes the open messages, then waits
/// until the sinks have delivered everything. The pipeline and the outlets hold the queues of the sinks open besides
/// the sources.
pub(super) async fn drain(
    mut tasks: JoinSet<()>,
    mut workers: JoinSet<(String, WorkerEnd)>,
    (pipeline, outlets): (Current, Vec<Arc<Outlet>>),
    (sources, ticks): (&[LiveSource], &JoinTicks),
    checkpoint: &PresentCheckpoint,
    sinks: &[LiveSink],
    times: &Times,
) -> Result<(), Error> {
    let begun = Instant::now();
    let dropped = || sinks.iter().map(|sink| sink.ledger.dropped.get(Reason::Shutdown)).sum::<u64>();
    let dropped_before = dropped();
    for sink in sinks {
        sink.control.set_timeout(times.sinks);
        sink.control.stop();
    }
    let stops = || sources.iter().map(|source| &source.stop).chain([&ticks.stop]);
    stops().for_each(|stop| stop.reading.cancel());
    let over = begun + times.all;
    if timeout_at((begun + times.sources).into(), join_all(&mut tasks)).await.is_err() {
        tracing::warn!("the sinks did not take all messages in time; dropping the rest");
        stops().for_each(|stop| stop.waiting.cancel());
        // From now on the sources wait for nothing: they count what they hold as dropped, and end.
        if timeout_at(over.into(), join_all(&mut tasks)).await.is_err() {
            tracing::warn!("a source did not end within shutdown_timeout; aborting it");
        }
    }
    tasks.shutdown().await;
    let last = joins::stop(&pipeline, checkpoint, begun + times.sinks).await;
    // The last sender of each queue is dropped with them: the workers see the end of their input.
    drop((pipeline, outlets));
    let mut result = Ok(());
    let mut running: Vec<&str> =
        sinks.iter().flat_map(|sink| sink.threads.iter().map(|_| sink.config.name.as_str())).collect();
    let finish = async {
        while let Some(ended) = workers.join_next().await {
            if let Ok((name, end)) = ended {
                if let Some(index) = running.iter().position(|running| *running == name) {
                    running.swap_remove(index);
                }
                let ended = worker_ended(name, end);
                result = std::mem::replace(&mut result, Ok(())).and(ended);
            }
        }
    };
    if timeout_at(over.into(), finish).await.is_err() {
        running.dedup();
        tracing::warn!(
            sinks = running.join(", "),
            "shutdown_timeout is over, but a write or a sync has not returned; exiting without it"
        );
    }
    if let Some(last) = last {
        joins::leave_checkpoint(last, result.is_ok() && dropped() == dropped_before).await;
    }
    result
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

// === impl Times ===

impl Times {
    pub(super) fn of(shutdown_timeout: Duration) -> Self {
        let reserve = (shutdown_timeout / 4).min(Duration::from_secs(1));
        let sinks = shutdown_timeout.saturating_sub(reserve);
        Self { sources: sinks * 3 / 4, sinks, all: shutdown_timeout }
    }
}
