//! logger of util-linux.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::senders::collector::{Collected, Collector, Pace, Source, messages};
use testkit::scratch;

/// Options of every message.
const COMMON: [&str; 5] = ["--id=4711", "-p", "mail.warning", "-t", "postfix/smtp"];

const FIELDS: [(&str, &str); 4] =
    [("facility", "mail"), ("severity", "warning"), ("app_name", "postfix/smtp"), ("procid", "4711")];

/// Asserts that all lines on logger's standard input reach `collector` with these options.
fn delivers(
    mut collector: Collector,
    pace: Pace,
    options: &[&str],
    fields: &[(&str, &str)],
    flags: &[&str],
) -> Collected {
    let mut logger = Command::new("logger").args(COMMON).args(options).stdin(Stdio::piped()).spawn().expect("logger");
    let mut stdin = logger.stdin.take().expect("a pipe");
    collector.feed(pace, |some| stdin.write_all((some.join("\n") + "\n").as_bytes()).expect("logger reads"));
    drop(stdin);
    assert!(logger.wait().expect("logger ends").success());
    let collected = collector.end();
    collected.assert_in_order(&[&FIELDS, fields].concat(), flags);
    collected
}

/// The name of this machine.
fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    name.trim_end().to_owned()
}

/// logger has it so in RFC 3164, whose HOSTNAME has no domain.
fn short_hostname() -> String {
    hostname().split('.').next().expect("a first part").to_owned()
}

#[test]
fn over_tcp() {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    let options = ["-n", "127.0.0.1", "-P", &port, "-T"];
    delivers(collector, Pace::Queues, &options, &[("hostname", &hostname())], &[]);
}

#[test]
fn over_tcp_with_octet_counting() {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    let structure = ["--msgid", "ID47", "--sd-id", "origin@32473", "--sd-param", "ip=\"192.0.2.1\""];
    let options = [&["-n", "127.0.0.1", "-P", &port, "-T", "--octet-count", "--rfc5424"], &structure[..]].concat();
    let hostname = hostname();
    let fields = [("hostname", hostname.as_str()), ("msgid", "ID47")];
    let collected = delivers(collector, Pace::Queues, &options, &fields, &[]);
    for record in collected.records() {
        let expected = json!({"id": "origin@32473", "name": "ip", "value": "192.0.2.1"});
        assert!(record["structured_data"].as_array().is_some_and(|data| data.contains(&expected)), "{record}");
    }
}

#[test]
fn over_tcp_in_rfc_3164() {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    let options = ["-n", "127.0.0.1", "-P", &port, "-T", "--rfc3164"];
    delivers(collector, Pace::Queues, &options, &[("hostname", &short_hostname())], &["year_inferred"]);
}

#[test]
fn over_udp() {
    let mut collector = Collector::start(Source::Udp);
    let port = collector.port().to_string();
    let options = ["-n", "127.0.0.1", "-P", &port, "-d"];
    delivers(collector, Pace::Datagrams, &options, &[("hostname", &hostname())], &[]);
}

#[test]
fn over_udp_in_rfc_3164() {
    let mut collector = Collector::start(Source::Udp);
    let port = collector.port().to_string();
    let options = ["-n", "127.0.0.1", "-P", &port, "-d", "--rfc3164"];
    delivers(collector, Pace::Datagrams, &options, &[("hostname", &short_hostname())], &["year_inferred"]);
}

/// The form of syslog(3), which names no host.
#[test]
fn over_unix_datagrams() {
    let collector = Collector::start(Source::UnixDatagram);
    let path = collector.path().display().to_string();
    delivers(collector, Pace::Queues, &["-u", &path], &[("hostname", "")], &["year_inferred", "hostname_missing"]);
}

#[test]
fn over_a_unix_stream() {
    let collector = Collector::start(Source::UnixStream);
    let path = collector.path().display().to_string();
    delivers(collector, Pace::Queues, &["-u", &path], &[("hostname", "")], &["year_inferred", "hostname_missing"]);
}

#[test]
fn over_a_unix_stream_with_octet_counting() {
    let collector = Collector::start(Source::UnixStream);
    let path = collector.path().display().to_string();
    let options = ["-u", &path, "-T", "--octet-count", "--rfc5424"];
    delivers(collector, Pace::Queues, &options, &[("hostname", &hostname())], &[]);
}

const NEITHER: &[&str] = &["timestamp_missing", "hostname_missing"];

/// Asserts that all lines that logger reads from a file arrive over TCP with these options for its header, with
/// structured data or without.
fn delivers_with_header(options: &[&str], structured: bool, hostname: &str, flags: &[&str]) {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    let directory = scratch::directory("logger");
    let file = directory.path().join("messages");
    fs::write(&file, messages().join("\n") + "\n").expect("a file");
    let mut logger = Command::new("logger");
    logger.args(COMMON).args(["-n", "127.0.0.1", "-P", &port, "-T"]).args(options).arg("-f").arg(&file);
    assert!(logger.status().expect("logger runs").success());
    let collected = collector.end();
    collected.assert_in_order(&[&FIELDS[..], &[("hostname", hostname)]].concat(), flags);
    for record in collected.records() {
        assert_eq!(record.get("structured_data").is_some(), structured, "{record}");
    }
}

#[test]
fn with_a_whole_header() {
    delivers_with_header(&["--rfc5424"], true, &hostname(), &[]);
}

#[test]
fn without_time_quality() {
    delivers_with_header(&["--rfc5424=notq"], false, &hostname(), &[]);
}

#[test]
fn without_a_host() {
    delivers_with_header(&["--rfc5424=nohost"], true, "", &["hostname_missing"]);
}

#[test]
fn without_a_time() {
    delivers_with_header(&["--rfc5424=notime"], false, &hostname(), &["timestamp_missing"]);
}

#[test]
fn without_any_of_them() {
    delivers_with_header(&["--rfc5424=notime,notq,nohost"], false, "", NEITHER);
}

#[test]
fn without_any_of_them_with_octet_counting() {
    delivers_with_header(&["--rfc5424=notime,notq,nohost", "--octet-count"], false, "", NEITHER);
}

#[test]
fn in_rfc_3164() {
    delivers_with_header(&["--rfc3164"], false, &short_hostname(), &["year_inferred"]);
}

#[test]
fn in_rfc_3164_with_octet_counting() {
    delivers_with_header(&["--rfc3164", "--octet-count"], false, &short_hostname(), &["year_inferred"]);
}
