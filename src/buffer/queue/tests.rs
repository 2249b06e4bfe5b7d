use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::*;
use crate::buffer::{ByteRange, Encoded, Entry, Records};
use crate::ledger::{Reason, SinkLedger};
use crate::record::RecordId;

/// More time than any wait here takes.
const LONG: Duration = Duration::from_secs(60);

/// An action and its name.
type Named<F> = (&'static str, F);

/// A way to end a queue. Returns the sender if it stays.
type End = fn(Sender, &mut Receiver) -> Option<Sender>;

/// A batch of one record that counts for nothing in a queue; `number` tells it from others.
fn batch(ledger: &Arc<SinkLedger>, number: u128) -> Batch {
    let span = ByteRange::default();
    let entry = Entry { line: span, route: span, key: None, id: RecordId(number), timestamp_ms: 0 };
    let records = Records::new(Arc::new(Encoded::new(Vec::new().into(), None)), vec![entry], String::new());
    ledger.offered.fetch_add(1, Relaxed);
    Batch::new(records, ledger.enter(1, 0, None))
}

/// The numbers of the batches.
fn numbers(batches: &VecDeque<Batch>) -> Vec<u128> {
    batches.iter().map(|batch| batch.entries()[0].id.0).collect()
}

/// Sends the batch `number` into room for `size` bytes, which must be there.
fn send(sender: &Sender, ledger: &Arc<SinkLedger>, number: u128, size: usize) {
    sender.try_room(size).expect("room").send(batch(ledger, number));
}

/// Takes the batch at the front, which must be there.
fn take(receiver: &mut Receiver) -> Batch {
    let mut batches = VecDeque::new();
    assert_eq!(receiver.receive(&mut batches, 1, Duration::ZERO), Received::Batches);
    batches.pop_front().expect("a batch")
}

/// A task that waits for room for `size` bytes. Its result is true if it got the room, which it gives back.
async fn waiter(sender: &Sender, size: usize) -> JoinHandle<bool> {
    let sender = sender.clone();
    let waiter = tokio::spawn(async move { sender.room(size).await.is_some() });
    yield_now().await;
    assert!(!waiter.is_finished(), "there is no room for {size} bytes");
    waiter
}

/// Returns the result of a waiter, which must be ready now: the clock stands still while a task can run.
async fn result(waiter: JoinHandle<bool>) -> bool {
    timeout(LONG, waiter).await.expect("a wake-up").unwrap()
}

#[test]
fn bytes_count_until_the_batch_is_resolved() {
    let resolve: [Named<fn(Batch)>; 5] = [
        ("delivered", Batch::delivered),
        ("spooled", Batch::spooled),
        ("dropped", |batch| batch.dropped(Reason::QueueFull)),
        ("refused", |batch| batch.delivered_except(1, 0)),
        ("forgotten", drop),
    ];
    for (how, resolve) in resolve {
        let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
        send(&sender, &ledger, 1, 400);
        send(&sender, &ledger, 2, 250);
        assert_eq!(sender.held(), 650, "{how}");
        let batch = take(&mut receiver);
        assert_eq!(sender.held(), 650, "{how}: taken, and not yet resolved");
        resolve(batch);
        assert_eq!(sender.held(), 250, "{how}");
        assert!(sender.try_room(751).is_none() && sender.try_room(750).is_some(), "{how}");
    }
}

#[test]
fn room_that_is_not_used_is_given_back() {
    let (sender, receiver) = queue(1000);
    let room = sender.try_room(700);
    assert_eq!((sender.held(), receiver.has_room(300), receiver.has_room(301)), (700, true, false));
    drop(room);
    assert_eq!((sender.held(), receiver.has_room(1000), receiver.has_room(1001)), (0, true, false));
}

#[test]
fn a_batch_larger_than_the_queue_takes_all_of_it() {
    for size in [1001, usize::MAX] {
        let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
        send(&sender, &ledger, 1, 1);
        assert!(sender.try_room(size).is_none(), "the queue is not empty");
        take(&mut receiver).delivered();
        send(&sender, &ledger, 2, size);
        assert_eq!((sender.held(), sender.is_full(), sender.try_room(1).is_none()), (1000, true, true));
        take(&mut receiver).delivered();
        assert_eq!((sender.held(), sender.is_full()), (0, false));
    }
}

#[test]
fn the_limit_fits_the_count_of_the_room() {
    let limits = [(0, 1), (1, 1), (65536, 65536), (usize::MAX, u32::MAX as usize)];
    for (bytes, limit) in limits {
        let (sender, receiver) = queue(bytes);
        assert_eq!((sender.limit(), receiver.has_room(limit), receiver.has_room(limit + 1)), (limit, true, false));
    }
}

#[test]
fn without_a_slot_there_is_no_room_and_no_byte_taken() {
    let ((sender, mut receiver), ledger) = (queue(1 << 20), Arc::default());
    for number in 0..1024 {
        assert!(!sender.is_full());
        send(&sender, &ledger, number, 1);
    }
    assert!(sender.is_full() && sender.try_room(1).is_none());
    assert_eq!(sender.held(), 1024);
    // A slot is free as soon as the sink has taken the batch.
    let batch = take(&mut receiver);
    assert!(!sender.is_full() && sender.try_room(1).is_some());
    batch.delivered();
}

#[test]
fn batches_come_in_order_and_no_more_than_asked_for() {
    let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
    for number in 1..=6 {
        send(&sender, &ledger, number, 1);
    }
    let mut batches = VecDeque::new();
    let rounds: [(usize, Received, &[u128]); 4] = [
        (1, Received::Batches, &[1]),
        (3, Received::Batches, &[1, 2, 3, 4]),
        (10, Received::Batches, &[1, 2, 3, 4, 5, 6]),
        (10, Received::Nothing, &[1, 2, 3, 4, 5, 6]),
    ];
    for (most, received, all) in rounds {
        assert_eq!(receiver.receive(&mut batches, most, Duration::ZERO), received);
        assert_eq!(numbers(&batches), all, "after at most {most} more");
    }
}

#[test]
fn the_end_comes_after_the_last_batch() {
    let close: End = |sender, receiver| {
        receiver.close();
        Some(sender)
    };
    let leave: End = |sender, _| {
        drop(sender);
        None
    };
    let ends: [Named<End>; 2] = [("the sink closes it", close), ("no sender is left", leave)];
    for (how, end) in ends {
        let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
        send(&sender, &ledger, 1, 1);
        send(&sender, &ledger, 2, 1);
        let _sender = end(sender, &mut receiver);
        let mut batches = VecDeque::new();
        assert_eq!(receiver.receive(&mut batches, 1, LONG), Received::Batches, "{how}");
        assert_eq!(receiver.receive(&mut batches, 2, LONG), Received::Batches, "{how}");
        assert_eq!(numbers(&batches), [1, 2], "{how}");
        assert_eq!(receiver.receive(&mut batches, 1, LONG), Received::Closed, "{how}");
    }
}

#[test]
fn a_clone_of_the_sender_keeps_the_queue_open() {
    let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
    let clone = sender.clone();
    drop(sender);
    let mut batches = VecDeque::new();
    assert_eq!(receiver.receive(&mut batches, 1, Duration::ZERO), Received::Nothing);
    send(&clone, &ledger, 1, 600);
    assert!(clone.try_room(401).is_none(), "clones share the room");
    assert_eq!(numbers(&VecDeque::from([take(&mut receiver)])), [1]);
}

#[test]
fn a_closed_queue_takes_nothing_and_says_that_it_is() {
    let (sender, mut receiver) = queue(1000);
    assert!(!sender.is_closed());
    receiver.close();
    assert!(sender.is_closed() && sender.try_room(1).is_none());
    assert_eq!(sender.held(), 0);
}

#[test]
fn batches_left_when_the_sink_is_gone_count_as_lost() {
    let ((sender, receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 400);
    drop(receiver);
    assert!(sender.is_closed() && sender.try_room(1).is_none());
    assert_eq!((sender.held(), ledger.in_flight(), ledger.dropped.get(Reason::Lost)), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_wakes_when_there_is_room_for_all_of_it() {
    let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 500);
    send(&sender, &ledger, 2, 500);
    let waiter = waiter(&sender, 600).await;
    take(&mut receiver).delivered();
    yield_now().await;
    assert!(!waiter.is_finished(), "only 500 bytes are free");
    take(&mut receiver).delivered();
    assert!(result(waiter).await);
    assert_eq!(sender.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_a_waiter_for_room() {
    let ((sender, mut receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 600);
    let first = waiter(&sender, 500).await;
    // The waiter holds what is free: otherwise smaller batches would keep a large one waiting for ever.
    assert!(sender.is_full() && sender.try_room(1).is_none());
    let second = waiter(&sender, 1).await;
    take(&mut receiver).delivered();
    assert!(result(first).await && result(second).await);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_returns_its_bytes() {
    let ((sender, _receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 600);
    assert!(timeout(LONG, sender.room(500)).await.is_err());
    assert_eq!((sender.held(), sender.is_full()), (600, false));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_for_a_slot_wakes_when_a_batch_is_taken() {
    let ((sender, mut receiver), ledger) = (queue(1 << 20), Arc::default());
    (0..1024).for_each(|number| send(&sender, &ledger, number, 1));
    let waiter = waiter(&sender, 1).await;
    let batch = take(&mut receiver);
    assert!(result(waiter).await);
    batch.delivered();
}

#[tokio::test(start_paused = true)]
async fn after_closing_nobody_waits_but_free_room_is_given() {
    let ((sender, _receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 600);
    let waiter = waiter(&sender, 500).await;
    sender.closing().cancel();
    assert!(!result(waiter).await);
    assert!(timeout(LONG, sender.room(401)).await.expect("no wait").is_none());
    assert!(timeout(LONG, sender.clone().room(400)).await.expect("no wait").is_some());
    assert_eq!(sender.held(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_goes_ends_the_waits_for_its_room() {
    let ((sender, receiver), ledger) = (queue(1000), Arc::default());
    send(&sender, &ledger, 1, 600);
    let waiter = waiter(&sender, 500).await;
    drop(receiver);
    assert!(!result(waiter).await);
    assert!(sender.room(1).await.is_none());
}

/// The sender waits for the answer to each batch, so the thread of the sink mostly waits before the next one.
#[test]
fn a_batch_wakes_the_thread_that_waits_for_it() {
    const ROUNDS: u128 = 1000;
    let ((sender, mut receiver), ledger) = (queue(1000), Arc::<SinkLedger>::default());
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let begun = Instant::now();
    let sink = thread::spawn(move || {
        let mut empty = 0;
        loop {
            let mut batches = VecDeque::new();
            match receiver.receive(&mut batches, 10, LONG) {
                Received::Batches => tell.send(numbers(&batches)).unwrap(),
                // A wake-up may come when its batch is already taken.
                Received::Nothing => empty += 1,
                Received::Closed => return empty,
            }
            batches.into_iter().for_each(Batch::delivered);
        }
    });
    for number in 0..ROUNDS {
        send(&sender, &ledger, number, 1);
        assert_eq!(told.recv_timeout(LONG / 2).unwrap(), [number]);
    }
    drop(sender);
    assert!(sink.join().unwrap() <= ROUNDS, "it waits, and does not look again and again");
    assert!(begun.elapsed() < LONG, "the end wakes it too");
}

#[test]
fn a_thread_that_is_unparked_waits_no_longer() {
    let (_sender, mut receiver) = queue(1000);
    let begun = Instant::now();
    thread::current().unpark();
    assert_eq!(receiver.receive(&mut VecDeque::new(), 1, LONG), Received::Nothing);
    assert!(begun.elapsed() < LONG / 2);
}
