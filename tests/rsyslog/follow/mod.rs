//! Are log files followed through everything that happens to them, without a loss, and with no more repeated than must
//! be?

mod backlog;
mod cursor;
mod ids;
mod limits;
mod place;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use place::{DEADLINE, Place, line, lines};
use serde_json::Value;
use testkit::postrider::assert_clean;
use testkit::rsyslog::Rsyslog;
use testkit::wait::wait_until;

const DOC: &str = include_str!("../../../docs/file.md");

#[test]
fn a_file_grows_and_a_line_waits_for_its_end() {
    let mut place = Place::new("grows");
    place.append("mail.log", &(lines([7, 8]) + "Nov 24 02:10:35 mx1 postfix/test[0]: num"));
    let postrider = place.start(&["mail.log", "other.log"], "");
    place.append("mail.log", "ber 0\n");
    place.assert_each_once_in_order(1);
    let half = line(2);
    place.append("mail.log", &half[..half.len() - 1]);
    // When this is there, the half line has been looked at too.
    place.append("other.log", &line(1));
    place.assert_each_once_in_order(2);
    place.append("mail.log", "\n");
    place.assert_each_once_in_order(3);
    let record: Value = serde_json::from_str(&place.output.records[0]).expect("JSON");
    let log = place.path("mail.log").display().to_string();
    assert_eq!(
        (record["source"]["transport"].as_str(), record["source"]["peer"].as_str()),
        (Some("file"), Some(&*log))
    );
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(fs::metadata(place.cursor()).expect("the cursor").permissions().mode() & 0o777, 0o600);
}

/// The block of the page with the word `kind` behind its fence.
fn block(kind: &str) -> &'static str {
    let (_, block) = DOC.split_once(&format!("\n```{kind}\n")).expect("a block");
    block.split_once("```").expect("the end of the block").0
}

fn archives(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "gz")).count()
}

#[test]
fn rsyslog_writes_the_file_and_logrotate_rotates_it() {
    const EACH: usize = 500;
    let mut place = Place::new("logrotate");
    let log = place.path("mail.log");
    let here = |text: &str| text.replace("/var/log/mail.log", log.to_str().expect("UTF-8"));
    let mut rsyslog = Rsyslog::setup().further(&here(block("rsyslog"))).start();
    let hup = format!("kill -HUP {}", rsyslog.pid());
    let rotation = block("logrotate").replace("/usr/lib/rsyslog/rsyslog-rotate", &hup);
    assert!(rotation.contains(&hup), "{rotation}");
    fs::write(place.path("logrotate.conf"), here(&rotation)).expect("logrotate's configuration");
    let postrider = place.start(&["mail.log"], "");
    for round in 0..4 {
        let texts: Vec<String> = (round * EACH..(round + 1) * EACH).map(|number| format!("number {number}")).collect();
        rsyslog.log("postfix/test[1]", texts.iter().map(String::as_str));
        if round == 0 {
            wait_until(DEADLINE, "the log", || log.exists());
        }
        let mut logrotate = Command::new("/usr/sbin/logrotate");
        let state = place.path("logrotate.state");
        logrotate.arg("--force").arg("--state").arg(state).arg(place.path("logrotate.conf"));
        let output = logrotate.output().expect("logrotate; to install what tests need: ./dev setup test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Until it has opened the new one, rsyslog writes to the old one.
        place.wait_for((round + 1) * EACH);
    }
    place.assert_each_once_in_order(4 * EACH);
    assert!(archives(place.directory.path()) > 0, "logrotate has compressed an old log");
    assert_clean(&postrider.terminate(DEADLINE));
    rsyslog.stop();
}
