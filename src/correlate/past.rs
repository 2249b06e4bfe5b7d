//! Messages that are over: a line of theirs that comes again opens no other message.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::line::JoinLine;

/// Maximum number of messages that are over and known by their queue id, for each mail system.
const PAST: usize = 100_000;

/// Hashes of queue ids, with the time of the last line of each.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Messages in the order in which they ended.
    entries: VecDeque<PastEntry>,
    /// Number of the first entry. The others count on from it, and begin again after the largest number.
    first: u32,
    /// Numbers of the entries, by the hash of the queue id.
    index: HashTable<u32>,
}

#[derive(Clone, Copy, Debug)]
struct PastEntry {
    id: u64,
    last_seen: i64,
}

impl Past {
    /// Returns the memory of the entries in bytes.
    pub(super) fn held(&self) -> usize {
        self.entries.capacity() * size_of::<PastEntry>() + self.index.allocation_size()
    }

    pub(super) fn add(&mut self, id: u64, last_seen: i64) {
        if let Some(place) = self.find(id) {
            self.entries[place].last_seen = last_seen;
            return;
        }
        if self.entries.len() >= PAST {
            self.forget_oldest();
        }
        let number = self.first.wrapping_add(self.entries.len() as u32);
        self.entries.push_back(PastEntry { id, last_seen });
        let (entries, first) = (&self.entries, self.first);
        self.index.insert_unique(id, number, |number| entries[place(first, *number)].id);
    }

    /// Returns true if `line` is about a message that is over. A short queue id may be that of a later message.
    pub(super) fn has(&self, id: u64, line: &JoinLine<'_, '_>) -> bool {
        self.last_seen(id).is_some_and(|last| line.at <= last || line.postfix.queued_at.is_some())
    }

    fn last_seen(&self, id: u64) -> Option<i64> {
        self.find(id).map(|place| self.entries[place].last_seen)
    }

    /// Returns the hash of the queue id of each message, with the time of its last line, in the order in which they
    /// ended.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, i64)> {
        self.entries.iter().map(|entry| (entry.id, entry.last_seen))
    }

    /// Forgets the older half of the messages, and frees their memory. Returns false if there are none.
    pub(super) fn halve(&mut self) -> bool {
        let len = self.entries.len();
        (0..len.div_ceil(2)).for_each(|_| self.forget_oldest());
        self.entries.shrink_to_fit();
        let (entries, first) = (&self.entries, self.first);
        self.index.shrink_to_fit(|number| entries[place(first, *number)].id);
        len > 0
    }

    fn find(&self, id: u64) -> Option<usize> {
        let is_it = |number: &u32| self.entries[place(self.first, *number)].id == id;
        self.index.find(id, is_it).map(|number| place(self.first, *number))
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.front() else { return };
        if let Ok(entry) = self.index.find_entry(oldest.id, |number| *number == self.first) {
            entry.remove();
        }
        self.entries.pop_front();
        self.first = self.first.wrapping_add(1);
    }
}

/// Returns the place of an entry among all.
const fn place(first: u32, number: u32) -> usize {
    number.wrapping_sub(first) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_messages_are_known_with_their_times() {
        // The numbers of the entries begin again after the largest one.
        let mut past = Past { first: u32::MAX - 10, ..Past::default() };
        for (id, at) in (0..PAST as u64 + 100).zip(0..) {
            past.add(id, at);
        }
        past.add(PAST as u64, -1);
        assert_eq!((past.last_seen(99), past.last_seen(100)), (None, Some(100)));
        assert_eq!((past.last_seen(PAST as u64), past.entries.len()), (Some(-1), PAST));
        assert_eq!(past.index.len(), PAST);
    }

    #[test]
    fn half_of_the_messages_are_forgotten_with_their_memory() {
        let mut past = Past::default();
        (0..10_001).for_each(|id| past.add(id, 0));
        let full = past.held();
        assert!(past.halve());
        assert_eq!((past.last_seen(5000), past.last_seen(5001)), (None, Some(0)));
        assert!(past.held() < full * 2 / 3, "{} of {full}", past.held());
        let halved = (0..20).take_while(|_| past.halve()).count();
        assert_eq!((halved, past.held()), (13, 0));
    }
}
