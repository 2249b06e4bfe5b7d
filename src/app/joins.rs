//! The joins of lines: the records of messages and sessions that no line makes, but time or a stop.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{self, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::App;
use crate::correlate::{Correlator, JoinProgress, JoinSettings};
use crate::ledger::Reason;
use crate::panics::{self, Panic};
use crate::pipeline::Current;
use crate::source::Stop;
use crate::time::Timestamp;

/// Interval at which summaries are made that are due by time.
const TICK: Duration = Duration::from_secs(1);
/// Interval at which the last reads of an earlier configuration are awaited.
const LAST_READS: Duration = Duration::from_millis(50);

/// The task that makes the summaries that are due by time.
pub(super) struct JoinTicks {
    pub(super) stop: Stop,
    pub(super) task: task::Id,
    failed: Arc<OnceLock<Panic>>,
}

impl JoinTicks {
    /// Starts the task.
    pub(super) fn start(pipeline: Current, tasks: &mut JoinSet<()>) -> Self {
        let (stop, failed) = (Stop::default(), Arc::<OnceLock<_>>::default());
        let (of_task, report) = (stop.clone(), Arc::clone(&failed));
        let run = async move {
            if let Err(panic) = panics::catch_in(tick(pipeline, of_task)).await {
                // It is set once, and read when the task has ended.
                let _ = report.set(panic);
            }
        };
        Self { stop, task: tasks.spawn(run).id(), failed }
    }

    /// Returns the defect by which the task has ended, if there was one.
    pub(super) fn error(&self) -> Option<super::Error> {
        self.failed.get().map(|panic| panic.clone().into())
    }
}

impl App {
    /// Returns the joins of the next configuration. Those of the present one go on with the new limits. Without joins
    /// in the next configuration, the messages are closed as at a stop.
    pub(super) fn next_joins(&mut self, settings: Option<JoinSettings>) -> Option<Arc<Correlator>> {
        let present = self.pipeline.get().joins().cloned();
        match (present, settings) {
            (Some(present), Some(settings)) => {
                present.set(settings);
                Some(present)
            }
            (None, Some(settings)) => Some(Arc::new(Correlator::new(settings))),
            (Some(present), None) => {
                let (pipeline, stop) = (self.pipeline.clone(), self.ticks.stop.clone());
                self.tasks.spawn(leave(pipeline, present, stop));
                None
            }
            (None, None) => None,
        }
    }
}

/// Hands on the summaries that are due, once a second.
async fn tick(pipeline: Current, stop: Stop) {
    let name = "correlate".into();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.reading.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut progress = JoinProgress::More;
        while progress == JoinProgress::More && !stop.reading.is_cancelled() {
            let pipeline = pipeline.get();
            let processed;
            (processed, progress) = pipeline.tick(Timestamp::now());
            processed.send(&name, over(&stop)).await;
        }
    }
}

/// Closes the messages of `joins`, which the current pipeline does not have any more, when no read uses them.
async fn leave(pipeline: Current, joins: Arc<Correlator>, stop: Stop) {
    while Arc::strong_count(&joins) > 1 && !stop.waiting.is_cancelled() {
        sleep(LAST_READS).await;
    }
    let name = "correlate".into();
    let mut progress = JoinProgress::More;
    while progress == JoinProgress::More && !stop.waiting.is_cancelled() {
        let pipeline = pipeline.get();
        let processed;
        (processed, progress) = pipeline.finish(&joins, Timestamp::now());
        processed.send(&name, over(&stop)).await;
    }
}

/// Closes all messages at a stop. Records that no sink takes until the time `until` are dropped, or not made.
pub(super) async fn finish(pipeline: &Current, until: Instant) {
    let pipeline = pipeline.get();
    let Some(joins) = pipeline.joins() else { return };
    let name = "correlate".into();
    let mut progress = JoinProgress::More;
    while progress == JoinProgress::More {
        let over = async {
            sleep_until(until.into()).await;
            Reason::Shutdown
        };
        let processed;
        (processed, progress) = pipeline.finish(joins, Timestamp::now());
        processed.send(&name, over).await;
        if Instant::now() >= until && progress == JoinProgress::More {
            let messages = joins.counts().messages;
            tracing::warn!(messages, "shutdown_timeout is over: no record was made of messages that are open");
            return;
        }
        task::yield_now().await;
    }
}

async fn over(stop: &Stop) -> Reason {
    stop.waiting.cancelled().await;
    Reason::Shutdown
}
