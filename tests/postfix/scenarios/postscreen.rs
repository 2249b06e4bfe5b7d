//! postscreen and its helpers.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use crate::scenarios::log::{finish, wait_logged};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::Rsyslog;
use testkit::smtp::Session;

#[test]
fn clients_under_test() {
    let rsyslog = Rsyslog::setup().start();
    let [screen, deep, legacy] = std::array::from_fn(|_| Port::reserve());
    // A cache of their own for each, which no other process may open, and no second process of the same.
    let alone = |port: &Port| format!("127.0.0.1:{} inet n - n - 1 postscreen", port.number());
    let postfix = Postfix::setup()
        .parameter("postscreen_greet_wait", "2s")
        .parameter("postscreen_greet_banner", "mx1.test will be with you")
        .parameter("postscreen_greet_action", "enforce")
        .parameter("postscreen_access_list", "cidr:$config_directory/screen")
        .file("screen", "127.0.0.10 permit\n127.0.0.11 reject\n")
        .parameter("postscreen_denylist_action", "enforce")
        .parameter("postscreen_upstream_proxy_protocol", "")
        .parameter("postscreen_client_connection_count_limit", "2")
        .parameter("postscreen_dnsbl_sites", "inline.test*2, other.test*-1")
        .parameter("postscreen_dnsbl_threshold", "2")
        .parameter("postscreen_cache_cleanup_interval", "0")
        .parameter("postscreen_command_count_limit", "6")
        .parameter("postscreen_command_time_limit", "3s")
        .service("smtpd pass - - n - - smtpd", &[])
        .service("dnsblog unix - - n - 0 dnsblog", &[])
        .service("tlsproxy unix - - n - 0 tlsproxy", &[])
        .service(&alone(&screen), &[])
        .service(
            &alone(&deep),
            &[
                "syslog_name=postfix/deep",
                "postscreen_cache_map=btree:$data_directory/deep_cache",
                "postscreen_dnsbl_sites=",
                "postscreen_greet_wait=1s",
                "postscreen_pipelining_enable=yes",
                "postscreen_pipelining_action=enforce",
                "postscreen_non_smtp_command_enable=yes",
                "postscreen_non_smtp_command_action=drop",
                "postscreen_bare_newline_enable=yes",
                "postscreen_bare_newline_action=enforce",
            ],
        )
        .service(
            &alone(&legacy),
            &[
                "syslog_name=postfix/legacy",
                "postscreen_cache_map=btree:$data_directory/legacy_cache",
                "postscreen_dnsbl_sites=",
                "respectful_logging=no",
            ],
        )
        .start(&rsyslog);
    let from =
        |last: u8, port: &Port| Session::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port.address());
    let envelope = ["EHLO client.test", "MAIL FROM:<user@sent.test>", "RCPT TO:<anna@sent.test>"];
    // All at once, since each must wait for its greeting.
    let mut new = from(2, &screen);
    let allowed = from(10, &screen);
    let denied = from(11, &screen);
    let mut early = from(3, &screen);
    early.send("EHLO early.test\r\n");
    drop(from(4, &screen));
    let crowd = [from(5, &screen), from(5, &screen), from(5, &screen)];
    let mut pipelining = from(6, &deep);
    let mut foreign = from(7, &deep);
    let mut bare = from(8, &deep);
    let mut long = from(9, &deep);
    let mut many = from(12, &deep);
    let mut silent = from(13, &deep);
    let mut hangup = from(14, &deep);
    let mut data = from(15, &deep);
    let deep_passes = from(16, &deep);
    let mut old_words = from(11, &legacy);
    let line = |session: &mut Session| session.reply();
    for session in [&mut pipelining, &mut foreign, &mut bare, &mut long, &mut many, &mut silent, &mut hangup, &mut data]
    {
        line(session);
    }
    let mut deep_passes = deep_passes;
    deep_passes.reply();
    deep_passes.say_all(&envelope);
    deep_passes.say("QUIT");
    hangup.say("EHLO client.test");
    drop(hangup);
    pipelining.say_all(&["EHLO client.test\r\nMAIL FROM:<user@sent.test>"]);
    foreign.say("Subject: hello");
    bare.send("EHLO client.test\nNOOP\r\n");
    bare.reply();
    long.send(&format!("EHLO {}\r\n", "x".repeat(5000)));
    for _ in 0..10 {
        many.send("NOOP\r\n");
        many.reply();
    }
    data.say_all(&["EHLO client.test", "DATA"]);
    drop((pipelining, foreign, bare, long, many, data));
    // It gets no greeting of its own behind the banner, since its command is answered already.
    early.reply();
    early.say_all(&envelope[1..]);
    early.say("QUIT");
    // The greeting of smtpd comes when the tests have been passed.
    new.reply();
    new.say_all(&["EHLO client.test", "QUIT"]);
    let mut old = from(2, &screen);
    old.reply();
    old.say_all(&["EHLO client.test", "QUIT"]);
    let mut denied = denied;
    denied.reply();
    denied.say_all(&envelope);
    denied.say("QUIT");
    old_words.reply();
    drop((allowed, crowd, old_words));
    silent.wait_end();
    wait_logged(&rsyslog, &["PASS NEW [127.0.0.2]", "PASS OLD [127.0.0.2]", "DENYLISTED [127.0.0.11]"]);
    postfix.administrate("postfix", &["reload"]);
    let client = |last: u8| json!({"ip": format!("127.0.0.{last}"), "port": "*", "name": null});
    #[rustfmt::skip]
    let rows = [
        ("CONNECT from [127.0.0.2]:* to [127.0.0.1]:", "connect", json!({
            "daemon": "postscreen", "client": client(2), "local": {"ip": "127.0.0.1", "port": screen.number()}})),
        ("PASS NEW [127.0.0.2]:", "postscreen", json!({"test": "pass_new", "client": client(2)})),
        ("PASS OLD [127.0.0.2]:", "postscreen", json!({"test": "pass_old", "client": client(2)})),
        ("postscreen[*]: ALLOWLISTED [127.0.0.10]:", "postscreen", json!({
            "test": "allowlisted", "client": client(10)})),
        ("postscreen[*]: DENYLISTED [127.0.0.11]:", "postscreen", json!({"test": "denylisted", "client": client(11)})),
        ("BLACKLISTED [127.0.0.11]:", "postscreen", json!({"test": "denylisted", "client": client(11)})),
        ("PREGREET ", "postscreen", json!({
            "test": "pregreet", "client": client(3), "after": "*", "bytes": "*", "text": "*"})),
        ("HANGUP after ", "postscreen", json!({"test": "hangup", "client": "*", "after": "*", "stage": "*"})),
        ("COMMAND PIPELINING from [127.0.0.6]:", "postscreen", json!({
            "test": "command_pipelining", "client": client(6), "stage": "*", "text": "*"})),
        ("NON-SMTP COMMAND from [127.0.0.7]:", "postscreen", json!({
            "test": "non_smtp_command", "client": client(7), "text": "*"})),
        ("BARE NEWLINE from [127.0.0.8]:", "postscreen", json!({
            "test": "bare_newline", "client": client(8), "stage": "*"})),
        ("COMMAND COUNT LIMIT from [127.0.0.12]:", "postscreen", json!({
            "test": "command_count_limit", "client": client(12)})),
        ("COMMAND LENGTH LIMIT from [127.0.0.9]:", "postscreen", json!({
            "test": "command_length_limit", "client": client(9)})),
        ("DATA without valid RCPT from [127.0.0.15]:", "postscreen", json!({"test": "*", "client": client(15)})),
        ("COMMAND TIME LIMIT from [127.0.0.13]:", "postscreen", json!({
            "test": "command_time_limit", "client": client(13)})),
        ("DISCONNECT [127.0.0.11]:", "disconnect", json!({"client": client(11)})),
        ("NOQUEUE: reject: RCPT from [127.0.0.3]:", "verdict", json!({
            "action": "reject", "by": "postscreen", "stage": "RCPT", "client": client(3), "reply": {"code": 550},
            "from": "user@sent.test", "to": "anna@sent.test", "proto": "ESMTP", "helo": "early.test"})),
        ("NOQUEUE: reject: CONNECT from [127.0.0.5]:*too many connections", "verdict", json!({
            "action": "reject", "by": "postscreen", "stage": "CONNECT", "client": client(5)})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
