//! Failed attempts of smtp and lmtp, before the next server is tried (`src/smtp`).
//!
//! ```text
//! connect to N[A]:P: STRERROR                              smtp_connect.c; no port for a unix socket
//! connect to N[A]: STRERROR (port P)                       the same before Postfix 2.6
//! connect to N[A]: server refused to talk to me: REPLY     before Postfix 2.3
//! QID: host N[A] said: REPLY (in reply to PHASE command)   smtp_trouble.c, as are all that follow
//! QID: host N[A] refused to talk to me: REPLY
//! QID: lost connection with N[A] while PHASE
//! QID: conversation with N[A] timed out while PHASE
//! QID: TLS is required, but …, Server certificate not verified, SASL authentication failed; …
//! ```
//!
//! The texts are those of the reasons of deliveries. They are not final here: a line with `to=` follows.
//!
//! # Limits
//!
//! `Sender requested REQUIRETLS, but …` is a notice: the text does not tell whether the delivery continues anyway.

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use super::{cause, endpoint, provider, reply};
use crate::record::{AttemptFailed, Endpoint, Event, Notice, Reply, Text};

/// Reader of the attempts of smtp and lmtp.
pub(super) const READER: Reader = Reader {
    lines: &[LINES],
    verbose: Verbose {
        shapes: &[
            ("host name lookup methods: ", ""),
            ("begin ", " address list"),
            ("end ", " address list"),
            ("pref ", " host "),
            ("connecting to ", " port "),
            ("server features: ", ""),
            ("Using ", " PIPELINING, TCP send buffer size is "),
            ("global TLS level: ", ""),
            ("recipient ", " TLS level: "),
            ("site ", " TLS level: "),
            ("lookup ", " flags "),
            ("sasl_exceptions: ", ", match="),
        ],
        functions: &["lmtp", "smtp"],
    },
    ..Reader::new(Of(&["smtp", "lmtp"]), read)
};

/// Lines that only smtp and lmtp write. The two cannot be distinguished.
const LINES: &[ProgramLines] = &[
    ProgramLines::new(
        "smtp",
        &[
            ("connect to ", "]"),
            ("delivery via ", ": host "),
            ("delivery via ", " with "),
            ("host ", "] said: "),
            ("host ", "] refused to talk to me: "),
            ("lost connection with ", "] while "),
            ("conversation with ", "] timed out while "),
            ("local data error while talking to ", "]"),
            ("Protocol error: host ", "] said: "),
            ("TLS is required, but ", ""),
            ("SMTPUTF8 is required, but ", ""),
            ("Server certificate not ", ""),
            ("Cannot start TLS: ", ""),
            ("SASL authentication failed; ", ""),
            ("SASL authentication failed: server ", " offered no "),
            ("SASL [CACHED] authentication failed; ", ""),
            ("Sender requested REQUIRETLS, but ", ""),
            ("enabling PIX ", " for "),
            ("breaking line > ", ""),
            ("host ", "] offers SMTPUTF8 support, but not 8BITMIME"),
        ],
    ),
    ProgramLines::at_first_space("smtp", &[(": replacing server reply \"", "")]),
];

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    notice(line.text).or_else(|| answered(line.text)).or_else(|| unanswered(line))
}

/// Notice that has no server at the beginning of its text, but one at the end.
const PIX: &str = "pix_workarounds";

/// Beginnings of informational lines, and the notice that each one gives.
const NOTICES: &[(&str, &str)] = &[
    // smtp_proto.c. Postfix 2.3 wrote `enabling PIX <CRLF>.<CRLF> workaround for N[A]:P`.
    ("enabling PIX workarounds: ", PIX),
    ("enabling PIX <CRLF>", PIX),
    ("breaking line > ", "long_line_broken"),
    ("discarding EHLO keywords: ", "ehlo_keywords_discarded"),
    ("Sender requested REQUIRETLS, but ", "requiretls_unmet"),
];

/// Returns the notice about something that a server offers or says, and to which Postfix adapts.
fn notice(text: &str) -> Option<Event<'_>> {
    if let Some((_, kind)) = NOTICES.iter().find(|(begin, _)| text.starts_with(begin)) {
        let server =
            if *kind == PIX { text.rsplit_once(" for ").and_then(|(_, server)| endpoint::read(server)) } else { None };
        return Some(Event::Notice(Notice { kind, server, text }));
    }
    if text.starts_with("Using ") && memchr::memmem::find(text.as_bytes(), b" PIPELINING, TCP send buffer").is_some() {
        return Some(Event::Debug(Text { text }));
    }
    let (host, server) = text.strip_prefix("host ").map_or((false, text), |server| (true, server));
    let (server, rest) = endpoint::split(server)?;
    let kind = match host {
        true if rest == " offers SMTPUTF8 support, but not 8BITMIME" => "smtputf8_without_8bitmime",
        // smtp_chat.c, smtp_reply_filter
        false if rest.starts_with(": replacing server reply \"") => "server_reply_replaced",
        _ => return None,
    };
    Some(Event::Notice(Notice { kind, server, text }))
}

/// Returns an attempt that ended with a server's reply.
fn answered(text: &str) -> Option<Event<'_>> {
    let said = reply::read(text, false)?;
    // The record has the server beside the reply.
    let server = said.reply.server;
    let reply = Reply { server: None, ..said.reply };
    let reply = provider::noted(reply, server.and_then(|server| server.name));
    let cause = cause::of_attempt(Some(&reply), said.introduction);
    Some(Event::AttemptFailed(AttemptFailed { server, reply: Some(reply), cause, reason: text }))
}

/// Postfix's own words before the server and after it.
const OWN: &[(&str, &str)] = &[
    ("connect to ", ": "),
    ("lost connection with ", " while "),
    ("conversation with ", " timed out while "),
    ("local data error while talking to ", ""),
    ("TLS is required, but was not offered by host ", ""),
    ("SMTPUTF8 is required, but was not offered by host ", ""),
    ("SASL authentication failed; cannot authenticate to server ", ": "),
    ("SASL authentication failed; authentication protocol loop with server ", ""),
    ("SASL authentication failed: server ", " offered no compatible authentication mechanisms"),
];

/// Beginnings of Postfix's own words that name no server, or not at a fixed place. They count only in a line with a
/// queue id.
const UNNAMED: &[&str] = &[
    // smtp_proto.c
    "Server certificate not ",
    "Server certificate could not be verified",
    // smtp_addr.c
    "Host or domain name not found",
    "Name service error for ",
    "Cannot start TLS: handshake failure",
    "TLS is required, but ",
    // smtp_tls_policy.c, tls_dane.c
    "client TLS configuration problem",
    "TLSA lookup error for ",
    "no TLSA records found",
    "TLSA records unusable",
    "non DNSSEC destination",
    // smtp_sasl_glue.c
    "SASL authentication failed",
];

/// Returns an attempt that ended without a reply.
fn unanswered<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    let own = reply::skip_via(text);
    let named = OWN.iter().find_map(|(before, after)| {
        let (server, rest) = endpoint::split(own.strip_prefix(before)?)?;
        rest.starts_with(after).then_some(server)
    });
    let server = match named {
        Some(server) => {
            let old_port = || reply::old_port(text).map(|(_, port)| port);
            server.map(|server| Endpoint { port: server.port.or_else(old_port), ..server })
        }
        None if line.has_queue_id && UNNAMED.iter().any(|begin| own.starts_with(begin)) => None,
        None => return None,
    };
    Some(Event::AttemptFailed(AttemptFailed { server, reply: None, cause: cause::of_attempt(None, own), reason: text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Dsn;
    use crate::record::{Cause, Level};

    fn line(text: &str) -> Line<'_> {
        Line { level: None, has_queue_id: true, text }
    }

    fn host(text: &str) -> Option<Endpoint<'_>> {
        endpoint::read(text)
    }

    #[test]
    fn attempts_without_a_reply() {
        let socket = |path| Some(Endpoint { name: Some("mx.example.net"), path: Some(path), ..Endpoint::default() });
        #[rustfmt::skip]
        let vectors = [
            ("connect to mx.example.net[192.0.2.25]:25: Connection refused", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionRefused),
            ("connect to mx.example.net[192.0.2.25]:25: Connection timed out", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionTimedOut),
            ("connect to mx.example.net[192.0.2.25]:25: Operation timed out", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionTimedOut),
            ("connect to mx.example.net[2001:db8::25]:25: Network is unreachable", host("mx.example.net[2001:db8::25]:25"), Cause::NetworkUnreachable),
            ("connect to mx.example.net[2001:db8::25]:25: No route to host", host("mx.example.net[2001:db8::25]:25"), Cause::NetworkUnreachable),
            ("connect to mx.example.net[192.0.2.25]:25: Connection reset by peer", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionLost),
            ("connect to mx.example.net[192.0.2.25]:25: Verbindungsaufbau abgelehnt", host("mx.example.net[192.0.2.25]:25"), Cause::Other),
            ("connect to mx.example.net[private/dovecot-lmtp]: No such file or directory", socket("private/dovecot-lmtp"), Cause::TransportUnavailable),
            ("connect to mx.example.net[/run/a[1]/lmtp]: Permission denied", socket("/run/a[1]/lmtp"), Cause::TransportUnavailable),
            ("connect to unknown[unknown]: x", None, Cause::Other),
            // Before 2.6.
            ("connect to mx.example.net[192.0.2.25]: Connection timed out (port 25)", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionTimedOut),
            ("connect to mx.example.net[192.0.2.25]: server dropped connection without sending the initial SMTP greeting (port 25)", host("mx.example.net[192.0.2.25]:25"), Cause::ConnectionLost),
            ("delivery via mx.example.net[192.0.2.25]:25: lost connection with mx.example.net[192.0.2.25] while sending RCPT TO", host("mx.example.net[192.0.2.25]"), Cause::ConnectionLost),
            ("lost connection with mx.example.net[192.0.2.25] while receiving the initial server greeting", host("mx.example.net[192.0.2.25]"), Cause::ConnectionLost),
            ("lost connection with mx.example.net[2001:db8::25] while sending end of data -- message may be sent more than once", host("mx.example.net[2001:db8::25]"), Cause::ConnectionLost),
            ("conversation with mx.example.net[192.0.2.25] timed out while performing the EHLO handshake", host("mx.example.net[192.0.2.25]"), Cause::ConversationTimedOut),
            ("local data error while talking to mx.example.net[192.0.2.25]", host("mx.example.net[192.0.2.25]"), Cause::Other),
            ("TLS is required, but was not offered by host mx.example.net[192.0.2.25]", host("mx.example.net[192.0.2.25]"), Cause::TlsRequired),
            ("TLS is required, but our TLS engine is unavailable", None, Cause::TlsRequired),
            ("TLS is required, but unavailable", None, Cause::TlsRequired),
            ("Server certificate not verified", None, Cause::TlsUntrusted),
            ("Host or domain name not found. Name service error for name=example.net type=MX: Host not found", None, Cause::HostNotFound),
            ("Server certificate not trusted", None, Cause::TlsUntrusted),
            ("Cannot start TLS: handshake failure", None, Cause::TlsRequired),
            ("client TLS configuration problem", None, Cause::TlsRequired),
            ("TLSA lookup error for mx.example.net:25", None, Cause::DnsError),
            ("SMTPUTF8 is required, but was not offered by host mx.example.net[192.0.2.25]", host("mx.example.net[192.0.2.25]"), Cause::Other),
            ("SASL authentication failed; cannot authenticate to server mx.example.net[192.0.2.25]: no mechanism available", host("mx.example.net[192.0.2.25]"), Cause::SaslFailed),
            ("SASL authentication failed; authentication protocol loop with server mx.example.net[192.0.2.25]", host("mx.example.net[192.0.2.25]"), Cause::SaslFailed),
            ("SASL authentication failed: server mx.example.net[192.0.2.25] offered no compatible authentication mechanisms for this type of connection security", host("mx.example.net[192.0.2.25]"), Cause::SaslFailed),
            ("SASL authentication failed; non-empty initial LOGIN challenge from server mx.example.net[192.0.2.25]: x", None, Cause::SaslFailed),
        ];
        for (text, server, cause) in vectors {
            let expected = Event::AttemptFailed(AttemptFailed { server, reply: None, cause, reason: text });
            assert_eq!(read(&line(text)), Some(expected), "{text}");
        }
    }

    #[test]
    fn attempts_with_a_reply() {
        #[rustfmt::skip]
        let vectors = [
            ("host mx.example.net[192.0.2.25] said: 450 4.2.0 Greylisted (in reply to RCPT TO command)", 450, "4.2.0", "Greylisted", Some("RCPT TO"), Cause::Greylisted),
            ("host mx.example.net[192.0.2.25] refused to talk to me: 421 4.7.0 Too many connections", 421, "4.7.0", "Too many connections", None, Cause::RateLimited),
            ("delivery via mx.example.net[192.0.2.25]:25: host mx.example.net[192.0.2.25] said: 450 4.2.0 Greylisted (in reply to RCPT TO command)", 450, "4.2.0", "Greylisted", Some("RCPT TO"), Cause::Greylisted),
            ("host mx.example.net[192.0.2.25] refused to talk to me: 554-mx.example.net 554 größer", 554, "", "mx.example.net 554 größer", None, Cause::Other),
            ("Protocol error: host mx.example.net[192.0.2.25] said: 354 go (in reply to RCPT TO command)", 354, "", "go", Some("RCPT TO"), Cause::Other),
            ("TLS is required, but host mx.example.net[192.0.2.25] refused to start TLS: 454 4.7.0 no", 454, "4.7.0", "no", None, Cause::TlsRequired),
            ("SASL authentication failed; server mx.example.net[192.0.2.25] said: 535 5.7.8 bad", 535, "5.7.8", "bad", None, Cause::SaslFailed),
            ("SASL [CACHED] authentication failed; server mx.example.net[192.0.2.25] said: 535 5.7.8 bad", 535, "5.7.8", "bad", None, Cause::SaslFailed),
            // A server's words stay its own.
            ("host mx.example.net[192.0.2.25] said: 450 lost connection with evil[203.0.113.9] while x (in reply to DATA command)", 450, "", "lost connection with evil[203.0.113.9] while x", Some("DATA"), Cause::Other),
            ("host mx.example.net[192.0.2.25] said: 450 4.2.0 cut here (in rep", 450, "4.2.0", "cut here (in rep", None, Cause::Other),
        ];
        for (text, code, dsn, said, command, cause) in vectors {
            let dsn = (!dsn.is_empty()).then(|| Dsn::parse(dsn).expect("a code"));
            let reply = Reply { code: Some(code), dsn, text: said, command, ..Reply::default() };
            let expected = Event::AttemptFailed(AttemptFailed {
                server: host("mx.example.net[192.0.2.25]"),
                reply: Some(reply),
                cause,
                reason: text,
            });
            assert_eq!(read(&line(text)), Some(expected), "{text}");
        }
        let text =
            "connect to mx.example.net[192.0.2.25]: server refused to talk to me: 421 Too many connections  (port 25)";
        let reply = Reply { code: Some(421), text: "Too many connections", ..Reply::default() };
        let server = host("mx.example.net[192.0.2.25]:25");
        let expected =
            Event::AttemptFailed(AttemptFailed { server, reply: Some(reply), cause: Cause::RateLimited, reason: text });
        assert_eq!(read(&line(text)), Some(expected));
    }

    #[test]
    fn notices() {
        #[rustfmt::skip]
        let vectors = [
            ("enabling PIX workarounds: disable_esmtp delay_dotcrlf for mx.example.net[192.0.2.25]:25", "pix_workarounds", "mx.example.net[192.0.2.25]:25"),
            ("enabling PIX <CRLF>.<CRLF> workaround for mx.example.net[2001:db8::25]:25", "pix_workarounds", "mx.example.net[2001:db8::25]:25"),
            ("enabling PIX workarounds: disable_es", "pix_workarounds", ""),
            ("breaking line > 998 bytes with <CR><LF>SPACE", "long_line_broken", ""),
            ("discarding EHLO keywords: CHUNKING", "ehlo_keywords_discarded", ""),
            ("host mx.example.net[192.0.2.25] offers SMTPUTF8 support, but not 8BITMIME", "smtputf8_without_8bitmime", "mx.example.net[192.0.2.25]"),
            ("mx.example.net[2001:db8::25]:25: replacing server reply \"500 x\" with \"550 x\"", "server_reply_replaced", "mx.example.net[2001:db8::25]:25"),
            ("Sender requested REQUIRETLS, but mx.example.net does not support it", "requiretls_unmet", ""),
        ];
        for (text, kind, server) in vectors {
            assert_eq!(read(&line(text)), Some(Event::Notice(Notice { kind, server: host(server), text })), "{text}");
        }
        let text = "Using ESMTP PIPELINING, TCP send buffer size is 87040, PIPELINING buffer size is 4096";
        assert_eq!(read(&line(text)), Some(Event::Debug(Text { text })));
    }

    #[test]
    fn none() {
        for text in [
            "",
            "host ",
            "host mx",
            "host mx.example.net[192.0.2.25]",
            "host mx.example.net[192.0.2.25] offers SMTPUTF8",
            "connect to ",
            "connect to mx.example.net[192.0.2.25]:25",
            "connect to mx.example.net[192.0.2",
            "connect to private/tlsmgr: Connection refused",
            "connect from mx.example.net[192.0.2.25]",
            "lost connection after EHLO from mx.example.net[192.0.2.25]",
            "lost connection with mx.example.net[192.0.2.25]",
            "message-id=<host mx[192.0.2.25] said: 450 x>",
            "mx.example.net[192.0.2.25]:25: SASL PLAIN authentication failed: x",
        ] {
            assert_eq!(read(&line(text)), None, "{text}");
        }
        let text = "connect to mx.example.net[192.0.2.25]:25: Connection refused";
        assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: false, text }), None);
        assert!(read(&Line { level: None, has_queue_id: false, text }).is_some());
        let text = "Server certificate not verified";
        assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None);
    }
}
