//! The envelope of a record and the fields of every Postfix event, in their order.

use std::ops::Range;

use super::buffer::Buffer;
use super::event;
use super::json::{self, Object, Recent, key, needs_escape};
use super::shape::Codes;
use crate::decimal;
use crate::dsn::Language;
use crate::record::{DeliveryJoin, Flags, Postfix, Record, Transport};
use crate::syslog::{Facility, Message, Offset, Severity, StructuredElement, Via};
use crate::time::{Printer, Timestamp};

/// Settings for writing records as JSON: the shape of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoder {
    /// The language of `dsn.text`.
    pub language: Language,
}

/// Appends records as JSON lines to a buffer. Fields that are the same as in the record before are copied from there.
pub struct Writer<'o> {
    out: &'o mut Buffer,
    timestamp: Recent<(Timestamp, Offset)>,
    /// Used for a timestamp that differs from the previous one only in its fraction.
    second: Printer,
    receipt: Recent<(Timestamp, Option<Facility>, Option<Severity>)>,
    source: LastSource,
    flags: Recent<Flags>,
    queued_at: Printer,
    codes: Codes,
}

/// The `source` object that was written last.
#[derive(Default)]
struct LastSource {
    /// `None` if there is no object to copy.
    transport: Option<Transport>,
    /// Positions of its texts.
    texts: [Option<Range<usize>>; 3],
    place: Range<usize>,
}

// === impl Encoder ===

impl Encoder {
    /// Returns a writer that appends to `out`.
    pub fn writer(self, out: &mut Buffer) -> Writer<'_> {
        Writer {
            out,
            timestamp: Recent::default(),
            second: Printer::default(),
            receipt: Recent::default(),
            source: LastSource::default(),
            flags: Recent::default(),
            queued_at: Printer::default(),
            codes: Codes::new(self.language),
        }
    }

    /// Appends `record` as one JSON object on one line, without a line end.
    pub fn encode(self, record: &Record<'_>, out: &mut Buffer) {
        self.writer(out).record(record, None);
    }
}

// === impl Writer ===

impl Writer<'_> {
    /// Appends `record` as one line, including LF, and returns the position of the line in the buffer.
    pub fn line(&mut self, record: &Record<'_>) -> Range<usize> {
        self.line_with(record, None)
    }

    /// Appends the `record` of a delivery as [`Writer::line`] does, with its place in the history of its message.
    pub fn line_joined(&mut self, record: &Record<'_>, join: &DeliveryJoin<'_>) -> Range<usize> {
        self.line_with(record, Some(join))
    }

    fn line_with(&mut self, record: &Record<'_>, join: Option<&DeliveryJoin<'_>>) -> Range<usize> {
        let start = self.out.len();
        self.record(record, join);
        self.out.push(b'\n');
        start..self.out.len()
    }

    /// Appends `text` unchanged, with LF.
    pub fn raw_line(&mut self, text: &[u8]) {
        self.out.append(text);
        self.out.push(b'\n');
    }

    /// Returns the number of bytes in the buffer.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    fn record(&mut self, record: &Record<'_>, join: Option<&DeliveryJoin<'_>>) {
        let Self { out, timestamp, second, receipt, source, flags, queued_at, codes } = self;
        let message = &record.message;
        let plain_name = record.plain || !message.app_name.is_some_and(needs_escape);
        let plain_msg = record.plain || !needs_escape(message.msg);
        json::object(out, record.plain, |object| {
            object.bytes(key!("id"), &record.id.text());
            let at = record.timestamp();
            object.fields(timestamp, (at, message.offset), |object| {
                object.recent_time(key!("timestamp"), at, second);
                offset(object, message.offset);
            });
            object.text_if(key!("timestamp_text"), message.timestamp_text);
            object.fields(receipt, (record.received_at, message.facility, message.severity), |object| {
                object.time(key!("received_at"), record.received_at);
                object.word_if(key!("facility"), message.facility.map(Facility::name));
                object.word_if(key!("severity"), message.severity.map(Severity::name));
            });
            sender(object, message, plain_name);
            source.write(object, record);
            object.text_that(key!("message"), message.msg, plain_msg);
            if !record.flags.is_empty() {
                object.fields(flags, record.flags, |object| object.texts(key!("flags"), names(record.flags)));
            }
            if let Some(repeated) = message.repeated {
                object.number(key!("repeat_count"), repeated.count);
            }
            if let Some(said) = &record.postfix {
                // The event of a line consists of parts of these two texts.
                let plain = plain_name && plain_msg && !said.event.is_joined();
                object.part(key!("postfix"), plain, |object| {
                    common(object, said, queued_at);
                    event::encode(object, record, &said.event, codes);
                    if let Some(join) = join {
                        event::joined::delivery(object, join);
                    }
                });
            }
        });
    }
}

// === impl LastSource ===

impl LastSource {
    /// Writes the source of a record, or copies the previous one if it is the same.
    fn write(&mut self, object: &mut Object<'_>, record: &Record<'_>) {
        let Record { origin, peer, .. } = record;
        let texts = [Some(origin.name.as_str()), peer.address, peer.tls_subject];
        let mut places = self.texts.iter().zip(texts);
        if self.transport == Some(origin.transport) && places.all(|(place, text)| object.holds(place.as_ref(), text)) {
            object.again(&self.place);
            return;
        }
        // Text written with escapes cannot be compared.
        let plain = !texts.iter().flatten().any(|text| needs_escape(text));
        self.transport = plain.then_some(origin.transport);
        self.place = object.place_of(|object| {
            object.part(key!("source"), plain, |source| {
                let [name, address, tls_subject] = texts;
                let name = source.placed_if(key!("name"), name);
                source.word(key!("transport"), origin.transport.name());
                self.texts =
                    [name, source.placed_if(key!("peer"), address), source.placed_if(key!("tls_subject"), tls_subject)];
            });
        });
    }
}

/// Writes an offset that the sender named, unless it is that of UTC.
fn offset(object: &mut Object<'_>, offset: Offset) {
    let minutes = offset.seconds.unsigned_abs() / 60;
    if minutes == 0 || !offset.is_named {
        return;
    }
    let [h1, h2] = decimal::pair((minutes / 60) as u8);
    let [m1, m2] = decimal::pair((minutes % 60) as u8);
    let sign = if offset.seconds < 0 { b'-' } else { b'+' };
    object.bytes(key!("timestamp_offset"), &[sign, h1, h2, b':', m1, m2]);
}

/// Writes the fields about the sender, as the header names it.
fn sender(object: &mut Object<'_>, message: &Message<'_>, plain_name: bool) {
    object.text_if(key!("hostname"), message.hostname);
    if let Some(name) = message.app_name {
        object.text_that(key!("app_name"), name, plain_name);
    }
    object.text_if(key!("procid"), message.procid);
    object.text_if(key!("msgid"), message.msgid);
    if !message.structured_data.is_empty() {
        object.value(key!("structured_data"), |out| structured_data(&message.structured_data, out));
    }
    if let Some(via) = &message.via {
        let Via { hostname, app_name, timestamp } = **via;
        object.object(key!("via"), |object| {
            object.text_if(key!("hostname"), hostname);
            object.text_if(key!("app_name"), app_name);
            if let Some(timestamp) = timestamp {
                object.time(key!("timestamp"), timestamp);
            }
        });
    }
}

/// Writes a list with an object for each parameter, and for each element without parameters.
fn structured_data(elements: &[StructuredElement<'_>], out: &mut Buffer) {
    let mut separator = b'[';
    let mut item = |id: &str, param: Option<(&str, &str)>| {
        out.push(separator);
        json::object(out, false, |object| {
            object.text(key!("id"), id);
            if let Some((name, value)) = param {
                object.text(key!("name"), name);
                object.text(key!("value"), value);
            }
        });
        separator = b',';
    };
    for StructuredElement { id, params } in elements {
        if params.is_empty() {
            item(id, None);
        }
        for (name, value) in params {
            item(id, Some((name, value)));
        }
    }
    out.push(b']');
}

fn names(flags: Flags) -> impl Iterator<Item = &'static &'static str> {
    Flags::ALL.iter().filter(move |(flag, _)| flags.contains(*flag)).map(|(_, name)| name)
}

/// Writes the fields that every event of Postfix has.
fn common(object: &mut Object<'_>, postfix: &Postfix<'_>, printer: &mut Printer) {
    object.word(key!("event"), postfix.event.name());
    object.text(key!("instance"), postfix.instance);
    object.text_if(key!("service"), postfix.service);
    object.text_if(key!("daemon"), postfix.daemon);
    if let Some(level) = postfix.level {
        object.word(key!("level"), level.name());
    }
    object.text_if(key!("queue_id"), postfix.queue_id);
    if let Some(queued_at) = postfix.queued_at {
        object.recent_time(key!("queued_at"), queued_at, printer);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::frame::Frame;
    use crate::read_frame;
    use crate::record::{Origin, Peer, RecordIds};
    use crate::syslog::Context;

    #[test]
    fn a_record_is_the_same_whichever_stands_before_it() {
        let origin = |name: &str, transport| Origin {
            name: name.to_owned(),
            transport,
            zone: TimeZone::UTC,
            format: crate::syslog::Format::Auto,
        };
        let origins = [origin("test", Transport::Tcp), origin("test", Transport::Tls), origin("t\"t", Transport::Tls)];
        let peers = [None, Some(""), Some("192.0.2.1:514"), Some("192.0.2.1:515"), Some("/a \"log\"")];
        let subjects = [None, Some("CN=mx1")];
        let mut lines = Vec::new();
        for directory in ["postfix", "syslog"] {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(directory);
            for file in fs::read_dir(corpus).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    lines.extend(fs::read(path).unwrap().split(|b| *b == b'\n').map(<[u8]>::to_vec));
                }
            }
        }
        assert!(lines.len() > 1000, "{} lines", lines.len());
        let (mut out, mut alone) = (Buffer::default(), Buffer::default());
        let mut writer = Encoder::default().writer(&mut out);
        // Also in reverse order, so that each pair of adjacent records occurs in both orders.
        for (turn, line) in lines.iter().chain(lines.iter().rev()).enumerate() {
            // Each changes without the others.
            let origin = &origins[turn / 7 % origins.len()];
            let address = peers[turn / 3 % peers.len()];
            let peer = Peer { address, tls_subject: subjects[turn / 2 % subjects.len()] };
            let received_at = Timestamp::from_micros(1_795_489_200_000_000 + i64::try_from(turn / 100).unwrap());
            let id = RecordIds::default().reserve(received_at, 1).take();
            let context = Context::new(received_at, &origin.zone);
            let frame = Frame { bytes: line, truncated: false };
            read_frame(&frame, peer, origin, &context, id, |record| {
                writer.line(record);
                Encoder::default().encode(record, &mut alone);
                alone.push(b'\n');
            });
        }
        let text = |bytes: &Buffer| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, alone) = (text(&out), text(&alone));
        out.lines().zip(alone.lines()).for_each(|(line, alone)| assert_eq!(line, alone));
        assert_eq!(out.len(), alone.len());
    }
}
