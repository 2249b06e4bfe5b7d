//! Inference of the program that wrote a line, from the shape of the line, if the tag has lost the program's name.
//!
//! rsyslog's RFC 5424 templates end APP-NAME at the first `/`, and its older ones cut the TAG at 32 characters, so
//! `postfix/smtpd` becomes `postfix`. Most lines are written by only one program, and [`SHAPES`] names it. For a line
//! that several programs write, no program is inferred.
//!
//! # Limits
//!
//! `lmtp` over TCP cannot be told from `smtp`, except at port 24. `relay=none` means `smtp` only if the reason is that
//! of a client that found no server. Otherwise it means `error`, which writes most of these lines. A delivery without
//! any relay gets a daemon only if its reason tells which one.

use crate::record::{Delivery, Event};

/// Shapes of lines: the program, how its lines begin, and what they hold further on. The first shape that fits counts.
const SHAPES: &[(&str, &str, &str)] = &[
    // postscreen, whose clients have no name. These shapes stand before those of smtpd, which shares words with it.
    ("postscreen", "CONNECT from [", " to ["),
    ("tlsproxy", "CONNECT from [", ""),
    ("tlsproxy", "CONNECT to ", ""),
    ("tlsproxy", "TLS handshake failed for service=", ""),
    ("tlsproxy", "ciphertext read/write ", " for "),
    ("postscreen", "DISCONNECT [", ""),
    ("postscreen", "PASS NEW [", ""),
    ("postscreen", "PASS OLD [", ""),
    ("postscreen", "ALLOWLIST", "["),
    ("postscreen", "DENYLISTED [", ""),
    ("postscreen", "WHITELIST", "["),
    ("postscreen", "BLACKLISTED [", ""),
    ("postscreen", "DNSBL rank ", " for ["),
    ("postscreen", "PREGREET ", " from ["),
    ("postscreen", "HANGUP after ", " from ["),
    ("postscreen", "BARE NEWLINE from [", ""),
    ("postscreen", "COMMAND ", " from ["),
    ("postscreen", "NON-SMTP COMMAND from [", ""),
    ("postscreen", "DATA without valid RCPT from [", ""),
    ("postscreen", "BDAT without valid RCPT from [", ""),
    ("postscreen", "entering STRESS mode ", ""),
    ("postscreen", "leaving STRESS mode ", ""),
    ("postscreen", "reject: CONNECT from [", ""),
    ("postscreen", "reject: RCPT from [", ""),
    ("postscreen", "reject: connect from [", ""),
    ("postscreen", "[", ": discarding EHLO keywords: "),
    ("postscreen", "[", ": replacing command \""),
    ("dnsblog", "addr ", " listed by domain "),
    // cleanup's checks. These shapes stand before smtpd's verdicts.
    ("cleanup", "message-id=", ""),
    ("cleanup", "resent-message-id=", ""),
    ("cleanup", "reject: header ", ""),
    ("cleanup", "reject: body ", ""),
    ("cleanup", "reject: content ", ""),
    ("cleanup", "reject: mime-error ", ""),
    // The lines of smtp's own checks name no origin.
    ("cleanup", "warning: header ", " from "),
    ("cleanup", "warning: body ", " from "),
    ("cleanup", "info: header ", " from "),
    ("cleanup", "info: body ", " from "),
    ("cleanup", "prepend: header ", " from "),
    ("cleanup", "prepend: body ", " from "),
    ("cleanup", "replace: header ", " from "),
    ("cleanup", "replace: body ", " from "),
    ("cleanup", "strip: header ", " from "),
    ("cleanup", "strip: body ", " from "),
    ("cleanup", "filter: header ", ""),
    ("cleanup", "filter: body ", ""),
    ("cleanup", "pass: header ", ""),
    ("cleanup", "pass: body ", ""),
    ("cleanup", "discard: header ", ""),
    ("cleanup", "discard: body ", ""),
    ("cleanup", "discard: content ", ""),
    ("cleanup", "hold: header ", ""),
    ("cleanup", "hold: body ", ""),
    ("cleanup", "hold: content ", ""),
    ("cleanup", "delay: header ", ""),
    ("cleanup", "delay: body ", ""),
    ("cleanup", "redirect: header ", ""),
    ("cleanup", "redirect: body ", ""),
    ("cleanup", "bcc: header ", ""),
    ("cleanup", "bcc: body ", ""),
    ("cleanup", "milter-header-", ""),
    ("cleanup", "milter-body-", ""),
    ("cleanup", "milter-reject: END-OF-MESSAGE from ", ""),
    ("cleanup", "milter-hold: END-OF-MESSAGE from ", ""),
    ("cleanup", "milter-discard: END-OF-MESSAGE from ", ""),
    ("cleanup", "removed (", ""),
    // smtpd
    ("smtpd", "connect from ", ""),
    ("smtpd", "disconnect from ", ""),
    ("smtpd", "client=", ""),
    ("smtpd", "lost connection after ", " from "),
    ("smtpd", "timeout after ", " from "),
    ("smtpd", "too many errors after ", " from "),
    ("smtpd", "improper command pipelining after ", ""),
    ("smtpd", "bare <LF> received after ", " from "),
    ("smtpd", "disconnect: ", "bare <LF>"),
    ("smtpd", "smtpd_peer_init: ", ""),
    ("qmqpd", "qmqpd_peer_init: ", ""),
    ("smtpd", "discarding EHLO keywords", ""),
    ("smtpd", "proxy-accept: ", ""),
    ("smtpd", "proxy-reject: ", ""),
    ("smtpd", "reject: ", " from "),
    ("smtpd", "reject_warning: ", " from "),
    ("smtpd", "hangup: ", " from "),
    ("smtpd", "info: ", " from "),
    ("smtpd", "warn: ", " from "),
    ("smtpd", "filter: ", " from "),
    ("smtpd", "hold: ", " from "),
    ("smtpd", "delay: ", " from "),
    ("smtpd", "discard: ", " from "),
    ("smtpd", "redirect: ", " from "),
    ("smtpd", "bcc: ", " from "),
    ("smtpd", "permit: ", " from "),
    ("smtpd", "milter-reject: ", " from "),
    ("smtpd", "milter-hold: ", " from "),
    ("smtpd", "milter-discard: ", " from "),
    ("smtpd", "hostname ", " does not resolve to address "),
    ("smtpd", "SSL_accept error from ", ""),
    ("smtpd", "setting up TLS connection from ", ""),
    ("smtpd", "TLS SNI ", " from "),
    ("smtpd", "TLS connection established from ", ""),
    ("smtpd", "", " TLS connection established from "),
    ("smtpd", "non-SMTP command from ", ""),
    ("smtpd", "Illegal address syntax from ", " in "),
    ("smtpd", "Connection ", " limit exceeded: "),
    ("smtpd", "Message delivery request rate limit exceeded: ", ""),
    ("smtpd", "Recipient address rate limit exceeded: ", ""),
    ("smtpd", "New TLS session rate limit exceeded: ", ""),
    ("smtpd", "AUTH command rate limit exceeded: ", ""),
    ("smtpd", "reply filter ", ": "),
    ("smtpd", "abort: TLS from ", ""),
    ("smtp", "SASL authentication failed: server ", " offered no "),
    // qmgr, pickup, bounce
    ("qmgr", "from=<", "(queue active)"),
    ("qmgr", "from=<", ", status="),
    ("qmgr", "removed", ""),
    ("qmgr", "skipped, still being delivered", ""),
    ("pickup", "uid=", ""),
    ("bounce", "sender ", " notification: "),
    ("bounce", "postmaster ", " notification: "),
    ("bounce", "sender notification failed", ""),
    ("bounce", "postmaster notification failed", ""),
    ("bounce", "postmaster notice failed while ", ""),
    ("bounce", "undeliverable postmaster notification discarded", ""),
    ("bounce", "not sending trace/success notification for ", ""),
    ("bounce", "no trace file -- not sending a notification", ""),
    ("local", "passing <", "> to transport="),
    // smtp: a server that failed, before the next is tried
    ("smtp", "connect to ", "]"),
    ("smtp", "delivery via ", ": host "),
    ("smtp", "delivery via ", " with "),
    ("smtp", "host ", "] said: "),
    ("smtp", "host ", "] refused to talk to me: "),
    ("smtp", "lost connection with ", "] while "),
    ("smtp", "conversation with ", "] timed out while "),
    ("smtp", "local data error while talking to ", "]"),
    ("smtp", "Protocol error: host ", "] said: "),
    ("smtp", "TLS is required, but ", ""),
    ("smtp", "SMTPUTF8 is required, but ", ""),
    ("smtp", "Server certificate not ", ""),
    ("smtp", "Cannot start TLS: ", ""),
    ("smtp", "SASL authentication failed; ", ""),
    ("smtp", "SASL [CACHED] authentication failed; ", ""),
    ("smtp", "Sender requested REQUIRETLS, but ", ""),
    ("smtp", "enabling PIX ", " for "),
    ("smtp", "breaking line > ", ""),
    ("smtp", "host ", "] offers SMTPUTF8 support, but not 8BITMIME"),
    ("smtp", "", ": replacing server reply \""),
    ("smtp", "Host offered STARTTLS: [", ""),
    ("smtp", "TLSRPT: ", ""),
    ("smtp", "setting up TLS connection to ", ""),
    ("smtp", "SSL_connect error to ", ""),
    ("smtp", "TLS connection established to ", ""),
    ("smtp", "warning: header ", ""),
    ("smtp", "warning: body ", ""),
    ("smtp", "info: header ", ""),
    ("smtp", "info: body ", ""),
    ("smtp", "prepend: header ", ""),
    ("smtp", "prepend: body ", ""),
    ("smtp", "replace: header ", ""),
    ("smtp", "replace: body ", ""),
    ("smtp", "strip: header ", ""),
    ("smtp", "strip: body ", ""),
    ("smtp", "", " TLS connection established to "),
    ("smtp", "", " TLS connection reused to "),
    // The rest.
    ("scache", "statistics: domain lookup ", ""),
    ("scache", "statistics: address lookup ", ""),
    ("scache", "statistics: start interval ", ""),
    ("scache", "statistics: max simultaneous ", ""),
    ("anvil", "statistics: max ", ""),
    ("master", "daemon started -- version ", ""),
    ("master", "reload -- version ", ""),
    ("master", "reload configuration", ""),
    ("master", "terminating on signal ", ""),
    ("postfix-script", "starting the Postfix mail system", ""),
    ("postfix-script", "stopping the Postfix mail system", ""),
    ("postfix-script", "refreshing the Postfix mail system", ""),
    ("postfix-script", "aborting the Postfix mail system", ""),
    ("postfix-script", "the Postfix mail system is ", ""),
    ("postfix-script", "waiting for the Postfix mail system ", ""),
    ("postsuper", "placed on hold", ""),
    ("postsuper", "released from hold", ""),
    ("postsuper", "requeued", ""),
    ("postsuper", "expired", ""),
    ("postsuper", "Deleted: ", " message"),
    ("postsuper", "Requeued: ", " message"),
    ("postsuper", "Force-expired: ", " message"),
    ("postsuper", "Placed on hold: ", " message"),
    ("postsuper", "Released from hold: ", " message"),
    ("postsuper", "Renamed to match inode number: ", " message"),
    // These lines begin with a client's name. A server's words could hold the same, so the lines that quote a server
    // come first.
    ("smtpd", "", ": SASL "),
    ("smtpd", "", "] sent message header instead of SMTP command"),
    ("smtpd", "", "] sent non-SMTP command"),
    ("smtpd", "", ": replacing command \""),
    ("qmqpd", "", "]: lost connection while "),
    ("qmqpd", "", "]: read/write timeout while "),
];

/// Returns the program that writes such a line; `text` is what follows the level and the queue id.
pub(super) fn daemon(event: &Event<'_>, text: &str) -> Option<&'static str> {
    match event {
        Event::Delivery(delivery) => return agent(delivery, text),
        // Verbose output may hold a stranger's text.
        Event::Debug(_) => return None,
        _ => {}
    }
    let holds = |words: &str| words.is_empty() || memchr::memmem::find(text.as_bytes(), words.as_bytes()).is_some();
    SHAPES.iter().find(|(_, begin, words)| text.starts_with(begin) && holds(words)).map(|(name, _, _)| *name)
}

/// Returns the delivery agent that wrote a delivery, by its relay, or by what it says if it has no relay.
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
