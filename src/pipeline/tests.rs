use std::collections::VecDeque;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use super::writing::destination_time;
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
    assert_eq!(pipeline.shown().offered.load(Relaxed), 3);
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
    let name: Arc<str> = Arc::from("test");
    process(&pipeline, None).send(&name, std::future::pending()).await;
    let (receipt, mut outcome) = receipt();
    let receipt = Arc::new(receipt);
    let processed = process(&pipeline, Some(&receipt));
    drop(receipt);
    processed.send(&name, async { Reason::Unacknowledged }).await;
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
    let received_at = Timestamp::from_micros(RECEIVED);
    pipeline.process(&arrivals, &origin(), received_at, None, None).offer(|sink, _| panic!("{sink} has room"));
    let hosts: Vec<String> = taken(&mut queue).concat().into_iter().map(|(host, ..)| host).collect();
    assert_eq!(hosts, (0..=BLOCK * 3).map(|number| format!("mx{number}")).collect::<Vec<_>>());
}

/// The lines of a message, from its client to its end, and those of the session that brought it.
const MESSAGE: [&str; 6] = [
    "<22>Nov 24 02:10:34 mx1 postfix/smtpd[4242]: connect from mail.example.net[198.51.100.7]",
    "<22>Nov 24 02:10:34 mx1 postfix/smtpd[4242]: 4jYR9Q2wTjz18T: client=mail.example.net[198.51.100.7]",
    "<22>Nov 24 02:10:34 mx1 postfix/cleanup[4243]: 4jYR9Q2wTjz18T: message-id=<1@example.net>",
    "<22>Nov 24 02:10:34 mx1 postfix/qmgr[900]: 4jYR9Q2wTjz18T: from=<a@example.net>, size=2041, nrcpt=1 (queue active)",
    "<22>Nov 24 02:10:35 mx1 postfix/smtp[5]: 4jYR9Q2wTjz18T: to=<b@example.com>, relay=mx.example.com[192.0.2.25]:25, \
     delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 77F3A)",
    "<22>Nov 24 02:10:35 mx1 postfix/qmgr[900]: 4jYR9Q2wTjz18T: removed",
];

/// Takes the records of a queue as JSON.
fn json(receiver: &mut Receiver) -> Vec<serde_json::Value> {
    let mut batches = VecDeque::new();
    while receiver.receive(&mut batches, 100, Duration::ZERO) == Received::Batches {}
    let mut records = Vec::new();
    for batch in batches {
        let lines = batch.entries().iter().map(|entry| serde_json::from_slice(batch.line(entry)).unwrap());
        records.extend(lines);
        batch.delivered();
    }
    records
}

/// 2026-11-24T02:10:40Z, in microseconds.
const RECEIVED: i64 = 1_795_486_240_000_000;

fn offer(pipeline: &Pipeline, lines: &[&str]) {
    let arrival = |line: &&'static str| Arrival {
        frame: Frame { bytes: line.as_bytes(), truncated: false },
        peer: Peer::at("192.0.2.1:514"),
        line: None,
    };
    let lines: Vec<&'static str> = MESSAGE.iter().filter(|line| lines.contains(*line)).copied().collect();
    let arrivals: Vec<_> = lines.iter().map(arrival).collect();
    let received_at = Timestamp::from_micros(RECEIVED);
    pipeline.process(&arrivals, &origin(), received_at, None, None).offer(|sink, _| panic!("{sink} has room"));
}

fn shown(pipeline: &Pipeline) -> [u64; 2] {
    let shown = pipeline.shown();
    [&shown.offered, &shown.created].map(|count| count.load(Relaxed))
}

#[test]
fn the_record_of_a_message_follows_its_last_line() {
    let (all, mut all_queue) = outlet("all", Select::default(), 1 << 20);
    let (messages, mut message_queue) = outlet("messages", events(&["message"]), 1 << 20);
    let outlets = [&all, &messages].map(|outlet| (Encoder::default(), Arc::clone(outlet))).to_vec();
    let joins = Arc::new(Correlator::new(crate::correlate::JoinSettings::DEFAULT));
    let pipeline = Pipeline::new(Vec::new()).succeeded_by(outlets, Some(joins));
    offer(&pipeline, &MESSAGE[..3]);
    offer(&pipeline, &MESSAGE[3..]);
    let records = json(&mut all_queue);
    let names: Vec<_> = records.iter().map(|record| record["postfix"]["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["connect", "client", "message_id", "queue_active", "delivery", "removed", "message"]);
    let (delivery, message) = (&records[4]["postfix"], &records[6]["postfix"]);
    assert_eq!(delivery["mail"]["from"], "a@example.net");
    assert_eq!((&delivery["attempt"], &delivery["final"]), (&1.into(), &true.into()));
    assert_eq!((&message["result"], &message["closed_by"]), (&"sent".into(), &"removed".into()));
    assert_eq!((&message["message_uid"], &message["incomplete"]), (&delivery["mail"]["uid"], &false.into()));
    assert_eq!((&records[6]["hostname"], &records[6]["source"]["name"]), (&"mx1".into(), &"tcp".into()));
    assert_eq!(json(&mut message_queue).len(), 1);
    assert_eq!((shown(&pipeline), counts(&all), counts(&messages)), ([6, 1], [7, 0, 7, 0, 0], [7, 6, 1, 0, 0]));
}

#[test]
fn open_sessions_and_messages_are_shown_when_joins_finish() {
    let (all, mut queue) = outlet("all", Select::default(), 1 << 20);
    let joins = Arc::new(Correlator::new(crate::correlate::JoinSettings::DEFAULT));
    let first = Pipeline::new(Vec::new()).succeeded_by(vec![(Encoder::default(), Arc::clone(&all))], Some(joins));
    offer(&first, &MESSAGE[..5]);
    // A reload keeps the joins for the next pipeline.
    let pipeline = first.succeeded_by(vec![(Encoder::default(), Arc::clone(&all))], first.joins().cloned());
    let joins = Arc::clone(pipeline.joins().unwrap());
    assert_eq!((joins.counts().messages, joins.counts().systems), (1, 1));
    let (processed, progress) = pipeline.finish(&joins, Timestamp::from_micros(1_795_486_241_000_000));
    processed.offer(|sink, _| panic!("{sink} has room"));
    assert_eq!((progress, joins.counts().messages), (JoinProgress::Done, 0));
    let records = json(&mut queue);
    let of =
        |event: &str| records.iter().find(|record| record["postfix"]["event"] == event).unwrap()["postfix"].clone();
    assert_eq!((&of("message")["closed_by"], &of("message")["incomplete"]), (&"shutdown".into(), &true.into()));
    assert_eq!(of("session")["queue_ids"], serde_json::json!(["4jYR9Q2wTjz18T"]));
    assert_eq!((shown(&first), shown(&pipeline), counts(&all)), ([5, 0], [0, 2], [7, 0, 7, 0, 0]));
}

/// No line comes again that would make it.
#[test]
fn a_summary_that_time_makes_is_durable_if_asked() {
    for (receipt, is_durable) in [(None, false), (Some(Receipt::of_durable()), true)] {
        let (all, mut queue) = outlet("all", events(&["message"]), 1 << 20);
        let joins = Arc::new(Correlator::new(crate::correlate::JoinSettings::DEFAULT));
        let outlets = vec![(Encoder::default(), Arc::clone(&all))];
        let pipeline = Pipeline::new(Vec::new()).succeeded_by(outlets, Some(joins));
        // Its first lines are missing.
        offer(&pipeline, &MESSAGE[4..]);
        let later = Timestamp::from_micros(RECEIVED + 10_000_000);
        let (processed, _) = pipeline.tick(later, receipt);
        processed.offer(|sink, _| panic!("{sink} has room"));
        let mut batches = VecDeque::new();
        while queue.receive(&mut batches, 100, Duration::ZERO) == Received::Batches {}
        let awaited: Vec<_> = batches.iter().map(Batch::is_awaited).collect();
        assert_eq!(awaited, [is_durable]);
        batches.into_iter().for_each(Batch::delivered);
    }
}

#[test]
fn without_joins_each_line_has_its_record_alone() {
    let (all, mut queue) = outlet("all", Select::default(), 1 << 20);
    let pipeline = in_english(&[&all]);
    offer(&pipeline, &MESSAGE);
    let (processed, progress) = pipeline.tick(Timestamp::now(), None);
    processed.offer(|sink, _| panic!("{sink} has room"));
    let records = json(&mut queue);
    assert_eq!((records.len(), progress), (6, JoinProgress::Done));
    assert!(records.iter().all(|record| record["postfix"].get("mail").is_none()));
}
