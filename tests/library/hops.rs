//! Are messages that went from one mail system to another linked, whatever the order of the lines, and no others?

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinSettings};
use postrider::decode::{Decoder, Printed};
use postrider::encode::{Buffer, Encoder};
use postrider::record::{Event, Record};
use postrider::syslog::Format;
use postrider::time::Timestamp;
use postrider::trace::{Trace, TraceOutput, TraceQuery};
use serde_json::{Value, json};

use crate::correlation::reader::JoinReader;
use crate::correlation::tick;

/// 2026-11-24T12:00:00Z.
const NOON: i64 = 1_795_521_600_000_000;
const MESSAGE_ID: &str = "1@example.net";

/// The stage, and the last record of each message.
struct Hosts {
    correlator: Correlator,
    reader: JoinReader,
    /// The part `postfix` of each record of a message that was made.
    told: Vec<Value>,
}

impl Hosts {
    fn new() -> Self {
        Self::with(JoinSettings::DEFAULT)
    }

    fn with(settings: JoinSettings) -> Self {
        Self { correlator: Correlator::new(settings), reader: JoinReader::new(NOON), told: Vec::new() }
    }

    /// Joins lines of 24 November 2026, each in a block of its own: `TIME HOST TAG: TEXT`.
    fn read(&mut self, lines: &[String]) {
        let Self { correlator, reader, told } = self;
        for line in lines {
            let text = header(line);
            reader.join([&*text], &mut correlator.joiner(), &mut |record, _| note(record, told));
        }
    }

    fn tick(&mut self) {
        let Self { correlator, told, .. } = self;
        tick(correlator, NOON, &mut |record| note(record, told));
    }

    /// Goes on with a checkpoint of what was joined.
    fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.correlator.save(&mut bytes).expect("a checkpoint in memory");
        let now = Timestamp::from_micros(NOON);
        self.correlator = Correlator::load(JoinSettings::DEFAULT, &mut &*bytes, now).expect("a checkpoint");
    }

    /// Ends all, and returns the messages.
    fn finish(mut self) -> Told {
        let Self { correlator, reader, told } = &mut self;
        reader.finish(correlator, &mut |record| note(record, told));
        Told(self.told)
    }
}

/// Returns a line as rsyslog sends it.
fn header(line: &str) -> String {
    let [time, host, tag, text] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    format!("<22>1 2026-11-24T{time}Z {host} postfix{} 1 - - {text}", tag.trim_end_matches(':'))
}

fn note(record: &Record<'_>, told: &mut Vec<Value>) {
    if !record.postfix.as_ref().is_some_and(|postfix| matches!(postfix.event, Event::Message(_))) {
        return;
    }
    let mut out = Buffer::with_room(16 * 1024);
    _ = Encoder::default().writer(&mut out).line(record);
    note_json(&out, told);
}

fn note_json(record: &[u8], told: &mut Vec<Value>) {
    let mut record: Value = serde_json::from_slice(record).expect("JSON");
    if record["postfix"]["event"] == "message" {
        record["postfix"]["hostname"] = record["hostname"].take();
        told.push(record["postfix"].take());
    }
}

/// The records of messages.
struct Told(Vec<Value>);

impl Told {
    /// Returns the last record of the message with this queue id on a host.
    #[track_caller]
    fn of(&self, host: &str, queue_id: &str) -> &Value {
        let is_it = |told: &&Value| told["hostname"] == host && told["queue_id"] == queue_id;
        self.0.iter().rfind(is_it).unwrap_or_else(|| panic!("nothing of {queue_id} on {host}: {:#?}", self.0))
    }

    /// Asserts that these messages are one chain, each made from the one before.
    #[track_caller]
    fn assert_chain(&self, names: &[(&str, &str)]) {
        let chain: Vec<_> = names.iter().map(|(host, id)| self.of(host, id)).collect();
        let oldest = &chain[0]["message_uid"];
        assert_eq!([&chain[0]["parent_uid"], &chain[0]["parent_queue_id"]], [&Value::Null; 2], "{chain:#?}");
        for pair in chain.windows(2) {
            let (parent, child) = (pair[0], pair[1]);
            let expected = [&parent["message_uid"], &parent["queue_id"], oldest];
            assert_eq!([&child["parent_uid"], &child["parent_queue_id"], &child["trace_id"]], expected, "{chain:#?}");
            assert_eq!(parent["child_queue_ids"], json!([child["queue_id"]]), "{chain:#?}");
        }
    }

    /// Asserts that no message is linked to another one.
    #[track_caller]
    fn assert_apart(&self, count: usize) {
        assert_eq!(self.0.len(), count);
        for told in &self.0 {
            let links = ["parent_uid", "parent_queue_id", "child_queue_ids"].map(|name| told.get(name));
            assert_eq!((links, &told["trace_id"]), ([None; 3], &told["message_uid"]), "{:#?}", self.0);
        }
    }
}

/// A message of a chain: its host, its instance as in a tag, its queue id, and the second after 2 o'clock at which it
/// comes.
#[derive(Clone, Copy)]
struct Hop {
    host: &'static str,
    instance: &'static str,
    queue_id: &'static str,
    at: u32,
}

const FIRST: Hop = Hop { host: "mx1", instance: "", queue_id: "4EB091AA242", at: 100 };
const SECOND: Hop = Hop { host: "mx2", instance: "", queue_id: "77F3A1AA243", at: 101 };
const THIRD: Hop = Hop { host: "mx3", instance: "", queue_id: "4jYR9Q2wTjz18T", at: 102 };

impl Hop {
    fn line(self, tenth: u32, program: &str, text: &str) -> String {
        let Self { host, instance, queue_id, at } = self;
        let time = format!("02:{:02}:{:02}.{tenth}", at / 60, at % 60);
        format!("{time} {host} {instance}/{program}: {queue_id}: {text}")
    }

    fn client(self) -> String {
        self.line(1, "smtpd", "client=mail.example.net[198.51.100.7]")
    }

    fn message_id(self, message_id: &str) -> String {
        self.line(2, "cleanup", &format!("message-id=<{message_id}>"))
    }

    fn active(self) -> String {
        self.line(3, "qmgr", "from=<ada@example.net>, size=2041, nrcpt=1 (queue active)")
    }

    /// The delivery to a server, some seconds later.
    fn sent(self, after: u32, relay: &str, queue_id: &str) -> String {
        let text = format!(
            "to=<anna@example.com>, relay={relay}, delay=1, delays=0.1/0/0.5/0.4, dsn=2.0.0, \
             status=sent (250 2.0.0 Ok: queued as {queue_id})"
        );
        Self { at: self.at + after, ..self }.line(4, "smtp", &text)
    }

    /// All lines of a message that goes on to `next` a second later.
    fn lines(self, next: Option<Self>) -> Vec<String> {
        let mut lines = vec![self.client(), self.message_id(MESSAGE_ID), self.active()];
        if let Some(next) = next {
            lines.push(self.sent(1, "mx.example.com[192.0.2.25]:25", next.queue_id));
            lines.push(Self { at: self.at + 1, ..self }.line(5, "qmgr", "removed"));
        }
        lines
    }
}

/// Returns the values in each order.
fn orders<T: Clone>(values: &[T]) -> Vec<Vec<T>> {
    if values.is_empty() {
        return vec![Vec::new()];
    }
    let rest = |first: usize| orders(&[&values[..first], &values[first + 1..]].concat());
    let with = |first: usize| rest(first).into_iter().map(move |rest| [&values[first..=first], &rest].concat());
    (0..values.len()).flat_map(with).collect()
}

const TWO: [(&str, &str); 2] = [("mx1", "4EB091AA242"), ("mx2", "77F3A1AA243")];

#[test]
fn a_message_is_known_again_on_another_host() {
    let (first, second) = (FIRST.lines(Some(SECOND)), SECOND.lines(None));
    for lines in [[first.clone(), second.clone()].concat(), [second, first].concat()] {
        let mut hosts = Hosts::new();
        hosts.read(&lines);
        hosts.finish().assert_chain(&TWO);
    }
}

#[test]
fn the_order_of_the_lines_of_two_hosts_does_not_matter() {
    let sent = FIRST.sent(1, "mx.example.com[192.0.2.25]:25", SECOND.queue_id);
    let lines = [
        FIRST.client(),
        FIRST.message_id(MESSAGE_ID),
        sent,
        SECOND.client(),
        SECOND.message_id(MESSAGE_ID),
        SECOND.active(),
    ];
    for lines in orders(&lines) {
        let mut hosts = Hosts::new();
        hosts.read(&lines);
        hosts.finish().assert_chain(&TWO);
    }
}

#[test]
fn a_message_is_known_again_in_another_instance() {
    let second = Hop { host: "mx1", instance: "-out", ..SECOND };
    let sent = FIRST.sent(1, "127.0.0.1[127.0.0.1]:10026", SECOND.queue_id);
    let lines = [FIRST.lines(None), vec![sent], second.lines(None)].concat();
    for lines in [lines.clone(), lines.into_iter().rev().collect()] {
        let mut hosts = Hosts::new();
        hosts.read(&lines);
        hosts.finish().assert_chain(&[("mx1", "4EB091AA242"), ("mx1", "77F3A1AA243")]);
    }
}

/// The filter logs nothing. It gives the message back to the same instance.
#[test]
fn a_message_is_known_again_behind_a_filter_on_another_host() {
    let second = Hop { host: "mx1", ..SECOND };
    let sent = FIRST.sent(1, "filter.example.com[192.0.2.77]:10024", SECOND.queue_id);
    let lines = [FIRST.lines(None), second.lines(None), vec![sent]].concat();
    for lines in [lines.clone(), lines.into_iter().rev().collect()] {
        let mut hosts = Hosts::new();
        hosts.read(&lines);
        hosts.finish().assert_chain(&[("mx1", "4EB091AA242"), ("mx1", "77F3A1AA243")]);
    }
}

#[test]
fn a_message_that_is_over_is_told_again_with_its_links() {
    let mut hosts = Hosts::new();
    hosts.read(&FIRST.lines(Some(SECOND)));
    hosts.read(&[SECOND.client(), SECOND.message_id(MESSAGE_ID)]);
    hosts.read(&[Hop { at: 105, queue_id: "99F3A1AA245", ..FIRST }.client()]);
    let revisions: Vec<_> = hosts.told.iter().map(|told| [&told["revision"], &told["child_queue_ids"]]).collect();
    assert_eq!(revisions, [[&json!(1), &Value::Null], [&json!(2), &json!(["77F3A1AA243"])]]);
    hosts.finish().assert_chain(&TWO);
}

/// Asserts that two messages are not linked, in both orders.
#[track_caller]
fn assert_apart(first: &[String], second: &[String]) {
    for lines in [[first, second].concat(), [second, first].concat()] {
        let mut hosts = Hosts::new();
        hosts.read(&lines);
        hosts.finish().assert_apart(2);
    }
}

#[test]
fn a_queue_id_alone_links_nothing() {
    let (first, other) = (FIRST.lines(Some(SECOND)), SECOND.message_id("2@example.net"));
    assert_apart(&first, &[SECOND.client(), other]);
    assert_apart(&first, &[SECOND.client(), SECOND.active()]);
    assert_apart(&first, &[SECOND.client(), SECOND.message_id("")]);
    let unnamed = [vec![FIRST.client()], first[2..].to_vec()].concat();
    assert_apart(&unnamed, &SECOND.lines(None));
    let empty = [vec![FIRST.client(), FIRST.message_id("")], first[2..].to_vec()].concat();
    assert_apart(&empty, &[SECOND.client(), SECOND.message_id("")]);
}

#[test]
fn a_message_id_alone_links_nothing() {
    let other = Hop { queue_id: "88F3A1AA243", ..SECOND };
    assert_apart(&FIRST.lines(Some(SECOND)), &other.lines(None));
    // pickup has it from a local user.
    let local = [SECOND.line(1, "pickup", "uid=0 from=<root>"), SECOND.message_id(MESSAGE_ID)];
    assert_apart(&FIRST.lines(Some(SECOND)), &local);
}

#[test]
fn a_delivery_that_failed_links_nothing() {
    let failed =
        FIRST.sent(1, "mx.example.com[192.0.2.25]:25", SECOND.queue_id).replace("status=sent", "status=deferred");
    assert_apart(&[FIRST.lines(None), vec![failed]].concat(), &SECOND.lines(None));
}

#[test]
fn clocks_of_two_hosts_may_differ_by_a_minute() {
    // The first line of `FIRST` is at 100, and its delivery at 101.
    for (at, is_linked) in [(39, false), (41, true), (160, true), (162, false)] {
        let second = Hop { at, ..SECOND };
        if is_linked {
            for lines in orders(&[FIRST.lines(Some(second)), second.lines(None)]) {
                let mut hosts = Hosts::new();
                hosts.read(&lines.concat());
                hosts.finish().assert_chain(&TWO);
            }
        } else {
            assert_apart(&FIRST.lines(Some(second)), &second.lines(None));
        }
    }
}

#[test]
fn three_hops_are_one_trace() {
    let third = [THIRD.lines(None), vec![Hop { at: 103, ..THIRD }.line(9, "qmgr", "removed")]].concat();
    for hosts_lines in orders(&[FIRST.lines(Some(SECOND)), SECOND.lines(Some(THIRD)), third]) {
        let mut hosts = Hosts::new();
        hosts.read(&hosts_lines.concat());
        hosts.finish().assert_chain(&CHAIN);
    }
}

#[test]
fn a_notice_has_the_trace_of_the_first_host() {
    let notice = Hop { queue_id: "99F3A1AA245", at: 103, ..SECOND };
    let bounce = Hop { at: 103, ..SECOND }.line(5, "bounce", "sender non-delivery notification: 99F3A1AA245");
    let second = [SECOND.lines(None), vec![notice.message_id("2@mx2"), bounce]].concat();
    for lines in orders(&[FIRST.lines(Some(SECOND)), second]) {
        let mut hosts = Hosts::new();
        hosts.read(&lines.concat());
        hosts.finish().assert_chain(&[TWO[0], TWO[1], ("mx2", "99F3A1AA245")]);
    }
}

/// Without news of its own, it would hear of the link with its next line only.
#[test]
fn a_silent_host_hears_of_its_link_in_time() {
    let mut hosts = Hosts::new();
    hosts.read(&SECOND.lines(None));
    hosts.read(&[Hop { at: 102, ..SECOND }.line(0, "qmgr", "removed")]);
    hosts.read(&FIRST.lines(Some(SECOND)));
    hosts.tick();
    hosts.read(&[Hop { at: 110, queue_id: "99F3A1AA245", ..SECOND }.client()]);
    let last = hosts.told.last().expect("a record");
    assert_eq!([&last["queue_id"], &last["parent_queue_id"]], [&json!("77F3A1AA243"), &json!("4EB091AA242")]);
}

#[test]
fn of_two_messages_that_fit_none_is_linked() {
    let other = Hop { host: "mx9", ..SECOND };
    let mut hosts = Hosts::new();
    hosts.read(&[SECOND.lines(None), other.lines(None), FIRST.lines(Some(SECOND))].concat());
    hosts.finish().assert_apart(3);
    // Two say that they gave it.
    let other = Hop { host: "mx9", queue_id: "88F3A1AA243", ..FIRST };
    let mut hosts = Hosts::new();
    hosts.read(&[FIRST.lines(Some(SECOND)), other.lines(Some(SECOND)), SECOND.lines(None)].concat());
    hosts.finish().assert_apart(3);
}

#[test]
fn of_two_messages_the_one_at_the_right_time_is_linked() {
    let early = Hop { host: "mx9", at: 60, ..SECOND };
    let mut hosts = Hosts::new();
    hosts.read(&[early.lines(None), SECOND.lines(None), FIRST.lines(Some(SECOND))].concat());
    let told = hosts.finish();
    told.assert_chain(&TWO);
    assert_eq!(told.of("mx9", "77F3A1AA243").get("parent_uid"), None);
}

/// Two systems of a chain may give the same queue id.
#[test]
fn a_chain_with_one_queue_id_is_no_circle() {
    let (second, third) = (Hop { queue_id: FIRST.queue_id, ..SECOND }, Hop { queue_id: FIRST.queue_id, ..THIRD });
    let mut hosts = Hosts::new();
    let (first, relayed) = (FIRST.lines(Some(second)), second.lines(Some(third)));
    hosts.read(&[&first[..3], &relayed[..3], &first[3..], &third.lines(None), &relayed[3..]].concat());
    hosts.finish().assert_chain(&["mx1", "mx2", "mx3"].map(|host| (host, FIRST.queue_id)));
}

#[test]
fn lines_that_are_repeated_change_no_link() {
    let lines = [FIRST.lines(Some(SECOND)), SECOND.lines(None)].concat();
    let mut hosts = Hosts::new();
    hosts.read(&lines);
    hosts.read(&lines);
    hosts.read(&lines[5..]);
    hosts.read(&lines[..5]);
    hosts.finish().assert_chain(&TWO);
}

// === logs ===

/// Writes the log of each host to a file of its own, and returns the paths.
fn logs(directory: &Path, chain: &[Hop]) -> Vec<PathBuf> {
    let next = chain.iter().skip(1).copied().map(Some).chain([None]);
    let write = |(hop, next): (&Hop, Option<Hop>)| {
        let path = directory.join(hop.host);
        fs::write(&path, hop.lines(next).iter().map(|line| header(line) + "\n").collect::<String>()).expect("a file");
        path
    };
    chain.iter().zip(next).map(write).collect()
}

/// Returns the messages in the records that a command printed.
fn printed(records: &[u8]) -> Told {
    let mut told = Vec::new();
    records.split_inclusive(|byte| *byte == b'\n').for_each(|record| note_json(record, &mut told));
    Told(told)
}

const CHAIN: [(&str, &str); 3] = [TWO[0], TWO[1], ("mx3", "4jYR9Q2wTjz18T")];

#[test]
fn decode_links_the_messages_of_several_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    for files in orders(&logs(directory.path(), &[FIRST, SECOND, THIRD])) {
        let (encoder, prints, format) = (Encoder::default(), Printed::Messages, Format::Auto);
        let decoder = Decoder { encoder, zone: TimeZone::UTC, format, prints };
        let path = directory.path().join("out");
        let out = File::create(&path).expect("a file");
        decoder.decode(&files, out, |error| panic!("{error}")).expect("no error");
        printed(&fs::read(&path).expect("the records")).assert_chain(&CHAIN);
    }
}

#[test]
fn trace_tells_a_chain_over_several_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    for files in orders(&logs(directory.path(), &[FIRST, SECOND, THIRD])) {
        for query in CHAIN.map(|(_, queue_id)| queue_id).into_iter().chain([MESSAGE_ID, "anna@example.com"]) {
            let query = TraceQuery::new(query).expect("a query");
            let (told, format) = (TraceOutput::Records(Encoder::default()), Format::Auto);
            let trace = Trace { query, zone: TimeZone::UTC, format, last: 100, told };
            let mut out = Vec::new();
            trace.tell(&files, &mut out, |error| panic!("{error}")).expect("no error");
            printed(&out).assert_chain(&CHAIN);
        }
    }
}

// === bounds ===

/// Lines of the message with this number, which went to another host.
fn numbered(number: usize) -> [String; 3] {
    let line = |program: &str, text: &str| format!("02:00:00.5 mx1 /{program}: {number:011X}A: {text}");
    let sent = format!(
        "to=<anna@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1, delays=0.1/0/0.5/0.4, dsn=2.0.0, \
         status=sent (250 2.0.0 Ok: queued as {number:011X}B)"
    );
    let message_id = format!("message-id=<{number}@example.net>");
    [line("cleanup", &message_id), line("smtp", &sent), line("qmgr", "removed")]
}

/// The line of the message that the one with this number became there.
fn next(number: usize) -> String {
    format!("02:00:00.4 mx2 /cleanup: {number:011X}B: message-id=<{number}@example.net>")
}

/// Returns the numbers of the messages that are linked to the one before.
fn links(told: &Told) -> Vec<usize> {
    let number = |told: &Value| usize::from_str_radix(&told["queue_id"].as_str()?[..11], 16).ok();
    let is_linked = |told: &&Value| told.get("parent_uid").is_some();
    let mut numbers: Vec<_> = told.0.iter().filter(is_linked).filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn the_latest_hops_are_known() {
    const MESSAGES: usize = 20_000;
    let mut hosts = Hosts::new();
    (0..MESSAGES).for_each(|number| hosts.read(&numbered(number)[..2]));
    let old: Vec<usize> = (0..1000).collect();
    let late: Vec<usize> = (MESSAGES - 5000..MESSAGES).collect();
    for number in old.iter().chain(&late) {
        hosts.read(&[next(*number)]);
    }
    assert_eq!(links(&hosts.finish()), late);
}

#[test]
fn hops_are_bounded_in_memory() {
    const MOST: usize = 1 << 20;
    let mut hosts = Hosts::with(JoinSettings { max_memory: MOST, grace: 0, ..JoinSettings::DEFAULT });
    let mut memory = Vec::new();
    for number in 0..10_000 {
        let lines = numbered(number).map(|line| line.replace("02:00:00", &format!("02:{:02}:00", number / 200)));
        hosts.read(&lines);
        memory.push(hosts.correlator.counts().memory);
    }
    let most = *memory.iter().max().expect("counts");
    assert!(most <= MOST + MOST / 16, "{most} bytes");
    let told = hosts.finish();
    assert_eq!(told.0.len(), 10_000);
}

// === checkpoints ===

#[test]
fn half_of_a_hop_stays_over_a_restart() {
    let (first, second) = (FIRST.lines(Some(SECOND)), SECOND.lines(None));
    for [one, other] in [[&first, &second], [&second, &first]] {
        let mut hosts = Hosts::new();
        hosts.read(one);
        hosts.restart();
        hosts.read(other);
        hosts.finish().assert_chain(&TWO);
    }
}

#[test]
fn news_that_no_one_took_comes_again_after_a_restart() {
    let mut hosts = Hosts::new();
    hosts.read(&SECOND.lines(None));
    hosts.read(&FIRST.lines(Some(SECOND)));
    hosts.restart();
    hosts.finish().assert_chain(&TWO);
}

/// A message that is over and forgotten has left its half of the hop.
#[test]
fn a_message_that_is_over_links_after_a_restart() {
    let mut hosts = Hosts::new();
    hosts.read(&FIRST.lines(Some(SECOND)));
    // The grace of the first one is over.
    hosts.read(&[Hop { at: 190, queue_id: "99F3A1AA245", ..FIRST }.client()]);
    hosts.restart();
    assert_eq!(hosts.correlator.counts().messages, 1);
    hosts.read(&SECOND.lines(None));
    let told = hosts.finish();
    let (first, second) = (told.of("mx1", "4EB091AA242"), told.of("mx2", "77F3A1AA243"));
    assert_eq!([&second["parent_uid"], &second["trace_id"]], [&first["message_uid"]; 2]);
}

// === threads ===

/// The hosts report their halves of the same hops at the same time.
#[test]
fn hosts_that_send_at_once_are_linked() {
    const MESSAGES: usize = 3000;
    let hosts = Hosts::new();
    let read = |lines: Vec<String>| {
        let mut joiner = hosts.correlator.joiner();
        let lines: Vec<String> = lines.iter().map(|line| header(line)).collect();
        hosts.reader.join(lines.iter().map(String::as_str), &mut joiner, &mut |_, _| {});
    };
    let first = (0..MESSAGES).flat_map(|number| numbered(number).into_iter().take(2)).collect();
    let second = (0..MESSAGES).map(next).collect();
    thread::scope(|scope| {
        scope.spawn(|| read(first));
        scope.spawn(|| read(second));
    });
    assert_eq!(links(&hosts.finish()), (0..MESSAGES).collect::<Vec<_>>());
}
