//! The thread around a sink: takes batches from the queue, retries failed writes, and ends by the stop deadline.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, warn};

use super::fault::{DestinationFaults, OutageReport};
use super::{Error, Sink, Turn};
use crate::buffer::{Batch, Received, Receiver};
use crate::crash::panic_point;
use crate::ledger::{Reason, SinkLedger};
use crate::panics;
use crate::poison;

/// Maximum number of batches in one call of [`Sink::write`], which share one fsync or one system call.
const BATCHES_PER_WRITE: usize = 256;
/// Coalescing window: if a batch arrives within this time of the last write, the worker waits as long again, so that
/// one write covers several batches. In a busy stream, one wake-up for each batch costs more than some of the stages
/// (benches/RESULTS.md).
const GATHER: Duration = Duration::from_micros(500);
/// Number of pending batches at which the worker skips that wait.
const GATHERED: usize = 16;
/// Minimum free room in the queue, in bytes, for that wait. With less room, producers are about to block or drop and
/// need the write now.
const GATHER_ROOM: usize = 2 << 20;
/// Maximum time between two calls of [`Sink::tick`].
const TICK: Duration = Duration::from_secs(1);
/// Maximum time that a sender which already has room may take to use it when the worker ends.
const LAST_SENDERS: Duration = Duration::from_secs(1);

/// Handle that tells the threads of a sink to stop or to reopen, and that has their outages. Clones share one state.
#[derive(Clone, Debug)]
pub struct Control(Arc<ControlState>);

#[derive(Debug)]
struct ControlState {
    time: Mutex<Time>,
    reopens: AtomicU64,
    workers: Mutex<Vec<Thread>>,
    destination: OutageReport,
    spool: OutageReport,
}

/// The time that a stop may take.
#[derive(Clone, Copy, Debug)]
struct Time {
    timeout: Duration,
    /// The stop deadline; `None` before the stop begins.
    deadline: Option<Instant>,
}

/// Reason why the thread of a sink ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// Every sender was gone, or the stop deadline passed. Every batch is resolved.
    Finished,
    /// The reader of the output has gone: a reason to stop quietly.
    Closed(String),
    /// The sink cannot go on: a reason to stop with an error (exit code 74). The text is for the operator.
    Failed(String),
}

/// A sink at work.
#[derive(Debug)]
pub struct Worker {
    name: String,
    end: oneshot::Receiver<WorkerEnd>,
}

/// Starts a thread named `sink-NAME` that runs `sink` when its turn comes.
pub fn start<S: Sink + 'static>(
    sink: S,
    name: &str,
    receiver: Receiver,
    turn: Turn,
    control: &Control,
    ledger: &Arc<SinkLedger>,
) -> Result<Worker, String> {
    let (control, ledger, sink_name) = (control.clone(), Arc::clone(ledger), name.to_owned());
    spawn(format!("sink-{name}"), name, move || {
        // If the turn never comes, the pending batches are dropped and counted.
        turn.wait(&control);
        let (end, sink) = run_with(sink, receiver, &control, &ledger, &sink_name);
        (end, (sink, turn))
    })
}

/// Starts a thread that works for the sink called `name`. The second value that `work` returns is dropped after the end
/// is reported: [`Worker::ended`] does not wait for that drop, but the thread with the next turn does.
pub(super) fn spawn<T>(
    thread_name: String,
    name: &str,
    work: impl FnOnce() -> (WorkerEnd, T) + Send + 'static,
) -> Result<Worker, String> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name(thread_name.clone())
        .spawn(move || {
            let work = panics::catch(AssertUnwindSafe(work)).map_err(|panic| {
                WorkerEnd::Failed(format!(
                    "its thread {thread_name} panicked; this is a defect in Postrider, please report it: {panic}"
                ))
            });
            // No receiver is left if the program is exiting already.
            match work {
                Ok((end, rest)) => {
                    let _ = ended.send(end);
                    drop(rest);
                }
                Err(end) => drop(ended.send(end)),
            }
        })
        .map_err(|error| format!("cannot start a thread for the sink {name}: {error}"))?;
    Ok(Worker { name: name.to_owned(), end })
}

/// Moves batches from `receiver` to `sink` on this thread. It ends when every sender is gone and the queue is empty,
/// when the stop deadline passes, or when the sink cannot continue. Every batch of the queue is resolved then; records
/// that did not reach the destination are dropped with [`Reason::Shutdown`].
pub fn run<S: Sink>(sink: S, receiver: Receiver, control: &Control, ledger: &Arc<SinkLedger>, name: &str) -> WorkerEnd {
    run_with(sink, receiver, control, ledger, name).0
}

/// Like [`run`], and returns the sink too.
fn run_with<S: Sink>(
    sink: S,
    receiver: Receiver,
    control: &Control,
    ledger: &Arc<SinkLedger>,
    name: &str,
) -> (WorkerEnd, S) {
    control.enlist();
    let mut run = WorkerRun {
        sink,
        receiver,
        control,
        ledger,
        pending: VecDeque::new(),
        fault: DestinationFaults::new(name, control.destination().clone()),
        reopens: control.0.reopens.load(Relaxed),
        ticked: Instant::now(),
        written: Instant::now(),
    };
    let end = run.work();
    run.finish(end, name)
}

struct WorkerRun<'c, S> {
    sink: S,
    receiver: Receiver,
    control: &'c Control,
    ledger: &'c SinkLedger,
    pending: VecDeque<Batch>,
    fault: DestinationFaults,
    reopens: u64,
    ticked: Instant,
    /// Time when the last write ended.
    written: Instant,
}

// === impl Control ===

impl Control {
    /// Makes a handle whose stop may take `timeout`, from [`Control::stop`] to the last flush.
    pub fn new(timeout: Duration) -> Self {
        Self(Arc::new(ControlState {
            time: Mutex::new(Time { timeout, deadline: None }),
            reopens: AtomicU64::new(0),
            workers: Mutex::default(),
            destination: OutageReport::default(),
            spool: OutageReport::default(),
        }))
    }

    /// Returns the report on the outages of the destination.
    pub fn destination(&self) -> &OutageReport {
        &self.0.destination
    }

    /// Returns the report on the outages of the disk of the spool.
    pub fn spool(&self) -> &OutageReport {
        &self.0.spool
    }

    /// Sets the time that a stop may take from now on.
    pub fn set_timeout(&self, timeout: Duration) {
        self.time().timeout = timeout;
    }

    /// Begins the stop and sets its deadline; a second call can only bring the deadline nearer. A worker goes on until
    /// every sender of its queue is gone and every batch is handed over, or until the deadline.
    pub fn stop(&self) {
        {
            let mut time = self.time();
            let end = Instant::now() + time.timeout;
            time.deadline = Some(time.deadline.map_or(end, |deadline| deadline.min(end)));
        }
        self.wake();
    }

    /// Moves the stop deadline to now, because there is nothing to wait for.
    pub(super) fn stop_now(&self) {
        self.set_timeout(Duration::ZERO);
        self.stop();
    }

    /// Returns the time that a stop may take.
    pub(super) fn timeout(&self) -> Duration {
        self.time().timeout
    }

    /// Tells every sink to close its files; the next write opens them again.
    pub fn reopen(&self) {
        self.0.reopens.fetch_add(1, Relaxed);
        self.wake();
    }

    /// Returns the stop deadline, or `None` before the stop begins.
    pub fn deadline(&self) -> Option<Instant> {
        self.time().deadline
    }

    fn deadline_from_now(&self) -> Instant {
        let mut time = self.time();
        let timeout = time.timeout;
        *time.deadline.get_or_insert_with(|| Instant::now() + timeout)
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        poison::ignore(self.0.time.lock())
    }

    /// Returns true if the stop deadline has passed.
    pub(super) fn overdue(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Registers this thread, once: a stop or a reopen wakes it.
    pub(super) fn enlist(&self) {
        let (mut workers, own) = (poison::ignore(self.0.workers.lock()), thread::current());
        if workers.iter().all(|worker| worker.id() != own.id()) {
            workers.push(own);
        }
    }

    fn wake(&self) {
        for worker in poison::ignore(self.0.workers.lock()).iter() {
            worker.unpark();
        }
    }
}

// === impl Worker ===

impl Worker {
    /// Returns the name of the sink.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the thread has ended; do not call it again after that. The end comes late if the kernel blocks a
    /// write, for example to a pipe that nobody reads. Do not wait much longer than the time that a stop may take.
    pub async fn ended(&mut self) -> WorkerEnd {
        // The thread sends its end even after a panic.
        (&mut self.end).await.unwrap_or_else(|_| WorkerEnd::Failed("its thread ended without a result".to_owned()))
    }
}

// === impl WorkerRun ===

impl<S: Sink> WorkerRun<'_, S> {
    fn work(&mut self) -> WorkerEnd {
        loop {
            if self.control.overdue() {
                return WorkerEnd::Finished;
            }
            if self.pending.is_empty() {
                let time = TICK.saturating_sub(self.ticked.elapsed());
                match self.receiver.receive(&mut self.pending, BATCHES_PER_WRITE, time) {
                    Received::Closed => return WorkerEnd::Finished,
                    Received::Batches if self.is_worth_gathering() => self.gather(),
                    Received::Batches | Received::Nothing => {}
                }
            }
            if !self.pending.is_empty() {
                panic_point("sink");
            }
            if let Err(error) = self.attempt() {
                match error {
                    Error::Retry(reason) => self.back_off(&reason),
                    Error::Closed(reason) => return WorkerEnd::Closed(reason),
                    Error::Fatal(reason) => return WorkerEnd::Failed(reason),
                }
            }
        }
    }

    /// Returns true if batches arrive in quick succession and no source waits for a pending one.
    fn is_worth_gathering(&self) -> bool {
        self.written.elapsed() < GATHER
            && self.pending.len() < GATHERED
            && self.receiver.has_room(GATHER_ROOM)
            && !self.pending.iter().any(Batch::is_awaited)
    }

    fn gather(&mut self) {
        thread::sleep(GATHER);
        let most = BATCHES_PER_WRITE.saturating_sub(self.pending.len());
        // The next receive, after the write, reports a queue that was closed meanwhile.
        let _ = self.receiver.receive(&mut self.pending, most, Duration::ZERO);
    }

    /// Reopens if asked, writes the pending batches, and ticks when a tick is due, even while writes fail.
    fn attempt(&mut self) -> Result<(), Error> {
        let asked = self.asked();
        if self.reopens != asked {
            self.reopens = asked;
            self.sink.reopen()?;
        }
        let waiting = !self.pending.is_empty();
        let written = if waiting { self.sink.write(&mut self.pending) } else { Ok(()) };
        if waiting {
            self.written = Instant::now();
        }
        let due = self.ticked.elapsed() >= TICK || self.sink.is_due();
        if due && !matches!(written, Err(Error::Closed(_) | Error::Fatal(_))) {
            self.sink.tick()?;
            self.ticked = Instant::now();
        }
        if (waiting || due) && written.is_ok() {
            self.fault.worked(Instant::now());
        }
        written
    }

    /// Backs off before the next attempt. A stop or a reopen ends the wait, because either may be the operator's
    /// response to the fault.
    fn back_off(&mut self, reason: &str) {
        self.ledger.retries.fetch_add(1, Relaxed);
        let now = Instant::now();
        let until = now + self.fault.failed(reason, now);
        let stopping = self.control.deadline().is_some();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let stopped = !stopping && self.control.deadline().is_some();
            if left.is_zero() || stopped || self.control.overdue() || self.reopens != self.asked() {
                return;
            }
            let left = match self.control.deadline() {
                Some(deadline) => left.min(deadline.saturating_duration_since(Instant::now())),
                None => left,
            };
            // A batch that arrives in the queue unparks the thread too: hence the loop.
            thread::park_timeout(left);
        }
    }

    fn asked(&self) -> u64 {
        self.control.0.reopens.load(Relaxed)
    }

    fn finish(mut self, end: WorkerEnd, name: &str) -> (WorkerEnd, S) {
        let deadline = match end {
            WorkerEnd::Finished => self.control.deadline_from_now(),
            // Records that can no longer be written are not worth a wait.
            WorkerEnd::Closed(_) | WorkerEnd::Failed(_) => Instant::now(),
        };
        let finished = self.sink.finish(deadline);
        let left = self.drop_the_rest();
        if left > 0 {
            warn!(sink = name, records = left, "dropped the records left in the queue at the stop");
        }
        let end = match (end, finished) {
            (WorkerEnd::Finished, Err(Error::Fatal(reason))) => WorkerEnd::Failed(reason),
            (WorkerEnd::Finished, Err(Error::Closed(reason))) => WorkerEnd::Closed(reason),
            (end, Err(error)) => {
                error!(sink = name, "{error}; not retried because of the stop");
                end
            }
            (end, Ok(())) => end,
        };
        (end, self.sink)
    }

    /// Resolves a partially written front batch; returns how many of its records are dropped for good.
    fn resolve_front(&mut self) -> usize {
        let taken = self.pending.front().map_or(0, |front| self.sink.taken(front));
        if taken == 0 {
            return 0;
        }
        let Some(mut front) = self.pending.pop_front() else { return 0 };
        let is_kept = front.is_kept();
        let left = &front.entries()[taken..];
        let (records, bytes) = (left.len(), left.iter().map(|entry| entry.line.range().len() as u64).sum());
        front.dropped_part(records as u64, bytes, Reason::Shutdown);
        front.delivered();
        if is_kept { 0 } else { records }
    }

    /// Drops the pending batches and those in the queue; returns how many records that were. Records that are
    /// kept elsewhere do not count: a spool, for example, reports what becomes of them.
    fn drop_the_rest(&mut self) -> usize {
        self.receiver.close();
        let until = Instant::now() + LAST_SENDERS;
        let mut records = self.resolve_front();
        loop {
            for batch in self.pending.drain(..) {
                records += if batch.is_kept() { 0 } else { batch.entries().len() };
                batch.dropped(Reason::Shutdown);
            }
            let time = until.saturating_duration_since(Instant::now());
            let received = self.receiver.receive(&mut self.pending, BATCHES_PER_WRITE, time);
            if received == Received::Closed || (received == Received::Nothing && time.is_zero()) {
                return records;
            }
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
