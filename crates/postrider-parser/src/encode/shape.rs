//! The shapes that several events share.

use super::json::{self, JsonKey, Object, Recent, key};
use crate::decimal;
use crate::dsn::{Class, Dsn, Language};
use crate::record::{Commands, Delays, Endpoint, Figures, Provider, Reply, Sasl, Tls};

/// Writes enhanced status codes with their explanation. The last explanation is cached, since many records share few
/// codes.
pub(super) struct Codes {
    language: Language,
    recent: Recent<(Class, u16, u16)>,
}

impl Codes {
    pub(super) fn new(language: Language) -> Self {
        Self { language, recent: Recent::default() }
    }

    pub(super) fn dsn_if(&mut self, object: &mut Object<'_>, dsn: Option<&Dsn<'_>>) {
        let Some(dsn) = dsn else { return };
        object.object(key!("dsn"), |object| {
            object.text(key!("code"), dsn.code());
            object.fields(&mut self.recent, (dsn.class(), dsn.subject(), dsn.detail()), |object| {
                object.word(key!("class"), dsn.class().name());
                object.word_if(key!("subject"), dsn.subject_name());
                object.word_if(key!("detail"), dsn.detail_name());
                object.word(key!("text"), dsn.text(self.language));
            });
        });
    }

    /// Writes a reply. Its status code is omitted if it equals the event's `own` one.
    pub(super) fn reply_if(&mut self, object: &mut Object<'_>, reply: Option<&Reply<'_>>, own: Option<&Dsn<'_>>) {
        let Some(reply) = reply else { return };
        object.object(key!("reply"), |object| {
            object.number_if(key!("code"), reply.code);
            self.dsn_if(object, reply.dsn.as_ref().filter(|dsn| own != Some(*dsn)));
            object.text(key!("text"), reply.text);
            object.text_if(key!("command"), reply.command);
            endpoint_if(object, key!("server"), reply.server.as_ref());
            object.word_if(key!("provider"), reply.provider.map(Provider::name));
            object.text_if(key!("provider_code"), reply.provider_code);
        });
    }
}

pub(super) fn endpoint_if(object: &mut Object<'_>, key: JsonKey, endpoint: Option<&Endpoint<'_>>) {
    let Some(endpoint) = endpoint else { return };
    object.object(key, |object| {
        object.text_if(key!("name"), endpoint.name);
        object.text_if(key!("ip"), endpoint.ip);
        object.number_if(key!("port"), endpoint.port);
        object.text_if(key!("path"), endpoint.path);
    });
}

/// Writes a client of which only the address, or its network, is known.
pub(super) fn address_if(object: &mut Object<'_>, key: JsonKey, ip: Option<&str>) {
    if let Some(ip) = ip {
        object.object(key, |object| object.text(key!("ip"), ip));
    }
}

pub(super) fn delays_if(object: &mut Object<'_>, delays: Option<&Delays<'_>>) {
    let Some(delays) = delays.filter(|delays| delays.fit()) else { return };
    object.sum(key!("attempt_delay"), delays.connection_setup, delays.transmission);
    object.object(key!("delays"), |object| {
        object.seconds(key!("before_queue_manager"), delays.before_queue_manager);
        object.seconds(key!("in_queue_manager"), delays.in_queue_manager);
        object.seconds(key!("connection_setup"), delays.connection_setup);
        object.seconds(key!("transmission"), delays.transmission);
    });
}

/// Writes the SASL fields, if the client authenticated.
pub(super) fn sasl(object: &mut Object<'_>, sasl: &Sasl<'_>) {
    sasl_with_failures(object, sasl, 0);
}

/// Nothing for a client that did not try to authenticate.
#[inline]
pub(super) fn sasl_with_failures(object: &mut Object<'_>, sasl: &Sasl<'_>, failures: u32) {
    if *sasl == Sasl::default() && failures == 0 {
        return;
    }
    object.object(key!("sasl"), |object| {
        object.text_if(key!("method"), sasl.method);
        object.text_if(key!("username"), sasl.username);
        object.text_if(key!("sender"), sasl.sender);
        if failures > 0 {
            object.number(key!("failures"), failures);
        }
    });
}

pub(super) fn tls_if(object: &mut Object<'_>, tls: Option<&Tls<'_>>) {
    if let Some(tls) = tls {
        self::tls(object, tls);
    }
}

pub(super) fn tls(object: &mut Object<'_>, tls: &Tls<'_>) {
    object.object(key!("tls"), |object| {
        object.word_if(key!("trust"), tls.trust);
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
    });
}

pub(super) fn commands_if(object: &mut Object<'_>, commands: Option<Commands<'_>>) {
    let Some(commands) = commands else { return };
    let mut fitting = commands.iter().filter(|(_, ok, total)| *ok.max(total) <= decimal::LARGEST).peekable();
    if fitting.peek().is_none() {
        return;
    }
    object.object(key!("commands"), |object| {
        for (name, ok, total) in fitting {
            object.named(name, |out| {
                json::object(out, false, |counts| {
                    counts.number(key!("ok"), ok);
                    counts.number(key!("total"), total);
                });
            });
        }
    });
}

/// Writes an object with a number for each name, unless there is none.
pub(super) fn counts_if(object: &mut Object<'_>, key: JsonKey, counts: impl Iterator<Item = (&'static str, u64)>) {
    let mut counts = counts.peekable();
    if counts.peek().is_none() {
        return;
    }
    object.object(key, |object| {
        for (name, count) in counts {
            object.named(name, |out| out.append(decimal::text(count).as_bytes()));
        }
    });
}

pub(super) fn figures(object: &mut Object<'_>, figures: Figures<'_>) {
    for (name, value) in figures.iter().filter(|(_, value)| *value <= decimal::LARGEST) {
        object.named(name, |out| out.append(decimal::text(value).as_bytes()));
    }
}
