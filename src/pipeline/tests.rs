use std::collections::VecDeque;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use super::*;
use crate::buffer::{Received, Receiver, queue};
use crate::dsn::{Dsn, Language};
use crate::receipt::{Outcome, receipt};
use crate::record::Transport;
use crate::syslog::Format;
use crate::template::Route;

#[test]
fn the_time_for_a_destination_is_between_1970_and_the_receipt() {
    let seconds = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    for (own, expected) in [
        (None, 1000),
        (Some(999), 999),
        (Some(1000), 1000),
        (Some(1001), 1000),
        (Some(i64::MAX / 1_000_000), 1000),
        (Some(1), 1),
        (Some(0), 1000),
        (Some(-1), 1000),
    ] {
        assert_eq!(destination_time(own.map(seconds), seconds(1000)), expected * 1000, "{own:?}");
    }
}

const LINES: [&str; 3] = [
    "<20>Nov 24 02:10:35 mx1 postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, delay=1, delays=1/0/0/0, \
     dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.1]:25: Connection refused)",
    "<22>Nov 24 02:10:36 mx2 postfix/qmgr[2]: 4FCA1803C6: removed",
    "<86>Nov 24 02:10:37 mx2 sshd[3]: Connection closed",
];

/// A sink `name` that takes what `select` says, files it by its host, and keeps the order of a queue id.
fn outlet(name: &str, select: Select, queue_size: usize) -> (Arc<Outlet>, Receiver) {
    let (sender, receiver) = queue(queue_size);
    let outlet = Outlet {
        name: name.to_owned(),
        select,
        route: Some(Route::Path(Template::parse("{hostname}.json").unwrap())),
        key: Some(Template::parse("{queue_id}").unwrap()),
        queue: sender,
        ledger: Arc::default(),
        waiting: Waiting::default(),
    };
    (Arc::new(outlet), receiver)
}

fn events(events: &[&'static str]) -> Select {
    Select { events: Some(events.to_vec()), ..Select::default() }
}

fn origin() -> Origin {
    Origin { name: "tcp".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto }
}

fn process<'p>(pipeline: &'p Pipeline, receipt: Option<&Arc<Receipt>>) -> Processed<'p> {
    let arrivals: Vec<_> = LINES
        .iter()
        .map(|line| Arrival {
            frame: Frame { bytes: line.as_bytes(), truncated: false },
            peer: Peer::at("192.0.2.1:514"),
            line: None,
        })
        .collect();
    pipeline.process(&arrivals, &origin(), Timestamp::from_micros(1_795_486_240_000_000), None, receipt)
}

/// Takes all records of a queue: hostname of the JSON, route and key of each record.
fn taken(receiver: &mut Receiver) -> Vec<Vec<(String, String, Option<String>)>> {
    let mut batches = VecDeque::new();
    while receiver.receive(&mut batches, 10, Duration::ZERO) == Received::Batches {}
    let records = |batch: Batch| {
        let records = batch.entries().iter().map(|entry| {
            let json: serde_json::Value = serde_json::from_slice(batch.line(entry)).unwrap();
            let key = batch.key(entry).map(str::to_owned);
            (json["hostname"].as_str().unwrap().to_owned(), batch.route(entry).to_owned(), key)
        });
        let records = records.collect();
        batch.delivered();
        records
    };
    batches.into_iter().map(records).collect()
}

fn counts(outlet: &Outlet) -> [u64; 5] {
    let counts = outlet.ledger.counts();
    assert!(counts.balance(), "{counts:?}");
    [counts.offered, counts.filtered, counts.delivered, counts.dropped.iter().sum(), counts.in_flight]
}

/// Returns a pipeline to outlets of one shape.
fn in_english(outlets: &[&Arc<Outlet>]) -> Pipeline {
    Pipeline::new(outlets.iter().map(|outlet| (Encoder::default(), Arc::clone(outlet))).collect())
}

#[test]
fn each_sink_gets_what_it_takes_with_its_route_and_key() {
    let (all, mut all_queue) = outlet("all", Select::default(), 1 << 20);
    let (mail, mut mail_queue) = outlet("mail", events(&["delivery", "removed"]), 1 << 20);
    let (none, mut none_queue) = outlet("none", events(&["tls"]), 1 << 20);
    let pipeline = in_english(&[&all, &mail, &none]);
    let processed = process(&pipeline, None);
    assert_eq!([&all, &mail, &none].map(|outlet| counts(outlet)), [[3, 0, 0, 0, 3], [3, 1, 0, 0, 2], [3, 3, 0, 0, 0]]);
    processed.offer(|sink, _| panic!("{sink} has room"));
    let record = |host: &str, key: Option<&str>| (host.to_owned(), format!("{host}.json"), key.map(str::to_owned));
    let of_postfix = [record("mx1", Some("4FCA1803C5")), record("mx2", Some("4FCA1803C6"))];
    assert_eq!(taken(&mut mail_queue), [of_postfix.to_vec()]);
    assert_eq!(taken(&mut all_queue), [[of_postfix.to_vec(), vec![record("mx2", None)]].concat()]);
    assert!(taken(&mut none_queue).is_empty(), "a batch without a record");
    assert_eq!([&all, &mail, &none].map(|outlet| counts(outlet)), [[3, 0, 3, 0, 0], [3, 1, 2, 0, 0], [3, 3, 0, 0, 0]]);
    assert_eq!(pipeline.offered().load(Relaxed), 3);
}

#[test]
fn what_finds_no_room_is_dropped_for_its_sink_alone() {
    let (small, mut small_queue) = outlet("small", Select::default(), 1);
    let (large, mut large_queue) = outlet("large", Select::default(), 1 << 20);
    let pipeline = in_english(&[&small, &large]);
    let mut dropped = Vec::new();
    for _ in 0..2 {
        process(&pipeline, None).offer(|sink, records| dropped.push((sink.to_owned(), records)));
    }
    assert_eq!(dropped, [("small".to_owned(), 3)]);
    assert_eq!((taken(&mut small_queue).len(), taken(&mut large_queue).len()), (1, 2));
    assert_eq!((counts(&small), counts(&large)), ([6, 0, 3, 3, 0], [6, 0, 6, 0, 0]));
    assert_eq!(small.ledger.dropped.get(Reason::QueueFull), 3);
}

#[tokio::test]
async fn records_without_room_at_the_deadline_fail_their_receipt() {
    let (small, mut small_queue) = outlet("small", Select::default(), 1);
    let (large, mut large_queue) = outlet("large", Select::default(), 1 << 20);
    let pipeline = in_english(&[&small, &large]);
    let origin = Arc::new(origin());
    process(&pipeline, None).send(&origin, std::future::pending()).await;
    let (receipt, mut outcome) = receipt();
    let receipt = Arc::new(receipt);
    let processed = process(&pipeline, Some(&receipt));
    drop(receipt);
    processed.send(&origin, async { Reason::Unacknowledged }).await;
    assert!(outcome.try_recv().is_err(), "a sink has it still");
    // The other sink has room, also after the deadline.
    assert_eq!((taken(&mut small_queue).len(), taken(&mut large_queue).len()), (1, 2));
    assert_eq!(outcome.try_recv(), Ok(Outcome::Failed));
    assert_eq!((counts(&small), counts(&large)), ([6, 0, 3, 3, 0], [6, 0, 6, 0, 0]));
    assert_eq!(small.ledger.dropped.get(Reason::Unacknowledged), 3);
}

#[test]
fn what_is_forgotten_on_the_way_is_dropped_by_the_stop() {
    let (outlet, _queue) = outlet("sink", Select::default(), 1 << 20);
    let pipeline = in_english(&[&outlet]);
    drop(process(&pipeline, None));
    assert_eq!((counts(&outlet), outlet.ledger.dropped.get(Reason::Shutdown)), ([3, 0, 0, 3, 0], 3));
}

#[test]
fn a_record_is_written_once_for_each_shape() {
    let (en, mut en_queue) = outlet("en", Select::default(), 1 << 20);
    let (ja, mut ja_queue) = outlet("ja", events(&["delivery"]), 1 << 20);
    let (again, mut again_queue) = outlet("again", Select::default(), 1 << 20);
    let shapes = [Language::En, Language::Ja, Language::En].map(|language| Encoder { language });
    let outlets = shapes.into_iter().zip([&en, &ja, &again].map(Arc::clone)).collect();
    let pipeline = Pipeline::new(outlets);
    assert_eq!(pipeline.shapes(), 2);
    process(&pipeline, None).offer(|sink, _| panic!("{sink} has room"));
    let text = |queue: &mut Receiver, line: usize| {
        let mut batches = VecDeque::new();
        assert_eq!(queue.receive(&mut batches, 1, Duration::ZERO), Received::Batches);
        let batch = batches.pop_front().unwrap();
        let entry = batch.entries()[line];
        let json: serde_json::Value = serde_json::from_slice(batch.line(&entry)).unwrap();
        let text = json.pointer("/postfix/dsn/text").and_then(serde_json::Value::as_str).unwrap().to_owned();
        (text, batch.line(&entry).as_ptr().addr(), batch.entries().len(), batch.delivered())
    };
    let dsn = Dsn::parse("4.4.1").unwrap();
    let (en, at, records, ()) = text(&mut en_queue, 0);
    assert_eq!((en.as_str(), records), (dsn.text(Language::En), 3));
    let (ja, _, records, ()) = text(&mut ja_queue, 0);
    assert_eq!((ja.as_str(), records), (dsn.text(Language::Ja), 1));
    let (again, same, records, ()) = text(&mut again_queue, 0);
    assert_eq!((again, records), (en, 3));
    assert_eq!(same, at, "sinks of one shape share the text");
}

#[tokio::test]
async fn room_is_released_shape_by_shape() {
    let (en, en_queue) = outlet("en", Select::default(), 1 << 20);
    let (ja, ja_queue) = outlet("ja", Select::default(), 1 << 20);
    let shapes = [Language::En, Language::Ja].map(|language| Encoder { language });
    let pipeline = Pipeline::new(shapes.into_iter().zip([en, ja]).collect());
    let all = Arc::new(Semaphore::new(1 << 20));
    let room = Arc::clone(&all).acquire_many_owned(1 << 19).await.unwrap();
    let arrival =
        Arrival { frame: Frame { bytes: LINES[0].as_bytes(), truncated: false }, peer: Peer::default(), line: None };
    let received_at = Timestamp::from_micros(1_795_486_240_000_000);
    pipeline.process(&[arrival], &origin(), received_at, Some(room), None).offer(|sink, _| panic!("{sink} has room"));
    let mut held = vec![(1 << 20) - all.available_permits()];
    for mut queue in [en_queue, ja_queue] {
        let mut batches = VecDeque::new();
        assert_eq!(queue.receive(&mut batches, 1, Duration::ZERO), Received::Batches);
        batches.drain(..).for_each(Batch::delivered);
        held.push((1 << 20) - all.available_permits());
    }
    let [both, one, none] = held[..] else { panic!("{held:?}") };
    assert!(both > one && one > 1000, "{held:?}");
    assert_eq!(none, 0);
}

#[test]
fn a_read_longer_than_a_block_keeps_its_order() {
    let (sink, mut queue) = outlet("sink", Select::default(), 1 << 24);
    let pipeline = in_english(&[&sink]);
    let lines: Vec<String> =
        (0..=BLOCK * 3).map(|number| format!("<22>Nov 24 02:10:36 mx{number} postfix/qmgr[2]: warning: a")).collect();
    let arrivals: Vec<_> = lines
        .iter()
        .map(|line| Arrival {
            frame: Frame { bytes: line.as_bytes(), truncated: false },
            peer: Peer::default(),
            line: None,
        })
        .collect();
    let received_at = Timestamp::from_micros(1_795_486_240_000_000);
    pipeline.process(&arrivals, &origin(), received_at, None, None).offer(|sink, _| panic!("{sink} has room"));
    let hosts: Vec<String> = taken(&mut queue).concat().into_iter().map(|(host, ..)| host).collect();
    assert_eq!(hosts, (0..=BLOCK * 3).map(|number| format!("mx{number}")).collect::<Vec<_>>());
}
