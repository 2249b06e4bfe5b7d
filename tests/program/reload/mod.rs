//! Does a reload change what it should and nothing else, and lose nothing?

mod configuration;
mod many;
mod signals;
mod sinks;
mod sources;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::postrider::{Ended, Postrider, count, ledgers};
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
