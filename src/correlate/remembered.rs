//! Values that are found by a hash, with their memory. The oldest ones are forgotten.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::patterns::shrink;
use super::slab::Slab;

/// Values by the hash of their names, in the order in which they were changed.
#[derive(Debug)]
pub(super) struct RememberedValues<T> {
    entries: Slab<RememberedEntry<T>>,
    index: HashTable<u32>,
    /// Memory to which the values point, in bytes.
    held: usize,
}

/// A value, as a checkpoint has it too.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RememberedEntry<T> {
    hash: u64,
    value: T,
    /// Memory to which it points, in bytes.
    held: usize,
    /// Time of its last change, by the clock of the mail system.
    touched: i64,
}

/// A value that points to memory.
pub(super) trait PointsToMemory: Default {
    /// Returns the memory to which it points, in bytes.
    fn held(&self) -> usize;
}

impl<T> Default for RememberedValues<T> {
    fn default() -> Self {
        Self { entries: Slab::default(), index: HashTable::new(), held: 0 }
    }
}

impl<T> RememberedEntry<T> {
    pub(super) const fn value_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: PointsToMemory> RememberedValues<T> {
    /// Returns the values that a checkpoint has.
    pub(super) fn load(mut entries: Vec<RememberedEntry<T>>) -> Self {
        let mut values = Self::default();
        entries.sort_by_key(|entry| entry.touched);
        for entry in entries {
            values.add(entry);
        }
        values
    }

    /// Returns the values as a checkpoint has them.
    pub(super) fn save(&self) -> Vec<&RememberedEntry<T>> {
        self.entries.iter_from(0).map(|(_, entry)| entry).collect()
    }

    /// Returns the memory of all values in bytes.
    pub(super) fn held(&self) -> usize {
        let slots = self.entries.len() * Slab::<RememberedEntry<T>>::EACH + self.entries.spare();
        slots + self.index.allocation_size() + self.held
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.find(hash).is_some()
    }

    pub(super) fn get(&self, hash: u64) -> Option<&T> {
        self.find(hash).and_then(|slot| self.entries.get(slot)).map(|entry| &entry.value)
    }

    /// Changes a value at the time `clock`. Begins with a new one if there is none; the oldest one of `most` values is
    /// then forgotten.
    pub(super) fn change<R>(&mut self, hash: u64, clock: i64, most: usize, change: impl FnOnce(&mut T) -> R) -> R {
        let slot = self.find(hash).unwrap_or_else(|| {
            while self.entries.len() >= most && self.forget_oldest() {}
            self.add(RememberedEntry { hash, value: T::default(), held: 0, touched: clock })
        });
        self.entries.touch(slot);
        let Some(entry) = self.entries.get_mut(slot) else { return change(&mut T::default()) };
        let changed = change(&mut entry.value);
        let before = std::mem::replace(&mut entry.held, entry.value.held());
        self.held = self.held + entry.held - before;
        entry.touched = clock;
        changed
    }

    /// Returns the time of the last change of the oldest value.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.entries.oldest().and_then(|slot| self.entries.get(slot)).map(|entry| entry.touched)
    }

    /// Forgets the oldest value. Returns false if there is none.
    pub(super) fn forget_oldest(&mut self) -> bool {
        self.entries.oldest().map(|slot| self.remove_slot(slot)).is_some()
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.index.find(hash, |slot| hash_of(&self.entries, *slot) == hash).copied()
    }

    fn add(&mut self, mut entry: RememberedEntry<T>) -> u32 {
        entry.held = entry.value.held();
        self.held += entry.held;
        let (hash, slot) = (entry.hash, self.entries.insert(entry).slot);
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |slot| hash_of(entries, *slot));
        slot
    }

    fn remove_slot(&mut self, slot: u32) {
        let Some(entry) = self.entries.remove(slot) else { return };
        self.held -= entry.held;
        if let Ok(place) = self.index.find_entry(entry.hash, |known| *known == slot) {
            place.remove();
        }
        let entries = &self.entries;
        shrink(&mut self.index, |slot| hash_of(entries, *slot));
    }
}

fn hash_of<T>(entries: &Slab<RememberedEntry<T>>, slot: u32) -> u64 {
    entries.get(slot).map_or(0, |entry| entry.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl PointsToMemory for Vec<u8> {
        fn held(&self) -> usize {
            self.capacity()
        }
    }

    /// Changes values with the numbers as hashes, each a second after the other. There are three at most.
    fn changed(hashes: &[u64]) -> RememberedValues<Vec<u8>> {
        let mut values = RememberedValues::default();
        for (hash, clock) in hashes.iter().zip(0..) {
            values.change(*hash, clock, 3, |value: &mut Vec<u8>| value.extend_from_slice(&[0; 100]));
        }
        values
    }

    #[test]
    fn the_values_that_changed_last_are_remembered() {
        let mut values = changed(&[1, 2, 3, 1, 4]);
        let lengths = [1, 2, 3, 4].map(|hash| values.get(hash).map(Vec::len));
        assert_eq!((lengths, values.oldest()), ([Some(200), None, Some(100), Some(100)], Some(2)));
        assert!(values.forget_oldest());
        assert_eq!((values.contains(3), values.oldest()), (false, Some(3)));
    }

    #[test]
    fn the_memory_of_the_values_is_counted() {
        let mut values = changed(&[1, 2]);
        let two = values.held();
        values.change(2, 9, 3, |value| value.reserve_exact(1000 - value.len()));
        assert_eq!(values.held(), two + 900);
        assert!(values.forget_oldest());
        assert_eq!(values.held, 1000);
        assert!(values.forget_oldest() && !values.forget_oldest());
        assert_eq!(values.held, 0);
    }

    #[test]
    fn values_of_a_checkpoint_have_their_order_and_memory() {
        let values = changed(&[1, 2, 3, 1]);
        let bytes = postcard::to_allocvec(&values.save()).expect("values in memory");
        let mut loaded = RememberedValues::<Vec<u8>>::load(postcard::from_bytes(&bytes).expect("the same"));
        assert_eq!([1, 2, 3].map(|hash| loaded.get(hash).map(Vec::len)), [Some(200), Some(100), Some(100)]);
        assert_eq!((loaded.held, loaded.oldest()), (400, Some(1)));
        assert!(loaded.forget_oldest() && !loaded.contains(2));
    }
}
