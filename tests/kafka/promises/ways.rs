//! The ways by which messages come in that nobody acknowledges.

use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::ops::Range;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;

use socket2::SockRef;
use tempfile::TempDir;

use crate::promises::DEADLINE;
use testkit::messages::message;
use testkit::pki::{self, BOTH, Pki};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_for;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Tls,
    UnixStream,
    Stdin,
    Udp,
    UnixDatagram,
}

use Way::{Stdin, Tcp, Tls, Udp, UnixDatagram as Datagram, UnixStream as Stream};

pub(crate) const STREAMS: [Way; 4] = [Tcp, Tls, Stream, Stdin];
pub(crate) const DATAGRAMS: [Way; 2] = [Udp, Datagram];

/// More messages than the pipe of the standard output holds: what is in there is delivered, and needs no spool any
/// more.
pub(crate) const PIPE: usize = 60;

/// All of them at once, as most of their time is waiting.
pub(crate) fn each(ways: &[Way], test: impl Fn(Way) + Sync) {
    thread::scope(|scope| {
        for way in ways {
            let test = &test;
            thread::Builder::new().name(format!("{way:?}")).spawn_scoped(scope, move || test(*way)).expect("a thread");
        }
    });
}

pub(crate) fn all() -> Vec<Way> {
    [&STREAMS[..], &DATAGRAMS].concat()
}

/// A way, and what belongs to it from one run of Postrider to the next.
pub(crate) struct Place {
    pub(crate) way: Way,
    directory: TempDir,
    pki: Option<Pki>,
}

impl Place {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, directory: scratch::directory("promises"), pki: (way == Tls).then(Pki::new) }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The source.
    pub(crate) fn source(&self) -> String {
        let socket = self.directory().join("socket");
        let socket = socket.display();
        match self.way {
            Tcp => "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
            Tls => self.pki.as_ref().expect("certificates").source(""),
            Udp => "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
            Stream => format!("[[source.unix]]\npath = \"{socket}\"\nkind = \"stream\"\n"),
            Datagram => format!("[[source.unix]]\npath = \"{socket}\"\n"),
            Stdin => "[[source.stdin]]\n".to_owned(),
        }
    }

    /// The configuration with a standard output that has little room, and these keys behind.
    pub(crate) fn config(&self, more: &str) -> String {
        let source = self.source();
        // Datagrams for which there is no room at once are dropped.
        let room = if DATAGRAMS.contains(&self.way) { "1MiB" } else { "64KiB" };
        format!("shutdown_timeout = \"1s\"\n{source}[[sink.stdout]]\nqueue_size = \"{room}\"\n{more}")
    }

    pub(crate) fn spawn(&self, more: &str) -> Unread {
        Unread::spawn(&self.config(more), &self.directory().join("stderr"))
    }

    /// Returns the name of the source.
    pub(crate) fn source_name(&self) -> &'static str {
        match self.way {
            Tcp => "tcp",
            Tls => "tls",
            Udp => "udp",
            Stream | Datagram => "unix",
            Stdin => "stdin",
        }
    }

    pub(crate) fn connect(&self, postrider: &mut Unread) -> Feed {
        let socket = self.directory().join("socket");
        match self.way {
            Tcp => Feed::Stream(Box::new(small(TcpStream::connect(postrider.address("tcp")).expect("a connection")))),
            Tls => {
                let socket = small(TcpStream::connect(postrider.address("tls")).expect("a connection"));
                let client = self.pki.as_ref().expect("certificates").client(None, BOTH);
                Feed::Stream(Box::new(pki::shake_hands(socket, &client).expect("a handshake")))
            }
            Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                socket.connect(postrider.address("udp")).expect("an address");
                Feed::Udp(socket)
            }
            Stream => {
                let connect = || UnixStream::connect(&socket).ok();
                Feed::Stream(Box::new(wait_for(DEADLINE, "a connection", connect)))
            }
            Datagram => {
                let sender = UnixDatagram::unbound().expect("a socket");
                wait_for(DEADLINE, "the socket", || sender.connect(&socket).ok());
                Feed::Unix(sender)
            }
            Stdin => Feed::Stream(Box::new(postrider.input())),
        }
    }
}

/// A socket that itself holds little of what is sent.
fn small(socket: TcpStream) -> TcpStream {
    SockRef::from(&socket).set_send_buffer_size(64 << 10).expect("an option of a socket");
    socket
}

/// Place that messages are written to.
pub(crate) enum Feed {
    Stream(Box<dyn Write + Send>),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Feed {
    /// Sends the messages of these numbers; the error says that the other side has gone.
    pub(crate) fn send(&mut self, numbers: Range<usize>) -> io::Result<()> {
        numbers.map(message).try_for_each(|message| self.send_one(&message))
    }

    pub(crate) fn send_one(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(format!("{message}\n").as_bytes())?;
                stream.flush()
            }
            Self::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Unix(socket) => socket.send(message.as_bytes()).map(drop),
        }
    }
}
