//! The process kills itself at each named step between a RELP sender and a sink with a spool, three times in a row.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nix::sys::signal::Signal;

use crate::crash::DEADLINE;
use crate::crash::sender::{Sender, Session};
use crate::crash::spool;
use testkit::output::Output;
use testkit::postrider::assert_clean;
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// Number of messages that a reader leaves to the spool when it reads nothing: more than a segment.
const HELD_UP: usize = 500;
/// More than any point needs.
const ROUNDS: usize = 12;

/// Runs until the process has killed itself at the point, as it comes there for the time `count`.
fn crash(directory: &Path, mode: &str, point: &str, count: usize, sender: &mut Sender, output: &Output) {
    let at = format!("{point}:{count}");
    let variable = ("POSTRIDER_CRASH_AT", at.as_str());
    let mut postrider =
        Unread::spawn_with(&spool::config(directory, &spool::keys(mode)), &directory.join("stderr"), variable);
    let reader = output.read(postrider.output());
    if let Some(address) = postrider.address_if_it_starts("relp")
        && let Ok(mut session) = sender.connect(address)
    {
        for _ in 0..ROUNDS {
            // The sink is blocked, and what is sent goes to the disk.
            output.open(false);
            if session.deliver(HELD_UP).is_err() {
                break;
            }
            output.open(true);
            let acknowledged = session.acknowledged();
            wait_until(DEADLINE, "what was acknowledged, or an end", || {
                postrider.has_ended() || output.seen(|seen| acknowledged.is_subset(&seen.numbers))
            });
        }
    }
    output.open(true);
    let ended = postrider.ended(DEADLINE);
    assert_eq!(
        ended.status.signal(),
        Some(Signal::SIGKILL as i32),
        "{at} in mode {mode}: {}\n{}",
        ended.status,
        ended.stderr
    );
    reader.join().expect("the reader");
}

/// Runs to a good end.
fn run(directory: &Path, mode: &str, sender: &mut Sender, output: &Output) {
    let mut postrider = Unread::spawn(&spool::config(directory, &spool::keys(mode)), &directory.join("stderr"));
    let reader = output.read(postrider.output());
    output.open(true);
    sender.connect(postrider.address("relp")).and_then(Session::finish).expect("acknowledgements");
    assert_clean(&postrider.terminate(DEADLINE));
    reader.join().expect("the reader");
}

/// Crashes at each of the points, which come with how often each is passed by in the first, second and third run.
fn crash_at(points: &[(&str, [usize; 3])]) {
    let repeated = AtomicUsize::new(0);
    for (point, counts) in points {
        let directory = scratch::directory("crash");
        let (mut sender, output) = (Sender::default(), Output::default());
        let at_start = matches!(*point, "after-quarantine" | "after-truncate");
        for (count, mode) in counts.iter().zip(["always", "overflow", "always"]) {
            if at_start {
                crash(directory.path(), mode, "before-acknowledge", 3, &mut sender, &output);
                let last = spool::segments(directory.path()).pop().expect("a segment");
                let mut file = File::options().append(true).open(last).expect("a file");
                file.write_all(b"\xffPR\xfe half of a record").expect("room");
            }
            crash(directory.path(), mode, point, *count, &mut sender, &output);
        }
        let acknowledged = sender.acknowledged.clone();
        assert!(!acknowledged.is_empty(), "{point}: nothing was acknowledged");
        run(directory.path(), "overflow", &mut sender, &output);
        output.seen(|seen| {
            seen.judge(point, &acknowledged, sender.next, 0);
            seen.judge(point, &sender.acknowledged, sender.next, 0);
            repeated.fetch_add(seen.repeated(), Relaxed);
        });
        let left = spool::segments(directory.path());
        assert!(left.len() <= 1, "{point}: {left:?}");
    }
    assert!(repeated.into_inner() > 0, "nothing came again, so nothing was on its way when the process died");
}

#[test]
fn nothing_is_lost_when_the_process_dies_as_the_spool_writes() {
    crash_at(&[
        ("after-append", [300, 900, 50]),
        ("after-seal", [1, 2, 1]),
        ("after-create", [2, 1, 1]),
        ("before-fdatasync", [3, 20, 1]),
        ("after-fdatasync", [1, 20, 3]),
        ("after-directory-fsync", [2, 1, 1]),
        ("before-receipts", [1, 4, 20]),
        ("after-receipts", [20, 4, 1]),
    ]);
}

#[test]
fn nothing_is_lost_if_the_process_dies_as_the_spool_is_read() {
    crash_at(&[
        ("after-hand-over", [1, 3, 5]),
        ("before-acknowledge", [2, 10, 1]),
        ("after-cursor-write", [2, 1, 3]),
        ("after-cursor-fdatasync", [3, 1, 2]),
        ("before-unlink", [1, 1, 2]),
        ("after-unlink", [1, 2, 1]),
        ("after-quarantine", [1, 1, 1]),
        ("after-truncate", [1, 1, 1]),
        ("before-answer", [2, 30, 5]),
        ("after-answer", [1, 5, 30]),
    ]);
}
