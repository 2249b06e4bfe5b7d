//! The running sinks: those of the configuration, and those of earlier ones that still deliver.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet};

use super::Error;
use super::part::{NextPart, PartId, PartLife, cancel_after};
use super::prepare::{NewSink, NextSink};
use super::stall::Stall;
use crate::buffer::{Sender, Waiting};
use crate::config::SinkConfig;
use crate::dsn::Language;
use crate::encode::Encoder;
use crate::ledger::SinkLedger;
use crate::pipeline::{Outlet, Pipeline, Shown};
use crate::sink::{Control, Started, TurnWatch, Worker, WorkerEnd};

/// Maximum time that a removed sink may continue if another sink waits for its spool: the other sink delivers what is
/// left.
pub(super) const SPOOL_HANDOVER: Duration = Duration::from_secs(1);

/// The running sinks and their threads.
#[derive(Default)]
pub(super) struct Sinks {
    /// Those of the configuration come first, in its order.
    pub(super) list: Vec<LiveSink>,
    /// Each task waits for the end of one thread.
    pub(super) workers: JoinSet<(String, WorkerEnd)>,
}

/// A running sink and its counts.
pub(super) struct LiveSink {
    pub(super) id: PartId,
    pub(super) config: SinkConfig,
    pub(super) ledger: Arc<SinkLedger>,
    pub(super) control: Control,
    /// A sink of the configuration has an outlet; one that is leaving receives nothing more.
    pub(super) life: PartLife<Arc<Outlet>>,
    pub(super) destination: TurnWatch,
    pub(super) spool: Option<TurnWatch>,
    /// Threads of the sink that have not ended, by the tasks that wait for them.
    pub(super) threads: Vec<task::Id>,
    pub(super) shown: ShownRecords,
    pub(super) stall: Stall,
}

/// Counts of the records offered to a sink: those that went through the pipelines of its lifetime.
#[derive(Debug, Default)]
pub(super) struct ShownRecords {
    before: ShownCounts,
    pipelines: Vec<(Weak<Pipeline>, Arc<Shown>)>,
}

/// Counts of records that were offered to sinks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShownCounts {
    /// Records of frames.
    pub(super) offered: u64,
    /// Records of messages and sessions.
    pub(super) created: u64,
}

impl Sinks {
    /// Begins the new sinks of the next configuration; the list is then that configuration. Returns the other running
    /// sinks, which are to leave when no more records go to them.
    pub(super) fn begin(&mut self, next: Vec<NextSink>) -> Vec<LiveSink> {
        let mut old = std::mem::take(&mut self.list);
        for part in next {
            let sink = match part {
                NextPart::Kept { id, .. } => {
                    let kept = old.iter().position(|sink| sink.id == id);
                    old.remove(kept.unwrap_or_else(|| unreachable!("only a sink that is leaving is ever removed")))
                }
                NextPart::New { config, part: new } => self.start(config, new),
            };
            self.list.push(sink);
        }
        old
    }

    fn start(&mut self, config: SinkConfig, new: NewSink) -> LiveSink {
        let NewSink { ledger, control, outlet, started, takes_spool_of: _ } = new;
        let Started { workers, destination, spool } = started;
        let threads = workers.into_iter().map(|worker| self.workers.spawn(ended(worker)).id()).collect();
        LiveSink {
            id: PartId::unique(),
            config,
            ledger,
            control,
            life: PartLife::Current(outlet),
            destination,
            spool,
            threads,
            shown: ShownRecords::default(),
            stall: Stall::default(),
        }
    }

    /// Returns the outlets of the configuration, with the shape in which each takes records. `language` is that of
    /// sinks that do not name one.
    pub(super) fn outlets(&self, language: Language) -> Vec<(Encoder, Arc<Outlet>)> {
        let shape = |sink: &LiveSink| Encoder { language: sink.config.language.unwrap_or(language) };
        self.list.iter().filter_map(|sink| Some((shape(sink), Arc::clone(sink.life.current()?)))).collect()
    }

    /// Makes `sinks` end within `time`, or sooner if another sink takes the spool: those are in `handovers`.
    pub(super) fn leave(&mut self, sinks: Vec<LiveSink>, handovers: &[PartId], time: Duration) {
        for mut sink in sinks {
            let time = if handovers.contains(&sink.id) { time.min(SPOOL_HANDOVER) } else { time };
            // For a sink that was removed earlier, this can only shorten its time.
            sink.control.set_timeout(time);
            sink.control.stop();
            if let Some(outlet) = sink.life.leave() {
                cancel_after(time, outlet.queue.closing());
            }
            self.list.push(sink);
        }
    }

    /// Handles the end of a thread of a sink; returns `Some` if it is a reason to stop.
    pub(super) fn ended(
        &mut self,
        ended: Result<(task::Id, (String, WorkerEnd)), JoinError>,
    ) -> Option<Result<(), Error>> {
        let Ok((id, (name, end))) = ended else { return None };
        let sink = self.list.iter_mut().find(|sink| sink.threads.contains(&id))?;
        sink.threads.retain(|thread| *thread != id);
        let is_expected = !sink.life.is_current() && !matches!(end, WorkerEnd::Failed(_));
        (!is_expected).then(|| worker_ended(name, end))
    }
}

async fn ended(mut worker: Worker) -> (String, WorkerEnd) {
    let end = worker.ended().await;
    (worker.name().to_owned(), end)
}

pub(super) fn worker_ended(name: String, end: WorkerEnd) -> Result<(), Error> {
    match end {
        WorkerEnd::Finished => Ok(()),
        WorkerEnd::Closed(reason) => {
            tracing::info!(sink = name, "{reason}; stopping");
            Ok(())
        }
        WorkerEnd::Failed(reason) => Err(Error::Sink { name, reason }),
    }
}

impl LiveSink {
    /// Returns true if no part of the sink is active any more, and others may use its destination.
    pub(super) fn has_ended(&self) -> bool {
        self.threads.is_empty() && !self.destination.lasts() && !self.life.is_current() && self.shown.is_final()
    }
}

impl ShownCounts {
    fn add(&mut self, shown: &Shown) {
        self.offered += shown.offered.load(Ordering::Relaxed);
        self.created += shown.created.load(Ordering::Relaxed);
    }

    pub(super) const fn all(self) -> u64 {
        self.offered + self.created
    }
}

impl ShownRecords {
    /// Counts the records of `pipeline` too, from now on.
    pub(super) fn add(&mut self, pipeline: &Arc<Pipeline>) {
        let mut before = self.before;
        self.pipelines.retain(|(old, count)| {
            let lasts = old.strong_count() > 0;
            if !lasts {
                // The pipeline is gone, so its count is final.
                fence(Ordering::Acquire);
                before.add(count);
            }
            lasts
        });
        self.before = before;
        self.pipelines.push((Arc::downgrade(pipeline), pipeline.shown()));
    }

    pub(super) fn total(&self) -> ShownCounts {
        let mut total = self.before;
        self.pipelines.iter().for_each(|(_, shown)| total.add(shown));
        total
    }

    fn is_final(&self) -> bool {
        self.pipelines.iter().all(|(pipeline, _)| pipeline.strong_count() == 0)
    }
}

pub(super) fn outlet(sink: &SinkConfig, queue: Sender, ledger: Arc<SinkLedger>) -> Outlet {
    let facts = sink.kind.facts();
    Outlet {
        name: sink.name.clone(),
        select: sink.select.clone(),
        route: facts.route(),
        key: facts.key(),
        queue,
        ledger,
        waiting: Waiting::default(),
    }
}
