//! The joins of lines: the records of messages and sessions that no line makes, but time or a stop.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{self, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::checkpoint::{self, CheckpointFile, NextJoins, PresentCheckpoint, WrittenCheckpoint};
use crate::config::CorrelateConfig;
use crate::correlate::{Correlator, JoinProgress};
use crate::ledger::Reason;
use crate::panics::{self, Panic};
use crate::pipeline::Current;
use crate::receipt::Receipt;
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
    pub(super) fn start(pipeline: Current, checkpoint: PresentCheckpoint, tasks: &mut JoinSet<()>) -> Self {
        let (stop, failed) = (Stop::default(), Arc::<OnceLock<_>>::default());
        let (of_task, report) = (stop.clone(), Arc::clone(&failed));
        let run = async move {
            let both = async {
                let ticks = tick(pipeline.clone(), checkpoint.clone(), of_task.clone());
                tokio::join!(ticks, checkpoint::keep(pipeline, checkpoint, of_task));
            };
            if let Err(panic) = panics::catch_in(both).await {
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

    /// Takes the joins of the next configuration, before its pipeline is used. Those of the present one go on with the
    /// new limits. Without joins in the next configuration, a task in `tasks` closes the messages as at a stop.
    pub(super) fn exchange(
        &self,
        next: NextJoins,
        config: &CorrelateConfig,
        (pipeline, present_checkpoint): (&Current, &PresentCheckpoint),
        tasks: &mut JoinSet<()>,
    ) -> Option<Arc<Correlator>> {
        let NextJoins { joins, checkpoint } = next;
        let file = present_checkpoint.set(checkpoint.clone(), config.checkpoint_interval);
        let file = file.filter(|file| checkpoint.is_none_or(|next| !Arc::ptr_eq(file, &next)));
        match (&joins, config.joins, pipeline.get().joins().cloned()) {
            (Some(joins), Some(settings), _) => joins.set(settings),
            (_, _, Some(present)) => {
                tasks.spawn(leave(pipeline.clone(), present, file, self.stop.clone()));
                return None;
            }
            (_, _, None) => {}
        }
        if let Some(file) = file {
            file.remove();
        }
        joins
    }
}

/// Hands on the summaries that are due, once a second. No line comes again that would make them. A sink therefore has
/// them durably before a checkpoint counts them as delivered.
async fn tick(pipeline: Current, checkpoint: PresentCheckpoint, stop: Stop) {
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
            let receipt = checkpoint.get().map(|_| Receipt::of_durable());
            (processed, progress) = pipeline.tick(Timestamp::now(), receipt);
            processed.send(&name, over(&stop)).await;
        }
    }
}

/// Closes the messages of `joins`, which the current pipeline does not have any more, when no read uses them.
async fn leave(pipeline: Current, joins: Arc<Correlator>, file: Option<Arc<CheckpointFile>>, stop: Stop) {
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
    if let Some(file) = file {
        file.remove();
    }
}

/// Writes the last checkpoint of the run, or else closes all messages, until the time `until`. Returns the checkpoint,
/// which is to be put in place when the sinks have what it has.
pub(super) async fn stop(
    pipeline: &Current,
    checkpoint: &PresentCheckpoint,
    until: Instant,
) -> Option<WrittenCheckpoint> {
    let joins = pipeline.get().joins().cloned()?;
    match checkpoint.write(joins).await {
        Ok(Some(written)) => return Some(written),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!("correlate: the checkpoint cannot be written: {error}; closing all messages as incomplete");
        }
    }
    finish(pipeline, until).await;
    None
}

/// Puts the last checkpoint of the run in place. With `is_complete`, the sinks have taken all records.
pub(super) async fn leave_checkpoint(written: WrittenCheckpoint, is_complete: bool) {
    if !is_complete || !written.is_resolved() {
        tracing::warn!(
            "correlate: the sinks did not take all records, so the checkpoint before stays; lines of followed files \
             are joined again, and records of other messages may be incomplete"
        );
    } else if let Err(error) = written.replace().await {
        tracing::warn!("correlate: the checkpoint cannot be put in place: {error}; the one before stays");
    }
}

/// Closes all messages at a stop. Records that no sink takes until the time `until` are dropped, or not made.
async fn finish(pipeline: &Current, until: Instant) {
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
