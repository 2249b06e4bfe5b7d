//! Forms of verdicts, of each part of Postfix that decides.

mod forged;

use std::fmt::Write as _;

use crate::postfix::parse;
use crate::record::{Endpoint, Event, Verdict};
use crate::syslog::Message;

fn event<'a>(app_name: &'a str, msg: &'a str) -> Event<'a> {
    let message = Message { app_name: Some(app_name), msg, ..Message::default() };
    parse(&message).unwrap_or_else(|| panic!("not Postfix's: {app_name}")).event
}

#[track_caller]
fn verdict<'a>(app_name: &'a str, msg: &'a str) -> Verdict<'a> {
    match event(app_name, msg) {
        Event::Verdict(verdict) => {
            assert!(Verdict::ACTIONS.contains(&verdict.action), "{}", verdict.action);
            verdict
        }
        other => panic!("{msg}\n{other:?}"),
    }
}

/// A verdict on one line: what is there, in the order of the record.
fn show(verdict: &Verdict<'_>) -> String {
    let mut text = format!("{} {}", verdict.action, verdict.by);
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            write!(text, " {key}={{{value}}}").expect("a string takes all");
        }
    };
    put("stage", verdict.stage);
    if let Some(Endpoint { name, ip, port, path }) = verdict.client {
        assert_eq!(path, None);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        put("client", Some(&format!("{}[{}]{port}", name.unwrap_or(""), ip.unwrap_or(""))));
    }
    if let Some(reply) = &verdict.reply {
        assert_eq!((reply.command, reply.server), (None, None));
        put("code", reply.code.map(|code| code.to_string()).as_deref());
        put("dsn", reply.dsn.map(|dsn| dsn.code().to_string()).as_deref());
        put("text", Some(reply.text));
    }
    put("trigger", verdict.trigger);
    put("from", verdict.from);
    put("to", verdict.to);
    put("proto", verdict.proto);
    put("helo", verdict.helo);
    put("method", verdict.sasl.method);
    put("username", verdict.sasl.username);
    put("sender", verdict.sasl.sender);
    text
}

/// Checks what the lines of a program are read as, and that they are read the same without the program's name.
#[track_caller]
fn check(app_name: &str, vectors: &[(&str, &str)]) {
    for (msg, expected) in vectors {
        assert_eq!(show(&verdict(app_name, msg)), *expected, "\n{msg}");
        assert_eq!(show(&verdict("postfix", msg)), *expected, "\nwithout the program: {msg}");
    }
}

const C: &str = "mx.example.net[192.0.2.9]";

#[test]
fn restrictions() {
    #[rustfmt::skip]
    check("postfix/smtpd", &[
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 <b@example.com>: Relay access denied; from=<a@example.net> to=<b@example.com> proto=ESMTP helo=<mx.example.net>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={<b@example.com>: Relay access denied} from={a@example.net} to={b@example.com} proto={ESMTP} helo={mx.example.net}"),
        // An unknown field is left out.
        ("NOQUEUE: reject: CONNECT from unknown[2001:db8::9]: 554 5.7.1 <unknown[2001:db8::9]>: Client host rejected: Access denied; proto=SMTP",
         "reject restriction stage={CONNECT} client={[2001:db8::9]} code={554} dsn={5.7.1} text={<unknown[2001:db8::9]>: Client host rejected: Access denied} proto={SMTP}"),
        ("NOQUEUE: reject: CONNECT from unknown[unknown]: 421 4.7.0 x; proto=SMTP", "reject restriction stage={CONNECT} code={421} dsn={4.7.0} text={x} proto={SMTP}"),
        ("NOQUEUE: reject: MAIL from mx.example.net[192.0.2.9]:54321: 450 4.1.8 <a@x.example>: Sender address rejected: Domain not found; from=<a@x.example> proto=ESMTP helo=<h>",
         "reject restriction stage={MAIL} client={mx.example.net[192.0.2.9]:54321} code={450} dsn={4.1.8} text={<a@x.example>: Sender address rejected: Domain not found} from={a@x.example} proto={ESMTP} helo={h}"),
        ("NOQUEUE: reject: VRFY from mx.example.net[192.0.2.9]: 550 5.1.1 <x>: Recipient address rejected: User unknown; to=<x> proto=SMTP helo=<h>",
         "reject restriction stage={VRFY} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={<x>: Recipient address rejected: User unknown} to={x} proto={SMTP} helo={h}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 no; from=<> to=<> proto=SMTP helo=<h>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} text={no} from={} to={} proto={SMTP} helo={h}"),
        ("4FCA1803C5: reject: DATA from mx.example.net[192.0.2.9]: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining; from=<a@x> proto=SMTP helo=<h>",
         "reject restriction stage={DATA} client={mx.example.net[192.0.2.9]} code={503} dsn={5.5.0} text={<DATA>: Data command rejected: Improper use of SMTP command pipelining} from={a@x} proto={SMTP} helo={h}"),
        ("4FCA1803C5: reject: DATA content from mx.example.net[192.0.2.9]: 521 5.5.2 mx1 Error: bare <LF> received; from=<a@x> to=<b@x> proto=ESMTP helo=<h>",
         "reject restriction stage={DATA content} client={mx.example.net[192.0.2.9]} code={521} dsn={5.5.2} text={mx1 Error: bare <LF> received} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        ("4FCA1803C5: reject: END-OF-MESSAGE from mx.example.net[192.0.2.9]: 552 5.3.4 Message too big; from=<a@x> proto=ESMTP helo=<h>",
         "reject restriction stage={END-OF-MESSAGE} client={mx.example.net[192.0.2.9]} code={552} dsn={5.3.4} text={Message too big} from={a@x} proto={ESMTP} helo={h}"),
        // The text has semicolons of its own.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.example.org; see https://example.org/?ip=192.0.2.9; from=<a@x> to=<b@x> proto=ESMTP helo=<h>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={Service unavailable; Client host [192.0.2.9] blocked using bl.example.org; see https://example.org/?ip=192.0.2.9} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        // Postfix 3.10.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 553 5.7.1 x; from=<a@x> to=<b@x> proto=ESMTP helo=<h> sasl_method=PLAIN sasl_username=al ice@x sasl_sender=al+2Bice@x",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={553} dsn={5.7.1} text={x} from={a@x} to={b@x} proto={ESMTP} helo={h} method={PLAIN} username={al ice@x} sender={al+2Bice@x}"),
        ("NOQUEUE: reject: MAIL from mx.example.net[192.0.2.9]: 553 5.7.1 x; from=<a@x> proto=ESMTP sasl_username=alice",
         "reject restriction stage={MAIL} client={mx.example.net[192.0.2.9]} code={553} dsn={5.7.1} text={x} from={a@x} proto={ESMTP} username={alice}"),
        // No tail.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 421 4.3.0 <b@x> Server local data error",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={421} dsn={4.3.0} text={<b@x> Server local data error}"),
        ("reject: ETRN example.com... from mx.example.net[192.0.2.9]", "reject restriction stage={ETRN} client={mx.example.net[192.0.2.9]} trigger={example.com}"),
        // Internal addresses.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 x; from=<a b@x> to=<c> d\"@x> proto=SMTP helo=<h>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={x} from={a b@x} to={c> d\"@x} proto={SMTP} helo={h}"),
        ("NOQUEUE: reject: MAIL from mx.example.net[192.0.2.9]: 554 5.7.1 x; from=<a b@x> proto=SMTP helo=<h>",
         "reject restriction stage={MAIL} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={x} from={a b@x} proto={SMTP} helo={h}"),
        ("NOQUEUE: reject: VRFY from mx.example.net[192.0.2.9]: 550 5.1.1 x; to=<a b@x> proto=SMTP helo=<h>",
         "reject restriction stage={VRFY} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={x} to={a b@x} proto={SMTP} helo={h}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 5.1.1 <ü@bücher.example>: Recipient address rejected: unbekannt; from=<é@x> to=<\"ü ö\"@bücher.example> proto=ESMTP helo=<h>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={<ü@bücher.example>: Recipient address rejected: unbekannt} from={é@x} to={\"ü ö\"@bücher.example} proto={ESMTP} helo={h}"),
        // A milter's answer that smtpd does not understand.
        ("4FCA1803C5: reject: RCPT from mx.example.net[192.0.2.9]: 421 4.3.5 Server configuration error; from=<a@x> to=<b@x> proto=ESMTP helo=<h> sasl_username=<alice>",
         "reject milter stage={RCPT} client={mx.example.net[192.0.2.9]} code={421} dsn={4.3.5} text={Server configuration error} from={a@x} to={b@x} proto={ESMTP} helo={h} username={alice}"),
    ]);
}

#[test]
fn every_action_of_a_restriction() {
    #[rustfmt::skip]
    let texts = [
        ("reject", "450 4.7.1 x", "code={450} dsn={4.7.1} text={x}"),
        ("reject_warning", "554 5.7.1 x", "code={554} dsn={5.7.1} text={x}"),
        ("hangup", "<C>: Client host triggers HANGUP action", "text={<C>: Client host triggers HANGUP action}"),
        ("info", "<C>: Client host 250 x", "text={<C>: Client host 250 x}"),
        ("warn", "250 5.7.1 x", "text={250 5.7.1 x}"),
        ("filter", "<b@x>: Recipient address triggers FILTER smtp:[192.0.2.1]:25", "text={<b@x>: Recipient address triggers FILTER smtp:[192.0.2.1]:25} trigger={smtp:[192.0.2.1]:25}"),
        ("hold", "x", "text={x}"),
        ("delay", "x", "text={x}"),
        ("discard", "x; y", "text={x; y}"),
        ("redirect", "<b@x>: Recipient address triggers REDIRECT c@x", "text={<b@x>: Recipient address triggers REDIRECT c@x}"),
        ("bcc", "x", "text={x}"),
        ("permit", "action=permit_mynetworks for Client host=localhost[127.0.0.1]", "text={action=permit_mynetworks for Client host=localhost[127.0.0.1]}"),
    ];
    for (action, text, expected) in texts {
        for id in ["NOQUEUE", "4FCA1803C5", "3Pt2mN2VXxzNjll"] {
            let line = format!("{id}: {action}: RCPT from {C}: {text}; from=<a@x> to=<b@x> proto=ESMTP helo=<h>");
            let expected = format!(
                "{action} restriction stage={{RCPT}} client={{{C}}} {expected} from={{a@x}} to={{b@x}} proto={{ESMTP}} helo={{h}}"
            );
            check("postfix/smtpd", &[(&line, &expected)]);
        }
    }
    for stage in ["HELO", "STARTTLS", "AUTH", "BDAT", "BDAT content", "ETRN", "XCLIENT", "XFORWARD", "NOOP", "UNKNOWN"]
    {
        let line = format!("NOQUEUE: reject: {stage} from {C}: 550 x; proto=SMTP helo=<h>");
        let expected = format!(
            "reject restriction stage={{{stage}}} client={{{C}}} code={{550}} text={{x}} proto={{SMTP}} helo={{h}}"
        );
        check("postfix/submission/smtpd", &[(&line, &expected)]);
    }
}

#[test]
fn milters() {
    let tail = "; from=<a@x> to=<b@x> proto=ESMTP helo=<h>";
    #[rustfmt::skip]
    let vectors = [
        ("postfix/smtpd", "NOQUEUE: milter-reject: RCPT from mx.example.net[192.0.2.9]: 550 5.7.1 no", "reject milter stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} dsn={5.7.1} text={no}"),
        ("postfix/smtpd", "NOQUEUE: milter-reject: EHLO from mx.example.net[192.0.2.9]: 421 4.7.0 Server closing connection", "reject milter stage={EHLO} client={mx.example.net[192.0.2.9]} code={421} dsn={4.7.0} text={Server closing connection}"),
        ("postfix/smtpd", "4FCA1803C5: milter-hold: DATA from mx.example.net[192.0.2.9]: milter triggers HOLD action", "hold milter stage={DATA} client={mx.example.net[192.0.2.9]} text={milter triggers HOLD action}"),
        ("postfix/smtpd", "4FCA1803C5: milter-discard: RCPT from mx.example.net[192.0.2.9]: milter triggers DISCARD action", "discard milter stage={RCPT} client={mx.example.net[192.0.2.9]} text={milter triggers DISCARD action}"),
        // cleanup leaves the code out.
        ("postfix/cleanup", "4FCA1803C5: milter-reject: END-OF-MESSAGE from mx.example.net[192.0.2.9]: 5.7.1 Spam; score 9; see x", "reject milter stage={END-OF-MESSAGE} client={mx.example.net[192.0.2.9]} dsn={5.7.1} text={Spam; score 9; see x}"),
        ("postfix/cleanup", "4FCA1803C5: milter-reject: END-OF-MESSAGE from mx.example.net[192.0.2.9]: Try later", "reject milter stage={END-OF-MESSAGE} client={mx.example.net[192.0.2.9]} text={Try later}"),
        // Postfix 3.10.
        ("postfix/cleanup", "4FCA1803C5: milter-hold: END-OF-MESSAGE from mx.example.net[192.0.2.9]: 5 viruses; from=<x>", "hold milter stage={END-OF-MESSAGE} client={mx.example.net[192.0.2.9]} text={5 viruses; from=<x>}"),
        ("postfix/cleanup", "4FCA1803C5: milter-reject: CONNECT from unknown[unknown]: 4.7.1 Service unavailable - try again later", "reject milter stage={CONNECT} dsn={4.7.1} text={Service unavailable - try again later}"),
    ];
    for (app_name, msg, expected) in vectors {
        let line = format!("{msg}{tail}");
        let expected = format!("{expected} from={{a@x}} to={{b@x}} proto={{ESMTP}} helo={{h}}");
        check(app_name, &[(&line, &expected)]);
        check(app_name, &[(&format!("{line} sasl_username=<al> ice>"), &format!("{expected} username={{al> ice}}"))]);
    }
    #[rustfmt::skip]
    check("postfix/cleanup", &[
        // A message that did not come by SMTP.
        ("4FCA1803C5: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 5.7.1 no; from=<root@x> to=<b@x>", "reject milter stage={END-OF-MESSAGE} client={localhost[127.0.0.1]} dsn={5.7.1} text={no} from={root@x} to={b@x}"),
        ("4FCA1803C5: milter-header-reject: header X-Spam: yes from mx.example.net[192.0.2.9]; from=<a@x> to=<b@x> proto=ESMTP helo=<h>: 5.7.1 spam", "reject milter client={mx.example.net[192.0.2.9]} dsn={5.7.1} text={spam} trigger={X-Spam: yes} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        ("4FCA1803C5: milter-header-warning: header X-Spam: yes from unknown[2001:db8::9]; from=<a@x>", "warn milter client={[2001:db8::9]} trigger={X-Spam: yes} from={a@x}"),
        ("4FCA1803C5: milter-body-hold: body viagra from mx.example.net[192.0.2.9]; from=<a@x>: x", "hold milter client={mx.example.net[192.0.2.9]} text={x} trigger={viagra} from={a@x}"),
    ]);
}

#[test]
fn checks_of_cleanup() {
    let actions = [
        "reject", "warning", "info", "filter", "pass", "discard", "hold", "delay", "prepend", "replace", "redirect",
        "bcc", "strip",
    ];
    for action in actions {
        for (part, by) in [("header", "header_check"), ("body", "body_check"), ("content", "mime_check")] {
            let name = if action == "warning" { "warn" } else { action };
            let line = format!(
                "4FCA1803C5: {action}: {part} Subject: a from b; c from {C}; from=<a@x> to=<b@x> proto=ESMTP helo=<h>"
            );
            let expected = format!("{name} {by} client={{{C}}}");
            let tail = "trigger={Subject: a from b; c} from={a@x} to={b@x} proto={ESMTP} helo={h}";
            check("postfix/cleanup", &[(&line, &format!("{expected} {tail}"))]);
            let text = if action == "reject" { "dsn={5.7.1} text={x: y; z}" } else { "text={5.7.1 x: y; z}" };
            check("postfix/cleanup", &[(&format!("{line}: 5.7.1 x: y; z"), &format!("{expected} {text} {tail}"))]);
        }
    }
    #[rustfmt::skip]
    check("postfix/cleanup", &[
        ("4FCA1803C5: warning: header Subject: x from local; from=<root>", "warn header_check trigger={Subject: x} from={root}"),
        ("4FCA1803C5: warning: header Subject: x from unknown; from=<>: y", "warn header_check text={y} trigger={Subject: x} from={}"),
        ("4FCA1803C5: reject: header Subject: x from local;", "reject header_check trigger={Subject: x}"),
        ("4FCA1803C5: hold: header X: y from mx.example.net[2001:db8::9]:4711; from=<a@x> proto=QMQP", "hold header_check client={mx.example.net[2001:db8::9]:4711} trigger={X: y} from={a@x} proto={QMQP}"),
        ("4FCA1803C5: reject: header X: y from local; from=<a b@x> to=<c>d@x>: no", "reject header_check text={no} trigger={X: y} from={a b@x} to={c>d@x}"),
        ("4FCA1803C5: reject: header Subject: é from unknown[192.0.2.9]; from=<\"é: >\"@x> to=<b@x> proto=ESMTP helo=<h>: ü", "reject header_check client={[192.0.2.9]} text={ü} trigger={Subject: é} from={\"é: >\"@x} to={b@x} proto={ESMTP} helo={h}"),
        ("4FCA1803C5: reject: mime-error improper use of 8-bit data in message header: Subject: x from y from mx.example.net[192.0.2.9]; from=<a@x> to=<b@x>", "reject mime_check client={mx.example.net[192.0.2.9]} text={improper use of 8-bit data in message header} trigger={Subject: x from y} from={a@x} to={b@x}"),
        ("4FCA1803C5: reject: mime-error MIME nesting exceeds safety limit:  from unknown; from=<> to=<unknown>", "reject mime_check text={MIME nesting exceeds safety limit} from={}"),
        // Cut.
        ("4FCA1803C5: reject: header Subject: x from mx.example.net[192.0.2.9]; from=<a@x> to=<b@", "reject header_check trigger={Subject: x from mx.example.net[192.0.2.9]; from=<a@x> to=<b@}"),
        ("4FCA1803C5: reject: header Subj", "reject header_check trigger={Subj}"),
    ]);
}

#[test]
fn checks_of_smtp() {
    let long = "X-Long: 0123456789 0123456789 0123456789 0123456789 0123456";
    assert_eq!(long.len(), 59);
    let long_line = format!("4FCA1803C5: warning: header {long}0: some text: more");
    #[rustfmt::skip]
    let vectors = [
        ("4FCA1803C5: replace: header X-Old: a: X-New: b", "replace header_check text={X-New: b} trigger={X-Old: a}"),
        ("4FCA1803C5: replace: header X-Old:: X-New:b", "replace header_check text={X-New:b} trigger={X-Old:}"),
        ("4FCA1803C5: prepend: header X-Old: a: b c: X-New: d", "prepend header_check text={X-New: d} trigger={X-Old: a: b c}"),
        ("4FCA1803C5: replace: header X-Old: a: X-Forged: b: X-New: d", "replace header_check trigger={X-Old: a: X-Forged: b: X-New: d}"),
        ("4FCA1803C5: replace: body secret: public", "replace body_check text={public} trigger={secret}"),
        ("4FCA1803C5: strip: header Received: from x by y", "strip header_check trigger={Received: from x by y}"),
        ("4FCA1803C5: info: header Subject: Re: a: b", "info header_check trigger={Subject: Re: a: b}"),
        ("4FCA1803C5: warning: body 0123456789 0123456789 0123456789: a b c d e f g h i j k l m n o p q", "warn body_check text={a b c d e f g h i j k l m n o p q} trigger={0123456789 0123456789 0123456789}"),
        // A whole tail in a header of a message that is sent.
        ("4FCA1803C5: strip: header X: y from e[192.0.2.9]; from=<>", "strip header_check trigger={X: y from e[192.0.2.9]; from=<>}"),
    ];
    for app_name in ["postfix/smtp", "postfix/lmtp"] {
        for (msg, expected) in vectors {
            assert_eq!(show(&verdict(app_name, msg)), expected, "{msg}");
        }
        // TEXT is cut.
        let long = verdict(app_name, &long_line);
        assert_eq!(long.trigger.map(str::len), Some(60));
        assert_eq!(long.reply.map(|reply| reply.text), Some("some text: more"));
    }
}

#[test]
fn proxies() {
    #[rustfmt::skip]
    check("postfix/smtpd", &[
        ("proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 5A1B2C3D4E; from=<a@x> to=<b@x> proto=ESMTP helo=<h>", "accept proxy stage={END-OF-MESSAGE} code={250} dsn={2.0.0} text={Ok: queued as 5A1B2C3D4E} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        ("proxy-reject: END-OF-MESSAGE: 554 5.7.1 no; virus; from=<a@x> to=<b@x> proto=ESMTP helo=<h> sasl_username=<alice@x>", "reject proxy stage={END-OF-MESSAGE} code={554} dsn={5.7.1} text={no; virus} from={a@x} to={b@x} proto={ESMTP} helo={h} username={alice@x}"),
        ("NOQUEUE: proxy-reject: RCPT: 451 4.3.0 Error: queue file write error; from=<> to=<b@x> proto=SMTP helo=<>", "reject proxy stage={RCPT} code={451} dsn={4.3.0} text={Error: queue file write error} from={} to={b@x} proto={SMTP}"),
    ]);
}

#[test]
fn postscreen() {
    #[rustfmt::skip]
    check("postfix/postscreen", &[
        ("NOQUEUE: reject: RCPT from [192.0.2.9]:4711: 550 5.7.1 Service unavailable; client [192.0.2.9] blocked using bl.example.org; from=<a@x>, to=<b@x>, proto=ESMTP, helo=<h>", "reject postscreen stage={RCPT} client={[192.0.2.9]:4711} code={550} dsn={5.7.1} text={Service unavailable; client [192.0.2.9] blocked using bl.example.org} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        ("NOQUEUE: reject: RCPT from [2001:db8::9]:4711: 450 4.3.2 Service currently unavailable; from=<>, to=<b@x>, proto=SMTP, helo=<>", "reject postscreen stage={RCPT} client={[2001:db8::9]:4711} code={450} dsn={4.3.2} text={Service currently unavailable} from={} to={b@x} proto={SMTP}"),
        ("NOQUEUE: reject: RCPT from [192.0.2.9]:4711: 550 x; from=<\"a>, to=<c@x>, proto=SMTP, helo=<\"@x>, to=<\"; from=<b>, to=<d\"@x>, proto=SMTP, helo=<h>;helo=<x>>", "reject postscreen stage={RCPT} client={[192.0.2.9]:4711} code={550} text={x} from={\"a>, to=<c@x>, proto=SMTP, helo=<\"@x} to={\"; from=<b>, to=<d\"@x} proto={SMTP} helo={h>;helo=<x>}"),
        ("NOQUEUE: reject: RCPT from [192.0.2.9]:4711: 550 x; from=<a b@x>, to=<b, c@x>, proto=SMTP, helo=<h>", "reject postscreen stage={RCPT} client={[192.0.2.9]:4711} code={550} text={x} from={a b@x} to={b, c@x} proto={SMTP} helo={h}"),
        ("NOQUEUE: reject: CONNECT from [192.0.2.9]:4711: too many connections", "reject postscreen stage={CONNECT} client={[192.0.2.9]:4711} text={too many connections}"),
        ("NOQUEUE: reject: CONNECT from [192.0.2.9]:4711: all server ports busy", "reject postscreen stage={CONNECT} client={[192.0.2.9]:4711} text={all server ports busy}"),
        ("reject: connect from [192.0.2.9]:4711: all screening ports busy", "reject postscreen stage={CONNECT} client={[192.0.2.9]:4711} text={all screening ports busy}"),
    ]);
}

#[test]
fn not_verdicts() {
    let texts = [
        "NOQUEUE: client=mx.example.net[192.0.2.9]",
        "warning: reject: RCPT from mx.example.net[192.0.2.9]: 550 x; proto=SMTP",
        "NOQUEUE: reject: from mx.example.net[192.0.2.9]: 550 x; proto=SMTP",
        "NOQUEUE: reject: rcpt from mx.example.net[192.0.2.9]: 550 x; proto=SMTP",
        "NOQUEUE: rejects: RCPT from mx.example.net[192.0.2.9]: 550 x; proto=SMTP",
        "reject: header Subject: x from local; from=<a@x>",
        "4FCA1803C5: reject: headers Subject: x from local; from=<a@x>",
        "4FCA1803C5: reject:header Subject: x from local; from=<a@x>",
        "reject: ETRN example.com",
        "reject: ETR",
        "proxy-accept: x: 250 y",
        "milter-reject: x",
        "milter-header-reject: x",
        "reject: ",
        "reject",
        "",
    ];
    for text in texts {
        for app_name in ["postfix/smtpd", "postfix/cleanup", "postfix/postscreen", "postfix"] {
            let event = event(app_name, text);
            assert!(!matches!(event, Event::Verdict(_)), "{app_name}: {text}: {event:?}");
        }
    }
}
