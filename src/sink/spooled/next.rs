//! The decisions: what the stage does next, from its state and the time.

use std::time::{Duration, Instant};

use super::action::{StageAction, StageRequest, StageWait, StopState, Why};
use super::item::{DeliveryState, Item, StorageState};
use super::machine::{Life, StageMachine, TurnPhase};
use super::{AWAY, BEHIND, BYTES_PER_COMMIT, TICK, TICK_BEHIND};
use crate::config::SpoolMode;
use crate::spool;

impl<H> StageMachine<H> {
    /// Returns the next action that has an answer. A phase in which nothing is left to do gives none, and the next
    /// phase begins.
    pub(super) fn next(&mut self, now: Instant, actions: &mut Vec<StageAction<H>>) -> StageRequest {
        loop {
            let action = match self.phase {
                TurnPhase::PassOn => self.pass_on(now),
                TurnPhase::Flush => self.flush(now),
                TurnPhase::AppendGiven { from } => self.append_given(from),
                TurnPhase::AppendWaiting => self.append_waiting(now),
                TurnPhase::Feed => self.feed(),
                TurnPhase::Rest => self.rest(now, actions),
                TurnPhase::CloseQueues => {
                    Some(StageRequest::CloseQueues { stop_now: self.life == Life::Ending && self.given > 0 })
                }
                TurnPhase::AwaitOutcomes { until } => Some(self.await_outcomes(now, until)),
                TurnPhase::GiveUp => Some(self.give_up(actions)),
            };
            if let Some(action) = action {
                return action;
            }
        }
    }

    /// Gives the sink the waiting items that need not go to the disk, or cannot because the disk has no room.
    fn pass_on(&mut self, now: Instant) -> Option<StageRequest> {
        // An item of which the disk has a part is read back from there.
        let is_whole = |item: &Item<H>| item.on_disk(self.spool.durable) == 0;
        let is_next = self.spool.is_read && self.items.get(self.given).is_some_and(is_whole);
        if self.mode == SpoolMode::Overflow && is_next && !self.is_behind(now) {
            return Some(StageRequest::Give { count: 1 });
        }
        self.phase = TurnPhase::Flush;
        None
    }

    /// Writes what an earlier attempt left in the buffer.
    fn flush(&mut self, now: Instant) -> Option<StageRequest> {
        if self.spool.buffered > 0 {
            return Some(StageRequest::Commit);
        }
        self.phase = if self.life == Life::Ending || self.must_store(now) {
            TurnPhase::AppendGiven { from: 0 }
        } else {
            self.after_store(now)
        };
        None
    }

    /// Appends the items that the sink has, so that the order on the disk is the order of arrival.
    fn append_given(&mut self, from: usize) -> Option<StageRequest> {
        if self.spool.buffered >= BYTES_PER_COMMIT {
            return Some(StageRequest::Commit);
        }
        let mut given = self.items.range(from..self.given);
        if let Some(place) = given.position(Item::can_be_appended).map(|place| from + place) {
            self.phase = TurnPhase::AppendGiven { from: place };
            return Some(StageRequest::Append { place });
        }
        self.phase = TurnPhase::AppendGiven { from: self.given };
        if self.spool.buffered > 0 {
            return Some(StageRequest::Commit);
        }
        self.phase = TurnPhase::AppendWaiting;
        None
    }

    fn append_waiting(&mut self, now: Instant) -> Option<StageRequest> {
        let place = self.given + self.appended;
        if place < self.items.len() && self.spool.buffered < BYTES_PER_COMMIT {
            return Some(StageRequest::Append { place });
        }
        if self.spool.buffered > 0 {
            return Some(StageRequest::Commit);
        }
        self.phase = self.after_store(now);
        None
    }

    /// Reads back what the sink was not given yet.
    fn feed(&mut self) -> Option<StageRequest> {
        if !self.spool.is_read {
            return Some(StageRequest::ReadBack { after: self.given_through });
        }
        self.phase = TurnPhase::Rest;
        None
    }

    /// Ends the turn with a wait, or begins the end if everything is done.
    fn rest(&mut self, now: Instant, actions: &mut Vec<StageAction<H>>) -> Option<StageRequest> {
        let is_stored = |item: &Item<H>| matches!(item.storage, StorageState::Disk { .. });
        let waits = !self.spool.is_read || (self.is_behind(now) && self.items.iter().any(is_stored));
        actions.extend(self.spooling.note(waits, self.spool.durable, now).map(StageAction::Tell));
        let trouble = self.trouble.take();
        let has_failed = trouble.is_some();
        actions.push(StageAction::NoteResult(trouble));
        // The end of the queue reaches the worker last: from then on the worker would wait for its destination until
        // the stop deadline.
        if self.life == Life::Draining && self.items.is_empty() && self.spool.is_read {
            self.end();
            return None;
        }
        Some(StageRequest::Wait(self.wait(now, has_failed)))
    }

    fn wait(&self, now: Instant, has_failed: bool) -> StageWait {
        let behind = !self.spool.is_read || self.is_behind(now);
        let tick = if behind { TICK_BEHIND } else { TICK };
        let has_work = self.items.len() > self.given;
        if has_work || self.life == Life::Draining || (behind && has_failed) {
            return if has_failed { StageWait::BackOff } else { StageWait::ForTime(tick) };
        }
        let is_in_memory = self.items.front().is_some_and(|item| item.last().is_none());
        StageWait::ForBatches(self.until_behind(now).filter(|_| is_in_memory).map_or(tick, |time| time.min(tick)))
    }

    /// Waits a moment for the last outcomes: records that the sink has need not come again.
    fn await_outcomes(&mut self, now: Instant, until: Instant) -> StageRequest {
        let is_open = |item: &Item<H>| matches!(item.hand, DeliveryState::Given { .. });
        if now < until && self.items.range(..self.given).any(is_open) {
            return StageRequest::Wait(StageWait::ForTime(until - now));
        }
        // Giving up is a step of its own: the actions of this step may name places of items.
        self.phase = TurnPhase::GiveUp;
        StageRequest::Wait(StageWait::ForTime(Duration::ZERO))
    }

    /// Drops the records that neither the sink nor the disk has. Their sources get a failure.
    fn give_up(&mut self, actions: &mut Vec<StageAction<H>>) -> StageRequest {
        let durable = self.spool.durable;
        for item in self.items.drain(..) {
            let (is_safe, stored) = (item.is_safe(), item.on_disk(durable));
            if !is_safe {
                self.dropped += item.records - stored;
            }
            actions.push(match item.hand {
                DeliveryState::Waiting => StageAction::Drop { held: item.held, why: Why::Stop },
                _ if is_safe => StageAction::Acknowledge(item.held),
                _ => StageAction::Abandon { held: item.held, stored },
            });
        }
        (self.given, self.appended) = (0, 0);
        match self.trouble.take_if(|_| self.life == Life::Failing) {
            Some(error) => StageRequest::End(Err(error)),
            None => StageRequest::Close { through: self.done },
        }
    }

    /// Takes in the end of the spool.
    pub(super) fn closed(
        &mut self,
        result: Result<(), spool::Error>,
        actions: &mut Vec<StageAction<H>>,
    ) -> StageRequest {
        let stored = self.trouble.take();
        let is_fatal = |error: &&spool::Error| matches!(error, spool::Error::Fatal { .. });
        let fatal = stored.as_ref().filter(is_fatal).or_else(|| result.as_ref().err().filter(is_fatal)).cloned();
        actions.push(StageAction::Report { dropped: self.dropped, stored, settled: result.err() });
        StageRequest::End(fatal.map_or(Ok(()), Err))
    }

    /// Returns true if any item has to go to the disk.
    fn must_store(&self, now: Instant) -> bool {
        let is_in_memory =
            |item: &Item<H>| item.storage == StorageState::Memory && matches!(item.hand, DeliveryState::Given { .. });
        self.items.len() > self.given || (self.is_behind(now) && self.items.range(..self.given).any(is_in_memory))
    }

    /// Returns true if the sink takes batches more slowly than they arrive.
    fn is_behind(&self, now: Instant) -> bool {
        self.until_behind(now).is_some_and(|time| time.is_zero())
    }

    /// Returns true if the end has to begin: the stop deadline has passed, the sink has ended, or is away.
    pub(super) fn must_end(&self, now: Instant) -> bool {
        match self.outside.stop {
            StopState::No => false,
            StopState::Overdue => true,
            StopState::Begun => self.outside.is_sink_gone || self.is_away(now),
        }
    }

    /// Returns true if a stop need not wait for the sink: everything is on the disk, and the sink has taken nothing for
    /// a while.
    fn is_away(&self, now: Instant) -> bool {
        let is_safe = || self.items.len() == self.given && self.items.iter().all(Item::is_safe);
        self.life == Life::Draining && self.left_of(AWAY, now).is_some_and(|left| left.is_zero()) && is_safe()
    }

    /// Returns, during a stop, the time left until the sink has taken nothing for `time`, or for a quarter of the time
    /// of the stop if that is less.
    fn left_of(&self, time: Duration, now: Instant) -> Option<Duration> {
        let time = time.min(self.outside.timeout / 4);
        self.stopping.map(|stopping| time.saturating_sub(now.duration_since(self.progress.max(stopping))))
    }

    /// Returns the time until the sink is behind if it delivers nothing until then; `None` if it has nothing to
    /// deliver.
    fn until_behind(&self, now: Instant) -> Option<Duration> {
        let left = match self.items.front()?.hand {
            DeliveryState::Waiting => return None,
            DeliveryState::Given { since } => BEHIND.saturating_sub(now.duration_since(since)),
            // The rest has to go to the disk.
            DeliveryState::Delivered | DeliveryState::Returned => Duration::ZERO,
        };
        Some(self.left_of(BEHIND, now).map_or(left, |stop| stop.min(left)))
    }
}
