//! The thread: carries out what the machine decides, and tells it what happened.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::action::{
    ReadBack, SpoolState, StageAction, StageEvent, StageRequest, StageWait, StopState, WakeFacts, Why,
};
use super::chunk::{self, ReadRecords};
use super::held::{GivenBatch, Held};
use super::machine::StageMachine;
use super::spooling::News;
use super::{BATCHES_PER_COMMIT, CHUNK, GIVEN_UP, LAST_SENDERS, TICK, TICK_BEHIND};
use crate::buffer::{Batch, Received, Receiver, Sender};
use crate::crash::{crash_point, panic_point};
use crate::ledger::{Reason, SinkLedger, SpoolCopy, SpoolOutcome, SpoolReceipt};
use crate::poison;
use crate::receipt::{Resolved, Ticket};
use crate::sink::fault::DestinationFaults;
use crate::sink::worker::{Control, WorkerEnd};
use crate::spool::{self, Disk, Spool, Storage};
use crate::throttle::Throttle;

/// The thread and what it works with.
pub(super) struct Stage<S: Storage = Disk> {
    pub(super) name: String,
    /// The directory of the spool.
    pub(super) directory: PathBuf,
    pub(super) machine: StageMachine<Held>,
    pub(super) spool: Spool<S>,
    pub(super) input: Receiver,
    /// The sink's queue; `None` when nothing more is to be given.
    pub(super) output: Option<Sender>,
    pub(super) control: Control,
    pub(super) ledger: Arc<SinkLedger>,
    pub(super) outcomes: Arc<Mutex<Vec<Resolved<SpoolOutcome>>>>,
    /// Room for the batches of one call of [`Receiver::receive`].
    pub(super) batches: VecDeque<Batch>,
    pub(super) fault: DestinationFaults,
    /// Time to wait after the last error.
    pub(super) pause: Duration,
    pub(super) losses: Throttle,
    /// Number of damaged records that the ledger has already counted.
    pub(super) damaged: u64,
}

impl<S: Storage> Stage<S> {
    /// Runs until the input has ended and the sink has everything, or until the stop deadline.
    pub(super) fn run(mut self) -> WorkerEnd {
        self.control.clone().enlist();
        let (mut event, mut actions) = (StageEvent::Woke(self.outside()), Vec::new());
        loop {
            let now = Instant::now();
            let is_stored = matches!(event, StageEvent::Committed { .. });
            let request = self.machine.step(now, event, &mut actions);
            for action in actions.drain(..) {
                self.carry_out(action, now);
            }
            if is_stored && !matches!(request, Some(StageRequest::Give { .. })) {
                crash_point("after-receipts");
            }
            event = match request {
                Some(StageRequest::Wait(wait)) => self.wait(wait),
                Some(StageRequest::End(Err(error))) => return WorkerEnd::Failed(error.to_string()),
                Some(StageRequest::End(Ok(()))) | None => return WorkerEnd::Finished,
                Some(request) => self.answer(request),
            };
        }
    }

    /// Waits, and tells the machine what came meanwhile.
    fn wait(&mut self, wait: StageWait) -> StageEvent<Held> {
        self.show_size();
        match wait {
            StageWait::ForBatches(time) => self.receive(time),
            StageWait::ForTime(time) => thread::park_timeout(time),
            StageWait::BackOff => thread::park_timeout(self.pause.min(TICK)),
        }
        self.take_outcomes();
        StageEvent::Woke(self.outside())
    }

    /// Takes batches from the queue, and waits at most for `time` until one comes.
    pub(super) fn receive(&mut self, time: Duration) {
        let mut batches = std::mem::take(&mut self.batches);
        let received = self.input.receive(&mut batches, BATCHES_PER_COMMIT, time);
        if !batches.is_empty() {
            panic_point("spool");
        }
        for batch in batches.drain(..) {
            // A batch has less than 4 GiB.
            let records = batch.entries().len() as u64;
            self.tell(StageEvent::Arrived { held: Held::new(batch), records });
        }
        self.batches = batches;
        if received == Received::Closed {
            self.tell(StageEvent::Ended);
        }
    }

    /// Takes in the outcomes that the sink reports.
    pub(super) fn take_outcomes(&mut self) {
        let outcomes = std::mem::take(&mut *poison::ignore(self.outcomes.lock()));
        for Resolved { number, outcome } in outcomes {
            if let Some(held) = self.machine.held_of(number) {
                held.resolve(outcome, &self.ledger);
            }
            self.tell(StageEvent::Resolved { number, failed: outcome.failed });
        }
    }

    pub(super) fn outside(&self) -> WakeFacts {
        let stop = match self.control.deadline() {
            None => StopState::No,
            Some(_) if self.control.overdue() => StopState::Overdue,
            Some(_) => StopState::Begun,
        };
        let is_sink_gone = self.output.as_ref().is_some_and(Sender::is_closed);
        WakeFacts { stop, timeout: self.control.timeout(), is_sink_gone }
    }

    /// Tells the machine of an event after which nothing is to be done.
    fn tell(&mut self, event: StageEvent<Held>) {
        let request = self.machine.step(Instant::now(), event, &mut Vec::new());
        debug_assert!(request.is_none(), "{request:?}");
    }

    /// Carries out an action.
    pub(super) fn carry_out(&mut self, action: StageAction<Held>, now: Instant) {
        match action {
            StageAction::Acknowledge(mut held) => held.acknowledge(),
            StageAction::Store { place } => self.machine.held(place).store(&self.ledger),
            StageAction::Spool(held) => held.spool(),
            StageAction::SpoolPart { place, records } => self.machine.held(place).spool_part(records),
            StageAction::Drop { held, why: Why::Stop } => held.drop(Reason::Shutdown),
            StageAction::Drop { held, why: Why::TooLarge } => {
                let records = held.records().map(|records| records.entries().len());
                error!(sink = self.name, records, "dropped records: one is larger than the spool; raise max_size");
                held.drop(Reason::SpoolFull);
            }
            StageAction::Abandon { held, stored } => held.abandon(stored, &self.ledger),
            StageAction::Lose { records } => self.lose(records, now),
            StageAction::CountDamage => self.count_damage(),
            StageAction::Skip => self.spool.skip(),
            StageAction::Tell(news) => self.tell_of_spooling(news),
            StageAction::NoteResult(None) => self.fault.worked(now),
            StageAction::NoteResult(Some(error)) => self.pause = self.fault.failed(&error.to_string(), now),
            StageAction::Report { dropped, stored, settled } => self.report(dropped, stored.as_ref(), settled.as_ref()),
        }
    }

    /// Carries out a request, but for a wait and the end, and returns its answer.
    pub(super) fn answer(&mut self, request: StageRequest) -> StageEvent<Held> {
        match request {
            StageRequest::Advance { through, checkpoint } => StageEvent::Advanced(self.advance(through, checkpoint)),
            StageRequest::Append { place } => self.append(place),
            StageRequest::Commit => {
                let result = self.spool.commit();
                if !matches!(result, Err(spool::Error::Fatal { .. })) {
                    crash_point("before-receipts");
                }
                StageEvent::Committed { result, spool: state(&self.spool) }
            }
            StageRequest::Evict { full } => {
                let result = self.spool.give_up_oldest().and_then(|unread| unread.ok_or(full));
                StageEvent::Evicted { result, spool: state(&self.spool) }
            }
            StageRequest::Give { count } => self.give(count),
            StageRequest::ReadBack { after } => self.read_back(after),
            StageRequest::CloseQueues { stop_now } => self.close_queues(stop_now),
            StageRequest::Close { through } => StageEvent::Closed(self.close(through)),
            StageRequest::Wait(_) | StageRequest::End(_) => StageEvent::Woke(self.outside()),
        }
    }

    fn advance(&mut self, through: u64, checkpoint: bool) -> Result<(), spool::Error> {
        if through > self.spool.acknowledged() {
            crash_point("before-acknowledge");
        }
        self.spool.acknowledge(through)?;
        if checkpoint { self.spool.checkpoint() } else { Ok(()) }
    }

    fn append(&mut self, place: usize) -> StageEvent<Held> {
        let Self { machine, spool, .. } = self;
        match machine.held(place).records() {
            Some(records) if chunk::fits(spool, records) => {
                let last = chunk::append(spool, records);
                StageEvent::Appended { last, spool: state(spool) }
            }
            _ => StageEvent::TooLarge,
        }
    }

    fn give(&mut self, count: usize) -> StageEvent<Held> {
        let Self { machine, output: Some(output), outcomes, .. } = self else { return StageEvent::NoRoom };
        let first = machine.given;
        let stored = machine.is_on_disk(first);
        let mut room = |place| machine.held(place).records().and_then(|records| output.try_room(records.size()));
        let Some(front) = room(first) else { return StageEvent::NoRoom };
        let others: Option<Vec<_>> = (first + 1..first + count).map(room).collect();
        let Some(others) = others else { return StageEvent::NoRoom };
        for (place, room) in (first..).zip([front].into_iter().chain(others)) {
            let ticket = ticket(machine.number(place), outcomes);
            if let Some(batch) = machine.held(place).give(ticket, stored) {
                room.send(batch);
            }
        }
        if stored {
            crash_point("after-receipts");
        }
        StageEvent::Given
    }

    fn read_back(&mut self, after: u64) -> StageEvent<Held> {
        let Self { machine, spool, output: Some(output), outcomes, .. } = self else { return StageEvent::NoRoom };
        let Some(room) = output.try_room(CHUNK) else { return StageEvent::NoRoom };
        let mut chunk = ReadRecords::default();
        let result = spool.read(CHUNK, |record| {
            // The sink must not get a record twice that it was given from memory.
            if record.seq > after {
                chunk.push(&record);
            }
        });
        // Records that were read before an error are handed on first.
        let chunk = chunk.last.map(|last| {
            let receipt = Arc::new(SpoolReceipt::new(ticket(machine.number(machine.given), outcomes), SpoolCopy::Disk));
            let held = Held::Given(GivenBatch::from_disk(Arc::downgrade(&receipt)));
            let records = chunk.entries.len() as u64;
            room.send(chunk.batch(&self.ledger, receipt));
            crash_point("after-hand-over");
            ReadBack { held, records, last }
        });
        StageEvent::ReadBack { chunk, result: result.map(drop), spool: state(spool) }
    }

    fn count_damage(&mut self) {
        let damaged = self.spool.figures().damaged_records;
        self.ledger.drop_spooled(damaged - self.damaged, Reason::Damaged);
        self.damaged = damaged;
    }

    /// Ends both queues. A sender that already has room may still use it.
    fn close_queues(&mut self, stop_now: bool) -> StageEvent<Held> {
        if stop_now {
            // The worker must learn this before it sees the end of its queue: there it would wait for its destination
            // until the stop deadline.
            self.control.stop_now();
        }
        self.output = None;
        self.input.close();
        let until = Instant::now() + LAST_SENDERS;
        while self.input.receive(&mut self.batches, BATCHES_PER_COMMIT, TICK_BEHIND) != Received::Closed
            && Instant::now() < until
        {}
        self.receive(Duration::ZERO);
        StageEvent::QueuesClosed
    }

    /// Moves the cursor also past delivered records that the sink got from memory before the disk had them.
    fn close(&mut self, through: u64) -> Result<(), spool::Error> {
        self.spool.acknowledge(through)?;
        while self.spool.acknowledged() < through && !self.spool.is_read() {
            self.spool.read(1, |_| ())?;
            self.count_damage();
            self.spool.acknowledge(through)?;
        }
        self.spool.checkpoint()
    }

    fn lose(&self, records: u64, now: Instant) {
        self.ledger.drop_spooled(records, Reason::SpoolFull);
        if let Some(earlier) = self.losses.pass_with(records, now) {
            warn!(sink = self.name, records = records + earlier, "{GIVEN_UP}");
        }
    }

    fn tell_of_spooling(&self, news: News) {
        let path = self.directory.display();
        match news {
            News::Began => warn!(
                sink = self.name,
                "the sink is behind: its records wait in the spool {path} until it has caught up"
            ),
            News::Ended { records, time } => info!(
                sink = self.name,
                records,
                seconds = time.as_secs(),
                "the sink has caught up with the spool {path}"
            ),
        }
    }

    /// Shows the size of the segment files in the ledger.
    fn show_size(&self) {
        self.ledger.spool_bytes.store(self.spool.figures().disk_bytes, Relaxed);
    }

    fn report(&self, dropped: u64, stored: Option<&spool::Error>, settled: Option<&spool::Error>) {
        self.show_size();
        let records = self.ledger.counts().at_the_end().spooled;
        if records > 0 {
            info!(sink = self.name, records, "the spool keeps undelivered records for the next start");
        }
        if dropped > 0 {
            let reason = stored.map_or_else(|| "not stored".to_owned(), ToString::to_string);
            warn!(
                sink = self.name,
                records = dropped,
                "{reason}; dropped records that the spool could not store before the stop"
            );
        }
        let is_fatal = |error: &spool::Error| matches!(error, spool::Error::Fatal { .. });
        if let Some(error) = settled
            && !is_fatal(error)
            && !stored.is_some_and(is_fatal)
        {
            warn!(sink = self.name, "{error}; after the next start, the sink gets some delivered records again");
        }
    }
}

fn ticket(number: u64, outcomes: &Arc<Mutex<Vec<Resolved<SpoolOutcome>>>>) -> Ticket<SpoolOutcome> {
    Ticket { number, outcomes: Arc::clone(outcomes), waiter: thread::current() }
}

/// Returns the state of the spool, as the machine knows it.
pub(super) fn state<S: Storage>(spool: &Spool<S>) -> SpoolState {
    let buffered = spool.figures().buffered_bytes;
    SpoolState { durable: spool.durable(), is_read: spool.is_read(), buffered }
}
