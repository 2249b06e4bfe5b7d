//! Do many reloads lose nothing, and leave nothing behind?

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::wait_until;

use super::{DEADLINE, Relp, connect, message, reload, send, so_far, sum, written};

/// Sources and sinks of the long test, in two forms each.
fn to_and_fro(directory: &Path, round: usize) -> String {
    let one = round.is_multiple_of(2);
    let other = (round / 2).is_multiple_of(2);
    let mut config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"{}m\"\n\
         [[source.relp]]\nlisten = \"127.0.0.1:0\"\nwindow = {}\n\
         [[source.udp]]\nlisten = \"127.0.0.1:0\"\nworkers = {}\nreceive_buffer = \"{}MiB\"\n\
         [[sink.file]]\npath = \"{}\"\nqueue_size = \"{}MiB\"\n",
        if one { 10 } else { 11 },
        if other { 128 } else { 64 },
        if other { 1 } else { 2 },
        if one { 2 } else { 4 },
        directory.join("all.json").display(),
        if one == other { 16 } else { 8 },
    );
    if one {
        let path = directory.join("extra.json");
        write!(config, "[[sink.file]]\nname = \"extra\"\npath = \"{}\"\n", path.display()).expect("a String takes all");
    }
    config
}

#[test]
fn fifty_thousand_messages_come_through_twenty_reloads() {
    const EACH: usize = 16_000;
    const RELOADS: usize = 20;
    let directory = scratch::directory("to-and-fro");
    let mut postrider = Postrider::spawn(&to_and_fro(directory.path(), 0));
    let [tcp, relp, udp] = ["tcp", "relp", "udp"].map(|source| postrider.address(source));
    let sent = Arc::new(AtomicUsize::new(0));
    // Each sends a part and waits for its reload, so that the parts lie between and across all of them.
    let round = Arc::new(AtomicUsize::new(0));
    let pace = |count: &AtomicUsize, round: &AtomicUsize, n: usize| {
        count.fetch_add(1, Relaxed);
        wait_until(DEADLINE, "the next round", || n * RELOADS / EACH <= round.load(Relaxed) + 1);
    };
    let stream = {
        let (sent, round) = (Arc::clone(&sent), Arc::clone(&round));
        thread::spawn(move || {
            let socket = connect(tcp);
            for n in 0..EACH {
                pace(&sent, &round, n);
                send(&socket, &format!("tcp {n}"));
                if n % 200 == 0 {
                    // New connections are taken all the time.
                    send(&connect(tcp), &format!("new {n}"));
                }
            }
            socket
        })
    };
    let datagrams = {
        let (sent, round) = (Arc::clone(&sent), Arc::clone(&round));
        thread::spawn(move || {
            let sockets: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
            for n in 0..EACH {
                pace(&sent, &round, n);
                let text = message(&format!("udp {n}"));
                sockets[n % 4].send_to(text.as_bytes(), udp).expect("a datagram");
            }
        })
    };
    let session = {
        let (sent, round) = (Arc::clone(&sent), Arc::clone(&round));
        thread::spawn(move || {
            let mut relp = Relp::open(relp);
            let mut answers = BufReader::new(relp.socket.try_clone().expect("a second handle of a socket"));
            let mut line = String::new();
            let mut answered = 0;
            for n in 0..EACH {
                pace(&sent, &round, n);
                relp.send(&format!("relp {n}"));
                // As many at a time as its own window permits.
                while answered < n + 1 && (n + 1 - answered >= 50 || n + 1 == EACH) {
                    line.clear();
                    answers.read_line(&mut line).expect("an answer");
                    assert_eq!(line, format!("{} rsp 6 200 OK\n", answered + 2));
                    answered += 1;
                }
            }
            relp
        })
    };
    for n in 1..=RELOADS {
        wait_until(DEADLINE, "a part of the messages", || sent.load(Relaxed) >= 3 * EACH * (n - 1) / RELOADS);
        reload(&postrider, &to_and_fro(directory.path(), n));
        round.store(n, Relaxed);
    }
    let (stream, session) = (stream.join().expect("TCP"), session.join().expect("RELP"));
    datagrams.join().expect("UDP");
    let path = directory.path().join("all.json");
    let news = EACH.div_ceil(200);
    let count = |kind: &str| written(&path).iter().filter(|text| text.starts_with(kind)).count();
    wait_until(DEADLINE, "the streams", || count("tcp ") == EACH && count("new ") == news && count("relp ") == EACH);
    let ended = postrider.terminate(DEADLINE);
    drop((stream, session));
    assert_clean(&ended);
    assert_eq!(ended.stderr.matches(" is in use").count(), RELOADS, "{}", ended.stderr);
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
    let all = written(&path);
    let of = |kind: &str| -> Vec<usize> {
        let numbers = all.iter().filter_map(|text| text.strip_prefix(kind)?.strip_prefix(' ')?.parse().ok());
        numbers.collect()
    };
    // A connection that lives through all of it, in order and each once.
    assert_eq!(of("tcp"), (0..EACH).collect::<Vec<_>>());
    assert_eq!(of("relp"), (0..EACH).collect::<Vec<_>>());
    assert_eq!(of("new").into_iter().collect::<HashSet<_>>().len(), news);
    assert_eq!(sum(&ended, "source=\"tcp\"", "connections"), 1 + news as u64);
    assert_eq!(sum(&ended, "source=\"relp\"", "connections"), 1);
    // Datagrams: what came, and what the kernel had no room for, is all that was sent.
    let received = sum(&ended, "source=\"udp\"", "received");
    assert_eq!(received + sum(&ended, "source=\"udp\"", "kernel_drops"), EACH as u64);
    let datagrams = of("udp");
    assert_eq!(datagrams.len(), datagrams.iter().collect::<HashSet<_>>().len());
    assert_eq!(
        all.len() as u64,
        sum(&ended, "sink=\"file\"", "offered") - sum(&ended, "sink=\"file\"", "dropped"),
        "what the sinks of this name were given is in the file"
    );
    let extra = written(&directory.path().join("extra.json"));
    assert_eq!(extra.len() as u64, sum(&ended, "sink=\"extra\"", "delivered"));
    assert!(extra.len() > 100 && extra.len() < all.len(), "{}", extra.len());
}

/// Returns the kernel's count for a process under `key`, in bytes.
fn memory(pid: u32, key: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let size = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel counts it");
    size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn a_hundred_reloads_leave_nothing_behind() {
    let directory = scratch::directory("hundred");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let config = |n: usize| {
        let mut config = format!(
            "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = {}\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
             receive_buffer = \"{}KiB\"\n[[source.unix]]\npath = \"{}\"\nmode = \"06{}0\"\n[[sink.stdout]]\n\
             [[sink.file]]\npath = \"{}\"\nqueue_size = \"{}MiB\"\n[sink.file.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n",
            100 + n % 2,
            512 + n % 2,
            path("socket"),
            n % 2 * 2,
            path("out.json"),
            8 + n % 2,
            path("spool"),
        );
        if n.is_multiple_of(2) {
            let more = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[source.tcp]]\nname = \"more\"\nlisten = \"127.0.0.1:0\"\n";
            write!(config, "{more}[[sink.file]]\nname = \"more\"\npath = \"{}\"\n", path("more.json")).expect("room");
        }
        config
    };
    let mut postrider = Postrider::spawn(&config(1));
    let socket = connect(postrider.address("tcp"));
    let proc = format!("/proc/{}", postrider.pid());
    let count = |what: &str| fs::read_dir(format!("{proc}/{what}")).map_or(0, Iterator::count);
    let mut early = None;
    for n in 2..=101 {
        reload(&postrider, &config(n));
        send(&socket, &format!("number {n}"));
        send(&connect(postrider.address("tcp")), &format!("new {n}"));
        if n == 21 {
            let ended = || postrider.stderr().matches(" ledger source=\"relp\"").count() == 10;
            wait_until(DEADLINE, "the ends", ended);
            early = Some((count("fd"), count("task"), memory(postrider.pid(), "VmRSS:")));
        }
    }
    wait_until(DEADLINE, "all messages", || {
        let (stdout, file) = (so_far(&postrider.stdout()), written(&directory.path().join("out.json")));
        // On a busy machine the time for the handover of a spool may be too short, and then some come twice.
        stdout.len() == 200 && file.iter().collect::<HashSet<_>>().len() == 200
    });
    let (files, threads, resident) = early.expect("a look after twenty");
    // A file may have been closed at that look. A leak of eighty reloads would be more.
    wait_until(DEADLINE, "no more descriptors and threads than after twenty", || {
        count("fd") <= files + 8 && count("task") <= threads + 8
    });
    // The allocator keeps an arena for each of the first threads; then it stays the same.
    let grown = memory(postrider.pid(), "VmRSS:").saturating_sub(resident);
    assert!(grown < 24 << 20, "{} KiB more", grown >> 10);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
}
