//! A RELP sender that writes what a test says, plain or over TLS.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use socket2::SockRef;

use super::pki::{self, Pki};

/// Frame that opens a session, as transaction 1.
pub const OPEN: &str = "1 open 30 relp_version=0\ncommands=syslog\n";
/// Frame with which the server closes a session.
pub const CLOSE: &str = "0 serverclose 0\n";

/// Longer than any answer takes, on a busy machine too.
const SILENCE: Duration = Duration::from_secs(60);

trait Duplex: Read + Write + Send {}
impl<S: Read + Write + Send> Duplex for S {}

/// Connection of a sender. A read fails after a minute without a byte.
pub struct Client {
    stream: Box<dyn Duplex>,
    /// The one below.
    socket: TcpStream,
}

/// The keys of a table of TLS that name the server's certificate.
pub fn tls_keys(pki: &Pki) -> String {
    let (certificate, key) = (pki.file("cert.pem"), pki.file("key.pem"));
    format!("certificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display())
}

/// Returns the answer to `open`.
pub fn opened() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("200 OK\nrelp_version=0\nrelp_software=postrider,{version}\ncommands=syslog");
    format!("1 rsp {} {text}\n", text.len())
}

/// The acknowledgements of the messages with these numbers.
pub fn acknowledgements(numbers: Range<usize>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        writeln!(text, "{number} rsp 6 200 OK").expect("a String takes all");
        text
    })
}

/// Messages with these numbers, whose texts `text` gives.
pub fn messages(numbers: Range<usize>, text: impl Fn(usize) -> String) -> Vec<u8> {
    let mut frames = String::new();
    for number in numbers {
        let text = format!("<22>Nov 24 02:10:35 mx1 test: {}", text(number));
        writeln!(frames, "{number} syslog {} {text}", text.len()).expect("a String takes all");
    }
    frames.into_bytes()
}

impl Client {
    /// Connects without TLS. Panics if nobody listens.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = socket(address);
        Self { stream: Box::new(socket.try_clone().expect("a second handle of a socket")), socket }
    }

    /// Connects over TLS and does the handshake. Returns the error of a handshake that fails.
    pub fn connect_tls(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::over_tls(socket(address), client)
    }

    /// Does a TLS handshake over a connection that is there.
    pub fn over_tls(socket: TcpStream, client: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = pki::shake_hands(socket.try_clone()?, client)?;
        Ok(Self { stream: Box::new(stream), socket })
    }

    /// Connects and opens a session; over TLS with `client`.
    pub fn open(address: SocketAddr, client: Option<&Arc<ClientConfig>>) -> Self {
        let mut sender = match client {
            None => Self::connect(address),
            Some(client) => Self::connect_tls(address, client).expect("a TLS connection"),
        };
        sender.begin();
        sender
    }

    /// Opens the session.
    pub fn begin(&mut self) {
        self.send(OPEN.as_bytes());
        assert_eq!(self.read(opened().len()), opened());
    }

    /// Opens the session, if there is a place for it.
    pub fn try_begin(&mut self) -> bool {
        let mut bytes = vec![0; opened().len()];
        let opened_it = self.try_send(OPEN.as_bytes()).and_then(|()| self.stream.read_exact(&mut bytes));
        opened_it.is_ok() && bytes == opened().as_bytes()
    }

    /// The socket, for a thread that writes while another reads; without TLS.
    pub fn socket(&self) -> TcpStream {
        self.socket.try_clone().expect("a second handle of a socket")
    }

    /// Writes bytes. Panics if the connection is closed.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("room for a frame");
    }

    /// Writes bytes, or returns the error of the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads exactly `size` bytes, which must be UTF-8.
    pub fn read(&mut self, size: usize) -> String {
        let mut bytes = vec![0; size];
        self.stream.read_exact(&mut bytes).expect("an answer");
        String::from_utf8(bytes).expect("text")
    }

    /// Everything up to the next LF, or to the end of the connection, however it ends.
    pub fn read_line(&mut self) -> String {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while bytes.last() != Some(&b'\n') && matches!(self.stream.read(&mut byte), Ok(1)) {
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).expect("text")
    }

    /// One read: 0 at the end of the connection.
    pub fn try_read(&mut self) -> std::io::Result<usize> {
        self.stream.read(&mut [0; 64])
    }

    /// Everything up to the end of the connection, however it ends.
    pub fn read_what_comes(&mut self) -> String {
        let mut bytes = Vec::new();
        // An error keeps the bytes before it.
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    /// Everything up to the end of the connection; over TLS, that is `close_notify`.
    pub fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        self.stream
            .read_to_string(&mut text)
            .unwrap_or_else(|error| panic!("no end of the session: {error} after {text:?}"));
        text
    }

    /// Returns everything that has come by now.
    pub fn read_what_is_there(&mut self) -> String {
        self.read_until_silent(Duration::from_millis(1))
    }

    /// Returns everything that comes until nothing has come for `time`.
    pub fn read_until_silent(&mut self, time: Duration) -> String {
        self.socket.set_read_timeout(Some(time)).expect("a time limit on a socket");
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => panic!("the session has ended after {}", bytes.escape_ascii()),
                Ok(size) => bytes.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.socket.set_read_timeout(Some(SILENCE)).expect("a time limit on a socket");
        String::from_utf8(bytes).expect("text")
    }

    /// Ends the session as a sender does that has no more.
    pub fn close(mut self, number: usize) {
        self.send(format!("{number} close 0\n").as_bytes());
        assert_eq!(self.read_to_end(), format!("{number} rsp 0\n{CLOSE}"));
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
    }
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(SILENCE)).expect("a time limit on a socket");
    socket
}
