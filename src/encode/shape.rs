//! The shapes that several events share.

use super::json::{Key, Object, key};
use crate::postfix::dsn::{Dsn, Language};
use crate::record::{Commands, Delays, Endpoint, Figures, Reply, Sasl, Tls};

pub(super) fn endpoint_if(object: &mut Object<'_>, key: Key, endpoint: Option<&Endpoint<'_>>) {
    let Some(endpoint) = endpoint else { return };
    let mut object = object.object(key);
    object.text_if(key!("name"), endpoint.name);
    object.text_if(key!("ip"), endpoint.ip);
    object.number_if(key!("port"), endpoint.port);
    object.text_if(key!("path"), endpoint.path);
    object.end();
}

pub(super) fn by_stage(mut object: Object<'_>, delays: &Delays<'_>) {
    object.digits(key!("before_queue_manager"), delays.before_queue_manager.as_str());
    object.digits(key!("in_queue_manager"), delays.in_queue_manager.as_str());
    object.digits(key!("connection_setup"), delays.connection_setup.as_str());
    object.digits(key!("transmission"), delays.transmission.as_str());
    object.end();
}

pub(super) fn dsn_if(object: &mut Object<'_>, dsn: Option<&Dsn<'_>>, language: Language) {
    let Some(dsn) = dsn else { return };
    let mut object = object.object(key!("dsn"));
    object.text(key!("code"), dsn.code());
    object.word(key!("class"), dsn.class().name());
    object.word_if(key!("subject"), dsn.subject_name());
    object.word_if(key!("detail"), dsn.detail_name());
    object.word(key!("text"), dsn.text(language));
    object.end();
}

pub(super) fn reply_if(object: &mut Object<'_>, reply: Option<&Reply<'_>>, language: Language) {
    let Some(reply) = reply else { return };
    let mut object = object.object(key!("reply"));
    object.number_if(key!("code"), reply.code);
    dsn_if(&mut object, reply.dsn.as_ref(), language);
    object.text(key!("text"), reply.text);
    object.text_if(key!("command"), reply.command);
    endpoint_if(&mut object, key!("server"), reply.server.as_ref());
    object.end();
}

/// Nothing for a client that did not authenticate.
pub(super) fn sasl(object: &mut Object<'_>, sasl: &Sasl<'_>) {
    if *sasl == Sasl::default() {
        return;
    }
    let mut object = object.object(key!("sasl"));
    object.text_if(key!("method"), sasl.method);
    object.text_if(key!("username"), sasl.username);
    object.text_if(key!("sender"), sasl.sender);
    object.end();
}

pub(super) fn tls(mut object: Object<'_>, tls: &Tls<'_>) {
    object.text_if(key!("trust"), tls.trust);
    object.word(key!("direction"), tls.direction);
    object.boolean(key!("reused"), tls.reused);
    object.text_if(key!("sni"), tls.sni);
    object.text_if(key!("protocol"), tls.protocol);
    object.text_if(key!("cipher"), tls.cipher);
    object.number_if(key!("bits"), tls.bits);
    object.number_if(key!("algorithm_bits"), tls.algorithm_bits);
    object.text_if(key!("key_exchange"), tls.key_exchange);
    object.text_if(key!("server_signature"), tls.server_signature);
    object.text_if(key!("server_digest"), tls.server_digest);
    object.text_if(key!("client_signature"), tls.client_signature);
    object.text_if(key!("client_digest"), tls.client_digest);
    object.end();
}

pub(super) fn commands(mut object: Object<'_>, commands: Commands<'_>) {
    for (name, ok, total) in commands.iter() {
        let mut counts = Object::begin(object.foreign_key(name), false);
        counts.number(key!("ok"), ok);
        counts.number(key!("total"), total);
        counts.end();
    }
    object.end();
}

pub(super) fn figures(object: &mut Object<'_>, figures: Figures<'_>) {
    for (name, value) in figures.iter() {
        crate::decimal::push(object.foreign_key(name), value.into(), 1);
    }
}
