//! One message: the facts in the lines with its queue id.

mod lines;
mod result;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(super) use self::lines::timed;
use super::fields::{Fields, KeptField};
use super::hash::KeyedHash;
use super::line::{JoinLine, MaybeTime, is_rough, micros};
use super::patterns::PatternTable;
use super::pool::BufferPool;
use super::recipient::JoinedRecipients;
use super::saved;
use super::session::SessionLines;
use super::system::SETTLE;
use super::tls::KeptTls;
use crate::record::{ClosedBy, Event, MessageId, QueueActive, Uid};

/// A message. There may be a million of them, so that it is small: what few messages have is among its texts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JoinedMessage {
    /// Texts and numbers. Its queue id is the first.
    pub(super) fields: Fields,
    #[serde(skip)]
    pub(super) recipients: JoinedRecipients,
    /// TLS of the session that brought it.
    pub(super) tls: Option<Arc<KeptTls>>,
    pub(super) queued_at: MaybeTime,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    /// Time when it last was in the active queue or was released.
    moved_at: MaybeTime,
    /// Time of its end, by the clock of the mail system.
    closed_at: i64,
    #[serde(with = "saved::closed_by")]
    closed_by: Option<ClosedBy>,
    seen: SeenLines,
    end: Option<MessageEnd>,
    /// True if its session is over and nothing more of it was seen: its client did not complete it.
    is_abandoned: bool,
    /// Number of summaries that were made.
    pub(super) revision: u32,
    /// Zeros until it is first needed. For a short queue id, it holds the time of the first line that is known then.
    #[serde(with = "saved::uid")]
    uid: Uid,
}

/// End of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) by: ClosedBy,
    /// Time by the clock of the mail system.
    pub(super) at: i64,
}

/// How a message ended, if not by deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum MessageEnd {
    Deleted,
    Requeued,
    Canceled,
    Rejected,
    Discarded,
}

/// The lines that every message has.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct SeenLines {
    /// The line that opens it: `client=` or `uid=`.
    opened: bool,
    message_id: bool,
    active: bool,
    /// The line by which it left the queue.
    removed: bool,
    /// Postfix made it itself: a notice or a forward, which has no client.
    is_internal: bool,
}

/// Everything but the line itself that applying it to its message takes.
pub(super) struct MessageContext<'c> {
    /// Process of smtpd that wrote it.
    pub(super) process: Option<&'c SessionLines>,
    /// Last TLS connection of the process that wrote it, for a delivery agent.
    pub(super) tls: Option<&'c Arc<KeptTls>>,
    pub(super) hash: KeyedHash,
    pub(super) patterns: &'c mut PatternTable,
    /// Room for fields while they are collected.
    pub(super) room: &'c mut Fields,
}

/// Effect of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageChange {
    /// It adds facts, or nothing.
    Known,
    /// A delivery: the number of its attempt.
    Delivery { attempt: u32, is_final: bool },
    /// It is the last line of the message.
    Closed,
}

impl JoinedMessage {
    pub(super) fn new(line: &JoinLine<'_, '_>) -> Self {
        Self {
            fields: Fields::default(),
            recipients: JoinedRecipients::None,
            tls: None,
            queued_at: MaybeTime::of(line.postfix.queued_at.map(micros)),
            first_seen: line.at,
            last_seen: line.at,
            moved_at: MaybeTime::NONE,
            closed_at: 0,
            closed_by: None,
            seen: SeenLines::default(),
            end: None,
            is_abandoned: false,
            revision: 0,
            uid: Uid::default(),
        }
    }

    /// Returns the memory to which the message points, in bytes.
    pub(super) fn held(&self) -> usize {
        let tls = self.tls.as_ref().map_or(0, |tls| tls.held());
        self.fields.held() + BufferPool::EACH + self.recipients.held() + tls
    }

    pub(super) fn queue_id(&self) -> &str {
        self.fields.get(KeptField::QueueId).unwrap_or_default()
    }

    /// Returns true if this is its queue id.
    pub(super) fn has_queue_id(&self, queue_id: &str) -> bool {
        self.fields.as_ref().value(KeptField::QueueId) == Some(queue_id.as_bytes())
    }

    /// Returns its id, once it is known.
    pub(super) fn uid(&self) -> Option<Uid> {
        (self.uid != Uid::default()).then_some(self.uid)
    }

    pub(super) const fn set_uid(&mut self, uid: Uid) {
        self.uid = uid;
    }

    /// Returns the end of the message, if it has ended.
    pub(super) fn closed(&self) -> Option<Closing> {
        self.closed_by.map(|by| Closing { by, at: self.closed_at })
    }

    /// Ends the message, unless it has ended.
    pub(super) fn close(&mut self, by: ClosedBy, at: i64) {
        if self.closed_by.is_none() {
            (self.closed_by, self.closed_at) = (Some(by), at);
        }
    }

    /// Returns true if `line` is about another message, to which Postfix gave the same short queue id later.
    pub(super) fn is_succeeded_by(&self, line: &JoinLine<'_, '_>) -> bool {
        if self.queued_at.is_known() || line.at < self.last_seen {
            return false;
        }
        if line.at == self.last_seen {
            return self.seen.removed && is_rough(line.at) && self.begins_another(line);
        }
        // `removed` is the last line of a message. After a refusal, another line may come.
        let is_over = self.seen.removed || self.closed_by.is_some() && line.at > self.last_seen + SETTLE;
        if is_over {
            return true;
        }
        match &line.postfix.event {
            Event::Client(_) | Event::Pickup(_) => self.seen.opened || line.at > self.last_seen + SETTLE,
            Event::MessageId(MessageId { message_id, resent: false }) => {
                let known = self.fields.get(KeptField::MessageId).unwrap_or_default();
                let is_late = !self.seen.message_id && line.at <= self.last_seen + SETTLE;
                (self.seen.active && !is_late) || (self.seen.message_id && known != *message_id)
            }
            Event::QueueActive(QueueActive { size, .. }) => {
                let known = self.fields.as_ref().number(KeptField::Size);
                known.is_some() && *size != known
            }
            _ => false,
        }
    }

    /// Returns true if `line` begins a message, and not this one.
    fn begins_another(&self, line: &JoinLine<'_, '_>) -> bool {
        match &line.postfix.event {
            Event::Client(client) => client.client.is_some() && self.fields.as_ref().client() != client.client,
            Event::MessageId(MessageId { message_id, resent: false }) => {
                self.fields.get(KeptField::MessageId).is_some_and(|known| known != *message_id)
            }
            _ => false,
        }
    }

    /// Returns the time of its first line, and true if it is closed.
    pub(super) const fn standing(&self) -> (i64, bool) {
        (self.first_seen, self.closed_by.is_some())
    }

    /// Returns true if it can be the message that was made from one that began at the time `begun`, and of which a line
    /// of the time `at` names it. A message that was over by then is not: its queue id came back.
    pub(super) fn is_of(&self, begun: i64, at: i64) -> bool {
        (begun..=at).contains(&self.first_seen) && !self.was_over(at)
    }

    /// Returns true if the message was over before the time `at`.
    pub(super) fn was_over(&self, at: i64) -> bool {
        self.closed_by.is_some() && self.last_seen + SETTLE < at
    }

    /// Notes the message from which this one was made.
    pub(super) fn made_from(&mut self, queue_id: &str, uid: Uid, trace: Uid) {
        self.fields.set(KeptField::Parent, Some(queue_id));
        self.fields.replace(KeptField::ParentUid, &uid.0);
        self.trace_to(trace);
    }

    /// Notes that Postfix made it itself. Returns true if that was not known.
    pub(super) const fn made_by_postfix(&mut self) -> bool {
        !std::mem::replace(&mut self.seen.is_internal, true)
    }

    /// Notes the oldest message of its chain, which has become known.
    pub(super) fn trace_to(&mut self, trace: Uid) {
        self.fields.replace(KeptField::TraceId, &trace.0);
    }

    /// Returns the id of the message from which this one was made, once it is known.
    pub(super) fn parent(&self) -> Option<Uid> {
        self.fields.as_ref().value(KeptField::ParentUid)?.try_into().ok().map(Uid)
    }

    /// Returns the id of the oldest message of its chain, if it was made from another one.
    pub(super) fn trace(&self) -> Option<Uid> {
        self.fields.as_ref().value(KeptField::TraceId)?.try_into().ok().map(Uid)
    }

    /// Ends the message if its session is over and it was not queued: its client did not complete it, or Postfix
    /// discarded it. Returns true if it has ended.
    pub(super) fn abandon(&mut self) -> bool {
        self.is_abandoned = self.end.is_none() && !self.is_queued();
        self.is_abandoned || self.end == Some(MessageEnd::Discarded)
    }

    /// Returns false if a line shows that it came from nobody over SMTP: a local user submitted it, or Postfix made it.
    pub(super) fn may_come_from_a_client(&self) -> bool {
        !self.seen.is_internal && (!self.seen.opened || self.fields.as_ref().client().is_some())
    }

    /// Returns true if a line shows that cleanup had the message.
    fn is_queued(&self) -> bool {
        self.seen.message_id || self.seen.active || self.recipients.len() > 0
    }

    /// Returns true if `postsuper -r` made another message of it. pickup takes that one up within a minute or so.
    pub(super) fn is_requeued(&self) -> bool {
        self.end == Some(MessageEnd::Requeued)
    }
}
