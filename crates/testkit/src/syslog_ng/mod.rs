//! Debian's syslog-ng with a configuration of the test's own: a private socket in the place of /dev/log, and the names
//! of Debian's syslog-ng.conf, `s_src` and `f_mail`, for the lines that users add to it.
//!
//! `fetch` unpacks Debian's packages below the target directory: they cannot be installed beside rsyslog.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::scratch;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// The name of this machine in every message.
pub const HOSTNAME: &str = "mx1";

/// Daemon that runs, in a directory of its own. It is killed when the value is dropped.
pub struct SyslogNg {
    // In the order in which they must go: the process first.
    process: Process,
    directory: TempDir,
}

impl SyslogNg {
    /// Starts syslog-ng with `lines` at the end of its configuration, and waits until its socket takes messages.
    pub fn start(lines: &str) -> Self {
        let directory = scratch::directory("syslog-ng");
        fs::write(directory.path().join("syslog-ng.conf"), text(directory.path(), lines))
            .expect("syslog-ng's configuration");
        let process = start_process(directory.path());
        let mut syslog_ng = Self { process, directory };
        syslog_ng.wait_ready();
        syslog_ng
    }

    /// The socket that takes the place of /dev/log, for `logger --socket`.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Logs each line as syslog(3) does for a daemon of the mail system, with `tag` as in `postfix/smtp[123]`.
    pub fn log<'a>(&self, tag: &str, lines: impl IntoIterator<Item = &'a str>) {
        let socket = UnixDatagram::unbound().expect("a Unix socket");
        socket.connect(self.socket()).expect("syslog-ng's socket");
        for line in lines {
            // mail.info, with a time that syslog-ng keeps unless it is told otherwise.
            let datagram = format!("<22>Nov 24 02:10:35 {tag}: {line}");
            socket.send(datagram.as_bytes()).expect("syslog-ng reads its socket");
        }
    }

    /// Returns the log of syslog-ng itself so far.
    pub fn said(&self) -> String {
        self.process.log()
    }

    /// Ends syslog-ng as its operator does. Messages not forwarded yet are lost, unless a disk buffer holds them.
    pub fn stop(&mut self) {
        self.process.terminate(STOP);
    }

    /// Starts syslog-ng again after [`Self::stop`], with the same socket and files.
    pub fn restart(&mut self) {
        self.process = start_process(self.directory.path());
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let socket = self.socket();
        self.process.wait_ready(START, || UnixDatagram::unbound().ok()?.connect(&socket).ok());
    }
}

/// The options are those of Debian's syslog-ng.conf that matter to a sender.
fn text(directory: &Path, lines: &str) -> String {
    let socket = directory.join("log");
    format!(
        "@version: current\n\
         options {{ chain_hostnames(off); flush_lines(0); use_dns(no); use_fqdn(no); dns_cache(no); stats_freq(0); }};\n\
         source s_src {{ unix-dgram(\"{}\" host-override(\"{HOSTNAME}\")); }};\n\
         filter f_mail {{ facility(mail); }};\n\
         {lines}\n",
        socket.display()
    )
}

fn start_process(directory: &Path) -> Process {
    let path = |name: &str| directory.join(name).display().to_string();
    // --foreground: no supervisor beside it. --no-caps: the container of CI may give it fewer than it wants.
    let mut arguments = vec!["--foreground".to_owned(), "--stderr".to_owned(), "--no-caps".to_owned()];
    // Each in the place of a file below /etc, /run and /var/lib.
    for (option, name) in
        [("--cfgfile", "syslog-ng.conf"), ("--persist-file", "persist"), ("--pidfile", "pid"), ("--control", "ctl")]
    {
        arguments.push(format!("{option}={}", path(name)));
    }
    Process::start(program("syslog-ng"), &arguments, &directory.join("syslog-ng.log"))
}

/// A program of Debian's package syslog-ng-core: `syslog-ng` or `loggen`.
pub(super) fn program(name: &str) -> PathBuf {
    let target = crate::target_directory();
    let directory = target.join("peers/syslog-ng");
    let fetched = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/syslog_ng/fetch")).arg(&directory).status();
    let fetched = fetched.is_ok_and(|status| status.success());
    assert!(fetched, "{name} can't be fetched; to install what tests need: ./dev setup test");
    directory.join(name)
}
