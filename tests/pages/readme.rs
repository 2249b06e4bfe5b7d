//! Does every command and block of the README do what it says?

use std::fs;
use std::process::Command;
use std::time::Duration;

use jiff::tz::TimeZone;
use postrider::encode::{Buffer, Encoder};
use postrider::frame::Frame;
use postrider::read_frame;
use postrider::record::{Origin, Peer, RecordIds, Transport};
use postrider::syslog::Context;
use postrider::time::Timestamp;
use serde_json::Value;
use testkit::process::Process;
use testkit::scratch;
use testkit::wait::wait_for;

use crate::docs::running::assert_prints;

const README: &str = include_str!("../../README.md");

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
        assert!(["syslog", "json", "console", "sh", "toml"].contains(&kind), "{kind}: {block}");
    }
    assert_eq!(of_kind("sh").len(), 3);
    assert_eq!(of_kind("sh")[1], "./dev test");
    assert!(README.lines().count() <= 150, "the README is to be read in five minutes");
    let ci = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")).expect("the run of CI");
    assert!(ci.contains("./dev test"), "CI runs the second command");
}

#[test]
fn the_record_is_what_the_line_gives() {
    let [line] = of_kind("syslog")[..] else { panic!("one line") };
    let [record, _] = of_kind("json")[..] else { panic!("two records") };
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

#[test]
fn the_story_is_told_as_shown() {
    let [story] = of_kind("console")[..] else { panic!("one command") };
    assert_prints(story);
}

#[test]
fn the_record_of_the_message_is_what_its_lines_give() {
    let [_, record] = of_kind("json")[..] else { panic!("two records") };
    let shown: Value = serde_json::from_str(record).expect("JSON");
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/trace/greylisted.log");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["decode", "--messages", log]).output();
    let mut real: Value = serde_json::from_slice(&output.expect("postrider runs").stdout).expect("one record");
    // Others each time, and too long to show.
    for name in ["id", "received_at"] {
        real[name] = shown[name].clone();
    }
    let text = &mut real["postfix"]["recipients"][0]["dsn"]["text"];
    assert_eq!(*text, "The server accepted the message or command.");
    *text = "…".into();
    assert_eq!(format!("{real:#}"), format!("{shown:#}"));
}

#[test]
fn the_configuration_is_valid() {
    let [text] = of_kind("toml")[..] else { panic!("one configuration") };
    let config = postrider::config::parse(text, "README.md").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.sources.len(), config.sinks.len()), (1, 2));
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
    let record = wait_for(DEADLINE, "the record", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        text.ends_with('\n').then_some(text)
    });
    let record: Value = serde_json::from_str(&record).expect("one record");
    assert_eq!(record["app_name"], "postfix/smtp");
    assert_eq!(record["postfix"]["delays"]["transmission"], 0.69);
    assert_eq!(record["postfix"]["remote_queue_id"], "9A8B7C6D5E");
    assert!(postrider.terminate(DEADLINE).success(), "{}", log());
    assert!(log().contains("balanced=true"), "{}", log());
}
