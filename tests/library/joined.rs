//! Are the records that join several lines written with their fields in order, valid by the schema, and without an
//! allocation?

use allocation_counter::measure;
use jiff::tz::TimeZone;
use postrider::dsn::Dsn;
use postrider::encode::{Buffer, Encoder};
use postrider::record::{
    Cause, ClosedBy, Commands, Decimal, Delays, Delivery, DeliveryJoin, Endpoint, Event, Flags, Mail, MessageResult,
    MessageState, MessageSummary, Origin, Peer, Postfix, RecipientSummary, Record, RecordId, Reply, Sasl, SessionEnd,
    SessionSummary, Tls, Transport, Uid, Verdict,
};
use postrider::syslog::{Format, Message};
use postrider::time::Timestamp;

use crate::corpus::{assert_valid, strict_validator};

/// 2026-11-24T02:10:35Z.
const START: i64 = 1_795_486_235_000_000;

const UID: Uid = Uid([0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x53, 0x33, 0x84, 0x44, 5, 5, 5, 5, 5, 5]);
const PARENT: Uid = Uid([0xaa, 0xaa, 0xaa, 0xaa, 0xbb, 0xbb, 0x5c, 0xcc, 0x9d, 0xdd, 14, 14, 14, 14, 14, 14]);

const CLIENT: Endpoint<'_> =
    Endpoint { name: Some("mx.example.net"), ip: Some("192.0.2.25"), port: Some(51234), path: None };
const LOGIN: Sasl<'_> = Sasl { method: Some("PLAIN"), username: Some("al\"ice"), sender: None };
const TLS: Tls<'_> = Tls {
    trust: Some("trusted"),
    direction: "inbound",
    reused: false,
    sni: None,
    protocol: Some("TLSv1.3"),
    cipher: None,
    bits: Some(256),
    algorithm_bits: Some(256),
    key_exchange: None,
    server_signature: None,
    server_digest: None,
    client_signature: None,
    client_digest: None,
};

/// The time this number of microseconds after the start.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros)
}

fn full_mail() -> Mail<'static> {
    Mail {
        uid: UID,
        from: Some("alice@Example.com"),
        client: Some(CLIENT),
        sasl: LOGIN,
        message_id: Some("1@example.com"),
        size: Some(2210),
        nrcpt: Some(2),
        helo: Some("mx.example.net"),
        proto: Some("ESMTP"),
        tls: Some(TLS),
        received_at: at(0),
    }
}

fn least_mail() -> Mail<'static> {
    Mail {
        uid: UID,
        from: None,
        client: None,
        sasl: Sasl::default(),
        message_id: None,
        size: None,
        nrcpt: None,
        helo: None,
        proto: None,
        tls: None,
        received_at: at(0),
    }
}

/// The fields of `full_mail`, after its id.
const FULL_MAIL: &str = r#""from":"alice@Example.com","from_domain":"example.com","client":{"name":"mx.example.net","ip":"192.0.2.25","port":51234},"sasl":{"method":"PLAIN","username":"al\"ice"},"message_id":"1@example.com","size":2210,"nrcpt":2,"helo":"mx.example.net","proto":"ESMTP","tls":{"trust":"trusted","direction":"inbound","reused":false,"protocol":"TLSv1.3","bits":256,"algorithm_bits":256},"received_at":"2026-11-24T02:10:35.000000Z""#;

fn delivery<'a>(to: &'a str, status: &'a str) -> Delivery<'a> {
    Delivery { to, status, ..Delivery::default() }
}

fn recipient(delivery: Delivery<'_>) -> RecipientSummary<'_> {
    RecipientSummary { delivery, attempts: 1, first_attempt_at: at(1), last_attempt_at: at(1), tls: None }
}

fn reply() -> Reply<'static> {
    Reply { code: Some(450), text: "Greylisted", ..Reply::default() }
}

/// Writes the record of an event, checks it by the schema, and returns the fields of the event. Its line has nothing
/// that needs an escape, unlike the texts of the event.
#[track_caller]
fn fields(event: Event<'_>, join: Option<&DeliveryJoin<'_>>) -> String {
    let name = event.name();
    let origin =
        Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
    let postfix = Postfix {
        event,
        instance: "postfix",
        service: None,
        daemon: None,
        level: None,
        queue_id: None,
        queued_at: None,
        flags: Flags::default(),
    };
    let record = Record {
        id: RecordId(0x017f_22e2_79b0_7800_aaaa_aa12_3456_789a),
        received_at: at(0),
        origin: &origin,
        peer: Peer::default(),
        message: Message { msg: "a message", ..Message::default() },
        postfix: Some(postfix),
        flags: Flags::default(),
        plain: true,
    };
    let mut out = Buffer::with_room(16 * 1024);
    let mut writer = Encoder::default().writer(&mut out);
    let writing = measure(|| {
        _ = match join {
            Some(join) => writer.line_joined(&record, join),
            None => writer.line(&record),
        }
    });
    assert_eq!(writing.count_total, 0);
    let line = String::from_utf8(out.to_vec()).expect("UTF-8");
    assert_valid(&strict_validator(), &line);
    let begin = format!(r#""postfix":{{"event":"{name}","instance":"postfix","#);
    let (_, fields) = line.split_once(&begin).unwrap_or_else(|| panic!("{line}"));
    fields.strip_suffix("}}\n").unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn a_delivery_shows_its_message_and_its_attempt() {
    let event = || Event::Delivery(delivery("bob@example.net", "deferred"));
    let own = r#""to":"bob@example.net","to_domain":"example.net","status":"deferred""#;
    assert_eq!(fields(event(), None), own);
    let join = DeliveryJoin { mail: full_mail(), attempt: 2, is_final: false };
    let mail = format!(r#"{{"uid":"11111111-2222-5333-8444-050505050505",{FULL_MAIL}}}"#);
    assert_eq!(fields(event(), Some(&join)), format!(r#"{own},"mail":{mail},"attempt":2,"final":false"#));
    let join = DeliveryJoin { mail: least_mail(), attempt: 1, is_final: true };
    assert_eq!(
        fields(event(), Some(&join)),
        format!(
            r#"{own},"mail":{{"uid":"11111111-2222-5333-8444-050505050505","received_at":"2026-11-24T02:10:35.000000Z"}},"attempt":1,"final":true"#
        )
    );
}

#[test]
fn a_full_message_shows_all_its_recipients_and_verdicts() {
    let seconds = |text| Decimal::new(text).expect("a number");
    let [before, queue, setup, transmission] = ["0.1", "0", "1.5", "0.68"].map(seconds);
    let greylisted = Delivery {
        to: "Bob@Example.net",
        orig_to: Some("\"b\"@example.com"),
        relay: Some(Endpoint { port: Some(25), ..CLIENT }),
        delay: Some(seconds("2.28")),
        delays: Some(Delays {
            before_queue_manager: before,
            in_queue_manager: queue,
            connection_setup: setup,
            transmission,
        }),
        dsn: Dsn::parse("4.7.1"),
        status: "deferred",
        reason: Some("host said: 450"),
        reply: Some(reply()),
        remote_queue_id: Some("77C0"),
        cause: Some(Cause::Greylisted),
        ..Delivery::default()
    };
    let recipients = [
        RecipientSummary {
            delivery: greylisted,
            attempts: 3,
            first_attempt_at: at(1_000_000),
            last_attempt_at: at(2_000_001),
            tls: Some(Tls { direction: "outbound", ..Tls::default() }),
        },
        recipient(delivery("carol", "sent")),
        recipient(delivery("dave", "SENT")),
        recipient(delivery("erin", "sent")),
    ];
    let verdicts = [
        Verdict {
            action: "hold",
            by: "header_check",
            trigger: Some("Subject: \"x\""),
            client: Some(CLIENT),
            from: Some("alice@example.com"),
            ..Verdict::default()
        },
        Verdict {
            action: "reject",
            by: "restriction",
            stage: Some("RCPT"),
            reply: Some(reply()),
            cause: Some(Cause::Blocklisted),
            blocklist: Some("zen.example.org"),
            ..Verdict::default()
        },
    ];
    let message = MessageSummary {
        key: "mx1/postfix/4FCA1803C5/1795486235",
        revision: 2,
        state: MessageState::Closed(ClosedBy::Timeout),
        result: MessageResult::Partial,
        mail: full_mail(),
        recipients: &recipients,
        verdicts: &verdicts,
        first_seen: at(0),
        last_seen: at(2_500_000),
        completed_at: Some(at(2_000_001)),
        parent_uid: Some(PARENT),
        parent_queue_id: Some("4FCA1803B0"),
        child_queue_ids: &["4FCA1803D0", "4FCA1803D1"],
        trace_id: PARENT,
        incomplete: false,
    };
    let expected = [
        r#""message_uid":"11111111-2222-5333-8444-050505050505","key":"mx1/postfix/4FCA1803C5/1795486235","revision":2,"state":"closed","closed_by":"timeout","result":"partial""#,
        FULL_MAIL,
        r#""recipients":[{"to":"Bob@Example.net","to_domain":"example.net","orig_to":"\"b\"@example.com","attempts":3,"first_attempt_at":"2026-11-24T02:10:36.000000Z","last_attempt_at":"2026-11-24T02:10:37.000001Z","relay":{"name":"mx.example.net","ip":"192.0.2.25","port":25},"delay":2.28,"attempt_delay":2.18,"delays":{"before_queue_manager":0.1,"in_queue_manager":0.0,"connection_setup":1.5,"transmission":0.68},"dsn":{"code":"4.7.1","class":"transient","subject":"security","detail":"delivery_not_authorized","text":"The server does not let this client or sender deliver the message: its policy, a filter or a block list decides so."},"status":"deferred","reason":"host said: 450","reply":{"code":450,"text":"Greylisted"},"remote_queue_id":"77C0","cause":"greylisted","tls":{"direction":"outbound","reused":false}}"#,
        r#"{"to":"carol","attempts":1,"first_attempt_at":"2026-11-24T02:10:35.000001Z","last_attempt_at":"2026-11-24T02:10:35.000001Z","status":"sent"}"#,
        r#"{"to":"dave","attempts":1,"first_attempt_at":"2026-11-24T02:10:35.000001Z","last_attempt_at":"2026-11-24T02:10:35.000001Z","status":"SENT"}"#,
        r#"{"to":"erin","attempts":1,"first_attempt_at":"2026-11-24T02:10:35.000001Z","last_attempt_at":"2026-11-24T02:10:35.000001Z","status":"sent"}]"#,
        r#""recipient_counts":{"sent":2,"deferred":1}"#,
        r#""verdicts":[{"action":"hold","by":"header_check","trigger":"Subject: \"x\""},{"action":"reject","by":"restriction","stage":"RCPT","reply":{"code":450,"text":"Greylisted"},"cause":"blocklisted","blocklist":"zen.example.org"}]"#,
        r#""first_seen":"2026-11-24T02:10:35.000000Z","last_seen":"2026-11-24T02:10:37.500000Z","completed_at":"2026-11-24T02:10:37.000001Z""#,
        r#""parent_uid":"aaaaaaaa-bbbb-5ccc-9ddd-0e0e0e0e0e0e","parent_queue_id":"4FCA1803B0","child_queue_ids":["4FCA1803D0","4FCA1803D1"],"trace_id":"aaaaaaaa-bbbb-5ccc-9ddd-0e0e0e0e0e0e","incomplete":false"#,
    ];
    assert_eq!(fields(Event::Message(&message), None), expected.join(","));
}

#[test]
fn a_message_of_which_little_is_known_leaves_the_rest_out() {
    let message = least_message();
    assert_eq!(
        fields(Event::Message(&message), None),
        r#""message_uid":"11111111-2222-5333-8444-050505050505","key":"mx1/postfix/4FCA1803C5/1795486235","revision":1,"state":"open","result":"unknown","received_at":"2026-11-24T02:10:35.000000Z","first_seen":"2026-11-24T02:10:35.000000Z","last_seen":"2026-11-24T02:10:35.000000Z","trace_id":"11111111-2222-5333-8444-050505050505","incomplete":true"#
    );
}

fn least_message() -> MessageSummary<'static> {
    MessageSummary {
        key: "mx1/postfix/4FCA1803C5/1795486235",
        revision: 1,
        state: MessageState::Open,
        result: MessageResult::Unknown,
        mail: least_mail(),
        recipients: &[],
        verdicts: &[],
        first_seen: at(0),
        last_seen: at(0),
        completed_at: None,
        parent_uid: None,
        parent_queue_id: None,
        child_queue_ids: &[],
        trace_id: UID,
        incomplete: true,
    }
}

const LEAST_SESSION: SessionSummary<'_> = SessionSummary {
    client: None,
    server: None,
    helo: None,
    proto: None,
    tls: None,
    sasl: Sasl { method: None, username: None, sender: None },
    sasl_failures: 0,
    commands: None,
    verdicts: &[],
    last_reply: None,
    queue_ids: &[],
    postscreen: &[],
    dnsbl_rank: None,
    blocklists: &[],
    started_at: None,
    ended_at: None,
    ended_by: SessionEnd::Unknown,
    incomplete: true,
};

#[test]
fn a_session_shows_what_the_client_did() {
    let session = SessionSummary {
        client: Some(CLIENT),
        server: Some(Endpoint { port: Some(25), ..Endpoint::default() }),
        helo: Some("a\\b"),
        proto: Some("ESMTP"),
        tls: Some(TLS),
        sasl: LOGIN,
        sasl_failures: 2,
        commands: Some(Commands("ehlo=1 rcpt=1/2 quit=1 commands=3/4")),
        verdicts: &[("warn", 1), ("reject", 2), ("warn", 3)],
        last_reply: Some(reply()),
        queue_ids: &["4FCA1803C5", "4FCA1803C6"],
        postscreen: &["pass_new", "dnsbl"],
        dnsbl_rank: Some(-2),
        blocklists: &["bl.example.org", "zen.example.org"],
        started_at: Some(at(0)),
        ended_at: Some(at(12_340_000)),
        ended_by: SessionEnd::TooManyErrors,
        incomplete: false,
    };
    let expected = [
        r#""client":{"name":"mx.example.net","ip":"192.0.2.25","port":51234},"server":{"port":25},"helo":"a\\b","proto":"ESMTP""#,
        r#""tls":{"trust":"trusted","direction":"inbound","reused":false,"protocol":"TLSv1.3","bits":256,"algorithm_bits":256}"#,
        r#""sasl":{"method":"PLAIN","username":"al\"ice","failures":2}"#,
        r#""commands":{"ehlo":{"ok":1,"total":1},"rcpt":{"ok":1,"total":2},"quit":{"ok":1,"total":1},"all":{"ok":3,"total":4}}"#,
        r#""verdict_counts":{"reject":2,"warn":4},"reply":{"code":450,"text":"Greylisted"}"#,
        r#""queue_ids":["4FCA1803C5","4FCA1803C6"],"postscreen":["pass_new","dnsbl"],"dnsbl_rank":-2,"blocklists":["bl.example.org","zen.example.org"]"#,
        r#""started_at":"2026-11-24T02:10:35.000000Z","ended_at":"2026-11-24T02:10:47.340000Z","duration":12.34"#,
        r#""ended_by":"too_many_errors","incomplete":false"#,
    ];
    assert_eq!(fields(Event::Session(&session), None), expected.join(","));
    assert_eq!(fields(Event::Session(&LEAST_SESSION), None), r#""ended_by":"unknown","incomplete":true"#);
    let failed = SessionSummary { sasl_failures: 1, ..LEAST_SESSION };
    let expected = r#""sasl":{"failures":1},"ended_by":"unknown","incomplete":true"#;
    assert_eq!(fields(Event::Session(&failed), None), expected);
}

#[test]
fn the_duration_of_a_session_is_exact_seconds_with_a_point() {
    for (start, end, expected) in [
        (Some(0), Some(0), Some("0.0")),
        (Some(0), Some(1), Some("0.000001")),
        (Some(900_000), Some(1_000_000), Some("0.1")),
        (Some(0), Some(3_600_000_000), Some("3600.0")),
        (Some(0), Some(10_050_000), Some("10.05")),
        (Some(1), Some(0), None),
        (None, Some(0), None),
        (Some(0), None, None),
    ] {
        let session = SessionSummary { started_at: start.map(at), ended_at: end.map(at), ..LEAST_SESSION };
        let fields = fields(Event::Session(&session), None);
        let found = fields.split_once(r#""duration":"#).and_then(|(_, rest)| Some(rest.split_once(',')?.0));
        assert_eq!(found, expected, "{fields}");
    }
}

#[test]
fn a_number_that_no_store_can_hold_is_left_out_and_known() {
    let mail = Mail { size: Some(u64::MAX), ..least_mail() };
    assert!(mail.exceeds() && !full_mail().exceeds());
    let join = DeliveryJoin { mail, attempt: 1, is_final: true };
    let written = fields(Event::Delivery(delivery("bob", "sent")), Some(&join));
    assert!(!written.contains("size"), "{written}");
    let session = SessionSummary { commands: Some(Commands("rcpt=9223372036854775808")), ..LEAST_SESSION };
    assert!(Event::Session(&session).exceeds() && !Event::Session(&LEAST_SESSION).exceeds());
    let recipients = [recipient(Delivery { conn_use: Some(u64::MAX), ..delivery("bob", "sent") })];
    let message = MessageSummary { recipients: &recipients, ..least_message() };
    assert!(Event::Message(&message).exceeds() && !Event::Message(&least_message()).exceeds());
}

#[test]
fn joined_events_make_the_event_of_a_line_no_larger() {
    assert!(size_of::<Event<'_>>() <= size_of::<Delivery<'_>>() + size_of::<usize>());
}
