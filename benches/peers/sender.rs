//! The sender of a log over TCP. It shares the cores with the program that is measured, so it has few threads and large
//! writes.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;

use super::server::usage;
use super::{Result, float};

/// More connections than that share threads.
const THREADS: usize = 10;
/// Number of bytes of one write.
const WRITE: usize = 1 << 20;
/// The same where connections share a thread and take turns.
const TURN: usize = 64 << 10;

/// Open connections, and what is to be sent over each.
pub(crate) struct Sender<'l>(Vec<Vec<(TcpStream, &'l [u8])>>);

impl<'l> Sender<'l> {
    /// Opens a connection for each part.
    pub(crate) fn connect(port: u16, parts: &[&'l [u8]]) -> Result<Self> {
        let mut threads: Vec<_> = (0..parts.len().min(THREADS)).map(|_| Vec::new()).collect();
        for (place, part) in parts.iter().enumerate() {
            threads[place % THREADS].push((TcpStream::connect(("127.0.0.1", port))?, *part));
        }
        Ok(Self(threads))
    }

    /// Sends everything as fast as it is taken; gives how long a thread waited for room, in seconds.
    pub(crate) fn send(self) -> Result<f64> {
        let threads = float(self.0.len());
        let waited = thread::scope(|scope| {
            let threads: Vec<_> = self.0.into_iter().map(|connections| scope.spawn(|| send(connections))).collect();
            let waits = threads.into_iter().map(|thread| thread.join().map_err(|_| "a sender panicked")?);
            waits.sum::<Result<f64>>()
        })?;
        Ok(waited / threads)
    }
}

/// Sends over each connection in turn, and closes it behind its part.
fn send(mut connections: Vec<(TcpStream, &[u8])>) -> Result<f64> {
    let size = if connections.len() == 1 { WRITE } else { TURN };
    let mut waited = 0.0;
    while !connections.is_empty() {
        for (socket, rest) in &mut connections {
            let (part, behind) = rest.split_at(rest.len().min(size));
            let (cpu, begun) = (thread_cpu()?, Instant::now());
            socket.write_all(part)?;
            waited += begun.elapsed().saturating_sub(thread_cpu()?.saturating_sub(cpu)).as_secs_f64();
            *rest = behind;
        }
        connections.retain(|(_, rest)| !rest.is_empty());
    }
    Ok(waited)
}

/// The CPU time of this thread.
fn thread_cpu() -> Result<Duration> {
    usage(UsageWho::RUSAGE_THREAD)
}
