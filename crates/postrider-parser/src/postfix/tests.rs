mod connections;
mod programs;
mod verbose;

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::dsn::Dsn;
use crate::record::{Cause, Decimal, Delays, Delivery, Endpoint, Reply, Text};

/// The message of a line of a log file: `Nov 24 02:10:35 mx1 postfix/smtp[1234]: TEXT`.
pub(super) fn message(line: &str) -> Message<'_> {
    let mut parts = line.splitn(6, ' ').filter(|part| !part.is_empty());
    let [hostname, tag, msg] = [parts.nth(3), parts.next(), parts.next()];
    let tag = tag.unwrap_or("").trim_end_matches(':');
    let (app_name, procid) = tag.split_once('[').map_or((tag, None), |(name, pid)| (name, pid.strip_suffix(']')));
    Message { hostname, app_name: Some(app_name), procid, msg: msg.unwrap_or(""), ..Message::default() }
}

fn smtp(msg: &str) -> Message<'_> {
    Message { app_name: Some("postfix/smtp"), msg, ..Message::default() }
}

/// The delivery in the text of a line of smtp, and the flags.
#[track_caller]
fn delivery(text: &str) -> (Delivery<'_>, Flags) {
    match parse(&smtp(text)) {
        Some(Postfix { event: Event::Delivery(delivery), flags, .. }) => (delivery, flags),
        other => panic!("no delivery: {other:?}"),
    }
}

fn decimal(text: &str) -> Decimal<'_> {
    Decimal::new(text).expect("a number")
}

fn dsn(text: &str) -> Option<Dsn<'_>> {
    let dsn = Dsn::parse(text);
    assert!(dsn.is_some(), "{text} is no code");
    dsn
}

fn host<'a>(name: &'a str, ip: &'a str, port: Option<u16>) -> Endpoint<'a> {
    Endpoint { name: Some(name), ip: Some(ip), port, path: None }
}

#[test]
fn every_field_of_a_delivery() {
    let text = "3Pt2mN2VXxzNjll: to=<b@example.net>, orig_to=<a@example.com>, relay=mx.example.net[192.0.2.25]:25, \
                conn_use=3, delay=12, delays=0.11/0.02/1.5/10, tls=dane/requiretls, dsn=4.2.0, status=deferred \
                (host mx.example.net[192.0.2.25] said: 450 4.2.0 <b@example.net>: Recipient address rejected: \
                Greylisted (in reply to RCPT TO command))";
    let expected = Delivery {
        to: "b@example.net",
        orig_to: Some("a@example.com"),
        relay: Some(host("mx.example.net", "192.0.2.25", Some(25))),
        conn_use: Some(3),
        delay: Some(decimal("12")),
        delays: Some(Delays {
            before_queue_manager: decimal("0.11"),
            in_queue_manager: decimal("0.02"),
            connection_setup: decimal("1.5"),
            transmission: decimal("10"),
        }),
        tls_feature: Some("dane/requiretls"),
        dsn: dsn("4.2.0"),
        status: "deferred",
        reason: Some(
            "host mx.example.net[192.0.2.25] said: 450 4.2.0 <b@example.net>: Recipient address rejected: \
             Greylisted (in reply to RCPT TO command)",
        ),
        reply: Some(Reply {
            code: Some(450),
            dsn: dsn("4.2.0"),
            text: "<b@example.net>: Recipient address rejected: Greylisted",
            command: Some("RCPT TO"),
            server: Some(host("mx.example.net", "192.0.2.25", None)),
            ..Reply::default()
        }),
        remote_queue_id: None,
        forwarded_as: None,
        cause: Some(Cause::Greylisted),
        cause_detail: None,
    };
    assert_eq!(delivery(text), (expected, Flags::empty()));

    let postfix = parse(&smtp(text)).expect("a tag of Postfix");
    assert_eq!((postfix.instance, postfix.service, postfix.daemon), ("postfix", None, Some("smtp")));
    assert_eq!(postfix.queue_id, Some("3Pt2mN2VXxzNjll"));
}

#[test]
fn a_success_names_the_next_message() {
    let sent = |relay: &str, reason: &str| {
        format!(
            "4FCA1803C5: to=<b@example.net>, relay={relay}, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent ({reason})"
        )
    };
    let mx = "mx.example.net[2001:db8::25]:25";
    #[rustfmt::skip]
    let vectors = [
        (mx, "250 2.0.0 Ok: queued as 5A1B2C3D4E", Some(250), Some("5A1B2C3D4E"), None),
        (mx, "250 OK id=1r6Lxx-0001Ab-2C", Some(250), Some("1r6Lxx-0001Ab-2C"), None),
        (mx, "250-first 250 2.0.0 Ok: queued as 5A1B2C3D4E", Some(250), Some("5A1B2C3D4E"), None),
        ("mx.example.org[private/lmtp]", "250 2.1.5 Ok", Some(250), None, None),
        ("local", "forwarded as 5A1B2C3D4E", None, None, Some("5A1B2C3D4E")),
        ("local", "forwarded as requested", None, None, None),
        ("local", "delivered to mailbox", None, None, None),
        ("dovecot", "delivered via dovecot service (250 2.0.0 Ok: queued as 5A1B2C3D4E)", None, None, None),
        ("spamfilter", "250 2.0.0 Ok: queued as 5A1B2C3D4E", None, None, None),
        ("none", "250 2.0.0 Ok: queued as 5A1B2C3D4E", None, None, None),
    ];
    for (relay, reason, code, remote_queue_id, forwarded_as) in vectors {
        let text = sent(relay, reason);
        let (delivery, flags) = delivery(&text);
        assert_eq!(delivery.reply.and_then(|reply| reply.code), code, "{text}");
        assert_eq!((delivery.remote_queue_id, delivery.forwarded_as), (remote_queue_id, forwarded_as), "{text}");
        assert_eq!((delivery.reason, delivery.cause, flags), (Some(reason), None, Flags::empty()), "{text}");
    }
}

#[test]
fn old_cut_and_munged_deliveries() {
    let (old, flags) =
        delivery("4FCA1803C5: to=<b@example.net>, relay=mx.example.net[192.0.2.25], delay=3, status=sent (250 ok)");
    assert_eq!((old.status, old.dsn, old.delays, old.delay), ("sent", None, None, Some(decimal("3"))));
    assert_eq!(flags, Flags::empty());

    let (other_order, _) =
        delivery("to=<b@example.net>, dsn=2.0.0, new=1, relay=local, delay=0, x, status=sent (a (b) c)");
    assert_eq!((other_order.dsn, other_order.reason), (dsn("2.0.0"), Some("a (b) c")));
    assert_eq!(other_order.relay.and_then(|relay| relay.name), Some("local"));

    let (damaged, _) =
        delivery("to=<b@x>, relay=local, conn_use=1, delay=1e3, delays=0/0/0, tls=, dsn=9.1.1, status=odd (x)");
    assert_eq!((damaged.conn_use, damaged.delay, damaged.delays), (None, None, None));
    assert_eq!((damaged.tls_feature, damaged.dsn, damaged.status), (None, None, "odd"));

    let cases = [
        ("to=<b@x>, relay=none, status=deferred (connect to mx", Some("connect to mx"), Flags::REASON_TRUNCATED),
        ("to=<b@x>, relay=none, status=deferred (", None, Flags::REASON_TRUNCATED),
        ("to=<b@x>, relay=none, status=deferred", None, Flags::REASON_TRUNCATED),
        ("to=<b@x>, relay=none, status=deferred ()", None, Flags::empty()),
        ("to=<b@x>, relay=none, status=deferred (a) ", Some("a"), Flags::empty()),
        ("to=<b@x>, relay=none, status=deferred (a))", Some("a)"), Flags::empty()),
    ];
    for (text, reason, expected) in cases {
        let (delivery, flags) = delivery(text);
        assert_eq!((delivery.reason, delivery.status, flags), (reason, "deferred", expected), "{text}");
    }
}

#[test]
fn not_deliveries() {
    #[rustfmt::skip]
    let vectors = [
        ("4FCA1803C5: status=deferred (bounce failed)", None, "status=deferred (bounce failed)"),
        ("4FCA1803C5: from=<>, status=expired, returned to sender", None, "from=<>, status=expired, returned to sender"),
        ("connect to mx.example.net[192.0.2.25]:25: Connection refused", None, "connect to mx.example.net[192.0.2.25]:25: Connection refused"),
        ("4FCA1803C5: host mx[192.0.2.1] said: 450 x, to=<b@x>, status=sent (y)", None, "host mx[192.0.2.1] said: 450 x, to=<b@x>, status=sent (y)"),
        ("4FCA1803C5: to=<b@example.net>, relay=mx.exam", None, "to=<b@example.net>, relay=mx.exam"),
        ("4FCA1803C5: to=<b@example.net>, relay=none, delay=1, status=sen", None, "to=<b@example.net>, relay=none, delay=1, status=sen"),
        ("4FCA1803C5: to=<b@example.net>", None, "to=<b@example.net>"),
        ("warning: 4FCA1803C5: to=<b@x>, relay=none, status=sent (y)", Some(Level::Warning), "to=<b@x>, relay=none, status=sent (y)"),
        ("fatal: no SASL authentication mechanisms", Some(Level::Fatal), "no SASL authentication mechanisms"),
        ("panic: NOQUEUE: x", Some(Level::Panic), "x"),
        ("error: 3Pt2mN2VXxzNjll: x", Some(Level::Error), "x"),
        ("warning:x", None, "warning:x"),
        ("", None, ""),
    ];
    for (text, level, rest) in vectors {
        let postfix = parse(&smtp(text)).expect("a tag of Postfix");
        assert_eq!(postfix.level, level, "{text}");
        match postfix.event {
            Event::Delivery(delivery) => panic!("{text}: {delivery:?}"),
            Event::Warning(Text { text: found }) | Event::Other(Text { text: found }) => {
                assert_eq!(found, rest, "{text}");
            }
            _ => {}
        }
    }
}

#[test]
fn strangers_forge_nothing() {
    let (quoted, _) = delivery(
        r#"4FCA1803C5: to=<"x>, relay=evil[203.0.113.9]:25, dsn=2.0.0, status=sent (250 ok"@example.net>, relay=none, delay=0, delays=0/0/0/0, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=example.net type=A: Host not found)"#,
    );
    assert_eq!(quoted.to, r#""x>, relay=evil[203.0.113.9]:25, dsn=2.0.0, status=sent (250 ok"@example.net"#);
    assert_eq!((quoted.status, quoted.relay, quoted.dsn), ("bounced", None, dsn("5.4.4")));
    assert_eq!(quoted.cause, Some(Cause::HostNotFound));

    let (reply, _) = delivery(
        "4FCA1803C5: to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1, delays=0/0/0/1, dsn=5.0.0, \
         status=bounced (host mx.example.net[192.0.2.25] said: 550 no), relay=evil[203.0.113.9]:25, dsn=2.0.0, \
         status=sent (250 queued as ABCDEF012345 (in reply to DATA command) (in reply to RCPT TO command))",
    );
    assert_eq!((reply.status, reply.dsn, reply.remote_queue_id), ("bounced", dsn("5.0.0"), None));
    assert_eq!(reply.relay, Some(host("mx.example.net", "192.0.2.25", Some(25))));
    let said = reply.reply.expect("a reply");
    assert_eq!((said.code, said.command), (Some(550), Some("RCPT TO")));

    // An event that answers no message names none.
    let (protocol_error, _) = delivery(
        "to=<b@x>, relay=mx[192.0.2.1]:25, dsn=5.5.0, status=bounced (Protocol error: host unknown[unknown] said: \
         250 queued as ABCDEF012345 (in reply to RCPT TO command))",
    );
    assert_eq!(protocol_error.remote_queue_id, None);

    // A server that quotes Postfix's own words does not choose among Postfix's own causes.
    let (words, _) = delivery(
        "to=<b@x>, relay=mx[192.0.2.1]:25, dsn=5.0.0, status=bounced (host mx[192.0.2.1] said: 550 delivery temporarily \
         suspended: connect to a: Connection timed out (in reply to RCPT TO command))",
    );
    assert_eq!(words.cause, Some(Cause::Other));
}

#[test]
fn a_lost_daemon_is_inferred() {
    let text = "4FCA1803C5: to=<b@example.net>, relay=mx[192.0.2.25]:25, delay=1, status=sent (250 ok)";
    #[rustfmt::skip]
    let vectors = [
        ("postfix", Flags::empty(), text, Some("smtp"), true),
        ("postfix-out", Flags::empty(), "connect from mx[192.0.2.1]", Some("smtpd"), true),
        ("postfix", Flags::empty(), "table hash:/etc/aliases has changed -- restarting", None, false),
        ("postfix/smtp", Flags::empty(), "connect from mx[192.0.2.1]", Some("smtp"), false),
        ("postfix-out/content-filter/smtp-am", Flags::TAG_TRUNCATED, text, Some("smtp"), true),
        ("postfix-outbound/submission/smtp", Flags::TAG_TRUNCATED, "connect from mx[192.0.2.1]", Some("smtpd"), true),
        ("postfix-outbound/submission/smtp", Flags::TAG_TRUNCATED, "table x has changed", Some("smtp"), false),
        ("postfix-outbound/content/trivial", Flags::TAG_TRUNCATED, "table x has changed", Some("trivial-rewrite"), true),
    ];
    for (app_name, flags, msg, daemon, inferred) in vectors {
        let message = Message { app_name: Some(app_name), msg, flags, ..Message::default() };
        let postfix = parse(&message).expect("a tag of Postfix");
        assert_eq!(postfix.daemon, daemon, "{app_name}: {msg}");
        assert_eq!(postfix.flags.contains(Flags::DAEMON_INFERRED), inferred, "{app_name}: {msg}");
    }
}

#[test]
fn other_programs_are_none() {
    let message =
        Message { app_name: Some("policyd-spf"), msg: "4FCA1803C5: to=<b@x>, status=sent (x)", ..Message::default() };
    assert_eq!(parse(&message), None);
}

#[test]
fn the_corpus_is_read() {
    let corpus = include_str!("../../../../tests/corpus/postfix/delivery.log");
    let mut statuses = std::collections::BTreeSet::new();
    for line in corpus.lines() {
        let postfix = parse(&message(line)).unwrap_or_else(|| panic!("not Postfix's: {line}"));
        if let Event::Delivery(delivery) = postfix.event {
            statuses.insert(delivery.status);
        }
    }
    for status in
        ["sent", "bounced", "softbounce", "deferred", "deliverable", "undeliverable", "undeliverable_but_not_cached"]
    {
        assert!(statuses.contains(status), "{status}");
    }
}

#[test]
fn time_is_linear_in_the_length() {
    let shapes: [fn(&str) -> String; 6] = [
        |x| format!("to=<{x}>, relay=none, delay=0, delays=0/0/0/0, dsn=5.0.0, status=bounced (x)"),
        |x| format!("to=<\"{x}\"@x>, relay=none, delay=0, status=bounced (x)"),
        |x| format!("to=<b@x>, relay={x}, delay={x}, delays={x}, dsn={x}, status=bounced (x)"),
        |x| format!("to=<b@x>, relay=mx[192.0.2.1]:25, status=bounced ({x})"),
        |x| format!("to=<b@x>, relay=mx[192.0.2.1]:25, status=bounced (host mx[192.0.2.1] said: 550 {x})"),
        |x| format!("to=<b@x>, relay=mx[192.0.2.1]:25, status=sent (250 {x})"),
    ];
    let nasty = [
        "<",
        ">",
        "\"",
        "\\",
        "(",
        ")",
        "[",
        "]",
        ",",
        ", ",
        "=",
        " ",
        ":",
        "/",
        "é",
        "z",
        "q",
        "0",
        "250 ",
        "<<>",
        ", relay=",
        ">, ",
        " (in reply to ",
        "queued as ",
        " qp ",
        "host ",
        "spam",
        "\"@",
    ];
    // 250 texts take some tens of milliseconds without optimization; quadratic time would take minutes.
    assert_linear(&nasty, 10, |text| {
        for shape in shapes {
            let _ = parse(&smtp(&shape(text)));
        }
        let _ = parse(&smtp(text));
        let _ = parse(&Message { app_name: Some("postfix"), msg: text, ..Message::default() });
        let _ = parse(&Message { app_name: Some(text), msg: "", flags: Flags::TAG_TRUNCATED, ..Message::default() });
    });
}

/// Repeats each unit up to 64 KiB, and has `read` read these texts. Panics if all of them together take `seconds`, far
/// less than quadratic time would.
#[track_caller]
pub(super) fn assert_linear(units: &[&str], seconds: u64, mut read: impl FnMut(&str)) {
    let started = Instant::now();
    for unit in units {
        read(&unit.repeat(64 * 1024 / unit.len()));
    }
    assert!(started.elapsed().as_secs() < seconds, "{:?}", started.elapsed());
}

fn quoted_local_part() -> impl Strategy<Value = String> {
    // The result of `quote_822_local()` for any text: quotes and backslashes escaped.
    "[ -~é]{0,40}|, status=sent \\([a-z]{3}|>, relay=[a-z]{3}"
        .prop_map(|local| format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn address() -> impl Strategy<Value = String> {
    let local = prop_oneof!["[a-z0-9.+=_-]{1,20}".boxed(), quoted_local_part().boxed()];
    prop_oneof![
        (local, "[a-z]{1,10}\\.example").prop_map(|(local, domain)| format!("{local}@{domain}")),
        Just(String::new()),
        Just("root".to_owned()),
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,20}".boxed(),
        Just(", status=sent (".to_owned()).boxed(),
        Just(", dsn=2.0.0, status=sent (250 ok)".to_owned()).boxed(),
        Just(">, relay=evil[203.0.113.9]:25, delay=0".to_owned()).boxed(),
        Just("to=<x@example.org>, orig_to=<y@example.org>".to_owned()).boxed(),
        Just(" (in reply to DATA command)".to_owned()).boxed(),
        Just("\"@x>, relay=".to_owned()).boxed(),
        Just("))((".to_owned()).boxed(),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(app_name in "(postfix(-[a-z]{1,5})?(/[a-z]{1,8}){0,2}|\\PC{0,20})", msg in "\\PC{0,200}", cut: bool) {
        let flags = if cut { Flags::TAG_TRUNCATED } else { Flags::empty() };
        let _ = parse(&Message { app_name: Some(&app_name), msg: &msg, flags, ..Message::default() });
    }

    #[test]
    fn no_damaged_delivery_panics(
        (text, from, to) in hostile().prop_map(|x| format!("4FCA1803C5: to=<\"é\\\"\"@x>, relay=mx[192.0.2.1]:25, status=x (host mx[192.0.2.1] said: 550 5.1.1 {x})"))
            .prop_flat_map(|text| { let length = text.len(); (Just(text), 0..length, 0..length) })
    ) {
        let start = text.floor_char_boundary(from.min(to));
        let end = text.floor_char_boundary(from.max(to));
        let _ = parse(&smtp(&text[start..end]));
        let _ = parse(&smtp(&text[..end]));
    }

    #[test]
    fn a_delivery_reads_back(
        to in address(),
        orig_to in proptest::option::of(address()),
        hostile in hostile(),
        micros in 0_u32..1_000_000,
        (status, code) in prop_oneof![Just(("bounced", 550_u16)), Just(("deferred", 450)), Just(("SOFTBOUNCE", 550))],
    ) {
        let original = orig_to.as_ref().map_or_else(String::new, |address| format!(", orig_to=<{address}>"));
        let text = format!(
            "{micros:05X}1A2B: to=<{to}>{original}, relay=mx.example.net[2001:db8::25]:25, delay=1.5, delays=0.1/0/0.4/1, \
             dsn=4.0.0, status={status} (host mx.example.net[2001:db8::25] said: {code} {hostile} (in reply to RCPT TO command))"
        );
        let (delivery, flags) = delivery(&text);
        prop_assert_eq!(delivery.to, to);
        prop_assert_eq!(delivery.orig_to, orig_to.as_deref());
        prop_assert_eq!(delivery.relay, Some(host("mx.example.net", "2001:db8::25", Some(25))));
        prop_assert_eq!(delivery.status, status.to_lowercase());
        prop_assert_eq!(delivery.dsn, dsn("4.0.0"));
        let second = hostile.split_once(">, ").is_some_and(|(_, rest)| format!(", {rest}").contains(", status="));
        prop_assert_eq!(flags, if second { Flags::STATUS_AMBIGUOUS } else { Flags::empty() });
        let reply = delivery.reply.expect("a reply");
        prop_assert_eq!((reply.code, reply.command), (Some(code), Some("RCPT TO")));
        prop_assert_eq!(reply.server, Some(host("mx.example.net", "2001:db8::25", None)));
        prop_assert_eq!(delivery.remote_queue_id, None);
    }
}
