//! Administrators: start, reload and stop, the queue, verbose logging, and Postfix's own log file.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use serde_json::json;

use crate::scenarios::log::{DEADLINE, Log, finish, wait_logged};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::smtp::Session;
use testkit::wait::wait_until;

#[test]
fn the_queue_and_its_commands() {
    let rsyslog = Rsyslog::setup().start();
    let verbose = Port::reserve();
    let postfix = Postfix::setup()
        .parameter("minimal_backoff_time", "300s")
        .parameter("maximal_backoff_time", "300s")
        .parameter("fast_flush_domains", "deferred.test")
        .parameter("smtp_connection_cache_destinations", "127.0.0.1")
        .parameter("connection_cache_status_update_time", "1s")
        .listen(&verbose, "smtpd -v", &["syslog_name=postfix/verbose"])
        .start(&rsyslog);
    let waiting = postfix.send(5, "waiting@sent.test", &["anna@deferred.test"]);
    let deferred = |id: &str| format!("{id}: to=<anna@deferred.test>*status=deferred");
    wait_logged(
        &rsyslog,
        &waiting.iter().map(|id| deferred(id)).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(),
    );
    wait_logged(&rsyslog, &["statistics: max simultaneous domains="]);
    let [held, released, requeued, deleted, flushed] = &waiting[..] else { panic!("five messages") };
    // postsuper(1) may miss what the queue manager is just moving.
    let queued = |id: &str, done: &str, arguments: &[&str]| {
        wait_until(DEADLINE, done, || {
            postfix.administrate("postsuper", arguments);
            rsyslog.lines(LogFile::Traditional).iter().any(|line| line.ends_with(&format!(": {id}: {done}")))
        });
    };
    queued(held, "placed on hold", &["-h", held]);
    queued(released, "placed on hold", &["-h", released]);
    queued(released, "released from hold", &["-H", released]);
    queued(requeued, "requeued", &["-r", requeued]);
    queued(deleted, "removed", &["-d", deleted]);
    // Wakes up pickup(8), which would look in a minute.
    postfix.sendmail(&["-f", "local@sent.test", "anna@sent.test"], "Subject: local\n\nHello.\n");
    wait_logged(&rsyslog, &[&format!(" orig_id={requeued}")]);
    postfix.administrate("postqueue", &["-i", flushed]);
    postfix.administrate("postqueue", &["-s", "deferred.test"]);
    postfix.administrate("postqueue", &["-p"]);
    postfix.administrate("postsuper", &["-s"]);
    postfix.administrate("postfix", &["check"]);
    postfix.administrate("postfix", &["status"]);
    postfix.administrate("postfix", &["reload"]);
    wait_logged(&rsyslog, &["reload -- version"]);
    let mut session = Session::connect(verbose.address());
    session.reply();
    session.say_all(&["EHLO client.test", "MAIL FROM:<verbose@sent.test>", "RCPT TO:<anna@sent.test>", "DATA"]);
    session.say("Subject: verbose\r\n\r\nHello.\r\n.");
    session.say("QUIT");
    wait_logged(&rsyslog, &["from=<verbose@sent.test>*queue active", "verbose/smtpd[*]: disconnect from"]);
    postfix.administrate("postfix", &["stop"]);
    postfix.administrate("postfix", &["start"]);
    wait_logged(&rsyslog, &["terminating on signal 15", "stopping the Postfix mail system"]);
    postfix.administrate("postsuper", &["-d", "ALL"]);
    #[rustfmt::skip]
    let rows = [
        ("postsuper[*]: *: placed on hold", "queue_admin", json!({
            "daemon": "postsuper", "action": "hold", "queue_id": "*", "messages": null})),
        ("postsuper[*]: *: released from hold", "queue_admin", json!({"action": "release", "queue_id": "*"})),
        ("postsuper[*]: *: requeued", "queue_admin", json!({"action": "requeued", "queue_id": "*"})),
        ("postsuper[*]: *: removed", "removed", json!({"daemon": "postsuper", "queue_id": "*"})),
        ("postsuper[*]: Placed on hold: ", "queue_admin", json!({"action": "hold", "messages": "*"})),
        ("postsuper[*]: Released from hold: 1 message", "queue_admin", json!({"action": "release", "messages": 1})),
        ("postsuper[*]: Requeued: 1 message", "queue_admin", json!({"action": "requeued", "messages": 1})),
        ("postsuper[*]: Deleted: 1 message", "queue_admin", json!({"messages": 1})),
        ("pickup[*]: *: uid=*from=<waiting@sent.test> orig_id=", "pickup", json!({
            "uid": "*", "from": "waiting@sent.test", "orig_queue_id": "*"})),
        ("postfix-script[*]: starting the Postfix mail system", "lifecycle", json!({
            "daemon": "postfix-script", "action": "start"})),
        ("postfix-script[*]: refreshing the Postfix mail system", "lifecycle", json!({"action": "reload"})),
        ("postfix-script[*]: stopping the Postfix mail system", "lifecycle", json!({"action": "stop"})),
        ("postfix-script[*]: the Postfix mail system is running: PID: ", "lifecycle", json!({"action": "running"})),
        ("master[*]: reload -- version ", "lifecycle", json!({
            "action": "reload", "version": "*", "config_directory": "*"})),
        ("master[*]: daemon started -- version ", "lifecycle", json!({
            "action": "start", "version": "*", "config_directory": "*"})),
        ("master[*]: terminating on signal 15", "lifecycle", json!({"action": "terminate", "signal": 15})),
        ("scache[*]: statistics: start interval ", "statistics", json!({
            "daemon": "scache", "kind": "interval", "at": "*"})),
        ("scache[*]: statistics: domain lookup ", "statistics", json!({
            "kind": "domain_lookup", "hits": "*", "miss": "*", "success": "*"})),
        ("scache[*]: statistics: address lookup ", "statistics", json!({"kind": "address_lookup", "hits": "*"})),
        ("scache[*]: statistics: max simultaneous ", "statistics", json!({
            "kind": "simultaneous", "domains": "*", "addresses": "*", "connection": "*"})),
        ("postfix/verbose/smtpd[*]: > localhost[127.0.0.1]: 250", "debug", json!({"service": "verbose", "text": "*"})),
        ("postfix/verbose/smtpd[*]: < localhost[127.0.0.1]: EHLO client.test", "debug", json!({"text": "*"})),
        ("postfix/verbose/smtpd[*]: connect from localhost", "connect", json!({"service": "verbose"})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}

#[test]
fn postfix_writes_its_own_log() {
    let rsyslog = Rsyslog::setup().start();
    let setup = Postfix::setup();
    let directory = setup.directory().display().to_string();
    let file = setup.directory().join("maillog");
    let postfix = setup
        .parameter("maillog_file", &format!("{directory}/maillog"))
        .parameter("maillog_file_prefixes", &directory)
        .parameter("enable_long_queue_ids", "yes")
        .parameter("syslog_name", "mx-out")
        .start(&rsyslog);
    postfix.send(
        1,
        "file@sent.test",
        &["anna@sent.test", "anna@deferred.test", "nobody@bounced.test", "user@virtual.test"],
    );
    postfix.send(1, "file@sent.test", &["\"two words\"@sent.test"]);
    let written = || String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
    wait_until(DEADLINE, "lines in Postfix's own file", || {
        [
            "to=<anna@sent.test>",
            "to=<nobody@bounced.test>",
            "to=<user@virtual.test>",
            "to=<anna@deferred.test>",
            "non-delivery notification",
            ": removed",
        ]
        .iter()
        .all(|part| written().contains(part))
    });
    postfix.administrate("postfix", &["logrotate"]);
    postfix.administrate("postfix", &["reload"]);
    wait_until(DEADLINE, "a line in the new file", || written().contains("reload -- version"));

    #[rustfmt::skip]
    let rows = [
        ("mx-out/qmgr[*]: *: from=<file@sent.test>", "queue_active", json!({
            "instance": "mx-out", "daemon": "qmgr", "queued_at": "*"})),
        ("mx-out/smtp[*]: *: to=<anna@sent.test>", "delivery", json!({
            "instance": "mx-out", "status": "sent", "queued_at": "*"})),
        ("to=<anna@deferred.test>", "delivery", json!({"status": "deferred"})),
        ("to=<nobody@bounced.test>", "delivery", json!({"status": "bounced"})),
        ("sender non-delivery notification", "notification", json!({"kind": "non_delivery"})),
    ];
    Log::decode(&unpacked(&directory)).expect(&rows);
    // Reads the whole lines of a file that grows.
    let text = written();
    let copy = file.with_extension("copy");
    fs::write(&copy, text.rsplit_once('\n').map_or("", |(lines, _)| lines)).expect("a file");
    Log::decode(&copy).expect(&[("mx-out/master[*]: reload", "lifecycle", json!({"action": "reload"}))]);
}

/// The log that `postfix logrotate` put away and packed in `directory`, unpacked.
fn unpacked(directory: &str) -> PathBuf {
    let entries = fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let packed: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains("maillog.")).collect();
    let [packed] = &packed[..] else { panic!("not one old log but {packed:?}") };
    let mut text = String::new();
    let file = File::open(packed).expect("the old log");
    MultiGzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let file = packed.with_extension("unpacked");
    fs::write(&file, text).expect("a file");
    file
}
