//! Size limits of a spool: its own limit, and the free space that others keep.

use super::cursor;
use super::error::{Error, Limit};
use super::storage::Storage;
use super::{Settings, Spool};

/// Minimum allocation of a file system for a file, in bytes; each size is rounded up to a multiple of it.
const BLOCK: u64 = 4096;
/// Bytes of the cursor, the lock and the owner file.
const FIXED: u64 = cursor::SIZE as u64 + 2 * BLOCK;
/// Maximum size of `quarantine/` in bytes; further damage is counted but not copied.
const MOST_QUARANTINE: u64 = 64 << 20;
/// Divisor of `max_size` that gives a second limit of `quarantine/`; the smaller limit applies.
const QUARANTINE_SHARE: u64 = 16;

/// Returns how many bytes a file of `size` bytes takes on the disk.
pub(super) const fn on_disk(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl Settings {
    /// Returns the maximum size of `quarantine/` in bytes.
    pub(super) fn most_quarantine(&self) -> u64 {
        (self.max_size / QUARANTINE_SHARE).min(MOST_QUARANTINE)
    }

    /// Returns the size of the largest record that fits, including what stands before it in its segment.
    pub(super) fn largest_segment(&self) -> u64 {
        let room = self.max_size.saturating_sub(FIXED + self.most_quarantine());
        room - room % BLOCK
    }
}

impl<S: Storage> Spool<S> {
    /// Returns the limit that prevents a write of `bytes` more to the last segment, or to a new one if `begins`.
    pub(super) fn lacks(&self, bytes: u64, begins: bool) -> Result<Option<Limit>, Error> {
        let last = self.segments.back().filter(|_| !begins).map_or(0, |segment| segment.size);
        let wanted = on_disk(last + bytes) - on_disk(last);
        // Space for the maximum size of quarantine is always reserved.
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
