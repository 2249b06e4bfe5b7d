//! The envelope of a record and what every Postfix event has, in their order.

use std::ops::Range;

use super::json::{self, Key, Object, Recent, key, needs_escape, string};
use super::shape::Codes;
use super::{event, structured_data};
use crate::postfix::dsn::Language;
use crate::record::{Flags, Postfix, Record};
use crate::syslog::{Facility, Message, Severity};
use crate::time::Timestamp;

/// How records are written as JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder {
    /// The language of `dsn.text`.
    pub language: Language,
}

/// Appends records as JSON lines to a buffer. What one has in common with the one before is copied from there.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    timestamp: Recent<Timestamp>,
    receipt: Recent<(Timestamp, Option<Facility>, Option<Severity>)>,
    flags: Recent<Flags>,
    codes: Codes,
}

// === impl Encoder ===

impl Encoder {
    /// A writer that appends to `out`.
    pub fn writer(self, out: &mut Vec<u8>) -> Writer<'_> {
        Writer {
            out,
            timestamp: Recent::default(),
            receipt: Recent::default(),
            flags: Recent::default(),
            codes: Codes::new(self.language),
        }
    }

    /// Appends `record` as one JSON object on one line, without a line end.
    pub fn encode(self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.writer(out).record(record);
    }
}

// === impl Writer ===

impl Writer<'_> {
    /// Appends `record` as one line, LF included, and gives the place of that in the buffer.
    pub fn line(&mut self, record: &Record<'_>) -> Range<usize> {
        let start = self.out.len();
        self.record(record);
        self.out.push(b'\n');
        start..self.out.len()
    }

    /// Appends `text` as it is, with LF.
    pub fn raw_line(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
        self.out.push(b'\n');
    }

    /// The bytes in the buffer.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    fn record(&mut self, record: &Record<'_>) {
        let Self { out, timestamp, receipt, flags, codes } = self;
        let message = &record.message;
        let plain_name = !message.app_name.is_some_and(needs_escape);
        let plain_msg = !needs_escape(message.msg);
        json::object(out, false, |object| {
            object.value(key!("id"), |out| {
                out.push(b'"');
                record.id.print(out);
                out.push(b'"');
            });
            let at = message.timestamp.unwrap_or(record.received_at);
            object.fields(timestamp, at, |object| time(object, key!("timestamp"), at));
            object.text_if(key!("timestamp_text"), message.timestamp_text);
            object.fields(receipt, (record.received_at, message.facility, message.severity), |object| {
                time(object, key!("received_at"), record.received_at);
                object.word_if(key!("facility"), message.facility.map(Facility::name));
                object.word_if(key!("severity"), message.severity.map(Severity::name));
            });
            sender(object, message, plain_name);
            source(object, record);
            object.text_that(key!("message"), message.msg, plain_msg);
            if !record.flags.is_empty() {
                object.fields(flags, record.flags, |object| {
                    object.value(key!("flags"), |out| names(record.flags, out));
                });
            }
            if let Some(repeated) = message.repeated {
                object.number(key!("repeat_count"), repeated.count);
            }
            if let Some(said) = &record.postfix {
                // It consists of parts of these two.
                let plain = plain_name && plain_msg;
                object.value(key!("postfix"), |out| json::object(out, plain, |object| postfix(object, said, codes)));
            }
        });
    }
}

fn time(object: &mut Object<'_>, key: Key, timestamp: Timestamp) {
    object.value(key, |out| {
        out.push(b'"');
        timestamp.print(out);
        out.push(b'"');
    });
}

/// Who wrote the message, as its header says.
fn sender(object: &mut Object<'_>, message: &Message<'_>, plain_name: bool) {
    object.text_if(key!("hostname"), message.hostname);
    if let Some(name) = message.app_name {
        object.text_that(key!("app_name"), name, plain_name);
    }
    object.text_if(key!("procid"), message.procid);
    object.text_if(key!("msgid"), message.msgid);
    if !message.structured_data.is_empty() {
        object.value(key!("structured_data"), |out| structured_data::encode(&message.structured_data, out));
    }
}

fn source(object: &mut Object<'_>, record: &Record<'_>) {
    object.object(key!("source"), |source| {
        source.text(key!("name"), &record.origin.name);
        source.word(key!("transport"), record.origin.transport.name());
        source.text_if(key!("peer"), record.peer.address);
        source.text_if(key!("tls_subject"), record.peer.tls_subject);
    });
}

fn names(flags: Flags, out: &mut Vec<u8>) {
    let mut separator = b'[';
    for (_, name) in Flags::ALL.iter().filter(|(flag, _)| flags.contains(*flag)) {
        out.push(separator);
        string(out, name);
        separator = b',';
    }
    out.push(b']');
}

fn postfix(object: &mut Object<'_>, postfix: &Postfix<'_>, codes: &mut Codes) {
    object.word(key!("event"), postfix.event.name());
    object.text(key!("instance"), postfix.instance);
    object.text_if(key!("service"), postfix.service);
    object.text_if(key!("daemon"), postfix.daemon);
    if let Some(level) = postfix.level {
        object.word(key!("level"), level.name());
    }
    object.text_if(key!("queue_id"), postfix.queue_id);
    if let Some(queued_at) = postfix.queued_at {
        time(object, key!("queued_at"), queued_at);
    }
    event::encode(object, &postfix.event, codes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::frame::Frame;
    use crate::pipeline;
    use crate::record::{Origin, Peer, RecordIds, Transport};
    use crate::syslog::Context;

    #[test]
    fn a_record_is_the_same_whichever_stands_before_it() {
        let origin = Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC };
        let mut lines = Vec::new();
        for directory in ["postfix", "syslog"] {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(directory);
            for file in fs::read_dir(corpus).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    lines.extend(fs::read(path).unwrap().split(|b| *b == b'\n').map(<[u8]>::to_vec));
                }
            }
        }
        assert!(lines.len() > 1000, "{} lines", lines.len());
        let (mut out, mut alone) = (Vec::new(), Vec::new());
        let mut writer = Encoder::default().writer(&mut out);
        // From the end, too: so what is written is what the one before has, and what it has not, in both orders.
        for (number, line) in (0..).zip(lines.iter().chain(lines.iter().rev())) {
            let received_at = Timestamp::from_micros(1_795_489_200_000_000 + number / 100);
            let id = RecordIds::default().reserve(received_at, 1).take();
            let context = Context::new(received_at, &origin.zone);
            let frame = Frame { bytes: line, truncated: false };
            pipeline::read_frame(&frame, Peer::default(), &origin, &context, id, |record| {
                writer.line(record);
                Encoder::default().encode(record, &mut alone);
                alone.push(b'\n');
            });
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, alone) = (text(out), text(alone));
        out.lines().zip(alone.lines()).for_each(|(line, alone)| assert_eq!(line, alone));
        assert_eq!(out.len(), alone.len());
    }
}
