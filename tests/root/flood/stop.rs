//! Does a stop with hundreds of connections, each in the middle of something, end in its time, and is each whole
//! message accounted for?

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::flood::{DEADLINE, message, need_descriptors};
use testkit::pki::{self, BOTH, Pki};
use testkit::postrider::{Ended, assert_clean};
use testkit::relp::{CLOSE, Client, acknowledgements};
use testkit::scratch;
use testkit::status::number;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const CONNECTIONS: usize = 400;
/// Whole messages of each that are there long before the stop.
const EARLY: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(4);
/// Time over [`TIMEOUT`] that a busy machine may take.
const MARGIN: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Lines over TCP.
    Lines,
    /// Messages with a count.
    Counted,
    Tls,
    Relp,
    /// Lines over TCP that come a few bytes at a time, without an end.
    Trickle,
    /// Half of a TLS hello, and nothing more.
    Hello,
}

const KINDS: [Kind; 6] = [Kind::Lines, Kind::Counted, Kind::Tls, Kind::Relp, Kind::Trickle, Kind::Hello];

/// Those that say something whole before they stop in the middle of a message.
const TALKATIVE: [Kind; 4] = [Kind::Lines, Kind::Counted, Kind::Tls, Kind::Relp];

fn kind(connection: usize) -> Kind {
    KINDS[connection % KINDS.len()]
}

/// All connections of a kind.
fn all(of: Kind) -> impl Iterator<Item = usize> {
    (0..CONNECTIONS).filter(move |connection| kind(*connection) == of)
}

/// A whole message on the wire.
fn frame(connection: usize, number: usize) -> String {
    let text = message(&format!("{connection}/{number} {}", "x".repeat(1000)));
    match kind(connection) {
        Kind::Counted => format!("{} {text}", text.len()),
        Kind::Relp => format!("{} syslog {} {text}\n", number + 2, text.len()),
        _ => text + "\n",
    }
}

fn halves(connection: usize, number: usize) -> (String, String) {
    let frame = frame(connection, number);
    let (begin, rest) = frame.split_at(frame.len() / 2);
    (begin.to_owned(), rest.to_owned())
}

/// Ports at which Postrider listens.
struct Ports {
    tcp: SocketAddr,
    tls: SocketAddr,
    relp: SocketAddr,
    client: Arc<ClientConfig>,
}

impl Ports {
    /// Connects, and sends whole messages and half of another.
    fn begin(&self, connection: usize) -> Client {
        let mut client = match kind(connection) {
            Kind::Tls => Client::connect_tls(self.tls, &self.client).expect("a TLS connection"),
            Kind::Relp => Client::open(self.relp, None),
            Kind::Hello => Client::connect(self.tls),
            _ => Client::connect(self.tcp),
        };
        match kind(connection) {
            Kind::Trickle => {}
            Kind::Hello => {
                let mut hello = Vec::new();
                pki::session(&self.client).write_tls(&mut hello).expect("a hello");
                client.send(&hello[..hello.len() / 2]);
            }
            _ => {
                let early: String = (0..EARLY).map(|number| frame(connection, number)).collect();
                client.send((early + &halves(connection, EARLY).0).as_bytes());
            }
        }
        client
    }
}

/// Connections of [`Kind::Trickle`].
struct Slow {
    connection: usize,
    socket: TcpStream,
    /// Bytes not sent yet of the line before `next`.
    rest: Vec<u8>,
    next: usize,
    /// Number of lines sent to their end.
    sent: Arc<AtomicUsize>,
}

/// Sends to all of them in turn, a few bytes at a time, until they are closed.
fn trickle(mut slow: Vec<Slow>) {
    const STEP: usize = 40;
    const PAUSE: Duration = Duration::from_millis(1);
    while !slow.is_empty() {
        slow.retain_mut(|slow| {
            if slow.rest.is_empty() {
                slow.sent.store(slow.next, Relaxed);
                slow.rest = frame(slow.connection, slow.next).into_bytes();
                slow.next += 1;
            }
            let step: Vec<u8> = slow.rest.drain(..STEP.min(slow.rest.len())).collect();
            slow.socket.write_all(&step).is_ok()
        });
        thread::sleep(PAUSE);
    }
}

/// Fate of the messages of a connection.
#[derive(Clone, Debug, Default)]
struct Fate {
    /// The numbers of the whole ones, in the order in which they came out.
    whole: Vec<usize>,
    /// Number of cut messages that came out.
    cut: usize,
    /// Number of messages acknowledged.
    acknowledged: usize,
    /// Number of messages sent to their end before the stop.
    sent: usize,
}

/// Returns the fate of each connection by the records in `output`.
fn fates(output: &str) -> Vec<Fate> {
    let mut fates = vec![Fate::default(); CONNECTIONS];
    for line in output.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let text = record["message"].as_str().expect("a text");
        let is_cut = record["flags"].to_string().contains("truncated");
        let Some((connection, rest)) = text.split_once('/') else {
            assert!(is_cut, "whose is it? {line}");
            continue;
        };
        let fate = &mut fates[connection.parse::<usize>().expect("a connection")];
        if is_cut {
            fate.cut += 1;
        } else {
            fate.whole.push(rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number"));
        }
    }
    fates
}

/// Postrider, and 400 connections to it.
struct Crowd {
    // In the order in which they must go: the process first.
    postrider: Unread,
    clients: Vec<Client>,
    slow: Vec<(usize, Arc<AtomicUsize>)>,
    directory: TempDir,
    _pki: Pki,
}

/// End of a run.
struct Stopped {
    ended: Ended,
    records: usize,
    fates: Vec<Fate>,
}

impl Crowd {
    /// With a sink of this configuration, in which OUTPUT stands for a file.
    fn gather(sink: &str) -> Self {
        need_descriptors(4096);
        let (pki, directory) = (Pki::new(), scratch::directory("crowd"));
        let tls = pki.source("handshake_timeout = \"1h\"").replace("max_connections = 4", "max_connections = 400");
        let sources = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n";
        let sink = sink.replace("OUTPUT", &directory.path().join("output").display().to_string());
        let config = format!("shutdown_timeout = \"4s\"\n{sources}{tls}{sink}");
        let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
        let [tcp, tls, relp] = ["tcp", "tls", "relp"].map(|source| postrider.address(source));
        let ports = Ports { tcp, tls, relp, client: pki.client(None, BOTH) };
        let clients: Vec<Client> = (0..CONNECTIONS).map(|connection| ports.begin(connection)).collect();
        let slow = all(Kind::Trickle).map(|connection| Slow {
            connection,
            socket: clients[connection].socket(),
            rest: Vec::new(),
            next: 0,
            sent: Arc::default(),
        });
        let slow: Vec<Slow> = slow.collect();
        let sent = slow.iter().map(|slow| (slow.connection, Arc::clone(&slow.sent))).collect();
        thread::spawn(|| trickle(slow));
        Self { postrider, clients, slow: sent, directory, _pki: pki }
    }

    /// Returns the content of the file.
    fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }

    /// Stops it in time. When it learns of the stop, the kernel holds what all connections said last: the end of a
    /// message, and the beginning of another.
    fn stop(mut self) -> Stopped {
        self.postrider.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.postrider.pid());
        let is_still = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        wait_until(DEADLINE, "a process that stands still", is_still);
        for connection in TALKATIVE.into_iter().flat_map(all) {
            let last = halves(connection, EARLY).1 + &halves(connection, EARLY + 1).0;
            self.clients[connection].send(last.as_bytes());
        }
        let sent: Vec<(usize, usize)> = self.slow.iter().map(|(slow, sent)| (*slow, sent.load(Relaxed))).collect();
        self.postrider.signal(Signal::SIGTERM);
        let begun = Instant::now();
        self.postrider.signal(Signal::SIGCONT);
        wait_until(DEADLINE, "the end", || self.postrider.has_ended());
        let took = begun.elapsed();
        let mut output = self.output();
        self.postrider.output().read_to_string(&mut output).expect("text");
        let mut fates = fates(&output);
        for (slow, sent) in sent {
            fates[slow].sent = sent;
        }
        for connection in all(Kind::Relp) {
            let said = self.clients[connection].read_what_comes();
            let said = said.strip_suffix(CLOSE).unwrap_or(&said);
            let acknowledged = said.lines().count();
            assert_eq!(said, acknowledgements(2..2 + acknowledged));
            fates[connection].acknowledged = acknowledged;
        }
        let ended = self.postrider.ended(DEADLINE);
        assert_clean(&ended);
        assert!(took < TIMEOUT + MARGIN, "{took:?}\n{}", ended.stderr);
        Stopped { ended, records: output.lines().count(), fates }
    }
}

impl Stopped {
    /// The sum of a count of all sources.
    fn sources(&self, field: &str) -> u64 {
        ["tcp", "tls", "relp"].iter().map(|source| self.ended.source(source).count(field)).sum()
    }

    fn sink(&self, field: &str) -> u64 {
        number(self.ended.status_file().get("/ledger/sinks"), field)
    }
}

#[test]
fn a_stop_among_400_unfinished_messages_delivers_the_whole_ones() {
    let crowd = Crowd::gather("[[sink.file]]\npath = \"OUTPUT\"\n");
    wait_until(DEADLINE, "what is whole, and something of the slow ones", || {
        let fates = fates(&crowd.output());
        let early = |connection: usize| fates[connection].whole.len() == EARLY;
        TALKATIVE.into_iter().flat_map(all).all(early) && all(Kind::Trickle).all(|slow| !fates[slow].whole.is_empty())
    });
    let stopped = crowd.stop();
    for (connection, fate) in stopped.fates.iter().enumerate() {
        let kind = kind(connection);
        assert!(fate.whole.iter().copied().eq(0..fate.whole.len()), "{kind:?}: gaps or another order: {fate:?}");
        let whole = fate.whole.len();
        match kind {
            Kind::Lines | Kind::Counted | Kind::Tls => assert_eq!((whole, fate.cut), (EARLY + 1, 1), "{kind:?}"),
            // The sender sends again what a stop leaves unread.
            Kind::Relp => assert!((EARLY..=EARLY + 1).contains(&whole) && fate.cut == 0, "{fate:?}"),
            Kind::Trickle => assert!(whole >= fate.sent && fate.cut <= 1, "{fate:?}"),
            Kind::Hello => assert_eq!((whole, fate.cut), (0, 0)),
        }
        assert_eq!(fate.acknowledged, if kind == Kind::Relp { whole } else { 0 }, "{kind:?}: {fate:?}");
    }
    let stderr = &stopped.ended.stderr;
    assert!(!stderr.contains(" in time"), "{stderr}");
    assert_eq!(stopped.sources("received"), stopped.records as u64, "{stderr}");
    assert_eq!(stopped.sink("delivered"), stopped.records as u64, "{stderr}");
    assert_eq!((stopped.sources("dropped"), stopped.sink("dropped")), (0, 0), "{stderr}");
}

#[test]
fn a_stop_among_400_unfinished_messages_counts_the_untaken_ones() {
    let crowd = Crowd::gather("[[sink.stdout]]\nqueue_size = \"64KiB\"\n");
    wait_until(DEADLINE, "a sink that stands still", || crowd.postrider.log().contains("the sink makes no progress"));
    let stopped = crowd.stop();
    for (connection, fate) in stopped.fates.iter().enumerate() {
        assert!(fate.whole.is_sorted_by(|a, b| a < b), "{:?}: out of order, or twice: {fate:?}", kind(connection));
        assert!(fate.acknowledged <= fate.whole.len(), "{fate:?}");
    }
    let stderr = &stopped.ended.stderr;
    for (source, kind) in [("tls", Kind::Tls), ("relp", Kind::Relp)] {
        assert!(stopped.ended.source(source).count("received") as usize >= all(kind).count() * EARLY, "{stderr}");
    }
    let [received, offered, dropped] = [stopped.sources("received"), stopped.sink("offered"), stopped.sink("dropped")];
    assert_eq!(received, stopped.sources("dropped") + offered, "{stderr}");
    assert_eq!(offered, stopped.records as u64 + dropped, "{stderr}");
    assert_eq!(stopped.sink("delivered"), stopped.records as u64, "{stderr}");
    assert!(dropped > 0 && stopped.sink("dropped_shutdown") == dropped, "{stderr}");
}
