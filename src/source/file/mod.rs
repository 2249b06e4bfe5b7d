//! Log files that grow, through their rotation and through restarts of Postrider.
//!
//! One thread looks for files, reads each of them in turn, one read at a time, and keeps the cursor (`cursor.rs`). A file is
//! what its device and inode say, whatever its name; that it still has the content that was read is checked by the
//! fingerprint of its first bytes. What belongs together is a *log*: the files of one directory whose names differ in the suffix
//! of their rotation alone. The files of a log are read one after the other, the oldest first.
//!
//! - **Renamed**: the open file is read to its end, and a second longer, before the next file of its path is begun. What was
//!   renamed while Postrider was down is found by its inode, among the matches and in its directory.
//! - **Cut** (copytruncate): the file is smaller than before, or begins with other bytes. It is begun anew. The copy, which is
//!   known by its first bytes, is read from where the cursor was. What a writer adds between the copy and the cut is
//!   nowhere any more; no reader can have it.
//! - **Compressed**: a `.gz` file that begins as a file that has gone is that file, and is read on from its cursor. Another one
//!   is read once, whole.
//!
//! The cursor moves when every sink has the lines before it. It may lag, and then lines are repeated; it never leads.

mod cursor;
mod discover;
mod follow;
mod glob;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;

use self::cursor::{Loaded, Store};
use self::follow::{Followed, Hand, Turn};
use super::Intake;
use crate::config::FollowConfig;
use crate::throttle::Throttle;

/// The cursor is written so often at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often outcomes are asked for after a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(10);
/// So many files are open at a time; for another one, that is closed which was silent for the longest time.
const OPEN_FILES: usize = 1000;
/// So many paths have a throttle of their own.
const COMPLAINTS: usize = 1000;

/// The files of one source, and the place of their cursor.
#[derive(Debug)]
pub(super) struct Files {
    config: FollowConfig,
    store: Store,
}

impl Files {
    /// Takes the place of the cursor; files are looked for later.
    pub(super) fn bind(config: &FollowConfig, name: &str) -> io::Result<Self> {
        Ok(Self { config: config.clone(), store: Store::open(&config.state, name)? })
    }

    /// The paths, as logged.
    pub(super) fn address(&self) -> String {
        let paths: Vec<_> = self.config.paths.iter().map(|path| path.display().to_string()).collect();
        format!("file {}", paths.join(", "))
    }

    /// Reads until told to stop, on a thread of its own: reading files blocks.
    pub(super) async fn run(self, intake: Intake) {
        let runtime = Handle::current();
        let follow = move || Follower::new(self, intake, runtime).run();
        if tokio::task::spawn_blocking(follow).await.is_err() {
            tracing::error!("the reader of files failed");
        }
    }
}

/// The thread's own.
struct Follower {
    config: FollowConfig,
    store: Store,
    intake: Intake,
    runtime: Handle,
    /// In the order in which they came.
    files: Vec<Followed>,
    serial: u64,
    /// Files that are there at the first look are begun at their end.
    skip: bool,
    /// What was changed before has been looked at.
    since: SystemTime,
    changed: bool,
    saved: Instant,
    complaints: HashMap<PathBuf, Throttle>,
}

impl Follower {
    fn new(files: Files, intake: Intake, runtime: Handle) -> Self {
        let Files { config, store } = files;
        let (name, path) = (intake.name(), store.path().display().to_string());
        let (mut skip, mut since) = (false, SystemTime::now());
        let entries = match store.load() {
            Loaded::Entries(entries) => {
                // The last look was earlier than the last change of the cursor.
                since =
                    store.changed().checked_sub(config.poll_interval + SAVE_INTERVAL).unwrap_or(SystemTime::UNIX_EPOCH);
                entries
            }
            Loaded::Missing => {
                let start = if config.from_beginning { "beginning" } else { "end" };
                tracing::warn!(source = name, path, start, "there is no cursor yet: files are begun as `start` says");
                skip = !config.from_beginning;
                Vec::new()
            }
            Loaded::Damaged(reason) => {
                tracing::warn!(
                    source = name,
                    path,
                    reason,
                    "the cursor is damaged: every file is read from its beginning, so that lines are repeated and none is lost"
                );
                since = SystemTime::UNIX_EPOCH;
                Vec::new()
            }
        };
        let max_frame_size = intake.max_frame_size();
        let numbered = entries.into_iter().zip(0..);
        let files: Vec<_> = numbered.map(|(entry, serial)| Followed::new(entry, serial, max_frame_size)).collect();
        let serial = files.len() as u64;
        let (saved, complaints) = (Instant::now(), HashMap::new());
        Self { config, store, intake, runtime, files, serial, skip, since, changed: true, saved, complaints }
    }

    fn run(mut self) {
        self.look();
        self.skip = false;
        // Where files begin must be known before a line is delivered.
        self.save();
        let mut looked = Instant::now();
        while !self.intake.stop().is_cancelled() {
            if looked.elapsed() >= self.config.poll_interval {
                self.look();
                looked = Instant::now();
            }
            let read = self.read();
            self.settle();
            if self.changed && self.saved.elapsed() >= SAVE_INTERVAL {
                self.save();
            }
            if !read {
                self.wait(self.config.poll_interval.saturating_sub(looked.elapsed()));
            }
        }
        self.finish();
    }

    /// Waits for a time, or until a stop.
    fn wait(&self, time: Duration) {
        let stop = self.intake.stop();
        // The answer says which of the two it was.
        let _ = self.runtime.block_on(async { tokio::time::timeout(time, stop.cancelled()).await });
    }

    /// After a stop: waits until the sinks have what was handed on, or until the time is over.
    fn finish(mut self) {
        while self.settle() && !self.intake.is_over() {
            std::thread::sleep(STOP_INTERVAL);
        }
        self.save();
    }

    /// Gives each file one turn; whether any of them had something to read.
    fn read(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.files.len() {
            if self.intake.stop().is_cancelled() {
                break;
            }
            if self.files[index].is_at_rest() || !self.make_room(index) {
                continue;
            }
            let waits = self.must_wait(index);
            let hand = Hand { intake: &self.intake, runtime: &self.runtime };
            let result = if waits { self.files[index].hold() } else { self.files[index].turn(&hand) };
            match result {
                Ok(Turn::Idle) => {}
                Ok(Turn::Read) => any = true,
                Ok(Turn::Replaced) => self.replaced(index),
                Ok(Turn::Damaged(error)) => self.damaged(index, &error),
                Err(error) => self.unreadable(index, &error),
            }
        }
        any
    }

    /// Whether the file before it in its log is not at its end.
    fn must_wait(&mut self, index: usize) -> bool {
        let Some(after) = self.files[index].after else { return false };
        let waits = self.files.iter().any(|file| file.serial == after && !file.is_finished());
        if !waits {
            self.files[index].after = None;
        }
        waits
    }

    /// Whether the file is open, or may be opened: closes the one that was silent for the longest time, if need be.
    fn make_room(&mut self, index: usize) -> bool {
        if self.files[index].is_open() || self.files.iter().filter(|file| file.is_open()).count() < OPEN_FILES {
            return true;
        }
        let mut open: Vec<usize> = (0..self.files.len()).filter(|index| self.files[*index].is_open()).collect();
        open.sort_by_key(|index| self.files[*index].grown);
        if open.into_iter().any(|index| self.files[index].close()) {
            return true;
        }
        let path = self.files[index].entry.path.clone();
        self.complain(
            &path,
            &format!("{OPEN_FILES} other files are being read; it has to wait until one is at its end"),
        );
        false
    }

    fn replaced(&mut self, index: usize) {
        let serial = self.next_serial();
        let old = self.files[index].replace(serial);
        self.files[index].after = Some(old.serial);
        tracing::info!(
            source = self.intake.name(),
            path = %old.entry.path.display(),
            "the file was cut or replaced: it is read from its beginning"
        );
        self.files.insert(index, old);
        self.changed = true;
    }

    fn damaged(&mut self, index: usize, error: &io::Error) {
        let path = self.files[index].entry.path.clone();
        tracing::error!(
            source = self.intake.name(),
            path = %path.display(),
            %error,
            "the compressed file is damaged: what stands before the damage is read, the rest cannot be"
        );
        self.changed = true;
    }

    fn unreadable(&mut self, index: usize, error: &io::Error) {
        let path = self.files[index].location().unwrap_or(&self.files[index].entry.path).to_owned();
        // What is not there was renamed since it was looked up: the next look finds it.
        self.files[index].back_off(error.kind() != io::ErrorKind::NotFound);
        if error.kind() != io::ErrorKind::NotFound {
            self.complain(&path, &format!("{error}{}", help(error)));
        }
    }

    /// Moves the cursors over what is delivered by now; whether something is still under way.
    fn settle(&mut self) -> bool {
        for index in 0..self.files.len() {
            if let Ok(moved) = self.files[index].settle() {
                self.changed |= moved;
                continue;
            }
            self.files[index].back_off(false);
            let path = self.files[index].entry.path.clone();
            self.complain(&path, "a sink did not take some of its lines: it is read again from the last that it took");
        }
        self.files.iter().any(|file| !file.is_settled())
    }

    /// Writes the cursor. If that fails it is tried again later: until then it lags.
    fn save(&mut self) {
        self.saved = Instant::now();
        let text = cursor::encode(self.files.iter().map(|file| &file.entry));
        match self.store.save(&text) {
            Ok(()) => self.changed = false,
            Err(error) => {
                let path = self.store.path();
                self.complain(&path, &format!("{error}; until it can be written, a restart repeats lines"));
            }
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Logs what is wrong with a path, at a bearable rate for each.
    fn complain(&mut self, path: &Path, what: &str) {
        if self.complaints.len() >= COMPLAINTS && !self.complaints.contains_key(path) {
            self.complaints.clear();
        }
        let throttle = self.complaints.entry(path.to_owned()).or_default();
        if let Some(suppressed) = throttle.pass(Instant::now()) {
            tracing::warn!(source = self.intake.name(), path = %path.display(), suppressed, "{what}");
        }
    }
}

/// What an operator can do about an error.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let Postrider's user read it: by its group, or `setfacl -m u:USER:r FILE`; it is tried again"
        }
        io::ErrorKind::IsADirectory => "; `paths` names files: write /* behind it for those in it",
        _ => "; it is tried again",
    }
}
