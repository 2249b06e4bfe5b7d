//! The truth about one message.

use std::collections::BTreeMap;

use super::session::MailClient;

/// A message while it had one queue id. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub struct MailMessage {
    /// Index of its instance.
    pub instance: usize,
    /// The queue id as logged.
    pub queue_id: String,
    /// Creation time in a long queue id.
    pub queued_at: Option<i64>,
    /// Entry into the queue.
    pub origin: MailOrigin,
    /// Index of the session that brought it.
    pub session: Option<usize>,
    /// Index of the message from which it was made: before a content filter, on another host, before a forward or
    /// `postsuper -r`, or that a notice is about.
    pub parent: Option<usize>,
    /// Indices of the messages that were made from it.
    pub children: Vec<usize>,
    /// The queue id before the content filter, where the log has it (XFORWARD).
    pub orig_queue_id: Option<String>,
    /// The envelope sender, empty for `<>`; `None` if no line of the message shows it.
    pub from: Option<String>,
    /// User who submitted it with sendmail.
    pub uid: Option<u32>,
    /// Client of the session.
    pub client: Option<MailClient>,
    /// SASL authentication of the client.
    pub sasl: Option<MailSasl>,
    /// The Message-ID, without brackets; `None` if it was not logged.
    pub message_id: Option<String>,
    /// Size in bytes, if qmgr logged it.
    pub size: Option<u64>,
    /// Number of recipients, if qmgr logged it.
    pub nrcpt: Option<u64>,
    /// Name that the client gave itself, if a verdict with the queue id shows it.
    pub helo: Option<String>,
    /// `SMTP` or `ESMTP`, if a verdict with the queue id shows it.
    pub proto: Option<&'static str>,
    /// Every accepted recipient. One without attempts shows in no delivery line. An address can come more than once,
    /// with different `orig_to`.
    pub recipients: Vec<MailRecipient>,
    /// Decisions that carried its queue id.
    pub verdicts: Vec<MailVerdict>,
    /// Time of its first line.
    pub first_seen: i64,
    /// Time of its last line.
    pub last_seen: i64,
    /// Time of the first line of qmgr.
    pub active_at: Option<i64>,
    /// Time when the last recipient became final.
    pub completed_at: Option<i64>,
    /// True if qmgr returned it to the sender because of its age.
    pub expired: bool,
    /// True if a line with `removed` closes it.
    pub removed: bool,
    /// How it ended.
    pub end: MailEnd,
}

/// A recipient of a message.
#[derive(Clone, Debug)]
pub struct MailRecipient {
    /// The address.
    pub to: String,
    /// The address before aliasing, if it differs.
    pub orig_to: Option<String>,
    /// Every delivery attempt, in the order of time.
    pub attempts: Vec<MailAttempt>,
}

/// One delivery attempt: one line with `to=`.
#[derive(Clone, Debug)]
pub struct MailAttempt {
    /// Time of the line.
    pub at: i64,
    /// Program that made it: `smtp`, `lmtp`, `local`, `virtual`, `pipe`, `error`, `discard`.
    pub daemon: &'static str,
    /// `relay=` as logged; `none` if there was none.
    pub relay: String,
    /// `conn_use=`, if logged.
    pub conn_use: Option<u64>,
    /// `delay=` as logged.
    pub delay: String,
    /// The four numbers of `delays=` as logged.
    pub delays: [String; 4],
    /// The enhanced status code.
    pub dsn: &'static str,
    /// The status.
    pub status: MailStatus,
    /// Text in the last parentheses.
    pub reason: String,
    /// Queue id that the next server gave.
    pub remote_queue_id: Option<String>,
    /// Queue id of the message that a forward made.
    pub forwarded_as: Option<String>,
    /// TLS of the connection, if a line of the same process just before shows it.
    pub tls: Option<MailTls>,
}

/// Status of a delivery attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailStatus {
    /// Delivered.
    Sent,
    /// Failed for now.
    Deferred,
    /// Failed for good.
    Bounced,
}

/// Entry of a message into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailOrigin {
    /// A client brought it over SMTP; this includes a content filter and another host.
    Smtp,
    /// A local user submitted it with sendmail.
    Pickup,
    /// The notice of a bounce.
    Bounce,
    /// The notice of a delay.
    Delay,
    /// The notice of a success that the sender asked for.
    Success,
    /// An alias forwarded it.
    Forward,
    /// `postsuper -r` gave it a new queue id.
    Requeue,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailEnd {
    /// It is in the queue.
    Open,
    /// It is in the hold queue.
    Held,
    /// Each recipient is final, and qmgr removed it.
    Done,
    /// `postsuper -d` removed it.
    Deleted,
    /// The client did not complete it.
    Canceled,
    /// Postfix refused it, or a milter did.
    Rejected,
    /// Postfix discarded it before it was queued.
    Discarded,
    /// `postsuper -r` made another message of it.
    Requeued,
}

/// Result of a message, in the words of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailResult {
    /// Each recipient got it.
    Sent,
    /// Some recipients got it.
    Partial,
    /// No recipient got it.
    Bounced,
    /// No recipient got it, some because of its age.
    Expired,
    /// Refused.
    Rejected,
    /// Discarded.
    Discarded,
    /// Deleted by an administrator.
    Deleted,
    /// In the hold queue.
    Held,
    /// Open, canceled or requeued.
    Unknown,
}

/// A decision about a client, a message or a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailVerdict {
    /// Time of the line.
    pub at: i64,
    /// `smtpd` or `cleanup`.
    pub daemon: &'static str,
    /// `reject`, `reject_warning`, `warn`, `hold`, `discard`.
    pub action: &'static str,
    /// `restriction`, `milter`, `header_check`, `body_check`.
    pub by: &'static str,
    /// The SMTP stage, where the line has one.
    pub stage: Option<&'static str>,
    /// The SMTP reply code.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub dsn: Option<&'static str>,
    /// Text after the codes.
    pub text: String,
    /// The header or line that matched.
    pub trigger: Option<&'static str>,
}

/// SASL authentication of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSasl {
    /// The mechanism.
    pub method: &'static str,
    /// The user.
    pub username: String,
}

/// TLS of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailTls {
    /// `Anonymous`, `Untrusted`, `Trusted` or `Verified`.
    pub trust: &'static str,
    /// The protocol.
    pub protocol: &'static str,
    /// The cipher suite.
    pub cipher: &'static str,
}

// === impl MailMessage ===

impl MailMessage {
    /// Returns what became of it.
    pub fn result(&self) -> MailResult {
        match self.end {
            MailEnd::Open | MailEnd::Canceled | MailEnd::Requeued => MailResult::Unknown,
            MailEnd::Held => MailResult::Held,
            MailEnd::Deleted => MailResult::Deleted,
            MailEnd::Rejected => MailResult::Rejected,
            MailEnd::Discarded => MailResult::Discarded,
            MailEnd::Done => {
                let counts = self.recipient_counts();
                let sent = counts.get(&MailStatus::Sent).copied().unwrap_or_default();
                match sent {
                    0 if self.expired => MailResult::Expired,
                    0 => MailResult::Bounced,
                    sent if sent == self.recipients.len() => MailResult::Sent,
                    _ => MailResult::Partial,
                }
            }
        }
    }

    /// Returns the number of recipients by the status of their last attempt. A recipient of an expired message stays
    /// deferred.
    pub fn recipient_counts(&self) -> BTreeMap<MailStatus, usize> {
        let mut counts = BTreeMap::new();
        for attempt in self.recipients.iter().filter_map(|recipient| recipient.attempts.last()) {
            *counts.entry(attempt.status).or_default() += 1;
        }
        counts
    }

    /// Returns the last part of its key: the creation time of a long queue id, else the second of its first line, both
    /// in microseconds.
    pub fn opened(&self) -> i64 {
        self.queued_at.unwrap_or_else(|| self.first_seen - self.first_seen.rem_euclid(1_000_000))
    }

    /// Returns true if Postfix queued it: it was complete, and neither refused nor discarded.
    pub fn is_accepted(&self) -> bool {
        !matches!(self.end, MailEnd::Canceled | MailEnd::Rejected | MailEnd::Discarded)
    }
}

// === names ===

impl MailStatus {
    /// The status as logged.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
        }
    }

    /// Returns true if Postfix does not try again.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Deferred)
    }
}

impl MailResult {
    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Partial => "partial",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Discarded => "discarded",
            Self::Deleted => "deleted",
            Self::Held => "held",
            Self::Unknown => "unknown",
        }
    }
}
