//! The records of the messages and the sessions of a log, and what they must be.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use postrider::correlate::{Correlator, JoinSettings};
use postrider::encode::{Buffer, Encoder};
use postrider::record::{DeliveryJoin, Record};
use serde_json::Value;

use crate::reader::JoinReader;
use crate::scenarios::log::differs;

/// The `postfix` of records.
pub(crate) struct Joins {
    /// The last record of each message.
    pub(crate) messages: Vec<Value>,
    pub(crate) sessions: Vec<Value>,
}

/// Subject, its record, and fields that this must have: see [`differs`].
pub(crate) type JoinRow<'r> = (&'static str, &'r Value, Value);

impl Joins {
    /// Joins the lines of a log. `postrider decode --messages` tells the same.
    pub(crate) fn of(file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("a log");
        let now = jiff::Timestamp::now().as_microsecond();
        let (correlator, reader) = (Correlator::new(JoinSettings::DEFAULT), JoinReader::new(now));
        let mut out = Buffer::with_room(1 << 20);
        let mut write = |record: &Record<'_>, join: Option<&DeliveryJoin<'_>>| {
            let mut writer = Encoder::default().writer(&mut out);
            match join {
                Some(join) => writer.line_joined(record, join),
                None => writer.line(record),
            };
        };
        reader.join(text.lines(), &mut correlator.joiner(), &mut write);
        reader.finish(&correlator, &mut |record| write(record, None));
        let records = events(&String::from_utf8_lossy(&out));
        let of = |event: &str| records.iter().filter(|record| record["event"] == event).cloned().collect::<Vec<_>>();
        let messages = last(of("message"));

        let decode = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["decode".as_ref(), "--messages".as_ref(), file.as_os_str()])
            .output()
            .expect("postrider runs");
        assert!(decode.status.success(), "{}", String::from_utf8_lossy(&decode.stderr));
        let decoded = last(events(&String::from_utf8_lossy(&decode.stdout)));
        assert_eq!(decoded, messages, "left: decode --messages, right: the library");
        Self { messages, sessions: of("session") }
    }

    /// Returns the record of a message. Panics unless there is one with this field of this value.
    #[track_caller]
    pub(crate) fn message(&self, field: &str, value: &str) -> &Value {
        let found: Vec<_> = self.messages.iter().filter(|record| record[field] == value).collect();
        assert_eq!(found.len(), 1, "{field} {value}: {found:#?}");
        found[0]
    }

    /// Returns sender and recipient of each delivery over a relay that refuses none.
    pub(crate) fn sent(&self, is_relay: impl Fn(&Value) -> bool) -> Vec<(String, String)> {
        let mut sent = Vec::new();
        for record in &self.messages {
            let recipients = record["recipients"].as_array().map_or(&[][..], Vec::as_slice);
            for one in recipients.iter().filter(|one| one["status"] == "sent" && is_relay(&one["relay"])) {
                let text = |value: &Value| value.as_str().expect("an address").to_owned();
                let count = usize::try_from(one["attempts"].as_u64().expect("a number")).expect("few");
                sent.extend(vec![(text(&record["from"]), text(&one["to"])); count]);
            }
        }
        sent.sort();
        sent
    }
}

/// Checks that each record is as its row says.
#[track_caller]
pub(crate) fn expect(rows: &[JoinRow<'_>]) {
    let mut faults = String::new();
    for (name, record, fields) in rows {
        if let Some(difference) = differs(fields, record, name) {
            writeln!(faults, "{difference}\n{record:#}").expect("a String takes all");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Returns the `postfix` of each record.
fn events(lines: &str) -> Vec<Value> {
    let record = |line: &str| -> Value { serde_json::from_str(line).expect("a JSON object per line") };
    lines.lines().map(|line| record(line)["postfix"].take()).collect()
}

/// Returns the last revision of each message, in the order of their times, with its recipients in the order of their
/// addresses.
fn last(messages: Vec<Value>) -> Vec<Value> {
    let mut last: HashMap<String, Value> = HashMap::new();
    for message in messages {
        let uid = message["message_uid"].as_str().expect("a message").to_owned();
        let known = last.get(&uid).and_then(|known| known["revision"].as_u64());
        if known < message["revision"].as_u64() {
            last.insert(uid, message);
        }
    }
    let mut last: Vec<_> = last.into_values().collect();
    for recipients in last.iter_mut().filter_map(|message| message["recipients"].as_array_mut()) {
        recipients.sort_by_key(|recipient| recipient["to"].to_string());
    }
    last.sort_by_key(|message| (message["first_seen"].to_string(), message["key"].to_string()));
    last
}
