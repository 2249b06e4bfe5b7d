//! One message: the facts in the lines with its queue id.

use std::sync::Arc;

use super::fields::{Fields, KeptField};
use super::hash::KeyedHash;
use super::line::{JoinLine, KeptLine, micros};
use super::recipient::{JoinedRecipient, JoinedRecipients, RecipientStatus};
use super::session::SessionLines;
use super::system::{ChainOrigin, SETTLE};
use super::tls::KeptTls;
use crate::record::{
    Client, ClosedBy, Delivery, Event, Expired, MessageId, MessageResult, Pickup, QueueActive, QueueAdmin, Removed,
    Uid, Verdict,
};

/// Number of verdicts that are kept of one message. Further ones are not in its summary.
const VERDICTS: usize = 100;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct JoinedMessage {
    pub(super) fields: Fields,
    pub(super) recipients: JoinedRecipients,
    pub(super) verdicts: Vec<KeptLine>,
    /// TLS of the session that brought it.
    pub(super) tls: Option<Arc<KeptTls>>,
    pub(super) queued_at: Option<i64>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    /// Time of the line by which it left the queue.
    removed_at: Option<i64>,
    /// Time of the line by which it expired.
    expired_at: Option<i64>,
    pub(super) size: Option<u64>,
    pub(super) nrcpt: Option<u64>,
    seen: SeenLines,
    /// Time when it was last put on hold, and when it last was in the active queue or was released.
    held_at: Option<i64>,
    moved_at: Option<i64>,
    end: Option<MessageEnd>,
    /// True if its session is over and nothing more of it was seen: its client did not complete it.
    is_abandoned: bool,
    pub(super) closed: Option<Closing>,
    /// The message from which this one was made, and the oldest message of their chain, once they are known.
    pub(super) parent: Option<Uid>,
    pub(super) trace: Option<Uid>,
    /// Number of summaries that were made.
    pub(super) revision: u32,
    /// Computed when it is first needed: for a short queue id, it holds the time of the first line that is known then.
    pub(super) uid: Option<Uid>,
}

/// End of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) by: ClosedBy,
    /// Time by the clock of the mail system.
    pub(super) at: i64,
}

/// How a message ended, if not by deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageEnd {
    Deleted,
    Requeued,
    Canceled,
    Rejected,
    Discarded,
}

/// The lines that every message has.
#[derive(Clone, Copy, Debug, Default)]
struct SeenLines {
    /// The line that opens it: `client=` or `uid=`.
    opened: bool,
    message_id: bool,
    active: bool,
    /// Postfix made it itself: a notice or a forward, which has no client.
    is_internal: bool,
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
    pub(super) fn new(line: &JoinLine<'_, '_>, queue_id: &str) -> Self {
        let mut fields = Fields::default();
        fields.set(KeptField::QueueId, Some(queue_id));
        let queued_at = line.postfix.queued_at.map(micros);
        Self {
            fields,
            recipients: JoinedRecipients::default(),
            verdicts: Vec::new(),
            tls: None,
            queued_at,
            first_seen: line.at,
            last_seen: line.at,
            removed_at: None,
            expired_at: None,
            size: None,
            nrcpt: None,
            seen: SeenLines::default(),
            held_at: None,
            moved_at: None,
            end: None,
            is_abandoned: false,
            closed: None,
            parent: None,
            trace: None,
            revision: 0,
            uid: None,
        }
    }

    /// Returns the memory that the message holds, in bytes.
    pub(super) fn held(&self) -> usize {
        let verdicts = self.verdicts.iter().map(KeptLine::held).sum::<usize>();
        size_of::<Self>() + self.fields.held() + self.recipients.held() + verdicts
    }

    /// Returns true if `line` is about another message, to which Postfix gave the same short queue id later.
    pub(super) fn is_succeeded_by(&self, line: &JoinLine<'_, '_>) -> bool {
        if self.queued_at.is_some() || line.at <= self.last_seen {
            return false;
        }
        // `removed` is the last line of a message. After a refusal, another line may come.
        let is_over = self.removed_at.is_some() || self.closed.is_some() && line.at > self.last_seen + SETTLE;
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
            Event::QueueActive(QueueActive { size, .. }) => self.size.is_some() && *size != self.size,
            _ => false,
        }
    }

    /// Applies a line with the queue id of the message. `process` is that of smtpd which wrote it, and `tls`
    /// the last TLS connection of the process, for a delivery agent.
    pub(super) fn apply(
        &mut self,
        line: &JoinLine<'_, '_>,
        process: Option<&SessionLines>,
        tls: Option<&Arc<KeptTls>>,
        hash: KeyedHash,
    ) -> MessageChange {
        let change = match &line.postfix.event {
            Event::Client(client) => self.client(line, client, process),
            Event::Pickup(Pickup { from, orig_queue_id, .. }) => {
                // qmgr logs the whole address.
                self.fields.set(KeptField::From, Some(*from).filter(|from| from.is_empty() || from.contains('@')));
                self.fields.set(KeptField::Parent, *orig_queue_id);
                self.opened()
            }
            Event::MessageId(MessageId { message_id, resent }) => self.message_id(message_id, *resent),
            Event::QueueActive(QueueActive { from, size, nrcpt }) => {
                // pickup and smtpd log the sender before it is rewritten.
                self.fields.replace(KeptField::From, from);
                self.size = self.size.or(*size);
                self.nrcpt = self.nrcpt.max(*nrcpt);
                self.seen.active = true;
                self.moved_at = self.moved_at.max(Some(line.at));
                MessageChange::Known
            }
            Event::Delivery(delivery) => self.deliver(line, delivery, tls, hash),
            Event::Expired(Expired { .. }) => {
                self.expired_at = Some(self.expired_at.map_or(line.at, |known| known.max(line.at)));
                MessageChange::Known
            }
            // An administrator deleted it.
            Event::Removed(_) if line.postfix.daemon == Some("postsuper") => {
                self.removed_at = Some(line.at);
                self.end_by(MessageEnd::Deleted)
            }
            Event::Removed(Removed { reason }) => self.removed(line, *reason),
            Event::Verdict(verdict) => self.verdict(line, verdict),
            Event::QueueAdmin(QueueAdmin { action, .. }) => self.administer(line, action),
            _ => MessageChange::Known,
        };
        if self.is_abandoned && self.is_queued() {
            // The lines in between are missing.
            (self.is_abandoned, self.closed) = (false, None);
        }
        self.first_seen = self.first_seen.min(line.at);
        self.last_seen = self.last_seen.max(line.at);
        change
    }

    fn opened(&mut self) -> MessageChange {
        self.seen.opened = true;
        MessageChange::Known
    }

    fn client(
        &mut self,
        line: &JoinLine<'_, '_>,
        client: &Client<'_>,
        process: Option<&SessionLines>,
    ) -> MessageChange {
        self.fields.set_client(client.client);
        self.fields.set_sasl(&client.sasl);
        self.fields.set(KeptField::Parent, client.orig_queue_id);
        if let Some(process) = process {
            let (helo, proto, tls) = process.context(line.at);
            self.fields.set(KeptField::Helo, helo);
            self.fields.set(KeptField::Proto, proto);
            self.tls = self.tls.take().or_else(|| tls.cloned());
        }
        self.opened()
    }

    fn message_id(&mut self, message_id: &str, is_resent: bool) -> MessageChange {
        // A message that was resent has both ids. Its own comes first, and is the one that its other hops log.
        if !is_resent || !self.seen.message_id {
            self.fields.set(KeptField::MessageId, Some(message_id).filter(|id| !id.is_empty()));
        }
        self.seen.message_id = true;
        MessageChange::Known
    }

    fn deliver(
        &mut self,
        line: &JoinLine<'_, '_>,
        delivery: &Delivery<'_>,
        tls: Option<&Arc<KeptTls>>,
        hash: KeyedHash,
    ) -> MessageChange {
        let attempt = self.recipients.deliver(line, delivery, tls, hash);
        MessageChange::Delivery { attempt, is_final: RecipientStatus::of(delivery.status).is_final() }
    }

    fn removed(&mut self, line: &JoinLine<'_, '_>, reason: Option<&str>) -> MessageChange {
        self.removed_at = Some(line.at);
        match reason {
            Some("canceled") => self.end = self.end.or(Some(MessageEnd::Canceled)),
            Some("discarded") => self.end = self.end.or(Some(MessageEnd::Discarded)),
            Some(_) | None => {}
        }
        MessageChange::Closed
    }

    fn verdict(&mut self, line: &JoinLine<'_, '_>, verdict: &Verdict<'_>) -> MessageChange {
        self.fields.set(KeptField::Helo, verdict.helo);
        self.fields.set(KeptField::Proto, verdict.proto);
        self.fields.set(KeptField::From, verdict.from);
        if self.verdicts.len() < VERDICTS && !self.verdicts.iter().any(|known| known.is(line)) {
            self.verdicts.push(line.keep());
        }
        // smtpd refuses a recipient or a command, and the message goes on. cleanup refuses the message.
        let is_whole = line.postfix.daemon == Some("cleanup");
        match verdict.action {
            "reject" if is_whole => self.end_by(MessageEnd::Rejected),
            "discard" if is_whole => self.end_by(MessageEnd::Discarded),
            // The client completes it, and cleanup throws it away.
            "discard" => {
                self.end = Some(MessageEnd::Discarded);
                MessageChange::Known
            }
            "hold" => self.hold(line),
            _ => MessageChange::Known,
        }
    }

    fn hold(&mut self, line: &JoinLine<'_, '_>) -> MessageChange {
        self.held_at = self.held_at.max(Some(line.at));
        MessageChange::Known
    }

    fn administer(&mut self, line: &JoinLine<'_, '_>, action: &str) -> MessageChange {
        match action {
            "removed" => self.end_by(MessageEnd::Deleted),
            "requeued" => self.end_by(MessageEnd::Requeued),
            "hold" => self.hold(line),
            "release" => {
                self.moved_at = self.moved_at.max(Some(line.at));
                MessageChange::Known
            }
            _ => MessageChange::Known,
        }
    }

    fn end_by(&mut self, end: MessageEnd) -> MessageChange {
        self.end = Some(end);
        MessageChange::Closed
    }

    /// Returns true if it can be the message that was made from one that began at the time `begun`, and of which a line
    /// of the time `at` names it. A message that was over by then is not: its queue id came back.
    pub(super) fn is_of(&self, begun: i64, at: i64) -> bool {
        (begun..=at).contains(&self.first_seen) && !self.was_over(at)
    }

    /// Returns true if the message was over before the time `at`.
    pub(super) fn was_over(&self, at: i64) -> bool {
        self.closed.is_some() && self.last_seen + SETTLE < at
    }

    /// Notes the message from which this one was made.
    pub(super) fn made_from(&mut self, origin: &ChainOrigin) {
        self.fields.set(KeptField::Parent, Some(&origin.queue_id));
        self.seen.is_internal |= origin.is_certain;
        (self.parent, self.trace) = (Some(origin.uid), Some(origin.trace));
    }

    /// Ends the message if its session is over and it was not queued: its client did not complete it, or Postfix
    /// discarded it. Returns true if it has ended.
    pub(super) fn abandon(&mut self) -> bool {
        self.is_abandoned = self.end.is_none() && !self.is_queued();
        self.is_abandoned || self.end == Some(MessageEnd::Discarded)
    }

    /// Returns true if a line shows that cleanup had the message.
    fn is_queued(&self) -> bool {
        self.seen.message_id || self.seen.active || self.recipients.len() > 0
    }

    /// Returns true if `postsuper -r` made another message of it. pickup takes that one up within a minute or so.
    pub(super) fn is_requeued(&self) -> bool {
        self.end == Some(MessageEnd::Requeued)
    }

    /// Returns what became of the message, as far as it is known.
    pub(super) fn result(&self) -> MessageResult {
        match self.end {
            Some(MessageEnd::Deleted) => return MessageResult::Deleted,
            Some(MessageEnd::Rejected) => return MessageResult::Rejected,
            Some(MessageEnd::Discarded) => return MessageResult::Discarded,
            Some(MessageEnd::Requeued | MessageEnd::Canceled) => return MessageResult::Unknown,
            None if self.is_abandoned => return MessageResult::Unknown,
            None => {}
        }
        let count = |status| self.recipients.iter().filter(|recipient| recipient.status == status).count();
        let (sent, bounced, deferred) =
            (count(RecipientStatus::Sent), count(RecipientStatus::Bounced), count(RecipientStatus::Deferred));
        let has_expired = self.expired_at.is_some();
        if !has_expired && (deferred > 0 || sent + bounced == 0) {
            return if self.held_at > self.moved_at { MessageResult::Held } else { MessageResult::Unknown };
        }
        match sent {
            // Without the lines of some recipients, the result for all is not known, unless two differ.
            _ if !self.knows_recipients() && (sent == 0 || bounced == 0) => MessageResult::Unknown,
            0 if has_expired => MessageResult::Expired,
            0 => MessageResult::Bounced,
            sent if sent == self.recipients.len() => MessageResult::Sent,
            _ => MessageResult::Partial,
        }
    }

    /// Returns true if an attempt for each recipient was seen.
    fn knows_recipients(&self) -> bool {
        self.nrcpt.is_some_and(|nrcpt| self.recipients.counted() >= nrcpt)
    }

    /// Returns the time when the last recipient became final, if all are.
    pub(super) fn completed_at(&self) -> Option<i64> {
        let at = |recipient: &JoinedRecipient| {
            if recipient.status.is_final() { Some(recipient.last.at) } else { self.expired_at }
        };
        let times = self.recipients.iter().map(at).collect::<Option<Vec<_>>>();
        times.filter(|_| self.knows_recipients()).and_then(|times| times.into_iter().max())
    }

    /// Returns true if a line that must exist was not seen.
    pub(super) fn is_incomplete(&self) -> bool {
        let SeenLines { opened, message_id, active, .. } = self.seen;
        let begins = opened || (message_id && self.seen.is_internal);
        match self.end {
            // It may not have got as far as cleanup.
            Some(MessageEnd::Canceled | MessageEnd::Rejected | MessageEnd::Discarded) => !begins,
            Some(MessageEnd::Deleted | MessageEnd::Requeued) => !(begins && message_id),
            // Its other lines may be missing: before 3.10, Postfix does not log that a client gave up.
            None if self.is_abandoned => true,
            None if self.closed.is_none() => !(begins && message_id && active),
            None => {
                let is_whole = begins && message_id && active && self.removed_at.is_some();
                !(is_whole && self.completed_at().is_some())
            }
        }
    }
}
