//! Does a reload change what it should and nothing else, and lose nothing?

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use postrider::dsn::Language;
use serde_json::Value;
use testkit::endless::Endless;
use testkit::port::Port;
use testkit::postrider::{Ended, Postrider, assert_clean, count, ledgers};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
const OPEN: &str = "1 open 30 relp_version=0\ncommands=syslog\n";

fn message(text: &str) -> String {
    format!("<22>Nov 24 06:00:00 mx1 test[1]: {text}")
}

/// The texts of records, in their order.
fn messages(records: &str) -> Vec<String> {
    let text = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record");
        record["message"].as_str().expect("a text").to_owned()
    };
    records.lines().map(text).collect()
}

/// Returns the texts of the whole lines so far. Postrider may still write the record after the last LF.
fn so_far(records: &str) -> Vec<String> {
    records.rfind('\n').map_or_else(Vec::new, |end| messages(&records[..end]))
}

fn written(path: &Path) -> Vec<String> {
    so_far(&fs::read_to_string(path).unwrap_or_default())
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    socket
}

fn send(mut socket: &TcpStream, text: &str) {
    writeln!(socket, "{}", message(text)).expect("room for a message");
}

/// Waits for the end of a reload: the log says so each time, one way or the other.
fn reload(postrider: &Postrider, config: &str) {
    let before = reloads(&postrider.stderr());
    postrider.reload(config);
    wait_until(DEADLINE, "the end of a reload", || reloads(&postrider.stderr()) > before);
}

fn reloads(log: &str) -> usize {
    log.matches(" is in use").count() + log.matches(" is refused").count()
}

/// Returns the changes that the log names for the last reload.
fn said(postrider: &Postrider) -> String {
    let log = postrider.stderr();
    let line = log.lines().rfind(|line| line.contains(" is in use")).expect("a reload that was done");
    line.split_once(" is in use ").expect("what was changed").1.to_owned()
}

/// The sum of a number over all ledgers of a name.
fn sum(ended: &Ended, owner: &str, field: &str) -> u64 {
    ledgers(&ended.stderr, owner).map(|line| count(line, field)).sum()
}

/// The inode of the socket that listens at a port, or is bound to it.
fn inode(protocol: &str, address: SocketAddr) -> Option<u64> {
    let sockets = fs::read_to_string(format!("/proc/net/{protocol}")).expect("the sockets");
    let port = format!(":{:04X}", address.port());
    let is_it = |fields: &Vec<&str>| fields[1].ends_with(&port) && fields[2].ends_with(":0000");
    let found = sockets.lines().skip(1).map(|line| line.split_whitespace().collect()).find(is_it)?;
    found[9].parse().ok()
}

/// RELP over a connection that is open.
struct Relp {
    socket: TcpStream,
    next: usize,
}

impl Relp {
    fn open(address: SocketAddr) -> Self {
        let mut socket = connect(address);
        socket.write_all(OPEN.as_bytes()).expect("room");
        let mut relp = Self { socket, next: 2 };
        assert!(relp.answer().starts_with("1 rsp "));
        for _ in 0..3 {
            relp.answer();
        }
        relp
    }

    fn send(&mut self, text: &str) {
        let message = message(text);
        writeln!(self.socket, "{} syslog {} {message}", self.next, message.len()).expect("room for a frame");
        self.next += 1;
    }

    /// A line of what comes back.
    fn answer(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            self.socket.read_exact(&mut byte).expect("an answer");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }

    fn send_and_wait(&mut self, text: &str) {
        self.send(text);
        assert_eq!(self.answer(), format!("{} rsp 6 200 OK\n", self.next - 1));
    }
}

#[test]
fn an_unchanged_file_keeps_all() {
    let directory = scratch::directory("unchanged");
    let path = |name: &str| directory.path().join(name);
    let config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\n\
         listen = \"127.0.0.1:0\"\n[[source.unix]]\npath = \"{}\"\n[[source.unix]]\nkind = \"stream\"\npath = \"{}\"\n\
         [[source.file]]\npaths = [\"{}\"]\nstate = \"{}\"\nstart = \"beginning\"\n[[sink.stdout]]\n[[sink.file]]\n\
         path = \"{}\"\n[sink.file.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n",
        path("datagram").display(),
        path("stream").display(),
        path("log").display(),
        path("state").display(),
        path("out.json").display(),
        path("spool").display(),
    );
    fs::write(path("log"), "").expect("a log file");
    let mut postrider = Postrider::spawn(&config);
    let [tcp, relp, udp] = ["tcp", "relp", "udp"].map(|source| postrider.address(source));
    wait_until(DEADLINE, "the last source", || postrider.stderr().matches("listening").count() == 6);
    let inodes = || (inode("tcp", tcp), inode("tcp", relp), inode("udp", udp));
    let (socket, mut session) = (connect(tcp), Relp::open(relp));
    let stream = UnixStream::connect(path("stream")).expect("a connection");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let local = UnixDatagram::unbound().expect("a socket");
    let before = inodes();
    assert!(before.0.is_some() && before.1.is_some() && before.2.is_some());
    for round in 0..3 {
        if round > 0 {
            reload(&postrider, &config);
            assert_eq!(
                said(&postrider).split_once("sources=").expect("what was changed").1,
                "kept tcp, relp, udp, unix, unix-2, file sinks=kept stdout, file"
            );
        }
        send(&socket, &format!("tcp {round}"));
        session.send_and_wait(&format!("relp {round}"));
        datagrams.send_to(message(&format!("udp {round}")).as_bytes(), udp).expect("a datagram");
        local.send_to(message(&format!("unix {round}")).as_bytes(), path("datagram")).expect("a datagram");
        writeln!(&stream, "{}", message(&format!("stream {round}"))).expect("room");
        let mut log = fs::OpenOptions::new().append(true).open(path("log")).expect("the log file");
        writeln!(log, "{}", message(&format!("log {round}"))).expect("room");
        wait_until(DEADLINE, "all messages", || written(&path("out.json")).len() == 6 * (round + 1));
    }
    assert_eq!(inodes(), before, "the sockets are the same");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(messages(&ended.stdout).len(), 18);
    for source in ["tcp", "relp", "unix-2"] {
        assert_eq!(sum(&ended, &format!("source=\"{source}\""), "connections"), 1, "{source}");
    }
    assert_eq!(ended.stderr.matches("listening").count(), 6);
    // One ledger for each: nobody has ended before the end.
    assert_eq!(ended.stderr.matches(" ledger ").count(), 8);
}

#[test]
fn a_bad_file_is_refused_with_its_errors_and_changes_nothing() {
    let directory = scratch::directory("refused");
    let good = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(good);
    let socket = connect(postrider.address("tcp"));
    let last = |postrider: &Postrider| {
        let log = postrider.stderr();
        let (_, said) = log.rsplit_once("reopen their files\n").expect("the word of the log");
        let said = said.replace(&postrider.config_file().display().to_string(), "FILE");
        // Without the time.
        let lines = said.lines().map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest).trim_end());
        lines.collect::<Vec<_>>().join("\n")
    };
    reload(&postrider, "[[source.tcp]]\nlisten = \"127.0.0.1\"\n[[sink.stdout]]\nqueue_sise = \"1MiB\"\n");
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["check", "-c"])
        .arg(postrider.config_file())
        .output()
        .expect("postrider");
    // A reload has no consequence to tell: Postrider continues.
    let errors = String::from_utf8_lossy(&check.stderr).trim_end().replace("; the configuration is not usable", "");
    // Further lines of an event are indented.
    let logged = postrider.stderr().replace("\n    ", "\n");
    assert!(logged.contains(&errors), "what check prints");
    assert!(
        !postrider.stderr().contains("not usable") && !postrider.stderr().contains("nothing was started"),
        "{}",
        postrider.stderr()
    );
    insta::assert_snapshot!("refused", last(&postrider));

    // A fault that only an attempt shows is refused too, and everything made for the attempt goes again.
    let (taken, free) = (Port::reserve(), Port::reserve());
    let _other = TcpListener::bind(taken.address()).expect("a free port");
    let source = |address: SocketAddr| format!("[[source.tcp]]\nlisten = \"{address}\"\n");
    let both = source(free.address()) + &source(taken.address());
    reload(&postrider, &format!("{both}[[sink.stdout]]\nqueue_size = \"1MiB\"\n"));
    let text = last(&postrider);
    assert!(text.contains("source tcp-2: cannot listen on tcp") && text.contains("refused"), "{text}");
    assert!(TcpStream::connect(free.address()).is_err(), "it is not bound");
    let spool = directory.path().join("spool");
    let sinks = format!(
        "[[sink.stdout]]\n[sink.stdout.spool]\ndirectory = \"{}\"\n[[sink.file]]\npath = \"/proc/none/x\"\n",
        spool.display()
    );
    reload(&postrider, &format!("{good}{}", sinks.replacen("[[sink.stdout]]\n", "name = \"x\"\n", 1)));
    let text = last(&postrider);
    assert!(text.contains("sink file: cannot use the directory /proc/none") && text.contains("refused"), "{text}");
    fs::remove_file(postrider.config_file()).expect("the configuration");
    let before = reloads(&postrider.stderr());
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the end of a reload", || reloads(&postrider.stderr()) > before);
    assert!(last(&postrider).contains("cannot read FILE: No such file"), "{}", last(&postrider));

    // The spool of what was refused is free again.
    reload(&postrider, &format!("{good}[sink.stdout.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n", spool.display()));
    assert!(said(&postrider).contains("sources=kept tcp sinks=changed stdout"), "{}", said(&postrider));
    send(&socket, "the same connection");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()) == ["the same connection"]);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(sum(&ended, "source=\"tcp\"", "connections"), 1);
}

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

#[test]
fn a_changed_source_passes_on_its_socket_and_keeps_connections() {
    let config = |limit: &str, deny: &str, workers: usize| {
        format!(
            "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"{limit}\"\n[[source.udp]]\n\
             listen = \"127.0.0.1:0\"\nworkers = {workers}\n{deny}[[sink.stdout]]\n"
        )
    };
    let mut postrider = Postrider::spawn(&config("1KiB", "", 1));
    let (tcp, udp) = (postrider.address("tcp"), postrider.address("udp"));
    let before = (inode("tcp", tcp), inode("udp", udp));
    let old = connect(tcp);
    send(&old, "half of the way");
    wait_until(DEADLINE, "a message", || so_far(&postrider.stdout()).len() == 1);
    // Half of a message is read under the old configuration, and the other half later.
    (&old).write_all(&message("in two").as_bytes()[..20]).expect("room");
    reload(&postrider, &config("480B", "deny = [\"127.0.0.0/8\"]\n", 1));
    assert!(said(&postrider).contains("sources=changed tcp, udp sinks=kept stdout"), "{}", said(&postrider));
    writeln!(&old, "{}", &message("in two")[20..]).expect("room");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()).len() == 2);
    assert_eq!((inode("tcp", tcp), inode("udp", udp)), before, "the sockets are the same");
    let long = "x".repeat(700);
    send(&old, &long);
    let new = connect(tcp);
    send(&new, &long);
    UdpSocket::bind("127.0.0.1:0").expect("a socket").send_to(b"<22>denied", udp).expect("a datagram");
    wait_until(DEADLINE, "both messages", || so_far(&postrider.stdout()).len() == 4);
    let lengths: HashSet<_> = so_far(&postrider.stdout())[2..].iter().map(|text| text.len() == 700).collect();
    assert_eq!(lengths, HashSet::from([true, false]), "each under the limit of its time");
    drop(old);
    wait_until(DEADLINE, "the ledger of what has ended", || {
        postrider.stderr().lines().filter(|line| line.contains(" ledger source=\"tcp\"")).count() == 1
    });
    // With a second worker, the first socket stays.
    reload(&postrider, &config("480B", "", 2));
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sender.send_to(message("admitted").as_bytes(), udp).expect("a datagram");
    wait_until(DEADLINE, "the datagram", || so_far(&postrider.stdout()).len() == 5);
    send(&new, "the last");
    wait_until(DEADLINE, "the last message", || so_far(&postrider.stdout()).len() == 6);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(messages(&ended.stdout)[..2], ["half of the way", "in two"]);
    assert!(ended.stderr.contains("dropped_denied=1"), "{}", ended.stderr);
}

#[test]
fn no_datagram_that_the_kernel_holds_is_lost_with_the_settings() {
    const COUNT: usize = 20_000;
    let config = |n: usize| {
        let (buffer, workers) = (2 + n % 2, 1 + n);
        format!(
            "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nreceive_buffer = \"{buffer}MiB\"\nworkers = {workers}\n[[sink.stdout]]\n"
        )
    };
    let mut postrider = Postrider::spawn(&config(0));
    let udp = postrider.address("udp");
    let sender = thread::spawn(move || {
        let sockets: Vec<_> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
        for n in 0..COUNT {
            sockets[n % 8].send_to(message(&format!("number {n}")).as_bytes(), udp).expect("a datagram");
        }
    });
    let mut n = 0;
    while !sender.is_finished() || n < 4 {
        n += 1;
        reload(&postrider, &config(n % 4));
    }
    sender.join().expect("a sender");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let drops = sum(&ended, "source=\"udp\"", "kernel_drops");
    assert_eq!(sum(&ended, "source=\"udp\"", "received") + drops, COUNT as u64, "{}", ended.stderr);
    assert_eq!(messages(&ended.stdout).len() as u64, sum(&ended, "sink=\"stdout\"", "delivered"));
}

#[test]
fn a_removed_source_stops_as_at_a_stop_and_an_added_one_listens() {
    let directory = scratch::directory("removed");
    let path = directory.path().join("socket");
    let kept = "[[source.tcp]]\nname = \"kept\"\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let unix =
        |kind: &str| format!("[[source.unix]]\npath = \"{}\"\nkind = \"{kind}\"\nmode = \"0666\"\n", path.display());
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nname = \"old\"\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{}{kept}",
        unix("datagram")
    ));
    let [old, kept_at, relp] = ["old", "kept", "relp"].map(|source| postrider.address(source));
    let (mut socket, other, mut session) = (connect(old), connect(kept_at), Relp::open(relp));
    session.send_and_wait("relp");
    // A line without its end.
    write!(socket, "{}\n{}", message("whole"), message("begun")).expect("room");
    wait_until(DEADLINE, "the first line", || so_far(&postrider.stdout()).len() == 2);
    let new = Port::reserve();
    let added = format!("[[source.tcp]]\nname = \"new\"\nlisten = \"{}\"\n{kept}", new.address());
    reload(&postrider, &added);
    let changes = "sources=added new; removed old, relp, unix; kept kept sinks=kept stdout";
    assert!(said(&postrider).contains(changes), "{}", said(&postrider));
    assert_eq!(socket.read(&mut [0; 16]).expect("the end of the connection"), 0);
    assert_eq!(session.answer(), "0 serverclose 0\n");
    wait_until(DEADLINE, "the ends", || {
        TcpStream::connect(old).is_err() && TcpStream::connect(relp).is_err() && !path.exists()
    });
    send(&other, "kept");
    send(&connect(new.address()), "new");
    wait_until(DEADLINE, "the messages", || so_far(&postrider.stdout()).len() == 5);
    wait_until(DEADLINE, "the ledgers of the ended", || postrider.stderr().matches(" ledger source=").count() == 3);
    // A removed source can come back, as another kind of socket too, but not in one step.
    reload(&postrider, &format!("{}{added}", unix("stream")));
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o666);
    let stream = UnixStream::connect(&path).expect("a connection");
    reload(&postrider, &format!("{}{added}", unix("datagram")));
    assert!(postrider.stderr().contains("source unix: cannot listen on unix"), "{}", postrider.stderr());
    reload(&postrider, &format!("{}{added}", unix("stream").replace("0666", "0600")));
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o600);
    writeln!(&stream, "{}", message("stream")).expect("room");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()).len() == 6);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!path.exists());
    assert!(messages(&ended.stdout).contains(&"begun".to_owned()), "{}", ended.stdout);
}

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

/// Spoken to by a test through its files: with a standard output that nobody reads as yet.
fn reload_unread(postrider: &Unread, directory: &Path, config: &str) {
    let before = reloads(&postrider.log());
    fs::write(directory.join("postrider.toml"), testkit::postrider::plain(config)).expect("a configuration");
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the end of a reload", || reloads(&postrider.log()) > before);
}

fn read_all(postrider: &mut Unread) -> JoinHandle<Vec<String>> {
    let mut output = postrider.output();
    thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("text");
        messages(&text)
    })
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

#[test]
fn followed_files_are_read_on_from_where_they_were() {
    const EACH: usize = 500;
    let directory = scratch::directory("follow");
    let path = |name: &str| directory.path().join(name);
    let config = |n: usize| {
        format!(
            "[[source.file]]\npaths = [\"{}\"]\nstate = \"{}\"\nstart = \"beginning\"\npoll_interval = \"{}ms\"\n[[sink.stdout]]\n",
            path("log").display(),
            path("state").display(),
            100 + n
        )
    };
    fs::write(path("log"), "").expect("a log file");
    let postrider = Postrider::spawn(&config(0));
    wait_until(DEADLINE, "the source", || postrider.stderr().contains("listening"));
    for n in 0..6 {
        let mut log = fs::OpenOptions::new().append(true).open(path("log")).expect("the log file");
        for line in n * EACH..(n + 1) * EACH {
            writeln!(log, "Nov 24 06:00:00 mx1 test[1]: {line}").expect("room");
        }
        if n > 0 {
            reload(&postrider, &config(n));
            assert!(said(&postrider).contains("sources=changed file"), "{}", said(&postrider));
        }
    }
    wait_until(DEADLINE, "all lines", || so_far(&postrider.stdout()).len() >= 6 * EACH);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let numbers: Vec<usize> = messages(&ended.stdout).iter().map(|text| text.parse().expect("a number")).collect();
    assert_eq!(numbers, (0..6 * EACH).collect::<Vec<_>>(), "each once and in order");
}

#[test]
fn the_standard_input_stays() {
    let directory = scratch::directory("stdin");
    let config =
        |framing: &str, more: &str| format!("[[source.stdin]]\nframing = \"{framing}\"\n{more}[[sink.stdout]]\n");
    let mut postrider = Unread::spawn(&config("lf", ""), &directory.path().join("stderr"));
    let mut input = postrider.input();
    wait_until(DEADLINE, "the source", || postrider.log().contains("listening"));
    let reader = read_all(&mut postrider);
    write!(input, "{}\n{}", message("one"), &message("two")[..30]).expect("room");
    reload_unread(&postrider, directory.path(), &config("lf", "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n"));
    reload_unread(&postrider, directory.path(), &config("nul", "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n"));
    assert!(postrider.log().contains("the standard input keeps its old settings"), "{}", postrider.log());
    writeln!(input, "{}", &message("two")[30..]).expect("room");
    drop(input);
    // The other source keeps it running; without that, there is no input any more.
    let mut socket = connect(postrider.address("tcp"));
    writeln!(socket, "{}", message("three")).expect("room");
    drop(socket);
    wait_until(DEADLINE, "the message", || {
        postrider.signal(Signal::SIGHUP);
        postrider.log().matches("kept stdin, tcp").count() > 2
    });
    fs::write(directory.path().join("postrider.toml"), config("nul", "")).expect("a configuration");
    postrider.signal(Signal::SIGHUP);
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("the input has ended; stopping"), "{}", ended.stderr);
    let mut read = reader.join().expect("the reader");
    read.sort_unstable();
    assert_eq!(read, ["one", "three", "two"]);
}

#[test]
fn connections_of_old_settings_end_when_the_address_goes() {
    let kept = "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let tcp = |limit: &str| format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"{limit}\"\n{kept}");
    let mut postrider = Postrider::spawn(&tcp("1KiB"));
    let address = postrider.address("tcp");
    let mut sockets = Vec::new();
    for limit in ["2KiB", "3KiB", "4KiB"] {
        let socket = connect(address);
        send(&socket, limit);
        wait_until(DEADLINE, "the message", || postrider.stdout().contains(limit));
        sockets.push(socket);
        reload(&postrider, &tcp(limit));
    }
    for socket in &sockets {
        send(socket, "alive");
    }
    wait_until(DEADLINE, "a word of each", || postrider.stdout().matches("alive").count() == 3);
    reload(&postrider, kept);
    for mut socket in sockets {
        assert_eq!(socket.read(&mut [0; 16]).expect("the end of the connection"), 0);
    }
    wait_until(DEADLINE, "the ledgers", || postrider.stderr().matches(" ledger source=\"tcp\"").count() == 4);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn settings_take_effect() {
    let directory = scratch::directory("settings");
    let path = directory.path().join("out.json");
    let config = |settings: &str| {
        format!(
            "{settings}[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n[[sink.file]]\npath = \"{}\"\n",
            path.display()
        )
    };
    let postrider = Unread::spawn(&config(""), &directory.path().join("stderr"));
    let mut socket = connect(postrider.address("tcp"));
    let line = "<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: 3F1A220046: to=<a@example.com>, relay=none, delay=1, \
                delays=1/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.1]:25: Connection refused)\n";
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    socket.write_all(line.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record", || lines().len() == 1);
    reload_unread(&postrider, directory.path(), &config("language = \"ja\"\nshutdown_timeout = \"2s\"\n"));
    assert!(postrider.log().contains("changed_settings=\"language, shutdown_timeout\""), "{}", postrider.log());
    socket.write_all(line.as_bytes()).expect("room");
    wait_until(DEADLINE, "another record", || lines().len() == 2);
    let lines = lines();
    assert!(lines[0].is_ascii() && !lines[1].is_ascii(), "{lines:?}");
    // The standard output is full, and a stop waits for it in vain: no longer than the new file says.
    Endless::start(socket, |_| line.to_owned()).wait_held_up(&postrider.status(), "tcp");
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Those that are opened after it: an open connection is read as it began.
#[test]
fn another_format_takes_effect_for_new_connections() {
    const LINE: &str = "2026-11-24T02:10:36.5Z stdout F Nov 24 02:10:35 mx1 postfix/qmgr[1]: 4FCA1803C6: removed\n";
    let port = Port::reserve();
    let config = |format: &str| {
        format!("[[source.tcp]]\nlisten = \"{}\"\nformat = \"{format}\"\n[[sink.stdout]]\n", port.address())
    };
    let mut postrider = Postrider::spawn(&config("plain"));
    postrider.wait_listening(&[port.address()]);
    let records = || -> Vec<Value> {
        let whole = postrider.stdout();
        let lines = whole.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    connect(port.address()).write_all(LINE.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record of the old format", || records().len() == 1);
    assert_eq!(records()[0]["message"], LINE.trim_end());
    reload(&postrider, &config("cri"));
    connect(port.address()).write_all(LINE.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record of the new format", || records().len() == 2);
    let second = &records()[1];
    assert_eq!((&second["hostname"], &second["postfix"]["event"]), (&"mx1".into(), &"removed".into()), "{second}");
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn signals_are_dealt_with_one_after_another_and_a_stop_ends_it() {
    let directory = scratch::directory("signals");
    let path = directory.path().join("out.json");
    let config = |n: usize| {
        format!(
            "shutdown_timeout = \"5s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = {}\n[[sink.stdout]]\n\
             queue_size = \"{}KiB\"\n[[sink.file]]\npath = \"{}\"\n",
            100 + n,
            256 + n,
            path.display()
        )
    };
    let mut postrider = Postrider::spawn(&config(0));
    let address = postrider.address("tcp");
    let socket = connect(address);
    let mut count = 0;
    for n in 1..=30 {
        fs::write(postrider.config_file(), config(n)).expect("a configuration");
        postrider.signal(Signal::SIGHUP);
        send(&socket, &format!("number {count}"));
        count += 1;
    }
    // The last file is the one that is in use in the end, however many signals there were.
    wait_until(DEADLINE, "the last reload", || {
        postrider.signal(Signal::SIGHUP);
        said_or_none(&postrider).contains("sources=kept tcp sinks=kept stdout, file")
    });
    wait_until(DEADLINE, "all messages", || written(&path).len() == count);
    // Signals for a reload right before the stop, and after it.
    fs::write(postrider.config_file(), config(0)).expect("a configuration");
    for _ in 0..5 {
        postrider.signal(Signal::SIGHUP);
    }
    let pid = nix::unistd::Pid::from_raw(postrider.pid().cast_signed());
    postrider.signal(Signal::SIGTERM);
    // An error says that it has ended.
    while nix::sys::signal::kill(pid, Signal::SIGHUP).is_ok() && !postrider.stderr().contains("stopping") {}
    let begun = Instant::now();
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(messages(&ended.stdout).len(), count);
    assert_eq!(written(&path).len(), count);
}

fn said_or_none(postrider: &Postrider) -> String {
    if postrider.stderr().contains(" is in use") { said(postrider) } else { String::new() }
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

#[test]
fn systemd_hears_of_a_reload() {
    let directory = scratch::directory("systemd");
    let path = |name: &str| directory.path().join(name);
    let socket = UnixDatagram::bind(path("notify")).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    fs::write(path("postrider.toml"), config).expect("a configuration");
    let variable = format!("NOTIFY_SOCKET={}", path("notify").display());
    let arguments = [variable.as_str(), env!("CARGO_BIN_EXE_postrider"), "run", "-c"].map(std::path::PathBuf::from);
    let arguments = [&arguments[..], &[path("postrider.toml")]].concat();
    let mut process = testkit::process::Process::start_apart("env", &arguments, &path("stdout"), &path("stderr"));
    let heard = || {
        let mut bytes = [0; 1024];
        let size = socket.recv(&mut bytes).expect("a word of Postrider");
        String::from_utf8_lossy(&bytes[..size]).trim().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    let begun = Instant::now();
    let mut times = Vec::new();
    for text in [config, "nonsense"] {
        fs::write(path("postrider.toml"), text).expect("a configuration");
        process.signal(Signal::SIGHUP);
        let said = heard();
        let time = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a word of the reload");
        times.push(time.parse::<u64>().expect("a number"));
        assert_eq!(heard(), "READY=1");
    }
    assert!(times[1] > times[0] && u128::from(times[1] - times[0]) <= begun.elapsed().as_micros(), "{times:?}");
    process.signal(Signal::SIGTERM);
    assert_eq!(heard(), "STOPPING=1");
    assert!(process.ended(DEADLINE).success());
}

#[test]
fn sighup_without_a_configuration_file_only_reopens_sink_files() {
    let directory = scratch::directory("no-file");
    let path = |name: &str| directory.path().join(name);
    let program = env!("CARGO_BIN_EXE_postrider");
    let mut process = testkit::process::Process::start_apart(program, &["run"], &path("stdout"), &path("stderr"));
    let log = || fs::read_to_string(path("stderr")).unwrap_or_default();
    process.wait_ready(DEADLINE, || (log().matches("listening").count() == 2).then_some(()));
    let socket = connect(SocketAddr::from(([127, 0, 0, 1], 5514)));
    process.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the word of the log", || log().contains("SIGHUP: the sinks reopen their files"));
    send(&socket, "still here");
    wait_until(DEADLINE, "the message", || {
        fs::read_to_string(path("stdout")).is_ok_and(|text| text.contains("still here"))
    });
    process.signal(Signal::SIGTERM);
    assert!(process.ended(DEADLINE).success());
    assert_eq!(reloads(&log()), 0, "{}", log());
}

#[test]
fn each_sink_has_its_language_over_a_reload() {
    let directory = scratch::directory("language");
    let path = |name: &str| directory.path().join(name);
    let config = |language: &str| {
        let [first, second] = ["first", "second"].map(|name| path(name).display().to_string());
        format!(
            "language = \"{language}\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\nname = \"first\"\n\
             path = \"{first}\"\n[[sink.file]]\nname = \"second\"\nlanguage = \"ja\"\npath = \"{second}\"\n"
        )
    };
    let texts = |name: &str| -> Vec<String> {
        let text = |line: &str| {
            let record: Value = serde_json::from_str(line).expect("a record");
            record.pointer("/postfix/dsn/text").and_then(Value::as_str).expect("a text").to_owned()
        };
        fs::read_to_string(path(name)).unwrap_or_default().lines().map(text).collect()
    };
    let mut postrider = Postrider::run(&config("en"), &[]);
    let socket = connect(postrider.address("tcp"));
    let line = "<22>Nov 24 06:00:00 mx1 postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, delay=1, \
                delays=1/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.1]:25: Connection refused)";
    writeln!(&socket, "{line}").expect("room");
    wait_until(DEADLINE, "a record in each file", || texts("first").len() == 1 && texts("second").len() == 1);
    reload(&postrider, &config("ja"));
    writeln!(&socket, "{line}").expect("room");
    wait_until(DEADLINE, "another record in each file", || texts("first").len() == 2 && texts("second").len() == 2);
    let dsn = postrider::dsn::Dsn::parse("4.4.1").expect("a code");
    let [en, ja] = [Language::En, Language::Ja].map(|language| dsn.text(language).to_owned());
    assert_eq!(texts("first"), [en, ja.clone()]);
    assert_eq!(texts("second"), [ja.clone(), ja]);
    assert_clean(&postrider.terminate(DEADLINE));
}
