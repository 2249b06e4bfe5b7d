//! The records that the stage makes: of a message, and of a session.

use std::fmt::Write;

use super::fields::KeptField;
use super::line::KeptLine;
use super::outcome::{MessageCopy, mail};
use super::recipient::JoinedRecipient;
use super::session::JoinedSession;
use super::tls::KeptTls;
use crate::record::{
    Commands, Event, Flags, MessageState, MessageSummary, Origin, Peer, Postfix, RecipientSummary, Record, RecordId,
    SessionSummary,
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
pub(super) fn of_message(copy: &MessageCopy, frame: &SummaryFrame<'_>, use_record: impl FnOnce(&Record<'_>)) {
    let MessageCopy { message, key, uid } = copy;
    let fields = message.fields.as_ref();
    let recipients: Vec<_> = message.recipients.iter().filter_map(recipient).collect();
    // They may have come in another order.
    let mut verdicts: Vec<_> = message.verdicts.iter().collect();
    verdicts.sort_by_key(|line| line.at);
    let verdicts: Vec<_> = verdicts.into_iter().filter_map(verdict).collect();
    let children: Vec<_> = fields.all(KeptField::Child).collect();
    let mail = mail(fields, *uid, message.tls.as_deref(), (message.size, message.nrcpt), message.first_seen);
    let result = message.result();
    let summary = MessageSummary {
        key,
        revision: message.revision,
        state: message.closed.map_or(MessageState::Open, |closing| MessageState::Closed(closing.by)),
        result,
        mail,
        recipients: &recipients,
        verdicts: &verdicts,
        first_seen: mail.received_at,
        last_seen: Timestamp::from_micros(message.last_seen),
        completed_at: message.completed_at().map(Timestamp::from_micros),
        parent_uid: message.parent,
        parent_queue_id: fields.get(KeptField::Parent),
        child_queue_ids: &children,
        trace_id: message.trace.unwrap_or(*uid),
        incomplete: message.is_incomplete(),
    };
    let queue_id = fields.get(KeptField::QueueId);
    let mut text = String::with_capacity(100);
    // A String takes everything.
    let _ = write!(text, "{}: message", queue_id.unwrap_or_default());
    if let Some(from) = mail.from {
        let _ = write!(text, " from=<{from}>");
    }
    let _ = write!(text, ", {} recipients: {}", recipients.len(), result.name());
    frame.show(
        message.last_seen,
        &text,
        postfix(frame, Event::Message(&summary), None, queue_id, message.queued_at),
        use_record,
    );
}

/// Makes the record of a session.
pub(super) fn of_session(session: &JoinedSession, frame: &SummaryFrame<'_>, use_record: impl FnOnce(&Record<'_>)) {
    let fields = session.fields.as_ref();
    let queue_ids: Vec<_> = fields.all(KeptField::Child).collect();
    let blocklists: Vec<_> = fields.all(KeptField::Blocklist).collect();
    let refusal = session.last_refusal.as_ref().and_then(verdict);
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
        ended_by: session.ended_by(),
        incomplete: session.is_incomplete(),
    };
    let mut text = String::with_capacity(100);
    let end = summary.client.unwrap_or_default();
    let _ = write!(text, "session of {}[{}]", end.name.unwrap_or("unknown"), end.ip.unwrap_or("unknown"));
    let _ = write!(text, ", {} messages: {}", queue_ids.len(), summary.ended_by.name());
    let program = Some(&*session.program).filter(|program| !program.is_empty());
    frame.show(session.last_seen, &text, postfix(frame, Event::Session(&summary), program, None, None), use_record);
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

fn recipient(recipient: &JoinedRecipient) -> Option<RecipientSummary<'_>> {
    let Some(Event::Delivery(delivery)) = recipient.last.event() else { return None };
    Some(RecipientSummary {
        delivery,
        attempts: recipient.attempts(),
        first_attempt_at: Timestamp::from_micros(recipient.first_at),
        last_attempt_at: Timestamp::from_micros(recipient.last.at),
        tls: recipient.tls.as_deref().map(KeptTls::get),
    })
}

fn verdict(line: &KeptLine) -> Option<crate::record::Verdict<'_>> {
    match line.event() {
        Some(Event::Verdict(verdict)) => Some(verdict),
        _ => None,
    }
}
