//! The dead-letter file of a sink: it keeps the records that the destination refused for good, as lines that `postrider
//! replay` sends again.
//!
//! A sink appends refused records and calls [`DeadLetters::sync`] before it resolves the batch. The line is therefore
//! on the disk before a sender gets its acknowledgement or a spool drops the record. A failed fdatasync ends the
//! program; any other failure is retried, and holds up the sink.
//!
//! Several sinks, and a replay beside them, may append to one file. Each locks the file (flock) for the time of a
//! write, and then checks that it is still the one at its path. A replay renames the file under the same lock, so
//! nothing is added to it after that. A part that did not fit is truncated under the lock: lines are whole. If the last
//! line has no line end, because a machine died while writing it, it gets one before the next line.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{AccessFlags, access};
use tracing::{Level, error};

use super::Error;
use crate::config::DeadLetterConfig;
use crate::crash::fault_point;
use crate::throttle::{LineOwner, Throttle};
use crate::time::Timestamp;

mod letter;

pub(crate) use letter::{Letter, Parsed};

/// Permission bits of the file: the records contain people's addresses.
const MODE: u32 = 0o600;
/// Number of bytes that fill one write; a longer line is one write.
const CHUNK: usize = 256 * 1024;
/// Maximum time that another process may hold the lock before an error reports it. A write and the renaming take less.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The dead-letter file of a sink, or none.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    sink: String,
    path: Option<PathBuf>,
    /// Maximum size of the file in bytes.
    max_size: u64,
    /// True if the last write had no room below that size.
    full: bool,
    file: Option<fs::File>,
    /// True if data was written to the file after its last sync.
    dirty: bool,
    buffer: Vec<u8>,
    log: Throttle,
    full_log: Throttle,
}

// === impl DeadLetters ===

impl DeadLetters {
    /// Prepares the dead letters of the sink `sink`. Without a path, refused records are lost. The file is created with
    /// the first line. The error says why there could be no file, and what to do.
    pub(crate) fn new(config: Option<&DeadLetterConfig>, sink: &str) -> Result<Self, String> {
        let path = config.map(|config| config.path.as_path());
        let max_size = config.map_or(u64::MAX, |config| config.max_size);
        if let Some(path) = path {
            let directory = directory_of(path);
            let usable = access(directory, AccessFlags::W_OK | AccessFlags::X_OK);
            usable.map_err(|error| {
                let (path, directory) = (path.display(), directory.display());
                format!(
                    "cannot create the dead-letter file {path}: {directory}: {error}; create the directory and let the \
                     user of this process write to it"
                )
            })?;
            if path.exists() {
                open(path)
                    .map_err(|error| format!("cannot write to the dead-letter file {}: {error}", path.display()))?;
            }
        }
        let log = |what: &str| Throttle::new(Level::ERROR, LineOwner::Sink(sink.to_owned()), what);
        Ok(Self {
            sink: sink.to_owned(),
            path: path.map(Path::to_owned),
            max_size,
            full: false,
            file: None,
            dirty: false,
            buffer: Vec::new(),
            log: log("records refused permanently"),
            full_log: log("writes to a full dead-letter file"),
        })
    }

    /// Returns true if there is a file: without one, refused records are lost.
    pub(crate) const fn keeps(&self) -> bool {
        self.path.is_some()
    }

    /// Returns true if the last [`Self::append`] failed because the file has its maximum size. The file has room again
    /// when somebody renames or removes it, as a replay does.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }

    /// Appends refused records. Returns how many of them are done: in the file, or lost if there is no file. If not all
    /// are done, the error says why. The records are on the disk only after [`Self::sync`].
    pub(crate) fn append<'r>(&mut self, letters: impl IntoIterator<Item = Letter<'r>>) -> (usize, Result<(), Error>) {
        let now = Timestamp::now();
        let (mut done, mut waiting) = (0, 0);
        let mut first = None;
        let mut result = Ok(());
        for letter in letters {
            first.get_or_insert(letter);
            waiting += 1;
            if self.path.is_some() {
                letter.encode(now, &self.sink, &mut self.buffer);
            }
            if self.buffer.len() >= CHUNK {
                result = self.write();
                if result.is_err() {
                    break;
                }
                done += std::mem::take(&mut waiting);
            }
        }
        if result.is_ok() && waiting > 0 {
            result = self.write();
            if result.is_ok() {
                done += waiting;
            }
        }
        if let Some(first) = first.filter(|_| done > 0) {
            self.say(&first, done);
        }
        (done, result)
    }

    /// Syncs the appended records to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let Some(path) = self.path.as_ref().filter(|_| self.dirty) else { return Ok(()) };
        let synced = match &self.file {
            Some(file) => fault_point("dead-letter-fdatasync").and_then(|()| file.sync_data()),
            // The kernel can no longer report what became of the data.
            None => Err(io::Error::other("an earlier error has closed it")),
        };
        self.dirty = false;
        synced.map_err(|error| unsynced(path, &error))
    }

    /// Logs refused records. The log leaves out the records themselves: they are private.
    fn say(&mut self, first: &Letter<'_>, records: usize) {
        let Some(suppressed) = self.log.pass_with(records as u64, Instant::now()) else { return };
        let (sink, reason) = (self.sink.as_str(), first.reason);
        let (route, id) = (first.records.route(&first.entry), first.entry.id);
        let fate = self.path.as_ref().map_or_else(
            || "the record is dropped; set the key `dead_letter` of this sink to keep such records".to_owned(),
            |path| format!("kept in {} for `postrider replay`", path.display()),
        );
        error!(sink, route, %id, records, suppressed, "record refused permanently: {reason}; {fate}");
    }

    /// Writes the whole buffer, or nothing of it.
    fn write(&mut self) -> Result<(), Error> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        self.full = false;
        let written = self.lock(&path).and_then(|file| {
            let written = self.append_locked(&path, &file);
            // An unlock does not fail for an open file; closing the file would unlock it too.
            self.file = file.unlock().ok();
            written
        });
        self.dirty |= written.is_ok();
        self.buffer.clear();
        self.buffer.shrink_to(CHUNK);
        written
    }

    fn append_locked(&mut self, path: &Path, file: &fs::File) -> Result<(), Error> {
        let size = file.metadata().map_err(|error| failed(path, &error))?.len();
        self.full = size.saturating_add(self.buffer.len() as u64) > self.max_size;
        if !self.full {
            return append_whole(file, &self.buffer).map_err(|error| failed(path, &error));
        }
        let (sink, max) = (self.sink.as_str(), self.max_size);
        if let Some(suppressed) = self.full_log.pass(Instant::now()) {
            error!(
                sink,
                suppressed,
                "the dead-letter file {} is full (dead_letter_max_size = {max} bytes): a file sink writes refused \
                 records to its common file; otherwise they wait if their source acknowledges, or are dropped; run \
                 `postrider replay`, or rename the file",
                path.display()
            );
        }
        let error = format!("it is full (dead_letter_max_size = {max} bytes)");
        Err(failed(path, &io::Error::other(error)))
    }

    /// Returns the file that is at the path, locked.
    fn lock(&mut self, path: &Path) -> Result<Flock<fs::File>, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let file = self.current(path)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) if is_at(path, &file) => return Ok(file),
                // The file was renamed or removed in between.
                Ok(file) => self.file = file.unlock().ok(),
                Err((file, Errno::EWOULDBLOCK)) => self.file = Some(file),
                Err((file, errno)) => {
                    self.file = Some(file);
                    return Err(failed(path, &errno.into()));
                }
            }
            if Instant::now() >= until {
                return Err(failed(path, &io::Error::other("another process has locked it")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns the open file if it is still the one at the path, or else opens the one at the path.
    fn current(&mut self, path: &Path) -> Result<fs::File, Error> {
        if let Some(file) = self.file.take() {
            if is_at(path, &file) {
                return Ok(file);
            }
            self.file = Some(file);
            self.sync()?;
        }
        let file = open(path).map_err(|error| failed(path, &error))?;
        // The directory is synced even if the file existed: the process that created it may have died before. A lack of
        // descriptors passes.
        let directory = fs::File::open(directory_of(path)).map_err(|error| failed(path, &error))?;
        sync_opened(&directory).map_err(|error| unsynced(path, &error))?;
        Ok(file)
    }
}

/// Opens the file to read and append, and creates it if it does not exist. A file that root creates belongs to the
/// owner of the directory: a replay by root must not shut out the daemon.
fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).mode(MODE);
    let file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = options.create(true).open(path)?;
            let directory = fs::metadata(directory_of(path))?;
            // Only root may do this; any other user that creates the file is the daemon's user.
            let _ = fchown(&file, Some(directory.uid()), Some(directory.gid()));
            file
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Appends lines to a locked file; truncates a part that did not fit.
fn append_whole(mut file: &fs::File, lines: &[u8]) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    let torn = last != *b"\n";
    let written = if torn { file.write_all(b"\n") } else { Ok(()) }.and_then(|()| file.write_all(lines));
    written.inspect_err(|_| {
        // If this fails too, the next line still does not join the rest.
        let _ = file.set_len(size);
    })
}

/// Returns true if the file is the one at the path.
pub(crate) fn is_at(path: &Path, file: &fs::File) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let there = fs::metadata(path).map(identity).ok();
    there.is_some() && there == file.metadata().map(identity).ok()
}

/// Syncs the directory of the file, so that files created, renamed or removed in it survive a power failure.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    sync_opened(&fs::File::open(directory_of(path))?)
}

fn sync_opened(directory: &fs::File) -> io::Result<()> {
    match directory.sync_all() {
        // Some file systems do not support fsync of a directory.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Retry(format!("cannot write to the dead-letter file {}: {error}", path.display()))
}

fn unsynced(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    Error::Fatal(format!(
        "cannot sync the dead-letter file {path}: {error}; written records may not be on the disk, so Postrider ends"
    ))
}

#[cfg(test)]
mod tests;
