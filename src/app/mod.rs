//! The daemon: builds sinks, then the pipeline, then sources; reloads; waits for a reason to stop; drains.

mod checkpoint;
pub mod descriptors;
mod drain;
mod joins;
mod ledger_log;
mod loading;
mod part;
mod prepare;
mod reload;
mod signals;
mod sinks;
mod sources;
mod stall;
mod status;
mod status_file;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use self::checkpoint::PresentCheckpoint;
use self::descriptors::Plan;
use self::drain::{Times, drain};
use self::joins::JoinTicks;
use self::ledger_log::{LedgerLog, log_sink, log_source};
use self::loading::Loading;
use self::signals::{Asked, Signals};
use self::sinks::Sinks;
use self::sources::{LiveSource, Sources};
use self::status::Status;
use self::status_file::StatusFile;
use crate::admin::{AdminError, AdminListeners, AdminQuestion, AdminState};
use crate::config::{AdminConfig, Config, CorrelateConfig, LoadError};
use crate::dsn::Language;
use crate::log;
use crate::panics::{self, Panic};
use crate::pipeline::{Current, Pipeline};
use crate::source::{BindError, Descriptors, Failed};
use crate::status::{Balance, Phase, Snapshot};
use crate::systemd::{self, Passed};
use crate::throttle;

/// Interval at which the app checks its sinks, and whether a ledger is due.
const LOOK: Duration = Duration::from_secs(1);

/// Reason why the daemon could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something that every program needs.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// The configuration could not be loaded.
    #[error("{}", .0.of_start())]
    Config(#[from] LoadError),
    /// A defect.
    #[error("a defect in Postrider, please report it: {0}")]
    Panic(#[from] Panic),
    /// There are too few file descriptors.
    #[error("cannot start: {0}")]
    Descriptors(#[from] descriptors::TooFew),
    /// A source cannot listen.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// A source cannot listen, perhaps because a running source already does.
    #[error(
        "{error}; the running source {source_name} has a socket there, and only a source of the same kind and address can take the \
         socket over; first reload without {source_name}, or restart"
    )]
    Obstructed {
        /// Error of the new source.
        error: BindError,
        /// Name of the running source.
        source_name: String,
    },
    /// The admin server cannot listen.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// A source cannot continue.
    #[error("source {name}: {reason}")]
    Source {
        /// Name in the configuration.
        name: String,
        /// Cause of the failure.
        reason: Arc<Failed>,
    },
    /// A sink cannot start, or cannot continue without hiding a loss.
    #[error("sink {name}: {reason}")]
    Sink {
        /// Name in the configuration.
        name: String,
        /// Cause of the failure, and what to do.
        reason: String,
    },
    /// A ledger does not balance at the end, so it is unknown whether all acknowledged records are kept.
    #[error("the ledger of {sinks} does not balance: acknowledged records may be lost")]
    Unbalanced {
        /// Names of the sinks.
        sinks: String,
    },
}

/// Runs until a signal, until every source has ended, or until a source or a sink cannot continue. The configuration is
/// read from `file`, at the start and at SIGHUP; without a file it is [`Config::default_run`]. With `status_file`, the
/// state is written there, when it changes and at the end.
pub fn run(file: Option<&Path>, status_file: Option<&Path>) -> Result<(), Error> {
    let passed = Passed::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(panics::catch_in(async {
        // The signal handlers are installed before anything that takes time.
        let mut app = App::new(file, status_file, Signals::new()?);
        if app.start(passed).await? { app.run().await } else { Ok(()) }
    }));
    // A read of the standard input may still block; it holds no data.
    runtime.shutdown_background();
    result.unwrap_or_else(|panic| Err(panic.into()))
}

/// Settings that concern no source or sink alone.
#[derive(Clone, Debug, Default, PartialEq)]
struct GeneralSettings {
    language: Language,
    shutdown_timeout: Duration,
    correlate: CorrelateConfig,
    admin: AdminConfig,
}

/// The admin server.
struct LiveAdmin {
    state: AdminState,
    questions: mpsc::Receiver<AdminQuestion>,
    listeners: AdminListeners,
    /// The server for the listeners; it ends when this is dropped.
    server: JoinSet<()>,
}

struct App {
    file: Option<PathBuf>,
    loading: Loading,
    settings: GeneralSettings,
    times: Times,
    pipeline: Current,
    descriptors: Descriptors,
    plan: Option<Plan>,
    sources: Sources,
    ticks: JoinTicks,
    checkpoint: PresentCheckpoint,
    sinks: Sinks,
    status: Status,
    ledger_log: LedgerLog,
    status_file: Option<StatusFile>,
    admin: LiveAdmin,
    signals: Signals,
}

impl App {
    /// Creates the app without any source or sink.
    fn new(file: Option<&Path>, status_file: Option<&Path>, signals: Signals) -> Self {
        let pipeline = Pipeline::new(Vec::new());
        let (unparsed, mail) = (pipeline.unparsed(), pipeline.mail());
        let pipeline = Current::new(pipeline);
        let mut sources = Sources::default();
        let checkpoint = PresentCheckpoint::default();
        let ticks = JoinTicks::start(pipeline.clone(), checkpoint.clone(), &mut sources.tasks);
        Self {
            file: file.map(Path::to_owned),
            loading: Loading::default(),
            settings: GeneralSettings::default(),
            times: Times::of(Duration::ZERO),
            status: Status::new(Arc::clone(&unparsed), mail, checkpoint.clone()),
            pipeline,
            descriptors: Descriptors::default(),
            plan: None,
            sources,
            ticks,
            checkpoint,
            sinks: Sinks::default(),
            ledger_log: LedgerLog::new(unparsed),
            status_file: status_file.map(StatusFile::new),
            admin: LiveAdmin::new(),
            signals,
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        systemd::ready();
        // The watchdog continues during the shutdown, which may take long.
        systemd::watch();
        let result = self.serve().await;
        systemd::stopping();
        self.sinks.list.iter().for_each(|sink| sink.tell_stall_at_stop(&self.sources.list, Instant::now()));
        let Self { loading, mut signals, pipeline, ticks, checkpoint, times, .. } = self;
        let (Sources { list: sources, tasks }, Sinks { list: mut sinks, workers }) = (self.sources, self.sinks);
        let Self { status, mut ledger_log, mut status_file, mut admin, .. } = self;
        loading.leave();
        let outlets: Vec<_> = sinks.iter_mut().filter_map(|sink| sink.life.leave()).collect();
        let drained = drain(tasks, workers, (pipeline, outlets), (&sources, &ticks), &checkpoint, &sinks, &times);
        // The second signal needs the state as it is: dropping this future would abort the sources, and lose what they
        // hold.
        let mut drained = pin!(drained);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let snapshot = |phase| status.snapshot(&sources, &sinks, phase);
        let drained = loop {
            tokio::select! {
                drained = &mut drained => break drained,
                _ = look.tick() => sinks.iter().for_each(|sink| sink.look(&sources, Instant::now())),
                asked = signals.next() => match asked {
                    Asked::Stop(signal) => {
                        tracing::warn!(signal, "second signal: exiting at once");
                        tell_the_last(&snapshot(Phase::Leaving), &mut ledger_log, &mut status_file).await;
                        log::finish();
                        // Anything that blocks the drain would also block an orderly exit.
                        std::process::exit(1);
                    }
                    Asked::Ledger => {
                        ledger_log.log(&snapshot(Phase::Stopping));
                        status_file.iter_mut().for_each(StatusFile::ask);
                    }
                    Asked::Reload => {}
                },
                Some(question) = admin.questions.recv() => {
                    tell(question, &status, || snapshot(Phase::Stopping));
                    continue;
                }
            }
            if let Some(file) = &mut status_file {
                file.offer(snapshot(Phase::Stopping));
            }
        };
        let last = snapshot(Phase::Ended);
        tell_the_last(&last, &mut ledger_log, &mut status_file).await;
        admin.end().await;
        // A source can also fail during the shutdown.
        let failed = sources.iter().find_map(LiveSource::error).map_or(Ok(()), Err);
        let kept = balances(&last);
        result.and(drained).and(failed).and(kept)
    }

    /// Serves until there is a reason to stop.
    async fn serve(&mut self) -> Result<(), Error> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(signal) => {
                        tracing::info!(signal, "stopping: the sources stop reading, and the sinks deliver the remaining records");
                        return Ok(());
                    }
                    Asked::Reload => self.hangup(),
                    Asked::Ledger => {
                        self.log_ledger();
                        self.status_file.iter_mut().for_each(StatusFile::ask);
                    }
                },
                step = self.loading.next() => self.reload(step)?,
                Some(ended) = self.sinks.workers.join_next_with_id() => {
                    if let Some(result) = self.sinks.ended(ended) {
                        return result;
                    }
                }
                Some(ended) = self.sources.tasks.join_next_with_id() => self.task_ended(ended)?,
                _ = look.tick() => self.look(Instant::now()),
                Some(question) = self.admin.questions.recv() => {
                    tell(question, &self.status, || self.status.snapshot(&self.sources.list, &self.sinks.list, Phase::Running));
                    continue;
                }
            }
            self.remove_ended_sources();
            self.remove_ended_sinks();
            if self.sources.have_ended() {
                tracing::info!("the input has ended; stopping");
                return Ok(());
            }
            if let Some(file) = &mut self.status_file {
                file.offer(self.status.snapshot(&self.sources.list, &self.sinks.list, Phase::Running));
            }
        }
    }

    fn log_ledger(&mut self) {
        self.ledger_log.log(&self.status.snapshot(&self.sources.list, &self.sinks.list, Phase::Running));
    }

    /// Does the periodic checks.
    fn look(&mut self, now: Instant) {
        self.sinks.list.iter().for_each(|sink| sink.look(&self.sources.list, now));
        throttle::tell_sums(now);
        if self.ledger_log.is_due(now) {
            self.log_ledger();
        }
    }

    /// Handles the end of a source, or of a task beside the sources.
    fn task_ended(&mut self, ended: Result<(task::Id, ()), JoinError>) -> Result<(), Error> {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.sources.ended(id)?;
        self.ticks.error().filter(|_| self.ticks.task == id).map_or(Ok(()), Err)
    }

    /// Removes sources of earlier configurations that have ended.
    fn remove_ended_sources(&mut self) {
        for source in self.sources.list.extract_if(.., |source| source.has_ended && !source.life.is_current()) {
            let source = source.status(Phase::Ended);
            log_source(&source, true);
            self.status.ended.add_source(&source);
        }
    }

    /// Removes sinks of earlier configurations that have ended.
    fn remove_ended_sinks(&mut self) {
        for sink in self.sinks.list.extract_if(.., |sink| sink.has_ended()) {
            let sink = self.status.ended_sink(&sink);
            log_sink(&sink, true);
            self.status.ended.add_sink(&sink);
        }
    }
}

/// Answers a question of the admin server. It may have gone away meanwhile.
fn tell(question: AdminQuestion, status: &Status, snapshot: impl FnOnce() -> Snapshot) {
    match question {
        AdminQuestion::Status(place) if !place.is_closed() => _ = place.send(snapshot()),
        AdminQuestion::Status(_) => {}
        AdminQuestion::Joins(place) => _ = place.send(status.joins.clone()),
    }
}

impl LiveAdmin {
    /// Creates the server without a listener.
    fn new() -> Self {
        let (state, questions) = AdminState::new();
        Self { state, questions, listeners: AdminListeners::default(), server: JoinSet::new() }
    }

    /// Answers at `listeners` from now on.
    fn exchange(&mut self, listeners: AdminListeners) {
        listeners.log_new(&self.listeners);
        self.server = listeners.start(&self.state);
        self.listeners = listeners;
    }

    /// Closes the listeners, and removes the unix socket.
    async fn end(mut self) {
        self.server.shutdown().await;
    }
}

/// Logs the last ledger, and writes it to the status file.
async fn tell_the_last(snapshot: &Snapshot, log: &mut LedgerLog, file: &mut Option<StatusFile>) {
    throttle::tell_rest();
    log.log(snapshot);
    if let Some(file) = file {
        file.finish(snapshot.clone()).await;
    }
}

/// Returns an error that names the sinks whose ledger does not balance although nothing moves any more.
fn balances(last: &Snapshot) -> Result<(), Error> {
    let unbalanced = last.sinks.iter().filter(|sink| sink.balance == Balance::Broken);
    let sinks: Vec<_> = unbalanced.map(|sink| sink.name.as_str()).collect();
    if sinks.is_empty() { Ok(()) } else { Err(Error::Unbalanced { sinks: sinks.join(", ") }) }
}

/// Logs what is about to start, before anything can fail.
fn say_start(config: &Config, file: Option<&Path>) {
    let file = file.map_or_else(|| "the defaults".into(), Path::to_string_lossy);
    let sources: Vec<_> = config.sources.iter().map(|source| named(&source.name, source.kind.facts().name())).collect();
    let sinks: Vec<_> = config.sinks.iter().map(|sink| named(&sink.name, sink.kind.facts().name())).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = &*file,
        sources = sources.join(", "),
        sinks = sinks.join(", "),
        "Postrider starts"
    );
}

/// Returns the name of a source or a sink, with its kind if the name does not begin with it.
fn named(name: &str, kind: &str) -> String {
    if name.starts_with(kind) { name.to_owned() } else { format!("{name} ({kind})") }
}
