//! Is the configuration read so that no file and no file system can hold up the program?

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::peers::postrider::{Postrider, assert_clean, program};
use crate::peers::scratch;
use crate::peers::wait::{wait_for, wait_until};
use crate::{code, postrider, show};

const DEADLINE: Duration = Duration::from_secs(20);
const CONFIG: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";

#[test]
fn what_is_no_file_or_too_large_is_refused_at_once() {
    let directory = scratch::directory("reading");
    let (fifo, large) = (directory.path().join("fifo"), directory.path().join("large"));
    mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    fs::write(&large, format!("{CONFIG}#{}", "x".repeat(1 << 20))).expect("a file");
    for (path, expected) in [
        (fifo.as_path(), "it is no regular file, but a pipe or a device; write its content to a file first"),
        (Path::new("/dev/zero"), "it is no regular file, but a pipe or a device; write its content to a file first"),
        (directory.path(), "Is a directory (os error 21)"),
        (large.as_path(), "it is larger than 1 MiB; is it the right file?"),
    ] {
        for command in ["check", "run"] {
            let output = postrider(&[command, "-c", path.to_str().expect("UTF-8")]);
            assert_eq!(show(&output), format!("exit 78\ncannot read {}: {expected}\n", path.display()));
        }
    }
}

#[test]
fn a_configuration_that_became_a_fifo_is_refused_and_a_stop_is_heard() {
    let mut running = Postrider::spawn(CONFIG);
    running.address("tcp");
    fs::remove_file(running.config_file()).expect("the configuration");
    mkfifo(&running.config_file(), Mode::S_IRWXU).expect("a FIFO");
    running.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "a refusal", || running.stderr().contains("is refused"));
    assert_clean(&running.terminate(DEADLINE));
}

/// Postrider with a file system that takes so many milliseconds to answer.
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
