//! The files of a spool: the file operations it needs, and the real file system.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;
use nix::sys::uio::pwritev;

use crate::crash::fault_point;

/// Name of the lock file, which holds the id of the process that uses the spool.
pub(super) const LOCK: &str = "lock";

/// A directory of files, as a spool uses it. Names are relative to the directory, and at most one level deep.
///
/// Written bytes are durable only after [`sync`](Self::sync) of the file, and a name only after
/// [`sync_directory`](Self::sync_directory).
pub trait Storage {
    /// An open file.
    type File: Debug;

    /// Returns the path of the directory, for messages.
    fn path(&self) -> &Path;

    /// Creates the directory `name`, readable only to the owner. An empty name means the directory of the spool and its
    /// ancestors. The directory is durable when this returns. An existing directory is no error.
    fn create_directory(&self, name: &str) -> io::Result<()>;

    /// Locks the directory for this process, until this value is dropped.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if another process holds the lock.
    fn lock(&mut self) -> io::Result<()>;

    /// Returns the regular files in the directory `name` (empty for the directory of the spool), with their sizes in
    /// bytes, in any order. Files whose names are not UTF-8 are left out.
    fn list(&self, name: &str) -> io::Result<Vec<(String, u64)>>;

    /// Opens a file.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Self::File>;

    /// Reads at `offset`; may return fewer bytes than fit, and returns 0 at the end.
    fn read_at(&self, file: &Self::File, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; may write fewer bytes than given.
    fn write_at(&self, file: &Self::File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Truncates a file to `size` bytes.
    fn truncate(&self, file: &Self::File, size: u64) -> io::Result<()>;

    /// Makes the contents of a file durable (fdatasync).
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the names in the directory `name` durable (empty for the directory of the spool).
    fn sync_directory(&self, name: &str) -> io::Result<()>;

    /// Removes a file's name.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Returns how many bytes of the file system are free for this process.
    fn free_space(&self) -> io::Result<u64>;
}

/// Mode in which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read only.
    Read,
    /// Read and write; the file must exist.
    Write,
    /// Read and write; the file must not exist, and only its owner may read it.
    Create,
}

/// A directory of a real file system.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    lock: Option<Flock<File>>,
    /// Open once the spool is locked: a sync may come when no other descriptor is available.
    directory: Option<File>,
}

// === impl Disk ===

impl Disk {
    /// Uses the directory `path`, which need not exist yet.
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
        // The file must not be emptied before this process holds the lock.
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
                // The process that uses the spool has removed it.
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

/// Returns those of `path` and its ancestors that do not exist, the outermost first.
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
    fn directories_are_made_outermost_first_for_their_owner_alone() {
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
