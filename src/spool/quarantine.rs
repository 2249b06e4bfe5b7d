//! Quarantine: copies of damaged bytes, because their segment will be deleted.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::time::Instant;

use tracing::{Level, warn};

use super::format::segment_name;
use super::limit::on_disk;
use super::storage::{Mode, Storage};
use super::{Position, write_all};
use crate::throttle::{LineOwner, Throttle};

/// Name of the directory inside the directory of the spool.
pub(super) const QUARANTINE: &str = "quarantine";
/// The copies of damaged bytes, and their count.
#[derive(Debug)]
pub(super) struct Quarantine<F> {
    /// Bytes that all copies take on the disk; `None` if their directory does not exist.
    kept: Option<u64>,
    /// Maximum number of bytes that all copies may take on the disk.
    most: u64,
    /// Damage before this position is counted.
    counted: Position,
    damaged_bytes: u64,
    open: Option<Copy<F>>,
    throttle: Throttle,
}

/// The copy that was written to last.
#[derive(Debug)]
struct Copy<F> {
    name: String,
    file: F,
    /// Position where the damage begins.
    start: Position,
    /// Offset where the damage ends, as far as it is known.
    end: u64,
    synced: bool,
}

impl<F> Quarantine<F> {
    /// Finds out the size of the existing copies.
    pub(super) fn new<S: Storage<File = F>>(storage: &S, most: u64) -> Self {
        let kept = storage.list(QUARANTINE).ok().map(|files| files.iter().map(|(_, size)| on_disk(*size)).sum());
        let what = format!("skipped damage in the spool {}", storage.path().display());
        let throttle = Throttle::new(Level::WARN, LineOwner::Named, what);
        Self { kept, most, counted: Position::default(), damaged_bytes: 0, open: None, throttle }
    }

    /// Returns how many bytes all copies take on the disk.
    pub(super) fn on_disk(&self) -> u64 {
        self.kept.unwrap_or(0)
    }

    pub(super) const fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// Copies the `bytes` at `offset` of the segment `base`, which will be cut off. Returns true if a copy was made.
    pub(super) fn keep<S: Storage<File = F>>(&mut self, storage: &S, base: u64, offset: u64, bytes: &[u8]) -> bool {
        self.copy(storage, Position { base, offset }, bytes).is_ok()
    }

    /// Counts and copies, once, the damaged `bytes` at `offset` of the segment `base`.
    pub(super) fn add<S: Storage<File = F>>(&mut self, storage: &S, base: u64, offset: u64, bytes: &[u8]) {
        let place = Position { base, offset };
        if place < self.counted {
            return;
        }
        let end = offset + bytes.len() as u64;
        self.counted = Position { base, offset: end };
        self.damaged_bytes += bytes.len() as u64;
        let copied = self.copy(storage, place, bytes);
        if let Some(suppressed) = self.throttle.pass(Instant::now()) {
            let path = storage.path().join(segment_name(base));
            let kept = match &copied {
                Ok(path) => format!("copied to {}", path.display()),
                Err(error) => format!("not copied to quarantine: {error}"),
            };
            let bytes = bytes.len();
            warn!(bytes, offset, suppressed, "skipped damage in the spool file {}; {kept}", path.display());
        }
    }

    /// Makes the copies durable. An error names the file or the directory.
    pub(super) fn sync<S: Storage<File = F>>(&mut self, storage: &S) -> Result<(), (PathBuf, io::Error)> {
        let Some(copy) = self.open.as_mut().filter(|copy| !copy.synced) else { return Ok(()) };
        storage.sync(&copy.file).map_err(|error| (storage.path().join(&copy.name), error))?;
        storage.sync_directory(QUARANTINE).map_err(|error| (storage.path().join(QUARANTINE), error))?;
        copy.synced = true;
        Ok(())
    }

    /// Copies `bytes` and returns the path of the copy.
    fn copy<S: Storage<File = F>>(&mut self, storage: &S, place: Position, bytes: &[u8]) -> io::Result<PathBuf> {
        if self.kept.is_none() {
            storage.create_directory(QUARANTINE)?;
        }
        let is_before = |copy: &&Copy<F>| copy.start.base == place.base && copy.end == place.offset;
        let copied = self.open.as_ref().filter(is_before).map(|copy| copy.end - copy.start.offset);
        let before = copied.unwrap_or(0);
        let kept = self.on_disk() + on_disk(before + bytes.len() as u64) - on_disk(before);
        if kept > self.most {
            return Err(io::Error::other(format!("it would exceed its share of the spool, {} bytes", self.most)));
        }
        self.kept = Some(kept);
        if copied.is_none() {
            if let Err((_, error)) = self.sync(storage) {
                return Err(error);
            }
            let name = format!("{QUARANTINE}/{:020}-{}.bad", place.base, place.offset);
            let file = match storage.open(&name, Mode::Create) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => storage.open(&name, Mode::Write)?,
                file => file?,
            };
            self.open = Some(Copy { name, file, start: place, end: place.offset, synced: false });
        }
        let Some(copy) = &mut self.open else { return Ok(storage.path().join(QUARANTINE)) };
        copy.synced = false;
        write_all(storage, &copy.file, &mut [IoSlice::new(bytes)], place.offset - copy.start.offset)?;
        copy.end = place.offset + bytes.len() as u64;
        Ok(storage.path().join(&copy.name))
    }
}
