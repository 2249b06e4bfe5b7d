//! Times: stamps of every kind, the year and the zone.

use super::*;

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
        // A time that names no moment is kept as text.
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
