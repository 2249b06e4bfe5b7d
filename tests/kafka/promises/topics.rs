//! What becomes of records whose topic is missing, or that a topic refuses?

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::promises::DEADLINE;
use testkit::clock::stamp;
use testkit::kafka::{Consumed, Kafka};
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::wait_until;

const PAGE: &str = include_str!("../../../docs/kafka.md");

/// The only block of this kind on the page.
fn block(kind: &str) -> &'static str {
    let fence = format!("```{kind}\n");
    let mut parts = PAGE.split(&fence).skip(1);
    let block = parts.next().and_then(|part| part.split("```").next()).expect("a block");
    assert!(parts.next().is_none(), "one block of {kind}");
    block
}

/// From TCP to a sink.
fn run(sink: &str) -> Postrider {
    Postrider::spawn(&format!("shutdown_timeout = \"60s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{sink}"))
}

fn connect(postrider: &mut Postrider) -> TcpStream {
    TcpStream::connect(postrider.address("tcp")).expect("a connection")
}

fn send(mut socket: &TcpStream, host: &str, time: &str, numbers: std::ops::Range<usize>) {
    let mut lines = String::new();
    for number in numbers {
        writeln!(lines, "<22>{time} {host} test[1]: {number}").expect("a String takes all");
    }
    socket.write_all(lines.as_bytes()).expect("room");
}

fn values(consumed: &[Consumed]) -> Vec<Value> {
    consumed.iter().map(|record| serde_json::from_slice(&record.value).expect("a JSON object")).collect()
}

fn numbers(consumed: &[Consumed]) -> Vec<usize> {
    let number = |value: &Value| value["message"].as_str().and_then(|text| text.parse().ok()).expect("a number");
    values(consumed).iter().map(number).collect()
}

fn letters(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// The log says it at once, before the first record.
#[test]
fn records_wait_for_the_only_topic_and_the_log_says_what_to_do() {
    const MANY: usize = 9000;
    let kafka = Kafka::shared();
    let directory = scratch::directory("topic");
    let path = directory.path().join("dead-letter.jsonl");
    let (port, topic, file) = ("127.0.0.1:9092", "mail", "/var/lib/postrider/dead-letter.jsonl");
    let on_page = |text: &str| {
        let text = text.replace(port, &kafka.brokers()).replace(file, &path.display().to_string());
        text.replace("\"mail\"", "\"missing\"").replace("topic mail", "topic missing")
    };
    assert!([port, topic, file].iter().all(|part| block("toml").contains(part)));
    let mut postrider = run(&on_page(block("toml")));
    // Before the first record.
    let begun = Instant::now();
    let expected = on_page(block("log"));
    let said = |log: &str| log.lines().any(|line| line.contains(expected.trim_start_matches("WARN ").trim_end()));
    wait_until(DEADLINE, "what is missing", || said(&postrider.stderr()));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    let socket = connect(&mut postrider);
    send(&socket, "mx1", &stamp(Duration::ZERO), 0..MANY);
    kafka.create_topic("missing", 1);
    let consumed = kafka.consume_all("missing", MANY, DEADLINE);
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(numbers(&consumed).into_iter().eq(0..MANY), "missing, repeated, or out of order: {}", ended.stderr);
    assert_eq!(ended.sink("kafka").count("delivered"), MANY as u64, "{}", ended.stderr);
    assert_eq!(letters(&path), 0);
}

#[test]
fn a_bad_topic_of_a_template_delays_no_other_and_loses_nothing() {
    let kafka = Kafka::shared();
    kafka.create_topic("of-good", 1);
    kafka.create_topic("of-others", 1);
    let directory = scratch::directory("topics");
    let path = directory.path().join("dead.jsonl");
    let mut postrider = run(&format!(
        "[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"of-{{hostname}}\"\nmax_routes = 2\ndead_letter = \"{}\"\n",
        kafka.brokers(),
        path.display()
    ));
    let socket = connect(&mut postrider);
    let now = stamp(Duration::ZERO);
    send(&socket, "bad", &now, 0..300);
    send(&socket, "good", &now, 0..100);
    send(&socket, "further", &now, 0..50);
    send(&socket, "good", &now, 100..200);
    wait_until(DEADLINE, "the dead letters", || letters(&path) == 300);
    let good = kafka.consume_all("of-good", 200, DEADLINE);
    let others = kafka.consume_all("of-others", 50, DEADLINE);
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(numbers(&good).into_iter().eq(0..200), "missing, repeated, or out of order");
    assert!(numbers(&others).into_iter().eq(0..50), "missing, repeated, or out of order");
    assert!(values(&others).iter().all(|value| value["hostname"] == "further"));
    assert_eq!(ended.sink("kafka").count("dropped_rejected"), 300);
    let command = format!("kafka-topics.sh --bootstrap-server {} --create --topic of-bad", kafka.brokers());
    for said in [command.as_str(), "more than max_routes = 2 names"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

/// Kafka refuses the whole request, whether one or several of its records are at fault.
#[test]
fn a_record_that_a_topic_refuses_takes_no_other_with_it() {
    const MANY: usize = 5000;
    let kafka = Kafka::shared();
    kafka.create_topic("timely", 1);
    kafka.set("timely", "message.timestamp.before.max.ms", "3600000");
    let directory = scratch::directory("refused-times");
    let path = directory.path().join("dead.jsonl");
    let mut postrider = run(&format!(
        "[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"timely\"\ndead_letter = \"{}\"\n",
        kafka.brokers(),
        path.display()
    ));
    let (now, old) = (stamp(Duration::ZERO), stamp(Duration::from_secs(7200)));
    let socket = connect(&mut postrider);
    for begin in (0..MANY).step_by(1000) {
        send(&socket, "mx1", &now, begin..begin + 999);
        send(&socket, "mx1", &old, begin + 999..begin + 1000);
    }
    wait_until(DEADLINE, "the dead letters", || letters(&path) >= MANY / 1000);
    let consumed = kafka.consume_all("timely", MANY - MANY / 1000, DEADLINE);
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let mut found = numbers(&consumed);
    found.sort_unstable();
    let expected: Vec<usize> = (0..MANY).filter(|number| number % 1000 != 999).collect();
    assert!(found == expected, "missing or repeated: {} records", found.len());
    assert_eq!(ended.sink("kafka").count("dropped_rejected"), (MANY / 1000) as u64);
    let kept = fs::read_to_string(&path).expect("dead letters");
    assert!(kept.lines().all(|line| line.contains("InvalidTimestamp") || line.contains("InvalidRecord")), "{kept}");
}
