//! JSON lines in files, one file for each route.
//!
//! **Delivered** means, with `fsync`
//! - `always`: the record is on the disk. The records of one call share one fdatasync for each file.
//! - a time: the kernel has the record; it is on the disk that time later at the latest.
//! - `never`: the kernel has the record, and writes it to the disk at its own time.
//!
//! A batch that a source waits for (RELP) has to be on the disk before it counts as delivered. It therefore makes a
//! sync due at once even where `fsync` is a time: a batch held for that time would stop its sender at the window.
//! Batches that arrive in the queue meanwhile share the next sync. The configuration refuses such a source together
//! with `never`.
//!
//! With a time and with `never`, a power failure can lose records that count as delivered; a crash of Postrider cannot.
//! With `always` and with a time, a new file's directory entry is synced to the disk as well. A failed fdatasync ends
//! the program, because the kernel may have dropped the data that it could not write, and the next call would claim
//! success.
//!
//! A failed write is retried. The file then ends with the last whole line that fitted, and the next attempt continues
//! behind it: no line is torn or repeated. Lines of one route keep their order.
//!
//! A peer can create a route by its hostname, so no route may hold up the others. A route whose path can never be right
//! (`path.rs` says which) is refused at once. Its records go into the dead-letter file, are dropped as `rejected`, and
//! logged. While that file is full, they go to the common route (`refuse.rs`). A route that cannot be written now is
//! set aside (`trouble.rs`): its batches stay inside the sink and keep their room in the queue, and the other routes go
//! on. The number of routes is limited (`routes.rs`).
//!
//! **Rotation** is described in `rotate.rs`. The age counts from the birth of the file, also over a restart. Some file
//! systems do not record the birth: the age then counts from the last write before the file was opened. An empty file
//! is not rotated. A file stays below the size unless one line alone is larger.
//!
//! **Other programs** may rename or remove a file: once a second each open file is compared with the file at its path,
//! and opened again if they differ. SIGHUP does so at once. Other programs may also truncate a file (`copytruncate`),
//! at the usual risk of copytruncate to lose lines. They must not write to it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, info, warn};

use super::dead_letter::DeadLetters;
use super::routes::Routes;
use super::{Error, Sink};
use crate::buffer::Batch;
use crate::config::{FileConfig, Fsync};
use crate::throttle::{LineOwner, Throttle};

mod open;
mod opened;
mod path;
mod refuse;
mod rotate;
mod sync;
mod trouble;
mod work;

use open::OpenFile;
use path::{PathError, Root, Scope};
use rotate::Housekeeper;
use trouble::Troubles;
use work::{FileLines, LinePlace, Mark, Work};

/// Time between two attempts at the stop.
const LAST_ATTEMPTS: Duration = Duration::from_millis(100);

/// Appends each record to the file of its route.
#[derive(Debug)]
pub struct File {
    name: String,
    root: Root,
    routes: Routes,
    /// True if a record chooses its path.
    has_placeholder: bool,
    fsync: Fsync,
    rotate_size: Option<u64>,
    rotate_age: Option<Duration>,
    housekeeper: Option<Housekeeper>,
    files: HashMap<String, OpenFile>,
    open_files: usize,
    uses: u64,
    /// Batches with lines whose routes cannot be written now.
    aside: Work,
    troubles: Troubles,
    sync_due: Option<Instant>,
    dead_letters: DeadLetters,
    /// Throttle for log lines on refused records that go to the common route.
    moved_log: Throttle,
    rotation_log: Throttle,
    /// True if the sink cannot go on: no record may count as delivered any more.
    broken: bool,
}

// === impl File ===

impl File {
    /// Makes the directory if it does not exist, and opens no file yet. The error says what to do.
    pub fn new(config: &FileConfig, name: &str) -> Result<Self, String> {
        let root = Root::new(config)?;
        let rotates = config.rotate_size.is_some() || config.rotate_age.is_some();
        let cares = rotates && (config.gzip || config.rotate_keep.is_some());
        let dead_letters = DeadLetters::new(config.dead_letter.as_ref(), name)?;
        let log = |what: &str| Throttle::new(Level::WARN, LineOwner::Sink(name.to_owned()), what);
        let housekeeper = cares.then(|| Housekeeper::start(name, config.rotate_keep, config.gzip)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            root,
            routes: Routes::new(name, &config.path, config.max_routes),
            has_placeholder: !config.path.is_constant(),
            fsync: config.fsync,
            rotate_size: config.rotate_size,
            rotate_age: config.rotate_age,
            housekeeper,
            files: HashMap::new(),
            open_files: FileConfig::OPEN_FILES,
            uses: 0,
            aside: Work::default(),
            troubles: Troubles::new(name),
            sync_due: None,
            dead_letters,
            moved_log: log("refused records written to the common file, because the dead-letter file is full"),
            rotation_log: log("rotations that failed"),
            broken: false,
        })
    }

    /// Writes the `new` batches, and before them the batches that are set aside, where a retry is due. Batches that
    /// cannot be written are aside afterwards. [`Error::Retry`] means that nothing can be written at all.
    fn work(&mut self, new: VecDeque<Batch>) -> Result<(), Error> {
        let now = Instant::now();
        let mut work = Work::new(new);
        // If no retry is due, the lines aside wait, and so do lines of the same routes in the new batches.
        if self.troubles.is_due(now) {
            let mut all = std::mem::take(&mut self.aside);
            all.extend(work);
            work = all;
        }
        let written = self.write_groups(&mut work, now);
        let kept = written.and_then(|()| self.dead_letters.sync());
        let synced = kept.and_then(|()| self.sync_if_due(now, work.is_awaited()));
        if let Err(error) = synced {
            self.aside.extend(work);
            return Err(error);
        }
        self.aside.extend(work.resolve());
        match self.troubles.stuck() {
            Some(reason) if !self.aside.is_empty() => Err(Error::Retry(reason.to_owned())),
            _ => Ok(()),
        }
    }

    /// Writes the waiting lines, route by route. A fault of one route need not stop the others.
    fn write_groups(&mut self, work: &mut Work, now: Instant) -> Result<(), Error> {
        let common = self.routes.common().to_owned();
        // The groups borrow the rest of `work`.
        let mut marks = std::mem::take(&mut work.marks);
        let groups = work.groups(&marks, &mut self.routes, &common);
        let result = self.write_each(work, groups, rotate::live(&common), &mut marks, now);
        work.marks = marks;
        result
    }

    /// Writes each group. The common group comes last, in the order of the records, because other groups may add lines
    /// to it.
    fn write_each<'w>(
        &mut self,
        work: &'w Work,
        groups: Vec<FileLines<'w>>,
        common: Cow<'w, str>,
        marks: &mut [Mark],
        now: Instant,
    ) -> Result<(), Error> {
        let stuck = self.troubles.stuck().is_some();
        let mut last = FileLines { route: common, lines: Vec::new() };
        let mut moved = Vec::new();
        for group in groups {
            if group.route == last.route {
                let moved_before = std::mem::replace(&mut last.lines, group.lines);
                last.lines.extend(moved_before);
                continue;
            }
            let Some(unkept) = self.write_or_refuse(work, &group, stuck, marks, now)? else { continue };
            if self.has_placeholder {
                last.lines.extend(&unkept.lines);
                moved.push(unkept);
            } else {
                self.settle(work, &unkept, marks, now);
            }
        }
        if last.lines.is_empty() {
            return Ok(());
        }
        if !moved.is_empty() {
            last.lines.sort_unstable_by_key(|line| line.mark);
        }
        if let Some(unkept) = self.write_or_refuse(work, &last, stuck, marks, now)? {
            self.settle(work, &unkept, marks, now);
        }
        for unkept in moved {
            self.settle(work, &unkept, marks, now);
        }
        Ok(())
    }

    /// Writes the lines of a group that are not written yet, as far as possible.
    fn write_group(&mut self, work: &Work, group: &FileLines<'_>, marks: &mut [Mark]) -> Result<(), PathError> {
        let is_common = self.has_placeholder && group.route == rotate::live(self.routes.common());
        let mut rest = group.lines.as_slice();
        while let Some(first) = rest.first() {
            let file = self.ready(&group.route, work.length(first) as u64)?;
            let limit = file.limit.filter(|_| file.rotates());
            let fitting = &rest[..work.fitting(rest, file.size, limit)];
            let mut slices = work.slices(fitting);
            let (written, result) = file.append(&mut slices, fitting.iter().map(|line| work.length(line)));
            for line in &rest[..written] {
                marks[line.mark] = Mark::Written;
            }
            if is_common {
                self.count_diverted(work, &rest[..written]);
            }
            rest = &rest[written..];
            result.map_err(|error| {
                let path = self.root.full(&group.route);
                let reason = format!("cannot write to {}: {error}", path.display());
                PathError::Failed { reason, scope: Scope::of(&error) }
            })?;
        }
        Ok(())
    }

    fn count_diverted(&mut self, work: &Work, lines: &[LinePlace]) {
        let Some(first) = lines.iter().find(|line| line.diverted) else { return };
        let records = lines.iter().filter(|line| line.diverted).count();
        self.routes.diverted(work.route(first), records as u64, Instant::now());
    }

    /// Syncs the written data if the time has come or a source waits for it.
    fn sync_if_due(&mut self, now: Instant, awaited: bool) -> Result<(), Error> {
        let dirty = self.files.values().any(|file| file.dirty);
        let due = match self.fsync {
            Fsync::Never => false,
            Fsync::Always => dirty,
            Fsync::Every(_) if awaited => dirty,
            // A tick comes about once a second: data that would be late by the next tick is synced now.
            Fsync::Every(time) => {
                dirty && *self.sync_due.get_or_insert_with(|| now + time.saturating_sub(Duration::from_secs(1))) <= now
            }
        };
        if due { self.sync_all() } else { Ok(()) }
    }

    fn sync_all(&mut self) -> Result<(), Error> {
        self.sync_due = None;
        let dirty = self.files.iter_mut().filter(|(_, file)| file.dirty);
        sync::together(dirty.map(|(route, file)| (self.root.full(route), file)).collect())
    }

    /// Retries the batches that are aside, until the stop deadline. Lines that only their own route holds up are
    /// refused at once, if the dead-letter file keeps them.
    fn write_the_rest(&mut self, deadline: Instant) -> Result<(), Error> {
        while !self.aside.is_empty() {
            self.troubles.last_attempt(Instant::now(), self.dead_letters.keeps());
            match self.work(VecDeque::new()) {
                Ok(()) | Err(Error::Retry(_)) => {}
                fatal => return fatal,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.troubles.may_pass() {
                break;
            }
            thread::sleep(LAST_ATTEMPTS.min(left));
        }
        Ok(())
    }

    fn look_after_files(&mut self) -> Result<(), Error> {
        let routes: Vec<String> = self.files.keys().cloned().collect();
        for route in routes {
            let Some(file) = self.files.get_mut(&route) else { continue };
            if !file.regular {
                continue;
            }
            file.refresh();
            let file = &self.files[&route];
            match self.root.identity(&route) {
                Ok(identity) if identity != Some(file.identity) => {
                    let path = self.root.full(&route);
                    info!(sink = self.name, "{} was moved or removed; created it again", path.display());
                    self.close(&route)?;
                }
                Ok(_) if self.is_old(file) && file.rotates() => {
                    self.rotate(&route)?;
                }
                // An identity that cannot be read now is read again at the next tick.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Remembers an error after which no record may count as delivered.
    fn noting(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.broken |= matches!(result, Err(Error::Fatal(_)));
        result
    }
}

impl Sink for File {
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error> {
        let result = self.work(std::mem::take(batches));
        self.noting(result)
    }

    fn tick(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.troubles.tell(now);
        let looked = self.sync_if_due(now, false).and_then(|()| self.look_after_files());
        let result = looked.and_then(|()| {
            if self.aside.is_empty() || !self.troubles.is_due(now) { Ok(()) } else { self.work(VecDeque::new()) }
        });
        self.noting(result)
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.troubles.try_now(Instant::now());
        let routes: Vec<String> = self.files.keys().cloned().collect();
        let closed = routes.iter().try_for_each(|route| self.close(route));
        self.noting(closed)
    }

    fn finish(&mut self, deadline: Instant) -> Result<(), Error> {
        // Unfinished compression continues at the first rotation of the next start.
        self.housekeeper = None;
        let result = if self.broken { Ok(()) } else { self.write_the_rest(deadline) };
        let synced = result.and_then(|()| if self.fsync == Fsync::Never { Ok(()) } else { self.sync_all() });
        let aside = std::mem::take(&mut self.aside);
        // Written records count as delivered only if they are on the disk.
        let aside = if self.broken || synced.is_err() { Work::new(aside.batches) } else { aside };
        let records = aside.give_up();
        if records > 0 {
            warn!(sink = self.name, records, "dropped records that could not be written before the stop");
        }
        self.files.clear();
        synced
    }
}

#[cfg(test)]
mod tests;
