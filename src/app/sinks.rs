//! The running sinks: those of the configuration, and those of earlier ones that still deliver.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use tokio::task;

use super::stall::Stall;
use crate::buffer::{Sender, Waiting};
use crate::config::SinkConfig;
use crate::ledger::SinkLedger;
use crate::pipeline::{Outlet, Pipeline, Shown};
use crate::sink::{Control, TurnWatch};

/// A running sink and its counts.
pub(super) struct LiveSink {
    pub(super) config: SinkConfig,
    pub(super) ledger: Arc<SinkLedger>,
    pub(super) control: Control,
    /// `None` after a reload removed this sink: it drains and receives nothing more.
    pub(super) outlet: Option<Arc<Outlet>>,
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

impl LiveSink {
    /// Returns true if no part of the sink is active any more, and others may use its destination.
    pub(super) fn has_ended(&self) -> bool {
        self.threads.is_empty() && !self.destination.lasts() && self.outlet.is_none() && self.shown.is_final()
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
