//! The vocabulary: a [`Record`] and its parts, as the `postfix` stage gives them and `encode` prints them.
//!
//! Everything borrows from the frame that it was read from. What is not known is `None`; nothing here is ever empty
//! text that stands for "none", except that an empty address (`<>`) is the value `""`.

mod cause;
mod event;
mod id;
mod line;
mod provider;
mod shape;

pub use cause::Cause;
pub use event::{
    AttemptFailed, CacheCleanup, CacheStatistics, Client, Connect, ConnectionLost, Delivery, Disconnect, Dnsbl, Event,
    Expired, HostnameMismatch, Lifecycle, MessageId, Notice, Notification, NotificationFailed, Passing, Pickup,
    Postscreen, ProtocolError, QueueActive, QueueAdmin, RateLimit, Removed, SaslFailure, Statistics, Text, TlsError,
    TlsReport, TlsSummary, Verdict,
};
pub use id::{NewId, RecordId, RecordIds, Reserved};
pub use line::{LineHash, LineHashes};
pub use provider::Provider;
pub use shape::{Commands, Decimal, Delays, Endpoint, Figures, Reply, Sasl, Tls};

use jiff::tz::TimeZone;

pub use crate::flags::Flags;
use crate::syslog::{self, Format, Message, Severity};
use crate::time::Timestamp;

/// One syslog message and what is known of it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Given once at receipt, or made from a line of a file; time-ordered and unique.
    pub id: RecordId,
    /// When the frame was read.
    pub received_at: Timestamp,
    /// Which source read it, and from whom.
    pub origin: &'a Origin,
    /// Who sent it.
    pub peer: Peer<'a>,
    /// What the `syslog` stage read.
    pub message: Message<'a>,
    /// What the `postfix` stage read: there if and only if a Postfix program wrote the message.
    pub postfix: Option<Postfix<'a>>,
    /// The flags of every stage together.
    pub flags: Flags,
    /// Whether it is known that nothing in the frame needs an escape in JSON. If not, each text is looked at.
    pub plain: bool,
}

/// Who sent a frame, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The address as text: `192.0.2.1:51234`, `[2001:db8::1]:514`, or a path.
    pub address: Option<&'a str>,
    /// The subject of its verified client certificate as in RFC 4514: `CN=mx1.example.com,O=Example`.
    pub tls_subject: Option<&'a str>,
}

/// What all frames of one source have in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The configured name of the source.
    pub name: String,
    /// How the frames arrive.
    pub transport: Transport,
    /// The zone of RFC 3164 times, which carry none.
    pub zone: TimeZone,
    /// What the frames look like.
    pub format: Format,
}

/// How a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
    /// RELP, which acknowledges.
    Relp,
    /// A unix domain socket.
    Unix,
    /// A file named on the command line.
    File,
    /// The standard input.
    Stdin,
}

/// What a Postfix program said.
#[derive(Clone, Debug, PartialEq)]
pub struct Postfix<'a> {
    /// What happened.
    pub event: Event<'a>,
    /// `syslog_name` up to its first `/`: `postfix`, `postfix-out`.
    pub instance: &'a str,
    /// The middle of the tag: `submission`, `content-filter`.
    pub service: Option<&'a str>,
    /// The program: `smtp`, `smtpd`, `qmgr`.
    pub daemon: Option<&'a str>,
    /// The level that Postfix put in front of its text.
    pub level: Option<Level>,
    /// The queue id as logged; `None` for NOQUEUE.
    pub queue_id: Option<&'a str>,
    /// The creation time that a long queue id carries.
    pub queued_at: Option<Timestamp>,
    /// What was inferred, damaged or odd: `daemon_inferred`, `reason_truncated`, `status_ambiguous`,
    /// `queue_id_unusual`.
    pub flags: Flags,
}

/// The word that Postfix puts in front of a text that is more than information (`src/util/msg_output.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `warning:`
    Warning,
    /// `error:`
    Error,
    /// `fatal:`
    Fatal,
    /// `panic:`
    Panic,
}

// === impl Record ===

impl Record<'_> {
    /// When the sender says it happened; without such a time, when the frame was read.
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp.unwrap_or(self.received_at)
    }

    /// The moment of a time that Postfix wrote into its text, by the clock that wrote the header: `Nov 24 02:10:35`.
    pub fn moment(&self, text: &str) -> Option<Timestamp> {
        let offset = self.message.offset;
        let named =
            jiff::tz::Offset::from_seconds(offset.seconds).ok().filter(|_| offset.is_named).map(TimeZone::fixed);
        syslog::moment(text, self.timestamp(), named.as_ref().unwrap_or(&self.origin.zone))
    }
}

// === names, where the record prints them ===

impl<'a> Peer<'a> {
    /// A peer of which only the address is known.
    pub const fn at(address: &'a str) -> Self {
        Self { address: Some(address), tls_subject: None }
    }
}

impl Transport {
    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Relp => "relp",
            Self::Unix => "unix",
            Self::File => "file",
            Self::Stdin => "stdin",
        }
    }
}

impl Level {
    /// The word that Postfix wrote.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
            Self::Panic => "panic",
        }
    }

    /// The severity that Postfix gives a text of this level when it sends it to syslog (`src/util/msg_syslog.c`).
    pub const fn severity(self) -> Severity {
        match self {
            Self::Warning => Severity::WARNING,
            Self::Error => Severity::ERR,
            Self::Fatal | Self::Panic => Severity::CRIT,
        }
    }
}
