//! The one place where the state of the daemon is put together.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::checkpoint::{CheckpointFile, PresentCheckpoint};
use super::part::PartLife;
use super::sinks::{LiveSink, ShownRecords};
use super::sources::LiveSource;
use crate::correlate::{Correlator, JoinCounts};
use crate::ledger::{SinkCounts, SourceCounts};
use crate::mail_counts::MailTotals;
use crate::sink::{LastingOutage, OutageReport};
use crate::status::{
    Attempt, Balance, JoinStatus, Ledger, OutageStatus, Phase, Program, Queue, Reload, SinkState, SinkStatus, Snapshot,
    SourceState, SourceStatus, SpoolStatus, StalledSink,
};
use crate::time::{clock, shown};
use crate::unparsed::Unparsed;

/// Maximum time to wait for consistent counts while records move.
const MOVING: Duration = Duration::from_millis(200);

/// State that outlives sources and sinks.
pub(super) struct Status {
    program: Program,
    /// Time of the start, by both clocks: a time shown for an [`Instant`] never changes then.
    begun: (Instant, SystemTime),
    reload: Reload,
    unparsed: Arc<Unparsed>,
    mail: Arc<MailTotals>,
    /// The joins of the present configuration.
    pub(super) joins: Option<Arc<Correlator>>,
    checkpoint: PresentCheckpoint,
    /// Records offered to sinks, through all pipelines.
    pub(super) shown: ShownRecords,
    /// Sums over the sources and sinks that a reload removed, and that have ended.
    pub(super) ended: Sums,
}

/// Sums over sources and sinks.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    sources: SourceCounts,
    sinks: SinkCounts,
    balance: Balance,
}

impl Sums {
    fn new() -> Self {
        Self { sources: SourceCounts::default(), sinks: SinkCounts::default(), balance: Balance::Holds }
    }

    pub(super) fn add_source(&mut self, source: &SourceStatus) {
        self.sources += source.counts;
    }

    pub(super) fn add_sink(&mut self, sink: &SinkStatus) {
        self.sinks += sink.counts;
        self.balance = self.balance.and(sink.balance);
    }
}

impl Status {
    pub(super) fn new(unparsed: Arc<Unparsed>, mail: Arc<MailTotals>, checkpoint: PresentCheckpoint) -> Self {
        let begun = (Instant::now(), SystemTime::now());
        let program = Program {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("POSTRIDER_COMMIT"),
            pid: std::process::id(),
            started_at: shown(begun.1),
        };
        let (reload, shown) = (Reload::default(), ShownRecords::default());
        Self { program, begun, reload, unparsed, mail, joins: None, checkpoint, shown, ended: Sums::new() }
    }

    /// Notes that a configuration is in use.
    pub(super) fn configured(&mut self) {
        self.reload.generation += 1;
        let now = clock();
        self.reload.in_use_since = Some(now);
        self.reload.last = Some(Attempt { at: now, error: None });
    }

    /// Notes that a configuration was refused.
    pub(super) fn refused(&mut self, error: String) {
        self.reload.refused += 1;
        self.reload.last = Some(Attempt { at: clock(), error: Some(error) });
    }

    /// Returns the state now. At the end of the program, waits a moment until the counts are consistent.
    pub(super) fn snapshot(&self, sources: &[LiveSource], sinks: &[LiveSink], phase: Phase) -> Snapshot {
        let is_complete = || {
            let offered: u64 = sources.iter().map(|source| source.ledger.counts().offered()).sum();
            self.ended.sources.offered() + offered == self.shown.total().offered
        };
        let sinks: Vec<_> = sinks.iter().map(|sink| self.sink(sink, sources, is_complete, phase)).collect();
        let sources: Vec<_> = sources.iter().map(|source| source.status(phase)).collect();
        let mut all = self.ended;
        for source in &sources {
            all.add_source(source);
        }
        for sink in &sinks {
            all.add_sink(sink);
        }
        let Sums { sources: source_sums, sinks: sink_sums, balance } = all;
        Snapshot {
            at: clock(),
            phase,
            program: self.program.clone(),
            reload: self.reload.clone(),
            ledger: Ledger {
                balance,
                unparsed: self.unparsed.total(),
                created: self.shown.total().created,
                sources: source_sums,
                sinks: sink_sums,
            },
            correlate: self.joins.as_deref().map(|joins| JoinStatus::of(joins, self.checkpoint.get().as_deref())),
            mail: self.mail.now(),
            sources,
            sinks,
        }
    }

    /// Returns the state of a sink that has ended although the program goes on.
    pub(super) fn ended_sink(&self, sink: &LiveSink) -> SinkStatus {
        self.sink(sink, &[], || true, Phase::Ended)
    }

    /// Returns the state of a sink. `is_complete` returns true if all that the sources handed on went through a
    /// pipeline.
    fn sink(
        &self,
        sink: &LiveSink,
        sources: &[LiveSource],
        is_complete: impl Fn() -> bool,
        phase: Phase,
    ) -> SinkStatus {
        let (counts, balance) = sink.counts(is_complete, phase);
        let facts = sink.config.kind.facts();
        let (begun, started) = self.begun;
        let at = |since: Instant| shown(started + since.saturating_duration_since(begun));
        let outage = |report: &OutageReport| {
            let LastingOutage { since, reason } = report.lasting()?;
            Some(OutageStatus { since: at(since), reason })
        };
        let stall = sink.stall.told().map(|(kind, since)| StalledSink { kind, since: at(since) });
        SinkStatus {
            name: sink.config.name.clone(),
            kind: facts.name(),
            destination: facts.destination(),
            state: sink.state(phase),
            stall,
            outage: outage(sink.control.destination()),
            waiting: sink.waiting(sources).into_iter().collect(),
            spool: sink.config.spool.as_ref().map(|spool| SpoolStatus {
                directory: spool.directory.clone(),
                mode: spool.mode.name(),
                when_full: spool.when_full.name(),
                limit: spool.max_size,
                outage: outage(sink.control.spool()),
            }),
            counts,
            balance,
        }
    }
}

impl JoinStatus {
    fn of(joins: &Correlator, checkpoint: Option<&CheckpointFile>) -> Self {
        let (JoinCounts { messages, memory, systems, evicted }, settings) = (joins.counts(), joins.settings());
        let (max_messages, max_memory) = (settings.max_messages, settings.max_memory);
        let checkpoint = checkpoint.map(CheckpointFile::status);
        Self { messages, max_messages, memory, max_memory, systems, evicted, checkpoint }
    }
}

impl LiveSource {
    /// Returns the state of the source.
    pub(super) fn status(&self, phase: Phase) -> SourceStatus {
        let counts = self.ledger.counts();
        let state = match self.failed.get() {
            Some(reason) => SourceState::Failed(reason.to_string()),
            None if self.has_ended || phase.is_end() => SourceState::Ended,
            None if !self.life.is_current() || self.stop.reading.is_cancelled() => SourceState::Leaving,
            None => SourceState::Running,
        };
        SourceStatus {
            name: self.config.name.clone(),
            kind: self.config.kind.facts().name(),
            endpoint: self.address.clone(),
            state,
            counts: if phase.is_end() { counts.at_the_end() } else { counts },
        }
    }
}

impl LiveSink {
    fn state(&self, phase: Phase) -> SinkState {
        match &self.life {
            _ if phase.is_end() || self.threads.is_empty() => SinkState::Ended,
            PartLife::Leaving => SinkState::Leaving,
            PartLife::Current(outlet) => {
                let queue = &outlet.queue;
                SinkState::Running(Queue { bytes: queue.held(), limit: queue.limit(), is_full: queue.is_full() })
            }
        }
    }

    /// Returns counts that are consistent, if there is such a moment soon, and whether they are.
    fn counts(&self, is_complete: impl Fn() -> bool, phase: Phase) -> (SinkCounts, Balance) {
        let until = Instant::now() + if phase.is_end() { MOVING } else { Duration::ZERO };
        loop {
            let counts = self.ledger.counts();
            let is_balanced = is_complete() && counts.balance() && counts.offered == self.shown.total().all();
            if is_balanced || Instant::now() >= until {
                let balance = match phase {
                    _ if is_balanced => Balance::Holds,
                    Phase::Ended => Balance::Broken,
                    Phase::Running | Phase::Stopping | Phase::Leaving => Balance::Unknown,
                };
                return (if phase.is_end() { counts.at_the_end() } else { counts }, balance);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
