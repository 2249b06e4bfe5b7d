//! Clients, and what smtpd makes of them: restrictions, limits, authentication, broken protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::Rsyslog;
use testkit::sasl;
use testkit::smtp::Session;

/// A session whose greeting has been read.
fn session(server: SocketAddr) -> Session {
    let mut session = Session::connect(server);
    session.reply();
    session
}

#[test]
fn restrictions() {
    let rsyslog = Rsyslog::setup().start();
    let closed = Port::reserve();
    let postfix = Postfix::setup()
        .parameter("smtpd_authorized_xclient_hosts", "127.0.0.0/8")
        .parameter("inet_protocols", "all")
        .parameter("smtpd_reject_unlisted_recipient", "yes")
        .parameter("mynetworks", "192.0.2.99")
        .parameter("relay_domains", "sent.test, deferred.test, bounced.test")
        .parameter("smtpd_helo_required", "yes")
        .parameter("smtpd_client_restrictions", "check_client_access texthash:$config_directory/clients")
        .parameter(
            "smtpd_helo_restrictions",
            "reject_invalid_helo_hostname, warn_if_reject reject_non_fqdn_helo_hostname, \
             check_helo_access texthash:$config_directory/helos",
        )
        .parameter(
            "smtpd_sender_restrictions",
            "reject_non_fqdn_sender, check_sender_access texthash:$config_directory/senders, \
             warn_if_reject reject_unknown_sender_domain",
        )
        .parameter("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination")
        .parameter(
            "smtpd_recipient_restrictions",
            "check_recipient_access texthash:$config_directory/recipients, reject_unverified_recipient",
        )
        .parameter("smtpd_data_restrictions", "check_sender_access texthash:$config_directory/data")
        .parameter("smtpd_end_of_data_restrictions", "check_sender_access texthash:$config_directory/end")
        .parameter("smtpd_etrn_restrictions", "reject")
        .parameter("smtpd_log_access_permit_actions", "static:all")
        .parameter("unverified_recipient_reject_code", "550")
        .parameter("address_verify_map", "btree:$data_directory/verify_cache")
        .parameter("message_size_limit", "10000")
        .parameter("mailbox_size_limit", "0")
        .parameter("disable_vrfy_command", "no")
        .file("clients", "192.0.2.10 REJECT you are listed\n192.0.2.11 OK\n2001:db8::9 554 5.7.1 no IPv6 today\n")
        .file("helos", "helo.listed REJECT that is not you\n")
        .file(
            "senders",
            "reject@sent.test REJECT\ndefer@sent.test DEFER come later; please\nwarn@sent.test WARN watch it\n\
            hold@sent.test HOLD keep\ndiscard@sent.test DISCARD away\nfilter@sent.test FILTER smtp:[127.0.0.1]:9\n\
            redirect@sent.test REDIRECT carl@sent.test\ninfo@sent.test INFO noted\nbcc@sent.test BCC dora@sent.test\n\
            prepend@sent.test PREPEND X-Seen: yes\nok@sent.test OK\ncode@sent.test 451 4.7.1 not now\n\
            permit@sent.test PERMIT\nhangup@sent.test 521 5.7.1 go\n",
        )
        .file("recipients", "listed@sent.test REJECT\nanna@sent.test OK\n")
        .file("data", "data@sent.test REJECT at data\n")
        .file("end", "end@sent.test REJECT at the end\n")
        .listen(
            &closed,
            "smtpd",
            &[
                "syslog_name=postfix/submission",
                "smtpd_client_restrictions=reject",
                "smtpd_delay_reject=no",
                "smtpd_client_port_logging=yes",
            ],
        )
        .start(&rsyslog);
    let client = |name: &str, address: &str, helo: &str| {
        let mut session = session(postfix.address());
        session.say(&format!("EHLO {helo}"));
        session.say(&format!("XCLIENT NAME={name} ADDR={address}"));
        session.say(&format!("EHLO {helo}"));
        session
    };
    let offer = |session: &mut Session, from: &str, to: &str| {
        session.say_all(&[&format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{to}>")]);
        let reply = session.say("DATA");
        if reply.starts_with('3') {
            session.say("Subject: test\r\n\r\nHello.\r\n.");
        }
        session.say("RSET");
    };
    let mut good = client("mail.example.com", "192.0.2.7", "mail.example.com");
    for sender in [
        "reject", "defer", "warn", "hold", "discard", "filter", "redirect", "info", "bcc", "prepend", "ok", "code",
        "permit", "data", "end",
    ] {
        offer(&mut good, &format!("{sender}@sent.test"), "anna@sent.test");
    }
    offer(&mut good, "user@nowhere.invalid", "anna@sent.test");
    offer(&mut good, "unqualified", "anna@sent.test");
    offer(&mut good, "user@sent.test", "relay@example.org");
    offer(&mut good, "user@sent.test", "listed@sent.test");
    offer(&mut good, "user@sent.test", "no\"quote@sent.test");
    offer(&mut good, "user@sent.test", "missing@virtual.test");
    offer(&mut good, "user@sent.test", "nobody@bounced.test");
    offer(&mut good, "user@sent.test", "anna@deferred.test");
    good.say_all(&["MAIL FROM:<big@sent.test> SIZE=99999", "RSET"]);
    good.say_all(&["ETRN example.com", "VRFY anna@sent.test", "VRFY relay@example.org", "HELP", "NOOP", "QUIT"]);
    offer(&mut client("listed.example.com", "192.0.2.10", "mail.example.com"), "x@sent.test", "anna@sent.test");
    offer(&mut client("[UNAVAILABLE]", "IPV6:2001:db8::9", "mail.example.com"), "x@sent.test", "anna@sent.test");
    offer(&mut client("[TEMPUNAVAIL]", "192.0.2.12", "mail.example.com"), "x@sent.test", "anna@sent.test");
    offer(&mut client("h.example.com", "192.0.2.13", "helo.listed"), "x@sent.test", "anna@sent.test");
    offer(&mut client("h.example.com", "192.0.2.14", "unqualified"), "short@sent.test", "anna@sent.test");
    offer(&mut client("h.example.com", "192.0.2.15", "in_valid..helo"), "x@sent.test", "anna@sent.test");
    offer(&mut client("h.example.com", "192.0.2.16", "mail.example.com"), "hangup@sent.test", "anna@sent.test");
    session(closed.address()).say("QUIT");
    wait_logged(&rsyslog, &["from=<short@sent.test>*queue active", "reject: CONNECT from"]);
    postfix.delete_all(DEADLINE);
    let client = json!({"name": "mail.example.com", "ip": "192.0.2.7"});
    let acted = |action: &str, sender: &str| {
        json!({"action": action, "by": "restriction", "stage": "RCPT", "client": client,
               "from": sender, "to": "anna@sent.test", "proto": "ESMTP", "helo": "mail.example.com"})
    };
    #[rustfmt::skip]
    let rows = [
        ("NOQUEUE: reject: RCPT from *<reject@sent.test>: Sender address rejected: Access denied", "verdict", json!({
            "daemon": "smtpd", "action": "reject", "by": "restriction", "stage": "RCPT", "client": client,
            "queue_id": null, "reply": {"code": 554, "dsn": {"code": "5.7.1"},
            "text": "<reject@sent.test>: Sender address rejected: Access denied"}, "from": "reject@sent.test",
            "to": "anna@sent.test", "proto": "ESMTP", "helo": "mail.example.com"})),
        ("come later; please; from=<", "verdict", json!({
            "action": "reject", "reply": {"code": 450,
            "text": "<defer@sent.test>: Sender address rejected: come later; please"}})),
        ("451 4.7.1 <code@sent.test>: Sender address rejected: not now", "verdict", json!({
            "reply": {"code": 451, "dsn": {"code": "4.7.1"}}})),
        (": warn: RCPT from ", "verdict", acted("warn", "warn@sent.test")),
        (": hold: RCPT from ", "verdict", acted("hold", "hold@sent.test")),
        (": discard: RCPT from ", "verdict", acted("discard", "discard@sent.test")),
        (": filter: RCPT from ", "verdict", acted("filter", "filter@sent.test")),
        (": redirect: RCPT from ", "verdict", acted("redirect", "redirect@sent.test")),
        (": info: RCPT from ", "verdict", acted("info", "info@sent.test")),
        (": bcc: RCPT from ", "verdict", acted("bcc", "bcc@sent.test")),
        (": permit: RCPT from ", "verdict", json!({"action": "permit", "by": "restriction"})),
        (": reject_warning: RCPT from *nowhere.invalid", "verdict", json!({
            "action": "reject_warning", "from": "user@nowhere.invalid"})),
        (": reject: RCPT from *Relay access denied", "verdict", json!({
            "to": "relay@example.org", "reply": {"code": 554, "dsn": {"code": "5.7.1"}}})),
        (": reject: RCPT from *missing@virtual.test", "verdict", json!({
            "to": "missing@virtual.test", "reply": {"code": 550, "dsn": {"code": "5.1.1"}}})),
        (": reject: RCPT from *nobody@bounced.test", "verdict", json!({
            "to": "nobody@bounced.test", "reply": {"code": "*"}})),
        (": reject: MAIL from *Message size exceeds fixed limit", "verdict", json!({
            "stage": "MAIL", "to": null, "reply": {"code": 552, "dsn": {"code": "5.3.4"}}})),
        (": reject: DATA from", "verdict", json!({"stage": "DATA", "from": "data@sent.test"})),
        (": reject: END-OF-MESSAGE from", "verdict", json!({"stage": "END-OF-MESSAGE", "from": "end@sent.test"})),
        (": reject: ETRN from", "verdict", json!({"stage": "ETRN"})),
        (": reject: VRFY from", "verdict", json!({"stage": "VRFY"})),
        ("Client host rejected: you are listed", "verdict", json!({
            "client": {"name": "listed.example.com", "ip": "192.0.2.10"}})),
        ("from unknown[2001:db8::9]: 554 5.7.1 ", "verdict", json!({
            "client": {"name": null, "ip": "2001:db8::9", "port": null}})),
        ("<helo.listed>: Helo command rejected: that is not you", "verdict", json!({"helo": "helo.listed"})),
        (": reject: *in_valid..helo>: Helo command rejected", "verdict", json!({
            "helo": "in_valid..helo", "reply": {"code": 501}})),
        (": reject_warning: *need fully-qualified hostname", "verdict", json!({
            "action": "reject_warning", "helo": "unqualified"})),
        ("postfix/submission/smtpd[*]: NOQUEUE: reject: CONNECT from localhost[127.0.0.1]:", "verdict", json!({
            "service": "submission", "stage": "CONNECT", "client": {"name": "localhost", "ip": "127.0.0.1",
            "port": "*"}, "from": null, "to": null, "proto": "SMTP", "helo": null})),
        ("verify[*]: cache btree:*full cleanup: ", "cache_cleanup", json!({
            "daemon": "verify", "cache": "*", "retained": 0, "dropped": 0, "full": true})),
        ("disconnect from mail.example.com[192.0.2.7]", "disconnect", json!({
            "client": client, "commands": {"all": "*", "etrn": {"ok": 0}}})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}

#[test]
fn clients_that_break_the_rules() {
    let rsyslog = Rsyslog::setup().start();
    let sasl_server = sasl::start();
    let limited = Port::reserve();
    let counted = Port::reserve();
    let postfix = Postfix::setup()
        .parameter("smtpd_timeout", "1s")
        .parameter("smtpd_hard_error_limit", "3")
        .parameter("smtpd_soft_error_limit", "2")
        .parameter("smtpd_error_sleep_time", "0")
        .parameter("smtpd_junk_command_limit", "5")
        .parameter("smtpd_discard_ehlo_keywords", "chunking, etrn, vrfy")
        .parameter("smtpd_data_restrictions", "reject_unauth_pipelining")
        .parameter("smtpd_sasl_auth_enable", "yes")
        .parameter("smtpd_sasl_type", "dovecot")
        .parameter("smtpd_sasl_path", &sasl_server.inet())
        .parameter("smtpd_sasl_authenticated_header", "yes")
        .parameter("smtpd_client_event_limit_exceptions", "")
        .parameter("smtpd_command_filter", "regexp:$config_directory/commands")
        .file("commands", "/^BAD(.*)$/ NOOP$1\n")
        .parameter("smtpd_sender_login_maps", "inline:{ owned@sent.test=carl, anna@example.com=anna@example.com }")
        .parameter("smtpd_sender_restrictions", "reject_sender_login_mismatch")
        .parameter("smtpd_forbid_bare_newline", "yes")
        .parameter("anvil_status_update_time", "2s")
        .parameter("anvil_rate_time_unit", "30s")
        .listen(
            &limited,
            "smtpd",
            &[
                "smtpd_client_message_rate_limit=1",
                "smtpd_client_recipient_rate_limit=2",
                "smtpd_client_auth_rate_limit=1",
                "smtpd_timeout=30s",
                "smtpd_hard_error_limit=50",
            ],
        )
        .listen(
            &counted,
            "smtpd",
            &["smtpd_client_connection_count_limit=1", "smtpd_client_connection_rate_limit=2", "smtpd_timeout=30s"],
        )
        .start(&rsyslog);
    let hello = || {
        let mut session = session(postfix.address());
        session.say("EHLO client.test");
        session
    };
    let envelope = ["MAIL FROM:<user@sent.test>", "RCPT TO:<anna@sent.test>"];
    // Lost after a command, in the midst of a message, and out of time.
    drop(hello());
    let mut lost = hello();
    lost.say_all(&envelope);
    drop(lost);
    let mut lost = hello();
    lost.say_all(&envelope);
    lost.say("DATA");
    lost.send("Subject: half\r\n\r\nof it");
    drop(lost);
    let mut lost = hello();
    lost.say_all(&envelope);
    lost.say("DATA");
    lost.send("Subject: late\r\n\r\n");
    lost.wait_end();
    hello().wait_end();
    // Too many errors, junk, what is no SMTP, bad syntax.
    let mut wrong = hello();
    wrong.say_all(&["NONSENSE", "MAIL", "RCPT TO:<x>", "MAIL FROM:<>"]);
    wrong.wait_end();
    let mut junk = hello();
    for _ in 0..12 {
        junk.say("NOOP");
    }
    drop(junk);
    let mut http = session(postfix.address());
    http.say("GET / HTTP/1.0");
    drop(http);
    let mut header = session(postfix.address());
    header.say("Subject: not a command");
    drop(header);
    let mut syntax = hello();
    syntax.say_all(&["MAIL FROM:<user@sent.test", "RSET"]);
    drop(syntax);
    let mut syntax = hello();
    syntax.say_all(&["MAIL FROM:<user@@sent.test>", "MAIL FROM: user@sent.test", "RCPT TO:<an na@sent.test>", "QUIT"]);
    // Before the answer was there.
    let mut early = session(postfix.address());
    let envelope_too = "EHLO client.test\r\nMAIL FROM:<early@sent.test>\r\nRCPT TO:<anna@sent.test>\r\nDATA\r\n";
    early.send(&format!("{envelope_too}Subject: early\r\n\r\nx\r\n.\r\n"));
    for _ in 0..4 {
        early.reply();
    }
    drop(early);
    let mut bare = hello();
    bare.say_all(&envelope);
    bare.say("DATA");
    bare.send("Subject: bare\n\nx\n.\r\nMAIL FROM:<smuggled@sent.test>\r\n.\r\n");
    bare.reply();
    drop(bare);
    hello().say_all(&["BAD command", "QUIT"]);
    // Authentication.
    for response in [sasl::BAD, sasl::TROUBLE, "!", "AAAA"] {
        hello().say_all(&[&format!("AUTH PLAIN {response}"), "QUIT"]);
    }
    hello().say_all(&["AUTH PLAIN", "*", "AUTH NTLM", "QUIT"]);
    let mut aborted = hello();
    aborted.say("AUTH PLAIN");
    drop(aborted);
    let mut anna = hello();
    anna.say_all(&[
        &format!("AUTH PLAIN {}", sasl::GOOD),
        "MAIL FROM:<owned@sent.test>",
        "RCPT TO:<anna@sent.test>",
        "RSET",
    ]);
    anna.say_all(&["MAIL FROM:<anna@example.com> AUTH=anna+3Dbea@example.com", envelope[1], "DATA"]);
    anna.say("Subject: signed\r\n\r\nx\r\n.");
    drop(anna);
    // Limits.
    let mut busy = session(limited.address());
    busy.say("EHLO client.test");
    busy.say_all(&[
        "MAIL FROM:<a@sent.test>",
        "RCPT TO:<a@sent.test>",
        "RCPT TO:<b@sent.test>",
        "RCPT TO:<c@sent.test>",
        "RSET",
    ]);
    busy.say_all(&["MAIL FROM:<b@sent.test>", "RSET", "AUTH PLAIN !", "AUTH PLAIN !", "QUIT"]);
    let mut first = session(counted.address());
    session(counted.address()).wait_end();
    // anvil knows of its end before the connection is closed.
    first.say("QUIT");
    first.wait_end();
    session(counted.address()).wait_end();
    // An address that has no name here.
    let mut nameless = Session::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77)), postfix.address());
    nameless.reply();
    nameless.say("QUIT");
    wait_logged(
        &rsyslog,
        &[
            "timeout after EHLO",
            "timeout after DATA",
            "lost connection after RCPT",
            "connect from unknown[127.0.0.77]",
            "statistics: max connection rate",
            "statistics: max cache size",
            "statistics: max auth rate",
            "statistics: max recipient rate",
            "statistics: max message rate",
            "sasl_username=anna@example.com",
        ],
    );
    postfix.delete_all(DEADLINE);
    let client = json!({"name": "localhost", "ip": "127.0.0.1"});
    let lost = |cause: &str, stage: &str| {
        let (bytes, queue_id) = (Value::Null, Value::Null);
        json!({"client": client, "cause": cause, "stage": stage, "bytes": bytes, "queue_id": queue_id})
    };
    #[rustfmt::skip]
    let rows = [
        ("]: lost connection after EHLO from localhost", "connection_lost", lost("connection_lost", "EHLO")),
        ("]: lost connection after RCPT from localhost", "connection_lost", lost("connection_lost", "RCPT")),
        ("]: timeout after EHLO from localhost", "connection_lost", lost("conversation_timed_out", "EHLO")),
        ("]: timeout after DATA (", "connection_lost", json!({
            "cause": "conversation_timed_out", "stage": "DATA", "bytes": "*"})),
        ("]: lost connection after DATA (", "connection_lost", json!({
            "cause": "connection_lost", "stage": "DATA", "bytes": "*"})),
        ("]: too many errors after ", "connection_lost", json!({
            "cause": "too_many_errors", "stage": "*", "client": client})),
        ("non-SMTP command from localhost[127.0.0.1]: GET / HTTP/1.0", "protocol_error", json!({
            "level": "warning", "kind": "non_smtp_command", "client": client, "text": "GET / HTTP/1.0"})),
        ("improper command pipelining after ", "protocol_error", json!({
            "kind": "command_pipelining", "stage": "*", "client": client, "text": "*"})),
        ("Illegal address syntax from localhost[127.0.0.1] in RCPT command: ", "protocol_error", json!({
            "kind": "illegal_address_syntax", "stage": "RCPT", "client": client, "text": "*"})),
        ("SASL PLAIN authentication failed: ", "sasl_failure", json!({
            "level": "warning", "client": "*", "sasl": {"method": "PLAIN"}, "reason": "*"})),
        (": client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=anna@example.com", "client", json!({
            "client": client, "sasl": {"method": "PLAIN", "username": "anna@example.com"}})),
        ("Message delivery request rate limit exceeded", "rate_limit", json!({
            "level": "warning", "client": client, "limit": "message_rate", "value": 2,
            "limited_service": format!("127.0.0.1:{}", limited.number())})),
        ("Recipient address rate limit exceeded: 3", "rate_limit", json!({
            "client": client, "limit": "recipient_rate", "value": 3})),
        ("AUTH command rate limit exceeded", "rate_limit", json!({"client": client, "limit": "auth_rate", "value": 2})),
        ("Connection concurrency limit exceeded: 2", "rate_limit", json!({
            "client": client, "limit": "connection_concurrency", "value": 2})),
        ("Connection rate limit exceeded: 3", "rate_limit", json!({
            "client": client, "limit": "connection_rate", "value": 3, "limited_service": format!("127.0.0.1:{}",
            counted.number())})),
        ("anvil[*]: statistics: max connection rate ", "statistics", json!({
            "kind": "connection_rate", "value": "*", "period": 30.0, "limited_service": "*",
            "client": {"ip": "127.0.0.1"}, "at": "*"})),
        ("anvil[*]: statistics: max connection count ", "statistics", json!({
            "kind": "connection_count", "value": "*", "period": null, "at": "*"})),
        ("anvil[*]: statistics: max message rate ", "statistics", json!({"kind": "message_rate", "period": 30.0})),
        ("anvil[*]: statistics: max recipient rate ", "statistics", json!({"kind": "recipient_rate"})),
        ("anvil[*]: statistics: max auth rate ", "statistics", json!({"kind": "auth_rate"})),
        ("anvil[*]: statistics: max cache size ", "statistics", json!({
            "kind": "cache_size", "value": "*", "client": null})),
        ("]: connect from unknown[127.0.0.77]", "connect", json!({"client": {"name": null, "ip": "127.0.0.77"}})),
        ("discarding EHLO keywords: ", "notice", json!({"kind": "*", "text": "*"})),
        (": replacing command \"BAD command\" with ", "notice", json!({"kind": "*"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
