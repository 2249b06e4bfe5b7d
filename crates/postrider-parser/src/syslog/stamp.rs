//! The time in a header as its writer spelled it, read without knowledge of zones and of the current year.

use crate::decimal;

/// A time as spelled: `Nov 24 02:10:35`, `2026-11-24T02:10:35.123456+01:00` and similar forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp<'a> {
    /// `None` for the form of RFC 3164.
    pub(super) year: Option<i16>,
    /// `None` for a month name that is neither English nor a number.
    pub(super) month: Option<i8>,
    /// Day, not yet checked against the month.
    pub(super) day: i8,
    /// `None` for a time that no clock shows, such as 25:00:00.
    pub(super) time: Option<TimeOfDay>,
    /// Zone of the clock that gave the time.
    pub(super) zone: Zone<'a>,
}

/// A time of day that a clock can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeOfDay {
    pub(super) hour: i8,
    pub(super) minute: i8,
    /// Below 60: a leap second becomes the last microsecond of second 59, see [`TimeOfDay::new`].
    pub(super) second: i8,
    pub(super) micros: u32,
}

/// Zone that a stamp names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone<'a> {
    /// None: the zone of the source applies.
    Unsaid,
    /// Seconds east of UTC.
    Offset(i32),
    /// A name from [`ZONES`].
    Name(&'a str),
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Names that are read as zones, with their minutes east of UTC. Any other word may be a hostname.
///
/// The American ones are those of RFC 5322, section 4.3. Where a name has several meanings (CST, IST), the source's own
/// zone decides before this table does.
const ZONES: [(&str, i32); 46] = [
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("MET", 60),
    ("CEST", 120),
    ("MEST", 120),
    ("SAST", 120),
    ("IDT", 180),
    ("TRT", 180),
    ("PKT", 300),
    ("ICT", 420),
    ("WIB", 420),
    ("PHT", 480),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("IST", 330),
    ("HKT", 480),
    ("SGT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("AEST", 600),
    ("ACDT", 630),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("BRT", -180),
    ("NDT", -150),
    ("NST", -210),
    ("AKDT", -480),
    ("AKST", -540),
    ("HST", -600),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
];

impl TimeOfDay {
    /// Returns a time of day if the hours are below 24, the minutes below 60 and the seconds at most 60.
    ///
    /// A leap second, `:60`, becomes the last microsecond of second 59. It then stays within its minute, and is not
    /// earlier than anything logged in second 59.
    pub(super) fn new(hour: u32, minute: u32, second: u32, micros: u32) -> Option<Self> {
        let (second, micros) = if second == 60 { (59, LAST_MICROS) } else { (second, micros) };
        let below = |value: u32, limit: i8| i8::try_from(value).ok().filter(|&value| value < limit);
        Some(Self { hour: below(hour, 24)?, minute: below(minute, 60)?, second: below(second, 60)?, micros })
    }

    /// Returns the time in the half of the day that `word` names, if the word is AM or PM and the hour is on a 12-hour
    /// clock.
    fn in_half(self, word: &str) -> Option<Self> {
        let hour = match (word, self.hour) {
            ("AM", 12) => 0,
            ("AM", 0..12) | ("PM", 12) => self.hour,
            ("PM", 1..12) => self.hour + 12,
            _ => return None,
        };
        Some(Self { hour, ..self })
    }
}

/// The last microsecond of a second.
pub(super) const LAST_MICROS: u32 = 999_999;

/// Reads the stamp in front of `text`, with or without a weekday before it, and returns the text after it. That text is
/// empty, or begins with a space or tab.
///
/// Returns `None` if there is no stamp. A stamp that denotes no moment (31 November, 25:00:00, `Απρ 15`) is still a
/// stamp.
pub(super) fn read(text: &str) -> Option<(Stamp<'_>, &str)> {
    // Cisco marks a clock that is not set, or not synchronised.
    let text = text.strip_prefix(['*', '.']).unwrap_or(text);
    let text = first_word(text).filter(|(word, _)| WEEKDAYS.contains(word)).map_or(text, |(_, rest)| rest);
    let (mut stamp, rest) = iso_8601(text).or_else(|| bsd(text))?;
    let rest = year_and_zone(rest, &mut stamp);
    // Cisco ends its stamps with a colon.
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((stamp, rest))
}

/// True if `word`, after a stamp, would be read as the stamp's year, zone, or half of the day.
pub(super) fn is_year_or_zone(word: &str) -> bool {
    year(word).is_some() || zone(word).is_some() || matches!(word, "AM" | "PM")
}

/// Reads RFC 3339 and looser forms of ISO 8601: SP for `T`, a comma in the fraction, `+0100`, `+01`, no offset at all.
fn iso_8601(text: &str) -> Option<(Stamp<'_>, &str)> {
    let (year, rest) = number(text, 4, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2, 2)?;
    let (time, rest) = time_of_day(rest.strip_prefix(['T', 't', ' '])?)?;
    let (zone, rest) = offset(rest).map_or((Zone::Unsaid, rest), |(seconds, rest)| (Zone::Offset(seconds), rest));
    let stamp = Stamp {
        year: i16::try_from(year).ok(),
        month: i8::try_from(month).ok(),
        day: i8::try_from(day).ok()?,
        time,
        zone,
    };
    Some((stamp, rest))
}

/// Reads `Nov 24 02:10:35` (RFC 3164, section 4.1.2). A short day may have one space, or the zero of Postfix's
/// `maillog_file`. The time may have a fraction, and a year may stand before the month or before the time.
fn bsd(text: &str) -> Option<(Stamp<'_>, &str)> {
    let (word, rest) = first_word(text)?;
    let first = year(word);
    let (word, rest) = if first.is_some() { first_word(rest)? } else { (word, rest) };
    let month = month(word)?;
    let (day, rest) = number(rest, 1, 2)?;
    let rest = rest.strip_prefix(' ')?.trim_start_matches(' ');
    let with_year = first_word(rest).and_then(|(word, rest)| Some((Some(year(word)?), rest)));
    let (year, rest) = with_year.filter(|_| first.is_none()).unwrap_or((first, rest));
    let (time, rest) = time_of_day(rest)?;
    Some((Stamp { year, month, day: i8::try_from(day).ok()?, time, zone: Zone::Unsaid }, rest))
}

/// Returns the word up to the next SP, and the text after the spaces.
fn first_word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ')?;
    Some((word, rest.trim_start_matches(' ')))
}

/// Returns the month that `word` names. `Some(None)` is a month in an unknown language: `Απρ`, `déc.`
///
/// C libraries write `11月` in Japanese and Chinese locales, which is as good as a number.
#[expect(clippy::option_option, reason = "no month, and a month without number, are different things")]
fn month(word: &str) -> Option<Option<i8>> {
    if let Some(index) = MONTHS.iter().position(|month| word.eq_ignore_ascii_case(month)) {
        return Some(i8::try_from(index + 1).ok());
    }
    if let Some(number) = word.strip_suffix('月') {
        return number.parse().ok().map(Some);
    }
    let word = word.strip_suffix('.').unwrap_or(word);
    (!word.is_empty() && word.chars().all(char::is_alphabetic)).then_some(None)
}

/// Reads `hh:mm:ss` with an optional fraction. The inner `None` is a time that no clock shows.
fn time_of_day(text: &str) -> Option<(Option<TimeOfDay>, &str)> {
    let (hour, rest) = number(text, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
    let (micros, rest) = fraction(rest).unwrap_or((0, rest));
    Some((TimeOfDay::new(hour, minute, second, micros), rest))
}

/// Reads the fraction of a second, in microseconds; the seventh digit and all further ones are ignored.
pub(super) fn fraction(text: &str) -> Option<(u32, &str)> {
    let text = text.strip_prefix(['.', ','])?;
    let (value, digits) = decimal::leading(text.as_bytes(), 6);
    let rest = text[digits..].trim_start_matches(|c: char| c.is_ascii_digit());
    (digits > 0).then(|| (value * 10_u32.pow(6 - digits as u32), rest))
}

/// Reads the words after the time, in any order, as date(1) and routers write them: AM or PM, a year, and a zone.
fn year_and_zone<'a>(mut text: &'a str, stamp: &mut Stamp<'a>) -> &'a str {
    for _ in 0..3 {
        let Some(after) = text.strip_prefix(' ') else { break };
        let end = after.find([' ', '\t']).unwrap_or(after.len());
        let word = after[..end].strip_suffix(':').unwrap_or(&after[..end]);
        if let (None, Some(year)) = (stamp.year, year(word)) {
            stamp.year = Some(year);
        } else if let (Zone::Unsaid, Some(zone)) = (stamp.zone, zone(word)) {
            stamp.zone = zone;
        } else if let Some(time) = stamp.time.and_then(|time| time.in_half(word)) {
            stamp.time = Some(time);
        } else {
            break;
        }
        text = &after[word.len()..];
    }
    text
}

/// Reads a year in which syslog may have been written; other numbers of four digits may be hostnames.
fn year(word: &str) -> Option<i16> {
    let (year, rest) = number(word, 4, 4)?;
    (rest.is_empty() && (1970..2200).contains(&year)).then_some(year).and_then(|year| i16::try_from(year).ok())
}

/// Reads a zone that stands alone, with or without parentheses: a name, or an offset with its sign, which may have
/// `GMT` or `UTC` in front.
fn zone(word: &str) -> Option<Zone<'_>> {
    let word = word.strip_prefix('(').and_then(|word| word.strip_suffix(')')).unwrap_or(word);
    if offset_of_name(word).is_some() {
        return Some(Zone::Name(word));
    }
    let from_utc = word.strip_prefix("GMT").or_else(|| word.strip_prefix("UTC"));
    let signed = from_utc.unwrap_or(word);
    if !signed.starts_with(['+', '-']) {
        return None;
    }
    if let Some((hours, "")) = from_utc.and_then(|_| number(&signed[1..], 1, 1)) {
        let seconds = i32::try_from(hours * 3600).ok()?;
        return Some(Zone::Offset(if signed.starts_with('-') { -seconds } else { seconds }));
    }
    let (seconds, rest) = offset(signed)?;
    rest.is_empty().then_some(Zone::Offset(seconds))
}

/// Returns the offset of a name in [`ZONES`], in seconds east of UTC.
pub(super) fn offset_of_name(name: &str) -> Option<i32> {
    ZONES.iter().find(|(known, _)| *known == name).map(|(_, minutes)| minutes * 60)
}

/// Reads `Z`, `+01:00`, `+0100` or `+01`, in seconds east of UTC.
fn offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((0, rest));
    }
    let unsigned = text.strip_prefix(['+', '-'])?;
    let (hours, rest) = number(unsigned, 2, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(':').unwrap_or(rest), 2, 2).unwrap_or((0, rest));
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (hours < 24 && minutes < 60).then_some((if text.starts_with('-') { -seconds } else { seconds }, rest))
}

/// Reads a number of `least` to `most` digits, at most nine.
fn number(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let (value, digits) = decimal::leading(text.as_bytes(), most);
    (digits >= least).then(|| (value, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `year-month-day hour:minute:second.micros zone|rest`, with `?` for what is not known.
    fn show(text: &str) -> String {
        let Some((stamp, rest)) = read(text) else { return "none".to_owned() };
        let known = |value: Option<i32>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
        let time = stamp.time.map_or_else(
            || "?".to_owned(),
            |time| format!("{}:{}:{}.{}", time.hour, time.minute, time.second, time.micros),
        );
        let zone = match stamp.zone {
            Zone::Unsaid => "unsaid".to_owned(),
            Zone::Offset(seconds) => seconds.to_string(),
            Zone::Name(name) => name.to_owned(),
        };
        let (year, month) = (known(stamp.year.map(Into::into)), known(stamp.month.map(Into::into)));
        format!("{year}-{month}-{} {time} {zone}|{rest}", stamp.day)
    }

    #[test]
    fn reads_what_the_wild_writes() {
        for (text, expected) in [
            ("Nov 24 02:10:35 mx1", "?-11-24 2:10:35.0 unsaid| mx1"),
            ("Nov  4 02:10:35 mx1", "?-11-4 2:10:35.0 unsaid| mx1"),
            ("Nov 4 02:10:35", "?-11-4 2:10:35.0 unsaid|"),
            ("Nov 04 2:10:35 mx1", "?-11-4 2:10:35.0 unsaid| mx1"),
            ("nOV 24 02:10:35 mx1", "?-11-24 2:10:35.0 unsaid| mx1"),
            ("Nov 24 02:10:35.123456 mx1", "?-11-24 2:10:35.123456 unsaid| mx1"),
            ("Nov 24 02:10:35,5 mx1", "?-11-24 2:10:35.500000 unsaid| mx1"),
            ("Nov 24 02:10:35.1234567891 mx1", "?-11-24 2:10:35.123456 unsaid| mx1"),
            ("Nov 24 02:10:35: mx1", "?-11-24 2:10:35.0 unsaid| mx1"),
            ("Nov 24 02:10:35 CET mx1", "?-11-24 2:10:35.0 CET| mx1"),
            ("Nov 24 02:10:35 +0100 mx1", "?-11-24 2:10:35.0 3600| mx1"),
            ("Nov 24 02:10:35 (UTC) mx1", "?-11-24 2:10:35.0 UTC| mx1"),
            ("Nov 24 02:10:35 MET mx1", "?-11-24 2:10:35.0 MET| mx1"),
            ("Nov 24 02:10:35 BRT mx1", "?-11-24 2:10:35.0 BRT| mx1"),
            ("Nov 24 02:10:35 GMT+1 mx1", "?-11-24 2:10:35.0 3600| mx1"),
            ("Nov 24 02:10:35 GMT-3 mx1", "?-11-24 2:10:35.0 -10800| mx1"),
            ("Nov 24 02:10:35 UTC+05:30 mx1", "?-11-24 2:10:35.0 19800| mx1"),
            ("Nov 24 02:10:35 GMT+x mx1", "?-11-24 2:10:35.0 unsaid| GMT+x mx1"),
            ("Nov 24 02:10:35 AM mx1", "?-11-24 2:10:35.0 unsaid| mx1"),
            ("Nov 24 02:10:35 PM mx1", "?-11-24 14:10:35.0 unsaid| mx1"),
            ("Nov 24 12:10:35 AM 2026 CET mx1", "2026-11-24 0:10:35.0 CET| mx1"),
            ("Nov 24 12:10:35 PM mx1", "?-11-24 12:10:35.0 unsaid| mx1"),
            ("Nov 24 14:10:35 PM mx1", "?-11-24 14:10:35.0 unsaid| PM mx1"),
            ("Nov 24 02:10:35 am mx1", "?-11-24 2:10:35.0 unsaid| am mx1"),
            ("Nov 24 02:10:35 2026 mx1", "2026-11-24 2:10:35.0 unsaid| mx1"),
            ("Nov 24 02:10:35 CET 2026 mx1", "2026-11-24 2:10:35.0 CET| mx1"),
            ("Nov 24 02:10:35 2026 CET mx1", "2026-11-24 2:10:35.0 CET| mx1"),
            ("2026 Nov 24 02:10:35 mx1", "2026-11-24 2:10:35.0 unsaid| mx1"),
            ("2026 Nov  4 02:10:35.5 CET\tmx1", "2026-11-4 2:10:35.500000 CET|\tmx1"),
            ("Nov 24 2026 02:10:35 mx1", "2026-11-24 2:10:35.0 unsaid| mx1"),
            ("Tue Nov 24 02:10:35 2026 mx1", "2026-11-24 2:10:35.0 unsaid| mx1"),
            ("*Nov 24 02:10:35.123 UTC: %SYS", "?-11-24 2:10:35.123000 UTC| %SYS"),
            ("Nov 24 02:10:35 MX1 x", "?-11-24 2:10:35.0 unsaid| MX1 x"),
            ("Nov 24 02:10:35 4711 x", "?-11-24 2:10:35.0 unsaid| 4711 x"),
            ("Nov 31 02:10:35 mx1", "?-11-31 2:10:35.0 unsaid| mx1"),
            ("Nov 24 25:10:35 mx1", "?-11-24 ? unsaid| mx1"),
            ("Nov 24 23:59:60 mx1", "?-11-24 23:59:59.999999 unsaid| mx1"),
            ("Nov 24 23:59:60.25 mx1", "?-11-24 23:59:59.999999 unsaid| mx1"),
            ("Nov 24 23:59:61 mx1", "?-11-24 ? unsaid| mx1"),
            ("Απρ 15 02:10:35 mx1", "?-?-15 2:10:35.0 unsaid| mx1"),
            ("déc. 15 02:10:35 mx1", "?-?-15 2:10:35.0 unsaid| mx1"),
            ("11月 24 02:10:35 mx1", "?-11-24 2:10:35.0 unsaid| mx1"),
            ("2026-11-24T02:10:35.123456+00:00 mx1", "2026-11-24 2:10:35.123456 0| mx1"),
            ("2026-11-24T02:10:35Z mx1", "2026-11-24 2:10:35.0 0| mx1"),
            ("2026-11-24t02:10:35z mx1", "2026-11-24 2:10:35.0 0| mx1"),
            ("2026-11-24T02:10:35+0100 mx1", "2026-11-24 2:10:35.0 3600| mx1"),
            ("2026-11-24T02:10:35-03:30 mx1", "2026-11-24 2:10:35.0 -12600| mx1"),
            ("2026-11-24T02:10:35+01 mx1", "2026-11-24 2:10:35.0 3600| mx1"),
            ("2026-11-24 02:10:35 mx1", "2026-11-24 2:10:35.0 unsaid| mx1"),
            ("2026-11-24 02:10:35,123 +01:00 mx1", "2026-11-24 2:10:35.123000 3600| mx1"),
            ("2026-11-24 02:10:35 UTC mx1", "2026-11-24 2:10:35.0 UTC| mx1"),
            ("Tue 2026-11-24 02:10:35 CET mx1", "2026-11-24 2:10:35.0 CET| mx1"),
            ("2026-13-24T02:10:35Z mx1", "2026-13-24 2:10:35.0 0| mx1"),
            ("2016-12-31T23:59:60.5Z", "2016-12-31 23:59:59.999999 0|"),
        ] {
            assert_eq!(show(text), expected, "{text:?}");
        }
    }

    #[test]
    fn leaves_other_texts_alone() {
        for text in [
            "",
            " ",
            "Nov",
            "Nov 24",
            "Nov 24 02:10",
            "Nov 24 02:10:35x",
            "Nov 124 02:10:35",
            "Nov24 02:10:35",
            "24 Nov 02:10:35",
            "2026 Nov 24 2026 02:10:35",
            "2026 24 02:10:35",
            "foo[1]: 15 02:10:35",
            "2026-11-24",
            "2026-11-24T02:10",
            "2026-11-24T02:10:35Zx",
            "2026-11-24T02:10:35+1x",
            "月 1 02:10:35",
            "1732414235 x",
            "-",
            "- x",
            "* 24 02:10:35",
            "Nov 24 ٠٢:10:35",
        ] {
            assert_eq!(show(text), "none", "{text:?}");
        }
    }
}
