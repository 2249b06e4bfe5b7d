//! The checkpoint of the joins: the file in which open messages and sessions survive a restart.
//!
//! ```text
//! write CHECKPOINT.new ---> wait until the sinks have what was joined until then ---> rename
//! ```
//!
//! A crash at any place leaves the old checkpoint or the new one. A followed file keeps how much of it the checkpoint
//! has, and gives the lines after that once more at the start.

use std::fs::{self, File};
use std::future::pending;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Config, SourceEndpoint};
use crate::correlate::{BatchToken, Correlator, JoinSettings};
use crate::crash::crash_point;
use crate::new_file::{self, NewFile};
use crate::pipeline::Current;
use crate::poison;
use crate::source::Stop;
use crate::status::CheckpointStatus;
use crate::time::{Timestamp, clock};

/// Interval of the checks whether the sinks have what was joined.
const RESOLVED: Duration = Duration::from_millis(100);
/// Minimum time between two checkpoints, as a multiple of the time that writing one takes. A million open messages take
/// seconds.
const REST: u32 = 20;
/// Name of the checkpoint in its directory.
const NAME: &str = "correlate.checkpoint";

/// The checkpoint of one directory. It is locked against other processes.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    status: Mutex<CheckpointStatus>,
    _lock: Flock<File>,
}

/// The checkpoint of the present configuration, if it has one.
#[derive(Clone, Debug, Default)]
pub(super) struct PresentCheckpoint {
    timed: Arc<Mutex<Option<TimedCheckpoint>>>,
    changed: Arc<Notify>,
}

/// A checkpoint, and the time between two writes of it.
#[derive(Debug)]
struct TimedCheckpoint {
    file: Arc<CheckpointFile>,
    every: Duration,
}

/// A checkpoint that is written, but not in place yet.
pub(super) struct WrittenCheckpoint {
    of: Arc<CheckpointFile>,
    file: NewFile,
    joins: Arc<Correlator>,
    number: u64,
    /// Time when writing began.
    at: jiff::Timestamp,
    /// Token of the batches that the checkpoint has.
    token: BatchToken,
}

/// The joins of the next configuration, and their checkpoint.
#[derive(Debug, Default)]
pub(super) struct NextJoins {
    pub(super) joins: Option<Arc<Correlator>>,
    pub(super) checkpoint: Option<Arc<CheckpointFile>>,
}

impl NextJoins {
    /// Returns the joins for `config`: those of the present configuration go on, or those of the checkpoint.
    pub(super) fn prepare(
        config: &Config,
        joins: Option<&Arc<Correlator>>,
        present: Option<&Arc<CheckpointFile>>,
    ) -> Self {
        let Some(settings) = config.correlate.joins else { return Self::default() };
        let checkpoint = checkpoint_of(config, present);
        let load = || checkpoint.as_ref().and_then(|file| file.load(settings)).map(Arc::new);
        let joins = joins.cloned().or_else(load).unwrap_or_else(|| Arc::new(Correlator::new(settings)));
        Self { joins: Some(joins), checkpoint }
    }
}

/// Returns the checkpoint that `config` names, unless it cannot be had: the joins are then in memory only.
fn checkpoint_of(config: &Config, present: Option<&Arc<CheckpointFile>>) -> Option<Arc<CheckpointFile>> {
    let directory = config.correlate.checkpoint.as_deref()?;
    // The standard input has an end, at which its messages are closed.
    if config.sources.iter().all(|source| source.kind.facts().endpoint() == SourceEndpoint::Stdin) {
        return None;
    }
    if let Some(present) = present.filter(|present| present.is_in(directory)) {
        return Some(Arc::clone(present));
    }
    let opened = CheckpointFile::open(directory).map(Arc::new);
    opened.inspect_err(|error| tell_none(directory, error)).ok()
}

/// Says why there is no checkpoint, and what an operator can do.
fn tell_none(directory: &Path, error: &io::Error) {
    const MEANS: &str = "messages that are open at a stop are closed as incomplete";
    let path = directory.display();
    match error.kind() {
        // Somebody tries the program out.
        io::ErrorKind::NotFound => tracing::info!(
            %path,
            "correlate: no checkpoint, since there is no such directory; create it for Postrider's user, or set \
             [correlate] checkpoint; until then, {MEANS}"
        ),
        io::ErrorKind::WouldBlock => tracing::warn!(
            %path,
            "correlate: no checkpoint: another process has it; give each a directory of its own; until then, {MEANS}"
        ),
        _ => tracing::warn!(
            %path,
            "correlate: no checkpoint: {error}; let Postrider's user write there, or set [correlate] checkpoint; \
             until then, {MEANS}"
        ),
    }
}

impl CheckpointFile {
    /// Opens the checkpoint in `directory`, which must exist.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let lock = new_file::lock(&path.with_extension("checkpoint.lock"))?;
        let status = CheckpointStatus { path: path.display().to_string(), ..CheckpointStatus::default() };
        Ok(Self { path, status: Mutex::new(status), _lock: lock })
    }

    /// Returns true if the checkpoint is in this directory.
    pub(super) fn is_in(&self, directory: &Path) -> bool {
        self.path.parent() == Some(directory)
    }

    /// Returns the joins of the checkpoint; none if there is no checkpoint, or one that cannot be used. The log has the
    /// reason.
    pub(super) fn load(&self, settings: JoinSettings) -> Option<Correlator> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.refuse(&error);
                return None;
            }
        };
        match Correlator::load(settings, &mut BufReader::with_capacity(1 << 16, file), Timestamp::now()) {
            Ok(joins) => {
                let (path, messages) = (self.path.display(), joins.counts().messages);
                tracing::info!(%path, messages, "correlate: messages of the last run go on");
                Some(joins)
            }
            Err(error) => {
                self.refuse(&error);
                None
            }
        }
    }

    fn refuse(&self, error: &dyn std::error::Error) {
        tracing::warn!(
            path = %self.path.display(),
            "correlate: the checkpoint cannot be used: {error}; records of messages that were open may be incomplete"
        );
    }

    /// Returns what came of writing it.
    pub(super) fn status(&self) -> CheckpointStatus {
        poison::ignore(self.status.lock()).clone()
    }

    /// Notes the result of writing a checkpoint: the time when that began.
    fn note(&self, result: Result<jiff::Timestamp, &io::Error>) {
        let mut status = poison::ignore(self.status.lock());
        match result {
            Ok(at) => (status.written_at, status.error) = (Some(at), None),
            Err(error) => status.error = Some(error.to_string()),
        }
    }

    /// Writes a checkpoint beside the present one.
    fn write(self: Arc<Self>, joins: Arc<Correlator>) -> io::Result<WrittenCheckpoint> {
        let (number, at) = (joins.progress().begin(), clock());
        let mut file = NewFile::create(&self.path)?;
        let mut buffer = BufWriter::with_capacity(1 << 16, file.file());
        joins.save(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        file.sync()?;
        let token = joins.progress().renew_token();
        crash_point("before-checkpoint-rename");
        Ok(WrittenCheckpoint { of: self, file, joins, number, at, token })
    }

    /// Removes the checkpoint: its messages are over.
    pub(super) fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                tracing::warn!(%path, "correlate: the checkpoint cannot be removed: {error}; remove it by hand");
            }
            _ => {}
        }
    }
}

impl PresentCheckpoint {
    pub(super) fn get(&self) -> Option<Arc<CheckpointFile>> {
        poison::ignore(self.timed.lock()).as_ref().map(|timed| Arc::clone(&timed.file))
    }

    /// Replaces the checkpoint, which is to be written in this interval, and returns the one before.
    pub(super) fn set(&self, file: Option<Arc<CheckpointFile>>, every: Duration) -> Option<Arc<CheckpointFile>> {
        let next = file.map(|file| TimedCheckpoint { file, every });
        let before = std::mem::replace(&mut *poison::ignore(self.timed.lock()), next);
        self.changed.notify_one();
        before.map(|timed| timed.file)
    }

    /// Waits until the next checkpoint is due. The last one took `cost`.
    async fn due(&self, cost: Duration) {
        loop {
            let every = poison::ignore(self.timed.lock()).as_ref().map(|timed| timed.every);
            let time = async {
                match every {
                    Some(every) => sleep(every.max(cost * REST)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = time => return,
            }
        }
    }

    /// Writes a checkpoint now, if there is one.
    pub(super) async fn write(&self, joins: Arc<Correlator>) -> io::Result<Option<WrittenCheckpoint>> {
        let Some(file) = self.get() else { return Ok(None) };
        let written = spawn_blocking(move || file.write(joins)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map(Some)
    }
}

impl WrittenCheckpoint {
    /// Returns true if the sinks have what was joined until the checkpoint was written.
    pub(super) fn is_resolved(&self) -> bool {
        Arc::strong_count(&self.token) == 1
    }

    /// Puts the checkpoint in place.
    pub(super) async fn replace(self) -> io::Result<()> {
        let Self { of, file, joins, number, at, .. } = self;
        let replaced = spawn_blocking(move || {
            file.replace()?;
            crash_point("after-checkpoint-rename");
            Ok(())
        });
        replaced.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        joins.progress().finish(number);
        of.note(Ok(at));
        Ok(())
    }
}

/// Writes checkpoints until a stop, as long as lines are joined.
pub(super) async fn keep(pipeline: Current, present: PresentCheckpoint, stop: Stop) {
    let (mut saved, mut has_failed, mut cost) = (None, false, Duration::ZERO);
    loop {
        tokio::select! {
            biased;
            () = stop.reading.cancelled() => return,
            () = present.due(cost) => {}
        }
        let Some(joins) = pipeline.get().joins().cloned() else { continue };
        let state = (Arc::as_ptr(&joins).addr(), joins.progress().changes());
        if saved == Some(state) {
            continue;
        }
        match checkpoint(&present, joins, &stop).await {
            Ok(time) => (saved, has_failed, cost) = (Some(state), false, time),
            Err(error) => {
                if let Some(file) = present.get() {
                    file.note(Err(&error));
                }
                if !has_failed {
                    has_failed = true;
                    tracing::warn!(
                        "correlate: the checkpoint cannot be written: {error}; retrying, a restart before then makes \
                         records of messages incomplete"
                    );
                }
            }
        }
    }
}

/// Writes a checkpoint, and puts it in place when the sinks have what it has. Returns the time that writing took.
async fn checkpoint(present: &PresentCheckpoint, joins: Arc<Correlator>, stop: &Stop) -> io::Result<Duration> {
    let begun = Instant::now();
    let Some(written) = present.write(joins).await? else { return Ok(Duration::ZERO) };
    let cost = begun.elapsed();
    while !written.is_resolved() {
        tokio::select! {
            biased;
            // The last checkpoint of the run replaces it.
            () = stop.reading.cancelled() => return Ok(cost),
            () = sleep(RESOLVED) => {}
        }
    }
    // A reload may have left it.
    if present.get().is_some_and(|file| Arc::ptr_eq(&file, &written.of)) {
        written.replace().await?;
    }
    Ok(cost)
}
