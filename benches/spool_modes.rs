//! What does a spool cost, and what do acknowledgements cost that wait for the disk? A file sink takes the records; the
//! disk is that of the build directory.
//!
//! `cargo bench --bench spool_modes` asks the program of this build; `POSTRIDER=FILE` another. `ONLY=always`
//! asks for the cases with this in their name, `SINK='fsync = "never"'` for a sink with these keys.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use tempfile::TempDir;

const RUNS: usize = 3;
/// Messages that the kernel is given at a time.
const CHUNK: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Tcp,
    Relp,
}

/// A measurement: its name, its protocol, its number of connections, its number of messages, and more keys of the sink.
type Case = (&'static str, Protocol, usize, usize, &'static str);

const CASES: [Case; 8] = [
    ("TCP, without spool", Protocol::Tcp, 1, 300_000, ""),
    ("TCP, overflow, the sink keeps up", Protocol::Tcp, 1, 300_000, "overflow"),
    ("TCP, always", Protocol::Tcp, 1, 300_000, "always"),
    ("RELP, fsync in the sink", Protocol::Relp, 1, 100_000, ""),
    ("RELP, fsync in the sink", Protocol::Relp, 100, 300_000, ""),
    ("RELP, overflow, the sink keeps up", Protocol::Relp, 1, 100_000, "overflow"),
    ("RELP, always", Protocol::Relp, 1, 100_000, "always"),
    ("RELP, always", Protocol::Relp, 100, 300_000, "always"),
];

fn main() -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "| what | connections | records a second | CPU of a record |\n|---|---|---|---|")?;
    let only = std::env::var("ONLY").unwrap_or_default();
    for (what, protocol, connections, messages, mode) in CASES.into_iter().filter(|case| case.0.contains(&only)) {
        let mut runs = (0..RUNS)
            .map(|_| Receiver::start(protocol, mode)?.measure(protocol, connections, messages))
            .collect::<Result<Vec<_>>>()?;
        // The median.
        runs.sort_by_key(|(time, _)| *time);
        let (time, cpu) = runs[RUNS / 2];
        let messages = f64::from(u32::try_from(messages)?);
        let rate = messages / time.as_secs_f64();
        let each = cpu.as_secs_f64() * 1e6 / messages;
        writeln!(out, "| {what} | {connections} | {rate:.0} | {each:.1} µs |")?;
    }
    Ok(())
}

/// The program, with one source.
struct Receiver {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    /// The CPU time of the children before it.
    before: Duration,
}

impl Receiver {
    fn start(protocol: Protocol, mode: &str) -> Result<Self> {
        let directory = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let (file, log) = (directory.path().join("postrider.toml"), directory.path().join("log"));
        let source = if protocol == Protocol::Tcp { "tcp" } else { "relp" };
        let path = directory.path().display();
        let mut config = format!(
            "shutdown_timeout = \"300s\"\n[correlate]\nenabled = false\n[[source.{source}]]\nlisten = \"127.0.0.1:0\"\n\
             [[sink.file]]\npath = \"{path}/out.json\"\n"
        );
        config += &std::env::var("SINK").map_or(String::new(), |keys| keys + "\n");
        if !mode.is_empty() {
            write!(config, "[sink.file.spool]\ndirectory = \"{path}/spool\"\nmin_free = \"0B\"\nmode = \"{mode}\"\n")?;
        }
        fs::write(&file, config)?;
        let program = std::env::var("POSTRIDER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_postrider").to_owned());
        let before = children()?;
        let mut command = Command::new(program);
        let child = command.args(["run", "-c"]).arg(&file).stderr(fs::File::create(&log)?).spawn()?;
        Ok(Self { child, address: listening(&log)?, directory, before })
    }

    /// How long it takes until all is delivered, or over RELP acknowledged, and the CPU time of the whole run.
    fn measure(mut self, protocol: Protocol, connections: usize, messages: usize) -> Result<(Duration, Duration)> {
        let address = self.address;
        let each = messages / connections;
        let begun = Instant::now();
        let senders: Vec<_> = (0..connections).map(|_| thread::spawn(move || send(protocol, address, each))).collect();
        for sender in senders {
            sender.join().map_err(|_| "a sender panicked")??;
        }
        let acknowledged = begun.elapsed();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        if !self.child.wait()?.success() {
            return Err(fs::read_to_string(self.directory.path().join("log"))?.into());
        }
        let time = if protocol == Protocol::Tcp { begun.elapsed() } else { acknowledged };
        let records = memchr::memchr_iter(b'\n', &fs::read(self.directory.path().join("out.json"))?).count();
        if records == messages {
            Ok((time, children()?.saturating_sub(self.before)))
        } else {
            Err("records are missing".into())
        }
    }
}

/// The CPU time of all children that have ended.
fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(time.num_microseconds().cast_unsigned()))
}

fn listening(log: &Path) -> Result<SocketAddr> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let text = fs::read_to_string(log)?;
        if let Some((_, rest)) = text.split_once("address=\"") {
            let address = rest.split('"').next().and_then(|address| address.split(' ').nth(1));
            return Ok(address.ok_or("no address")?.parse()?);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(fs::read_to_string(log)?.into())
}

fn message(number: usize) -> String {
    format!(
        "<22>Nov 24 02:10:35 mx1 postfix/smtp[4711]: {number:010X}: to=<user@example.com>, \
         relay=mx.example.com[192.0.2.25]:25, delay=0.5, delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    )
}

/// Sends as fast as they are taken; over RELP until all are acknowledged.
fn send(protocol: Protocol, address: SocketAddr, count: usize) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    let mut answers = socket.try_clone()?;
    let reader = (protocol == Protocol::Relp).then(|| thread::spawn(move || read_answers(&mut answers, count)));
    if protocol == Protocol::Relp {
        socket.write_all(b"1 open 30 relp_version=0\ncommands=syslog\n")?;
    }
    let mut bytes = Vec::new();
    for number in 0..count {
        let message = message(number);
        match protocol {
            Protocol::Tcp => writeln!(bytes, "{message}")?,
            Protocol::Relp => writeln!(bytes, "{} syslog {} {message}", number + 2, message.len())?,
        }
        if number % CHUNK == CHUNK - 1 || number + 1 == count {
            socket.write_all(&bytes)?;
            bytes.clear();
        }
    }
    reader.map_or(Ok(()), |reader| reader.join().map_err(|_| "a reader panicked")?)
}

/// Reads what `open` is answered, four lines, and the acknowledgements, one line each.
fn read_answers(socket: &mut TcpStream, count: usize) -> Result<()> {
    let (mut lines, mut part) = (0, vec![0; 64 << 10]);
    while lines < count + 4 {
        let size = socket.read(&mut part)?;
        if size == 0 {
            return Err("the session ended".into());
        }
        lines += memchr::memchr_iter(b'\n', &part[..size]).count();
    }
    Ok(())
}
