//! How long does a line take from the socket to the file?

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::contestant::POSTRIDER;
use super::server::Server;
use super::{Found, Options, Result, log};

/// Half of what one connection carries at most, in lines a second.
const RATE: usize = 400_000;
/// How often the sender writes, and so how many lines it writes at a time.
const PAUSE: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends at half load, and sees when what was sent at a time is in the file.
pub(crate) fn measure(options: &Options, found: &mut Found) -> Result<String> {
    let log = log::generate(options.lines);
    let mut server = Server::start(&POSTRIDER, None)?;
    let (port, path) = (server.port, server.output());
    let begun = Instant::now();
    let (sent, arrived) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(port, &log));
        let arrived = follow(&path, options.lines);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
            sender.join().map_err(|_| "the sender panicked")??,
            arrived?,
        ))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    server.stop()?;
    let mut delays: Vec<Duration> = Vec::new();
    let mut seen = arrived.iter().peekable();
    for (lines, at) in &sent {
        while seen.next_if(|(count, _)| count < lines).is_some() {}
        let (_, there) = seen.peek().ok_or("lines are missing")?;
        delays.push(there.saturating_duration_since(*at));
    }
    let stall = arrived.windows(2).map(|pair| pair[1].1.saturating_duration_since(pair[0].1)).max().unwrap_or_default();
    delays.sort();
    let millis = |part: usize| delays[(delays.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    let stall = stall.as_secs_f64() * 1e3;
    found.latency = Some((millis(990), stall));
    Ok(format!(
        "## From the socket to the file, at {:.0} lines/s\n\n| median | p99 | the longest | the longest time without a line |\n\
         |---|---|---|---|\n| {:.1} ms | {:.1} ms | {:.1} ms | {stall:.1} ms |\n",
        f64::from(u32::try_from(options.lines)?) / seconds,
        millis(500),
        millis(990),
        millis(1000),
    ))
}

/// How many lines had been sent, and when, after each write.
fn send(port: u16, log: &[u8]) -> Result<Vec<(usize, Instant)>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    let (begun, mut sent, mut lines, mut rest) = (Instant::now(), Vec::new(), 0, log);
    while !rest.is_empty() {
        let due = usize::try_from(begun.elapsed().as_micros())? * RATE / 1_000_000;
        let wanted = due.saturating_sub(lines).max(1);
        let end = memchr::memchr_iter(b'\n', rest).nth(wanted - 1).map_or(rest.len(), |at| at + 1);
        lines += memchr::memchr_iter(b'\n', &rest[..end]).count();
        let at = Instant::now();
        socket.write_all(&rest[..end])?;
        sent.push((lines, at));
        rest = &rest[end..];
        thread::sleep(PAUSE);
    }
    Ok(sent)
}

/// How many lines were in the file, and when, whenever there were more.
fn follow(path: &Path, lines: usize) -> Result<Vec<(usize, Instant)>> {
    let end = Instant::now() + DEADLINE;
    let (mut file, mut buffer) = (None, vec![0; 1 << 20]);
    let (mut count, mut arrived) = (0, Vec::new());
    while count < lines {
        if Instant::now() > end {
            return Err(format!("{count} of {lines} lines came").into());
        }
        if file.is_none() {
            file = File::open(path).ok();
        }
        let size = file.as_mut().map_or(Ok(0), |file| file.read(&mut buffer))?;
        if size == 0 {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        count += memchr::memchr_iter(b'\n', &buffer[..size]).count();
        arrived.push((count, Instant::now()));
    }
    Ok(arrived)
}
