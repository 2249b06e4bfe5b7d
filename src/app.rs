//! The daemon: builds sinks, then the pipeline, then sources; waits for its end; drains.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::buffer::queue;
use crate::config::{Config, SinkConfig, SinkKind, SourceConfig, SourceKind};
use crate::encode::Encoder;
use crate::ledger::{Reason, SinkLedger, SourceLedger};
use crate::pipeline::{Outlet, Pipeline, Route};
use crate::record::{Origin, Transport};
use crate::sink::{self, Control, End, Worker};
use crate::source::{BindError, Intake, Source, Stop};
use crate::systemd::{self, Passed};
use crate::unparsed::Unparsed;

/// What sinks, listeners and the runtime need besides the connections; a file sink keeps 128 files open.
const OTHER_DESCRIPTORS: u64 = 256;

/// The time for a stop is the sources' first, to hand on what they have read, and then the sinks'. At its end there is a
/// reserve: what is left has to be counted, and a sink that the kernel holds up in one write is not waited for any longer.
struct Times {
    sources: Duration,
    sinks: Duration,
    all: Duration,
}

/// Why the daemon could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine refused something that every program needs.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// A source cannot listen.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// A sink cannot start, or cannot go on without hiding a loss.
    #[error("sink {name}: {reason}")]
    Sink {
        /// Its name in the configuration.
        name: String,
        /// What happened, and what to do.
        reason: String,
    },
}

/// Runs until a signal, until every source has ended, or until a sink cannot go on.
pub fn run(config: &Config) -> Result<(), Error> {
    let mut passed = Passed::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let app = App::start(config, &mut passed)?;
        passed.finish();
        app.run().await
    });
    // A read of the standard input may still be blocked; it holds nothing.
    runtime.shutdown_background();
    result
}

struct App {
    sources: JoinSet<()>,
    workers: JoinSet<(String, End)>,
    pipeline: Arc<Pipeline>,
    stop: Stop,
    control: Control,
    times: Times,
    counts: Counts,
    signals: Signals,
}

/// The ledgers with the names of their owners.
#[derive(Default)]
struct Counts {
    unparsed: Arc<Unparsed>,
    sources: Vec<(String, Arc<SourceLedger>)>,
    sinks: Vec<(String, Arc<SinkLedger>)>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Asked {
    Stop(&'static str),
    Reopen,
}

impl App {
    fn start(config: &Config, passed: &mut Passed) -> Result<Self, Error> {
        let signals = Signals::new()?;
        allow_descriptors(config)?;
        let times = Times::of(config.shutdown_timeout);
        let control = Control::new(times.sinks);
        let stop = Stop::default();
        let mut counts = Counts::default();
        let mut workers = JoinSet::new();
        let mut outlets = Vec::new();
        for sink in &config.sinks {
            let ledger = Arc::<SinkLedger>::default();
            let (sender, receiver) = queue(sink.input_size());
            let started = sink::build(sink, receiver, most_in_flight(config), &control, &ledger)
                .map_err(|reason| Error::Sink { name: sink.name.clone(), reason })?;
            for worker in started {
                workers.spawn(ended(worker));
            }
            counts.sinks.push((sink.name.clone(), Arc::clone(&ledger)));
            outlets.push(outlet(sink, sender, ledger));
        }
        let pipeline = Arc::new(Pipeline::new(Encoder { language: config.language }, outlets));
        counts.unparsed = pipeline.unparsed();
        let mut bound = Vec::new();
        for source in &config.sources {
            let ledger = Arc::<SourceLedger>::default();
            let intake = Intake::new(
                Arc::clone(&pipeline),
                origin(source),
                Arc::clone(&ledger),
                source.max_bytes_in_flight,
                source.max_frame_size,
                stop.clone(),
            );
            bound.push(Source::bind(&source.kind, passed, intake)?);
            counts.sources.push((source.name.clone(), ledger));
        }
        let mut sources = JoinSet::new();
        for source in bound {
            tracing::info!(source = source.name(), address = source.address(), "listening");
            sources.spawn(source.run());
        }
        Ok(Self { sources, workers, pipeline, stop, control, times, counts, signals })
    }

    async fn run(mut self) -> Result<(), Error> {
        systemd::ready();
        // It goes on through the stop, which may take long.
        systemd::watch();
        let result = self.serve().await;
        systemd::stopping();
        let mut signals = self.signals;
        let drained = drain(self.sources, self.workers, self.pipeline, &self.stop, &self.control, &self.times);
        // The second signal finds everything as it stands: dropped, this would abort the sources, and lose what they hold.
        let mut drained = pin!(drained);
        let drained = tokio::select! {
            drained = &mut drained => drained,
            name = signals.stop() => {
                tracing::warn!(signal = name, "second signal: leaving at once");
                self.counts.log(false);
                // What blocks the drain would block an orderly end too.
                std::process::exit(1);
            }
        };
        self.counts.log(true);
        result.and(drained)
    }

    /// Until there is a reason to stop.
    async fn serve(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(signal) => {
                        tracing::info!(signal, "stopping: the sources read no more, the sinks deliver what is left");
                        return Ok(());
                    }
                    Asked::Reopen => {
                        tracing::info!("SIGHUP: the sinks open their files anew");
                        self.control.reopen();
                    }
                },
                Some(Ok((name, end))) = self.workers.join_next() => return worker_ended(name, end),
                // A source ends by itself only when its input does, or by a defect.
                Some(ended) = self.sources.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a source failed; the others go on");
                    }
                    if self.sources.is_empty() {
                        tracing::info!("the input has ended: stopping");
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Takes as many file descriptors as the machine permits. Peers must not be able to use up those of the sinks: the usual
/// limit of 1024 is below the usual `max_connections`, and only there by tradition.
fn allow_descriptors(config: &Config) -> std::io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let connections: u64 = config.sources.iter().map(|source| max_connections(&source.kind) as u64).sum();
    if most < connections + OTHER_DESCRIPTORS {
        tracing::warn!(
            limit = most,
            connections,
            "fewer file descriptors are permitted than max_connections can use, so that sinks may have none left; \
             raise the limit (LimitNOFILE= of systemd) or lower max_connections"
        );
    }
    Ok(())
}

/// The most bytes that one source may have in flight, of the one that may have the least.
fn most_in_flight(config: &Config) -> usize {
    config.sources.iter().map(|source| source.max_bytes_in_flight).min().unwrap_or(usize::MAX)
}

fn max_connections(source: &SourceKind) -> usize {
    match source {
        SourceKind::Tcp(tcp) => tcp.stream.max_connections,
        SourceKind::Relp(relp) => relp.session.max_connections,
        SourceKind::Unix(unix) => unix.stream.as_ref().map_or(0, |stream| stream.max_connections),
        SourceKind::Udp(_) | SourceKind::File(_) | SourceKind::Stdin(_) => 0,
    }
}

/// Stops the sources, waits until they have handed on what they read, then until the sinks have delivered it.
async fn drain(
    mut sources: JoinSet<()>,
    mut workers: JoinSet<(String, End)>,
    pipeline: Arc<Pipeline>,
    stop: &Stop,
    control: &Control,
    times: &Times,
) -> Result<(), Error> {
    let begun = Instant::now();
    control.stop();
    stop.reading.cancel();
    let over = begun + times.all;
    if timeout_at((begun + times.sources).into(), join_all(&mut sources)).await.is_err() {
        tracing::warn!("the sinks did not take in time what the sources had read; the rest is dropped");
        stop.waiting.cancel();
        // From now on they wait for nothing: they count what they have as dropped, and end.
        if timeout_at(over.into(), join_all(&mut sources)).await.is_err() {
            tracing::warn!("a source did not end in time");
        }
    }
    sources.shutdown().await;
    // The last sender of each queue goes with the pipeline: the workers see the end of their input.
    drop(pipeline);
    let mut result = Ok(());
    let finish = async {
        while let Some(ended) = workers.join_next().await {
            if let Ok((name, end)) = ended {
                let ended = worker_ended(name, end);
                result = std::mem::replace(&mut result, Ok(())).and(ended);
            }
        }
    };
    if timeout_at(over.into(), finish).await.is_err() {
        tracing::warn!("a sink is blocked in a write; leaving without it");
    }
    result
}

async fn join_all(sources: &mut JoinSet<()>) {
    while sources.join_next().await.is_some() {}
}

async fn ended(mut worker: Worker) -> (String, End) {
    let end = worker.ended().await;
    (worker.name().to_owned(), end)
}

fn worker_ended(name: String, end: End) -> Result<(), Error> {
    match end {
        End::Finished => Ok(()),
        End::Closed(reason) => {
            tracing::info!(sink = name, "{reason}: stopping");
            Ok(())
        }
        End::Failed(reason) => Err(Error::Sink { name, reason }),
    }
}

fn outlet(sink: &SinkConfig, queue: crate::buffer::Sender, ledger: Arc<SinkLedger>) -> Outlet {
    let (route, key) = match &sink.kind {
        SinkKind::Stdout => (None, None),
        SinkKind::File(file) => (Some(Route::Path(file.path.clone())), None),
        SinkKind::Kafka(kafka) => (Some(Route::Topic(kafka.topic.clone())), Some(kafka.key.clone())),
    };
    Outlet { select: sink.select.clone(), route, key, queue, ledger }
}

fn origin(source: &SourceConfig) -> Origin {
    let transport = match &source.kind {
        SourceKind::Tcp(tcp) if tcp.listener.tls.is_some() => Transport::Tls,
        SourceKind::Udp(_) => Transport::Udp,
        SourceKind::Tcp(_) => Transport::Tcp,
        SourceKind::Relp(_) => Transport::Relp,
        SourceKind::Unix(_) => Transport::Unix,
        SourceKind::File(_) => Transport::File,
        SourceKind::Stdin(_) => Transport::Stdin,
    };
    Origin { name: source.name.clone(), transport, zone: source.zone.clone() }
}

// === impl Times ===

impl Times {
    fn of(shutdown_timeout: Duration) -> Self {
        let reserve = (shutdown_timeout / 4).min(Duration::from_secs(1));
        let sinks = shutdown_timeout.saturating_sub(reserve);
        Self { sources: sinks * 3 / 4, sinks, all: shutdown_timeout }
    }
}

// === impl Signals ===

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => Asked::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => Asked::Stop("SIGINT"),
            Some(()) = self.hangup.recv() => Asked::Reopen,
            else => pending().await,
        }
    }

    /// Resolves with the name of the next signal that asks for a stop.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Logs every count, and whether received = delivered + dropped + in flight holds; where it does not although nothing
    /// moves any more, that is a defect.
    fn log(&self, at_rest: bool) {
        if self.unparsed.total() > 0 {
            tracing::warn!(
                lines = %self.unparsed,
                "lines of Postfix that Postrider does not understand; `postrider decode --unparsed` prints them for a report"
            );
        }
        let mut offered = 0;
        for (name, ledger) in &self.sources {
            offered += ledger.offered();
            tracing::info!(
                source = name,
                received = ledger.received.load(Relaxed),
                received_bytes = ledger.received_bytes.load(Relaxed),
                truncated = ledger.truncated.load(Relaxed),
                dropped = reasons(|reason| ledger.dropped.get(reason)),
                waiting = ledger.waiting.load(Relaxed),
                connections = ledger.connections.load(Relaxed),
                connections_refused = ledger.connections_refused.load(Relaxed),
                connections_idle = ledger.connections_idle.load(Relaxed),
                connections_denied = ledger.connections_denied.load(Relaxed),
                proxy_errors = ledger.proxy_errors.load(Relaxed),
                errors = ledger.errors.load(Relaxed),
                kernel_drops = ledger.kernel_drops.load(Relaxed),
                "ledger"
            );
        }
        for (name, ledger) in &self.sinks {
            let balanced = ledger.balances() && ledger.offered.load(Relaxed) == offered;
            tracing::info!(
                sink = name,
                offered = ledger.offered.load(Relaxed),
                filtered = ledger.filtered.load(Relaxed),
                delivered = ledger.delivered.load(Relaxed),
                delivered_bytes = ledger.delivered_bytes.load(Relaxed),
                dropped = reasons(|reason| ledger.dropped.get(reason)),
                in_flight = ledger.in_flight(),
                recovered = ledger.recovered.load(Relaxed),
                spooled = ledger.spooled(),
                retries = ledger.retries.load(Relaxed),
                balanced,
                "ledger"
            );
            if !balanced && at_rest {
                tracing::error!(sink = name, "the ledger does not balance: a defect in Postrider, please report it");
            }
        }
    }
}

/// `0`, or the counts by reason: `3 (empty 1, queue_full 2)`.
fn reasons(get: impl Fn(Reason) -> u64) -> String {
    let counts: Vec<_> = Reason::ALL.into_iter().map(|reason| (reason, get(reason))).filter(|(_, n)| *n > 0).collect();
    let total: u64 = counts.iter().map(|(_, n)| n).sum();
    let parts: Vec<_> = counts.iter().map(|(reason, n)| format!("{} {n}", reason.name())).collect();
    if parts.is_empty() { total.to_string() } else { format!("{total} ({})", parts.join(", ")) }
}
