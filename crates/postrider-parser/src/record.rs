//! The vocabulary: a [`Record`] and its parts, as the `postfix` stage returns them and `encode` prints them.
//!
//! Everything borrows from the frame that it was read from. A value that is not known is `None`. An empty text never
//! stands for "none"; the only empty value is the empty address (`<>`), which is `""`.

mod cause;
mod event;
mod id;
mod line;
mod mail;
mod provider;
mod session;
mod shape;

pub use cause::Cause;
pub use event::{
    AttemptFailed, CacheCleanup, CacheStatistics, Client, Connect, ConnectionLost, Delivery, Disconnect, Dnsbl, Event,
    Expired, HostnameMismatch, Lifecycle, MessageId, Notice, Notification, NotificationFailed, Passing, Pickup,
    Postscreen, ProtocolError, QueueActive, QueueAdmin, RateLimit, Removed, SaslFailure, Statistics, Text, TlsError,
    TlsReport, TlsSummary, Verdict,
};
pub use id::{NewId, RecordId, RecordIds, Reserved, Uid};
pub use line::{LineHash, LineHashes};
pub use mail::{ClosedBy, DeliveryJoin, Mail, MessageResult, MessageState, MessageSummary, RecipientSummary};
pub use provider::Provider;
pub use session::{SessionEnd, SessionSummary};
pub use shape::{Commands, Decimal, Delays, Endpoint, Figures, Reply, Sasl, Tls};

use jiff::tz::TimeZone;

pub use crate::flags::Flags;
use crate::syslog::{self, Format, Message, Severity};
use crate::time::Timestamp;

/// One syslog message and everything known about it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Unique, time-ordered id: assigned once at receipt, or computed from a line of a file.
    pub id: RecordId,
    /// Time at which the frame was read.
    pub received_at: Timestamp,
    /// Source that read the frame.
    pub origin: &'a Origin,
    /// Sender of the frame.
    pub peer: Peer<'a>,
    /// Result of the `syslog` stage.
    pub message: Message<'a>,
    /// Result of the `postfix` stage: present if and only if a Postfix program wrote the message.
    pub postfix: Option<Postfix<'a>>,
    /// Flags of all stages together.
    pub flags: Flags,
    /// True if nothing in the frame is known to need an escape in JSON. If false, each text is checked.
    pub plain: bool,
}

/// Sender of a frame, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The address as text: `192.0.2.1:51234`, `[2001:db8::1]:514`, or a path.
    pub address: Option<&'a str>,
    /// Subject of the peer's verified client certificate as in RFC 4514: `CN=mx1.example.com,O=Example`.
    pub tls_subject: Option<&'a str>,
}

/// Properties that all frames of one source share.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Configured name of the source.
    pub name: String,
    /// Transport by which the frames arrive.
    pub transport: Transport,
    /// Time zone of RFC 3164 times, which name none.
    pub zone: TimeZone,
    /// Format of the frames.
    pub format: Format,
}

/// Way by which a frame arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
    /// RELP, which acknowledges messages.
    Relp,
    /// A unix domain socket.
    Unix,
    /// A file: named on the command line, or followed by a `[[source.file]]`.
    File,
    /// The standard input.
    Stdin,
}

/// Message of a Postfix program.
#[derive(Clone, Debug, PartialEq)]
pub struct Postfix<'a> {
    /// Event that the message reports.
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
    /// Flags for what was inferred, damaged or unusual: `daemon_inferred`, `reason_truncated`, `status_ambiguous`,
    /// `queue_id_unusual`.
    pub flags: Flags,
}

/// Word that Postfix puts in front of a text that is more severe than information (`src/util/msg_output.c`).
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
    /// Returns the time of the event according to the sender, or else the time at which the frame was read.
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp.unwrap_or(self.received_at)
    }

    /// Returns the moment of a time that Postfix wrote into its text, such as `Nov 24 02:10:35`. The clock that wrote
    /// the header decides the offset from UTC.
    pub fn moment(&self, text: &str) -> Option<Timestamp> {
        let offset = self.message.offset;
        let named =
            jiff::tz::Offset::from_seconds(offset.seconds).ok().filter(|_| offset.is_named).map(TimeZone::fixed);
        syslog::moment(text, self.timestamp(), named.as_ref().unwrap_or(&self.origin.zone))
    }
}

// === names, where the record prints them ===

impl<'a> Peer<'a> {
    /// Returns a peer of which only the address is known.
    pub const fn at(address: &'a str) -> Self {
        Self { address: Some(address), tls_subject: None }
    }
}

impl Transport {
    /// Every transport, in the order of the record's documentation.
    pub const ALL: [Self; 7] = [Self::Udp, Self::Tcp, Self::Tls, Self::Relp, Self::Unix, Self::File, Self::Stdin];

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
