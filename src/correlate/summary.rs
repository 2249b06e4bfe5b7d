//! The records that the stage makes: of a message, and of a session.

use super::fields::{FieldsRef, KeptField};
use super::line;
use super::message::timed;
use super::outcome::{MessageCopy, RecipientCopy, Scratch};
use super::session::JoinedSession;
use super::tls::KeptTls;
use crate::record::{
    Commands, Event, Flags, MessageState, MessageSummary, Origin, Peer, Postfix, RecipientSummary, Record, RecordId,
    SessionSummary, Verdict,
};
use crate::syslog::Message as SyslogMessage;
use crate::time::Timestamp;

/// Parts of a record beside its summary.
#[derive(Clone, Copy)]
pub(super) struct SummaryFrame<'a> {
    pub(super) id: RecordId,
    pub(super) received_at: Timestamp,
    pub(super) origin: &'a Origin,
    /// Host of the mail system; empty if it is not known.
    pub(super) hostname: &'a str,
    pub(super) instance: &'a str,
}

impl SummaryFrame<'_> {
    fn show(&self, at: i64, text: &str, postfix: Postfix<'_>, use_record: impl FnOnce(&Record<'_>)) {
        use_record(&Record {
            id: self.id,
            received_at: self.received_at,
            origin: self.origin,
            peer: Peer::default(),
            message: SyslogMessage {
                timestamp: Some(Timestamp::from_micros(at)),
                hostname: Some(self.hostname).filter(|name| !name.is_empty()),
                msg: text,
                ..SyslogMessage::default()
            },
            postfix: Some(postfix),
            flags: Flags::empty(),
            plain: false,
        });
    }
}

/// Makes the record of a message.
pub(super) fn of_message(
    copy: &MessageCopy,
    scratch: &Scratch,
    frame: &SummaryFrame<'_>,
    use_record: impl FnOnce(&Record<'_>),
) {
    let (mail, key, fields) = scratch.mail(copy);
    let recipients: Vec<_> = scratch.recipients(copy).filter_map(recipient).collect();
    // They may have come in another order.
    let mut verdicts: Vec<_> = fields.values(KeptField::Verdict).filter_map(timed).collect();
    verdicts.sort_by_key(|(at, _)| *at);
    let verdicts: Vec<_> = verdicts.into_iter().filter_map(|(_, line)| verdict(line::event(line))).collect();
    let children: Vec<_> = fields.all(KeptField::Child).collect();
    let summary = MessageSummary {
        key,
        revision: copy.revision,
        state: copy.closed.map_or(MessageState::Open, |closing| MessageState::Closed(closing.by)),
        result: copy.result,
        mail,
        recipients: &recipients,
        verdicts: &verdicts,
        first_seen: mail.received_at,
        last_seen: Timestamp::from_micros(copy.last_seen),
        completed_at: copy.completed_at.map(Timestamp::from_micros),
        parent_uid: copy.parent,
        parent_queue_id: fields.get(KeptField::Parent),
        child_queue_ids: &children,
        trace_id: copy.trace.unwrap_or(copy.uid),
        incomplete: copy.is_incomplete,
    };
    let queue_id = fields.get(KeptField::QueueId);
    let mut text = String::with_capacity(100);
    text.extend([queue_id.unwrap_or_default(), ": message"]);
    if let Some(from) = mail.from {
        text.extend([" from=<", from, ">"]);
    }
    push_count(&mut text, recipients.len(), "recipient");
    text.extend([": ", copy.result.name()]);
    frame.show(
        copy.last_seen,
        &text,
        postfix(frame, Event::Message(&summary), None, queue_id, copy.queued_at),
        use_record,
    );
}

/// Makes the record of a session.
pub(super) fn of_session(
    (session, fields): (&JoinedSession, FieldsRef<'_>),
    frame: &SummaryFrame<'_>,
    use_record: impl FnOnce(&Record<'_>),
) {
    let queue_ids: Vec<_> = fields.all(KeptField::Child).collect();
    let blocklists: Vec<_> = fields.all(KeptField::Blocklist).collect();
    let refusal = fields.value(KeptField::Verdict).and_then(|line| verdict(line::event(line)));
    let summary = SessionSummary {
        client: fields.client(),
        server: fields.server(),
        helo: fields.get(KeptField::Helo),
        proto: fields.get(KeptField::Proto),
        tls: session.tls.as_deref().map(KeptTls::get),
        sasl: fields.sasl(),
        sasl_failures: session.sasl_failures,
        commands: fields.get(KeptField::Commands).map(Commands),
        verdicts: &session.verdicts,
        last_reply: refusal.and_then(|verdict| verdict.reply),
        queue_ids: &queue_ids,
        postscreen: &session.tests,
        dnsbl_rank: fields.get(KeptField::DnsblRank).and_then(|rank| rank.parse().ok()),
        blocklists: &blocklists,
        started_at: session.started_at.map(Timestamp::from_micros),
        ended_at: session.ended_at.map(Timestamp::from_micros),
        ended_by: session.ended_by(fields),
        incomplete: session.is_incomplete(),
    };
    let mut text = String::with_capacity(100);
    let end = summary.client.unwrap_or_default();
    text.extend(["session of ", end.name.unwrap_or("unknown"), "[", end.ip.unwrap_or("unknown"), "]"]);
    push_count(&mut text, queue_ids.len(), "message");
    text.extend([": ", summary.ended_by.name()]);
    let postfix = postfix(frame, Event::Session(&summary), fields.get(KeptField::Program), None, None);
    frame.show(session.last_seen, &text, postfix, use_record);
}

/// Appends a number of things.
fn push_count(text: &mut String, count: usize, thing: &str) {
    // Nearly all messages have one recipient, and nearly all sessions one message.
    if count == 1 {
        text.extend([", 1 ", thing]);
    } else {
        text.extend([", ", &count.to_string(), " ", thing, "s"]);
    }
}

fn postfix<'a>(
    frame: &SummaryFrame<'a>,
    event: Event<'a>,
    program: Option<&'a str>,
    queue_id: Option<&'a str>,
    queued_at: Option<i64>,
) -> Postfix<'a> {
    let (service, daemon) = match program.and_then(|program| program.split_once('/')) {
        Some((service, daemon)) => (Some(service), Some(daemon)),
        None => (None, program),
    };
    Postfix {
        event,
        instance: frame.instance,
        service,
        daemon,
        level: None,
        queue_id,
        queued_at: queued_at.map(Timestamp::from_micros),
        flags: Flags::empty(),
    }
}

fn recipient<'c>((copy, line): (&'c RecipientCopy, &'c [u8])) -> Option<RecipientSummary<'c>> {
    let Some(Event::Delivery(delivery)) = line::event(line) else { return None };
    Some(RecipientSummary {
        delivery,
        attempts: copy.attempts,
        first_attempt_at: Timestamp::from_micros(copy.first_at),
        last_attempt_at: Timestamp::from_micros(copy.last_at),
        tls: copy.tls.as_deref().map(KeptTls::get),
    })
}

fn verdict(event: Option<Event<'_>>) -> Option<Verdict<'_>> {
    match event {
        Some(Event::Verdict(verdict)) => Some(verdict),
        _ => None,
    }
}
