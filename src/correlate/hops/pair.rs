//! The halves of hops with one queue id and one Message-ID, and which of them belong together.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CLOCK_SKEW;
use super::inbox::{HopInbox, HopNews, HopParent, inbox_name};
use crate::correlate::remembered::PointsToMemory;
use crate::correlate::saved;
use crate::record::Uid;

/// Maximum number of sources, and of targets, of one pair. There is seldom more than one.
const HALVES: usize = 4;

/// The halves of hops with one queue id and one Message-ID.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::correlate) struct HopPair {
    sources: Vec<HopSource>,
    targets: Vec<HopTarget>,
}

/// A message that was delivered to a server, which gave it a queue id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HopSource {
    #[serde(with = "inbox_name")]
    pub(super) inbox: Arc<HopInbox>,
    /// The queue id that the server gave.
    child: Box<str>,
    pub(super) parent: HopParent,
    /// Times of the first line of the message, and of its delivery.
    first_seen: i64,
    at: i64,
}

/// A message with the queue id that another mail system may have named.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HopTarget {
    #[serde(with = "inbox_name")]
    pub(super) inbox: Arc<HopInbox>,
    first_seen: i64,
    /// The message from which it was made.
    #[serde(with = "saved::uid")]
    source: Uid,
}

/// A delivery that a mail system reports.
#[derive(Clone, Copy)]
pub(in crate::correlate) struct HopReport<'r> {
    pub(in crate::correlate) inbox: &'r Arc<HopInbox>,
    /// The queue id of the message, and the one that the server gave.
    pub(in crate::correlate) queue_id: &'r str,
    pub(in crate::correlate) child: &'r str,
    pub(in crate::correlate) uid: Uid,
    pub(in crate::correlate) trace: Uid,
    pub(in crate::correlate) first_seen: i64,
    pub(in crate::correlate) at: i64,
}

impl HopPair {
    /// Adds a source, or what is new of it. Returns true if it has another oldest message of its chain than was known.
    pub(super) fn add_source(&mut self, report: HopReport<'_>) -> bool {
        let HopReport { inbox, queue_id, child, uid, trace, first_seen, at } = report;
        if let Some(known) = self.sources.iter_mut().find(|source| source.parent.uid == uid) {
            (known.first_seen, known.at) = (known.first_seen.min(first_seen), known.at.max(at));
            return std::mem::replace(&mut known.parent.trace, trace) != trace;
        }
        if self.sources.len() >= HALVES {
            return false;
        }
        let parent = HopParent { queue_id: queue_id.into(), uid, trace };
        self.sources.reserve_exact(1);
        self.sources.push(HopSource { inbox: Arc::clone(inbox), child: child.into(), parent, first_seen, at });
        false
    }

    pub(super) fn add_target(&mut self, inbox: &Arc<HopInbox>, first_seen: i64) {
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

    /// Links the halves that belong together. Those that do by equal clocks come first. Returns true if some do.
    pub(super) fn link(&mut self) -> bool {
        // A half of most hops never comes.
        if self.sources.is_empty() || self.targets.is_empty() {
            return false;
        }
        let mut has_linked = false;
        for skew in [0, CLOCK_SKEW] {
            while let Some((source, target)) = self.only_pair(skew) {
                self.targets[target].source = self.sources[source].parent.uid;
                has_linked = true;
            }
        }
        has_linked
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

    pub(super) fn links(&self) -> impl Iterator<Item = (&HopSource, &HopTarget)> {
        self.targets.iter().filter(|target| target.is_linked()).filter_map(|target| {
            let source = self.sources.iter().find(|source| source.parent.uid == target.source)?;
            Some((source, target))
        })
    }

    pub(super) fn inboxes(&mut self) -> impl Iterator<Item = &mut Arc<HopInbox>> {
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
    pub(super) fn news(&self) -> HopNews {
        HopNews::Child { child: self.child.clone(), parent: self.parent.clone() }
    }

    /// Returns the news for the system of a target.
    pub(super) fn news_for(&self, target: &HopTarget) -> HopNews {
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
