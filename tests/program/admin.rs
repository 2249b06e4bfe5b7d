//! Does the admin server tell the state of the daemon to those who may know it, and to nobody else? Does it hold up
//! nothing? Does `trace` tell what the daemon remembers?

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::http::{self, HttpAnswer, ask, get, get_unix};
use testkit::port::Port;
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const TCP: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";
pub(crate) const STDOUT: &str = "[[sink.stdout]]\n";

/// A place for an admin server.
pub(crate) struct Place {
    directory: TempDir,
    port: Port,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: scratch::directory("admin"), port: Port::reserve() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// The table for a server at this place.
    pub(crate) fn table(&self) -> String {
        format!("[admin]\nlisten = \"{}\"\nsocket = \"{}\"\n", self.address(), self.socket().display())
    }

    /// A sink whose file for the host mx1 another process has, as long as the lock lives.
    fn locked_sink(&self) -> (String, Flock<File>) {
        let file = File::create(self.path("mx1.json")).expect("a file");
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("a lock");
        (format!("[[sink.file]]\npath = \"{}/{{hostname}}.json\"\n", self.directory.path().display()), lock)
    }

    /// Starts Postrider with a server at this place, and waits for it.
    pub(crate) fn start(&self, rest: &str) -> Postrider {
        let mut postrider = Postrider::spawn(&format!("{}{rest}", self.table()));
        wait_listening(&mut postrider);
        postrider
    }
}

/// Waits until the sources and the admin server listen, and returns the address of the source.
pub(crate) fn wait_listening(postrider: &mut Postrider) -> SocketAddr {
    let address = postrider.address("tcp");
    postrider.status().wait(DEADLINE, "a configuration", |status| status.get("/reload/generation") == 1);
    address
}

pub(crate) fn send(address: SocketAddr, lines: &[&str]) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    for line in lines {
        writeln!(socket, "<22>{line}").expect("room");
    }
}

fn command(arguments: &[&str], socket: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(arguments).arg("--socket").arg(socket).env("LC_ALL", "C.UTF-8").output().expect("postrider runs")
}

/// The exit code and what a command says.
fn said(output: &Output) -> (i32, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code().expect("no signal"), text(&output.stdout) + &text(&output.stderr))
}

fn health(socket: &Path) -> (i32, String) {
    said(&command(&["health"], socket))
}

#[test]
fn both_listeners_tell_that_the_daemon_lives_and_is_ready() {
    let place = Place::new();
    let postrider = place.start(&[TCP, STDOUT].concat());
    let ready = json!({
        "ready": true,
        "phase": "running",
        "sources": [{ "name": "tcp", "ready": true, "reason": null }],
        "sinks": [{ "name": "stdout", "ready": true, "reason": null }],
    });
    for get in [&|path: &str| get(place.address(), path) as HttpAnswer, &|path: &str| get_unix(&place.socket(), path)]
        as [&dyn Fn(&str) -> HttpAnswer; 2]
    {
        assert_eq!((get("/live").status, get("/live").json()), (200, json!({ "live": true })));
        assert_eq!((get("/ready").status, get("/ready").json()), (200, ready.clone()));
        let missing = get("/");
        assert_eq!((missing.status, missing.json()["paths"]["/live"].is_string()), (404, true));
        for (name, value) in [
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(missing.header(name), value);
        }
        assert!(!missing.headers.iter().any(|line| line.to_lowercase().starts_with("access-control")));
    }
    assert_eq!(health(&place.socket()), (0, "ready\n".to_owned()));
    assert_eq!(fs::metadata(place.socket()).expect("a socket").permissions().mode() & 0o7777, 0o660);
    assert_clean(&postrider.terminate(DEADLINE));
    assert!(!place.socket().exists(), "a stop removes the socket");
}

#[test]
fn methods_and_paths_have_their_statuses() {
    let place = Place::new();
    let _postrider = place.start(&[TCP, STDOUT].concat());
    let status = |first: &str| ask(place.address(), &format!("{first} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let head = status("HEAD /ready");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_ne!(head.header("content-length"), "0");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let answer = status(&format!("{method} /api/status"));
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
        assert!(answer.json()["error"].as_str().expect("an error").contains("GET or HEAD"));
    }
    for path in ["/../../etc/passwd", "/live/../api/status", "/%2e%2e/etc/passwd", "/api", "/LIVE", "/live%00"] {
        assert_eq!(status(&format!("GET {path}")).status, 404, "{path}");
    }
}

/// A page of another site could send these, whatever name it gives this address.
#[test]
fn other_hosts_and_origins_are_refused() {
    let place = Place::new();
    let _postrider = place.start(&[TCP, STDOUT].concat());
    let with = |headers: &str| ask(place.address(), &format!("GET /api/status HTTP/1.1\r\n{headers}\r\n")).status;
    assert_eq!(with("Host: localhost:9514\r\n"), 200);
    assert_eq!(with("Host: evil.example\r\n"), 421);
    assert_eq!(with("Host: 192.0.2.1\r\n"), 421);
    assert_eq!(with(""), 400);
    assert_eq!(with("Host: localhost\r\nHost: localhost\r\n"), 400);
    assert_eq!(with("Host: localhost\r\nOrigin: http://localhost\r\n"), 200);
    assert_eq!(with("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    assert_eq!(with("Host: localhost\r\nOrigin: null\r\n"), 403);
    let proxied = "GET http://evil.example/api/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(place.address(), proxied).status, 421);
}

#[test]
fn with_a_token_only_who_has_it_is_answered() {
    let place = Place::new();
    fs::write(place.path("token"), "f81d4fae7dec11d0a76500a0c91e6bf6\n").expect("a file");
    let token = format!("token_file = \"{}\"\n", place.path("token").display());
    let mut postrider = Postrider::spawn(&[&place.table(), &token, TCP, STDOUT].concat());
    wait_listening(&mut postrider);
    let with = |header: &str| ask(place.address(), &format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"));
    let refused = with("");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert!(refused.json()["error"].as_str().expect("an error").contains("Authorization: Bearer TOKEN"));
    assert_eq!(with("Authorization: Bearer f81d4fae7dec11d0a76500a0c91e6bf7\r\n").status, 401);
    assert_eq!(with("Authorization: Bearer f81d4fae7dec11d0a76500a0c91e6bf6\r\n").status, 200);
    // The file system decides who may connect to the socket.
    assert_eq!(get_unix(&place.socket(), "/live").status, 200);
    // The next token is that of the file at the reload.
    fs::write(place.path("token"), "00000000000000000000000000000000\n").expect("a file");
    postrider.reload(&[&place.table(), &token, TCP, STDOUT].concat());
    wait_until(DEADLINE, "the next token", || {
        with("Authorization: Bearer 00000000000000000000000000000000\r\n").status == 200
    });
    assert_eq!(with("Authorization: Bearer f81d4fae7dec11d0a76500a0c91e6bf6\r\n").status, 401);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!ended.stderr.contains("f81d4fae"), "{}", ended.stderr);
}

#[test]
fn a_sink_that_fails_is_named_until_it_works_again() {
    let place = Place::new();
    let (sink, lock) = place.locked_sink();
    let mut postrider = place.start(&[TCP, &sink].concat());
    assert_eq!(get(place.address(), "/ready").status, 200);
    send(postrider.address("tcp"), &["Nov 24 02:10:35 mx1 test: hello"]);
    let answer = wait_for(DEADLINE, "a sink that is not ready", || {
        Some(get(place.address(), "/ready")).filter(|answer| answer.status == 503)
    });
    let reason = answer.json()["sinks"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains(&place.path("mx1.json").display().to_string()), "{reason}");
    assert_eq!(
        (answer.json()["ready"].clone(), answer.json()["sources"][0]["ready"].clone()),
        (json!(false), json!(true))
    );
    let (code, text) = health(&place.socket());
    assert!(code == 1 && text.starts_with("not ready: sink file: "), "{code} {text}");
    assert_eq!(get(place.address(), "/live").status, 200);
    drop(lock);
    wait_until(DEADLINE, "a sink that is ready again", || get(place.address(), "/ready").status == 200);
    assert_eq!(health(&place.socket()), (0, "ready\n".to_owned()));
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn the_ledger_balances_and_is_that_of_the_status_file() {
    let place = Place::new();
    let mut postrider = place.start(&[TCP, STDOUT].concat());
    send(postrider.address("tcp"), &["Nov 24 02:10:35 mx1 test: hello"; 100]);
    postrider.wait_delivered("stdout", 100, DEADLINE);
    let file = postrider.status().now();
    let ledger = get(place.address(), "/ledger").json();
    assert_eq!(ledger["ledger"]["balanced"], true);
    assert_eq!((&ledger["ledger"], &ledger["sources"][0]["counts"]["received"]), (file.get("/ledger"), &json!(100)));
    assert_eq!(&ledger["sinks"][0]["counts"], file.get("/sinks/0/counts"));
    let status = get_unix(&place.socket(), "/api/status").json();
    for part in ["program/pid", "reload", "ledger", "correlate", "sources", "sinks"] {
        assert_eq!(status.pointer(&format!("/{part}")), Some(file.get(&format!("/{part}"))), "{part}");
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn while_the_daemon_stops_it_lives_but_is_not_ready() {
    let place = Place::new();
    let (sink, lock) = place.locked_sink();
    let config = ["shutdown_timeout = \"60s\"\n", &place.table(), TCP, &sink].concat();
    let mut postrider = Postrider::spawn(&config);
    send(wait_listening(&mut postrider), &["Nov 24 02:10:35 mx1 test: hello"]);
    postrider.status().wait(DEADLINE, "a record", |status| status.source("tcp").count("received") == 1);
    postrider.signal(Signal::SIGTERM);
    let answer = wait_for(DEADLINE, "a stop", || {
        Some(get(place.address(), "/ready")).filter(|answer| answer.json()["phase"] == "stopping")
    });
    assert_eq!((answer.status, get(place.address(), "/live").status), (503, 200));
    assert!(health(&place.socket()).1.starts_with("not ready: the daemon is stopping\n"));
    drop(lock);
    assert_clean(&postrider.ended(DEADLINE));
}

#[test]
fn a_default_that_cannot_be_had_is_said_once() {
    let place = Place::new();
    // Somebody has the default address; it may be a Postrider of this machine.
    let _taken = TcpListener::bind("127.0.0.1:9514");
    let missing = format!("[admin]\nsocket = \"{}\"\n", place.socket().display());
    let mut postrider = Postrider::spawn(&[&missing, TCP, STDOUT].concat());
    wait_listening(&mut postrider);
    assert_eq!(health(&place.socket()), (0, "ready\n".to_owned()));
    // A reload tries again, and says nothing new.
    postrider.reload(&[&missing, TCP, STDOUT].concat());
    wait_until(DEADLINE, "a reload", || postrider.stderr().contains(" is in use"));
    let log = postrider.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("127.0.0.1:9514")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let text = "the admin server cannot listen at 127.0.0.1:9514: Address already in use (os error 98); another program \
                listens there, perhaps another Postrider: give each its own; `listen = \"none\"` in [admin] turns it off; \
                going on without it";
    assert!(lines[0].ends_with(text), "{}", lines[0]);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn what_the_file_names_must_be_possible() {
    let place = Place::new();
    let _taken = TcpListener::bind(place.address()).expect("a port");
    let _used = UnixListener::bind(place.path("used")).expect("a socket");
    fs::write(place.path("file"), "mine").expect("a file");
    let socket = |name: &str| format!("listen = \"none\"\nsocket = \"{}\"\n", place.path(name).display());
    for (table, error) in [
        (format!("listen = \"{}\"\nsocket = \"none\"\n", place.address()), "another program listens there"),
        (socket("used"), "another program listens there"),
        (socket("nowhere/admin.sock"), "create its directory for Postrider's user"),
        (socket("file"), "the path exists and is not a socket; set another path"),
    ] {
        let ended = Postrider::spawn(&format!("[admin]\n{table}{TCP}{STDOUT}")).ended(DEADLINE);
        assert_eq!(ended.status.code(), Some(74), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("the admin server cannot listen at ") && ended.stderr.contains(error),
            "{}",
            ended.stderr
        );
    }
    assert!(UnixStream::connect(place.path("used")).is_ok());
    assert_eq!(fs::read_to_string(place.path("file")).expect("a file"), "mine");
}

#[test]
fn a_socket_that_a_crash_left_is_replaced() {
    let place = Place::new();
    let mut postrider = place.start(&[TCP, STDOUT].concat());
    postrider.kill();
    assert!(place.socket().exists());
    let (code, text) = health(&place.socket());
    assert!(code == 69 && text.contains("it has ended: start it again"), "{code} {text}");
    postrider.restart();
    wait_until(DEADLINE, "a daemon that is ready", || health(&place.socket()).0 == 0);
    assert_clean(&postrider.terminate(DEADLINE));
    let (code, text) = health(&place.socket());
    let cure = format!("postrider: cannot ask the daemon at {}: No such file or directory", place.socket().display());
    assert!(code == 69 && text.starts_with(&cure) && text.contains("`--socket`"), "{code} {text}");
}

#[test]
fn a_reload_moves_the_listeners() {
    let (old, new) = (Place::new(), Place::new());
    let postrider = old.start(&[TCP, STDOUT].concat());
    postrider.reload(&[&new.table(), TCP, STDOUT].concat());
    wait_until(DEADLINE, "the new listeners", || {
        new.socket().exists() && TcpStream::connect(new.address()).is_ok() && get(new.address(), "/ready").status == 200
    });
    wait_until(DEADLINE, "the end of the old listeners", || {
        TcpStream::connect(old.address()).is_err() && !old.socket().exists()
    });
    assert_eq!(health(&new.socket()).0, 0);
    // A configuration that cannot be had changes nothing.
    let taken = TcpListener::bind(old.address()).expect("a port");
    postrider.reload(&[&old.table(), TCP, STDOUT].concat());
    wait_until(DEADLINE, "a refusal", || postrider.stderr().contains("the previous configuration stays in use"));
    assert!(postrider.stderr().contains("the admin server cannot listen at"), "{}", postrider.stderr());
    assert_eq!((get(new.address(), "/live").status, health(&new.socket()).0), (200, 0));
    drop(taken);
    postrider.reload(&["[admin]\nlisten = \"none\"\nsocket = \"none\"\n", TCP, STDOUT].concat());
    wait_until(DEADLINE, "no listener", || TcpStream::connect(new.address()).is_err() && !new.socket().exists());
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Opens connections until the server answers that there are too many. Returns those that it holds, and the answer.
fn crowd<S: Read + Write>(connect: impl Fn() -> S, half: &str) -> (Vec<S>, String) {
    let mut held = Vec::new();
    loop {
        let mut connection = connect();
        let _ = connection.write_all(half.as_bytes());
        held.push(connection);
        assert!(held.len() < 200, "no limit");
        // The first ones must not be over before the last one comes.
        if held.len() < 40 {
            continue;
        }
        // Only a connection that is one too many is answered.
        let mut probe = connect();
        let _ = probe.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut text = String::new();
        let _ = probe.read_to_string(&mut text);
        if text.contains("503") {
            return (held, text);
        }
    }
}

#[test]
fn slow_clients_and_too_many_of_them_are_cut() {
    let place = Place::new();
    let postrider = place.start(&[TCP, STDOUT].concat());
    let connect = || {
        let connection = TcpStream::connect(place.address()).expect("a connection");
        connection.set_read_timeout(Some(DEADLINE)).expect("a time limit");
        connection
    };
    let begun = Instant::now();
    let (mut held, answer) = crowd(connect, "GET /live HTTP/1.1\r\nHost: local");
    // The place of a probe may be free only a moment after its end: some are cut early, or have a place later.
    assert!(answer.contains("too many connections") && (40..=60).contains(&held.len()), "{} {answer}", held.len());
    // The operator has the socket meanwhile.
    assert_eq!(health(&place.socket()).0, 0);
    // Each gets no more than 408 or nothing, in the time for a request.
    let mut text = String::new();
    let _ = held[0].read_to_string(&mut text);
    assert!(!text.contains("200 OK"), "{text}");
    wait_until(DEADLINE, "room again", || {
        let mut connection = connect();
        let _ = connection.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut text = String::new();
        let _ = connection.read_to_string(&mut text);
        text.contains("200 OK")
    });
    assert!(begun.elapsed() < DEADLINE);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("the admin server has too many connections"), "{}", ended.stderr);
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let place = Place::new();
    let _postrider = place.start(&[TCP, STDOUT].concat());
    let long = format!("GET /live HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    let many = format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    for request in [long, many, "nonsense\r\n\r\n".to_owned()] {
        let mut connection = TcpStream::connect(place.address()).expect("a connection");
        connection.set_read_timeout(Some(DEADLINE)).expect("a time limit");
        let _ = connection.write_all(request.as_bytes());
        let mut text = Vec::new();
        let _ = connection.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    assert_eq!(http::get(place.address(), "/live").status, 200);
}

const QUEUED: [&str; 5] = [
    "2026-11-24T02:10:34Z mx1 postfix/smtpd[7]: 4FCA1803C5: client=mail.example.net[192.0.2.10], sasl_method=PLAIN, \
     sasl_username=ada@example.net",
    "2026-11-24T02:10:34Z mx1 postfix/cleanup[8]: 4FCA1803C5: message-id=<1@example.net>",
    "2026-11-24T02:10:34Z mx1 postfix/qmgr[9]: 4FCA1803C5: from=<ada@example.net>, size=2041, nrcpt=2 (queue active)",
    "2026-11-24T02:10:35Z mx1 postfix/smtp[10]: 4FCA1803C5: to=<bob@example.com>, \
     relay=mx.example.com[192.0.2.25]:25, delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=4.7.1, status=deferred (host \
     mx.example.com[192.0.2.25] said: 450 4.7.1 <bob@example.com>: Greylisted (in reply to RCPT TO))",
    "2026-11-24T02:10:36Z mx1 postfix/smtp[11]: 4FCA1803C5: to=<eve@example.org>, \
     relay=mx.example.org[203.0.113.9]:25, delay=2.1, delays=0.1/0.01/1.2/0.8, dsn=2.0.0, status=sent (250 2.0.0 Ok: \
     queued as 77F3A)",
];
const DONE: [&str; 2] = [
    "2026-11-24T02:20:37Z mx1 postfix/smtp[12]: 4FCA1803C5: to=<bob@example.com>, \
     relay=mx.example.com[192.0.2.25]:25, delay=603, delays=602/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok: \
     queued as 77F3B)",
    "2026-11-24T02:20:37Z mx1 postfix/qmgr[9]: 4FCA1803C5: removed",
];
/// Lines are joined, and a message that is over is remembered as long as the test takes.
const JOINED: &str = "[correlate]\ncheckpoint = \"none\"\ngrace = \"10m\"\n";

/// The exit code and the output of `trace` with these arguments.
fn trace(socket: &Path, arguments: &[&str]) -> (i32, String) {
    said(&command(&[&["trace", "--timezone", "UTC"], arguments].concat(), socket))
}

/// Sender, state, and each recipient with its status and attempts, as records of messages tell them.
fn told(records: &str) -> Vec<Value> {
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record")["postfix"].take());
    let recipient = |one: &Value| json!([one["to"], one["status"], one["attempts"]]);
    let of = |message: Value| {
        let recipients: Vec<_> = message["recipients"].as_array().into_iter().flatten().map(recipient).collect();
        json!([message["key"], message["from"], message["state"], message["result"], recipients])
    };
    records.filter(|postfix| postfix["event"] == "message").map(of).collect()
}

#[test]
fn trace_tells_what_the_daemon_remembers() {
    let place = Place::new();
    let mut postrider = place.start(&[JOINED, TCP, STDOUT].concat());
    let address = postrider.address("tcp");
    send(address, &QUEUED);
    postrider.status().wait(DEADLINE, "the lines", |status| status.source("tcp").count("received") == 5);
    let key = "mx1/postfix/4FCA1803C5/2026-11-24T02:10:34.000000Z";
    let open = json!([
        key,
        "ada@example.net",
        "open",
        "unknown",
        [["bob@example.com", "deferred", 1], ["eve@example.org", "sent", 1]]
    ]);
    for query in ["4FCA1803C5", "<1@example.net>", "ada@EXAMPLE.net", "eve@example.org", "77F3A"] {
        let (code, records) = trace(&place.socket(), &["--json", query]);
        assert_eq!((code, told(&records)), (0, vec![open.clone()]), "{query}: {records}");
    }
    let (code, page) = trace(&place.socket(), &["bob@example.com"]);
    assert!(code == 0 && page.starts_with("4FCA1803C5  still in the queue (1 deferred, 1 sent)\n"), "{code} {page}");
    for part in
        ["logged in as ada@example.net (PLAIN)", "2041 bytes, 2 recipients", "Greylisted", "Postfix will try again"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (code, page) = trace(&place.socket(), &["--lang", "ja", "bob@example.com"]);
    assert!(code == 0 && page.starts_with("4FCA1803C5  キューに残留（延期1件、配送済1件）\n"), "{code} {page}");

    send(address, &DONE);
    wait_until(DEADLINE, "the record of the message", || !told(&postrider.stdout()).is_empty());
    // The record that the sinks had says the same.
    let record = told(&postrider.stdout());
    assert_eq!(record[0][3], "sent");
    let (code, records) = trace(&place.socket(), &["--json", "4FCA1803C5"]);
    assert_eq!((code, told(&records)), (0, record));
    let (code, page) = trace(&place.socket(), &["4FCA1803C5"]);
    assert!(
        code == 0 && page.starts_with("4FCA1803C5  sent\n") && page.contains("bob@example.com, attempt 2"),
        "{page}"
    );
    assert!(page.contains("removed after 10 min 3 s in the queue"), "{page}");
    // Over TCP too, for a page of a browser.
    let answer = get(place.address(), "/trace?q=%3C1%40example.net%3E").json();
    assert_eq!((answer["matching"].clone(), answer["messages"][0]["postfix"]["key"].clone()), (json!(1), json!(key)));
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn trace_says_what_it_did_not_find_and_what_to_do() {
    let place = Place::new();
    let mut postrider = place.start(&[JOINED, TCP, STDOUT].concat());
    send(postrider.address("tcp"), &QUEUED);
    postrider.status().wait(DEADLINE, "the lines", |status| status.source("tcp").count("received") == 5);
    let nothing = "no message matches nobody@example.com, among the 1 message that the daemon remembers; log files are \
                   searched with `postrider trace FILE... nobody@example.com`\n";
    assert_eq!(trace(&place.socket(), &["nobody@example.com"]), (1, nothing.to_owned()));
    // Somebody forgot the query.
    let file = place.path("mail.log").display().to_string();
    fs::write(&file, QUEUED.join("\n")).expect("a file");
    let (code, text) = trace(&place.socket(), &[&file]);
    assert!(code == 1 && text.contains(&format!("`postrider trace {file} QUERY`")), "{code} {text}");
    // Behind a file, the query is for the file.
    let (code, page) = trace(&place.path("nowhere"), &[&file, "bob@example.com"]);
    assert!(code == 0 && page.contains("in the queue, 2041 bytes, 2 recipients"), "{code} {page}");
    let (code, text) = trace(&place.path("nowhere"), &["bob@example.com"]);
    let start = format!("postrider: cannot ask the daemon at {}: ", place.path("nowhere").display());
    assert!(code == 69 && text.starts_with(&start), "{code} {text}");
    assert!(text.contains("`--socket`") && text.contains("`postrider trace FILE... bob@example.com`"), "{text}");
    postrider.reload(&[&place.table(), "[correlate]\nenabled = false\n", TCP, STDOUT].concat());
    let refused = wait_for(DEADLINE, "joins that are off", || {
        Some(trace(&place.socket(), &["bob@example.com"])).filter(|(code, _)| *code == 69)
    });
    assert!(refused.1.contains("set `enabled` in [correlate]"), "{}", refused.1);
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Asks for a path again and again until `is_over`, and returns the answers.
fn ask_until(address: SocketAddr, path: &'static str, is_over: &AtomicBool) -> Vec<HttpAnswer> {
    let mut answers = Vec::new();
    while !is_over.load(Relaxed) {
        answers.push(get(address, path));
    }
    answers
}

#[test]
fn questions_while_lines_come_hold_up_nothing() {
    const ROUNDS: usize = 1500;
    let place = Place::new();
    let mut postrider = place.start(&[JOINED, TCP, STDOUT].concat());
    let source = postrider.address("tcp");
    let lines = (0..ROUNDS).flat_map(|round| QUEUED.map(|line| line.replace("4FCA1803C5", &format!("{round:010X}"))));
    let lines: Vec<String> = lines.collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let paths = ["/api/status", "/ledger", "/ready", "/trace?q=bob@example.com&page=1", "/trace?q=77F3A&last=5"];
        let askers = paths.map(|path| (path, scope.spawn(|| ask_until(place.address(), path, &is_over))));
        let mut socket = TcpStream::connect(source).expect("a connection");
        for line in &lines {
            writeln!(socket, "<22>{line}").expect("room");
        }
        drop(socket);
        postrider.wait_delivered("stdout", lines.len() as u64, DEADLINE);
        is_over.store(true, Relaxed);
        for (path, asker) in askers {
            let answers = asker.join().expect("no panic");
            assert!(!answers.is_empty() && answers.iter().all(|answer| answer.status == 200), "{path}");
            assert!(answers.iter().all(|answer| answer.json()["ledger"]["balanced"] != false), "{path}");
        }
    });
    let all = get(place.address(), "/trace?q=ada@example.net&last=3").json();
    assert_eq!((all["matching"].as_u64(), all["cut"].as_bool()), (Some(ROUNDS as u64), Some(false)));
    assert_eq!(all["messages"].as_array().map(Vec::len), Some(3));
    assert_clean(&postrider.terminate(DEADLINE));
}
