//! The fields of the events of a client.

use crate::encode::json::{Object, key};
use crate::encode::shape::{Codes, address_if, commands_if, endpoint_if, sasl};
use crate::record::{
    Cause, Client, Connect, ConnectionLost, Disconnect, Dnsbl, HostnameMismatch, Postscreen, ProtocolError, RateLimit,
    SaslFailure, Verdict,
};

pub(super) fn client(object: &mut Object<'_>, client: &Client<'_>) {
    endpoint_if(object, key!("client"), client.client.as_ref());
    sasl(object, &client.sasl);
    object.text_if(key!("orig_queue_id"), client.orig_queue_id);
    endpoint_if(object, key!("orig_client"), client.orig_client.as_ref());
}

pub(super) fn verdict(object: &mut Object<'_>, verdict: &Verdict<'_>, codes: &mut Codes) {
    object.word(key!("action"), verdict.action);
    object.word(key!("by"), verdict.by);
    object.text_if(key!("stage"), verdict.stage);
    endpoint_if(object, key!("client"), verdict.client.as_ref());
    codes.reply_if(object, verdict.reply.as_ref(), None);
    object.text_if(key!("trigger"), verdict.trigger);
    object.address_if(key!("from"), key!("from_domain"), verdict.from);
    object.address_if(key!("to"), key!("to_domain"), verdict.to);
    object.text_if(key!("proto"), verdict.proto);
    object.text_if(key!("helo"), verdict.helo);
    sasl(object, &verdict.sasl);
    object.word_if(key!("cause"), verdict.cause.map(Cause::name));
    object.text_if(key!("blocklist"), verdict.blocklist);
}

pub(super) fn postscreen(object: &mut Object<'_>, postscreen: &Postscreen<'_>) {
    endpoint_if(object, key!("client"), postscreen.client.as_ref());
    object.word(key!("test"), postscreen.test);
    object.signed_if(key!("rank"), postscreen.rank.filter(|rank| *rank > i64::MIN));
    object.seconds_if(key!("after"), postscreen.after);
    object.text_if(key!("stage"), postscreen.stage);
    object.text_if(key!("text"), postscreen.text);
    object.number_if(key!("bytes"), postscreen.bytes);
}

pub(super) fn connect(object: &mut Object<'_>, event: &Connect<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    endpoint_if(object, key!("local"), event.local.as_ref());
    endpoint_if(object, key!("server"), event.server.as_ref());
}

pub(super) fn disconnect(object: &mut Object<'_>, event: &Disconnect<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    commands_if(object, event.commands);
    object.text_if(key!("notes"), event.notes);
}

pub(super) fn connection_lost(object: &mut Object<'_>, event: &ConnectionLost<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    object.word(key!("cause"), event.cause.name());
    object.text_if(key!("stage"), event.stage);
    object.number_if(key!("bytes"), event.bytes);
}

pub(super) fn sasl_failure(object: &mut Object<'_>, event: &SaslFailure<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    sasl(object, &event.sasl);
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn hostname_mismatch(object: &mut Object<'_>, event: &HostnameMismatch<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn rate_limit(object: &mut Object<'_>, event: &RateLimit<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    object.word(key!("limit"), event.limit);
    object.number_if(key!("value"), event.value);
    object.text_if(key!("limited_service"), event.limited_service);
}

pub(super) fn protocol_error(object: &mut Object<'_>, event: &ProtocolError<'_>) {
    endpoint_if(object, key!("client"), event.client.as_ref());
    object.word(key!("kind"), event.kind);
    object.text_if(key!("stage"), event.stage);
    object.text_if(key!("text"), event.text);
}

pub(super) fn dnsbl(object: &mut Object<'_>, event: &Dnsbl<'_>) {
    address_if(object, key!("client"), event.ip);
    object.text(key!("domain"), event.domain);
    object.text(key!("result"), event.result);
}
