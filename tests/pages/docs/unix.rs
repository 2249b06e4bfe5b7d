//! docs/unix.md

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, HELLO, TAG, assert_fails, assert_whole, finish, record, run, shell};
use testkit::postfix::{Destination, Postfix};
use testkit::postrider::Postrider;
use testkit::process::Process;
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::wait::wait_for;

#[test]
fn unix() {
    let place = scratch::directory("unix");
    let path = |name: &str| place.path().join(name);
    let postfix = Postfix::setup();
    let mut page = Page::open("unix.md");
    page.exchange("/run/postrider", path("run").display());
    page.exchange("/dev/log", path("log").display());
    page.exchange("/var/spool/postfix/dev/log", postfix.directory().join("queue/dev/log").display());

    let [rsyslog_lines, syslog_ng_lines, source, main_cf, instead] =
        page.take(["rsyslog", "syslog-ng", "toml", "postfix", "toml"]);
    let [stream, syslog_ng_stream, logger] = page.take(["toml", "syslog-ng", "sh"]);
    let [no_directory, in_use, link, unit] = page.take(["log", "log", "log", "systemd"]);

    assert_fails(&source, &no_directory);
    fs::create_dir(path("run")).expect("a directory");
    let postrider = run(&source);
    wait_for_file(&path("run/log"));
    assert_fails(&source, &in_use);
    let rsyslog = Rsyslog::setup().further(&rsyslog_lines).start();
    rsyslog.log(TAG, ["by rsyslog"]);
    let syslog_ng = SyslogNg::start(&syslog_ng_lines);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    for message in ["by rsyslog", "by syslog-ng"] {
        assert_whole(&record(&postrider, message), "unix");
    }
    drop((rsyslog, syslog_ng));
    assert_eq!(finish(postrider).stdout.lines().count(), 2);

    let postrider = run(&stream);
    wait_for_file(&path("run/stream"));
    let syslog_ng = SyslogNg::start(&syslog_ng_stream);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    assert_whole(&record(&postrider, "by syslog-ng"), "unix");
    shell(&logger, place.path());
    assert_eq!(record(&postrider, HELLO)["postfix"]["event"], "connect");
    drop(syslog_ng);
    finish(postrider);

    symlink("/run/systemd/journal/dev-log", path("log")).expect("a link");
    fs::create_dir_all(postfix.directory().join("queue/dev")).expect("a directory");
    assert_fails(&instead, &link);
    fs::remove_file(path("log")).expect("the link");
    postfix_logs_to_postrider(postfix, &main_cf, &instead, &path("log"));
    assert_drop_in_is_right(&unit);
}

/// The journal hands on what syslog(3) gives it. Its `/run` is a directory of this test's, in a mount namespace of its
/// own.
#[test]
fn journal() {
    let place = scratch::directory("journal");
    let path = |name: &str| place.path().join(name);
    for directory in ["systemd/journal", "systemd/journald.conf.d"] {
        fs::create_dir_all(path(directory)).expect("a directory");
    }
    // Nothing but what is logged here: no word of the kernel's.
    let conf = "[Journal]\nForwardToSyslog=yes\nStorage=none\nReadKMsg=no\nForwardToWall=no\n";
    fs::write(path("systemd/journald.conf.d/test.conf"), conf).expect("a file");
    let socket = path("systemd/journal/syslog");
    let postrider = run(&format!("[[source.unix]]\npath = \"{}\"\n", socket.display()));
    wait_for_file(&socket);
    let script = format!("mount --bind {} /run && exec /lib/systemd/systemd-journald", place.path().display());
    let mut journald = Process::start("unshare", &["--mount", "sh", "-c", &script], &path("journald.log"));
    journald.wait_ready(DEADLINE, || path("systemd/journal/dev-log").exists().then_some(()));
    let mut logger = Command::new("logger");
    logger.args(["--id=4711", "-p", "mail.info", "-t", "postfix/smtpd", "-u"]).arg(path("systemd/journal/dev-log"));
    assert!(logger.arg(HELLO).status().expect("logger runs").success());
    let record = record(&postrider, HELLO);
    let fields = ["facility", "severity", "app_name", "procid"].map(|name| record[name].as_str().expect("a field"));
    assert_eq!(fields, ["mail", "info", "postfix/smtpd", "4711"]);
    assert_eq!(record["postfix"]["event"], "connect");
    assert!(journald.terminate(DEADLINE).success(), "{}", journald.log());
    assert_eq!(finish(postrider).stdout.lines().count(), 1);
}

fn wait_for_file(path: &Path) {
    wait_for(DEADLINE, "a socket", || path.exists().then_some(()));
}

/// The name of the source that took the delivery to `recipient`.
fn source_of(postrider: &Postrider, recipient: &str) -> String {
    wait_for(DEADLINE, &format!("a delivery to {recipient}"), || {
        let text = postrider.stdout();
        let mut records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let delivery = records.find(|record| record["postfix"]["to"] == recipient && record["facility"] == "mail")?;
        delivery["source"]["name"].as_str().map(str::to_owned)
    })
}

/// A real Postfix, one daemon of which lives in a chroot, without a syslog daemon and through a restart of Postrider.
fn postfix_logs_to_postrider(setup: testkit::postfix::Setup, main_cf: &str, instead: &str, log: &Path) {
    let postrider = run(instead);
    wait_for_file(log);
    // It has to be there for Postfix's parameters, and hears nothing.
    let rsyslog = Rsyslog::setup().start();
    let postfix = setup
        .parameters(main_cf)
        .service("chrooted unix - - y - 1 discard", &[])
        .transport("chroot.test", "chrooted:nobody reads this")
        .log_to(log)
        .start(&rsyslog);
    let discarded = |name: &str| format!("{name}@{}", Destination::Discard.domain());
    postfix.send(1, "alice@example.com", &["before@chroot.test", &discarded("before")]);
    // The daemons opened it before they went into the chroot.
    assert_eq!(source_of(&postrider, "before@chroot.test"), "dev-log");
    assert_eq!(source_of(&postrider, &discarded("before")), "dev-log");
    finish(postrider);
    let postrider = run(instead);
    wait_for_file(log);
    postfix.send(1, "alice@example.com", &["after@chroot.test", &discarded("after")]);
    assert_eq!(source_of(&postrider, "after@chroot.test"), "chroot");
    assert_eq!(source_of(&postrider, &discarded("after")), "dev-log");
    drop(postfix);
    finish(postrider);
}

fn assert_drop_in_is_right(unit: &str) {
    let directory = scratch::directory("units");
    let path = |name: &str| directory.path().join(name);
    let file = unit.lines().next().and_then(|line| line.strip_prefix("# /etc/systemd/system/")).expect("a file");
    for name in ["postrider.service", "postrider.socket"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name));
        let text = text.expect("a unit").replace("/usr/bin/postrider", env!("CARGO_BIN_EXE_postrider"));
        fs::write(path(name), text).expect("a unit");
    }
    fs::create_dir(path(file).parent().expect("a directory")).expect("a directory");
    fs::write(path(file), unit).expect("a part of a unit");
    let search = format!("{}:", directory.path().display());
    let output = Command::new("systemd-analyze")
        .args(["verify", "postrider.socket"])
        .env("SYSTEMD_UNIT_PATH", search)
        .output()
        .expect("systemd-analyze is missing; to install what tests need: ./dev setup test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains(file) && !said.contains("postrider."), "{said}");
}
