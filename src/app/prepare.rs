//! Preparing a new configuration: everything that can fail is done here, while the current configuration continues.
//!
//! Much of this waits for a file system, which may not answer. The preparation therefore works on a snapshot of the
//! app, on another thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{CheckpointFile, NextJoins};
use super::descriptors::{self, Plan};
use super::drain::Times;
use super::sinks::outlet;
use super::sources::{SourceFate, fate, origin};
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

/// Snapshot of the running sources and sinks, each at its index in the app, as a new configuration finds them.
pub(super) struct Present {
    sources: Vec<OldSource>,
    sinks: Vec<OldSink>,
    pipeline: Current,
    checkpoint: Option<Arc<CheckpointFile>>,
    descriptors: Descriptors,
    admin: AdminListeners,
}

struct OldSource {
    config: SourceConfig,
    sockets: Sockets,
    is_current: bool,
}

struct OldSink {
    config: SinkConfig,
    destination: TurnWatch,
    spool: Option<TurnWatch>,
    is_current: bool,
}

/// The new parts of a configuration, ready to start.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) plan: Plan,
    pub(super) sinks: Vec<NextPart<NewSink>>,
    pub(super) sources: Vec<NextPart<NewSource>>,
    /// Fate of each running source; `None` if the source is kept, or was removed by an earlier reload.
    pub(super) fates: Vec<Option<SourceFate>>,
    /// For each running sink, true if a sink of the new configuration uses its spool.
    pub(super) handovers: Vec<bool>,
    pub(super) joins: NextJoins,
    pub(super) admin: AdminListeners,
    /// New sinks start when this is dropped.
    start: Turn,
}

/// A source or a sink of the new configuration.
pub(super) enum NextPart<T> {
    /// The running one at this index continues.
    Kept(usize),
    New(T),
}

pub(super) struct NewSink {
    pub(super) config: SinkConfig,
    pub(super) ledger: Arc<SinkLedger>,
    pub(super) control: Control,
    pub(super) outlet: Arc<Outlet>,
    pub(super) started: Started,
}

pub(super) struct NewSource {
    pub(super) config: SourceConfig,
    pub(super) ledger: Arc<SourceLedger>,
    pub(super) stop: Stop,
    pub(super) source: Source,
}

impl App {
    pub(super) fn present(&self) -> Present {
        let sources = self.sources.iter().map(|source| OldSource {
            config: source.config.clone(),
            sockets: source.sockets.clone(),
            is_current: source.is_current,
        });
        let sinks = self.sinks.iter().map(|sink| OldSink {
            config: sink.config.clone(),
            destination: sink.destination.clone(),
            spool: sink.spool.clone(),
            is_current: sink.outlet.is_some(),
        });
        Present {
            sources: sources.collect(),
            sinks: sinks.collect(),
            pipeline: self.pipeline.clone(),
            checkpoint: self.checkpoint.get(),
            descriptors: self.descriptors.clone(),
            admin: self.admin.listeners.clone(),
        }
    }
}

impl Present {
    /// Creates the parts of `config` that do not exist yet. On an error they are dropped again, and nothing has
    /// changed.
    pub(super) fn prepare(&self, config: Config, mut passed: Passed) -> Result<Prepared, Error> {
        let plan = Plan::new(&config, descriptors::allow()?)?;
        let mut prepared = Prepared {
            config,
            plan,
            sinks: Vec::new(),
            sources: Vec::new(),
            fates: self.sources.iter().map(|source| source.is_current.then_some(SourceFate::Stopped)).collect(),
            handovers: Vec::new(),
            joins: NextJoins::default(),
            admin: AdminListeners::default(),
            start: Turn::default(),
        };
        let config = &prepared.config;
        let most_in_flight = config.sources.iter().map(|source| source.max_bytes_in_flight).min();
        for sink in &config.sinks {
            let same = self.sinks.iter().position(|old| old.is_current && old.config == *sink);
            prepared.sinks.push(match same {
                Some(index) => NextPart::Kept(index),
                None => NextPart::New(self.new_sink(sink, config, most_in_flight, &prepared.start)?),
            });
        }
        // Sources that stay are found first: their sockets must not go to another source.
        for source in &config.sources {
            if let Some(index) = self.same_source(source) {
                prepared.fates[index] = None;
            }
        }
        for source in &config.sources {
            let slot = match self.same_source(source) {
                Some(index) => NextPart::Kept(index),
                None => NextPart::New(self.new_source(source, &mut passed, &mut prepared.fates)?),
            };
            prepared.sources.push(slot);
        }
        let has_successor = |old: &OldSink| config.sinks.iter().any(|new| new.shares_spool(&old.config));
        prepared.handovers = self.sinks.iter().map(has_successor).collect();
        passed.finish();
        prepared.joins = NextJoins::prepare(config, self.pipeline.get().joins(), self.checkpoint.as_ref());
        // The sources come first: a default of the admin server is not worth one of them.
        prepared.admin = AdminListeners::bind(&config.admin, &self.admin)?;
        panic_point("prepare");
        Ok(prepared)
    }

    /// Returns the index of the running source that continues as `new`. There is only one standard input, and it is
    /// like a connection: it continues with the settings with which it started.
    fn same_source(&self, new: &SourceConfig) -> Option<usize> {
        let is_stdin = |source: &SourceConfig| source.kind.facts().endpoint() == SourceEndpoint::Stdin;
        self.sources
            .iter()
            .position(|old| old.is_current && (old.config == *new || (is_stdin(&old.config) && is_stdin(new))))
    }

    fn new_sink(
        &self,
        sink: &SinkConfig,
        config: &Config,
        most_in_flight: Option<usize>,
        start: &Turn,
    ) -> Result<NewSink, Error> {
        self.check_spool(sink)?;
        let before = self.before(sink, config, start.held());
        let ledger = Arc::<SinkLedger>::default();
        let control = Control::new(Times::of(config.shutdown_timeout).sinks);
        let (sender, receiver) = queue(sink.input_size());
        let most_in_flight = most_in_flight.unwrap_or(usize::MAX);
        let started = sink::build(sink, receiver, most_in_flight, &before, &control, &ledger)
            .map_err(|reason| Error::Sink { name: sink.name.clone(), reason });
        let started = started.inspect_err(|_| let_go(&control))?;
        let outlet = Arc::new(outlet(sink, sender, Arc::clone(&ledger)));
        Ok(NewSink { config: sink.clone(), ledger, control, outlet, started })
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

    /// Returns what a new sink has to wait for.
    fn before(&self, sink: &SinkConfig, config: &Config, start: TurnWatch) -> Before {
        let leaving = || self.sinks.iter().filter(|old| !old.is_current || !config.sinks.contains(&old.config));
        let destination = leaving().filter(|old| old.config.kind.facts().shares_destination(&sink.kind));
        let spool = leaving().filter(|old| old.config.shares_spool(sink));
        Before {
            start: Some(start),
            destination: destination.map(|old| old.destination.clone()).collect(),
            spool: spool.filter_map(|old| old.spool.clone()).collect(),
        }
    }

    fn new_source(
        &self,
        config: &SourceConfig,
        passed: &mut Passed,
        fates: &mut [Option<SourceFate>],
    ) -> Result<NewSource, Error> {
        let leaving = self.sources.iter().zip(fates).filter(|(_, fate)| fate.is_some());
        let predecessor = leaving.into_iter().find_map(|(old, old_fate)| {
            let succeeds = config.succeeds(&old.config);
            if succeeds {
                *old_fate = Some(fate(&old.config, config));
            }
            succeeds.then_some(old)
        });
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
            match self.sources.iter().find(|old| old.is_current && old.config.obstructs(config)) {
                Some(old) => Error::Obstructed { error, source_name: old.config.name.clone() },
                None => error.into(),
            }
        })?;
        Ok(NewSource { config: config.clone(), ledger, stop, source })
    }
}

/// Ends threads that have no work.
fn let_go(control: &Control) {
    control.set_timeout(Duration::ZERO);
    control.stop();
}

impl Drop for Prepared {
    /// Ends the unused threads, and waits a moment until their spools are released: the next attempt may need them.
    fn drop(&mut self) {
        let new = || self.sinks.iter().filter_map(|sink| if let NextPart::New(new) = sink { Some(new) } else { None });
        new().for_each(|new| let_go(&new.control));
        let until = Instant::now() + LET_GO;
        // The deadline is one for all: whether one of them is missed changes nothing here.
        new().filter_map(|new| new.started.spool.as_ref()).for_each(|spool| _ = spool.wait_until(until));
    }
}

impl<T> NextPart<T> {
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

#[cfg(test)]
mod tests;
