//! Highest rates and counts since the last report (`src/anvil/anvil.c`).
//!
//! ```text
//! statistics: max KIND rate N/Ns for (SERVICE:ADDR) at Mmm dd HH:MM:SS          also N/Nm, N/Nh, N/Nd
//! statistics: max connection count N for (SERVICE:ADDR) at Mmm dd HH:MM:SS
//! statistics: max cache size N at Mmm dd HH:MM:SS
//! ```
//!
//! # Limits
//!
//! SERVICE may be `ADDR:PORT`, and either ADDR may be IPv6 without brackets. The client is the longest end that is an
//! address, unless this leaves an address without a port as the service, which master.cf does not have. If a line is
//! cut in ADDR, the client is left out: half an address may be the address of another client.

use std::net::IpAddr;

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::decimal;
use crate::record::{Event, Statistics};

/// Words for rates and counts, and their names in the record. Postfix 3.12 added `tlstrace`.
const KINDS: &[(&str, &str)] = &[
    ("connection rate ", "connection_rate"),
    ("connection count ", "connection_count"),
    ("message rate ", "message_rate"),
    ("recipient rate ", "recipient_rate"),
    ("newtls rate ", "newtls_rate"),
    ("auth rate ", "auth_rate"),
    ("tlstrace rate ", "tlstrace_rate"),
    ("cache size ", "cache_size"),
];

/// Reader of the lines of anvil.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("anvil", &[("statistics: max ", "")])]],
    verbose: Verbose { shapes: &[], functions: &["anvil"] },
    ..Reader::new(Of(&["anvil"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let text = line.text.strip_prefix("statistics: max ")?;
    let (kind, rest) = KINDS.iter().find_map(|(words, kind)| text.strip_prefix(words).map(|rest| (*kind, rest)))?;
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (value, period) = number.split_once('/').map_or((number, None), |(value, period)| (value, Some(period)));
    let (limited_service, ip, rest) = split_client(rest);
    Some(Event::Statistics(Statistics {
        kind,
        value: decimal::whole(value),
        period: period.and_then(seconds),
        limited_service,
        ip,
        at: rest.strip_prefix("at ").filter(|at| !at.is_empty()),
    }))
}

/// Returns a period in seconds: `60s`, or a number with another time unit of Postfix's configuration.
fn seconds(text: &str) -> Option<u64> {
    const UNITS: [(u8, u64); 5] = [(b's', 1), (b'm', 60), (b'h', 3600), (b'd', 86_400), (b'w', 604_800)];
    let (_, seconds) = UNITS.iter().find(|(unit, _)| text.as_bytes().last() == Some(unit))?;
    decimal::whole(&text[..text.len() - 1]).map(|count| count.saturating_mul(*seconds))
}

/// Splits `for (SERVICE:ADDR) ` off a text, if the text begins with it. Returns the service, the client and what
/// follows.
fn split_client(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let Some(rest) = text.strip_prefix("for (") else { return (None, None, text) };
    let closed = || rest.strip_suffix(')').map(|client| (client, ""));
    let (client, rest, is_cut) = match rest.split_once(") ").or_else(closed) {
        Some((client, rest)) => (client, rest, false),
        None => (rest, "", true),
    };
    // No address with its prefix length is longer than 64 bytes, so only the end of a longer text is searched.
    let from = client.len().saturating_sub(64);
    let splits = || memchr::memchr_iter(b':', &client.as_bytes()[from..]).map(|at| client.split_at(from + at));
    let found = |fits: fn(&str) -> bool| {
        splits().map(|(service, ip)| (service, &ip[1..])).find(|(service, ip)| fits(service) && is_client(ip))
    };
    let (service, ip) = found(|service| !is_host(service))
        .or_else(|| found(|_| true))
        .unwrap_or_else(|| client.rsplit_once(':').unwrap_or((client, "")));
    let ip = Some(ip).filter(|ip| !is_cut && *ip != "unknown" && is_client(ip));
    (Some(service).filter(|service| !service.is_empty()), ip, rest)
}

/// True if a text is an address, with a prefix length since Postfix 3.8, or `unknown`.
fn is_client(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    text == "unknown" || endpoint::is_ip(address) && decimal::whole(length).is_some_and(|length| length <= 128)
}

/// True if a text is an address alone.
fn is_host(text: &str) -> bool {
    text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Event<'_>> {
        super::read(&Line { level: None, has_queue_id: false, text })
    }

    #[test]
    fn rates_and_counts() {
        let at = Some("Nov 24 02:10:35");
        #[rustfmt::skip]
        let vectors = [
            ("connection rate 1/60s for (smtp:192.0.2.1)", "connection_rate", 1, Some(60), Some("smtp"), Some("192.0.2.1")),
            ("message rate 3/60s for (smtp:192.0.2.1)", "message_rate", 3, Some(60), Some("smtp"), Some("192.0.2.1")),
            ("recipient rate 40/60s for (submission:2001:db8::1)", "recipient_rate", 40, Some(60), Some("submission"), Some("2001:db8::1")),
            ("newtls rate 2/30s for (smtp:::1)", "newtls_rate", 2, Some(30), Some("smtp"), Some("::1")),
            ("auth rate 7/60s for (smtps:unknown)", "auth_rate", 7, Some(60), Some("smtps"), None),
            ("tlstrace rate 1/60s for (smtp:2001:db8:1::/56)", "tlstrace_rate", 1, Some(60), Some("smtp"), Some("2001:db8:1::/56")),
            ("connection count 1 for (127.0.0.1:10025:192.0.2.1)", "connection_count", 1, None, Some("127.0.0.1:10025"), Some("192.0.2.1")),
            ("connection count 1 for ([::1]:10025:192.0.2.0/24)", "connection_count", 1, None, Some("[::1]:10025"), Some("192.0.2.0/24")),
            ("connection count 1 for ([2001:db8::2]:smtp:2001:db8::1)", "connection_count", 1, None, Some("[2001:db8::2]:smtp"), Some("2001:db8::1")),
            ("connection count 1 for (127.0.0.1:25:2001:db8::1)", "connection_count", 1, None, Some("127.0.0.1:25"), Some("2001:db8::1")),
            ("connection count 1 for (smtp:::ffff:192.0.2.1)", "connection_count", 1, None, Some("smtp"), Some("::ffff:192.0.2.1")),
            ("connection count 1 for (smtp:fe80::1%eth0)", "connection_count", 1, None, Some("smtp"), Some("fe80::1%eth0")),
            ("connection rate 3/1m for (smtp:192.0.2.1)", "connection_rate", 3, Some(60), Some("smtp"), Some("192.0.2.1")),
            ("message rate 3/2h for (smtp:2001:db8::1)", "message_rate", 3, Some(7200), Some("smtp"), Some("2001:db8::1")),
            ("recipient rate 3/1d for (smtp:192.0.2.1)", "recipient_rate", 3, Some(86_400), Some("smtp"), Some("192.0.2.1")),
            ("auth rate 3/1w for (smtp:192.0.2.1)", "auth_rate", 3, Some(604_800), Some("smtp"), Some("192.0.2.1")),
            ("cache size 12", "cache_size", 12, None, None, None),
        ];
        for (text, kind, value, period, limited_service, ip) in vectors {
            let text = format!("statistics: max {text} at Nov 24 02:10:35");
            let expected = Event::Statistics(Statistics { kind, value: Some(value), period, limited_service, ip, at });
            assert_eq!(read(&text), Some(expected), "{text}");
        }
    }

    #[test]
    fn damaged() {
        let of = |value, period, limited_service, ip, at| {
            Some(Event::Statistics(Statistics { kind: "connection_rate", value, period, limited_service, ip, at }))
        };
        let vectors = [
            ("1/60s for (smtp:192.0.2.1", of(Some(1), Some(60), Some("smtp"), None, None)),
            ("1/60s for (smtps:u", of(Some(1), Some(60), Some("smtps"), None, None)),
            ("1/60s for (smtp:192.0.2.0/2", of(Some(1), Some(60), Some("smtp"), None, None)),
            ("1/60s for (smtp:192.0.2.1)", of(Some(1), Some(60), Some("smtp"), Some("192.0.2.1"), None)),
            ("1/60s for (smtp:xyz) at ", of(Some(1), Some(60), Some("smtp"), None, None)),
            ("1/60s for (smtp) at x", of(Some(1), Some(60), Some("smtp"), None, Some("x"))),
            ("1/60 for () at x", of(Some(1), None, None, None, Some("x"))),
            ("1/7102w", of(Some(1), Some(4_295_289_600), None, None, None)),
            ("1/2x", of(Some(1), None, None, None, None)),
            ("1/2é", of(Some(1), None, None, None, None)),
            ("+1/s", of(None, None, None, None, None)),
            ("", of(None, None, None, None, None)),
        ];
        for (text, expected) in vectors {
            let text = format!("statistics: max connection rate {text}");
            assert_eq!(read(&text), expected, "{text}");
        }
        let long = format!("statistics: max cache size 1 for ({}:192.0.2.1) at x", "é:".repeat(100));
        let Some(Event::Statistics(Statistics { limited_service, ip, .. })) = read(&long) else { panic!("{long}") };
        assert_eq!((limited_service.map(str::len), ip), (Some(300), Some("192.0.2.1")));
    }

    #[test]
    fn none() {
        for text in
            ["", "statistics: ", "statistics: max ", "statistics: max x rate 1/60s", "statistics: max simultaneous x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
