//! syslog-ng, with each destination that it has for another host or program.

use crate::senders::collector::{Collector, Pace, Source};
use testkit::syslog_ng::{HOSTNAME, SyslogNg};

/// Asserts that all messages given to syslog-ng reach `collector` through `destination`, with the fields that they had.
fn delivers(mut collector: Collector, destination: &str, pace: Pace) {
    // Without flow control syslog-ng drops what its queue of 10,000 does not hold.
    let syslog_ng = SyslogNg::start(&format!(
        "destination d_postrider {{ {destination}; }};\n\
         log {{ source(s_src); filter(f_mail); destination(d_postrider); flags(flow-control); }};"
    ));
    collector.feed(pace, |some| syslog_ng.log("postfix/smtp[4711]", some.iter().map(String::as_str)));
    let fields = [
        ("facility", "mail"),
        ("severity", "info"),
        ("hostname", HOSTNAME),
        ("app_name", "postfix/smtp"),
        ("procid", "4711"),
        ("msgid", ""),
    ];
    // syslog() speaks RFC 5424, the others RFC 3164.
    let flags: &[&str] = if destination.starts_with("syslog(") { &[] } else { &["year_inferred"] };
    collector.end().assert_in_order(&fields, flags);
}

#[test]
fn network_over_tcp() {
    let mut collector = Collector::start(Source::Tcp);
    let destination = format!("network(\"127.0.0.1\" port({}))", collector.port());
    delivers(collector, &destination, Pace::Queues);
}

#[test]
fn network_over_tls() {
    let mut collector = Collector::start(Source::Tls);
    let (port, ca) = (collector.port(), collector.ca());
    let tls = format!("transport(\"tls\") tls(ca-file(\"{}\"))", ca.display());
    delivers(collector, &format!("network(\"localhost\" port({port}) {tls})"), Pace::Queues);
}

#[test]
fn syslog_over_tcp() {
    let mut collector = Collector::start(Source::Tcp);
    let destination = format!("syslog(\"127.0.0.1\" port({}))", collector.port());
    delivers(collector, &destination, Pace::Queues);
}

#[test]
fn syslog_over_tls() {
    let mut collector = Collector::start(Source::Tls);
    let (port, ca) = (collector.port(), collector.ca());
    let tls = format!("transport(\"tls\") tls(ca-file(\"{}\"))", ca.display());
    delivers(collector, &format!("syslog(\"localhost\" port({port}) {tls})"), Pace::Queues);
}

#[test]
fn syslog_over_udp() {
    let mut collector = Collector::start(Source::Udp);
    let destination = format!("syslog(\"127.0.0.1\" port({}) transport(\"udp\"))", collector.port());
    delivers(collector, &destination, Pace::Datagrams);
}

#[test]
fn unix_dgram() {
    let collector = Collector::start(Source::UnixDatagram);
    let destination = format!("unix-dgram(\"{}\")", collector.path().display());
    delivers(collector, &destination, Pace::Queues);
}

#[test]
fn unix_stream() {
    let collector = Collector::start(Source::UnixStream);
    let destination = format!("unix-stream(\"{}\")", collector.path().display());
    delivers(collector, &destination, Pace::Queues);
}
