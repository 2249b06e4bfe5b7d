//! Resolution of a path to a file where other users may write to the directories on the way.
//!
//! A user who may write to a directory of logs can put a link there, and make Postrider read and hand on a file that
//! this user may not read. Therefore a path is walked one component at a time. Each component is opened relative to the
//! one before it and never through a link, and what is opened is what was checked: nothing can be exchanged in between.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::geteuid;

use super::content::ChangeStamp;
use super::cursor::FileIdentity;
use crate::config::Links;

/// Maximum number of symbolic links on a path, as in the kernel.
const MOST_LINKS: usize = 40;
/// Flags for opening: a FIFO in the place of a file must not block, and a terminal must not become the controlling one.
const HARMLESS: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);

/// The status of the file at a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathStatus {
    pub(super) identity: FileIdentity,
    pub(super) stamp: ChangeStamp,
    pub(super) is_file: bool,
    pub(super) is_directory: bool,
}

/// Looks up paths, one after the other. The directories of the last path stay open.
#[derive(Debug)]
pub(super) struct Viewer {
    links: Links,
    /// The directory of the last path; empty if none is open.
    last: PathBuf,
    /// The directories on the way to it, from the root to it or to the first link.
    way: Vec<(OsString, Directory)>,
    /// The directory of the last path, if there is a link on the way to it.
    linked: Option<Directory>,
    count: usize,
}

/// An open directory.
#[derive(Debug)]
struct Directory(OwnedFd);

/// The end of a path when every link is followed.
enum End {
    Directory(Directory),
    /// Anything else, by its name in a directory.
    Entry(Directory, OsString),
}

/// A link that is not followed.
#[derive(Debug)]
enum Refused {
    /// `follow_symlinks` is false.
    Symbolic(PathBuf),
    /// Others may write to its directory.
    OfOthers(PathBuf),
    /// A file with several names in such a directory.
    Hard(PathBuf),
}

/// Opens the regular file at `path`. Anything else is an error, for example a FIFO or a link that is not to be
/// followed.
pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    let file = if links == Links::All {
        OpenOptions::new().read(true).custom_flags(HARMLESS.bits()).open(path)?
    } else {
        let End::Entry(directory, name) = end_of(path, links)? else { return Err(io::ErrorKind::IsADirectory.into()) };
        // A file that is not regular must not be opened: opening a device can have an effect.
        if !is_file(&directory.status(&name)?) {
            return Err(not_a_file());
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | HARMLESS;
        let file = openat(&directory.0, name.as_os_str(), flags, Mode::empty())?;
        directory.refuse_hard_link(path, &fstat(&file)?)?;
        File::from(file)
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

fn not_a_file() -> io::Error {
    io::Error::other("not a regular file")
}

/// Walks along `path` from the root.
fn end_of(path: &Path, links: Links) -> io::Result<End> {
    let mut directory = Directory::root()?;
    // The path of `directory`, and the components that are left, the last one first.
    let mut at = PathBuf::from("/");
    let mut rest = components(path);
    let mut left = MOST_LINKS;
    while let Some(name) = rest.pop() {
        match directory.child(&name) {
            Ok(child) => {
                directory = child;
                at.push(name);
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let Some(target) = directory.link(&name)? else {
                    let is_last = rest.is_empty();
                    return if is_last { Ok(End::Entry(directory, name)) } else { Err(Errno::ENOTDIR.into()) };
                };
                left = left.checked_sub(1).ok_or(Errno::ELOOP)?;
                directory.refuse_symlink(&at.join(&name), links)?;
                if target.has_root() {
                    (directory, at) = (Directory::root()?, PathBuf::from("/"));
                }
                rest.extend(components(&target));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(End::Directory(directory))
}

/// Returns the names on a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|component| !matches!(component, Component::RootDir | Component::CurDir));
    let mut names: Vec<OsString> = names.map(|component| component.as_os_str().to_owned()).collect();
    names.reverse();
    names
}

fn is_file(status: &FileStat) -> bool {
    has_type(status, SFlag::S_IFREG)
}

fn has_type(status: &FileStat, wanted: SFlag) -> bool {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == wanted
}

// === impl Viewer ===

impl Viewer {
    pub(super) fn new(links: Links) -> Self {
        Self { links, last: PathBuf::new(), way: Vec::new(), linked: None, count: 0 }
    }

    /// Closes all directories, because they may be replaced or unmounted. Returns the number of paths that were looked
    /// at.
    pub(super) fn end(&mut self) -> usize {
        (self.last, self.linked) = (PathBuf::new(), None);
        self.way.clear();
        std::mem::take(&mut self.count)
    }

    /// Returns the status of the file at `path`.
    pub(super) fn status(&mut self, path: &Path) -> io::Result<PathStatus> {
        self.count += 1;
        if self.links == Links::All {
            return fs::metadata(path).map(|metadata| PathStatus::of(&metadata));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        self.go_to(parent)?;
        let last = self.way.last().map(|(_, directory)| directory);
        let Some(directory) = self.linked.as_ref().or(last) else { return Err(Errno::ENOENT.into()) };
        let status = directory.status(name)?;
        if !has_type(&status, SFlag::S_IFLNK) {
            directory.refuse_hard_link(path, &status)?;
            return Ok(PathStatus::from_stat(&status));
        }
        match end_of(path, self.links)? {
            End::Directory(directory) => Ok(PathStatus::from_stat(&fstat(&directory.0)?)),
            End::Entry(directory, name) => {
                let status = directory.status(&name)?;
                directory.refuse_hard_link(path, &status)?;
                Ok(PathStatus::from_stat(&status))
            }
        }
    }

    /// Opens the directory at `path`, beginning at the deepest directory on the way that is already open.
    fn go_to(&mut self, path: &Path) -> io::Result<()> {
        if self.last.as_os_str() == path.as_os_str() {
            return Ok(());
        }
        (self.last, self.linked) = (PathBuf::new(), None);
        if self.way.is_empty() {
            self.way.push((OsString::new(), Directory::root()?));
        }
        let mut rest = components(path);
        let open = self.way[1..].iter().zip(rest.iter().rev()).take_while(|((open, _), name)| open == *name).count();
        self.way.truncate(1 + open);
        rest.truncate(rest.len() - open);
        while let Some(name) = rest.pop() {
            match self.way[self.way.len() - 1].1.child(&name) {
                Ok(child) => self.way.push((name, child)),
                Err(Errno::ENOTDIR | Errno::ELOOP) => {
                    let End::Directory(directory) = end_of(path, self.links)? else {
                        return Err(Errno::ENOTDIR.into());
                    };
                    self.linked = Some(directory);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        path.clone_into(&mut self.last);
        Ok(())
    }
}

impl PathStatus {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            identity: FileIdentity::of(metadata),
            stamp: ChangeStamp::of(metadata),
            is_file: metadata.is_file(),
            is_directory: metadata.is_dir(),
        }
    }

    fn from_stat(status: &FileStat) -> Self {
        let (dev, ino) = (status.st_dev, status.st_ino);
        let len = u64::try_from(status.st_size).unwrap_or_default();
        let stamp = ChangeStamp::new(len, status.st_mtime, status.st_mtime_nsec);
        let is_directory = has_type(status, SFlag::S_IFDIR);
        Self { identity: FileIdentity { dev, ino }, stamp, is_file: is_file(status), is_directory }
    }

    /// Returns the status of the files to which this process writes its records and its log: the standard output and
    /// the standard error.
    pub(super) fn of_standard_streams() -> [Option<Self>; 2] {
        let status = |stream: io::Result<FileStat>| stream.ok().map(|status| Self::from_stat(&status));
        [status(fstat(io::stdout()).map_err(Into::into)), status(fstat(io::stderr()).map_err(Into::into))]
    }
}

// === impl Directory ===

impl Directory {
    fn root() -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let root = OpenOptions::new().read(true).custom_flags(flags.bits()).open("/")?;
        Ok(Self(root.into()))
    }

    /// Opens the directory `name` in this one; `ENOTDIR` if it is a link or not a directory.
    fn child(&self, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// Returns the target of the symbolic link `name`, or `None` if it is not a link.
    fn link(&self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        match readlinkat(&self.0, name) {
            Ok(target) => Ok(Some(target.into())),
            Err(Errno::EINVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn status(&self, name: &OsStr) -> io::Result<FileStat> {
        Ok(fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Returns the owner of the directory, and whether only root and the user of this process may write to it.
    fn owner(&self) -> io::Result<(u32, bool)> {
        let status = fstat(&self.0)?;
        let others = (Mode::S_IWGRP | Mode::S_IWOTH).bits();
        let is_trusted = is_ours(status.st_uid) && status.st_mode & others == 0;
        Ok((status.st_uid, is_trusted))
    }

    fn refuse_symlink(&self, link: &Path, links: Links) -> io::Result<()> {
        match links {
            Links::All => Ok(()),
            Links::Trusted if self.owner()?.1 => Ok(()),
            Links::Trusted => Err(Refused::OfOthers(link.to_owned()).into()),
            Links::None => Err(Refused::Symbolic(link.to_owned()).into()),
        }
    }

    /// Refuses a file with several names, unless it belongs to the other user to whom the directory belongs.
    fn refuse_hard_link(&self, path: &Path, status: &FileStat) -> io::Result<()> {
        if status.st_nlink <= 1 || !is_file(status) {
            return Ok(());
        }
        let (owner, is_trusted) = self.owner()?;
        let is_their_own = status.st_uid == owner && !is_ours(owner);
        if is_trusted || is_their_own { Ok(()) } else { Err(Refused::Hard(path.to_owned()).into()) }
    }
}

/// Returns true if `user` is root or the user of this process.
fn is_ours(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

// === impl Refused ===

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbolic(link) => {
                write!(f, "{} is a symbolic link, and `follow_symlinks` is false; name the file itself", link.display())
            }
            Self::OfOthers(link) => write!(
                f,
                "{} is a symbolic link in a directory that other users can write to; not following it, because it could lead \
                 to any file; name the file itself, or set `follow_symlinks = true` if these users may choose what Postrider reads",
                link.display()
            ),
            Self::Hard(path) => write!(
                f,
                "{} has several names (hard links) in a directory that other users can write to; not reading it, because it \
                 could be any file; remove the other names, or set `follow_symlinks = true` if these users may choose what \
                 Postrider reads",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::other(refused)
    }
}

#[cfg(test)]
mod tests;
