//! News of hops for a mail system, until it takes them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{PAIRS, SHARDS};
use crate::correlate::budget::Budget;
use crate::correlate::saved;
use crate::poison;
use crate::record::Uid;

/// Maximum number of news that wait for a mail system.
const NEWS: usize = SHARDS * PAIRS;

/// The message from which one of another mail system was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::correlate) struct HopParent {
    pub(in crate::correlate) queue_id: Box<str>,
    #[serde(with = "saved::uid")]
    pub(in crate::correlate) uid: Uid,
    #[serde(with = "saved::uid")]
    pub(in crate::correlate) trace: Uid,
}

/// A hop that is known, as it concerns one of its two mail systems.
#[derive(Clone, Debug)]
pub(in crate::correlate) enum HopNews {
    /// The message with the queue id `child`, of which a line has this time, was made from another one.
    Parent { child: Box<str>, first_seen: i64, parent: HopParent },
    /// Another message was made from this one.
    Child { child: Box<str>, parent: HopParent },
}

/// News for a mail system.
#[derive(Debug)]
pub(in crate::correlate) struct HopInbox {
    /// `HOSTNAME/INSTANCE`.
    pub(super) name: Box<str>,
    has_news: AtomicBool,
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    news: Vec<HopNews>,
    /// Number of joins that take the news. Without any, there is none.
    readers: usize,
}

impl HopInbox {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), has_news: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Lets one more reader take the news.
    pub(super) fn open(&self) {
        self.state().readers += 1;
    }

    fn state(&self) -> MutexGuard<'_, InboxState> {
        poison::ignore(self.state.lock())
    }

    pub(super) fn add(&self, news: HopNews, budget: &Budget) {
        let mut state = self.state();
        if state.readers > 0 && state.news.len() < NEWS {
            budget.hold(0, news.held());
            state.news.push(news);
            self.has_news.store(true, Relaxed);
        }
    }

    /// Returns true if there may be news.
    pub(in crate::correlate) fn has_news(&self) -> bool {
        self.has_news.load(Relaxed)
    }

    /// Takes the news.
    pub(in crate::correlate) fn take(&self, budget: &Budget) -> Vec<HopNews> {
        let mut state = self.state();
        self.has_news.store(false, Relaxed);
        let news = std::mem::take(&mut state.news);
        drop(state);
        budget.hold(news.iter().map(HopNews::held).sum(), 0);
        news
    }

    /// Ends the joins of a system: they take no more news.
    pub(in crate::correlate) fn close(&self, budget: &Budget) {
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
pub(super) mod inbox_name {
    use super::{Arc, Deserialize, Deserializer, HopInbox, Serialize, Serializer};

    pub(in crate::correlate::hops) fn serialize<S: Serializer>(
        inbox: &Arc<HopInbox>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        inbox.name.serialize(to)
    }

    pub(in crate::correlate::hops) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<HopInbox>, D::Error> {
        Ok(Arc::new(HopInbox::new(<&str>::deserialize(from)?)))
    }
}
