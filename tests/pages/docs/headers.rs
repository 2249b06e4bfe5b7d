//! docs/headers.md

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::docs::page::Page;
use crate::docs::running::{assert_logs, finish, record, run};
use testkit::port::Port;

#[test]
fn headers() {
    let mut page = Page::open("headers.md");
    let blocks = page.take(["lines", "lines", "lines"]);
    for record in blocks.iter().flat_map(|block| understood(block)) {
        assert_eq!(record["severity"], "info", "{record}");
        let facility = record["facility"].as_str();
        let has_facility = !record["timestamp"].to_string().contains("07.123456");
        assert_eq!(facility, has_facility.then_some("mail"), "{record}");
        assert!(!record["flags"].to_string().contains("severity_inferred"), "{record}");
    }
    let [twice, templates, inside, shown] = page.take(["lines", "lines", "lines", "json"]);
    let via: Vec<Value> = understood(&twice).iter().map(|record| record["via"]["hostname"].clone()).collect();
    assert_eq!(via, [Value::Null, "192.0.2.9".into()]);
    assert!(understood(&templates).iter().all(|record| record["timestamp_offset"] == "+01:00"));
    let records = understood(&inside);
    for record in &records {
        assert_eq!((&record["facility"], &record["via"]["hostname"]), (&"mail".into(), &"relay".into()), "{record}");
    }
    assert_shows(&shown, records.last().expect("records"));

    let port = Port::reserve();
    page.exchange("[::]:514", port.address());
    let [source, log] = page.take(["toml", "log"]);
    let mut postrider = run(&source);
    postrider.wait_listening(&[port.address()]);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let send = |text: &str| _ = sender.send_to(text.as_bytes(), port.address()).expect("a datagram");
    send("<22>Nov 24 02:15:07 mx1 postfix/smtpd[123]: connect from localhost[127.0.0.1]");
    assert_eq!(record(&postrider, "connect from localhost[127.0.0.1]")["hostname"], "mx1");
    // The source has been told otherwise.
    send("<22>1 2026-11-24T02:15:07Z mx1 app 123 - - x");
    assert_eq!(record(&postrider, "1 2026-11-24T02:15:07Z mx1 app 123 - - x")["hostname"], Value::Null);
    send("at=1795486235 host=mx1 text='postfix/smtpd[123]: connect'");
    let strange = record(&postrider, "at=1795486235 host=mx1 text='postfix/smtpd[123]: connect'");
    assert!(strange["flags"].to_string().contains("header_unrecognised"), "{strange}");
    let ended = finish(postrider);
    assert_logs(|| ended.stderr.clone(), &log);
}

/// The records of a page's block `lines`: each is understood as a line of Postfix.
#[track_caller]
pub(crate) fn understood(block: &str) -> Vec<Value> {
    let records = decode(block);
    assert_eq!(records.len(), block.lines().count());
    for (record, line) in records.iter().zip(block.lines()) {
        assert_eq!(record["postfix"]["event"], "connect", "{line}\n{record}");
        assert_eq!(record["postfix"]["client"]["ip"], "192.0.2.1", "{line}\n{record}");
        assert_eq!((&record["app_name"], &record["procid"]), (&"postfix/smtpd".into(), &"123".into()), "{line}");
        let hostname = line.contains(" mx1 ").then_some("mx1");
        assert_eq!(record["hostname"].as_str(), hostname, "{line}\n{record}");
    }
    records
}

/// That a record has what a page's block `json` shows.
#[track_caller]
pub(crate) fn assert_shows(block: &str, record: &Value) {
    let shown: serde_json::Map<String, Value> = serde_json::from_str(block).expect("JSON");
    for (key, value) in shown {
        assert_eq!(record[&key], value, "{key}: {record}");
    }
}

fn decode(lines: &str) -> Vec<Value> {
    let mut decode = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["decode", "--timezone", "UTC"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("postrider runs");
    decode.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("room");
    let output = decode.wait_with_output().expect("an end");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
