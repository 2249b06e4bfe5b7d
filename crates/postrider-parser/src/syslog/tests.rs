//! Whole messages. The tests stand in files of one subject each, and what they have in common is here.

mod any_text;
mod containers;
mod header;
mod inner;
mod names;
mod readers;
mod rfc5424;
mod times;

use jiff::tz::TimeZone;

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

/// `RELAY APP-NAME TIMESTAMP` of `via`.
fn via(message: &Message<'_>) -> String {
    let Via { hostname, app_name, timestamp } = message.via.as_deref().copied().unwrap_or_default();
    let timestamp = shown(timestamp, 0);
    format!("{} {} {timestamp}", hostname.unwrap_or("-"), app_name.unwrap_or("-"))
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
