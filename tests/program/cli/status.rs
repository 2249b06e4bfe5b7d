//! Does the status file match the log, and does a failed write block nothing?

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use testkit::postrider::{Postrider, assert_clean, ledgers, program};
use testkit::scratch;
use testkit::status::{Part, Status, number};
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(30);
const TCP: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";

fn send(address: SocketAddr, messages: usize, text: &str) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    let lines = format!("<22>Nov 24 02:10:35 mx1 {text}\n").repeat(messages);
    socket.write_all(lines.as_bytes()).expect("room");
}

/// The counts of the last ledger of `owner` in a log, which are not zero.
fn counts_of_log(log: &str, owner: &str) -> BTreeMap<String, u64> {
    let line = ledgers(log, owner).last().unwrap_or_else(|| panic!("no ledger of {owner}: {log}"));
    let pairs = line.split(' ').filter_map(|word| word.split_once('='));
    pairs.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
}

/// The counts of a source or a sink in the status file that are not zero.
fn counts_of_status(part: Part<'_>) -> BTreeMap<String, u64> {
    let counts = part["counts"].as_object().expect("counts");
    let numbers = counts.iter().map(|(name, number)| (name.clone(), number.as_u64().expect("a count")));
    numbers.filter(|(_, number)| *number > 0).collect()
}

#[test]
fn the_status_file_has_the_counts_of_the_log() {
    let directory = scratch::directory("status");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut postrider = Postrider::spawn(&format!(
        "{TCP}[[sink.file]]\npath = \"{}\"\n[[sink.file]]\nname = \"archive\"\npath = \"{}\"\nevents = [\"delivery\"]\n\
         [sink.file.spool]\ndirectory = \"{}\"\nmode = \"always\"\nmin_free = \"0B\"\nmax_size = \"64MiB\"\n\
         segment_size = \"1MiB\"\n",
        path("all.json"),
        path("deliveries.json"),
        path("spool")
    ));
    let address = postrider.address("tcp");
    send(
        address,
        60,
        "postfix/smtp[1]: 4jYR9Q2wTjz18T: to=<a@example.com>, relay=none, delay=1, status=deferred (away)",
    );
    send(address, 40, "cron[1]: hello");
    let status = postrider.status().wait(DEADLINE, "all delivered", |status| {
        status.sink("file").count("delivered") == 100 && status.sink("archive").count("delivered") == 60
    });
    let (source, file, archive) = (status.source("tcp"), status.sink("file"), status.sink("archive"));
    assert_eq!((status.get("/phase"), status.get("/reload/generation")), (&json!("running"), &json!(1)));
    assert_eq!(status.get("/program/version"), env!("CARGO_PKG_VERSION"));
    assert_eq!((&source["kind"], &source["state"]), (&json!("tcp"), &json!("running")));
    assert_eq!(source["endpoint"], format!("tcp {address}"));
    assert_eq!(file["queue"]["limit"], 16 << 20);
    assert_eq!((&file["spool"], &file["destination"]), (&Value::Null, &json!(path("all.json"))));
    assert_eq!(archive.count("filtered"), 40);
    let spool = &archive["spool"];
    assert_eq!(
        (&spool["mode"], &spool["limit"], &spool["directory"]),
        (&json!("always"), &json!(64 << 20), &json!(path("spool")))
    );
    assert!(spool["bytes"].as_u64() > Some(0), "{spool}");

    let file = postrider.status().path().to_owned();
    let mode = fs::metadata(&file).expect("the status file").permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let last = ended.last.expect("the last status");
    assert_eq!((last.get("/phase"), last.get("/ledger/balanced")), (&json!("ended"), &json!(true)));
    let parts = [
        (last.source("tcp"), "source=\"tcp\""),
        (last.sink("file"), "sink=\"file\""),
        (last.sink("archive"), "sink=\"archive\""),
    ];
    for (part, owner) in parts {
        assert_eq!(counts_of_status(part), counts_of_log(&ended.stderr, owner), "{owner}");
        assert_eq!(part["state"], "ended");
    }
    assert_eq!(number(last.get("/ledger/sources"), "received"), 100);
    assert_eq!(number(last.get("/ledger/sinks"), "delivered"), 160);
}

#[test]
fn reloads_and_what_they_removed_are_in_the_status_file() {
    let directory = scratch::directory("status");
    let config = |name: &str| format!("{TCP}[[sink.file]]\npath = \"{}/{name}\"\n", directory.path().display());
    let mut postrider = Postrider::spawn(&config("one.json"));
    send(postrider.address("tcp"), 3, "cron[1]: one");
    postrider.status().wait(DEADLINE, "the first", |status| status.sink("file").count("delivered") == 3);

    postrider.reload("[[source.tcp]]\nlisten = 7\n");
    let status = postrider.status().wait(DEADLINE, "a refusal", |status| *status.get("/reload/refused") == 1);
    assert_eq!(status.get("/reload/generation"), 1);
    assert!(status.get("/reload/last_error").as_str().expect("a text").contains("listen"), "{status:?}");

    postrider.reload(&config("two.json"));
    let status = postrider.status().wait(DEADLINE, "the second sink alone", |status| {
        *status.get("/reload/generation") == 2 && status.get("/sinks").as_array().map(Vec::len) == Some(1)
    });
    assert_eq!((status.get("/reload/refused"), status.get("/reload/last_error")), (&json!(1), &Value::Null));
    assert!(status.get("/sinks/0/destination").as_str().expect("a text").ends_with("two.json"));
    assert_eq!(status.sink("file").count("delivered"), 0);
    send(postrider.address("tcp"), 4, "cron[1]: two");
    let status = postrider.status().wait(DEADLINE, "the rest", |status| status.sink("file").count("delivered") == 4);
    assert_eq!(number(status.get("/ledger/sinks"), "delivered"), 7);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_sink_that_stands_still_is_in_the_status_file() {
    let directory = scratch::directory("status");
    let config = format!("shutdown_timeout = \"1s\"\n{TCP}[[sink.stdout]]\nqueue_size = \"64KiB\"\n");
    let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    // More than its queue and the pipe hold, and no more than the sockets do.
    send(postrider.address("tcp"), 1000, &format!("cron[1]: {}", "x".repeat(300)));
    let status = postrider.status().wait(DEADLINE, "a stall", |status| !status.sink("stdout")["stall"].is_null());
    let sink = status.sink("stdout");
    assert_eq!((&sink["stall"]["kind"], &sink["waiting"]), (&json!("still"), &json!(["tcp"])));
    assert!(sink["stall"]["since"].as_str() < status.get("/at").as_str(), "{status:?}");
    assert_eq!((&sink["queue"]["full"], &sink["queue"]["limit"]), (&json!(true), &json!(64 << 10)));
    assert!(sink.count("in_flight") > 0, "{status:?}");
}

#[test]
fn sigusr1_has_the_status_file_written_at_once() {
    let mut postrider = Postrider::spawn(&format!("{TCP}[[sink.stdout]]\n"));
    send(postrider.address("tcp"), 1, "cron[1]: hello");
    let has_it = |status: &Status| status.sink("stdout").count("delivered") == 1;
    let first = postrider.status().wait(DEADLINE, "the record", has_it);
    // Nothing changes, and only the time is new.
    let second = postrider.status().now();
    assert!(second.at() > first.at() && has_it(&second), "{first:?} {second:?}");
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_status_file_that_cannot_be_written_stops_nothing() {
    let directory = scratch::directory("status");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("postrider.toml"), "[[source.stdin]]\n[[sink.stdout]]\n").expect("a configuration");
    let stderr = path("stderr");
    let log = || fs::read_to_string(&stderr).unwrap_or_default();
    let mut postrider = Command::new(program())
        .args(["run", "-c"])
        .arg(path("postrider.toml"))
        .arg("--status-file")
        .arg(path("no/such/status.json"))
        .stdin(std::process::Stdio::piped())
        .stdout(File::create(path("stdout")).expect("a file"))
        .stderr(File::create(&stderr).expect("a file"))
        .spawn()
        .expect("postrider runs");
    let said = format!("cannot write the status file {}: No such file", path("no/such/status.json").display());
    wait_until(DEADLINE, "a warning", || log().contains(&said));
    let mut input = postrider.stdin.take().expect("a pipe");
    input.write_all(b"<22>Nov 24 02:10:35 mx1 cron[1]: still here\n").expect("room");
    drop(input);
    assert!(postrider.wait().expect("an end").success(), "{}", log());
    assert!(fs::read_to_string(path("stdout")).expect("the output").contains("still here"));
    assert!(log().contains("balanced=true") && !Path::new(&path("no")).exists(), "{}", log());
}
