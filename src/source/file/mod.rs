//! Follows growing log files through their rotation and through restarts of Postrider.
//!
//! One thread looks for files, reads them in turn, one read at a time, and keeps the cursor (`cursor.rs`). A file is
//! identified by its device and inode, whatever its name. Fingerprints of its first bytes and of the bytes before the
//! cursor show whether it still has the content that was read. Files of one directory whose names differ only in the
//! suffix of their rotation form a *log*. The files of a log are read one after the other, the oldest first.
//!
//! - **Renamed**: the open file is read to its end, and for one second longer, before the next file of its path is
//!   begun. The second is skipped if the next file was renamed, too. A file that was renamed while Postrider was down
//!   is found by its inode, among the matches and in its directory.
//! - **Cut** (copytruncate): the file is smaller than before, or has different bytes at its beginning or before the
//!   cursor. Its present content counts as a new file, which is begun after the older files of its log. The same holds
//!   when an inode is reused. The copy is recognised by the same bytes, and is read from the position of the cursor.
//!   Lines that the writer adds between the copy and the cut are lost: no reader can recover them.
//! - **Compressed**: a `.gz` file that contains what was read of a vanished file counts as that file, and is read on
//!   from its cursor. Any other `.gz` file is read once, completely, or up to where it is damaged.
//!
//! The cursor advances when every sink has the lines before it. It may lag, and then lines are repeated; it never
//! leads.

mod begin;
mod complaints;
mod content;
mod cursor;
mod discover;
mod follow;
mod glob;
mod links;
mod name;
mod rounds;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle as Runtime;
use tracing::Level;

use self::complaints::Complaints;
use self::content::Stamp;
use self::cursor::{Identity, Loaded, Store};
use self::follow::{Followed, Hand, Settled, Turn};
use self::links::{Status, Viewer};
use self::rounds::{Directories, Rounds};
use super::{Bound, Intake, Running, Sockets, blocking};
use crate::config::FollowConfig;
use crate::crash::panic_point;
use crate::poison;
use crate::throttle::{Owner, Throttle};

/// Minimum time between two writes of the cursor.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often outcomes are polled after a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

/// The files of one source, and the store of their cursor.
#[derive(Debug)]
pub(super) struct Files {
    config: FollowConfig,
    store: SharedStore,
}

/// The store of the cursor. A source and its successor hold it one after the other.
type SharedStore = Arc<Mutex<Store>>;

impl Files {
    /// Opens the store of the cursor, or takes it from the predecessor. Files are looked for later.
    pub(super) fn bind(config: &FollowConfig, inherited: Option<&Sockets>, name: &str) -> io::Result<Self> {
        let store = match inherited.and_then(Sockets::upgrade_one) {
            Some(store) => store,
            None => Arc::new(Mutex::new(open(config, name)?)),
        };
        Ok(Self { config: config.clone(), store })
    }
}

impl Bound for Files {
    /// Returns the paths, as logged.
    fn address(&self) -> String {
        let paths: Vec<_> = self.config.paths.iter().map(|path| path.display().to_string()).collect();
        format!("file {}", paths.join(", "))
    }

    fn sockets(&self) -> Sockets {
        Sockets::one(&self.store)
    }

    /// Follows the files on a thread of its own, because reading files blocks.
    fn run(self: Box<Self>, intake: Intake) -> Running {
        Box::pin(async move {
            let runtime = Runtime::current();
            let follow = move || {
                // Waits until a predecessor has ended, which first has its last lines delivered.
                let store = poison::ignore(self.store.lock());
                Follower::new(self.config, store, intake, runtime).run();
            };
            Ok(blocking(follow).await?)
        })
    }
}

fn open(config: &FollowConfig, name: &str) -> io::Result<Store> {
    let store = Store::open(&config.state, name)?;
    if store.load() == Loaded::Newer {
        let text = format!("a later version of Postrider wrote {}", store.path().display());
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok(store)
}

/// The state of the thread.
struct Follower<'s> {
    config: FollowConfig,
    store: MutexGuard<'s, Store>,
    intake: Intake,
    runtime: Runtime,
    viewer: Viewer,
    /// The files to which this process writes its records and its log. They are not followed.
    own: Vec<Identity>,
    /// The known files, in the order in which they appeared.
    files: Vec<Followed>,
    serial: u64,
    /// Known copies (copytruncate) of files that are being read: the identity of the copy, its stamp when it was
    /// recognised, and the serial of the original.
    copies: HashMap<Identity, (Stamp, u64)>,
    /// True if files that exist at the first look are begun at their end.
    skip: bool,
    /// Time up to which changes of files and directories have been looked at.
    since: SystemTime,
    changed: bool,
    is_first_look: bool,
    /// Indices of the files that have to be looked at in each turn. The other files are idle until the next round.
    awake: Vec<usize>,
    rounds: Rounds,
    directories: Directories,
    /// True if the next round has something to begin or to search for.
    is_waiting: bool,
    saved: Instant,
    /// True if, as far as is known, all lines that the last run handed on were delivered and saved in the cursor.
    ended: bool,
    /// Number of lines that are handed on again and not logged yet.
    repeated: u64,
    repeats: Throttle,
    complaints: Complaints,
}

impl<'s> Follower<'s> {
    fn new(mut config: FollowConfig, store: MutexGuard<'s, Store>, intake: Intake, runtime: Runtime) -> Self {
        let (name, path) = (intake.name(), store.path().display().to_string());
        // The lines of suppressed log lines are counted in `repeated`.
        let repeats = Throttle::new(Level::WARN, Owner::Source(name.to_owned()), "lines handed on again");
        let (mut skip, mut since, mut all_ended) = (false, SystemTime::now(), true);
        let entries = match store.load() {
            Loaded::Entries { entries, ended } => {
                // The last look may be this much older than the last change of the cursor.
                since =
                    store.changed().checked_sub(config.poll_interval + SAVE_INTERVAL).unwrap_or(SystemTime::UNIX_EPOCH);
                all_ended = ended;
                entries
            }
            Loaded::Missing => {
                let start = if config.from_beginning { "beginning" } else { "end" };
                let what = format!("no cursor yet: existing files are read from their {start} (start = \"{start}\")");
                tracing::warn!(source = name, path, "{what}");
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
            // `open` has refused it already.
            Loaded::Newer => Vec::new(),
        };
        // Paths are compared as text.
        config.paths = config.paths.iter().map(|path| path.components().collect()).collect();
        let max_frame_size = intake.max_frame_size();
        let numbered = entries.into_iter().zip(1..);
        let rounds = Rounds::new(config.poll_interval);
        let new = |(entry, serial)| Followed::new(entry, serial, max_frame_size, config.links);
        let files: Vec<_> = numbered.map(new).collect();
        Self {
            serial: files.len() as u64,
            files,
            viewer: Viewer::new(config.links),
            own: Status::of_standard_streams().into_iter().flatten().map(|status| status.identity).collect(),
            config,
            store,
            intake,
            runtime,
            copies: HashMap::new(),
            skip,
            since,
            changed: true,
            is_first_look: true,
            awake: Vec::new(),
            rounds,
            directories: Directories::default(),
            is_waiting: false,
            saved: Instant::now(),
            ended: all_ended,
            repeated: 0,
            repeats,
            complaints: Complaints::default(),
        }
    }

    fn run(mut self) {
        let looked = self.look();
        self.rounds.done(Instant::now(), looked);
        self.tell_repeats();
        self.tell_missing();
        // The starting positions must be saved before a line is delivered. Without a saved cursor, the next run would
        // begin the files at their end again.
        while !self.save(false) && self.skip && !self.intake.stop().is_cancelled() {
            self.wait(SAVE_INTERVAL);
        }
        self.skip = false;
        let mut looked = Instant::now();
        while !self.intake.stop().is_cancelled() {
            if looked.elapsed() >= self.config.poll_interval {
                self.look_around(Instant::now());
                looked = Instant::now();
            }
            let read = self.read();
            if read {
                panic_point("file");
            }
            self.settle();
            if self.changed && self.saved.elapsed() >= SAVE_INTERVAL {
                self.save(false);
            }
            if !read {
                self.wait(self.config.poll_interval.saturating_sub(looked.elapsed()));
            }
        }
        self.finish();
    }

    /// Logs how many bytes may have been delivered already without being saved in the cursor.
    fn tell_repeats(&self) {
        let behind: Vec<u64> = self.files.iter().map(Followed::bytes_behind).filter(|bytes| *bytes > 0).collect();
        if !self.ended && !behind.is_empty() {
            tracing::warn!(
                source = self.intake.name(),
                files = behind.len(),
                bytes = behind.iter().sum::<u64>(),
                "the last run did not end in order: files are read on from the cursor, and what was delivered behind it is repeated"
            );
        }
    }

    /// Logs the configured paths at which there is no file.
    fn tell_missing(&mut self) {
        for pattern in &self.config.paths {
            let mut found = Vec::new();
            glob::expand(pattern, &mut found, &mut |_| {}, &mut |_, _| {});
            if !found.iter().any(|path| path.exists()) {
                let (source, path) = (self.intake.name(), pattern.display());
                tracing::warn!(source, %path, "no file is there yet: one that appears is read from its beginning");
            }
        }
    }

    /// Waits for `time`, or until a stop.
    fn wait(&self, time: Duration) {
        let stop = self.intake.stop();
        // The result only says which of the two it was.
        let _ = self.runtime.block_on(async { tokio::time::timeout(time, stop.cancelled()).await });
    }

    /// Drains after a stop: waits until the sinks have the lines that were handed on, or until the shutdown deadline.
    /// Then saves the cursor.
    fn finish(mut self) {
        self.tell_repeated();
        while self.settle() && !self.intake.is_over() {
            std::thread::sleep(STOP_INTERVAL);
        }
        let lines = self.repeated + self.files.iter_mut().map(Followed::retry).sum::<u64>();
        if lines > 0 {
            let source = self.intake.name();
            tracing::warn!(
                source,
                lines,
                "the time for the stop is over: the next run hands on again what a sink did not take"
            );
        }
        let ended = self.files.iter().all(Followed::is_delivered);
        self.save(ended);
    }

    /// Gives each file one turn. Returns true if there is a reason to give them another one at once.
    fn read(&mut self) -> bool {
        if self.awake.iter().all(|index| self.files[*index].is_at_rest()) {
            return false;
        }
        let awake = std::mem::take(&mut self.awake);
        let any = self.read_each(&awake);
        self.awake = awake;
        any
    }

    fn read_each(&mut self, awake: &[usize]) -> bool {
        let most = FollowConfig::OPEN_FILES.min(self.intake.descriptors().files());
        let mut open = self.files.iter().filter(|file| file.is_open()).count();
        // Files that are not awake are finished.
        let files = awake.iter().map(|index| &self.files[*index]);
        let unfinished: HashSet<u64> = files.filter(|file| !file.is_finished()).map(|file| file.serial).collect();
        self.note_superseded(awake);
        let (mut any, mut without_room) = (false, 0);
        for &index in awake {
            if self.intake.stop().is_cancelled() {
                break;
            }
            let file = &mut self.files[index];
            file.after = file.after.filter(|after| unfinished.contains(after));
            let (serial, waits, was_open) = (file.serial, file.after.is_some(), file.is_open());
            // At most half of the open files may be waiting for another file, so that there is always room to read.
            if file.is_at_rest() || waits && !was_open && open >= most / 2 {
                continue;
            }
            if !was_open && open >= most {
                if !self.make_room() {
                    without_room += 1;
                    continue;
                }
                open -= 1;
            }
            let hand = Hand { intake: &self.intake, runtime: &self.runtime };
            let result = if waits { self.files[index].hold() } else { self.files[index].turn(&hand) };
            let file = &self.files[index];
            open = open + usize::from(file.is_open()) - usize::from(was_open);
            any |= unfinished.contains(&serial) && file.is_finished();
            match result {
                Ok(Turn::Idle) => {}
                Ok(Turn::Read) => any = true,
                Ok(Turn::Replaced) => {
                    open -= usize::from(file.is_open());
                    self.replaced(index);
                    any = true;
                }
                Ok(Turn::Damaged(error)) => self.damaged(index, &error),
                Err(error) => self.unreadable(index, &error),
            }
        }
        if without_room > 0 {
            let what = format!(
                "{most} files are open and being read: {without_room} others wait until one of these is at its end"
            );
            self.complain(&self.config.paths[0].clone(), &what);
        }
        any
    }

    /// Marks the files whose successor in the log was rotated away itself.
    fn note_superseded(&mut self, awake: &[usize]) {
        let files = || awake.iter().map(|index| &self.files[*index]);
        let waited_for: HashSet<u64> = files().filter_map(|file| file.after).collect();
        let newer = files().filter(|file| waited_for.contains(&file.serial));
        let superseded: HashSet<u64> = newer.filter_map(|file| file.after).collect();
        for index in awake {
            let file = &mut self.files[*index];
            file.superseded = superseded.contains(&file.serial);
        }
    }

    /// Closes the file that was silent for the longest time. Returns false if no file can be closed, as when none is at
    /// its end.
    fn make_room(&mut self) -> bool {
        let mut open: Vec<usize> = (0..self.files.len()).filter(|index| self.files[*index].is_open()).collect();
        open.sort_by_key(|index| self.files[*index].grown);
        open.into_iter().any(|index| self.files[index].close())
    }

    /// Detaches the file at `index` from its path, where there is different content now. The next look begins that
    /// content after the older files.
    fn replaced(&mut self, index: usize) {
        let file = &mut self.files[index];
        tracing::info!(
            source = self.intake.name(),
            path = %file.location().unwrap_or(&file.entry.path).display(),
            "the file was cut or replaced: it is read from its beginning"
        );
        file.part();
        (self.changed, self.is_waiting) = (true, true);
    }

    fn damaged(&mut self, index: usize, error: &io::Error) {
        let file = &self.files[index];
        let path = file.location().unwrap_or(&file.entry.path);
        self.intake.ledger().errors.fetch_add(1, Relaxed);
        tracing::error!(
            source = self.intake.name(),
            path = %path.display(),
            %error,
            "the compressed file is damaged: what stands before the damage is read, the rest cannot be, unless the file changes"
        );
        self.changed = true;
    }

    fn unreadable(&mut self, index: usize, error: &io::Error) {
        let path = self.files[index].location().unwrap_or(&self.files[index].entry.path).to_owned();
        // A file that is not found was renamed since it was looked up. The next look finds it.
        self.files[index].back_off(error.kind() != io::ErrorKind::NotFound);
        if error.kind() != io::ErrorKind::NotFound {
            self.complain(&path, &format!("{error}{}", help(error)));
        }
    }

    /// Advances the cursors past the lines that are delivered by now. Returns true if some lines are still in flight.
    fn settle(&mut self) -> bool {
        for &index in &self.awake {
            let Settled { changed, repeated } = self.files[index].settle();
            self.changed |= changed;
            self.repeated += repeated;
        }
        if !self.intake.stop().is_cancelled()
            && self.repeated > 0
            && self.repeats.pass_with(0, Instant::now()).is_some()
        {
            self.tell_repeated();
        }
        self.awake.iter().any(|index| !self.files[*index].is_settled())
    }

    fn tell_repeated(&mut self) {
        let lines = std::mem::take(&mut self.repeated);
        if lines > 0 {
            let source = self.intake.name();
            tracing::warn!(source, lines, "a sink did not take some lines: from them on, lines are handed on again");
        }
    }

    /// Writes the cursor. `ended` says that nothing beyond the cursor is delivered. If writing fails, it is tried again
    /// later, and the cursor lags until then.
    fn save(&mut self, ended: bool) -> bool {
        self.saved = Instant::now();
        let text = cursor::encode(self.files.iter().map(|file| &file.entry), ended);
        match self.store.save(&text) {
            Ok(()) => self.changed = false,
            Err(error) => {
                let path = self.store.path();
                let means = if self.skip { "nothing is read" } else { "a restart repeats lines" };
                self.complain(&path, &format!("the cursor cannot be written: {error}; until it can, {means}"));
                return false;
            }
        }
        true
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Logs what is wrong with a path, at a limited rate for each path.
    fn complain(&mut self, path: &Path, what: &str) {
        if let Some(suppressed) = self.complaints.pass(path, Instant::now()) {
            tracing::warn!(source = self.intake.name(), path = %path.display(), suppressed, "{what}");
        }
    }
}

/// Returns what an operator can do about an error.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let Postrider's user read it: by its group, or `setfacl -m u:USER:r FILE`; it is tried again"
        }
        io::ErrorKind::IsADirectory => "; `paths` names files: write /* behind it for those in it",
        _ => "; it is tried again",
    }
}

#[cfg(test)]
mod tests;
