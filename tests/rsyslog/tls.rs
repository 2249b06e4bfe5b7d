//! Does syslog over TLS arrive whole? Who is refused, and does the log say why?

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::ClientConfig;
use serde_json::Value;
use testkit::pki::{self, BOTH, Pki, Stream, finish};
use testkit::postrider::{Ended, Postrider};
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

/// The first page of the documentation, whose blocks are run here as they stand.
const DOCUMENTATION: &str = include_str!("../../docs/tls.md");

// === the two ends ===

struct Server {
    postrider: Postrider,
    address: SocketAddr,
}

trait Start {
    /// Postrider with more keys in its table of TLS.
    fn start(&self, more: &str) -> Server;
}

impl Start for Pki {
    fn start(&self, more: &str) -> Server {
        let mut postrider = Postrider::spawn(&format!("{}[[sink.stdout]]\n", self.source(more)));
        let address = postrider.address("tls");
        Server { postrider, address }
    }
}

impl Server {
    fn connect(&self, client: &Arc<ClientConfig>) -> io::Result<Stream> {
        pki::connect(self.address, client)
    }

    /// Waits until `count` records are there, and gives all.
    #[track_caller]
    fn records(&self, count: usize) -> Vec<Value> {
        wait_until(DEADLINE, &format!("{count} records"), || self.postrider.stdout().lines().count() >= count);
        records(&self.postrider.stdout())
    }

    #[track_caller]
    fn wait_log(&self, part: &str) {
        let log = || self.postrider.stderr();
        assert!(
            testkit::wait::wait(DEADLINE, || log().contains(part).then_some(())).is_some(),
            "{part:?} is not in the log:\n{}",
            log()
        );
    }

    /// Stops it; nothing is lost.
    #[track_caller]
    fn end(self) -> Ended {
        let ended = self.postrider.terminate(DEADLINE);
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
        ended
    }
}

fn records(stdout: &str) -> Vec<Value> {
    let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a JSON object per line")).collect()
}

fn message(text: &str) -> String {
    let line = format!("<22>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}");
    format!("{} {line}", line.len())
}

fn texts(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["message"].as_str().expect("a text")).collect()
}

// === what arrives ===

#[test]
fn both_versions_deliver_and_end_cleanly() {
    let pki = Pki::new();
    let server = pki.start("");
    for (version, text) in [(&rustls::version::TLS12, "over 1.2"), (&rustls::version::TLS13, "over 1.3")] {
        let mut stream = server.connect(&pki.client(None, &[version])).expect("a connection");
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        stream.write_all(message(text).as_bytes()).expect("room");
        assert_eq!(finish(stream), b"");
    }
    let records = server.records(2);
    assert_eq!(texts(&records), ["over 1.2", "over 1.3"]);
    assert_eq!(
        (&records[0]["source"]["transport"], &records[0]["source"]["tls_subject"]),
        (&"tls".into(), &Value::Null)
    );
    assert_eq!(server.end().source("tls").count("errors"), 0);
}

#[test]
fn no_session_ticket_is_sent_and_no_session_resumed() {
    let pki = Pki::new();
    let server = pki.start("");
    let client = pki.client(None, BOTH);
    for _ in 0..2 {
        let mut stream = server.connect(&client).expect("a connection");
        stream.write_all(message("x").as_bytes()).expect("room");
        stream.conn.send_close_notify();
        stream.flush().expect("an end");
        // All that comes after the handshake is one record with the alert.
        let mut rest = Vec::new();
        stream.sock.read_to_end(&mut rest).expect("the end of the server's bytes");
        assert!(rest.len() < 32 && stream.conn.tls13_tickets_received() == 0, "{} bytes", rest.len());
        assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    server.records(2);
    server.end();
}

#[test]
fn a_long_stream_arrives_in_order() {
    let pki = Pki::new();
    let server = pki.start("");
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    let expected: Vec<String> = (0..20_000).map(|n| format!("{n} {}", "x".repeat(n % 300))).collect();
    // Records of TLS and messages have their ends in other places.
    let bytes: String = expected.iter().map(|text| message(text)).collect();
    for chunk in bytes.as_bytes().chunks(7_919) {
        stream.write_all(chunk).expect("room");
    }
    assert_eq!(finish(stream), b"");
    assert_eq!(texts(&server.records(expected.len())), expected);
    server.end();
}

#[test]
fn connections_are_drained_at_a_stop() {
    let pki = Pki::new();
    let server = pki.start("");
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    stream.write_all(message("first").as_bytes()).expect("room");
    server.records(1);
    stream.write_all(message("last").as_bytes()).expect("room");
    let ended = server.end();
    assert_eq!(texts(&records(&ended.stdout)), ["first", "last"]);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("close_notify");
}

#[test]
fn an_abrupt_end_keeps_what_was_whole() {
    let pki = Pki::new();
    let server = pki.start("");
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    stream.write_all(format!("{}50 <13>half", message("whole")).as_bytes()).expect("room");
    // A FIN without close_notify: nobody knows whether this was all.
    stream.sock.shutdown(Shutdown::Both).expect("an end");
    let records = server.records(2);
    assert_eq!(texts(&records), ["whole", "half"]);
    assert!(records[1]["flags"].as_array().expect("flags").contains(&"truncated".into()));
    assert_eq!(server.end().source("tls").count("errors"), 0);
}

// === who may send ===

#[test]
fn a_client_certificate_is_required_and_shown_in_the_record() {
    let pki = Pki::new();
    let server = pki.start(&pki.clients("required"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let known = pki.sign("mx2.example.com", |_| ());
        let mut stream = server.connect(&pki.client(Some(&known), &[version])).expect("a connection");
        stream.write_all(message("known").as_bytes()).expect("room");
        finish(stream);
        assert!(refused(&server, &pki.client(None, &[version])));
    }
    let records = server.records(2);
    assert_eq!(texts(&records), ["known", "known"]);
    assert_eq!(records[0]["source"]["tls_subject"], "O=Example,CN=mx2.example.com");
    server.wait_log("the sender sent no certificate, and client_certificate is");
    assert_eq!(server.end().source("tls").count("errors"), 2);
}

/// True if the server ends the connection with an alert, during the handshake or, in version 1.3, after it.
fn refused(server: &Server, client: &Arc<ClientConfig>) -> bool {
    let read = server.connect(client).and_then(|mut stream| stream.read(&mut [0]));
    read.is_err_and(|error| error.to_string().contains("alert"))
}

#[test]
fn a_wanted_certificate_may_be_missing_but_not_bad() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = pki.start(&pki.clients("wanted"));
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    stream.write_all(message("none").as_bytes()).expect("room");
    finish(stream);
    assert_eq!(server.records(1)[0]["source"].get("tls_subject"), None);
    assert!(refused(&server, &pki.client(Some(&other.sign("mx2.example.com", |_| ())), BOTH)));
    server.wait_log("the sender's certificate is not signed by a CA in client_ca");
    server.end();
}

#[test]
fn a_refused_certificate_is_named_with_its_fault() {
    let pki = Pki::new();
    for (change, allowed, expected) in [
        (
            (|params| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2020, 2, 1);
            }) as fn(&mut CertificateParams),
            "*.example.com",
            "the sender's certificate expired at 2020-02-01T00:00:00Z",
        ),
        (
            |params| params.not_before = rcgen::date_time_ymd(2096, 1, 1),
            "*.example.com",
            "the sender's certificate is not valid before 2096",
        ),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "*.example.com",
            "the sender's certificate is not for clients",
        ),
        (
            |_| (),
            "*.example.net",
            "allowed_subjects does not list the sender's certificate (O=Example,CN=mx2.example.com)",
        ),
    ] {
        let server =
            pki.start(&format!("{}\nallowed_subjects = [\"mx3.example.com\", {allowed:?}]", pki.clients("required")));
        assert!(refused(&server, &pki.client(Some(&pki.sign("mx2.example.com", change)), BOTH)), "{expected}");
        server.wait_log(expected);
        assert_eq!(server.end().source("tls").count("errors"), 1);
    }
}

#[test]
fn an_allowed_subject_may_send() {
    let pki = Pki::new();
    let server = pki.start(&format!("{}\nallowed_subjects = [\"*.example.com\"]", pki.clients("required")));
    let mut stream =
        server.connect(&pki.client(Some(&pki.sign("mx2.example.com", |_| ())), BOTH)).expect("a connection");
    stream.write_all(message("allowed").as_bytes()).expect("room");
    finish(stream);
    assert_eq!(texts(&server.records(1)), ["allowed"]);
    server.end();
}

#[test]
fn what_the_sender_refuses_is_said_in_words() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = pki.start("min_version = \"1.3\"");
    assert!(server.connect(&other.client(None, BOTH)).is_err());
    server.wait_log("the sender does not trust the CA of `certificate`");
    server.end();
    let server = pki.start("min_version = \"1.3\"");
    assert!(server.connect(&pki.client(None, &[&rustls::version::TLS12])).is_err());
    server.wait_log("the sender supports only TLS versions below min_version");
    server.end();
}

#[test]
fn a_name_that_syslog_ng_misses_in_the_certificate_is_named() {
    let pki = Pki::new();
    let server = pki.start("");
    // The certificate has names, but not this address.
    let destination = format!(
        "syslog(\"127.0.0.1\" transport(\"tls\") port({}) tls(ca-file(\"{}\")))",
        server.address.port(),
        pki.file("ca.pem").display()
    );
    let syslog_ng = SyslogNg::start(&format!("log {{ source(s_src); destination {{ {destination}; }}; }};"));
    syslog_ng.log("app[1]", ["not sent"]);
    server.wait_log("syslog-ng does this if the name it connects to is not in `certificate`");
    drop(syslog_ng);
    assert_eq!(server.end().stdout, "");
}

// === what is no TLS, or no plain TCP ===

#[test]
fn plain_syslog_on_a_tls_port_is_named() {
    let pki = Pki::new();
    let server = pki.start("");
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.write_all(b"<22>Nov 24 02:10:35 mx1 app: plain\n").expect("room");
    let mut said = Vec::new();
    // Closed with bytes unread, the connection may also end with RST.
    let end = socket.read_to_end(&mut said);
    assert!(said.is_empty() && end.err().is_none_or(|error| error.kind() == ErrorKind::ConnectionReset));
    server.wait_log("plain syslog came to a TLS port");
    let ended = server.end();
    assert!(ended.stdout.is_empty() && ended.source("tls").count("errors") == 1, "{}", ended.stderr);
}

#[test]
fn a_half_handshake_times_out_and_frees_its_place() {
    let pki = Pki::new();
    let server = pki.start("handshake_timeout = \"2s\"");
    // All four places, with nothing said, and with half of a ClientHello.
    let mut held: Vec<TcpStream> = Vec::new();
    for begin in [&b""[..], b"", b"\x16\x03\x01\x02\x00\x01", b"\x16"] {
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.write_all(begin).expect("room");
        held.push(socket);
    }
    server.wait_log("the handshake did not end within handshake_timeout (2s)");
    let client = pki.client(None, BOTH);
    wait_for(DEADLINE, "a place", || {
        let mut stream = server.connect(&client).ok()?;
        stream.write_all(message("in").as_bytes()).ok()?;
        stream.conn.send_close_notify();
        stream.flush().ok()?;
        stream.read_to_end(&mut Vec::new()).ok()
    });
    assert_eq!(texts(&server.records(1)), ["in"]);
    assert_eq!(server.end().source("tls").count("errors"), 4);
}

#[test]
fn a_handshake_that_takes_long_keeps_nobody_waiting() {
    let pki = Pki::new();
    let server = pki.start("handshake_timeout = \"1h\"");
    let held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(server.address).expect("a connection")).collect();
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    stream.write_all(message("past them").as_bytes()).expect("room");
    finish(stream);
    assert_eq!(texts(&server.records(1)), ["past them"]);
    // A connection does not keep a stop waiting either.
    server.end();
    drop(held);
}

#[test]
fn a_silent_connection_takes_little_memory() {
    const CONNECTIONS: usize = 300;
    const EACH: usize = 32 * 1024;
    let pki = Pki::new();
    let config = pki.source("").replace("max_connections = 4", "max_connections = 300");
    let mut postrider = Postrider::spawn(&format!("{config}[[sink.stdout]]\n"));
    let server = Server { address: postrider.address("tls"), postrider };
    let client = pki.client(None, BOTH);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.postrider.pid())).expect("a running process");
        let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel counts it");
        size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    };
    let connect = || {
        let mut stream = server.connect(&client).expect("a connection");
        let begun = format!("{}9000 {}", message("whole"), "x".repeat(8_000));
        stream.write_all(begun.as_bytes()).expect("room for a message and a half");
        stream
    };
    // The first has costs of its own.
    let first = connect();
    server.records(1);
    let before = memory();
    let others: Vec<Stream> = (1..CONNECTIONS).map(|_| connect()).collect();
    server.records(CONNECTIONS);
    wait_until(DEADLINE, "little memory", || memory() < before + CONNECTIONS * EACH);
    drop((first, others));
    server.end();
}

#[test]
fn a_handshake_that_is_broken_off_is_named() {
    let pki = Pki::new();
    for (sent, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], "the sender closed the connection during the handshake"),
        (b"\x16\x03\x01\x00\x05hello", "the sender sent data that is not TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "the sender sent data that is not TLS"),
    ] {
        let server = pki.start("");
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.write_all(sent).expect("room");
        // If one byte was enough, the connection may be gone by now.
        let _ = socket.shutdown(Shutdown::Write);
        server.wait_log(expected);
        assert_eq!(server.end().source("tls").count("errors"), 1);
    }
}

#[test]
fn a_probe_that_says_nothing_is_no_error() {
    let pki = Pki::new();
    let server = pki.start("");
    drop(TcpStream::connect(server.address).expect("a connection"));
    let mut stream = server.connect(&pki.client(None, BOTH)).expect("a connection");
    stream.write_all(message("x").as_bytes()).expect("room");
    finish(stream);
    server.records(1);
    assert_eq!(server.end().source("tls").count("errors"), 0);
}

// === the files ===

#[test]
fn a_renewed_certificate_is_used_and_a_bad_one_is_not() {
    let pki = Pki::new();
    let server = pki.start("");
    let client = pki.client(None, BOTH);
    let shown = || {
        let stream = server.connect(&client);
        let stream = stream.unwrap_or_else(|error| panic!("{error}\n{}", server.postrider.stderr()));
        let chain = stream.conn.peer_certificates().expect("a certificate");
        chain[0].as_ref().to_vec()
    };
    let mut lasting = server.connect(&client).expect("a connection");
    let first = shown();
    pki.renew();
    wait_until(DEADLINE, "the new certificate", || shown() != first);
    let second = shown();
    fs::write(pki.file("cert.pem"), "nonsense\n").expect("a file");
    server.wait_log("cannot reload the TLS files; the previous ones stay in use");
    server.wait_log("cert.pem: there is no certificate in this file");
    assert_eq!(shown(), second);
    pki.renew();
    wait_until(DEADLINE, "the third certificate", || shown() != second);
    // On SIGHUP they are read even if they are the same.
    let log = || server.postrider.stderr();
    let read = log().matches("reloaded the TLS files").count();
    server.postrider.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until(DEADLINE, "another reading", || log().matches("reloaded the TLS files").count() > read);
    lasting.write_all(message("still here").as_bytes()).expect("room");
    finish(lasting);
    assert_eq!(texts(&server.records(1)), ["still here"]);
    server.end();
}

#[test]
fn check_says_what_is_wrong_with_a_file_and_where() {
    let pki = Pki::new();
    let other = pki.sign("mx2.example.com", |_| ());
    fs::write(pki.file("other.pem"), &other.key).expect("a file");
    fs::write(pki.file("empty.pem"), "").expect("a file");
    fs::write(pki.file("cut.pem"), &other.certificate[..100]).expect("a file");
    fs::write(pki.file("not.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    fs::write(
        pki.file("locked.pem"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .expect("a file");
    let whole = pki.source("");
    let of = |from: &str, to: &str| whole.replace(&format!("/{from}\""), &format!("/{to}\""));
    for (config, line, expected) in [
        (of("cert.pem", "gone.pem"), 6, "gone.pem: cannot read it: No such file or directory"),
        (of("cert.pem", "empty.pem"), 6, "empty.pem: there is no certificate in this file"),
        (of("cert.pem", "other.pem"), 6, "other.pem: there is no certificate in this file, only a private key"),
        (of("cert.pem", "cut.pem"), 6, "cut.pem: the file ends before the line -----END CERTIFICATE-----"),
        (of("cert.pem", "not.pem"), 6, "not.pem: certificate 1 of this file cannot be read"),
        (of("key.pem", "cert.pem"), 7, "cert.pem: there is no private key in this file, only a certificate"),
        (of("key.pem", "other.pem"), 7, "other.pem: the key does not belong to the first certificate in "),
        (of("key.pem", "locked.pem"), 7, "locked.pem: the key is encrypted"),
        (format!("{whole}client_certificate = \"required\"\n"), 9, "client certificates without `client_ca`"),
        (
            format!("{whole}client_ca = \"{}\"\n", pki.file("ca.pem").display()),
            9,
            "`client_ca` without client certificates",
        ),
        (
            format!("{whole}{}\nallowed_subjects = [\"mx*\"]\n", pki.clients("wanted")),
            11,
            "\"mx*\" is not a valid certificate name",
        ),
    ] {
        let file = pki.file("postrider.toml");
        fs::write(&file, format!("{config}[[sink.stdout]]\n")).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(&file).output();
        let output = output.expect("postrider runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("1 error;"), "{expected}: {said}");
        assert!(said.contains(expected) && said.contains(&format!("postrider.toml:{line}:")), "{expected}: {said}");
    }
}

// === real senders ===

/// The blocks of the documentation in `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let blocks = DOCUMENTATION.split(begin.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().expect("an end")).collect()
}

/// The text, with this machine's files and port in place of those of an operator.
fn adapted(text: &str, files: &Files<'_>, port: u16) -> String {
    let places =
        [("/etc/rsyslog.d", files.sender), ("/etc/syslog-ng", files.sender), ("/etc/postrider/tls", files.server)];
    let text =
        places.iter().fold(text.to_owned(), |text, (place, here)| text.replace(place, here.to_str().expect("UTF-8")));
    let text = text.replace("[::]:6514", "127.0.0.1:0").replace("logs.example.com", "localhost");
    text.replace("\"6514\"", &format!("\"{port}\"")).replace("port(6514)", &format!("port({port})"))
}

/// Paths of the certificates of the two ends.
struct Files<'f> {
    server: &'f Path,
    sender: &'f Path,
}

/// Some messages that a sender is given, and their tag.
const TAG: &str = "postfix/smtp[1]";
const LINES: [&str; 3] = ["first", "second", "third"];

/// Has what the documentation shows of Postrider take what `send`, given a way to adapt the sender's lines, sends; with
/// `certificate`, the sender has to show one.
fn assert_arrives<Sender>(certificate: bool, send: impl FnOnce(&dyn Fn(&str) -> String) -> Sender) {
    let pki = Pki::new();
    fs::write(pki.file("client-ca.pem"), pki.ca.pem()).expect("a file");
    let directory = pki.directory.path();
    assert_arrives_with(&Files { server: directory, sender: directory }, certificate, send);
}

/// The same with certificates that are there.
fn assert_arrives_with<Sender>(
    files: &Files<'_>,
    certificate: bool,
    send: impl FnOnce(&dyn Fn(&str) -> String) -> Sender,
) {
    let toml = blocks("toml");
    let clients = if certificate { toml[1] } else { "" };
    let config = format!("{}{clients}[[sink.stdout]]\n", toml[0]);
    let mut postrider = Postrider::spawn(&adapted(&config, files, 0));
    let server = Server { address: postrider.address("tls"), postrider };
    let sender = send(&|text| adapted(text, files, server.address.port()));
    let records = server.records(LINES.len());
    let texts: Vec<&str> = texts(&records).into_iter().map(str::trim_start).collect();
    assert_eq!(texts, LINES);
    assert_eq!(records[0]["app_name"], "postfix/smtp");
    assert_eq!(records[0]["source"]["transport"], "tls");
    let subject = certificate.then_some("O=Example,CN=mx1.example.com");
    assert_eq!(records[0]["source"]["tls_subject"].as_str(), subject);
    drop(sender);
    assert_eq!(server.end().source("tls").count("errors"), 0);
}

#[test]
fn rsyslog_sends_as_documented_without_and_with_a_certificate() {
    let [action, shown] = blocks("rsyslog")[..] else { panic!("two blocks") };
    let with_shown = action.replace("\n)\n", &format!("\n{shown})\n"));
    for (certificate, text) in [(false, action), (true, &with_shown)] {
        assert_arrives(certificate, |adapt| {
            let rsyslog = Rsyslog::setup().further(&adapt(text)).start();
            rsyslog.log(TAG, LINES);
            rsyslog
        });
    }
}

#[test]
fn both_ends_take_the_certificates_of_the_documented_commands() {
    let directory = scratch::directory("certificates");
    let [commands] = blocks("sh")[..] else { panic!("one block") };
    // The one name of this machine that both ends can resolve.
    let commands = commands.replace("logs.example.com", "localhost");
    let output = Command::new("sh").args(["-euc", &commands]).current_dir(&directory).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (server, sender) = (directory.path().join("localhost"), directory.path().join("mx1.example.com"));
    for copy in [server.join("client-ca.pem"), sender.join("ca.pem")] {
        fs::copy(directory.path().join("ca.pem"), copy).expect("a file");
    }
    let [action, shown] = blocks("rsyslog")[..] else { panic!("two blocks") };
    let with_shown = action.replace("\n)\n", &format!("\n{shown})\n"));
    assert_arrives_with(&Files { server: &server, sender: &sender }, true, |adapt| {
        let rsyslog = Rsyslog::setup().further(&adapt(&with_shown)).start();
        rsyslog.log(TAG, LINES);
        rsyslog
    });
}

#[test]
fn syslog_ng_sends_as_documented_without_and_with_a_certificate() {
    let [destination, shown] = blocks("syslog-ng")[..] else { panic!("two blocks") };
    let with_shown = destination.replace("\n    ));\n", &format!("\n{shown}    ));\n"));
    for (certificate, text) in [(false, destination), (true, &with_shown)] {
        assert_arrives(certificate, |adapt| {
            let syslog_ng = SyslogNg::start(&adapt(text));
            syslog_ng.log(TAG, LINES);
            syslog_ng
        });
    }
}
