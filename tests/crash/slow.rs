//! What happens when the disk is slow? Every fdatasync of it takes a time that no acknowledgement may be quicker than.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::DEADLINE;
use crate::output::Output;
use crate::peers::postrider::{assert_clean, ledger};
use crate::peers::relp::{self, Client};
use crate::peers::scratch;
use crate::peers::unread::Unread;
use crate::peers::wait::wait_until;
use crate::sender::{Sender, Session};
use crate::spool;

const SLOW: Duration = Duration::from_millis(300);

fn spawn(directory: &Path, config: &str, slow: &str) -> Unread {
    Unread::spawn_with(config, &directory.join("stderr"), ("POSTRIDER_SLOW_AT", slow))
}

/// Everything goes to the disk: the sink is blocked until the end.
fn is_waited_for(mode: &str, slow: &str) {
    let directory = scratch::directory("slow");
    let mut postrider = spawn(directory.path(), &spool::config(directory.path(), &spool::keys(mode)), slow);
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(postrider.output());
    let address = postrider.address("relp");
    // More than the pipe and the memory before the sink hold.
    sender
        .connect(address)
        .and_then(|mut session| session.deliver(200).and_then(|()| session.finish()))
        .expect("answers");
    for _ in 0..3 {
        let mut session = sender.connect(address).expect("a session");
        let begun = Instant::now();
        session.send().expect("room in the socket");
        assert!(session.is_heard(DEADLINE), "no acknowledgement");
        let waited = begun.elapsed();
        assert!(waited >= SLOW, "{mode}, {slow}: acknowledged after {waited:?}, before it is on the disk");
        session.finish().expect("acknowledgements");
    }
    output.open(true);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge(slow, &sender.acknowledged, sender.next, 0);
        assert_eq!(seen.records(), sender.next, "each came once");
        assert!(seen.in_order(), "out of order");
    });
}

#[test]
fn no_acknowledgement_is_quicker_than_the_spool_s_disk() {
    for slow in ["spool-fdatasync:300", "spool-write:300"] {
        is_waited_for("always", slow);
        is_waited_for("overflow", slow);
    }
}

/// RELP to a file, as many messages as one sync after the other would need minutes for.
#[test]
fn no_acknowledgement_is_quicker_than_the_disk_of_a_file_and_many_share_a_sync() {
    const COUNT: usize = 5000;
    const AT_ONCE: usize = 1000;
    for slow in ["file-fdatasync:300", "file-write:300"] {
        let directory = scratch::directory("slow-file");
        let path = directory.path().join("out.json");
        let config = format!(
            "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\nfsync = \"always\"\n",
            path.display()
        );
        let postrider = spawn(directory.path(), &config, slow);
        let mut client = Client::open(postrider.address("relp"), None);
        let begun = Instant::now();
        for first in (2..COUNT + 2).step_by(AT_ONCE) {
            let some = first..first + AT_ONCE;
            let sent = Instant::now();
            client.send(&relp::messages(some.clone(), |number| format!("number {number}")));
            let acknowledged = relp::acknowledgements(some);
            let (one, rest) = (acknowledged.find('\n').expect("a line") + 1, acknowledged.len());
            assert_eq!(client.read(one), acknowledged[..one]);
            assert!(sent.elapsed() >= SLOW, "{slow}: acknowledged after {:?}", sent.elapsed());
            assert_eq!(client.read(rest - one), acknowledged[one..]);
        }
        let calls = begun.elapsed().as_millis() / SLOW.as_millis();
        assert!(calls < COUNT as u128 / 50, "{slow}: up to {calls} calls for {COUNT} records");
        client.close(COUNT + 2);
        assert_clean(&postrider.terminate(DEADLINE));
        let text = fs::read_to_string(&path).expect("the file");
        let numbers = text.lines().map(|line| {
            let (_, rest) = line.split_once("\"number ").expect("a message");
            rest[..rest.find('"').expect("its end")].parse::<usize>().expect("a number")
        });
        assert!(numbers.eq(2..COUNT + 2), "{slow}: not each once and in order");
    }
}

/// A stop has its time, whether or not the disk has done its work by then; the next start has all that was acknowledged.
#[test]
fn a_stop_ends_in_time_and_what_was_acknowledged_is_there() {
    for mode in ["always", "overflow"] {
        for slow in ["spool-fdatasync:300", "spool-fdatasync:3000"] {
            let directory = scratch::directory("slow-stop");
            let config = spool::config(directory.path(), &spool::keys(mode)).replace("\"20s\"", "\"2s\"");
            let mut postrider = spawn(directory.path(), &config, slow);
            let (mut sender, output) = (Sender::default(), Output::default());
            let reader = output.read(postrider.output());
            let mut session = sender.connect(postrider.address("relp")).expect("a session");
            session.deliver(150).expect("acknowledgements");
            let begun = Instant::now();
            session.send().expect("room in the socket");
            let ended = postrider.terminate(DEADLINE);
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(4), "{mode}, {slow}: the stop took {took:?}\n{}", ended.stderr);
            assert!(!ended.stderr.contains("defect"), "{}", ended.stderr);
            drop(session);
            output.open(true);
            reader.join().expect("the reader");

            let mut second = Unread::spawn(&config, &directory.path().join("stderr"));
            let reader = output.read(second.output());
            let acknowledged = sender.acknowledged.clone();
            wait_until(DEADLINE, "what was acknowledged", || output.seen(|seen| acknowledged.is_subset(&seen.numbers)));
            sender.connect(second.address("relp")).and_then(Session::finish).expect("acknowledgements");
            let ended = second.terminate(DEADLINE);
            assert_clean(&ended);
            reader.join().expect("the reader");
            assert_eq!(ledger(&ended, "sink=\"stdout\"", "spooled"), 0);
            output.seen(|seen| seen.judge(slow, &sender.acknowledged, sender.next, 1));
        }
    }
}
