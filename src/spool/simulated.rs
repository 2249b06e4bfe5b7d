//! A disk in memory that forgets what was not synced, and fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::rc::Rc;

use super::{Mode, Storage};
use nix::errno::Errno;

const SECTOR: usize = 512;

/// A disk. Clones are the same one, as processes see it that follow each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Rc<RefCell<World>>);

/// Content and behaviour of the disk.
#[derive(Debug, Default)]
pub(crate) struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    directories: Vec<String>,
    locked: bool,
    /// Maximum number of bytes on the disk.
    pub(crate) capacity: Option<u64>,
    /// Free space that the file system reports.
    pub(crate) free_space: u64,
    /// No write takes more.
    pub(crate) longest_write: Option<usize>,
    /// Operations of this kind fail so often, with this error, from now on.
    pub(crate) faults: Vec<DiskFault>,
    /// Number of calls that may still change something; then the power is off, and none does anything.
    pub(crate) dies_after: Option<u64>,
    /// A sync of this kind says that it has done its work, and has not.
    pub(crate) lies: Option<Call>,
    /// How often what was called.
    pub(crate) calls: BTreeMap<Call, u64>,
    /// How many bytes were read of which file.
    pub(crate) read: BTreeMap<String, u64>,
    /// Losses by crashes.
    pub(crate) lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Open,
    Create,
    Read,
    Write,
    Sync,
    SyncDirectory,
    Unlink,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFault {
    pub(crate) call: Call,
    pub(crate) errno: Errno,
    pub(crate) times: u64,
}

/// Losses by crashes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) writes: u64,
    pub(crate) torn_writes: u64,
    pub(crate) names: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<DiskChange>,
}

#[derive(Clone, Debug)]
enum DiskChange {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// An open file.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inode: usize,
    name: String,
}

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

impl Simulated {
    /// Changes how it behaves, or looks at what happened.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    pub(crate) fn fail(&self, call: Call, errno: Errno, times: u64) {
        self.with(|world| world.faults.push(DiskFault { call, errno, times }));
    }

    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.with(|world| world.calls.get(&call).copied().unwrap_or(0))
    }

    /// The process dies; the kernel lives.
    pub(crate) fn kill(&self) {
        self.with(|world| world.locked = false);
    }

    /// The machine dies. Any part of the data that was not synced may have reached the disk.
    pub(crate) fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        self.with(|world| {
            world.locked = false;
            world.dies_after = None;
            let World { inodes, names, durable_names, lost, .. } = world;
            for inode in inodes {
                inode.crash(&mut random, lost);
            }
            let mut after = durable_names.clone();
            let all: Vec<String> = names.keys().chain(durable_names.keys()).cloned().collect();
            for name in all {
                let (new, old) = (names.get(&name), durable_names.get(&name));
                if new == old {
                    continue;
                }
                if random.below(2) == 0 {
                    lost.names += 1;
                } else if let Some(new) = new {
                    after.insert(name, *new);
                } else {
                    after.remove(&name);
                }
            }
            names.clone_from(&after);
            *durable_names = after;
        });
    }

    /// The files as a process sees them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|world| world.names.keys().cloned().collect())
    }
}

impl World {
    fn call(&mut self, call: Call) -> io::Result<()> {
        if !matches!(call, Call::Open | Call::Read)
            && let Some(left) = &mut self.dies_after
        {
            *left = left.checked_sub(1).ok_or(ErrorKind::BrokenPipe)?;
        }
        *self.calls.entry(call).or_default() += 1;
        match self.faults.iter_mut().find(|fault| fault.call == call && fault.times > 0) {
            Some(fault) => {
                fault.times -= 1;
                Err(fault.errno.into())
            }
            None => Ok(()),
        }
    }

    /// Removes a file behind the spool's back, for good.
    pub(crate) fn delete(&mut self, name: &str) {
        self.names.remove(name);
        self.durable_names.remove(name);
    }

    /// Changes a file behind the spool's back, for good.
    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = &mut self.inodes[self.names[name]];
        change(&mut inode.content);
        inode.durable.clone_from(&inode.content);
        inode.pending.clear();
    }

    /// The bytes of all files whose names end like that.
    pub(crate) fn sizes(&self, suffix: &str) -> u64 {
        let files = self.names.iter().filter(|(name, _)| name.ends_with(suffix));
        files.map(|(_, inode)| self.inodes[*inode].content.len() as u64).sum()
    }

    /// Returns the space of all files, each in whole blocks.
    pub(crate) fn on_disk(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].content.len().next_multiple_of(4096) as u64).sum()
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].content.len() as u64).sum()
    }
}

impl Inode {
    fn change(&mut self, change: DiskChange) {
        apply(&mut self.content, &change);
        self.pending.push(change);
    }

    fn crash(&mut self, random: &mut Random, lost: &mut Lost) {
        let mut content = std::mem::take(&mut self.durable);
        for change in self.pending.drain(..) {
            match (random.below(4), &change) {
                (0, _) => apply(&mut content, &change),
                (1, DiskChange::Write(offset, bytes)) => {
                    // The size alone has reached the disk.
                    lost.writes += 1;
                    content.resize(content.len().max(offset + bytes.len()), 0);
                }
                (2, DiskChange::Write(offset, bytes)) => {
                    lost.torn_writes += 1;
                    for (at, sector) in sectors(*offset, bytes) {
                        if random.below(3) > 0 {
                            apply(&mut content, &DiskChange::Write(at, sector.to_vec()));
                        }
                    }
                }
                _ => lost.writes += 1,
            }
        }
        self.content.clone_from(&content);
        self.durable = content;
    }
}

fn apply(content: &mut Vec<u8>, change: &DiskChange) {
    match change {
        DiskChange::Truncate(size) => content.resize(*size, 0),
        DiskChange::Write(offset, bytes) => {
            let end = offset + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*offset..end].copy_from_slice(bytes);
        }
    }
}

/// The parts of a write that a disk writes as one.
fn sectors(offset: usize, mut bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut at, mut sectors) = (offset, Vec::new());
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
        sectors.push((at, sector));
        at += sector.len();
        bytes = rest;
    }
    sectors
}

impl Storage for Simulated {
    type File = Handle;

    fn path(&self) -> &Path {
        Path::new("/simulated")
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.with(|world| world.directories.push(name.to_owned()));
        Ok(())
    }

    fn lock(&mut self) -> io::Result<()> {
        self.with(
            |world| if std::mem::replace(&mut world.locked, true) { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) },
        )
    }

    fn list(&self, name: &str) -> io::Result<Vec<(String, u64)>> {
        self.with(|world| {
            if !world.directories.iter().any(|directory| directory == name) {
                return Err(ErrorKind::NotFound.into());
            }
            let of = |full: &str| match full.rsplit_once('/') {
                Some((directory, file)) => (directory == name).then(|| file.to_owned()),
                None => name.is_empty().then(|| full.to_owned()),
            };
            let files = world.names.iter();
            Ok(files.filter_map(|(full, inode)| Some((of(full)?, world.inodes[*inode].content.len() as u64))).collect())
        })
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Handle> {
        self.with(|world| {
            world.call(Call::Open)?;
            let inode = match (mode, world.names.get(name)) {
                (Mode::Create, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
                (Mode::Create, None) => {
                    world.call(Call::Create)?;
                    world.inodes.push(Inode::default());
                    let inode = world.inodes.len() - 1;
                    world.names.insert(name.to_owned(), inode);
                    inode
                }
                (_, Some(inode)) => *inode,
                (_, None) => return Err(ErrorKind::NotFound.into()),
            };
            Ok(Handle { inode, name: name.to_owned() })
        })
    }

    fn read_at(&self, file: &Handle, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|world| {
            world.call(Call::Read)?;
            let content = &world.inodes[file.inode].content;
            let rest = content.get(offset as usize..).unwrap_or_default();
            let size = rest.len().min(bytes.len());
            bytes[..size].copy_from_slice(&rest[..size]);
            *world.read.entry(file.name.clone()).or_default() += size as u64;
            Ok(size)
        })
    }

    fn write_at(&self, file: &Handle, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.with(|world| {
            world.call(Call::Write)?;
            let mut bytes = Vec::new();
            for slice in slices {
                bytes.extend_from_slice(slice);
            }
            bytes.truncate(world.longest_write.unwrap_or(usize::MAX));
            if let Some(capacity) = world.capacity {
                let (used, size) = (world.used(), world.inodes[file.inode].content.len() as u64);
                let room = size.saturating_sub(offset) + capacity.saturating_sub(used);
                if room == 0 {
                    return Err(Errno::ENOSPC.into());
                }
                bytes.truncate(room as usize);
            }
            let written = bytes.len();
            world.inodes[file.inode].change(DiskChange::Write(offset as usize, bytes));
            Ok(written)
        })
    }

    fn truncate(&self, file: &Handle, size: u64) -> io::Result<()> {
        self.with(|world| {
            world.call(Call::Write)?;
            world.inodes[file.inode].change(DiskChange::Truncate(size as usize));
            Ok(())
        })
    }

    fn sync(&self, file: &Handle) -> io::Result<()> {
        self.with(|world| {
            let synced = world.call(Call::Sync);
            if matches!(&synced, Err(error) if error.kind() == ErrorKind::BrokenPipe) {
                return synced;
            }
            if world.lies == Some(Call::Sync) {
                return synced;
            }
            let inode = &mut world.inodes[file.inode];
            // After an error, Linux takes the pages for clean, and what is in them for written.
            inode.pending.clear();
            if synced.is_ok() {
                inode.durable.clone_from(&inode.content);
            }
            synced
        })
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        self.with(|world| {
            world.call(Call::SyncDirectory)?;
            if world.lies == Some(Call::SyncDirectory) {
                return Ok(());
            }
            let of = |full: &String| full.rsplit_once('/').map_or("", |(directory, _)| directory) == name;
            world.durable_names.retain(|full, _| !of(full));
            let names = world.names.iter().filter(|(full, _)| of(full));
            world.durable_names.extend(names.map(|(full, inode)| (full.clone(), *inode)));
            Ok(())
        })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.with(|world| {
            world.call(Call::Unlink)?;
            world.names.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.with(|world| world.free_space))
    }
}
