//! Conversion of a route into an open file below the sink's directory, and never outside of it.
//!
//! A route holds text from a peer, for example a hostname. The template has already removed the worst from it. This
//! module checks it again, and opens each component relative to the one before, without following a symlink. Therefore
//! neither a name nor a symlink that someone puts below the directory leads out of it. The directory itself is the
//! operator's and may be reached through symlinks. A file with more than one name (hard links) is refused where
//! somebody else may have made them. That is a directory of another user, or one that its group or all may write to.
//!
//! A file has one owner. Its sink locks it (flock), and waits while another sink or another Postrider holds the lock.

use std::fs::{self, DirBuilder};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::geteuid;

use super::Error;
use super::rotate::MOST_OF_A_SUFFIX;
use super::sync::sync_directory;
use crate::config::{FileConfig, Fsync};

/// Permission bits of directories that the sink makes.
const DIRECTORY_MODE: u32 = 0o750;
/// Maximum length of a file name on the usual file systems, in bytes.
const LONGEST_NAME: usize = 255;
/// Permission bits that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// The directory of a sink.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Permission bits of new files, whatever the umask.
    mode: u32,
    /// True if a new file must be found again after a power failure.
    durable: bool,
    /// True if this sink alone may write to its files.
    owner: bool,
    /// Maximum length of a file name, in bytes: a rotation adds to it.
    longest: usize,
}

/// An open file.
#[derive(Debug)]
pub(super) enum FileHandle {
    /// A file that this sink alone writes.
    Owned(Flock<fs::File>),
    /// A file that others may write to as well.
    Shared(fs::File),
}

/// The scope of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One route, as far as one can tell.
    Route,
    /// The process, which has no file descriptor left.
    Descriptors,
    /// The disk, or the process.
    All,
}

/// Reason why a route has no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    /// The path itself is at fault and stays so at the next attempt: a record with this route cannot be written.
    #[error("{0}")]
    Refused(String),
    /// A later attempt may succeed.
    #[error("{reason}")]
    Failed { reason: String, scope: Scope },
    /// The program must end.
    #[error("{0}")]
    Fatal(Error),
}

/// The device and the inode of a file.
pub(super) type DeviceInode = (u64, u64);

// === impl Root ===

impl Root {
    /// Makes the directory if it does not exist.
    pub(super) fn new(config: &FileConfig) -> Result<Self, String> {
        let path = Some(config.directory.as_path()).filter(|path| !path.as_os_str().is_empty());
        let path = path.unwrap_or_else(|| Path::new("."));
        let rotates = config.rotate_size.is_some() || config.rotate_age.is_some();
        let root = Self {
            path: path.to_owned(),
            mode: config.mode,
            durable: config.fsync != Fsync::Never,
            owner: config.owner,
            longest: LONGEST_NAME - if rotates { MOST_OF_A_SUFFIX } else { 0 },
        };
        root.open_root(true).map_err(|error| {
            let path = path.display();
            format!("cannot use the directory {path}: {error}; create it and let the user of this process write to it")
        })?;
        Ok(root)
    }

    /// Returns the whole path of a route, for messages.
    pub(super) fn full(&self, route: &str) -> PathBuf {
        self.path.join(route)
    }

    /// Opens the file of a route to read and append, and makes the file and its directories if they do not exist.
    pub(super) fn open(&self, route: &str) -> Result<FileHandle, PathError> {
        let (directory, name) = self.walk(route, true)?;
        let (file, created) = self.open_at(&directory, name).map_err(|errno| self.path_error(route, errno))?;
        let failed = |error: io::Error| self.failed(route, &error);
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_char_device() {
            return Err(self.refused(route, "it is neither a file nor a device"));
        }
        if created {
            file.set_permissions(fs::Permissions::from_mode(self.mode)).map_err(failed)?;
            if self.durable {
                sync_directory(&directory, &self.full(route)).map_err(PathError::Fatal)?;
            }
        } else if kind.is_file() && metadata.nlink() > 1 && others_write(&directory).map_err(failed)? {
            return Err(self.refused(route, "it is a hard link in a directory that other users can write to"));
        }
        if kind.is_file() && self.owner { self.lock(route, file) } else { Ok(FileHandle::Shared(file)) }
    }

    /// Locks the file for as long as it is open.
    fn lock(&self, route: &str, file: fs::File) -> Result<FileHandle, PathError> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(FileHandle::Owned(file)),
            Err((_, Errno::EWOULDBLOCK)) => Err(PathError::Failed {
                reason: format!("cannot open {}: another sink or process writes to it", self.full(route).display()),
                scope: Scope::All,
            }),
            // The file system has no locks.
            Err((file, _)) => Ok(FileHandle::Shared(file)),
        }
    }

    /// Opens the directory of a route that was opened before, and returns the file's name in it.
    pub(super) fn directory<'r>(&self, route: &'r str) -> Result<(OwnedFd, &'r str), PathError> {
        self.walk(route, false)
    }

    /// Returns the identity of the file at the path of a route now, or `None` if there is none. An error means that the
    /// identity cannot be read now, for example for lack of a file descriptor.
    pub(super) fn identity(&self, route: &str) -> Result<Option<DeviceInode>, Errno> {
        match self.stat(route) {
            // The types differ between systems.
            #[allow(clippy::unnecessary_cast)]
            Ok(stat) => Ok(Some((stat.st_dev as u64, stat.st_ino as u64))),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn stat(&self, route: &str) -> Result<FileStat, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let (parents, name) = split(route).map_err(|_| Errno::ENOENT)?;
        let mut directory = nix::fcntl::open(&self.path, flags, Mode::empty())?;
        for parent in parents {
            directory = openat(&directory, parent, flags | OFlag::O_NOFOLLOW, Mode::empty())?;
        }
        fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn open_root(&self, create: bool) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(&self.path, flags, Mode::empty()) {
            Err(Errno::ENOENT) if create => {
                make_directories(&self.path, self.durable)?;
                Ok(nix::fcntl::open(&self.path, flags, Mode::empty())?)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens one component after the other down to the directory of the file, and returns the file's name.
    fn walk<'r>(&self, route: &'r str, create: bool) -> Result<(OwnedFd, &'r str), PathError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let (parents, name) = split(route).map_err(|reason| self.refused(route, reason))?;
        if name.len() > self.longest {
            return Err(self.refused(route, "it is too long"));
        }
        let mut directory = self.open_root(create).map_err(|error| self.failed(route, &error))?;
        for parent in parents {
            let mut opened = openat(&directory, parent, flags, Mode::empty());
            if create && matches!(opened, Err(Errno::ENOENT)) {
                match mkdirat(&directory, parent, Mode::from_bits_truncate(DIRECTORY_MODE)) {
                    // Somebody else may have made it at the same moment.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(self.path_error(route, error)),
                }
                if self.durable {
                    sync_directory(&directory, &self.full(route)).map_err(PathError::Fatal)?;
                }
                opened = openat(&directory, parent, flags, Mode::empty());
            }
            directory = opened.map_err(|error| self.path_error(route, error))?;
        }
        Ok((directory, name))
    }

    /// Opens a file in its directory, or creates it; the flag is true if it was created. `O_NONBLOCK` makes the open of
    /// a FIFO that nobody reads fail instead of waiting forever.
    fn open_at(&self, directory: &OwnedFd, name: &str) -> Result<(fs::File, bool), Errno> {
        let flags = OFlag::O_RDWR
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        match openat(directory, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                let mode = Mode::from_bits_truncate(self.mode);
                let created = openat(directory, name, flags | OFlag::O_CREAT | OFlag::O_EXCL, mode)?;
                Ok((fs::File::from(created), true))
            }
            opened => Ok((fs::File::from(opened?), false)),
        }
    }

    fn refused(&self, route: &str, reason: &str) -> PathError {
        // The route is quoted with its control characters escaped: it came from a peer.
        PathError::Refused(format!("{:?}: {reason}", self.full(route).to_string_lossy()))
    }

    fn path_error(&self, route: &str, error: Errno) -> PathError {
        match error {
            Errno::ELOOP => self.refused(route, "it is a symlink, and Postrider follows no symlinks here"),
            Errno::ENOTDIR => self.refused(route, "a part of it is a symlink, or is not a directory"),
            Errno::EISDIR => self.refused(route, "it is a directory"),
            Errno::ENXIO => self.refused(route, "it is neither a file nor a device"),
            Errno::ENAMETOOLONG => self.refused(route, "it is too long"),
            Errno::EINVAL | Errno::EILSEQ => self.refused(route, "the file system does not accept this name"),
            error => self.failed(route, &error.into()),
        }
    }

    fn failed(&self, route: &str, error: &io::Error) -> PathError {
        let reason = format!("cannot open {}: {error}", self.full(route).display());
        PathError::Failed { reason, scope: Scope::of(error) }
    }
}

// === impl FileHandle ===

impl Deref for FileHandle {
    type Target = fs::File;

    fn deref(&self) -> &fs::File {
        match self {
            Self::Owned(file) => file,
            Self::Shared(file) => file,
        }
    }
}

// === impl Scope ===

impl Scope {
    /// Returns the scope of an error of a file, or of a directory on the way to it.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::EACCES
                | Errno::EPERM
                | Errno::EROFS
                | Errno::EDQUOT
                | Errno::EFBIG
                | Errno::EMLINK
                | Errno::ETXTBSY
                | Errno::ENODEV
                | Errno::ENXIO,
            ) => Self::Route,
            Some(Errno::EMFILE | Errno::ENFILE) => Self::Descriptors,
            // ENOSPC, EIO, ENOMEM, and any error not foreseen.
            _ => Self::All,
        }
    }
}

/// Returns true if a user other than root and that of this process may put names into a directory.
fn others_write(directory: &OwnedFd) -> io::Result<bool> {
    let stat = fstat(directory)?;
    let owned = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
    // The types differ between systems.
    #[allow(clippy::unnecessary_cast)]
    let mode = stat.st_mode as u32;
    Ok(!owned || mode & OTHERS_WRITE != 0)
}

/// Makes a directory and those above it. With `durable`, each is found again after a power failure.
fn make_directories(path: &Path, durable: bool) -> io::Result<()> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    if let Some(parent) = parent.filter(|parent| !parent.exists()) {
        make_directories(parent, durable)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        // Somebody else may have made it at the same moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    match parent.filter(|_| durable).map(|parent| fs::File::open(parent)?.sync_all()) {
        // Some file systems do not support fsync of a directory.
        Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(()),
    }
}

/// Returns the components of a route before the last, and the last.
fn split(route: &str) -> Result<(Vec<&str>, &str), &'static str> {
    if route.starts_with('/') {
        return Err("it is absolute");
    }
    if route.contains('\0') {
        return Err("it has a NUL byte");
    }
    let mut components: Vec<_> = route.split('/').collect();
    if components.iter().any(|component| matches!(*component, "" | "." | "..")) {
        return Err("a component of it is empty, '.' or '..'");
    }
    let name = components.pop().unwrap_or_default();
    Ok((components, name))
}

#[cfg(test)]
mod tests;
