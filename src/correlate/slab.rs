//! Values in slots, in the order in which they were touched.
//!
//! The slots stand in chunks. Chunks without values are freed: a slab that had many values once is small again.

/// No slot.
const NONE: u32 = u32::MAX;
/// Number of slots of a chunk.
const CHUNK: usize = 16;

/// Values with the number of their slot, ordered by the time when they were last touched.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<SlabChunk<T>>,
    /// Chunks that were freed, and chunks that have been without values at some time since they were made.
    freed: Vec<u32>,
    idle: Vec<u32>,
    /// Slots without values, and with values. The oldest value is the first.
    free: SlabList,
    used: SlabList,
    /// Number of slots.
    capacity: usize,
    len: usize,
    /// Number of values that were ever added.
    added: u32,
}

/// Slots that are allocated together.
#[derive(Debug)]
struct SlabChunk<T> {
    /// The slots; none after the chunk was freed.
    slots: Vec<SlabSlot<T>>,
    /// Number of values.
    len: usize,
    is_idle: bool,
}

#[derive(Debug)]
struct SlabSlot<T> {
    value: Option<T>,
    generation: u32,
    /// Neighbours in the list in which the slot is.
    before: u32,
    behind: u32,
}

/// First and last slot of a list.
#[derive(Clone, Copy, Debug)]
struct SlabList {
    first: u32,
    last: u32,
}

/// The slot of a value, with a number that tells it from the other values of that slot. Keys are in the order in which
/// their values were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlabKey {
    generation: u32,
    pub(super) slot: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        let (chunks, freed, idle) = (Vec::new(), Vec::new(), Vec::new());
        Self { chunks, freed, idle, free: SlabList::EMPTY, used: SlabList::EMPTY, capacity: 0, len: 0, added: 0 }
    }
}

impl<T> Slab<T> {
    /// Memory of a value beside what it points to, in bytes.
    pub(super) const EACH: usize = size_of::<SlabSlot<T>>();

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the memory of the slots that have no value, in bytes.
    pub(super) const fn spare(&self) -> usize {
        (self.capacity - self.len) * Self::EACH
    }

    /// Adds a value as the newest.
    pub(super) fn insert(&mut self, value: T) -> SlabKey {
        if self.free.first == NONE {
            self.grow();
        }
        let (slot, generation) = (self.free.first, self.added);
        self.added = self.added.wrapping_add(1);
        self.free.detach(&mut self.chunks, slot);
        let (chunk, place) = place(slot);
        self.chunks[chunk].len += 1;
        self.chunks[chunk].slots[place].generation = generation;
        self.chunks[chunk].slots[place].value = Some(value);
        self.len += 1;
        self.used.append(&mut self.chunks, slot);
        SlabKey { generation, slot }
    }

    /// Returns the key of the value in a slot, which must have one.
    pub(super) fn key(&self, slot: u32) -> SlabKey {
        SlabKey { generation: at(&self.chunks, slot).map_or(0, |entry| entry.generation), slot }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        at(&self.chunks, slot)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        at_mut(&mut self.chunks, slot)?.value.as_mut()
    }

    /// Returns true if the value with this key is still there.
    pub(super) fn contains(&self, key: SlabKey) -> bool {
        at(&self.chunks, key.slot).is_some_and(|slot| slot.generation == key.generation && slot.value.is_some())
    }

    /// Returns each value from the slot `first` on, with its slot.
    pub(super) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        (first..self.end()).filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    /// Returns the number of slots: that of each value is below it.
    pub(super) const fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Makes a value the newest.
    pub(super) fn touch(&mut self, slot: u32) {
        if self.used.last != slot {
            self.used.detach(&mut self.chunks, slot);
            self.used.append(&mut self.chunks, slot);
        }
    }

    /// Returns the slot of the oldest value.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.used.first != NONE).then_some(self.used.first)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = at_mut(&mut self.chunks, slot)?.value.take()?;
        self.used.detach(&mut self.chunks, slot);
        self.free.prepend(&mut self.chunks, slot);
        self.len -= 1;
        let (index, _) = place(slot);
        let chunk = &mut self.chunks[index];
        chunk.len -= 1;
        if chunk.len == 0 && !chunk.is_idle {
            chunk.is_idle = true;
            self.idle.push(index as u32);
        }
        self.shrink();
        Some(value)
    }

    fn grow(&mut self) {
        let index = self.freed.pop().unwrap_or(self.chunks.len() as u32);
        let empty = || SlabSlot { value: None, generation: 0, before: NONE, behind: NONE };
        let slots = std::iter::repeat_with(empty).take(CHUNK).collect();
        let chunk = SlabChunk { slots, len: 0, is_idle: false };
        match self.chunks.get_mut(index as usize) {
            Some(freed) => *freed = chunk,
            None => self.chunks.push(chunk),
        }
        self.capacity += CHUNK;
        let first = index * CHUNK as u32;
        (first..first + CHUNK as u32).for_each(|slot| self.free.append(&mut self.chunks, slot));
    }

    /// Frees chunks without values, except for some that are soon taken again.
    fn shrink(&mut self) {
        while self.capacity - self.len > 2 * CHUNK + self.len / 8
            && let Some(index) = self.idle.pop()
        {
            self.chunks[index as usize].is_idle = false;
            if self.chunks[index as usize].len > 0 {
                continue;
            }
            let first = index * CHUNK as u32;
            (first..first + CHUNK as u32).for_each(|slot| self.free.detach(&mut self.chunks, slot));
            self.chunks[index as usize].slots = Vec::new();
            self.capacity -= CHUNK;
            self.freed.push(index);
        }
    }
}

impl SlabList {
    const EMPTY: Self = Self { first: NONE, last: NONE };

    fn append<T>(&mut self, chunks: &mut [SlabChunk<T>], slot: u32) {
        let before = std::mem::replace(&mut self.last, slot);
        if let Some(entry) = at_mut(chunks, slot) {
            (entry.before, entry.behind) = (before, NONE);
        }
        match at_mut(chunks, before) {
            Some(before) => before.behind = slot,
            None => self.first = slot,
        }
    }

    fn prepend<T>(&mut self, chunks: &mut [SlabChunk<T>], slot: u32) {
        let behind = std::mem::replace(&mut self.first, slot);
        if let Some(entry) = at_mut(chunks, slot) {
            (entry.before, entry.behind) = (NONE, behind);
        }
        match at_mut(chunks, behind) {
            Some(behind) => behind.before = slot,
            None => self.last = slot,
        }
    }

    fn detach<T>(&mut self, chunks: &mut [SlabChunk<T>], slot: u32) {
        let Some(SlabSlot { before, behind, .. }) = at(chunks, slot) else { return };
        let (before, behind) = (*before, *behind);
        match at_mut(chunks, before) {
            Some(entry) => entry.behind = behind,
            None => self.first = behind,
        }
        match at_mut(chunks, behind) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
    }
}

/// Returns the chunk of a slot, and its place there.
const fn place(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

fn at<T>(chunks: &[SlabChunk<T>], slot: u32) -> Option<&SlabSlot<T>> {
    let (chunk, place) = place(slot);
    chunks.get(chunk)?.slots.get(place)
}

fn at_mut<T>(chunks: &mut [SlabChunk<T>], slot: u32) -> Option<&mut SlabSlot<T>> {
    let (chunk, place) = place(slot);
    chunks.get_mut(chunk)?.slots.get_mut(place)
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
        testkit::seeds::each(50, |mut random| {
            let (mut slab, mut list) = (Slab::default(), Vec::new());
            for value in 0..2000 {
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

    #[test]
    fn slots_without_values_are_freed() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..10_000).map(|value| slab.insert(value)).collect();
        assert!(slab.spare() < CHUNK * Slab::<i32>::EACH, "{}", slab.spare());
        // One value in each hundred stays.
        for (number, key) in (0..).zip(&keys).filter(|(number, _)| number % 100 != 0) {
            assert_eq!(slab.remove(key.slot), Some(number));
        }
        let kept = (slab.len(), slab.capacity);
        assert_eq!(slab.len(), 100);
        assert!(slab.capacity <= 100 * CHUNK, "{kept:?}");
        keys.iter().step_by(100).for_each(|key| _ = slab.remove(key.slot));
        assert!(slab.capacity <= 2 * CHUNK, "{}", slab.capacity);
        assert_eq!(slab.chunks.iter().map(|chunk| chunk.slots.capacity()).sum::<usize>(), slab.capacity);
        let again: Vec<_> = (0..1000).map(|value| slab.insert(value)).collect();
        assert!(again.iter().zip(0..).all(|(key, value)| slab.get(key.slot) == Some(&value)));
        assert!(keys.iter().all(|key| !slab.contains(*key)));
    }

    #[test]
    fn keys_are_ordered_as_their_values_came() {
        let mut slab = Slab::default();
        let first = [slab.insert(1), slab.insert(2)];
        slab.remove(first[0].slot);
        let third = slab.insert(3);
        assert_eq!(third.slot, first[0].slot);
        assert!(first[0] < first[1] && first[1] < third);
    }
}
