//! A syslog daemon in a directory of its own, with a private socket in the place of /dev/log: the common part of
//! rsyslogd and syslog-ng.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// Daemon that runs. It is killed when the value is dropped.
pub(super) struct Syslogd {
    // In the order in which they must go: the process first.
    process: Process,
    directory: TempDir,
    /// Starts the program in this directory.
    start: fn(&Path) -> Process,
}

impl Syslogd {
    /// Starts the daemon by `start`, in a directory that has its configuration, and waits until its socket takes
    /// messages.
    pub(super) fn start(directory: TempDir, start: fn(&Path) -> Process) -> Self {
        let mut daemon = Self { process: start(directory.path()), directory, start };
        daemon.wait_ready();
        daemon
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The socket that takes the place of /dev/log.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Logs each line as syslog(3) does for a daemon of the mail system, with `tag` as in `postfix/smtp[123]`.
    pub(super) fn log<'a>(&self, tag: &str, lines: impl IntoIterator<Item = &'a str>) {
        let socket = UnixDatagram::unbound().expect("a Unix socket");
        socket.connect(self.socket()).expect("the socket of the daemon");
        for line in lines {
            // mail.info. rsyslogd puts the time of receipt in the place of this one, syslog-ng if it is told to.
            let datagram = format!("<22>Nov 24 02:10:35 {tag}: {line}");
            socket.send(datagram.as_bytes()).expect("the daemon reads its socket");
        }
    }

    /// Ends the daemon as its operator does.
    pub(super) fn stop(&mut self) {
        self.process.terminate(STOP);
    }

    /// Starts the daemon again after [`Self::stop`], with the same socket and files.
    pub(super) fn restart(&mut self) {
        self.process = (self.start)(self.directory.path());
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let socket = self.socket();
        self.process.wait_ready(START, || UnixDatagram::unbound().ok()?.connect(&socket).ok());
    }
}
