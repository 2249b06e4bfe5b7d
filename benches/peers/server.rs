//! A program that takes the log, what it costs, and whether every record is there.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::Result;
use super::contestant::{Contestant, Transport};
use super::sender::Sender;

/// How long nothing may be written before all counts as written.
const QUIET: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(300);

/// The cost of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From the first byte sent to the last byte written, in seconds.
    pub(crate) seconds: f64,
    /// The part of the time in which the sender waited for the receiver; near 0 the sender is the limit.
    pub(crate) waited: f64,
    /// CPU time of the program from start to end, in microseconds a line.
    pub(crate) cpu: f64,
    /// The bytes of a record.
    pub(crate) record: usize,
    /// Records that are not there.
    pub(crate) missing: usize,
    /// The most memory that it had, in KiB.
    pub(crate) memory: u64,
}

/// A program that has been started.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
    before: Duration,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(contestant: &Contestant, cores: Option<&str>) -> Result<Self> {
        let prepare = |directory: &Path, port| contestant.prepare(directory, port);
        Self::prepared(contestant.transport, cores, prepare)
    }

    /// The same, with the command that `prepare` gives for a directory and a port.
    pub(crate) fn prepared(
        transport: Transport,
        cores: Option<&str>,
        prepare: impl FnOnce(&Path, u16) -> Result<Vec<String>>,
    ) -> Result<Self> {
        let directory = tempfile::tempdir_in("/dev/shm")?;
        let port = match transport {
            Transport::Tcp => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            Transport::Udp => UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port(),
        };
        let arguments = prepare(directory.path(), port)?;
        // It ends with the bench, however that ends.
        let mut command = super::command("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(cores) = cores {
            command.args(["taskset", "-c", cores]);
        }
        let log = fs::File::create(directory.path().join("log"))?;
        let before = children()?;
        let child = command.args(&arguments).stdout(Stdio::null()).stderr(log).spawn()?;
        let mut server = Self { child, port, directory, before };
        let end = Instant::now() + Duration::from_secs(30);
        while !listens(transport, port)? {
            if server.child.try_wait()?.is_some() || Instant::now() > end {
                return Err(format!("{} does not listen: {}", arguments[0], server.log()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Sends each part over a connection of its own, which is open before, and waits until all is written.
    pub(crate) fn measure(mut self, contestant: &Contestant, parts: &[&[u8]], lines: usize) -> Result<Cost> {
        let sender = Sender::connect(self.port, parts)?;
        let begun = Instant::now();
        let waited = sender.send()?;
        let cost = self.finish(contestant, lines, begun)?;
        if cost.missing > 0 {
            return Err(format!("{} lacks {} records", contestant.name, cost.missing).into());
        }
        Ok(Cost { waited: waited / cost.seconds, ..cost })
    }

    /// Waits until all is written of what was sent from `begun` on, stops it, and looks at what is there.
    pub(crate) fn finish(&mut self, contestant: &Contestant, lines: usize, begun: Instant) -> Result<Cost> {
        let seconds = self.wait_written(begun)?;
        let memory = self.memory("VmHWM")?;
        let cpu = self.stop()?.as_secs_f64() * 1e6;
        let (bytes, missing) = self.check(contestant, lines)?;
        let there = (lines - missing).max(1);
        let cpu = cpu / f64::from(u32::try_from(there)?);
        Ok(Cost { seconds, waited: 0.0, cpu, record: bytes / there, missing, memory })
    }

    /// Its memory by `field` of /proc/PID/status, in KiB.
    pub(crate) fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
        Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// Ends it as its operator does; gives the CPU time that it had.
    pub(crate) fn stop(&mut self) -> Result<Duration> {
        self.signal(Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(children()?.saturating_sub(self.before))
    }

    /// Where the records are.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// A number of Postrider's ledger, when it has ended: of `source="udp"`, say, the field `received`.
    pub(crate) fn ledger(&self, owner: &str, field: &str) -> Result<usize> {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains(" ledger ") && line.contains(owner));
        let number = line.and_then(|line| {
            // The ledger leaves out counts that are zero.
            let Some((_, rest)) = line.split_once(&format!(" {field}=")) else { return Some(0) };
            rest.split(' ').next()?.parse().ok()
        });
        Ok(number.ok_or_else(|| format!("no {field} of {owner} in the ledger: {log}"))?)
    }

    /// Returns the text that it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// When the last byte was written, in seconds after `begun`.
    fn wait_written(&self, begun: Instant) -> Result<f64> {
        let (mut size, mut grown) = (0, begun);
        while size == 0 || grown.elapsed() < QUIET {
            if begun.elapsed() > DEADLINE {
                return Err(format!("nothing is written: {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(2));
            let now = fs::metadata(self.output()).map_or(0, |file| file.len());
            if now != size {
                (size, grown) = (now, Instant::now());
            }
        }
        Ok((grown - begun).as_secs_f64())
    }

    /// That no record is there twice, and that those of a sample have all fields. Gives the bytes, and how many are
    /// missing.
    fn check(&self, contestant: &Contestant, lines: usize) -> Result<(usize, usize)> {
        let output = fs::read(self.output())?;
        if contestant.fields.is_empty() {
            return Ok((output.len(), 0));
        }
        let mut there = vec![false; lines];
        for (place, record) in output.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()).enumerate() {
            let number = number(record).ok_or_else(|| format!("no number: {}", String::from_utf8_lossy(record)))?;
            if std::mem::replace(there.get_mut(number).ok_or("a number too high")?, true) {
                return Err(format!("{} wrote {number} twice", contestant.name).into());
            }
            if place % 997 == 0 {
                let record: Value = serde_json::from_slice(record)?;
                let lacking = |field: &&&str| record.pointer(field).is_none_or(|value| value == "" || value.is_null());
                if let Some(field) = contestant.fields.iter().find(lacking) {
                    return Err(format!("{} has no {field}: {record}", contestant.name).into());
                }
            }
        }
        Ok((output.len(), there.iter().filter(|there| !**there).count()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it has ended, as it has unless a measurement failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has the kernel take the memory of `records` records, and free it: what a virtual machine has not used for a while it
/// may have to ask its host for, which takes several times as long as writing into it. That would count for whichever
/// program comes next.
pub(crate) fn take_memory(records: usize) -> Result<()> {
    const RECORD: usize = 1400;
    let block = vec![b'x'; 1 << 20];
    let mut file = tempfile::tempfile_in("/dev/shm")?;
    for _ in 0..(records * RECORD).div_ceil(block.len()) {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Whether somebody listens there.
fn listens(transport: Transport, port: u16) -> Result<bool> {
    if transport == Transport::Tcp {
        return Ok(TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
    // The second column is the local address, in hexadecimal: 0100007F:0035.
    let (sockets, port) = (fs::read_to_string("/proc/net/udp")?, format!(":{port:04X}"));
    Ok(sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(&port))))
}

/// The number that [`super::log`] gave a message.
pub(crate) fn number(record: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(record, b"user")? + 4;
    let digits = record[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&record[at..at + digits]).ok()?.parse().ok()
}

/// The CPU time of all children that have ended.
fn children() -> Result<Duration> {
    usage(UsageWho::RUSAGE_CHILDREN)
}

/// The CPU time that it had.
pub(crate) fn usage(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let time = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(time.num_microseconds().cast_unsigned()))
}

/// The CPU time and the whole time of a command, in seconds.
pub(crate) fn timed(command: &mut Command) -> Result<(f64, f64)> {
    let (before, begun) = (children()?, Instant::now());
    let status = command.status()?;
    let seconds = begun.elapsed().as_secs_f64();
    if status.success() {
        Ok((children()?.saturating_sub(before).as_secs_f64(), seconds))
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}

/// A path of a directory of its own, for what is not sent.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}
