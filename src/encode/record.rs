//! The fields of a record, in their order.

use super::json::{Object, string};
use super::structured_data;
use crate::postfix::dsn::{Dsn, Language};
use crate::record::{Delays, Delivery, Endpoint, Event, Flags, Postfix, Record, Reply};
use crate::time::Timestamp;

/// Writes records as JSON, with the texts of codes in one language.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder {
    /// The language of `dsn.text`.
    pub language: Language,
}

impl Encoder {
    /// Appends `record` as one JSON object on one line, without a line end.
    pub fn encode(self, record: &Record<'_>, out: &mut Vec<u8>) {
        let message = &record.message;
        let mut object = Object::begin(out);
        let id = object.key("id");
        id.push(b'"');
        record.id.print(id);
        id.push(b'"');
        time(&mut object, "timestamp", message.timestamp.unwrap_or(record.received_at));
        object.text_if("timestamp_text", message.timestamp_text);
        time(&mut object, "received_at", record.received_at);
        if let Some(facility) = message.facility {
            object.word("facility", facility.name());
        }
        if let Some(severity) = message.severity {
            object.word("severity", severity.name());
        }
        object.text_if("hostname", message.hostname);
        object.text_if("app_name", message.app_name);
        object.text_if("procid", message.procid);
        object.text_if("msgid", message.msgid);
        if !message.structured_data.is_empty() {
            structured_data::encode(&message.structured_data, object.key("structured_data"));
        }
        source(&mut object, record);
        object.text("message", message.msg);
        flags(&mut object, record.flags);
        if let Some(repeated) = message.repeated {
            object.number("repeat_count", repeated.count);
        }
        if let Some(postfix) = &record.postfix {
            self.postfix(object.object("postfix"), postfix);
        }
        object.end();
    }

    fn postfix(self, mut object: Object<'_>, postfix: &Postfix<'_>) {
        object.word("event", postfix.event.name());
        object.text("instance", postfix.instance);
        object.text_if("service", postfix.service);
        object.text_if("daemon", postfix.daemon);
        if let Some(level) = postfix.level {
            object.word("level", level.name());
        }
        object.text_if("queue_id", postfix.queue_id);
        if let Some(queued_at) = postfix.queued_at {
            time(&mut object, "queued_at", queued_at);
        }
        match &postfix.event {
            Event::Delivery(delivery) => self.delivery(&mut object, delivery),
            Event::Warning { text } | Event::Other { text } => object.text("text", text),
        }
        object.end();
    }

    fn delivery(self, object: &mut Object<'_>, delivery: &Delivery<'_>) {
        object.text("to", delivery.to);
        object.text_if("orig_to", delivery.orig_to);
        if let Some(relay) = &delivery.relay {
            endpoint(object.object("relay"), relay);
        }
        if let Some(conn_use) = delivery.conn_use {
            object.number("conn_use", conn_use);
        }
        if let Some(delay) = delivery.delay {
            object.digits("delay", delay.as_str());
        }
        if let Some(delays) = &delivery.delays {
            by_stage(object.object("delays"), delays);
        }
        object.text_if("tls_feature", delivery.tls_feature);
        if let Some(dsn) = &delivery.dsn {
            self.dsn(object.object("dsn"), dsn);
        }
        object.text("status", delivery.status);
        object.text_if("reason", delivery.reason);
        if let Some(reply) = &delivery.reply {
            self.reply(object.object("reply"), reply);
        }
        object.text_if("remote_queue_id", delivery.remote_queue_id);
        object.text_if("forwarded_as", delivery.forwarded_as);
        if let Some(cause) = delivery.cause {
            object.word("cause", cause.name());
        }
    }

    fn dsn(self, mut object: Object<'_>, dsn: &Dsn<'_>) {
        object.text("code", dsn.code());
        object.word("class", dsn.class().name());
        if let Some(subject) = dsn.subject_name() {
            object.word("subject", subject);
        }
        if let Some(detail) = dsn.detail_name() {
            object.word("detail", detail);
        }
        object.text("text", dsn.text(self.language));
        object.end();
    }

    fn reply(self, mut object: Object<'_>, reply: &Reply<'_>) {
        if let Some(code) = reply.code {
            object.number("code", code.into());
        }
        if let Some(dsn) = &reply.dsn {
            self.dsn(object.object("dsn"), dsn);
        }
        object.text("text", reply.text);
        object.text_if("command", reply.command);
        if let Some(server) = &reply.server {
            endpoint(object.object("server"), server);
        }
        object.end();
    }
}

fn time(object: &mut Object<'_>, key: &'static str, timestamp: Timestamp) {
    let out = object.key(key);
    out.push(b'"');
    timestamp.print(out);
    out.push(b'"');
}

fn source(object: &mut Object<'_>, record: &Record<'_>) {
    let mut source = object.object("source");
    source.text("name", &record.origin.name);
    source.word("transport", record.origin.transport.name());
    source.text_if("peer", record.peer);
    source.end();
}

fn flags(object: &mut Object<'_>, flags: Flags) {
    if flags.is_empty() {
        return;
    }
    let out = object.key("flags");
    let mut separator = b'[';
    for (_, name) in Flags::ALL.iter().filter(|(flag, _)| flags.contains(*flag)) {
        out.push(separator);
        string(out, name);
        separator = b',';
    }
    out.push(b']');
}

fn endpoint(mut object: Object<'_>, endpoint: &Endpoint<'_>) {
    object.text_if("name", endpoint.name);
    object.text_if("ip", endpoint.ip);
    if let Some(port) = endpoint.port {
        object.number("port", port.into());
    }
    object.text_if("path", endpoint.path);
    object.end();
}

fn by_stage(mut object: Object<'_>, delays: &Delays<'_>) {
    object.digits("before_queue_manager", delays.before_queue_manager.as_str());
    object.digits("in_queue_manager", delays.in_queue_manager.as_str());
    object.digits("connection_setup", delays.connection_setup.as_str());
    object.digits("transmission", delays.transmission.as_str());
    object.end();
}
