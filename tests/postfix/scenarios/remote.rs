//! Other mail servers: those that accept, refuse, hang up, are full, or are not there.

use serde_json::json;

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::wait::wait_until;
use testkit::{smtp_script, smtp_sink::SmtpSink};

#[test]
fn servers_that_fail() {
    let rsyslog = Rsyslog::setup().start();
    let setup = Postfix::setup();
    let good = SmtpSink::start(setup.directory(), &["-h", "good.test"]);
    let refused = Port::reserve();
    let scripts: [(&str, &'static [smtp_script::Reply]); 13] = [
        ("greeting", &[("connect", "421 4.3.2 Too busy")]),
        ("never", &[("connect", "554 5.3.2 No SMTP service here")]),
        ("silent", &[("connect", "")]),
        ("ehlo", &[("EHLO", "")]),
        ("mail", &[("MAIL", "")]),
        ("data", &[("DATA", "451 4.3.0 No room\n")]),
        ("end", &[(".", "")]),
        (
            "greylist",
            &[(
                "RCPT",
                "450 4.7.1 <anna@greylist.test>: Recipient address rejected: Greylisted, see http://postgrey.test/",
            )],
        ),
        ("full", &[("RCPT", "552 5.2.2 Mailbox full")]),
        ("lines", &[("RCPT", "550-5.7.1 This is refused,\n550 5.7.1 and that is final")]),
        ("queued", &[(".", "250 2.0.0 Ok: queued as 4F1D21A0B3")]),
        ("small", &[("EHLO", "250-small.test\n250 SIZE 100")]),
        ("plain", &[("connect", "220 plain.test"), ("EHLO", "500 what"), ("RCPT", "450 later")]),
    ];
    let scripts = scripts.map(|(name, replies)| (name, smtp_script::start(replies)));
    let mut setup = setup
        .transport("failover.test", &format!("smtp:[127.0.0.1]:{}, {}", refused.number(), good.nexthop()))
        .transport("socket.test", "lmtp:unix:private/no-such-socket")
        .transport("nohost.test", "smtp:[no-such-host.invalid]")
        .transport("notransport.test", "nothing:")
        .transport("badpipe.test", "badpipe:")
        .service("badpipe unix - n n - - pipe\n  flags=R user=nobody argv=/bin/false", &[])
        .service("dns unix - - n - - smtp", &["smtp_dns_support_level=enabled", "syslog_name=postfix/dns"])
        .transport("domain.invalid", "dns:")
        .parameter("initial_destination_concurrency", "1")
        .parameter("smtp_header_checks", "regexp:$config_directory/smtp_header_checks")
        .file(
            "smtp_header_checks",
            "/^X-Secret:/ IGNORE\n/^X-Note: (.*)/ WARN noted $1\n/^X-Old:/ REPLACE X-New: value\n",
        )
        .parameter("smtp_line_length_limit", "100")
        .parameter("maximal_backoff_time", "60s")
        .parameter("minimal_backoff_time", "60s");
    for (name, server) in &scripts {
        setup = setup.transport(&format!("{name}.test"), &format!("smtp:{}", server.nexthop()));
        // The next one takes the mail.
        setup =
            setup.transport(&format!("{name}-first.test"), &format!("smtp:{}, {}", server.nexthop(), good.nexthop()));
    }
    let postfix = setup.start(&rsyslog);
    for (name, _) in &scripts {
        postfix.send(1, &format!("to-{name}@sent.test"), &[&format!("anna@{name}.test")]);
        postfix.send(1, &format!("to-{name}-first@sent.test"), &[&format!("anna@{name}-first.test")]);
    }
    for name in ["failover", "socket", "nohost", "notransport", "badpipe"] {
        postfix.send(1, &format!("to-{name}@sent.test"), &[&format!("anna@{name}.test")]);
    }
    postfix.send(1, "to-dns@sent.test", &["anna@domain.invalid"]);
    let text = format!("Subject: headers\nX-Note: one\nX-Old: 1\n\n{}\n", "long ".repeat(40));
    postfix.sendmail(&["-f", "headers@sent.test", "anna@sent.test"], &text);
    // A server that is down, several times: the queue manager gives it a rest.
    postfix.send(12, "rest@sent.test", &["anna@refused.test"]);
    let delivered: Vec<String> = scripts.iter().map(|(name, _)| format!("to=<anna@{name}.test>")).collect();
    let mut parts: Vec<&str> = delivered.iter().map(String::as_str).collect();
    parts.extend([
        "to=<anna@failover.test>",
        "to=<anna@socket.test>",
        "to=<anna@nohost.test>",
        "to=<anna@notransport.test>",
        "to=<anna@badpipe.test>",
        "to=<anna@domain.invalid>",
        "to=<anna@refused.test>*delivery temporarily suspended",
        "to=<anna@lines-first.test>",
        "to=<anna@greylist-first.test>",
        "from=<headers@sent.test>",
    ]);
    wait_logged(&rsyslog, &parts);
    postfix.flush();
    postfix.delete_all(DEADLINE);
    let server = json!({"name": "127.0.0.1", "ip": "127.0.0.1"});
    #[rustfmt::skip]
    let rows = [
        ("to=<anna@failover.test>", "delivery", json!({"status": "sent", "relay": {"port": good.number()}})),
        ("]: connect to 127.0.0.1[127.0.0.1]:*: Connection refused", "attempt_failed", json!({
            "queue_id": null, "server": {"name": "127.0.0.1", "ip": "127.0.0.1", "port": "*"},
            "cause": "connection_refused"})),
        ("to=<anna@greeting.test>", "delivery", json!({
            "status": "deferred", "dsn": {"code": "4.3.2"},
            "reply": {"code": 421, "dsn": null, "text": "Too busy", "server": server}})),
        ("to=<anna@silent.test>", "delivery", json!({"status": "deferred", "cause": "connection_lost"})),
        ("to=<anna@mail.test>", "delivery", json!({"status": "deferred", "cause": "connection_lost"})),
        ("to=<anna@end.test>", "delivery", json!({"status": "deferred", "cause": "connection_lost"})),
        ("to=<anna@data.test>", "delivery", json!({
            "status": "deferred", "reply": {"code": 451, "text": "No room", "command": "DATA", "server": server}})),
        ("to=<anna@greylist.test>", "delivery", json!({
            "status": "deferred", "cause": "greylisted", "reply": {"code": 450, "command": "RCPT TO"}})),
        ("to=<anna@full.test>", "delivery", json!({
            "status": "bounced", "cause": "mailbox_full", "reply": {"code": 552, "text": "Mailbox full",
            "command": "RCPT TO"}})),
        ("to=<anna@lines.test>", "delivery", json!({
            "status": "bounced", "dsn": {"code": "5.7.1"}, "reply": {"code": 550, "dsn": null}})),
        ("to=<anna@queued.test>", "delivery", json!({
            "status": "sent", "remote_queue_id": "4F1D21A0B3", "dsn": {"code": "2.0.0"},
            "reply": {"code": 250, "dsn": null}})),
        ("to=<anna@small.test>", "delivery", json!({"status": "bounced", "cause": "message_too_large"})),
        ("to=<anna@socket.test>", "delivery", json!({"daemon": "lmtp", "status": "deferred", "relay": null})),
        ("to=<anna@nohost.test>", "delivery", json!({"relay": null, "cause": "*"})),
        ("to=<anna@domain.invalid>", "delivery", json!({
            "service": "dns", "daemon": "smtp", "relay": null, "cause": "*"})),
        ("to=<anna@notransport.test>", "delivery", json!({"status": "deferred", "cause": "transport_unavailable"})),
        ("to=<anna@badpipe.test>", "delivery", json!({"daemon": "pipe", "status": "bounced"})),
        ("to=<anna@refused.test>*delivery temporarily suspended", "delivery", json!({"relay": null, "cause": "*"})),
        ("]: *: host 127.0.0.1[127.0.0.1] said: 450 4.7.1 <anna@greylist.test>: *(in reply to RCPT TO command)",
            "attempt_failed", json!({
            "queue_id": "*", "server": server, "cause": "greylisted", "reply": {"code": 450, "dsn": {"code": "4.7.1"},
            "command": "RCPT TO"}})),
        ("smtp[*]: *: host 127.0.0.1[127.0.0.1] refused to talk to me: 421", "attempt_failed", json!({
            "server": server, "reply": {"code": 421}})),
        ("smtp[*]: *: lost connection with 127.0.0.1[127.0.0.1] while ", "attempt_failed", json!({
            "server": server, "cause": "connection_lost", "reply": null})),
        ("smtp[*]: *: warning: header X-Note: one", "verdict", json!({
            "daemon": "smtp", "action": "warn", "by": "header_check", "queue_id": "*"})),
        ("smtp[*]: *: replace: header X-Old: 1", "verdict", json!({
            "daemon": "smtp", "action": "replace", "by": "header_check"})),
        ("breaking line > 100 bytes with <CR><LF>SPACE", "notice", json!({"queue_id": "*"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}

#[test]
fn mail_that_waits() {
    let rsyslog = Rsyslog::setup().start();
    let filtered = Port::reserve();
    let postfix = Postfix::setup()
        .parameter("maximal_queue_lifetime", "6s")
        .parameter("delay_warning_time", "1s")
        .parameter("always_bcc", "archive@discard.test")
        .parameter("notify_classes", "bounce, 2bounce, delay, resource, software, protocol, policy")
        .parameter("bounce_notice_recipient", "bounces@sent.test")
        .parameter("2bounce_notice_recipient", "nobody@bounced.test")
        .parameter("delay_notice_recipient", "delays@sent.test")
        .parameter("error_notice_recipient", "errors@sent.test")
        .parameter("enable_long_queue_ids", "yes")
        .parameter("multi_instance_name", "postfix-in")
        .parameter("content_filter", &format!("scan:[127.0.0.1]:{}", filtered.number()))
        .service("scan unix - - n - - smtp", &["smtp_send_xforward_command=yes", "syslog_name=postfix-in/scan"])
        .listen(
            &filtered,
            "smtpd",
            &[
                "content_filter=",
                "always_bcc=",
                "syslog_name=postfix-in/content-filter",
                "myhostname=mx2.test",
                "smtpd_authorized_xforward_hosts=127.0.0.0/8",
            ],
        )
        .start(&rsyslog);
    let expiring = postfix.send(1, "expiring@sent.test", &["anna@deferred.test"]);
    let forced = postfix.send(1, "forced@sent.test", &["anna@retry.test"]);
    postfix.send(1, "bouncing@sent.test", &["nobody@bounced.test"]);
    postfix.send(1, "", &["nobody@bounced.test"]);
    assert!(expiring[0].len() > 14 && forced[0].contains('z'), "{expiring:?} {forced:?} are long queue ids");
    wait_logged(&rsyslog, &["to=<anna@retry.test>*status=deferred", "to=<anna@deferred.test>*status=deferred"]);
    // postsuper(1) may miss what the queue manager is just moving.
    wait_until(DEADLINE, "messages made to expire", || {
        postfix.administrate("postsuper", &["-e", "ALL"]);
        let lines = rsyslog.lines(LogFile::Traditional);
        ["forced", "expiring"].iter().all(|sender| {
            lines.iter().any(|line| line.contains(&format!("from=<{sender}@sent.test>, status=force-expired")))
        })
    });
    wait_logged(
        &rsyslog,
        &[
            "from=<expiring@sent.test>, status=",
            "from=<forced@sent.test>, status=",
            "sender non-delivery notification",
            "postmaster non-delivery notification",
            "undeliverable postmaster notification discarded",
        ],
    );
    // The second time by itself.
    postfix.send(1, "aging@sent.test", &["anna@deferred.test"]);
    wait_logged(
        &rsyslog,
        &["sender delay notification", "postmaster delay notification", "from=<aging@sent.test>, status=expired"],
    );
    postfix.delete_all(DEADLINE);
    #[rustfmt::skip]
    let rows = [
        ("status=force-expired, returned to sender", "expired", json!({
            "daemon": "qmgr", "from": "*", "status": "force_expired", "reason": "returned to sender",
            "queue_id": "*"})),
        ("from=<aging@sent.test>, status=expired", "expired", json!({
            "instance": "postfix-in", "from": "aging@sent.test", "status": "expired", "queued_at": "*"})),
        ("postsuper[*]: Force-expired: ", "queue_admin", json!({"action": "expire", "messages": "*"})),
        ("sender delay notification: ", "notification", json!({"kind": "delay", "recipient": "sender"})),
        ("postmaster delay notification: ", "notification", json!({"kind": "delay", "recipient": "postmaster"})),
        ("postmaster non-delivery notification: ", "notification", json!({
            "kind": "non_delivery", "recipient": "postmaster", "notification_queue_id": "*", "queued_at": "*"})),
        ("warning: *: undeliverable postmaster notification discarded", "notification_failed", json!({
            "level": "warning", "queue_id": "*"})),
        ("to=<archive@discard.test>*status=sent", "delivery", json!({"to": "archive@discard.test"})),
        ("postfix-in/scan/smtp[*]: *: to=<*status=sent", "delivery", json!({
            "instance": "postfix-in", "service": "scan", "remote_queue_id": "*", "queued_at": "*"})),
        ("content-filter/smtpd[*]: *: client=localhost[127.0.0.1], orig_queue_id=*, orig_client=localhost[127.0.0.1]",
            "client", json!({"service": "content-filter", "queue_id": "*", "orig_queue_id": "*",
            "orig_client": {"name": "localhost", "ip": "127.0.0.1"}})),
        ("xforward=", "disconnect", json!({"commands": {"xforward": "*"}})),
        ("daemon started -- version 3.", "lifecycle", json!({
            "instance": "postfix-in", "action": "start", "version": "*", "config_directory": "*"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
