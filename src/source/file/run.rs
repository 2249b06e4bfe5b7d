//! The thread that follows the files of a source: looks, reads and saves the cursor until a stop.

use std::rc::Rc;
use std::sync::MutexGuard;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use super::cursor::{Loaded, Store};
use super::follow::{Followed, Hand};
use super::system::Machine;
use super::{Follower, Intake, Start, cursor, glob};
use crate::config::FollowConfig;
use crate::correlate::Correlator;
use crate::crash::panic_point;
use crate::pipeline::Arrival;
use crate::receipt::{Outcome, receipt};

/// Minimum time between two writes of the cursor.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often outcomes are polled after a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

/// The thread of a source of files.
pub(super) struct Run<'s> {
    pub(super) follower: Follower,
    store: MutexGuard<'s, Store>,
    runtime: Runtime,
    saved: Instant,
    /// True if, as far as is known, all lines that the last run handed on were delivered and saved in the cursor.
    ended: bool,
    /// True if existing files were begun at their end, and the cursor on disk does not have these positions yet.
    /// Nothing is read until it has them.
    waits_for_cursor: bool,
}

/// The way of lines to the pipeline.
struct Pipe {
    intake: Intake,
    runtime: Runtime,
}

// === impl Run ===

impl<'s> Run<'s> {
    /// Reads the cursor. Files are looked for later.
    pub(super) fn new(config: FollowConfig, store: MutexGuard<'s, Store>, intake: Intake, runtime: Runtime) -> Self {
        let (start, ended) = start(&config, &store, intake.name());
        let system = Rc::new(Machine::new(config.links));
        let hand = Rc::new(Pipe { intake: intake.clone(), runtime: runtime.clone() });
        let waits_for_cursor = start.skip;
        let follower = Follower::new(config, start, intake, system, hand);
        Self { follower, store, runtime, saved: Instant::now(), ended, waits_for_cursor }
    }

    /// Follows the files until a stop.
    pub(super) fn run(mut self) {
        self.follower.begin_looking();
        self.tell_repeats();
        self.tell_missing();
        self.rejoin();
        // The starting positions must be saved before a line is delivered. Without a saved cursor, the next run would
        // begin the files at their end again.
        while !self.save(false) && self.waits_for_cursor && !self.is_stopped() {
            self.wait(SAVE_INTERVAL);
        }
        self.waits_for_cursor = false;
        while !self.is_stopped() {
            let read = self.follower.work();
            if read {
                panic_point("file");
            }
            if self.saved.elapsed() >= SAVE_INTERVAL {
                self.note_checkpoints();
                if self.follower.changed {
                    self.save(false);
                }
            }
            if !read {
                self.wait(self.follower.time_to_look());
            }
        }
        self.finish();
    }

    /// Joins the delivered lines once more that may be missing in the checkpoint, those of the oldest file first.
    fn rejoin(&mut self) {
        if self.follower.intake.joins().is_none() {
            return;
        }
        let (system, hand) = (Rc::clone(&self.follower.system), Rc::clone(&self.follower.hand));
        for index in 0..self.follower.files.len() {
            if self.is_stopped() {
                return;
            }
            let file = &self.follower.files[index];
            if let Err(error) = file.rejoin(&*system, &*hand) {
                let path = file.location().unwrap_or(&file.entry.path).to_owned();
                let means = "records of messages with lines before the cursor may be incomplete";
                self.follower.complain(&path, &format!("cannot join its last lines once more: {error}; {means}"));
            }
        }
    }

    /// Notes which lines the checkpoint of the joins has by now.
    fn note_checkpoints(&mut self) {
        let joins = self.follower.intake.joins();
        let progress = joins.as_deref().map(Correlator::progress);
        for file in &mut self.follower.files {
            self.follower.changed |= file.note_checkpoints(progress);
        }
    }

    fn is_stopped(&self) -> bool {
        self.follower.intake.stop().is_cancelled()
    }

    /// Logs how many bytes may have been delivered already without being saved in the cursor.
    fn tell_repeats(&self) {
        let behind: Vec<u64> =
            self.follower.files.iter().map(Followed::bytes_behind).filter(|bytes| *bytes > 0).collect();
        if !self.ended && !behind.is_empty() {
            tracing::warn!(
                source = self.follower.intake.name(),
                files = behind.len(),
                bytes = behind.iter().sum::<u64>(),
                "the last run did not stop cleanly; resuming at the cursor, so lines after the cursor may be delivered twice"
            );
        }
    }

    /// Logs the configured paths at which there is no file.
    fn tell_missing(&mut self) {
        for pattern in &self.follower.config.paths {
            let mut found = Vec::new();
            glob::expand(&*self.follower.system, pattern, &mut found, &mut |_| {}, &mut |_, _| {});
            if !found.iter().any(|path| path.exists()) {
                let (source, path) = (self.follower.intake.name(), pattern.display());
                tracing::warn!(source, %path, "no file matches yet; a new file will be read from the beginning");
            }
        }
    }

    /// Waits for `time`, or until a stop.
    fn wait(&self, time: Duration) {
        let stop = self.follower.intake.stop();
        // The result only says which of the two it was.
        let _ = self.runtime.block_on(async { tokio::time::timeout(time, stop.cancelled()).await });
    }

    /// Drains after a stop: waits until the sinks have the lines that were handed on, or until the shutdown deadline.
    /// Then saves the cursor.
    fn finish(mut self) {
        self.follower.tell_repeated();
        while self.follower.settle() && !self.follower.intake.is_over() {
            std::thread::sleep(STOP_INTERVAL);
        }
        let lines =
            self.follower.repeats.lines + self.follower.files.iter().map(Followed::lines_in_flight).sum::<u64>();
        if lines > 0 {
            let source = self.follower.intake.name();
            tracing::warn!(source, lines, "shutdown_timeout is over; the next run will re-read the undelivered lines");
        }
        let ended = self.follower.files.iter().all(Followed::is_delivered);
        self.note_checkpoints();
        self.save(ended);
    }

    /// Writes the cursor. `ended` says that nothing beyond the cursor is delivered. If writing fails, it is tried again
    /// later, and the cursor lags until then.
    fn save(&mut self, ended: bool) -> bool {
        self.saved = Instant::now();
        let text = cursor::encode(self.follower.files.iter().map(|file| &file.entry), ended);
        match self.store.save(&text, self.follower.since) {
            Ok(()) => self.follower.changed = false,
            Err(error) => {
                let path = self.store.path();
                let means = if self.waits_for_cursor {
                    "reading nothing until then"
                } else {
                    "a restart before then repeats lines"
                };
                self.follower.complain(&path, &format!("cannot write the cursor: {error}; retrying, {means}"));
                return false;
            }
        }
        true
    }
}

/// Returns the state in which following begins, and whether the last run is known to have ended in order.
fn start(config: &FollowConfig, store: &Store, name: &str) -> (Start, bool) {
    let path = store.path().display().to_string();
    match store.load() {
        Loaded::Entries { entries, ended } => {
            // The cursor of an earlier version has the time when it was written, and the last look may be this much
            // older.
            let since = store.looked().checked_sub(config.poll_interval + SAVE_INTERVAL);
            (Start { entries, skip: false, since: since.unwrap_or(SystemTime::UNIX_EPOCH) }, ended)
        }
        Loaded::Missing => {
            let start = if config.from_beginning { "beginning" } else { "end" };
            let what = format!("no cursor yet; reading existing files from the {start} (start = \"{start}\")");
            tracing::warn!(source = name, path, "{what}");
            (Start { entries: Vec::new(), skip: !config.from_beginning, since: SystemTime::now() }, true)
        }
        Loaded::Damaged(reason) => {
            tracing::warn!(
                source = name,
                path,
                reason,
                "the cursor is damaged; reading every file from the beginning, which repeats lines but loses none"
            );
            (Start { entries: Vec::new(), skip: false, since: SystemTime::UNIX_EPOCH }, true)
        }
        // Such a cursor was refused when it was opened.
        Loaded::Newer => (Start { entries: Vec::new(), skip: false, since: SystemTime::now() }, true),
    }
}

// === impl Pipe ===

impl Hand for Pipe {
    fn submit(&self, lines: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome> {
        let (receipt, outcome) = receipt();
        self.runtime.block_on(self.intake.submit_for(lines, Some(receipt)));
        outcome
    }

    fn rejoin(&self, lines: &[Arrival<'_>]) {
        self.runtime.block_on(self.intake.rejoin(lines));
    }
}
