//! RFC 5424: its flaws in the wild, and its own parts.

use std::borrow::Cow;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

#[test]
fn rfc5424_with_flaws() {
    let at = "mail.info 2026-11-24T02:10:35Z mx1";
    for (text, header, msg, flags) in [
        (
            "1 2026-11-24T02:10:35Z mx1 postfix/smtp 1 ID - x",
            "mail.info 2026-11-24T02:10:35Z mx1 postfix/smtp 1",
            "x",
            "",
        ),
        ("1 - - - - - -", "mail.info - - - -", "", "timestamp_missing hostname_missing"),
        (
            "1 2026-11-24T02:10:35Z mx1 postfix 1 - -  connect",
            "mail.info 2026-11-24T02:10:35Z mx1 postfix 1",
            " connect",
            "",
        ),
        // rsyslog#4043: an empty APP-NAME.
        ("1 2026-11-24T02:10:35Z mx1  1 - - x", "mail.info 2026-11-24T02:10:35Z mx1 - 1", "x", ""),
        ("1 2026-11-24T02:10:35+0100 mx1 a 1 - - x", "mail.info 2026-11-24T02:10:35+01:00 mx1 a 1", "x", ""),
        ("1 2026-11-24 02:10:35 mx1 a 1 - - x", "mail.info 2026-11-24T02:10:35Z mx1 a 1", "x", ""),
        ("1 2026-11-24T02:10:60Z mx1 a 1 - - x", "mail.info 2026-11-24T02:10:59.999999Z mx1 a 1", "x", ""),
        ("1 2026-11-31T02:10:35Z mx1 a 1 - - x", "mail.info - mx1 a 1", "x", "timestamp_missing"),
        ("1 2026-11-24T02:10:35junk mx1 a 1 - - x", "mail.info - mx1 a 1", "x", "timestamp_missing"),
        ("1 2026-11-24T02:10:35Z mx1: a 1 - - x", "mail.info 2026-11-24T02:10:35Z mx1: a 1", "x", ""),
        ("1 2026-11-24T02:10:35Z mx1 a:b 1 - - x", "mail.info 2026-11-24T02:10:35Z mx1 a:b 1", "x", ""),
        ("1 2026-11-24T02:10:35Z ::1 ü 1 - - x", "mail.info 2026-11-24T02:10:35Z ::1 ü 1", "x", ""),
        ("1 2026-11-24T02:10:35Z mx1", "mail.info 2026-11-24T02:10:35Z mx1 - -", "", ""),
        ("123 2026-11-24T02:10:35Z mx1 a 1 - - x", "mail.info 2026-11-24T02:10:35Z mx1 a 1", "x", ""),
    ] {
        check(&format!("<22>{text}"), header, msg, flags);
    }
    // A TAG for APP-NAME, and names for PRI.
    let expected = &format!("{at} postfix/smtpd 1");
    check("<22>1 2026-11-24T02:10:35Z mx1 postfix/smtpd[1] - - - x", expected, "x", "");
    check("<22>1 2026-11-24T02:10:35Z mx1 postfix/smtpd[1]: - - - x", expected, "x", "");
    check("<22>1 2026-11-24T02:10:35Z mx1 app[x] - - - x", &format!("{at} app[x] -"), "x", "");
    check("<mail.info>1 2026-11-24T02:10:35Z mx1 postfix/smtpd 1 - - x", expected, "x", "");
    check("<mail.info>Nov 24 02:10:35 mx1 postfix/smtpd[1]: x", expected, "x", "year_inferred");
    // Without PRI and VERSION.
    let at = "- 2026-11-24T02:10:35Z mx1";
    for (text, header, msg) in [
        ("mx1 postfix/smtpd 1 - - x", "postfix/smtpd 1", "x"),
        ("mx1 postfix 1 - -  x", "postfix 1", " x"),
        ("mx1 a - - - x", "a -", "x"),
        ("mx1 a 1 - - ", "a 1", ""),
        ("mx1 a 1 - -", "a 1", ""),
        ("mx1 a 1 ID47 [x k=\"v\"] x", "a 1", "x"),
    ] {
        check(&format!("2026-11-24T02:10:35Z {text}"), &format!("{at} {header}"), msg, "pri_missing");
    }
    for msg in ["took 12 ms - ok", "a x - - y", "a=b 1 - - y", "a 1 - x", "a 1  - - x"] {
        check(&format!("2026-11-24T02:10:35Z mx1 {msg}"), &format!("{at} - -"), msg, "pri_missing");
    }
    let at = "mail.info 2026-11-24T02:10:35Z mx1";
    for data in [
        "[bad",
        "[a b=1] x",
        "[a b=\"c\"]x",
        "[a  b=\"c\"] x",
        "[a b=\"c\"][ x",
        "no data",
        "-x",
        " - x",
        "[]",
        "[a b= \"c\"] x",
    ] {
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a 1 - {data}"), &format!("{at} a 1"), data, "");
    }
    // Without PRI; a list is not RFC 5424.
    check("1 2026-11-24T02:10:35Z mx1 a 1 - - x", "- 2026-11-24T02:10:35Z mx1 a 1", "x", "pri_missing");
    check("1 - one thing", "- - - - -", "1 - one thing", ALL_MISSING);
    check("<22>2 users logged in", "mail.info - - - -", "2 users logged in", "timestamp_missing hostname_missing");
}

#[test]
fn structured_data_and_msgid() {
    let message =
        parse_utc(r#"<22>1 2026-11-24T02:10:35Z mx1 a 1 ID47 [x@32473 a="1" a="\"\\\]\n" b=""][origin] [not="data"]"#);
    assert_eq!(message.msgid, Some("ID47"));
    assert_eq!(message.msg, "[not=\"data\"]");
    let params = vec![("a", Cow::from("1")), ("a", Cow::from("\"\\]\\n")), ("b", Cow::from(""))];
    let expected =
        [StructuredElement { id: "x@32473", params }, StructuredElement { id: "origin", params: Vec::new() }];
    assert_eq!(message.structured_data, expected);
    // The same through the tolerant reader.
    let tolerant = parse_utc(
        r#"<22>1 2026-11-24T02:10:35+0000 mx1 a 1 ID47 [x@32473 a="1" a="\"\\\]\n" b=""][origin] [not="data"]"#,
    );
    assert_eq!(tolerant, message);
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

fn or_nil(field: Option<&String>) -> &str {
    field.map_or("-", String::as_str)
}

proptest! {
    #[test]
    fn rfc5424_is_read_as_printed(
        pri in 0_u8..192,
        seconds in -62_135_596_800_i64..253_402_300_000 - 86_400,
        fraction in "(|[.][0-9]{1,12})",
        offset_minutes in -1439_i32..1440,
        fields in proptest::collection::vec(proptest::option::of("[!-~]{2,20}"), 4),
        data in proptest::collection::vec(
            ("[a-z@0-9]{1,10}", proptest::collection::vec(("[a-z]{1,5}", ".{0,10}"), 0..3)),
            0..3,
        ),
        msg in ".{0,40}",
    ) {
        // It would be part of the line end.
        prop_assume!(!msg.ends_with('\r'));
        let micros = format!("{:0<6.6}", fraction.trim_start_matches('.')).parse().unwrap();
        // A day away from both ends of the calendar, so that no offset leads over them.
        let timestamp = Timestamp::new(seconds + 86_400, micros).unwrap();
        let offset = Offset { seconds: offset_minutes * 60, is_named: true };
        let local = timestamp.civil(offset.seconds);
        let time = format!("{local}{fraction}{}", printed_offset(offset.seconds));
        let mut printed = String::new();
        for (id, params) in &data {
            write!(printed, "[{id}").unwrap();
            for (name, value) in params {
                write!(printed, " {name}=\"{}\"", escape(value)).unwrap();
            }
            printed.push(']');
        }
        let nil = if printed.is_empty() { "-" } else { "" };
        let [hostname, app_name, procid, msgid] = [0, 1, 2, 3].map(|index| fields[index].as_ref());
        let names = [hostname, app_name, procid, msgid].map(or_nil).join(" ");
        let text = format!("<{pri}>1 {time} {names} {nil}{printed} \u{feff}{msg}\n");

        let message = parse_utc(&text);
        prop_assert_eq!(message.facility.map(Facility::code), Some(pri / 8));
        prop_assert_eq!(message.severity.map(Severity::code), Some(pri % 8));
        prop_assert_eq!((message.timestamp, message.offset), (Some(timestamp), offset));
        let read = [message.hostname, message.app_name, message.procid, message.msgid];
        prop_assert_eq!(read.map(|field| field.unwrap_or("-")).join(" "), names);
        let elements: Vec<_> = data.iter().map(|(id, params)| StructuredElement {
            id: id.as_str(),
            params: params.iter().map(|(name, value)| (name.as_str(), Cow::from(value.as_str()))).collect(),
        }).collect();
        prop_assert_eq!(message.structured_data, elements);
        prop_assert_eq!(message.msg, msg);
    }
}
