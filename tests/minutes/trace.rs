//! Does `trace` of a large log take at most twice the time of `decode`, in bounded memory?
//!
//! `POSTRIDER=$PWD/target/release/postrider cargo test --test minutes trace -- --ignored --nocapture` searches a log of
//! 1 GiB, on an idle machine; `MEBIBYTES=100` one of 100 MiB.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::mail::{MailHeader, MailHistory, MailMessage};
use testkit::postrider::program;
use testkit::scratch;
use testkit::wait::wait;

const DEADLINE: Duration = Duration::from_secs(600);
/// Connections and submissions of one history.
const ARRIVALS: u32 = 10_000;
const ROUNDS: usize = 3;
/// Maximum memory that `trace` may have, in KiB.
const MEMORY: u64 = 200 * 1024;

/// Writes random histories, each of other hosts, one after the other. Returns the messages of the middle one.
fn write(path: &Path, mebibytes: usize) -> Vec<MailMessage> {
    let mut out = BufWriter::new(File::create(path).expect("a file"));
    let (mut written, mut messages) = (0, Vec::new());
    for seed in 0.. {
        let mut history = MailHistory::random(Rng::with_seed(seed), ARRIVALS);
        for instance in &mut history.instances {
            instance.hostname = format!("n{seed}.{}", instance.hostname);
        }
        for line in &history.lines {
            let text = history.text(line, MailHeader::Rfc5424);
            written += text.len() + 1;
            writeln!(out, "{text}").expect("room on the disk");
        }
        if messages.is_empty() && written >= mebibytes << 19 {
            messages = history.messages;
        }
        if written >= mebibytes << 20 {
            break;
        }
    }
    out.flush().expect("room on the disk");
    messages
}

/// Returns the shortest time of a command, and the most memory that it had, in KiB.
fn measure(arguments: &[&str]) -> (Duration, u64) {
    let run = |_| {
        let begin = Instant::now();
        let mut child = Command::new(program())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postrider runs");
        let mut peak = 0;
        let end = wait(DEADLINE, || {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
            child.try_wait().expect("a child").map(|_| Instant::now())
        });
        (end.expect("an end") - begin, peak)
    };
    let runs: Vec<_> = (0..ROUNDS).map(run).collect();
    let most = |runs: &[(Duration, u64)]| runs.iter().map(|(_, peak)| *peak).max().expect("a run");
    (runs.iter().map(|(time, _)| *time).min().expect("a run"), most(&runs))
}

#[test]
#[ignore = "it needs an idle machine"]
#[expect(clippy::print_stderr, reason = "the figures are for whoever runs it")]
fn a_trace_takes_at_most_twice_the_time_of_decode() {
    let mebibytes = std::env::var("MEBIBYTES").map_or(1024, |size| size.parse().expect("a number"));
    let directory = scratch::directory("trace");
    let path = directory.path().join("mail.log");
    let messages = write(&path, mebibytes);
    let log = path.to_str().expect("UTF-8");
    let (decode, memory) = measure(&["decode", log]);
    eprintln!("{mebibytes} MiB: decode {decode:.2?}, {memory} KiB");
    let middle = messages.iter().find(|one| one.removed && one.message_id.is_some()).expect("a message");
    let child = messages.iter().find(|one| one.parent.is_some()).expect("a chain");
    let bounced = messages.iter().find(|one| !one.children.is_empty()).expect("a chain");
    let recipient = &bounced.recipients[0].to;
    let sender = middle.from.as_deref().filter(|from| !from.is_empty()).unwrap_or("erin@example.com");
    for (name, query) in [
        ("queue id", &*middle.queue_id),
        ("queue id of a chain", &*child.queue_id),
        ("message-id", middle.message_id.as_deref().expect("an id")),
        ("sender", sender),
        ("recipient", recipient),
        ("nothing", "nobody@nowhere.example"),
    ] {
        for output in [&["trace"][..], &["trace", "--json"]] {
            let (time, memory) = measure(&[output, &[log, query]].concat());
            let ratio = time.as_secs_f64() / decode.as_secs_f64();
            eprintln!("{output:?} {name}, {query}: {time:.2?}, {ratio:.2} of decode, {memory} KiB");
            assert!(ratio <= 2.0 && memory < MEMORY, "{name}: {time:?} of {decode:?}, {memory} KiB");
        }
    }
}
