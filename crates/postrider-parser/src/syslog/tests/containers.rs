//! Lines of the log drivers of containers.

use jiff::tz::TimeZone;

use super::*;

#[test]
fn texts_of_containers_without_a_header() {
    let zone = TimeZone::UTC;
    let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone);
    let time = "2026-11-24T02:10:35.1Z";
    for (text, container, msg) in [
        (format!("mail-1  | {time} opendkim started"), "mail-1", "opendkim started"),
        (format!("mail-1  | {time} Error: cannot bind"), "mail-1", "Error: cannot bind"),
        (format!("mail-1  | {time} Starting opendkim: done"), "mail-1", "Starting opendkim: done"),
        (format!("mail_1 | {time}   indented"), "mail_1", "  indented"),
        (format!("[pod/mail-0/postfix] {time} mx1 started"), "pod/mail-0/postfix", "mx1 started"),
        (format!("mail-1  | {time}"), "mail-1", ""),
    ] {
        let message = parse(&text, &context).inner(&context).unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!((header(&message), message.msg), (format!("- {time} - - -"), msg), "{text:?}");
        assert_eq!(
            (via(&message), &*flags(&message)),
            (format!("- {container} {time}"), "pri_missing hostname_missing")
        );
        assert_eq!(message.inner(&context), None, "{text:?}");
    }
    for (text, container, msg) in [
        ("mail-1  | Starting opendkim...", "mail-1", "Starting opendkim..."),
        ("mail-1  | a: x", "mail-1", "a: x"),
        ("\x1b[36mmail-1 |\x1b[0m x", "mail-1", "x"),
        ("[pod/mail-0/postfix] x  | y", "pod/mail-0/postfix", "x  | y"),
    ] {
        let message = parse(text, &context).inner(&context).unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!((header(&message), message.msg), ("- - - - -".to_owned(), msg), "{text:?}");
        assert_eq!((via(&message), &*flags(&message)), (format!("- {container} -"), ALL_MISSING), "{text:?}");
        assert_eq!(message.inner(&context), None, "{text:?}");
    }
    // The driver's clock.
    let message = parse("mail-1  | 2026-11-24T03:10:35.1Z x", &context).inner(&context).unwrap();
    assert_eq!(flags(&message), "pri_missing hostname_missing clock_ahead");
    // Its time is no other's.
    let message = parse_utc("2026-11-24T02:10:35.1Z stdout F a text");
    assert_eq!((header(&message), via(&message)), (format!("- {time} - - -"), format!("- - {time}")));
}

#[test]
fn entries_of_docker() {
    let zone = TimeZone::UTC;
    let context = |format| Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone).with_format(format);
    let read = |text: &str, format| {
        let context = context(format);
        let outer = parse(text, &context);
        let entry = DockerEntry::read(&outer, format)?;
        let message = entry.message(&outer, &context);
        Some((header(&message), via(&message), message.msg.to_owned(), flags(&message)))
    };
    let entry = r#"{"log":"Nov 24 02:10:35 mx1 postfix/smtpd[1]: \"x\"\t\u00e9\n","stream":"stdout","time":"2026-11-24T02:10:36.5Z"}"#;
    let expected = (
        "- 2026-11-24T02:10:35Z mx1 postfix/smtpd 1".to_owned(),
        "- - 2026-11-24T02:10:36.5Z".to_owned(),
        "\"x\"\té".to_owned(),
        "pri_missing year_inferred".to_owned(),
    );
    assert_eq!(read(entry, Format::Auto), Some(expected.clone()));
    assert_eq!(read(entry, Format::DockerJson), Some(expected));
    assert_eq!(read(entry, Format::Plain), None);
    assert_eq!(read(entry, Format::Rfc3164), None);
    assert!(read(&format!("Nov 24 02:10:36 host docker: {entry}"), Format::Rfc3164).is_some());
    // In another order.
    let other = r#"{"time":"2026-11-24T02:10:36.5Z","log":"x\n"}"#;
    assert_eq!(read(other, Format::Auto), None);
    let (header, _, msg, _) = read(other, Format::DockerJson).unwrap();
    assert_eq!((&*header, &*msg), ("- 2026-11-24T02:10:36.5Z - - -", "x"));
    // A part of a line.
    let part = |end: &str| format!("{{\"log\":\"{}{end}\"}}", "x".repeat(16 * 1024));
    assert!(read(&part(""), Format::Auto).unwrap().3.ends_with(" truncated"));
    assert!(!read(&part("\\n"), Format::Auto).unwrap().3.contains("truncated"));
    for other in ["{\"log\":\"cut", "{\"log\":1}", "{\"log\":{}}", "[]", "{}", ""] {
        assert_eq!(read(other, Format::DockerJson), None, "{other}");
    }
}
