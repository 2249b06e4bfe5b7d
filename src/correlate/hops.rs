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

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::budget::Budget;
use super::hash::KeyedHash;
use super::remembered::{PointsToMemory, RememberedEntry, RememberedValues};
use super::saved;
use crate::poison;
use crate::record::Uid;

/// Time by which the clocks of two hosts may differ, in microseconds.
pub const CLOCK_SKEW: i64 = 60_000_000;
/// Number of parts of the index, each with a lock.
pub(super) const SHARDS: usize = 16;
/// Maximum number of pairs of a queue id and a Message-ID in a part of the index.
const PAIRS: usize = 1000;
/// Share of the memory of all joins that the index may hold.
const SHARE: usize = 16;
/// Maximum number of sources, and of targets, of one pair. There is seldom more than one.
const HALVES: usize = 4;
/// Maximum number of news that wait for a mail system.
const NEWS: usize = SHARDS * PAIRS;
/// Number of inboxes from which on those are sought that nobody has.
const INBOXES: usize = 1000;

/// The halves of the latest hops of all mail systems.
pub(super) struct HopIndex {
    hash: KeyedHash,
    shards: [Mutex<HopShard>; SHARDS],
    /// Inboxes by the name of their system, and the number of them at which those without a system are removed.
    inboxes: Mutex<(HashMap<Box<str>, Weak<HopInbox>>, usize)>,
    budget: Arc<Budget>,
}

/// A part of the index.
#[derive(Default)]
struct HopShard {
    /// The pairs by the hash of queue id and Message-ID.
    pairs: RememberedValues<HopPair>,
    /// Memory that they were counted with, in bytes.
    held: usize,
}

/// The halves of hops with one queue id and one Message-ID.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HopPair {
    sources: Vec<HopSource>,
    targets: Vec<HopTarget>,
}

/// A message that was delivered to a server, which gave it a queue id.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HopSource {
    #[serde(with = "inbox_name")]
    inbox: Arc<HopInbox>,
    /// The queue id that the server gave.
    child: Box<str>,
    parent: HopParent,
    /// Times of the first line of the message, and of its delivery.
    first_seen: i64,
    at: i64,
}

/// A message with the queue id that another mail system may have named.
#[derive(Debug, Serialize, Deserialize)]
struct HopTarget {
    #[serde(with = "inbox_name")]
    inbox: Arc<HopInbox>,
    first_seen: i64,
    /// The message from which it was made.
    #[serde(with = "saved::uid")]
    source: Uid,
}

/// The message from which one of another mail system was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HopParent {
    pub(super) queue_id: Box<str>,
    #[serde(with = "saved::uid")]
    pub(super) uid: Uid,
    #[serde(with = "saved::uid")]
    pub(super) trace: Uid,
}

/// A delivery that a mail system reports.
#[derive(Clone, Copy)]
pub(super) struct HopReport<'r> {
    pub(super) inbox: &'r Arc<HopInbox>,
    /// The queue id of the message, and the one that the server gave.
    pub(super) queue_id: &'r str,
    pub(super) child: &'r str,
    pub(super) uid: Uid,
    pub(super) trace: Uid,
    pub(super) first_seen: i64,
    pub(super) at: i64,
}

/// A hop that is known, as it concerns one of its two mail systems.
#[derive(Clone, Debug)]
pub(super) enum HopNews {
    /// The message with the queue id `child`, of which a line has this time, was made from another one.
    Parent { child: Box<str>, first_seen: i64, parent: HopParent },
    /// Another message was made from this one.
    Child { child: Box<str>, parent: HopParent },
}

/// News for a mail system.
#[derive(Debug)]
pub(super) struct HopInbox {
    /// `HOSTNAME/INSTANCE`.
    name: Box<str>,
    has_news: AtomicBool,
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    news: Vec<HopNews>,
    /// Number of joins that take the news. Without any, there is none.
    readers: usize,
}

impl HopIndex {
    pub(super) fn new(hash: KeyedHash, budget: &Arc<Budget>) -> Self {
        let inboxes = Mutex::new((HashMap::new(), INBOXES));
        Self { hash, shards: Default::default(), inboxes, budget: Arc::clone(budget) }
    }

    /// Returns the hash function, which a checkpoint has too.
    pub(super) const fn hash(&self) -> KeyedHash {
        self.hash
    }

    /// Returns the inbox of the mail system `HOSTNAME/INSTANCE`, which takes its news from now on.
    pub(super) fn inbox(&self, name: &str) -> Arc<HopInbox> {
        let inbox = self.inbox_of(name);
        inbox.state().readers += 1;
        inbox
    }

    fn inbox_of(&self, name: &str) -> Arc<HopInbox> {
        let mut inboxes = poison::ignore(self.inboxes.lock());
        let (by_name, most) = &mut *inboxes;
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
            let Some(is_new) = pair.add_source(report) else { return };
            pair.link();
            for (source, target) in pair.links().filter(|(source, _)| source.parent.uid == uid) {
                if is_new {
                    target.inbox.add(source.news_for(target), &self.budget);
                }
                source.inbox.add(source.news(), &self.budget);
            }
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
            let known = pair.links().count();
            pair.link();
            let is_new = pair.links().count() > known;
            for (source, target) in pair.links().filter(|(_, target)| Arc::ptr_eq(&target.inbox, inbox)) {
                target.inbox.add(source.news_for(target), &self.budget);
                if is_new {
                    source.inbox.add(source.news(), &self.budget);
                }
            }
        });
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
            for (source, target) in pair.links() {
                target.inbox.add(source.news_for(target), &self.budget);
                source.inbox.add(source.news(), &self.budget);
            }
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
        while self.pairs.held() > most && self.pairs.forget_oldest() {}
        let before = std::mem::replace(&mut self.held, self.pairs.held());
        budget.hold(before, self.held);
    }
}

impl HopPair {
    /// Adds a source, or what is new of it. Returns true if something is, and `None` if there is no room.
    fn add_source(&mut self, report: HopReport<'_>) -> Option<bool> {
        let HopReport { inbox, queue_id, child, uid, trace, first_seen, at } = report;
        if let Some(known) = self.sources.iter_mut().find(|source| source.parent.uid == uid) {
            let is_new = known.parent.trace != trace || first_seen < known.first_seen || known.at < at;
            known.parent.trace = trace;
            (known.first_seen, known.at) = (known.first_seen.min(first_seen), known.at.max(at));
            return Some(is_new);
        }
        if self.sources.len() >= HALVES {
            return None;
        }
        let parent = HopParent { queue_id: queue_id.into(), uid, trace };
        self.sources.reserve_exact(1);
        self.sources.push(HopSource { inbox: Arc::clone(inbox), child: child.into(), parent, first_seen, at });
        Some(true)
    }

    fn add_target(&mut self, inbox: &Arc<HopInbox>, first_seen: i64) {
        let is_it = |target: &&mut HopTarget| {
            Arc::ptr_eq(&target.inbox, inbox) && (target.first_seen - first_seen).abs() <= CLOCK_SKEW
        };
        if let Some(known) = self.targets.iter_mut().find(is_it) {
            known.first_seen = first_seen;
        } else if self.targets.len() < HALVES {
            self.targets.reserve_exact(1);
            self.targets.push(HopTarget { inbox: Arc::clone(inbox), first_seen, source: Uid::default() });
        }
    }

    /// Links the halves that belong together. Those that do by equal clocks come first.
    fn link(&mut self) {
        for skew in [0, CLOCK_SKEW] {
            while let Some((source, target)) = self.only_pair(skew) {
                self.targets[target].source = self.sources[source].parent.uid;
            }
        }
    }

    /// Returns the places of a source and a target that are not linked, and fit each other and no others: with several
    /// that fit, none is certain.
    fn only_pair(&self, skew: i64) -> Option<(usize, usize)> {
        let is_free = |source: &HopSource| self.targets.iter().all(|target| target.source != source.parent.uid);
        let fits = |source: &HopSource, target: &HopTarget| {
            !target.is_linked() && is_free(source) && source.fits(target, skew)
        };
        (0..self.targets.len()).find_map(|place| {
            let target = &self.targets[place];
            let mut sources = (0..self.sources.len()).filter(|source| fits(&self.sources[*source], target));
            let (Some(source), None) = (sources.next(), sources.next()) else { return None };
            let targets = self.targets.iter().filter(|target| fits(&self.sources[source], target));
            (targets.count() == 1).then_some((source, place))
        })
    }

    fn links(&self) -> impl Iterator<Item = (&HopSource, &HopTarget)> {
        self.targets.iter().filter(|target| target.is_linked()).filter_map(|target| {
            let source = self.sources.iter().find(|source| source.parent.uid == target.source)?;
            Some((source, target))
        })
    }

    fn inboxes(&mut self) -> impl Iterator<Item = &mut Arc<HopInbox>> {
        let sources = self.sources.iter_mut().map(|source| &mut source.inbox);
        sources.chain(self.targets.iter_mut().map(|target| &mut target.inbox))
    }
}

impl HopSource {
    /// Returns true if `target` can be the message that the server queued, if the clocks of two systems differ by
    /// `skew` at most.
    fn fits(&self, target: &HopTarget, skew: i64) -> bool {
        let is_here = Arc::ptr_eq(&self.inbox, &target.inbox);
        let is_itself = is_here && self.child == self.parent.queue_id;
        let skew = if is_here { 0 } else { skew };
        !is_itself && (self.first_seen - skew..=self.at + skew).contains(&target.first_seen)
    }

    /// Returns the news for its own system.
    fn news(&self) -> HopNews {
        HopNews::Child { child: self.child.clone(), parent: self.parent.clone() }
    }

    /// Returns the news for the system of a target.
    fn news_for(&self, target: &HopTarget) -> HopNews {
        let first_seen = target.first_seen;
        HopNews::Parent { child: self.child.clone(), first_seen, parent: self.parent.clone() }
    }
}

impl HopTarget {
    fn is_linked(&self) -> bool {
        self.source != Uid::default()
    }
}

impl PointsToMemory for HopPair {
    fn held(&self) -> usize {
        let texts = self.sources.iter().map(|source| source.child.len() + source.parent.queue_id.len());
        let lists = self.sources.capacity() * size_of::<HopSource>() + self.targets.capacity() * size_of::<HopTarget>();
        lists + texts.sum::<usize>()
    }
}

impl HopInbox {
    fn new(name: &str) -> Self {
        Self { name: name.into(), has_news: AtomicBool::new(false), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        poison::ignore(self.state.lock())
    }

    fn add(&self, news: HopNews, budget: &Budget) {
        let mut state = self.state();
        if state.readers > 0 && state.news.len() < NEWS {
            budget.hold(0, news.held());
            state.news.push(news);
            self.has_news.store(true, Relaxed);
        }
    }

    /// Returns true if there may be news.
    pub(super) fn has_news(&self) -> bool {
        self.has_news.load(Relaxed)
    }

    /// Takes the news.
    pub(super) fn take(&self, budget: &Budget) -> Vec<HopNews> {
        let mut state = self.state();
        self.has_news.store(false, Relaxed);
        let news = std::mem::take(&mut state.news);
        drop(state);
        budget.hold(news.iter().map(HopNews::held).sum(), 0);
        news
    }

    /// Ends the joins of a system: they take no more news.
    pub(super) fn close(&self, budget: &Budget) {
        self.state().readers -= 1;
        self.take(budget);
    }
}

impl HopNews {
    fn held(&self) -> usize {
        let (Self::Parent { child, parent, .. } | Self::Child { child, parent }) = self;
        size_of::<Self>() + child.len() + parent.queue_id.len()
    }
}

/// The form of an inbox in a checkpoint: the name of its system.
mod inbox_name {
    use super::{Arc, Deserialize, Deserializer, HopInbox, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(inbox: &Arc<HopInbox>, to: S) -> Result<S::Ok, S::Error> {
        inbox.name.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<HopInbox>, D::Error> {
        Ok(Arc::new(HopInbox::new(<&str>::deserialize(from)?)))
    }
}
