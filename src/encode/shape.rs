//! The shapes that several events share.

use super::json::Object;
use crate::postfix::dsn::{Dsn, Language};
use crate::record::{Commands, Delays, Endpoint, Figures, Reply, Sasl, Tls};

pub(super) fn endpoint_if(object: &mut Object<'_>, key: &'static str, endpoint: Option<&Endpoint<'_>>) {
    let Some(endpoint) = endpoint else { return };
    let mut object = object.object(key);
    object.text_if("name", endpoint.name);
    object.text_if("ip", endpoint.ip);
    object.number_if("port", endpoint.port);
    object.text_if("path", endpoint.path);
    object.end();
}

pub(super) fn by_stage(mut object: Object<'_>, delays: &Delays<'_>) {
    object.digits("before_queue_manager", delays.before_queue_manager.as_str());
    object.digits("in_queue_manager", delays.in_queue_manager.as_str());
    object.digits("connection_setup", delays.connection_setup.as_str());
    object.digits("transmission", delays.transmission.as_str());
    object.end();
}

pub(super) fn dsn_if(object: &mut Object<'_>, dsn: Option<&Dsn<'_>>, language: Language) {
    let Some(dsn) = dsn else { return };
    let mut object = object.object("dsn");
    object.text("code", dsn.code());
    object.word("class", dsn.class().name());
    object.word_if("subject", dsn.subject_name());
    object.word_if("detail", dsn.detail_name());
    object.text("text", dsn.text(language));
    object.end();
}

pub(super) fn reply_if(object: &mut Object<'_>, reply: Option<&Reply<'_>>, language: Language) {
    let Some(reply) = reply else { return };
    let mut object = object.object("reply");
    object.number_if("code", reply.code);
    dsn_if(&mut object, reply.dsn.as_ref(), language);
    object.text("text", reply.text);
    object.text_if("command", reply.command);
    endpoint_if(&mut object, "server", reply.server.as_ref());
    object.end();
}

/// Nothing for a client that did not authenticate.
pub(super) fn sasl(object: &mut Object<'_>, sasl: &Sasl<'_>) {
    if *sasl == Sasl::default() {
        return;
    }
    let mut object = object.object("sasl");
    object.text_if("method", sasl.method);
    object.text_if("username", sasl.username);
    object.text_if("sender", sasl.sender);
    object.end();
}

pub(super) fn tls(mut object: Object<'_>, tls: &Tls<'_>) {
    object.text_if("trust", tls.trust);
    object.word("direction", tls.direction);
    object.boolean("reused", tls.reused);
    object.text_if("sni", tls.sni);
    object.text_if("protocol", tls.protocol);
    object.text_if("cipher", tls.cipher);
    object.number_if("bits", tls.bits);
    object.number_if("algorithm_bits", tls.algorithm_bits);
    object.text_if("key_exchange", tls.key_exchange);
    object.text_if("server_signature", tls.server_signature);
    object.text_if("server_digest", tls.server_digest);
    object.text_if("client_signature", tls.client_signature);
    object.text_if("client_digest", tls.client_digest);
    object.end();
}

pub(super) fn commands(mut object: Object<'_>, commands: Commands<'_>) {
    for (name, ok, total) in commands.iter() {
        let mut counts = Object::begin(object.foreign_key(name));
        counts.number("ok", ok);
        counts.number("total", total);
        counts.end();
    }
    object.end();
}

pub(super) fn figures(object: &mut Object<'_>, figures: Figures<'_>) {
    for (name, value) in figures.iter() {
        crate::decimal::push(object.foreign_key(name), value.into(), 1);
    }
}
