//! Postrider with a standard output that is a pipe, as in `postrider run | program`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

use super::postrider::{Ended, plain, program};
use super::status::StatusFile;
use super::wait::wait_for;

const START: Duration = Duration::from_secs(20);

/// Postrider with a standard output that nobody reads.
pub struct Unread {
    process: Child,
    stderr: PathBuf,
}

impl Unread {
    /// Starts it with the configuration `config`.
    pub fn spawn(config: &str, stderr: &Path) -> Self {
        Self::spawn_by(Command::new(program()), config, stderr)
    }

    /// Starts it with the configuration `config`, and a variable of its environment.
    pub fn spawn_with(config: &str, stderr: &Path, variable: (&str, &str)) -> Self {
        let mut command = Command::new(program());
        command.env(variable.0, variable.1);
        Self::spawn_by(command, config, stderr)
    }

    /// Starts it with the configuration `config` by a command, whose last argument is [`program`] unless it is that
    /// itself.
    pub fn spawn_by(mut command: Command, config: &str, stderr: &Path) -> Self {
        let file = stderr.with_file_name("postrider.toml");
        fs::write(&file, plain(config)).expect("a configuration");
        let process = command
            .args(["run", "-c"])
            .arg(&file)
            .arg("--status-file")
            .arg(stderr.with_file_name(StatusFile::NAME))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(stderr).expect("a file for the log"))
            .spawn()
            .expect("postrider");
        Self { process, stderr: stderr.to_owned() }
    }

    /// Gives the pipe of standard output the smallest size, a page of 4096 bytes. While nobody reads the pipe, it
    /// takes no whole record that is longer, so that none is delivered.
    pub fn narrow(&self) {
        let pipe = self.process.stdout.as_ref().expect("a pipe");
        assert_eq!(fcntl(pipe, FcntlArg::F_SETPIPE_SZ(4096)), Ok(4096));
    }

    /// Returns standard error so far: the log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Returns the status file, which the process writes once a second.
    pub fn status(&self) -> StatusFile {
        StatusFile::new(self.stderr.parent().expect("a directory"), self.pid())
    }

    /// Waits until the source named `source` listens, and returns its address.
    pub fn address(&self, source: &str) -> SocketAddr {
        wait_for(START, "listening", || self.status().read()?.address(source))
    }

    /// Waits until the source named `source` listens; `None` if the process has ended before.
    pub fn address_if_it_starts(&mut self, source: &str) -> Option<SocketAddr> {
        wait_for(START, "listening, or an end", || {
            let ended = self.has_ended();
            let address = self.status().read().and_then(|status| status.address(source));
            if ended { Some(None) } else { address.map(Some) }
        })
    }

    /// True if the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("the state of a child process").is_some()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its standard input.
    pub fn input(&mut self) -> ChildStdin {
        self.process.stdin.take().expect("a pipe")
    }

    /// Its standard output, for a test that begins to read it.
    pub fn output(&mut self) -> ChildStdout {
        self.process.stdout.take().expect("a pipe")
    }

    /// Sends a signal. Panics if the kernel refuses it.
    pub fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("a signal");
    }

    /// Ends it as its operator does. Panics after `deadline`.
    pub fn terminate(self, deadline: Duration) -> Ended {
        self.signal(Signal::SIGTERM);
        self.ended(deadline)
    }

    /// Waits until it has ended by itself. Panics after `deadline`.
    pub fn ended(mut self, deadline: Duration) -> Ended {
        let status = wait_for(deadline, "the end", || self.process.try_wait().expect("the state of a child process"));
        Ended { status, stdout: String::new(), stderr: self.log(), last: self.status().read() }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
