//! What does a datagram of 200 bytes cost, and at which rate is the first lost?
//!
//! `cargo bench --bench udp` asks the program of this build; `POSTRIDER=FILE` another, `WORKERS=2` for two sockets.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Datagrams of one burst; the receive buffer holds them all.
const BURST: usize = 4000;
const BURSTS: usize = 25;
const RATES: [usize; 5] = [50_000, 100_000, 150_000, 200_000, 300_000];
const SENDERS: usize = 4;
const TIME: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut out = std::io::stdout();
    for (what, sink) in [("no sink takes them", "events = [\"delivery\"]\n"), ("stdout takes them", "")] {
        let mut costs = Receiver::start(sink)?.bursts()?;
        costs.sort_unstable();
        let (least, median) = (costs[0], costs[BURSTS / 2]);
        writeln!(out, "{what}: {least} ns of CPU each in the best burst of {BURST}, {median} in the median one")?;
        for rate in RATES {
            let (sent, received) = Receiver::start(sink)?.paced(rate)?;
            writeln!(out, "{what}: at {rate:6}/s, sent {sent:6}, lost {:6}", sent - received)?;
        }
    }
    Ok(())
}

/// The program, with a UDP source.
struct Receiver {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Receiver {
    fn start(sink: &str) -> Result<Self> {
        let workers = std::env::var("WORKERS").map_or(String::new(), |count| format!("workers = {count}\n"));
        let directory = tempfile::tempdir()?;
        let (file, log) = (directory.path().join("postrider.toml"), directory.path().join("log"));
        let source = format!("[correlate]\nenabled = false\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n{workers}");
        fs::write(&file, format!("{source}[[sink.stdout]]\nqueue_size = \"64MiB\"\n{sink}"))?;
        let program = std::env::var("POSTRIDER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_postrider").to_owned());
        let mut command = Command::new(program);
        command.args(["run", "-c"]).arg(&file).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let child = command.spawn()?;
        Ok(Self { child, address: listening(&log)?, directory })
    }

    /// Returns the cost of a datagram in nanoseconds for each of some bursts, which the kernel holds before it is read.
    fn bursts(self) -> Result<Vec<u128>> {
        let sockets: Vec<_> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let mut costs = Vec::new();
        for _ in 0..BURSTS {
            self.signal(Signal::SIGSTOP)?;
            let before = self.cpu()?;
            for n in 0..BURST {
                sockets[n % sockets.len()].send_to(text().as_bytes(), self.address)?;
            }
            self.signal(Signal::SIGCONT)?;
            thread::sleep(Duration::from_millis(200));
            costs.push(self.cpu()?.saturating_sub(before).as_nanos() / BURST as u128);
        }
        let received = self.stop()?;
        if received == BURST * BURSTS { Ok(costs) } else { Err("the receive buffer is too small".into()) }
    }

    /// How many were sent at `rate` a second, and how many were received.
    fn paced(self, rate: usize) -> Result<(usize, usize)> {
        let address = self.address;
        let senders: Vec<_> = (0..SENDERS).map(|_| thread::spawn(move || send(rate / SENDERS, address))).collect();
        let sent = senders.into_iter().map(|sender| sender.join().unwrap_or_default()).sum();
        Ok((sent, self.stop()?))
    }

    /// Stops it; gives how many it received.
    fn stop(mut self) -> Result<usize> {
        self.signal(Signal::SIGTERM)?;
        self.child.wait()?;
        let log = fs::read_to_string(self.directory.path().join("log"))?;
        let (_, rest) = log.split_once("received=").ok_or("no ledger")?;
        Ok(rest.split(' ').next().unwrap_or_default().parse()?)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// The time on the CPU that all its threads used.
    fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

fn text() -> String {
    format!("{:.<200}", "<22>Nov 24 02:10:35 mx1 other[4711]: a message of 200 bytes")
}

fn listening(log: &std::path::Path) -> Result<SocketAddr> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if let Some((_, rest)) = fs::read_to_string(log)?.split_once("address=\"udp ") {
            return Ok(rest.split('"').next().unwrap_or_default().parse()?);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(fs::read_to_string(log)?.into())
}

/// Sends at `rate` a second, a millisecond's worth at a time; gives how many it was.
fn send(rate: usize, to: SocketAddr) -> usize {
    let text = text();
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return 0 };
    let (begun, mut sent, mut taken) = (Instant::now(), 0, 0);
    while begun.elapsed() < TIME {
        let due = begun.elapsed().as_micros() * rate as u128 / 1_000_000;
        while sent < due && begun.elapsed() < TIME {
            sent += 1;
            taken += usize::from(socket.send_to(text.as_bytes(), to).is_ok());
        }
        thread::sleep(Duration::from_millis(1));
    }
    taken
}
