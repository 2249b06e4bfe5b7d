//! A message, joined from all its lines.

use super::event::{Delivery, Verdict};
use super::id::Uid;
use super::shape::{Endpoint, Sasl, Tls};
use crate::decimal;
use crate::time::Timestamp;

/// Facts of a message that are known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// The id of the message, the same in all its records.
    pub uid: Uid,
    /// The envelope sender.
    pub from: Option<&'a str>,
    /// The client that submitted the message.
    pub client: Option<Endpoint<'a>>,
    /// SASL authentication of the client.
    pub sasl: Sasl<'a>,
    /// The Message-ID, without its brackets.
    pub message_id: Option<&'a str>,
    /// The size of the message in bytes.
    pub size: Option<u64>,
    /// The number of recipients when the message first became active.
    pub nrcpt: Option<u64>,
    /// Name that the client gives itself.
    pub helo: Option<&'a str>,
    /// `SMTP` or `ESMTP`.
    pub proto: Option<&'a str>,
    /// The TLS connection of the session.
    pub tls: Option<Tls<'a>>,
    /// Time of the first line.
    pub received_at: Timestamp,
}

/// Place of a delivery in the history of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryJoin<'a> {
    /// The message.
    pub mail: Mail<'a>,
    /// Number of deliveries of this message to this recipient so far, this one included.
    pub attempt: u32,
    /// True for a status after which Postfix does not try again.
    pub is_final: bool,
}

/// Result of a message, joined from its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageSummary<'a> {
    /// Text from which `mail.uid` is computed: `hostname/instance/queue_id/opened`.
    pub key: &'a str,
    /// 1, 2, …: the highest wins.
    pub revision: u32,
    /// State of the message at this revision.
    pub state: MessageState,
    /// Result for all recipients together.
    pub result: MessageResult,
    /// Facts of the message that are known.
    pub mail: Mail<'a>,
    /// The recipients, each with its last delivery.
    pub recipients: &'a [RecipientSummary<'a>],
    /// Decisions on this message that carried its queue id.
    pub verdicts: &'a [Verdict<'a>],
    /// Time of the first line.
    pub first_seen: Timestamp,
    /// Time of the last line.
    pub last_seen: Timestamp,
    /// Time at which the last recipient became final.
    pub completed_at: Option<Timestamp>,
    /// The id of the message from which this one was made.
    pub parent_uid: Option<Uid>,
    /// The queue id of the message from which this one was made.
    pub parent_queue_id: Option<&'a str>,
    /// The queue ids of the messages that were made from this one.
    pub child_queue_ids: &'a [&'a str],
    /// The id of the oldest known message of the chain.
    pub trace_id: Uid,
    /// True if a line that must exist was not seen.
    pub incomplete: bool,
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipientSummary<'a> {
    /// The last delivery.
    pub delivery: Delivery<'a>,
    /// Number of deliveries.
    pub attempts: u32,
    /// Time of the first delivery.
    pub first_attempt_at: Timestamp,
    /// Time of the last delivery.
    pub last_attempt_at: Timestamp,
    /// The TLS connection of the last delivery.
    pub tls: Option<Tls<'a>>,
}

/// State of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// More lines are expected.
    Open,
    /// No more lines are expected.
    Closed(ClosedBy),
}

/// Reason why no more lines of a message are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The message left the queue.
    Removed,
    /// No line came for a long time.
    Timeout,
    /// Other messages needed the memory.
    Evicted,
    /// The program stopped.
    Shutdown,
}

/// Result of a message for all recipients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageResult {
    /// Every recipient was reached.
    Sent,
    /// Some recipients were reached.
    Partial,
    /// No recipient was reached, and the message returned to its sender.
    Bounced,
    /// The message stayed in the queue for too long.
    Expired,
    /// This host refused the message.
    Rejected,
    /// This host accepted the message and threw it away.
    Discarded,
    /// An administrator deleted the message.
    Deleted,
    /// The message is on hold.
    Held,
    /// The lines do not tell.
    Unknown,
}

impl Mail<'_> {
    /// True if a number is too large for a record.
    pub fn exceeds(&self) -> bool {
        let numbers = [self.size, self.nrcpt];
        numbers.into_iter().flatten().any(|number| number > decimal::LARGEST)
            || self.tls.as_ref().is_some_and(Tls::exceeds)
    }
}

impl MessageSummary<'_> {
    /// True if a number is too large for a record.
    pub fn exceeds(&self) -> bool {
        let too_large =
            |one: &RecipientSummary<'_>| one.delivery.exceeds() || one.tls.as_ref().is_some_and(Tls::exceeds);
        self.mail.exceeds() || self.recipients.iter().any(too_large)
    }
}

impl MessageState {
    /// Names in the record.
    pub const NAMES: [&'static str; 2] = ["open", "closed"];

    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed(_) => "closed",
        }
    }

    /// The reason why the message is closed.
    pub const fn closed_by(self) -> Option<ClosedBy> {
        match self {
            Self::Open => None,
            Self::Closed(by) => Some(by),
        }
    }
}

impl ClosedBy {
    /// Every reason, in the order of the record's documentation.
    pub const ALL: [Self; 4] = [Self::Removed, Self::Timeout, Self::Evicted, Self::Shutdown];

    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Timeout => "timeout",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
        }
    }
}

impl MessageResult {
    /// Every result, in the order of the record's documentation.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Partial,
        Self::Bounced,
        Self::Expired,
        Self::Rejected,
        Self::Discarded,
        Self::Deleted,
        Self::Held,
        Self::Unknown,
    ];

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
