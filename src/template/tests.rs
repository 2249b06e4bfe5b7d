use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::record::{Delivery, Event, Flags, Origin, Peer, Postfix, RecordId, Transport};
use crate::syslog::{Facility, Message, Offset, Severity};
use crate::time::Timestamp;

fn origin() -> Origin {
    Origin {
        name: "mail".to_owned(),
        transport: Transport::Tcp,
        zone: jiff::tz::TimeZone::UTC,
        format: crate::syslog::Format::Auto,
    }
}

/// 2024-11-24T11:10:35+09:00 on mx1, a delivery.
fn delivery(origin: &Origin) -> Record<'_> {
    Record {
        id: RecordId(1),
        received_at: Timestamp::from_micros(0),
        origin,
        peer: Peer::at("192.0.2.1:51234"),
        message: Message {
            facility: Facility::from_name("mail"),
            severity: Severity::from_name("info"),
            timestamp: Timestamp::new(1_732_414_235, 0),
            offset: Offset { seconds: 9 * 3600, is_named: true },
            hostname: Some("mx1"),
            app_name: Some("postfix/submission/smtp"),
            ..Message::default()
        },
        postfix: Some(Postfix {
            event: Event::Delivery(Delivery { status: "sent", ..Delivery::default() }),
            instance: "postfix",
            service: Some("submission"),
            daemon: Some("smtp"),
            level: None,
            queue_id: Some("4XyZ12abcde"),
            queued_at: None,
            flags: Flags::empty(),
        }),
        flags: Flags::empty(),
        plain: false,
    }
}

fn path(template: &str, record: &Record<'_>) -> String {
    let mut out = "kept:".to_owned();
    Template::parse(template).unwrap().render_path(record, &mut out);
    out.strip_prefix("kept:").unwrap().to_owned()
}

fn with_hostname(hostname: &str) -> String {
    let origin = origin();
    let mut record = delivery(&origin);
    record.message.hostname = Some(hostname);
    path("{hostname}", &record)
}

#[test]
fn every_field() {
    let origin = origin();
    let record = delivery(&origin);
    let values: Vec<String> = Field::ALL
        .iter()
        .map(|field| {
            let mut out = String::new();
            assert!(Template::parse(&format!("{{{}}}", field.name())).unwrap().render(&record, &mut out));
            out
        })
        .collect();
    let expected = [
        "mx1",
        "postfix/submission/smtp",
        "mail",
        "info",
        "mail",
        "192.0.2.1",
        "delivery",
        "postfix",
        "submission",
        "smtp",
        "4XyZ12abcde",
        "sent",
        "2024-11-24",
        "11",
        "1970-01-01",
        "00",
    ];
    assert_eq!(values, expected);
}

#[test]
fn times_fall_back_to_the_receipt() {
    let origin = origin();
    let mut record = delivery(&origin);
    record.message.timestamp = None;
    assert_eq!(path("{date}T{hour}", &record), "1970-01-01T00");
}

#[test]
fn the_time_of_the_receipt_is_in_utc_whatever_the_sender_says() {
    let origin = origin();
    let mut record = delivery(&origin);
    record.received_at = Timestamp::from_micros(1_732_404_000_000_000);
    assert_eq!(path("{date}T{hour} {received_date}T{received_hour}", &record), "2024-11-24T11 2024-11-23T23");
}

#[test]
fn a_peer_is_an_address_without_its_port() {
    let origin = origin();
    let mut record = delivery(&origin);
    for (address, expected) in [
        (Some("192.0.2.1:51234"), "192.0.2.1"),
        (Some("[2001:db8::1]:514"), "2001:db8::1"),
        (Some("/run/postrider/log"), "_run_postrider_log"),
        (Some("/var/log/a:514"), "_var_log_a:514"),
        (None, "unknown"),
    ] {
        record.peer.address = address;
        assert_eq!(path("{peer}", &record), expected);
    }
    record.peer.address = Some("[2001:db8::1]:514");
    let mut topic = String::new();
    Template::parse("mail-{peer}").unwrap().render_topic(&record, &mut topic);
    assert_eq!(topic, "mail-2001_db8__1");
}

#[test]
fn one_value_fills_every_field() {
    for (template, expected) in
        [("{hostname}/{date}.json", "others/others.json"), ("mail.json", "mail.json"), ("a-{peer}", "a-others")]
    {
        assert_eq!(Template::parse(template).unwrap().common(), expected);
    }
}

#[test]
fn a_key_is_whole_or_not_there() {
    let origin = origin();
    let mut record = delivery(&origin);
    let template = Template::parse("{hostname}-{queue_id}").unwrap();
    let mut out = "a".to_owned();
    assert!(template.render(&record, &mut out));
    assert_eq!(out, "amx1-4XyZ12abcde");
    record.postfix = None;
    assert!(!template.render(&record, &mut out));
    assert_eq!(out, "amx1-4XyZ12abcde");
    record.message.hostname = Some("");
    assert!(!Template::parse("{hostname}").unwrap().render(&record, &mut out));
}

#[test]
fn a_path_stays_below_its_directory() {
    for (hostname, expected) in [
        ("mx1.example", "mx1.example"),
        ("..", "_."),
        (".", "_"),
        (".ssh", "_ssh"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("a\0b\nc\u{9b}d", "a_b_c_d"),
        ("", "unknown"),
        ("日本", "日本"),
    ] {
        assert_eq!(with_hostname(hostname), expected, "{hostname:?}");
    }
    let long = "é".repeat(100);
    assert_eq!(with_hostname(&long), "é".repeat(64));
    assert_eq!(with_hostname(&"x".repeat(129)), "x".repeat(128));
    let origin = origin();
    let mut record = delivery(&origin);
    record.postfix = None;
    assert_eq!(path("/a/{app_name}/{queue_id}.json", &record), "/a/postfix_submission_smtp/unknown.json");
}

#[test]
fn a_topic_is_legal() {
    let origin = origin();
    let mut record = delivery(&origin);
    let topic = |template: &str, record: &Record<'_>| {
        let mut out = "kept:".to_owned();
        Template::parse(template).unwrap().render_topic(record, &mut out);
        out.strip_prefix("kept:").unwrap().to_owned()
    };
    assert_eq!(topic("mail-{app_name}", &record), "mail-postfix_submission_smtp");
    record.message.hostname = Some("..");
    assert_eq!(topic("{hostname}", &record), "_");
    let long = "h".repeat(200);
    record.message.hostname = Some(&long);
    assert_eq!(topic("{hostname}{hostname}", &record).len(), 249);
    record.message.hostname = Some("メール");
    assert_eq!(topic("{hostname}", &record), "___");
}

#[test]
fn braces_and_constants() {
    let parse = |text| Template::parse(text).unwrap();
    assert_eq!(parse("mail").as_constant(), Some("mail"));
    assert_eq!(parse("").as_constant(), Some(""));
    assert_eq!(parse("{{a}}").as_constant(), Some("{a}"));
    assert!(!parse("{date}").is_constant());
    assert_eq!(parse("a{date}b{hour}").fields().collect::<Vec<_>>(), [Field::Date, Field::Hour]);
    assert_eq!(parse("a{date}b{hour}").literals().collect::<Vec<_>>(), ["a", "b"]);
    let origin = origin();
    assert_eq!(path("{{{hostname}}}", &delivery(&origin)), "{mx1}");
}

#[test]
fn errors_name_their_place() {
    for (text, offset, len, message, help) in [
        ("ab{hostnam}", 3, 7, "unknown placeholder `{hostnam}`", "did you mean `hostname`?"),
        ("{HOSTNAME}", 1, 8, "unknown placeholder `{HOSTNAME}`", "did you mean `hostname`?"),
        ("a{date", 1, 1, "a `{` without a `}`", "write `{{` for the character `{`"),
        ("a{date{hour}", 1, 1, "a `{` without a `}`", "write `{{` for the character `{`"),
        ("é}", 2, 1, "a `}` without a `{`", "write `}}` for the character `}`"),
    ] {
        let (message, help) = (message.to_owned(), help.to_owned());
        assert_eq!(Template::parse(text), Err(TemplateError { offset, len, message, help }), "{text}");
    }
    let error = Template::parse("{}").unwrap_err();
    assert!(error.help.starts_with("one of hostname, app_name"), "{}", error.help);
}

#[test]
fn directories() {
    for (text, directory, rest) in [
        ("/var/log/{hostname}/{date}.json", "/var/log", "{hostname}/{date}.json"),
        ("/var/log/mail-{date}.json", "/var/log", "mail-{date}.json"),
        ("/var/log/mail.json", "/var/log", "mail.json"),
        ("logs/{date}", "logs", "{date}"),
        ("./{date}", ".", "{date}"),
        ("mail.json", ".", "mail.json"),
        ("/mail.json", "/", "mail.json"),
        ("/a//{date}", "/a", "{date}"),
    ] {
        let split = Template::parse(text).unwrap().split_directory();
        assert_eq!(split, Some((Path::new(directory).to_owned(), Template::parse(rest).unwrap())), "{text}");
    }
    for text in ["{hostname}/{date}", "mail-{date}", "/{date}", "//{date}"] {
        assert_eq!(Template::parse(text).unwrap().split_directory(), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_parses_or_points_into_itself(text in "[a-z{}é/]{0,20}") {
        match Template::parse(&text) {
            Ok(_) => {}
            Err(error) => prop_assert!(text.get(error.offset..error.offset + error.len).is_some()),
        }
    }

    #[test]
    fn no_value_leaves_its_component(hostname in any::<String>()) {
        let component = with_hostname(&hostname);
        prop_assert!(!component.is_empty() && component.len() <= 128 && !component.starts_with('.'));
        prop_assert!(!component.contains(|c: char| c == '/' || c.is_control()));
    }
}
