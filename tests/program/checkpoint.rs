//! Do open messages survive a stop, and a crash at each step of a checkpoint?

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::mail::{MailHeader, MailHistory};
use testkit::postrider::{Postrider, assert_clean};
use testkit::status::Status;
use testkit::unread::Unread;
use testkit::wait::{wait, wait_until};
use testkit::{scratch, seeds};

const DEADLINE: Duration = Duration::from_secs(60);

fn joins(directory: &Path, interval: &str) -> String {
    let directory = directory.display();
    format!("[correlate]\nenabled = true\ncheckpoint = \"{directory}\"\ncheckpoint_interval = \"{interval}\"\n")
}

/// Random lines of several mail systems, in order.
fn lines(rng: fastrand::Rng, messages: u32) -> Vec<String> {
    let history = MailHistory::random(rng, messages);
    history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect()
}

/// Returns the last summary of each message that is over, without its revision, by its key.
fn summaries(records: &str) -> BTreeMap<String, Value> {
    let mut last = BTreeMap::<String, (u64, Value)>::new();
    for record in records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let mut postfix = record["postfix"].clone();
        if postfix["event"] != "message" || postfix["closed_by"] != "removed" {
            continue;
        }
        let key = postfix["key"].as_str().expect("a key").to_owned();
        let revision = postfix.as_object_mut().and_then(|fields| fields.remove("revision"));
        let revision = revision.and_then(|revision| revision.as_u64()).expect("a number");
        if last.get(&key).is_none_or(|(known, _)| *known <= revision) {
            last.insert(key, (revision, postfix));
        }
    }
    last.into_iter().map(|(key, (_, summary))| (key, summary)).collect()
}

/// Returns what `decode --messages` says of these lines: the joins without any stop.
fn decoded(lines: &[String]) -> BTreeMap<String, Value> {
    let directory = scratch::directory("checkpoint-decode");
    let path = directory.path().join("mail.log");
    fs::write(&path, lines.join("\n")).expect("a file");
    let decode = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["decode", "--messages"]).arg(path).output();
    let output = decode.expect("postrider runs");
    assert!(output.status.success());
    summaries(&String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Waits until `out` tells the same of each message. A late line gives the record of a message again 2 s later.
#[track_caller]
fn wait_same(out: &Path, expected: &BTreeMap<String, Value>) {
    let told = || summaries(&String::from_utf8_lossy(&fs::read(out).unwrap_or_default()));
    let _ = wait(DEADLINE, || (told() == *expected).then_some(()));
    assert_same(&told(), expected);
}

#[track_caller]
fn assert_same(told: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    for (key, expected) in expected {
        assert_eq!(told.get(key), Some(expected), "{key}");
    }
    assert!(told.keys().eq(expected.keys()), "{told:#?}");
}

fn send(address: SocketAddr, lines: &[String]) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    for line in lines {
        writeln!(socket, "{line}").expect("room");
    }
}

#[test]
fn messages_that_are_open_at_a_stop_are_told_after_it() {
    seeds::each(1, |rng| assert_stops_change_nothing(&lines(rng, 40)));
}

/// Stops between the lines three times.
fn assert_stops_change_nothing(lines: &[String]) {
    let directory = scratch::directory("checkpoint");
    let out = directory.path().join("out.jsonl");
    let config = format!(
        "{}[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n",
        joins(directory.path(), "50ms"),
        out.display()
    );
    let (expected, size) = (decoded(lines), lines.len().div_ceil(4));
    for (number, part) in (1..).zip(lines.chunks(size)) {
        let mut postrider = Postrider::spawn(&config);
        send(postrider.address("tcp"), part);
        postrider
            .status()
            .wait(DEADLINE, "all lines", |status| status.source("tcp").count("received") == part.len() as u64);
        if number * size >= lines.len() {
            wait_same(&out, &expected);
        }
        assert_clean(&postrider.terminate(DEADLINE));
    }
    let records = fs::read_to_string(&out).expect("records");
    assert!(expected.len() > 10 && !records.contains("\"closed_by\":\"shutdown\""));
    assert_same(&summaries(&records), &expected);
    let mode = fs::metadata(directory.path().join("correlate.checkpoint")).expect("a checkpoint").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// Each point, with how often it is passed by before the process dies there, and the time between two checkpoints. The
/// cursor is written once a second: it is ahead of the checkpoint, or behind it.
const POINTS: [(&str, usize, &str); 9] = [
    ("before-checkpoint-rename", 1, "50ms"),
    ("after-checkpoint-rename", 1, "50ms"),
    ("after-cursor-rename", 3, "10m"),
    ("before-checkpoint-rename", 3, "50ms"),
    ("before-cursor-rename", 2, "50ms"),
    ("after-checkpoint-rename", 4, "50ms"),
    ("after-cursor-rename", 4, "1500ms"),
    ("before-file-fdatasync", 3, "50ms"),
    ("after-file-fdatasync", 3, "50ms"),
];

#[test]
fn messages_of_a_file_are_whole_wherever_the_process_dies() {
    seeds::each(1, |rng| assert_crashes_change_nothing(&lines(rng, 400)));
}

fn assert_crashes_change_nothing(lines: &[String]) {
    let directory = scratch::directory("checkpoint-crash");
    let directory = directory.path();
    let (log, out) = (directory.join("mail.log"), directory.join("out.jsonl"));
    let config = |interval| {
        let (joins, log, directory, out) =
            (joins(directory, interval), log.display(), directory.display(), out.display());
        format!(
            "{joins}[[source.file]]\npaths = [\"{log}\"]\nstart = \"beginning\"\nstate = \"{directory}/state\"\n\
             [[sink.file]]\npath = \"{out}\"\n"
        )
    };
    let mut rest = lines;
    let mut append = |most: usize| {
        let (part, behind) = rest.split_at(most.min(rest.len()));
        rest = behind;
        let mut file = File::options().create(true).append(true).open(&log).expect("a file");
        for line in part {
            writeln!(file, "{line}").expect("room");
        }
        behind.is_empty()
    };
    for (point, count, interval) in POINTS {
        let at = format!("{point}:{count}");
        let variable = ("POSTRIDER_CRASH_AT", at.as_str());
        let size = || fs::metadata(&out).map_or(0, |file| file.len());
        let before = size();
        append(1);
        let mut postrider = Unread::spawn_with(&config(interval), &directory.join("stderr"), variable);
        wait_until(DEADLINE, &format!("the end at {at}"), || {
            // A machine that is busy needs time until the process reads: the lines must last for all points.
            assert!(size() == before || !append(lines.len() / 3000 + 1), "too few lines until {at}");
            postrider.has_ended()
        });
        let ended = postrider.ended(DEADLINE);
        assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32), "{at}: {}\n{}", ended.status, ended.stderr);
    }
    append(lines.len());
    let postrider = Unread::spawn(&config("50ms"), &directory.join("stderr"));
    let expected = decoded(lines);
    assert!(expected.len() > 100);
    wait_same(&out, &expected);
    assert_clean(&postrider.terminate(DEADLINE));
    assert_same(&summaries(&fs::read_to_string(&out).expect("records")), &expected);
}

/// No line comes again that would make it, and the next checkpoint has it as delivered.
#[test]
fn a_summary_that_time_makes_is_on_the_disk_of_a_file() {
    let directory = scratch::directory("checkpoint-fsync");
    let directory = directory.path();
    let config = format!(
        "{}[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}/out.jsonl\"\nfsync = \"1h\"\n",
        joins(directory, "1h"),
        directory.display()
    );
    let variable = ("POSTRIDER_CRASH_AT", "after-file-fdatasync:1");
    let mut postrider = Unread::spawn_with(&config, &directory.join("stderr"), variable);
    let address = postrider.address("tcp");
    // Its other lines are missing, so it waits for them.
    let line = "<22>1 2026-11-24T02:10:35Z mx1 postfix/qmgr 900 - - 4jYR9Q2wTjz18T: removed";
    send(address, &[line.to_owned()]);
    wait_until(DEADLINE, "the end at a sync", || postrider.has_ended());
    let ended = postrider.ended(DEADLINE);
    assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32), "{}", ended.stderr);
    let written = fs::read_to_string(directory.join("out.jsonl")).expect("records");
    let events: Vec<_> = written
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["postfix"]["event"].clone())
        .collect();
    assert_eq!(events, ["removed", "message"]);
}

#[test]
fn a_checkpoint_that_cannot_be_used_costs_no_start() {
    let directory = scratch::directory("checkpoint-damaged");
    let sinks = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    fs::write(directory.path().join("correlate.checkpoint"), "postrider joins 4\nand more").expect("a file");
    let mut postrider = Postrider::spawn(&format!("{}{sinks}", joins(directory.path(), "50ms")));
    postrider.address("tcp");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("the checkpoint cannot be used: it is damaged"), "{}", ended.stderr);

    // There is no directory: it says so, and works without.
    let mut postrider = Postrider::spawn(&format!("{}{sinks}", joins(&directory.path().join("nowhere"), "50ms")));
    send(postrider.address("tcp"), &lines(fastrand::Rng::with_seed(1), 5)[..3]);
    let status = postrider.status().wait(DEADLINE, "the lines", |status| status.source("tcp").count("received") == 3);
    assert_eq!(status.get("/correlate/checkpoint"), &Value::Null);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(
        ended.stderr.matches("correlate: no checkpoint, since there is no such directory").count(),
        1,
        "{}",
        ended.stderr
    );
}

#[test]
fn the_status_tells_of_the_checkpoint() {
    let parent = scratch::directory("checkpoint-status");
    let directory = parent.path().join("state");
    fs::create_dir(&directory).expect("a directory");
    let sinks = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(&format!("{}{sinks}", joins(&directory, "50ms")));
    let (lines, address) = (lines(fastrand::Rng::with_seed(1), 5), postrider.address("tcp"));
    send(address, &lines[..3]);
    let written = |status: &Status| status.get("/correlate/checkpoint/written_at").is_string();
    let status = postrider.status().wait(DEADLINE, "a checkpoint", written);
    let path = directory.join("correlate.checkpoint");
    assert_eq!(status.get("/correlate/checkpoint/path"), path.to_str().expect("UTF-8"));
    assert_eq!(status.get("/correlate/checkpoint/error"), &Value::Null);
    assert!(path.exists());

    fs::rename(&directory, parent.path().join("elsewhere")).expect("a directory");
    send(address, &lines[3..4]);
    let failed = |status: &Status| status.get("/correlate/checkpoint/error").is_string();
    postrider.status().wait(DEADLINE, "a failure", failed);
    fs::rename(parent.path().join("elsewhere"), &directory).expect("a directory");
    postrider.status().wait(DEADLINE, "a cure", |status| !failed(status));
    assert_clean(&postrider.terminate(DEADLINE));
}
