//! What happens when the disk is slow? Every fdatasync of it takes a time that no acknowledgement may be quicker than.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::crash::DEADLINE;
use crate::crash::sender::{Sender, Session};
use crate::crash::spool;
use testkit::messages::{Seen, message};
use testkit::output::Output;
use testkit::postrider::assert_clean;
use testkit::relp::{self, Client};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const SLOW: Duration = Duration::from_millis(300);

fn spawn(directory: &Path, config: &str, slow: &str) -> Unread {
    Unread::spawn_with(config, &directory.join("stderr"), ("POSTRIDER_SLOW_AT", slow))
}

/// All of them at once: their time is waiting.
fn each<T: Copy + Send>(cases: &[T], test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            let (case, test) = (*case, &test);
            scope.spawn(move || test(case));
        }
    });
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
        session.receive().expect("an acknowledgement");
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
    let slow = ["spool-fdatasync:300", "spool-write:300"];
    let cases = slow.map(|slow| [("always", slow), ("overflow", slow)]).concat();
    each(&cases, |(mode, slow)| is_waited_for(mode, slow));
}

/// RELP to a file, as many messages as one sync after the other would need minutes for.
#[test]
fn acknowledgements_wait_for_the_disk_and_many_share_a_sync() {
    const COUNT: usize = 5000;
    const AT_ONCE: usize = 1000;
    each(&["file-fdatasync:300", "file-write:300"], |slow| {
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
    });
}

/// A followed file to a file, and to a spool that has everything before its sink.
#[test]
fn no_cursor_is_quicker_than_the_disk_of_a_file_or_a_spool() {
    const SLOW: Duration = Duration::from_secs(2);
    for (sink, slow) in [("file", "file-fdatasync:2000"), ("stdout", "spool-fdatasync:2000")] {
        let directory = scratch::directory("slow-cursor");
        let path = directory.path().display();
        let rest = match sink {
            "file" => format!("path = \"{path}/out.json\"\n"),
            _ => format!("[sink.stdout.spool]\ndirectory = \"{path}/spool\"\n{}", spool::keys("always")),
        };
        let config = format!(
            "[[source.file]]\npaths = [\"{path}/mail.log\"]\nstart = \"beginning\"\nstate = \"{path}/state\"\n[[sink.{sink}]]\n{rest}"
        );
        let mut postrider = spawn(directory.path(), &config, slow);
        let output = Output::default();
        output.open(true);
        let reader = output.read(postrider.output());
        let cursor = directory.path().join("state/file.cursor");
        let offset = || -> u64 {
            let text = fs::read_to_string(&cursor).unwrap_or_default();
            text.lines().nth(1).and_then(|entry| entry.split(' ').nth(4)?.parse().ok()).unwrap_or_default()
        };
        wait_until(DEADLINE, "a cursor", || cursor.exists());
        let lines = (0..20).map(|number| message(number)[4..].to_owned() + "\n").collect::<String>();
        let begun = Instant::now();
        fs::write(directory.path().join("mail.log"), &lines).expect("room");
        wait_until(DEADLINE, "the cursor", || offset() > 0);
        let waited = begun.elapsed();
        assert!(waited >= SLOW, "{slow}: the cursor moved after {waited:?}, before it is on the disk");
        wait_until(DEADLINE, "the cursor at the end", || offset() == lines.len() as u64);
        assert_clean(&postrider.terminate(DEADLINE));
        reader.join().expect("the reader");
    }
}

fn send(address: SocketAddr, numbers: Range<usize>) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    for number in numbers {
        writeln!(socket, "{}", message(number)).expect("room");
    }
}

/// The most memory that a process has had, in bytes.
fn peak(postrider: &Unread) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", postrider.pid())).expect("a running process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// A sink without a spool gets its records while those of another wait for its spool's disk, as long as its queue has
/// room.
#[test]
fn a_sink_beside_it_is_not_held_up_and_memory_is_bounded() {
    // Several times what the queue holds that is before the spool, and what the source may have in flight.
    const COUNT: usize = 3000;
    for mode in ["always", "overflow"] {
        let directory = scratch::directory("slow-beside");
        let path = directory.path().join("beside.json");
        let keys = spool::keys(mode).replace("\"1MiB\"", "\"64MiB\"");
        let config = spool::config(directory.path(), &keys)
            .replace("64KiB", "4MiB")
            .replace("[[source.relp]]", "[[source.tcp]]\nmax_bytes_in_flight = \"4MiB\"")
            + &format!("[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n", path.display());
        let mut postrider = spawn(directory.path(), &config, "spool-fdatasync:1000");
        let (output, address) = (Output::default(), postrider.address("tcp"));
        let reader = output.read(postrider.output());
        let beside = || fs::read_to_string(&path).map_or(0, |text| text.lines().count());
        // With `overflow`, only what the sink does not take goes to the disk.
        output.open(mode == "always");
        send(address, 0..100);
        wait_until(DEADLINE, "the sink beside it", || beside() == 100);
        assert_eq!(output.seen(Seen::records), 0, "{mode}: both at once");
        let before = peak(&postrider);
        let sender = thread::spawn(move || send(address, 100..COUNT));
        wait_until(DEADLINE, "several syncs", || beside() > 1000);
        output.open(true);
        sender.join().expect("the sender");
        wait_until(DEADLINE, "both sinks", || beside() == COUNT && output.seen(Seen::records) == COUNT);
        let grown = peak(&postrider) - before;
        assert!(grown < 32 << 20, "{mode}: {} KiB more", grown >> 10);
        assert_clean(&postrider.terminate(DEADLINE));
        reader.join().expect("the reader");
        output.seen(|seen| seen.judge(mode, &(0..COUNT).collect(), COUNT, 0));
        assert!(output.seen(Seen::in_order), "{mode}: out of order");
    }
}

/// A stop has its time, whether or not the disk has done its work by then; the next start has all that was
/// acknowledged.
#[test]
fn a_stop_ends_in_time_and_what_was_acknowledged_is_there() {
    let slow = ["spool-fdatasync:300", "spool-fdatasync:3000"];
    let cases = slow.map(|slow| [("always", slow), ("overflow", slow)]).concat();
    each(&cases, |(mode, slow)| {
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
        assert_eq!(ended.sink("stdout").count("spooled"), 0);
        output.seen(|seen| seen.judge(slow, &sender.acknowledged, sender.next, 1));
    });
}
