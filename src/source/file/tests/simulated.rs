//! A file system and clocks that exist only in memory: one directory with a log in it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::super::content::ChangeStamp;
use super::super::cursor::FileIdentity;
use super::super::links::PathStatus;
use super::super::system::{Content, Listed, System};

/// The directory.
pub(in crate::source::file) const DIRECTORY: &str = "/log";
/// The number of the device, which no file of this machine has.
const DEVICE: u64 = u64::MAX;
/// The kernel's clock for files goes forward in steps of this length.
const JIFFY: Duration = Duration::from_millis(4);

/// The file system.
pub(in crate::source::file) struct Simulated {
    begun: Instant,
    elapsed: Cell<Duration>,
    names: RefCell<BTreeMap<PathBuf, Rc<Inode>>>,
    /// Time of the last change of the directory.
    changed: Cell<SystemTime>,
    inodes: Cell<u64>,
    looked: Cell<usize>,
}

/// One file, whatever its name.
pub(in crate::source::file) struct Inode {
    number: u64,
    bytes: RefCell<Vec<u8>>,
    modified: Cell<SystemTime>,
    /// False while it can be neither opened nor read.
    readable: Cell<bool>,
}

impl Simulated {
    pub(in crate::source::file) fn new() -> Self {
        let file_system = Self {
            begun: Instant::now(),
            elapsed: Cell::new(Duration::ZERO),
            names: RefCell::default(),
            changed: Cell::new(SystemTime::UNIX_EPOCH),
            inodes: Cell::new(1),
            looked: Cell::new(0),
        };
        file_system.changed.set(file_system.tick());
        file_system
    }

    /// Lets time pass.
    pub(in crate::source::file) fn pass(&self, time: Duration) {
        self.elapsed.set(self.elapsed.get() + time);
    }

    /// Returns the time of day as the kernel knows it.
    fn tick(&self) -> SystemTime {
        let jiffies = self.elapsed.get().as_millis() / JIFFY.as_millis();
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30) + JIFFY * u32::try_from(jiffies).unwrap()
    }

    fn file(&self, path: &Path) -> io::Result<Rc<Inode>> {
        self.names.borrow().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Creates an empty file, or opens the one that is there.
    pub(in crate::source::file) fn create(&self, path: &Path) -> Rc<Inode> {
        if let Ok(file) = self.file(path) {
            return file;
        }
        let file = Inode {
            number: self.inodes.replace(self.inodes.get() + 1),
            bytes: RefCell::default(),
            modified: Cell::new(self.tick()),
            readable: Cell::new(true),
        };
        let file = Rc::new(file);
        self.names.borrow_mut().insert(path.to_owned(), Rc::clone(&file));
        self.changed.set(self.tick());
        file
    }

    pub(in crate::source::file) fn append(&self, file: &Inode, bytes: &[u8]) {
        file.bytes.borrow_mut().extend_from_slice(bytes);
        file.modified.set(self.tick());
    }

    pub(in crate::source::file) fn truncate(&self, file: &Inode) {
        file.bytes.borrow_mut().clear();
        file.modified.set(self.tick());
    }

    pub(in crate::source::file) fn rename(&self, from: &Path, to: &Path) {
        let mut names = self.names.borrow_mut();
        let file = names.remove(from).unwrap();
        assert!(names.insert(to.to_owned(), file).is_none(), "{} is there already", to.display());
        self.changed.set(self.tick());
    }

    pub(in crate::source::file) fn remove(&self, path: &Path) {
        self.names.borrow_mut().remove(path).unwrap();
        self.changed.set(self.tick());
    }

    pub(in crate::source::file) fn names(&self) -> Vec<PathBuf> {
        self.names.borrow().keys().cloned().collect()
    }

    pub(in crate::source::file) fn set_readable(&self, readable: bool) {
        self.names.borrow().values().for_each(|file| file.readable.set(readable));
    }
}

impl System for Simulated {
    fn now(&self) -> Instant {
        self.begun + self.elapsed.get()
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30) + self.elapsed.get()
    }

    fn open(&self, path: &Path) -> io::Result<Rc<dyn Content>> {
        let file = self.file(path)?;
        file.check()?;
        Ok(file)
    }

    fn status(&self, path: &Path) -> io::Result<PathStatus> {
        self.looked.set(self.looked.get() + 1);
        let (identity, stamp) = self.file(path)?.identity_and_stamp();
        Ok(PathStatus { identity, stamp, is_file: true, is_directory: false })
    }

    fn exists(&self, path: &Path) -> bool {
        self.file(path).is_ok()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        assert_eq!(directory, Path::new(DIRECTORY));
        let names = self.names.borrow();
        Ok(names.iter().map(|(path, file)| Listed { path: path.clone(), inode: file.number }).collect())
    }

    fn modified(&self, directory: &Path) -> io::Result<SystemTime> {
        assert_eq!(directory, Path::new(DIRECTORY));
        Ok(self.changed.get())
    }

    fn end_look(&self) -> usize {
        self.looked.take()
    }
}

impl Inode {
    fn identity_and_stamp(&self) -> (FileIdentity, ChangeStamp) {
        let stamp = ChangeStamp { len: self.bytes.borrow().len() as u64, modified: Some(self.modified.get()) };
        (FileIdentity { dev: DEVICE, ino: self.number }, stamp)
    }

    fn check(&self) -> io::Result<()> {
        if self.readable.get() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl Content for Inode {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check()?;
        let bytes = self.bytes.borrow();
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let size = rest.len().min(to.len());
        to[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }

    fn status(&self) -> io::Result<(FileIdentity, ChangeStamp)> {
        Ok(self.identity_and_stamp())
    }
}
