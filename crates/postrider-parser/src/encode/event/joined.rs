//! The fields that join the lines of a message or of a session.

use crate::encode::json::{JsonKey, Object, key};
use crate::encode::shape::{Codes, commands_if, counts_if, endpoint_if, sasl, sasl_with_failures, tls_if};
use crate::record::{
    Cause, ClosedBy, DeliveryJoin, Event, Mail, MessageSummary, RecipientSummary, SessionSummary, Uid, Verdict,
};

use super::queue;

/// Writes the place of a delivery in the history of its message.
pub(in crate::encode) fn delivery(object: &mut Object<'_>, join: &DeliveryJoin<'_>) {
    // The texts come from other lines.
    object.part(key!("mail"), false, |object| {
        uid(object, key!("uid"), join.mail.uid);
        mail(object, &join.mail);
    });
    object.number(key!("attempt"), join.attempt);
    object.boolean(key!("final"), join.is_final);
}

pub(super) fn message(object: &mut Object<'_>, message: &MessageSummary<'_>, codes: &mut Codes) {
    // `uid` is the number of a user in other records.
    uid(object, key!("message_uid"), message.mail.uid);
    object.text(key!("key"), message.key);
    object.number(key!("revision"), message.revision);
    object.word(key!("state"), message.state.name());
    object.word_if(key!("closed_by"), message.state.closed_by().map(ClosedBy::name));
    object.word(key!("result"), message.result.name());
    mail(object, &message.mail);
    object.objects(key!("recipients"), message.recipients, |object, one| recipient(object, one, codes));
    counts_if(object, key!("recipient_counts"), by_status(message.recipients));
    object.objects(key!("verdicts"), message.verdicts, |object, one| verdict(object, one, codes));
    object.time(key!("first_seen"), message.first_seen);
    object.time(key!("last_seen"), message.last_seen);
    object.time_if(key!("completed_at"), message.completed_at);
    if let Some(parent) = message.parent_uid {
        uid(object, key!("parent_uid"), parent);
    }
    object.text_if(key!("parent_queue_id"), message.parent_queue_id);
    object.texts(key!("child_queue_ids"), message.child_queue_ids);
    uid(object, key!("trace_id"), message.trace_id);
    object.boolean(key!("incomplete"), message.incomplete);
}

pub(super) fn session(object: &mut Object<'_>, session: &SessionSummary<'_>, codes: &mut Codes) {
    endpoint_if(object, key!("client"), session.client.as_ref());
    endpoint_if(object, key!("server"), session.server.as_ref());
    object.text_if(key!("helo"), session.helo);
    object.text_if(key!("proto"), session.proto);
    tls_if(object, session.tls.as_ref());
    sasl_with_failures(object, &session.sasl, session.sasl_failures);
    commands_if(object, session.commands);
    counts_if(object, key!("verdict_counts"), by_action(session.verdicts));
    codes.reply_if(object, session.last_reply.as_ref(), None);
    object.texts(key!("queue_ids"), session.queue_ids);
    object.texts(key!("postscreen"), session.postscreen);
    object.signed_if(key!("dnsbl_rank"), session.dnsbl_rank);
    object.texts(key!("blocklists"), session.blocklists);
    object.time_if(key!("started_at"), session.started_at);
    object.time_if(key!("ended_at"), session.ended_at);
    if let (Some(start), Some(end)) = (session.started_at, session.ended_at) {
        object.duration(key!("duration"), start, end);
    }
    object.word(key!("ended_by"), session.ended_by.name());
    object.boolean(key!("incomplete"), session.incomplete);
}

fn uid(object: &mut Object<'_>, key: JsonKey, uid: Uid) {
    object.bytes(key, &uid.text());
}

/// Writes what is known of a message, without its id.
fn mail(object: &mut Object<'_>, mail: &Mail<'_>) {
    object.address_if(key!("from"), key!("from_domain"), mail.from);
    endpoint_if(object, key!("client"), mail.client.as_ref());
    sasl(object, &mail.sasl);
    object.text_if(key!("message_id"), mail.message_id);
    object.number_if(key!("size"), mail.size);
    object.number_if(key!("nrcpt"), mail.nrcpt);
    object.text_if(key!("helo"), mail.helo);
    object.text_if(key!("proto"), mail.proto);
    tls_if(object, mail.tls.as_ref());
    object.time(key!("received_at"), mail.received_at);
}

fn recipient(object: &mut Object<'_>, recipient: &RecipientSummary<'_>, codes: &mut Codes) {
    queue::recipient(object, &recipient.delivery);
    object.number(key!("attempts"), recipient.attempts);
    object.time(key!("first_attempt_at"), recipient.first_attempt_at);
    object.time(key!("last_attempt_at"), recipient.last_attempt_at);
    queue::outcome(object, &recipient.delivery, codes);
    tls_if(object, recipient.tls.as_ref());
}

/// Writes the fields of a verdict that do not repeat those of its message.
fn verdict(object: &mut Object<'_>, verdict: &Verdict<'_>, codes: &mut Codes) {
    object.word(key!("action"), verdict.action);
    object.word(key!("by"), verdict.by);
    object.text_if(key!("stage"), verdict.stage);
    codes.reply_if(object, verdict.reply.as_ref(), None);
    object.text_if(key!("trigger"), verdict.trigger);
    object.word_if(key!("cause"), verdict.cause.map(Cause::name));
    object.text_if(key!("blocklist"), verdict.blocklist);
}

/// Returns the number of recipients with each status that any has.
fn by_status(recipients: &[RecipientSummary<'_>]) -> impl Iterator<Item = (&'static str, u64)> {
    let count = |status| recipients.iter().filter(|one| one.delivery.status == status).count() as u64;
    Event::STATUS_WORDS.into_iter().map(move |status| (status, count(status))).filter(|(_, count)| *count > 0)
}

/// Returns the number of verdicts with each action, always in the same order.
fn by_action(verdicts: &[(&'static str, u32)]) -> impl Iterator<Item = (&'static str, u64)> {
    let count = |action| verdicts.iter().filter(|(one, _)| *one == action).map(|(_, count)| u64::from(*count)).sum();
    Verdict::ACTIONS.into_iter().map(move |action| (action, count(action))).filter(|(_, count)| *count > 0)
}
