//! Does every command and block of the README do what it says?

mod peers;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::tz::TimeZone;
use peers::process::Process;
use peers::rsyslog::Rsyslog;
use peers::scratch;
use peers::wait::wait_for;
use postrider::encode::{Buffer, Encoder};
use postrider::frame::Frame;
use postrider::pipeline::read_frame;
use postrider::record::{Event, Origin, Peer, RecordIds, Transport};
use postrider::syslog::Context;
use postrider::time::Timestamp;
use serde_json::Value;

const README: &str = include_str!("../README.md");

/// `./dev run` builds a release first, on a machine that may have none.
const BUILD: Duration = Duration::from_secs(20 * 60);
const DEADLINE: Duration = Duration::from_secs(30);

/// The blocks between fences, with the word behind the opening one.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = README;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').expect("a block");
        let (block, after) = after.split_once("\n```\n").expect("the end of a block");
        blocks.push((kind, block));
        rest = after;
    }
    blocks
}

fn of_kind(kind: &str) -> Vec<&'static str> {
    blocks().into_iter().filter(|(found, _)| *found == kind).map(|(_, block)| block).collect()
}

#[test]
fn every_block_is_of_a_kind_that_is_tested() {
    for (kind, block) in blocks() {
        assert!(
            ["syslog", "json", "sh", "rsyslog", "console", "toml", "log", "text"].contains(&kind),
            "{kind}: {block}"
        );
    }
    assert_eq!(of_kind("sh").len(), 3);
    assert_eq!(of_kind("sh")[1], "./dev test");
    let ci = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")).expect("the run of CI");
    assert!(ci.contains("./dev test"), "CI runs the second command");
}

#[test]
fn the_record_is_what_the_line_gives() {
    let [line] = of_kind("syslog")[..] else { panic!("one line") };
    let [record] = of_kind("json")[..] else { panic!("one record") };
    let shown: Value = serde_json::from_str(record).expect("JSON");
    let origin = Origin {
        name: "tcp".to_owned(),
        transport: Transport::Tcp,
        zone: TimeZone::UTC,
        format: postrider::syslog::Format::Auto,
    };
    let received_at = Timestamp::from_micros(1_795_486_235_218_704);
    let frame = Frame { bytes: line.as_bytes(), truncated: false };
    let id = RecordIds::default().reserve(received_at, 1).take();
    let mut json = Buffer::default();
    read_frame(&frame, Peer::at("192.0.2.1:51234"), &origin, &Context::new(received_at, &origin.zone), id, |record| {
        Encoder::default().encode(record, &mut json);
    });
    let mut real: Value = serde_json::from_slice(&json).expect("JSON");
    // Another each time, and too long to show.
    real["id"] = shown["id"].clone();
    assert_eq!(shown["postfix"]["dsn"]["text"], "…");
    real["postfix"]["dsn"]["text"] = "…".into();
    assert_eq!(format!("{real:#}"), format!("{shown:#}"));
}

/// For each event the line of the corpus that fills most of its fields, the shortest of several, and those fields. A
/// delivery has its record at the head of the README.
fn events() -> String {
    let mut best: BTreeMap<String, (Reverse<usize>, usize, String)> = BTreeMap::new();
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/postfix"));
    let mut paths: Vec<_> =
        fs::read_dir(corpus).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")) {
        for line in fs::read_to_string(path).expect("records").lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            let Some(postfix) = record["postfix"].as_object() else { continue };
            let (app_name, message) = (text(&record["app_name"]), text(&record["message"]));
            // A line that fits on a screen, with a tag that is whole.
            if !app_name.contains('/') || message.len() > 250 {
                continue;
            }
            let keys = postfix.values().map(|value| value.as_object().map_or(1, serde_json::Map::len)).sum();
            let shown = format!("    {app_name}: {message}\n    {}\n", own_fields(line, postfix));
            let candidate = (Reverse(keys), message.len(), shown);
            let known = best.entry(text(&postfix["event"]).to_owned()).or_insert_with(|| candidate.clone());
            if candidate < *known {
                *known = candidate;
            }
        }
    }
    let example = |event: &&str| match best.get(*event) {
        Some((_, _, shown)) => format!("{event}\n{shown}"),
        None => panic!("no line of the corpus gives the event {event}"),
    };
    Event::NAMES.iter().filter(|event| **event != "delivery").map(example).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// The fields that an event has beside the common ones, cut out of the text of its record, which has their order.
fn own_fields(line: &str, postfix: &serde_json::Map<String, Value>) -> String {
    let (_, fields) = line.split_once("\"postfix\":").expect("the fields of Postfix");
    let mut fields = fields.strip_suffix('}').expect("the end of the record").to_owned();
    for key in ["event", "instance", "service", "daemon", "level", "queue_id", "queued_at"] {
        if let Some(value) = postfix.get(key) {
            let pair = format!("\"{key}\":{value}");
            fields = fields.replacen(&format!("{pair},"), "", 1).replacen(&pair, "", 1);
        }
    }
    fields.replace(",}", "}")
}

#[test]
fn the_events_are_those_of_the_corpus() {
    let events = events();
    let [shown] = of_kind("text")[..] else { panic!("one list of events") };
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        fs::write(path, README.replace(shown, events.trim_end())).expect("the README is writable");
        return;
    }
    assert_eq!(shown, events.trim_end(), "`UPDATE=1 cargo test --test readme the_events` rewrites the list");
}

#[test]
fn the_configuration_is_valid() {
    let [text] = of_kind("toml")[..] else { panic!("one configuration") };
    let config = postrider::config::parse(text, "README.md").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.sources.len(), config.sinks.len()), (2, 2));
}

#[test]
fn every_command_prints_what_is_shown() {
    let directory = Path::new(env!("CARGO_BIN_EXE_postrider")).parent().expect("a directory").display().to_string();
    let path = format!("{directory}:{}", std::env::var("PATH").expect("a PATH"));
    let console = of_kind("console");
    assert!(console.len() >= 4);
    for block in console {
        let (command, shown) = block.split_once('\n').expect("a command and what it prints");
        let command = command.strip_prefix("$ ").expect("a prompt");
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}; }} 2>&1")])
            .env("PATH", &path)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        // Another machine permits another number of descriptors.
        let without_limit = |text: &str| match text.split_once(" needed, ") {
            Some((needed, _)) => format!("{needed} needed"),
            None => text.to_owned(),
        };
        let output = String::from_utf8_lossy(&output.stdout);
        assert_eq!(without_limit(output.trim_end()), without_limit(shown), "{command}");
    }
}

#[test]
fn the_first_command_runs_and_takes_what_the_five_minutes_send() {
    let directory = scratch::directory("readme");
    let (stdout, stderr) = (directory.path().join("stdout"), directory.path().join("stderr"));
    let [run, _, send] = of_kind("sh")[..] else { panic!("three commands") };
    let in_repository = format!("cd '{}' && exec {run}", env!("CARGO_MANIFEST_DIR"));
    let mut postrider = Process::start_apart("/bin/sh", &["-c", &in_repository], &stdout, &stderr);
    let log = || fs::read_to_string(&stderr).unwrap_or_default();
    postrider.wait_ready(BUILD, || (log().matches("listening").count() == 2).then_some(()));

    let status = Command::new("sh").args(["-c", send]).status().expect("sh");
    assert!(status.success());
    let rsyslog = Rsyslog::setup().further(of_kind("rsyslog")[0]).start();
    rsyslog.log("postfix/submission/smtpd[1234567]", ["connect from client.example.com[192.0.2.1]"]);
    let records = wait_for(DEADLINE, "two records", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        (text.ends_with('\n') && text.lines().count() == 2).then_some(text)
    });
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records[0]["app_name"], "postfix/smtp");
    assert_eq!(records[0]["postfix"]["delays"]["transmission"], 0.69);
    assert_eq!(records[0]["postfix"]["remote_queue_id"], "9A8B7C6D5E");
    assert_eq!(records[1]["app_name"], "postfix/submission/smtpd");
    assert_eq!(records[1]["procid"], "1234567");
    assert_eq!(records[1]["postfix"]["service"], "submission");
    assert!(postrider.terminate(DEADLINE).success(), "{}", log());
    assert!(log().contains("balanced=true"), "{}", log());
}
