//! What becomes of syslog over TLS when connections break, sinks stand still, the time of the certificate is over, or a
//! stop comes?

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::CertificateParams;
use rustls::ClientConfig;
use serde_json::Value;
use socket2::SockRef;
use testkit::endless::Endless;
use testkit::pki::{self, BOTH, Pki, finish};
use testkit::postrider::{Ended, Postrider, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::{wait, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

fn message(text: &str) -> String {
    let line = format!("<22>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}");
    format!("{} {line}", line.len())
}

/// Postrider with a source on TLS, which takes as many connections as usual and has more keys in its table of TLS.
fn config(pki: &Pki, more: &str) -> String {
    format!("{}[[sink.stdout]]\n", pki.source(more).replace("max_connections = 4\n", ""))
}

/// The messages of `stdout`, and whether each was cut.
fn messages(ended: &Ended) -> Vec<(String, bool)> {
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let cut = record["flags"].as_array().is_some_and(|flags| flags.contains(&"truncated".into()));
        (record["message"].as_str().expect("text").to_owned(), cut)
    };
    ended.stdout.lines().map(record).collect()
}

/// Waits until the log has `part` this number of times.
#[track_caller]
fn wait_log(postrider: &Postrider, part: &str, times: usize) {
    let log = || postrider.stderr();
    let found = wait(DEADLINE, || (log().matches(part).count() >= times).then_some(()));
    assert!(found.is_some(), "{part:?} is not {times} times in the log:\n{}", log());
}

/// Ends the connection with RST.
fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
    drop(socket);
}

// === connections that break ===

#[test]
fn a_reset_in_mid_stream_keeps_what_was_whole_and_harms_nobody() {
    const WHOLE: usize = 50;
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let mut postrider = Postrider::spawn(&config(&pki, ""));
    let address = postrider.address("tls");
    let mut lasting = pki::connect(address, &client).expect("a connection");
    lasting.write_all(message("before").as_bytes()).expect("room");
    let mut expected = vec![("before".to_owned(), false), ("after".to_owned(), false)];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = pki::connect(address, &pki.client(None, &[version])).expect("a connection");
        // Few segments: what the kernel keeps back until others are acknowledged, a reset throws away.
        stream.sock.set_nodelay(true).expect("an option of a socket");
        let whole: String = (0..WHOLE).map(|n| message(&n.to_string())).collect();
        expected.extend((0..WHOLE).map(|n| (n.to_string(), false)));
        stream.write_all(whole.as_bytes()).expect("room");
        // One is cut within its record of TLS too: what came of that can't be decrypted, and is none of the peer's
        // words.
        stream.write_all(b"500 <22>1 2026-11-24T02:10:35Z mx1 app 1 - - half").expect("room");
        expected.push(("half".to_owned(), true));
        stream.conn.writer().write_all(b"never whole").expect("room in the session");
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record).expect("a record");
        stream.sock.write_all(&record[..record.len() - 1]).expect("room");
        reset(stream.sock);
    }
    // And in the middle of the handshake.
    let mut hello = Vec::new();
    pki::session(&client).write_tls(&mut hello).expect("a hello");
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.write_all(&hello[..hello.len() / 2]).expect("room");
    reset(socket);
    wait_log(&postrider, "TLS handshake failed", 1);
    wait_log(&postrider, "connection failed", 1);
    lasting.write_all(message("after").as_bytes()).expect("room");
    wait_until(DEADLINE, "all records", || postrider.stdout().lines().count() == expected.len());
    assert_eq!(finish(lasting), b"");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let mut found = messages(&ended);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let count = |field| ended.source("tls").count(field);
    assert_eq!((count("errors"), count("truncated"), count("dropped")), (3, 2, 0), "{}", ended.stderr);
}

// === a sink that stands still ===

#[test]
fn a_blocked_sink_stops_the_reading_and_loses_nothing() {
    const SENDERS: usize = 3;
    let pki = Pki::new();
    let client: Arc<ClientConfig> = pki.client(None, BOTH);
    let directory = scratch::directory("blocked");
    let config = config(&pki, "").replace("[[sink.stdout]]", "[[sink.stdout]]\nqueue_size = \"1MiB\"");
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let address = postrider.address("tls");
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let stream = pki::connect(address, &client).expect("a connection");
            Endless::start(stream, |n| message(&format!("{n} {}", "x".repeat(200))))
        })
        .collect();
    for sender in &senders {
        sender.wait_held_up(&postrider.status(), "tls");
    }
    let waiting = postrider.log();
    // The sink is named, and no sender.
    let said = waiting.replace(" WARN the sink makes no progress", "");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{waiting}");

    // Once it is read, everything moves again, and the rest of the half message is taken.
    let output = postrider.output();
    let reader = thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).collect::<Vec<_>>());
    let mut counts = Vec::new();
    for sender in senders {
        let (mut stream, n) = sender.end();
        stream.write_all(message(&format!("{n} the last")).as_bytes()).expect("room");
        assert_eq!(finish(stream), b"");
        counts.push(n + 1);
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let lines = reader.join().expect("the reader");
    let sent = counts.iter().sum::<usize>();
    assert_eq!(lines.len(), sent);
    let count = |field| ended.source("tls").count(field);
    assert_eq!((count("received"), count("dropped"), count("truncated")), (sent as u64, 0, 0));
    // Each connection's in order.
    let mut next: Vec<(String, usize)> = Vec::new();
    for line in lines {
        let record: Value = serde_json::from_str(&line).expect("JSON");
        let peer = record["source"]["peer"].as_str().expect("a peer").to_owned();
        let (n, _) = record["message"].as_str().expect("text").split_once(' ').expect("a number");
        let known = next.iter().position(|(known, _)| *known == peer).unwrap_or(next.len());
        if known == next.len() {
            next.push((peer, 0));
        }
        assert_eq!(n, next[known].1.to_string(), "a gap, a duplicate or another order");
        next[known].1 += 1;
    }
    let mut found: Vec<usize> = next.into_iter().map(|(_, count)| count).collect();
    found.sort_unstable();
    counts.sort_unstable();
    assert_eq!(found, counts);
}

// === a stop ===

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    const EACH: usize = 50;
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let mut postrider = Postrider::spawn(&config(&pki, "handshake_timeout = \"1h\""));
    let address = postrider.address("tls");
    let mut hello = Vec::new();
    pki::session(&client).write_tls(&mut hello).expect("a hello");
    // Nothing said; half of the hello; all of it, and no word after that.
    let begins = [&b""[..], &hello[..hello.len() / 2], &hello];
    let held: Vec<TcpStream> = begins
        .iter()
        .flat_map(|begin| [*begin; EACH])
        .map(|begin| {
            let mut socket = TcpStream::connect(address).expect("a connection");
            socket.write_all(begin).expect("room");
            socket
        })
        .collect();
    let mut stream = pki::connect(address, &client).expect("a connection");
    stream.write_all(message("past them").as_bytes()).expect("room");
    wait_until(DEADLINE, "the record", || postrider.stdout().lines().count() == 1);
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    let took = begun.elapsed();
    assert_clean(&ended);
    // A quarter of a second for the handshakes, one to drain TLS, and the rest for a busy machine.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(ended.source("tls").count("connections"), held.len() as u64 + 1);
    assert_eq!(ended.source("tls").count("errors"), 0);
    drop((held, stream));
}

// === the time of a certificate ===

/// Puts a certificate there that is valid from one number of days after today to another.
fn renew(pki: &Pki, from: i64, to: i64) -> (String, String) {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let day = |days: i64| today.checked_add(days.days()).expect("a day");
    let (from, to) = (day(from), day(to));
    let moment = |day: jiff::civil::Date| {
        let part = |number: i8| u8::try_from(number).expect("a part of a date");
        rcgen::date_time_ymd(day.year().into(), part(day.month()), part(day.day()))
    };
    let identity = pki.sign("mx1.example.com", |params: &mut CertificateParams| {
        params.not_before = moment(from);
        params.not_after = moment(to);
    });
    pki.put("cert.pem", "key.pem", &identity);
    (format!("{from}T00:00:00Z"), format!("{to}T00:00:00Z"))
}

/// Returns the output of `postrider check` for a configuration without errors.
fn check(pki: &Pki) -> String {
    let file = pki.file("postrider.toml");
    fs::write(&file, config(pki, "")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(&file).output();
    let output = output.expect("postrider runs");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_certificate_whose_time_is_over_or_soon_will_be_is_named() {
    let pki = Pki::new();
    let (_, ended) = renew(&pki, -30, -1);
    let name = pki.file("cert.pem").display().to_string();
    let expired = format!("certificate {name} expired at {ended}; renew it, senders refuse it");
    assert!(check(&pki).contains(&format!("warning: source tls: {expired}\n")), "{}", check(&pki));
    let mut postrider = Postrider::spawn(&config(&pki, ""));
    postrider.address("tls");
    wait_log(&postrider, &expired, 1);

    let (_, end) = renew(&pki, -1, 10);
    let soon = format!("certificate {name} expires at {end}, in 9 days; renew it");
    assert!(check(&pki).contains(&format!("warning: source tls: {soon}\n")), "{}", check(&pki));
    wait_log(&postrider, &soon, 1);

    let (begin, _) = renew(&pki, 2, 100);
    let early = format!("certificate {name} is not valid before {begin}; compare the clocks");
    assert!(check(&pki).contains(&early), "{}", check(&pki));
    wait_log(&postrider, &early, 1);

    renew(&pki, -1, 16);
    assert!(!check(&pki).contains("warning"), "{}", check(&pki));
    wait_log(&postrider, "reloaded the TLS files", 3);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stderr.matches("WARN certificate").count(), 3, "{}", ended.stderr);
}
