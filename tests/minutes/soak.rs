//! Does Postrider stay as it is while senders come and go, its sink is slow, and it is told to reload?
//!
//! `POSTRIDER=$PWD/target/release/postrider cargo test --test minutes soak -- --ignored --nocapture` sends 5,000,000
//! messages.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::numbered::Numbered;
use testkit::postrider::assert_clean;
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(1800);
/// Connections of each protocol at the same time, in turn.
const CONNECTIONS: [usize; 2] = [5, 50];
/// Each with other connections; after some of them, the configuration is read again.
const ROUNDS: usize = 10;
/// Maximum growth of memory from the first rounds to the end, in bytes.
const GROWTH: u64 = 24 << 20;

/// Resources of a process: memory in bytes (`VmRSS`), and open files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds {
    pub(crate) memory: u64,
    files: usize,
}

impl Holds {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel counts it");
        let memory = memory.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process").count();
        Self { memory, files }
    }
}

/// A reader of the standard output that pauses now and then. It counts the records, and gives their names and numbers.
fn read_slowly(output: ChildStdout, count: &Arc<AtomicUsize>) -> JoinHandle<HashSet<(u32, u32)>> {
    let count = Arc::clone(count);
    thread::spawn(move || {
        let mut seen = HashSet::new();
        for line in BufReader::with_capacity(1 << 20, output).lines() {
            let line = line.expect("a line of text");
            let part = |before: &str| {
                let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("no {before}: {line}"));
                rest[..rest.find(|c: char| !c.is_ascii_digit()).expect("more")].parse().expect("a number")
            };
            seen.insert((part("\"hostname\":\"stream"), part("\"message\":\"number ")));
            if count.fetch_add(1, SeqCst) % 40_000 == 20_000 {
                // The pause is the input of this test: longer than a sink may take that is not behind.
                thread::sleep(Duration::from_millis(1500));
            }
        }
        seen
    })
}

/// Each stream sends `each` messages, every other one over RELP, with a new connection for every fifth of them.
fn send(addresses: [SocketAddr; 2], streams: &[Arc<Numbered>], each: usize) {
    thread::scope(|scope| {
        for (place, stream) in streams.iter().enumerate() {
            stream.permit(each);
            scope.spawn(move || {
                for part in 0..5 {
                    let (start, end) = (each * part / 5, each * (part + 1) / 5);
                    if place % 2 == 0 {
                        stream.tcp(addresses[0], start..end);
                    } else {
                        stream.relp(addresses[1], end).expect("a session");
                    }
                }
            });
        }
    });
}

fn segments(directory: &Path) -> usize {
    let files = fs::read_dir(directory).expect("the spool").map(|file| file.expect("a file").path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "seg")).count()
}

/// Sends `messages` in rounds, over few and many connections in turn.
fn soak(mode: &str, messages: usize) {
    let directory = scratch::directory("soak");
    let spool = directory.path().join("spool");
    // Sources may read less ahead than the growth that the test sees. A round with more of it would look like a leak.
    let ahead = "listen = \"127.0.0.1:0\"\nmax_bytes_in_flight = \"4MiB\"\n";
    let config = format!(
        "shutdown_timeout = \"300s\"\n[[source.tcp]]\n{ahead}[[source.relp]]\n{ahead}[[sink.stdout]]\nqueue_size = \"1MiB\"\n[sink.stdout.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n\
         segment_size = \"1MiB\"\nmode = \"{mode}\"\n",
        spool.display()
    );
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let addresses = [postrider.address("tcp"), postrider.address("relp")];
    let read = Arc::new(AtomicUsize::new(0));
    let reader = read_slowly(postrider.output(), &read);
    let at_rest = Holds::of(postrider.pid());

    let (mut held, mut sent, mut most_segments) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let connections = 2 * CONNECTIONS[round % CONNECTIONS.len()];
        let each = messages / ROUNDS / connections;
        // The names go from round to round, so that each message has its own.
        let name = |place| Numbered::new(&format!("stream{}", round * 1000 + place), 1);
        let streams: Vec<_> = (0..connections).map(name).collect();
        send(addresses, &streams, each);
        sent += connections * each;
        most_segments = most_segments.max(segments(&spool));
        if round % 3 == 2 {
            postrider.signal(Signal::SIGHUP);
        }
        wait_until(DEADLINE, "everything that was sent", || read.load(SeqCst) >= sent);
        // A connection that has ended is closed in its own time.
        wait_until(DEADLINE, "the end of all connections", || Holds::of(postrider.pid()).files <= at_rest.files + 4);
        held.push(Holds::of(postrider.pid()));
    }
    wait_until(DEADLINE, "the last segment alone", || segments(&spool) <= 1);
    let ended = postrider.terminate(DEADLINE);
    let seen = reader.join().expect("the reader");
    // For whoever runs it long.
    #[allow(clippy::print_stderr)]
    let () = eprintln!(
        "{mode}: {sent} messages, at most {most_segments} segments seen, at rest {at_rest:?}, after rounds {held:?}"
    );

    assert_clean(&ended);
    assert_eq!((seen.len(), read.load(SeqCst)), (sent, sent), "missing, or twice");
    let received = ["tcp", "relp"].map(|source| ended.source(source).count("received"));
    assert_eq!(received.iter().sum::<u64>(), sent as u64);
    assert_eq!(ended.sink("stdout").count("delivered"), sent as u64);
    assert_eq!(ended.sink("stdout").count("spooled"), 0);
    assert!(most_segments > 1, "the spool was not used");
    // Both numbers of connections have been there.
    let (warm, last) = (held[1], held[ROUNDS - 2].memory.max(held[ROUNDS - 1].memory));
    assert!(last < warm.memory.max(held[0].memory) + GROWTH, "{held:?}");
}

#[test]
fn two_hundred_thousand_messages_leave_no_trace() {
    soak("overflow", 100_000);
    soak("always", 100_000);
}

#[test]
#[ignore = "takes minutes; see CONTRIBUTING.md"]
fn five_million_messages_leave_no_trace() {
    soak("always", 5_000_000);
}
