//! Programs and rules that look into mail and decide: header and body checks, mail filters, a proxy before the queue.

use std::net::SocketAddr;

use serde_json::json;

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::milter::{self, Answer};
use testkit::port::Port;
use testkit::postfix::{Destination, Postfix};
use testkit::rsyslog::Rsyslog;
use testkit::smtp::Session;
use testkit::smtp_script;
use testkit::smtp_sink::SmtpSink;

/// Sends a message as a client that does not mind what it is told, and gives the last reply.
fn offer(postfix: &Postfix, sender: &str, text: &str) -> String {
    offer_to(postfix.address(), sender, text)
}

fn offer_to(server: SocketAddr, sender: &str, text: &str) -> String {
    let mut session = Session::connect(server);
    session.reply();
    let mail = format!("MAIL FROM:<{sender}>");
    let rcpt = format!("RCPT TO:<anna@{}>", Destination::Sent.domain());
    let begun = session.say_all(&["EHLO client.test", &mail, &rcpt, "DATA"]);
    let reply =
        if begun.starts_with('3') { session.say(&format!("{}\r\n.", text.replace('\n', "\r\n"))) } else { begun };
    session.say("QUIT");
    reply
}

#[test]
fn header_and_body_checks() {
    let rsyslog = Rsyslog::setup().start();
    let actions = [
        ("reject", "REJECT no such subject"),
        ("code", "421 4.7.0 come back later"),
        ("warn", "WARN suspicious; from here"),
        ("info", "INFO seen"),
        ("hold", "HOLD look at it"),
        ("discard", "DISCARD"),
        ("filter", "FILTER smtp:[127.0.0.1]:$sink"),
        ("prepend", "PREPEND X-Seen: yes"),
        ("replace", "REPLACE Subject: other"),
        ("redirect", "REDIRECT carl@discard.test"),
        ("bcc", "BCC dora@discard.test"),
        ("strip", "STRIP not for you"),
        ("ignore", "IGNORE"),
        ("dunno", "DUNNO"),
        ("pass", "PASS"),
    ];
    let setup = Postfix::setup();
    let sink = SmtpSink::start(setup.directory(), &[]);
    let table = |start: &str| -> String {
        let row = |(word, action): &(&str, &str)| format!("/^{start}{word}/ {action}\n");
        actions.iter().map(row).collect::<String>().replace("$sink", &sink.number().to_string())
    };
    let postfix = setup
        .parameter("header_checks", "regexp:$config_directory/header_checks")
        .file("header_checks", &table("Subject: "))
        .parameter("body_checks", "regexp:$config_directory/body_checks")
        .file("body_checks", &table("body "))
        .parameter("mime_header_checks", "regexp:{{/name=.*[.]exe/ REJECT no programs}}")
        .parameter("nested_header_checks", "regexp:{{/^X-Nested:/ WARN nested}}")
        .parameter("strict_mime_encoding_domain", "yes")
        .start(&rsyslog);
    for (word, _) in &actions {
        offer(
            &postfix,
            &format!("header-{word}@sent.test"),
            &format!("Subject: {word} from nowhere; from=<x> to=<y>\n\nHello."),
        );
        offer(
            &postfix,
            &format!("body-{word}@sent.test"),
            &format!("Subject: body\n\nbody {word} from nowhere;\nHello."),
        );
    }
    let part = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n";
    offer(&postfix, "program@sent.test", &format!("{part}Content-Type: application/x; name=a.exe\n\nx\n--b--\n"));
    offer(&postfix, "nested@sent.test", &format!("{part}Content-Type: message/rfc822\n\nX-Nested: yes\n\nx\n--b--\n"));
    offer(
        &postfix,
        "mime@sent.test",
        &format!("{part}Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nx\n--b--\n"),
    );
    offer(
        &postfix,
        "resent@sent.test",
        "Resent-Message-Id: <resent@sent.test>\nMessage-Id: <first@sent.test>\n\nHello.",
    );
    offer(&postfix, "id@sent.test", "Message-Id: no brackets (comment)\n\nHello.");
    postfix.sendmail(&["-f", "local@sent.test", "anna@sent.test"], "Subject: reject\n\nHello.\n");
    wait_logged(
        &rsyslog,
        &[
            "from=<body-pass@sent.test>*queue active",
            "from=<header-pass@sent.test>*queue active",
            "to=<local@sent.test>",
            "carl@discard.test*status=sent",
            "dora@discard.test*status=sent",
            "message-id=no brackets",
        ],
    );
    postfix.delete_all(DEADLINE);
    let client = json!({"name": "localhost", "ip": "127.0.0.1"});
    let verdict = |action: &str, by: &str| {
        let daemon = "cleanup";
        json!({"daemon": daemon, "action": action, "by": by, "queue_id": "*", "client": client, "trigger": "*"})
    };
    #[rustfmt::skip]
    let rows = [
        (": reject: header Subject: reject from nowhere; from=<x> to=<y> from localhost", "verdict", json!({
            "daemon": "cleanup", "action": "reject", "by": "header_check", "client": client,
            "trigger": "Subject: reject from nowhere; from=<x> to=<y>", "from": "header-reject@sent.test",
            "to": "anna@sent.test", "proto": "ESMTP", "helo": "client.test"})),
        (": reject: body body reject from nowhere; from localhost", "verdict", json!({
            "action": "reject", "by": "body_check", "trigger": "body reject from nowhere;",
            "from": "body-reject@sent.test"})),
        (": warning: header Subject: warn", "verdict", verdict("warn", "header_check")),
        (": warning: body ", "verdict", verdict("warn", "body_check")),
        (": info: header ", "verdict", verdict("info", "header_check")),
        (": hold: header ", "verdict", verdict("hold", "header_check")),
        (": hold: body ", "verdict", verdict("hold", "body_check")),
        (": discard: header ", "verdict", verdict("discard", "header_check")),
        (": filter: header ", "verdict", verdict("filter", "header_check")),
        (": prepend: header ", "verdict", verdict("prepend", "header_check")),
        (": prepend: body ", "verdict", verdict("prepend", "body_check")),
        (": replace: header ", "verdict", verdict("replace", "header_check")),
        (": replace: body ", "verdict", verdict("replace", "body_check")),
        (": redirect: header ", "verdict", verdict("redirect", "header_check")),
        (": bcc: header ", "verdict", verdict("bcc", "header_check")),
        (": strip: header ", "verdict", verdict("strip", "header_check")),
        (": pass: header ", "verdict", verdict("pass", "header_check")),
        (": reject: header Content-Type: application/x; name=a.exe", "verdict", json!({
            "action": "reject", "client": client})),
        (": warning: header X-Nested: yes", "verdict", json!({"action": "warn"})),
        ("cleanup[*]: *: reject: mime-error", "verdict", json!({
            "action": "reject", "by": "mime_check", "from": "mime@sent.test"})),
        (": reject: header Subject: reject from local; from=<local@sent.test>", "verdict", json!({
            "action": "reject", "by": "header_check", "trigger": "Subject: reject", "from": "local@sent.test"})),
        ("resent-message-id=<resent@sent.test>", "message_id", json!({
            "message_id": "resent@sent.test", "resent": true})),
        (": message-id=<first@sent.test>", "message_id", json!({"message_id": "first@sent.test", "resent": null})),
        (": message-id=no brackets (comment)", "message_id", json!({"message_id": "no brackets (comment)"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}

#[test]
fn filters_and_proxies() {
    const RULES: &[milter::Rule] = &[
        (b'H', "bad-helo", Answer::Reject),
        (b'M', "m-mail", Answer::Reply("550 5.7.1 no mail from you; go away")),
        (b'R', "m-rcpt", Answer::TempFail),
        (b'T', "m-data", Answer::Reject),
        (b'L', "m-header", Answer::Reply("554 5.6.0 a header; of the worst kind")),
        (b'E', "m-reject", Answer::Reply("550 5.7.1 spam; score=12.3 from nowhere")),
        (b'E', "m-defer", Answer::TempFail),
        (b'E', "m-discard", Answer::Discard),
        (b'E', "m-hold", Answer::Quarantine("a virus")),
    ];
    let rsyslog = Rsyslog::setup().start();
    let filter = milter::start(RULES);
    let proxied = Port::reserve();
    let proxy = smtp_script::start(&[
        ("RCPT", "250 2.1.5 Ok"),
        ("MAIL FROM:<p-mail", "550 5.7.1 not from there"),
        ("MAIL FROM:<p-end", "250 2.1.0 a sender"),
        ("X-Spam", "250 2.0.0 never said"),
        (".", "250 2.0.0 Ok: passed on"),
    ]);
    let broken = Port::reserve();
    let nobody = Port::reserve();
    let refusing = Port::reserve();
    let refusal = smtp_script::start(&[(".", "554 5.7.0 Reject, id=01234-05 - SPAM")]);
    let by_proxy = |address: SocketAddr| format!("smtpd_proxy_filter={address}");
    let postfix = Postfix::setup()
        .parameter("smtpd_milters", &filter.inet())
        .parameter("non_smtpd_milters", &filter.inet())
        .listen(&proxied, "smtpd", &[&by_proxy(proxy.address()), "smtpd_milters="])
        .listen(&refusing, "smtpd", &[&by_proxy(refusal.address()), "smtpd_milters="])
        .listen(&broken, "smtpd", &[&by_proxy(nobody.address()), &format!("smtpd_milters=inet:{}", nobody.address())])
        .start(&rsyslog);
    let mut session = Session::connect(postfix.address());
    session.reply();
    session.say_all(&["HELO bad-helo", "MAIL FROM:<x@sent.test>", "RCPT TO:<anna@sent.test>", "QUIT"]);
    for sender in ["m-mail", "m-rcpt", "m-data", "m-header", "m-reject", "m-defer", "m-discard", "m-hold", "m-none"] {
        offer(&postfix, &format!("{sender}@sent.test"), "Subject: test\n\nHello.");
    }
    offer_to(proxied.address(), "p-mail@sent.test", "Subject: test\n\nHello.");
    offer_to(proxied.address(), "p-good@sent.test", "Subject: test\n\nHello.");
    offer_to(refusing.address(), "p-end@sent.test", "Subject: test\n\nHello.");
    offer_to(broken.address(), "p-broken@sent.test", "Subject: test\n\nHello.");
    postfix.sendmail(&["-f", "m-reject-local@sent.test", "anna@sent.test"], "Subject: test\n\nHello.\n");
    wait_logged(&rsyslog, &["from=<m-none@sent.test>*queue active", "milter-hold", "from=<m-reject-local@sent.test>"]);
    postfix.delete_all(DEADLINE);
    let client = json!({"name": "localhost", "ip": "127.0.0.1"});
    #[rustfmt::skip]
    let rows = [
        ("milter-reject: EHLO from", "verdict", json!({"action": "reject", "by": "milter", "stage": "EHLO"})),
        (": milter-reject: MAIL from localhost[127.0.0.1]: 550 5.7.1 no mail from you; go away; from=<m-mail",
            "verdict", json!({
            "daemon": "smtpd", "action": "reject", "by": "milter", "stage": "MAIL", "client": client, "queue_id": null,
            "reply": {"code": 550, "dsn": {"code": "5.7.1"}, "text": "no mail from you; go away"},
            "from": "m-mail@sent.test", "proto": "ESMTP", "helo": "client.test"})),
        (": milter-reject: RCPT from", "verdict", json!({
            "stage": "RCPT", "reply": {"code": 451, "dsn": {"code": "4.7.1"}}, "to": "anna@sent.test",
            "from": "m-rcpt@sent.test"})),
        (": milter-reject: DATA from", "verdict", json!({"stage": "DATA", "action": "reject", "by": "milter"})),
        ("cleanup[*]: *: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 5.7.1 spam; score=*; from=<m-reject@",
            "verdict", json!({
            "daemon": "cleanup", "action": "reject", "by": "milter", "stage": "END-OF-MESSAGE", "client": client,
            "queue_id": "*", "reply": {"code": null, "dsn": {"code": "5.7.1"}, "text": "spam; score=12.3 from nowhere"},
            "from": "m-reject@sent.test", "to": "anna@sent.test", "proto": "ESMTP", "helo": "client.test"})),
        ("cleanup[*]: *: milter-reject: END-OF-MESSAGE from *from=<m-header@", "verdict", json!({
            "by": "milter", "reply": {"dsn": {"code": "5.6.0"}}})),
        ("cleanup[*]: *: milter-discard: END-OF-MESSAGE from ", "verdict", json!({
            "action": "discard", "by": "milter", "from": "m-discard@sent.test"})),
        ("cleanup[*]: *: milter-hold: END-OF-MESSAGE from ", "verdict", json!({
            "action": "hold", "by": "milter", "from": "m-hold@sent.test"})),
        ("proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: passed on; from=<p-good@", "verdict", json!({
            "action": "accept", "by": "proxy", "stage": "END-OF-MESSAGE", "reply": {"code": 250,
            "dsn": {"code": "2.0.0"}, "text": "Ok: passed on"},
            "from": "p-good@sent.test", "to": "anna@sent.test", "proto": "ESMTP", "helo": "client.test",
            "queue_id": null})),
        ("proxy-reject: ", "verdict", json!({"action": "reject", "by": "proxy", "reply": "*"})),
        ("NOQUEUE: client=localhost[127.0.0.1]", "client", json!({"queue_id": null, "client": client})),
        ("smtpd[*]: warning: connect to Milter service", "warning", json!({"level": "warning", "text": "*"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
