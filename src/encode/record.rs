//! The envelope of a record and what every Postfix event has, in their order.

use super::json::{Key, Object, key, needs_escape, string};
use super::{event, structured_data};
use crate::postfix::dsn::Language;
use crate::record::{Flags, Postfix, Record};
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
        // What a Postfix program said consists of parts of these two.
        let plain = !needs_escape(message.msg) && !message.app_name.is_some_and(needs_escape);
        let mut object = Object::begin(out, false);
        let id = object.key(key!("id"));
        id.push(b'"');
        record.id.print(id);
        id.push(b'"');
        time(&mut object, key!("timestamp"), message.timestamp.unwrap_or(record.received_at));
        object.text_if(key!("timestamp_text"), message.timestamp_text);
        time(&mut object, key!("received_at"), record.received_at);
        if let Some(facility) = message.facility {
            object.word(key!("facility"), facility.name());
        }
        if let Some(severity) = message.severity {
            object.word(key!("severity"), severity.name());
        }
        object.text_if(key!("hostname"), message.hostname);
        object.text_if(key!("app_name"), message.app_name);
        object.text_if(key!("procid"), message.procid);
        object.text_if(key!("msgid"), message.msgid);
        if !message.structured_data.is_empty() {
            structured_data::encode(&message.structured_data, object.key(key!("structured_data")));
        }
        source(&mut object, record);
        if plain {
            object.plain(key!("message"), message.msg);
        } else {
            object.text(key!("message"), message.msg);
        }
        flags(&mut object, record.flags);
        if let Some(repeated) = message.repeated {
            object.number(key!("repeat_count"), repeated.count);
        }
        if let Some(postfix) = &record.postfix {
            self.postfix(Object::begin(object.key(key!("postfix")), plain), postfix);
        }
        object.end();
    }

    fn postfix(self, mut object: Object<'_>, postfix: &Postfix<'_>) {
        object.word(key!("event"), postfix.event.name());
        object.text(key!("instance"), postfix.instance);
        object.text_if(key!("service"), postfix.service);
        object.text_if(key!("daemon"), postfix.daemon);
        if let Some(level) = postfix.level {
            object.word(key!("level"), level.name());
        }
        object.text_if(key!("queue_id"), postfix.queue_id);
        if let Some(queued_at) = postfix.queued_at {
            time(&mut object, key!("queued_at"), queued_at);
        }
        event::encode(&mut object, &postfix.event, self.language);
        object.end();
    }
}

fn time(object: &mut Object<'_>, key: Key, timestamp: Timestamp) {
    let out = object.key(key);
    out.push(b'"');
    timestamp.print(out);
    out.push(b'"');
}

fn source(object: &mut Object<'_>, record: &Record<'_>) {
    let mut source = object.object(key!("source"));
    source.text(key!("name"), &record.origin.name);
    source.word(key!("transport"), record.origin.transport.name());
    source.text_if(key!("peer"), record.peer.address);
    source.text_if(key!("tls_subject"), record.peer.tls_subject);
    source.end();
}

fn flags(object: &mut Object<'_>, flags: Flags) {
    if flags.is_empty() {
        return;
    }
    let out = object.key(key!("flags"));
    let mut separator = b'[';
    for (_, name) in Flags::ALL.iter().filter(|(flag, _)| flags.contains(*flag)) {
        out.push(separator);
        string(out, name);
        separator = b',';
    }
    out.push(b']');
}
