//! Headers: the forms of the RFCs, of files, and what senders and relays do to them.

use jiff::tz::TimeZone;

use super::*;

#[test]
fn the_usual_forms() {
    let line = "4101B87FB4: to=<a@example.com>, status=sent (250 ok)";
    let at = "2026-11-24T02:10:35Z mx1 postfix/smtp 123";
    // RSYSLOG_TraditionalForwardFormat.
    check(
        &format!("<22>Nov 24 02:10:35 mx1 postfix/smtp[123]: {line}"),
        &format!("mail.info {at}"),
        line,
        "year_inferred",
    );
    // RSYSLOG_ForwardFormat.
    check(
        &format!("<22>2026-11-24T02:10:35.123456+00:00 mx1 postfix/smtp[123]: {line}"),
        "mail.info 2026-11-24T02:10:35.123456Z mx1 postfix/smtp 123",
        line,
        "",
    );
    check(&format!("<22>1 2026-11-24T02:10:35Z mx1 postfix/smtp 123 - - {line}"), &format!("mail.info {at}"), line, "");
    // RFC 3164 file style, Postfix's maillog_file and rsyslog's ISO 8601 file style.
    check(
        &format!("Nov 24 02:10:35 mx1 postfix/smtp[123]: {line}"),
        &format!("- {at}"),
        line,
        "pri_missing year_inferred",
    );
    check(
        &format!("Nov 04 02:10:35 mx1 postfix/smtp[123]: {line}"),
        "- 2026-11-04T02:10:35Z mx1 postfix/smtp 123",
        line,
        "pri_missing year_inferred",
    );
    check(
        &format!("2026-11-24T02:10:35.123456+09:00 mx1 postfix/smtp[123]: {line}"),
        "- 2026-11-24T02:10:35.123456+09:00 mx1 postfix/smtp 123",
        line,
        "pri_missing",
    );
    check("a line with no header at all", "- - - - -", "a line with no header at all", ALL_MISSING);
    check("", "- - - - -", "", ALL_MISSING);
}

#[test]
fn pri_is_read_before_anything_else() {
    check("<22>text", "mail.info - - - -", "text", "timestamp_missing hostname_missing");
    check("<22>", "mail.info - - - -", "", "timestamp_missing hostname_missing");
    check("<022>Nov 24 02:10:35 mx1 a: x", "mail.info 2026-11-24T02:10:35Z mx1 a -", "x", "year_inferred");
    check("<22> Nov 24 02:10:35 mx1 a: x", "mail.info 2026-11-24T02:10:35Z mx1 a -", "x", "year_inferred");
    check("<22>  text", "mail.info - - - -", "  text", "timestamp_missing hostname_missing");
    // Nothing behind a bad one is trusted, and the text keeps it.
    for text in ["<999>Nov 24 02:10:35 mx1 a[1]: x", "<192>x", "<>x", "<22x", "<-1>a[1]: x", "<999>a[1]: x"] {
        check(text, "- - - - -", text, ALL_MISSING);
    }
}

#[test]
fn one_line_end_and_one_bom_are_no_text() {
    let header = "mail.info 2026-11-24T02:10:35Z mx1 a 1";
    for (end, left) in
        [("\n", ""), ("\r\n", ""), ("\0", ""), ("\n\n", "\n"), ("\n\0", "\n"), (" \n", " "), ("\r", "\r"), ("  ", "  ")]
    {
        check(&format!("<22>Nov 24 02:10:35 mx1 a[1]: x{end}"), header, &format!("x{left}"), "year_inferred");
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a 1 - - x{end}"), header, &format!("x{left}"), "");
        check(&format!("x{end}"), "- - - - -", &format!("x{left}"), ALL_MISSING);
    }
    check("<22>1 2026-11-24T02:10:35Z mx1 a 1 - - \u{feff}x", header, "x", "");
    check("<22>1 2026-11-24T02:10:35Z mx1 a 1 - - \u{feff}\u{feff}x", header, "\u{feff}x", "");
    check("<22>Nov 24 02:10:35 mx1 a[1]: \u{feff}x", header, "x", "year_inferred");
    check("\u{feff}<22>Nov 24 02:10:35 mx1 a[1]: x", header, "x", "year_inferred");
    check("\u{feff}x", "- - - - -", "x", ALL_MISSING);
    check("\u{feff}\u{feff}x", "- - - - -", "\u{feff}x", ALL_MISSING);
}

#[test]
fn words_of_facility_and_severity() {
    let at = "2026-11-24T02:10:35Z";
    let missing = "pri_missing year_inferred";
    for (words, named, host) in [
        ("mx1 mail.info", "mail.info", "mx1"),
        ("mx1 <mail.info>", "mail.info", "mx1"),
        ("mx1 <2.6>", "mail.info", "mx1"),
        ("<2.4> mx1", "mail.warning", "mx1"),
        ("mx1 MAIL:ERR", "mail.err", "mx1"),
        ("mx1 mail.info:", "mail.info", "mx1"),
        ("mx1 WARNING:", "-.warning", "mx1"),
        ("mx1 NOTICE", "-.notice", "mx1"),
        ("NOTICE mx1", "-.notice", "mx1"),
        ("mx1\tinfo\t", "-.info", "mx1"),
        ("mx1 mx1 info", "-.info", "mx1"),
        ("mx1 mx1", "-", "mx1"),
        ("mx1 mx1:", "-", "mx1"),
        ("mx1 mail.6", "mail.info", "mx1"),
        ("mx1 6", "-.info", "mx1"),
        ("mx1 22", "mail.info", "mx1"),
        ("mx1 info|mail", "mail.info", "mx1"),
        ("mail.6", "-", "mail.6"),
        ("6", "-", "6"),
        ("info", "-", "info"),
        ("mail", "-", "mail"),
    ] {
        let text = format!("Nov 24 02:10:35 {words} postfix/smtpd[1]: x");
        check(&text, &format!("{named} {at} {host} postfix/smtpd 1"), "x", missing);
        // PRI is what counts.
        let text = format!("<22>{text}");
        check(&text, &format!("mail.info {at} {host} postfix/smtpd 1"), "x", "year_inferred");
    }
    for words in ["INFO", "INFO   ", "WARNING", "info ", "mail.info", "(none) mail.info", "- INFO"] {
        let text = format!("2026-11-24T02:10:35.5+01:00 {words} postfix/smtpd[1]: x");
        let message = parse_utc(&text);
        assert_eq!((message.hostname, message.app_name, message.msg), (None, Some("postfix/smtpd"), "x"), "{words}");
        assert!(message.severity.is_some(), "{words}");
        assert_eq!(flags(&message), "pri_missing hostname_missing", "{words}");
    }
    // Without a time, and without a TAG.
    check("INFO postfix/smtpd[1]: x", "-.info - - postfix/smtpd 1", "x", ALL_MISSING);
    for text in ["Nov 24 02:10:35 mx1 mail.info it is on", "Nov 24 02:10:35 mx1 notice of a: b"] {
        check(text, &format!("- {at} mx1 - -"), &text["Nov 24 02:10:35 mx1 ".len()..], missing);
    }
    // Another hostname stands before the sender's own.
    for (tag, header, flags) in [
        ("postfix/smtpd[1]:", "postfix/smtpd 1", "year_inferred"),
        ("postfix[1]:", "postfix 1", "year_inferred"),
        ("postfix/qmgr:", "postfix/qmgr -", "year_inferred"),
        ("postfix/submission/smtpd[1234567", "postfix/submission/smtpd -", "year_inferred tag_truncated"),
    ] {
        let text = format!("<22>Nov 24 02:10:35 192.0.2.1 mx1 {tag} x");
        check(&text, &format!("mail.info {at} mx1 {header}"), "x", flags);
        assert_eq!(via(&parse_utc(&text)), "192.0.2.1 - -");
    }
    check("<22>Nov 24 02:10:35 mx1 mx1 postfix: x", &format!("mail.info {at} mx1 postfix -"), "x", "year_inferred");
}

#[test]
fn message_ids_of_solaris_are_no_text() {
    let line = |text: &str| format!("Nov 24 02:10:35 mx1 postfix/smtpd[1]: {text}");
    let text = line("[ID 197553 mail.warning] connect from a");
    let message = parse_utc(&text);
    assert_eq!(header(&message), "mail.warning 2026-11-24T02:10:35Z mx1 postfix/smtpd 1");
    assert_eq!(message.msg, "[ID 197553 mail.warning] connect from a");
    assert_eq!(message.text(), "connect from a");
    let text = format!("<22>{}", line("[ID 197553 mail.warning] message repeated 2 times: [ x ] "));
    let message = parse_utc(&text);
    assert_eq!(message.severity, Some(Severity::INFO));
    assert_eq!(message.text(), "x");
    let text = line("[ID x mail.info] y");
    assert_eq!(parse_utc(&text).text(), "[ID x mail.info] y");
}

#[test]
fn white_space_around_a_text_is_no_part_of_it() {
    for end in
        [" ", "  ", "\t", " \t \r", "\r\n", " \n", "#015", "#015#012", "\u{a0}", "\u{b}", "\u{c}", "\0 ", "\u{1b}[0m"]
    {
        for header in [
            "<22>Nov 24 02:10:35 mx1 a[1]: ",
            "<22>Nov 24 02:10:35 mx1 a[1]:\t",
            "<22>1 2026-11-24T02:10:35Z - a 1 - -  ",
        ] {
            let text = format!("{header}4101B87FB4: removed{end}");
            let message = parse_utc(&text);
            assert_eq!(message.text(), "4101B87FB4: removed", "{text:?}");
            assert!(
                message.msg.trim_end_matches(['\r', '\n']).ends_with(end.trim_end_matches(['\r', '\n'])),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_format_is_taken_at_its_word() {
    let rfc3164 = "<22>Nov 24 02:10:35 mx1 a[1]: x";
    let rfc5424 = "<22>1 2026-11-24T02:10:35Z mx1 a 1 - - x";
    let cri = "2026-11-24T02:10:35Z stdout F x";
    let zone = TimeZone::UTC;
    for (format, text, msg) in [
        (Format::Auto, rfc3164, "x"),
        (Format::Auto, rfc5424, "x"),
        (Format::Auto, cri, "x"),
        (Format::Rfc3164, rfc3164, "x"),
        (Format::Rfc3164, rfc5424, &rfc5424[4..]),
        (Format::Rfc5424, rfc5424, "x"),
        (Format::Rfc5424, rfc3164, &rfc3164[4..]),
        (Format::Cri, cri, "x"),
        (Format::Cri, rfc3164, rfc3164),
        (Format::DockerJson, rfc3164, rfc3164),
        (Format::Plain, rfc3164, rfc3164),
        (Format::Plain, rfc5424, rfc5424),
        (Format::Plain, cri, cri),
    ] {
        let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone).with_format(format);
        let message = parse(text, &context);
        assert_eq!(message.msg, msg, "{format:?}: {text}");
        // A text that is no header of the format is none inside of PRI either.
        assert_eq!(message.inner(&context), None, "{format:?}: {text}");
    }
}

#[test]
fn repeated_messages() {
    let message =
        parse_utc("<22>Nov 24 02:10:35 mx1 postfix/smtpd[1]: message repeated 3 times: [ connect from a[192.0.2.1]]");
    assert_eq!(message.msg, "message repeated 3 times: [ connect from a[192.0.2.1]]");
    assert_eq!(message.repeated, Some(Repeated { count: 3, text: "connect from a[192.0.2.1]" }));
    assert_eq!(message.text(), "connect from a[192.0.2.1]");
    assert_eq!(flags(&message), "year_inferred repeated");

    let escaped = parse_utc("<22>Nov 24 02:10:35 mx1 a[1]: message repeated 3 times: [ x#015]#015");
    assert_eq!((escaped.text(), escaped.repeated.map(|repeated| repeated.count)), ("x", Some(3)));

    // The text of what was repeated is not known.
    let last = parse_utc("<22>Nov 24 02:10:35 mx1 postfix/smtpd[1]: last message repeated 3 times");
    assert_eq!(last.repeated, Some(Repeated { count: 3, text: "last message repeated 3 times" }));
    assert_eq!((last.text(), flags(&last).as_str()), ("last message repeated 3 times", "year_inferred repeated"));

    let message = parse_utc("<22>1 2026-11-24T02:10:35Z mx1 postfix 1 - -  connect from a");
    assert_eq!((message.msg, message.text(), message.repeated), (" connect from a", "connect from a", None));
}
