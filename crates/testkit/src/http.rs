//! A client of HTTP/1.1 that sends any bytes: also those that no honest client sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Maximum time to wait for the server.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Number of the status.
    pub status: u16,
    /// Lines of the headers.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// Reads an answer. Panics if it is no whole one.
    #[track_caller]
    pub fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n").map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {first}"));
        Self { status, headers: lines.collect(), body: body.to_owned() }
    }

    /// Returns the value of a header. Panics if there is none.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let pairs = self.headers.iter().filter_map(|line| line.split_once(": "));
        let mut values = pairs.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.next().unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }

    /// Returns the body as JSON. Panics if it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks the server at `address` for a path.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> HttpAnswer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Sends a request to the server at `address`, and returns the answer.
#[track_caller]
pub fn ask(address: SocketAddr, request: &str) -> HttpAnswer {
    let connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    exchange(connection, request)
}

/// Asks the server at a unix socket for a path.
#[track_caller]
pub fn get_unix(socket: &Path, path: &str) -> HttpAnswer {
    let socket = UnixStream::connect(socket).expect("a connection");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    exchange(socket, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

#[track_caller]
fn exchange(mut connection: impl Read + Write, request: &str) -> HttpAnswer {
    connection.write_all(request.as_bytes()).expect("room");
    let mut text = Vec::new();
    // The server may reset a connection of which it did not read everything.
    let _ = connection.read_to_end(&mut text);
    HttpAnswer::of(&String::from_utf8(text).expect("UTF-8"))
}
