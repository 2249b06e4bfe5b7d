//! The files of a spool: what it asks of a file system, and the real one.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;
use nix::sys::uio::pwritev;

use crate::crash::fault_point;

/// The name of the file that is locked; it says which process has the spool.
pub(super) const LOCK: &str = "lock";

/// A directory of files, as a spool uses it. Names are relative to it, and one level deep at most.
///
/// What is written is durable only after [`sync`](Self::sync) of the file, and a name only after
/// [`sync_directory`](Self::sync_directory).
pub trait Storage {
    /// An open file.
    type File: Debug;

    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// Makes the directory `name`, or with an empty name the spool's own and its ancestors, readable to the owner
    /// alone. It is durable when this returns. That it is there already is no error.
    fn create_directory(&self, name: &str) -> io::Result<()>;

    /// Takes the directory for this process, as long as this value lives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn lock(&mut self) -> io::Result<()>;

    /// The regular files in the directory `name` (empty for the spool's own), with their sizes in bytes, in any order.
    /// Those whose names are not UTF-8 are left out.
    fn list(&self, name: &str) -> io::Result<Vec<(String, u64)>>;

    /// Opens a file.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Self::File>;

    /// Reads at `offset`; fewer bytes than fit may come, and none at the end.
    fn read_at(&self, file: &Self::File, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; fewer bytes than given may be written.
    fn write_at(&self, file: &Self::File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Cuts a file off.
    fn truncate(&self, file: &Self::File, size: u64) -> io::Result<()>;

    /// fdatasync.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the names in the directory `name` durable (empty: the spool's own).
    fn sync_directory(&self, name: &str) -> io::Result<()>;

    /// Removes a file's name.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// The bytes that the file system has left for this process.
    fn free_space(&self) -> io::Result<u64>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be read.
    Read,
    /// To be read and written; it must be there.
    Write,
    /// To be read and written; it must not be there, and only its owner may read it.
    Create,
}

/// A directory of a real file system.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    lock: Option<Flock<File>>,
    /// Open, once the spool is locked: it is synced when there may be no other descriptor.
    directory: Option<File>,
}

// === impl Disk ===

impl Disk {
    /// The directory `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None, directory: None }
    }

    fn full(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }
}

impl Storage for Disk {
    type File = File;

    fn path(&self) -> &Path {
        &self.path
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        for missing in missing(&self.full(name)) {
            match DirBuilder::new().mode(0o700).create(&missing) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => sync_directory(parent(&missing))?,
            }
        }
        Ok(())
    }

    fn lock(&mut self) -> io::Result<()> {
        // It must not be emptied before it is known to be ours.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.full(LOCK))?;
        let mut lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| io::Error::from(error))?;
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        self.lock = Some(lock);
        self.directory = Some(File::open(&self.path)?);
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.full(name))? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Removed by whoever has the spool.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if let Ok(name) = entry.file_name().into_string()
                && metadata.is_file()
            {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != Mode::Read).create_new(mode == Mode::Create).mode(0o600);
        options.open(self.full(name))
    }

    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }

    fn write_at(&self, file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        fault_point("spool-write")?;
        let offset = offset.try_into().map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(pwritev(file, slices, offset)?)
    }

    fn truncate(&self, file: &File, size: u64) -> io::Result<()> {
        file.set_len(size)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        fault_point("spool-fdatasync")?;
        file.sync_data()
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        fault_point("spool-directory-fsync")?;
        match &self.directory {
            Some(directory) if name.is_empty() => directory.sync_all(),
            _ => sync_directory(&self.full(name)),
        }
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.full(name))
    }

    fn free_space(&self) -> io::Result<u64> {
        let space = statvfs(&self.path)?;
        Ok(space.blocks_available().saturating_mul(space.fragment_size()))
    }
}

/// Which of `path` and its ancestors are not there, the outermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn directories_are_made_from_the_outermost_and_are_their_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        let expected: Vec<PathBuf> = ["a", "a/b", "a/b/c"].map(|name| directory.path().join(name)).to_vec();
        assert_eq!(missing(&path), expected);
        let disk = Disk::new(&path);
        disk.create_directory("").unwrap();
        disk.create_directory("quarantine").unwrap();
        disk.create_directory("quarantine").unwrap();
        assert_eq!(missing(&path), Vec::<PathBuf>::new());
        for made in expected.iter().chain([&path.join("quarantine")]) {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700, "{}", made.display());
        }
        disk.open("x", Mode::Create).unwrap();
        assert_eq!(fs::metadata(path.join("x")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(disk.open("x", Mode::Create).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(disk.list("").unwrap(), [("x".to_owned(), 0)]);
    }

    #[test]
    fn one_has_the_lock_and_it_says_who() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(directory.path());
        disk.lock().unwrap();
        let mut other = Disk::new(directory.path());
        assert_eq!(other.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let text = fs::read_to_string(directory.path().join(LOCK)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
