//! `postrider replay`: sends the records of dead-letter files to their sinks again.
//!
//! Each file is claimed (`claim.rs`) and read line by line. Each line goes to its sink as a batch of its own. The
//! receipt of the batch tells when the line is finished: the record was delivered, or it was refused again and appended
//! to the sink's dead-letter file. By then, that is a different file. Therefore a replay ends, and the next replay does
//! not send again what this one has delivered. A line without a receipt, because of a signal or a crash, stays and is
//! sent by the next replay.

mod claim;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::claim::{Claim, ClaimedLines, DONE, LinePosition};
use crate::buffer::{Batch, ByteRange, Encoded, Entry, Records, Sender, queue};
use crate::config::{Config, DeadLetterConfig, SinkConfig};
use crate::ledger::{Reason, SinkLedger};
use crate::log;
use crate::poison;
use crate::receipt::{Outcome, Receipt, Resolved, Ticket};
use crate::sink::dead_letter::Parsed;
use crate::sink::{self, Control, Turn, WorkerEnd};
use crate::throttle;

/// Maximum number of lines that wait for their receipts, which bounds the memory.
const MOST_WAITING: u64 = 10_000;
/// Time to wait for receipts before checking for a signal or the end of a sink.
const LOOK: Duration = Duration::from_millis(100);
/// Time to wait for room in a queue before trying again.
const ASK: Duration = Duration::from_millis(5);

/// Settings of a replay.
#[derive(Debug)]
pub struct Replay<'c> {
    /// Configuration of the sinks. Nothing else in it is used: no source is opened.
    pub config: &'c Config,
    /// Sink that gets every record, instead of the one that its line names.
    pub sink: Option<&'c str>,
    /// Topic or path of every record, instead of the one in its line.
    pub route: Option<&'c str>,
}

/// Counts of the lines by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Number of records that were delivered to their sinks.
    pub delivered: u64,
    /// Number of records that were refused again.
    pub refused: u64,
    /// Number of lines that are not dead letters.
    pub damaged: u64,
}

/// Reason why a replay could not continue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration lacks a sink.
    #[error("{0}")]
    NoSink(String),
    /// A file or a sink failed, or a signal came.
    #[error("{0}")]
    Io(String),
}

/// The replay of one file, with its sinks.
struct FileReplay<'s> {
    replay: &'s Replay<'s>,
    runtime: &'s Runtime,
    interrupted: &'s AtomicBool,
    claim: Claim,
    base: &'s Path,
    control: Control,
    feeds: HashMap<String, Feed>,
    outcomes: Arc<Mutex<Vec<Resolved<Outcome>>>>,
    workers: JoinSet<(String, WorkerEnd)>,
    /// Number of lines sent whose receipts have not arrived.
    waiting: u64,
    /// Number of lines left for the next replay.
    left: u64,
    damaged: u64,
    /// Reason why the replay cannot continue.
    failure: Option<Error>,
}

/// Connection to one sink.
#[derive(Clone)]
struct Feed {
    queue: Sender,
    ledger: Arc<SinkLedger>,
}

// === impl Replay ===

impl Replay<'_> {
    /// Replays the files in order, and calls `say` with messages for the operator about single lines. The summary
    /// includes what was done before an error.
    pub fn run(&self, files: &[PathBuf], say: &mut dyn FnMut(String)) -> (ReplaySummary, Result<(), Error>) {
        let mut summary = ReplaySummary::default();
        let result = self.run_all(files, &mut summary, say);
        throttle::tell_rest();
        (summary, result)
    }

    fn run_all(
        &self,
        files: &[PathBuf],
        summary: &mut ReplaySummary,
        say: &mut dyn FnMut(String),
    ) -> Result<(), Error> {
        let bases: Vec<PathBuf> = files.iter().map(|file| claim::base_of(file)).collect();
        if let Some(name) = self.sink {
            self.config_of(name).ok_or_else(|| Error::NoSink(self.no_sink(name)))?;
        }
        for base in &bases {
            self.check(base)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Error::Io(format!("cannot start: {error}")))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        watch_signals(&runtime, &interrupted).map_err(|error| Error::Io(format!("cannot start: {error}")))?;
        let result = bases.iter().try_for_each(|base| {
            // The file that an earlier replay left is older.
            for claim in [Claim::resume, Claim::take] {
                if let Some(claim) = claim(base).map_err(|error| failed("replay", base, &error))? {
                    FileReplay::new(self, &runtime, &interrupted, claim, base).run(summary, say)?;
                }
            }
            Ok(())
        });
        runtime.shutdown_background();
        result
    }

    /// Checks every line before anything is sent: the file must exist, and so must the line's sink.
    fn check(&self, base: &Path) -> Result<(), Error> {
        let paths: Vec<PathBuf> =
            [claim::replaying(base), base.to_owned()].into_iter().filter(|path| path.exists()).collect();
        if paths.is_empty() {
            return Err(failed("read", base, &io::Error::from_raw_os_error(nix::libc::ENOENT)));
        }
        for path in paths {
            let file = std::fs::File::open(&path).map_err(|error| failed("read", &path, &error))?;
            let mut lines = ClaimedLines::new(file);
            let mut text = Vec::new();
            while let Some(line) = lines.next(&mut text).map_err(|error| failed("read", &path, &error))? {
                if let (None, Some(Ok(letter))) = (self.sink, read(line, &text))
                    && self.config_of(&letter.sink).is_none()
                {
                    let (path, number) = (path.display(), line.number);
                    return Err(Error::NoSink(format!("{path}, line {number}: {}", self.no_sink(&letter.sink))));
                }
            }
        }
        Ok(())
    }

    fn config_of(&self, name: &str) -> Option<&SinkConfig> {
        self.config.sinks.iter().find(|sink| sink.name == name)
    }

    fn no_sink(&self, name: &str) -> String {
        let names: Vec<&str> = self.config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        format!(
            "the configuration has no sink {name:?}, but {}; give -c the daemon's file, or name a sink with --sink",
            names.join(", ")
        )
    }
}

/// Parses a line, or returns the reason why it cannot be parsed; `None` for a line that is finished or blank.
fn read(line: LinePosition, text: &[u8]) -> Option<Result<Parsed<'_>, String>> {
    if line.too_long {
        return Some(Err("the line is too long".to_owned()));
    }
    if text.first() == Some(&DONE) || text.trim_ascii().is_empty() {
        return None;
    }
    Some(Parsed::read(text))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Io(format!("cannot {what} {}: {error}", path.display()))
}

/// Handles signals: the first one ends the replay in order, the second at once.
fn watch_signals(runtime: &Runtime, interrupted: &Arc<AtomicBool>) -> io::Result<()> {
    let _context = runtime.enter();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let interrupted = Arc::clone(interrupted);
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if interrupted.swap(true, Relaxed) {
                log::finish();
                std::process::exit(1);
            }
        }
    });
    Ok(())
}

// === impl FileReplay ===

impl<'s> FileReplay<'s> {
    fn new(
        replay: &'s Replay<'s>,
        runtime: &'s Runtime,
        interrupted: &'s AtomicBool,
        claim: Claim,
        base: &'s Path,
    ) -> Self {
        Self {
            replay,
            runtime,
            interrupted,
            claim,
            base,
            control: Control::new(replay.config.shutdown_timeout),
            feeds: HashMap::new(),
            outcomes: Arc::default(),
            workers: JoinSet::new(),
            waiting: 0,
            left: 0,
            damaged: 0,
            failure: None,
        }
    }

    /// Sends every line and waits for its receipt. The summary also includes what was done before an error.
    fn run(mut self, summary: &mut ReplaySummary, say: &mut dyn FnMut(String)) -> Result<(), Error> {
        let sent = self.send_all(say);
        let awaited = sent.and_then(|()| {
            while self.waiting > 0 && self.goes_on() {
                self.collect(LOOK)?;
            }
            Ok(())
        });
        let ledgers = self.close();
        // The sinks have resolved all of their records.
        let marked = self.collect(Duration::ZERO);
        for ledger in ledgers {
            summary.delivered += ledger.delivered.load(Relaxed);
            summary.refused += ledger.dropped.get(Reason::Rejected);
        }
        summary.damaged += self.damaged;
        awaited.and(marked)?;
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let path = self.claim.path().to_owned();
        if self.interrupted.load(Relaxed) || self.left + self.waiting > 0 {
            return Err(Error::Io(format!(
                "interrupted: records that were not sent are kept in {}; run the same command again to continue",
                path.display()
            )));
        }
        self.claim.remove().map_err(|error| failed("remove", &path, &error))
    }

    fn send_all(&mut self, say: &mut dyn FnMut(String)) -> Result<(), Error> {
        let path = self.claim.path().to_owned();
        let cannot_read = |error: io::Error| failed("read", &path, &error);
        let mut lines = self.claim.lines().map_err(cannot_read)?;
        let mut text = Vec::new();
        while let Some(line) = lines.next(&mut text).map_err(cannot_read)? {
            match read(line, &text) {
                None => {}
                Some(Ok(letter)) => self.send(line, &letter)?,
                Some(Err(reason)) => {
                    let kept = self.claim.set_aside(line);
                    let kept = kept.map_err(|error| failed("keep a damaged line of", self.base, &error))?;
                    self.damaged += 1;
                    let (base, number, kept) = (self.base.display(), line.number, kept.display());
                    say(format!("{base}, line {number}: {reason}; moved to {kept}"));
                }
            }
            if !self.goes_on() {
                break;
            }
            self.collect(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Passes a record to its sink once the sink has room.
    fn send(&mut self, line: LinePosition, letter: &Parsed<'_>) -> Result<(), Error> {
        let name = self.replay.sink.unwrap_or(&letter.sink).to_owned();
        if !self.feeds.contains_key(&name) {
            let feed = self.start(&name)?;
            self.feeds.insert(name.clone(), feed);
        }
        let feed = self.feeds[&name].clone();
        let records = records(letter, self.replay.route.unwrap_or(&letter.route));
        while self.goes_on() {
            let room = if self.waiting < MOST_WAITING { feed.queue.try_room(records.size()) } else { None };
            let Some(room) = room else {
                self.collect(ASK)?;
                continue;
            };
            let outcomes = Arc::clone(&self.outcomes);
            let ticket = Ticket { number: line.start, outcomes, waiter: std::thread::current() };
            // The line is finished when its receipt arrives, so the sink must not confirm data that only the kernel
            // has.
            let receipt = Arc::new(Receipt::of_ticket(ticket));
            feed.ledger.offered.fetch_add(1, Relaxed);
            let in_flight = feed.ledger.enter_replayed(1, records.line_bytes() as u64, receipt);
            room.send(Batch::new(records, in_flight));
            self.waiting += 1;
            return Ok(());
        }
        Ok(())
    }

    /// Starts the sink with this name.
    fn start(&mut self, name: &str) -> Result<Feed, Error> {
        let config = self.replay.config_of(name).ok_or_else(|| Error::NoSink(self.replay.no_sink(name)))?;
        // No more records come than were in that file.
        let dead_letter = DeadLetterConfig { path: self.base.to_owned(), max_size: u64::MAX };
        let config = SinkConfig { kind: config.kind.facts().for_replay(dead_letter), ..config.clone() };
        let ledger = Arc::<SinkLedger>::default();
        let (queue, receiver) = queue(config.queue_size);
        let mut worker = sink::start(&config, receiver, Turn::default(), &self.control, &ledger)
            .map_err(|reason| Error::Io(format!("sink {name}: {reason}")))?;
        let ended = async move { (worker.name().to_owned(), worker.ended().await) };
        self.workers.spawn_on(ended, self.runtime.handle());
        Ok(Feed { queue, ledger })
    }

    /// Takes the receipts that have arrived; if there are none, waits at most `time` for one.
    fn collect(&mut self, time: Duration) -> Result<(), Error> {
        let mut outcomes = self.take_outcomes();
        if outcomes.is_empty() {
            std::thread::park_timeout(time);
            outcomes = self.take_outcomes();
        }
        for Resolved { number, outcome } in outcomes {
            self.waiting -= 1;
            match outcome {
                Outcome::Failed => self.left += 1,
                Outcome::Delivered => {
                    self.claim.mark(number).map_err(|error| failed("write to", self.claim.path(), &error))?;
                }
            }
        }
        Ok(())
    }

    fn take_outcomes(&self) -> Vec<Resolved<Outcome>> {
        std::mem::take(&mut *poison::ignore(self.outcomes.lock()))
    }

    /// True if there is no reason to stop.
    fn goes_on(&mut self) -> bool {
        if let Some(Ok((name, end))) = self.workers.try_join_next() {
            self.ended(&name, end);
        }
        self.failure.is_none() && !self.interrupted.load(Relaxed)
    }

    fn ended(&mut self, name: &str, end: WorkerEnd) {
        let (WorkerEnd::Failed(reason) | WorkerEnd::Closed(reason)) = end else { return };
        let path = self.claim.path().display();
        let failure = || Error::Io(format!("sink {name}: {reason}; records that were not sent are kept in {path}"));
        self.failure.get_or_insert_with(failure);
    }

    /// Ends the sinks, waits for them, and returns their ledgers.
    fn close(&mut self) -> Vec<Arc<SinkLedger>> {
        self.control.stop();
        // A sink ends when the last sender of its queue is dropped.
        let ledgers = self.feeds.drain().map(|(_, feed)| feed.ledger).collect();
        while let Some(ended) = self.runtime.block_on(self.workers.join_next()) {
            if let Ok((name, end)) = ended {
                self.ended(&name, end);
            }
        }
        ledgers
    }
}

/// Returns the single record of a line.
fn records(letter: &Parsed<'_>, route: &str) -> Records {
    // A line is far below 4 GiB.
    let span = |start: usize, end: usize| ByteRange { start: start as u32, end: end as u32 };
    let mut lines = letter.record.to_vec();
    lines.push(b'\n');
    let mut text = route.to_owned();
    text.push_str(letter.key.as_deref().unwrap_or_default());
    let entry = Entry {
        line: span(0, lines.len()),
        route: span(0, route.len()),
        key: letter.key.as_ref().map(|_| span(route.len(), text.len())),
        id: letter.id,
        timestamp_ms: letter.timestamp_ms,
    };
    Records::new(Arc::new(Encoded::new(lines.into(), None)), vec![entry], text)
}
