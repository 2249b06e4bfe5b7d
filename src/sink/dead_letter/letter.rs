//! One line of a dead-letter file: a refused record, why it was refused, and how to send it again.
//!
//! ```text
//! {"refused_at":"2026-11-24T02:10:35.123456Z","sink":"kafka","reason":"…","route":"mail","key":"4jYR9Q2wTjz18T",
//!  "id":"…","timestamp_ms":1795486235000,"record":{…}}
//! ```
//!
//! (In the file that is one line.) `route` is the topic or the path, and a record without a key has no `key`. The
//! record comes last and is unchanged, byte for byte. A reader accepts the fields in any order and ignores unknown
//! ones.

use serde_json::{Deserializer, Value};

use crate::buffer::{Entry, Records};
use crate::encode::json_string;
use crate::record::RecordId;
use crate::time::Timestamp;

/// A record that its destination refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'r> {
    /// Reason for the refusal, in the destination's words.
    pub(crate) reason: &'r str,
    pub(crate) records: &'r Records,
    pub(crate) entry: Entry,
}

/// A line that was read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed<'l> {
    pub(crate) sink: String,
    pub(crate) route: String,
    pub(crate) key: Option<String>,
    pub(crate) id: RecordId,
    pub(crate) timestamp_ms: i64,
    /// The JSON object exactly as in the line.
    pub(crate) record: &'l [u8],
}

// === impl Letter ===

impl Letter<'_> {
    /// Appends the line of a record that `sink` dropped at `refused_at`, with its LF.
    pub(super) fn encode(&self, refused_at: Timestamp, sink: &str, out: &mut Vec<u8>) {
        let Self { reason, records, entry } = self;
        out.extend_from_slice(b"{\"refused_at\":\"");
        refused_at.print(out);
        out.push(b'"');
        text(out, "sink", sink);
        text(out, "reason", reason);
        text(out, "route", records.route(entry));
        if let Some(key) = records.key(entry) {
            text(out, "key", key);
        }
        out.extend_from_slice(b",\"id\":\"");
        entry.id.print(out);
        out.extend_from_slice(format!("\",\"timestamp_ms\":{},\"record\":", entry.timestamp_ms).as_bytes());
        let line = records.line(entry);
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(b"}\n");
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(format!(",\"{key}\":").as_bytes());
    json_string(value, |piece| out.extend_from_slice(piece));
}

// === impl Parsed ===

impl<'l> Parsed<'l> {
    /// Parses a line, with or without its LF. The error says what is wrong with the line.
    pub(crate) fn read(line: &'l [u8]) -> Result<Self, String> {
        let fields = fields(line).ok_or("not a JSON object")?;
        let raw = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let missing = |name: &str| format!("the key \"{name}\" is missing");
        let text = |name: &'static str| {
            let value = raw(name).ok_or_else(|| missing(name))?;
            serde_json::from_slice::<String>(value).map_err(|_| format!("\"{name}\" is not a string"))
        };
        let id = RecordId::parse(&text("id")?).ok_or("\"id\" is not the id of a record")?;
        let time = raw("timestamp_ms").ok_or_else(|| missing("timestamp_ms"))?;
        let timestamp_ms = serde_json::from_slice(time).map_err(|_| "\"timestamp_ms\" is not a whole number")?;
        let record = raw("record").ok_or_else(|| missing("record"))?;
        if record.first() != Some(&b'{') {
            return Err("\"record\" is not a JSON object".to_owned());
        }
        let key = raw("key").map(|_| text("key")).transpose()?;
        Ok(Self { sink: text("sink")?, route: text("route")?, key, id, timestamp_ms, record })
    }
}

/// Returns the fields of a JSON object with their values as text; `None` if the line is no JSON object.
fn fields(line: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut rest = line.trim_ascii().strip_prefix(b"{")?;
    let mut fields = Vec::new();
    loop {
        let (key, _) = value(&mut rest)?;
        rest = rest.trim_ascii_start().strip_prefix(b":")?;
        let (_, raw) = value(&mut rest)?;
        fields.push((key.as_str()?.to_owned(), raw));
        rest = rest.trim_ascii_start();
        match rest.split_first()? {
            (b',', behind) => rest = behind,
            (b'}', []) => return Some(fields),
            _ => return None,
        }
    }
}

/// Parses one JSON value and removes it from the front.
fn value<'l>(rest: &mut &'l [u8]) -> Option<(Value, &'l [u8])> {
    let text = rest.trim_ascii_start();
    let mut values = Deserializer::from_slice(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let (raw, behind) = text.split_at(values.byte_offset());
    *rest = behind;
    Some((value, raw))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::SinkLedger;
    use crate::sink::testing::batch;

    const RECORD: &str = "{\"message\": \"a \\\"quoted\\\" }{ caf\u{e9}\",\"n\":1.10,\"o\":{\"record\":1}}";

    fn encoded(key: &str, reason: &str) -> String {
        let ledger = Arc::<SinkLedger>::default();
        let batch = batch(&ledger, 7, &[(RECORD, "mail", key)]);
        let mut out = Vec::new();
        let letter = Letter { reason, records: &batch, entry: batch.entries()[0] };
        letter.encode(Timestamp::from_micros(1_795_486_235_000_001), "kafka", &mut out);
        batch.dropped(crate::ledger::Reason::Rejected);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_holds_what_sends_it_again() {
        let line = encoded("ABC", "too \"large\"");
        assert_eq!(
            line,
            format!(
                "{{\"refused_at\":\"2026-11-24T02:10:35.000001Z\",\"sink\":\"kafka\",\"reason\":\"too \\\"large\\\"\",\
                 \"route\":\"mail\",\"key\":\"ABC\",\"id\":\"00000000-0000-0000-0000-000000000007\",\
                 \"timestamp_ms\":1732414235000,\"record\":{RECORD}}}\n"
            )
        );
        let parsed = Parsed::read(line.as_bytes()).unwrap();
        assert_eq!(parsed.record, RECORD.as_bytes(), "byte for byte");
        assert_eq!(
            (parsed.sink.as_str(), parsed.route.as_str(), parsed.key.as_deref()),
            ("kafka", "mail", Some("ABC"))
        );
        assert_eq!((parsed.id, parsed.timestamp_ms), (RecordId(7), 1_732_414_235_000));
        assert_eq!(Parsed::read(encoded("", "").as_bytes()).unwrap().key, None, "no key is not an empty key");
    }

    #[test]
    fn the_order_of_the_fields_and_unknown_ones_do_not_matter() {
        let line = format!(
            " {{ \"record\" : {RECORD} , \"new\":[1,{{}}],\"timestamp_ms\":-5,\"route\":\"r\", \"sink\":\"s\",\
             \"id\":\"0192f1a0-0000-7000-8000-000000000000\" }} \r\n"
        );
        let parsed = Parsed::read(line.as_bytes()).unwrap();
        assert_eq!((parsed.record, parsed.timestamp_ms), (RECORD.as_bytes(), -5));
        assert_eq!(parsed.id, RecordId(0x0192_f1a0_0000_7000_8000_0000_0000_0000));
    }

    #[test]
    fn every_damage_is_named() {
        let whole = encoded("ABC", "why");
        for (from, to, expected) in [
            ("{\"refused_at\"", "\"refused_at\"", "not a JSON object"),
            ("}\n", "", "not a JSON object"),
            ("}\n", "}x", "not a JSON object"),
            (",\"route\"", ",,\"route\"", "not a JSON object"),
            ("\"route\":", "\"rout\":", "the key \"route\" is missing"),
            ("\"sink\":\"kafka\"", "\"sink\":5", "\"sink\" is not a string"),
            ("\"key\":\"ABC\"", "\"key\":null", "\"key\" is not a string"),
            ("000000000007\"", "00000000000\"", "\"id\" is not the id of a record"),
            ("1732414235000", "1.5", "\"timestamp_ms\" is not a whole number"),
            (RECORD, "[]", "\"record\" is not a JSON object"),
            ("\"record\":", "\"recor\":", "the key \"record\" is missing"),
        ] {
            let line = whole.replacen(from, to, 1);
            assert_ne!(line, whole);
            assert_eq!(Parsed::read(line.as_bytes()).unwrap_err(), expected, "{line}");
        }
        for cut in 0..whole.len() - 1 {
            Parsed::read(&whole.as_bytes()[..cut]).unwrap_err();
        }
        Parsed::read(b"\0\0\0\0").unwrap_err();
        Parsed::read(b"{\"sink\":\"\xff\"}").unwrap_err();
    }

    proptest::proptest! {
        #[test]
        fn any_texts_come_back(route in "\\PC{0,30}", key in "\\PC{1,30}", reason in ".{0,30}") {
            let ledger = Arc::<SinkLedger>::default();
            let batch = batch(&ledger, 7, &[(RECORD, &route, &key)]);
            let mut out = Vec::new();
            let letter = Letter { reason: &reason, records: &batch, entry: batch.entries()[0] };
            letter.encode(Timestamp::now(), "kafka", &mut out);
            batch.dropped(crate::ledger::Reason::Rejected);
            proptest::prop_assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1);
            let parsed = Parsed::read(&out).unwrap();
            proptest::prop_assert_eq!((parsed.route, parsed.key), (route, Some(key)));
            proptest::prop_assert_eq!(parsed.record, RECORD.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0_usize..200, byte: u8) {
            let _ = Parsed::read(&bytes);
            let mut line = encoded("ABC", "why").into_bytes();
            let place = cut % line.len();
            line[place] = byte;
            let _ = Parsed::read(&line);
        }
    }
}
