//! Preparing a new configuration: everything that can fail is done here, while the current configuration continues.
//!
//! Much of this waits for a file system, which may not answer. The preparation therefore works on a snapshot of the
//! app, on another thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{CheckpointFile, NextJoins};
use super::descriptors::{self, Plan};
use super::drain::Times;
use super::part::{NextPart, PartId, PartLife};
use super::sinks::outlet;
use super::sources::{origin, passes_connections};
use super::{App, Error};
use crate::admin::AdminListeners;
use crate::buffer::queue;
use crate::config::{Config, SinkConfig, SourceConfig, SourceEndpoint};
use crate::crash::panic_point;
use crate::ledger::{SinkLedger, SourceLedger};
use crate::pipeline::{Current, Outlet};
use crate::sink::{self, Before, Control, Started, Turn, TurnWatch};
use crate::source::{Descriptors, Intake, Sockets, Source, Stop};
use crate::systemd::Passed;

/// Maximum time to wait until the threads of a refused configuration end. They have no work.
const LET_GO: Duration = Duration::from_secs(1);

/// Snapshot of the running sources and sinks, as a new configuration finds them.
pub(super) struct Present {
    sources: Vec<OldSource>,
    sinks: Vec<OldSink>,
    pipeline: Current,
    checkpoint: Option<Arc<CheckpointFile>>,
    descriptors: Descriptors,
    admin: AdminListeners,
}

struct OldSource {
    id: PartId,
    config: SourceConfig,
    sockets: Sockets,
    life: PartLife,
}

struct OldSink {
    id: PartId,
    config: SinkConfig,
    destination: TurnWatch,
    spool: Option<TurnWatch>,
    life: PartLife,
}

/// The parts of a configuration, ready to start. Running parts that it does not name are to leave.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) plan: Plan,
    pub(super) sinks: Vec<NextSink>,
    pub(super) sources: Vec<NextSource>,
    pub(super) joins: NextJoins,
    pub(super) admin: AdminListeners,
    pub(super) start: SinkStart,
}

pub(super) type NextSink = NextPart<SinkConfig, NewSink>;
pub(super) type NextSource = NextPart<SourceConfig, NewSource>;

pub(super) struct NewSink {
    pub(super) ledger: Arc<SinkLedger>,
    pub(super) control: Control,
    pub(super) outlet: Arc<Outlet>,
    pub(super) started: Started,
    /// Running sinks whose spool this one uses.
    pub(super) takes_spool_of: Vec<PartId>,
}

pub(super) struct NewSource {
    pub(super) ledger: Arc<SourceLedger>,
    pub(super) stop: Stop,
    pub(super) source: Source,
    /// Running source at the same address whose connections live on beside this one.
    pub(super) succeeds: Option<PartId>,
}

/// Holds back the threads of new sinks. If it is dropped, they end: they have no work.
#[derive(Default)]
pub(super) struct SinkStart {
    turn: Turn,
    controls: Vec<Control>,
    spools: Vec<TurnWatch>,
}

impl Present {
    pub(super) fn of(app: &App) -> Self {
        let sources = app.sources.list.iter().map(|source| OldSource {
            id: source.id,
            config: source.config.clone(),
            sockets: source.sockets.clone(),
            life: source.life.plain(),
        });
        let sinks = app.sinks.list.iter().map(|sink| OldSink {
            id: sink.id,
            config: sink.config.clone(),
            destination: sink.destination.clone(),
            spool: sink.spool.clone(),
            life: sink.life.plain(),
        });
        Self {
            sources: sources.collect(),
            sinks: sinks.collect(),
            pipeline: app.pipeline.clone(),
            checkpoint: app.checkpoint.get(),
            descriptors: app.descriptors.clone(),
            admin: app.admin.listeners.clone(),
        }
    }

    /// Creates the parts of `config` that do not exist yet. On an error they are dropped again, and nothing has
    /// changed. Blocks the thread.
    pub(super) fn prepare(&self, config: Config, passed: Passed) -> Result<Prepared, Error> {
        let plan = Plan::new(&config, descriptors::allow()?)?;
        let mut prepared = Prepared {
            config,
            plan,
            sinks: Vec::new(),
            sources: Vec::new(),
            joins: NextJoins::default(),
            admin: AdminListeners::default(),
            start: SinkStart::default(),
        };
        match self.fill(&mut prepared, passed) {
            Ok(()) => Ok(prepared),
            Err(error) => {
                prepared.start.refuse();
                Err(error)
            }
        }
    }

    /// Makes the parts of `prepared.config`.
    fn fill(&self, prepared: &mut Prepared, mut passed: Passed) -> Result<(), Error> {
        let config = &prepared.config;
        for sink in &config.sinks {
            let start = &mut prepared.start;
            prepared.sinks.push(match self.same_sink(sink) {
                Some(id) => NextPart::Kept { id, config: sink.clone() },
                None => NextPart::New { config: sink.clone(), part: self.new_sink(sink, config, start)? },
            });
        }
        // Sources that stay are found first: their sockets must not go to another source.
        let kept: Vec<_> = config.sources.iter().filter_map(|source| self.same_source(source)).collect();
        for source in &config.sources {
            prepared.sources.push(match self.same_source(source) {
                Some(id) => NextPart::Kept { id, config: source.clone() },
                None => NextPart::New { config: source.clone(), part: self.new_source(source, &mut passed, &kept)? },
            });
        }
        passed.finish();
        prepared.joins = NextJoins::prepare(config, self.pipeline.get().joins(), self.checkpoint.as_ref());
        // The sources come first: a default of the admin server is not worth one of them.
        prepared.admin = AdminListeners::bind(&config.admin, &self.admin)?;
        panic_point("prepare");
        Ok(())
    }

    /// Returns the running sink that continues as `new`.
    fn same_sink(&self, new: &SinkConfig) -> Option<PartId> {
        self.sinks.iter().find(|old| old.life.is_current() && old.config == *new).map(|old| old.id)
    }

    /// Returns the running source that continues as `new`. There is only one standard input: it continues whatever its
    /// settings are.
    fn same_source(&self, new: &SourceConfig) -> Option<PartId> {
        let is_stdin = |source: &SourceConfig| source.kind.facts().endpoint() == SourceEndpoint::Stdin;
        let is_same = |old: &SourceConfig| *old == *new || (is_stdin(old) && is_stdin(new));
        self.sources.iter().find(|old| old.life.is_current() && is_same(&old.config)).map(|old| old.id)
    }

    fn new_sink(&self, sink: &SinkConfig, config: &Config, start: &mut SinkStart) -> Result<NewSink, Error> {
        self.check_spool(sink)?;
        let (before, takes_spool_of) = self.before(sink, config, start.turn.held());
        let ledger = Arc::<SinkLedger>::default();
        let control = Control::new(Times::of(config.shutdown_timeout).sinks);
        start.controls.push(control.clone());
        let (sender, receiver) = queue(sink.input_size());
        let most_in_flight = config.sources.iter().map(|source| source.max_bytes_in_flight).min().unwrap_or(usize::MAX);
        let started = sink::build(sink, receiver, most_in_flight, &before, &control, &ledger)
            .map_err(|reason| Error::Sink { name: sink.name.clone(), reason })?;
        start.spools.extend(started.spool.clone());
        let outlet = Arc::new(outlet(sink, sender, Arc::clone(&ledger)));
        Ok(NewSink { ledger, control, outlet, started, takes_spool_of })
    }

    /// Checks that no running sink of another kind uses the spool of `sink`: it may leave records there that `sink`
    /// could not deliver.
    fn check_spool(&self, sink: &SinkConfig) -> Result<(), Error> {
        let kind = |sink: &SinkConfig| sink.kind.facts().name();
        let is_of_another_kind = |old: &&OldSink| old.config.shares_spool(sink) && kind(&old.config) != kind(sink);
        let Some(old) = self.sinks.iter().find(is_of_another_kind) else { return Ok(()) };
        let reason = format!(
            "the running sink {} of the kind {} has the same spool, and may leave records there that a sink of the kind {} \
             cannot deliver; give the new sink a spool directory of its own",
            old.config.name,
            kind(&old.config),
            kind(sink)
        );
        Err(Error::Sink { name: sink.name.clone(), reason })
    }

    /// Returns what a new sink has to wait for, and the running sinks whose spool it uses.
    fn before(&self, sink: &SinkConfig, config: &Config, start: TurnWatch) -> (Before, Vec<PartId>) {
        let leaving = || self.sinks.iter().filter(|old| !old.life.is_current() || !config.sinks.contains(&old.config));
        let destination = leaving().filter(|old| old.config.kind.facts().shares_destination(&sink.kind));
        let spool: Vec<_> = leaving().filter(|old| old.config.shares_spool(sink)).collect();
        let before = Before {
            start: Some(start),
            destination: destination.map(|old| old.destination.clone()).collect(),
            spool: spool.iter().filter_map(|old| old.spool.clone()).collect(),
        };
        (before, spool.iter().map(|old| old.id).collect())
    }

    /// Binds a new source. It takes over the sockets of the running source at its address, if that one is not in
    /// `kept`.
    fn new_source(&self, config: &SourceConfig, passed: &mut Passed, kept: &[PartId]) -> Result<NewSource, Error> {
        let mut leaving = self.sources.iter().filter(|old| old.life.is_current() && !kept.contains(&old.id));
        let predecessor = leaving.find(|old| config.succeeds(&old.config));
        let (ledger, stop) = (Arc::<SourceLedger>::default(), Stop::default());
        let intake = Intake::new(
            self.pipeline.clone(),
            origin(config),
            Arc::clone(&ledger),
            config.max_bytes_in_flight,
            config.max_frame_size,
            stop.clone(),
        )
        .with(self.descriptors.clone());
        let source = Source::bind(&config.kind, passed, predecessor.map(|old| &old.sockets), intake);
        let source = source.map_err(|error| {
            match self.sources.iter().find(|old| old.life.is_current() && old.config.obstructs(config)) {
                Some(old) => Error::Obstructed { error, source_name: old.config.name.clone() },
                None => error.into(),
            }
        })?;
        let succeeds = predecessor.filter(|old| passes_connections(&old.config, config)).map(|old| old.id);
        Ok(NewSource { ledger, stop, source, succeeds })
    }
}

// === impl SinkStart ===

impl SinkStart {
    /// Lets the threads begin.
    pub(super) fn begin(mut self) {
        self.controls.clear();
    }

    /// Ends the threads, and waits a moment until their spools are released: the next attempt may need them. Blocks the
    /// thread.
    fn refuse(mut self) {
        self.let_go();
        let until = Instant::now() + LET_GO;
        for spool in &self.spools {
            // It may last longer: the next attempt then says so.
            let _ = spool.wait_until(until);
        }
    }

    fn let_go(&mut self) {
        for control in self.controls.drain(..) {
            control.set_timeout(Duration::ZERO);
            control.stop();
        }
    }
}

impl Drop for SinkStart {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests;
