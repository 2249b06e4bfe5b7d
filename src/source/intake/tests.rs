use std::collections::VecDeque;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::buffer::{self, Receiver, queue};
use crate::encode::Encoder;
use crate::frame::Frame;
use crate::ledger::SinkLedger;
use crate::pipeline::{Outlet, Pipeline};
use crate::receipt::{Outcome, receipt};
use crate::record::{Peer, Transport};
use crate::select::Select;
use crate::template::{Route, Template};

const LIMIT: usize = 4 << 20;

/// An intake that may hold `room` bytes, and the queue of `queue_size` bytes of its sink with the counts of it.
fn to_sink(room: usize, queue_size: usize) -> (Intake, Receiver, Arc<SinkLedger>) {
    let (queue, sink) = queue(queue_size);
    let topic = Template::parse("{hostname}{app_name}{hostname}{app_name}").unwrap();
    let ledger = Arc::<SinkLedger>::default();
    let outlet = Outlet {
        name: "sink".to_owned(),
        select: Select::default(),
        route: Some(Route::Topic(topic.clone())),
        key: Some(topic),
        queue,
        ledger: Arc::clone(&ledger),
        waiting: buffer::Waiting::default(),
    };
    let pipeline = Current::new(Pipeline::new(vec![(Encoder::default(), Arc::new(outlet))]));
    (Intake::new(pipeline, origin(), Arc::default(), room, LIMIT, Stop::default()), sink, ledger)
}

fn origin() -> Origin {
    let (name, format) = ("udp".to_owned(), crate::syslog::Format::Auto);
    Origin { name, transport: Transport::Udp, zone: TimeZone::UTC, format }
}

/// Returns the room that these messages hold, the room that was taken for them, and the room that their lines hold.
fn room_of(messages: &[Vec<u8>]) -> (usize, usize, usize) {
    let (intake, mut sink, _) = to_sink(LIMIT, 1 << 30);
    let arrival = |bytes| Arrival { frame: Frame::datagram(bytes, LIMIT), peer: Peer::at("192.0.2.1:514"), line: None };
    let arrivals: Vec<_> = messages.iter().map(|message| arrival(message)).collect();
    let (frames, taken) = intake.part(&arrivals, intake.half());
    assert_eq!(frames, arrivals.len(), "all in one part");
    intake.offer(arrivals);
    let mut batches = VecDeque::new();
    sink.receive(&mut batches, 10, Duration::ZERO);
    let held = LIMIT - intake.room.available_permits();
    let lines = batches.iter().map(|batch| batch.line_bytes()).sum();
    drop(batches);
    assert_eq!(intake.room.available_permits(), LIMIT, "it is given back");
    (held, taken as usize, lines)
}

#[test]
fn the_room_is_what_records_hold_and_at_most_what_was_taken() {
    let postfix = |text: &str| {
        let tail = "relay=mx[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=4.7.1, status=deferred";
        format!("<22>Nov 24 02:10:35 mx1 postfix/smtp[7]: 3f4: to=<a@b>, {tail} ({text})").into_bytes()
    };
    let header = |name: &str| format!("<13>1 - {name} {name} - - -").into_bytes();
    let data = format!("<13>1 - - - - - [a b=\"{0}\" c=\"{0}\"] x", "\u{1}".repeat(5000)).into_bytes();
    for messages in [
        vec![vec![1; 20_000]],
        vec![vec![0xff; 20_000]],
        vec![vec![b'"'; 20_000]],
        vec![vec![b'x'; 20_000]],
        vec![b"x".to_vec(); 200],
        vec![vec![1; 100]; 100],
        vec![postfix("host mx[192.0.2.1] said: 450 4.7.1 Greylisted (in reply to RCPT TO command)"); 100],
        vec![postfix(&"\u{1}".repeat(1000)); 10],
        vec![header(&"h".repeat(200)); 20],
        vec![data],
    ] {
        let (held, taken, lines) = room_of(&messages);
        let begin = messages[0][..messages[0].len().min(60)].escape_ascii().to_string();
        assert!((lines..=taken).contains(&held), "{lines} {held} {taken}: {begin}");
    }
}

#[test]
fn what_would_take_more_than_half_goes_in_parts() {
    let pipeline = Current::new(Pipeline::new(Vec::new()));
    let intake = Intake::new(pipeline, origin(), Arc::default(), LIMIT, LIMIT, Stop::default());
    let part = |size: usize, count: usize| {
        let message = vec![b'x'; size];
        let arrival = Arrival { frame: Frame::datagram(&message, LIMIT), peer: Peer::default(), line: None };
        intake.part(&vec![arrival; count], intake.half())
    };
    assert_eq!(part(1000, 10), (10, 10 * (1000 * BYTE + RECORD) as u32));
    assert_eq!(part(1000, 1000).0, LIMIT / 2 / (1000 * BYTE + RECORD));
    // One message is never divided.
    assert_eq!(part(LIMIT / BYTE, 2).0, 1);
    assert_eq!(part(LIMIT, 2), (1, LIMIT as u32));
}

fn arrivals(messages: &[Vec<u8>]) -> Vec<Arrival<'_>> {
    let arrival = |bytes| Arrival { frame: Frame::datagram(bytes, LIMIT), peer: Peer::default(), line: None };
    messages.iter().map(|message| arrival(message)).collect()
}

/// Every frame is accounted for, and only `offered` have become records.
#[track_caller]
fn check(intake: &Intake, sink: &SinkLedger, offered: u64, reason: Reason, dropped: (u64, u64)) {
    let source = &intake.ledger;
    assert_eq!((source.waiting.load(Relaxed), source.counts().offered()), (0, offered));
    assert_eq!((sink.offered.load(Relaxed), intake.pipeline.get().shown().offered.load(Relaxed)), (offered, offered));
    assert!(sink.balances(), "{:?}", sink.counts());
    assert_eq!((source.dropped.get(reason), sink.dropped.get(reason)), dropped);
    assert_eq!((source.dropped.total(), sink.dropped.total()), dropped, "for no other reason");
}

#[tokio::test]
async fn without_room_at_the_end_nothing_is_encoded_or_acknowledged() {
    let messages = vec![b"x".to_vec(); 1000];
    for reason in [Reason::Shutdown, Reason::Unacknowledged] {
        for ended_before in [false, true] {
            let (intake, _sink, ledger) = to_sink(LIMIT, 64 << 10);
            // It fills the queue.
            intake.submit(arrivals(&[vec![b'x'; 100_000]])).await;
            let given_up = CancellationToken::new();
            let end = || if reason == Reason::Shutdown { intake.stop.waiting.cancel() } else { given_up.cancel() };
            // One holds what room there is; the other waits for it.
            let held = Arc::clone(&intake.room).acquire_many_owned(intake.room.available_permits() as u32).await;
            if ended_before {
                drop(held);
                end();
            }
            let (receipt, outcome) = receipt();
            let submit = intake.submit_until(arrivals(&messages), Some(receipt), &given_up);
            tokio::join!(biased; submit, async { end() });
            check(&intake, &ledger, 1, reason, (1000, 0));
            assert_eq!(outcome.await, Ok(Outcome::Failed), "{reason:?}");
        }
    }
}

#[tokio::test]
async fn a_sink_that_has_room_at_the_end_gets_what_others_hold_up() {
    let messages = vec![b"x".to_vec(); 100];
    let (intake, mut sink, ledger) = to_sink(LIMIT, 1 << 20);
    let _held = Arc::clone(&intake.room).acquire_many_owned(LIMIT as u32).await;
    intake.stop.waiting.cancel();
    let (receipt, outcome) = receipt();
    intake.submit_for(arrivals(&messages), Some(receipt)).await;
    let mut batches = VecDeque::new();
    sink.receive(&mut batches, 1000, Duration::ZERO);
    batches.into_iter().for_each(buffer::Batch::delivered);
    check(&intake, &ledger, 100, Reason::Shutdown, (0, 0));
    assert_eq!(ledger.delivered.load(Relaxed), 100);
    assert_eq!(outcome.await, Ok(Outcome::Delivered));
}

#[tokio::test]
async fn messages_of_an_aborted_task_are_dropped_unacknowledged() {
    let messages = vec![b"x".to_vec(); 1000];
    // All messages before the queue are encoded, and none of the others.
    for (has_room, offered) in [(true, 1001), (false, 1)] {
        let (intake, _sink, ledger) = to_sink(2 * LIMIT, 64 << 10);
        intake.submit(arrivals(&[vec![b'x'; 100_000]])).await;
        let held = intake.room.available_permits() as u32;
        let held = Arc::clone(&intake.room).acquire_many_owned(if has_room { 0 } else { held }).await;
        let (receipt, outcome) = receipt();
        let submit = intake.submit_for(arrivals(&messages), Some(receipt));
        // The first to end drops the other.
        tokio::select! {
            biased;
            () = submit => panic!("it has to wait"),
            () = std::future::ready(()) => {}
        }
        check(&intake, &ledger, offered, Reason::Shutdown, if has_room { (0, 1000) } else { (1000, 0) });
        assert_eq!(outcome.await, Ok(Outcome::Failed));
        drop(held);
    }
}
