//! Debian's rsyslogd with a configuration of the test's own: a private socket in the place of /dev/log, and forwarding
//! as users set it up.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::Process;
use super::scratch;
use super::syslogd::Syslogd;
use super::wait::wait_for;

/// The name of this machine in every message.
pub const HOSTNAME: &str = "mx1";

/// A way to forward to a port on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// A message a datagram, in the template that rsyslog forwards with by default.
    Udp(u16),
    /// A message a line, in the template that rsyslog forwards with by default.
    Tcp(u16),
    /// RFC 5424 over TCP with octet counting.
    Rfc5424(u16),
}

/// A file with every message, in one of the two formats that rsyslog's users have under /var/log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFile {
    /// `RSYSLOG_TraditionalFileFormat`, Debian's until 11.
    Traditional,
    /// `RSYSLOG_FileFormat`, with ISO 8601 times: Debian's from 12.
    Iso,
}

/// The configuration of an [`Rsyslog`].
#[derive(Default)]
#[must_use]
pub struct Setup {
    forwards: Vec<Forward>,
    permit_slash: bool,
    further: String,
}

/// Rsyslogd that runs, in a directory of its own. It is killed when the value is dropped.
pub struct Rsyslog {
    daemon: Syslogd,
}

impl Setup {
    /// Adds a way to forward. Each way has a queue of its own.
    pub fn forward(mut self, forward: Forward) -> Self {
        self.forwards.push(forward);
        self
    }

    /// Lets APP-NAME be `postfix/smtpd` where rsyslog otherwise cuts it to `postfix`.
    pub fn permit_slash_in_program_name(mut self) -> Self {
        self.permit_slash = true;
        self
    }

    /// Adds lines to the end of the configuration.
    pub fn further(mut self, lines: &str) -> Self {
        self.further += lines;
        self.further.push('\n');
        self
    }

    /// Starts rsyslogd and waits until its socket takes messages.
    pub fn start(self) -> Rsyslog {
        let directory = scratch::directory("rsyslog");
        fs::write(directory.path().join("rsyslog.conf"), self.text(directory.path()))
            .expect("rsyslogd's configuration");
        Rsyslog { daemon: Syslogd::start(directory, start_process) }
    }

    fn text(&self, directory: &Path) -> String {
        let directory = directory.display();
        let slash = if self.permit_slash { " parser.permitSlashInProgramName=\"on\"" } else { "" };
        let mut text = format!(
            "global(workDirectory=\"{directory}\" localHostname=\"{HOSTNAME}\"{slash})\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{directory}/log\" RateLimit.Interval=\"0\")\n\
             mail.* action(type=\"omfile\" file=\"{directory}/traditional\" template=\"RSYSLOG_TraditionalFileFormat\")\n\
             mail.* action(type=\"omfile\" file=\"{directory}/iso\" template=\"RSYSLOG_FileFormat\")\n"
        );
        for forward in &self.forwards {
            let (port, how) = match forward {
                Forward::Udp(port) => (port, "protocol=\"udp\""),
                Forward::Tcp(port) => (port, "protocol=\"tcp\""),
                Forward::Rfc5424(port) => {
                    (port, "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"")
                }
            };
            // A queue and retries without end, as rsyslog's manual advises: what can't be sent waits.
            writeln!(
                text,
                "mail.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" {how} \
                 queue.type=\"linkedList\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")"
            )
            .expect("a String takes all");
        }
        text + &self.further
    }
}

impl Rsyslog {
    /// Returns a configuration that only writes the two files of [`LogFile`].
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.daemon.process().pid()
    }

    /// The socket that takes the place of /dev/log, for `logger --socket` and for a [`super::postfix::Postfix`].
    pub fn socket(&self) -> PathBuf {
        self.daemon.socket()
    }

    /// Logs each line as syslog(3) does for a daemon of the mail system, with `tag` as in `postfix/smtp[123]`.
    pub fn log<'a>(&self, tag: &str, lines: impl IntoIterator<Item = &'a str>) {
        self.daemon.log(tag, lines);
    }

    /// The lines that it wrote so far. The last one is left out until it is complete.
    pub fn lines(&self, file: LogFile) -> Vec<String> {
        let text = fs::read(self.file(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Waits until it has written `count` lines that hold `part`, and gives all those.
    #[track_caller]
    pub fn wait_lines(&self, part: &str, count: usize, deadline: Duration) -> Vec<String> {
        wait_for(deadline, &format!("{count} lines with {part:?} in rsyslog's file"), || {
            let mut lines = self.lines(LogFile::Traditional);
            lines.retain(|line| line.contains(part));
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Returns the path of a log file.
    pub fn file(&self, file: LogFile) -> PathBuf {
        self.daemon.directory().join(match file {
            LogFile::Traditional => "traditional",
            LogFile::Iso => "iso",
        })
    }

    /// Ends rsyslogd as its operator does. Messages not forwarded yet may be lost, as its queue is in memory.
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts rsyslogd again after [`Self::stop`], with the same socket and files.
    pub fn restart(&mut self) {
        self.daemon.restart();
    }
}

fn start_process(directory: &Path) -> Process {
    let path = |name: &str| directory.join(name).display().to_string();
    // -n: stay in the foreground. -i: no clash with the machine's own rsyslogd.
    let arguments = ["-n".to_owned(), "-f".to_owned(), path("rsyslog.conf"), "-i".to_owned(), path("pid")];
    Process::start("/usr/sbin/rsyslogd", &arguments, &directory.join("rsyslogd.log"))
}
