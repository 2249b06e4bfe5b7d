//! docs/spool.md

use std::path::Path;
use std::process::Command;

use crate::docs::page::Page;
use crate::docs::running::{self, DEADLINE, assert_logs};
use testkit::port::Port;
use testkit::relp::{self, Client};
use testkit::scratch;

#[test]
fn spool() {
    let place = scratch::directory("spool-page");
    let spool = place.path().join("spool");
    let broker = Port::reserve();
    let mut page = Page::open("spool.md");
    page.exchange("127.0.0.1:9092", broker.address());
    page.exchange("[::]:20514", "127.0.0.1:0");
    page.exchange("/var/lib/postrider/spool/kafka", spool.display());
    let [config] = page.take(["toml"]);
    let config = format!("shutdown_timeout = \"2s\"\n{config}");
    let [kept_and_found, full, behind, another_kind] = page.take(["log"; 4]);
    let (kept, found) = kept_and_found.split_once('\n').expect("two lines");

    let mut postrider = running::run(&config);
    let mut client = Client::open(postrider.address("relp"), None);
    let message = |number: usize| format!("<22>Nov 24 06:00:00 mx1 postfix/qmgr[1]: message {number}");
    client.send(&relp::messages(2..5, message));
    let acknowledged = relp::acknowledgements(2..5);
    assert_eq!(client.read(acknowledged.len()), acknowledged, "there is no broker, but a spool");
    client.close(5);
    let ended = postrider.terminate(DEADLINE);
    assert_logs(|| ended.stderr.clone(), kept);

    for commands in page.take(["sh", "sh", "sh"]) {
        running::shell(&commands, place.path());
    }
    assert_eq!(pending(&spool), 3);
    let said = check(
        place.path(),
        &config
            .replace("sink.kafka", "sink.file")
            .replace("brokers", "#")
            .replace("topic = \"mail\"", "path = \"/var/log/postrider/mail.json\""),
    );
    assert!(said.contains(another_kind.trim_end()), "{said}");
    let mut postrider = running::run(&config);
    postrider.address("relp");
    let found = bytes_exchanged(found, &spool);
    assert_logs(|| postrider.stderr(), &found);
    postrider.kill();

    let [rm] = page.take(["sh"]);
    running::shell(&rm, place.path());
    assert!(!spool.join("cursor").exists(), "the spool is deleted");
    fills_up(&config, &[&full, &behind]);
}

/// Returns the words of `postrider check` for a configuration that it refuses.
fn check(directory: &Path, config: &str) -> String {
    let file = directory.join("other.toml");
    std::fs::write(&file, config).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(file).output();
    let output = output.expect("postrider runs");
    assert_eq!(output.status.code(), Some(78));
    String::from_utf8(output.stderr).expect("text")
}

/// Returns the number of records that `postrider spool cat` prints.
fn pending(spool: &Path) -> usize {
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["spool", "cat"]).arg(spool).output();
    String::from_utf8(output.expect("postrider runs").stdout).expect("text").lines().count()
}

/// The line with the size of this spool, which depends on the length of names and numbers.
fn bytes_exchanged(line: &str, spool: &Path) -> String {
    let size = std::fs::metadata(spool.join("00000000000000000001.seg")).expect("a segment").len();
    let (before, after) = line.split_once(" pending in ").expect("the line");
    let (_, after) = after.split_once(" bytes").expect("the line");
    format!("{before} pending in {size} bytes{after}")
}

fn fills_up(config: &str, said: &[&str]) {
    let config = config.replace("\"4GiB\"", "\"4MiB\"").replace("\"32MiB\"", "\"1MiB\"");
    let config = config.replace("\"512MiB\"", "\"0B\"");
    let mut postrider = running::run(&config);
    let mut client = Client::open(postrider.address("relp"), None);
    let mut socket = client.socket();
    let text = |number: usize| format!("<22>Nov 24 06:00:00 mx1 postfix/qmgr[1]: {number} {}", "x".repeat(8000));
    let sender = std::thread::spawn(move || {
        use std::io::Write as _;
        // The spool takes a part of it; then nothing is read.
        let _ = socket.write_all(&relp::messages(2..2000, text));
    });
    let reader = std::thread::spawn(move || while client.try_read().is_ok_and(|size| size > 0) {});
    for line in said {
        assert_logs(|| postrider.stderr(), line);
    }
    postrider.kill();
    sender.join().expect("the sender");
    reader.join().expect("the reader");
}
