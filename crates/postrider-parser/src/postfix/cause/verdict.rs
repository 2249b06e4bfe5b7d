//! The reason why Postfix refused a client, a sender, a recipient or a message: the [`Cause`] of a verdict.
//!
//! ```text
//! <WHAT>: CLASS rejected: TEXT                                  a restriction (src/smtpd/smtpd_check.c)
//! <WHAT>: Relay access denied
//! Service unavailable; CLASS [WHAT] blocked using DOMAIN; TEXT   a block list (default_rbl_reply), also postscreen's
//! TEXT                                                          smtpd's or postscreen's own, a filter's, or an operator's
//! ```
//!
//! The class decides, and the text counts only if it is more specific. TEXT is often that of the operator or of a
//! policy service. It is read like a server's words, and if it says nothing, the codes decide.
//!
//! # Protection against forgery
//!
//! WHAT is an address or a name that the client chose. It is removed before anything is searched. The domain of a block
//! list is given only if exactly one position is possible.

use super::cause;
use crate::postfix::reply;
use crate::record::{Cause, Reply, Verdict};

/// Subject of a restriction (`SMTPD_NAME_*` in `src/smtpd/smtpd_check.c`), and the cause that it stands for.
const CLASSES: &[(&str, ClassCause)] = &[
    ("Client host", ClassCause::Only(Cause::ClientRejected)),
    ("Unverified Client host", ClassCause::Only(Cause::ClientRejected)),
    ("Client certificate", ClassCause::Only(Cause::ClientRejected)),
    ("SASL login name", ClassCause::Only(Cause::ClientRejected)),
    ("Helo command", ClassCause::Only(Cause::HeloRejected)),
    ("Etrn command", ClassCause::Only(Cause::RelayDenied)),
    ("Sender address", ClassCause::Address(Cause::SenderRejected)),
    ("Recipient address", ClassCause::Address(Cause::SpamOrPolicy)),
    ("Data command", ClassCause::Text(Cause::SpamOrPolicy)),
    ("End-of-data", ClassCause::Text(Cause::SpamOrPolicy)),
];

/// Cause of a class, and what else decides.
#[derive(Clone, Copy)]
enum ClassCause {
    /// This cause, unless the text names a temporary one.
    Only(Cause),
    /// This cause, unless the text says that the address or its domain is unknown.
    Address(Cause),
    /// This cause, if the text is not more specific.
    Text(Cause),
}

/// Texts of smtpd and postscreen that have no class, by their beginning.
const TEXTS: &[(&str, Cause)] = &[
    ("Relay access denied", Cause::RelayDenied),
    // smtpd.c, smtpd_check.c
    ("All server ports are busy", Cause::RateLimited),
    ("Protocol error", Cause::ClientRejected),
    ("Improper use of SMTP command pipelining", Cause::ClientRejected),
    ("Client host triggers HANGUP", Cause::ClientRejected),
    ("Sender address triggers HANGUP", Cause::SenderRejected),
    ("Helo command triggers HANGUP", Cause::HeloRejected),
    ("Recipient address triggers HANGUP", Cause::SpamOrPolicy),
    // postscreen.c, postscreen_smtpd.c, postscreen_early.c
    ("all server ports busy", Cause::RateLimited),
    ("all screening ports busy", Cause::RateLimited),
    ("Service unavailable", Cause::ClientRejected),
];

/// Texts without a class that have the server's name in front, by their end.
const ENDS: &[(&str, Cause)] =
    &[("Error: bare <LF> received", Cause::ClientRejected), ("Error: too many errors", Cause::TooManyErrors)];

/// Returns the cause of a verdict that refuses, and the domain of the block list if one is the cause; `None` for any
/// other verdict.
pub(in crate::postfix) fn of_verdict<'a>(verdict: &Verdict<'a>) -> Option<(Cause, Option<&'a str>)> {
    if !matches!(verdict.action, "reject" | "reject_warning" | "hangup") {
        return None;
    }
    let Some(reply) = &verdict.reply else {
        return Some((without_text(verdict), None));
    };
    let text = split_what(verdict, reply.text);
    if text.contains(BLOCKED_USING) {
        return Some((Cause::Blocklisted, block_list(text)));
    }
    let cause = match verdict.by {
        "header_check" | "body_check" | "mime_check" => Cause::ContentRejected,
        "milter" => narrow(said(reply, text)).unwrap_or(Cause::MilterRejected),
        "proxy" => match said(reply, text) {
            Cause::SpamOrPolicy => Cause::ContentRejected,
            cause => cause,
        },
        _ => match classified(text) {
            Some((class, text)) => class.cause(reply, text),
            None => unclassified(verdict, reply, text).unwrap_or_else(|| in_words_of_verdicts(said(reply, text))),
        },
    };
    Some((cause, None))
}

/// Returns the cause of a verdict that gives no reason: a domain that ETRN may not name, or a check of a message.
fn without_text(verdict: &Verdict<'_>) -> Cause {
    match (verdict.by, verdict.stage) {
        ("header_check" | "body_check" | "mime_check", _) => Cause::ContentRejected,
        ("milter", _) => Cause::MilterRejected,
        (_, Some("ETRN")) => Cause::RelayDenied,
        _ => Cause::Other,
    }
}

/// Returns the cause of a text that is smtpd's or postscreen's own.
fn unclassified(verdict: &Verdict<'_>, reply: &Reply<'_>, text: &str) -> Option<Cause> {
    // postscreen writes this for a client that passed all tests but must try again, and for one that must not try
    // again.
    if verdict.by == "postscreen" && text.starts_with("Service currently unavailable") {
        let transient = reply.code.is_some_and(|code| code < 500);
        return Some(if transient { Cause::Greylisted } else { Cause::ClientRejected });
    }
    begun(text).or_else(|| ENDS.iter().find(|(end, _)| text.ends_with(end)).map(|(_, cause)| *cause))
}

/// Returns the cause at the beginning of a text.
fn begun(text: &str) -> Option<Cause> {
    TEXTS.iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, cause)| *cause)
}

impl ClassCause {
    fn cause<'a>(self, reply: &Reply<'a>, text: &'a str) -> Cause {
        let probed = probed(text);
        let said = probed.unwrap_or_else(|| said(reply, text));
        match self {
            Self::Only(cause) => passing(said).unwrap_or(cause),
            Self::Address(cause) => match said {
                Cause::HostNotFound | Cause::DnsError => Cause::DomainNotFound,
                Cause::NullMx => Cause::NullMx,
                said if cause == Cause::SenderRejected => passing(said).unwrap_or(cause),
                // A probe says all that is known, even if nothing is known.
                Cause::Other if probed.is_some() => Cause::Other,
                said => narrow(said).unwrap_or(cause),
            },
            Self::Text(_) if text.starts_with("Improper use of SMTP command pipelining") => Cause::ClientRejected,
            Self::Text(_) if text.starts_with("Multi-recipient bounce") => Cause::SenderRejected,
            Self::Text(cause) => narrow(said).unwrap_or(cause),
        }
    }
}

/// Returns the cause in a text and in the codes of its reply.
fn said<'a>(reply: &Reply<'a>, text: &'a str) -> Cause {
    cause(Some(&Reply { text, ..*reply }), None, "")
}

/// Returns the cause in the result of an address probe: `unverified address: REASON`, where the reason is that of a
/// delivery.
fn probed(text: &str) -> Option<Cause> {
    let undeliverable = text.strip_prefix("undeliverable address: ");
    let reason = undeliverable.or_else(|| text.strip_prefix("unverified address: "))?;
    let found = match reply::read(reason, true) {
        Some(said) => cause(Some(&said.reply), None, said.introduction),
        None => cause(None, None, reason),
    };
    Some(if found == Cause::Other && undeliverable.is_some() { Cause::UserUnknown } else { found })
}

/// Returns the cause in a text, if it is a temporary one.
fn passing(cause: Cause) -> Option<Cause> {
    matches!(cause, Cause::Greylisted | Cause::RateLimited).then_some(cause)
}

/// Returns the cause in a text, if it says more than that something is refused.
fn narrow(cause: Cause) -> Option<Cause> {
    (!matches!(cause, Cause::SpamOrPolicy | Cause::Other)).then(|| in_words_of_verdicts(cause))
}

/// Translates a cause of deliveries into the words for verdicts.
fn in_words_of_verdicts(cause: Cause) -> Cause {
    match cause {
        Cause::HostNotFound => Cause::DomainNotFound,
        other => other,
    }
}

/// Removes `<WHAT>: ` from the beginning of a text.
///
/// An address has its internal form there, so it can hold anything. If it is the one that the tail of the line names,
/// its end is certain. Otherwise it ends at the last place that Postfix's own words follow, because a client can write
/// only before them.
fn split_what<'a>(verdict: &Verdict<'_>, text: &'a str) -> &'a str {
    let Some(inner) = text.strip_prefix('<') else { return text };
    let known = |what: &&str| inner.strip_prefix(*what)?.strip_prefix(">: ");
    let known = [verdict.to, verdict.from, verdict.helo].iter().flatten().find_map(known);
    let mut places = memchr::memmem::rfind_iter(inner.as_bytes(), b">: ").map(|at| &inner[at + 3..]);
    let is_own = |text: &&str| classified(text).is_some() || begun(text).is_some();
    known.or_else(|| places.find(is_own)).unwrap_or(text)
}

/// Returns the class of a restriction, and what follows ` rejected: `.
fn classified(text: &str) -> Option<(ClassCause, &str)> {
    CLASSES.iter().find_map(|(name, class)| {
        let text = text.strip_prefix(name)?.strip_prefix(" rejected: ")?;
        Some((*class, text))
    })
}

/// Text in front of the domain of a block list.
const BLOCKED_USING: &str = " blocked using ";

/// Returns the domain of the block list that a text names, if it names only one.
fn block_list(text: &str) -> Option<&str> {
    let mut places = memchr::memmem::find_iter(text.as_bytes(), BLOCKED_USING);
    let (Some(at), None) = (places.next(), places.next()) else { return None };
    let rest = &text[at + BLOCKED_USING.len()..];
    let end = rest.bytes().position(|b| matches!(b, b';' | b' ' | b','));
    let domain = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (domain.contains('.') && domain.bytes().all(is_name)).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::parse;
    use crate::record::Event;
    use crate::syslog::Message;

    #[track_caller]
    fn of(app_name: &str, msg: &str) -> (Option<&'static str>, Option<String>) {
        let message = Message { app_name: Some(app_name), msg, ..Message::default() };
        match parse(&message).expect("Postfix's").event {
            Event::Verdict(Verdict { cause, blocklist, .. }) => (cause.map(Cause::name), blocklist.map(str::to_owned)),
            other => panic!("{msg}\n{other:?}"),
        }
    }

    /// The cause of a refusal by smtpd at RCPT.
    #[track_caller]
    fn rcpt(reply: &str) -> &'static str {
        let msg = format!(
            "NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: {reply}; from=<a@example.net> to=<b@example.com> \
             proto=ESMTP helo=<mx.example.net>"
        );
        of("postfix/smtpd", &msg).0.expect("a cause")
    }

    #[test]
    fn the_class_of_a_restriction_decides() {
        #[rustfmt::skip]
        let vectors = [
            ("554 5.7.1 <b@example.com>: Relay access denied", "relay_denied"),
            ("454 4.7.1 <b@example.com>: Relay access denied", "relay_denied"),
            ("450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.9]", "client_rejected"),
            ("554 5.7.1 <mx[192.0.2.9]>: Unverified Client host rejected: spam is not welcome", "client_rejected"),
            ("554 5.7.1 <x>: Client certificate rejected: Access denied", "client_rejected"),
            ("554 5.7.1 <alice>: SASL login name rejected: Access denied", "client_rejected"),
            ("450 4.7.1 <mx[192.0.2.9]>: Client host rejected: Greylisted for 5 minutes", "greylisted"),
            ("450 4.7.1 <localhost>: Helo command rejected: Host not found", "helo_rejected"),
            ("504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "helo_rejected"),
            ("450 4.1.8 <a@x.example>: Sender address rejected: Domain not found", "domain_not_found"),
            ("550 5.7.27 <a@x.example>: Sender address rejected: Domain x.example does not accept mail (nullMX)", "null_mx"),
            ("553 5.7.1 <a@x.example>: Sender address rejected: not owned by user alice", "sender_rejected"),
            ("550 5.1.0 <a@x.example>: Sender address rejected: User unknown in virtual mailbox table", "sender_rejected"),
            ("450 4.1.7 <a@x.example>: Sender address rejected: undeliverable address: host mx[192.0.2.1] said: 550 no", "sender_rejected"),
            ("550 5.1.1 <b@example.com>: Recipient address rejected: User unknown in local recipient table", "user_unknown"),
            ("550 5.1.1 <b@example.com>: Recipient address rejected: gone fishing", "user_unknown"),
            ("450 4.1.2 <b@x.example>: Recipient address rejected: Domain not found", "domain_not_found"),
            ("556 5.1.10 <b@x.example>: Recipient address rejected: Domain x.example does not accept mail (nullMX)", "null_mx"),
            ("554 5.7.1 <b@example.com>: Recipient address rejected: Access denied", "spam_or_policy"),
            ("554 5.7.1 <b@example.com>: Recipient address rejected: my own words", "spam_or_policy"),
            ("550 5.7.23 <b@example.com>: Recipient address rejected: Message rejected due to: SPF fail", "spam_or_policy"),
            ("450 4.2.0 <b@example.com>: Recipient address rejected: Greylisted, see http://postgrey.example/", "greylisted"),
            ("552 5.2.2 <b@example.com>: Recipient address rejected: Mailbox is full", "mailbox_full"),
            ("550 5.1.1 <b@x.example>: Recipient address rejected: undeliverable address: no", "user_unknown"),
            ("550 5.1.1 <b@example.com>: Sender address rejected: undeliverable address: host mx[192.0.2.1] said: 550 <b@example.com>: Recipient address rejected: User unknown", "sender_rejected"),
            ("450 4.1.1 <b@x.example>: Recipient address rejected: unverified address: connect to mx[192.0.2.1]:25: Connection refused", "connection_refused"),
            ("450 4.1.1 <b@x.example>: Recipient address rejected: unverified address: Address verification in progress", "other"),
            ("503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining", "client_rejected"),
            ("550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce", "sender_rejected"),
            ("554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: over quota", "mailbox_full"),
            ("554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: no", "spam_or_policy"),
            ("452 4.3.1 Insufficient system storage", "mailbox_full"),
            ("452 4.5.3 Error: too many recipients", "rate_limited"),
            ("552 5.3.4 Message size exceeds fixed limit", "message_too_large"),
            ("530 5.7.0 Must issue a STARTTLS command first", "tls_required"),
            ("421 4.3.2 All server ports are busy", "rate_limited"),
            ("421 4.7.0 mx1.example.com Error: too many errors", "too_many_errors"),
            ("521 5.5.1 Protocol error", "client_rejected"),
            ("421 4.3.0 <b@example.com> Server local data error", "other"),
            ("451 4.3.0 <b@example.com>: Temporary lookup failure", "other"),
            ("550 bad recipient", "user_unknown"),
            ("550 5.7.1 no", "spam_or_policy"),
            ("550 no", "other"),
        ];
        for (reply, cause) in vectors {
            assert_eq!(rcpt(reply), cause, "{reply}");
        }
    }

    #[test]
    fn a_block_list_is_named() {
        let list = |reply: &str| {
            let msg = format!(
                "NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: {reply}; from=<a@example.net> \
                 to=<b@example.com> proto=ESMTP helo=<mx.example.net>"
            );
            let (cause, list) = of("postfix/smtpd", &msg);
            assert_eq!(cause, Some("blocklisted"), "{reply}");
            list.unwrap_or_default()
        };
        let zen = "554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.example.org";
        assert_eq!(list(zen), "zen.example.org");
        assert_eq!(list(&format!("{zen}; https://example.org/?ip=192.0.2.9; or so")), "zen.example.org");
        assert_eq!(list(&format!("{zen}.; see")), "zen.example.org");
        assert_eq!(list("554 5.7.1 Service unavailable; Unverified Client host [x] blocked using our list"), "");
        // A sender that names a list of its own.
        assert_eq!(
            list(
                "554 5.7.1 Service unavailable; Sender address [\"a] blocked using x.example; b\"@x] blocked using dbl.example.org"
            ),
            ""
        );
        let screened = "NOQUEUE: reject: RCPT from [198.51.100.7]:54321: 550 5.7.1 Service unavailable; client \
            [198.51.100.7] blocked using bl.example.org; from=<a@x>, to=<b@y>, proto=ESMTP, helo=<h>";
        assert_eq!(of("postfix/postscreen", screened), (Some("blocklisted"), Some("bl.example.org".to_owned())));
    }

    #[test]
    fn a_client_chooses_no_cause() {
        for what in [
            "x blocked using evil.example; y@example.com",
            "x>: Helo command rejected: y@example.com",
            "x>: y; from=<a> proto=SMTP helo=<@example.com",
            "greylisted@quota-exceeded.example",
        ] {
            assert_eq!(rcpt(&format!("554 5.7.1 <{what}>: Relay access denied")), "relay_denied", "{what}");
            assert_eq!(rcpt(&format!("554 5.7.1 <{what}>: Sender address rejected: no")), "sender_rejected", "{what}");
        }
        let helo = "NOQUEUE: reject: EHLO from unknown[203.0.113.5]: 501 5.5.2 <x> y; from=<e> blocked using z.example q>: \
            Helo command rejected: Invalid name; proto=SMTP helo=<x> y; from=<e> blocked using z.example q>";
        assert_eq!(of("postfix/smtpd", helo), (Some("helo_rejected"), None));
    }

    #[test]
    fn who_decided_tells_where_the_text_does_not() {
        #[rustfmt::skip]
        let vectors = [
            ("smtpd", "4FCA1803C8: milter-reject: RCPT from mx[192.0.2.9]: 550 5.7.1 no; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "milter_rejected"),
            ("smtpd", "NOQUEUE: milter-reject: CONNECT from unknown[203.0.113.5]: 451 4.7.1 Service unavailable - try again later; proto=SMTP", "milter_rejected"),
            ("smtpd", "4FCA1803C8: reject: RCPT from mx[192.0.2.9]: 421 4.3.5 Server configuration error; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "milter_rejected"),
            ("cleanup", "4FCA1803C9: milter-reject: END-OF-MESSAGE from mx[192.0.2.9]: 5.7.1 Spam message rejected; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "milter_rejected"),
            ("cleanup", "4FCA1803C9: milter-reject: END-OF-MESSAGE from mx[192.0.2.9]: 4.7.1 Try again later; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "greylisted"),
            ("cleanup", "4FCA1803CA: reject: header Subject: x from mx[192.0.2.9]; from=<a@x> to=<b@y> proto=ESMTP helo=<h>: 5.7.1 no", "content_rejected"),
            ("cleanup", "4FCA1803CA: reject: body x from mx[192.0.2.9]; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "content_rejected"),
            ("cleanup", "4FCA1803CB: reject: mime-error MIME nesting exceeds safety limit: x from mx[192.0.2.9]; from=<a@x> to=<b@y>", "content_rejected"),
            ("smtpd", "proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=00123-01 - INFECTED; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "content_rejected"),
            ("smtpd", "proxy-reject: RCPT: 451 4.3.0 Error: queue file write error; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "other"),
            ("smtpd", "reject: ETRN example.com... from mx.example.net[192.0.2.9]", "relay_denied"),
            ("smtpd", "NOQUEUE: hangup: CONNECT from unknown[203.0.113.5]: <unknown[203.0.113.5]>: Client host triggers HANGUP action; proto=SMTP", "client_rejected"),
            ("smtpd", "4FCA1803C6: reject: DATA content from mx[192.0.2.9]: 521 5.5.2 mx1.example.com Error: bare <LF> received; from=<a@x> to=<b@y> proto=ESMTP helo=<h>", "client_rejected"),
            ("postscreen", "NOQUEUE: reject: RCPT from [198.51.100.7]:5: 450 4.3.2 Service currently unavailable; from=<>, to=<b@y>, proto=SMTP, helo=<>", "greylisted"),
            ("postscreen", "NOQUEUE: reject: RCPT from [198.51.100.7]:5: 521 5.3.2 Service currently unavailable; from=<>, to=<b@y>, proto=SMTP, helo=<>", "client_rejected"),
            ("postscreen", "NOQUEUE: reject: RCPT from [198.51.100.7]:5: 550 5.7.1 Service unavailable; from=<>, to=<b@y>, proto=SMTP, helo=<>", "client_rejected"),
            ("postscreen", "NOQUEUE: reject: CONNECT from [198.51.100.7]:5: too many connections", "rate_limited"),
            ("postscreen", "reject: connect from [198.51.100.7]:5: all screening ports busy", "rate_limited"),
        ];
        for (daemon, msg, cause) in vectors {
            assert_eq!(of(&format!("postfix/{daemon}"), msg).0, Some(cause), "{msg}");
        }
    }

    #[test]
    fn what_refuses_nothing_has_no_cause() {
        for msg in [
            "4FCA1803C7: hold: RCPT from mx[192.0.2.9]: <b@y>: Recipient address triggers HOLD action; from=<a@x> to=<b@y> proto=ESMTP helo=<h>",
            "NOQUEUE: warn: RCPT from mx[192.0.2.9]: <b@y>: Recipient address rejected: x; from=<a@x> to=<b@y> proto=ESMTP helo=<h>",
            "4FCA1803C9: milter-discard: END-OF-MESSAGE from mx[192.0.2.9]: milter triggers DISCARD action; from=<a@x> to=<b@y> proto=ESMTP helo=<h>",
            "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok; from=<a@x> to=<b@y> proto=ESMTP helo=<h>",
        ] {
            assert_eq!(of("postfix", msg), (None, None), "{msg}");
        }
        let warned = "NOQUEUE: reject_warning: RCPT from mx[192.0.2.9]: 554 5.7.1 <b@y>: Relay access denied; from=<a@x> to=<b@y> proto=ESMTP helo=<h>";
        assert_eq!(of("postfix/smtpd", warned).0, Some("relay_denied"));
    }
}
