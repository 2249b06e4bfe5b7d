//! Files that are replaced as a whole: a crash leaves the old file or the new one, never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A file that is written under a temporary name, `PATH.new`, and then replaces the one at `PATH`. Only its owner may
/// read it.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
}

impl NewFile {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        // A file that a crash left there may have another owner or mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, path: path.to_owned(), temporary })
    }

    /// Returns the file that is being written.
    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Waits until the disk has the content.
    ///
    /// # Errors
    ///
    /// The content cannot be written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Puts the file in place, and waits until the disk has its name. The content must be on the disk already.
    ///
    /// # Errors
    ///
    /// The old file cannot be replaced.
    pub(crate) fn replace(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Creates the file at `path` if it is missing, and locks it against other processes.
///
/// # Errors
///
/// The file cannot be created, or another process has the lock.
pub(crate) fn lock(path: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_replaces_the_old_one_and_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, "old").unwrap();
        // A crash left it.
        fs::write(directory.path().join("state.new"), "something").unwrap();
        let mut new = NewFile::create(&path).unwrap();
        new.file().write_all(b"new").unwrap();
        new.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.replace().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
