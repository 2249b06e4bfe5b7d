//! The life of a process: a stage on a simulated disk, with the sources before it and the sink behind it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::sync::oneshot;

use super::history::History;
use crate::buffer::{Batch, Receiver, Sender, queue};
use crate::config::{SinkConfig, SinkKind, SpoolConfig, StdoutConfig, WhenFull};
use crate::ledger::Reason;
use crate::receipt::{Outcome, receipt};
use crate::select::Select;
use crate::sink::spooled::action::{StageAction, StageEvent, StageRequest, StageWait, StopState, WakeFacts};
use crate::sink::spooled::entrance::Entrance;
use crate::sink::spooled::stage::Stage;
use crate::sink::testing;
use crate::sink::worker::Control;
use crate::spool::simulated::{Call, Simulated};
use crate::spool::{self, Spool};

/// Maximum number of wakes of a life: a stage that needs more stands still.
const MOST_WAKES: u32 = 20_000;

/// A process.
pub(super) struct Life {
    stage: Stage<Simulated>,
    /// The queue of the sources; `None` when they have ended.
    input: Option<Sender>,
    /// The queue of the sink; `None` when the sink has ended.
    sink: Option<Receiver>,
    /// Batches that the sink has taken and not resolved.
    held: VecDeque<Batch>,
    /// Receipts whose outcome is open, with the numbers of their records.
    receipts: Vec<(Range<usize>, oneshot::Receiver<Outcome>)>,
    /// Number of the last record that the sink was given.
    given: Option<usize>,
    now: Instant,
    /// Time when the stop began, if it has, and the time that it may take.
    stop: Option<Instant>,
    timeout: Duration,
    wakes: u32,
    plan: Plan,
}

/// Course of a life.
struct Plan {
    /// True if nothing fails, and the sink takes and delivers all.
    is_calm: bool,
    /// Number of actions until the process dies.
    dies_after: u64,
    /// Number of wakes until a stop begins.
    stops_after: u32,
}

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// It ended by itself.
    End,
    /// It was killed. Data that it has written to files is there.
    Kill,
    /// The machine crashed. Data that was not synced may be gone.
    PowerOff,
}

impl Life {
    /// Starts a process, which must find at least `kept` records on the disk.
    pub(super) fn start(history: &mut History<'_>, is_calm: bool, kept: u64) -> Self {
        history.disk.with(|world| (world.capacity, world.faults) = (None, Vec::new()));
        let (spool, found) = Spool::open(history.disk.clone(), history.settings).expect("a spool");
        let random = &mut history.random;
        let config = SpoolConfig {
            directory: "/spool".into(),
            mode: history.mode,
            max_size: history.settings.max_size,
            segment_size: history.settings.segment_size,
            min_free: 0,
            when_full: history.when_full,
        };
        let sink = SinkConfig {
            name: "sink".to_owned(),
            select: Select::default(),
            language: None,
            queue_size: random.choice([16 << 10, 64 << 10, 2 << 20]).expect("a size"),
            spool: Some(config.clone()),
            kind: SinkKind::Stdout(StdoutConfig),
        };
        let (sender, input) = queue(sink.input_size());
        let control = Control::new(Duration::from_secs(1));
        let (entrance, receiver) = Entrance::new(&sink, &config, input, 4 << 20, &control, &Arc::default());
        let stage = entrance.stage(spool, &found);
        let recovered = stage.ledger.counts().recovered;
        assert!(recovered >= kept, "{recovered} recovered of {kept}");
        let dies = !is_calm && random.u8(..3) > 0;
        let plan = Plan {
            is_calm,
            dies_after: if dies { random.u64(1..150) } else { u64::MAX },
            stops_after: random.u32(1..25),
        };
        Self {
            stage,
            input: Some(sender),
            sink: Some(receiver),
            held: VecDeque::new(),
            receipts: Vec::new(),
            given: None,
            now: Instant::now(),
            stop: None,
            timeout: random.choice([200, 4000, 60_000]).map_or(Duration::ZERO, Duration::from_millis),
            wakes: 0,
            plan,
        }
    }

    /// Lives, and returns how that ended, and how many records the disk has to have then.
    pub(super) fn run(mut self, history: &mut History<'_>) -> (Death, u64) {
        let mut event = StageEvent::Woke(self.outside());
        loop {
            let mut actions = Vec::new();
            let request = self.stage.machine.step(self.now, event, &mut actions).expect("a request");
            for action in actions {
                if self.is_dead() {
                    return self.die(history, None);
                }
                history.seen.count(name_of(&action));
                self.stage.carry_out(action, self.now);
            }
            if self.is_dead() {
                return self.die(history, Some(request));
            }
            history.seen.count(name_of_request(&request));
            event = match request {
                StageRequest::Wait(wait) => {
                    self.live(wait, history);
                    StageEvent::Woke(self.outside())
                }
                StageRequest::End(result) => return self.end(&result, history),
                request => self.stage.answer(request),
            };
        }
    }

    fn is_dead(&mut self) -> bool {
        self.plan.dies_after -= 1;
        self.plan.dies_after == 0
    }

    /// Dies before `request` is carried out, or while it is.
    fn die(mut self, history: &mut History<'_>, request: Option<StageRequest>) -> (Death, u64) {
        self.learn(history);
        let on_disk = request.filter(|request| !matches!(request, StageRequest::Wait(_) | StageRequest::End(_)));
        let death = if history.random.bool() { Death::PowerOff } else { Death::Kill };
        if let Some(request) = on_disk
            && death == Death::PowerOff
        {
            history.seen.count("power off in a request");
            let calls = history.random.u64(..5);
            history.disk.with(|world| world.dies_after = Some(calls));
            let _ = self.stage.answer(request);
        }
        history.seen.count(if death == Death::Kill { "kill" } else { "power off" });
        (death, 0)
    }

    fn end(mut self, result: &Result<(), spool::Error>, history: &mut History<'_>) -> (Death, u64) {
        self.learn(history);
        let counts = self.stage.ledger.counts();
        assert!(counts.balance(), "{counts:?}");
        assert_eq!(counts.dropped(Reason::Lost), 0, "{counts:?}");
        if self.plan.is_calm {
            assert_eq!(*result, Ok(()));
            assert_eq!((counts.in_flight, counts.spooled), (0, 0), "all is delivered: {counts:?}");
        }
        history.seen.count(if result.is_ok() { "end" } else { "fatal end" });
        // A record that was evicted while the sink had it still counts as spooled at the end.
        let counts = result.is_ok() && history.when_full == WhenFull::Block;
        (Death::End, if counts { self.stage.ledger.counts().at_the_end().spooled } else { 0 })
    }

    fn outside(&self) -> WakeFacts {
        let stop = match self.stop {
            None => StopState::No,
            Some(begun) if self.now.duration_since(begun) >= self.timeout => StopState::Overdue,
            Some(_) => StopState::Begun,
        };
        WakeFacts { stop, timeout: self.timeout, is_sink_gone: self.sink.is_none() }
    }

    /// Lets the world go on while the stage waits.
    fn live(&mut self, wait: StageWait, history: &mut History<'_>) {
        self.wakes += 1;
        assert!(self.wakes < MOST_WAKES, "the stage stands still");
        self.learn(history);
        let ledger = &self.stage.ledger;
        assert!(ledger.balances(), "{:?}", ledger.counts());
        if self.plan.is_calm {
            self.live_calmly(history);
        } else {
            self.live_wildly(history);
        }
        if matches!(wait, StageWait::ForBatches(_)) {
            self.stage.receive(Duration::ZERO);
        }
        self.stage.take_outcomes();
    }

    fn live_calmly(&mut self, history: &mut History<'_>) {
        self.now += Duration::from_millis(10);
        if self.wakes <= self.plan.stops_after {
            self.send(history);
        } else if self.input.take().is_some() {
            (self.stop, self.timeout) = (Some(self.now), Duration::from_secs(3600));
        }
        self.take(usize::MAX, history);
        while !self.held.is_empty() {
            self.deliver(0, history);
        }
    }

    fn live_wildly(&mut self, history: &mut History<'_>) {
        let millis = history.random.choice([1, 10, 100, 1000, 3000]).unwrap_or(1);
        self.now += Duration::from_millis(millis);
        if self.wakes > self.plan.stops_after {
            self.stop(history);
        }
        for _ in 0..history.random.u8(..5) {
            match history.random.u8(..20) {
                0..7 => self.send(history),
                7..11 => self.take(history.random.usize(1..4), history),
                11..15 if !self.held.is_empty() => {
                    let place = if history.random.u8(..4) > 0 { 0 } else { history.random.usize(..self.held.len()) };
                    self.deliver(place, history);
                }
                15..17 => fail_disk(history),
                17 => history.disk.with(|world| world.capacity = None),
                18 if history.random.u8(..8) == 0 => self.end_sink(history),
                _ => {}
            }
        }
    }

    /// Begins the stop, ends the sources, or ends the stop early.
    fn stop(&mut self, history: &mut History<'_>) {
        match history.random.u8(..8) {
            0..4 => {
                self.stop.get_or_insert(self.now);
                self.input = None;
            }
            4 => {
                self.stop.get_or_insert(self.now);
            }
            5 => self.input = None,
            6 if self.stop.is_some() => self.timeout = Duration::ZERO,
            7 if self.stop.is_some() => self.end_sink(history),
            _ => {}
        }
    }

    /// A source sends a batch, if there is room.
    fn send(&mut self, history: &mut History<'_>) {
        let Some(input) = &self.input else { return };
        let random = &mut history.random;
        let longest = match random.u8(..60) {
            0 => 20_000,
            1..8 => 3000,
            _ => 300,
        };
        let lengths: Vec<usize> = (0..random.usize(1..6)).map(|_| random.usize(..longest)).collect();
        // A source that acknowledges must not have a spool that drops its oldest.
        let is_awaited = history.when_full == WhenFull::Block && random.u8(..4) > 0;
        let Some(room) = input.try_room(lengths.iter().sum()) else { return };
        let numbers = history.make(lengths.len());
        let lines: Vec<String> =
            numbers.clone().zip(lengths).map(|(number, length)| format!("{number} {}", "x".repeat(length))).collect();
        let lines: Vec<_> = lines.iter().map(|line| (line.as_str(), "", "")).collect();
        let (receipt, outcome) = receipt();
        let receipt = is_awaited.then(|| Arc::new(receipt));
        let batch = testing::batch_for(&self.stage.ledger, numbers.start as u128, &lines, receipt);
        if is_awaited {
            self.receipts.push((numbers, outcome));
        }
        room.send(batch);
    }

    /// The sink takes batches from its queue.
    fn take(&mut self, most: usize, history: &mut History<'_>) {
        let Some(sink) = &mut self.sink else { return };
        let before = self.held.len();
        sink.receive(&mut self.held, most, Duration::ZERO);
        for batch in self.held.range(before..) {
            for entry in batch.entries() {
                let number = entry.id.0 as usize;
                let line = String::from_utf8_lossy(batch.line(entry));
                assert_eq!(line.split(' ').next(), Some(number.to_string().as_str()));
                assert!(self.given.is_none_or(|given| given < number), "{number} comes after {:?}", self.given);
                self.given = Some(number);
                if history.fates[number].delivered {
                    history.seen.count("came again");
                }
            }
        }
    }

    /// The sink delivers the batch at `place`, or refuses one of its records for good.
    fn deliver(&mut self, place: usize, history: &mut History<'_>) {
        let Some(batch) = self.held.remove(place) else { return };
        note_delivered(&batch, batch.entries().len(), history);
        if history.random.u8(..10) == 0 {
            let refused = batch.entries()[0].line.range().len() as u64;
            batch.delivered_except(1, refused);
        } else {
            batch.delivered();
        }
    }

    /// The sink ends, and gives back what it has not delivered.
    fn end_sink(&mut self, history: &mut History<'_>) {
        self.take(usize::MAX, history);
        self.sink = None;
        for mut batch in std::mem::take(&mut self.held) {
            let entries = batch.entries();
            let delivered = history.random.usize(..=entries.len());
            if history.random.u8(..3) > 0 || delivered == entries.len() {
                batch.dropped(Reason::Shutdown);
                continue;
            }
            let left = &entries[delivered..];
            let (records, bytes) = (left.len() as u64, left.iter().map(|entry| entry.line.range().len() as u64).sum());
            note_delivered(&batch, delivered, history);
            batch.dropped_part(records, bytes, Reason::Shutdown);
            batch.delivered();
        }
    }

    /// Notes what the sources have learnt.
    fn learn(&mut self, history: &mut History<'_>) {
        self.receipts.retain_mut(|(numbers, outcome)| match outcome.try_recv() {
            Ok(outcome) => {
                for fate in &mut history.fates[numbers.clone()] {
                    fate.acknowledged |= outcome == Outcome::Delivered;
                    if outcome == Outcome::Delivered {
                        history.seen.count(if fate.delivered {
                            "acknowledged"
                        } else {
                            "acknowledged by the disk alone"
                        });
                    }
                }
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            Err(oneshot::error::TryRecvError::Closed) => panic!("the receipt of {numbers:?} was forgotten"),
        });
    }
}

fn note_delivered(batch: &Batch, count: usize, history: &mut History<'_>) {
    for entry in &batch.entries()[..count] {
        history.fates[entry.id.0 as usize].delivered = true;
    }
}

/// Makes some call to the disk fail.
fn fail_disk(history: &mut History<'_>) {
    let random = &mut history.random;
    let times = random.u64(1..4);
    let (call, errno) = match random.u8(..40) {
        0 => (Call::Sync, Errno::EIO),
        1 => (Call::SyncDirectory, Errno::EIO),
        2..8 => (Call::Create, Errno::ENOSPC),
        8..11 => (Call::Create, Errno::EMFILE),
        11..15 => (Call::Read, Errno::ENOMEM),
        15..18 => (Call::Open, Errno::EMFILE),
        18..21 => (Call::Unlink, Errno::EIO),
        21..30 => {
            let used = history.disk.with(|world| world.sizes(""));
            let room = random.u64(..6000);
            return history.disk.with(|world| world.capacity = Some(used + room));
        }
        _ => (Call::Write, Errno::ENOSPC),
    };
    history.disk.fail(call, errno, times);
}

fn name_of<H>(action: &StageAction<H>) -> &'static str {
    match action {
        StageAction::Acknowledge(_) => "Acknowledge",
        StageAction::Store { .. } => "Store",
        StageAction::Spool(_) => "Spool",
        StageAction::SpoolPart { .. } => "SpoolPart",
        StageAction::Drop { .. } => "Drop",
        StageAction::Abandon { .. } => "Abandon",
        StageAction::Lose { .. } => "Lose",
        StageAction::CountDamage => "CountDamage",
        StageAction::Skip => "Skip",
        StageAction::Tell(_) => "Tell",
        StageAction::NoteResult(None) => "no error",
        StageAction::NoteResult(Some(_)) => "error",
        StageAction::Report { .. } => "Report",
    }
}

fn name_of_request(request: &StageRequest) -> &'static str {
    match request {
        StageRequest::Advance { .. } => "Advance",
        StageRequest::Append { .. } => "Append",
        StageRequest::Commit => "Commit",
        StageRequest::Evict { .. } => "Evict",
        StageRequest::Give { count: 1 } => "Give",
        StageRequest::Give { .. } => "several given",
        StageRequest::ReadBack { .. } => "ReadBack",
        StageRequest::CloseQueues { .. } => "CloseQueues",
        StageRequest::Close { .. } => "Close",
        StageRequest::Wait(_) => "Wait",
        StageRequest::End(_) => "End",
    }
}
