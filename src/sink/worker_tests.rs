use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::*;
use crate::buffer::{Sender, queue};
use crate::receipt::receipt;
use crate::sink::testing::{batch_for, lines, settled, wait_for};

/// A destination that fails as long as `fails` is set.
#[derive(Clone, Default)]
struct Flaky(Arc<Calls>);

#[derive(Default)]
struct Calls {
    fails: AtomicBool,
    closed: AtomicBool,
    writes: AtomicU64,
    ticks: AtomicU64,
    reopens: AtomicU64,
    finishes: AtomicU64,
}

impl Sink for Flaky {
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error> {
        self.0.writes.fetch_add(1, Relaxed);
        if self.0.closed.load(Relaxed) {
            return Err(Error::Closed("gone".to_owned()));
        }
        if self.0.fails.load(Relaxed) {
            return Err(Error::Retry("out of order".to_owned()));
        }
        batches.drain(..).for_each(Batch::delivered);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), Error> {
        self.0.ticks.fetch_add(1, Relaxed);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.0.reopens.fetch_add(1, Relaxed);
        Ok(())
    }

    fn finish(&mut self, _deadline: Instant) -> Result<(), Error> {
        self.0.finishes.fetch_add(1, Relaxed);
        Ok(())
    }
}

struct Fixture {
    sink: Flaky,
    control: Control,
    ledger: Arc<SinkLedger>,
    sender: Option<Sender>,
    end: mpsc::Receiver<WorkerEnd>,
}

impl Fixture {
    fn start(timeout: Duration) -> Self {
        Self::start_with(queue(1 << 20), timeout)
    }

    fn start_with((sender, receiver): (Sender, Receiver), timeout: Duration) -> Self {
        let (sink, control, ledger) = (Flaky::default(), Control::new(timeout), Arc::default());
        let (ended, end) = mpsc::sync_channel(1);
        let parts = (sink.clone(), control.clone(), Arc::clone(&ledger));
        thread::spawn(move || ended.send(run(parts.0, receiver, &parts.1, &parts.2, "test")));
        Self { sink, control, ledger, sender: Some(sender), end }
    }

    fn send(&self, texts: &[&str]) {
        let batch = lines(&self.ledger, texts);
        let sender = self.sender.as_ref().unwrap();
        sender.try_room(batch.size()).unwrap().send(batch);
    }

    fn end(&self) -> WorkerEnd {
        self.end.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

#[test]
fn ends_when_every_sender_is_gone_and_the_queue_is_empty() {
    let mut fixture = Fixture::start(Duration::from_secs(60));
    for _ in 0..100 {
        fixture.send(&["one", "two"]);
    }
    fixture.sender = None;
    assert_eq!(fixture.end(), WorkerEnd::Finished);
    assert_eq!(settled(&fixture.ledger), (200, 0));
    assert_eq!(fixture.sink.0.finishes.load(Relaxed), 1);
}

#[test]
fn tries_again_until_it_works() {
    let mut fixture = Fixture::start(Duration::from_secs(60));
    fixture.sink.0.fails.store(true, Relaxed);
    fixture.send(&["one"]);
    wait_for("three attempts", || fixture.ledger.retries.load(Relaxed) >= 3);
    assert_eq!(fixture.ledger.in_flight(), 1);
    fixture.sink.0.fails.store(false, Relaxed);
    wait_for("the delivery", || fixture.ledger.in_flight() == 0);
    fixture.sender = None;
    assert_eq!(fixture.end(), WorkerEnd::Finished);
    assert_eq!(settled(&fixture.ledger), (1, 0));
}

#[test]
fn drops_what_is_left_when_the_time_for_the_stop_is_over() {
    let fixture = Fixture::start(Duration::from_millis(300));
    fixture.sink.0.fails.store(true, Relaxed);
    fixture.send(&["one", "two"]);
    wait_for("an attempt", || fixture.ledger.retries.load(Relaxed) >= 1);
    fixture.send(&["three"]);
    let stopped = Instant::now();
    fixture.control.stop();
    assert_eq!(fixture.end(), WorkerEnd::Finished, "although a sender is still there");
    assert!(stopped.elapsed() >= Duration::from_millis(300));
    assert_eq!(settled(&fixture.ledger), (0, 3));
    assert_eq!(fixture.ledger.dropped.get(Reason::Shutdown), 3);
    let batch = lines(&fixture.ledger, &["late"]);
    assert!(fixture.sender.as_ref().unwrap().try_room(batch.size()).is_none());
    batch.dropped(Reason::Shutdown);
}

#[test]
fn ticks_and_reopens_while_idle() {
    let fixture = Fixture::start(Duration::from_secs(60));
    wait_for("a tick", || fixture.sink.0.ticks.load(Relaxed) >= 1);
    let asked = Instant::now();
    fixture.control.reopen();
    wait_for("the reopen", || fixture.sink.0.reopens.load(Relaxed) == 1);
    assert!(asked.elapsed() < Duration::from_millis(900), "the request wakes the thread");
    assert!(fixture.sink.0.ticks.load(Relaxed) <= 3, "no busy loop");
}

#[test]
fn a_reopen_ends_the_wait_between_attempts() {
    let fixture = Fixture::start(Duration::from_secs(60));
    fixture.sink.0.fails.store(true, Relaxed);
    fixture.send(&["one"]);
    wait_for("long waits", || fixture.ledger.retries.load(Relaxed) >= 5);
    fixture.sink.0.fails.store(false, Relaxed);
    let asked = Instant::now();
    fixture.control.reopen();
    wait_for("the delivery", || fixture.ledger.in_flight() == 0);
    assert!(asked.elapsed() < Duration::from_millis(700), "the fifth wait takes 800 ms or more");
}

#[test]
fn a_reader_that_has_gone_ends_it() {
    let fixture = Fixture::start(Duration::from_secs(60));
    fixture.sink.0.closed.store(true, Relaxed);
    fixture.send(&["one"]);
    assert_eq!(fixture.end(), WorkerEnd::Closed("gone".to_owned()));
    assert_eq!(settled(&fixture.ledger), (0, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::Lost), 0);
}

#[test]
fn a_panic_of_the_thread_is_a_failure() {
    struct Broken;
    impl Sink for Broken {
        fn write(&mut self, _batches: &mut VecDeque<Batch>) -> Result<(), Error> {
            panic!("broken on purpose");
        }
        fn finish(&mut self, _deadline: Instant) -> Result<(), Error> {
            Ok(())
        }
    }
    let (sender, receiver) = queue(1 << 20);
    let ledger = Arc::default();
    let mut worker =
        start(Broken, "x", receiver, Turn::default(), &Control::new(Duration::from_secs(1)), &ledger).unwrap();
    let batch = lines(&ledger, &["one"]);
    sender.try_room(batch.size()).unwrap().send(batch);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let WorkerEnd::Failed(reason) = runtime.block_on(worker.ended()) else { panic!("it failed") };
    let expected = "its thread sink-x panicked; this is a defect in Postrider, please report it: broken on purpose";
    assert!(reason.starts_with(expected), "{reason}");
    assert_eq!(ledger.dropped.get(Reason::Lost), 1);
}

#[test]
fn a_stream_of_batches_is_gathered_into_fewer_writes() {
    const BATCHES: u32 = 500;
    let fixture = Fixture::start_with(queue(4 << 20), Duration::from_secs(10));
    let begun = Instant::now();
    for number in 0..BATCHES {
        // More often than a sleep can.
        while begun.elapsed() < number * Duration::from_micros(100) {
            std::hint::spin_loop();
        }
        fixture.send(&["line"]);
    }
    wait_for("the records", || fixture.ledger.delivered.load(Relaxed) == u64::from(BATCHES));
    let writes = fixture.sink.0.writes.load(Relaxed);
    assert!(writes < u64::from(BATCHES) * 3 / 4, "{writes} writes");
}

#[test]
fn what_somebody_waits_for_is_not_gathered() {
    let (control, ledger) = (Control::new(Duration::from_secs(10)), Arc::default());
    let (sender, receiver) = queue(GATHER_ROOM + 100);
    let mut run = WorkerRun {
        sink: Flaky::default(),
        receiver,
        control: &control,
        ledger: &ledger,
        pending: VecDeque::from([lines(&ledger, &["line"])]),
        fault: DestinationFaults::new("test", control.destination().clone()),
        reopens: 0,
        ticked: Instant::now(),
        // A time in the future counts as just now for as long as the test takes.
        written: Instant::now() + Duration::from_secs(10),
    };
    assert!(run.is_worth_gathering());

    let just_now = std::mem::replace(&mut run.written, Instant::now().checked_sub(GATHER).expect("an age"));
    assert!(!run.is_worth_gathering(), "no stream");
    run.written = just_now;

    let room = sender.try_room(101).expect("room");
    assert!(!run.is_worth_gathering(), "no room");
    drop(room);

    run.pending.extend((1..GATHERED).map(|_| lines(&ledger, &["line"])));
    assert!(!run.is_worth_gathering(), "there are enough");
    run.pending.pop_back().expect("a batch").delivered();
    assert!(run.is_worth_gathering());

    let (receipt, _outcome) = receipt();
    run.pending.pop_back().expect("a batch").delivered();
    run.pending.push_back(batch_for(&ledger, 0, &[("line", "", "")], Some(Arc::new(receipt))));
    assert!(!run.is_worth_gathering(), "somebody waits");
    run.pending.drain(..).for_each(Batch::delivered);
}
