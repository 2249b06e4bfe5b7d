//! Runs the programs in `examples/` as their first lines say.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const LOG: &str = "\
Nov 24 01:10:35 mx1 postfix/smtp[4242]: 4bGxTn1Zs2z9vNq: to=<ada@example.com>, relay=mail.example.com[192.0.2.25]:25, \
delay=2.2, delays=0.1/0.01/1.1/1, dsn=4.2.2, status=deferred (host mail.example.com[192.0.2.25] said: 452 4.2.2 \
Mailbox full (in reply to RCPT TO command))
Nov 24 01:10:36 mx1 sshd[99]: Server listening on 0.0.0.0 port 22.
Nov 24 01:10:37 mx1 postfix/smtp[4242]: 4bGxTn1Zs2z9vNr: to=<eva@example.com>, relay=none, delay=1, \
delays=0/0/1/0, dsn=4.4.1, status=deferred (connect to mail.example.com[192.0.2.25]:25: Connection timed out)
";

/// Runs an example with `LOG` on its standard input. Cargo builds the examples beside the tests.
fn run(example: &str) -> String {
    let tests = std::env::current_exe().expect("the path of the test");
    let directory = tests.ancestors().nth(2).expect("the directory of the profile");
    let program: PathBuf = directory.join("examples").join(example);
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    child.stdin.take().expect("a pipe").write_all(LOG.as_bytes()).expect("the example reads its input");
    let output = child.wait_with_output().expect("the example ends");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn json_prints_one_record_for_each_line() {
    let output = run("json");
    let records: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].pointer("/postfix/to").and_then(|to| to.as_str()), Some("ada@example.com"));
    assert_eq!(records[0].pointer("/postfix/dsn/code").and_then(|code| code.as_str()), Some("4.2.2"));
    assert_eq!(records[1].pointer("/app_name").and_then(|name| name.as_str()), Some("sshd"));
    assert_eq!(records[1].pointer("/postfix"), None);
}

#[test]
fn causes_counts_failures_by_cause() {
    let output = run("causes");
    let rows: Vec<Vec<&str>> = output.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["1", "deferred", "connection_timed_out"], ["1", "deferred", "mailbox_full"]]);
}
