//! A whole line of the log: the meaning of each part.

use jiff::tz::TimeZone;

use super::page::{ADVICE, CAUSE, DETAIL, EVENT, NOTE, Page};
use super::query::{CodeParts, ReplyCode};
use super::{causes, words};
use crate::dsn::Dsn;
use crate::dsn::registry::{TextByLanguage, text};
use crate::frame::Frame;
use crate::record::{AttemptFailed, Cause, Event, LineHashes, NewId, Origin, Peer, Postfix, Reply, Transport};
use crate::syslog::{Context, Format, Message};
use crate::time::Timestamp;
use crate::{postfix, read_frame};

const NO_CODE: TextByLanguage = text("The line has no code and no cause.", "この行にはコードも原因もない。");

/// Explains a line of Postfix, with any header in front; returns false if the text is not such a line.
pub(super) fn explain(text: &str, page: &mut Page<'_>) -> bool {
    // The time and the source of the line make no difference.
    let (now, zone) = (Timestamp::from_micros(0), TimeZone::UTC);
    let context = Context::new(now, &zone);
    let origin =
        Origin { name: String::new(), transport: Transport::Stdin, zone: zone.clone(), format: Format::default() };
    let frame = Frame { bytes: text.as_bytes(), truncated: false };
    let id = NewId::Line(LineHashes::starting_at(0).next(frame.bytes, 0));
    let is_explained = read_frame(&frame, Peer::default(), &origin, &context, id, |record| {
        record.postfix.as_ref().map(|postfix| event(postfix, page)).is_some()
    });
    if is_explained {
        return true;
    }
    // The header has been cut off: the text alone must show that it is Postfix's.
    let message = Message { app_name: Some("postfix"), msg: text, ..Message::default() };
    let shapeless = |postfix: &Postfix<'_>| {
        matches!(postfix.event, Event::Notice(_) | Event::Warning(_) | Event::Debug(_) | Event::Other(_))
    };
    let postfix = postfix::parse(&message).filter(|postfix| !shapeless(postfix));
    postfix.map(|postfix| event(&postfix, page)).is_some()
}

fn event(postfix: &Postfix<'_>, page: &mut Page<'_>) {
    let name = postfix.event.name();
    let has_parts = match &postfix.event {
        Event::Delivery(delivery) => {
            parts(page, name, [delivery.cause, delivery.cause_detail], delivery.reply.as_ref(), delivery.dsn)
        }
        Event::AttemptFailed(AttemptFailed { reply, cause, .. }) => {
            parts(page, name, [Some(*cause), None], reply.as_ref(), None)
        }
        Event::Verdict(verdict) => parts(page, name, [verdict.cause, None], verdict.reply.as_ref(), None),
        Event::ConnectionLost(lost) => parts(page, name, [Some(lost.cause), None], None, None),
        _ => false,
    };
    if !has_parts {
        page.title(name);
        if let Some(text) = words::event(name) {
            page.line(EVENT, text.get(page.language));
        }
        page.line(NOTE, NO_CODE.get(page.language));
    }
}

/// Writes the cause and the one beneath it, then the codes and the provider's meaning; returns false if there are none.
fn parts(
    page: &mut Page<'_>,
    name: &str,
    [cause, beneath]: [Option<Cause>; 2],
    reply: Option<&Reply<'_>>,
    dsn: Option<Dsn<'_>>,
) -> bool {
    let code = reply.and_then(|reply| reply.code).map(|code| code.to_string());
    let code = code.as_deref().and_then(|code| ReplyCode::read(code).ok());
    let dsn = reply.and_then(|reply| reply.dsn).or(dsn);
    if cause.is_none() && code.is_none() && dsn.is_none() {
        return false;
    }
    page.title(name);
    for (label, cause) in [(CAUSE, cause), (DETAIL, beneath)] {
        if let Some(cause) = cause {
            page.word(label, cause.name(), causes::of(cause).meaning);
        }
    }
    if let Some(cause) = beneath.or(cause) {
        page.line(ADVICE, causes::of(cause).advice.get(page.language));
    }
    if let Some(code) = code {
        page.blank();
        page.reply(code);
    }
    if let Some(dsn) = dsn {
        page.blank();
        page.enhanced(CodeParts::from(dsn));
    }
    if let Some(reply) = reply {
        page.provider_of(reply);
    }
    true
}

#[cfg(test)]
mod tests {
    use crate::dsn::Language;

    fn en(line: &str) -> String {
        let mut out = String::new();
        super::super::explain(line, Language::En, &mut out).unwrap_or_else(|error| panic!("{error}"));
        out
    }

    #[test]
    fn a_delivery_that_a_provider_put_off() {
        insta::assert_snapshot!(en("Nov 24 02:15:07 mx1 postfix/smtp[123]: 4FCA1803C5: to=<u@example.com>, \
            relay=aspmx.l.google.com[192.0.2.25]:25, delay=1, delays=0/0/1/0, dsn=4.7.28, status=deferred (host \
            aspmx.l.google.com[192.0.2.25] said: 421-4.7.28 Gmail has detected an unusual rate of mail. 421 4.7.28 x - \
            gsmtp (in reply to end of DATA command))"), @"
        delivery
          cause    rate_limited: The server limits how much mail it accepts, or is too
                   busy.
          advice   Send more slowly to this destination: set smtp_destination_rate_delay
                   and smtp_destination_concurrency_limit, best for a separate
                   transport. Postfix tries again.

        421
          class    4 transient: This attempt failed. A later one may succeed.
          group    2 connection: About the connection itself.
          meaning  The server closes the connection now: it is shutting down, is
                   overloaded, or limits this client.
          defined  RFC 5321, section 4.2.3
          advice   Read the reply. A sending Postfix tries the next MX, and later again;
                   see also smtp_destination_concurrency_limit.

        4.7.28
          class    4 transient: This attempt failed. A later one may succeed.
          subject  7 security: Refused for the time being, for a reason of security or
                   policy.
          detail   28 mail_flood_detected: The message seems to be part of a flood of
                   similar unwanted messages.
          defined  IANA, SMTP Enhanced Status Codes

        google 4.7.28
          meaning  Gmail gets an unusual amount of unwanted mail from your address,
                   network or domain, or with links to your domain.
          advice   Send more slowly and over fewer connections, and let Postfix try
                   again. Begin with little mail from a new address.
          see      https://support.google.com/a/answer/3726730
        ");
    }

    #[test]
    fn a_destination_that_is_suspended() {
        insta::assert_snapshot!(en("4FCA1803C5: to=<u@example.com>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, \
            status=deferred (delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused)"), @"
        delivery
          cause    suspended: Postfix suspended delivery to the destination after
                   earlier failures.
          detail   connection_refused: The host of the server refused the connection.
          advice   Nothing listens on that port, or a firewall refuses the connection.
                   Try to connect from the mail host: many networks block outgoing
                   connections to port 25.

        4.4.1
          class    4 transient: This attempt failed. A later one may succeed.
          subject  4 network: The destination cannot be reached at present: its host,
                   the network, DNS or the route has a problem.
          detail   1 no_answer_from_host: The host of the destination does not answer:
                   no connection could be made.
          defined  RFC 3463, section 3.5
          Postfix  smtp uses it when the connection is refused, times out or finds no
                   route.
          advice   Try to connect to the relay on its port from the mail host. Many
                   networks block outgoing connections to port 25.
        ");
    }

    #[test]
    fn a_refusal() {
        insta::assert_snapshot!(en("<22>1 2026-11-24T02:10:35Z mx1 postfix/smtpd 1 - - NOQUEUE: reject: RCPT from \
            mx[192.0.2.9]: 554 5.7.1 <b@x>: Relay access denied; from=<a@x> to=<b@x> proto=ESMTP helo=<mx>"), @"
        verdict
          cause    relay_denied: The client may not relay to the domain of the
                   recipient.
          advice   Usually a stranger looks for an open relay. Your own client must log
                   in, or be in mynetworks; your own domain must be in mydestination,
                   relay_domains or virtual_mailbox_domains.

        554
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          group    5 mail_system: About the mail system and its mailboxes.
          meaning  The transaction failed. As a greeting it means that the server does
                   not serve this client.
          defined  RFC 5321, section 4.2.3
          Postfix  The default of relay_domains_reject_code, maps_rbl_reject_code,
                   access_map_reject_code and reject_code.

        5.7.1
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          subject  7 security: Refused for a reason of security or policy.
          detail   1 delivery_not_authorized: The server does not let this client or
                   sender deliver the message: its policy, a filter or a block list
                   decides so.
          defined  RFC 3463, section 3.8
          Postfix  smtpd uses it for Relay access denied, block lists and access tables,
                   cleanup for header and body checks and milters.
          advice   The reply names the rule. Check the IP address against block lists,
                   and SPF, DKIM and reverse DNS of the sender.
        ");
    }

    #[test]
    fn a_line_in_what_log_drivers_and_relays_put_around_it() {
        let text = "4FCA1803C5: to=<u@example.com>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred \
            (connect to mx[192.0.2.1]:25: Connection refused)";
        let line = format!("Nov 24 02:15:07 mx1 postfix/smtp[123]: {text}");
        let expected = en(&line);
        assert!(expected.starts_with("delivery\n  cause    connection_refused: "), "{expected}");
        for around in [
            text.to_owned(),
            format!("mail-1  | {line}"),
            format!("mail-1  | postfix/smtp[123]: {text}"),
            format!("2026-11-24T02:15:08.123456789Z stdout F {line}"),
            format!("{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T02:15:08.123456789Z\"}}"),
            format!("<22>1 2026-11-24T02:15:08Z relay docker - - - {line}"),
        ] {
            assert_eq!(en(&around), expected, "{around}");
        }
    }

    #[test]
    fn a_line_without_a_code() {
        insta::assert_snapshot!(en("Nov 24 02:15:07 mx1 postfix/smtpd[1]: warning: mx[192.0.2.1]: SASL LOGIN authentication \
            failed: UGFzc3dvcmQ6"), @"
        sasl_failure
          event    The login of a client failed.
          note     The line has no code and no cause.
        ");
        assert_eq!(
            en("connect from mx[192.0.2.1]"),
            en("Nov 24 02:15:07 mx1 postfix/smtpd[1]: connect from mx[192.0.2.1]")
        );
        assert!(en("connect from mx[192.0.2.1]").starts_with("connect\n  event    A client connected.\n  note "));
        assert!(en("Nov 24 02:15:07 mx1 postfix/smtp[1]: hello").starts_with("other\n  event "));
        assert!(
            en("lost connection after RCPT from mx[192.0.2.1]")
                .starts_with("connection_lost\n  cause    connection_lost: ")
        );
    }

    #[test]
    fn a_line_that_is_not_of_postfix_is_not_explained() {
        let mut out = String::new();
        for line in
            ["Nov 24 02:15:07 mx1 dovecot: imap-login: Login: user=<a@x>", "hello", "warning: hello", "to=<a@x>"]
        {
            assert!(super::super::explain(line, Language::En, &mut out).is_err(), "{line}");
            assert_eq!(out, "");
        }
    }
}
