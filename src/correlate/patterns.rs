//! The patterns of deliveries that more than one delivery has, each once.
//!
//! A pattern that is seen for the second time gets into the table. Servers that put a number of their own into each
//! reply therefore do not fill it. The table grows with the number of messages, and its oldest patterns leave first.

use hashbrown::HashTable;

use super::hash::KeyedHash;
use super::line::JoinLine;
use super::pattern::OwnTexts;
use super::pool::BufferPool;
use super::slab::Slab;

/// Least and largest number of patterns in the table.
const LEAST: usize = 256;
const MOST: usize = 65_536;
/// Longest pattern that gets into the table, in bytes.
const LONGEST: usize = 1000;

/// Number of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PatternKey(u32);

/// Patterns, and the number of their users.
#[derive(Debug)]
pub(super) struct PatternTable {
    patterns: Slab<PatternEntry>,
    index: HashTable<u32>,
    /// Hashes of patterns that were seen once, each at the place that its low bits name.
    seen: Vec<u32>,
    /// Maximum number of patterns.
    most: usize,
    /// Memory of the patterns in bytes.
    held: usize,
    /// The last pattern that was asked for.
    last: Vec<u8>,
}

#[derive(Debug)]
struct PatternEntry {
    hash: u64,
    users: u32,
    text: Box<[u8]>,
}

impl PatternKey {
    /// No pattern of the table.
    pub(super) const NONE: Self = Self(u32::MAX);
}

impl Default for PatternKey {
    fn default() -> Self {
        Self::NONE
    }
}

impl Default for PatternTable {
    fn default() -> Self {
        let (patterns, index, seen, last) = (Slab::default(), HashTable::new(), Vec::new(), Vec::new());
        Self { patterns, index, seen, most: LEAST, held: 0, last }
    }
}

impl PatternTable {
    /// Memory of a pattern beside its text, in bytes.
    const EACH: usize = Slab::<PatternEntry>::EACH + BufferPool::EACH;

    /// Returns the memory of the table in bytes.
    pub(super) fn held(&self) -> usize {
        let tables = self.index.allocation_size() + self.seen.capacity() * size_of::<u32>();
        self.held + self.patterns.spare() + tables + self.last.capacity()
    }

    /// Notes the number of open messages.
    pub(super) fn fit(&mut self, messages: usize) {
        self.most = messages.clamp(LEAST, MOST);
        if self.patterns.len() > self.most {
            self.drop_oldest();
        }
    }

    /// Returns the number of the pattern of a delivery, if it is in the table, and counts one more user of it.
    pub(super) fn acquire(&mut self, line: &JoinLine<'_, '_>, own: &OwnTexts<'_>, hash: KeyedHash) -> PatternKey {
        self.last.clear();
        line.tag().iter().for_each(|part| self.last.extend_from_slice(part));
        own.cut(line.text(), &mut self.last);
        self.find(hash.of(&[&self.last]))
    }

    /// Returns the number of a pattern that was in the table, and counts one more user of it.
    pub(super) fn add(&mut self, pattern: &[u8], hash: KeyedHash) -> PatternKey {
        self.last.clear();
        self.last.extend_from_slice(pattern);
        let hash = hash.of(&[pattern]);
        match self.find(hash) {
            PatternKey::NONE => self.find(hash),
            key => key,
        }
    }

    /// Returns the number of the last pattern that was asked for.
    fn find(&mut self, hash: u64) -> PatternKey {
        if self.last.len() > LONGEST {
            return PatternKey::NONE;
        }
        let text = &self.last;
        let is_it = |slot: &u32| self.patterns.get(*slot).is_some_and(|one| one.hash == hash && *one.text == **text);
        if let Some(slot) = self.index.find(hash, is_it).copied() {
            self.patterns.touch(slot);
            if let Some(entry) = self.patterns.get_mut(slot) {
                entry.users += 1;
            }
            return PatternKey(slot);
        }
        if self.is_second_sight(hash) && self.has_room() { self.insert(hash) } else { PatternKey::NONE }
    }

    /// Returns the text of the last pattern that was asked for.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    fn insert(&mut self, hash: u64) -> PatternKey {
        let entry = PatternEntry { hash, users: 1, text: self.last.as_slice().into() };
        self.held += entry.text.len() + Self::EACH;
        let slot = self.patterns.insert(entry).slot;
        let patterns = &self.patterns;
        self.index.insert_unique(hash, slot, |slot| patterns.get(*slot).map_or(0, |entry| entry.hash));
        PatternKey(slot)
    }

    /// Notes that a user is gone.
    pub(super) fn release(&mut self, key: PatternKey) {
        if let Some(entry) = self.patterns.get_mut(key.0) {
            entry.users = entry.users.saturating_sub(1);
        }
    }

    pub(super) fn get(&self, key: PatternKey) -> Option<&[u8]> {
        self.patterns.get(key.0).map(|entry| &*entry.text)
    }

    /// Returns true if a pattern with this hash was seen, and not too many others since.
    fn is_second_sight(&mut self, hash: u64) -> bool {
        if self.most > self.seen.len() || self.most < self.seen.len() / 8 {
            self.seen = vec![0; self.most.next_power_of_two()];
        }
        let place = hash as usize & (self.seen.len() - 1);
        let mark = (hash >> 32) as u32;
        std::mem::replace(&mut self.seen[place], mark) == mark
    }

    /// Makes room for a pattern. Returns false if the oldest ones all have users.
    fn has_room(&mut self) -> bool {
        for _ in 0..4 {
            if self.patterns.len() >= self.most {
                self.drop_oldest();
            }
        }
        self.patterns.len() < self.most
    }

    /// Removes the oldest pattern, or makes it the newest if it has users.
    fn drop_oldest(&mut self) {
        let Some(slot) = self.patterns.oldest() else { return };
        if self.patterns.get(slot).is_some_and(|entry| entry.users > 0) {
            self.patterns.touch(slot);
            return;
        }
        let Some(PatternEntry { hash, text, .. }) = self.patterns.remove(slot) else { return };
        if let Ok(place) = self.index.find_entry(hash, |known| *known == slot) {
            place.remove();
        }
        let patterns = &self.patterns;
        shrink(&mut self.index, |slot| patterns.get(*slot).map_or(0, |entry| entry.hash));
        self.held -= text.len() + Self::EACH;
    }
}

/// Frees the memory of an index that has become nearly empty.
pub(super) fn shrink(index: &mut HashTable<u32>, hash: impl Fn(&u32) -> u64) {
    if index.capacity() > 1024 && index.len() < index.capacity() / 8 {
        index.shrink_to(index.len() * 2, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a pattern as a delivery does.
    fn ask(table: &mut PatternTable, hash: KeyedHash, text: &str) -> PatternKey {
        table.last.clear();
        table.last.extend_from_slice(text.as_bytes());
        table.find(hash.of(&[text.as_bytes()]))
    }

    #[test]
    fn a_pattern_gets_into_the_table_when_it_is_seen_again() {
        let (mut table, hash) = (PatternTable::default(), KeyedHash::random());
        assert_eq!(ask(&mut table, hash, "sent"), PatternKey::NONE);
        let key = ask(&mut table, hash, "sent");
        assert_eq!(table.get(key), Some(&b"sent"[..]));
        assert_eq!(ask(&mut table, hash, "sent"), key);
        let long = "x".repeat(LONGEST + 1);
        assert_eq!([0, 1].map(|_| ask(&mut table, hash, &long)), [PatternKey::NONE; 2]);
    }

    #[test]
    fn patterns_that_are_seen_once_do_not_fill_the_table() {
        let (mut table, hash) = (PatternTable::default(), KeyedHash::random());
        for number in 0..10_000 {
            ask(&mut table, hash, &format!("sent as {number}"));
        }
        assert_eq!(table.patterns.len(), 0);
        assert!(table.held() < 2048, "{}", table.held());
    }

    #[test]
    fn patterns_with_users_stay_and_the_oldest_others_leave() {
        let (mut table, hash) = (PatternTable::default(), KeyedHash::random());
        let add = |table: &mut PatternTable, number: usize| {
            let text = format!("deferred by {number}");
            ask(table, hash, &text);
            (ask(table, hash, &text), text)
        };
        let used: Vec<_> = (0..10).map(|number| add(&mut table, number)).collect();
        for number in 10..5000 {
            let (key, _) = add(&mut table, number);
            table.release(key);
        }
        assert!(used.iter().all(|(key, text)| table.get(*key) == Some(text.as_bytes())));
        assert_eq!(table.patterns.len(), LEAST);
        assert_ne!(ask(&mut table, hash, "deferred by 4999"), PatternKey::NONE);
        assert_eq!(ask(&mut table, hash, "deferred by 11"), PatternKey::NONE);
        // Now all have users.
        (5000..6000).for_each(|number| _ = add(&mut table, number));
        assert_eq!(table.patterns.len(), LEAST);
        assert_eq!(add(&mut table, 7000).0, PatternKey::NONE);
    }

    #[test]
    fn a_table_is_small_again_when_the_messages_have_left() {
        let (mut table, hash) = (PatternTable::default(), KeyedHash::random());
        table.fit(50_000);
        let text = |number| format!("deferred by {number}");
        (0..20_000).for_each(|number| _ = ask(&mut table, hash, &text(number)));
        let keys: Vec<_> = (0..20_000).map(|number| ask(&mut table, hash, &text(number))).collect();
        let full = (table.patterns.len(), table.held());
        assert!(full.0 > 10_000, "{full:?}");
        for (left, key) in (0..keys.len()).rev().zip(keys) {
            table.release(key);
            table.fit(left);
        }
        ask(&mut table, hash, "another one");
        assert_eq!(table.patterns.len(), LEAST);
        assert!(table.held() < 100_000, "{} after {full:?}", table.held());
    }
}
