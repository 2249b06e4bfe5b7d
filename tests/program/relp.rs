//! Is a message over RELP acknowledged only when it is delivered, who has a session, and what becomes of it?

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::pki::{BOTH, Pki};
use testkit::postrider::{Ended, Postrider, assert_clean};
use testkit::relp::{CLOSE, Client, OPEN, acknowledgements, messages, tls_keys};
use testkit::scratch;
use testkit::status::Status;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);

/// The longest messages here: a narrow pipe takes none of their records.
const LONG: usize = 4096;
/// Number of messages that a connection may have without an acknowledgement.
const WINDOW: usize = 20;

/// Frames of long messages, with these numbers.
fn long_messages(numbers: std::ops::Range<usize>) -> Vec<u8> {
    messages(numbers, |_| "x".repeat(LONG - 30))
}

/// Postrider with a window, and a standard output that nobody reads yet.
fn blocked(directory: &Path) -> Unread {
    let config = format!(
        "shutdown_timeout = \"4s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\nwindow = {WINDOW}\n\
         max_frame_size = \"8KiB\"\n[[sink.stdout]]\nqueue_size = \"1MiB\"\n"
    );
    let postrider = Unread::spawn(&config, &directory.join("stderr"));
    postrider.narrow();
    postrider
}

/// Waits until the window of the only connection is full. Nothing is delivered, and nothing beyond the window is read.
#[track_caller]
fn fill_window(postrider: &Unread) {
    let received = |status: &Status| status.source("relp").count("received");
    postrider.status().wait(DEADLINE, "a full window", |status| received(status) >= WINDOW as u64);
    let status = postrider.status().now();
    let count = |field| status.sink("stdout").count(field);
    assert_eq!((received(&status), count("in_flight"), count("delivered")), (WINDOW as u64, WINDOW as u64, 0));
}

#[test]
fn a_message_is_acknowledged_when_it_is_delivered() {
    const END: usize = 302;
    let directory = scratch::directory("relp-delivered");
    let mut postrider = blocked(directory.path());
    let mut client = Client::open(postrider.address("relp"), None);
    // The socket takes no more than the window and its buffers while nothing is acknowledged.
    let mut socket = client.socket();
    let sender = thread::spawn(move || socket.write_all(&long_messages(2..END)));
    fill_window(&postrider);
    assert_eq!(client.read_what_is_there(), "", "acknowledged before anything is delivered");

    let mut output = postrider.output();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text.lines().count())
    });
    let all = acknowledgements(2..END);
    assert_eq!(client.read(all.len()), all);
    sender.join().expect("the sender").expect("all is taken");
    client.close(END);
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(reader.join().expect("the reader").expect("text"), END - 2);
}

#[test]
fn a_connection_is_read_up_to_its_window_and_closed_at_a_stop() {
    let directory = scratch::directory("relp-window");
    let postrider = blocked(directory.path());
    let mut client = Client::open(postrider.address("relp"), None);
    client.send(&long_messages(2..102));
    fill_window(&postrider);
    let begun = Instant::now();
    let reader = thread::spawn(move || client.read_to_end());
    let ended = postrider.terminate(DEADLINE);
    assert!(begun.elapsed() < Duration::from_secs(10), "the stop took {:?}", begun.elapsed());
    assert_eq!(reader.join().expect("the reader"), CLOSE, "nothing is acknowledged that is not delivered");
    assert_eq!(ended.source("relp").count("received"), WINDOW as u64);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
}

#[test]
fn a_stop_acknowledges_what_it_delivers() {
    let directory = scratch::directory("relp-stop");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n",
        path.display()
    ));
    let mut client = Client::open(postrider.address("relp"), None);
    let mut socket = client.socket();
    let sender = thread::spawn(move || (2..).step_by(50).all(|n| socket.write_all(&long_messages(n..n + 50)).is_ok()));
    let reader = thread::spawn(move || client.read_to_end());
    wait_until(DEADLINE, "a stream at full speed", || lines(&path) > 2000);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let said = reader.join().expect("the reader");
    assert!(!sender.join().expect("the sender"));
    let records = lines(&path);
    assert_eq!(said, acknowledgements(2..2 + records) + CLOSE, "all that is in the file");
    assert_eq!(ended.source("relp").count("received"), records as u64);
}

#[test]
fn a_silent_connection_is_closed_where_that_is_asked_for() {
    let config = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"200ms\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(config);
    let mut client = Client::open(postrider.address("relp"), None);
    client.send(b"2 syslog 5 <13>a\n");
    assert_eq!(client.read_to_end(), acknowledgements(2..3) + CLOSE);
    assert_clean(&postrider.terminate(DEADLINE));
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count())
}

#[test]
fn an_announced_length_takes_no_memory() {
    const CLIENTS: usize = 20;
    let mut postrider = Postrider::spawn("[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n");
    let address = postrider.address("relp");
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", postrider.pid())).expect("a running process");
        let size = status.lines().find_map(|line| line.strip_prefix("VmData:")).expect("the kernel counts it");
        size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") >> 10
    };
    let before = memory();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::open(address, None)).collect();
    for client in &mut clients {
        client.send(b"2 syslog 999999999 <13>a giant");
        client.send(&vec![b'x'; 1 << 20]);
    }
    // It has read what they sent when it answers one that comes after them.
    let mut last = Client::open(address, None);
    last.send(b"2 syslog 5 <13>a\n");
    assert_eq!(last.read(15), acknowledgements(2..3));
    last.close(3);
    let after = memory();
    assert!(after < before + 500, "{before} MiB before, {after} MiB after");
    drop(clients);
    assert_clean(&postrider.terminate(DEADLINE));
}

// === over TLS ===

/// Postrider with RELP over TLS, and more keys for its source and for its table of TLS.
fn over_tls(pki: &Pki, source: &str, tls: &str) -> Postrider {
    Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{source}[source.relp.tls]\n{}{tls}[[sink.stdout]]\n",
        tls_keys(pki)
    ))
}

fn records(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn only_known_senders_have_a_session_where_that_is_asked_for() {
    let pki = Pki::new();
    let keys = pki.clients("required") + "\nallowed_subjects = [\"mx2.example.com\"]\n";
    let mut postrider = over_tls(&pki, "", &keys);
    let address = postrider.address("relp");
    let mut known = Client::open(address, Some(&pki.client(Some(&pki.sign("mx2.example.com", |_| ())), BOTH)));
    known.send(&messages(2..4, |number| format!("known {number}")));
    assert_eq!(known.read(30), acknowledgements(2..4));
    let reason = "the sender sent no certificate, and client_certificate is";
    for identity in [None, Some(pki.sign("mx3.example.com", |_| ()))] {
        // In version 1.3 the sender learns of it after its handshake.
        let refused = Client::connect_tls(address, &pki.client(identity.as_ref(), BOTH)).and_then(|mut client| {
            client.try_send(OPEN.as_bytes())?;
            client.try_read()
        });
        let error = refused.expect_err("no session");
        assert!(error.to_string().contains("alert") || error.kind() == ErrorKind::ConnectionReset, "{error}");
        // Refusals have one line of the log in ten seconds: the first, if the next comes after that.
        wait_until(DEADLINE, reason, || postrider.stderr().contains(reason));
    }
    known.close(4);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let records = records(&ended);
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["source"]["tls_subject"] == "O=Example,CN=mx2.example.com"));
    assert_eq!((&records[0]["message"], &records[0]["source"]["transport"]), (&"known 2".into(), &"relp".into()));
    assert_eq!(ended.source("relp").count("errors"), 2);
}

#[test]
fn sessions_outlive_a_new_certificate() {
    let pki = Pki::new();
    let mut postrider = over_tls(&pki, "", "");
    let address = postrider.address("relp");
    let client = pki.client(None, BOTH);
    let mut lasting = Client::open(address, Some(&client));
    for how in ["by its file", "by SIGHUP"] {
        let read = || postrider.stderr().matches("reloaded the TLS files").count();
        let before = read();
        match how {
            "by its file" => pki.renew(),
            _ => postrider.signal(Signal::SIGHUP),
        }
        wait_until(DEADLINE, how, || read() > before);
    }
    let mut later = Client::open(address, Some(&client));
    for client in [&mut lasting, &mut later] {
        client.send(&messages(2..3, |_| "x".to_owned()));
        assert_eq!(client.read(15), acknowledgements(2..3));
    }
    lasting.close(3);
    later.close(3);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(records(&ended).len(), 2);
}

#[test]
fn tls_on_a_plain_port_and_relp_on_a_tls_port_are_named() {
    let pki = Pki::new();
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nname = \"tls\"\n\
         listen = \"127.0.0.1:0\"\n[source.relp.tls]\n{}[[sink.stdout]]\n",
        tls_keys(&pki)
    ));
    let (plain, tls) = (postrider.address("plain"), postrider.address("tls"));
    assert!(Client::connect_tls(plain, &pki.client(None, BOTH)).is_err());
    let mut client = Client::connect(tls);
    client.send(OPEN.as_bytes());
    // Closed with bytes unread, the connection may also end with RST.
    let refused = client.try_read();
    assert!(refused.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| *read == 0));
    for said in
        ["a TLS handshake came to a port without TLS", "plain RELP came to a TLS port; enable TLS at the sender"]
    {
        wait_until(DEADLINE, said, || postrider.stderr().contains(said));
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains(" dropped_unexpected_tls=1 "), "{}", ended.stderr);
    for source in ["plain", "tls"] {
        assert_eq!(ended.source(source).count("errors"), 1, "{source}");
    }
}

#[test]
fn behind_a_proxy_the_record_has_the_sender() {
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 20514\r\n";
    let pki = Pki::new();
    let lists = "proxy_protocol = [\"127.0.0.1\"]\ndeny = [\"192.0.2.66\"]\n";
    let mut postrider = over_tls(&pki, lists, "");
    let address = postrider.address("relp");
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    socket.write_all(HEADER).expect("room");
    let mut client = Client::over_tls(socket, &pki.client(None, BOTH)).expect("a TLS connection");
    client.begin();
    client.send(&messages(2..3, |_| "behind a proxy".to_owned()));
    assert_eq!(client.read(15), acknowledgements(2..3));
    client.close(3);
    let mut denied = Client::connect(address);
    denied.send(&String::from_utf8_lossy(HEADER).replace("2.1 ", "2.66 ").into_bytes());
    assert_eq!(denied.try_read().expect("an end"), 0);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let records = records(&ended);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["source"]["peer"], "192.0.2.1:51234");
    assert_eq!(ended.source("relp").count("connections_denied"), 1);
}

#[test]
fn a_sender_over_its_rate_is_read_more_slowly() {
    // The first 100 may come at once; the other 200 take two seconds.
    let config = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 100\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(config);
    let mut client = Client::open(postrider.address("relp"), None);
    let begun = Instant::now();
    for number in 2..302 {
        client.send(&messages(number..number + 1, |number| number.to_string()));
        assert_eq!(client.read(format!("{number} rsp 6 200 OK\n").len()), acknowledgements(number..number + 1));
    }
    let time = begun.elapsed();
    assert!(time > Duration::from_millis(1500), "{time:?}");
    client.close(302);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(records(&ended).len(), 300);
}
