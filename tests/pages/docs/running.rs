//! Postrider with the configuration of a page, and what it gives.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use testkit::postrider::{Ended, Postrider};
use testkit::scratch;
use testkit::wait::{wait, wait_for};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Tag of the senders of the tests: longer than the 32 characters to which old formats cut.
pub(crate) const TAG: &str = "postfix/submission/smtpd[1234567]";

/// Text that logger sends in the pages.
pub(crate) const HELLO: &str = "connect from localhost[127.0.0.1]";

/// Runs a page's configuration, with the standard output for a sink if it has none, after `postrider check` has
/// approved of it.
pub(crate) fn run(config: &str) -> Postrider {
    let sink = if config.contains("[[sink.") { "" } else { "[[sink.stdout]]\n" };
    let config = format!("{config}\n{sink}");
    check(&config);
    Postrider::spawn(&config)
}

/// Has `postrider check` look at a configuration.
#[track_caller]
pub(crate) fn check(config: &str) {
    let directory = scratch::directory("check");
    let path = directory.path().join("postrider.toml");
    fs::write(&path, config).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(&path).output();
    let output = output.expect("postrider runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("no errors"), "{said}\n{config}");
}

/// Runs commands as a shell does, in `directory`, with Postrider on the path.
#[track_caller]
pub(crate) fn shell(commands: &str, directory: &Path) {
    let output = Command::new("sh").args(["-euc", commands]).env("PATH", path()).current_dir(directory).output();
    let output = output.expect("sh");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}: {}\n{said}", output.status);
}

/// The search path, with the directory of the built program before all others.
pub(crate) fn path() -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_postrider")).parent().expect("a directory").display();
    format!("{built}:{}", std::env::var("PATH").expect("a PATH"))
}

/// Asserts that the command in the first line of a block prints the other lines.
#[track_caller]
pub(crate) fn assert_prints(block: &str) {
    let (command, shown) = block.split_once('\n').expect("a command and what it prints");
    let command = command.strip_prefix("$ ").expect("a prompt");
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}; }} 2>&1")])
        .env("PATH", path())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    // Another machine permits another number of descriptors.
    let without_limit = |text: &str| match text.split_once(" needed, ") {
        Some((needed, _)) => format!("{needed} needed"),
        None => text.to_owned(),
    };
    let output = String::from_utf8_lossy(&output.stdout);
    assert_eq!(without_limit(output.trim_end()), without_limit(shown.trim_end()), "{command}");
}

/// The first of the records in `read()` with exactly this message. Waits for it.
#[track_caller]
pub(crate) fn record_in(read: impl Fn() -> String, message: &str) -> Value {
    let found = wait(DEADLINE, || {
        let text = read();
        let records = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut records = records.map(|line| serde_json::from_str::<Value>(line).expect("a record is JSON"));
        records.find(|record| record["message"].as_str().map(str::trim_start) == Some(message))
    });
    found.unwrap_or_else(|| panic!("no record of {message:?} in:\n{}", read()))
}

/// The same of the records on the standard output.
#[track_caller]
pub(crate) fn record(postrider: &Postrider, message: &str) -> Value {
    let found = wait(DEADLINE, || postrider.stdout().contains(message).then_some(()));
    assert!(found.is_some(), "nothing came of {message:?}:\n{}", postrider.stderr());
    record_in(|| postrider.stdout(), message)
}

/// That a sender has sent what a daemon of the mail system logged with [`TAG`]: nothing of it is cut.
#[track_caller]
pub(crate) fn assert_whole(record: &Value, transport: &str) {
    let fields = ["facility", "severity", "hostname", "app_name", "procid"].map(|name| record[name].as_str());
    let expected = ["mail", "info", "mx1", "postfix/submission/smtpd", "1234567"].map(Some);
    assert_eq!(fields, expected, "{record}");
    assert_eq!((&record["flags"], &record["postfix"]["service"]), (&Value::Null, &"submission".into()), "{record}");
    assert_eq!(record["source"]["transport"], transport);
}

/// That Postrider has written each line of a page's block `log`, but for its time. Waits for it.
#[track_caller]
pub(crate) fn assert_logs(read: impl Fn() -> String, block: &str) {
    for line in block.lines() {
        let is_logged = || read().lines().any(|logged| without_time(logged) == line).then_some(());
        assert!(wait(DEADLINE, is_logged).is_some(), "never logged: {line}\nin:\n{}", read());
    }
}

/// That a start with this configuration fails with the line of the block.
#[track_caller]
pub(crate) fn assert_fails(config: &str, block: &str) {
    let ended = Postrider::spawn(&format!("{config}\n[[sink.stdout]]\n")).ended(DEADLINE);
    assert!(!ended.status.success(), "{}", ended.stderr);
    assert_logs(|| ended.stderr.clone(), block);
}

/// `2026-11-24T06:26:45.131382Z  INFO listening` is `INFO listening`.
fn without_time(line: &str) -> &str {
    match line.split_once("Z ") {
        Some((time, rest)) if time.starts_with(|c: char| c.is_ascii_digit()) && !time.contains(' ') => {
            rest.trim_start()
        }
        _ => line,
    }
}

/// Ends it, with all accounted for.
#[track_caller]
pub(crate) fn finish(postrider: Postrider) -> Ended {
    let ended = postrider.terminate(DEADLINE);
    testkit::postrider::assert_clean(&ended);
    ended
}

/// Waits for a number of records on the standard output.
#[track_caller]
pub(crate) fn wait_records(postrider: &Postrider, count: usize) {
    wait_for(DEADLINE, &format!("{count} records"), || (postrider.stdout().lines().count() >= count).then_some(()));
}
