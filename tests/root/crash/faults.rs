//! What happens when the disk of a spool fails, or Postrider may not use it?

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::crash::DEADLINE;
use crate::crash::sender::{Sender, Session};
use crate::crash::spool;
use testkit::messages::Seen;
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// Runs with the Nth call of this name failing while nobody reads; gives the end, and then everything that was
/// acknowledged is delivered by a second run.
fn fails(directory: &Path, mode: &str, fault: &str, sender: &mut Sender) -> Ended {
    let config = spool::config(directory, &spool::keys(mode));
    let stderr = directory.join("stderr");
    let mut postrider = Unread::spawn_with(&config, &stderr, ("POSTRIDER_FAIL_AT", fault));
    let output = Output::default();
    let reader = output.read(postrider.output());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    // The process ends this session, in any way.
    let _ = session.deliver(5000);
    drop(session);
    output.open(true);
    let ended = postrider.ended(DEADLINE);
    reader.join().expect("the reader");

    let mut second = Unread::spawn(&config, &stderr);
    let reader = output.read(second.output());
    let acknowledged = sender.acknowledged.clone();
    wait_until(DEADLINE, "what was acknowledged", || output.seen(|seen| acknowledged.is_subset(&seen.numbers)));
    sender.connect(second.address("relp")).and_then(Session::finish).expect("acknowledgements");
    assert_clean(&second.terminate(DEADLINE));
    reader.join().expect("the reader");
    output.seen(|seen| seen.judge(fault, &sender.acknowledged, sender.next, 0));
    // Puts the acknowledgements of the first session back.
    sender.acknowledged = acknowledged;
    ended
}

fn assert_ends(ended: &Ended, file: &str) {
    assert_eq!(ended.status.code(), Some(74), "{}\n{}", ended.status, ended.stderr);
    assert!(ended.stderr.contains("cannot sync") && ended.stderr.contains(file), "{}", ended.stderr);
    assert!(!ended.stderr.contains("lost "), "no defect: {}", ended.stderr);
}

#[test]
fn a_failed_first_fdatasync_stops_acknowledgements_and_program() {
    // The first two of each are of the start: the cursor, and whose spool it is.
    for fault in ["spool-fdatasync:3", "spool-directory-fsync:3"] {
        for mode in ["always", "overflow"] {
            let directory = scratch::directory("faults-first");
            let mut sender = Sender::default();
            let ended = fails(directory.path(), mode, fault, &mut sender);
            assert_ends(&ended, directory.path().to_str().expect("UTF-8"));
            // A sink that may have them from memory had as much as a pipe holds.
            let most = if mode == "always" { 0 } else { 64 };
            assert!(sender.acknowledged.len() <= most, "{} acknowledged with {fault}", sender.acknowledged.len());
        }
    }
}

#[test]
fn a_failed_later_fdatasync_loses_nothing_acknowledged() {
    for fault in ["spool-fdatasync:10", "spool-directory-fsync:4"] {
        let directory = scratch::directory("faults-later");
        let mut sender = Sender::default();
        let ended = fails(directory.path(), "always", fault, &mut sender);
        assert_ends(&ended, directory.path().to_str().expect("UTF-8"));
        assert!(!sender.acknowledged.is_empty(), "{fault}: nothing was acknowledged");
    }
}

/// New messages are delivered and acknowledged all the same. After a restart, those behind the cursor come again.
#[test]
fn a_cursor_that_cannot_be_written_holds_nothing_up_and_repeats() {
    const COUNT: usize = 600;
    let directory = scratch::directory("faults-cursor");
    let config = spool::config(directory.path(), &spool::keys("always"));
    let stderr = directory.path().join("stderr");
    // The first is of the start.
    let mut postrider = Unread::spawn_with(&config, &stderr, ("POSTRIDER_FAIL_AT", "cursor-write:2+"));
    let (mut sender, output) = (Sender::default(), Output::default());
    output.open(true);
    let reader = output.read(postrider.output());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    session.deliver(COUNT).and_then(|()| session.finish()).expect("acknowledgements");
    wait_until(DEADLINE, "all", || output.seen(|seen| seen.numbers.len() == sender.next));
    wait_until(DEADLINE, "the reason", || postrider.log().contains("cannot write"));
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
    reader.join().expect("the reader");
    assert_eq!(output.seen(Seen::records), sender.next, "none is repeated yet");
    assert!(ended.stderr.matches("cannot write").count() <= 3, "not at each attempt:\n{}", ended.stderr);
    assert!(ended.stderr.contains("after the next start, the sink gets some"), "{}", ended.stderr);

    let before = sender.next;
    let mut second = Unread::spawn(&config, &stderr);
    let reader = output.read(second.output());
    sender
        .connect(second.address("relp"))
        .and_then(|mut session| session.deliver(1).and_then(|()| session.finish()))
        .expect("acknowledgements");
    wait_until(DEADLINE, "all again", || output.seen(Seen::records) == sender.next + before);
    assert_clean(&second.terminate(DEADLINE));
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge("a cursor", &sender.acknowledged, sender.next, 0);
        assert_eq!(seen.repeated(), before, "what is repeated has the same id");
    });
}

/// The limit of a running process.
fn limit_open_files(pid: u32, limit: usize) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]).status();
    assert!(status.expect("prlimit of util-linux").success());
}

#[test]
fn without_file_descriptors_it_waits_and_goes_on_by_itself() {
    let directory = scratch::directory("faults-files");
    let config = spool::config(directory.path(), &spool::keys("always"));
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(postrider.output());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    session.deliver(100).expect("acknowledgements");
    limit_open_files(postrider.pid(), 4);
    // The status file cannot be written then.
    session.deliver_until(|_| postrider.log().contains("Too many open files"));
    limit_open_files(postrider.pid(), 1024);
    session.deliver(100).expect("acknowledgements");
    output.open(true);
    session.finish().expect("acknowledgements");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge("EMFILE", &sender.acknowledged, sender.next, 0);
        assert_eq!(seen.records(), sender.next, "none is repeated");
    });
    let begins = |line: &&str| line.contains("Too many open files") && line.contains("retrying until it works");
    assert_eq!(ended.stderr.lines().filter(begins).count(), 1, "said once:\n{}", ended.stderr);
}

#[test]
fn a_second_postrider_does_not_take_the_spool_of_the_first() {
    let directory = scratch::directory("faults-two");
    let config = spool::config(directory.path(), &spool::keys("always"));
    let first = Unread::spawn(&config, &directory.path().join("stderr"));
    first.address("relp");
    let other = scratch::directory("faults-second");
    let second = Unread::spawn(&config, &other.path().join("stderr")).ended(DEADLINE);
    assert_eq!(second.status.code(), Some(74), "{}", second.stderr);
    let words = format!("in use by process {}", first.pid());
    assert!(second.stderr.contains(&words), "{}", second.stderr);
    let ended = first.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.sink("stdout").count("spooled"), 0);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_at_the_start() {
    let directory = scratch::directory("faults-directory");
    fs::write(directory.path().join("file"), "").expect("a file");
    for path in [directory.path().join("file"), "/proc/self".into()] {
        let config = spool::config(&path, &spool::keys("always"));
        let ended = Unread::spawn(&config, &directory.path().join("stderr")).ended(DEADLINE);
        assert_eq!(ended.status.code(), Some(74), "{}\n{}", ended.status, ended.stderr);
        let spool = spool::path(&path);
        assert!(ended.stderr.contains(spool.to_str().expect("UTF-8")), "{}", ended.stderr);
    }
}

/// Records that the sink had from memory, while the disk failed, are not written to the disk at the end.
#[test]
fn what_was_delivered_without_the_disk_does_not_come_again() {
    let directory = scratch::directory("faults-without");
    let config = spool::config(directory.path(), &spool::keys("overflow"));
    let stderr = directory.path().join("stderr");
    let mut postrider = Unread::spawn(&config, &stderr);
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(postrider.output());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    limit_open_files(postrider.pid(), 4);
    session.deliver_until(|_| postrider.log().contains("Too many open files"));
    output.open(true);
    session.finish().expect("acknowledgements");
    limit_open_files(postrider.pid(), 1024);
    assert_clean(&postrider.terminate(DEADLINE));
    reader.join().expect("the reader");

    let mut second = Unread::spawn(&config, &stderr);
    let reader = output.read(second.output());
    second.address("relp");
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    assert_eq!(ended.sink("stdout").count("recovered"), 0);
    output.seen(|seen| {
        seen.judge("without a disk", &sender.acknowledged, sender.next, 0);
        assert_eq!(seen.records(), sender.next, "none is repeated");
    });
}

#[test]
fn a_closed_pipe_ends_the_program_and_the_rest_is_kept() {
    let directory = scratch::directory("faults-reader");
    let config = spool::config(directory.path(), &spool::keys("always"));
    let stderr = directory.path().join("stderr");
    let mut postrider = Unread::spawn(&config, &stderr);
    let unread = postrider.output();
    let (mut sender, output) = (Sender::default(), Output::default());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    session.deliver(300).expect("acknowledgements");
    drop(unread);
    // The time for a stop is 20 seconds.
    let ended = postrider.ended(Duration::from_secs(15));
    drop(session);
    assert!(ended.sink("stdout").count("spooled") > 200, "{}", ended.stderr);

    let mut second = Unread::spawn(&config, &stderr);
    output.open(true);
    let reader = output.read(second.output());
    sender.connect(second.address("relp")).and_then(Session::finish).expect("acknowledgements");
    assert_clean(&second.terminate(DEADLINE));
    reader.join().expect("the reader");
    let delivered = output.seen(|seen| seen.numbers.len());
    assert!(delivered > 200, "{delivered} came from the spool");
}
