//! Does a sink with a spool lose nothing, whatever its destination does and however Postrider ends?

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::postrider::{Ended, assert_clean, program};
use testkit::relp::{self, Client};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than a run that waits several times as long as it may.
const LONG: Duration = Duration::from_secs(400);

/// RELP and TCP to a standard output whose reader a test can keep waiting, with a spool of `mode`.
fn config(directory: &Path, spool: &str) -> String {
    format!(
        "shutdown_timeout = \"4s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n\
         [[sink.stdout]]\nqueue_size = \"1MiB\"\n[sink.stdout.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n{spool}\n",
        directory.join("spool").display()
    )
}

fn spawn(directory: &Path, spool: &str) -> Unread {
    Unread::spawn(&config(directory, spool), &directory.join("stderr"))
}

/// The numbers of the messages that come out, until the process ends.
fn read_numbers(output: ChildStdout) -> JoinHandle<Vec<usize>> {
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map(|line| line.expect("a line of text"));
        // A killed process leaves half a line.
        lines.filter_map(|line| number_of(&line)).collect()
    })
}

fn number_of(line: &str) -> Option<usize> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    record["message"].as_str()?.strip_prefix("number ")?.split(' ').next()?.parse().ok()
}

fn text(number: usize) -> String {
    format!("number {number} {}", "x".repeat(400))
}

fn message(number: usize) -> String {
    format!("<22>Nov 24 06:00:00 mx1 test[1]: {}", text(number))
}

/// Sends messages over TCP, whether or not they are taken by the time that it returns.
fn send(address: SocketAddr, numbers: std::ops::Range<usize>) -> JoinHandle<()> {
    let mut socket = TcpStream::connect(address).expect("a connection");
    thread::spawn(move || {
        for number in numbers {
            // A process that is killed takes no more.
            if writeln!(socket, "{}", message(number)).is_err() {
                return;
            }
        }
    })
}

/// Sends messages over RELP and waits until each is acknowledged.
fn send_relp(address: SocketAddr, numbers: std::ops::Range<usize>) {
    const AT_ONCE: usize = 100;
    let mut client = Client::open(address, None);
    let frames = 2..numbers.len() + 2;
    for first in frames.clone().step_by(AT_ONCE) {
        let some = first..(first + AT_ONCE).min(frames.end);
        client.send(&relp::messages(some.clone(), |frame| text(numbers.start + frame - 2)));
        let acknowledged = relp::acknowledgements(some);
        assert_eq!(client.read(acknowledged.len()), acknowledged);
    }
}

/// The numbers of segment files and the bytes in them.
fn segments(directory: &Path) -> (usize, u64) {
    let Ok(files) = fs::read_dir(directory.join("spool")) else { return (0, 0) };
    let files =
        files.map(|file| file.expect("a file")).filter(|file| file.path().extension().is_some_and(|e| e == "seg"));
    files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.metadata().map_or(0, |file| file.len())))
}

/// RELP is acknowledged while nobody reads, the process is killed, and the next one delivers everything.
fn survives_a_kill(mode: &str) {
    const COUNT: usize = 3000;
    let directory = scratch::directory("spool-kill");
    let mut first = spawn(directory.path(), mode);
    let early = read_later(&mut first);
    send_relp(first.address("relp"), 0..COUNT);
    first.signal(Signal::SIGKILL);
    drop(first);
    let mut early = early.join().expect("the first reader");

    let mut second = spawn(directory.path(), mode);
    let late = read_numbers(second.output());
    let address = second.address("relp");
    // Messages that come now must come behind.
    send_relp(address, COUNT..COUNT + 10);
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    let late = late.join().expect("the second reader");
    let recovered = ended.sink("stdout").count("recovered");
    assert!(recovered > 0 && recovered <= COUNT as u64, "{recovered} recovered: nothing was on the disk");
    assert_eq!(late.len() as u64, recovered + 10);
    assert!(late.is_sorted(), "the order is not kept");
    early.extend(&late);
    early.sort_unstable();
    early.dedup();
    assert_eq!(early, (0..COUNT + 10).collect::<Vec<_>>(), "what was acknowledged is there");
    assert_eq!(ended.sink("stdout").count("spooled"), 0);
}

/// Reads what a process has printed only when it has ended.
fn read_later(process: &mut Unread) -> JoinHandle<Vec<usize>> {
    let output = process.output();
    let pid = process.pid();
    thread::spawn(move || {
        let proc = format!("/proc/{pid}/stat");
        // A zombie holds no pipe.
        wait_until(DEADLINE, "the end of the process", || {
            fs::read_to_string(&proc).map_or(true, |stat| stat.contains(") Z "))
        });
        read_numbers(output).join().expect("the reader")
    })
}

#[test]
fn overflow_acknowledges_for_a_blocked_sink_and_survives_a_kill() {
    survives_a_kill("mode = \"overflow\"");
}

#[test]
fn always_acknowledges_for_a_blocked_sink_and_survives_a_kill() {
    survives_a_kill("mode = \"always\"");
}

#[test]
fn a_stop_keeps_what_the_sink_did_not_take() {
    const COUNT: usize = 20_000;
    let directory = scratch::directory("spool-stop");
    let mut first = spawn(directory.path(), "");
    let early = read_later(&mut first);
    let sender = send(first.address("tcp"), 0..COUNT);
    // More than its memory holds: the spool has it.
    sender.join().expect("the sender");
    let ended = first.terminate(DEADLINE);
    let kept = ended.sink("stdout").count("spooled");
    assert!(kept > 1000, "{kept} kept\n{}", ended.stderr);
    // TCP may lose the messages that the kernel held at the stop.
    let received = ended.source("tcp").count("received") as usize;
    assert!(received > COUNT / 4, "{received} received");
    assert_eq!(ended.sink("stdout").count("dropped"), 0, "{}", ended.stderr);
    let mut all = early.join().expect("the first reader");

    let mut second = spawn(directory.path(), "");
    let late = read_numbers(second.output());
    wait_drained(&second, 0);
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    let late = late.join().expect("the second reader");
    assert!(late.is_sorted(), "the order is not kept");
    all.extend(&late);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..received).collect::<Vec<_>>());
}

/// Waits until this number of messages has come over TCP, and the sink has all records, with those that its spool held
/// at the start. A stop would take only the time that it is given, and leave the rest in the spool.
fn wait_drained(postrider: &Unread, messages: usize) {
    postrider.status().wait(DEADLINE, "all records", |status| {
        let sink = status.sink("stdout");
        let all = sink.count("offered") + sink.count("recovered");
        let has_all = all > 0 && sink.count("delivered") + sink.count("dropped") == all;
        has_all && status.source("tcp").count("received") == messages as u64
    });
}

#[test]
fn a_sink_that_keeps_up_leaves_nothing_on_the_disk() {
    let directory = scratch::directory("spool-unused");
    let mut postrider = spawn(directory.path(), "");
    let mut lines = BufReader::new(postrider.output()).lines();
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    for number in 0..500 {
        writeln!(socket, "{}", message(number)).expect("a message is taken");
        let line = lines.next().expect("a record").expect("a line of text");
        assert_eq!(number_of(&line), Some(number));
    }
    drop(socket);
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(segments(directory.path()).1, 0, "nothing had to be written");
}

#[test]
fn a_full_spool_holds_the_senders_up_and_loses_nothing() {
    const COUNT: usize = 30_000;
    let directory = scratch::directory("spool-full");
    let mut postrider = spawn(directory.path(), "max_size = \"4MiB\"\nsegment_size = \"1MiB\"");
    let output = postrider.output();
    let sender = send(postrider.address("tcp"), 0..COUNT);
    wait_until(DEADLINE, "a full spool", || postrider.log().contains("is full"));
    assert!(segments(directory.path()).1 <= 4 << 20, "{:?}", segments(directory.path()));
    assert!(!sender.is_finished(), "the sender is held up");
    assert_eq!(postrider.log().matches("is full").count(), 1, "said once:\n{}", postrider.log());
    let place = format!("the spool {}", directory.path().join("spool").display());
    let [began, over] =
        [format!("the sink is behind: its records wait in {place}"), format!("the sink has caught up with {place}")];
    wait_until(DEADLINE, "a word about the beginning", || postrider.log().contains(&began));
    assert!(!postrider.log().contains(&over), "{}", postrider.log());
    let numbers = read_numbers(output);
    sender.join().expect("the sender");
    wait_until(DEADLINE, "a word about the end", || postrider.log().contains(&over));
    wait_drained(&postrider, COUNT);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(numbers.join().expect("the reader"), (0..COUNT).collect::<Vec<_>>());
    let line = ended.stderr.lines().find(|line| line.contains(&over)).expect("a line");
    let (_, records) = line.split_once("records=").expect("how many");
    let records: usize = records.split(' ').next().expect("a number").parse().expect("a number");
    assert!((1000..=COUNT).contains(&records) && line.contains(" seconds="), "{line}");
    // While the sender is faster than the reader, it can be full once more.
    let [full, works] = ["retrying until it works", "works again"].map(|text| ended.stderr.matches(text).count());
    assert_eq!(full, works, "{}", ended.stderr);
    let (files, bytes) = segments(directory.path());
    assert!(files <= 1 && bytes <= 1 << 20, "{files} files with {bytes} bytes are left");
}

/// The queue before the spool is empty then, and says nothing.
#[test]
fn the_log_tells_of_a_stalled_sink_and_its_records_on_the_disk() {
    const COUNT: usize = 2000;
    let directory = scratch::directory("spool-still");
    let mut postrider = spawn(directory.path(), "mode = \"always\"");
    let output = postrider.output();
    send(postrider.address("tcp"), 0..COUNT).join().expect("the sender");
    wait_until(DEADLINE, "a word about it", || postrider.log().contains("the sink makes no progress"));
    let log = postrider.log();
    let told = log.lines().find(|line| line.contains("the sink makes no progress")).expect("a line");
    assert!(told.contains(" records=") && !told.contains(" queue_bytes="), "{told}");
    let numbers = read_numbers(output);
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(numbers.join().expect("the reader"), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn a_full_spool_that_drops_its_oldest_counts_each_and_goes_on() {
    const COUNT: usize = 20_000;
    let directory = scratch::directory("spool-drop");
    // The newest of all must be there, and so must what the sink had before: what is missing is in between.
    let config = config(directory.path(), "max_size = \"4MiB\"\nsegment_size = \"1MiB\"\nwhen_full = \"drop_oldest\"");
    let config = config.replacen("[[source.relp]]\nlisten = \"127.0.0.1:0\"\n", "", 1);
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let output = postrider.output();
    send(postrider.address("tcp"), 0..COUNT).join().expect("the sender is not held up");
    wait_until(DEADLINE, "a word about it", || postrider.log().contains("drops its oldest records"));
    let numbers = read_numbers(output);
    wait_drained(&postrider, COUNT);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let numbers = numbers.join().expect("the reader");
    let received = ended.source("tcp").count("received") as usize;
    let dropped = ended.sink("stdout").count("dropped_spool_full") as usize;
    assert!(dropped > 1000, "{dropped} dropped");
    assert_eq!(numbers.len() + dropped, received);
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order, or twice");
    assert_eq!((numbers[0], numbers[numbers.len() - 1]), (0, received - 1));
    assert!(segments(directory.path()).1 <= 4 << 20, "{:?}", segments(directory.path()));
}

/// Returns the number of waiting records by `postrider spool ls`.
fn pending(directory: &Path) -> u64 {
    let output = Command::new(program()).args(["spool", "ls"]).arg(directory.join("spool")).output();
    let output = String::from_utf8(output.expect("postrider runs").stdout).expect("text");
    let (_, rest) = output.split_once("pending:").expect("what is pending");
    rest.trim_start().split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The bytes of all files of the spool, each in whole blocks.
fn disk_usage(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
        Ok(metadata) => metadata.len().next_multiple_of(4096),
        // It has just been deleted.
        Err(_) => 0,
    });
    sizes.sum()
}

/// Runs until `done`, and gives the most that the spool has ever taken.
fn most_taken(directory: &Path, done: &AtomicBool) -> u64 {
    let mut most = 0;
    wait_until(LONG, "the end of the run", || {
        most = disk_usage(&directory.join("spool")).max(most);
        done.load(Relaxed)
    });
    most
}

/// Each record is delivered, in the spool, or dropped, and the log says so.
fn account_for_each_record(ended: &Ended) -> (u64, u64) {
    let sink = |field| ended.sink("stdout").count(field);
    let (delivered, spooled, dropped) = (sink("delivered"), sink("spooled"), sink("dropped"));
    assert_eq!(sink("offered"), delivered + spooled + dropped, "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("did not acknowledge") && !ended.stderr.contains("lost"), "{}", ended.stderr);
    (spooled, dropped)
}

/// Much more than the spool may hold is in memory when the stop comes, and nobody reads.
fn stop_with_a_full_spool(mode: &str, signals: &[Signal]) -> Ended {
    const LIMIT: u64 = 4 << 20;
    let directory = scratch::directory("spool-full-stop");
    let config = config(directory.path(), &format!("{mode}\nmax_size = \"4MiB\"\nsegment_size = \"1MiB\""))
        .replace("1MiB\"\n[sink", "64MiB\"\n[sink")
        .replace("\"4s\"", "\"2s\"");
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    // Kept open: nobody reads from it, and it does not break.
    let _output = postrider.output();
    let done = AtomicBool::new(false);
    let (ended, most) = thread::scope(|scope| {
        let most = scope.spawn(|| most_taken(directory.path(), &done));
        drop(send(postrider.address("tcp"), 0..40_000));
        wait_until(DEADLINE, "a full spool", || postrider.log().contains("is full"));
        // The disk has a part of a batch, and the stage has read that back.
        postrider.status().wait(DEADLINE, "a ledger that balances while the spool is full", |status| {
            let sink = status.sink("stdout");
            let sum: u64 = ["delivered", "dropped", "in_flight", "spooled"].map(|key| sink.count(key)).iter().sum();
            status.source("tcp").count("received") >= 10_000 && sum == sink.count("offered")
        });
        for signal in signals {
            postrider.signal(*signal);
            wait_until(DEADLINE, "the stop", || postrider.log().contains("stopping"));
        }
        let ended = postrider.ended(DEADLINE);
        done.store(true, Relaxed);
        (ended, most.join().expect("the watcher"))
    });
    let (spooled, dropped) = account_for_each_record(&ended);
    // The part of a batch in the pipe is delivered, and comes again with the rest of it. Records that are written at a
    // second signal count as dropped, though they may be on the disk a moment later.
    let delivered = ended.sink("stdout").count("delivered");
    let slack = if signals.len() > 1 { dropped } else { delivered };
    let pending = pending(directory.path());
    assert!((spooled..=spooled + slack).contains(&pending), "{pending} on the disk\n{}", ended.stderr);
    assert!(spooled > 1000 && dropped > 1000, "{}", ended.stderr);
    assert!(ended.stderr.contains("the stop dropped unacknowledged records"), "{}", ended.stderr);
    assert!((LIMIT / 2..=LIMIT).contains(&most), "{most} bytes");
    ended
}

#[test]
fn a_stop_with_a_full_spool_accounts_for_each_record() {
    for mode in ["overflow", "always"] {
        let ended = stop_with_a_full_spool(&format!("mode = \"{mode}\""), &[Signal::SIGTERM]);
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(ended.stderr.contains("the spool keeps undelivered records"), "{}", ended.stderr);
    }
}

#[test]
fn a_second_signal_accounts_for_each_record_too() {
    let ended = stop_with_a_full_spool("", &[Signal::SIGTERM, Signal::SIGTERM]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
}

#[test]
fn a_stop_does_not_wait_for_a_sink_that_takes_nothing() {
    for mode in ["overflow", "always"] {
        let directory = scratch::directory("spool-away");
        let config = config(directory.path(), &format!("mode = \"{mode}\"")).replace("\"4s\"", "\"60s\"");
        let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
        let _output = postrider.output();
        send_relp(postrider.address("relp"), 0..3000);
        let begun = Instant::now();
        let ended = postrider.terminate(DEADLINE);
        assert!(begun.elapsed() < Duration::from_secs(20), "{mode}: {:?}\n{}", begun.elapsed(), ended.stderr);
        assert_clean(&ended);
        let (spooled, dropped) = account_for_each_record(&ended);
        assert!(spooled > 2000 && dropped == 0, "{mode}: {}", ended.stderr);
    }
}

/// The same spool for a sink of another kind, or another of the same.
fn moved(directory: &Path, sink: &str, keys: &str) -> String {
    config(directory, "")
        .replace("sink.stdout", &format!("sink.{sink}"))
        .replace("queue_size", &format!("{keys}\nqueue_size"))
}

/// Returns the exit code of `postrider check` for a configuration, and its output.
fn check(directory: &Path, config: &str) -> (Option<i32>, String) {
    let file = directory.join("check.toml");
    fs::write(&file, config).expect("a configuration");
    let output = Command::new(program()).args(["check", "-c"]).arg(file).output().expect("postrider runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_spool_of_another_kind_of_sink_is_refused_and_kept() {
    const COUNT: usize = 2000;
    let directory = scratch::directory("spool-kind");
    let stderr = directory.path().join("stderr");
    let mut first = spawn(directory.path(), "");
    let early = read_later(&mut first);
    send_relp(first.address("relp"), 0..COUNT);
    let kept = first.terminate(DEADLINE).sink("stdout").count("spooled");
    assert!(kept > 1000, "{kept} kept");

    let file = moved(directory.path(), "file", &format!("path = \"{}/mail.json\"", directory.path().display()));
    let (code, said) = check(directory.path(), &file);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(" records of a stdout sink"), "{said}");
    let ended = Unread::spawn(&file, &stderr).ended(DEADLINE);
    assert_eq!(ended.status.code(), Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("and a file sink cannot deliver them"), "{}", ended.stderr);

    // The old kind delivers them, and then the spool may be another's.
    let mut second = spawn(directory.path(), "");
    let late = read_numbers(second.output());
    let address = second.address("relp");
    send_relp(address, COUNT..COUNT + 1);
    assert_clean(&second.terminate(DEADLINE));
    let mut all = early.join().expect("the first reader");
    all.extend(late.join().expect("the second reader"));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..=COUNT).collect::<Vec<_>>());
    let third = Unread::spawn(&file, &stderr);
    send_relp(third.address("relp"), 0..1);
    assert_clean(&third.terminate(DEADLINE));
}

#[test]
fn a_reload_does_not_give_a_spool_to_another_kind_of_sink() {
    let directory = scratch::directory("spool-reload-kind");
    let mut postrider = spawn(directory.path(), "");
    let mut lines = BufReader::new(postrider.output()).lines();
    let address = postrider.address("relp");
    let file = moved(directory.path(), "file", &format!("path = \"{}/mail.json\"", directory.path().display()));
    fs::write(directory.path().join("postrider.toml"), &file).expect("a configuration");
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "a word about it", || postrider.log().contains("is refused"));
    let log = postrider.log();
    assert!(log.contains("the running sink stdout of the kind stdout has the same spool"), "{log}");
    assert!(log.contains("give the new sink a spool directory of its own"), "{log}");
    send_relp(address, 0..1);
    assert_eq!(number_of(&lines.next().expect("a record").expect("a line of text")), Some(0), "the old one goes on");
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_changed_destination_is_logged_and_loses_nothing() {
    let directory = scratch::directory("spool-topic");
    let stderr = directory.path().join("stderr");
    let kafka = |topic: &str| {
        // Nobody listens there.
        let keys = format!("brokers = [\"127.0.0.1:1\"]\ntopic = \"{topic}\"");
        moved(directory.path(), "kafka", &keys)
    };
    for (topic, moved) in [("one", false), ("one", false), ("two", true), ("two", false)] {
        let postrider = Unread::spawn(&kafka(topic), &stderr);
        send_relp(postrider.address("relp"), 0..10);
        let ended = postrider.terminate(DEADLINE);
        assert_clean(&ended);
        let said = ended.stderr.contains("has records for the earlier destination topic one at 127.0.0.1:1");
        assert_eq!(said, moved, "{topic}: {}", ended.stderr);
    }
    assert_eq!(pending(directory.path()), 40);
}
