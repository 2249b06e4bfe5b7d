//! From one configuration to the next. The start is the same, from none.
//!
//! First everything new is made, beside the old: a sink's threads wait, a source is bound and not read. An error on the way
//! lets go of it, and nothing has changed. Then, in one step that does not fail, the pipeline is replaced and the new begins.
//!
//! | | equal in both | only in the old, or changed |
//! |---|---|---|
//! | source | goes on; the next batch takes the new pipeline | leaves its sockets to the one that has its address now, while its connections live on; otherwise stops |
//! | sink | goes on with its queue, threads, spool and files | gets nothing new and delivers what it has; one that has its destination or its spool now begins after that |

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::descriptors::{self, Plan};
use super::sinks::{LiveSink, Shown, outlet};
use super::sources::{Fate, LiveSource, fate, obstructs, origin, succeeds};
use super::stall::Stall;
use super::{App, Error, Times, ended};
use crate::buffer::queue;
use crate::config::{Config, SinkConfig, SourceConfig, SourceKind};
use crate::crash::panic_point;
use crate::encode::Encoder;
use crate::ledger::{SinkLedger, SourceLedger};
use crate::panics;
use crate::pipeline::Outlet;
use crate::sink::{self, Before, Control, Held, Started, Turn};
use crate::source::{Intake, Source, Stop};
use crate::systemd::Passed;

/// How long a sink whose spool another one waits for may go on: what it has not delivered by then is there for the other.
const SPOOL_HANDOVER: Duration = Duration::from_secs(1);

/// How long the threads of a configuration that is refused may take to end. They have nothing to do.
const LET_GO: Duration = Duration::from_secs(1);

/// What a configuration has that was not there before, ready to begin.
struct Prepared {
    sinks: Vec<Slot<NewSink>>,
    sources: Vec<Slot<NewSource>>,
    /// What becomes of each source that there is.
    fates: Vec<Option<Fate>>,
    /// As long as it lasts, no new sink begins.
    start: Turn,
}

/// The place of a source or a sink in the new configuration.
enum Slot<T> {
    /// The one that is at this place now goes on.
    Kept(usize),
    New(T),
}

struct NewSink {
    config: SinkConfig,
    ledger: Arc<SinkLedger>,
    control: Control,
    outlet: Arc<Outlet>,
    started: Started,
}

struct NewSource {
    config: SourceConfig,
    ledger: Arc<SourceLedger>,
    stop: Stop,
    source: Source,
}

/// What a reload has done, by the names of the configurations.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) sources: Names,
    pub(super) sinks: Names,
    pub(super) settings: Vec<&'static str>,
}

#[derive(Default)]
pub(super) struct Names {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    kept: Vec<String>,
}

impl App {
    /// Makes `config` the configuration. After an error all is as it was.
    pub(super) fn apply(&mut self, config: &Config, passed: &mut Passed) -> Result<Changes, Error> {
        let plan = Plan::new(config, descriptors::allow()?)?;
        let mut prepared = panics::catch(AssertUnwindSafe(|| self.prepare(config, passed)))??;
        let changes = self.changes(config, &prepared);
        panic_point("exchange");
        for (source, slot) in config.sources.iter().zip(&prepared.sources) {
            if let Slot::Kept(index) = slot
                && self.sources[*index].config != *source
            {
                let source = source.name.as_str();
                tracing::info!(
                    source,
                    "the standard input goes on as it began; what is new for it holds from the next start"
                );
            }
        }
        plan.set(&self.descriptors);
        if self.plan.replace(plan) != Some(plan) {
            plan.log();
        }
        self.times = Times::of(config.shutdown_timeout);
        self.settings = (config.language, config.shutdown_timeout);
        self.exchange_sinks(Encoder { language: config.language }, std::mem::take(&mut prepared.sinks));
        self.exchange_sources(std::mem::take(&mut prepared.sources), &prepared.fates);
        Ok(changes)
    }

    fn prepare(&self, config: &Config, passed: &mut Passed) -> Result<Prepared, Error> {
        let fates = self.sources.iter().map(|source| source.is_current.then_some(Fate::Stopped)).collect();
        let mut prepared = Prepared { sinks: Vec::new(), sources: Vec::new(), fates, start: Turn::default() };
        let most_in_flight = config.sources.iter().map(|source| source.max_bytes_in_flight).min();
        for sink in &config.sinks {
            let same = self.sinks.iter().position(|old| old.outlet.is_some() && old.config == *sink);
            prepared.sinks.push(match same {
                Some(index) => Slot::Kept(index),
                None => Slot::New(self.new_sink(sink, config, most_in_flight, &prepared.start)?),
            });
        }
        // Who stays is known first: his sockets go to nobody else.
        for source in &config.sources {
            if let Some(index) = self.same_source(source) {
                prepared.fates[index] = None;
            }
        }
        for source in &config.sources {
            let slot = match self.same_source(source) {
                Some(index) => Slot::Kept(index),
                None => Slot::New(self.new_source(source, passed, &mut prepared.fates)?),
            };
            prepared.sources.push(slot);
        }
        panic_point("prepare");
        Ok(prepared)
    }

    /// The source that goes on. There is one standard input, and it is like a connection: it lives on as it began.
    fn same_source(&self, new: &SourceConfig) -> Option<usize> {
        let is_stdin = |source: &SourceConfig| matches!(source.kind, SourceKind::Stdin(_));
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

    /// A sink may leave records in its spool, which one of another kind could not deliver.
    fn check_spool(&self, sink: &SinkConfig) -> Result<(), Error> {
        let is_of_another_kind =
            |old: &&LiveSink| sink::share_spool(&old.config, sink) && old.config.kind.name() != sink.kind.name();
        let Some(old) = self.sinks.iter().find(is_of_another_kind) else { return Ok(()) };
        let reason = format!(
            "its spool is that of the sink {} of the kind {} of the configuration in use, which may leave records there that one of the \
             kind {} cannot deliver: give it a directory of its own",
            old.config.name,
            old.config.kind.name(),
            sink.kind.name()
        );
        Err(Error::Sink { name: sink.name.clone(), reason })
    }

    /// Whom a new sink has to wait for.
    fn before(&self, sink: &SinkConfig, config: &Config, start: Held) -> Before {
        let leaving = || self.sinks.iter().filter(|old| old.outlet.is_none() || !config.sinks.contains(&old.config));
        let destination = leaving().filter(|old| sink::share_destination(&old.config, sink));
        let spool = leaving().filter(|old| sink::share_spool(&old.config, sink));
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
        fates: &mut [Option<Fate>],
    ) -> Result<NewSource, Error> {
        let leaving = self.sources.iter().zip(fates).filter(|(_, fate)| fate.is_some());
        let predecessor = leaving.into_iter().find_map(|(old, old_fate)| {
            let succeeds = succeeds(&old.config, config);
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
            match self.sources.iter().find(|old| old.is_current && obstructs(&old.config, config)) {
                Some(old) => Error::Obstructed { error, source_name: old.config.name.clone() },
                None => error.into(),
            }
        })?;
        Ok(NewSource { config: config.clone(), ledger, stop, source })
    }

    /// Replaces the pipeline: what is read from now on goes to the sinks of the new configuration.
    fn exchange_sinks(&mut self, encoder: Encoder, slots: Vec<Slot<NewSink>>) {
        let mut old: Vec<Option<LiveSink>> = std::mem::take(&mut self.sinks).into_iter().map(Some).collect();
        for slot in slots {
            let sink = match slot {
                Slot::Kept(index) => old[index].take(),
                Slot::New(new) => Some(self.begin_sink(new)),
            };
            self.sinks.extend(sink);
        }
        let outlets = self.sinks.iter().filter_map(|sink| sink.outlet.clone()).collect();
        self.pipeline.replace(self.pipeline.get().succeeded_by(encoder, outlets));
        let pipeline = self.pipeline.get();
        self.totals.shown.add(&pipeline);
        for sink in &mut self.sinks {
            sink.control.set_timeout(self.times.sinks);
            sink.shown.add(&pipeline);
        }
        for mut sink in old.into_iter().flatten() {
            let is_awaited =
                self.sinks.iter().any(|new| new.outlet.is_some() && sink::share_spool(&new.config, &sink.config));
            let time = if is_awaited { self.times.sinks.min(SPOOL_HANDOVER) } else { self.times.sinks };
            // For one that left earlier this can only shorten its time.
            sink.control.set_timeout(time);
            sink.control.stop();
            if let Some(outlet) = sink.outlet.take() {
                after(time, outlet.queue.closing());
            }
            self.sinks.push(sink);
        }
    }

    fn begin_sink(&mut self, new: NewSink) -> LiveSink {
        let NewSink { config, ledger, control, outlet, started } = new;
        let Started { workers, destination, spool } = started;
        let threads = workers.into_iter().map(|worker| self.workers.spawn(ended(worker)).id()).collect();
        let (outlet, shown) = (Some(outlet), Shown::default());
        LiveSink { config, ledger, control, outlet, destination, spool, threads, shown, stall: Stall::default() }
    }

    fn exchange_sources(&mut self, slots: Vec<Slot<NewSource>>, fates: &[Option<Fate>]) {
        let mut old: Vec<Option<LiveSource>> = std::mem::take(&mut self.sources).into_iter().map(Some).collect();
        for slot in slots {
            let source = match slot {
                Slot::Kept(index) => old[index].take(),
                Slot::New(new) => Some(self.begin_source(new)),
            };
            self.sources.extend(source);
        }
        for (source, fate) in old.into_iter().zip(fates) {
            let Some(mut source) = source else { continue };
            // The connections of one that left earlier end with the last of its successors.
            let is_orphan = || !self.sources.iter().any(|new| new.is_current && succeeds(&source.config, &new.config));
            match fate {
                Some(Fate::Succeeded) => source.stop.listening.cancel(),
                Some(Fate::Stopped) => self.stop_source(&source.stop),
                None if is_orphan() && !source.stop.reading.is_cancelled() => self.stop_source(&source.stop),
                None => {}
            }
            source.is_current = false;
            self.sources.push(source);
        }
        self.bury_sources();
    }

    fn begin_source(&mut self, new: NewSource) -> LiveSource {
        let NewSource { config, ledger, stop, mut source } = new;
        source.adapt();
        let sockets = source.sockets();
        tracing::info!(source = source.name(), address = source.address(), "listening");
        let failed = Arc::<OnceLock<_>>::default();
        let report = Arc::clone(&failed);
        let run = async move {
            if let Err(error) = source.run().await {
                // It is told once, and looked at when the task has ended.
                let _ = report.set(Arc::new(error));
            }
        };
        let task = self.tasks.spawn(run).id();
        LiveSource { config, ledger, stop, sockets, task, is_current: true, has_ended: false, failed }
    }

    /// As at a stop, in the same time.
    fn stop_source(&self, stop: &Stop) {
        stop.reading.cancel();
        after(self.times.sources, stop.waiting.clone());
    }

    fn changes(&self, config: &Config, prepared: &Prepared) -> Changes {
        let sources = self.sources.iter().filter(|old| old.is_current).map(|old| old.config.name.as_str());
        let sinks = self.sinks.iter().filter(|old| old.outlet.is_some()).map(|old| old.config.name.as_str());
        let new_sources =
            config.sources.iter().map(|new| new.name.as_str()).zip(prepared.sources.iter().map(Slot::is_kept));
        let new_sinks = config.sinks.iter().map(|new| new.name.as_str()).zip(prepared.sinks.iter().map(Slot::is_kept));
        let settings = [
            ("language", config.language != self.settings.0),
            ("shutdown_timeout", config.shutdown_timeout != self.settings.1),
        ];
        Changes {
            sources: Names::compare(&sources.collect::<Vec<_>>(), new_sources),
            sinks: Names::compare(&sinks.collect::<Vec<_>>(), new_sinks),
            settings: settings.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect(),
        }
    }
}

fn after(time: Duration, token: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        token.cancel();
    });
}

/// Ends threads that have nothing to do.
fn let_go(control: &Control) {
    control.set_timeout(Duration::ZERO);
    control.stop();
}

impl Drop for Prepared {
    /// Lets go of what was not used, and waits a moment until its spools are free: the next attempt may want them.
    fn drop(&mut self) {
        let new = || self.sinks.iter().filter_map(|sink| if let Slot::New(new) = sink { Some(new) } else { None });
        new().for_each(|new| let_go(&new.control));
        let until = Instant::now() + LET_GO;
        while new().filter_map(|new| new.started.spool.as_ref()).any(Held::lasts) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<T> Slot<T> {
    const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

// === impl Names ===

impl Names {
    fn compare<'n>(old: &[&str], new: impl Iterator<Item = (&'n str, bool)>) -> Self {
        let mut names = Self::default();
        let mut removed = old.to_vec();
        for (name, is_kept) in new {
            removed.retain(|old| *old != name);
            let list = match (is_kept, old.contains(&name)) {
                (true, _) => &mut names.kept,
                (false, true) => &mut names.changed,
                (false, false) => &mut names.added,
            };
            list.push(name.to_owned());
        }
        names.removed = removed.into_iter().map(str::to_owned).collect();
        names
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lists =
            [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed), ("kept", &self.kept)];
        let said: Vec<_> = lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        f.write_str(&said.join("; "))
    }
}
