//! A Postrider that collects what one sender sends, and what is demanded of it in the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::senders::COUNT;
use testkit::postrider::{Ended, Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::{wait, wait_until};

/// Maximum time without a record, and of a stop.
const DEADLINE: Duration = Duration::from_secs(60);

/// One sender at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Number of messages that a sender may be ahead of the records.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Content that a socket's receive buffer surely holds: for UDP, where nothing makes the sender wait.
    Datagrams = 200,
    /// Content of the senders' own queues: rsyslog and syslog-ng drop the rest, if the receiver hangs for seconds.
    Queues = 8_000,
}

/// Socket at which Postrider listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Udp,
    Tcp,
    Tls,
    UnixDatagram,
    UnixStream,
}

pub(crate) struct Collector {
    // In the order in which they must go: the process first, and the turn after it.
    postrider: Postrider,
    output: File,
    arrived: usize,
    source: Source,
    _turn: MutexGuard<'static, ()>,
    directory: TempDir,
}

/// Records that have come, after a good end.
pub(crate) struct Collected {
    pub(crate) ended: Ended,
    source: Source,
    lines: String,
}

impl Source {
    fn config(self, directory: &Path) -> String {
        let directory = directory.display();
        let kind = match self {
            Self::Udp => "udp",
            Self::Tcp | Self::Tls => "tcp",
            Self::UnixDatagram | Self::UnixStream => "unix",
        };
        let mut text = format!("[[source.{kind}]]\nname = \"in\"\n");
        match self {
            Self::Udp | Self::Tcp | Self::Tls => text += "listen = \"127.0.0.1:0\"\n",
            Self::UnixDatagram | Self::UnixStream => {
                writeln!(text, "path = \"{directory}/in\"").expect("a String takes all");
            }
        }
        match self {
            Self::Udp | Self::Tcp | Self::UnixDatagram => {}
            Self::UnixStream => text += "kind = \"stream\"\n",
            Self::Tls => {
                let tls =
                    format!("tls = {{ certificate = \"{directory}/cert.pem\", key = \"{directory}/key.pem\" }}\n");
                text += &tls;
            }
        }
        text
    }

    /// `transport` in its records.
    const fn transport(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::UnixDatagram | Self::UnixStream => "unix",
        }
    }
}

impl Collector {
    pub(crate) fn start(source: Source) -> Self {
        // A failed test has let go of it; that is no reason for the next to fail.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = scratch::directory("senders");
        if source == Source::Tls {
            write_certificates(directory.path());
        }
        let path = directory.path().join("out.json");
        // Made here, so that it can be read from the beginning on.
        File::create(&path).expect("a file");
        let postrider = Postrider::spawn(&format!(
            "{}[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n",
            source.config(directory.path()),
            path.display()
        ));
        let output = File::open(path).expect("a file");
        wait_until(DEADLINE, "Postrider to listen", || postrider.stderr().contains("listening"));
        Self { postrider, output, arrived: 0, source, _turn: turn, directory }
    }

    /// The port at which it listens.
    pub(crate) fn port(&mut self) -> u16 {
        self.postrider.address("in").port()
    }

    /// The unix socket at which it listens.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("in")
    }

    /// The CA of its certificate, which is for localhost and mx1.example.com.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Hands all messages to `send`, some at a time and in order, as the records let it.
    pub(crate) fn feed(&mut self, pace: Pace, mut send: impl FnMut(&[String])) {
        let messages = messages();
        let window = pace as usize;
        for (n, some) in messages.chunks(window / 2).enumerate() {
            self.wait_records((n * (window / 2)).saturating_sub(window / 2));
            send(some);
        }
    }

    /// Waits until there are `count` records. Panics if none comes for long.
    #[track_caller]
    pub(crate) fn wait_records(&mut self, count: usize) {
        let mut new = Vec::new();
        while self.arrived < count {
            new.clear();
            let more = wait(DEADLINE, || {
                self.output.read_to_end(&mut new).expect("the records");
                (!new.is_empty()).then(|| memchr::memchr_iter(b'\n', &new).count())
            });
            let log = || self.postrider.stderr();
            self.arrived +=
                more.unwrap_or_else(|| panic!("{} of {count} records came, and no more:\n{}", self.arrived, log()));
        }
    }

    /// Stops it after the last record. All that it received is there, and nothing was wrong with it.
    pub(crate) fn end(mut self) -> Collected {
        self.wait_records(COUNT);
        let collected = self.stop();
        assert_eq!(collected.count("received"), COUNT as u64, "{}", collected.ended.stderr);
        collected
    }

    /// Stops it now. As many are there as it received, and nothing was wrong with them. The next sender may begin.
    pub(crate) fn stop(self) -> Collected {
        let ended = self.postrider.terminate(DEADLINE);
        assert_clean(&ended);
        let lines = fs::read_to_string(self.directory.path().join("out.json")).expect("the records");
        let collected = Collected { ended, source: self.source, lines };
        for wrong in ["dropped", "truncated", "errors"] {
            assert_eq!(collected.count(wrong), 0, "{wrong}: {}", collected.ended.stderr);
        }
        assert_eq!(collected.count("received"), collected.lines.lines().count() as u64);
        collected
    }
}

impl Collected {
    /// A count of the source's ledger.
    pub(crate) fn count(&self, field: &str) -> u64 {
        self.ended.source("in").count(field)
    }

    /// Each record, which came as the source says.
    pub(crate) fn records(&self) -> impl Iterator<Item = Value> {
        self.lines.lines().map(|line| {
            let record: Value = line.parse().expect("a record is JSON");
            assert_eq!(record["source"]["transport"], self.source.transport(), "{record}");
            record
        })
    }

    /// Each of [`messages`] is there once, in order, and with these fields and flags.
    #[track_caller]
    pub(crate) fn assert_in_order(&self, fields: &[(&str, &str)], flags: &[&str]) {
        for (record, message) in self.records().zip(messages()) {
            // With RSYSLOG_SyslogProtocol23Format there is a space before it.
            assert_eq!(record["message"].as_str().map(str::trim_start), Some(message.as_str()), "{record}");
            assert_fields(&record, fields);
            assert_flags(&record, flags);
        }
        assert_eq!(self.lines.lines().count(), COUNT);
    }
}

/// The messages, each with its number.
pub(crate) fn messages() -> Vec<String> {
    (0..COUNT).map(|n| format!("message {n} of {COUNT}")).collect()
}

/// A field that is "" is not there.
#[track_caller]
pub(crate) fn assert_fields(record: &Value, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(record[*name].as_str().unwrap_or_default(), *value, "{name}: {record}");
    }
}

#[track_caller]
pub(crate) fn assert_flags(record: &Value, flags: &[&str]) {
    let found = record["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(
        found.iter().map(|flag| flag.as_str().unwrap_or_default()).eq(flags.iter().copied()),
        "{flags:?}: {record}"
    );
}

/// A CA, `ca.pem`, and the certificate that it signed for the server.
fn write_certificates(directory: &Path) {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Example CA");
    let ca = CertifiedIssuer::self_signed(params, key()).expect("a CA");
    let mut params = CertificateParams::new(["localhost", "mx1.example.com"].map(str::to_owned)).expect("names");
    params.distinguished_name.push(DnType::CommonName, "mx1.example.com");
    let key = key();
    let certificate = params.signed_by(&key, &ca).expect("a certificate");
    for (name, pem) in [("ca.pem", ca.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        fs::write(directory.join(name), pem).expect("a file");
    }
}
