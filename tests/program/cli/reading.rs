//! Is the configuration read so that no file and no file system can hold up the program?

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::cli::{code, postrider, show};
use testkit::postrider::{Postrider, assert_clean, program};
use testkit::scratch;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);
const CONFIG: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";

#[test]
fn what_is_no_file_or_too_large_is_refused_at_once() {
    let directory = scratch::directory("reading");
    let (fifo, large) = (directory.path().join("fifo"), directory.path().join("large"));
    mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    fs::write(&large, format!("{CONFIG}#{}", "x".repeat(1 << 20))).expect("a file");
    for (path, expected) in [
        (fifo.as_path(), "it is a pipe or a device, not a regular file; write its content to a file first"),
        (Path::new("/dev/zero"), "it is a pipe or a device, not a regular file; write its content to a file first"),
        (directory.path(), "Is a directory (os error 21); name a file in it"),
        (
            Path::new("/nonexistent/postrider.toml"),
            "No such file or directory (os error 2); check the path, or write the file: `postrider config` prints an example",
        ),
        (large.as_path(), "it is larger than 1 MiB; check that it is the right file"),
    ] {
        for command in ["check", "run"] {
            let output = postrider(&[command, "-c", path.to_str().expect("UTF-8")]);
            assert_eq!(show(&output), format!("exit 78\ncannot read {}: {expected}\n", path.display()));
        }
    }
}

#[test]
fn a_reload_from_a_fifo_is_refused_and_a_later_stop_is_obeyed() {
    let mut running = Postrider::spawn(CONFIG);
    running.address("tcp");
    fs::remove_file(running.config_file()).expect("the configuration");
    mkfifo(&running.config_file(), Mode::S_IRWXU).expect("a FIFO");
    running.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "a refusal", || running.stderr().contains("is refused"));
    assert_clean(&running.terminate(DEADLINE));
}

/// Postrider with a file system that takes this number of milliseconds to answer.
fn slow(directory: &Path, millis: u64) -> Killed {
    let config = directory.join("postrider.toml");
    fs::write(&config, CONFIG).expect("a configuration");
    let mut command = Command::new(program());
    command.args(["run", "-c"]).arg(&config).env("POSTRIDER_SLOW_AT", format!("small-file-read:{millis}"));
    let stderr = fs::File::create(directory.join("stderr")).expect("a file");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let process = Killed(command.spawn().expect("postrider runs"));
    // Its handlers are there, as the kernel says, long before the configuration is.
    wait_until(DEADLINE, "handlers of signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
        let caught = u64::from_str_radix(caught, 16).expect("a set of signals");
        [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].iter().all(|signal| caught >> (*signal as i32 - 1) & 1 == 1)
    });
    process
}

struct Killed(Child);

impl Killed {
    fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), signal).expect("a signal");
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_before_the_configuration_is_read_is_heard() {
    let directory = scratch::directory("reading");
    let log = || fs::read_to_string(directory.path().join("stderr")).unwrap_or_default();
    let mut stopped = slow(directory.path(), 600_000);
    stopped.signal(Signal::SIGTERM);
    let status = wait_for(DEADLINE, "the end", || stopped.0.try_wait().expect("a state"));
    assert!(status.success() && log().contains("stopping: the configuration was still being read"), "{}", log());

    let mut reloaded = slow(directory.path(), 1000);
    reloaded.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "a source that listens", || log().contains("listening"));
    // It takes a second to read it again, and a stop does not wait for that.
    reloaded.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the signal", || log().contains("SIGHUP"));
    reloaded.signal(Signal::SIGTERM);
    let status = wait_for(DEADLINE, "the end", || reloaded.0.try_wait().expect("a state"));
    assert_eq!(status.code(), Some(0), "{}", log());
}

/// A spool that cannot be opened before somebody opens the FIFO to write in it: as if its file system did not answer.
struct Hung(PathBuf);

impl Hung {
    fn new(directory: &Path, name: &str) -> Self {
        let spool = directory.join(name);
        fs::create_dir(&spool).expect("a directory");
        mkfifo(&spool.join("owner"), Mode::S_IRWXU).expect("a FIFO");
        Self(spool)
    }

    /// The table of a sink that has it.
    fn sink(&self) -> String {
        let spool = self.0.display();
        format!(
            "[[sink.file]]\npath = \"{spool}.json\"\n[sink.file.spool]\ndirectory = \"{spool}\"\nmin_free = \"0B\"\n"
        )
    }

    /// Waits until Postrider has come as far as the file before the FIFO.
    fn wait_come(&self) {
        wait_until(DEADLINE, "the spool", || self.0.join("cursor").exists());
    }

    /// As long as the file is open, who reads the FIFO does not wait.
    fn answer(&self) -> fs::File {
        fs::OpenOptions::new().read(true).write(true).open(self.0.join("owner")).expect("a FIFO")
    }
}

#[test]
fn a_spool_that_does_not_answer_holds_up_the_reload_alone() {
    let directory = scratch::directory("reading");
    let hung = Hung::new(directory.path(), "spool");
    let mut running = Postrider::spawn(CONFIG);
    let mut socket = TcpStream::connect(running.address("tcp")).expect("a connection");
    running.reload(&format!("{CONFIG}{}", hung.sink()));
    hung.wait_come();
    writeln!(socket, "<22>Nov 24 06:00:00 mx1 test[1]: hello").expect("room");
    wait_until(DEADLINE, "the record", || running.stdout().contains("hello"));
    running.signal(Signal::SIGUSR1);
    wait_until(DEADLINE, "the ledger", || running.stderr().contains(" ledger "));
    // A reload that is asked for meanwhile comes next.
    running.reload("nonsense");
    running.reload(&format!("shutdown_timeout = \"9s\"\n{CONFIG}{}", hung.sink()));
    wait_until(DEADLINE, "the signals", || running.stderr().matches(" SIGHUP: ").count() >= 2);
    assert!(!running.stderr().contains(" is in use"), "{}", running.stderr());
    let _answer = hung.answer();
    wait_until(DEADLINE, "both reloads", || running.stderr().matches(" is in use").count() == 2);
    let log = running.stderr();
    let said: Vec<_> = log.lines().filter_map(|line| line.split_once(" is in use ")).map(|(_, what)| what).collect();
    let kept = "sources=kept tcp sinks=kept stdout, file changed_settings=\"shutdown_timeout\"";
    assert_eq!(said, ["sources=kept tcp sinks=added file; kept stdout", kept]);

    let hung = Hung::new(directory.path(), "other");
    running.reload(&format!("{CONFIG}{}", hung.sink()));
    hung.wait_come();
    let ended = running.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stderr.matches(" is in use").count(), 2, "{}", ended.stderr);
}

#[test]
fn a_spool_that_does_not_answer_delays_the_start_but_no_signal() {
    let directory = scratch::directory("reading");
    let hung = Hung::new(directory.path(), "spool");
    let stopped = Postrider::spawn(&format!("{CONFIG}{}", hung.sink()));
    hung.wait_come();
    let ended = stopped.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopping: the sources and sinks were not ready yet"), "{}", ended.stderr);

    let hung = Hung::new(directory.path(), "other");
    let reloaded = Postrider::spawn(&format!("{CONFIG}{}", hung.sink()));
    hung.wait_come();
    reloaded.signal(Signal::SIGHUP);
    let _answer = hung.answer();
    wait_until(DEADLINE, "the reload", || reloaded.stderr().contains(" is in use sources=kept tcp"));
    assert_clean(&reloaded.terminate(DEADLINE));
}

/// As by `postrider check -c <(template)`.
#[test]
fn a_pipe_is_refused_with_what_to_do() {
    let output = Command::new("sh")
        .args(["-c", "echo '[[sink.stdout]]' | \"$0\" check -c /dev/stdin"])
        .arg(program())
        .output()
        .expect("a shell");
    assert_eq!(code(&output), 78);
    assert!(show(&output).contains("write its content to a file first"), "{}", show(&output));
}
