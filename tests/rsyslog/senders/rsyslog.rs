//! rsyslog's omfwd.

use crate::senders::collector::{Collector, Pace, Source};
use testkit::rsyslog::{Forward, HOSTNAME, Rsyslog, Setup};

/// Asserts that all messages given to rsyslog reach `collector` with the fields that they had.
fn delivers(mut collector: Collector, setup: Setup, flags: &[&str]) {
    let rsyslog = setup.permit_slash_in_program_name().start();
    collector.feed(Pace::Queues, |some| rsyslog.log("postfix/smtp[4711]", some.iter().map(String::as_str)));
    let fields = [
        ("facility", "mail"),
        ("severity", "info"),
        ("hostname", HOSTNAME),
        ("app_name", "postfix/smtp"),
        ("procid", "4711"),
        ("msgid", ""),
    ];
    collector.end().assert_in_order(&fields, flags);
}

#[test]
fn omfwd_over_tcp_with_a_message_a_line() {
    let mut collector = Collector::start(Source::Tcp);
    let setup = Rsyslog::setup().forward(Forward::Tcp(collector.port()));
    delivers(collector, setup, &["year_inferred"]);
}

#[test]
fn omfwd_over_tcp_with_octet_counting() {
    let mut collector = Collector::start(Source::Tcp);
    let setup = Rsyslog::setup().forward(Forward::Rfc5424(collector.port()));
    delivers(collector, setup, &[]);
}

#[test]
fn omfwd_over_tls() {
    let mut collector = Collector::start(Source::Tls);
    let setup = Rsyslog::setup().further(&format!(
        "global(DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{}\")\n\
         mail.* action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{}\" protocol=\"tcp\" StreamDriver=\"gtls\"\n\
         StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" StreamDriverPermittedPeers=\"mx1.example.com\"\n\
         TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"\n\
         queue.type=\"linkedList\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")",
        collector.ca().display(),
        collector.port()
    ));
    delivers(collector, setup, &[]);
}
