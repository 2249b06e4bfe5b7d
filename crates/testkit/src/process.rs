//! Child processes that can't outlive the test, however it ends.
//!
//! A [`Process`] is killed when its value is dropped, so also when the test panics. Should the test process itself be
//! killed, or keep the value in a `static`, the kernel kills the child: it starts through `setpriv --pdeathsig KILL`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::wait;

/// Child process. It is killed when the value is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments`; what it prints is added to the file `log`.
    pub fn start(program: impl AsRef<Path>, arguments: &[impl AsRef<OsStr>], log: &Path) -> Self {
        Self::start_apart(program, arguments, log, log)
    }

    /// Starts `program` with `arguments`, and adds its standard output and its standard error to a file each.
    pub fn start_apart(
        program: impl AsRef<Path>,
        arguments: &[impl AsRef<OsStr>],
        stdout: &Path,
        stderr: &Path,
    ) -> Self {
        let program = program.as_ref();
        // setpriv would name the file, but not what to do.
        assert!(
            program.is_relative() || program.exists(),
            "{} is missing; to install what tests need: ./dev setup test",
            program.display()
        );
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).stdin(Stdio::null());
        Self::spawn(program, command, stdout, stderr)
    }

    /// Starts `program`, which ends itself when its standard input ends; what it prints is added to the file `log`. For
    /// a program that has more to stop than its own process.
    pub fn start_leashed(program: impl AsRef<Path>, arguments: &[impl AsRef<OsStr>], log: &Path) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).stdin(Stdio::piped());
        Self::spawn(program.as_ref(), command, log, log)
    }

    fn spawn(program: &Path, mut command: Command, stdout: &Path, stderr: &Path) -> Self {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let open =
            |path| File::options().create(true).append(true).open(path).expect("a file for what a process prints");
        command.stdout(open(stdout)).stderr(open(stderr));
        let child = spawn_from_lasting_thread(command).unwrap_or_else(|error| {
            panic!("can't start {name}: {error}; to install what tests need: ./dev setup test")
        });
        Self { name, child, log: stderr.to_owned() }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True if it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns everything that it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends a signal. Panics if the kernel refuses it.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .unwrap_or_else(|error| panic!("can't send {signal} to {}: {error}", self.name));
    }

    /// Waits until it has ended by itself. Panics after `deadline`.
    #[track_caller]
    pub fn ended(&mut self, deadline: Duration) -> ExitStatus {
        wait(deadline, || self.child.try_wait().expect("the state of a child process"))
            .unwrap_or_else(|| panic!("{} did not end within {deadline:?}:\n{}", self.name, self.log_end()))
    }

    /// Ends it with SIGTERM. Panics after `deadline`.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended(deadline)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets go of the standard input of a process started by [`Self::start_leashed`].
    pub fn unleash(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until `ready` gives a value. Panics after `deadline`, or as soon as the process has ended, with what it
    /// printed.
    #[track_caller]
    pub fn wait_ready<T>(&mut self, deadline: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
        enum Outcome<T> {
            Ready(T),
            Ended(ExitStatus),
        }
        let outcome = wait(deadline, || match ready() {
            Some(value) => Some(Outcome::Ready(value)),
            None => self.child.try_wait().expect("the state of a child process").map(Outcome::Ended),
        });
        match outcome {
            Some(Outcome::Ready(value)) => value,
            Some(Outcome::Ended(status)) => panic!("{} ended at its start, {status}:\n{}", self.name, self.log_end()),
            None => panic!("{} was not ready after {deadline:?}:\n{}", self.name, self.log_end()),
        }
    }

    /// The last lines that it printed, for the message of a failed test.
    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Spawns `command` from a thread that lives as long as the process. The kernel sends the parent-death signal when the
/// *thread* ends that started the child, and the thread of a test ends with the test, though others may share the
/// child.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Request = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<SyncSender<Request>> = OnceLock::new();

    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = sync_channel::<Request>(1);
        thread::spawn(move || {
            for (mut command, reply) in requests {
                // The one who asked is waiting for the reply.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = sync_channel(1);
    spawner.send((command, reply)).expect("the thread that starts processes");
    child.recv().expect("the thread that starts processes")
}
