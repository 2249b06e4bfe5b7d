//! Debian's Postfix as a mail system of its own: private configuration, queue and port, with destinations that accept,
//! defer or refuse mail. It logs by syslog(3) to the [`Rsyslog`] that it is given, whose file is the oracle of what it
//! did.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::dns::Dns;
use super::port::Port;
use super::process::Process;
use super::rsyslog::{LogFile, Rsyslog};
use super::scratch;
use super::smtp::Smtp;
use super::smtp_sink::SmtpSink;
use super::wait::{wait, wait_until};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);

/// Fate of mail for a domain; the domains are those of [`Destination::domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// `status=sent`: a server that takes all mail.
    Sent,
    /// `status=deferred`: a server that says 450 to every recipient.
    Deferred,
    /// `status=bounced`: a server that says 550 to every recipient.
    Bounced,
    /// `status=deferred`: a server's port where nobody listens.
    Refused,
    /// `status=sent` by lmtp(8).
    Lmtp,
    /// `status=sent` by local(8) for `nobody`, `status=bounced` for a user that does not exist.
    Local,
    /// `status=sent` by virtual(8) for `user`.
    Virtual,
    /// `status=sent` by pipe(8).
    Pipe,
    /// `status=sent` by discard(8).
    Discard,
    /// `status=bounced` by error(8).
    Error,
    /// `status=deferred` by retry, which is error(8) too.
    Retry,
}

impl Destination {
    /// Returns the domain whose mail goes to this destination.
    pub fn domain(self) -> &'static str {
        match self {
            Self::Sent => "sent.test",
            Self::Deferred => "deferred.test",
            Self::Bounced => "bounced.test",
            Self::Refused => "refused.test",
            Self::Lmtp => "lmtp.test",
            Self::Local => "local.test",
            Self::Virtual => "virtual.test",
            Self::Pipe => "pipe.test",
            Self::Discard => "discard.test",
            Self::Error => "error.test",
            Self::Retry => "retry.test",
        }
    }
}

/// An address of this machine without a name server.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// The configuration of a [`Postfix`].
#[must_use]
pub struct Setup {
    directory: TempDir,
    parameters: String,
    services: String,
    transports: String,
    files: Vec<(String, String)>,
    name_server: Ipv4Addr,
    log: Option<PathBuf>,
    command: Option<String>,
}

/// Postfix that runs. It stops, and its files go, when the value is dropped.
pub struct Postfix {
    // In the order in which they must go: the processes first.
    process: Process,
    _sinks: [SmtpSink; 4],
    directory: TempDir,
    smtpd: Port,
    _refused: Port,
}

impl Setup {
    fn new() -> Self {
        let installed = Path::new("/usr/sbin/postfix").exists();
        assert!(installed, "Postfix is missing; to install what tests need: ./dev setup test");
        let user = fs::metadata("/proc/self").expect("/proc").uid();
        assert_eq!(user, 0, "only root can start Postfix; run its tests as root");
        let directory = scratch::directory("postfix");
        for name in ["etc", "queue", "data", "mail"] {
            fs::create_dir(directory.path().join(name)).expect("a directory for Postfix");
        }
        // Mailboxes are written by the users whose they are.
        let shared = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(directory.path().join("mail"), shared).expect("permissions of a new directory");
        let (parameters, services, transports) = (String::new(), String::new(), String::new());
        Self {
            directory,
            parameters,
            services,
            transports,
            files: Vec::new(),
            name_server: NOBODY,
            log: None,
            command: None,
        }
    }

    /// The directory of everything that it reads and writes: `etc`, `queue`, `data` and `mail` below it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a parameter of main.cf.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.extend([name, " = ", value, "\n"]);
        self
    }

    /// Sets parameters as main.cf has them, one a line.
    pub fn parameters(mut self, lines: &str) -> Self {
        self.parameters.push_str(lines);
        self
    }

    /// Adds a service to master.cf: its line, and `NAME=VALUE` of parameters that it has of its own.
    pub fn service(mut self, line: &str, parameters: &[&str]) -> Self {
        self.services.push_str(line);
        for parameter in parameters {
            self.services.extend(["\n  -o { ", parameter, " }"]);
        }
        self.services.push('\n');
        self
    }

    /// Adds a service that listens on `port` and runs `command` for it.
    pub fn listen(self, port: &Port, command: &str, parameters: &[&str]) -> Self {
        // Postfix names a service by what stands here, so that its log does too.
        self.service(&format!("127.0.0.1:{} inet n - n - - {command}", port.number()), parameters)
    }

    /// Sends mail for `domain` to `transport`, both as in transport(5).
    pub fn transport(mut self, domain: &str, transport: &str) -> Self {
        self.transports.extend([domain, " ", transport, "\n"]);
        self
    }

    /// Has it ask `server` for names, where it would else ask nobody.
    pub fn name_server(mut self, server: &Dns) -> Self {
        self.name_server = server.address();
        self
    }

    /// Adds a file to the configuration directory, `$config_directory` in parameters.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Has it log to this socket, and not to rsyslog's.
    pub fn log_to(mut self, socket: &Path) -> Self {
        self.log = Some(socket.to_owned());
        self
    }

    /// Has it started by this command of a shell, which returns when Postfix has ended.
    pub fn command(mut self, command: &str) -> Self {
        self.command = Some(command.to_owned());
        self
    }

    /// Gives each message the queue id of the one before, ABCDE1A2B3C. There must be one message at a time, and a
    /// second between two.
    pub fn repeat_queue_id(self) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postfix/same_id.c");
        let library = self.directory().join("same_id.so");
        let status = Command::new("cc").args(["-O", "-shared", "-fPIC", source, "-o"]).arg(&library).status();
        assert!(status.expect("cc, which the build needs").success(), "{source} can't be compiled");
        let environment = format!("MAIL_CONFIG TZ LANG=C LD_PRELOAD={}", library.display());
        self.parameter("import_environment", &environment)
    }

    /// Starts Postfix and its destinations, and waits until it takes mail.
    pub fn start(self, rsyslog: &Rsyslog) -> Postfix {
        let [smtpd, refused] = std::array::from_fn(|_| Port::reserve());
        let sink = |behaviour: &[&str]| SmtpSink::start(self.directory(), behaviour);
        let [sent, deferred, bounced, lmtp] = [
            sink(&[]),
            sink(&["-r", "rcpt", "-b", "450 4.2.1 The mailbox is busy, try again later"]),
            sink(&["-f", "rcpt", "-B", "550 5.1.1 No such user here"]),
            sink(&["-L"]),
        ];
        let transports = [
            (Destination::Sent, format!("smtp:{}", sent.nexthop())),
            (Destination::Deferred, format!("smtp:{}", deferred.nexthop())),
            (Destination::Bounced, format!("smtp:{}", bounced.nexthop())),
            (Destination::Refused, format!("smtp:[127.0.0.1]:{}", refused.number())),
            (Destination::Lmtp, format!("lmtp:inet:127.0.0.1:{}", lmtp.number())),
            (Destination::Pipe, "archive:".to_owned()),
            (Destination::Discard, "discard:nobody reads this".to_owned()),
            (Destination::Error, "error:5.7.1 no mail for this domain".to_owned()),
            (Destination::Retry, "retry:4.3.2 the system is being repaired".to_owned()),
        ];
        self.write_configuration(&smtpd, &transports);

        let run = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postfix/run");
        let socket = self.log.clone().unwrap_or_else(|| rsyslog.socket());
        let mut arguments = vec![self.directory().join("etc").into_os_string(), socket.into_os_string()];
        arguments.extend(self.command.clone().map(OsString::from));
        let process = Process::start_leashed(run, &arguments, &self.directory().join("postfix.log"));
        let sinks = [sent, deferred, bounced, lmtp];
        let mut postfix = Postfix { process, _sinks: sinks, directory: self.directory, smtpd, _refused: refused };
        let address = postfix.address();
        // It listens as soon as it has started all else that it needs.
        let over = || TcpStream::connect(address).is_ok() || !postfix.process.is_running();
        wait_until(START, "Postfix to listen", over);
        if !postfix.process.is_running() {
            let log = rsyslog.lines(LogFile::Traditional).join("\n");
            panic!("Postfix ended at its start:\n{}\n{log}", postfix.process.log());
        }
        // Past the test harness, which would keep it to itself as long as the test passes.
        for line in postfix.process.log().lines().filter(|line| line.starts_with("WARNING")) {
            writeln!(io::stderr(), "{line}").expect("standard error");
        }
        postfix
    }

    fn write_configuration(&self, smtpd: &Port, transports: &[(Destination, String)]) {
        let directory = self.directory().display();
        // Postfix warns of a parameter that is set twice.
        let set = |line: &str| self.parameters.lines().any(|own| own.split(" = ").next() == line.split(" =").next());
        let base: Vec<&str> = include_str!("main.cf").lines().filter(|line| !set(line)).collect();
        let main = format!(
            "{}\n\
             queue_directory = {directory}/queue\n\
             data_directory = {directory}/data\n\
             mail_spool_directory = {directory}/mail\n\
             virtual_mailbox_base = {directory}/mail\n\
             transport_maps = texthash:{directory}/etc/transport\n\
             {}",
            base.join("\n"),
            self.parameters
        );
        let master = format!(
            "{}{}127.0.0.1:{} inet n - n - - smtpd\n",
            include_str!("master.cf"),
            self.services,
            smtpd.number()
        );
        let transport: Vec<String> =
            transports.iter().map(|(destination, to)| format!("{} {to}\n", destination.domain())).collect();
        let resolver = format!("nameserver {}\n", self.name_server);
        fs::write(self.directory().join("resolv.conf"), resolver).expect("the resolver's configuration");
        self.write("main.cf", &main);
        self.write("master.cf", &master);
        self.write("transport", &(transport.concat() + &self.transports));
        for (name, text) in &self.files {
            self.write(name, text);
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory().join("etc").join(name), text).expect("Postfix's configuration");
    }
}

impl Postfix {
    /// Returns a configuration that has only the parameters of every test. Panics without Postfix, or if not root.
    pub fn setup() -> Setup {
        Setup::new()
    }

    /// Starts with no parameters but those that every test has.
    pub fn start(rsyslog: &Rsyslog) -> Self {
        Self::setup().start(rsyslog)
    }

    /// Returns the address at which its smtpd takes mail.
    pub fn address(&self) -> SocketAddr {
        self.smtpd.address()
    }

    /// Sends `count` messages over one connection, each to all of `recipients`. Gives the queue ids, in order.
    pub fn send(&self, count: usize, sender: &str, recipients: &[&str]) -> Vec<String> {
        let mut smtp = Smtp::connect(self.address());
        (0..count)
            .map(|number| smtp.send(sender, recipients, &format!("Subject: message {number}\n\nThis is a test.\n")))
            .collect()
    }

    /// Returns the mailbox of a user of this machine.
    pub fn mailbox(&self, user: &str) -> PathBuf {
        self.directory.path().join("mail").join(user)
    }

    /// The queue ids of the messages that it still has, bounces among them.
    pub fn queue(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for queue in ["maildrop", "incoming", "active", "deferred", "hold"] {
            collect_file_names(&self.directory.path().join("queue").join(queue), &mut ids);
        }
        ids.sort();
        // A message that is being moved from one queue to another may be met twice.
        ids.dedup();
        ids
    }

    /// Waits until no queue has a message. Panics after `deadline`.
    #[track_caller]
    pub fn wait_empty(&self, deadline: Duration) {
        wait_until(deadline, "an empty queue of Postfix", || self.queue().is_empty());
    }

    /// Has it try all deferred mail now.
    pub fn flush(&self) {
        self.administrate("postfix", &["flush"]);
    }

    /// Deletes all mail that it still has. More than once, as postsuper(1) may miss what the queue manager is just
    /// moving.
    #[track_caller]
    pub fn delete_all(&self, deadline: Duration) {
        wait_until(deadline, "an empty queue of Postfix", || {
            self.administrate("postsuper", &["-d", "ALL"]);
            self.queue().is_empty()
        });
    }

    /// Has it rotate the file of `maillog_file`.
    pub fn rotate_log(&self) {
        self.administrate("postfix", &["logrotate"]);
    }

    /// Runs one of Postfix's own commands, with the same /dev/log as its daemons.
    #[track_caller]
    pub fn administrate(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).arg("-c").arg(self.directory.path().join("etc")).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("can't run {program}: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Submits `text` as a local user does: with sendmail(1), whose further arguments are given.
    #[track_caller]
    pub fn sendmail(&self, arguments: &[&str], text: &str) {
        let mut command = self.command("sendmail");
        command.arg("-C").arg(self.directory.path().join("etc")).args(arguments).stdin(Stdio::piped());
        let mut sendmail = command.spawn().unwrap_or_else(|error| panic!("can't run sendmail: {error}"));
        let mut stdin = sendmail.stdin.take().expect("a pipe");
        // It may have ended already, because of its arguments alone.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        // Its exit code says what became of the mail, and the log says it better.
        sendmail.wait().expect("the state of a child process");
    }

    /// A command in the namespace of the daemons.
    fn command(&self, program: &str) -> Command {
        let pid = self.process.pid().to_string();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("a mount namespace");
        // See ./run: where it got no namespace of its own, there is none to enter, nor the permission to.
        if namespace(&pid) == namespace("self") {
            return Command::new(program);
        }
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--root", "--target", &pid, program]);
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.process.unleash();
        let ended = wait(STOP, || (!self.process.is_running()).then_some(()));
        // A second panic would hide the first.
        assert!(ended.is_some() || std::thread::panicking(), "Postfix did not end within {STOP:?}");
    }
}

/// Adds the names of all files in and below `directory`: Postfix spreads large queues over directories by the first
/// digits.
fn collect_file_names(directory: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect_file_names(&entry.path(), names),
            Ok(_) => names.push(entry.file_name().to_string_lossy().into_owned()),
            // Gone meanwhile.
            Err(_) => {}
        }
    }
}
