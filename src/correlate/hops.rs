//! Hops: messages that went from one mail system to another whose lines come too.
//!
//! ```text
//! A: delivery, `queued as Q` ---> source --+
//!                                          +-- one queue id, one Message-ID, fitting times --> news for A and for B
//! B: Message-ID of Q -----------> target --+
//! ```
//!
//! A content filter on another host gives a message back to the same system: both halves are then of that one.
//!
//! A system reports its half of a hop while it is locked, and gets no lock of another one: what a hop means for the
//! other one waits in its [`HopInbox`] until that system has its next line, or time passes.

mod inbox;
mod pair;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

pub(super) use self::inbox::{HopInbox, HopNews, HopParent};
pub(super) use self::pair::{HopPair, HopReport};
use self::pair::{HopSource, HopTarget};
use super::budget::Budget;
use super::hash::KeyedHash;
use super::remembered::{RememberedEntry, RememberedValues};
use crate::poison;

/// Time by which the clocks of two hosts may differ, in microseconds.
pub const CLOCK_SKEW: i64 = 60_000_000;
/// Number of parts of the index, each with a lock.
pub(super) const SHARDS: usize = 16;
/// Maximum number of pairs of a queue id and a Message-ID in a part of the index.
const PAIRS: usize = 1000;
/// Share of the memory of all joins that the index may hold.
const SHARE: usize = 16;
/// Number of inboxes from which on those are sought that nobody has.
const INBOXES: usize = 1000;

/// The halves of the latest hops of all mail systems.
pub(super) struct HopIndex {
    hash: KeyedHash,
    shards: [Mutex<HopShard>; SHARDS],
    inboxes: Mutex<HopInboxes>,
    budget: Arc<Budget>,
}

/// The inboxes that someone has.
struct HopInboxes {
    /// Inboxes by the name of their system.
    by_name: HashMap<Box<str>, Weak<HopInbox>>,
    /// Number of them at which those that nobody has are removed.
    most: usize,
}

/// A part of the index.
#[derive(Default)]
struct HopShard {
    /// The pairs by the hash of queue id and Message-ID.
    pairs: RememberedValues<HopPair>,
    /// Memory that they were counted with, in bytes.
    held: usize,
}

impl HopIndex {
    pub(super) fn new(hash: KeyedHash, budget: &Arc<Budget>) -> Self {
        let inboxes = Mutex::new(HopInboxes { by_name: HashMap::new(), most: INBOXES });
        Self { hash, shards: Default::default(), inboxes, budget: Arc::clone(budget) }
    }

    /// Returns the hash function, which a checkpoint has too.
    pub(super) const fn hash(&self) -> KeyedHash {
        self.hash
    }

    /// Returns the inbox of the mail system `HOSTNAME/INSTANCE`, which takes its news from now on.
    pub(super) fn inbox(&self, name: &str) -> Arc<HopInbox> {
        let inbox = self.inbox_of(name);
        inbox.open();
        inbox
    }

    fn inbox_of(&self, name: &str) -> Arc<HopInbox> {
        let mut inboxes = poison::ignore(self.inboxes.lock());
        let HopInboxes { by_name, most } = &mut *inboxes;
        if let Some(inbox) = by_name.get(name).and_then(Weak::upgrade) {
            return inbox;
        }
        if by_name.len() >= *most {
            by_name.retain(|_, inbox| inbox.strong_count() > 0);
            *most = INBOXES + 2 * by_name.len();
        }
        let inbox = Arc::new(HopInbox::new(name));
        by_name.insert(name.into(), Arc::downgrade(&inbox));
        inbox
    }

    /// Notes that a message was delivered to a server, at the time `clock` of its system.
    pub(super) fn add_source(&self, message_id: &str, report: HopReport<'_>, clock: i64) {
        self.change(report.child, message_id, clock, |pair| {
            let uid = report.uid;
            let is_other = pair.add_source(report);
            let is_new = pair.link() || is_other;
            self.tell(pair, |source, _| is_new || source.parent.uid == uid, |_, _| is_new);
        });
    }

    /// Notes that a message of a mail system has this queue id and Message-ID.
    pub(super) fn add_target(
        &self,
        (queue_id, message_id): (&str, &str),
        inbox: &Arc<HopInbox>,
        first_seen: i64,
        clock: i64,
    ) {
        self.change(queue_id, message_id, clock, |pair| {
            pair.add_target(inbox, first_seen);
            let is_new = pair.link();
            self.tell(pair, |_, _| is_new, |_, target| is_new || Arc::ptr_eq(&target.inbox, inbox));
        });
    }

    /// Gives the news of links to the systems of their sources and of their targets, as far as these need it. A line
    /// that came again after a crash may be of a message that does not know its link any more.
    fn tell(
        &self,
        pair: &HopPair,
        needs_source: impl Fn(&HopSource, &HopTarget) -> bool,
        needs_target: impl Fn(&HopSource, &HopTarget) -> bool,
    ) {
        for (source, target) in pair.links() {
            if needs_source(source, target) {
                source.inbox.add(source.news(), &self.budget);
            }
            if needs_target(source, target) {
                target.inbox.add(source.news_for(target), &self.budget);
            }
        }
    }

    fn change(&self, queue_id: &str, message_id: &str, clock: i64, change: impl FnOnce(&mut HopPair)) {
        let key = self.hash.of(&[queue_id.as_bytes(), message_id.as_bytes()]);
        // The table of a part looks at the lowest bits and the highest ones.
        let mut shard = self.shard((key >> 32) as usize % SHARDS);
        shard.pairs.change(key, clock, PAIRS, change);
        shard.measure(&self.budget);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for number in 0..SHARDS {
            let mut shard = self.shard(number);
            shard.pairs = RememberedValues::default();
            shard.measure(&self.budget);
        }
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, HopShard> {
        poison::ignore(self.shards[number].lock())
    }

    /// Passes the pairs of a part of the index to `save`, as a checkpoint has them.
    pub(super) fn save<R>(&self, number: usize, save: impl FnOnce(Vec<&RememberedEntry<HopPair>>) -> R) -> R {
        save(self.shard(number).pairs.save())
    }

    /// Takes the pairs of a part of the index from a checkpoint. The systems hear of their hops once more: they may
    /// have been saved before they did.
    pub(super) fn load(&self, number: usize, mut pairs: Vec<RememberedEntry<HopPair>>) {
        for pair in pairs.iter_mut().map(RememberedEntry::value_mut) {
            for inbox in pair.inboxes() {
                *inbox = self.inbox_of(&inbox.name);
            }
            self.tell(pair, |_, _| true, |_, _| true);
        }
        let mut shard = self.shard(number % SHARDS);
        shard.pairs = RememberedValues::load(pairs);
        shard.measure(&self.budget);
    }
}

impl HopShard {
    /// Counts the memory, and forgets the oldest pairs if it is too much.
    fn measure(&mut self, budget: &Budget) {
        let most = budget.settings().max_memory / SHARE / SHARDS;
        let mut held = self.pairs.held();
        while held > most && self.pairs.forget_oldest() {
            held = self.pairs.held();
        }
        let before = std::mem::replace(&mut self.held, held);
        if held != before {
            budget.hold(before, held);
        }
    }
}
