//! A mail server that knows nobody at first: it refuses each recipient for now, a number of times.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use super::server::Server;

/// Reply to a recipient that is refused.
pub const REFUSAL: &str = "450 4.2.0 Greylisted, come back later";

/// Server on a free loopback port. It keeps the envelope of each message that it takes.
pub struct Greylist {
    server: Server,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// Envelope of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Queue id that the client was told.
    pub queue_id: String,
}

impl Greylist {
    /// Starts a server that refuses each recipient this number of times.
    pub fn start(refusals: u32) -> Self {
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (all, asked) = (Arc::clone(&taken), Mutex::<HashMap<String, u32>>::default());
        let server = Server::start(move |stream| {
            let is_refused = |recipient: &str| {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                let count = asked.entry(recipient.to_owned()).or_default();
                *count += 1;
                *count <= refusals
            };
            // The connection ends when the client has enough of it.
            let _ = serve(stream, &is_refused, &all);
        });
        Self { server, taken }
    }

    /// Returns the address as transport(5) has it: `[127.0.0.1]:PORT`.
    pub fn nexthop(&self) -> String {
        self.server.nexthop()
    }

    /// Returns the messages that it took so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: TcpStream, is_refused: &dyn Fn(&str) -> bool, all: &Mutex<Vec<Taken>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 grey.test ESMTP\r\n")?;
    let (mut message, mut in_data) = (Taken::default(), false);
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = match line {
            "." if in_data => {
                in_data = false;
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                message.queue_id = format!("grey{}", all.len());
                let reply = format!("250 2.0.0 Ok: queued as {}", message.queue_id);
                all.push(std::mem::take(&mut message));
                reply
            }
            _ if in_data => continue,
            "DATA" if message.to.is_empty() => "554 5.5.1 No recipient".to_owned(),
            "DATA" => {
                in_data = true;
                "354 Go ahead".to_owned()
            }
            "QUIT" => "221 2.0.0 Bye".to_owned(),
            _ if line.starts_with("MAIL") => {
                message = Taken { from: address(), ..Taken::default() };
                "250 2.1.0 Ok".to_owned()
            }
            _ if line.starts_with("RCPT") && is_refused(&address()) => REFUSAL.to_owned(),
            _ if line.starts_with("RCPT") => {
                message.to.push(address());
                "250 2.1.5 Ok".to_owned()
            }
            _ => "250 2.0.0 Ok".to_owned(),
        };
        stream.get_mut().write_all((reply + "\r\n").as_bytes())?;
    }
}
