//! An item: a batch that the stage has not finished with, in the order of arrival.
//!
//! ```text
//!                  Waiting                 Given                   Resolved
//!           +---------------------+---------------------+---------------------------+
//!  Memory   | came from the queue | the sink keeps up   | delivered: leaves, if the |
//!           |          |          |          |          | items before it have left |
//!  TooLarge |          |          |          |          |                           |
//!           |          v          |          v          | returned: the stop writes |
//!  Appended | in the spool's      | the sink is behind  | it to the disk            |
//!           | buffer   |          |          |          |                           |
//!           |          v          |          v          |                           |
//!  Disk     | committed           | may be given again  | delivered: moves the      |
//!           |                     | after a restart     | cursor                    |
//!           +---------------------+---------------------+---------------------------+
//! ```
//!
//! An item moves down when the disk takes its records, and to the right when the sink takes its batch. A committed item
//! that the sink cannot take leaves the queue at once, and is read back from the disk later, as a new item.

use std::time::Instant;

/// A batch, and what the thread holds for it.
#[derive(Debug)]
pub(super) struct Item<H> {
    /// Number of records.
    pub(super) records: u64,
    pub(super) storage: StorageState,
    pub(super) hand: DeliveryState,
    pub(super) held: H,
}

/// Where the records are, apart from the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageState {
    /// In memory.
    Memory,
    /// In memory, and the spool will never take them: one of them is larger than the spool.
    TooLarge,
    /// In the spool's buffer. The disk has none of them, or only the first. `last` is the number of the last record.
    Appended { last: u64 },
    /// On the disk. `last` is the number of the last record.
    Disk { last: u64 },
}

/// Progress of the batch towards the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryState {
    /// The sink was not given the batch.
    Waiting,
    /// The sink has the batch since this time.
    Given { since: Instant },
    /// The sink has delivered the batch or refused it for good.
    Delivered,
    /// The sink has given back a part of the batch, or all of it.
    Returned,
}

impl<H> Item<H> {
    /// Returns the number of the last record in the spool, if the spool has the records.
    pub(super) const fn last(&self) -> Option<u64> {
        match self.storage {
            StorageState::Memory | StorageState::TooLarge => None,
            StorageState::Appended { last } | StorageState::Disk { last } => Some(last),
        }
    }

    /// Returns true if the records can go to the disk and have to: the sink does not have them for good.
    pub(super) fn can_be_appended(&self) -> bool {
        self.storage == StorageState::Memory && self.hand != DeliveryState::Delivered
    }

    /// Returns true if the disk or the destination has the records.
    pub(super) const fn is_safe(&self) -> bool {
        matches!((self.storage, self.hand), (StorageState::Disk { .. }, _) | (_, DeliveryState::Delivered))
    }

    /// Returns how many of the records are on a disk that has all records up to the number `durable`.
    pub(super) const fn on_disk(&self, durable: u64) -> u64 {
        match self.last() {
            Some(last) => self.records.saturating_sub(last.saturating_sub(durable)),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_on_the_disk_ends_with_the_last_durable_record() {
        let item = |storage| Item { records: 5, storage, hand: DeliveryState::Waiting, held: () };
        for (durable, expected) in [(0, 0), (7, 0), (8, 1), (10, 3), (12, 5), (20, 5)] {
            assert_eq!(item(StorageState::Appended { last: 12 }).on_disk(durable), expected, "{durable}");
            assert_eq!(item(StorageState::Memory).on_disk(durable), 0);
        }
    }
}
