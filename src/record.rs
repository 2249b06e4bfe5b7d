//! The vocabulary: a [`Record`] and its parts, as the `postfix` stage gives them and `encode` prints them.
//!
//! Everything borrows from the frame that it was read from. What is not known is `None`; nothing here is ever empty text
//! that stands for "none", except that an empty address (`<>`) is the value `""`.

mod id;

pub use id::{RecordId, RecordIds, Reserved};

use crate::postfix::dsn::Dsn;
use crate::syslog::Message;
use crate::time::Timestamp;

/// One syslog message and what is known of it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Given once at receipt; time-ordered and unique.
    pub id: RecordId,
    /// When the frame was read, with six digits, in UTC.
    pub received_at: Timestamp,
    /// Which source read it, and from whom.
    pub origin: &'a Origin,
    /// The peer as text: `192.0.2.1:51234`, `[2001:db8::1]:514`, or a path.
    pub peer: Option<&'a str>,
    /// What the `syslog` stage read.
    pub message: Message<'a>,
    /// What the `postfix` stage read: there if and only if a Postfix program wrote the message.
    pub postfix: Option<Postfix<'a>>,
    /// The flags of every stage together.
    pub flags: Flags,
}

/// What all frames of one source have in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The configured name of the source.
    pub name: String,
    /// How the frames arrive.
    pub transport: Transport,
    /// The zone of RFC 3164 times, which carry none.
    pub zone: jiff::tz::TimeZone,
}

/// How a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587.
    Tcp,
    /// A unix domain socket.
    Unix,
    /// A file named on the command line.
    File,
    /// The standard input.
    Stdin,
}

/// What was wrong with a message, or had to be inferred: a set, printed in the order of [`Flags::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

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

/// What happened, one variant for each `event` of the record.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one event lives at a time, on the stack: a box would allocate per line")]
pub enum Event<'a> {
    /// The line with `to=` and `status=`, which every delivery agent and qmgr write (`src/global/log_adhoc.c`).
    Delivery(Delivery<'a>),
    /// A line with a level that no other event names.
    Warning {
        /// The text after the level and the queue id.
        text: &'a str,
    },
    /// A Postfix line that nothing here describes.
    Other {
        /// The text after the queue id.
        text: &'a str,
    },
}

/// One attempt to deliver to one recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery<'a> {
    /// The recipient, without its brackets.
    pub to: &'a str,
    /// The recipient before aliasing, where it differs.
    pub orig_to: Option<&'a str>,
    /// Where it went; `None` for `relay=none`.
    pub relay: Option<Endpoint<'a>>,
    /// How often the connection has been used, from 2; `None` for a fresh one.
    pub conn_use: Option<u32>,
    /// Seconds since the message arrived.
    pub delay: Option<Decimal<'a>>,
    /// The delay by stage.
    pub delays: Option<Delays<'a>>,
    /// The TLS feature status of Postfix 3.11, as logged.
    pub tls_feature: Option<&'a str>,
    /// The enhanced status code.
    pub dsn: Option<Dsn<'a>>,
    /// The status word: `sent`, `deferred`, `bounced`, and any other.
    pub status: &'a str,
    /// The text in the last parentheses, whole.
    pub reason: Option<&'a str>,
    /// What a server said.
    pub reply: Option<Reply<'a>>,
    /// The queue id that the next server gave.
    pub remote_queue_id: Option<&'a str>,
    /// The queue id of the new message that a forward made.
    pub forwarded_as: Option<&'a str>,
    /// Why it was not delivered, as one word.
    pub cause: Option<Cause>,
}

/// A host, a socket or a service: the other end of a connection or a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The host name, or the name of a delivery service; `None` for `unknown`.
    pub name: Option<&'a str>,
    /// The IP address, without brackets; `None` for `unknown`.
    pub ip: Option<&'a str>,
    /// The TCP port.
    pub port: Option<u16>,
    /// The path of a unix socket, as configured.
    pub path: Option<&'a str>,
}

/// `delays=a/b/c/d`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays<'a> {
    /// From arrival to the active queue.
    pub before_queue_manager: Decimal<'a>,
    /// From the active queue to the delivery agent.
    pub in_queue_manager: Decimal<'a>,
    /// DNS, TCP, EHLO, STARTTLS and AUTH.
    pub connection_setup: Decimal<'a>,
    /// From MAIL FROM to the final reply, or the run time of a local agent.
    pub transmission: Decimal<'a>,
}

/// A number with the digits that Postfix logged. Its text is always a valid JSON number without sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a>(&'a str);

/// What a server said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reply<'a> {
    /// The SMTP reply code, 200 to 599.
    pub code: Option<u16>,
    /// The enhanced status code that follows it.
    pub dsn: Option<Dsn<'a>>,
    /// What follows the codes.
    pub text: &'a str,
    /// The phase in `(in reply to PHASE)`, without the word "command".
    pub command: Option<&'a str>,
    /// Who said it, where the text names the server.
    pub server: Option<Endpoint<'a>>,
}

/// Why a delivery failed, from a fixed list, so that nobody downstream has to search free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server's host refused the connection.
    ConnectionRefused,
    /// No connection within the time limit.
    ConnectionTimedOut,
    /// No route to the server.
    NetworkUnreachable,
    /// The server closed the connection in mid-conversation.
    ConnectionLost,
    /// The server fell silent in mid-conversation.
    ConversationTimedOut,
    /// The domain or host does not exist.
    HostNotFound,
    /// The name service failed for another reason.
    DnsError,
    /// The domain accepts no mail (RFC 7505).
    NullMx,
    /// The mail loops back, or has been forwarded too often.
    MailLoop,
    /// TLS was required and not to be had.
    TlsRequired,
    /// The server's certificate was not trusted.
    TlsUntrusted,
    /// SASL authentication failed.
    SaslFailed,
    /// The server asks to come again later.
    Greylisted,
    /// The server limits how much it takes.
    RateLimited,
    /// The mailbox is full.
    MailboxFull,
    /// The recipient does not exist.
    UserUnknown,
    /// The message is larger than the server takes.
    MessageTooLarge,
    /// The server refuses the message as spam or by policy.
    SpamOrPolicy,
    /// Postfix's own delivery transport is not available.
    TransportUnavailable,
    /// Postfix suspended delivery to the destination after earlier failures.
    Suspended,
}

// === impl Flags ===

impl Flags {
    /// No `<PRI>` in front.
    pub const PRI_MISSING: Self = Self(1);
    /// No usable time: `timestamp` is `received_at`.
    pub const TIMESTAMP_MISSING: Self = Self(1 << 1);
    /// The time carried no year; the nearest to the receipt was taken.
    pub const YEAR_INFERRED: Self = Self(1 << 2);
    /// No hostname.
    pub const HOSTNAME_MISSING: Self = Self(1 << 3);
    /// The frame was over the limit, or ended before its end.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// Bytes that are not UTF-8 became U+FFFD.
    pub const INVALID_UTF8: Self = Self(1 << 5);
    /// A relay cut the TAG at 32 characters.
    pub const TAG_TRUNCATED: Self = Self(1 << 6);
    /// The tag had lost the daemon; the shape of the line gave it.
    pub const DAEMON_INFERRED: Self = Self(1 << 7);
    /// The reason was cut before its closing parenthesis.
    pub const REASON_TRUNCATED: Self = Self(1 << 8);
    /// `message repeated N times`.
    pub const REPEATED: Self = Self(1 << 9);

    /// Every flag with its name in the record, in the order in which they are printed.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::PRI_MISSING, "pri_missing"),
        (Self::TIMESTAMP_MISSING, "timestamp_missing"),
        (Self::YEAR_INFERRED, "year_inferred"),
        (Self::HOSTNAME_MISSING, "hostname_missing"),
        (Self::TRUNCATED, "truncated"),
        (Self::INVALID_UTF8, "invalid_utf8"),
        (Self::TAG_TRUNCATED, "tag_truncated"),
        (Self::DAEMON_INFERRED, "daemon_inferred"),
        (Self::REASON_TRUNCATED, "reason_truncated"),
        (Self::REPEATED, "repeated"),
    ];

    /// No flag.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

// === impl Decimal ===

impl<'a> Decimal<'a> {
    /// The number in `text`, if it is digits with at most one point between them, and a valid JSON number.
    pub fn new(text: &'a str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        (digits(whole) && digits(fraction) && !leading_zero).then_some(Self(text))
    }

    /// The digits as logged.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

// === names, where the record prints them ===

impl Transport {
    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
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
}

impl Event<'_> {
    /// Every event name, in the order of the record's documentation.
    pub const NAMES: [&'static str; 3] = ["delivery", "warning", "other"];

    /// The name in the record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivery(_) => "delivery",
            Self::Warning { .. } => "warning",
            Self::Other { .. } => "other",
        }
    }
}

impl Cause {
    /// Every cause, in the order of the record's documentation.
    pub const ALL: [Self; 20] = [
        Self::ConnectionRefused,
        Self::ConnectionTimedOut,
        Self::NetworkUnreachable,
        Self::ConnectionLost,
        Self::ConversationTimedOut,
        Self::HostNotFound,
        Self::DnsError,
        Self::NullMx,
        Self::MailLoop,
        Self::TlsRequired,
        Self::TlsUntrusted,
        Self::SaslFailed,
        Self::Greylisted,
        Self::RateLimited,
        Self::MailboxFull,
        Self::UserUnknown,
        Self::MessageTooLarge,
        Self::SpamOrPolicy,
        Self::TransportUnavailable,
        Self::Suspended,
    ];

    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimedOut => "connection_timed_out",
            Self::NetworkUnreachable => "network_unreachable",
            Self::ConnectionLost => "connection_lost",
            Self::ConversationTimedOut => "conversation_timed_out",
            Self::HostNotFound => "host_not_found",
            Self::DnsError => "dns_error",
            Self::NullMx => "null_mx",
            Self::MailLoop => "mail_loop",
            Self::TlsRequired => "tls_required",
            Self::TlsUntrusted => "tls_untrusted",
            Self::SaslFailed => "sasl_failed",
            Self::Greylisted => "greylisted",
            Self::RateLimited => "rate_limited",
            Self::MailboxFull => "mailbox_full",
            Self::UserUnknown => "user_unknown",
            Self::MessageTooLarge => "message_too_large",
            Self::SpamOrPolicy => "spam_or_policy",
            Self::TransportUnavailable => "transport_unavailable",
            Self::Suspended => "suspended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_json_numbers() {
        for good in ["0", "0.11", "10", "123456", "9.9", "0.000111"] {
            assert_eq!(Decimal::new(good).map(Decimal::as_str), Some(good));
        }
        for bad in ["", ".", "1.", ".1", "01", "-1", "1e3", "1.2.3", " 1", "٣"] {
            assert_eq!(Decimal::new(bad), None, "{bad:?}");
        }
    }
}
