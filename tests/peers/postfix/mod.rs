//! Debian's Postfix as a mail system of its own: private configuration, queue and port, with destinations that accept, defer
//! or refuse mail. It logs by syslog(3) to the [`Rsyslog`] that it is given, whose file is the oracle of what it did.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::rsyslog::Rsyslog;
use super::scratch;
use super::smtp::Smtp;
use super::wait::{wait, wait_until};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);

/// What happens to mail for a domain; the domains are those of [`Destination::domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
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
    pub(crate) fn domain(self) -> &'static str {
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

/// The configuration of a [`Postfix`].
#[derive(Default)]
pub(crate) struct Setup {
    parameters: String,
}

pub(crate) struct Postfix {
    // In the order in which they must go: the processes first.
    process: Process,
    sinks: Vec<Process>,
    directory: TempDir,
    smtpd: Port,
    _ports: Vec<Port>,
}

impl Setup {
    /// Sets a parameter of main.cf.
    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.extend([name, " = ", value, "\n"]);
        self
    }

    /// Starts Postfix and its destinations, and waits until it takes mail.
    pub(crate) fn start(self, rsyslog: &Rsyslog) -> Postfix {
        let installed = Path::new("/usr/sbin/postfix").exists();
        assert!(installed, "Postfix is missing; to install what tests need: ./dev setup test");
        let user = fs::metadata("/proc/self").expect("/proc").uid();
        assert_eq!(user, 0, "only root can start Postfix; run its tests as root");

        let directory = scratch::directory("postfix");
        let [smtpd, sent, deferred, bounced, refused, lmtp] = std::array::from_fn(|_| Port::reserve());
        let sinks = vec![
            start_sink(directory.path(), &sent, &[]),
            start_sink(
                directory.path(),
                &deferred,
                &["-r", "rcpt", "-b", "450 4.2.1 The mailbox is busy, try again later"],
            ),
            start_sink(directory.path(), &bounced, &["-f", "rcpt", "-B", "550 5.1.1 No such user here"]),
            start_sink(directory.path(), &lmtp, &["-L"]),
        ];
        let transports = [
            (Destination::Sent, format!("smtp:[127.0.0.1]:{}", sent.number())),
            (Destination::Deferred, format!("smtp:[127.0.0.1]:{}", deferred.number())),
            (Destination::Bounced, format!("smtp:[127.0.0.1]:{}", bounced.number())),
            (Destination::Refused, format!("smtp:[127.0.0.1]:{}", refused.number())),
            (Destination::Lmtp, format!("lmtp:inet:127.0.0.1:{}", lmtp.number())),
            (Destination::Pipe, "archive:".to_owned()),
            (Destination::Discard, "discard:nobody reads this".to_owned()),
            (Destination::Error, "error:5.7.1 no mail for this domain".to_owned()),
            (Destination::Retry, "retry:4.3.2 the system is being repaired".to_owned()),
        ];
        write_configuration(directory.path(), &smtpd, &transports, &self.parameters);

        let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/postfix/run");
        let arguments = [directory.path().join("etc"), rsyslog.socket()];
        let process = Process::start_leashed(run, &arguments, &directory.path().join("postfix.log"));
        let mut postfix =
            Postfix { process, sinks, directory, smtpd, _ports: vec![sent, deferred, bounced, refused, lmtp] };
        let address = postfix.address();
        // It listens as soon as it has started all else that it needs.
        postfix.process.wait_ready(START, || TcpStream::connect(address).ok());
        // Past the test harness, which would keep it to itself as long as the test passes.
        for line in postfix.process.log().lines().filter(|line| line.starts_with("WARNING")) {
            writeln!(io::stderr(), "{line}").expect("standard error");
        }
        postfix
    }
}

impl Postfix {
    pub(crate) fn setup() -> Setup {
        Setup::default()
    }

    /// Starts with no parameters but those that every test has.
    pub(crate) fn start(rsyslog: &Rsyslog) -> Self {
        Self::setup().start(rsyslog)
    }

    /// Where its smtpd takes mail.
    pub(crate) fn address(&self) -> SocketAddr {
        self.smtpd.address()
    }

    /// Sends `count` messages over one connection, each to all of `recipients`. Gives the queue ids, in order.
    pub(crate) fn send(&self, count: usize, sender: &str, recipients: &[&str]) -> Vec<String> {
        let mut smtp = Smtp::connect(self.address());
        (0..count)
            .map(|number| smtp.send(sender, recipients, &format!("Subject: message {number}\n\nThis is a test.\n")))
            .collect()
    }

    /// The queue ids of the messages that it still has, bounces among them.
    pub(crate) fn queue(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for queue in ["maildrop", "incoming", "active", "deferred", "hold"] {
            collect_file_names(&self.directory.path().join("queue").join(queue), &mut ids);
        }
        ids.sort();
        // A message that is being moved from one queue to another may be met twice.
        ids.dedup();
        ids
    }

    #[track_caller]
    pub(crate) fn wait_empty(&self, deadline: Duration) {
        wait_until(deadline, "an empty queue of Postfix", || self.queue().is_empty());
    }

    /// Has it try all deferred mail now.
    pub(crate) fn flush(&self) {
        self.administrate("postfix", &["flush"]);
    }

    /// Deletes all mail that it still has. More than once, as postsuper(1) may miss what the queue manager is just moving.
    #[track_caller]
    pub(crate) fn delete_all(&self, deadline: Duration) {
        wait_until(deadline, "an empty queue of Postfix", || {
            self.administrate("postsuper", &["-d", "ALL"]);
            self.queue().is_empty()
        });
    }

    /// Runs one of Postfix's own commands, with the same /dev/log as its daemons.
    fn administrate(&self, program: &str, arguments: &[&str]) {
        let pid = self.process.pid().to_string();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("a mount namespace");
        // See ./run: where it got no namespace of its own, there is none to enter, nor the permission to.
        let mut command = if namespace(&pid) == namespace("self") {
            Command::new(program)
        } else {
            let mut command = Command::new("nsenter");
            command.args(["--mount", "--root", "--target", &pid, program]);
            command
        };
        command.arg("-c").arg(self.directory.path().join("etc")).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("can't run {program}: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
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

/// Starts a mail server that takes what it is sent and keeps nothing.
fn start_sink(directory: &Path, port: &Port, behaviour: &[&str]) -> Process {
    let address = port.address().to_string();
    // It refuses to run as root. To lose root is to lose the parent-death signal, so it is asked for once more.
    let user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL", "/usr/sbin/smtp-sink"];
    let arguments: Vec<&str> = user.iter().chain(behaviour).copied().chain([address.as_str(), "100"]).collect();
    let mut sink = Process::start("setpriv", &arguments, &directory.join("smtp-sink.log"));
    sink.wait_ready(START, || TcpStream::connect(port.address()).ok());
    sink
}

fn write_configuration(directory: &Path, smtpd: &Port, transports: &[(Destination, String)], parameters: &str) {
    let path = |name: &str| -> PathBuf { directory.join(name) };
    for name in ["etc", "queue", "data", "mail"] {
        fs::create_dir(path(name)).expect("a directory for Postfix");
    }
    // Mailboxes are written by the users whose they are.
    fs::set_permissions(path("mail"), fs::Permissions::from_mode(0o1777)).expect("permissions of a new directory");

    let directory = directory.display();
    let main = format!(
        "{}\n\
         queue_directory = {directory}/queue\n\
         data_directory = {directory}/data\n\
         mail_spool_directory = {directory}/mail\n\
         virtual_mailbox_base = {directory}/mail\n\
         transport_maps = texthash:{directory}/etc/transport\n\
         {parameters}",
        include_str!("main.cf")
    );
    let master = format!("{}127.0.0.1:{} inet n - n - - smtpd\n", include_str!("master.cf"), smtpd.number());
    let transport: Vec<String> =
        transports.iter().map(|(destination, to)| format!("{} {to}\n", destination.domain())).collect();
    fs::write(path("etc/main.cf"), main).expect("Postfix's configuration");
    fs::write(path("etc/master.cf"), master).expect("Postfix's configuration");
    fs::write(path("etc/transport"), transport.concat()).expect("Postfix's configuration");
}

/// Adds the names of all files in and below `directory`: Postfix spreads large queues over directories by the first digits.
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
