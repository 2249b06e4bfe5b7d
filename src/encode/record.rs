//! The envelope of a record and what every Postfix event has, in their order.

use super::json::{Object, string};
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
        event::encode(&mut object, &postfix.event, self.language);
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
    source.text_if("peer", record.peer.address);
    source.text_if("tls_subject", record.peer.tls_subject);
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
