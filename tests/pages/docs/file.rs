//! docs/file.md

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, TAG, assert_fails, assert_logs, finish, record, run, wait_records};
use testkit::postfix::{Destination, Postfix};
use testkit::process::Process;
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::wait::wait_until;

#[test]
fn file() {
    let place = scratch::directory("maillog");
    let path = |name: &str| place.path().join(name);
    let mut page = Page::open("file.md");
    page.exchange("/var/log/postfix.log", path("postfix.log").display());
    page.exchange("/var/log/mail.log", path("mail.log").display());
    page.exchange("/var/lib/postrider", path("state").display());

    let [main_cf, rsyslog_lines, syslog_ng_lines, source] = page.take(["postfix", "rsyslog", "syslog-ng", "toml"]);
    let postrider = run(&source);
    wait_until(DEADLINE, "the cursor", || path("state/file.cursor").exists());
    // `tests/rsyslog/follow/` has logrotate run it.
    let [_, first_start] = page.take(["logrotate", "log"]);
    assert_logs(|| postrider.stderr(), &first_start);

    let rsyslog = Rsyslog::setup().further(&rsyslog_lines).start();
    rsyslog.log(TAG, ["by rsyslog"]);
    let syslog_ng = SyslogNg::start(&syslog_ng_lines);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    for message in ["by rsyslog", "by syslog-ng"] {
        let record = record(&postrider, message);
        assert_eq!((&record["hostname"], &record["procid"]), (&"mx1".into(), &"1234567".into()), "{record}");
        assert_eq!(record["postfix"]["service"], "submission", "{record}");
        // The zone is in the file.
        assert!(!record["flags"].to_string().contains("year_inferred"), "{record}");
    }
    drop((rsyslog, syslog_ng));
    let ended = finish(postrider);
    assert!(ended.stdout.lines().all(|line| line.contains("\"transport\":\"file\"")), "{}", ended.stdout);

    postfix_writes_the_file_and_rotates_it(&source, &main_cf, &path("postfix.log"));
    what_goes_wrong(&mut page, &source, place.path());
}

fn postfix_writes_the_file_and_rotates_it(source: &str, main_cf: &str, log: &Path) {
    let postrider = run(&format!("{source}timezone = \"Asia/Tokyo\"\n[[sink.stdout]]\nevents = [\"delivery\"]\n"));
    // It has to be there for Postfix's parameters, and hears nothing but the first lines of the start.
    let rsyslog = Rsyslog::setup().start();
    let directory = log.parent().and_then(Path::to_str).expect("UTF-8");
    let postfix = Postfix::setup()
        .parameters(main_cf)
        .parameter("maillog_file_prefixes", directory)
        .parameter("import_environment", "MAIL_CONFIG TZ=Asia/Tokyo LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME")
        .start(&rsyslog);
    let before = Timestamp::now().as_second() - 2;
    let mut ids = postfix.send(20, "alice@example.com", &[&format!("bob@{}", Destination::Sent.domain())]);
    postfix.wait_empty(DEADLINE);
    postfix.rotate_log();
    ids.extend(postfix.send(20, "alice@example.com", &[&format!("bob@{}", Destination::Sent.domain())]));
    wait_records(&postrider, ids.len());
    drop(postfix);
    let mut found = Vec::new();
    for record in finish(postrider).stdout.lines() {
        let record: Value = serde_json::from_str(record).expect("JSON");
        let time: Timestamp = record["timestamp"].as_str().expect("a time").parse().expect("a time");
        assert!((before..=Timestamp::now().as_second()).contains(&time.as_second()), "{record}");
        assert_eq!(record["source"]["peer"].as_str(), log.to_str());
        found.push(record["postfix"]["queue_id"].as_str().expect("a queue id").to_owned());
    }
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    let archived = fs::read_dir(directory).expect("a directory").flatten();
    let archived = archived.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "gz"));
    assert!(archived.count() > 0, "Postfix has rotated and compressed its log");
}

fn what_goes_wrong(page: &mut Page, source: &str, place: &Path) {
    let app = place.join("app");
    page.exchange("/var/log/app", app.display());
    let [unreadable, link, shared, damaged] = page.take(["log", "log", "log", "log"]);
    let (log, cursor) = (place.join("postfix.log"), place.join("state/file.cursor"));
    fs::set_permissions(&log, fs::Permissions::from_mode(0o000)).expect("permissions");
    let config = place.join("postrider.toml");
    fs::write(&config, testkit::postrider::plain(&format!("{source}[[sink.stdout]]\n"))).expect("a configuration");
    // Root reads everything, unless it may not.
    let caps = "--bounding-set=-dac_override,-dac_read_search";
    let arguments = [caps, "--", env!("CARGO_BIN_EXE_postrider"), "run", "-c", config.to_str().expect("UTF-8")];
    let mut postrider = Process::start_apart("setpriv", &arguments, &place.join("stdout"), &place.join("stderr"));
    assert_logs(|| postrider.log(), &unreadable);
    assert_fails(source, &shared);
    assert!(postrider.terminate(DEADLINE).success());

    fs::create_dir(&app).expect("a directory");
    fs::set_permissions(&app, fs::Permissions::from_mode(0o777)).expect("permissions");
    symlink("/etc/shadow", app.join("mail.log")).expect("a link");
    let among_others =
        source.replace(&place.join("mail.log").display().to_string(), &app.join("mail.log").display().to_string());
    let postrider = run(&among_others);
    assert_logs(|| postrider.stderr(), &link);
    finish(postrider);

    let mut bytes = fs::read(&cursor).expect("the cursor");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&cursor, bytes).expect("a damaged cursor");
    let postrider = run(source);
    assert_logs(|| postrider.stderr(), &damaged);
    finish(postrider);
}
