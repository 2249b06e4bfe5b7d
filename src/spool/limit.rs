//! The room that a spool may take: its own limit, and the space that others keep.

use super::cursor;
use super::error::{Error, Limit};
use super::storage::Storage;
use super::{Settings, Spool};

/// What a file system gives to a file at least, in bytes; each size is rounded up to it.
const BLOCK: u64 = 4096;
/// The cursor, the lock and the file that says whose the spool is.
const FIXED: u64 = cursor::SIZE as u64 + 2 * BLOCK;
/// `quarantine/` takes no more bytes than that; what is damaged beyond is counted, and not copied.
const MOST_QUARANTINE: u64 = 64 << 20;
/// Nor more than one part in so many of `max_size`.
const QUARANTINE_SHARE: u64 = 16;

/// What a file of `size` bytes takes on the disk.
pub(super) const fn on_disk(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl Settings {
    /// What `quarantine/` may take, in bytes.
    pub(super) fn most_quarantine(&self) -> u64 {
        (self.max_size / QUARANTINE_SHARE).min(MOST_QUARANTINE)
    }

    /// The size of the largest record that fits, with what stands before it in its segment.
    pub(super) fn largest_segment(&self) -> u64 {
        let room = self.max_size.saturating_sub(FIXED + self.most_quarantine());
        room - room % BLOCK
    }
}

impl<S: Storage> Spool<S> {
    /// What there is not enough of to write `bytes` more to the last segment, or to a new one.
    pub(super) fn lacks(&self, bytes: u64, begins: bool) -> Result<Option<Limit>, Error> {
        let last = self.segments.back().filter(|_| !begins).map_or(0, |segment| segment.size);
        let wanted = on_disk(last + bytes) - on_disk(last);
        // What may come into quarantine has its room already.
        let quarantine = self.quarantine.on_disk().max(self.settings.most_quarantine());
        let segments: u64 = self.segments.iter().map(|segment| on_disk(segment.size)).sum();
        if FIXED + quarantine + segments + wanted > self.settings.max_size {
            return Ok(Some(Limit::MaxSize {
                bytes: self.settings.max_size,
                quarantine: self.quarantine.on_disk().saturating_sub(self.settings.most_quarantine()),
            }));
        }
        let floor = self.settings.free_space_floor;
        if floor == 0 {
            return Ok(None);
        }
        let free = self.storage.free_space();
        let free =
            free.map_err(|error| Error::of_write("find out the free space of", self.storage.path(), "", &error))?;
        Ok((free < floor.saturating_add(wanted)).then_some(Limit::FreeSpace(floor)))
    }
}
