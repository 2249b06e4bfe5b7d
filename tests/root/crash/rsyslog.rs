//! Debian's rsyslog sends over RELP while Postrider, which has a spool, is killed ten times.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use crate::crash::DEADLINE;
use testkit::port::Port;
use testkit::postrider::{Postrider, assert_clean};
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::wait::wait_until;

const MESSAGES: usize = 20_000;
const KILLS: usize = 10;

/// The numbers in the file, each as often as it is there.
fn numbers(path: &Path) -> Vec<usize> {
    let written = fs::read_to_string(path).unwrap_or_default();
    let number = |line: &str| line.split_once("crash number ")?.1.split(' ').next()?.parse().ok();
    let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(number).collect()
}

#[test]
fn rsyslog_loses_nothing_while_postrider_is_killed_ten_times() {
    let directory = scratch::directory("crash-rsyslog");
    let (path, port) = (directory.path().join("out.json"), Port::reserve());
    // Always: what rsyslog was told of is on the disk, and not yet with the sink.
    let config = format!(
        "[[source.relp]]\nlisten = \"{}\"\n[[sink.file]]\npath = \"{}\"\n[sink.file.spool]\ndirectory = \"{}\"\n\
         mode = \"always\"\nmin_free = \"0B\"\nsegment_size = \"1MiB\"\n",
        port.address(),
        path.display(),
        directory.path().join("spool").display()
    );
    let action = format!(
        "module(load=\"omrelp\")\nmail.* action(type=\"omrelp\" target=\"127.0.0.1\" port=\"{}\" queue.type=\"linkedList\" \
         queue.size=\"100000\" queue.timeoutEnqueue=\"60000\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
        port.number()
    );
    let mut rsyslog = Rsyslog::setup().further(&action).start();
    let mut postrider = Postrider::run(&config, &[port.address()]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let texts: Vec<String> = (0..MESSAGES).map(|n| format!("crash number {n} of a test")).collect();
            rsyslog.log("postfix/smtp[1]", texts.iter().map(String::as_str));
        });
        for kill in 1..=KILLS {
            let enough = MESSAGES * kill / (KILLS + 5);
            wait_until(DEADLINE, "a part of the stream", || numbers(&path).len() > enough);
            postrider.kill();
            postrider.restart();
        }
    });
    let all: BTreeSet<usize> = (0..MESSAGES).collect();
    let found = || numbers(&path).into_iter().collect::<BTreeSet<usize>>();
    wait_until(DEADLINE, "every message", || numbers(&path).len() >= MESSAGES && found() == all);
    rsyslog.stop();
    assert_clean(&postrider.terminate(DEADLINE));
    let repeated = numbers(&path).len() - MESSAGES;
    assert!(repeated > 0, "{repeated} repeated: the kills came when nothing was on its way");
}
