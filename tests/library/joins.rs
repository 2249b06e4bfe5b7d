//! Do the lines of messages and sessions, as Postfix writes them, give the joined records that they should?

use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinProgress, JoinSettings};
use postrider::encode::{Buffer, Encoder};
use postrider::frame::Frame;
use postrider::record::{NewId, Origin, Peer, Record, RecordIds, Transport};
use postrider::syslog::{Context, Format};
use postrider::time::Timestamp;
use postrider::{Unread, read_block};
use serde_json::{Value, json};

use crate::corpus::{assert_valid, strict_validator};

/// 2026-11-24T12:00:00Z.
const NOON: i64 = 1_795_521_600_000_000;

/// The stage, and the records that it made.
struct Stage {
    correlator: Correlator,
    origin: Origin,
    ids: RecordIds,
    made: Vec<String>,
}

impl Stage {
    fn new(settings: JoinSettings) -> Self {
        let origin =
            Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        Self { correlator: Correlator::new(settings), origin, ids: RecordIds::default(), made: Vec::new() }
    }

    /// Reads lines of 24 November 2026, each in a block of its own: `TIME HOST TAG: TEXT`.
    fn read(&mut self, lines: &str) {
        let now = Timestamp::from_micros(NOON);
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (time, rest) = line.split_once(' ').expect("a time");
            let text = format!("2026-11-24T{time}Z {rest}");
            let frame = Frame { bytes: text.as_bytes(), truncated: false };
            let context = Context::new(now, &self.origin.zone);
            let unread =
                [Unread { frame, peer: Peer::default(), id: NewId::Received(self.ids.reserve(now, 1).take()) }];
            let (ids, made) = (&self.ids, &mut self.made);
            read_block(&unread, &self.origin, &context, |records| {
                let read = &records[0];
                assert!(read.postfix.as_ref().is_some_and(|postfix| postfix.event.name() != "other"), "{line}");
                let mut joiner = self.correlator.joiner();
                joiner.join(records, &mut || ids.reserve(now, 1).take(), &mut |record, _| {
                    if record.id != read.id {
                        made.push(text_of(record));
                    }
                });
            });
        }
    }

    /// Lets the time of this machine pass.
    fn tick(&mut self, seconds: i64) {
        let (now, ids, made) = (Timestamp::from_micros(NOON + seconds * 1_000_000), &self.ids, &mut self.made);
        let progress =
            self.correlator.tick(now, &mut || ids.reserve(now, 1).take(), &mut |record| made.push(text_of(record)));
        assert_eq!(progress, JoinProgress::Done);
    }

    /// Ends all, and returns the part `postfix` of the records that were made since the last call.
    fn finish(&mut self) -> Vec<Value> {
        let (now, ids, made) = (Timestamp::from_micros(NOON), &self.ids, &mut self.made);
        let (mut new_id, mut keep) = (|| ids.reserve(now, 1).take(), |record: &Record<'_>| made.push(text_of(record)));
        while self.correlator.finish(now, &mut new_id, &mut keep) == JoinProgress::More {}
        let counts = self.correlator.counts();
        assert_eq!((counts.messages, counts.memory), (0, 0));
        self.take()
    }

    /// Returns the part `postfix` of the records that were made since the last call.
    fn take(&mut self) -> Vec<Value> {
        let validator = strict_validator();
        self.made.iter().for_each(|record| assert_valid(&validator, record));
        let value = |record: String| serde_json::from_str::<Value>(&record).expect("JSON")["postfix"].take();
        self.made.drain(..).map(value).collect()
    }
}

fn text_of(record: &Record<'_>) -> String {
    let mut out = Buffer::with_room(16 * 1024);
    _ = Encoder::default().writer(&mut out).line(record);
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

/// Returns the records that lines give.
fn joined(lines: &str) -> Vec<Value> {
    let mut stage = Stage::new(JoinSettings::DEFAULT);
    stage.read(lines);
    stage.finish()
}

/// Returns the fields of a record, those that it has.
fn fields(record: &Value, names: &[&str]) -> Value {
    names.iter().filter_map(|name| Some(((*name).to_owned(), record.get(name)?.clone()))).collect()
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"].as_str().unwrap_or_default()).collect()
}

/// The fields of a session that postscreen's lines tell.
const SCREENED: [&str; 5] = ["server", "postscreen", "dnsbl_rank", "blocklists", "incomplete"];

#[test]
fn a_session_shows_what_postscreen_saw_of_its_client() {
    let records = joined(
        "02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4711 to [192.0.2.2]:25
         02:00:00.2 mx1 postfix/dnsblog[60]: addr 198.51.100.7 listed by domain bl.example.org as 127.0.0.2
         02:00:00.3 mx1 postfix/dnsblog[61]: addr 198.51.100.8 listed by domain bl.example.org as 127.0.0.2
         02:00:06.1 mx1 postfix/postscreen[50]: DNSBL rank 1 for [198.51.100.7]:4711
         02:00:06.2 mx1 postfix/postscreen[50]: PASS NEW [198.51.100.7]:4711
         02:00:08.2 mx1 postfix/smtpd[70]: connect from mail.example.net[198.51.100.7]
         02:00:09.0 mx1 postfix/smtpd[70]: disconnect from mail.example.net[198.51.100.7] ehlo=1 quit=1 commands=2
         02:00:20.0 mx1 postfix/smtpd[70]: connect from mail.example.net[198.51.100.7]
         02:00:21.0 mx1 postfix/smtpd[70]: disconnect from mail.example.net[198.51.100.7] ehlo=1 quit=1 commands=2",
    );
    assert_eq!(events(&records), ["session", "session"]);
    assert_eq!(
        fields(&records[0], &SCREENED),
        json!({
            "server": { "ip": "192.0.2.2", "port": 25 }, "postscreen": ["dnsbl", "pass_new"], "dnsbl_rank": 1,
            "blocklists": ["bl.example.org"], "incomplete": false,
        })
    );
    assert_eq!(
        fields(&records[0], &["daemon", "started_at", "ended_by"]),
        json!({ "daemon": "smtpd", "started_at": "2026-11-24T02:00:08.200000Z", "ended_by": "quit" })
    );
    assert_eq!(fields(&records[1], &SCREENED), json!({ "incomplete": false }));
}

#[test]
fn a_session_that_postscreen_ends_is_one_of_postscreen() {
    let records = joined(
        r"02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [2001:db8::7]:4711 to [2001:db8::2]:25
         02:00:00.2 mx1 postfix/postscreen[50]: PREGREET 14 after 0.1 from [2001:db8::7]:4711: EHLO ylmf-pc\r\n
         02:00:00.3 mx1 postfix/postscreen[50]: DNSBL rank 3 for [2001:db8::7]:4711
         02:00:01.0 mx1 postfix/tlsproxy[90]: CONNECT from [2001:db8::7]:4711
         02:00:01.1 mx1 postfix/tlsproxy[90]: Anonymous TLS connection established from [2001:db8::7]:4711: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
         02:00:02.0 mx1 postfix/postscreen[50]: NOQUEUE: reject: RCPT from [2001:db8::7]:4711: 550 5.7.1 Service unavailable; client [2001:db8::7] blocked using bl.example.org; from=<a@example.net>, to=<b@example.com>, proto=ESMTP, helo=<ylmf-pc>
         02:00:02.1 mx1 postfix/tlsproxy[90]: DISCONNECT [2001:db8::7]:4711
         02:00:02.2 mx1 postfix/postscreen[50]: HANGUP after 1.9 from [2001:db8::7]:4711 in tests after SMTP handshake
         02:00:02.3 mx1 postfix/postscreen[50]: DISCONNECT [2001:db8::7]:4711",
    );
    assert_eq!(events(&records), ["session"]);
    assert_eq!(
        fields(&records[0], &SCREENED),
        json!({
            "server": { "ip": "2001:db8::2", "port": 25 }, "postscreen": ["pregreet", "dnsbl", "hangup"],
            "dnsbl_rank": 3, "incomplete": false,
        })
    );
    assert_eq!(
        fields(&records[0], &["daemon", "client", "helo", "proto", "verdict_counts", "duration", "ended_by"]),
        json!({
            "daemon": "postscreen", "client": { "ip": "2001:db8::7", "port": 4711 }, "helo": "ylmf-pc",
            "proto": "ESMTP", "verdict_counts": { "reject": 1 }, "duration": 2.2, "ended_by": "connection_lost",
        })
    );
    assert_eq!(records[0]["tls"]["protocol"], "TLSv1.3");
    assert_eq!(records[0]["reply"]["code"], 550);
}

#[test]
fn a_session_of_postscreen_without_all_its_lines_says_so() {
    const LINES: [&str; 3] = [
        "02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4711 to [192.0.2.2]:25",
        "02:00:00.3 mx1 postfix/postscreen[50]: HANGUP after 0.2 from [198.51.100.7]:4711 in tests before SMTP handshake",
        "02:00:00.4 mx1 postfix/postscreen[50]: DISCONNECT [198.51.100.7]:4711",
    ];
    let told = |lines: &[&str]| {
        let records = joined(&lines.join("\n"));
        assert!(records.len() <= 1, "{records:?}");
        records.first().map(|record| fields(record, &["ended_by", "incomplete"]))
    };
    let lost = |incomplete: bool| Some(json!({ "ended_by": "connection_lost", "incomplete": incomplete }));
    assert_eq!(told(&LINES), lost(false));
    assert_eq!(told(&LINES[1..]), lost(true));
    assert_eq!(told(&LINES[..2]), lost(true));
    assert_eq!(told(&[LINES[0], LINES[2]]), Some(json!({ "ended_by": "unknown", "incomplete": false })));
    // smtpd may have the client.
    assert_eq!(told(&LINES[..1]), None);
    // No other line follows a client for which no process of smtpd is free.
    let busy = "02:00:00.3 mx1 postfix/postscreen[50]: NOQUEUE: reject: CONNECT from [198.51.100.7]:4711: all server ports busy";
    assert_eq!(told(&[LINES[0], busy]), Some(json!({ "ended_by": "unknown", "incomplete": false })));
    let pass = "02:00:00.3 mx1 postfix/postscreen[50]: PASS NEW [198.51.100.7]:4711";
    assert_eq!(told(&[LINES[0], pass]), None);
}

#[test]
fn connections_of_one_client_are_not_mixed_up() {
    let screened = |tests: [&str; 2], ports: [&str; 2]| {
        let records = joined(&format!(
            "02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4711 to [192.0.2.2]:25
             02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4712 to [192.0.2.2]:25
             02:00:06.1 mx1 postfix/postscreen[50]: {} [198.51.100.7]:4711
             02:00:06.2 mx1 postfix/postscreen[50]: {} [198.51.100.7]:4712
             02:00:06.3 mx1 postfix/smtpd[71]: connect from mail.example.net[198.51.100.7]{ports1}
             02:00:06.4 mx1 postfix/smtpd[70]: connect from mail.example.net[198.51.100.7]{ports0}
             02:00:07.0 mx1 postfix/smtpd[70]: disconnect from mail.example.net[198.51.100.7]{ports0} ehlo=1 quit=1 commands=2
             02:00:08.0 mx1 postfix/smtpd[71]: disconnect from mail.example.net[198.51.100.7]{ports1} ehlo=1 quit=1 commands=2",
            tests[0], tests[1], ports0 = ports[0], ports1 = ports[1]
        ));
        assert_eq!(events(&records), ["session", "session"]);
        records.iter().map(|record| record["postscreen"].clone()).collect::<Vec<_>>()
    };
    let without_ports = ["", ""];
    assert_eq!(screened(["PASS NEW", "PASS NEW"], without_ports), [json!(["pass_new"]), json!(["pass_new"])]);
    assert_eq!(screened(["PASS NEW", "PASS OLD"], without_ports), [json!(null), json!(null)]);
    let with_ports = [":4711", ":4712"];
    assert_eq!(screened(["PASS NEW", "PASS OLD"], with_ports), [json!(["pass_new"]), json!(["pass_old"])]);
}

#[test]
fn the_first_of_two_connections_may_be_the_last_to_end() {
    let records = joined(
        "02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4711 to [192.0.2.2]:25
         02:00:00.2 mx1 postfix/postscreen[50]: PASS OLD [198.51.100.7]:4711
         02:00:00.3 mx1 postfix/smtpd[70]: connect from mail.example.net[198.51.100.7]
         02:00:00.4 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4712 to [192.0.2.2]:25
         02:00:00.5 mx1 postfix/postscreen[50]: PASS OLD [198.51.100.7]:4712
         02:00:00.6 mx1 postfix/smtpd[71]: connect from mail.example.net[198.51.100.7]
         02:00:00.7 mx1 postfix/smtpd[71]: disconnect from mail.example.net[198.51.100.7] ehlo=1 quit=1 commands=2
         02:00:00.8 mx1 postfix/smtpd[70]: disconnect from mail.example.net[198.51.100.7] ehlo=1 quit=1 commands=2",
    );
    let tests: Vec<_> = records.iter().map(|record| &record["postscreen"]).collect();
    assert_eq!(tests, [&json!(["pass_old"]), &json!(["pass_old"])]);
}

/// Two sessions of one process, as many logs have them: without fractions of a second.
const ONE_SECOND: &str = "02:00:00 mx1 postfix/smtpd[70]: connect from localhost[127.0.0.1]
     02:00:00 mx1 postfix/smtpd[70]: Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
     02:00:00 mx1 postfix/smtpd[70]: 4EB091AA242: client=localhost[127.0.0.1]
     02:00:00 mx1 postfix/smtpd[70]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5
     02:00:00 mx1 postfix/smtpd[70]: connect from localhost[127.0.0.1]
     02:00:00 mx1 postfix/smtpd[70]: 77F3A1AA243: client=localhost[127.0.0.1]
     02:00:00 mx1 postfix/smtpd[70]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5";

#[test]
fn sessions_of_one_second_are_told_apart() {
    let records = joined(ONE_SECOND);
    let of = |event: &str| -> Vec<_> {
        let all = records.iter().filter(|record| record["event"] == event);
        all.map(|record| (record["queue_ids"].clone(), record["incomplete"].clone(), record["tls"].is_object()))
            .collect()
    };
    let sessions = [(json!(["4EB091AA242"]), json!(false), true), (json!(["77F3A1AA243"]), json!(false), false)];
    assert_eq!(of("session"), sessions);
    let has_tls: Vec<_> = of("message").into_iter().map(|(_, _, has_tls)| has_tls).collect();
    assert_eq!(has_tls, [true, false]);
}

#[test]
fn a_client_is_lost_twice_in_one_second() {
    let lines = "02:00:00 mx1 postfix/smtpd[70]: connect from x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: 4EB091AA242: client=x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: lost connection after DATA from x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: disconnect from x.example[198.51.100.7] mail=1 rcpt=1 data=0/1 commands=2/3
        02:00:00 mx1 postfix/smtpd[70]: connect from x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: 77F3A1AA243: client=x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: lost connection after DATA from x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: disconnect from x.example[198.51.100.7] mail=1 rcpt=1 data=0/1 commands=2/3";
    for times in [1, 2] {
        let records = joined(&vec![lines; times].join("\n"));
        let sessions = records.iter().filter(|record| record["event"] == "session");
        let told: Vec<_> = sessions.map(|session| (&session["queue_ids"], &session["ended_by"])).collect();
        let lost = json!("connection_lost");
        assert_eq!(told, [(&json!(["4EB091AA242"]), &lost), (&json!(["77F3A1AA243"]), &lost)], "{times} times");
    }
}

/// Returns the queue ids of each session, and true for each with TLS, in the last revisions.
fn tls_by_queue_id(records: &[Value]) -> Vec<(String, String, bool)> {
    let mut last = std::collections::BTreeMap::new();
    for record in records {
        let name = record["message_uid"].as_str().map_or_else(|| record["queue_ids"].to_string(), str::to_owned);
        let kind = record["event"].as_str().unwrap_or_default().to_owned();
        let id = record["queue_id"].as_str().map_or_else(|| record["queue_ids"].to_string(), str::to_owned);
        last.insert((kind.clone(), name), (kind, id, record["tls"].is_object()));
    }
    last.into_values().collect()
}

#[test]
fn repeated_lines_of_one_second_change_nothing() {
    let told = |parts: &[&str]| {
        let mut stage = Stage::new(JoinSettings::DEFAULT);
        for part in parts {
            stage.read(part);
        }
        let records = stage.finish();
        let sessions = events(&records).iter().filter(|event| **event == "session").count();
        let mut told = tls_by_queue_id(&records);
        told.sort();
        (sessions, told)
    };
    let once = told(&[ONE_SECOND]);
    assert_eq!(once.0, 2);
    // Twice at once; once more later; from the start while the second session goes on.
    assert_eq!(told(&[ONE_SECOND, ONE_SECOND]), once);
    let later = "02:00:12 mx1 postfix/smtpd[71]: connect from other.example[198.51.100.9]
        02:00:13 mx1 postfix/smtpd[71]: disconnect from other.example[198.51.100.9] commands=0";
    let with_other = told(&[ONE_SECOND, later]);
    assert_eq!(told(&[ONE_SECOND, later, ONE_SECOND]), with_other);
    let most: Vec<_> = ONE_SECOND.lines().take(6).collect();
    assert_eq!(told(&[&most.join("\n"), ONE_SECOND]), once);
}

#[test]
fn repeated_sessions_of_two_clients_in_one_second_are_told_once() {
    let two = "02:00:00 mx1 postfix/smtpd[70]: connect from x.example[198.51.100.7]
        02:00:00 mx1 postfix/smtpd[70]: disconnect from x.example[198.51.100.7] quit=1 commands=1
        02:00:00 mx1 postfix/smtpd[70]: connect from y.example[198.51.100.8]
        02:00:00 mx1 postfix/smtpd[70]: disconnect from y.example[198.51.100.8] quit=1 commands=1";
    let later = "02:00:10 mx1 postfix/smtpd[71]: connect from other.example[198.51.100.9]";
    let mut stage = Stage::new(JoinSettings::DEFAULT);
    for part in [two, later, two] {
        stage.read(part);
    }
    assert_eq!(stage.finish().len(), 3);
}

#[test]
fn a_warning_about_the_name_of_a_client_hides_no_session() {
    let warned = ONE_SECOND.replace(
        "02:00:00 mx1 postfix/smtpd[70]: connect",
        "02:00:00 mx1 postfix/smtpd[70]: warning: hostname localhost does not resolve to address 127.0.0.1
         02:00:00 mx1 postfix/smtpd[70]: connect",
    );
    let [with, without] = [&warned, ONE_SECOND].map(|lines| {
        let mut told = tls_by_queue_id(&joined(lines));
        told.sort();
        told
    });
    assert_eq!(with, without);
}

#[test]
fn a_queue_id_that_comes_back_in_its_second_mixes_no_messages() {
    let records = joined(
        "02:00:00 mx1 postfix/smtpd[70]: 4EB091AA242: client=c1.example[198.51.100.1]
         02:00:00 mx1 postfix/cleanup[71]: 4EB091AA242: message-id=<m1@example>
         02:00:00 mx1 postfix/qmgr[72]: 4EB091AA242: from=<u1@example>, size=101, nrcpt=1 (queue active)
         02:00:01 mx1 postfix/qmgr[72]: 4EB091AA242: removed
         02:00:01 mx1 postfix/smtpd[73]: 4EB091AA242: client=c2.example[198.51.100.2]
         02:00:01 mx1 postfix/cleanup[71]: 4EB091AA242: message-id=<m2@example>
         02:00:01 mx1 postfix/qmgr[72]: 4EB091AA242: from=<u2@example>, size=102, nrcpt=1 (queue active)
         02:00:02 mx1 postfix/qmgr[72]: 4EB091AA242: removed",
    );
    let of = |from: &str| records.iter().filter(|record| record["from"] == from).collect::<Vec<_>>();
    assert!(of("u1@example").iter().all(|first| first["message_id"] == "m1@example"), "{records:#?}");
    assert!(of("u2@example").iter().all(|second| second["message_id"] != "m1@example"), "{records:#?}");
    let first = records.iter().filter(|record| record["message_id"] == "m1@example");
    assert!(first.clone().count() > 0 && first.into_iter().all(|first| first["from"] == "u1@example"), "{records:#?}");
}

#[test]
fn lines_of_postscreen_that_are_repeated_change_nothing() {
    let lines = "02:00:00.1 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.7]:4711 to [192.0.2.2]:25
         02:00:00.2 mx1 postfix/postscreen[50]: PASS OLD [198.51.100.7]:4711
         02:00:00.3 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.8]:4711 to [192.0.2.2]:25
         02:00:00.4 mx1 postfix/postscreen[50]: DNSBL rank 3 for [198.51.100.8]:4711
         02:00:00.5 mx1 postfix/smtpd[70]: connect from unknown[198.51.100.7]
         02:00:00.6 mx1 postfix/postscreen[50]: DISCONNECT [198.51.100.8]:4711
         02:00:01.0 mx1 postfix/smtpd[70]: disconnect from unknown[198.51.100.7] ehlo=1 quit=1 commands=2";
    let mut stage = Stage::new(JoinSettings::DEFAULT);
    stage.read(lines);
    stage.read(lines);
    stage.read("02:00:04 mx1 postfix/postscreen[50]: CONNECT from [198.51.100.9]:4711 to [192.0.2.2]:25");
    stage.read(lines);
    let tests: Vec<_> = stage.finish().iter().map(|record| record["postscreen"].clone()).collect();
    assert_eq!(tests, [json!(["dnsbl"]), json!(["pass_old"])]);
}

#[test]
fn a_flood_of_clients_does_not_grow_the_memory() {
    let mut stage = Stage::new(JoinSettings::DEFAULT);
    let mut memory = [0; 2];
    for number in 0..40_000_u32 {
        let client = format!("[2001:db8::{:x}:{:x}]", number >> 8, number & 0xff);
        stage.read(&format!("02:00:00 mx1 postfix/postscreen[50]: CONNECT from {client}:4711 to [2001:db8::2]:25"));
        let most = &mut memory[usize::from(number >= 10_000)];
        *most = stage.correlator.counts().memory.max(*most);
    }
    assert!(memory[1] < memory[0] + memory[0] / 50 && memory[0] < 10_000_000, "{memory:?}");
    assert_eq!(stage.finish(), [] as [Value; 0]);
}

/// A message with two recipients, of whom one is reached at once, and the other after two rounds.
const ROUNDS: [&str; 3] = [
    "02:00:00.0 mx1 postfix/pickup[10]: 4jYR9Q2wTjz18T: uid=0 from=<ada@example.net>
     02:00:00.1 mx1 postfix/cleanup[11]: 4jYR9Q2wTjz18T: message-id=<1@example.net>
     02:00:00.2 mx1 postfix/qmgr[12]: 4jYR9Q2wTjz18T: from=<ada@example.net>, size=2041, nrcpt=2 (queue active)
     02:00:01.0 mx1 postfix/smtp[13]: 4jYR9Q2wTjz18T: to=<anna@example.com>, relay=none, delay=1, delays=0.1/0/0.9/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.25]:25: Connection timed out)
     02:00:02.5 mx1 postfix/smtp[14]: 4jYR9Q2wTjz18T: to=<bob@example.org>, relay=mx.example.org[203.0.113.9]:25, delay=2.5, delays=0.1/0/1.2/1.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 77F3A)",
    "02:10:00.0 mx1 postfix/qmgr[12]: 4jYR9Q2wTjz18T: from=<ada@example.net>, size=2041, nrcpt=2 (queue active)
     02:10:01.0 mx1 postfix/smtp[15]: 4jYR9Q2wTjz18T: to=<anna@example.com>, relay=none, delay=601, delays=600/0/0.9/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.25]:25: Connection timed out)",
    "02:30:00.0 mx1 postfix/qmgr[12]: 4jYR9Q2wTjz18T: from=<ada@example.net>, size=2041, nrcpt=2 (queue active)
     02:30:01.0 mx1 postfix/smtp[16]: 4jYR9Q2wTjz18T: to=<anna@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1801, delays=1800/0/0.9/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 88F3A)
     02:30:01.5 mx1 postfix/qmgr[12]: 4jYR9Q2wTjz18T: removed",
];
const INTERIM: JoinSettings = JoinSettings { interim: true, ..JoinSettings::DEFAULT };

/// Returns the revision, the state and the result of each record, and its attempts by recipient.
fn revisions(records: &[Value]) -> Vec<Value> {
    let attempts = |record: &Value| {
        let recipients = record["recipients"].as_array().cloned().unwrap_or_default();
        recipients.iter().map(|one| one["attempts"].clone()).collect::<Vec<_>>()
    };
    let revision = |record: &Value| json!([record["revision"], record["state"], record["result"], attempts(record)]);
    records.iter().map(revision).collect()
}

#[test]
fn an_open_message_is_told_after_each_round() {
    let mut stage = Stage::new(INTERIM);
    stage.read(ROUNDS[0]);
    assert_eq!(stage.take(), [] as [Value; 0]);
    stage.read("02:00:04.6 mx1 postfix/smtpd[20]: connect from unknown[192.0.2.1]");
    let records = stage.take();
    assert_eq!(revisions(&records), [json!([1, "open", "unknown", [1, 1]])]);
    assert_eq!(records[0]["incomplete"], false);
    // Lines that are repeated make no round.
    stage.read(ROUNDS[0]);
    stage.read("02:00:09 mx1 postfix/smtpd[20]: connect from unknown[192.0.2.1]");
    assert_eq!(stage.take(), [] as [Value; 0]);
    stage.read(ROUNDS[1]);
    stage.read("02:10:05 mx1 postfix/smtpd[20]: connect from unknown[192.0.2.1]");
    let records: Vec<_> = stage.take().into_iter().filter(|record| record["event"] == "message").collect();
    assert_eq!(revisions(&records), [json!([2, "open", "unknown", [2, 1]])]);
    stage.read(ROUNDS[2]);
    let records: Vec<_> = stage.finish().into_iter().filter(|record| record["event"] == "message").collect();
    assert_eq!(revisions(&records), [json!([3, "closed", "sent", [3, 1]])]);
    assert_eq!(records[0]["incomplete"], false);
}

#[test]
fn an_open_message_that_was_told_is_told_at_a_stop() {
    let mut stage = Stage::new(INTERIM);
    stage.read(ROUNDS[0]);
    // The clock of the lines goes on with that of this machine.
    stage.tick(1);
    stage.tick(4);
    assert_eq!(revisions(&stage.take()), [json!([1, "open", "unknown", [1, 1]])]);
    let records = stage.finish();
    assert_eq!(revisions(&records), [json!([2, "closed", "unknown", [1, 1]])]);
    assert_eq!(
        fields(&records[0], &["closed_by", "incomplete"]),
        json!({ "closed_by": "shutdown", "incomplete": true })
    );
}

#[test]
fn an_open_message_is_not_told_by_default() {
    let mut stage = Stage::new(JoinSettings::DEFAULT);
    for round in ROUNDS {
        stage.read(round);
    }
    assert_eq!(revisions(&stage.finish()), [json!([1, "closed", "sent", [3, 1]])]);
}
