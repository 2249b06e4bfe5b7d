//! How a route becomes an open file below the sink's directory, and never outside of it.
//!
//! A route holds what a peer wrote, for example a hostname. The template has taken the worst out of it already; here it is
//! checked again, and each component is opened relative to the one before without following a symlink. So neither a name
//! nor a symlink that someone puts below the directory leads out of it. The directory itself is the operator's and may be
//! reached through symlinks.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat, mkdirat};

use super::{Error, sync_directory};

/// Permission bits of directories that the sink makes.
const DIRECTORY_MODE: u32 = 0o750;

/// The directory of a sink.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Permission bits of new files, whatever the umask.
    mode: u32,
    /// Whether a new file must be found again after a power failure.
    durable: bool,
}

/// Why a route has no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    /// The path itself is at fault and will be at the next attempt: a record with this route cannot be written.
    #[error("{0}")]
    Refused(String),
    /// The sink's trouble, not the route's.
    #[error("{0}")]
    Sink(Error),
}

/// The device and the inode of a file.
pub(super) type Identity = (u64, u64);

// === impl Root ===

impl Root {
    /// Makes the directory if it is not there.
    pub(super) fn new(path: &Path, mode: u32, durable: bool) -> Result<Self, String> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let root = Self { path: path.to_owned(), mode, durable };
        root.open_root(true).map_err(|error| {
            let path = path.display();
            format!("cannot use the directory {path}: {error}; create it and let the user of this process write to it")
        })?;
        Ok(root)
    }

    /// The whole path of a route, for messages.
    pub(super) fn full(&self, route: &str) -> PathBuf {
        self.path.join(route)
    }

    /// Opens the file of a route to read and append, with its directories, making what is not there.
    pub(super) fn open(&self, route: &str) -> Result<fs::File, PathError> {
        let (directory, name) = self.walk(route, true)?;
        let (file, created) = self.open_at(&directory, name).map_err(|errno| self.path_error(route, errno))?;
        let kind = file.metadata().map_err(|error| self.failed(route, &error))?.file_type();
        if !kind.is_file() && !kind.is_char_device() {
            return Err(self.refused(route, "it is neither a file nor a device"));
        }
        if created {
            let mode = fs::Permissions::from_mode(self.mode);
            file.set_permissions(mode).map_err(|error| self.failed(route, &error))?;
            if self.durable {
                sync_directory(&directory, &self.full(route)).map_err(PathError::Sink)?;
            }
        }
        Ok(file)
    }

    /// Opens the directory of a route that was opened before, and gives the file's name in it.
    pub(super) fn directory<'r>(&self, route: &'r str) -> Result<(OwnedFd, &'r str), PathError> {
        self.walk(route, false)
    }

    /// Which file is at the path of a route now; `None` if there is none.
    pub(super) fn identity(&self, route: &str) -> Option<Identity> {
        let (directory, name) = self.directory(route).ok()?;
        let stat = fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        // The types differ between systems.
        #[allow(clippy::unnecessary_cast)]
        Some((stat.st_dev as u64, stat.st_ino as u64))
    }

    fn open_root(&self, create: bool) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(&self.path, flags, Mode::empty()) {
            Err(Errno::ENOENT) if create => {
                DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.path)?;
                Ok(nix::fcntl::open(&self.path, flags, Mode::empty())?)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens one component after the other down to the directory of the file, and gives the file's name.
    fn walk<'r>(&self, route: &'r str, create: bool) -> Result<(OwnedFd, &'r str), PathError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let (parents, name) = split(route).map_err(|reason| self.refused(route, reason))?;
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
                    sync_directory(&directory, &self.full(route)).map_err(PathError::Sink)?;
                }
                opened = openat(&directory, parent, flags, Mode::empty());
            }
            directory = opened.map_err(|error| self.path_error(route, error))?;
        }
        Ok((directory, name))
    }

    /// `O_NONBLOCK` lets the open of a FIFO that nobody reads fail instead of waiting for ever.
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
            Errno::ELOOP => self.refused(route, "it is a symlink, which is not followed"),
            Errno::ENOTDIR => self.refused(route, "a part of it is a symlink or no directory"),
            Errno::EISDIR => self.refused(route, "it is a directory"),
            Errno::ENXIO => self.refused(route, "it is neither a file nor a device"),
            Errno::ENAMETOOLONG => self.refused(route, "it is too long"),
            Errno::EINVAL | Errno::EILSEQ => self.refused(route, "the file system does not take such a name"),
            error => self.failed(route, &error.into()),
        }
    }

    fn failed(&self, route: &str, error: &io::Error) -> PathError {
        PathError::Sink(Error::Retry(format!("cannot open {}: {error}", self.full(route).display())))
    }
}

/// The components of a route before the last, and the last.
fn split(route: &str) -> Result<(Vec<&str>, &str), &'static str> {
    if route.starts_with('/') {
        return Err("it is absolute");
    }
    if route.contains('\0') {
        return Err("it holds a NUL");
    }
    let mut components: Vec<_> = route.split('/').collect();
    if components.iter().any(|component| matches!(*component, "" | "." | "..")) {
        return Err("a component of it is empty, '.' or '..'");
    }
    let name = components.pop().unwrap_or_default();
    Ok((components, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(root: &Root, route: &str) -> String {
        match root.open(route) {
            Err(PathError::Refused(reason)) => reason,
            other => panic!("{route:?}: {other:?}"),
        }
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("logs");
        let root = Root::new(&inside, 0o640, true).unwrap();
        let long = "x".repeat(300);
        for route in ["..", "../x", "a/../../x", "/etc/x", "a//x", "", "a/", ".", "./x", "a\0b", long.as_str()] {
            refusal(&root, route);
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made beside it");
    }

    #[test]
    fn no_symlink_below_the_directory_is_followed() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("logs");
        let root = Root::new(&inside, 0o640, false).unwrap();
        fs::create_dir(outside.path().join("secret")).unwrap();
        fs::write(outside.path().join("target"), "").unwrap();
        symlink(outside.path().join("secret"), inside.join("host")).unwrap();
        symlink(outside.path().join("target"), inside.join("mail.json")).unwrap();
        symlink(outside.path().join("nothing"), inside.join("dangling.json")).unwrap();
        for route in ["host/mail.json", "mail.json", "dangling.json"] {
            assert!(refusal(&root, route).contains("symlink"));
        }
        assert!(!outside.path().join("nothing").exists());
        assert_eq!(fs::read_dir(outside.path().join("secret")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path(), 0o640, false).unwrap();
        fs::create_dir(directory.path().join("host")).unwrap();
        nix::unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        refusal(&root, "host");
        refusal(&root, "fifo");
    }

    #[test]
    fn new_files_and_directories_have_the_modes_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(&directory.path().join("a/b"), 0o660, true).unwrap();
        root.open("c/d/mail.json").unwrap();
        let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("a/b/c/d/mail.json"), 0o660);
        for path in ["a", "a/b", "a/b/c", "a/b/c/d"] {
            assert_eq!(mode(path) & 0o7027, 0, "{path}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_names_path_and_reason() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let error = Root::new(&directory.path().join("file/logs"), 0o640, false).unwrap_err();
        assert!(error.contains("file/logs") && error.contains("create it"), "{error}");
    }
}
