//! Messages that are over: a line of theirs that comes again opens no other message.

use std::collections::{HashMap, VecDeque};

use super::line::JoinLine;

/// Maximum number of messages that are over and known by their queue id, for each mail system.
const PAST: usize = 100_000;

/// Hashes of queue ids, with the time of the last line of each.
#[derive(Debug, Default)]
pub(super) struct Past {
    last: HashMap<u64, i64>,
    /// Hashes in the order in which the messages ended.
    order: VecDeque<u64>,
}

impl Past {
    pub(super) fn add(&mut self, id: u64, last_seen: i64) {
        if self.last.insert(id, last_seen).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > PAST
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
    }

    /// Returns true if `line` is about a message that is over. A short queue id may be that of a later message.
    pub(super) fn has(&self, id: u64, line: &JoinLine<'_, '_>) -> bool {
        self.last.get(&id).is_some_and(|last| line.at <= *last || line.postfix.queued_at.is_some())
    }
}
