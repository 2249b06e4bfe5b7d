//! Just enough of an SMTP client to hand mail to a server that accepts it, or to vex one that does not.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A reply that takes longer is none.
const REPLY: Duration = Duration::from_secs(30);

/// A session in which all goes well.
pub struct Smtp {
    session: Session,
}

/// A session in which the client says what it likes.
pub struct Session {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    /// Connects and says EHLO. Panics if the server refuses.
    pub fn connect(server: SocketAddr) -> Self {
        let mut session = Session::connect(server);
        expect('2', session.reply());
        let mut smtp = Self { session };
        smtp.command("EHLO client.test", '2');
        smtp
    }

    /// Sends one message. Gives the queue id that Postfix names in its last reply.
    pub fn send(&mut self, sender: &str, recipients: &[&str], text: &str) -> String {
        self.command(&format!("MAIL FROM:<{sender}>"), '2');
        for recipient in recipients {
            self.command(&format!("RCPT TO:<{recipient}>"), '2');
        }
        self.command("DATA", '3');
        let reply = self.command(&(dotted(text) + "."), '2');
        let (_, id) = reply.rsplit_once(" queued as ").unwrap_or_else(|| panic!("no queue id in {reply:?}"));
        id.to_owned()
    }

    #[track_caller]
    fn command(&mut self, line: &str, expected: char) -> String {
        expect(expected, self.session.say(line))
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        // Polite, and of no consequence.
        let _ = self.session.stream.get_mut().write_all(b"QUIT\r\n");
    }
}

impl Session {
    /// Connects, and leaves the server's greeting to be read by [`Self::reply`].
    pub fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).unwrap_or_else(|error| panic!("no SMTP server at {server}: {error}")))
    }

    /// Connects from the address `client`, which is one of this machine's, such as 127.0.0.2.
    pub fn connect_from(client: IpAddr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a TCP socket");
        socket.bind(&SocketAddr::new(client, 0).into()).expect("an address of this machine");
        socket.connect(&server.into()).unwrap_or_else(|error| panic!("no SMTP server at {server}: {error}"));
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(REPLY)).expect("a time limit on a socket");
        stream.set_nodelay(true).expect("an option of a socket");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends the command `line`, or several with CR LF between them, and gives the reply.
    pub fn say(&mut self, line: &str) -> String {
        // In one write: a command that arrives in pieces costs a round trip each.
        self.send(&format!("{line}\r\n"));
        self.reply()
    }

    /// Says each of `lines` when the reply to the one before is there, and gives the last reply.
    pub fn say_all(&mut self, lines: &[&str]) -> String {
        lines.iter().map(|line| self.say(line)).last().unwrap_or_default()
    }

    /// Sends `text` as it is.
    pub fn send(&mut self, text: &str) {
        // The server may have hung up, which shows in its reply.
        let _ = self.stream.get_mut().write_all(text.as_bytes());
    }

    /// The last line of the server's next reply, without its line end; empty if it has hung up.
    pub fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(_) if line.as_bytes().get(3) == Some(&b'-') => {}
                Ok(_) => return line.trim_end().to_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return String::new(),
                Err(error) => panic!("no reply of the SMTP server: {error}"),
            }
        }
    }

    /// Waits until the server hangs up.
    pub fn wait_end(mut self) {
        while !self.reply().is_empty() {}
    }
}

#[track_caller]
fn expect(class: char, reply: String) -> String {
    assert!(reply.starts_with(class), "expected a reply {class}xx, got {reply:?}");
    reply
}

/// The lines of a message as they are sent: a line that begins with a dot gets another one, since a dot alone ends the
/// message.
fn dotted(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        lines += if line.starts_with('.') { "." } else { "" };
        lines += line;
        lines += "\r\n";
    }
    lines
}
