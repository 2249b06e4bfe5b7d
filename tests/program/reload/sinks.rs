//! Do sinks come, go and succeed each other at a reload, with their spools?

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use testkit::endless::Endless;
use testkit::postrider::{Postrider, assert_clean, count, ledgers};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

use super::{DEADLINE, Relp, connect, message, read_all, reload, reload_unread, said, send, sum, written};

#[test]
fn sinks_come_and_go_and_each_has_what_was_offered_in_its_time() {
    let directory = scratch::directory("sinks-change");
    let path = |name: &str| directory.path().join(name);
    let source = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";
    let file = |name: &str, more: &str| {
        format!("[[sink.file]]\nname = \"{name}\"\npath = \"{}\"\n{more}", path(&format!("{name}.json")).display())
    };
    let mut postrider = Postrider::spawn(&format!("{source}{}{}", file("a", ""), file("b", "")));
    let socket = connect(postrider.address("tcp"));
    let say = |text: &str, last: &str| {
        send(&socket, text);
        wait_until(DEADLINE, text, || written(&path(last)).iter().any(|written| written == text));
    };
    say("first", "b.json");
    reload(&postrider, &format!("{source}{}{}", file("c", ""), file("a", "")));
    assert!(said(&postrider).contains("sinks=added c; removed b; kept a"), "{}", said(&postrider));
    say("second", "a.json");
    say("third", "c.json");
    wait_until(DEADLINE, "the ledger of the removed", || postrider.stderr().contains(" ledger sink=\"b\" offered=1 "));
    // Its file is closed.
    let open = fs::read_dir(format!("/proc/{}/fd", postrider.pid())).expect("its files").flatten();
    assert!(!open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|file| file == path("b.json")));
    reload(&postrider, &format!("{source}{}{}", file("c", "events = [\"delivery\"]\n"), file("a", "")));
    assert!(said(&postrider).contains("sinks=changed c; kept a"), "{}", said(&postrider));
    say("fourth", "a.json");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(written(&path("a.json")), ["first", "second", "third", "fourth"]);
    assert_eq!(written(&path("b.json")), ["first"]);
    assert_eq!(written(&path("c.json")), ["second", "third"]);
    assert_eq!(sum(&ended, "sink=\"a\"", "offered"), 4);
    assert_eq!(sum(&ended, "sink=\"c\"", "offered"), 3);
    assert_eq!(ended.stderr.matches("balanced=true").count(), 4, "{}", ended.stderr);
}

#[test]
fn a_spool_lives_on_and_goes_to_the_next_sink_that_has_it() {
    const EACH: usize = 5000;
    let directory = scratch::directory("spool");
    let config = |queue: &str, mode: &str| {
        format!(
            "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\nqueue_size = \"{queue}\"\n[sink.stdout.spool]\n\
             directory = \"{}\"\nmin_free = \"0B\"\nmode = \"{mode}\"\n",
            directory.path().join("spool").display()
        )
    };
    let mut postrider = Unread::spawn(&config("1MiB", "overflow"), &directory.path().join("stderr"));
    let mut relp = Relp::open(postrider.address("relp"));
    let mut send = |from: usize| {
        for n in from..from + EACH {
            relp.send(&format!("number {n} {}", "x".repeat(400)));
            if n % 50 == 49 {
                (0..50).for_each(|_| assert!(relp.answer().ends_with(" rsp 6 200 OK\n")));
            }
        }
    };
    // Nobody reads, so it is on the disk: otherwise it would not be acknowledged.
    send(0);
    // An equal sink keeps it, and what it has given to nobody yet.
    reload_unread(&postrider, directory.path(), &config("1MiB", "overflow"));
    assert!(postrider.log().contains("sinks=kept stdout"), "{}", postrider.log());
    send(EACH);
    // A changed one takes over what is there. Its predecessor is held up in a write; the spool is free nevertheless,
    // and until then the queue takes what comes.
    reload_unread(&postrider, directory.path(), &config("2MiB", "always"));
    assert!(postrider.log().contains("sinks=changed stdout"), "{}", postrider.log());
    send(2 * EACH);
    wait_until(DEADLINE, "the spool at its successor", || postrider.log().contains("has records of an earlier run"));
    let reader = read_all(&mut postrider);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
    let read = reader.join().expect("the reader");
    let numbers = read.iter().map(|text| text.split(' ').nth(1).expect("a number").parse().expect("a number"));
    let numbers: HashSet<usize> = numbers.collect();
    assert_eq!(numbers.len(), 3 * EACH, "all of it came out");
    let twice = read.len() - numbers.len();
    // Records in flight at the first sink when it had to let go may come twice.
    assert!(twice < EACH, "{twice} came twice");
    assert!(sum(&ended, "sink=\"stdout\"", "recovered") > EACH as u64, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("balanced=true").count(), 2, "{}", ended.stderr);
}

#[test]
fn a_stuck_removed_sink_holds_up_nobody_beyond_the_stop_time() {
    let directory = scratch::directory("stuck");
    let path = directory.path().join("out.json");
    let source = "shutdown_timeout = \"3s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";
    let file = format!("[[sink.file]]\npath = \"{}\"\n", path.display());
    let stuck = "[[sink.stdout]]\nqueue_size = \"128KiB\"\n";
    let mut postrider = Unread::spawn(&format!("{source}{file}{stuck}"), &directory.path().join("stderr"));
    let sender = Endless::start(connect(postrider.address("tcp")), |n| message(&format!("{n:0>1000}")) + "\n");
    sender.wait_held_up(&postrider.status(), "tcp");
    reload_unread(&postrider, directory.path(), &format!("{source}{file}"));
    let reloaded = Instant::now();
    let (_socket, n) = sender.end();
    wait_until(DEADLINE, "all in the other sink", || written(&path).len() >= n);
    assert!(reloaded.elapsed() < Duration::from_secs(40), "{:?}", reloaded.elapsed());
    // The content of the pipe is there to be read.
    let reader = read_all(&mut postrider);
    wait_until(DEADLINE, "the ledger of the removed", || postrider.log().contains(" ledger sink=\"stdout\""));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    // The ledgers before it are those that the test has asked for.
    let last = ledgers(&ended.stderr, "sink=\"stdout\"").last().expect("the ledger of the removed");
    let (delivered, dropped) = (count(last, "delivered"), count(last, "dropped"));
    // The line that was begun when it was given up is ended for the reader, and counts as dropped.
    let read = reader.join().expect("the reader").len() as u64;
    assert!((delivered..=delivered + 1).contains(&read), "{read} are read, and {delivered} counted as delivered");
    assert!(dropped > 0 && dropped == count(last, "dropped_shutdown"), "{}", ended.stderr);
}
