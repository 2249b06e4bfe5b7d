//! Does `trace` find, in random histories, what the joins of the whole log tell, and each line of a message?

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::slice;
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use postrider::decode::{Decoder, Printed};
use postrider::encode::Encoder;
use postrider::syslog::Format;
use postrider::trace::{Trace, TraceOutput, TraceQuery};
use serde_json::Value;
use testkit::mail::{MailHeader, MailHistory, MailMessage};
use testkit::seeds;

/// Number of histories.
const HISTORIES: u64 = 5;

/// A history as a log on the disk.
struct Log {
    history: MailHistory,
    path: PathBuf,
    /// Facts of each message by its uid, as the joins of all lines tell them.
    messages: BTreeMap<String, Value>,
    _directory: tempfile::TempDir,
}

impl Log {
    fn new(history: MailHistory) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mail.log");
        let text = |line| history.text(line, MailHeader::Rfc5424) + "\n";
        fs::write(&path, history.lines.iter().map(text).collect::<String>()).expect("a file");
        let messages = messages(&path);
        Self { history, path, messages, _directory: directory }
    }

    fn trace(&self, query: &str) -> Vec<Value> {
        let trace = Trace {
            query: TraceQuery::new(query).expect("a query"),
            zone: TimeZone::UTC,
            format: Format::Auto,
            last: 10_000,
            told: TraceOutput::Records(Encoder::default()),
        };
        let mut out = Vec::new();
        let summary = trace.tell(slice::from_ref(&self.path), &mut out, |error| panic!("{error}")).expect("no error");
        assert_eq!(summary.lines as usize, self.history.lines.len());
        parse(&out)
    }

    /// Returns true if a record says what became of this message. A queue id comes back.
    fn is_of(&self, record: &Value, message: &MailMessage) -> bool {
        let instance = &self.history.instances[message.instance];
        let postfix = &record["postfix"];
        let first = postfix["first_seen"].as_str().map(|time| time.parse::<jiff::Timestamp>().expect("a time"));
        postfix["event"] == "message"
            && postfix["queue_id"] == message.queue_id
            && postfix["instance"] == instance.name
            && record["hostname"] == instance.hostname
            && first.is_some_and(|first| (message.first_seen..=message.last_seen).contains(&first.as_microsecond()))
    }
}

fn parse(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// An output that can be looked at afterwards.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The last record of each message, as `decode --messages` prints it.
fn messages(path: &PathBuf) -> BTreeMap<String, Value> {
    let decoder =
        Decoder { encoder: Encoder::default(), zone: TimeZone::UTC, format: Format::Auto, prints: Printed::Messages };
    let out = Written::default();
    decoder.decode(slice::from_ref(path), out.clone(), |error| panic!("{error}")).expect("no error");
    let records = parse(&out.0.lock().expect("no panic"));
    records.into_iter().map(|record| (uid(&record).to_owned(), record)).collect()
}

fn uid(record: &Value) -> &str {
    record["postfix"]["message_uid"].as_str().expect("a uid")
}

/// A record without what depends on the reading of the log.
fn facts(record: &Value) -> Value {
    let mut facts = record.clone();
    for name in ["id", "received_at", "source"] {
        facts.as_object_mut().expect("an object").remove(name).expect("a field");
    }
    facts["postfix"].as_object_mut().expect("an object").remove("revision");
    facts
}

/// The facts of a message that the joins of the whole log tell. TLS connections that `told` lacks are left out: an
/// agent may have made its connection for a message of an hour ago. After its end, `trace` waits for no more lines.
fn whole(known: &Value, told: &Value) -> Value {
    let mut known = facts(known);
    if known["postfix"]["closed_by"] == "shutdown" {
        known["postfix"]["closed_by"] = told["postfix"]["closed_by"].clone();
    }
    let recipients = known["postfix"].get_mut("recipients").and_then(Value::as_array_mut).into_iter().flatten();
    for (number, recipient) in recipients.enumerate() {
        if told["postfix"]["recipients"][number]["tls"].is_null() {
            recipient.as_object_mut().expect("an object").remove("tls");
        }
    }
    known
}

/// Asserts that the message is told as the joins of all lines do, with each of its lines.
fn assert_told(log: &Log, index: usize, query: &str) {
    let truth = &log.history.messages[index];
    let records = log.trace(query);
    let what = || format!("{query}: {truth:#?}");
    let place = records.iter().position(|record| log.is_of(record, truth));
    let place = place.unwrap_or_else(|| panic!("nothing of {}", what()));
    let told = &records[place];
    assert_eq!(facts(told), whole(&log.messages[uid(told)], told), "{}", what());
    let lines = records[place + 1..].iter().take_while(|record| record["postfix"]["event"] != "message");
    let own = lines.filter(|record| record["postfix"]["queue_id"] == truth.queue_id);
    let own: Vec<&str> = own.map(|record| record["message"].as_str().expect("a text")).collect();
    let expected = log.history.lines.iter().filter(|line| line.message == Some(index));
    let expected: Vec<&str> = expected.map(|line| &*line.body).collect();
    assert_eq!(own, expected, "{}", what());
}

#[test]
fn a_message_is_told_whole_by_each_of_its_names() {
    seeds::each(HISTORIES, |mut rng| {
        let log = Log::new(MailHistory::random(rng.fork(), 60));
        for _ in 0..5 {
            let index = rng.usize(..log.history.messages.len());
            let truth = &log.history.messages[index];
            let recipient = truth.recipients.iter().find(|recipient| !recipient.attempts.is_empty());
            let address = truth.from.as_deref().filter(|from| from.contains('@'));
            let names = [
                Some(&*truth.queue_id),
                truth.message_id.as_deref(),
                recipient.map(|recipient| &*recipient.to),
                recipient.and_then(|recipient| recipient.orig_to.as_deref()),
                address,
            ];
            names.into_iter().flatten().for_each(|name| assert_told(&log, index, name));
        }
    });
}

/// Each message of a chain leads to all of them.
#[test]
fn a_chain_is_told_from_each_of_its_messages() {
    seeds::each(HISTORIES, |mut rng| {
        let log = Log::new(MailHistory::random(rng.fork(), 60));
        let is_linked = |index: &usize| log.history.messages[*index].parent.is_some();
        let linked: Vec<usize> = (0..log.history.messages.len()).filter(is_linked).collect();
        for _ in 0..5.min(linked.len()) {
            let child = linked[rng.usize(..linked.len())];
            let parent = log.history.messages[child].parent.expect("a parent");
            let [child_truth, parent_truth] = [child, parent].map(|index| &log.history.messages[index]);
            let told = log.trace(&child_truth.queue_id);
            // Two systems of a chain that gave one queue id are not linked.
            let is_child = |record: &&Value| log.is_of(record, child_truth);
            let known = log.messages.values().find(is_child).expect("a record of each message");
            if let Some(linked) = known["postfix"]["parent_uid"].as_str() {
                let is_it = |record: &Value| record["postfix"]["event"] == "message" && uid(record) == linked;
                assert!(told.iter().any(is_it), "{linked} of {child_truth:#?}: {told:#?}");
            }
            assert_told(&log, parent, &parent_truth.queue_id);
        }
    });
}
