//! A stream of numbered messages over TCP or RELP, for a test that asks what became of each.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::clock::stamp;
use super::relp::{OPEN, opened};
use super::wait::wait_until;

/// Number of messages sent at a time. Over RELP, the sender then waits for their acknowledgements.
const WINDOW: usize = 128;
/// Longer than a test with a broker that is away takes.
const SILENCE: Duration = Duration::from_secs(600);

/// A stream, and how far it is. Message N has the hostname NAME-K, K being N modulo the number of keys.
pub struct Numbered {
    name: String,
    keys: usize,
    /// Age of the messages when they are sent. A broker treats those of another day in another way.
    age: Duration,
    /// No message from this number on is sent yet.
    leave: AtomicUsize,
    /// All before this were handed to the kernel; over RELP, they are acknowledged.
    taken: AtomicUsize,
    /// Numbers sent, in their order. Over RELP, those whose session broke come again.
    sent: Mutex<Vec<Range<usize>>>,
}

impl Numbered {
    /// Makes a stream whose messages have the time at which they are sent. `keys` is the number of hostnames.
    pub fn new(name: &str, keys: usize) -> Arc<Self> {
        Self::of_age(name, keys, Duration::ZERO)
    }

    /// Makes a stream whose messages are `age` old when they are sent.
    pub fn of_age(name: &str, keys: usize, age: Duration) -> Arc<Self> {
        let (leave, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { name: name.to_owned(), keys, age, leave, taken, sent: Mutex::default() })
    }

    /// Returns the name of the stream, with which each hostname begins.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hostname of the message with this number.
    pub fn key(&self, number: usize) -> String {
        format!("{}-{}", self.name, number % self.keys)
    }

    /// The number of a record, by the text of its message.
    pub fn number_of(message: &str) -> usize {
        let number = message.strip_prefix("number ").and_then(|text| text.split(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not of a stream: {message}"))
    }

    fn message(&self, number: usize) -> String {
        let (key, time) = (self.key(number), stamp(self.age));
        format!("<22>{time} {key} test[1]: number {number} of a stream whose messages are numbered")
    }

    /// Lets the sender go on, up to this number.
    pub fn permit(&self, until: usize) {
        self.leave.fetch_max(until, SeqCst);
    }

    /// Returns the number of messages taken so far: handed to the kernel, or over RELP acknowledged.
    pub fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    /// Returns how often the message with this number was sent.
    pub fn times_sent(&self, number: usize) -> usize {
        self.sent.lock().expect("no sender has panicked").iter().filter(|sent| sent.contains(&number)).count()
    }

    /// The numbers to send next, once they may be sent.
    fn next(&self, from: usize, end: usize) -> Range<usize> {
        wait_until(SILENCE, "leave to go on", || self.leave.load(SeqCst) > from);
        let next = from..(from + WINDOW).min(self.leave.load(SeqCst)).min(end);
        self.sent.lock().expect("no sender has panicked").push(next.clone());
        next
    }

    /// Sends over one connection and closes it.
    pub fn send_tcp(self: &Arc<Self>, address: SocketAddr, numbers: Range<usize>) -> JoinHandle<()> {
        let stream = Arc::clone(self);
        thread::spawn(move || stream.tcp(address, numbers))
    }

    /// The same on this thread.
    pub fn tcp(&self, address: SocketAddr, numbers: Range<usize>) {
        let mut socket = TcpStream::connect(address).expect("a connection");
        let mut from = numbers.start;
        while from < numbers.end {
            let next = self.next(from, numbers.end);
            let lines: String = next.clone().map(|number| self.message(number) + "\n").collect();
            socket.write_all(lines.as_bytes()).expect("all is taken");
            from = next.end;
            self.taken.store(from, SeqCst);
        }
    }

    /// Sends over RELP until all is acknowledged. After a broken session, sends again what was not.
    pub fn send_relp(self: &Arc<Self>, address: SocketAddr, end: usize) -> JoinHandle<()> {
        let stream = Arc::clone(self);
        thread::spawn(move || {
            while stream.taken() < end {
                // The receiver may be away for a while.
                let before = stream.taken();
                wait_until(SILENCE, "a session that takes messages", || {
                    stream.relp(address, end).is_ok() || stream.taken() > before
                });
            }
        })
    }

    /// One session over RELP, from the first message that is not acknowledged on.
    pub fn relp(&self, address: SocketAddr, end: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(SILENCE))?;
        let mut answers = BufReader::new(socket.try_clone()?);
        socket.write_all(OPEN.as_bytes())?;
        answers.read_exact(&mut vec![0; opened().len()])?;
        let mut frame = 2;
        while self.taken() < end {
            let next = self.next(self.taken(), end);
            let mut frames = String::new();
            for (place, number) in next.clone().enumerate() {
                let message = self.message(number);
                writeln!(frames, "{} syslog {} {message}", frame + place, message.len()).expect("a String takes all");
            }
            socket.write_all(frames.as_bytes())?;
            for number in next {
                let mut answer = String::new();
                answers.read_line(&mut answer)?;
                if answer != format!("{frame} rsp 6 200 OK\n") {
                    return Err(io::Error::other(answer));
                }
                frame += 1;
                self.taken.store(number + 1, SeqCst);
            }
        }
        writeln!(socket, "{frame} close 0")?;
        // All is acknowledged, however the session ends.
        let _ = answers.read_to_end(&mut Vec::new());
        Ok(())
    }
}
