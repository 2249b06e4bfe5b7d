//! docs/stdin.md

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::docs::page::Page;
use crate::docs::running::{self, DEADLINE, TAG, assert_logs, assert_whole, check, record_in, shell};
use testkit::postfix::{Destination, Postfix};
use testkit::process::Process;
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::wait::wait_until;

#[test]
fn stdin() {
    let place = scratch::directory("stdin");
    let path = |name: &str| place.path().join(name);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let mut page = Page::open("stdin.md");
    page.exchange("/usr/bin/postrider", env!("CARGO_BIN_EXE_postrider"));
    page.exchange("/etc/postrider/stdin.toml", path("stdin.toml").display());
    page.exchange("/var/log/postrider", path("out").display());
    page.exchange("/var/log/journal", path("journal").display());
    page.exchange("/var/log/mail.log.2.gz", path("mail.log.2.gz").display());
    let [rsyslog_lines, syslog_ng_lines, main_cf, container, source] =
        page.take(["rsyslog", "syslog-ng", "postfix", "sh", "toml"]);
    let [journal, compressed, ended] = page.take(["sh", "sh", "log"]);
    check(&source);
    fs::write(path("stdin.toml"), source).expect("a configuration");
    fs::create_dir(path("out")).expect("a directory");
    let output = || read("out/mx1.json");

    let mut rsyslog = Rsyslog::setup().further(&rsyslog_lines).start();
    rsyslog.log(TAG, ["by rsyslog"]);
    assert_whole(&record_in(output, "by rsyslog"), "stdin");
    // When rsyslog ends, Postrider delivers what it has, and leaves.
    rsyslog.stop();
    assert_logs(|| read("out/log"), &ended);
    wait_until(DEADLINE, "the ledger", || read("out/log").contains("balanced=true"));

    let syslog_ng = SyslogNg::start(&syslog_ng_lines);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    assert_whole(&record_in(output, "by syslog-ng"), "stdin");
    drop(syslog_ng);

    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(gzip, "Nov 24 02:10:35 mx1 {TAG}: out of an archive").expect("compression");
    fs::write(path("mail.log.2.gz"), gzip.finish().expect("compression")).expect("a file");
    shell(&compressed, place.path());
    let record = record_in(output, "out of an archive");
    assert_eq!((&record["flags"][0], &record["postfix"]["service"]), (&"pri_missing".into(), &"submission".into()));

    follow_the_journal(&journal, place.path());
    postfix_in_a_container(&main_cf, &container, &path("out"));
}

/// A real Postfix in the foreground, whose log goes through a pipe and nowhere else.
fn postfix_in_a_container(main_cf: &str, commands: &str, out: &Path) {
    fs::remove_dir_all(out).and_then(|()| fs::create_dir(out)).expect("an empty directory");
    // It has to be there for Postfix's parameters, and hears nothing.
    let rsyslog = Rsyslog::setup().start();
    let commands = format!("PATH='{}'\n{commands}", running::path());
    let postfix = Postfix::setup().parameters(main_cf).command(&commands).start(&rsyslog);
    let recipient = format!("bob@{}", Destination::Sent.domain());
    let mut ids = postfix.send(10, "alice@example.com", &[&recipient]);
    postfix.wait_empty(DEADLINE);
    drop(postfix);
    let mut delivered = Vec::new();
    for entry in fs::read_dir(out).expect("the records").flatten() {
        for line in fs::read_to_string(entry.path()).expect("records").lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(record["source"]["transport"], "stdin");
            if record["postfix"]["to"] == recipient {
                delivered.push(record["postfix"]["queue_id"].as_str().expect("a queue id").to_owned());
            }
        }
    }
    delivered.sort();
    ids.sort();
    assert_eq!(delivered, ids);
    assert_eq!(rsyslog.lines(LogFile::Traditional), [""; 0], "nothing went to syslog");
}

/// Writes entries into a journal as systemd does, until one comes out at the other end.
fn follow_the_journal(commands: &str, place: &Path) {
    fs::create_dir(place.join("journal")).expect("a directory");
    append(place, 0);
    // A process group of its own, which ends with the test.
    let leash = "setsid sh -c \"$1\" & read -r _; kill -TERM -$!; wait";
    let arguments = [&format!("PATH={}", running::path()), "sh", "-c", leash, "sh", commands];
    let mut process = Process::start_leashed("env", &arguments, &place.join("journal.log"));
    let output = || fs::read_to_string(place.join("out/mx1.json")).unwrap_or_default();
    let mut entries = 0;
    wait_until(DEADLINE, "an entry of the journal", || {
        entries += 1;
        append(place, entries);
        output().contains("journal entry")
    });
    assert!(!output().contains("journal entry 0"), "what was there before");
    assert!(!output().contains("nightly"), "another facility");
    let text = output();
    let (_, rest) = text.split_once("journal entry ").expect("an entry");
    let number = rest.split('"').next().expect("its number");
    let record = record_in(output, &format!("journal entry {number}"));
    assert_eq!((&record["hostname"], &record["procid"]), (&"mx1".into(), &"1234567".into()));
    let second = 35 + number.parse::<u64>().expect("a number") % 20;
    assert_eq!(record["timestamp"], format!("2026-11-24T02:10:{second}.218704Z"));
    process.unleash();
    process.ended(DEADLINE);
}

/// Adds two entries to the journal: one of the mail system, and one of cron.
fn append(place: &Path, number: u64) {
    let time = 1_795_486_235_218_704 + number % 20 * 1_000_000;
    let common =
        format!("__REALTIME_TIMESTAMP={time}\n_HOSTNAME=mx1\nPRIORITY=6\n_BOOT_ID={0:032}\n_MACHINE_ID={0:032}\n", 1);
    let entries = format!(
        "{common}SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/submission/smtpd\nSYSLOG_PID=1234567\n\
         MESSAGE=journal entry {number}\n\n\
         {common}SYSLOG_FACILITY=9\nSYSLOG_IDENTIFIER=cron\nMESSAGE=nightly {number}\n\n"
    );
    let mut remote = Command::new("/lib/systemd/systemd-journal-remote")
        .arg("--output")
        .arg(place.join("journal/system.journal"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is missing; to install what tests need: ./dev setup test");
    remote.stdin.take().expect("a pipe").write_all(entries.as_bytes()).expect("room");
    assert!(remote.wait().expect("its end").success());
}
