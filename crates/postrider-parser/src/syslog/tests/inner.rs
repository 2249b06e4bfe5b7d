//! Headers inside a message.

use jiff::tz::TimeZone;

use super::*;

#[test]
fn a_header_inside_a_message() {
    let inner = "Nov 24 02:10:35 mx1 postfix/smtpd[1]: x";
    let at = "2026-11-24T02:10:35Z mx1 postfix/smtpd 1";
    let outer = "2026-11-24T02:10:36Z";
    for (text, expected, expected_via, expected_flags) in [
        (
            format!("Nov 24 02:10:36 host mail[9]: {inner}"),
            format!("- {at}"),
            format!("host mail {outer}"),
            "pri_missing year_inferred",
        ),
        (
            format!("<22>Nov 24 02:10:36 relay {inner}"),
            format!("mail.- {at}"),
            format!("relay - {outer}"),
            "year_inferred",
        ),
        (
            format!("<22>Nov 24 02:10:36 relay <20>{inner}"),
            format!("mail.warning {at}"),
            format!("relay - {outer}"),
            "year_inferred",
        ),
        (
            format!("<22>Nov 24 02:10:36 <20>{inner}"),
            format!("mail.warning {at}"),
            format!("- - {outer}"),
            "year_inferred",
        ),
        (format!("<22><20>{inner}"), format!("mail.warning {at}"), "- - -".to_owned(), "year_inferred"),
        (
            format!("<22>1 {outer} relay a - - - {inner}"),
            format!("mail.- {at}"),
            format!("relay a {outer}"),
            "year_inferred",
        ),
        (
            format!("<22>1 {outer} relay a - - - <20>1 2026-11-24T02:10:35Z mx1 postfix/smtpd 1 - - x"),
            format!("mail.warning {at}"),
            format!("relay a {outer}"),
            "",
        ),
        (format!("mail-1  | {inner}"), format!("- {at}"), "- mail-1 -".to_owned(), "pri_missing year_inferred"),
        (
            format!("\x1b[36mmail-1  |\x1b[0m {inner}"),
            format!("- {at}"),
            "- mail-1 -".to_owned(),
            "pri_missing year_inferred",
        ),
        (format!("{outer} stdout F {inner}"), format!("- {at}"), format!("- - {outer}"), "pri_missing year_inferred"),
        (
            format!("{outer} stderr P {inner}"),
            format!("- {at}"),
            format!("- - {outer}"),
            "pri_missing year_inferred truncated",
        ),
        (format!("{outer} {inner}"), format!("- {at}"), format!("- - {outer}"), "pri_missing year_inferred"),
        // The outer time where there is no inner one.
        (
            format!("{outer} stdout F postfix/smtpd[1]: x"),
            format!("- {outer} - postfix/smtpd 1"),
            format!("- - {outer}"),
            "pri_missing hostname_missing",
        ),
    ] {
        check_inner(&text, &expected, &expected_via, expected_flags);
    }
}

/// Drivers and daemons that put columns, or nothing but their own header, in front of what they get.
#[test]
fn a_header_behind_columns_or_the_name_of_a_container() {
    let inner = "Nov 24 02:10:35 mx1 postfix/smtpd[1]: x";
    let at = "2026-11-24T02:10:35Z mx1 postfix/smtpd 1";
    let outer = "2026-11-24T02:10:36Z";
    for (text, expected, expected_via, expected_flags) in [
        // Docker's driver `syslog`, of a container that writes no time.
        (
            format!("<30>{outer} host docker/1a2b3c4d5e6f[9]: postfix/smtpd[1]: x"),
            format!("daemon.- {outer} - postfix/smtpd 1"),
            format!("host docker/1a2b3c4d5e6f {outer}"),
            "hostname_missing",
        ),
        (
            format!("<30>{outer} host 1a2b3c4d5e6f[9]: postfix/smtpd[1]: x"),
            format!("daemon.- {outer} - postfix/smtpd 1"),
            format!("host 1a2b3c4d5e6f {outer}"),
            "hostname_missing",
        ),
        // Facility and severity in columns before another header: Kiwi, svlogd, socklog.
        (
            "2026-11-24 02:10:36\tMail.Info\trelay\t1 2026-11-24T02:10:35Z mx1 postfix/smtpd 1 - - x".to_owned(),
            format!("mail.- {at}"),
            format!("relay - {outer}"),
            "pri_missing",
        ),
        (
            format!("{outer} mail.info: Nov 24 02:10:35 postfix/smtpd[1]: x"),
            "mail.- 2026-11-24T02:10:35Z - postfix/smtpd 1".to_owned(),
            format!("- - {outer}"),
            "pri_missing year_inferred hostname_missing",
        ),
        (
            "mail.info: Nov 24 02:10:35 postfix/smtpd[1]: x".to_owned(),
            "mail.- 2026-11-24T02:10:35Z - postfix/smtpd 1".to_owned(),
            "- - -".to_owned(),
            "pri_missing year_inferred hostname_missing",
        ),
        (
            format!("mail.1.a1b2@node1    | {inner}"),
            format!("- {at}"),
            "- mail.1.a1b2@node1 -".to_owned(),
            "pri_missing year_inferred",
        ),
    ] {
        check_inner(&text, &expected, &expected_via, expected_flags);
    }
}

#[track_caller]
fn check_inner(text: &str, expected_header: &str, expected_via: &str, expected_flags: &str) {
    let zone = TimeZone::UTC;
    let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone);
    let message = parse(text, &context).inner(&context).unwrap_or_else(|| panic!("{text:?}"));
    assert_eq!((&*header(&message), message.msg), (expected_header, "x"), "{text:?}");
    assert_eq!((&*via(&message), &*flags(&message)), (expected_via, expected_flags), "{text:?}");
}

#[test]
fn what_is_no_header_inside_a_message() {
    let zone = TimeZone::UTC;
    for text in [
        "",
        "<22>",
        "x",
        "<22>x",
        "Nov 24 02:10:35 mx1 postfix/smtpd[1]: x",
        "mail-1 | x",
        "mail-1 | a: x",
        "<22>mail-1  | x",
        "Nov 24 02:10:35 mail-1  | x",
        // Other programs begin their texts with a time.
        "Nov 24 02:10:36 mx1 mysqld[5]: 2026-11-24 02:10:35 139 [Note] InnoDB: x",
        "Nov 24 02:10:36 mx1 app: 2026-11-24T02:10:35Z info server: x",
        "Nov 24 02:10:36 mx1 app[1]: Nov 24 02:10:35 mx9 server: x",
        "Nov 24 02:10:36 mx1 app[1]: (x) Nov 24 02:10:35 mx9 postfix/smtpd[1]: x",
        "Nov 24 02:10:36 mx1 app[1]: postfix/smtpd[1]: x",
        "Nov 24 02:10:36 mx1 deadbeef[1]: postfix/smtpd[1]: x",
        "Nov 24 02:10:36 mx1 docker/mail[1]: 2026-11-24 02:10:35 139 [Note] InnoDB: x",
        "Nov 24 02:10:36 mx1 docker/mail[1]: postfix/smtpd: x",
        "Nov 24 02:10:36 mx1 app[1]: <6>x: y",
        "Nov 24 02:10:36 mx1 2026-11-24 02:10:35 started",
        "2026-11-24T02:10:36Z stdout F x",
    ] {
        let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone);
        assert_eq!(parse(text, &context).inner(&context), None, "{text:?}");
    }
}
