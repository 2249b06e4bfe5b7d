//! The status file: the snapshot as JSON, for programs that watch the daemon.
//!
//! The file is replaced as a whole, so that a reader never sees a part of it. It is not synced: after a crash of the
//! machine there is nothing to know from it. A thread of the runtime writes it, because its file system may not answer;
//! there is one write at a time, and none while nothing changes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::Level;

use crate::poison;
use crate::status::Snapshot;
use crate::throttle::{LineOwner, Throttle};

/// Permissions of the file, before the umask.
const MODE: u32 = 0o640;
/// Maximum time that the end of the program waits for the last write.
const LAST: Duration = Duration::from_secs(2);
const NOT_WRITTEN: &str = "cannot write the status file";

/// The status file of the daemon.
pub(super) struct StatusFile {
    target: Arc<Target>,
    writing: Option<JoinHandle<()>>,
    /// True if the next write happens even if nothing has changed.
    is_asked: bool,
}

struct Target {
    path: PathBuf,
    /// Content of the file; `None` if it is not known.
    written: Mutex<Option<Snapshot>>,
    failures: Throttle,
}

// === impl StatusFile ===

impl StatusFile {
    pub(super) fn new(path: &Path) -> Self {
        let failures = Throttle::new(Level::WARN, LineOwner::Named, NOT_WRITTEN);
        let target = Target { path: path.to_owned(), written: Mutex::default(), failures };
        Self { target: Arc::new(target), writing: None, is_asked: false }
    }

    /// Makes the next write happen even if nothing has changed: `at` tells the reader that the rest is up to date.
    pub(super) const fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Begins to write `snapshot` if the file says something else. While an earlier write lasts, does nothing: the next
    /// call has newer counts.
    pub(super) fn offer(&mut self, snapshot: Snapshot) {
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let is_due = std::mem::take(&mut self.is_asked) || !self.target.says(&snapshot);
        self.writing = is_due.then(|| self.write(snapshot));
    }

    /// Writes the last snapshot of the program, unless that takes too long.
    pub(super) async fn finish(&mut self, snapshot: Snapshot) {
        let last = async {
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
            self.write(snapshot).await
        };
        if timeout(LAST, last).await.is_err() {
            tracing::warn!("cannot write the status file in time; it keeps the previous state");
        }
    }

    fn write(&self, snapshot: Snapshot) -> JoinHandle<()> {
        let target = Arc::clone(&self.target);
        spawn_blocking(move || target.write(snapshot))
    }
}

// === impl Target ===

impl Target {
    fn says(&self, snapshot: &Snapshot) -> bool {
        poison::ignore(self.written.lock()).as_ref().is_some_and(|written| written.says_the_same(snapshot))
    }

    fn write(&self, snapshot: Snapshot) {
        let replaced = replace(&self.path, &format!("{:#}\n", snapshot.json()));
        if let Err(error) = &replaced
            && let Some(suppressed) = self.failures.pass(Instant::now())
        {
            tracing::warn!(suppressed, "{NOT_WRITTEN} {}: {error}", self.path.display());
        }
        *poison::ignore(self.written.lock()) = replaced.is_ok().then_some(snapshot);
    }
}

/// Replaces the file at `path`. Anything but a regular file is left alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let mut new = OsString::from(path);
    new.push(".new");
    // A file that a crash left there may have another owner or mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::options().write(true).create_new(true).mode(MODE).open(&new)?.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::Value;

    use super::*;
    use crate::app::checkpoint::PresentCheckpoint;
    use crate::app::status::Status;
    use crate::status::Phase;

    /// The state of an app without sources and sinks that has seen this number of configurations.
    fn snapshot(generation: u64) -> Snapshot {
        let mut status = Status::new(Arc::default(), Arc::default(), PresentCheckpoint::default());
        (0..generation).for_each(|_| status.configured());
        status.snapshot(&[], &[], Phase::Running)
    }

    async fn written(file: &mut StatusFile, snapshot: Snapshot) {
        file.offer(snapshot);
        if let Some(writing) = file.writing.take() {
            writing.await.unwrap();
        }
    }

    fn generation(path: &Path) -> Value {
        serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()["reload"]["generation"].clone()
    }

    #[tokio::test]
    async fn the_file_is_written_when_the_state_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let mut file = StatusFile::new(&path);
        let first = snapshot(1);
        written(&mut file, first.clone()).await;
        assert_eq!(generation(&path), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !MODE, 0);
        // An equal state is not written again, at any time.
        fs::remove_file(&path).unwrap();
        written(&mut file, Snapshot { at: jiff::Timestamp::MAX, ..first.clone() }).await;
        assert!(!path.exists());
        file.ask();
        written(&mut file, first.clone()).await;
        assert_eq!(generation(&path), 1);
        let second = Snapshot { reload: snapshot(2).reload, ..first };
        written(&mut file, second.clone()).await;
        assert_eq!(generation(&path), 2);
        // The last one is written in any case.
        fs::remove_file(&path).unwrap();
        file.finish(second).await;
        assert_eq!(generation(&path), 2);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_write_that_fails_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later/status.json");
        let mut file = StatusFile::new(&path);
        let state = snapshot(1);
        written(&mut file, state.clone()).await;
        assert_eq!(file.target.failures.suppressed(), 0, "the first failure is logged");
        written(&mut file, state.clone()).await;
        assert_eq!(file.target.failures.suppressed(), 1, "the second is not");
        fs::create_dir(path.parent().unwrap()).unwrap();
        written(&mut file, state).await;
        assert_eq!(generation(&path), 1);
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink("/dev/null", path("link")).unwrap();
        assert_eq!(replace(&path("link"), "x").unwrap_err().to_string(), "it is not a regular file");
        assert!(replace(Path::new("/dev/null"), "x").is_err());
        assert!(replace(directory.path(), "x").is_err());
        // A file that a crash left.
        fs::write(path("file.new"), "half").unwrap();
        fs::write(path("file"), "old").unwrap();
        replace(&path("file"), "new").unwrap();
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "new");
        assert!(!path("file.new").exists());
    }
}
