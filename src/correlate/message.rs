//! One message: the facts in the lines with its queue id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, KeptField};
use super::hash::KeyedHash;
use super::line::{JoinLine, MaybeTime, micros};
use super::patterns::PatternTable;
use super::pool::BufferPool;
use super::recipient::{JoinedRecipient, JoinedRecipients, NewAttempt, RecipientStatus};
use super::saved;
use super::session::{SessionContext, SessionLines};
use super::system::SETTLE;
use super::tls::KeptTls;
use super::uid;
use crate::record::{
    Client, ClosedBy, Delivery, Event, Expired, MessageId, MessageResult, Pickup, QueueActive, QueueAdmin, Removed,
    Uid, Verdict,
};

/// Number of verdicts that are kept of one message. Further ones are not in its summary.
const VERDICTS: usize = 100;

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
        if self.queued_at.is_known() || line.at <= self.last_seen {
            return false;
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

    /// Applies a line with the queue id of the message. `texts` has the fields of the message, and gets what the line
    /// adds; the caller gives them to the message.
    pub(super) fn apply(
        &mut self,
        line: &JoinLine<'_, '_>,
        texts: &mut Fields,
        context: &mut MessageContext<'_>,
    ) -> MessageChange {
        let change = match &line.postfix.event {
            Event::Client(client) => self.client(line, client, texts, context.process),
            Event::Pickup(Pickup { from, orig_queue_id, .. }) => {
                // qmgr logs the whole address.
                texts.set(KeptField::From, Some(*from).filter(|from| from.is_empty() || from.contains('@')));
                texts.set(KeptField::Parent, *orig_queue_id);
                self.opened()
            }
            Event::MessageId(MessageId { message_id, resent }) => self.message_id(message_id, *resent, texts),
            Event::QueueActive(active) => self.active(line, active, texts),
            Event::Delivery(delivery) => self.deliver(line, delivery, texts, context),
            Event::Expired(Expired { .. }) => {
                texts.raise_time(KeptField::ExpiredAt, line.at);
                MessageChange::Known
            }
            // An administrator deleted it.
            Event::Removed(_) if line.postfix.daemon == Some("postsuper") => {
                self.seen.removed = true;
                self.end_by(MessageEnd::Deleted)
            }
            Event::Removed(Removed { reason }) => self.removed(*reason),
            Event::Verdict(verdict) => self.verdict(line, verdict, texts),
            Event::QueueAdmin(QueueAdmin { action, .. }) => self.administer(line, action, texts),
            _ => MessageChange::Known,
        };
        if self.is_abandoned && self.is_queued() {
            // The lines in between are missing.
            self.is_abandoned = false;
            self.closed_by = self.closed_by.filter(|_| self.seen.removed);
        }
        self.begin_at(line.at, texts);
        self.last_seen = self.last_seen.max(line.at);
        change
    }

    /// Notes the time of a line, which may be the first one. The key stays if there is one.
    fn begin_at(&mut self, at: i64, texts: &mut Fields) {
        let (before, after) = (uid::second(self.first_seen), uid::second(self.first_seen.min(at)));
        self.first_seen = self.first_seen.min(at);
        if after < before
            && self.uid().is_some()
            && !self.queued_at.is_known()
            && texts.as_ref().time(KeptField::NamedAt).is_none()
        {
            texts.push(KeptField::NamedAt, &before.to_le_bytes());
        }
    }

    fn opened(&mut self) -> MessageChange {
        self.seen.opened = true;
        MessageChange::Known
    }

    fn client(
        &mut self,
        line: &JoinLine<'_, '_>,
        client: &Client<'_>,
        texts: &mut Fields,
        process: Option<&SessionLines>,
    ) -> MessageChange {
        texts.set_client(client.client);
        texts.set_sasl(&client.sasl);
        texts.set(KeptField::Parent, client.orig_queue_id);
        if let Some(process) = process {
            // A line that comes again finds no more of its session.
            let context = process.context(line.at, client.client.and_then(|client| client.ip));
            let tls = context.tls.cloned().or_else(|| self.tls.take());
            self.add_context(SessionContext { tls: tls.as_ref(), ..context }, texts);
        }
        self.opened()
    }

    /// Sets what is known of the session that brought the message. Returns true if it differs from what was known.
    pub(super) fn set_context(&mut self, context: SessionContext<'_>) -> bool {
        let mut texts = std::mem::take(&mut self.fields);
        let differs = self.add_context(context, &mut texts);
        self.fields = texts;
        differs
    }

    fn add_context(&mut self, context: SessionContext<'_>, texts: &mut Fields) -> bool {
        let SessionContext { helo, proto, tls } = context;
        let is_new = |field, text: Option<&str>| text.is_some() && texts.get(field).is_none();
        let differs = is_new(KeptField::Helo, helo) || is_new(KeptField::Proto, proto) || self.tls.as_ref() != tls;
        texts.set(KeptField::Helo, helo);
        texts.set(KeptField::Proto, proto);
        self.tls = tls.cloned();
        differs
    }

    fn message_id(&mut self, message_id: &str, is_resent: bool, texts: &mut Fields) -> MessageChange {
        // A message that was resent has both ids. Its own comes first, and is the one that its other hops log.
        if !is_resent || !self.seen.message_id {
            texts.set(KeptField::MessageId, Some(message_id).filter(|id| !id.is_empty()));
        }
        self.seen.message_id = true;
        MessageChange::Known
    }

    fn active(&mut self, line: &JoinLine<'_, '_>, active: &QueueActive<'_>, texts: &mut Fields) -> MessageChange {
        // pickup and smtpd log the sender before it is rewritten.
        texts.replace(KeptField::From, active.from.as_bytes());
        texts.set_number(KeptField::Size, active.size);
        let known = texts.as_ref().number(KeptField::Nrcpt);
        if let Some(nrcpt) = active.nrcpt.filter(|_| active.nrcpt > known) {
            texts.replace_number(KeptField::Nrcpt, nrcpt);
        }
        self.seen.active = true;
        self.moved_at = self.moved_at.max(MaybeTime::of(Some(line.at)));
        MessageChange::Known
    }

    fn deliver(
        &mut self,
        line: &JoinLine<'_, '_>,
        delivery: &Delivery<'_>,
        texts: &mut Fields,
        context: &mut MessageContext<'_>,
    ) -> MessageChange {
        let MessageContext { tls, hash, patterns, room, .. } = context;
        let mut attempt = NewAttempt { line, delivery, tls: *tls, hash: *hash, patterns, room };
        let attempt = self.recipients.deliver(&mut attempt, texts);
        MessageChange::Delivery { attempt, is_final: RecipientStatus::of(delivery.status).is_final() }
    }

    fn removed(&mut self, reason: Option<&str>) -> MessageChange {
        self.seen.removed = true;
        match reason {
            Some("canceled") => self.end = self.end.or(Some(MessageEnd::Canceled)),
            Some("discarded") => self.end = self.end.or(Some(MessageEnd::Discarded)),
            Some(_) | None => {}
        }
        MessageChange::Closed
    }

    fn verdict(&mut self, line: &JoinLine<'_, '_>, verdict: &Verdict<'_>, texts: &mut Fields) -> MessageChange {
        texts.set(KeptField::Helo, verdict.helo);
        texts.set(KeptField::Proto, verdict.proto);
        texts.set(KeptField::From, verdict.from);
        let known = || texts.as_ref().values(KeptField::Verdict).filter_map(timed);
        if known().count() < VERDICTS && !known().any(|(at, kept)| at == line.at && line.has_text(kept)) {
            let (time, [postfix, slash, daemon, end]) = (line.at.to_le_bytes(), line.tag());
            let parts = [&time, postfix, slash, daemon, end, line.text().as_bytes()];
            texts.push_parts(KeptField::Verdict, &parts);
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
            "hold" => hold(line, texts),
            _ => MessageChange::Known,
        }
    }

    fn administer(&mut self, line: &JoinLine<'_, '_>, action: &str, texts: &mut Fields) -> MessageChange {
        match action {
            "removed" => self.end_by(MessageEnd::Deleted),
            "requeued" => self.end_by(MessageEnd::Requeued),
            "hold" => hold(line, texts),
            "release" => {
                self.moved_at = self.moved_at.max(MaybeTime::of(Some(line.at)));
                MessageChange::Known
            }
            _ => MessageChange::Known,
        }
    }

    fn end_by(&mut self, end: MessageEnd) -> MessageChange {
        self.end = Some(end);
        MessageChange::Closed
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
        let count = |status| self.recipients.heads().filter(|recipient| recipient.status == status).count();
        let (sent, bounced, deferred) =
            (count(RecipientStatus::Sent), count(RecipientStatus::Bounced), count(RecipientStatus::Deferred));
        let has_expired = self.expired_at().is_known();
        if !has_expired && (deferred > 0 || sent + bounced == 0) {
            let held_at = MaybeTime::of(self.fields.as_ref().time(KeptField::HeldAt));
            return if held_at > self.moved_at { MessageResult::Held } else { MessageResult::Unknown };
        }
        match sent {
            // Without the lines of some recipients, the result for all is unknown, unless two differ and none is left.
            _ if !self.knows_recipients() && (sent == 0 || bounced == 0 || !self.seen.removed) => {
                MessageResult::Unknown
            }
            0 if has_expired => MessageResult::Expired,
            0 => MessageResult::Bounced,
            sent if sent == self.recipients.len() => MessageResult::Sent,
            _ => MessageResult::Partial,
        }
    }

    /// Returns true if an attempt for each recipient was seen.
    fn knows_recipients(&self) -> bool {
        let nrcpt = self.fields.as_ref().number(KeptField::Nrcpt);
        nrcpt.is_some_and(|nrcpt| self.recipients.counted() >= nrcpt)
    }

    /// Returns the time when the last recipient became final, if all are.
    pub(super) fn completed_at(&self) -> Option<i64> {
        if self.recipients.len() == 0 || !self.knows_recipients() {
            return None;
        }
        let expired_at = self.expired_at();
        let at = |recipient: &JoinedRecipient| {
            if recipient.status.is_final() { MaybeTime::of(Some(recipient.last_at)) } else { expired_at }
        };
        let is_final = self.recipients.heads().all(|recipient| at(recipient).is_known());
        self.recipients.heads().map(at).max().filter(|_| is_final).and_then(MaybeTime::get)
    }

    fn expired_at(&self) -> MaybeTime {
        MaybeTime::of(self.fields.as_ref().time(KeptField::ExpiredAt))
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
            None if self.closed_by.is_none() => !(begins && message_id && active),
            None => {
                let is_whole = begins && message_id && active && self.seen.removed;
                !(is_whole && self.completed_at().is_some())
            }
        }
    }
}

fn hold(line: &JoinLine<'_, '_>, texts: &mut Fields) -> MessageChange {
    texts.raise_time(KeptField::HeldAt, line.at);
    MessageChange::Known
}

/// Divides a line with its time.
pub(super) fn timed(kept: &[u8]) -> Option<(i64, &[u8])> {
    let (time, text) = kept.split_first_chunk()?;
    Some((i64::from_le_bytes(*time), text))
}
