//! Does a look at the messages that are remembered tell what their records then tell, and change nothing?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postrider::correlate::{Correlator, HeldLimits, HeldName, JoinSettings};
use postrider::encode::{Buffer, Encoder};
use postrider::record::{Event, Record, RecordIds};
use postrider::time::Timestamp;
use serde_json::Value;
use testkit::mail::{MailHeader, MailHistory};
use testkit::seeds;

use super::reader::JoinReader;
use super::tick;

/// Number of histories.
const HISTORIES: u64 = 20;

/// The last record of each message, by its id.
type Told = BTreeMap<String, Value>;

/// Notes the record of a message, without what the end of the joins says of it.
fn note(record: &Record<'_>, told: &mut Told) {
    if !matches!(record.postfix.as_ref().map(|postfix| &postfix.event), Some(Event::Message(_))) {
        return;
    }
    let mut json = Buffer::default();
    Encoder::default().writer(&mut json).line(record);
    let mut facts: Value = serde_json::from_slice::<Value>(&json).expect("JSON")["postfix"].take();
    let fields = facts.as_object_mut().expect("an object");
    for field in ["revision", "state", "closed_by", "incomplete"] {
        fields.remove(field);
    }
    told.insert(facts["message_uid"].as_str().expect("an id").to_owned(), facts);
}

fn held(correlator: &Correlator, is_sought: &dyn Fn(HeldName<'_>) -> bool) -> Told {
    let until = Instant::now() + Duration::from_secs(600);
    let limits = HeldLimits { last: 1_000_000, bytes: usize::MAX, until };
    let (held, ids, now) = (correlator.held(is_sought, limits), RecordIds::default(), Timestamp::from_micros(0));
    assert!(!held.is_cut && held.searched == correlator.counts().messages, "{}", held.searched);
    let mut told = Told::new();
    for number in 0..held.len() {
        held.read(number, ids.reserve(now, 1).take(), now, &mut |record| note(record, &mut told));
    }
    assert_eq!(told.len(), held.len(), "two copies of one message");
    told
}

fn saved(correlator: &Correlator) -> Vec<u8> {
    let mut bytes = Vec::new();
    correlator.save(&mut bytes).expect("a checkpoint in memory");
    bytes
}

#[test]
fn a_look_tells_what_the_records_then_tell() {
    let mut messages = 0;
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let end = rng.usize(..=history.lines.len());
        let texts: Vec<String> =
            history.lines[..end].iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect();
        let at = history.lines[..end].last().map_or(0, |line| line.at);
        let (correlator, reader, mut told) = (Correlator::new(JoinSettings::DEFAULT), JoinReader::new(at), Told::new());
        let mut joiner = correlator.joiner();
        reader.join(texts.iter().map(String::as_str), &mut joiner, &mut |record, _| note(record, &mut told));
        drop(joiner);
        // A mail system hears what another one says of its messages.
        (0..3).for_each(|_| tick(&correlator, at, &mut |record| note(record, &mut told)));
        let before = saved(&correlator);
        let all = held(&correlator, &|_| true);
        assert!(saved(&correlator) == before, "a look has changed the joins");
        assert_eq!(all.len(), correlator.counts().messages);
        // Each message is found by its own queue id, with all of its chain.
        for (uid, facts) in &all {
            let queue_id = facts["queue_id"].as_str().expect("a queue id");
            let found = held(&correlator, &|name| name == HeldName::Id(queue_id));
            assert_eq!(found.get(uid), Some(facts));
            for other in all.values().filter(|other| other["trace_id"] == facts["trace_id"]) {
                assert!(found.contains_key(other["message_uid"].as_str().expect("an id")), "{other} of {facts}");
            }
        }
        messages += all.len();
        reader.finish(&correlator, &mut |record| note(record, &mut told));
        for (uid, facts) in &all {
            assert_eq!(Some(facts), told.get(uid), "{facts:#}");
        }
    });
    assert!(messages > 100, "{messages} messages");
}
