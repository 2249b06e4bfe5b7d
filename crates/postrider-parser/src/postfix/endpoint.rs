//! Hosts, sockets and services, as `relay=` and texts name them (`src/smtp/smtp_session.c`, `src/smtp/smtp_connect.c`).
//!
//! ```text
//! mx.example.com[192.0.2.1]:25            a host; IPv6 stands in the brackets as it is
//! mx.example.com[192.0.2.1]               the same in a text, or before Postfix 2.3
//! mx.example.com[private/dovecot-lmtp]    a unix socket: what stands before it is $myhostname
//! local                                   a service of master.cf
//! [192.0.2.1]:25                          a client of postscreen
//! unknown[192.0.2.1]:unknown              a client whose name and port are not known (smtpd_client_port_logging)
//! ```
//!
//! # Limits
//!
//! Text in brackets is a path if it has a `/`. Any other text that is not an IP address is left out.
//! A host without brackets, which Postfix never writes, looks like a service.

use std::net::IpAddr;

use super::divide;
use crate::record::Endpoint;

/// Word that Postfix writes for a name, an address or a port that it does not know (`CLIENT_NAME_UNKNOWN` and related
/// names).
const UNKNOWN: &str = "unknown";

/// Returns the endpoint that is the whole of `text`; `None` if no part of it is known.
pub(super) fn read(text: &str) -> Option<Endpoint<'_>> {
    let mut endpoint = Endpoint::default();
    let name = match divide::first(text, b'[') {
        None => text,
        Some((name, rest)) => {
            // Without its closing bracket the address is cut, and half an address may be the address of another host.
            let (inner, after) = divide::last(rest, b']').unwrap_or(("", ""));
            if is_ip(inner) {
                endpoint.ip = Some(inner);
            } else if inner.as_bytes().contains(&b'/') {
                endpoint.path = Some(inner);
            }
            endpoint.port = after.strip_prefix(':').and_then(port);
            name
        }
    };
    endpoint.name = Some(name).filter(|name| !name.is_empty() && *name != UNKNOWN);
    (endpoint != Endpoint::default()).then_some(endpoint)
}

/// Splits a text into the endpoint with brackets that it begins with, and what follows. The endpoint is `None` if no
/// part of it is known.
///
/// The closing bracket is the first one that a space, a `:`, `,` or `;`, or the end of the text follows: a path may
/// hold others.
pub(super) fn split(text: &str) -> Option<(Option<Endpoint<'_>>, &str)> {
    let bytes = text.as_bytes();
    let open = memchr::memchr2(b'[', b' ', bytes).filter(|at| bytes[*at] == b'[')?;
    let ends = |at: &usize| matches!(bytes.get(at + 1), None | Some(b' ' | b':' | b',' | b';'));
    let close = memchr::memchr_iter(b']', &bytes[open..]).map(|at| open + at).find(ends)?;
    let rest = skip_port(&text[close + 1..]);
    Some((read(&text[..text.len() - rest.len()]), rest))
}

/// Returns what follows the port that a text begins with, `:25` or `:unknown`; the whole text if there is no port.
pub(super) fn skip_port(text: &str) -> &str {
    let Some(port) = text.strip_prefix(':') else { return text };
    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 { &port[digits..] } else { port.strip_prefix(UNKNOWN).unwrap_or(text) }
}

/// True if an endpoint is a service of master.cf and not the other end of a connection.
pub(super) fn is_service(endpoint: &Endpoint<'_>) -> bool {
    endpoint.name.is_some() && endpoint.ip.is_none() && endpoint.port.is_none() && endpoint.path.is_none()
}

/// True if a text is an IP address, with or without a zone (`fe80::1%eth0`).
pub(super) fn is_ip(text: &str) -> bool {
    let address = || divide::first(text, b'%').map_or(text, |(address, _)| address);
    is_ipv4(text) || address().parse::<IpAddr>().is_ok()
}

/// True if the standard library would accept a text as an IPv4 address; this check takes a fifth of its time.
fn is_ipv4(text: &str) -> bool {
    /// Value of a part that has no digits.
    const NONE: u32 = u32::MAX;
    let (mut part, mut points) = (NONE, 0);
    for byte in text.bytes() {
        part = match byte {
            b'0'..=b'9' if part == NONE => u32::from(byte - b'0'),
            // No leading zero.
            b'0'..=b'9' if (1..=255).contains(&part) => part * 10 + u32::from(byte - b'0'),
            b'.' if part <= 255 => {
                points += 1;
                NONE
            }
            _ => return false,
        };
    }
    points == 3 && part <= 255
}

/// Reads a TCP port. `FromStr` would accept a plus.
pub(super) fn port(text: &str) -> Option<u16> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn ipv4_addresses_are_those_of_the_standard_library(text in "([0-9]{1,3}[.]?){3,5}|[0-9.]{7,15}|(1?[0-9]{1,2}[.]){3}[0-9]{1,2}") {
            assert_eq!(is_ipv4(&text), text.parse::<std::net::Ipv4Addr>().is_ok(), "{text}");
        }
    }

    #[test]
    fn endpoints() {
        let host = |name, ip, port| Some(Endpoint { name, ip, port, path: None });
        #[rustfmt::skip]
        let vectors = [
            ("mx.example.com[192.0.2.1]:25", host(Some("mx.example.com"), Some("192.0.2.1"), Some(25))),
            ("mx.example.com[192.0.2.1]", host(Some("mx.example.com"), Some("192.0.2.1"), None)),
            ("mx.example.com[2001:db8::25]:25", host(Some("mx.example.com"), Some("2001:db8::25"), Some(25))),
            ("mx.example.com[fe80::1%eth0]:25", host(Some("mx.example.com"), Some("fe80::1%eth0"), Some(25))),
            ("127.0.0.1[127.0.0.1]:10024", host(Some("127.0.0.1"), Some("127.0.0.1"), Some(10024))),
            ("::1[::1]:24", host(Some("::1"), Some("::1"), Some(24))),
            ("unknown[198.51.100.7]:25", host(None, Some("198.51.100.7"), Some(25))),
            ("mx.example.com[unknown]:25", host(Some("mx.example.com"), None, Some(25))),
            ("unknown[192.0.2.1]:unknown", host(None, Some("192.0.2.1"), None)),
            ("[2001:db8::1]:unknown", host(None, Some("2001:db8::1"), None)),
            ("[192.0.2.1]:25", host(None, Some("192.0.2.1"), Some(25))),
            ("[2001:db8::1]:25", host(None, Some("2001:db8::1"), Some(25))),
            ("bücher.example[192.0.2.1]:25", host(Some("bücher.example"), Some("192.0.2.1"), Some(25))),
            ("local", host(Some("local"), None, None)),
            ("mx.example.com[private/dovecot-lmtp]", Some(Endpoint { name: Some("mx.example.com"), path: Some("private/dovecot-lmtp"), ..Endpoint::default() })),
            ("mx.example.com[/run/a[1]/lmtp]", Some(Endpoint { name: Some("mx.example.com"), path: Some("/run/a[1]/lmtp"), ..Endpoint::default() })),
            // Damaged.
            ("mx.example.com[192.0.2.1]:99999", host(Some("mx.example.com"), Some("192.0.2.1"), None)),
            ("mx.example.com[192.0.2.1]:+25", host(Some("mx.example.com"), Some("192.0.2.1"), None)),
            ("mx.example.com[192.0.2.1]:", host(Some("mx.example.com"), Some("192.0.2.1"), None)),
            ("mx.example.com[192.0.2.1", host(Some("mx.example.com"), None, None)),
            ("mx.example.com[192.0.2.xxx]:25", host(Some("mx.example.com"), None, Some(25))),
            ("unknown[unknown]", None),
            ("[]", None),
            ("[", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn endpoints_before_other_text() {
        #[rustfmt::skip]
        let vectors = [
            ("mx.example.com[192.0.2.1]:25: x", Some(("mx.example.com[192.0.2.1]:25", ": x"))),
            ("mx.example.com[2001:db8::1]: x", Some(("mx.example.com[2001:db8::1]", ": x"))),
            ("[192.0.2.1]:4711 to [192.0.2.2]:25", Some(("[192.0.2.1]:4711", " to [192.0.2.2]:25"))),
            ("mx[/run/a[1]/lmtp]: x]: y", Some(("mx[/run/a[1]/lmtp]", ": x]: y"))),
            ("mx[192.0.2.1], x", Some(("mx[192.0.2.1]", ", x"))),
            ("mx[192.0.2.1]", Some(("mx[192.0.2.1]", ""))),
            ("mx[192.0.2.1]:", Some(("mx[192.0.2.1]", ":"))),
            ("mx[192.0.2.1]:x", Some(("mx[192.0.2.1]", ":x"))),
            ("mx[192.0.2.1]:unknown: x", Some(("mx[192.0.2.1]:unknown", ": x"))),
            ("mx[2001:db8::1]:unknown", Some(("mx[2001:db8::1]:unknown", ""))),
            ("mx[192.0.2.1]: unknown", Some(("mx[192.0.2.1]", ": unknown"))),
            ("mx [192.0.2.1]", None),
            ("mx[192.0.2.1", None),
            ("mx", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(split(text), expected.map(|(endpoint, rest)| (read(endpoint), rest)), "{text}");
        }
        assert_eq!(split("unknown[unknown]: x"), Some((None, ": x")));
    }

    #[test]
    fn services() {
        let service = |text| read(text).is_some_and(|endpoint| is_service(&endpoint));
        assert!(service("local") && service("dovecot"));
        assert!(!service("mx.example.com[192.0.2.1]") && !service("mx.example.com[private/lmtp]"));
    }
}
