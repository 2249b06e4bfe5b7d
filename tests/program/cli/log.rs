//! Does the log never hold up or end the program, whatever becomes of the standard error?

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use testkit::port::Port;
use testkit::postrider::program;
use testkit::scratch;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

/// Postrider with a standard error of the test's choice.
struct Running {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
    _port: Port,
}

impl Running {
    fn start(stderr: impl Into<Stdio>) -> Self {
        let (directory, port) = (scratch::directory("log"), Port::reserve());
        let config = directory.path().join("postrider.toml");
        let text = format!("[[source.tcp]]\nlisten = \"{}\"\n[[sink.stdout]]\n", port.address());
        fs::write(&config, text).expect("a configuration");
        let process = Command::new(program())
            .args(["run", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(File::create(directory.path().join("stdout")).expect("a file"))
            .stderr(stderr)
            .spawn()
            .expect("postrider runs");
        Self { process, address: port.address(), directory, _port: port }
    }

    fn connect(&self) -> TcpStream {
        wait_for(DEADLINE, "a source that listens", || TcpStream::connect(self.address).ok())
    }

    /// A stranger sends what the log tells of, and then somebody a message, which has to arrive.
    fn is_used(&self) {
        self.connect().write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03").expect("room");
        self.connect().write_all(b"<22>Nov 24 06:00:00 mx1 test[1]: still here\n").expect("room");
        let stdout = self.stdout();
        wait_until(DEADLINE, "the message", || fs::read_to_string(&stdout).unwrap_or_default().contains("still here"));
    }

    fn stdout(&self) -> PathBuf {
        self.directory.path().join("stdout")
    }

    fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("a signal");
    }

    fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        wait_for(DEADLINE, "the end", || self.process.try_wait().expect("the state of a child process"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A pipe that takes nothing more, and whether a write to it waits.
fn full_pipe(waits: bool) -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe that does not wait");
    let mut file = File::from(writer.try_clone().expect("a descriptor"));
    while file.write(&[b'x'; 4096]).is_ok() {}
    while file.write(b"x").is_ok() {}
    if waits {
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).expect("a pipe that waits");
    }
    (File::from(reader), writer)
}

#[test]
fn a_standard_error_that_nobody_reads_holds_up_nothing() {
    for waits in [true, false] {
        let (mut reader, writer) = full_pipe(waits);
        let mut running = Running::start(writer);
        running.is_used();
        running.signal(Signal::SIGHUP);
        running.is_used();
        // A late reader finds every line.
        let mut log = String::new();
        let mut buffer = vec![0; 65536];
        wait_until(DEADLINE, "the whole log", || {
            let size = reader.read(&mut buffer).expect("a log");
            log.push_str(&String::from_utf8_lossy(&buffer[..size]));
            log.contains("is in use")
        });
        let log = log.trim_start_matches('x');
        for line in ["listening", "a TLS handshake came to a port without TLS", "SIGHUP"] {
            assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
        }
        assert!(!log.contains("lost"), "{log}");
        let (_reader, writer) = full_pipe(true);
        drop(writer);
        assert!(running.terminate().success());
    }
}

#[test]
fn a_stop_ends_though_standard_error_is_never_read() {
    let (_reader, writer) = full_pipe(true);
    let mut running = Running::start(writer);
    running.is_used();
    assert!(running.terminate().success());
}

#[test]
fn a_standard_error_that_cannot_be_written_ends_nothing() {
    let full_disk = File::options().write(true).open("/dev/full").expect("/dev/full");
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    drop(reader);
    let read_only = File::open("/dev/null").expect("/dev/null");
    for (what, stderr) in
        [("a full disk", Stdio::from(full_disk)), ("no reader", writer.into()), ("read only", read_only.into())]
    {
        let mut running = Running::start(stderr);
        running.is_used();
        running.is_used();
        assert!(running.process.try_wait().expect("a state").is_none(), "{what}");
        assert!(running.terminate().success(), "{what}");
    }
}

/// The last lines are there, though a thread of their own writes them.
#[test]
fn the_log_is_whole_when_the_program_has_ended() {
    let (mut reader, writer) =
        nix::unistd::pipe().map(|(reader, writer)| (File::from(reader), writer)).expect("a pipe");
    let mut running = Running::start(writer);
    running.is_used();
    assert!(running.terminate().success());
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("a log");
    assert!(log.trim_end().ends_with("balanced=true"), "{log}");
}
