//! Debian's syslog-ng with a configuration of the test's own: a private socket in the place of /dev/log, and the names
//! of Debian's syslog-ng.conf, `s_src` and `f_mail`, for the lines that users add to it.
//!
//! `fetch` unpacks Debian's packages below the target directory: they cannot be installed beside rsyslog.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::Process;
use super::scratch;
use super::syslogd::Syslogd;

/// The name of this machine in every message.
pub const HOSTNAME: &str = "mx1";

/// Daemon that runs, in a directory of its own. It is killed when the value is dropped.
pub struct SyslogNg {
    daemon: Syslogd,
}

impl SyslogNg {
    /// Starts syslog-ng with `lines` at the end of its configuration, and waits until its socket takes messages.
    pub fn start(lines: &str) -> Self {
        let directory = scratch::directory("syslog-ng");
        fs::write(directory.path().join("syslog-ng.conf"), text(directory.path(), lines))
            .expect("syslog-ng's configuration");
        Self { daemon: Syslogd::start(directory, start_process) }
    }

    /// The socket that takes the place of /dev/log, for `logger --socket`.
    pub fn socket(&self) -> PathBuf {
        self.daemon.socket()
    }

    /// Logs each line as syslog(3) does for a daemon of the mail system, with `tag` as in `postfix/smtp[123]`.
    pub fn log<'a>(&self, tag: &str, lines: impl IntoIterator<Item = &'a str>) {
        self.daemon.log(tag, lines);
    }

    /// Returns the log of syslog-ng itself so far.
    pub fn said(&self) -> String {
        self.daemon.process().log()
    }

    /// Ends syslog-ng as its operator does. Messages not forwarded yet are lost, unless a disk buffer holds them.
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts syslog-ng again after [`Self::stop`], with the same socket and files.
    pub fn restart(&mut self) {
        self.daemon.restart();
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
