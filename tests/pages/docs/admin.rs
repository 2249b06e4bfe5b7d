//! docs/admin.md: what the server and the commands that ask it answer.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;
use testkit::http::get;
use testkit::port::Port;
use testkit::prometheus::{self, Prometheus};
use testkit::scratch;
use testkit::wait::wait_until;

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, assert_prints, finish, run, shell};

/// A message that waits for its next attempt.
const LINES: &str = "\
    <22>2026-11-24T02:10:34Z mx1 postfix/smtpd[7]: 4FCA1803C5: client=mail.example.net[192.0.2.10]\n\
    <22>2026-11-24T02:10:34Z mx1 postfix/cleanup[8]: 4FCA1803C5: message-id=<20261124021034.1@example.net>\n\
    <22>2026-11-24T02:10:34Z mx1 postfix/qmgr[9]: 4FCA1803C5: from=<ada@example.net>, size=2041, nrcpt=1 (queue active)\n\
    <22>2026-11-24T02:10:35Z mx1 postfix/smtp[10]: 4FCA1803C5: to=<bob@example.com>, relay=mx.example.com[192.0.2.25]:25, \
    delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=4.7.1, status=deferred (host mx.example.com[192.0.2.25] said: 450 4.7.1 \
    <bob@example.com>: Recipient address rejected: Greylisted (in reply to RCPT TO))\n";

#[test]
fn the_server_and_its_commands_answer_as_shown() {
    let (directory, port) = (scratch::directory("admin"), Port::reserve());
    let mut page = Page::open("admin.md");
    page.exchange("127.0.0.1:9514", port.address());
    page.exchange("/var/lib/postrider/admin.sock", directory.path().join("admin.sock").display());
    page.exchange("/etc/postrider/admin.token", directory.path().join("admin.token").display());
    page.exchange("/etc/prometheus/postrider.token", directory.path().join("admin.token").display());
    let [table, ready, health, trace] = page.take(["toml", "console", "console", "console"]);
    let [scrape, authorization, lost, token] = page.take(["yaml", "yaml", "promql", "sh"]);
    let rest = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n[correlate]\ncheckpoint = \"none\"\n";
    let mut postrider = run(&format!("{table}{rest}"));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    socket.write_all(LINES.as_bytes()).expect("room");
    postrider.status().wait(DEADLINE, "four lines", |status| status.source("tcp").count("received") == 4);
    assert_prints(&ready);
    assert_prints(&health);
    assert_prints(&trace);
    let mut prometheus = Prometheus::start(&scrape);
    prometheus.wait_value(DEADLINE, "up", "1");
    let received = "postrider_source_received_messages_total{source=\"tcp\", kind=\"tcp\", job=\"postrider\"}";
    prometheus.wait_value(DEADLINE, received, "4");
    // An increase takes two scrapes.
    prometheus.wait_value(DEADLINE, "count_over_time(up[1h]) > bool 2", "1");
    prometheus.wait_value(DEADLINE, &format!("increase({received}[1h])"), "0");
    assert_eq!(prometheus.query(&lost), [] as [Value; 0]);
    // The token is written before the daemon knows it.
    shell(&token, directory.path());
    let keyed = format!("{table}token_file = \"{}\"\n{rest}", directory.path().join("admin.token").display());
    postrider.reload(&keyed);
    wait_until(DEADLINE, "a token", || get(port.address(), "/live").status == 401);
    prometheus.wait_value(DEADLINE, "up", "0");
    prometheus.terminate(DEADLINE);
    let mut prometheus = Prometheus::start(&format!("{scrape}{authorization}"));
    prometheus.wait_value(DEADLINE, "up", "1");
    prometheus.wait_value(DEADLINE, "postrider_config_loads_total{result=\"accepted\"}", "2");
    prometheus.terminate(DEADLINE);
    let (_, asked) = token.split_once('\n').expect("two commands");
    shell(&format!("{} | grep '\"ready\": true'", asked.trim_end()), directory.path());
    assert!(fs::read_to_string(directory.path().join("admin.token")).expect("a token").len() > 60);
    finish(postrider);
}

/// Everything that has metrics.
#[test]
fn promtool_has_nothing_against_the_metrics() {
    let (directory, port) = (scratch::directory("metrics"), Port::reserve());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut postrider = run(&format!(
        "[admin]\nlisten = \"{}\"\nsocket = \"none\"\n[correlate]\ncheckpoint = \"{}\"\n\
         [[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
         [[sink.stdout]]\n[[sink.file]]\npath = \"{}/{{hostname}}.json\"\n[sink.file.spool]\ndirectory = \"{}\"\n\
         min_free = \"0B\"\n",
        port.address(),
        path("checkpoint"),
        path("out"),
        path("spool")
    ));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    socket.write_all(LINES.as_bytes()).expect("room");
    postrider.wait_delivered("stdout", 4, DEADLINE);
    let text = get(port.address(), "/metrics").body;
    assert!(text.contains("postrider_spool_limit_bytes{sink=\"file\",kind=\"file\"} "), "{text}");
    assert_eq!(prometheus::complaints(&text), "", "{text}");
    // It does find what is wrong.
    let found = prometheus::complaints("# TYPE postrider_sink_retries counter\npostrider_sink_retries 1\n");
    assert!(found.contains("no help text") && found.contains("_total"), "{found}");
    finish(postrider);
}
