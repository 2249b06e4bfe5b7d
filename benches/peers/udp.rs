//! At which rate of datagrams is the first lost? And are those that Postrider loses counted?

use std::fmt::Write as _;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::contestant::{Contestant, POSTRIDER_UDP, RSYSLOG_UDP, RSYSLOG_UDP_PLAIN};
use super::server::Server;
use super::{Found, Options, Result, float, median};

/// The most datagrams of one system call.
const BATCH: usize = 64;
/// Where a datagram has its number.
const NUMBER: Range<usize> = 64..71;
const PAUSE: Duration = Duration::from_micros(500);
/// Maximum delay that a sender makes up for. A sender that was held up for longer therefore sends no flood.
const CATCH_UP: Duration = Duration::from_millis(10);
/// A trial that takes so much longer than it should had a sender that was too slow.
const SLOW: f64 = 1.05;
/// The rate that is tried first, and how small a part of a rate does not count.
const FIRST: usize = 20_000;
const NEAR: usize = 25;
/// Faster than anybody sends.
const FLOOD: usize = 100_000_000;

/// The result of a rate.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// All are there.
    Held,
    Lost,
    /// All are there, but they came more slowly.
    SenderSlow,
}

struct Trial {
    outcome: Outcome,
    /// The rate at which they were sent.
    rate: f64,
    /// CPU time of each, in microseconds.
    cpu: f64,
}

/// The highest rate of which none is lost.
struct Highest {
    rate: f64,
    /// CPU time of a datagram at that rate, in microseconds.
    cpu: f64,
    /// Whether it might be higher with a faster sender.
    sender_slow: bool,
}

/// Every program in turn.
pub(crate) fn measure(options: &Options, found: &mut Found) -> Result<String> {
    let contestants = [POSTRIDER_UDP, RSYSLOG_UDP, RSYSLOG_UDP_PLAIN];
    let time = Duration::from_secs_f64(float(options.lines) / 500_000.0).max(Duration::from_millis(100));
    let mut highest = contestants.each_ref().map(|_| Vec::new());
    for _ in 0..options.rounds {
        for (contestant, highest) in contestants.iter().zip(&mut highest) {
            highest.push(search(contestant, time)?);
        }
    }
    let mut text = format!(
        "## Datagrams of {} bytes, and 28 of headers, for {:.1} s\n\n\
         | program | datagrams/s without loss | CPU of each | its rate over Postrider's | limit |\n|---|---|---|---|---|\n",
        DATAGRAM.len(),
        time.as_secs_f64()
    );
    let rates = highest.each_ref().map(|runs| median(runs.iter().map(|run| run.rate).collect()));
    for ((contestant, runs), rate) in contestants.iter().zip(&highest).zip(rates) {
        let limit = if runs.iter().any(|run| run.sender_slow) { "the sender" } else { "the program" };
        let cpu = median(runs.iter().map(|run| run.cpu).collect());
        let (name, ratio) = (contestant.name, rate / rates[0]);
        writeln!(text, "| {name} | {rate:.0} | {cpu:.2} µs | {ratio:.2} | {limit} |")?;
    }
    found.udp = Some(rates[0] / rates[1]);
    text.push_str(&overload(options.lines)?);
    Ok(text)
}

/// Doubles the rate until one is too high, and then halves the interval.
fn search(contestant: &Contestant, time: Duration) -> Result<Highest> {
    let (mut low, mut high, mut rate) = (0, None, FIRST);
    let mut highest = Highest { rate: 0.0, cpu: 0.0, sender_slow: false };
    while high.is_none_or(|high| high - low > low / NEAR) {
        // Twice, as the machine may have had something else to do.
        let mut trial = try_rate(contestant, rate, time)?;
        if trial.outcome != Outcome::Held {
            trial = try_rate(contestant, rate, time)?;
        }
        if trial.outcome == Outcome::Held {
            low = rate;
        } else {
            high = Some(rate);
            highest.sender_slow = trial.outcome == Outcome::SenderSlow;
        }
        if trial.outcome != Outcome::Lost && trial.rate > highest.rate {
            highest = Highest { rate: trial.rate, cpu: trial.cpu, ..highest };
        }
        rate = high.map_or(rate * 2, |high| low.midpoint(high));
        if rate < FIRST / 100 {
            return Err(format!("{} loses datagrams at any rate", contestant.name).into());
        }
    }
    Ok(highest)
}

fn try_rate(contestant: &Contestant, rate: usize, time: Duration) -> Result<Trial> {
    let mut server = Server::start(contestant, None)?;
    let count = rate * usize::try_from(time.as_millis())? / 1000;
    let begun = Instant::now();
    let took = send(server.port, 0..count, rate)?;
    let cost = server.finish(contestant, count, begun)?;
    let outcome = match cost.missing {
        0 if took <= time.mul_f64(SLOW) => Outcome::Held,
        0 => Outcome::SenderSlow,
        _ => Outcome::Lost,
    };
    Ok(Trial { outcome, rate: float(count) / took.as_secs_f64(), cpu: cost.cpu })
}

/// Sends more than Postrider can receive, and compares what its ledger says with what was sent and what is in the file.
fn overload(lines: usize) -> Result<String> {
    let sent = lines.max(100_000);
    let mut server = Server::start(&POSTRIDER_UDP, None)?;
    let begun = Instant::now();
    // However fast it is, it can't receive all of the half that comes while it is stopped.
    server.signal(Signal::SIGSTOP)?;
    send(server.port, 0..sent / 2, FLOOD)?;
    server.signal(Signal::SIGCONT)?;
    send(server.port, sent / 2..sent, FLOOD)?;
    let cost = server.finish(&POSTRIDER_UDP, sent, begun)?;
    let source = "source=\"udp\"";
    let (received, kernel) = (server.ledger(source, "received")?, server.ledger(source, "kernel_drops")?);
    let dropped = server.ledger(source, "dropped")? + server.ledger("sink=\"file\"", "dropped")?;
    let there = sent - cost.missing;
    if received + kernel != sent || there + dropped != received || kernel == 0 {
        return Err(
            format!("of {sent} datagrams {there} are in the file, and the ledger says: {}", server.log()).into()
        );
    }
    Ok(format!(
        "\nPostrider's count of what it loses is exact: of {sent} datagrams, sent as fast as they can be and half of them \
         while it was stopped, {there} are in the file, {kernel} were dropped by the kernel, and {dropped} by Postrider.\n"
    ))
}

/// Sends this number at `rate` a second, half a millisecond's worth at a time; returns how long it took.
///
/// The kernel gets several datagrams as one piece that it has to cut (`UDP_SEGMENT`), and cuts it where they are
/// received: one system call for each would need a core for what one receiver takes, and there may be two cores.
fn send(port: u16, range: Range<usize>, rate: usize) -> Result<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    let size = u16::try_from(DATAGRAM.len())?;
    let mut bytes = DATAGRAM.repeat(BATCH);
    let (begun, mut held_up, mut sent) = (Instant::now(), Duration::ZERO, range.start);
    while sent < range.end {
        let on_time = Duration::from_nanos(u64::try_from((sent - range.start) * 1_000_000_000 / rate)?);
        let late = begun.elapsed().saturating_sub(held_up + on_time);
        held_up += late.saturating_sub(CATCH_UP);
        let elapsed = on_time + late.min(CATCH_UP);
        let due = range.end.min(range.start + usize::try_from(elapsed.as_nanos())? * rate / 1_000_000_000);
        while sent < due {
            let batch = BATCH.min(due - sent);
            for (datagram, number) in bytes.chunks_exact_mut(DATAGRAM.len()).zip(sent..sent + batch) {
                write_number(datagram, number);
            }
            let pieces = [IoSlice::new(&bytes[..batch * DATAGRAM.len()])];
            let cut = [ControlMessage::UdpGsoSegments(&size)];
            sendmsg::<()>(socket.as_raw_fd(), &pieces, &cut, MsgFlags::empty(), None)?;
            sent += batch;
        }
        if sent < range.end {
            thread::sleep(PAUSE);
        }
    }
    Ok(begun.elapsed())
}

/// A delivery.
const DATAGRAM: &[u8; 200] = b"<22>Nov 24 02:10:35 mx1 postfix/smtp[4711]: 9A8B7C6D5E: to=<user0000000@a.example>, \
    relay=mx.a.example[192.0.2.2]:25, delay=1.2, delays=0.1/0/0.4/0.7, dsn=2.0.0, status=sent (250 Ok: queued as 4FD3A1)";

/// Gives it a number: formatting would take longer than sending.
fn write_number(datagram: &mut [u8], mut number: usize) {
    for digit in datagram[NUMBER].iter_mut().rev() {
        *digit = b"0123456789"[number % 10];
        number /= 10;
    }
}
