//! The header forms of nearly all traffic, read in one pass and without a library:
//!
//! ```text
//! Nov 24 02:10:35 mx1 postfix/smtp[123]: MSG                                 RFC 3164, and files
//! 2026-11-24T02:10:35.123456+00:00 mx1 postfix/smtp[123]: MSG                rsyslog's forward format, and its files
//! 1 2026-11-24T02:10:35.123456+00:00 mx1 postfix/smtp 123 - - MSG            RFC 5424 without structured data
//! ```
//!
//! Only unambiguous headers are read here. Anything unusual, such as a hostname that might be a zone, gives `None` and
//! is read the long way. For the headers read here, the long way gives the same result. A test compares the two.

use jiff::civil;

use super::stamp::{TimeOfDay, fraction};
use super::{Context, Message, Moment, Offset, moment, words};
use crate::byte_set::ByteSet;
use crate::flags::Flags;
use crate::time::Timestamp;

/// Maximum lengths of the fields (RFC 5424, section 6).
const MOST_HOSTNAME: usize = 255;
const MOST_APP_NAME: usize = 48;
const MOST_PROCID: usize = 128;
const MOST_MSGID: usize = 32;

/// `Nov 24 02:10:35`
const BSD_LENGTH: usize = 15;

/// Reads a header in the form of RFC 3164 with a hostname, and a TAG with a process id.
pub(super) fn rfc3164<'a>(text: &'a str, context: &Context<'_>) -> Option<Message<'a>> {
    let ((timestamp, offset), flags, rest) = match text.as_bytes().first()? {
        b'0'..=b'9' => rfc3339(text, context).map(|(moment, rest)| (moment, Flags::empty(), rest))?,
        _ => bsd(text, context).map(|(moment, rest)| (moment, Flags::YEAR_INFERRED, rest))?,
    };
    let (hostname, rest) = hostname(rest.strip_prefix(' ')?)?;
    let (app_name, rest) = name(rest.strip_prefix(' ')?, &APP_NAME)?;
    let rest = rest.strip_prefix('[')?;
    let (procid, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let msg = rest.strip_prefix("]: ").filter(|_| !procid.is_empty())?;
    Some(Message {
        timestamp: Some(timestamp),
        offset,
        hostname: Some(hostname),
        app_name: Some(app_name),
        procid: Some(procid),
        msg,
        flags,
        ..Message::default()
    })
}

/// Reads the text after VERSION in a header of RFC 5424 that has a time and no structured data.
pub(super) fn rfc5424<'a>(text: &'a str, context: &Context<'_>) -> Option<Message<'a>> {
    let ((timestamp, offset), rest) = rfc3339(text, context)?;
    let (hostname, rest) = field(rest.strip_prefix(' ')?, MOST_HOSTNAME)?;
    let (app_name, rest) = field(rest, MOST_APP_NAME)?;
    let (procid, rest) = field(rest, MOST_PROCID)?;
    // The process id may be in the brackets of a TAG.
    if procid.is_none() && app_name.is_some_and(|name| name.ends_with([']', ':'])) {
        return None;
    }
    let (msgid, rest) = field(rest, MOST_MSGID)?;
    let msg = rest.strip_prefix("- ")?;
    Some(Message { timestamp: Some(timestamp), offset, hostname, app_name, procid, msgid, msg, ..Message::default() })
}

/// Reads a time without a year. Adjacent messages often have the same time, so the last one is cached.
fn bsd<'t>(text: &'t str, context: &Context<'_>) -> Option<(Moment, &'t str)> {
    let (stamp, rest) = text.as_bytes().split_first_chunk::<BSD_LENGTH>()?;
    // A stamp that is not ASCII is rejected below.
    let rest = text.get(text.len() - rest.len()..)?;
    if let Some((recent, moment)) = context.recent.get()
        && recent == *stamp
    {
        return Some((moment, rest));
    }
    let &[m1, m2, m3, b' ', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2] = stamp else { return None };
    let day = if d1 == b' ' { pair(b'0', d2)? } else { pair(d1, d2)? };
    let time = time_of_day(pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?, 0)?;
    let month = month([m1, m2, m3])?;
    let in_year = |year| moment::in_zone(moment::date_and_time(year, month, day, time)?, time, context.zone);
    let (_, moment) = moment::nearest_year(context, in_year)?;
    context.recent.set(Some((*stamp, moment)));
    Some((moment, rest))
}

/// Reads `2026-11-24T02:10:35.123456+00:00`, with or without a fraction, and returns the text after it.
fn rfc3339<'t>(text: &'t str, context: &Context<'_>) -> Option<(Moment, &'t str)> {
    let (stamp, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let seconds = match context.recent_rfc3339.get() {
        Some((recent, seconds)) if recent == *stamp => seconds,
        _ => {
            let seconds = seconds(stamp)?;
            context.recent_rfc3339.set(Some((*stamp, seconds)));
            seconds
        }
    };
    let rest = text.get(text.len() - rest.len()..)?;
    let (micros, rest) = if rest.starts_with('.') { fraction(rest)? } else { (0, rest) };
    let (offset, rest) = offset(rest)?;
    let timestamp = Timestamp::new(seconds - i64::from(offset), micros)?;
    Some(((timestamp, Offset { seconds: offset, is_named: true }), rest))
}

/// Returns the seconds since 1970 at which clocks in UTC show `stamp`.
fn seconds(stamp: &[u8; 19]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = stamp else {
        return None;
    };
    // Leap seconds are too rare to be rounded here as well.
    let time = time_of_day(pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?, 0)?;
    let year = i16::from(pair(y1, y2)?) * 100 + i16::from(pair(y3, y4)?);
    let date = civil::Date::new(year, pair(m1, m2)?, pair(d1, d2)?).ok().filter(|_| year >= 1970)?;
    let (timestamp, _) = moment::at_offset(date.at(time.hour, time.minute, time.second, 0), time, 0)?;
    Some(timestamp.seconds())
}

/// Reads `Z` or `+01:00`, in seconds east of UTC.
fn offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let (&[sign, h1, h2, b':', m1, m2], rest) = text.as_bytes().split_first_chunk()? else { return None };
    let (hours, minutes) = (i32::from(pair(h1, h2)?), i32::from(pair(m1, m2)?));
    let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
    let rest = text.get(text.len() - rest.len()..)?;
    match sign {
        b'+' => Some((seconds, rest)),
        b'-' => Some((-seconds, rest)),
        _ => None,
    }
}

/// Returns a time of day; leap seconds are left to the long way, which rounds them.
fn time_of_day(hour: i8, minute: i8, second: i8, micros: u32) -> Option<TimeOfDay> {
    (hour < 24 && minute < 60 && second < 60).then_some(TimeOfDay { hour, minute, second, micros })
}

fn pair(tens: u8, ones: u8) -> Option<i8> {
    let digit = |b: u8| b.is_ascii_digit().then(|| (b - b'0').cast_signed());
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn month(name: [u8; 3]) -> Option<i8> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// Reads a hostname that is not a year (`2026`), a zone (`CET`), or a severity (`INFO`, `mail.info`).
fn hostname(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = name(text, &HOSTNAME)?;
    let short = name.len() <= 4 && name.as_bytes().first().is_some_and(|b| !b.is_ascii_lowercase());
    let doubtful = short && (name.bytes().all(|b| b.is_ascii_digit()) || name.bytes().all(|b| b.is_ascii_uppercase()))
        || words::is_surely_severity(name);
    (!doubtful && name.len() <= MOST_HOSTNAME).then_some((name, rest))
}

/// Bytes of a hostname.
const HOSTNAME: ByteSet = ByteSet::alphanumeric_and(b"-._");
/// Bytes of the name in a TAG.
const APP_NAME: ByteSet = ByteSet::alphanumeric_and(b"-._/");

/// Reads bytes in `taken`, the first of which must be a letter or a digit, and returns the text after them.
fn name<'t>(text: &'t str, taken: &ByteSet) -> Option<(&'t str, &'t str)> {
    let end = text.bytes().take_while(|b| taken.has(*b)).count();
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    begins.then(|| text.split_at(end))
}

/// Reads a field of at most `most` printable characters, which is `None` for NILVALUE, and returns the text after the
/// SP behind it.
fn field(text: &str, most: usize) -> Option<(Option<&str>, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_graphic).count();
    let (field, rest) = text.split_at(end);
    let rest = rest.strip_prefix(' ').filter(|_| (1..=most).contains(&end))?;
    Some((Some(field).filter(|field| *field != "-"), rest))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::super::{priority, rfc3164, rfc5424};
    use super::*;

    /// 2026-11-24T02:10:36Z.
    const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_795_486_236_000_000);

    /// True if `text`, with or without PRI, is read directly; checks that the long way gives the same result.
    fn compared(text: &str, zone: &TimeZone) -> bool {
        let context = Context::new(RECEIVED_AT, zone);
        let (priority, text) = priority::read(text);
        let header = text.strip_prefix("1 ");
        let read = || match header {
            Some(header) => super::rfc5424(header, &context),
            None => super::rfc3164(text, &context),
        };
        let direct = read();
        if direct.is_some() {
            let slow = match header {
                Some(header) => rfc5424::the_long_way(text, header, true, &context),
                None => rfc3164::the_long_way(text, priority.is_some(), &context),
            };
            assert_eq!(direct, slow, "{text:?}");
            // The second time of the same stamp.
            assert_eq!(read(), direct, "{text:?}");
        }
        direct.is_some()
    }

    #[test]
    fn what_is_usual_is_read_directly() {
        for usual in [
            "<22>Nov 24 02:10:35 mx1 postfix/smtp[12345]: 4jYR9Q2wTjz18T: removed",
            "Nov  4 02:10:35 mx1.example.com postfix/submission/smtpd[1]: x",
            "Nov 04 02:10:35 192.0.2.1 postfix/qmgr[1]: x",
            "<22>2026-11-24T02:10:35.123456+00:00 mx1 postfix/smtp[12345]: x",
            "2026-11-24T02:10:35Z mx1 postfix/smtp[12345]: ",
            "<22>1 2026-11-24T02:10:35.123456-03:30 mx1 postfix/smtp 12345 - - x",
            "<22>1 2026-11-24T02:10:35Z - - - - - x",
            "<22>1 2026-11-24T02:10:35Z mx1 postfix - ID47 -  x",
        ] {
            assert!(compared(usual, &TimeZone::UTC), "{usual}");
        }
    }

    #[test]
    fn every_line_of_the_corpus_is_read_alike() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let (mut lines, mut direct) = (0, 0);
        for directory in ["postfix", "syslog"] {
            for file in fs::read_dir(corpus.join(directory)).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    let text = fs::read(path).unwrap();
                    for line in String::from_utf8_lossy(&text).lines() {
                        lines += 1;
                        direct += u32::from(compared(line, &TimeZone::UTC));
                        compared(line, &berlin);
                    }
                }
            }
        }
        assert!(lines > 1000 && direct * 10 > lines * 7, "{direct} of {lines}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn nearly_usual_lines_are_read_alike(
            pri in "(<22>)?",
            time in "(Jan|Feb|Nov|Dec|nov|Foo) ?[0-3 ][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9](|[.][0-9]{1,10})\
                |(19|20|0)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](|[.,][0-9]{1,10})(|Z|z|[+-][0-2][0-9]:?[0-6][0-9])",
            host in "mx1|mx-1[.]example|[A-Z]{1,5}|[0-9]{1,5}|[0-9]{1,3}([.][0-9]{1,3}){3}|-|[:._/a-zü-]{1,6}|[a-z/]{32}",
            tag in "postfix/smtp|postfix/a/smtpd|-|[a-z./_:\\[ -]{1,4}|[a-z/]{27}",
            procid in "(\\[[0-9]{1,9}\\]|\\[[0-9a-z-]{0,3}\\]|)",
            end in "(: |:|  | )",
            msg in "(x|[a-z: -]{0,4}|\\[a b=\"c\"\\] x)",
            gap in " |  ",
        ) {
            compared(&format!("{pri}{time}{gap}{host} {tag}{procid}{end}{msg}"), &TimeZone::UTC);
            let procid = procid.trim_matches(['[', ']']);
            compared(&format!("<22>1 {time}{gap}{host} {tag} {procid} - -{end}{msg}"), &TimeZone::UTC);
            compared(&format!("<22>1 {time} {host} {tag} {procid}{gap}ID - {msg}"), &TimeZone::UTC);
        }
    }
}
