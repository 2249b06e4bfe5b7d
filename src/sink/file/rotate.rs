//! Rotation: the names of rotated files, which of those files are kept, and their compression.
//!
//! `mail.json` becomes `mail.json.20261124-021035`, in UTC; a second rotation in the same second adds `-001`. With
//! gzip, the file later becomes `mail.json.20261124-021035.gz`. Without `.gz` the names sort by age. The work after the
//! renaming happens in a thread of its own, so that no record waits for it. Work that is not done (the queue is full,
//! or the program stops or dies) is found and done at the next rotation of the same path.
//!
//! No live file has such a name: where a sender's text gives one, the point before the time becomes `_` ([`live`]).
//! Therefore no sender can pass its file off as a rotated one, have other files removed, or stop the rotation.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use flate2::{Compression, write::GzEncoder};
use jiff::civil::{Date, DateTime, Time};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use tracing::{Level, error, warn};

use crate::crash::panic_point;
use crate::panics;
use crate::throttle::{LineOwner, Throttle};
use crate::time::{self, Timestamp};

/// Maximum number of rotated paths that wait for the thread.
const WAITING: usize = 64;
/// Maximum number of bytes that a rotation and its compression add to a name: `.20261124-021035-001.gz.tmp`.
pub(super) const MOST_OF_A_SUFFIX: usize = 27;
/// Length of `20261124-021035`.
const STAMP: usize = 15;
/// Number of bytes copied between two checks for a stop.
const CHUNK: usize = 64 * 1024;

/// The thread that removes and compresses rotated files. A drop of this value ends the thread after the current chunk.
#[derive(Debug)]
pub(super) struct Housekeeper {
    jobs: Option<SyncSender<Job>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A path whose rotated files are to be tidied.
#[derive(Debug)]
pub(super) struct Job {
    /// The directory of the file.
    pub(super) directory: OwnedFd,
    /// The name of the file in that directory.
    pub(super) name: String,
    /// The whole path, for messages.
    pub(super) path: PathBuf,
}

#[derive(Debug)]
struct Care {
    keep: Option<usize>,
    gzip: bool,
    stop: Arc<AtomicBool>,
    log: Throttle,
}

// === impl Housekeeper ===

impl Housekeeper {
    pub(super) fn start(sink: &str, keep: Option<usize>, gzip: bool) -> Result<Self, String> {
        let (jobs, receiver) = sync_channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let care = Care::new(sink, keep, gzip, Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name(format!("rotate-{sink}"))
            .spawn(move || care.run(&receiver))
            .map_err(|error| format!("cannot start a thread for the rotated files of the sink {sink}: {error}"))?;
        Ok(Self { jobs: Some(jobs), stop, thread: Some(thread) })
    }

    /// Asks the thread to tidy a path. If too many paths wait already, the next rotation of this path asks again.
    pub(super) fn ask(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(job);
        }
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }
}

// === impl Care ===

impl Care {
    fn new(sink: &str, keep: Option<usize>, gzip: bool, stop: Arc<AtomicBool>) -> Self {
        let owner = LineOwner::Sink(sink.to_owned());
        let log = Throttle::new(Level::WARN, owner, "rotated files that could not be compressed or removed");
        Self { keep, gzip, stop, log }
    }

    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            if self.stop.load(Relaxed) {
                return;
            }
            let path = job.path.display();
            match panics::catch(AssertUnwindSafe(|| self.tidy(&job))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let Some(suppressed) = self.log.pass(Instant::now()) else { continue };
                    warn!(
                        suppressed,
                        "cannot compress or remove rotated files of {path}: {error}; next try at its next rotation"
                    );
                }
                // The other paths go on.
                Err(panic) => error!(
                    "the thread for the rotated files of {path} panicked; this is a defect in Postrider, please \
                     report it: {panic}; next try at its next rotation"
                ),
            }
        }
    }

    fn tidy(&self, job: &Job) -> io::Result<()> {
        panic_point("rotate");
        let mut names = rotated(&job.directory, &job.name)?;
        for leftover in names.iter().filter(|name| is_part(name)) {
            remove(&job.directory, leftover)?;
        }
        names.retain(|name| !is_part(name));
        names.sort_unstable_by(|one, other| stem(other).cmp(stem(one)));
        let mut stems: Vec<&str> = names.iter().map(|name| stem(name)).collect();
        stems.dedup();
        let kept = stems.len().min(self.keep.unwrap_or(usize::MAX));
        for name in &names {
            if !stems[..kept].contains(&stem(name)) {
                remove(&job.directory, name)?;
            } else if self.gzip && !is_gzip(name) && !self.stop.load(Relaxed) {
                self.compress(job, name)?;
            }
        }
        Ok(())
    }

    /// Compresses a rotated file. Removes the original only after the compressed file is on the disk under its name.
    fn compress(&self, job: &Job, name: &str) -> io::Result<()> {
        let directory = &job.directory;
        let (whole, part) = (format!("{name}.gz"), format!("{name}.gz.tmp"));
        if !exists(directory, &whole)? {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let original = fs::File::from(openat(directory, name, flags, Mode::empty())?);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let compressed = fs::File::from(openat(directory, part.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
            match self.copy(&original, &compressed) {
                Ok(true) => {}
                not_done => {
                    remove(directory, &part)?;
                    return not_done.map(|_| ());
                }
            }
            renameat(directory, part.as_str(), directory, whole.as_str())?;
            sync(directory)?;
        }
        remove(directory, name)?;
        sync(directory)
    }

    /// Compresses the data of `original`. Returns false if it was stopped on the way.
    fn copy(&self, mut original: &fs::File, compressed: &fs::File) -> io::Result<bool> {
        let mut encoder = GzEncoder::new(compressed, Compression::default());
        let mut chunk = vec![0; CHUNK];
        loop {
            match original.read(&mut chunk)? {
                0 => break,
                _ if self.stop.load(Relaxed) => return Ok(false),
                read => encoder.write_all(&chunk[..read])?,
            }
        }
        encoder.finish()?;
        fchmod(compressed, Mode::from_bits_truncate(original.metadata()?.mode() & 0o777))?;
        compressed.sync_all()?;
        Ok(true)
    }
}

/// Renames `name` to a name that sorts behind those of all its rotated files, even if the clock was set back.
pub(super) fn rename(directory: &OwnedFd, name: &str, now: SystemTime) -> io::Result<()> {
    let start = name.len() + 1;
    let names = rotated(directory, name)?;
    let newest = names.iter().map(|name| stem(name.strip_suffix(".tmp").unwrap_or(name))).max();
    let mut newest = newest.map(|newest| newest[start..].to_owned());
    loop {
        let free = next(newest.as_deref(), stamp(now))
            .ok_or_else(|| io::Error::other("no later file name is possible after the year 9999"))?;
        let path = format!("{name}.{free}");
        // The list can lack a name that the housekeeper compresses at this moment. The compressed file exists before
        // the original is removed: checks in this order see one of them.
        if !exists(directory, &path)? && !exists(directory, &format!("{path}.gz"))? {
            return Ok(renameat(directory, name, directory, path.as_str())?);
        }
        newest = Some(free);
    }
}

/// Returns the suffix after `newest`: the current time; or, if that is not later, the time of `newest` with the next
/// number; or, after the last number, the next second. Returns `None` at the end of the year 9999.
fn next(newest: Option<&str>, stamp: String) -> Option<String> {
    let Some(newest) = newest.filter(|newest| **newest >= *stamp) else { return Some(stamp) };
    let (stamp, number) = newest.split_at_checked(STAMP)?;
    let number = number.strip_prefix('-').map_or(Some(0), |number| number.parse::<u16>().ok())? + 1;
    if number < 1000 {
        return Some(format!("{stamp}-{number:03}"));
    }
    let second = jiff::Span::new().seconds(1);
    time_of(stamp)?.checked_add(second).ok().map(text_of)
}

fn stamp(now: SystemTime) -> String {
    text_of(Timestamp::from_micros(time::shown(now).as_microsecond()).civil(0))
}

/// Returns the time of a stamp; `None` if the text is no stamp.
fn time_of(stamp: &str) -> Option<DateTime> {
    let (date, time) = stamp.split_once('-').filter(|(date, time)| (date.len(), time.len()) == (8, 6))?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(date) || !digits(time) {
        return None;
    }
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<i8>().ok();
    let date = Date::new(date.get(..4)?.parse().ok()?, two(date, 4)?, two(date, 6)?).ok()?;
    let time = Time::new(two(time, 0)?, two(time, 2)?, two(time, 4)?, 0).ok()?;
    Some(date.to_datetime(time))
}

fn text_of(time: DateTime) -> String {
    format!(
        "{:04}{:02}{:02}-{:02}{:02}{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Returns the names in `directory` that a rotation of `name` produces, compressed or not, and leftovers of
/// compression.
fn rotated(directory: &OwnedFd, name: &str) -> io::Result<Vec<String>> {
    let mut directory =
        Dir::openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let Ok(entry) = entry.file_name().to_str() else { continue };
        let suffix = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        if suffix.is_some_and(is_rotation_suffix) {
            names.push(entry.to_owned());
        }
    }
    Ok(names)
}

/// Returns true for `20261124-021035`, with or without `-001`, `.gz` or `.gz.tmp`.
fn is_rotation_suffix(suffix: &str) -> bool {
    let suffix = stem(suffix.strip_suffix(".gz.tmp").unwrap_or(suffix));
    let Some((stamp, number)) = suffix.split_at_checked(STAMP) else { return false };
    let is_number = |number: &str| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    time_of(stamp).is_some() && (number.is_empty() || number.strip_prefix('-').is_some_and(is_number))
}

/// Returns the route of the live file: `route`, unless its name looks like that of a rotated file.
pub(super) fn live(route: &str) -> Cow<'_, str> {
    let name = route.rfind('/').map_or(0, |slash| slash + 1);
    let mut points = route[name..].match_indices('.').map(|(point, _)| name + point);
    match points.find(|point| is_rotation_suffix(&route[point + 1..])) {
        Some(point) => Cow::Owned(format!("{}_{}", &route[..point], &route[point + 1..])),
        None => Cow::Borrowed(route),
    }
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

fn is_gzip(name: &str) -> bool {
    stem(name).len() != name.len()
}

/// Returns true if the name is that of an unfinished compression.
fn is_part(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some()
}

fn exists(directory: &OwnedFd, name: &str) -> io::Result<bool> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn remove(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        // Somebody else removed it.
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sync(directory: &OwnedFd) -> io::Result<()> {
    // Uses no other descriptor: none may be left.
    Ok(nix::unistd::fsync(directory)?)
}

#[cfg(test)]
mod tests;
