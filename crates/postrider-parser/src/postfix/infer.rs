//! Inference of the program that wrote a line, from the shape of the line, if the tag has lost the program's name.
//!
//! rsyslog's RFC 5424 templates end APP-NAME at the first `/`, and its older ones cut the TAG at 32 characters, so
//! `postfix/smtpd` becomes `postfix`. Most lines are written by only one program. Each reader declares the shapes of
//! such lines beside its code, and this module collects them. A line that has several shapes is of the program with
//! the most specific one. For a line that several programs write, no program is inferred.
//!
//! # Limits
//!
//! `lmtp` over TCP cannot be distinguished from `smtp`, except at port 24. `relay=none` means `smtp` only if the reason
//! is that of a client that found no server. Otherwise it means `error`, which writes most of these lines. A delivery
//! without any relay gets a daemon only if its reason tells which one.
//!
//! A few lines are the same in two programs. The one that writes most of them is inferred: `smtpd` for the sessions of
//! `qmqpd`, `qmgr` for `removed` of `postsuper`, `postscreen` for `DISCONNECT` of `tlsproxy`. `tests/programs.rs` lists
//! all of them.

use super::READERS;
use super::reader::{ProgramLines, ShapePlace};
use super::shape::{Shape, Shapes};
use crate::record::{Delivery, Event};

/// Shapes at the start of lines, and the program that writes such lines.
static AT_START: Shapes<&str, { count(ShapePlace::Start) }> = Shapes::new(collect(ShapePlace::Start));

/// Shapes at the first space of lines, and the program that writes such lines.
static AT_FIRST_SPACE: Shapes<&str, { count(ShapePlace::FirstSpace) }> = Shapes::new(collect(ShapePlace::FirstSpace));

/// Returns one of the declarations of all readers by its number.
const fn declared(mut number: usize) -> Option<&'static ProgramLines> {
    let mut reader = 0;
    while reader < READERS.len() {
        let mut file = 0;
        while file < READERS[reader].lines.len() {
            let lines = READERS[reader].lines[file];
            if number < lines.len() {
                return Some(&lines[number]);
            }
            number -= lines.len();
            file += 1;
        }
        reader += 1;
    }
    None
}

/// Returns the number of shapes that are declared for a place.
const fn count(place: ShapePlace) -> usize {
    let (mut count, mut number) = (0, 0);
    while let Some(lines) = declared(number) {
        if lines.place as u8 == place as u8 {
            count += lines.shapes.len();
        }
        number += 1;
    }
    count
}

/// Returns the shapes that are declared for a place, with their programs. `N` is their number.
const fn collect<const N: usize>(place: ShapePlace) -> [(Shape, &'static str); N] {
    let mut shapes = [(("", ""), ""); N];
    let (mut end, mut number) = (0, 0);
    while let Some(lines) = declared(number) {
        let mut at = 0;
        while lines.place as u8 == place as u8 && at < lines.shapes.len() {
            shapes[end] = (lines.shapes[at], lines.program);
            end += 1;
            at += 1;
        }
        number += 1;
    }
    shapes
}

/// Returns the program that writes such a line; `text` is what follows the level and the queue id.
pub(super) fn daemon(event: &Event<'_>, text: &str) -> Option<&'static str> {
    match event {
        Event::Delivery(delivery) => return agent(delivery, text),
        // Verbose output may hold a stranger's text.
        Event::Debug(_) => return None,
        _ => {}
    }
    AT_START.find(text).or_else(|| {
        let space = text.find(' ')?;
        (space.saturating_sub(2)..=space).find_map(|start| AT_FIRST_SPACE.find(text.get(start..)?))
    })
}

/// Returns the delivery agent that wrote a delivery, from its relay, or from its reason if it has no relay.
fn agent(delivery: &Delivery<'_>, text: &str) -> Option<&'static str> {
    let Some(relay) = delivery.relay else { return without_relay(delivery, text) };
    Some(match (relay.name, relay.path, relay.ip, relay.port) {
        (_, Some(_), _, _) | (_, _, Some(_), Some(24)) => "lmtp",
        (_, _, Some(_), _) | (_, _, _, Some(_)) => "smtp",
        (Some("local"), ..) => "local",
        (Some("virtual"), ..) => "virtual",
        _ => "pipe",
    })
}

/// Agents, and how their reasons begin.
const REASONS: &[(&str, &str)] = &[
    ("smtp", "connect to "),
    ("smtp", "Host or domain name not found"),
    ("smtp", "Name service error for "),
    ("smtp", "lost connection with "),
    ("smtp", "conversation with "),
    ("pipe", "delivered via "),
    ("local", "delivered to command: "),
    ("local", "delivered to file: "),
    ("local", "forwarded as "),
    ("error", "delivery temporarily suspended: "),
    ("error", "mail transport unavailable"),
];

/// Returns the agent of a line that has no relay, or has `relay=none`. With reasons other than [`REASONS`], nearly only
/// `error` writes `relay=none`.
fn without_relay(delivery: &Delivery<'_>, text: &str) -> Option<&'static str> {
    let reason = delivery.reason.unwrap_or("");
    let named = REASONS.iter().find(|(_, begin)| reason.starts_with(begin)).map(|(name, _)| *name);
    let client = || delivery.reply.is_some().then_some("smtp");
    let head = text.split_once(", status=").map_or(text, |(head, _)| head);
    let none = || memchr::memmem::find(head.as_bytes(), b", relay=none,").map(|_| "error");
    named.or_else(client).or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Endpoint, Text};

    #[test]
    fn lines() {
        #[rustfmt::skip]
        let vectors = [
            ("connect from mx.example.com[192.0.2.1]", Some("smtpd")),
            ("disconnect from mx.example.com[192.0.2.1] ehlo=1 quit=1 commands=2", Some("smtpd")),
            ("client=mx.example.com[192.0.2.1]", Some("smtpd")),
            ("mx.example.com[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6", Some("smtpd")),
            ("mx.example.com[192.0.2.1]:4711: SASL LOGIN authentication aborted", Some("smtpd")),
            ("host mx.example.com[192.0.2.1] said: 535 x: SASL authentication failed: limit exceeded: 1", Some("smtp")),
            ("AUTH command rate limit exceeded: 7 from mx.example.com[192.0.2.1] for service smtp", Some("smtpd")),
            ("Connection rate limit exceeded: 7 from mx.example.com[192.0.2.1] for service smtp", Some("smtpd")),
            ("mx.example.com[192.0.2.1]: lost connection while receiving message content", Some("qmqpd")),
            ("reject: RCPT from mx.example.com[192.0.2.1]: 554 5.7.1 no; from=<> to=<a@example.com>", Some("smtpd")),
            ("reject: RCPT from [192.0.2.1]:4711: 550 5.7.1 no; from=<>, to=<a@example.com>", Some("postscreen")),
            ("reject: header Subject: from x from mx.example.com[192.0.2.1]; from=<>", Some("cleanup")),
            ("warning: header X: y from local; from=<root>", Some("cleanup")),
            ("hold: header X: y from local; from=<root>", Some("cleanup")),
            ("hold: RCPT from mx.example.com[192.0.2.1]: <a>: Recipient address triggers HOLD action; proto=SMTP", Some("smtpd")),
            ("milter-reject: END-OF-MESSAGE from mx.example.com[192.0.2.1]: 5.7.1 no; from=<>", Some("cleanup")),
            ("milter-reject: RCPT from mx.example.com[192.0.2.1]: 550 5.7.1 no; from=<>", Some("smtpd")),
            ("milter-header-reject: header X: y from mx.example.com[192.0.2.1]; from=<>", Some("cleanup")),
            ("replace: header X: y: X: z", Some("smtp")),
            ("uid=0 from=<root>", Some("pickup")),
            ("message-id=<1@example.com>", Some("cleanup")),
            ("from=<a@example.com>, size=1, nrcpt=1 (queue active)", Some("qmgr")),
            ("from=<a@example.com>, status=expired, returned to sender", Some("qmgr")),
            ("removed", Some("qmgr")),
            ("removed (canceled)", Some("cleanup")),
            ("sender non-delivery notification: 4FCA1803C5", Some("bounce")),
            ("statistics: max connection rate 1/60s for (smtp:192.0.2.1) at Nov 24 02:10:35", Some("anvil")),
            ("statistics: max cache size 1 at Nov 24 02:10:35", Some("anvil")),
            ("statistics: max simultaneous domains=1 addresses=1 connection=1", Some("scache")),
            ("statistics: domain lookup hits=1 miss=0 success=100%", Some("scache")),
            ("addr 192.0.2.1 listed by domain bl.example.org as 127.0.0.2", Some("dnsblog")),
            ("CONNECT from [192.0.2.1]:4711 to [192.0.2.2]:25", Some("postscreen")),
            ("CONNECT from [192.0.2.1]:4711", Some("tlsproxy")),
            ("PASS NEW [2001:db8::1]:4711", Some("postscreen")),
            ("Untrusted TLS connection established to mx.example.com[192.0.2.1]:25: TLSv1.3", Some("smtp")),
            ("Anonymous TLS connection established from mx.example.com[192.0.2.1]: TLSv1.3", Some("smtpd")),
            ("TLS connection established to mx.example.com: TLSv1", Some("smtp")),
            ("TLS connection established from mx.example.com[192.0.2.1]: TLSv1", Some("smtpd")),
            ("setting up TLS connection to mx.example.com[192.0.2.1]:25", Some("smtp")),
            ("setting up TLS connection from mx.example.com[192.0.2.1]", Some("smtpd")),
            ("TLS SNI a.example from mx.example.com[192.0.2.1] not matched, using default chain", Some("smtpd")),
            ("TLSRPT: status=success, domain=example.com, receiving_mx=mx.example.com[192.0.2.1]", Some("smtp")),
            ("enabling PIX workarounds: disable_esmtp for mx.example.com[192.0.2.1]:25", Some("smtp")),
            ("Sender requested REQUIRETLS, but mx.example.com does not support it", Some("smtp")),
            ("mx.example.com[192.0.2.1]:25: replacing server reply \"x\" with \"y\"", Some("smtp")),
            ("SASL authentication failed: server mx.example.com[192.0.2.1] offered no compatible x", Some("smtp")),
            ("mx.example.com[192.0.2.1]: SASL PLAIN authentication failed: server x", Some("smtpd")),
            ("CONNECT to mx.example.com[192.0.2.1]:25", Some("tlsproxy")),
            ("ciphertext read/write timeout for [192.0.2.1]:4711", Some("tlsproxy")),
            ("bare <LF> received after CONNECT from mx.example.com[192.0.2.1]", Some("smtpd")),
            ("disconnect: mx.example.com[192.0.2.1]: not allowed: bare <LF>", Some("smtpd")),
            ("smtpd_peer_init: 192.0.2.1: hostname x verification failed: y", Some("smtpd")),
            ("mx.example.com[192.0.2.1] sent message header instead of SMTP command: From: x", Some("smtpd")),
            ("mx.example.com[192.0.2.1]:unknown: replacing command \"x\" with \"y\"", Some("smtpd")),
            ("[192.0.2.1]4711: replacing command \"x\" with \"y\"", Some("postscreen")),
            ("delivery via mx.example.com[192.0.2.1]:25: lost connection with mx.example.com[192.0.2.1] while x", Some("smtp")),
            ("sql_select option missing", None),
            ("initializing the server-side TLS engine", None),
            ("certificate verification failed for mx.example.com[192.0.2.1]:25: x", None),
            ("cache btree:/x full cleanup: retained=1 dropped=0 entries", None),
            ("connect to mx.example.com[192.0.2.1]:25: Connection refused", Some("smtp")),
            ("daemon started -- version 3.9.0, configuration /etc/postfix", Some("master")),
            ("reload configuration /etc/postfix", Some("master")),
            ("passing <bob@example.com> to transport=lmtp", Some("local")),
            ("undeliverable postmaster notification discarded", Some("bounce")),
            ("sender notification failed to alice@example.com", Some("bounce")),
            ("Placed on hold: 2 messages", Some("postsuper")),
            ("expired", Some("postsuper")),
            ("table hash:/etc/aliases has changed -- restarting", None),
            ("status=deferred (bounce failed)", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(daemon(&Event::Other(Text { text }), text), expected, "{text}");
        }
    }

    #[test]
    fn deliveries() {
        let host = |port| Endpoint { name: Some("mx"), ip: Some("192.0.2.1"), port: Some(port), path: None };
        let service = |name| Endpoint { name: Some(name), ..Endpoint::default() };
        #[rustfmt::skip]
        let vectors = [
            (Some(host(25)), "250 ok", "smtp"),
            (Some(host(24)), "250 ok", "lmtp"),
            (Some(Endpoint { path: Some("private/lmtp"), ..service("mx") }), "250 ok", "lmtp"),
            (Some(service("local")), "delivered to mailbox", "local"),
            (Some(service("virtual")), "delivered to maildir", "virtual"),
            (Some(service("dovecot")), "delivered via dovecot service", "pipe"),
            (None, "mail transport unavailable", "error"),
            (None, "delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused", "error"),
            (None, "connect to mx[192.0.2.1]:25: Connection refused", "smtp"),
        ];
        for (relay, reason, expected) in vectors {
            let delivery = Delivery { relay, reason: Some(reason), ..Delivery::default() };
            let text = format!("to=<a@example.com>, relay=none, delay=1, status=x ({reason})");
            assert_eq!(agent(&delivery, &text), Some(expected), "{reason}");
        }
        // Without any relay, the reason has to tell the agent.
        #[rustfmt::skip]
        let vectors = [
            ("delivered via maildrop service", Some("pipe")),
            ("delivered via dovecot service (x)", Some("pipe")),
            ("delivered to command: procmail", Some("local")),
            ("forwarded as 4FCA1803C5", Some("local")),
            ("connect to mx[192.0.2.1]:25: Connection refused", Some("smtp")),
            ("lost connection with mx[192.0.2.1] while sending RCPT TO", Some("smtp")),
            ("delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused", Some("error")),
            // local or virtual; any agent.
            ("delivered to maildir", None),
            ("unknown user: \"bob\"", None),
            ("relay=none, x", None),
            ("", None),
        ];
        for (reason, expected) in vectors {
            let delivery = Delivery { reason: Some(reason), ..Delivery::default() };
            let text = format!("to=<a@example.com>, delay=1, status=x ({reason})");
            assert_eq!(agent(&delivery, &text), expected, "{reason}");
        }
    }
}
