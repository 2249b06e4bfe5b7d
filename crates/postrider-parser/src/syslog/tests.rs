//! Whole messages: the forms of the RFCs, of files, and what senders and relays do to them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

/// 2026-11-24T02:10:36Z.
const RECEIVED_AT: i64 = 1_795_486_236;

fn parse_at<'a>(text: &'a str, received_at: i64, zone: &TimeZone) -> Message<'a> {
    parse(text, &Context::new(Timestamp::from_micros(received_at * 1_000_000), zone))
}

fn parse_utc(text: &str) -> Message<'_> {
    parse_at(text, RECEIVED_AT, &TimeZone::UTC)
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// A time as a clock at `offset` seconds east of UTC shows it, without zeros at its end.
fn shown(timestamp: Option<Timestamp>, offset: i32) -> String {
    let Some(timestamp) = timestamp else { return "-".to_owned() };
    let nanos = i32::try_from(timestamp.micros() * 1000).unwrap();
    let local = timestamp.civil(offset).with().subsec_nanosecond(nanos).build().unwrap();
    if offset == 0 { format!("{local}Z") } else { format!("{local}{}", printed_offset(offset)) }
}

fn printed_offset(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `mail.info TIMESTAMP HOSTNAME APP-NAME PROCID`, each `-` where there is none.
fn header(message: &Message<'_>) -> String {
    let priority = match (message.facility.map(Facility::name), message.severity.map(Severity::name)) {
        (None, None) => "-".to_owned(),
        (facility, severity) => format!("{}.{}", facility.unwrap_or("-"), severity.unwrap_or("-")),
    };
    let timestamp = shown(message.timestamp, message.offset.seconds);
    let text = |part: Option<&str>| part.unwrap_or("-").to_owned();
    [priority, timestamp, text(message.hostname), text(message.app_name), text(message.procid)].join(" ")
}

fn flags(message: &Message<'_>) -> String {
    let names = Flags::ALL.iter().filter(|(flag, _)| message.flags.contains(*flag)).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(text: &str, expected_header: &str, msg: &str, expected_flags: &str) {
    let message = parse_utc(text);
    let read = (header(&message), message.msg, flags(&message));
    assert_eq!(read, (expected_header.to_owned(), msg, expected_flags.to_owned()), "{text:?}");
}

#[track_caller]
fn check_time(text: &str, received_at: &str, zone_name: &str, expected: &str) {
    let received_at: jiff::Timestamp = received_at.parse().unwrap();
    let message = parse_at(text, received_at.as_second(), &zone(zone_name));
    assert_eq!(shown(message.timestamp, message.offset.seconds), expected, "{text:?} at {received_at} in {zone_name}");
    assert_eq!(message.flags.contains(Flags::TIMESTAMP_MISSING), expected == "-");
}

const ALL_MISSING: &str = "pri_missing timestamp_missing hostname_missing";

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

/// A second space behind the time leads to the tolerant reader: on the lines of the corpus, it finds what the direct
/// one does.
#[test]
fn both_readers_agree_on_the_corpus() {
    let mut compared = 0;
    let files = |part| fs::read_dir(format!("{}/../../tests/corpus/{part}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for file in files("postfix").chain(files("syslog")) {
        let path = file.unwrap().path();
        let text = fs::read(&path).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
            // The time of RFC 3164, with or without PRI. A zone or a year behind it would not be one behind two spaces.
            let pri = if line.starts_with('<') { line.find('>').map_or(0, |end| end + 1) } else { 0 };
            let behind = pri + "Nov 24 02:10:35".len();
            if path.extension().is_none_or(|extension| extension != "log")
                || line.as_bytes().get(pri + 3) != Some(&b' ')
                || line.as_bytes().get(behind) != Some(&b' ')
                || line[behind..]
                    .split(' ')
                    .nth(1)
                    .is_none_or(|host| host.bytes().all(|byte| !byte.is_ascii_lowercase()))
            {
                continue;
            }
            let tolerant = format!("{} {}", &line[..behind], &line[behind..]);
            let (direct, tolerant) =
                (parse_at(line, RECEIVED_AT, &zone("UTC")), parse_at(&tolerant, RECEIVED_AT, &zone("UTC")));
            // Where all of it is a text, the spaces are, too.
            let is_text = direct.msg == &line[behind + 1..];
            if is_text || direct.timestamp.is_none() && tolerant.timestamp.is_none() {
                continue;
            }
            assert_eq!(direct, tolerant, "{}: {line}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared} lines");
}

/// What `syslog_loose` loses or changes, in the order of its source.
#[test]
fn nothing_is_lost_to_syslog_loose() {
    let header = "mail.info 2026-11-24T02:10:35Z mx1 a 1";
    for body in [
        "-bash: x",
        "- foo",
        "-",
        "[id k=\"v\"] x",
        "[id k=\"v\"]",
        "[x] y",
        " two spaces",
        "tab\t ",
        "x \u{3000}",
        ": x",
    ] {
        check(&format!("<22>Nov 24 02:10:35 mx1 a[1]: {body}"), header, body, "year_inferred");
        check(&format!("<22>2026-11-24T02:10:35Z mx1 a[1]: {body}"), header, body, "");
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a 1 - - {body}"), header, body, "");
    }
    // A NILVALUE without SP is no STRUCTURED-DATA.
    check("<22>1 2026-11-24T02:10:35Z mx1 a 1 - -nospace", header, "-nospace", "");
    check("<22>Nov 24 02:10:35 mx1 a[1]:", header, "", "year_inferred");
    check("<22>Nov 24 02:10:35 mx1 a[1]:x", header, "x", "year_inferred");
    for procid in ["00123", "4294967296", "99999999999999999999", "x-1"] {
        let header = format!("mail.info 2026-11-24T02:10:35Z mx1 a {procid}");
        check(&format!("<22>Nov 24 02:10:35 mx1 a[{procid}]: x"), &header, "x", "year_inferred");
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a {procid} - - x"), &header, "x", "");
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
fn stamps_beyond_the_rfcs() {
    let with = |stamp: &str| format!("<22>{stamp} mx1 a[1]: x");
    for (stamp, timestamp, flags) in [
        ("Nov 24 02:10:35.123456", "2026-11-24T02:10:35.123456Z", "year_inferred"),
        ("Nov  4 02:10:35.5", "2026-11-04T02:10:35.5Z", "year_inferred"),
        ("Nov 4 02:10:35", "2026-11-04T02:10:35Z", "year_inferred"),
        ("nov 24 02:10:35", "2026-11-24T02:10:35Z", "year_inferred"),
        ("Nov 24 02:10:35 CET", "2026-11-24T02:10:35+01:00", "year_inferred"),
        ("Nov 24 02:10:35 -0330", "2026-11-24T02:10:35-03:30", "year_inferred clock_ahead"),
        ("Nov 24 02:10:35 2025", "2025-11-24T02:10:35Z", ""),
        ("Nov 24 2025 02:10:35", "2025-11-24T02:10:35Z", ""),
        ("2025 Nov 24 02:10:35", "2025-11-24T02:10:35Z", ""),
        ("2026 Nov  4 02:10:35.123456", "2026-11-04T02:10:35.123456Z", ""),
        ("Mon Nov 24 02:10:35 2025", "2025-11-24T02:10:35Z", ""),
        ("11月 24 02:10:35", "2026-11-24T02:10:35Z", "year_inferred"),
        ("Nov 24 23:59:60", "2026-11-24T23:59:59.999999Z", "year_inferred clock_ahead"),
        ("2026-11-24T02:15:36Z", "2026-11-24T02:15:36Z", ""),
        ("2026-11-24T02:15:37Z", "2026-11-24T02:15:37Z", "clock_ahead"),
        ("Nov 24 02:10:35:", "2026-11-24T02:10:35Z", "year_inferred"),
        ("2026-11-24T02:10:35+0100", "2026-11-24T02:10:35+01:00", ""),
        ("2026-11-24 02:10:35", "2026-11-24T02:10:35Z", ""),
        ("2026-11-24 02:10:35,123", "2026-11-24T02:10:35.123Z", ""),
        ("2026-11-24T02:10:35.1234567899Z", "2026-11-24T02:10:35.123456Z", ""),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z", ""),
        ("2016-12-31T23:59:60.123Z", "2016-12-31T23:59:59.999999Z", ""),
        ("Nov 31 02:10:35", "-", "timestamp_missing"),
        ("Feb 29 02:10:35", "-", "timestamp_missing"),
        ("Nov 24 24:10:35", "-", "timestamp_missing"),
        ("2026-02-29T02:10:35Z", "-", "timestamp_missing"),
        ("2026-13-01T02:10:35Z", "-", "timestamp_missing"),
        // A Greek locale: kumina/postfix_exporter#76.
        ("Απρ 15 02:10:35", "-", "timestamp_missing"),
    ] {
        check(&with(stamp), &format!("mail.info {timestamp} mx1 a 1"), "x", flags);
        // What names no moment is kept as text.
        let text = with(stamp);
        let expected = (timestamp == "-").then_some(stamp);
        assert_eq!(parse_utc(&text).timestamp_text, expected, "{stamp}");
    }
    // Without any, as from senders that leave the time to the receiver.
    let flags = "timestamp_missing hostname_missing";
    check("<22>postfix/smtp[1]: x", "mail.info - - postfix/smtp 1", "x", flags);
    check("<13>root: hello: x", "user.notice - - root -", "hello: x", flags);
    check("<13>hello world: x", "user.notice - - - -", "hello world: x", flags);
    check("<189>123: *Nov 24 02:10:35: x", "local7.notice - - - -", "123: *Nov 24 02:10:35: x", flags);
    check("<22>1732414235 mx1 a: x", "mail.info - - - -", "1732414235 mx1 a: x", flags);
    // A plain text may begin with any word and a colon, but not with a process id.
    check("warning: x", "- - - - -", "warning: x", ALL_MISSING);
    check("postfix/smtp[1]: x", "- - - postfix/smtp 1", "x", ALL_MISSING);
}

#[test]
fn the_year_is_the_nearest() {
    for (stamp, received_at, zone, expected) in [
        ("Dec 31 23:59:59", "2026-01-01T00:00:01Z", "UTC", "2025-12-31T23:59:59Z"),
        ("Jan  1 00:00:01", "2025-12-31T23:59:59Z", "UTC", "2026-01-01T00:00:01Z"),
        ("Dec 31 23:59:59", "2025-12-31T23:59:59Z", "UTC", "2025-12-31T23:59:59Z"),
        // In Tokyo the year has begun, and the line is older or newer than that.
        ("Dec 31 23:59:59", "2025-12-31T15:00:01Z", "Asia/Tokyo", "2025-12-31T23:59:59+09:00"),
        ("Jan  1 00:00:00", "2025-12-31T15:00:01Z", "Asia/Tokyo", "2026-01-01T00:00:00+09:00"),
        ("Jan  1 00:00:00", "2025-12-31T14:59:58Z", "Asia/Tokyo", "2026-01-01T00:00:00+09:00"),
        // In Honolulu it has not.
        ("Dec 31 14:00:00", "2026-01-01T00:00:01Z", "Pacific/Honolulu", "2025-12-31T14:00:00-10:00"),
        ("Jul 10 12:00:00", "2026-01-05T00:00:00Z", "UTC", "2025-07-10T12:00:00Z"),
        ("Jul  1 12:00:00", "2026-01-05T00:00:00Z", "UTC", "2026-07-01T12:00:00Z"),
        // 29 February in the only year near by that has one; there may be none.
        ("Feb 29 12:00:00", "2028-02-29T12:00:00Z", "UTC", "2028-02-29T12:00:00Z"),
        ("Feb 29 12:00:00", "2025-01-05T00:00:00Z", "UTC", "2024-02-29T12:00:00Z"),
        ("Feb 29 12:00:00", "2027-12-31T00:00:00Z", "UTC", "2028-02-29T12:00:00Z"),
        ("Feb 29 12:00:00", "2026-03-01T00:00:00Z", "UTC", "-"),
    ] {
        check_time(&format!("<22>{stamp} mx1 a[1]: x"), received_at, zone, expected);
        // The tolerant reader agrees.
        check_time(&format!("<22>{stamp}  mx1 a[1]: x"), received_at, zone, expected);
    }
}

#[test]
fn times_without_zone_are_in_the_zone_of_the_source() {
    for (stamp, received_at, zone, expected) in [
        ("Nov 24 02:10:35", "2026-11-23T17:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35+09:00"),
        ("Nov 24 02:10:35", "2026-11-24T01:10:36Z", "Europe/Berlin", "2026-11-24T02:10:35+01:00"),
        ("Jul 24 02:10:35", "2026-07-24T00:10:36Z", "Europe/Berlin", "2026-07-24T02:10:35+02:00"),
        // 02:30 does not exist on this day, and exists twice on the other.
        ("Mar 29 02:30:00", "2026-03-29T01:30:00Z", "Europe/Berlin", "2026-03-29T03:30:00+02:00"),
        ("Oct 25 02:30:00", "2026-10-25T00:30:00Z", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        // Unless its writer says which one.
        ("Oct 25 02:30:00 CET", "2026-10-25T01:30:00Z", "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        ("Oct 25 02:30:00 CEST", "2026-10-25T01:30:00Z", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        // CST is China's to a source in China, and Chicago's elsewhere.
        ("Nov 24 02:10:35 CST", "2026-11-23T18:10:36Z", "Asia/Shanghai", "2026-11-24T02:10:35+08:00"),
        ("Nov 24 02:10:35 CST", "2026-11-24T08:10:36Z", "Europe/Berlin", "2026-11-24T02:10:35-06:00"),
        ("Nov 24 02:10:35 UTC", "2026-11-24T02:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35Z"),
        ("2026-11-24 02:10:35", "2026-11-23T17:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35+09:00"),
        ("2026-11-24T02:10:35Z", "2026-11-24T02:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35Z"),
        ("Nov 24 2026 02:10:35", "2026-11-23T17:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35+09:00"),
        ("Nov 24 02:10:35.25", "2026-11-23T17:10:36Z", "Asia/Tokyo", "2026-11-24T02:10:35.25+09:00"),
    ] {
        check_time(&format!("<22>{stamp} mx1 a[1]: x"), received_at, zone, expected);
    }
}

#[test]
fn hostnames() {
    let stamp = "<22>Nov 24 02:10:35";
    let at = "mail.info 2026-11-24T02:10:35Z";
    for host in [
        "mx1",
        "mx1.example.com",
        "192.0.2.1",
        "2001:db8::1",
        "2001:db8::",
        "fe80::1%eth0",
        "mail_1",
        "relay/mx1",
        "Übergröße",
        "CEST1",
    ] {
        check(
            &format!("{stamp} {host} postfix/smtp[1]: x"),
            &format!("{at} {host} postfix/smtp 1"),
            "x",
            "year_inferred",
        );
    }
    check(&format!("{stamp} [2001:db8::1] a[1]: x"), &format!("{at} 2001:db8::1 a 1"), "x", "year_inferred");
    for host in ["[internal]mx1", "mx1:514", "mx#1", "(mx1)", "mx1+2"] {
        let text = format!("{stamp} {host} postfix/smtp[1]: x");
        check(&text, &format!("{at} {host} postfix/smtp 1"), "x", "year_inferred");
    }
    check(&format!("{stamp}\tmx1\ta[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    // Cisco's colon.
    check(&format!("{stamp} mx1: a[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    check(&format!("{stamp} mx1: %SYS-5-CONFIG_I: x"), &format!("{at} mx1 %SYS-5-CONFIG_I -"), "x", "year_inferred");
    check(&format!("{stamp} 2001:db8::1: a: x"), &format!("{at} 2001:db8::1 a -"), "x", "year_inferred");
    // Two spaces, and no TAG.
    check(&format!("{stamp}  mx1  a[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    check(&format!("{stamp} mx1  {{\"a\": 1}}"), &format!("{at} mx1 - -"), " {\"a\": 1}", "year_inferred");
    check(&format!("{stamp} mx1 -- MARK --"), &format!("{at} mx1 - -"), "-- MARK --", "year_inferred");
    check(&format!("{stamp} mx1 : x"), &format!("{at} mx1 - -"), "x", "year_inferred");
    // None, as glibc's syslog(3) writes to /dev/log.
    let missing = "year_inferred hostname_missing";
    check(&format!("{stamp} postfix/smtp[1]: x"), &format!("{at} - postfix/smtp 1"), "x", missing);
    check(&format!("{stamp} root: x"), &format!("{at} - root -"), "x", missing);
    check(&format!("{stamp} dovecot: imap-login: x"), &format!("{at} - dovecot -"), "imap-login: x", missing);
    check(&format!("{stamp} kernel: smtpd[1]: segfault"), &format!("{at} - kernel -"), "smtpd[1]: segfault", missing);
    check(&format!("{stamp} - a[1]: x"), &format!("{at} - a 1"), "x", missing);
    check(&format!("{stamp} (none) a[1]: x"), &format!("{at} - a 1"), "x", missing);
    check(&format!("{stamp} a[1] b[2]: x"), &format!("{at} - a 1"), "b[2]: x", missing);
    check(&format!("{stamp} : x"), &format!("{at} - - -"), "x", missing);
    check(&format!("{stamp} {{\"a\": 1}}"), &format!("{at} - - -"), "{\"a\": 1}", missing);
    check(stamp, &format!("{at} - - -"), "", missing);
    check("<22>1 2026-11-24T02:10:35Z - a 1 - - x", &format!("{at} - a 1"), "x", "hostname_missing");
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

/// `RELAY APP-NAME TIMESTAMP` of `via`.
fn via(message: &Message<'_>) -> String {
    let Via { hostname, app_name, timestamp } = message.via.as_deref().copied().unwrap_or_default();
    let timestamp = shown(timestamp, 0);
    format!("{} {} {timestamp}", hostname.unwrap_or("-"), app_name.unwrap_or("-"))
}

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
        // What is no header of the format is none inside of PRI either.
        assert_eq!(message.inner(&context), None, "{format:?}: {text}");
    }
}

#[test]
fn tags() {
    let stamp = "<22>Nov 24 02:10:35 mx1";
    let at = "mail.info 2026-11-24T02:10:35Z mx1";
    let cut = "year_inferred tag_truncated";
    for (text, tag, msg, flags) in [
        ("postfix/submission/smtpd[12345]: x", "postfix/submission/smtpd 12345", "x", "year_inferred"),
        ("postfix/submission/smtpd[1234567 4101B87FB4: x", "postfix/submission/smtpd -", "4101B87FB4: x", cut),
        ("postfix/submission/smtpd[123456] x", "postfix/submission/smtpd 123456", "x", cut),
        (
            "postfix-out/content-filter/smtp- connect from a",
            "postfix-out/content-filter/smtp- -",
            "connect from a",
            cut,
        ),
        ("postfix-out/content-filter/smtp- 4101B87FB4: x", "postfix-out/content-filter/smtp- -", "4101B87FB4: x", cut),
        ("postfix/smtp[1]: 4101B87FB4: to=<a>", "postfix/smtp 1", "4101B87FB4: to=<a>", "year_inferred"),
        ("postfix/smtp: 4101B87FB4: to=<a>", "postfix/smtp -", "4101B87FB4: to=<a>", "year_inferred"),
        ("10.0.0.1/smtpd[1]: x", "10.0.0.1/smtpd 1", "x", "year_inferred"),
        // Other programs in the mail log.
        ("dovecot: imap-login: Login: user=<a>", "dovecot -", "imap-login: Login: user=<a>", "year_inferred"),
        ("rspamd[1]: <abc>; task; x", "rspamd 1", "<abc>; task; x", "year_inferred"),
        ("kernel: [ 1.23] x", "kernel -", "[ 1.23] x", "year_inferred"),
        ("opendkim[9]: 4101B87FB4: DKIM-Signature", "opendkim 9", "4101B87FB4: DKIM-Signature", "year_inferred"),
        ("amavis[7]: (00007-01) Passed CLEAN", "amavis 7", "(00007-01) Passed CLEAN", "year_inferred"),
        // No TAG.
        ("last message repeated 3 times", "- -", "last message repeated 3 times", "year_inferred repeated"),
        ("imuxsock lost 12 messages from pid 7", "- -", "imuxsock lost 12 messages from pid 7", "year_inferred"),
        ("apache_error [Tue Jun 08]", "- -", "apache_error [Tue Jun 08]", "year_inferred"),
    ] {
        check(&format!("{stamp} {text}"), &format!("{at} {tag}"), msg, flags);
    }
    let at = "mail.info 2026-11-24T02:10:35Z -";
    let missing = "year_inferred hostname_missing";
    let text = "last message repeated 3 times";
    check(&format!("<22>Nov 24 02:10:35 {text}"), &format!("{at} - -"), text, &format!("{missing} repeated"));
    check(
        "<22>Nov 24 02:10:35 postfix-out/content-filter/smtp- 4101B87FB4: x",
        &format!("{at} postfix-out/content-filter/smtp- -"),
        "4101B87FB4: x",
        "year_inferred hostname_missing tag_truncated",
    );
}

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

/// Text that a reader might go over again for every byte.
#[test]
fn time_is_linear() {
    let headers = [
        "",
        "<22>",
        "<22>Nov 24 02:10:35 ",
        "<22>Nov 24 02:10:35 mx1 ",
        "<22>Nov 24 02:10:35 mx1 a[1]: ",
        "<22>1 2026-11-24T02:10:35Z mx1 a 1 - ",
    ];
    let units = [
        " ",
        "[",
        "]",
        "\"",
        "\\",
        "<",
        ">",
        ":",
        "-",
        "1",
        "a",
        "\n",
        "\0",
        "\u{feff}",
        "é",
        "=\"",
        "[a b=\"]",
        "[i b\" a=\"]",
        "[a b=\"c\"]",
        "[a",
        " a=\"b\"",
        "\\\"",
        "Nov 24 02:10:35 ",
        "message repeated 1 times: [",
        "2001:db8:",
        "a[1]",
        "last message repeated ",
        "CET ",
        "INFO ",
        "mail.info\t",
        "[ID 1 mail.info] ",
        "2026 ",
        "AM ",
        "mail-1  | ",
        "a/[1]:1/",
        "a/:1/",
        "<mail.info>",
        "1-",
        "月",
    ];
    for header in headers {
        for unit in units {
            for start in ["", "[a b=\"c\"", "[i a=\"]"] {
                let text = format!("{header}{start}{}", unit.repeat(64 * 1024 / unit.len()));
                let started = Instant::now();
                let message = parse_utc(&text);
                let zone = TimeZone::UTC;
                let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone);
                let _ = message.inner(&context);
                let msg = message.msg;
                // Less than 5 ms without optimisation; seconds, if it took quadratic time.
                assert!(started.elapsed() < Duration::from_secs(1), "{header}{start}{unit}: {:?}", started.elapsed());
                assert!(text.ends_with(msg) || unit.ends_with(['\n', '\0']), "{header}{start}{unit}");
            }
        }
    }
}

/// Fragments that readers look for, so that random texts get past the first of them.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("<22>".to_owned()),
        Just("<mail.info>".to_owned()),
        Just("1 ".to_owned()),
        Just("Nov 24 02:10:35".to_owned()),
        Just("2026-11-24T02:10:35.5+01:00".to_owned()),
        Just("2026".to_owned()),
        Just(" mx1".to_owned()),
        Just(" mx1:".to_owned()),
        Just(" PM GMT+1".to_owned()),
        Just(" mail.6 ".to_owned()),
        Just(" postfix/smtpd 1 - - ".to_owned()),
        Just(" postfix/[::1]:25/smtpd[1]:".to_owned()),
        Just(" docker/a[1]: ".to_owned()),
        Just("2026-11-24T02:10:35.5Z ".to_owned()),
        Just(" INFO".to_owned()),
        Just("mail-1  | ".to_owned()),
        Just(" stdout F ".to_owned()),
        Just(" mail.info ".to_owned()),
        Just("\t(none) ".to_owned()),
        Just(" [ID 1 mail.info] ".to_owned()),
        Just(" postfix/smtp[1]:".to_owned()),
        Just(" postfix/submission/smtpd[1234567".to_owned()),
        Just("- ".to_owned()),
        Just("[a b=\"c\"]".to_owned()),
        Just("message repeated 2 times: [ x]".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\r\n".to_owned()),
        "[ \\-:\\[\\]<>\"=\\\\0-9]",
        ".{0,3}",
    ];
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

fn check_any(text: &str, zone_name: &str, received_at: i64) {
    let message = parse_at(text, received_at, &zone(zone_name));
    // MSG is the end of the text, but for a line end.
    let start = message.msg.as_ptr().addr() - text.as_ptr().addr();
    let rest = &text[start..];
    assert!(["", "\n", "\r\n", "\0"].contains(&&rest[message.msg.len()..]), "{text:?}: {message:?}");
    assert!(message.flags.contains(Flags::PRI_MISSING) || message.facility.is_some() && message.severity.is_some());
    assert_eq!(message.timestamp.is_none(), message.flags.contains(Flags::TIMESTAMP_MISSING));
    assert_eq!(message.hostname.is_none(), message.flags.contains(Flags::HOSTNAME_MISSING));
    let zone = zone(zone_name);
    let context = Context::new(Timestamp::from_micros(received_at * 1_000_000), &zone);
    if let Some(inner) = message.inner(&context) {
        assert!(message.msg.ends_with(inner.msg) || message.msg.ends_with(['\n', '\0']), "{text:?}: {inner:?}");
        assert!(inner.via.is_none_or(|via| *via != Via::default()), "{text:?}");
    }
    for part in [message.hostname, message.app_name, message.procid, message.msgid].into_iter().flatten() {
        assert!(!part.is_empty() && part != "-", "{text:?}: {message:?}");
    }
    if let Some(timestamp) = message.timestamp {
        assert!(timestamp.micros() < 1_000_000, "{text:?}: {message:?}");
        assert!((0..=9999).contains(&timestamp.civil(0).year()), "{text:?}: {message:?}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

fn or_nil(field: Option<&String>) -> &str {
    field.map_or("-", String::as_str)
}

proptest! {
    #[test]
    fn any_bytes_give_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..300), received_at in any::<i32>()) {
        check_any(&String::from_utf8_lossy(&bytes), "Europe/Berlin", received_at.into());
    }

    #[test]
    fn any_fragments_give_a_message(text in fragments(), received_at in any::<i32>()) {
        check_any(&text, "Asia/Tokyo", received_at.into());
    }

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

    #[test]
    fn both_readers_of_rfc3164_agree(
        day in 1_u8..32,
        hour in 0_u8..25,
        host in "[a-z][a-z0-9.-]{0,10}",
        name in "[a-z][a-z/]{0,20}",
        pid in 0_u32..100_000,
        msg in ".{0,20}",
    ) {
        let line = |space: &str| format!("<22>Oct {day:2} {hour:02}:30:00{space}{host} {name}[{pid}]: {msg}");
        let (well_formed, tolerant) = (line(" "), line("  "));
        let berlin = zone("Europe/Berlin");
        prop_assert_eq!(parse_at(&well_formed, RECEIVED_AT, &berlin), parse_at(&tolerant, RECEIVED_AT, &berlin));
    }
}

#[test]
fn no_clock_keeps_a_message_from_being_read() {
    let messages = [
        "<22>Nov 24 02:10:35 mx1 postfix/smtp[7]: hello",
        "<22>1 2026-11-24T02:10:35+09:00 mx1 postfix/smtp 7 - - hello",
        "<22>1 0000-01-01T00:00:00+14:00 mx1 postfix/smtp 7 - - hello",
        "<22>1 9999-12-31T23:59:59-12:00 mx1 postfix/smtp 7 - - hello",
        "<22>Feb 29 2026 02:10:35 mx1 postfix/smtp[7]: hello",
        "<22>Feb 29 02:10:35 mx1 postfix/smtp[7]: hello",
        "2026-11-24T02:10:35.5-09:00 mx1 postfix/smtp[7]: hello",
        "hello",
    ];
    // From the first moment to the last that `time::clock` gives.
    for seconds in [0, 1_732_414_235, 253_402_207_200] {
        let received_at = Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(received_at.to_string().len(), "0000-00-00T00:00:00.000000Z".len());
        for zone in ["UTC", "Asia/Tokyo", "America/Los_Angeles"] {
            let zone = jiff::tz::TimeZone::get(zone).unwrap();
            for text in messages {
                let message = parse(text, &Context::new(received_at, &zone));
                assert!(message.text().ends_with("hello"), "{text}");
                assert!(message.timestamp.is_none_or(|timestamp| timestamp.to_string().contains('T')), "{text}");
            }
        }
    }
}
