//! Mail on its way through the queue to mailboxes, programs and other machines, and what becomes of it when it fails.

use serde_json::json;

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::postfix::Postfix;
use testkit::rsyslog::Rsyslog;

#[test]
fn local_mail() {
    let rsyslog = Rsyslog::setup().start();
    let setup = Postfix::setup();
    let etc = setup.directory().join("etc").display().to_string();
    let mail = setup.directory().join("mail").display().to_string();
    let aliases = format!(
        "team nobody, anna@sent.test\n\
         list :include:{etc}/include\n\
         owner-list nobody\n\
         file {mail}/archive\n\
         command \"|wc -c\"\n\
         failing \"|echo no room; exit 75\"\n\
         refusing \"|echo not wanted here; exit 77\"\n\
         one two\n\
         two one\n"
    );
    let setup = setup
        .file("aliases", &aliases)
        .file("include", "anna@sent.test\nbea@sent.test\n")
        .file("forward-daemon", "carl@sent.test\n")
        .file("forward-bin", "\\bin, dora@sent.test\n")
        .parameter("alias_maps", "texthash:$config_directory/aliases")
        .parameter("allow_mail_to_commands", "alias, forward, include")
        .parameter("allow_mail_to_files", "alias, forward, include")
        .parameter("forward_path", &format!("{etc}/forward-${{user}}"))
        .parameter("virtual_alias_domains", "aliased.test")
        .parameter(
            "virtual_alias_maps",
            "inline:{ both@aliased.test=nobody@local.test, away@aliased.test=anna@sent.test }",
        )
        .parameter("myorigin", "local.test")
        .parameter("mailbox_transport_maps", "inline:{ sys=discard:passed }");
    // Bytes that no mailbox may have.
    let setup = setup.parameter("message_size_limit", "60000").parameter("mailbox_size_limit", "100000");
    let postfix = setup.start(&rsyslog);
    for to in
        ["team", "list", "file", "command", "failing", "refusing", "one", "daemon", "bin", "sys", "missing", "nobody"]
    {
        postfix.send(1, &format!("to-{to}@sent.test"), &[&format!("{to}@local.test")]);
    }
    postfix.send(1, "to-virtual@sent.test", &["user@virtual.test", "missing@virtual.test"]);
    postfix.send(1, "to-alias@sent.test", &["both@aliased.test", "away@aliased.test", "none@aliased.test"]);
    postfix.send(1, "to-pipe@sent.test", &["archive@pipe.test"]);
    postfix.send(1, "\"two words\"@sent.test", &["\"a > b, c\"@discard.test"]);
    postfix.send(1, "", &["anna@sent.test"]);
    postfix.sendmail(&["-f", "user@sent.test", "anna@sent.test"], "Subject: submitted\n\nHello.\n");
    postfix.sendmail(&["-bv", "-f", "prober@sent.test", "anna@sent.test", "missing@local.test"], "");
    postfix
        .sendmail(&["-N", "success", "-f", "receipt@sent.test", "nobody@local.test"], "Subject: receipt\n\nHello.\n");
    postfix.administrate("postqueue", &["-p"]);

    wait_logged(
        &rsyslog,
        &[
            "(forwarded as *)",
            "to=<failing@local.test>*status=deferred",
            "to=<refusing@local.test>*status=bounced",
            "to=<one@local.test>*status=",
            "to=<missing@virtual.test>*status=bounced",
            "to=<none@aliased.test>",
            "to=<archive@pipe.test>*status=sent",
            "to=<carl@sent.test>*status=sent",
            "to=<dora@sent.test>*status=sent",
            "to=<anna@sent.test>*status=deliverable",
            "sender delivery status notification: ",
        ],
    );
    let relay = |name: &str| json!({"name": name, "ip": null, "port": null});
    #[rustfmt::skip]
    let rows = [
        ("from=<to-team@sent.test>, size=*, nrcpt=1 (queue active)", "queue_active", json!({
            "daemon": "qmgr", "from": "to-team@sent.test", "size": "*", "nrcpt": 1, "queue_id": "*"})),
        ("from=<\"two words\"@sent.test>, size", "queue_active", json!({"from": "\"two words\"@sent.test"})),
        ("from=<>, size=", "queue_active", json!({"from": ""})),
        ("]: *: removed", "removed", json!({"daemon": "qmgr", "reason": null, "queue_id": "*"})),
        ("to=<nobody@local.test>, orig_to=<team@local.test>", "delivery", json!({
            "to": "nobody@local.test", "orig_to": "team@local.test", "status": "sent", "relay": relay("local"),
            "reason": "delivered to mailbox", "dsn": {"code": "2.0.0", "class": "success"}, "cause": null})),
        ("to=<team@local.test>*(forwarded as *)", "delivery", json!({"status": "sent", "forwarded_as": "*"})),
        ("to=<list@local.test>*(forwarded as *)", "delivery", json!({"status": "sent", "forwarded_as": "*"})),
        ("to=<file@local.test>", "delivery", json!({
            "status": "sent", "reason": format!("delivered to file: {mail}/archive")})),
        ("to=<command@local.test>", "delivery", json!({"reason": "delivered to command: wc -c"})),
        ("to=<failing@local.test>", "delivery", json!({"status": "deferred", "dsn": {"code": "4.3.0"}})),
        ("to=<refusing@local.test>", "delivery", json!({"status": "bounced", "reason": "*"})),
        ("to=<one@local.test>*status=bounced", "delivery", json!({"status": "bounced", "cause": "mail_loop"})),
        ("to=<missing@local.test>*status=bounced", "delivery", json!({
            "status": "bounced", "reason": "unknown user: \"missing\"", "cause": "user_unknown",
            "dsn": {"code": "5.1.1"}})),
        ("passing <sys@local.test> to transport=discard", "passing", json!({
            "daemon": "local", "to": "sys@local.test", "transport": "discard", "queue_id": "*"})),
        ("to=<sys@local.test>", "delivery", json!({"to": "sys@local.test"})),
        ("to=<carl@sent.test>, orig_to=<daemon@local.test>", "delivery", json!({"status": "sent"})),
        ("to=<user@virtual.test>", "delivery", json!({
            "daemon": "virtual", "relay": relay("virtual"), "status": "sent", "reason": "delivered to mailbox"})),
        ("to=<missing@virtual.test>", "delivery", json!({"status": "bounced", "cause": "user_unknown"})),
        ("to=<nobody@local.test>, orig_to=<both@aliased.test>", "delivery", json!({"orig_to": "both@aliased.test"})),
        ("to=<none@aliased.test>", "delivery", json!({
            "status": "bounced", "relay": null, "reason": "User unknown in virtual alias table",
            "cause": "user_unknown"})),
        ("to=<archive@pipe.test>", "delivery", json!({
            "daemon": "pipe", "relay": relay("archive"), "status": "sent", "delays": {"before_queue_manager": "*",
            "in_queue_manager": "*", "connection_setup": 0.0, "transmission": "*"}})),
        ("to=<\"a > b, c\"@discard.test>", "delivery", json!({
            "to": "\"a > b, c\"@discard.test", "daemon": "discard", "relay": null, "status": "sent",
            "reason": "nobody reads this"})),
        ("to=<anna@sent.test>*status=sent", "delivery", json!({
            "relay": {"name": "127.0.0.1", "ip": "127.0.0.1", "port": "*"}, "reply": {"code": 250, "text": "Ok"}})),
        ("postfix/pickup[*]: *: uid=0 from=<user@sent.test>", "pickup", json!({
            "uid": 0, "from": "user@sent.test", "orig_queue_id": null, "queue_id": "*"})),
        ("postfix/cleanup[*]: *: message-id=<", "message_id", json!({
            "message_id": "*", "resent": null, "queue_id": "*"})),
        ("to=<anna@sent.test>*status=deliverable", "delivery", json!({"status": "deliverable"})),
        ("sender non-delivery notification: ", "notification", json!({
            "daemon": "bounce", "kind": "non_delivery", "recipient": "sender", "notification_queue_id": "*"})),
        ("sender delivery status notification: ", "notification", json!({
            "kind": "delivery_status", "recipient": "sender"})),
        ("postfix/smtpd[*]: connect from localhost[127.0.0.1]", "connect", json!({
            "client": {"name": "localhost", "ip": "127.0.0.1", "port": null}})),
        ("client=localhost[127.0.0.1]", "client", json!({
            "client": {"name": "localhost", "ip": "127.0.0.1"}, "sasl": null, "queue_id": "*"})),
        ("disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=2 data=1", "disconnect", json!({
            "commands": {"ehlo": {"ok": 1, "total": 1}, "rcpt": {"ok": 2, "total": 2}, "all": "*"}})),
    ];
    wait_logged(&rsyslog, &rows.each_ref().map(|(line, _, _)| *line));
    postfix.delete_all(DEADLINE);
    finish(postfix, &rsyslog).expect(&rows);
}
