//! Many files, long lines, missing permissions: is each file read in its turn, and what cannot be read named?

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::follow::place::{DEADLINE, Place, line, lines, open_files, start_unprivileged};
use testkit::postrider::assert_clean;
use testkit::process::Process;
use testkit::wait::wait_until;

#[test]
fn what_cannot_be_read_is_named_and_tried_again() {
    let mut place = Place::new("unreadable");
    place.append("secret.log", "");
    fs::set_permissions(place.path("secret.log"), fs::Permissions::from_mode(0o000)).expect("permissions");
    fs::create_dir(place.path("directory.log")).expect("a directory");
    let config = place.path("postrider.toml");
    fs::write(&config, place.config(&["secret.log", "directory.log", "mail.log"], "")).expect("a configuration");
    let mut postrider = start_unprivileged(&config, &place.path("stderr"));
    wait_until(DEADLINE, "the warnings", || {
        let log = postrider.log();
        ["secret.log", "directory.log"]
            .iter()
            .all(|name| log.lines().any(|line| line.contains(name) && line.contains("WARN") && line.contains("; ")))
    });
    // The others are read meanwhile.
    place.append("mail.log", &line(0));
    place.assert_each_once_in_order(1);
    fs::set_permissions(place.path("secret.log"), fs::Permissions::from_mode(0o600)).expect("permissions");
    place.append("secret.log", &line(1));
    place.assert_each_once_in_order(2);
    fs::remove_dir(place.path("directory.log")).expect("no directory any more");
    place.append("directory.log", &line(2));
    place.assert_each_once_in_order(3);
    assert!(postrider.terminate(DEADLINE).success());
    let warnings = postrider.log().lines().filter(|line| line.contains("WARN") && line.contains("secret.log")).count();
    assert!(warnings <= 4, "{}", postrider.log());
}

#[test]
fn links_are_followed_only_if_configured_and_named_otherwise() {
    let mut place = Place::new("links");
    place.append("secret", &lines(10..20));
    fs::create_dir(place.path("logs")).expect("a directory");
    fs::set_permissions(place.path("logs"), fs::Permissions::from_mode(0o777)).expect("permissions");
    symlink("../secret", place.path("logs/symbolic.log")).expect("a link");
    fs::hard_link(place.path("secret"), place.path("logs/hard.log")).expect("a link");
    let postrider = place.start(&["logs/*.log"], "start = \"beginning\"");
    place.append("logs/plain.log", &line(0));
    place.assert_each_once_in_order(1);
    // A followed file that is replaced by a link is read to its end, and no further.
    place.append("logs/plain.log", &line(1));
    fs::remove_file(place.path("logs/plain.log")).expect("a log");
    symlink("../secret", place.path("logs/plain.log")).expect("a link");
    place.assert_each_once_in_order(2);
    let names = ["logs/symbolic.log", "logs/hard.log", "logs/plain.log"];
    let is_named = |log: &str, name: &str| {
        let wanted = place.path(name).display().to_string();
        log.lines().any(|line| line.contains(&wanted) && line.contains("`follow_symlinks = true`"))
    };
    wait_until(DEADLINE, "the warnings", || {
        let log = postrider.stderr();
        names.iter().all(|name| is_named(&log, name))
    });
    assert_clean(&postrider.terminate(DEADLINE));
    place.assert_each_once_in_order(2);
    fs::remove_file(place.path("logs/hard.log")).expect("a link");
    fs::remove_file(place.path("logs/plain.log")).expect("a link");
    let postrider = place.start(&["logs/*.log"], "follow_symlinks = true");
    place.wait_for(12);
    assert!(place.output.numbers[2..].iter().copied().eq(10..20), "{:?}", place.output.numbers);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn more_files_than_may_be_open_are_all_read() {
    const FILES: usize = 1300;
    let mut place = Place::new("many");
    fs::create_dir(place.path("logs")).expect("a directory");
    let name = |number: usize| format!("logs/{number}.log");
    (0..FILES).for_each(|number| place.append(&name(number), &line(number)));
    let paths = &["logs/*.log"];
    let postrider = place.start(paths, "start = \"beginning\"");
    assert_eq!(place.wait_for_all(FILES), 0);
    // Those that are closed meanwhile are opened again.
    (0..FILES).for_each(|number| place.append(&name(number), &line(FILES + number)));
    assert_eq!(place.wait_for_all(2 * FILES), 0);
    let logs = open_files(&postrider).iter().filter(|path| path.contains("/logs/")).count();
    assert!((1..=1000).contains(&logs), "{logs}");
    assert_clean(&postrider.terminate(DEADLINE));
    // Only a limited number of removed files is remembered.
    (5..FILES).for_each(|number| fs::remove_file(place.path(&name(number))).expect("a log"));
    let postrider = place.start(paths, "");
    place.append(&name(0), &line(2 * FILES));
    assert_eq!(place.wait_for_all(2 * FILES + 1), 0);
    assert_clean(&postrider.terminate(DEADLINE));
    let cursor = fs::read_to_string(place.cursor()).expect("the cursor");
    assert_eq!(cursor.lines().filter(|line| line.contains("/logs/")).count(), 1005);
}

#[test]
fn a_backlog_keeps_no_other_log_waiting() {
    // Far more than can be delivered in the time of the test.
    const BACKLOG: usize = 2_000_000;
    let mut place = Place::new("fair");
    let huge = File::create(place.path("huge.log")).expect("a log");
    let mut huge = BufWriter::new(huge);
    for number in 0..BACKLOG {
        huge.write_all(line(BACKLOG + number).as_bytes()).expect("a line");
    }
    huge.into_inner().expect("a log");
    let postrider = place.start(&["huge.log", "small.log"], "start = \"beginning\"");
    place.wait_for(1000);
    for number in 0..3 {
        place.append("small.log", &line(number));
        place.wait_for_number(number);
    }
    assert!(place.output.numbers.len() < BACKLOG, "the backlog was read before the small log");
    let status = fs::read_to_string(format!("/proc/{}/status", postrider.pid())).expect("a process");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the most memory");
    let kib: usize = most.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 200 * 1024, "{kib} KiB");
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_next_one_whole() {
    let mut place = Place::new("long");
    let long =
        |number: usize| format!("Nov 24 02:10:35 mx1 postfix/test[1]: number {number} {}\n", "x".repeat(200_000));
    place.append("mail.log", &(line(0) + &long(1) + &line(2)));
    let more = "start = \"beginning\"\nmax_frame_size = \"2KiB\"";
    let postrider = place.start(&["mail.log"], more);
    place.assert_each_once_in_order(3);
    // One that is not over yet when it is read, and over the limit in a file that is closed.
    let text = long(3);
    place.append("mail.log", &text[..150_000]);
    place.assert_each_once_in_order(4);
    place.append("mail.log", &(text[150_000..].to_owned() + &line(4)));
    place.assert_each_once_in_order(5);
    let cut: Vec<bool> = place.output.records.iter().map(|record| record.contains("\"truncated\"")).collect();
    assert_eq!(cut, [false, true, false, true, false]);
    assert!(place.output.records.iter().all(|record| record.len() < 8 * 1024));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("file").count("truncated"), 2);
}

#[test]
fn what_postrider_writes_is_not_followed() {
    let mut place = Place::new("own");
    // A line in the log for each path that is missing.
    let config = place.path("postrider.toml");
    let text = testkit::postrider::plain(&place.config(&["*.log", "missing/*"], "start = \"beginning\""));
    fs::write(&config, text).expect("a configuration");
    place.append("mail.log", &line(0));
    let arguments = ["run", "-c", config.to_str().expect("UTF-8")];
    let mut postrider = Process::start(env!("CARGO_BIN_EXE_postrider"), &arguments, &place.path("postrider.log"));
    wait_until(DEADLINE, "the warning", || {
        postrider.log().contains("Postrider's own standard output or error goes to this file")
    });
    place.assert_each_once_in_order(1);
    place.append("mail.log", &line(1));
    place.assert_each_once_in_order(2);
    assert_eq!(place.output.records.len(), 2, "{:?}", place.output.records);
    assert!(postrider.terminate(DEADLINE).success());
    // Its cursor, by `check`.
    fs::write(&config, place.config(&["state/*"], "")).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(&config).output();
    let output = output.expect("postrider runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("exclude its files from `paths`"), "{said}");
}

/// Puts something else at the path of a log.
type Exchange<'e> = &'e dyn Fn(&Path);

#[test]
fn a_file_that_gave_way_to_something_else_is_followed_once_back() {
    let mut place = Place::new("exchanged");
    place.append("mail.log", &line(0));
    let postrider = place.start(&["mail.log", "logs/*"], "start = \"beginning\"");
    place.assert_each_once_in_order(1);
    fs::create_dir(place.path("logs")).expect("a directory");
    let log = place.path("mail.log");
    // Nobody ever writes to the FIFO, so whoever opens it would wait for ever.
    let fifo = |path: &Path| mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
    fifo(&place.path("logs/fifo"));
    let exchanges: [(&str, Exchange<'_>); 2] = [
        ("a FIFO, a socket or a device", &fifo),
        ("append /* to follow", &|path| fs::create_dir(path).expect("a directory")),
    ];
    for (number, (complaint, exchange)) in (1..).zip(exchanges) {
        fs::remove_file(&log).expect("a log");
        exchange(&log);
        wait_until(DEADLINE, complaint, || postrider.stderr().contains(complaint));
        place.append(&format!("logs/{number}.log"), &line(2 * number - 1));
        place.assert_each_once_in_order(2 * number);
        fs::remove_file(&log).or_else(|_| fs::remove_dir(&log)).expect("what is there instead");
        place.append("mail.log", &line(2 * number));
        place.assert_each_once_in_order(2 * number + 1);
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_path_with_nothing_there_is_named_once() {
    let mut place = Place::new("nothing");
    place.append("mail.log", "");
    let postrider = place.start(&["mail.log", "later/*.log"], "");
    let named = |log: &str| log.lines().filter(|line| line.contains("no file matches yet")).count();
    wait_until(DEADLINE, "the warning", || named(&postrider.stderr()) == 1);
    place.append("mail.log", &line(0));
    place.assert_each_once_in_order(1);
    fs::create_dir(place.path("later")).expect("a directory");
    place.append("later/mail.log", &line(1));
    place.assert_each_once_in_order(2);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(named(&ended.stderr), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("later/*.log"), "{}", ended.stderr);
}
