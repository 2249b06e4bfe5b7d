use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::slice;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::correlate::JoinSettings;
use crate::dsn::Language;
use crate::frame::Frame;
use crate::record::LineHash;
use crate::syslog::Format;
use crate::trace::line::LineReader;
use crate::trace::{Look, Trace};

const PLAIN: Look = Look { language: Language::En, width: 80, has_colours: false, has_unicode: true };
const PAGE: TraceOutput = TraceOutput::Page(PLAIN);
const RECORDS: TraceOutput = TraceOutput::Records(Encoder { language: Language::En });
/// The day after the last line of the corpus.
const NOW: i64 = 1_795_564_800_000_000;

fn corpus(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/trace").join(name)).unwrap()
}

/// The joins of these lines. They forget nothing.
fn joins<'l>(lines: impl IntoIterator<Item = &'l str>) -> Correlator {
    let (ages, now) = (i64::MAX / 4, Timestamp::from_micros(NOW));
    let joins = Correlator::new(JoinSettings { max_age: ages, grace: ages, ..JoinSettings::DEFAULT });
    let reader = LineReader::new(&TimeZone::UTC, Format::Auto, &[], false, now);
    let ids = RecordIds::default();
    let mut joiner = joins.joiner();
    for line in lines {
        let frame = Frame { bytes: line.as_bytes(), truncated: false };
        reader.read(0, &frame, LineHash(0), |record| {
            joiner.join(slice::from_ref(record), &mut || ids.reserve(now, 1).take(), &mut |_, _| {});
        });
    }
    drop(joiner);
    joins
}

fn trace(query: &str, told: TraceOutput) -> HeldTrace {
    let until = Instant::now() + Duration::from_secs(600);
    let query = TraceQuery::new(query).unwrap();
    HeldTrace { query, zone: TimeZone::UTC, last: 100, told, until, bytes: usize::MAX }
}

fn page(lines: &str, query: &str, look: Look) -> String {
    let parts = trace(query, TraceOutput::Page(look)).tell(&joins(lines.lines())).parts;
    parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect::<Vec<_>>().join("\n")
}

fn records(stories: &HeldStories) -> Vec<Value> {
    stories.parts.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap()["postfix"].take()).collect()
}

/// Facts in the record of a message, by its id: also of one that was open when the log ended.
fn facts(records: &[Value]) -> BTreeMap<String, Value> {
    let recipient =
        |one: &Value| json!([one["to"], one["status"], one["dsn"], one["attempts"], one["last_attempt_at"]]);
    let facts = |message: &Value| {
        let recipients: Vec<_> = message["recipients"].as_array().into_iter().flatten().map(recipient).collect();
        let of = ["from", "message_id", "size", "result", "first_seen", "last_seen", "parent_queue_id", "trace_id"];
        json!([of.map(|field| &message[field]), recipients])
    };
    records.iter().map(|message| (message["message_uid"].to_string(), facts(message))).collect()
}

#[test]
fn the_records_tell_what_a_trace_of_the_log_tells() {
    for (name, query) in [
        ("bounce", "4jYR9Q2wTjz18T"),
        ("greylisted", "anna@example.com"),
        ("deferred", "bob@example.com"),
        ("filter", "<CAF.report-7731@example.org>"),
        ("expired", "3F1D29A4C0"),
        ("hosts", "lea@EXAMPLE.com"),
        ("admin", "news@list.example.net"),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/trace/{name}.log"));
        let (zone, format) = (TimeZone::UTC, Format::Auto);
        let of_log = Trace { query: TraceQuery::new(query).unwrap(), zone, format, last: 100, told: RECORDS };
        let mut out = Vec::new();
        of_log.tell(&[file], &mut out, |error| panic!("{error}")).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["postfix"].take());
        let expected = facts(&lines.filter(|postfix| postfix["event"] == "message").collect::<Vec<_>>());
        let told = trace(query, RECORDS).tell(&joins(corpus(&format!("{name}.log")).lines()));
        assert!(!told.is_cut && told.matching >= 1 && told.searched >= told.matching, "{name}: {told:?}");
        assert_eq!(facts(&records(&told)), expected, "{name}");
    }
}

#[test]
fn a_page_tells_the_story_as_far_as_it_is_known() {
    let look = |language| Look { language, ..PLAIN };
    insta::assert_snapshot!("greylisted", page(&corpus("greylisted.log"), "anna@example.com", PLAIN));
    insta::assert_snapshot!("bounce", page(&corpus("bounce.log"), "4jYR9Q2wTjz18T", PLAIN));
    insta::assert_snapshot!("bounce_ja", page(&corpus("bounce.log"), "4jYR9Q2wTjz18T", look(Language::Ja)));
    insta::assert_snapshot!("expired", page(&corpus("expired.log"), "3F1D29A4C0", PLAIN));
    insta::assert_snapshot!("filter", page(&corpus("filter.log"), "<CAF.report-7731@example.org>", PLAIN));
}

/// The lines of a message that waits for its next attempt.
fn open(queue_id: &str, second: usize, to: &str) -> String {
    let at = format!("2026-11-24T02:{:02}:{:02}+00:00 mx1 postfix", second / 60, second % 60);
    format!(
        "{at}/smtpd[7]: {queue_id}: client=mail.example.net[192.0.2.10]\n\
         {at}/cleanup[8]: {queue_id}: message-id=<{queue_id}@example.net>\n\
         {at}/qmgr[9]: {queue_id}: from=<ada@example.net>, size=2048, nrcpt=1 (queue active)\n\
         {at}/smtp[10]: {queue_id}: to=<{to}>, relay=mx.example.com[192.0.2.20]:25, delay=1.2, delays=0.1/0/1/0.1, \
         dsn=4.2.0, status=deferred (host mx.example.com[192.0.2.20] said: 451 4.2.0 Try later)\n"
    )
}

#[test]
fn an_open_message_is_still_in_the_queue() {
    insta::assert_snapshot!("open", page(&open("4FCA1803C5", 0, "bob@example.com"), "4FCA1803C5", PLAIN));
    // Its arrival is not known.
    let lines = open("4FCA1803C5", 0, "bob@example.com");
    let rest = lines.split_inclusive('\n').skip(2).collect::<String>();
    insta::assert_snapshot!("open_without_arrival", page(&rest, "bob@EXAMPLE.com", PLAIN));
    // There is nothing to say of what is still to come.
    let first = lines.lines().next().unwrap();
    insta::assert_snapshot!("open_at_its_first_line", page(first, "4FCA1803C5", PLAIN));
}

#[test]
fn a_message_is_found_by_each_of_its_names() {
    let joins = joins(open("4FCA1803C5", 0, "bob@example.com").lines());
    for query in ["4FCA1803C5", "<4FCA1803C5@example.net>", "ada@example.net", "<bob@EXAMPLE.com>"] {
        assert_eq!(trace(query, RECORDS).tell(&joins).matching, 1, "{query}");
    }
    for query in ["4FCA1803C", "4fca1803c5", "Ada@example.net", "ob@example.com", "example.com", "192.0.2.10"] {
        let told = trace(query, PAGE).tell(&joins);
        assert_eq!(told, HeldStories { searched: 1, ..HeldStories::default() }, "{query}");
    }
}

/// More messages than are visited under one lock, of two mail systems.
fn many() -> Correlator {
    let text: String = (0..600).map(|number| open(&format!("4FCA18{number:04}"), number, "bob@example.com")).collect();
    let other = text.replace(" mx1 ", " mx2 ");
    joins(text.lines().chain(other.lines()))
}

#[test]
fn the_last_of_many_messages_are_told_in_their_order() {
    let joins = many();
    let told = HeldTrace { last: 10, ..trace("bob@example.com", RECORDS) }.tell(&joins);
    assert_eq!((told.matching, told.searched, told.is_cut), (1200, 1200, false));
    let ids: Vec<_> = records(&told).iter().map(|message| message["queue_id"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<_> =
        (595..600).flat_map(|number| [format!("4FCA18{number:04}"), format!("4FCA18{number:04}")]).collect();
    assert_eq!(ids, expected);
}

#[test]
fn limits_of_time_and_size_cut_what_is_told() {
    let joins = many();
    let told = HeldTrace { until: Instant::now(), ..trace("bob@example.com", RECORDS) }.tell(&joins);
    assert_eq!(told, HeldStories { is_cut: true, ..HeldStories::default() });
    let told = HeldTrace { bytes: 5000, ..trace("bob@example.com", RECORDS) }.tell(&joins);
    assert_eq!((told.matching, told.is_cut), (1200, true));
    assert!((1..100).contains(&told.parts.len()), "{}", told.parts.len());
}

/// A search gives a message no id: an earlier line may still come, and its key has the second of the first one.
#[test]
fn a_search_changes_nothing() {
    let joins = joins(open("4FCA1803C5", 30, "bob@example.com").lines());
    let save = || {
        let mut bytes = Vec::new();
        joins.save(&mut bytes).unwrap();
        bytes
    };
    let before = save();
    let first = records(&trace("4FCA1803C5", RECORDS).tell(&joins));
    assert_eq!((first[0]["state"].clone(), first[0]["revision"].clone()), (json!("open"), json!(1)));
    assert_eq!(facts(&first), facts(&records(&trace("bob@example.com", RECORDS).tell(&joins))));
    assert!(save() == before, "the joins have changed");
}

#[test]
fn very_many_recipients_are_cut_except_those_sought() {
    let first = open("4FCA1803C5", 0, "user0@example.com");
    let delivery = first.lines().last().unwrap();
    let others = (1..2500).map(|number| delivery.replace("user0@", &format!("user{number}@")));
    let others: Vec<_> = others.collect();
    let joins = joins(first.lines().chain(others.iter().map(String::as_str)));
    let told = trace("user2400@example.com", RECORDS).tell(&joins);
    assert_eq!((told.matching, told.is_cut, told.parts.len()), (1, true, 1));
    let recipients = records(&told)[0]["recipients"].take();
    let named =
        |number: &str| recipients.as_array().unwrap().iter().any(|one| one["to"] == format!("{number}@example.com"));
    assert_eq!(recipients.as_array().unwrap().len(), 1001);
    assert!(named("user0") && named("user999") && named("user2400") && !named("user1000"));
}
