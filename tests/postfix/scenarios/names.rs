//! Answers of the name service on other servers, on clients, and on lists of clients.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::dns::Data::{A, Failure, Mx, Ptr};
use testkit::dns::{Dns, Entry};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::Rsyslog;
use testkit::smtp::Session;
use testkit::smtp_sink::SmtpSink;

const ZONE: &[Entry] = &[
    ("null.test", Mx(0, "")),
    ("backup.test", Mx(10, "first.backup.test")),
    ("backup.test", Mx(20, "second.backup.test")),
    ("first.backup.test", A([127, 0, 0, 31])),
    ("second.backup.test", A([127, 0, 0, 1])),
    ("nowhere.test", Mx(10, "gone.nowhere.test")),
    ("failing.test", Failure),
    ("loop.test", Mx(10, "mx1.test")),
    ("mx1.test", A([127, 0, 0, 1])),
    ("sent.test", A([127, 0, 0, 1])),
    // Clients.
    ("78.0.0.127.in-addr.arpa", Ptr("liar.test")),
    ("liar.test", A([192, 0, 2, 1])),
    ("79.0.0.127.in-addr.arpa", Ptr("unknown.liar.test")),
    ("81.0.0.127.in-addr.arpa", Ptr("honest.test")),
    ("honest.test", A([127, 0, 0, 81])),
    ("80.0.0.127.list.test", A([127, 0, 0, 2])),
];

#[test]
fn names_of_servers_and_clients() {
    let rsyslog = Rsyslog::setup().start();
    let dns = Dns::start(ZONE);
    let screen = Port::reserve();
    let setup = Postfix::setup();
    let sink = SmtpSink::start(setup.directory(), &[]);
    let postfix = setup
        .name_server(&dns)
        .service(
            "dns unix - - n - - smtp",
            &["smtp_dns_support_level=enabled", "smtp_host_lookup=dns", "syslog_name=postfix/dns"],
        )
        .transport("null.test", "dns:")
        .transport("backup.test", &format!("dns:backup.test:{}", sink.number()))
        .transport("nowhere.test", "dns:")
        .transport("missing.test", "dns:")
        .transport("failing.test", "dns:")
        .transport("loop.test", "dns:")
        .parameter(
            "smtpd_client_restrictions",
            "reject_rbl_client list.test, warn_if_reject reject_unknown_client_hostname",
        )
        .parameter("smtpd_sender_restrictions", "reject_unknown_sender_domain")
        .parameter("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination")
        .parameter("postscreen_access_list", "")
        .parameter("postscreen_dnsbl_sites", "list.test*2")
        .parameter("postscreen_dnsbl_threshold", "2")
        .parameter("postscreen_dnsbl_action", "enforce")
        // As long as the list may take to answer on a busy machine.
        .parameter("postscreen_greet_wait", "5s")
        .service("smtpd pass - - n - - smtpd", &[])
        .service("dnsblog unix - - n - 0 dnsblog", &[])
        .service(&format!("127.0.0.1:{} inet n - n - 1 postscreen", screen.number()), &[])
        .start(&rsyslog);
    for domain in ["null", "backup", "nowhere", "missing", "failing", "loop"] {
        postfix.send(1, "user@sent.test", &[&format!("anna@{domain}.test")]);
    }
    let offer = |last: u8, server, sender: &str| {
        let mut session = Session::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), server);
        session.reply();
        let mail = format!("MAIL FROM:<{sender}>");
        session.say_all(&["EHLO client.test", &mail, "RCPT TO:<anna@sent.test>", "QUIT"]);
    };
    for client in [78, 79, 80, 81] {
        offer(client, postfix.address(), "user@sent.test");
    }
    for sender in ["user@null.test", "user@missing.test", "user@failing.test"] {
        offer(81, postfix.address(), sender);
    }
    offer(80, screen.address(), "user@sent.test");
    wait_logged(
        &rsyslog,
        &[
            "to=<anna@null.test>",
            "to=<anna@backup.test>",
            "to=<anna@nowhere.test>",
            "to=<anna@missing.test>",
            "to=<anna@failing.test>",
            "to=<anna@loop.test>",
            "DNSBL rank ",
        ],
    );
    postfix.delete_all(DEADLINE);
    let listed = json!({"name": null, "ip": "127.0.0.80"});
    #[rustfmt::skip]
    let rows = [
        ("to=<anna@null.test>", "delivery", json!({
            "status": "bounced", "relay": null, "cause": "null_mx", "dsn": {"code": "5.1.0"}})),
        ("]: connect to first.backup.test[127.0.0.31]:*: Connection refused", "attempt_failed", json!({
            "server": {"name": "first.backup.test", "ip": "127.0.0.31", "port": sink.number()},
            "cause": "connection_refused"})),
        ("to=<anna@backup.test>", "delivery", json!({
            "status": "sent", "relay": {"name": "second.backup.test", "ip": "127.0.0.1", "port": sink.number()}})),
        ("to=<anna@nowhere.test>", "delivery", json!({"status": "bounced", "relay": null, "cause": "host_not_found"})),
        ("to=<anna@missing.test>", "delivery", json!({"status": "bounced", "cause": "host_not_found"})),
        ("to=<anna@failing.test>", "delivery", json!({"status": "deferred", "cause": "*"})),
        ("to=<anna@loop.test>", "delivery", json!({"status": "bounced", "cause": "mail_loop"})),
        ("hostname liar.test does not resolve to address 127.0.0.78", "hostname_mismatch", json!({
            "level": "warning", "client": {"name": "liar.test", "ip": "127.0.0.78"}, "reason": null})),
        ("hostname unknown.liar.test does not resolve to address 127.0.0.79: ", "hostname_mismatch", json!({
            "client": {"name": "unknown.liar.test", "ip": "127.0.0.79"}, "reason": "*"})),
        ("]: connect from honest.test[127.0.0.81]", "connect", json!({"client": {"name": "honest.test"}})),
        ("smtpd[*]: NOQUEUE: reject: RCPT from unknown[127.0.0.80]: ", "verdict", json!({
            "client": listed, "reply": {"code": 554, "dsn": {"code": "5.7.1"}, "text": "*"},
            "from": "user@sent.test", "to": "anna@sent.test", "helo": "client.test"})),
        ("NOQUEUE: reject_warning: RCPT from unknown[127.0.0.7", "verdict", json!({"action": "reject_warning"})),
        (": reject: RCPT from honest.test[127.0.0.81]: ", "verdict", json!({
            "client": {"name": "honest.test", "ip": "127.0.0.81"}, "reply": {"code": "*", "dsn": "*"}})),
        ("dnsblog[*]: addr 127.0.0.80 listed by domain list.test as 127.0.0.2", "dnsbl", json!({
            "client": {"ip": "127.0.0.80"}, "domain": "list.test", "result": "127.0.0.2"})),
        ("DNSBL rank 2 for [127.0.0.80]:", "postscreen", json!({
            "test": "dnsbl", "rank": 2, "client": {"ip": "127.0.0.80", "port": "*"}})),
        ("postscreen[*]: NOQUEUE: reject: RCPT from [127.0.0.80]:", "verdict", json!({
            "by": "postscreen", "reply": {"code": 550}, "to": "anna@sent.test"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
