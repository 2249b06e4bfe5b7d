//! Values in slots, in the order in which they were touched.

/// No slot.
const NONE: u32 = u32::MAX;

/// Values with the number of their slot, ordered by the time when they were last touched.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<SlabSlot<T>>,
    /// First free slot.
    free: u32,
    oldest: u32,
    newest: u32,
    len: usize,
}

#[derive(Debug)]
struct SlabSlot<T> {
    value: Option<T>,
    /// Number of values that the slot had before: a value that is gone is not taken for its successor.
    generation: u32,
    older: u32,
    /// Next newer value, or next free slot.
    newer: u32,
}

/// The slot of a value, with the number that tells it from other values of that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlabKey {
    pub(super) slot: u32,
    generation: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: NONE, oldest: NONE, newest: NONE, len: 0 }
    }
}

impl<T> Slab<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value as the newest.
    pub(super) fn insert(&mut self, value: T) -> SlabKey {
        let slot = if self.free == NONE {
            self.slots.push(SlabSlot { value: None, generation: 0, older: NONE, newer: NONE });
            self.slots.len() as u32 - 1
        } else {
            let next = self.slots[self.free as usize].newer;
            std::mem::replace(&mut self.free, next)
        };
        self.slots[slot as usize].value = Some(value);
        self.len += 1;
        self.append(slot);
        SlabKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// Returns the key of the value in a slot. Panics if the slot is free.
    pub(super) fn key(&self, slot: u32) -> SlabKey {
        SlabKey { slot, generation: self.slots[slot as usize].generation }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// Returns true if the value with this key is still there.
    pub(super) fn contains(&self, key: SlabKey) -> bool {
        self.slots.get(key.slot as usize).is_some_and(|slot| slot.generation == key.generation && slot.value.is_some())
    }

    /// Makes a value the newest.
    pub(super) fn touch(&mut self, slot: u32) {
        if self.newest != slot {
            self.detach(slot);
            self.append(slot);
        }
    }

    /// Returns the slot of the oldest value.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.value.take()?;
        self.detach(slot);
        self.len -= 1;
        let free = &mut self.slots[slot as usize];
        free.generation = free.generation.wrapping_add(1);
        free.newer = std::mem::replace(&mut self.free, slot);
        Some(value)
    }

    fn append(&mut self, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        let entry = &mut self.slots[slot as usize];
        (entry.older, entry.newer) = (older, NONE);
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = slot,
            None => self.oldest = slot,
        }
    }

    fn detach(&mut self, slot: u32) {
        let SlabSlot { older, newer, .. } = self.slots[slot as usize];
        match self.slots.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_leave_in_the_order_in_which_they_were_touched() {
        let mut slab = Slab::default();
        let keys = ["a", "b", "c", "d"].map(|value| slab.insert(value));
        slab.touch(keys[0].slot);
        assert_eq!(slab.remove(keys[2].slot), Some("c"));
        let new = slab.insert("e");
        assert_eq!(new.slot, keys[2].slot);
        assert!(slab.contains(new) && !slab.contains(keys[2]));
        let mut left = Vec::new();
        while let Some(oldest) = slab.oldest() {
            left.extend(slab.remove(oldest));
        }
        assert_eq!((left, slab.len()), (vec!["b", "d", "a", "e"], 0));
    }

    /// Against a list that is searched.
    #[test]
    fn a_slab_is_as_a_list_in_random_order() {
        testkit::seeds::each(200, |mut random| {
            let (mut slab, mut list) = (Slab::default(), Vec::new());
            for value in 0..200 {
                match random.u32(0..4) {
                    0 | 1 => list.push((slab.insert(value), value)),
                    2 if !list.is_empty() => {
                        let (key, value) = list.remove(random.usize(..list.len()));
                        slab.touch(key.slot);
                        list.push((key, value));
                    }
                    _ if !list.is_empty() => {
                        let (key, value) = list.remove(random.usize(..list.len()));
                        assert_eq!(slab.remove(key.slot), Some(value));
                        assert!(!slab.contains(key));
                    }
                    _ => {}
                }
                assert_eq!(slab.len(), list.len());
                assert_eq!(slab.oldest(), list.first().map(|(key, _)| key.slot));
                assert!(list.iter().all(|(key, value)| slab.contains(*key) && slab.get(key.slot) == Some(value)));
            }
        });
    }
}
