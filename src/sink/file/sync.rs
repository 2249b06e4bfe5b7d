//! fdatasync of many files: several at a time, because the file system writes those to the disk together. A sender that
//! uses many names creates many files; syncs one after the other would hold up all other records.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use super::Error;
use super::open::OpenFile;

use crate::poison;

/// Maximum number of threads that call fdatasync.
const THREADS: usize = 8;
/// Minimum number of files for several threads; fewer are synced one after the other.
const FEW: usize = 4;

/// Syncs the data written to the files to the disk. The paths are for the error; the first error found is returned.
pub(super) fn together(files: Vec<(PathBuf, &mut OpenFile)>) -> Result<(), Error> {
    let threads = if files.len() < FEW { 0 } else { files.len().min(THREADS) - 1 };
    let files = Mutex::new(files.into_iter());
    let work = || {
        loop {
            let next = poison::ignore(files.lock()).next();
            let Some((path, file)) = next else { return Ok(()) };
            file.sync().map_err(|error| unsynced(&path, &error))?;
        }
    };
    thread::scope(|scope| {
        // If no thread can be started, this thread does all the work.
        let spawn = |_| thread::Builder::new().name("fdatasync".to_owned()).spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (0..threads).filter_map(spawn).collect();
        let result = work();
        let join = |helper: thread::ScopedJoinHandle<'_, _>| {
            helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        helpers.into_iter().map(join).fold(result, Result::and)
    })
}

/// Syncs a directory, so that files created or renamed in it survive a power failure. It needs no other descriptor.
pub(super) fn sync_directory(directory: &OwnedFd, path: &Path) -> Result<(), Error> {
    match nix::unistd::fsync(directory).map_err(io::Error::from) {
        // Some file systems do not support fsync of a directory.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(|error| unsynced(path, &error)),
    }
}

/// Returns the error for data that may not be on the disk.
pub(super) fn unsynced(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    Error::Fatal(format!("cannot sync {path}: {error}; written records may not be on the disk, so Postrider ends"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::IoSlice;

    use super::super::path::FileHandle;
    use super::*;

    #[test]
    fn each_of_many_files_is_synced() {
        let directory = tempfile::tempdir().unwrap();
        for count in [0, 1, 3, 4, 100] {
            let paths: Vec<PathBuf> = (0..count).map(|n| directory.path().join(n.to_string())).collect();
            let mut files: Vec<OpenFile> = paths
                .iter()
                .map(|path| {
                    let file = fs::OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
                    let mut file = OpenFile::new(FileHandle::Shared(file)).unwrap();
                    file.append(&mut [IoSlice::new(b"line\n")], [5].into_iter()).1.unwrap();
                    assert!(file.dirty);
                    file
                })
                .collect();
            together(paths.into_iter().zip(&mut files).collect()).unwrap();
            assert!(files.iter().all(|file| !file.dirty));
        }
    }
}
