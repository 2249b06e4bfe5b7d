//! The thread between the queue and the worker of a sink that has a spool.
//!
//! ```text
//! queue --> this thread --> queue of the sink --> worker
//!               |   ^
//!               v   |
//!              spool
//! ```
//!
//! **Always**: every batch goes to the disk first, and then to the sink. **Overflow**: a batch goes to the sink at
//! once, and to the disk only when the sink is behind: the sink's queue has no room, or the oldest batch that the sink
//! was given and has not delivered is older than `BEHIND`. Then the batches in flight in the sink go to the disk first
//! and all later batches behind them, so that the order on the disk is the order of arrival. This lasts until the sink
//! has been given everything that is on the disk.
//!
//! A source that waits for a receipt gets it when its records are on the disk or the sink has them, whichever comes
//! first. The spool's cursor passes a batch when the sink has it and all batches before it.
//!
//! Records that the sink has not delivered by the stop deadline go to the disk too; the next start begins with them.
//! The stop ends early when everything is on the disk and the sink is away: it has delivered nothing for `AWAY`.

mod appended;
mod chunk;
mod end;
mod entrance;
mod given;
mod spooling;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

pub(super) use self::entrance::Entrance;

use self::appended::Appended;
use self::chunk::{Chunk, append};
use self::given::{Given, Owed};
use self::spooling::{News, Spooling};
use super::fault::Fault;
use super::worker::{Control, End};
use crate::buffer::{Batch, Received, Receiver, Sender};
use crate::config::{SpoolMode, WhenFull};
use crate::crash::{crash_point, panic_point};
use crate::ledger::{Reason, SinkLedger};
use crate::poison;
use crate::receipt::{Receipt, Resolved, Ticket};
use crate::spool::{self, Spool};
use crate::throttle::Throttle;

/// Maximum number of batches that share one fdatasync.
const BATCHES_PER_COMMIT: usize = 256;
/// Maximum number of bytes that wait for the disk: the stage writes them before it takes more, because memory holds a
/// copy of them.
const BYTES_PER_COMMIT: u64 = 8 << 20;
/// Interval at which the cursor is written while the sink takes nothing, so that it records which records were durable.
const CURSOR_EVERY: Duration = Duration::from_secs(10);
/// Number of bytes that are read back from the disk at a time.
const CHUNK: usize = 256 << 10;
/// Age of the oldest undelivered batch from which the sink is behind.
const BEHIND: Duration = Duration::from_secs(1);
/// Time without a delivery, during a stop, after which the sink is away and the stop does not wait for it. A quarter of
/// the time of a stop applies if that is less. A broker whose answers take two seconds is not away.
const AWAY: Duration = Duration::from_secs(3);
/// Maximum time between two checks of the sink and the clock.
const TICK: Duration = Duration::from_secs(1);
/// Maximum time between two checks while the sink is behind: room in its queue does not wake this thread.
const TICK_BEHIND: Duration = Duration::from_millis(10);

const GIVEN_UP: &str = "the spool is full, and drops its oldest records";

/// State of the thread.
struct Stage {
    name: String,
    mode: SpoolMode,
    spool: Spool,
    input: Receiver,
    /// The sink's queue; `None` when nothing more is to be given.
    output: Option<Sender>,
    control: Control,
    ledger: Arc<SinkLedger>,
    fault: Fault,
    /// The directory of the spool.
    directory: PathBuf,
    spooling: Spooling,
    /// Time when a stop was first seen.
    stopping: Option<Instant>,
    /// Time when the sink last delivered a batch.
    progress: Instant,
    /// Time when the cursor was last checkpointed.
    saved: Instant,
    /// Batches that neither the sink nor the spool has.
    waiting: VecDeque<Batch>,
    /// Batches in the spool's buffer that are not on the disk, except perhaps a part of the first.
    appended: VecDeque<Appended>,
    /// Batches that the sink was given and has not delivered, or has delivered before an older one.
    given: VecDeque<Given>,
    /// The number of the first batch in `given`.
    first: u64,
    /// Records of the spool up to this number were already given to the sink from memory; they are skipped when read
    /// back.
    passed: u64,
    /// Number of the record up to which the sink has every record of the spool.
    done: u64,
    outcomes: Arc<Mutex<Vec<Resolved>>>,
    /// True if the input has ended.
    closed: bool,
    /// True if an attempt to write `appended` to the disk has failed, perhaps after a part of it.
    in_part: bool,
    /// True if the last attempt to write to the disk failed.
    unwritten: bool,
    /// True if the last attempt to move the cursor failed.
    unsettled: bool,
    when_full: WhenFull,
    losses: Throttle,
    /// Number of damaged records that the ledger has already counted.
    damaged: u64,
}

impl Stage {
    fn run(mut self) -> End {
        self.control.clone().enlist();
        match self.work() {
            Ok(()) => self.finish(),
            Err(reason) => self.fail(reason),
        }
    }

    /// Runs until the input has ended and the sink has everything, or until the stop deadline. The error is fatal.
    fn work(&mut self) -> Result<(), String> {
        let mut pause = None;
        loop {
            self.take(pause.take());
            if !self.waiting.is_empty() {
                panic_point("spool");
            }
            let settled = self.settle();
            if self.control.overdue() || self.has_sink_ended() || self.is_away() {
                return Ok(());
            }
            let moved = match settled {
                Err(spool::Error::Fatal { .. }) => settled,
                // A failure to write the cursor does not stop the rest.
                _ => self.move_on().and(settled),
            };
            self.tell_of_spooling();
            match moved {
                Ok(()) if self.unwritten => {}
                Ok(()) => self.fault.worked(Instant::now()),
                Err(error @ spool::Error::Fatal { .. }) => return Err(error.to_string()),
                Err(error) => pause = Some(self.fault.failed(&error.to_string(), Instant::now())),
            }
            // The end of the queue reaches the worker last: from then on the worker would wait for its destination
            // until the stop deadline.
            let is_read = || self.waiting.is_empty() && self.appended.is_empty() && self.spool.is_read();
            if self.closed && self.given.is_empty() && is_read() {
                return Ok(());
            }
        }
    }

    fn tell_of_spooling(&mut self) {
        let waits = !self.spool.is_read() || (self.is_behind() && self.given.iter().any(|given| given.stored));
        let path = self.directory.display();
        match self.spooling.note(waits, self.spool.durable(), Instant::now()) {
            Some(News::Began) => {
                warn!(
                    sink = self.name,
                    "the sink is behind: its records wait in the spool {path} until it has caught up"
                );
            }
            Some(News::Ended { records, time }) => {
                info!(
                    sink = self.name,
                    records,
                    seconds = time.as_secs(),
                    "the sink has caught up with the spool {path}"
                );
            }
            None => {}
        }
    }

    /// Returns true if the sink ended before its queue, and a stop has begun.
    fn has_sink_ended(&self) -> bool {
        self.control.deadline().is_some() && self.output.as_ref().is_some_and(Sender::is_closed)
    }

    /// Returns true if a stop need not wait for the sink: everything is on the disk, and the sink has taken nothing for
    /// a while.
    fn is_away(&self) -> bool {
        let is_safe = || self.waiting.is_empty() && self.appended.is_empty() && self.given.iter().all(Given::is_safe);
        self.closed && self.left_of(AWAY).is_some_and(|left| left.is_zero()) && is_safe()
    }

    /// Returns, during a stop, the time left until the sink has taken nothing for `time`, or for a quarter of the time
    /// of the stop if that is less.
    fn left_of(&self, time: Duration) -> Option<Duration> {
        let time = time.min(self.control.timeout() / 4);
        self.stopping.map(|stopping| time.saturating_sub(self.progress.max(stopping).elapsed()))
    }

    /// Takes batches from the queue. If earlier batches still wait because there was no room for them, waits for
    /// `pause` instead.
    fn take(&mut self, pause: Option<Duration>) {
        if self.stopping.is_none() && self.control.deadline().is_some() {
            self.stopping = Some(Instant::now());
        }
        let behind = !self.spool.is_read() || self.is_behind();
        let tick = if behind { TICK_BEHIND } else { TICK };
        let has_work = !self.waiting.is_empty() || !self.appended.is_empty();
        if has_work || self.closed || (behind && pause.is_some()) {
            thread::park_timeout(pause.unwrap_or(tick).min(TICK));
            return;
        }
        let is_unwritten = self.given.front().is_some_and(|given| given.last.is_none());
        let time = self.until_behind().filter(|_| is_unwritten).map_or(tick, |time| time.min(tick));
        if self.input.receive(&mut self.waiting, BATCHES_PER_COMMIT, time) == Received::Closed {
            self.closed = true;
        }
    }

    /// Hands batches to the sink, writes to the disk, and reads back, as far as each is possible now.
    fn move_on(&mut self) -> Result<(), spool::Error> {
        self.pass_on();
        // A full spool gets room only through the batches that the sink is given: a failed write does not stop the
        // feed.
        let stored = self.store();
        self.unwritten = stored.is_err() || (self.unwritten && !self.is_written());
        if let Err(spool::Error::Fatal { .. }) = stored {
            return stored;
        }
        self.feed().and(stored)
    }

    /// Returns true if the sink takes batches more slowly than they arrive.
    fn is_behind(&self) -> bool {
        self.until_behind().is_some_and(|time| time.is_zero())
    }

    /// Returns the time until the sink is behind if it delivers nothing until then; `None` if it has nothing to
    /// deliver.
    fn until_behind(&self) -> Option<Duration> {
        let left = BEHIND.saturating_sub(self.given.front()?.since.elapsed());
        Some(self.left_of(BEHIND).map_or(left, |stop| stop.min(left)))
    }

    /// Returns true if every record that was appended to the spool is on the disk.
    fn is_written(&self) -> bool {
        self.spool.figures().buffered_records == 0
    }

    /// Gives the sink the batches that need not go to the disk, or cannot because the disk has no room.
    fn pass_on(&mut self) {
        let Some(output) = self.output.clone() else { return };
        if self.mode != SpoolMode::Overflow {
            return;
        }
        self.store_appended();
        let durable = self.spool.durable();
        while self.spool.is_read() && !self.is_behind() {
            let (size, first) = match (self.appended.front(), self.waiting.front()) {
                (Some(appended), _) => (appended.batch.size(), appended.first()),
                (None, Some(batch)) => (batch.size(), durable + 1),
                (None, None) => return,
            };
            // A batch of which the disk has a part is read back from there.
            let Some(room) = output.try_room(size).filter(|_| first > durable) else { return };
            if let Some(Appended { batch, last, .. }) = self.appended.pop_front() {
                room.send(self.give(batch, None));
                self.passed = last;
                self.given.back_mut().into_iter().for_each(|given| given.last = Some(last));
            } else if let Some(batch) = self.waiting.pop_front() {
                room.send(self.give(batch, None));
            }
        }
    }

    /// Writes the waiting batches to the disk, behind the batches that the sink was given and has not delivered.
    fn store(&mut self) -> Result<(), spool::Error> {
        // Records that an earlier attempt left in the buffer come first.
        self.flush()?;
        if self.is_unwritten() {
            self.append_given()?;
            if self.given.iter().any(Given::is_appended) {
                self.flush()?;
            }
            self.append_waiting()?;
            self.flush()?;
        }
        Ok(())
    }

    /// Flushes the appended records to the disk, or the first part of them.
    fn flush(&mut self) -> Result<(), spool::Error> {
        if self.is_written() && self.appended.is_empty() {
            return Ok(());
        }
        self.in_part &= !self.appended.is_empty();
        // After a failed attempt, some records may be on the disk and read back already.
        let are_next = self.spool.is_read() && !self.in_part;
        self.in_part = true;
        let committed = self.commit();
        if let Err(spool::Error::Fatal { .. }) = committed {
            return committed;
        }
        crash_point("before-receipts");
        self.store_given();
        if committed.is_ok() {
            self.in_part = false;
            self.stored(are_next);
        } else {
            self.store_appended();
        }
        crash_point("after-receipts");
        committed
    }

    /// Marks the batches that the sink was given and that are on the disk now.
    fn store_given(&mut self) {
        let durable = self.spool.durable();
        let on_disk = |given: &&mut Given| given.is_appended() && given.last.is_some_and(|last| last <= durable);
        for given in self.given.iter_mut().filter(on_disk) {
            given.store(&self.ledger);
        }
    }

    /// Removes from `appended` the batches that are on the disk. If the durable part ends within a batch, the part on
    /// the disk is counted, and the batch is read back from there.
    fn store_appended(&mut self) {
        let durable = self.spool.durable();
        while let Some(front) = self.appended.front_mut() {
            front.store(durable);
            if front.last > durable {
                return;
            }
            self.appended.pop_front();
        }
    }

    /// Commits the appended records to the disk. A full spool drops its oldest records to make room, if the
    /// configuration says so.
    fn commit(&mut self) -> Result<(), spool::Error> {
        loop {
            match self.spool.commit() {
                Err(spool::Error::Full { .. })
                    if self.when_full == WhenFull::DropOldest && self.give_up_oldest()? => {}
                committed => return committed,
            }
        }
    }

    /// Drops the oldest records of the spool. Returns false if there are none to drop.
    fn give_up_oldest(&mut self) -> Result<bool, spool::Error> {
        let Some(unread) = self.spool.give_up_oldest()? else { return Ok(false) };
        // The sink has the records up to `passed`.
        let records = unread.end.saturating_sub(unread.start.max(self.passed + 1));
        self.ledger.drop_spooled(records, Reason::SpoolFull);
        if records > 0
            && let Some(earlier) = self.losses.pass_with(records, Instant::now())
        {
            warn!(sink = self.name, records = records + earlier, "{GIVEN_UP}");
        }
        Ok(true)
    }

    /// Returns true if any batch has to go to the disk.
    fn is_unwritten(&self) -> bool {
        let unwritten = self.given.iter().any(|given| given.records.is_some() && given.failed.is_none());
        !self.waiting.is_empty() || (self.is_behind() && unwritten)
    }

    fn append_waiting(&mut self) -> Result<(), spool::Error> {
        while let Some(batch) = self.waiting.pop_front() {
            if chunk::fits(&self.spool, &batch) {
                let last = append(&mut self.spool, &batch);
                self.appended.push_back(Appended::new(batch, last));
                self.flush_if_large()?;
            } else {
                error!(
                    sink = self.name,
                    records = batch.entries().len(),
                    "a record is larger than the spool: raise max_size"
                );
                batch.dropped(Reason::SpoolFull);
            }
        }
        Ok(())
    }

    fn append_given(&mut self) -> Result<(), spool::Error> {
        for index in 0..self.given.len() {
            let given = &mut self.given[index];
            if let (Some(records), None, false) = (&given.records, given.last, given.failed == Some(0))
                && chunk::fits(&self.spool, records)
            {
                self.passed = append(&mut self.spool, records);
                given.last = Some(self.passed);
                self.flush_if_large()?;
            }
        }
        Ok(())
    }

    fn flush_if_large(&mut self) -> Result<(), spool::Error> {
        if self.spool.figures().buffered_bytes >= BYTES_PER_COMMIT { self.flush() } else { Ok(()) }
    }

    /// Handles the appended batches after a complete flush. The sink gets them from memory if they come next and its
    /// queue has room for all of them, and otherwise from the disk.
    fn stored(&mut self, are_next: bool) {
        if self.appended.is_empty() {
            // The sink has every record, and was given them when there was nothing else to read.
            return self.spool.skip();
        }
        let batches = std::mem::take(&mut self.appended);
        let output = self.output.clone().filter(|_| are_next);
        let room = |appended: &Appended| output.as_ref().and_then(|output| output.try_room(appended.batch.size()));
        let rooms: Option<Vec<_>> = batches.iter().map(room).collect();
        let Some(rooms) = rooms else {
            return batches.into_iter().for_each(|appended| appended.batch.spooled());
        };
        for (Appended { batch, last, .. }, room) in batches.into_iter().zip(rooms) {
            room.send(self.give(batch, Some(last)));
        }
        self.spool.skip();
    }

    /// Notes that the sink is given a batch. `last` is the number of its last record in the spool, if the batch is
    /// there.
    fn give(&mut self, mut batch: Batch, last: Option<u64>) -> Batch {
        let durable = last.is_some() || batch.is_awaited();
        let written = last.is_some();
        let receipt = Arc::new(Receipt::of_spool(self.ticket(), durable, written));
        let to_sink = Arc::downgrade(&receipt);
        let owed = batch.exchange_receipt(receipt);
        self.given.push_back(Given {
            since: Instant::now(),
            records: (!written).then(|| batch.records()),
            last,
            owed: if written { None } else { owed.map(Owed::new) },
            failed: None,
            receipt: to_sink,
            stored: written,
            returned: 0,
        });
        batch
    }

    fn ticket(&self) -> Ticket {
        let number = self.first + self.given.len() as u64;
        Ticket { number, outcomes: Arc::clone(&self.outcomes), spool: thread::current() }
    }

    /// Gives the sink the records that are on the disk and that it was not given yet.
    fn feed(&mut self) -> Result<(), spool::Error> {
        let Some(output) = self.output.clone() else { return Ok(()) };
        while !self.spool.is_read() {
            let Some(room) = output.try_room(CHUNK) else { return Ok(()) };
            let (mut chunk, passed) = (Chunk::default(), self.passed);
            let read = self.spool.read(CHUNK, |record| {
                // The sink must not get a record twice that it was given from memory.
                if record.seq > passed {
                    chunk.push(&record);
                }
            });
            self.count_damage();
            // Records that were read before an error are handed on first.
            let Some(last) = chunk.last else {
                read?;
                continue;
            };
            let receipt = Arc::new(Receipt::of_spool(self.ticket(), true, true));
            let to_sink = Arc::downgrade(&receipt);
            let batch = chunk.batch(&self.ledger, receipt);
            self.given.push_back(Given {
                since: Instant::now(),
                records: None,
                last: Some(last),
                owed: None,
                failed: None,
                receipt: to_sink,
                stored: true,
                returned: 0,
            });
            room.send(batch);
            crash_point("after-hand-over");
            read?;
        }
        Ok(())
    }

    fn count_damage(&mut self) {
        let damaged = self.spool.figures().damaged_records;
        self.ledger.drop_spooled(damaged - self.damaged, Reason::Damaged);
        self.damaged = damaged;
    }

    /// Takes in the outcomes that the sink reports, and moves the cursor past the batches that are delivered.
    fn settle(&mut self) -> Result<(), spool::Error> {
        let outcomes = std::mem::take(&mut *poison::ignore(self.outcomes.lock()));
        for resolved in outcomes {
            if let Some(given) = self.given.get_mut((resolved.number - self.first) as usize) {
                given.resolve(resolved, &self.ledger);
            }
        }
        let before = self.done;
        while self.given.front().is_some_and(|given| given.failed == Some(0)) {
            let Some(mut given) = self.given.pop_front() else { break };
            self.first += 1;
            self.progress = Instant::now();
            self.done = given.last.unwrap_or(self.done);
            given.pay();
        }
        let moved = self.done > before;
        if moved {
            crash_point("before-acknowledge");
        }
        let due = self.saved.elapsed() >= CURSOR_EVERY;
        let settled = if self.unsettled || due || (!moved && self.given.is_empty()) {
            // A stage with little to do checkpoints the cursor, so that few records may come twice.
            self.saved = Instant::now();
            self.spool.acknowledge(self.done).and_then(|()| self.spool.checkpoint())
        } else if moved {
            self.spool.acknowledge(self.done)
        } else {
            Ok(())
        };
        self.unsettled = settled.is_err();
        settled
    }
}
