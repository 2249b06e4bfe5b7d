//! JSON lines in files, one file for each route.
//!
//! **Delivered** means, with `fsync`
//! - `always`: the record is on the disk. The records of one call share one fdatasync for each file.
//! - a time: the kernel has the record; it is on the disk that time later at the latest.
//! - `never`: the kernel has the record, and writes it to the disk when it likes.
//!
//! A batch that a source waits for (RELP) has to be on the disk before it counts as delivered, so it makes a sync due at
//! once also where `fsync` is a time: held for that long, it would stop its sender at the window. What waits in the queue
//! meanwhile shares the next one. Together with `never`, the configuration refuses such a source.
//!
//! In the last two, a power failure can lose records that count as delivered; a crash of Postrider cannot. With the first
//! two a new file's directory entry is brought to the disk as well. An fdatasync that fails ends the program, because the
//! kernel may have forgotten what it could not write, and the next call would claim success.
//!
//! A write that fails is tried again. A file then ends with the last whole line that fitted, and the next attempt goes on
//! behind it: no line is torn or repeated. Lines of one route keep their order.
//!
//! A route whose path is refused (`path.rs` says which) would fail for ever and hold up all others, and a peer can make
//! one by its hostname; so its records go into the dead-letter file, are dropped as `rejected`, and logged.
//!
//! **Rotation** is described in `rotate.rs`. Age counts from the birth of the file, also over a restart; where the file
//! system does not record it, from the last write before the file was opened. An empty file is not rotated. A file stays
//! below the size unless one line alone is larger.
//!
//! **Other programs** may rename or remove a file: once in a second each open file is compared with what is at its path,
//! and opened anew if that is another one. SIGHUP does so at once. They may also cut it (`copytruncate`), at the risk of
//! losing lines that copytruncate always has. They must not write to it.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::dead_letter::{DeadLetters, Letter};
use super::routes::Routes;
use super::{Error, Sink};
use crate::buffer::Batch;
use crate::config::{FileConfig, Fsync};

mod open;
mod path;
mod rotate;

use open::OpenFile;
use path::{PathError, Root};
use rotate::{Housekeeper, Job};

/// The most files that are open at a time; the one that was used least recently is closed for the next.
const OPEN_FILES: usize = 128;
/// How long a rotation that failed is left alone.
const ROTATION_PAUSE: Duration = Duration::from_secs(60);

/// Appends each record to the file of its route.
#[derive(Debug)]
pub struct File {
    name: String,
    root: Root,
    routes: Routes,
    fsync: Fsync,
    rotate_size: Option<u64>,
    rotate_age: Option<Duration>,
    housekeeper: Option<Housekeeper>,
    files: HashMap<String, OpenFile>,
    open_files: usize,
    uses: u64,
    /// What became of each entry of the batches in front; empty unless an attempt failed.
    marks: Vec<Mark>,
    sync_due: Option<Instant>,
    dead_letters: DeadLetters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Waiting,
    Written,
    Refused,
}

/// The lines of one route within one call, in order.
struct Group<'b> {
    route: &'b str,
    lines: Vec<Line>,
}

/// Where a line stands: the batch, the entry within it, and the entry counted over all batches.
#[derive(Clone, Copy)]
struct Line {
    batch: usize,
    entry: usize,
    mark: usize,
    /// Whether it goes to the common route, because there is no place for its own.
    diverted: bool,
}

// === impl File ===

impl File {
    /// Makes the directory if it is not there, and opens no file yet. The error says what to do.
    pub fn new(config: &FileConfig, name: &str) -> Result<Self, String> {
        let root = Root::new(&config.directory, config.mode, config.fsync != Fsync::Never)?;
        let rotates = config.rotate_size.is_some() || config.rotate_age.is_some();
        let cares = rotates && (config.gzip || config.rotate_keep.is_some());
        let dead_letters = DeadLetters::new(config.dead_letter.as_deref(), name)?;
        let housekeeper = cares.then(|| Housekeeper::start(name, config.rotate_keep, config.gzip)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            root,
            routes: Routes::new(name, &config.path, config.max_routes),
            fsync: config.fsync,
            rotate_size: config.rotate_size,
            rotate_age: config.rotate_age,
            housekeeper,
            files: HashMap::new(),
            open_files: OPEN_FILES,
            uses: 0,
            marks: Vec::new(),
            sync_due: None,
            dead_letters,
        })
    }

    /// Writes the lines of a group as far as they are not written yet.
    fn write_group(&mut self, batches: &VecDeque<Batch>, group: &Group<'_>) -> Result<(), Error> {
        let mut rest = group.lines.as_slice();
        while let Some(first) = rest.first() {
            match self.ready(group.route, length(batches, first) as u64) {
                Ok(()) => {}
                Err(PathError::Sink(error)) => return Err(error),
                Err(PathError::Refused(reason)) => return self.refuse(batches, rest, &reason),
            }
            let file = self.files.get_mut(group.route).expect("ready() has opened it");
            let limit = self.rotate_size.filter(|_| file.rotates());
            let fitting = &rest[..fitting(batches, rest, file.size, limit)];
            let mut slices = slices(batches, fitting);
            let lengths = fitting.iter().map(|line| length(batches, line));
            let (written, result) = file.append(&mut slices, lengths);
            for line in &rest[..written] {
                self.marks[line.mark] = Mark::Written;
            }
            self.count_diverted(batches, &rest[..written]);
            rest = &rest[written..];
            result.map_err(|error| {
                let path = self.root.full(group.route);
                Error::Retry(format!("cannot write to {}: {error}", path.display()))
            })?;
        }
        Ok(())
    }

    fn count_diverted(&mut self, batches: &VecDeque<Batch>, lines: &[Line]) {
        let Some(first) = lines.iter().find(|line| line.diverted) else { return };
        let route = batches[first.batch].route(&batches[first.batch].entries()[first.entry]);
        let records = lines.iter().filter(|line| line.diverted).count();
        self.routes.diverted(route, records as u64, Instant::now());
    }

    /// Opens the file of a route if it is not open, and rotates it if it is old, or too large for another `bytes`.
    fn ready(&mut self, route: &str, bytes: u64) -> Result<(), PathError> {
        self.open(route)?;
        let file = &self.files[route];
        let full = self.rotate_size.is_some_and(|limit| file.size > 0 && file.size + bytes > limit);
        if (full || self.is_old(file)) && file.rotates() && self.rotate(route).map_err(PathError::Sink)? {
            self.open(route)?;
        }
        Ok(())
    }

    fn open(&mut self, route: &str) -> Result<(), PathError> {
        self.uses += 1;
        if let Some(file) = self.files.get_mut(route) {
            file.used = self.uses;
            return Ok(());
        }
        if self.files.len() >= self.open_files {
            let oldest = self.files.iter().min_by_key(|(_, file)| file.used).map(|(route, _)| route.clone());
            oldest.map_or(Ok(()), |oldest| self.close(&oldest)).map_err(PathError::Sink)?;
        }
        let file = self.root.open(route)?;
        let mut file = OpenFile::new(file).map_err(|error| {
            let path = self.root.full(route);
            PathError::Sink(Error::Retry(format!("cannot use {}: {error}", path.display())))
        })?;
        file.used = self.uses;
        self.files.insert(route.to_owned(), file);
        Ok(())
    }

    /// Closes a file; its data goes to the disk first if that was promised, because later nobody could ask for it.
    fn close(&mut self, route: &str) -> Result<(), Error> {
        if let Some(mut file) = self.files.remove(route)
            && self.fsync != Fsync::Never
        {
            sync(&mut file, &self.root.full(route))?;
        }
        Ok(())
    }

    fn is_old(&self, file: &OpenFile) -> bool {
        let age = SystemTime::now().duration_since(file.born).unwrap_or_default();
        self.rotate_age.is_some_and(|limit| file.size > 0 && age >= limit)
    }

    /// Renames the file of a route and closes it. False if that failed: then the old file is written on for a while.
    fn rotate(&mut self, route: &str) -> Result<bool, Error> {
        if self.root.identity(route) != self.files.get(route).map(|file| file.identity) {
            // Another program has rotated it already.
            return self.close(route).map(|()| true);
        }
        let path = self.root.full(route);
        let renamed = self.root.directory(route).map_err(|error| error.to_string()).and_then(|(directory, name)| {
            rotate::rename(&directory, name, SystemTime::now()).map_err(|error| error.to_string())?;
            Ok((directory, name))
        });
        match renamed {
            Ok((directory, name)) => {
                self.close(route)?;
                if self.fsync != Fsync::Never {
                    sync_directory(&directory, &path)?;
                }
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.ask(Job { directory, name: name.to_owned(), path });
                }
                Ok(true)
            }
            Err(error) => {
                warn!(
                    sink = self.name,
                    "cannot rotate {}: {error}; written on, tried again in a minute",
                    path.display()
                );
                if let Some(file) = self.files.get_mut(route) {
                    file.no_rotation_before = Some(Instant::now() + ROTATION_PAUSE);
                }
                Ok(false)
            }
        }
    }

    fn refuse(&mut self, batches: &VecDeque<Batch>, lines: &[Line], reason: &str) -> Result<(), Error> {
        let reason = format!("cannot write to {reason}");
        let (done, result) = self.dead_letters.append(lines.iter().map(|line| {
            let records = &batches[line.batch];
            Letter { reason: &reason, records, entry: records.entries()[line.entry] }
        }));
        for line in &lines[..done] {
            self.marks[line.mark] = Mark::Refused;
        }
        result
    }

    /// Syncs what was written since, if it is time or some source waits for it.
    fn sync_if_due(&mut self, now: Instant, awaited: bool) -> Result<(), Error> {
        let dirty = self.files.values().any(|file| file.dirty);
        let due = match self.fsync {
            Fsync::Never => false,
            Fsync::Always => dirty,
            Fsync::Every(_) if awaited => dirty,
            // A tick comes about once in a second: what would be late by then is synced now.
            Fsync::Every(time) => {
                dirty && *self.sync_due.get_or_insert_with(|| now + time.saturating_sub(Duration::from_secs(1))) <= now
            }
        };
        if due { self.sync_all() } else { Ok(()) }
    }

    fn sync_all(&mut self) -> Result<(), Error> {
        self.sync_due = None;
        for (route, file) in &mut self.files {
            sync(file, &self.root.full(route))?;
        }
        Ok(())
    }

    /// Resolves each batch of which no line waits any more, and leaves the others with their marks.
    fn resolve(&mut self, batches: &mut VecDeque<Batch>) {
        let marks = std::mem::take(&mut self.marks);
        let mut marks = marks.as_slice();
        for batch in std::mem::take(batches) {
            let own;
            (own, marks) = marks.split_at(batch.entries().len());
            if own.contains(&Mark::Waiting) {
                self.marks.extend_from_slice(own);
                batches.push_back(batch);
                continue;
            }
            let refused = || batch.entries().iter().zip(own).filter(|(_, mark)| **mark == Mark::Refused);
            let (records, bytes) =
                (refused().count(), refused().map(|(entry, _)| batch.line(entry).len()).sum::<usize>());
            batch.delivered_except(records as u64, bytes as u64);
        }
    }
}

impl Sink for File {
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error> {
        let entries = batches.iter().map(|batch| batch.entries().len()).sum();
        self.marks.resize(entries, Mark::Waiting);
        let mut failure = None;
        let common = self.routes.common().to_owned();
        for group in &groups(batches, &self.marks, &mut self.routes, &common) {
            match self.write_group(batches, group) {
                Ok(()) => {}
                // The trouble of one file need not stop the others.
                Err(Error::Retry(reason)) => failure = failure.or(Some(reason)),
                Err(error) => return Err(error),
            }
        }
        self.dead_letters.sync()?;
        self.sync_if_due(Instant::now(), batches.iter().any(Batch::is_awaited))?;
        self.resolve(batches);
        failure.map_or(Ok(()), |reason| Err(Error::Retry(reason)))
    }

    fn tick(&mut self) -> Result<(), Error> {
        self.sync_if_due(Instant::now(), false)?;
        self.routes.tell(Instant::now(), false);
        let routes: Vec<String> = self.files.keys().cloned().collect();
        for route in routes {
            let Some(file) = self.files.get_mut(&route) else { continue };
            if !file.regular {
                continue;
            }
            file.refresh();
            let file = &self.files[&route];
            if self.root.identity(&route) != Some(file.identity) {
                info!(sink = self.name, "{} was moved or removed; opened anew", self.root.full(&route).display());
                self.close(&route)?;
            } else if self.is_old(file) && file.rotates() {
                self.rotate(&route)?;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let routes: Vec<String> = self.files.keys().cloned().collect();
        routes.iter().try_for_each(|route| self.close(route))
    }

    fn finish(&mut self, _deadline: Instant) -> Result<(), Error> {
        // Compression that is not done goes on at the first rotation of the next start.
        self.housekeeper = None;
        self.routes.tell(Instant::now(), true);
        let synced = if self.fsync == Fsync::Never { Ok(()) } else { self.sync_all() };
        self.files.clear();
        synced
    }
}

impl OpenFile {
    fn rotates(&self) -> bool {
        self.regular && self.no_rotation_before.is_none_or(|before| before <= Instant::now())
    }
}

/// The lines that wait, by route; those of routes that have no place are of the `common` one. Most batches have few routes,
/// and neighbours often share one.
fn groups<'b>(batches: &'b VecDeque<Batch>, marks: &[Mark], routes: &mut Routes, common: &'b str) -> Vec<Group<'b>> {
    let now = Instant::now();
    let mut groups: Vec<Group<'b>> = Vec::new();
    // The group of each route as the records have it, and whether that is another route's.
    let mut by_route: HashMap<&str, (usize, bool)> = HashMap::new();
    let mut last = ("", (0, false));
    let mut mark = 0;
    for (batch_index, batch) in batches.iter().enumerate() {
        for (entry_index, entry) in batch.entries().iter().enumerate() {
            let mut line = Line { batch: batch_index, entry: entry_index, mark, diverted: false };
            mark += 1;
            if marks[line.mark] != Mark::Waiting {
                continue;
            }
            let route = batch.route(entry);
            if groups.is_empty() || last.0 != route {
                let place = by_route.get(route).copied().unwrap_or_else(|| {
                    let diverted = !routes.admit(route, now);
                    let file = if diverted { common } else { route };
                    let index = by_route.get(file).map_or(groups.len(), |(index, _)| *index);
                    if index == groups.len() {
                        by_route.insert(file, (index, false));
                        groups.push(Group { route: file, lines: Vec::new() });
                    }
                    by_route.insert(route, (index, diverted));
                    (index, diverted)
                });
                last = (route, place);
            }
            let (index, diverted) = last.1;
            line.diverted = diverted;
            groups[index].lines.push(line);
        }
    }
    groups
}

/// How many lines fit into a file of `size` bytes that is rotated at `limit`; at least one.
fn fitting(batches: &VecDeque<Batch>, lines: &[Line], size: u64, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return lines.len() };
    let mut size = size;
    let over = lines.iter().position(|line| {
        size += length(batches, line) as u64;
        size > limit
    });
    over.map_or(lines.len(), |over| over.max(1))
}

/// The bytes of lines, with neighbours joined.
fn slices<'b>(batches: &'b VecDeque<Batch>, lines: &[Line]) -> Vec<IoSlice<'b>> {
    let mut slices = Vec::new();
    let adjacent = |one: &Line, next: &Line| {
        let entries = batches[one.batch].entries();
        one.batch == next.batch && entries[one.entry].line.end == entries[next.entry].line.start
    };
    for run in lines.chunk_by(adjacent) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let batch = &batches[first.batch];
        slices.push(IoSlice::new(batch.lines(&batch.entries()[first.entry], &batch.entries()[last.entry])));
    }
    slices
}

fn length(batches: &VecDeque<Batch>, line: &Line) -> usize {
    let batch = &batches[line.batch];
    batch.line(&batch.entries()[line.entry]).len()
}

fn sync(file: &mut OpenFile, path: &Path) -> Result<(), Error> {
    file.sync().map_err(|error| unsynced(path, &error))
}

/// Makes what was created or renamed in a directory survive a power failure.
fn sync_directory(directory: &OwnedFd, path: &Path) -> Result<(), Error> {
    let synced = directory.try_clone().and_then(|directory| fs::File::from(directory).sync_all());
    match synced {
        // Some file systems have no such call for directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(|error| unsynced(path, &error)),
    }
}

fn unsynced(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    Error::Fatal(format!("cannot sync {path}: {error}; what was written may not be on the disk, so the program ends"))
}

#[cfg(test)]
mod tests;
