//! The file system and the clocks, as the thread of a source of files sees them. Tests put a simulated one in their
//! place.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::content::ChangeStamp;
use super::cursor::FileIdentity;
use super::links::{self, PathStatus, Viewer};
use crate::config::Links;

/// A file system and its clocks.
pub(super) trait System {
    /// Returns the time that only goes forward.
    fn now(&self) -> Instant;

    /// Returns the time of day, as in the times of change of files.
    fn time(&self) -> SystemTime;

    /// Opens the regular file at `path` for reading. Anything else is an error.
    fn open(&self, path: &Path) -> io::Result<Rc<dyn Content>>;

    /// Returns the status of the file at `path`.
    fn status(&self, path: &Path) -> io::Result<PathStatus>;

    /// Returns true if there is anything at `path`.
    fn exists(&self, path: &Path) -> bool;

    /// Returns the entries of a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;

    /// Returns the time of the last change of a directory.
    fn modified(&self, directory: &Path) -> io::Result<SystemTime>;

    /// Ends a look at many files. Returns the number of files whose status was asked for since the last call.
    fn end_look(&self) -> usize;
}

/// The content of an open file.
pub(super) trait Content {
    /// Reads bytes at `offset`, as many as there are at once. Returns 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads bytes at `offset` until `bytes` is full or the file ends. Returns the number of bytes.
    fn fill_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut len = 0;
        while len < bytes.len() {
            match self.read_at(&mut bytes[len..], offset + len as u64) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(len)
    }

    /// Returns the identity of the file, its size and its time of change.
    fn status(&self) -> io::Result<(FileIdentity, ChangeStamp)>;
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
}

/// Reads a file from its beginning to its end.
pub(super) struct Sequential {
    content: Rc<dyn Content>,
    at: u64,
}

/// The file system and the clocks of the machine.
pub(super) struct Machine {
    links: Links,
    viewer: RefCell<Viewer>,
}

// === impl Machine ===

impl Machine {
    /// Returns the file system of the machine, with these links followed.
    pub(super) fn new(links: Links) -> Self {
        Self { links, viewer: RefCell::new(Viewer::new(links)) }
    }
}

impl System for Machine {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn open(&self, path: &Path) -> io::Result<Rc<dyn Content>> {
        Ok(Rc::new(links::open(path, self.links)?))
    }

    fn status(&self, path: &Path) -> io::Result<PathStatus> {
        self.viewer.borrow_mut().status(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let listed = |entry: fs::DirEntry| Listed { path: entry.path(), inode: entry.ino() };
        fs::read_dir(directory)?.map(|entry| entry.map(listed)).collect()
    }

    fn modified(&self, directory: &Path) -> io::Result<SystemTime> {
        fs::metadata(directory)?.modified()
    }

    fn end_look(&self) -> usize {
        self.viewer.borrow_mut().end()
    }
}

impl Content for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn status(&self) -> io::Result<(FileIdentity, ChangeStamp)> {
        let metadata = self.metadata()?;
        Ok((FileIdentity::of(&metadata), ChangeStamp::of(&metadata)))
    }
}

// === impl Sequential ===

impl Sequential {
    pub(super) const fn new(content: Rc<dyn Content>) -> Self {
        Self { content, at: 0 }
    }
}

impl Read for Sequential {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
