//! Does Kafka take every record, whatever time its sender wrote on it?

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::promises::DEADLINE;
use testkit::clock::{stamp, stamp_ahead};
use testkit::kafka::{Consumed, Kafka};
use testkit::postrider::{Postrider, assert_clean, program};
use testkit::scratch;

const HOUR: Duration = Duration::from_secs(3600);

/// The value, and the time that the broker keeps with it.
fn parts(record: &Consumed) -> (Value, i64) {
    (serde_json::from_slice(&record.value).expect("a JSON object"), record.timestamp.expect("a timestamp"))
}

fn milliseconds(value: &Value) -> i64 {
    let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time in RFC 3339");
    time.as_millisecond()
}

/// A broker with default settings takes nothing that is more than an hour ahead, or before 1970.
#[test]
fn kafka_takes_records_of_any_time_and_the_json_keeps_the_truth() {
    let kafka = Kafka::shared();
    kafka.create_topic("times", 1);
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"times\"\n",
        kafka.brokers()
    ));
    let ahead = |time| (stamp_ahead(time), true);
    let times = [
        (stamp(Duration::ZERO), false),
        ahead(HOUR / 2),
        ahead(2 * HOUR),
        ahead(9 * HOUR),
        (stamp(1000 * 24 * HOUR), false),
        ("1969-07-20T20:17:40Z".to_owned(), false),
        ("9999-12-01T23:59:59Z".to_owned(), true),
    ];
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    for (time, _) in &times {
        writeln!(socket, "<22>{time} mx1 test[1]: text").expect("room");
    }
    let consumed = kafka.consume_all("times", times.len(), DEADLINE);
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.sink("kafka").count("delivered"), times.len() as u64, "{}", ended.stderr);
    assert_eq!(ended.sink("kafka").count("retries"), 0, "{}", ended.stderr);
    assert_eq!(consumed.len(), times.len());
    for (record, (time, ahead)) in consumed.iter().zip(&times) {
        let (value, kept) = parts(record);
        assert_eq!(value["timestamp"], time.replace('Z', ".000000Z"));
        let flags = value["flags"].as_array().cloned().unwrap_or_default();
        assert_eq!(flags.contains(&"clock_ahead".into()), *ahead, "{value}");
        let (own, received) = (milliseconds(&value["timestamp"]), milliseconds(&value["received_at"]));
        assert_eq!(kept, if own > 0 { own.min(received) } else { received }, "{value}");
    }
}

/// A record that an earlier version set aside has the time that the broker refused.
#[test]
fn a_replay_sends_what_was_refused_for_its_time() {
    let kafka = Kafka::shared();
    kafka.create_topic("replayed", 1);
    let directory = scratch::directory("replayed");
    let (config, letters) = (directory.path().join("postrider.toml"), directory.path().join("dead.jsonl"));
    let text = format!(
        "[[source.stdin]]\n[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"replayed\"\ndead_letter = \"{}\"\n",
        kafka.brokers(),
        letters.display()
    );
    fs::write(&config, text).expect("a configuration");
    let now = jiff::Timestamp::now().as_millisecond();
    let ahead = now + 9 * 3_600_000;
    let letter = format!(
        "{{\"refused_at\":\"2026-11-24T02:10:36.120481Z\",\"sink\":\"kafka\",\"route\":\"replayed\",\
         \"reason\":\"InvalidTimestamp (Broker: Invalid timestamp)\",\"id\":\"019ab2c4-5d40-7a31-8d1e-6b0000000001\",\
         \"timestamp_ms\":{ahead},\"record\":{{\"id\":\"019ab2c4-5d40-7a31-8d1e-6b0000000001\"}}}}\n"
    );
    fs::write(&letters, letter).expect("a dead-letter file");
    let mut replay = Command::new(program());
    let ended = replay.args(["replay", "-c"]).arg(&config).arg(&letters).output().expect("postrider runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let consumed = kafka.consume_all("replayed", 1, DEADLINE);
    let [record] = &consumed[..] else { panic!("{} records", consumed.len()) };
    let (_, kept) = parts(record);
    assert!((now..=jiff::Timestamp::now().as_millisecond()).contains(&kept), "{kept}, sent after {now}");
}
