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
mod run;
mod system;
mod turns;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle as Runtime;
use tracing::Level;

use self::complaints::Complaints;
use self::content::ChangeStamp;
use self::cursor::{CursorEntry, FileIdentity, Loaded, Store};
use self::follow::{Followed, Hand, Settled};
use self::links::PathStatus;
use self::rounds::{Directories, Rounds};
use self::run::Run;
use self::system::System;
use self::turns::OpenFiles;
use super::{Bound, Intake, Running, Sockets};
use crate::config::FollowConfig;
use crate::panics::Blocking;
use crate::poison;
use crate::throttle::{LineOwner, Throttle};

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
                Run::new(self.config, store, intake, runtime).run();
            };
            Ok(Blocking::start(follow).end().await?)
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

/// The files of a source, and what is known of the places where more of them can be.
struct Follower {
    config: FollowConfig,
    intake: Intake,
    system: Rc<dyn System>,
    hand: Rc<dyn Hand>,
    /// The files to which this process writes its records and its log. They are not followed.
    own: Vec<FileIdentity>,
    /// The known files, in the order in which they appeared.
    files: Vec<Followed>,
    open_files: OpenFiles,
    serial: u64,
    /// Known copies (copytruncate) of files that are being read: the identity of the copy, its stamp when it was
    /// recognised, and the serial of the original.
    copies: HashMap<FileIdentity, (ChangeStamp, u64)>,
    next_round: Round,
    /// Time up to which changes of files and directories have been looked at. The cursor on disk has it as the time of
    /// its last change.
    since: SystemTime,
    /// True if the state that is kept on disk has changed since it was written.
    changed: bool,
    /// Indices of the files that have to be looked at in each turn. The other files are idle until the next round.
    awake: Vec<usize>,
    rounds: Rounds,
    directories: Directories,
    repeats: RepeatedLines,
    complaints: Complaints,
}

/// A look for all files, and not only for those that were read lately.
#[derive(Clone, Copy, Debug)]
enum Round {
    /// The first one. With `skip`, files that exist are begun at their end.
    First { skip: bool },
    /// Any later one.
    Later,
}

/// Lines that are handed on again, because a sink did not take some of them.
struct RepeatedLines {
    /// Number of the lines that are not logged yet.
    lines: u64,
    throttle: Throttle,
}

/// The state in which following begins.
struct Start {
    entries: Vec<CursorEntry>,
    /// True if files that exist at the first look are begun at their end.
    skip: bool,
    /// Time of the last look.
    since: SystemTime,
}

impl Follower {
    fn new(mut config: FollowConfig, start: Start, intake: Intake, system: Rc<dyn System>, hand: Rc<dyn Hand>) -> Self {
        // The lines of suppressed log lines are counted in `repeats.lines`.
        let throttle = Throttle::new(Level::WARN, LineOwner::Source(intake.name().to_owned()), "lines read again");
        // Paths are compared as text.
        config.paths = config.paths.iter().map(|path| path.components().collect()).collect();
        let (max_frame_size, now) = (intake.max_frame_size(), system.now());
        let numbered = start.entries.into_iter().zip(1..);
        let files: Vec<_> = numbered.map(|(entry, serial)| Followed::new(entry, serial, max_frame_size, now)).collect();
        Self {
            serial: files.len() as u64,
            files,
            open_files: OpenFiles::default(),
            own: PathStatus::of_standard_streams().into_iter().flatten().map(|status| status.identity).collect(),
            rounds: Rounds::new(config.poll_interval, now),
            config,
            intake,
            system,
            hand,
            copies: HashMap::new(),
            next_round: Round::First { skip: start.skip },
            since: start.since,
            changed: true,
            awake: Vec::new(),
            directories: Directories::default(),
            repeats: RepeatedLines { lines: 0, throttle },
            complaints: Complaints::default(),
        }
    }

    /// Looks for files for the first time.
    fn begin_looking(&mut self) {
        let looked = self.look();
        let now = self.system.now();
        self.rounds.done(now, looked);
        self.rounds.looked(now);
    }

    /// Looks for files when it is time to, gives each file one turn, and advances the cursors. Returns true if there is
    /// a reason to do the same again at once.
    fn work(&mut self) -> bool {
        if self.time_to_look().is_zero() {
            self.look_around(self.system.now());
            self.rounds.looked(self.system.now());
        }
        let read = self.read();
        self.settle();
        read
    }

    /// Returns the time until the next look.
    fn time_to_look(&self) -> Duration {
        self.rounds.time_to_look(self.system.now())
    }

    /// Makes the next look consider the content at `path`, which was changed at `modified`, even if it was rotated away
    /// to a name that no configured path leads to.
    fn look_back(&mut self, path: &Path, modified: Option<SystemTime>) {
        // A writer that has not noticed the rotation changes its file later than the rotation changes the directory.
        let directory = path.parent().and_then(|directory| self.system.modified(directory).ok());
        self.since = modified.into_iter().chain(directory).fold(self.since, SystemTime::min);
    }

    /// Detaches the file at `index` from its path, where there is different content now. The next look begins that
    /// content after the older files.
    fn replaced(&mut self, index: usize) {
        let file = &mut self.files[index];
        let (path, modified) = (file.location().unwrap_or(&file.entry.path).to_owned(), file.modified());
        tracing::info!(
            source = self.intake.name(),
            path = %path.display(),
            "the file was truncated or replaced; reading it from the beginning"
        );
        file.detach(self.system.now());
        self.look_back(&path, modified);
        self.changed = true;
        self.rounds.make_urgent();
    }

    /// Advances the cursors past the lines that are delivered by now. Returns true if some lines are still in flight.
    fn settle(&mut self) -> bool {
        let now = self.system.now();
        for &index in &self.awake {
            let Settled { changed, repeated } = self.files[index].settle(now);
            self.changed |= changed;
            self.repeats.lines += repeated;
        }
        let RepeatedLines { lines, throttle } = &self.repeats;
        if !self.intake.stop().is_cancelled() && *lines > 0 && throttle.pass_with(0, now).is_some() {
            self.tell_repeated();
        }
        self.awake.iter().any(|index| !self.files[*index].is_settled())
    }

    fn tell_repeated(&mut self) {
        let lines = std::mem::take(&mut self.repeats.lines);
        if lines > 0 {
            let source = self.intake.name();
            tracing::warn!(source, lines, "a sink did not take some lines; re-reading the file from the first of them");
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Logs what is wrong with a path, at a limited rate for each path.
    fn complain(&mut self, path: &Path, what: &str) {
        if let Some(suppressed) = self.complaints.pass(path, self.system.now()) {
            tracing::warn!(source = self.intake.name(), path = %path.display(), suppressed, "{what}");
        }
    }
}

/// Returns what an operator can do about an error.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let Postrider's user read it, by its group or `setfacl -m u:USER:r FILE`; retrying"
        }
        io::ErrorKind::IsADirectory => "; append /* to follow the files in it",
        _ => "; retrying",
    }
}

#[cfg(test)]
mod tests;
