//! The step machine: state and events to actions, without I/O, threads and clocks.
//!
//! The items stand in one queue, in the order of arrival. Two counts divide it:
//!
//! ```text
//!  first                     first + given
//!    |                         |
//!    v                         v
//!  [ given . . . . . . . . . ][ appended . . . . ][ in memory . . . . ]
//!    the sink has them         in the buffer       came last
//!                            ^
//!                            the unread part of the spool comes here
//! ```
//!
//! A turn begins when the thread wakes, passes through the [`TurnPhase`]s, and ends with a wait. Each step carries on
//! where the last action ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::action::{SpoolState, StageAction, StageEvent, StageRequest, StopState, WakeFacts};
use super::item::{DeliveryState, Item, StorageState};
use super::spooling::Spooling;
use super::{CURSOR_EVERY, LAST_OUTCOMES};
use crate::config::{SpoolMode, WhenFull};
use crate::spool;

/// State of the stage. `H` is what the thread holds for an item; the machine hands it back and never looks at it.
#[derive(Debug)]
pub(super) struct StageMachine<H> {
    pub(super) mode: SpoolMode,
    pub(super) when_full: WhenFull,
    pub(super) items: VecDeque<Item<H>>,
    /// Number of the first item.
    pub(super) first: u64,
    /// Number of items, from the first, that the sink was given.
    pub(super) given: usize,
    /// Number of items behind those that were appended to the spool.
    pub(super) appended: usize,
    pub(super) spool: SpoolState,
    /// Number of the last record of the spool that the sink was given. Records up to it are skipped when read back.
    pub(super) given_through: u64,
    /// Number of the record up to which the sink has every record of the spool.
    pub(super) done: u64,
    pub(super) life: Life,
    pub(super) phase: TurnPhase,
    pub(super) outside: WakeFacts,
    /// Time when a stop was first seen.
    pub(super) stopping: Option<Instant>,
    /// Time when the sink last delivered an item.
    pub(super) progress: Instant,
    /// Time from which the cursor is written even if it need not move.
    pub(super) checkpoint_due: Instant,
    /// The last error of this turn, or of the end.
    pub(super) trouble: Option<spool::Error>,
    pub(super) spooling: Spooling,
    /// Number of records that the end has dropped.
    pub(super) dropped: u64,
}

/// State of the whole stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Batches come.
    Running,
    /// No batch will come any more; the sink is given what there is.
    Draining,
    /// The sink is given nothing more, and what it lacks goes to the disk.
    Ending,
    /// The disk has failed for good.
    Failing,
}

/// Part of a turn, in order. The first five belong to [`Life::Running`] and [`Life::Draining`], the last three to the
/// end; the two between belong to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnPhase {
    /// The sink is given what need not go to the disk, or cannot because the disk has no room.
    PassOn,
    /// Records that an earlier turn left in the buffer are written.
    Flush,
    /// The items from the place `from` on that the sink has are written if it is behind.
    AppendGiven { from: usize },
    /// The waiting items are written.
    AppendWaiting,
    /// Records are read back from the disk for the sink.
    Feed,
    /// The turn is over.
    Rest,
    /// The queues to and from the stage end.
    CloseQueues,
    /// The last outcomes of the sink may come until this time.
    AwaitOutcomes { until: Instant },
    /// Records that neither the disk nor the sink has are dropped.
    GiveUp,
}

impl<H> StageMachine<H> {
    /// Makes the machine for a spool whose records the sink was not given yet.
    pub(super) fn new(mode: SpoolMode, when_full: WhenFull, spool: SpoolState, now: Instant) -> Self {
        Self {
            mode,
            when_full,
            items: VecDeque::new(),
            first: 0,
            given: 0,
            appended: 0,
            spool,
            given_through: 0,
            done: 0,
            life: Life::Running,
            phase: TurnPhase::Rest,
            outside: WakeFacts { stop: StopState::No, timeout: Duration::MAX, is_sink_gone: false },
            stopping: None,
            progress: now,
            checkpoint_due: now + CURSOR_EVERY,
            trouble: None,
            spooling: Spooling::default(),
            dropped: 0,
        }
    }

    /// Returns the number of the item at `place`, which is given now.
    pub(super) const fn number(&self, place: usize) -> u64 {
        self.first + place as u64
    }

    /// Returns what the thread holds for the item at `place`.
    pub(super) fn held(&mut self, place: usize) -> &mut H {
        &mut self.items[place].held
    }

    /// Returns true if the records of the item at `place` are on the disk.
    pub(super) fn is_on_disk(&self, place: usize) -> bool {
        matches!(self.items[place].storage, StorageState::Disk { .. })
    }

    /// Returns what the thread holds for the item of this number, if it has not left.
    pub(super) fn held_of(&mut self, number: u64) -> Option<&mut H> {
        self.items.get_mut((number - self.first) as usize).map(|item| &mut item.held)
    }

    /// Takes in an event, and appends to `actions` what is to be done, in order. Then the returned request is to be
    /// carried out. There is none after an event that only tells of something.
    pub(super) fn step(
        &mut self,
        now: Instant,
        event: StageEvent<H>,
        actions: &mut Vec<StageAction<H>>,
    ) -> Option<StageRequest> {
        let request = match event {
            StageEvent::Arrived { held, records } => return self.arrived(held, records),
            StageEvent::Ended => return self.ended(),
            StageEvent::Resolved { number, failed } => return self.resolved(number, failed),
            StageEvent::Woke(outside) => self.woke(now, outside, actions),
            StageEvent::Advanced(result) => self.advanced(now, result),
            StageEvent::Appended { last, spool } => self.was_appended(last, spool),
            StageEvent::TooLarge => self.was_too_large(actions),
            StageEvent::Committed { result, spool } => self.committed(now, result, spool, actions),
            StageEvent::Evicted { result, spool } => self.evicted(now, result, spool, actions),
            StageEvent::Given => self.was_given(now, actions),
            StageEvent::NoRoom => self.had_no_room(actions),
            StageEvent::ReadBack { chunk, result, spool } => self.was_read_back(now, chunk, result, spool, actions),
            StageEvent::QueuesClosed => self.were_queues_closed(),
            StageEvent::Closed(result) => Some(self.closed(result, actions)),
        };
        let request = request.unwrap_or_else(|| self.next(now, actions));
        #[cfg(debug_assertions)]
        self.check();
        Some(request)
    }

    fn arrived(&mut self, held: H, records: u64) -> Option<StageRequest> {
        self.items.push_back(Item { records, storage: StorageState::Memory, hand: DeliveryState::Waiting, held });
        None
    }

    fn ended(&mut self) -> Option<StageRequest> {
        if self.life == Life::Running {
            self.life = Life::Draining;
        }
        None
    }

    fn resolved(&mut self, number: u64, failed: u64) -> Option<StageRequest> {
        // An outcome may come when the end has given up the item.
        if let Some(item) = self.items.get_mut((number - self.first) as usize) {
            item.hand = if failed == 0 { DeliveryState::Delivered } else { DeliveryState::Returned };
        }
        None
    }

    fn woke(&mut self, now: Instant, outside: WakeFacts, actions: &mut Vec<StageAction<H>>) -> Option<StageRequest> {
        self.outside = outside;
        if outside.stop != StopState::No {
            self.stopping.get_or_insert(now);
        }
        let before = self.done;
        while self.items.front().is_some_and(|item| item.hand == DeliveryState::Delivered)
            && let Some(item) = self.items.pop_front()
        {
            (self.first, self.given) = (self.first + 1, self.given - 1);
            self.progress = now;
            self.done = item.last().unwrap_or(self.done);
            actions.push(StageAction::Acknowledge(item.held));
        }
        let moved = self.done > before;
        // A stage with little to do writes the cursor, so that few records may come twice.
        let checkpoint = now >= self.checkpoint_due || (!moved && self.given == 0);
        if checkpoint {
            self.checkpoint_due = now + CURSOR_EVERY;
        } else if !moved {
            return self.advanced(now, Ok(()));
        }
        Some(StageRequest::Advance { through: self.done, checkpoint })
    }

    fn advanced(&mut self, now: Instant, result: Result<(), spool::Error>) -> Option<StageRequest> {
        if result.is_err() {
            self.checkpoint_due = now;
        }
        // The end tries again to move the cursor, when it has heard all.
        if matches!(self.life, Life::Running | Life::Draining) {
            if self.must_end(now) {
                self.end();
            } else if let Err(error) = result {
                // A failure to write the cursor does not stop the rest.
                self.fail(error, TurnPhase::PassOn);
            } else {
                self.phase = TurnPhase::PassOn;
            }
        }
        None
    }

    /// Notes an error. The turn goes on with `then`, unless the error is fatal.
    pub(super) fn fail(&mut self, error: spool::Error, then: TurnPhase) {
        let is_fatal = matches!(error, spool::Error::Fatal { .. });
        self.trouble = Some(error);
        self.phase = then;
        if is_fatal && self.life != Life::Ending {
            (self.life, self.phase) = (Life::Failing, TurnPhase::CloseQueues);
        }
    }

    /// Begins the end.
    pub(super) fn end(&mut self) {
        (self.life, self.phase) = (Life::Ending, TurnPhase::CloseQueues);
    }

    /// Returns what follows when everything is on the disk that has to be, or cannot go there.
    pub(super) fn after_store(&self, now: Instant) -> TurnPhase {
        if self.life == Life::Ending {
            TurnPhase::AwaitOutcomes { until: now + LAST_OUTCOMES }
        } else {
            TurnPhase::Feed
        }
    }
}
