//! A RELP sender that sends again what was not acknowledged, as omrelp does.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::crash::DEADLINE;
use testkit::messages::message;
use testkit::relp::OPEN;
use testkit::wait::wait_until;

/// Maximum number of messages in flight.
const WINDOW: usize = 64;
/// More than any of the spools here holds.
const MOST_HELD: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// The number of the next new message.
    pub(crate) next: usize,
    pub(crate) acknowledged: BTreeSet<usize>,
    /// Messages sent and not acknowledged.
    unacknowledged: BTreeSet<usize>,
}

/// One connection of it.
pub(crate) struct Session<'s> {
    sender: &'s mut Sender,
    socket: TcpStream,
    answers: BufReader<TcpStream>,
    /// To be sent before new ones.
    again: VecDeque<usize>,
    /// On the way, in order; the first has the number `first` in the session.
    on_the_way: VecDeque<usize>,
    first: usize,
}

impl Sender {
    /// Opens a session. The error says that the other side has gone.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> io::Result<Session<'_>> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.write_all(OPEN.as_bytes())?;
        let mut answers = BufReader::new(socket.try_clone()?);
        let mut line = String::new();
        while line != "commands=syslog" {
            line = read_line(&mut answers)?;
        }
        let again = self.unacknowledged.iter().copied().collect();
        Ok(Session { sender: self, socket, answers, again, on_the_way: VecDeque::new(), first: 2 })
    }
}

impl<'s> Session<'s> {
    /// Everything that was acknowledged, in this session and before.
    pub(crate) fn acknowledged(&self) -> BTreeSet<usize> {
        self.sender.acknowledged.clone()
    }

    /// Sends until `count` more are acknowledged.
    pub(crate) fn deliver(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.send()?;
            self.receive()?;
        }
        Ok(())
    }

    /// Sends what is unacknowledged, waits for all acknowledgements, and returns the sender.
    pub(crate) fn finish(mut self) -> io::Result<&'s Sender> {
        while !self.again.is_empty() {
            self.deliver(1)?;
        }
        while !self.on_the_way.is_empty() {
            self.receive()?;
        }
        Ok(self.sender)
    }

    /// Sends until `is_held_up` holds for the number of messages sent in this session. Panics if that does not come.
    #[track_caller]
    pub(crate) fn deliver_until(&mut self, mut is_held_up: impl FnMut(usize) -> bool) {
        for _ in 0..MOST_HELD {
            self.send().expect("room in the socket");
            let sent = self.first - 2 + self.on_the_way.len();
            wait_until(DEADLINE, "an acknowledgement, or what holds them up", || self.has_answer() || is_held_up(sent));
            if !self.has_answer() {
                return;
            }
            self.receive().expect("an acknowledgement");
        }
        panic!("{MOST_HELD} messages are acknowledged, and more");
    }

    fn has_answer(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a time limit on a socket");
        let has_answer = self.answers.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        has_answer
    }

    /// Fills the window.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let mut frames = String::new();
        while self.on_the_way.len() < WINDOW {
            let number = self.again.pop_front().unwrap_or_else(|| {
                self.sender.next += 1;
                self.sender.next - 1
            });
            let (message, frame) = (message(number), self.first + self.on_the_way.len());
            writeln!(frames, "{frame} syslog {} {message}", message.len()).expect("a String takes all");
            self.sender.unacknowledged.insert(number);
            self.on_the_way.push_back(number);
        }
        self.socket.write_all(frames.as_bytes())
    }

    pub(crate) fn receive(&mut self) -> io::Result<()> {
        let line = read_line(&mut self.answers)?;
        if line != format!("{} rsp 6 200 OK", self.first) {
            return Err(io::Error::other(line));
        }
        let number = self.on_the_way.pop_front().expect("an answer to a message");
        self.first += 1;
        self.sender.unacknowledged.remove(&number);
        self.sender.acknowledged.insert(number);
        Ok(())
    }
}

/// A whole line, without its end.
fn read_line(answers: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
