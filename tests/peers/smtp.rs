//! Just enough of an SMTP client to hand mail to a server that accepts it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A reply that takes longer is none.
const REPLY: Duration = Duration::from_secs(30);

pub(crate) struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap_or_else(|error| panic!("no SMTP server at {server}: {error}"));
        stream.set_read_timeout(Some(REPLY)).expect("a time limit on a socket");
        stream.set_nodelay(true).expect("an option of a socket");
        let mut smtp = Self { stream: BufReader::new(stream) };
        smtp.expect('2');
        smtp.command("EHLO client.test", '2');
        smtp
    }

    /// Sends one message. Gives the queue id that Postfix names in its last reply.
    pub(crate) fn send(&mut self, sender: &str, recipients: &[&str], text: &str) -> String {
        self.command(&format!("MAIL FROM:<{sender}>"), '2');
        for recipient in recipients {
            self.command(&format!("RCPT TO:<{recipient}>"), '2');
        }
        self.command("DATA", '3');
        let mut lines = String::new();
        for line in text.lines() {
            // A line that begins with a dot gets another one: a dot alone ends the message.
            lines += if line.starts_with('.') { "." } else { "" };
            lines += line;
            lines += "\r\n";
        }
        let reply = self.command(&format!("{lines}."), '2');
        let (_, id) = reply.rsplit_once(" queued as ").unwrap_or_else(|| panic!("no queue id in {reply:?}"));
        id.to_owned()
    }

    fn command(&mut self, line: &str, expected: char) -> String {
        // In one write: a command that arrives in pieces costs a round trip each.
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("a connection to the SMTP server");
        self.expect(expected)
    }

    /// Reads a reply, of which the last line is given.
    fn expect(&mut self, class: char) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a reply of the SMTP server");
            assert!(line.starts_with(class), "expected a reply {class}xx, got {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        // Polite, and of no consequence.
        let _ = self.stream.get_mut().write_all(b"QUIT\r\n");
    }
}
