//! The fields of each event, in their order.

use super::json::{Object, key};
use super::shape::{Codes, commands_if, delays_if, endpoint_if, figures, sasl, tls};
use crate::record::{Cause, Client, Delivery, Event, Postscreen, Record, Verdict};

/// Appends the fields of the `event` of a record.
pub(super) fn encode(object: &mut Object<'_>, record: &Record<'_>, event: &Event<'_>, codes: &mut Codes) {
    match event {
        Event::Delivery(event) => delivery(object, event, codes),
        Event::Client(event) => client(object, event),
        Event::Verdict(event) => verdict(object, event, codes),
        Event::Postscreen(event) => postscreen(object, event),
        Event::Connect { .. } | Event::Disconnect { .. } | Event::ConnectionLost { .. } => session(object, event),
        Event::SaslFailure { .. }
        | Event::HostnameMismatch { .. }
        | Event::RateLimit { .. }
        | Event::ProtocolError { .. }
        | Event::Dnsbl { .. } => client_trouble(object, event),
        Event::Tls { .. } | Event::TlsError { .. } | Event::TlsReport { .. } => transport_security(object, event),
        Event::AttemptFailed { server, reply, cause, reason } => {
            endpoint_if(object, key!("server"), server.as_ref());
            codes.reply_if(object, reply.as_ref(), None);
            object.word(key!("cause"), cause.name());
            object.text(key!("reason"), reason);
        }
        Event::Statistics { .. } | Event::CacheStatistics { .. } | Event::CacheCleanup { .. } => {
            statistics(object, event, record);
        }
        Event::QueueAdmin { action, messages } => {
            object.word(key!("action"), action);
            object.number_if(key!("messages"), *messages);
        }
        Event::Lifecycle { action, version, config_directory, signal } => {
            object.word(key!("action"), action);
            object.text_if(key!("version"), *version);
            object.text_if(key!("config_directory"), *config_directory);
            object.number_if(key!("signal"), *signal);
        }
        Event::Notice { kind, server, text } => {
            object.word(key!("kind"), kind);
            endpoint_if(object, key!("server"), server.as_ref());
            object.text(key!("text"), text);
        }
        Event::Warning { text } | Event::Debug { text } | Event::Other { text } => object.text(key!("text"), text),
        _ => queue(object, event),
    }
}

fn delivery(object: &mut Object<'_>, delivery: &Delivery<'_>, codes: &mut Codes) {
    object.address(key!("to"), key!("to_domain"), delivery.to);
    object.text_if(key!("orig_to"), delivery.orig_to);
    endpoint_if(object, key!("relay"), delivery.relay.as_ref());
    object.number_if(key!("conn_use"), delivery.conn_use);
    object.seconds_if(key!("delay"), delivery.delay);
    delays_if(object, delivery.delays.as_ref());
    object.text_if(key!("tls_feature"), delivery.tls_feature);
    codes.dsn_if(object, delivery.dsn.as_ref());
    object.text(key!("status"), delivery.status);
    object.text_if(key!("reason"), delivery.reason);
    codes.reply_if(object, delivery.reply.as_ref(), delivery.dsn.as_ref());
    object.text_if(key!("remote_queue_id"), delivery.remote_queue_id);
    object.text_if(key!("forwarded_as"), delivery.forwarded_as);
    object.word_if(key!("cause"), delivery.cause.map(Cause::name));
    object.word_if(key!("cause_detail"), delivery.cause_detail.map(Cause::name));
}

fn client(object: &mut Object<'_>, client: &Client<'_>) {
    endpoint_if(object, key!("client"), client.client.as_ref());
    sasl(object, &client.sasl);
    object.text_if(key!("orig_queue_id"), client.orig_queue_id);
    endpoint_if(object, key!("orig_client"), client.orig_client.as_ref());
}

fn verdict(object: &mut Object<'_>, verdict: &Verdict<'_>, codes: &mut Codes) {
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

fn postscreen(object: &mut Object<'_>, postscreen: &Postscreen<'_>) {
    endpoint_if(object, key!("client"), postscreen.client.as_ref());
    object.word(key!("test"), postscreen.test);
    object.signed_if(key!("rank"), postscreen.rank.filter(|rank| *rank > i64::MIN));
    object.seconds_if(key!("after"), postscreen.after);
    object.text_if(key!("stage"), postscreen.stage);
    object.text_if(key!("text"), postscreen.text);
    object.number_if(key!("bytes"), postscreen.bytes);
}

/// What becomes of a message in the queue.
fn queue(object: &mut Object<'_>, event: &Event<'_>) {
    match event {
        Event::QueueActive { from, size, nrcpt } => {
            object.address(key!("from"), key!("from_domain"), from);
            object.number_if(key!("size"), *size);
            object.number_if(key!("nrcpt"), *nrcpt);
        }
        Event::Expired { from, status, reason } => {
            object.address(key!("from"), key!("from_domain"), from);
            object.text(key!("status"), status);
            object.text_if(key!("reason"), *reason);
        }
        Event::Removed { reason } => object.text_if(key!("reason"), *reason),
        Event::Passing { to, transport } => {
            object.address(key!("to"), key!("to_domain"), to);
            object.text(key!("transport"), transport);
        }
        Event::Pickup { uid, from, orig_queue_id } => {
            object.number_if(key!("uid"), *uid);
            object.address(key!("from"), key!("from_domain"), from);
            object.text_if(key!("orig_queue_id"), *orig_queue_id);
        }
        Event::MessageId { message_id, resent } => {
            object.text(key!("message_id"), message_id);
            if *resent {
                object.boolean(key!("resent"), true);
            }
        }
        Event::Notification { kind, recipient, notification_queue_id } => {
            object.word(key!("kind"), kind);
            object.text(key!("recipient"), recipient);
            object.text(key!("notification_queue_id"), notification_queue_id);
        }
        Event::NotificationFailed { status, reason } => {
            object.text_if(key!("status"), *status);
            object.text_if(key!("reason"), *reason);
        }
        _ => {}
    }
}

/// What becomes of a client's connection.
fn session(object: &mut Object<'_>, event: &Event<'_>) {
    match event {
        Event::Connect { client, local, server } => {
            endpoint_if(object, key!("client"), client.as_ref());
            endpoint_if(object, key!("local"), local.as_ref());
            endpoint_if(object, key!("server"), server.as_ref());
        }
        Event::Disconnect { client, commands, notes } => {
            endpoint_if(object, key!("client"), client.as_ref());
            commands_if(object, *commands);
            object.text_if(key!("notes"), *notes);
        }
        Event::ConnectionLost { client, cause, stage, bytes } => {
            endpoint_if(object, key!("client"), client.as_ref());
            object.word(key!("cause"), cause.name());
            object.text_if(key!("stage"), *stage);
            object.number_if(key!("bytes"), *bytes);
        }
        _ => {}
    }
}

/// What a client did wrong.
fn client_trouble(object: &mut Object<'_>, event: &Event<'_>) {
    match event {
        Event::SaslFailure { client, sasl: attempt, reason } => {
            endpoint_if(object, key!("client"), client.as_ref());
            sasl(object, attempt);
            object.text_if(key!("reason"), *reason);
        }
        Event::HostnameMismatch { client, reason } => {
            endpoint_if(object, key!("client"), client.as_ref());
            object.text_if(key!("reason"), *reason);
        }
        Event::RateLimit { client, limit, value, limited_service } => {
            endpoint_if(object, key!("client"), client.as_ref());
            object.word(key!("limit"), limit);
            object.number_if(key!("value"), *value);
            object.text_if(key!("limited_service"), *limited_service);
        }
        Event::ProtocolError { client, kind, stage, text } => {
            endpoint_if(object, key!("client"), client.as_ref());
            object.word(key!("kind"), kind);
            object.text_if(key!("stage"), *stage);
            object.text_if(key!("text"), *text);
        }
        Event::Dnsbl { ip, domain, result } => {
            by_address(object, Some(ip));
            object.text(key!("domain"), domain);
            object.text(key!("result"), result);
        }
        _ => {}
    }
}

fn transport_security(object: &mut Object<'_>, event: &Event<'_>) {
    match event {
        Event::Tls { peer, tls: properties } => {
            tls(object, properties);
            endpoint_if(object, key!("peer"), peer.as_ref());
        }
        Event::TlsError { peer, reason } => {
            endpoint_if(object, key!("peer"), peer.as_ref());
            object.text(key!("reason"), reason);
        }
        Event::TlsReport { status, domain, server, failure_type, reason } => {
            object.text(key!("status"), status);
            object.text_if(key!("domain"), *domain);
            endpoint_if(object, key!("server"), server.as_ref());
            object.text_if(key!("failure_type"), *failure_type);
            object.text_if(key!("reason"), *reason);
        }
        _ => {}
    }
}

fn statistics(object: &mut Object<'_>, event: &Event<'_>, record: &Record<'_>) {
    match event {
        Event::Statistics { kind, value, period, limited_service, ip, at } => {
            object.word(key!("kind"), kind);
            object.number_if(key!("value"), *value);
            object.whole_seconds_if(key!("period"), *period);
            object.text_if(key!("limited_service"), *limited_service);
            by_address(object, *ip);
            moment_if(object, record, *at);
        }
        Event::CacheStatistics { kind, figures: counted, at } => {
            object.word(key!("kind"), kind);
            figures(object, *counted);
            moment_if(object, record, *at);
        }
        Event::CacheCleanup { cache, retained, dropped, full } => {
            object.text(key!("cache"), cache);
            object.number_if(key!("retained"), *retained);
            object.number_if(key!("dropped"), *dropped);
            object.boolean(key!("full"), *full);
        }
        _ => {}
    }
}

/// A time that names its moment neither by a year nor by a zone.
fn moment_if(object: &mut Object<'_>, record: &Record<'_>, at: Option<&str>) {
    if let Some(moment) = at.and_then(|at| record.moment(at)) {
        object.time(key!("at"), moment);
    }
}

/// A client of which only the address, or its network, is known.
fn by_address(object: &mut Object<'_>, ip: Option<&str>) {
    if let Some(ip) = ip {
        object.object(key!("client"), |client| client.text(key!("ip"), ip));
    }
}
