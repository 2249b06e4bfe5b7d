//! Postrider itself, as its operator starts it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::Process;
use super::scratch;
use super::status::{Part, Status, StatusFile};

const START: Duration = Duration::from_secs(20);

/// Postrider that runs, in a directory of its own. It is killed when the value is dropped.
pub struct Postrider {
    // In the order in which they must go: the process first.
    process: Process,
    directory: TempDir,
}

/// End of a run.
#[derive(Debug)]
pub struct Ended {
    /// Exit status, or the signal that ended it.
    pub status: ExitStatus,
    /// Standard output; empty where it was a pipe.
    pub stdout: String,
    /// Standard error: the log.
    pub stderr: String,
    /// Last status file; `None` if it never wrote one.
    pub last: Option<Status>,
}

impl Ended {
    /// Returns the last status file. Panics if the process has not written one at its end.
    #[track_caller]
    pub fn status_file(&self) -> &Status {
        let is_last = |status: &&Status| ["ended", "leaving"].iter().any(|phase| status.get("/phase") == phase);
        self.last.as_ref().filter(is_last).unwrap_or_else(|| panic!("no status file of the end:\n{}", self.stderr))
    }

    /// Returns the source named `name` at the end.
    #[track_caller]
    pub fn source(&self, name: &str) -> Part<'_> {
        self.status_file().source(name)
    }

    /// Returns the sink named `name` at the end.
    #[track_caller]
    pub fn sink(&self, name: &str) -> Part<'_> {
        self.status_file().sink(name)
    }
}

impl Postrider {
    /// Starts `postrider run` with the configuration `config`, and waits until it listens at all of `addresses`.
    pub fn run(config: &str, addresses: &[SocketAddr]) -> Self {
        let mut postrider = Self::spawn(config);
        postrider.wait_listening(addresses);
        postrider
    }

    /// Starts `postrider run` with the configuration `config`.
    pub fn spawn(config: &str) -> Self {
        let directory = scratch::directory("postrider");
        fs::write(directory.path().join("postrider.toml"), plain(config)).expect("a configuration for Postrider");
        let process = start_process(directory.path());
        Self { process, directory }
    }

    /// Waits until it listens at each of `addresses`.
    #[track_caller]
    pub fn wait_listening(&mut self, addresses: &[SocketAddr]) {
        let status = self.status();
        self.process.wait_ready(START, || {
            let status = status.read()?;
            let listens =
                |address: &SocketAddr| status.endpoints().any(|endpoint| endpoint.ends_with(&format!(" {address}")));
            addresses.iter().all(listens).then_some(())
        });
    }

    /// Waits until the source named `source` listens, and returns its address. The kernel chooses the port for port 0.
    #[track_caller]
    pub fn address(&mut self, source: &str) -> SocketAddr {
        let status = self.status();
        self.process.wait_ready(START, || status.read()?.address(source))
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.directory.path().join("stdout"))
    }

    /// Returns standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr_file())
    }

    /// Returns the status file, which the process writes once a second.
    pub fn status(&self) -> StatusFile {
        StatusFile::new(self.directory.path(), self.pid())
    }

    /// Returns the path of the configuration.
    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("postrider.toml")
    }

    /// Has it read its configuration again, which is `config` from now on.
    pub fn reload(&self, config: &str) {
        fs::write(self.config_file(), plain(config)).expect("a configuration for Postrider");
        self.process.signal(Signal::SIGHUP);
    }

    /// Sends a signal. Panics if the kernel refuses it.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::kill`], with the same configuration. Both outputs go on where they were.
    pub fn restart(&mut self) {
        self.process = start_process(self.directory.path());
    }

    /// Waits until the sink was offered at least `offered` records and has delivered all of them, with those that its
    /// spool held at the start. A stop does not wait for a destination that is just coming back.
    #[track_caller]
    pub fn wait_delivered(&self, sink: &str, offered: u64, deadline: Duration) {
        self.status().wait(deadline, "everything delivered", |status| {
            let count = |field| status.sink(sink).count(field);
            count("offered") >= offered && count("delivered") == count("offered") + count("recovered")
        });
    }

    /// Ends it as its operator does. Panics after `deadline`.
    #[track_caller]
    pub fn terminate(self, deadline: Duration) -> Ended {
        self.process.signal(Signal::SIGTERM);
        self.ended(deadline)
    }

    /// Waits until it has ended by itself. Panics after `deadline`.
    #[track_caller]
    pub fn ended(mut self, deadline: Duration) -> Ended {
        let status = self.process.ended(deadline);
        Ended { status, stdout: self.stdout(), stderr: self.stderr(), last: self.status().read() }
    }

    fn stderr_file(&self) -> PathBuf {
        self.directory.path().join("stderr")
    }
}

/// Returns a configuration in which lines are not joined, unless it is about the joins: most tests count the records of
/// lines. Without `[admin]` there is no admin server: many run at once.
pub fn plain(config: &str) -> String {
    let is_about_joins = ["[correlate]", "\"message\"", "\"session\""].iter().any(|part| config.contains(part));
    let joins = if is_about_joins { "" } else { "\n[correlate]\nenabled = false\n" };
    let admin = if config.contains("[admin]") { "" } else { "\n[admin]\nlisten = \"none\"\nsocket = \"none\"\n" };
    format!("{config}{joins}{admin}")
}

/// The lines of the ledger of `owner` in a log.
pub fn ledgers<'l>(log: &'l str, owner: &str) -> impl Iterator<Item = &'l str> + Clone {
    log.lines().filter(move |line| line.contains(" ledger ") && line.contains(owner))
}

/// A number in a line of the ledger.
#[track_caller]
pub fn count(line: &str, field: &str) -> u64 {
    let Some((_, rest)) = line.split_once(&format!(" {field}=")) else { return 0 };
    rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number {field}: {line}"))
}

/// Returns the number of lines of a log with `text` that stand for one event each, and the number of other events that
/// the log has summed up.
#[track_caller]
pub fn throttled(log: &str, text: &str) -> (usize, usize) {
    let mut seen = (0, 0);
    for line in log.lines().filter(|line| line.contains(text)) {
        let (_, rest) = line.split_once(" suppressed=").unwrap_or_else(|| panic!("not throttled: {line}"));
        seen.0 += usize::from(!line.contains(" more since the last such line: "));
        seen.1 += rest.split(' ').next().and_then(|n| n.parse::<usize>().ok()).expect("a number");
    }
    seen
}

/// A good end, after which everything is accounted for.
#[track_caller]
pub fn assert_clean(ended: &Ended) {
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
    assert!(!ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert_eq!(*ended.status_file().get("/ledger/balanced"), true, "{}", ended.stderr);
}

fn start_process(directory: &Path) -> Process {
    let (config, status) = (directory.join("postrider.toml"), directory.join(StatusFile::NAME));
    let arguments: [PathBuf; 5] = ["run".into(), "-c".into(), config, "--status-file".into(), status];
    let (stdout, stderr) = (directory.join("stdout"), directory.join("stderr"));
    Process::start_apart(program(), &arguments, &stdout, &stderr)
}

/// Returns the program that Cargo built beside the running test, which is in `PROFILE/deps/`.
pub fn built_program() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.ancestors().nth(2).expect("the directory of the profile").join("postrider")
}

/// The program of this build, or another that the environment names, for a long test of a release build.
pub fn program() -> PathBuf {
    std::env::var_os("POSTRIDER").map_or_else(built_program, PathBuf::from)
}

fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
