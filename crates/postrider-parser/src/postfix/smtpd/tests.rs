use proptest::prelude::*;

use super::super::parse;
use super::super::tests::{assert_linear, message};
use super::*;
use crate::record::{
    Cause, Client, Commands, Connect, ConnectionLost, Disconnect, HostnameMismatch, Level, Notice, Postfix,
    ProtocolError, RateLimit, Sasl, SaslFailure, Text, TlsError, Verdict,
};
use crate::syslog::Message;

/// Reads a line of smtpd, with its level and queue id, as the stage does.
fn postfix(text: &str) -> Postfix<'_> {
    let message = Message { app_name: Some("postfix/smtpd"), msg: text, ..Message::default() };
    parse(&message).expect("a tag of Postfix")
}

fn event(text: &str) -> Event<'_> {
    postfix(text).event
}

#[track_caller]
fn check<'a>(vectors: impl IntoIterator<Item = (&'a str, Event<'a>)>) {
    for (text, expected) in vectors {
        assert_eq!(event(text), expected, "{text}");
    }
}

/// `mx.example.com[192.0.2.1]`.
const MX: Option<Endpoint<'_>> = Some(host("mx.example.com", "192.0.2.1"));

const fn host<'a>(name: &'a str, ip: &'a str) -> Endpoint<'a> {
    Endpoint { name: Some(name), ip: Some(ip), port: None, path: None }
}

const fn address(ip: &str) -> Endpoint<'_> {
    Endpoint { name: None, ip: Some(ip), port: None, path: None }
}

const fn name(name: &str) -> Endpoint<'_> {
    Endpoint { name: Some(name), ip: None, port: None, path: None }
}

#[test]
fn clients() {
    let with_port = Some(Endpoint { port: Some(4711), ..host("mx.example.com", "192.0.2.1") });
    #[rustfmt::skip]
    let vectors = [
        ("mx.example.com[192.0.2.1]", MX, ""),
        ("mx.example.com[192.0.2.1]:4711", with_port, ""),
        ("mx.example.com[192.0.2.1]: SASL", MX, ": SASL"),
        ("mx.example.com[192.0.2.1]:4711: SASL", with_port, ": SASL"),
        ("mx.example.com[192.0.2.1]:99999 x", MX, " x"),
        ("mx.example.com[192.0.2.1]:unknown", MX, ""),
        ("unknown[2001:db8::1]:unknown: SASL", Some(address("2001:db8::1")), ": SASL"),
        ("unknown[unknown]:unknown", None, ""),
        ("unknown[192.0.2.1]", Some(address("192.0.2.1")), ""),
        ("unknown[2001:db8::1]", Some(address("2001:db8::1")), ""),
        ("unknown[fe80::1%eth0]:4711", Some(Endpoint { ip: Some("fe80::1%eth0"), port: Some(4711), ..Endpoint::default() }), ""),
        ("mx.example.com[unknown]", Some(name("mx.example.com")), ""),
        ("unknown[unknown]", None, ""),
        ("[192.0.2.1]", Some(address("192.0.2.1")), ""),
        ("bücher.example[192.0.2.1]", Some(host("bücher.example", "192.0.2.1")), ""),
        ("b?cher.example[192.0.2.1]", Some(host("b?cher.example", "192.0.2.1")), ""),
        ("mx.example.com[192.0.2.xxx]", Some(name("mx.example.com")), ""),
        // Cut: half a name or half an address is none.
        ("mx.example.com[192.0.2.1", Some(name("mx.example.com")), ""),
        ("mx.example.com[", Some(name("mx.example.com")), ""),
        ("mx.examp", None, ""),
        ("", None, ""),
    ];
    for (text, client, rest) in vectors {
        assert_eq!(split_client(text), Some((client, rest)), "{text}");
    }
    for text in ["a b[192.0.2.1]", " x", "a[b c]", "a[[192.0.2.1]]", "<a>", "a, b", "a(b)"] {
        assert_eq!(split_client(text), None, "{text}");
    }
}

#[test]
fn sessions_begin_and_end() {
    let disconnect = |client, commands: Option<&'static str>, notes| {
        Event::Disconnect(Disconnect { client, commands: commands.map(Commands), notes })
    };
    #[rustfmt::skip]
    check([
        ("connect from mx.example.com[192.0.2.1]", Event::Connect(Connect { client: MX, local: None, server: None })),
        ("connect from unknown[unknown]", Event::Connect(Connect { client: None, local: None, server: None })),
        ("connect from mx.exam", Event::Connect(Connect { client: None, local: None, server: None })),
        ("disconnect from mx.example.com[192.0.2.1]", disconnect(MX, None, None)),
        ("disconnect from mx.example.com[192.0.2.1] ehlo=1 mail=1 rcpt=0/2 quit=1 commands=3/5", disconnect(MX, Some("ehlo=1 mail=1 rcpt=0/2 quit=1 commands=3/5"), None)),
        ("disconnect from unknown[2001:db8::1] commands=0/0", disconnect(Some(address("2001:db8::1")), Some("commands=0/0"), None)),
        ("disconnect from mx.example.com[192.0.2.1] helo=1 bdat=1 commands=2 notes=bare_lf", disconnect(MX, Some("helo=1 bdat=1 commands=2"), Some("bare_lf"))),
        ("disconnect from mx.example.com[192.0.2.1] notes=bare_lf", disconnect(MX, None, Some("bare_lf"))),
        // Cut.
        ("disconnect from mx.example.com[192.0.2.1] ehlo=1 ma", disconnect(MX, Some("ehlo=1 ma"), None)),
        ("disconnect from mx.example.com[192.0.2.1] eh", disconnect(MX, None, None)),
        ("disconnect from mx.example.com[192", disconnect(Some(name("mx.example.com")), None, None)),
        // This line is not smtpd's.
        ("connect from mx.example.com[192.0.2.1] x", Event::Other(Text { text: "connect from mx.example.com[192.0.2.1] x" })),
        ("disconnect from mx.example.com[192.0.2.1]x", Event::Other(Text { text: "disconnect from mx.example.com[192.0.2.1]x" })),
    ]);
    let Event::Disconnect(Disconnect { commands: Some(commands), .. }) =
        event("disconnect from mx.example.com[192.0.2.1] rcpt=0/2 data=1 commands=1/3 notes=bare_lf")
    else {
        panic!("no commands")
    };
    assert!(commands.iter().eq([("rcpt", 0, 2), ("data", 1, 1), ("all", 1, 3)]));
}

#[test]
fn who_submits() {
    let client =
        |method, username, sender| Client { client: MX, sasl: Sasl { method, username, sender }, ..Client::default() };
    let plain = |username| client(Some("PLAIN"), Some(username), None);
    let xforward =
        |client: Client<'static>, orig_queue_id, orig_client| Client { orig_queue_id, orig_client, ..client };
    #[rustfmt::skip]
    let vectors = [
        ("", client(None, None, None)),
        (", sasl_method=EXTERNAL", client(Some("EXTERNAL"), None, None)),
        (", sasl_method=PLAIN, sasl_username=anna@example.com", plain("anna@example.com")),
        (", sasl_method=PLAIN, sasl_username=anna, sasl_sender=bob@example.com", client(Some("PLAIN"), Some("anna"), Some("bob@example.com"))),
        (", sasl_sender=bob@example.com", client(None, None, Some("bob@example.com"))),
        (", orig_queue_id=4FCA1803C5, orig_client=gate.example.net[2001:db8::9]:4711", xforward(client(None, None, None), Some("4FCA1803C5"), Some(Endpoint { port: Some(4711), ..host("gate.example.net", "2001:db8::9") }))),
        (", orig_client=unknown[198.51.100.7]", xforward(client(None, None, None), None, Some(address("198.51.100.7")))),
        (", orig_queue_id=NOQUEUE, orig_client=unknown[unknown]", xforward(client(None, None, None), Some("NOQUEUE"), None)),
        (", sasl_method=PLAIN, sasl_username=filter, orig_queue_id=4FCA1803C5, orig_client=unknown[198.51.100.7]", xforward(plain("filter"), Some("4FCA1803C5"), Some(address("198.51.100.7")))),
        // A user is not quoted.
        (", sasl_method=PLAIN, sasl_username=Müller, Anna", plain("Müller, Anna")),
        (", sasl_method=PLAIN, sasl_username=a, sasl_method=b", plain("a, sasl_method=b")),
        (", sasl_method=PLAIN, sasl_username=a, sasl_username=b", plain("a, sasl_username=b")),
        (", sasl_method=PLAIN, sasl_username=a, orig_client=b c", plain("a, orig_client=b c")),
        (", sasl_method=PLAIN, sasl_username=a, orig_queue_id=b, c", plain("a, orig_queue_id=b, c")),
        (", sasl_method=PLAIN, sasl_username=a, orig_client=unknown[203.0.113.9], orig_client=unknown[198.51.100.7]", xforward(plain("a, orig_client=unknown[203.0.113.9]"), None, Some(address("198.51.100.7")))),
        // A sender is the client's to choose, and forges nothing.
        (", sasl_method=PLAIN, sasl_username=a, sasl_sender=x, orig_queue_id=4FCA1803C5, orig_client=mx.example.org[203.0.113.9]", client(Some("PLAIN"), Some("a"), Some("x, orig_queue_id=4FCA1803C5, orig_client=mx.example.org[203.0.113.9]"))),
        (", sasl_method=PLAIN, sasl_username=a, sasl_sender=x, sasl_sender=y", client(Some("PLAIN"), Some("a"), Some("x, sasl_sender=y"))),
        (", sasl_method=PLAIN, sasl_username=a, sasl_sender=x, sasl_username=y", client(Some("PLAIN"), Some("a"), Some("x, sasl_username=y"))),
        // A later version's, and cut.
        (", new_key=1, sasl_method=PLAIN, sasl_username=anna", plain("anna")),
        (", sasl_method=PLAIN, sasl_user", client(Some("PLAIN"), None, None)),
        (", sasl_method=PLAIN, sasl_username=", client(Some("PLAIN"), None, None)),
        (", orig_queue_id=4FCA1803C5, orig_client=gate.exa", xforward(client(None, None, None), Some("4FCA1803C5"), None)),
    ];
    for (fields, expected) in vectors {
        for id in ["4FCA1803C5", "4XwrP80sf8z1Bw", "NOQUEUE"] {
            let text = format!("{id}: client=mx.example.com[192.0.2.1]{fields}");
            let postfix = postfix(&text);
            assert_eq!(postfix.event, Event::Client(expected.clone()), "{text}");
            assert_eq!(postfix.queue_id, Some(id).filter(|id| *id != "NOQUEUE"));
        }
    }
    let other = "client=mx.example.com[192.0.2.1] x";
    check([(other, Event::Other(Text { text: other }))]);
}

#[test]
fn sessions_are_lost() {
    let lost = |client, cause, stage, bytes| Event::ConnectionLost(ConnectionLost { client, cause, stage, bytes });
    #[rustfmt::skip]
    let vectors = [
        ("lost connection after CONNECT from unknown[192.0.2.1]", lost(Some(address("192.0.2.1")), Cause::ConnectionLost, Some("CONNECT"), None)),
        ("lost connection after DATA (1460 bytes) from mx.example.com[192.0.2.1]", lost(MX, Cause::ConnectionLost, Some("DATA"), Some(1460))),
        ("lost connection after BDAT (18446744073709551615 bytes) from mx.example.com[192.0.2.1]", lost(MX, Cause::ConnectionLost, Some("BDAT"), Some(u64::MAX))),
        ("lost connection after DATA (approximately 1234 bytes) from mx.example.com[192.0.2.1]", lost(MX, Cause::ConnectionLost, Some("DATA"), Some(1234))),
        ("lost connection after DATA (99999999999999999999 bytes) from mx.example.com[192.0.2.1]", lost(MX, Cause::ConnectionLost, Some("DATA"), Some(u64::MAX))),
        ("timeout after END-OF-MESSAGE from mx.example.com[192.0.2.1]", lost(MX, Cause::ConversationTimedOut, Some("END-OF-MESSAGE"), None)),
        ("timeout after DATA content from unknown[unknown]", lost(None, Cause::ConversationTimedOut, Some("DATA content"), None)),
        ("too many errors after RCPT from mx.example.com[192.0.2.1]", lost(MX, Cause::TooManyErrors, Some("RCPT"), None)),
        ("too many errors after UNKNOWN from unknown[2001:db8::1]", lost(Some(address("2001:db8::1")), Cause::TooManyErrors, Some("UNKNOWN"), None)),
        // Cut.
        ("lost connection after DATA (1460 by", lost(None, Cause::ConnectionLost, None, None)),
        ("lost connection after RC", lost(None, Cause::ConnectionLost, None, None)),
        ("lost connection after RCPT from mx.examp", lost(None, Cause::ConnectionLost, Some("RCPT"), None)),
    ];
    for (text, expected) in vectors {
        // Postfix 3.10 has the id, or NOQUEUE.
        for before in ["", "NOQUEUE: ", "4FCA1803C5: "] {
            let text = format!("{before}{text}");
            let postfix = postfix(&text);
            assert_eq!(postfix.event, expected, "{text}");
            assert_eq!(postfix.queue_id.is_some(), before.starts_with('4'));
        }
    }
    for text in [
        "lost connection",
        "lost connection with proxy 127.0.0.1:10025",
        "timeout after",
        "timeout after <x> from mx[192.0.2.1]",
    ] {
        check([(text, Event::Other(Text { text }))]);
    }
}

#[test]
fn authentication_fails() {
    let failure = |client, method, username, reason| {
        Event::SaslFailure(SaslFailure { client, sasl: Sasl { method: Some(method), username, sender: None }, reason })
    };
    #[rustfmt::skip]
    check([
        ("warning: mx.example.com[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6", failure(MX, "LOGIN", None, Some("UGFzc3dvcmQ6"))),
        ("warning: unknown[2001:db8::1]: SASL PLAIN authentication failed: ", failure(Some(address("2001:db8::1")), "PLAIN", None, None)),
        ("warning: unknown[2001:db8::1]: SASL PLAIN authentication failed", failure(Some(address("2001:db8::1")), "PLAIN", None, None)),
        ("warning: unknown[unknown]: SASL CRAM-MD5 authentication failed: no mechanism available", failure(None, "CRAM-MD5", None, Some("no mechanism available"))),
        ("warning: mx.example.com[192.0.2.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=anna@example.com", failure(MX, "PLAIN", Some("anna@example.com"), None)),
        ("warning: mx.example.com[192.0.2.1]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=(unavailable)", failure(MX, "LOGIN", None, None)),
        ("warning: mx.example.com[192.0.2.1]: SASL LOGIN authentication failed: Connection lost to authentication server, sasl_username=ünï, b", failure(MX, "LOGIN", Some("ünï, b"), Some("Connection lost to authentication server"))),
        ("warning: mx.example.com[192.0.2.1]:4711: SASL LOGIN authentication aborted", failure(Some(Endpoint { port: Some(4711), ..host("mx.example.com", "192.0.2.1") }), "LOGIN", None, Some("authentication aborted"))),
        // Forged: a user, and a mechanism.
        ("warning: mx.example.com[192.0.2.1]: SASL PLAIN authentication failed: bad, sasl_username=x, sasl_username=root", failure(MX, "PLAIN", Some("x, sasl_username=root"), Some("bad"))),
        ("warning: mx.example.com[192.0.2.1]: SASL PLAIN authentication failed: bad, sasl_username=x from evil[203.0.113.9]: SASL LOGIN authentication failed: y", failure(MX, "PLAIN", Some("x from evil[203.0.113.9]: SASL LOGIN authentication failed: y"), Some("bad"))),
        ("warning: mx.example.com[192.0.2.1]: SASL evil[203.0.113.9]: authentication failed: bad", failure(MX, "evil[203.0.113.9]:", None, Some("bad"))),
        // No client says it.
        ("warning: SASL authentication failure: cannot connect to saslauthd server: No such file or directory", Event::Warning(Text { text: "SASL authentication failure: cannot connect to saslauthd server: No such file or directory" })),
        ("warning: mx.example.com[192.0.2.1]: SASL PLAIN authentication fai", Event::Warning(Text { text: "mx.example.com[192.0.2.1]: SASL PLAIN authentication fai" })),
    ]);
    assert_eq!(
        postfix("warning: mx.example.com[192.0.2.1]: SASL X authentication aborted").level,
        Some(Level::Warning)
    );
}

#[test]
fn names_that_are_not_the_clients() {
    let mismatch = |client, reason| Event::HostnameMismatch(HostnameMismatch { client, reason });
    #[rustfmt::skip]
    check([
        ("warning: hostname mx.example.com does not resolve to address 192.0.2.1", mismatch(MX, None)),
        ("warning: hostname mx.example.com does not resolve to address 192.0.2.1: Name or service not known", mismatch(MX, Some("Name or service not known"))),
        ("warning: hostname mx.example.com does not resolve to address 2001:db8::1: hostname nor servname provided, or not known", mismatch(Some(host("mx.example.com", "2001:db8::1")), Some("hostname nor servname provided, or not known"))),
        ("warning: hostname mx.example.com does not resolve to address 2001:db8::1", mismatch(Some(host("mx.example.com", "2001:db8::1")), None)),
        ("warning: 192.0.2.1: hostname mx.example.com verification failed: Name or service not known", mismatch(MX, Some("Name or service not known"))),
        ("warning: 2001:db8::1: hostname mx.example.com verification failed: Name or service not known", mismatch(Some(host("mx.example.com", "2001:db8::1")), Some("Name or service not known"))),
        ("warning: 192.0.2.1: address not listed for hostname mx.example.com", mismatch(MX, None)),
        // Cut.
        ("warning: hostname mx.example.com does not resolve to address 192.0.", mismatch(Some(name("mx.example.com")), None)),
        ("warning: hostname mx.example.com does not resolve to addr", Event::Warning(Text { text: "hostname mx.example.com does not resolve to addr" })),
        ("warning: hostname a b does not resolve to address 192.0.2.1", Event::Warning(Text { text: "hostname a b does not resolve to address 192.0.2.1" })),
        ("warning: example: hostname a verification failed", Event::Warning(Text { text: "example: hostname a verification failed" })),
    ]);
}

#[test]
fn limits() {
    let limit =
        |client, limit, value, limited_service| Event::RateLimit(RateLimit { client, limit, value, limited_service });
    #[rustfmt::skip]
    check([
        ("warning: Connection concurrency limit exceeded: 51 from mx.example.com[192.0.2.1] for service smtp", limit(MX, "connection_concurrency", Some(51), Some("smtp"))),
        ("warning: Connection rate limit exceeded: 31 from unknown[2001:db8::1] for service 192.0.2.2:submission", limit(Some(address("2001:db8::1")), "connection_rate", Some(31), Some("192.0.2.2:submission"))),
        ("warning: Message delivery request rate limit exceeded: 11 from mx.example.com[192.0.2.1]:4711 for service smtpd", limit(Some(Endpoint { port: Some(4711), ..host("mx.example.com", "192.0.2.1") }), "message_rate", Some(11), Some("smtpd"))),
        ("warning: Recipient address rate limit exceeded: 101 from mx.example.com[192.0.2.1] for service smtp", limit(MX, "recipient_rate", Some(101), Some("smtp"))),
        ("warning: New TLS session rate limit exceeded: 6 from mx.example.com[192.0.2.1] for service smtps", limit(MX, "new_tls_session_rate", Some(6), Some("smtps"))),
        ("warning: AUTH command rate limit exceeded: 7 from unknown[192.0.2.1] for service submission", limit(Some(address("192.0.2.1")), "auth_rate", Some(7), Some("submission"))),
        // Cut, and no number.
        ("warning: Connection rate limit exceeded: 31 from mx.example.com[192.0.2.1] for ser", limit(MX, "connection_rate", Some(31), None)),
        ("warning: Connection rate limit exceeded: -1 from mx.example.com[192.0.2.1] for service smtp", limit(MX, "connection_rate", None, Some("smtp"))),
        ("warning: Connection rate limit exceeded: 31", Event::Warning(Text { text: "Connection rate limit exceeded: 31" })),
    ]);
}

#[test]
fn broken_protocol() {
    let broken = |kind, client, stage, text| Event::ProtocolError(ProtocolError { client, kind, stage, text });
    #[rustfmt::skip]
    check([
        ("improper command pipelining after EHLO from mx.example.com[192.0.2.1]: MAIL FROM:<a@example.org>\\r\\n", broken("command_pipelining", MX, Some("EHLO"), Some("MAIL FROM:<a@example.org>\\r\\n"))),
        ("improper command pipelining after DATA from unknown[2001:db8::1]", broken("command_pipelining", Some(address("2001:db8::1")), Some("DATA"), None)),
        ("warning: non-SMTP command from mx.example.com[192.0.2.1]: GET / HTTP/1.1", broken("non_smtp_command", MX, None, Some("GET / HTTP/1.1"))),
        ("warning: Illegal address syntax from mx.example.com[192.0.2.1] in MAIL command: <a@example.org>x", broken("illegal_address_syntax", MX, Some("MAIL"), Some("<a@example.org>x"))),
        ("warning: Illegal address syntax from mx.example.com[192.0.2.1] in RCPT command: <ü@>", broken("illegal_address_syntax", MX, Some("RCPT"), Some("<ü@>"))),
        ("warning: NOQUEUE: malformed BDAT command syntax from mx.example.com[192.0.2.1]: BDAT x LAST", broken("malformed_bdat", MX, Some("BDAT"), Some("BDAT x LAST"))),
        ("warning: 4FCA1803C5: null BDAT request from mx.example.com[192.0.2.1]", broken("null_bdat", MX, Some("BDAT"), None)),
        ("warning: 4FCA1803C5: BDAT request from mx.example.com[192.0.2.1] exceeds message size limit", broken("bdat_too_large", MX, Some("BDAT"), None)),
        ("warning: mx.example.com[192.0.2.1] sent message header instead of SMTP command: From: <a@example.org>", broken("non_smtp_command", MX, None, Some("From: <a@example.org>"))),
        ("warning: mx.example.com[192.0.2.1] sent non-SMTP command: GET / HTTP/1.0", broken("non_smtp_command", MX, None, Some("GET / HTTP/1.0"))),
        ("bare <LF> received after CONNECT from unknown[2001:db8::1]", broken("bare_newline", Some(address("2001:db8::1")), Some("CONNECT"), None)),
        ("4FCA1803C5: bare <LF> received after DATA (1460 bytes) from mx.example.com[192.0.2.1]:unknown", broken("bare_newline", MX, Some("DATA"), None)),
        ("disconnect: mx.example.com[192.0.2.1]: not allowed: bare <LF>", broken("bare_newline", MX, None, None)),
        ("disconnect: from mx.example.com[192.0.2.1]:unknown not allowed: bare <LF>", broken("bare_newline", MX, None, None)),
        ("disconnect: not allowed: bare <LF> received from mx.example.com[192.0.2.1]", broken("bare_newline", MX, None, None)),
        ("disconnect: not allowed: bare <LF>", broken("bare_newline", None, None, None)),
        ("warning: bad ETRN example.com... from mx.example.com[192.0.2.1]", broken("bad_etrn", MX, Some("ETRN"), Some("example.com"))),
        // Forged: what the client sent is text to its end.
        ("warning: non-SMTP command from mx.example.com[192.0.2.1]: x from evil[203.0.113.9]: y", broken("non_smtp_command", MX, None, Some("x from evil[203.0.113.9]: y"))),
        ("improper command pipelining after EHLO from mx.example.com[192.0.2.1]: x after DATA from evil[203.0.113.9]: y", broken("command_pipelining", MX, Some("EHLO"), Some("x after DATA from evil[203.0.113.9]: y"))),
        ("warning: Illegal address syntax from mx.example.com[192.0.2.1] in MAIL command: <x> in RCPT command: y", broken("illegal_address_syntax", MX, Some("MAIL"), Some("<x> in RCPT command: y"))),
        ("warning: bad ETRN x... from evil[203.0.113.9]... from mx.example.com[192.0.2.1]", broken("bad_etrn", MX, Some("ETRN"), Some("x... from evil[203.0.113.9]"))),
        // Cut.
        ("warning: Illegal address syntax from mx.example.com[192.0.2.1] in MA", broken("illegal_address_syntax", MX, None, None)),
        ("warning: non-SMTP command from mx.example.com[192.0.2.1]: ", broken("non_smtp_command", MX, None, None)),
        ("improper command pipelining after EHLO from mx.example.com[192.", broken("command_pipelining", Some(name("mx.example.com")), Some("EHLO"), None)),
        ("warning: bad ETRN example.com... fro", Event::Warning(Text { text: "bad ETRN example.com... fro" })),
    ]);
}

#[test]
fn no_tls() {
    let wrapper = "Wrapper-mode request dropped from mx.example.com[192.0.2.1] for service smtps. TLS context \
                   initialization failed. For details see earlier warnings in your logs.";
    let why = "TLS context initialization failed. For details see earlier warnings in your logs.";
    #[rustfmt::skip]
    check([
        ("NOQUEUE: abort: TLS from mx.example.com[192.0.2.1]: No client certificate presented", Event::TlsError(TlsError { peer: MX, reason: "No client certificate presented" })),
        ("warning: Refusing STARTTLS request from mx.example.com[192.0.2.1] for service smtp", Event::TlsError(TlsError { peer: MX, reason: "Refusing STARTTLS request from mx.example.com[192.0.2.1] for service smtp" })),
        ("warning: Refusing TLS service request from mx.example.com[192.0.2.1] for service smtps", Event::TlsError(TlsError { peer: MX, reason: "Refusing TLS service request from mx.example.com[192.0.2.1] for service smtps" })),
        (wrapper, Event::TlsError(TlsError { peer: MX, reason: why })),
    ]);
}

#[test]
fn etrn_is_refused() {
    let verdict = Verdict {
        action: "reject",
        by: "restriction",
        stage: Some("ETRN"),
        client: MX,
        trigger: Some("x... from evil[203.0.113.9]"),
        ..Verdict::default()
    };
    let text = "warning: reject: ETRN x... from evil[203.0.113.9]... from mx.example.com[192.0.2.1]";
    check([(text, Event::Verdict(verdict))]);
}

#[test]
fn notices() {
    #[rustfmt::skip]
    let vectors = [
        ("ehlo_keywords_discarded", "discarding EHLO keywords: DSN CHUNKING"),
        ("command_replaced", "mx.example.com[192.0.2.1]: replacing command \"x from evil[203.0.113.9]: y\" with \"NOOP\""),
        ("reply_filtered", "reply filter in: 550 5.1.1 no"),
        ("reply_filtered", "reply filter out: 550 5.7.1 no"),
        ("dsn_mapped", "mapping DSN status 4.1.8 into Sender address status 4.1.8"),
        ("sasl_library", "SASL authentication info: could not find auxprop plugin"),
        ("backwards_compatible_default", "using backwards-compatible default setting smtputf8_enable=no to accept non-ASCII recipient address \"ü@example.com\" from mx.example.com[192.0.2.1]"),
    ];
    for (kind, text) in vectors {
        check([(text, Event::Notice(Notice { kind, server: None, text }))]);
        let warning = format!("warning: {text}");
        assert_eq!(event(&warning), Event::Warning(Text { text }));
    }
}

/// Lines of every shape that smtpd and qmqpd write.
fn lines() -> impl Iterator<Item = &'static str> {
    let smtpd = include_str!("../../../../../tests/corpus/postfix/smtpd.log");
    smtpd.lines().chain(include_str!("../../../../../tests/corpus/postfix/qmqpd.log").lines())
}

/// A cut may lose a client, but makes no other one of it.
///
/// Two shapes can't promise that: `hostname` has no brackets to tell a whole address from half of one, and in a line of
/// ETRN the client stands after its own words.
#[test]
fn no_cut_line_names_another_client() {
    for line in lines().filter(|line| !line.contains(" hostname ") && !line.contains(" ETRN ")) {
        let whole = format!("{:?}", parse(&message(line)));
        for cut in (0..line.len()).filter(|cut| line.is_char_boundary(*cut)) {
            let cut = format!("{:?}", parse(&message(&line[..cut])));
            for ip in cut.match_indices("ip: Some(").map(|(at, _)| cut[at..].split_inclusive(')').next()) {
                assert!(ip.is_some_and(|ip| whole.contains(ip)), "{ip:?} is not of {line}");
            }
        }
    }
}

#[test]
fn time_is_linear_in_the_length() {
    let heads = [
        "",
        "connect from ",
        "disconnect from ",
        "client=",
        "client=mx[192.0.2.1], sasl_username=",
        "client=mx[192.0.2.1]",
        "lost connection after ",
        "hostname ",
        "mx[192.0.2.1]: SASL ",
        "mx[192.0.2.1]: SASL PLAIN authentication failed: ",
        "Connection rate limit exceeded: ",
        "improper command pipelining after ",
        "Illegal address syntax from mx[192.0.2.1] in ",
        "bad ETRN ",
        "reject: ETRN ",
        "abort: TLS from ",
    ];
    let units = [
        "[",
        "]",
        "a",
        "é",
        "[a]:1",
        ": ",
        ", ",
        " from ",
        "... from ",
        " (",
        ", sasl_username=",
        ", sasl_sender=",
        ", orig_client=",
        ", orig_queue_id=",
        " while ",
        " command",
        " does not resolve to address ",
        " notes=",
        "=1 ",
    ];
    // 600 texts; one quadratic search takes seconds, all of them together less than one.
    assert_linear(&units, 10, |text| {
        for head in heads {
            let text = format!("{head}{text}");
            for app_name in ["postfix/smtpd", "postfix/qmqpd"] {
                let _ = parse(&Message { app_name: Some(app_name), msg: &text, ..Message::default() });
            }
        }
    });
}

proptest! {
    #[test]
    fn no_text_panics(level in "(warning: )?", id in "(NOQUEUE: |4FCA1803C5: )?", text in "\\PC{0,200}", qmqpd: bool) {
        let app_name = if qmqpd { "postfix/qmqpd" } else { "postfix/smtpd" };
        let msg = format!("{level}{id}{text}");
        let _ = parse(&Message { app_name: Some(app_name), msg: &msg, ..Message::default() });
    }

    #[test]
    fn no_mutated_line_panics(
        line in proptest::sample::select(lines().collect::<Vec<_>>()),
        other in proptest::sample::select(lines().collect::<Vec<_>>()),
        at in 0..300_usize,
        skip in 0..10_usize,
        insert in "\\PC{0,5}",
    ) {
        let before = &line[..line.floor_char_boundary(at)];
        let after = &other[other.floor_char_boundary(at + skip)..];
        let _ = parse(&message(&format!("{before}{insert}{after}")));
    }

    /// Whatever a client sends, the fields before it are those of the line.
    #[test]
    fn a_client_forges_nothing(sent in "( from |evil\\[203\\.0\\.113\\.9\\]|: |, sasl_username=|, orig_client=| in RCPT command: |[a-z]){1,8}") {
        // Blanks at the end are those of a relay.
        let sent = sent.trim_ascii_end();
        let pipelining = format!("improper command pipelining after EHLO from mx.example.com[192.0.2.1]: {sent}");
        let expected = Event::ProtocolError(ProtocolError { client: MX, kind: "command_pipelining", stage: Some("EHLO"), text: Some(sent) });
        prop_assert_eq!(event(&pipelining), expected);

        let failed = format!("warning: mx.example.com[192.0.2.1]: SASL PLAIN authentication failed: bad, sasl_username={sent}");
        let sasl = Sasl { method: Some("PLAIN"), username: Some(sent), sender: None };
        prop_assert_eq!(event(&failed), Event::SaslFailure(SaslFailure { client: MX, sasl, reason: Some("bad") }));

        let client = format!("4FCA1803C5: client=mx.example.com[192.0.2.1], sasl_method=PLAIN, sasl_username=anna, sasl_sender={sent}");
        let sasl = Sasl { method: Some("PLAIN"), username: Some("anna"), sender: Some(sent) };
        prop_assert_eq!(event(&client), Event::Client(Client { client: MX, sasl, ..Client::default() }));
    }
}
