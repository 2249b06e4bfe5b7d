//! The effect of time on a mail system: summaries that are due, and the end of what is too old.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::mem;

use super::postscreen::SCREENED_AGE;
use super::processes::PROCESS_AGE;
use super::{MailJoins, SETTLE};
use crate::correlate::message::Closing;
use crate::correlate::outcome::Scratch;
use crate::correlate::slab::SlabKey;
use crate::record::ClosedBy;

/// Time in which pickup takes up what `postsuper -r` has put into its directory, in microseconds.
const REQUEUED: i64 = 300_000_000;
/// Number of due times up to which their heap is left as it is.
const FEW_DUE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Message(SlabKey),
    /// A message after a round of attempts.
    Round(SlabKey),
    /// A session that is over.
    Session(SlabKey),
    /// A session that may have come to an end without a line.
    Silence(SlabKey),
    /// A session whose client postscreen may have seen before.
    Screening(SlabKey),
    /// A client of postscreen with a session that is over.
    Screened(SlabKey),
}

/// The time as the lines of the system say. Between them, it goes as the clock of this machine does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JoinClock {
    pub(super) now: i64,
    /// Time of this machine when `now` was set.
    pub(super) read_at: i64,
}

impl JoinClock {
    /// A time in the future, of a clock that is wrong, does not count.
    pub(super) fn advance(&mut self, at: i64, read_at: i64) {
        if at.min(read_at) > self.now {
            *self = Self { now: at.min(read_at), read_at };
        }
    }

    pub(super) fn pass(&mut self, time: i64) {
        if self.now > 0 && time > self.read_at {
            *self = Self { now: self.now + (time - self.read_at), read_at: time };
        }
    }
}

impl MailJoins {
    /// Makes what is due, and closes what is too old: at most `most` summaries.
    pub(super) fn work(&mut self, most: usize, scratch: &mut Scratch) {
        let most = scratch.outcomes().len() + most;
        let has_room = |scratch: &Scratch| scratch.outcomes().len() < most;
        while has_room(scratch)
            && let Some(Reverse((at, due))) = self.due.peek().copied()
            && at <= self.clock.now
        {
            self.due.pop();
            if !self.has(due) {
                continue;
            }
            match due {
                Due::Message(key) => self.settle(key, scratch),
                Due::Round(key) => self.end_round(key, scratch),
                Due::Session(key) => self.end_session(key.slot, scratch),
                Due::Silence(key) => self.end_silent(key, scratch),
                Due::Screening(key) => self.screen_session(key.slot, at - SETTLE),
                Due::Screened(key) => self.end_screened(key.slot, scratch),
            }
        }
        let oldest = self.clock.now - self.budget.max_age();
        while has_room(scratch)
            && let Some(slot) = self.messages.oldest()
            && self.messages.get(slot).is_some_and(|entry| entry.touched < oldest)
        {
            self.close(slot, ClosedBy::Timeout, scratch);
        }
        while has_room(scratch)
            && let Some(slot) = self.processes.oldest()
            && self.processes.get(slot).is_some_and(|entry| entry.touched + PROCESS_AGE < self.clock.now)
        {
            self.end_process(slot, scratch);
        }
        while has_room(scratch)
            && let Some(slot) = self.screened.oldest()
            && self.screened.get(slot).is_some_and(|entry| entry.touched + SCREENED_AGE < self.clock.now)
        {
            self.forget_screened(slot, scratch);
        }
    }

    /// Returns the memory of the due times, in bytes.
    pub(super) fn held_by_due(&self) -> usize {
        self.due.capacity() * size_of::<Reverse<(i64, Due)>>()
    }

    /// Removes the due times of what is gone whenever there are twice as many as after the last time. Each session of a
    /// process adds a time of its silence; the first one leads to the others.
    pub(super) fn fit_due(&mut self) {
        if self.due.len() > self.due_fitted * 2 + FEW_DUE {
            let mut due = mem::take(&mut self.due).into_vec();
            due.retain(|Reverse((_, due))| self.has(*due));
            due.sort_unstable_by_key(|Reverse(due)| *due);
            let mut silent = HashSet::new();
            due.retain(|Reverse((_, due))| match due {
                Due::Silence(key) => silent.insert(key.slot),
                _ => true,
            });
            due.shrink_to_fit();
            (self.due_fitted, self.due) = (due.len(), due.into());
        }
        if self.due.capacity() > FEW_DUE && self.due.len() < self.due.capacity() / 8 {
            self.due.shrink_to(self.due.len() * 2);
            self.due_fitted = self.due.len();
        }
    }

    /// Returns true if the message, process or client of a due time is not gone.
    fn has(&self, due: Due) -> bool {
        match due {
            Due::Message(key) | Due::Round(key) => self.messages.contains(key),
            Due::Session(key) | Due::Silence(key) | Due::Screening(key) => self.processes.contains(key),
            Due::Screened(key) => self.screened.contains(key),
        }
    }

    /// Makes a summary of what late lines have changed, and forgets the message when the grace is over.
    fn settle(&mut self, key: SlabKey, scratch: &mut Scratch) {
        // A message that was taken for abandoned may be open again.
        let Some(entry) = self.messages.get(key.slot) else { return };
        let Some(Closing { at, .. }) = entry.message.closed() else { return };
        let grace = self.budget.settings().grace;
        let grace = if entry.message.is_requeued() { grace.max(REQUEUED) } else { grace };
        let end = at + grace;
        if entry.is_dirty {
            self.summarize(key.slot, scratch);
        }
        if end <= self.clock.now {
            self.forget(key.slot);
        } else {
            self.due.push(Reverse((end, Due::Message(key))));
        }
    }

    /// Makes a summary of an open message after a round of attempts, if recipients are left.
    fn end_round(&mut self, key: SlabKey, scratch: &mut Scratch) {
        let Some(entry) = self.messages.get_mut(key.slot) else { return };
        if entry.message.closed().is_none() && entry.touched + SETTLE > self.clock.now {
            self.due.push(Reverse((entry.touched + SETTLE, Due::Round(key))));
            return;
        }
        entry.in_round = false;
        let attempts = u16::try_from(entry.message.recipients.attempts()).unwrap_or(u16::MAX);
        if entry.message.closed().is_none() && entry.message.recipients.are_left() && attempts > entry.attempts_told {
            entry.attempts_told = attempts;
            self.summarize(key.slot, scratch);
            if let Some(entry) = self.messages.get_mut(key.slot) {
                entry.is_dirty = true;
            }
        }
    }
}
