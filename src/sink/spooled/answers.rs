//! The answers to actions: what the machine learns from what the thread has carried out.

use std::ops::Range;
use std::time::Instant;

use super::action::{ReadBack, SpoolState, StageAction, StageRequest, Why};
use super::item::{DeliveryState, Item, StorageState};
use super::machine::{Life, StageMachine, TurnPhase};
use crate::config::WhenFull;
use crate::spool;

impl<H> StageMachine<H> {
    /// Returns the place of the item that is being appended.
    fn appending(&self) -> usize {
        match self.phase {
            TurnPhase::AppendGiven { from } => from,
            _ => self.given + self.appended,
        }
    }

    pub(super) fn was_appended(&mut self, last: u64, spool: SpoolState) -> Option<StageRequest> {
        let place = self.appending();
        self.spool = spool;
        self.items[place].storage = StorageState::Appended { last };
        if let TurnPhase::AppendGiven { from } = &mut self.phase {
            *from += 1;
            self.given_through = last;
        } else {
            self.appended += 1;
        }
        None
    }

    pub(super) fn was_too_large(&mut self, actions: &mut Vec<StageAction<H>>) -> Option<StageRequest> {
        let place = self.appending();
        if let TurnPhase::AppendGiven { from } = &mut self.phase {
            *from += 1;
            self.items[place].storage = StorageState::TooLarge;
        } else if let Some(item) = self.items.remove(place) {
            actions.push(StageAction::Drop { held: item.held, why: Why::TooLarge });
        }
        None
    }

    /// Takes in the end of a commit. The sink gets the waiting items from memory if they come next, and otherwise from
    /// the disk.
    pub(super) fn committed(
        &mut self,
        now: Instant,
        result: Result<(), spool::Error>,
        spool: SpoolState,
        actions: &mut Vec<StageAction<H>>,
    ) -> Option<StageRequest> {
        let before = std::mem::replace(&mut self.spool, spool);
        self.store_given(actions);
        let is_whole = |item: &Item<H>| item.on_disk(before.durable) == 0;
        let are_next = before.is_read && self.items.get(self.given).is_some_and(is_whole);
        if result.is_ok() && self.appended > 0 && are_next && self.life != Life::Ending {
            for item in self.items.range_mut(self.given..self.given + self.appended) {
                item.storage = item.last().map_or(item.storage, |last| StorageState::Disk { last });
            }
            return Some(StageRequest::Give { count: self.appended });
        }
        self.spool_waiting(before.durable, actions);
        self.skip(actions);
        match result {
            Ok(()) => {}
            Err(full @ spool::Error::Full { .. }) if self.when_full == WhenFull::DropOldest => {
                return Some(StageRequest::Evict { full });
            }
            Err(error) => self.fail(error, self.after_store(now)),
        }
        None
    }

    /// Notes which of the given items are on the disk now.
    fn store_given(&mut self, actions: &mut Vec<StageAction<H>>) {
        let durable = self.spool.durable;
        for (place, item) in self.items.range_mut(..self.given).enumerate() {
            if let StorageState::Appended { last } = item.storage
                && last <= durable
            {
                item.storage = StorageState::Disk { last };
                actions.push(StageAction::Store { place });
            }
        }
    }

    /// Lets go of the waiting items that are on the disk; they will be read back. `before` was the last durable record
    /// before. If the durable part ends within an item, the part on the disk is counted.
    fn spool_waiting(&mut self, before: u64, actions: &mut Vec<StageAction<H>>) {
        let durable = self.spool.durable;
        let waiting = self.items.range(self.given..self.given + self.appended);
        let whole = waiting.take_while(|item| item.last().is_some_and(|last| last <= durable)).count();
        self.appended -= whole;
        actions.extend(self.items.drain(self.given..self.given + whole).map(|item| StageAction::Spool(item.held)));
        if self.appended > 0 {
            let front = &self.items[self.given];
            let records = front.on_disk(durable) - front.on_disk(before);
            if records > 0 {
                actions.push(StageAction::SpoolPart { place: self.given, records });
            }
        }
    }

    /// Skips the unread part of the spool if the sink was given all of it from memory.
    fn skip(&mut self, actions: &mut Vec<StageAction<H>>) {
        if !self.spool.is_read && self.given_through >= self.spool.durable {
            self.spool.is_read = true;
            actions.push(StageAction::Skip);
        }
    }

    pub(super) fn evicted(
        &mut self,
        now: Instant,
        result: Result<Range<u64>, spool::Error>,
        spool: SpoolState,
        actions: &mut Vec<StageAction<H>>,
    ) -> Option<StageRequest> {
        self.spool = spool;
        match result {
            Ok(unread) => {
                let records = unread.end.saturating_sub(unread.start.max(self.given_through + 1));
                if records > 0 {
                    actions.push(StageAction::Lose { records });
                }
                Some(StageRequest::Commit)
            }
            Err(error) => {
                self.fail(error, self.after_store(now));
                None
            }
        }
    }

    pub(super) fn was_given(&mut self, now: Instant, actions: &mut Vec<StageAction<H>>) -> Option<StageRequest> {
        let count = if self.phase == TurnPhase::PassOn { 1 } else { self.appended };
        for item in self.items.range_mut(self.given..self.given + count) {
            item.hand = DeliveryState::Given { since: now };
            if let Some(last) = item.last() {
                self.given_through = last;
                self.appended -= 1;
            }
        }
        self.given += count;
        self.skip(actions);
        None
    }

    pub(super) fn had_no_room(&mut self, actions: &mut Vec<StageAction<H>>) -> Option<StageRequest> {
        match self.phase {
            TurnPhase::PassOn => self.phase = TurnPhase::Flush,
            TurnPhase::Feed => self.phase = TurnPhase::Rest,
            // After a commit: the sink gets the items from the disk.
            _ => self.spool_waiting(self.spool.durable, actions),
        }
        None
    }

    pub(super) fn was_read_back(
        &mut self,
        now: Instant,
        chunk: Option<ReadBack<H>>,
        result: Result<(), spool::Error>,
        spool: SpoolState,
        actions: &mut Vec<StageAction<H>>,
    ) -> Option<StageRequest> {
        actions.push(StageAction::CountDamage);
        self.spool = spool;
        if let Some(ReadBack { held, records, last }) = chunk {
            let hand = DeliveryState::Given { since: now };
            self.items.insert(self.given, Item { records, storage: StorageState::Disk { last }, hand, held });
            self.given += 1;
            self.given_through = last;
        }
        if let Err(error) = result {
            self.fail(error, TurnPhase::Rest);
        }
        None
    }

    pub(super) fn were_queues_closed(&mut self) -> Option<StageRequest> {
        self.phase = if self.life == Life::Failing { TurnPhase::GiveUp } else { TurnPhase::Flush };
        None
    }
}
