//! Real Postfix, real rsyslog, real Kafka: is every delivery of Postfix's own log in Kafka and in the file, with equal
//! values?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::kafka::Kafka;
use testkit::postfix::{Destination, Postfix};
use testkit::postrider::Postrider;
use testkit::rsyslog::{Forward, LogFile, Rsyslog};
use testkit::scratch;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);

/// The ways in which rsyslog forwards here, by the name of the source.
const WAYS: [&str; 3] = ["udp", "lines", "rfc5424"];

/// Fields of a delivery line, read by plain splitting: the oracle.
fn of_line(line: &str) -> Option<Value> {
    let (header, text) = line.split_once("]: ")?;
    let daemon = header.rsplit_once('[')?.0.rsplit_once('/')?.1;
    let (queue_id, text) = text.split_once(": to=<")?;
    let (to, text) = text.split_once(">, ")?;
    let (fields, reason) = text.split_once(" (")?;
    let mut oracle = BTreeMap::from([
        ("daemon", json!(daemon)),
        ("queue_id", json!(queue_id)),
        ("to", json!(to)),
        ("reason", json!(reason.strip_suffix(')')?)),
    ]);
    for (key, value) in fields.split(", ").filter_map(|field| field.split_once('=')) {
        let value = match key {
            "orig_to" => json!(value.trim_matches(['<', '>'])),
            "conn_use" => serde_json::from_str(value).ok()?,
            "delay" => json!(value.parse::<f64>().ok()?),
            "delays" => {
                json!(value.split('/').map(|part| part.parse().ok()).collect::<Option<Vec<f64>>>()?)
            }
            _ => json!(value),
        };
        oracle.insert(key, value);
    }
    Some(json!(oracle))
}

/// The same of a record.
fn of_record(record: &Value) -> Value {
    let postfix = &record["postfix"];
    let mut same = BTreeMap::new();
    for key in ["daemon", "queue_id", "to", "orig_to", "delay", "conn_use", "status", "reason"] {
        if !postfix[key].is_null() {
            same.insert(key, postfix[key].clone());
        }
    }
    same.insert("dsn", postfix["dsn"]["code"].clone());
    let delays = &postfix["delays"];
    let stages = ["before_queue_manager", "in_queue_manager", "connection_setup", "transmission"];
    same.insert("delays", json!(stages.map(|stage| &delays[stage])));
    same.insert("relay", json!(relay(&postfix["relay"])));
    json!(same)
}

/// A relay as Postfix writes it.
fn relay(relay: &Value) -> String {
    let Some(name) = relay["name"].as_str() else { return "none".to_owned() };
    let ip = relay["ip"].as_str().map(|ip| format!("[{ip}]")).unwrap_or_default();
    let port = relay["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{name}{ip}{port}")
}

/// Both as sorted text, to be compared as multisets.
fn sorted(values: impl Iterator<Item = Value>) -> Vec<String> {
    let mut values: Vec<String> = values.map(|value| value.to_string()).collect();
    values.sort();
    values
}

#[test]
fn every_delivery_of_a_real_postfix_reaches_kafka_and_the_file() {
    let kafka = Kafka::start();
    kafka.create_topic("mail", 3);
    let directory = scratch::directory("end-to-end");
    let path = directory.path().join("mx1.json");
    let sources: String = [("udp", "udp"), ("tcp", "lines"), ("tcp", "rfc5424")]
        .map(|(kind, name)| format!("[[source.{kind}]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n"))
        .concat();
    let mut postrider = Postrider::spawn(&format!(
        "{sources}[[sink.file]]\npath = \"{}/{{hostname}}.json\"\n\
         [[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"mail\"\nevents = [\"delivery\"]\n",
        directory.path().display(),
        kafka.brokers()
    ));
    let rsyslog = Rsyslog::setup()
        .forward(Forward::Udp(postrider.address("udp").port()))
        .forward(Forward::Tcp(postrider.address("lines").port()))
        .forward(Forward::Rfc5424(postrider.address("rfc5424").port()))
        .permit_slash_in_program_name()
        .start();
    let oracle = run_mail(&rsyslog);

    // Everything that rsyslog wrote to its own file has been forwarded over each way.
    let logged = rsyslog.lines(LogFile::Traditional).len();
    let records = || fs::read_to_string(&path).unwrap_or_default();
    wait_until(DEADLINE, "every message over every way", || records().lines().count() >= logged * WAYS.len());
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);

    let in_file: Vec<Value> =
        records().lines().map(|line| serde_json::from_str(line).expect("a JSON object per line")).collect();
    let consumed = kafka.consume_all("mail", oracle.len() * WAYS.len(), DEADLINE);
    let in_kafka: Vec<Value> =
        consumed.iter().map(|record| serde_json::from_slice(&record.value).expect("a JSON object")).collect();
    for way in WAYS {
        for (sink, records) in [("file", &in_file), ("kafka", &in_kafka)] {
            let deliveries = records
                .iter()
                .filter(|record| record["source"]["name"] == way && record["postfix"]["event"] == "delivery");
            assert_eq!(sorted(deliveries.map(of_record)), sorted(oracle.iter().cloned()), "{way} to {sink}");
        }
    }
    // The same record in both, byte for byte.
    let lines: BTreeSet<String> = records().lines().map(str::to_owned).collect();
    for record in &consumed {
        let value = String::from_utf8(record.value.clone()).expect("UTF-8");
        assert!(lines.contains(&value), "in Kafka only: {value}");
        assert_eq!(record.key.as_deref(), in_key(&value).as_deref().map(str::as_bytes));
    }
}

fn in_key(value: &str) -> Option<String> {
    let value: Value = serde_json::from_str(value).ok()?;
    value["postfix"]["queue_id"].as_str().map(str::to_owned)
}

/// Sends mail to every kind of destination, and gives what Postfix's own log says of the deliveries.
fn run_mail(rsyslog: &Rsyslog) -> Vec<Value> {
    let postfix = Postfix::start(rsyslog);
    let user = |destination: Destination, name: &str| format!("{name}@{}", destination.domain());
    let recipients = [
        user(Destination::Sent, "anna"),
        user(Destination::Deferred, "anna"),
        user(Destination::Bounced, "nobody"),
        user(Destination::Refused, "anna"),
        user(Destination::Lmtp, "anna"),
        user(Destination::Local, "nobody"),
        user(Destination::Virtual, "user"),
        user(Destination::Pipe, "anna"),
        user(Destination::Discard, "anna"),
        user(Destination::Error, "anna"),
        user(Destination::Retry, "anna"),
    ];
    for recipient in &recipients {
        postfix.send(10, &user(Destination::Sent, "sender"), &[recipient]);
    }
    let deliveries =
        || -> Vec<Value> { rsyslog.lines(LogFile::Traditional).iter().filter_map(|line| of_line(line)).collect() };
    let reached = |recipient: &String| deliveries().iter().filter(|delivery| delivery["to"] == **recipient).count();
    wait_until(DEADLINE, "a delivery to every recipient", || recipients.iter().all(|to| reached(to) >= 10));
    // Stops Postfix, so that its log is complete.
    drop(postfix);
    let deliveries = deliveries();
    let statuses: BTreeSet<&str> = deliveries.iter().filter_map(|delivery| delivery["status"].as_str()).collect();
    assert_eq!(statuses, BTreeSet::from(["bounced", "deferred", "sent"]));
    let daemons: BTreeSet<&str> = deliveries.iter().filter_map(|delivery| delivery["daemon"].as_str()).collect();
    for daemon in ["smtp", "lmtp", "local", "virtual", "pipe", "discard", "error"] {
        assert!(daemons.contains(daemon), "{daemon} delivered nothing: {daemons:?}");
    }
    deliveries
}
