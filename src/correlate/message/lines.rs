//! The effect of a line on its message.

use super::{JoinedMessage, MessageChange, MessageContext, MessageEnd};
use crate::correlate::fields::{Fields, KeptField};
use crate::correlate::line::{JoinLine, MaybeTime};
use crate::correlate::recipient::{NewAttempt, is_final};
use crate::correlate::session::{SessionContext, SessionLines};
use crate::correlate::uid;
use crate::record::{Client, Delivery, Event, Expired, MessageId, Pickup, QueueActive, QueueAdmin, Removed, Verdict};

/// Number of verdicts that are kept of one message. Further ones are not in its summary.
const VERDICTS: usize = 100;

impl JoinedMessage {
    /// Applies a line with the queue id of the message. `texts` has the fields of the message, and gets what the line
    /// adds; the caller gives them to the message.
    pub(in crate::correlate) fn apply(
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
            let ip = client.client.and_then(|client| client.ip);
            let context = process.context(line.postfix.queue_id.unwrap_or_default(), line.at, ip);
            let tls = context.tls.cloned().or_else(|| self.tls.take());
            self.add_context(SessionContext { tls: tls.as_ref(), ..context }, texts);
        }
        self.opened()
    }

    /// Sets what is known of the session that brought the message. Returns true if it differs from what was known.
    pub(in crate::correlate) fn set_context(&mut self, context: SessionContext<'_>) -> bool {
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
        MessageChange::Delivery { attempt, is_final: is_final(delivery.status) }
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
}

fn hold(line: &JoinLine<'_, '_>, texts: &mut Fields) -> MessageChange {
    texts.raise_time(KeptField::HeldAt, line.at);
    MessageChange::Known
}

/// Divides a line with its time.
pub(in crate::correlate) fn timed(kept: &[u8]) -> Option<(i64, &[u8])> {
    let (time, text) = kept.split_first_chunk()?;
    Some((i64::from_le_bytes(*time), text))
}
