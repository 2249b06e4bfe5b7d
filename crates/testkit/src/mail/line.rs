//! One line of a log.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::plan::MailInstance;

/// One line of a log, and its subject.
#[derive(Clone, Debug)]
pub struct MailLine {
    /// Time in microseconds since 1970.
    pub at: i64,
    /// Index of its instance.
    pub instance: usize,
    /// Service and program: `smtpd`, `submission/smtpd`.
    pub program: &'static str,
    /// Process that wrote it.
    pub pid: u32,
    /// Text behind the tag.
    pub body: String,
    /// Event that it reports.
    pub kind: MailLineKind,
    /// Index of the message whose queue id it begins with.
    pub message: Option<usize>,
    /// Index of the session in which it was written, if smtpd wrote it.
    pub session: Option<usize>,
    /// Index of the client at which postscreen looks, if postscreen wrote it, or dnsblog or tlsproxy for postscreen.
    pub screening: Option<usize>,
}

/// Event that a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailLineKind {
    /// `connect from`, or postscreen's `CONNECT from`.
    Connect,
    /// `disconnect from`, or postscreen's `DISCONNECT`.
    Disconnect,
    /// A test of postscreen.
    Postscreen,
    /// An answer of a block list, by dnsblog.
    Dnsbl,
    /// `lost connection after`, `timeout after`, `too many errors after`.
    ConnectionLost,
    /// `client=`.
    Client,
    /// A decision. [`MailVerdict`](super::MailVerdict) has its time.
    Verdict,
    /// The TLS summary.
    Tls,
    /// A failed SASL authentication.
    SaslFailure,
    /// A client whose name does not resolve to its address.
    HostnameMismatch,
    /// `uid=`.
    Pickup,
    /// `message-id=`.
    MessageId,
    /// qmgr took the message into the active queue.
    QueueActive,
    /// Attempt number `attempt` for the recipient number `recipient`, both from zero.
    Delivery {
        /// Index of the recipient.
        recipient: usize,
        /// Index of its attempt.
        attempt: usize,
    },
    /// A server failed, and the next was tried.
    AttemptFailed,
    /// A notice was sent.
    Notification,
    /// The message was returned for its age.
    Expired,
    /// `removed`.
    Removed,
    /// An action of postsuper, except for a removal.
    QueueAdmin,
}

/// Header in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailHeader {
    /// RFC 5424, with microseconds.
    Rfc5424,
    /// RFC 3164, with seconds.
    Rfc3164,
}

impl MailLineKind {
    /// The name of the event in the record.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Postscreen => "postscreen",
            Self::Dnsbl => "dnsbl",
            Self::ConnectionLost => "connection_lost",
            Self::Client => "client",
            Self::Verdict => "verdict",
            Self::Tls => "tls",
            Self::SaslFailure => "sasl_failure",
            Self::HostnameMismatch => "hostname_mismatch",
            Self::Pickup => "pickup",
            Self::MessageId => "message_id",
            Self::QueueActive => "queue_active",
            Self::Delivery { .. } => "delivery",
            Self::AttemptFailed => "attempt_failed",
            Self::Notification => "notification",
            Self::Expired => "expired",
            Self::Removed => "removed",
            Self::QueueAdmin => "queue_admin",
        }
    }
}

impl MailLine {
    /// Returns the line with its header, as rsyslog sends it, without an end of line.
    pub(super) fn text(&self, instance: &MailInstance, header: MailHeader) -> String {
        let Self { program, pid, body, .. } = self;
        let MailInstance { hostname, name, .. } = instance;
        let moment = Offset::UTC.to_datetime(Timestamp::from_microsecond(self.at).expect("a time of this century"));
        // The facility is mail. Postfix gives warnings the severity warning, and the rest info.
        let priority = if body.starts_with("warning: ") { 20 } else { 22 };
        let (day, [hour, minute, second]) = (moment.day(), [moment.hour(), moment.minute(), moment.second()]);
        let mut text = String::with_capacity(body.len() + 96);
        let written = match header {
            MailHeader::Rfc5424 => {
                let (year, month, micros) = (moment.year(), moment.month(), self.at.rem_euclid(1_000_000));
                write!(
                    text,
                    "<{priority}>1 {year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00 \
                     {hostname} {name}/{program} {pid} - - {body}"
                )
            }
            MailHeader::Rfc3164 => {
                let month = moment.strftime("%b");
                write!(
                    text,
                    "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {hostname} {name}/{program}[{pid}]: \
                     {body}"
                )
            }
        };
        written.expect("a String takes all");
        text
    }
}
