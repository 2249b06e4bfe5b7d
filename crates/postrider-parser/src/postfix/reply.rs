//! The reply of a server, from the reason of a delivery (`src/smtp/smtp_proto.c`, `src/smtp/smtp_trouble.c`).
//!
//! ```text
//! REPLY                                                                 the reason of a success
//! host N[A] said: REPLY (in reply to PHASE command)
//! host N[A] refused to talk to me: REPLY
//! SASL authentication failed; server N[A] said: REPLY
//! TLS is required, but host N[A] refused to start TLS: REPLY
//! connect to N[A]: server refused to talk to me: REPLY (port P)         before Postfix 2.3
//!
//! REPLY = CODE[-][ D.D.D] TEXT, once for each line of the reply
//! ```
//!
//! `delivery temporarily suspended: `, `delivery via N[A]:P: ` and `Protocol error: ` may come before all forms but the
//! first.

use super::endpoint;
use crate::decimal;
use crate::dsn::Dsn;
use crate::record::{Endpoint, Reply};

/// Reply, and Postfix's own words before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Said<'a> {
    pub(super) introduction: &'a str,
    pub(super) reply: Reply<'a>,
}

/// Words before the name of the server; one of [`VERBS`] follows the name.
const SUBJECTS: [&str; 5] = [
    "host ",
    "connect to ",
    "SASL authentication failed; server ",
    "SASL [CACHED] authentication failed; server ",
    "TLS is required, but host ",
];

const VERBS: [&str; 4] =
    [" said: ", " refused to talk to me: ", " refused to start TLS: ", " server refused to talk to me: "];

/// Returns the reply in a reason. A reply without an introduction counts only if `bare` is true: the caller must know
/// that a server said it.
pub(super) fn read(reason: &str, bare: bool) -> Option<Said<'_>> {
    if bare && let Some((code, text)) = split_code(reason) {
        return Some(Said { introduction: "", reply: Reply { code: Some(code), ..without_code(text) } });
    }
    let text = reason.strip_prefix("delivery temporarily suspended: ").unwrap_or(reason);
    let text = text.strip_prefix("Protocol error: ").unwrap_or(text);
    let text = skip_via(text);
    let text = SUBJECTS.iter().find_map(|subject| text.strip_prefix(subject))?;
    let (server, text) = text.split_at(memchr::memchr(b' ', text.as_bytes())?);
    let text = VERBS.iter().find_map(|verb| text.strip_prefix(verb))?;
    let introduction = &reason[..reason.len() - text.len()];
    let (text, command) = split_phase(text);
    let server = endpoint::read(server.strip_suffix(':').unwrap_or(server));
    // Postfix before 2.6 wrote the port at the end.
    let (text, port) = match old_port(text) {
        Some((text, port)) if introduction.starts_with("connect to ") => (text, Some(port)),
        _ => (text, None),
    };
    let server = server.map(|server| Endpoint { port: server.port.or(port), ..server });
    Some(Said { introduction, reply: Reply { command, server, ..read_reply(text) } })
}

/// Skips `delivery via N[A]:P: ` or `delivery via TRANSPORT: `. The words of that server follow, or Postfix's words
/// about it.
pub(super) fn skip_via(text: &str) -> &str {
    text.strip_prefix("delivery via ").and_then(|text| text.split_once(": ")).map_or(text, |(_, text)| text)
}

/// Splits off the port as Postfix before 2.6 wrote it, ` (port 25)` at the end. Returns the text before it, and the
/// port.
pub(super) fn old_port(text: &str) -> Option<(&str, u16)> {
    let (text, port) = text.strip_suffix(')')?.rsplit_once(" (port ")?;
    Some((text.trim_end_matches(' '), endpoint::port(port)?))
}

/// Splits a reply into codes and text. In a reply of several lines, the codes are those of the first line; the text
/// keeps the codes of the others.
pub(super) fn read_reply(text: &str) -> Reply<'_> {
    match split_code(text) {
        Some((code, text)) => Reply { code: Some(code), ..without_code(text) },
        None => without_code(text),
    }
}

/// Reads the rest of a reply, after the reply code.
fn without_code(text: &str) -> Reply<'_> {
    let (dsn, text) = match split_dsn(text) {
        Some((dsn, text)) => (Some(dsn), text),
        None => (None, text),
    };
    Reply { dsn, text, ..Reply::default() }
}

/// Splits off a reply code from 200 to 599.
fn split_code(text: &str) -> Option<(u16, &str)> {
    let (code @ 200..=599, 3) = decimal::leading(text.as_bytes(), 3) else { return None };
    let text = match text.as_bytes().get(3) {
        None => "",
        Some(b' ' | b'-') => &text[4..],
        Some(_) => return None,
    };
    Some((code as u16, text.trim_start_matches(' ')))
}

/// Splits off an enhanced status code, also in the forms of Cisco (`#5.1.0`) and `OpenSMTPD` (`5.1.0:`).
pub(super) fn split_dsn(text: &str) -> Option<(Dsn<'_>, &str)> {
    let text = text.strip_prefix('#').unwrap_or(text);
    let (dsn, rest) = Dsn::split(text)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    (rest.is_empty() || rest.starts_with(' ')).then(|| (dsn, rest.trim_start_matches(' ')))
}

/// Splits ` (in reply to PHASE command)` off the end of a reply. The last one is Postfix's: others are the server's.
fn split_phase(text: &str) -> (&str, Option<&str>) {
    const INTRODUCTION: &str = " (in reply to ";
    let Some(at) = memchr::memmem::rfind(text.as_bytes(), INTRODUCTION.as_bytes()) else { return (text, None) };
    let phase = &text[at + INTRODUCTION.len()..];
    // A reason that is cut just before the parenthesis still has the word that ends a phase.
    let whole = phase.strip_suffix(')').or_else(|| phase.ends_with(" command").then_some(phase));
    match whole.map(|phase| phase.strip_suffix(" command").unwrap_or(phase)) {
        Some(phase) if !phase.is_empty() && !phase.contains(['(', ')']) => (&text[..at], Some(phase)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Endpoint;

    fn dsn(code: &str) -> Option<Dsn<'_>> {
        (!code.is_empty()).then(|| Dsn::parse(code).expect("a valid code"))
    }

    #[test]
    fn bare_replies() {
        #[rustfmt::skip]
        let vectors = [
            ("250 2.0.0 Ok: queued as 4FCA1803C5", 250, "2.0.0", "Ok: queued as 4FCA1803C5"),
            ("250 OK", 250, "", "OK"),
            ("250", 250, "", ""),
            ("250 2.1.5", 250, "2.1.5", ""),
            ("250-a 250 b", 250, "", "a 250 b"),
            ("250-2.1.5 a 250 2.1.5 b", 250, "2.1.5", "a 250 2.1.5 b"),
            ("250 2.0.0: 1a2b3c4d Message accepted for delivery", 250, "2.0.0", "1a2b3c4d Message accepted for delivery"),
            ("250 2.0.0.1 x", 250, "", "2.0.0.1 x"),
            ("250 3.0.0 x", 250, "", "3.0.0 x"),
            ("250 2.0.0x", 250, "", "2.0.0x"),
            ("250 192.0.2.1 x", 250, "", "192.0.2.1 x"),
        ];
        for (reason, code, enhanced, text) in vectors {
            let reply = Reply { code: Some(code), dsn: dsn(enhanced), text, ..Reply::default() };
            assert_eq!(read(reason, true), Some(Said { introduction: "", reply }), "{reason}");
            assert_eq!(read(reason, false), None, "{reason}");
        }
        for reason in ["", "25", "2500 x", "250x", "199 x", "600 x", "2é0", "+50 x", "ok", "delivered to mailbox"] {
            assert_eq!(read(reason, true), None, "{reason}");
        }
    }

    #[test]
    fn introduced_replies() {
        #[rustfmt::skip]
        let vectors = [
            ("host mx[192.0.2.1] said: ", "550 5.1.1 User unknown (in reply to RCPT TO command)", 550, "5.1.1", "User unknown", Some("RCPT TO")),
            ("host mx[192.0.2.1] said: ", "550 #5.1.0 Address rejected. (in reply to RCPT TO command)", 550, "5.1.0", "Address rejected.", Some("RCPT TO")),
            ("host mx[192.0.2.1] said: ", "550 5.7.1: no (in reply to end of DATA command)", 550, "5.7.1", "no", Some("end of DATA")),
            ("host mx[192.0.2.1] said: ", "550-5.1.1 a 550-5.1.1 b 550 5.1.1 c (in reply to RCPT TO command)", 550, "5.1.1", "a 550-5.1.1 b 550 5.1.1 c", Some("RCPT TO")),
            ("host mx[192.0.2.1] said: ", "451 Temporary (local) problem (in reply to XFORWARD name/address command)", 451, "", "Temporary (local) problem", Some("XFORWARD name/address")),
            ("host mx[192.0.2.1] said: ", "421 bye (in reply to RSET probe)", 421, "", "bye", Some("RSET probe")),
            ("Protocol error: host mx[192.0.2.1] said: ", "999 x (in reply to MAIL FROM command)", 0, "", "999 x", Some("MAIL FROM")),
            ("delivery temporarily suspended: host mx[192.0.2.1] refused to talk to me: ", "421 4.7.0 busy", 421, "4.7.0", "busy", None),
            ("SASL authentication failed; server mx[192.0.2.1] said: ", "535 5.7.8 Error", 535, "5.7.8", "Error", None),
            ("SASL [CACHED] authentication failed; server mx[192.0.2.1] said: ", "535 5.7.8 Error", 535, "5.7.8", "Error", None),
            ("TLS is required, but host mx[192.0.2.1] refused to start TLS: ", "454 4.7.0 TLS not available", 454, "4.7.0", "TLS not available", None),
            // The server's own phase is text.
            ("host mx[192.0.2.1] said: ", "550 x (in reply to DATA command) (in reply to RCPT TO command)", 550, "", "x (in reply to DATA command)", Some("RCPT TO")),
            ("host mx[192.0.2.1] said: ", "550 host evil[203.0.113.9] said: 250 ok (in reply to RCPT TO command)", 550, "", "host evil[203.0.113.9] said: 250 ok", Some("RCPT TO")),
            // Cut.
            ("host mx[192.0.2.1] said: ", "550 x (in reply to RCPT TO command", 550, "", "x", Some("RCPT TO")),
            ("host mx[192.0.2.1] said: ", "550 x (in reply to RCPT", 550, "", "x (in reply to RCPT", None),
            ("host mx[192.0.2.1] said: ", "", 0, "", "", None),
        ];
        for (introduction, text, code, enhanced, said, command) in vectors {
            let reason = format!("{introduction}{text}");
            let server = Endpoint { name: Some("mx"), ip: Some("192.0.2.1"), ..Endpoint::default() };
            let code = (code > 0).then_some(code);
            let reply =
                Reply { code, dsn: dsn(enhanced), text: said, command, server: Some(server), ..Reply::default() };
            assert_eq!(read(&reason, false), Some(Said { introduction, reply }), "{reason}");
        }
        for reason in [
            "lost connection with mx[192.0.2.1] while sending RCPT TO",
            "connect to mx[192.0.2.1]:25: Connection refused",
            "host mx[192.0.2.1]",
            "host mx[192.0.2.1] says: 250 ok",
            "SASL authentication failed; cannot authenticate to server mx[192.0.2.1]: no mechanism available",
            "TLS is required, but was not offered by host mx[192.0.2.1]",
        ] {
            assert_eq!(read(reason, false), None, "{reason}");
        }
    }
}
