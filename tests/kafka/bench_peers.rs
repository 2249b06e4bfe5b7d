//! Does `./dev bench` measure every program, and see to it that each has done its work?

#[path = "../../benches/peers/main.rs"]
#[allow(dead_code)]
mod bench;

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Output of the bench with few lines of the log: it is quick, and its figures are worth nothing.
fn measured(only: &str) -> String {
    let arguments = ["--only", only, "--lines", "2000", "--rounds", "1"].map(str::to_owned);
    let mut out = Vec::new();
    bench::run(&arguments, &mut out).expect("every record is there, once, with all fields");
    String::from_utf8(out).expect("text")
}

/// The cells of the row that begins with `name`.
fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let row = text.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")));
    row.unwrap_or_else(|| panic!("no row of {name}: {text}")).trim_end_matches(" |").split(" | ").collect()
}

/// The number that a cell begins with.
fn figure(cell: &str) -> f64 {
    cell.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no figure: {cell}"))
}

/// The bench starts this, its own program, for what is to be measured as the others are.
#[test]
#[ignore = "a part of the bench"]
fn plays_a_role() {
    bench::play().expect("the role is played");
}

#[test]
fn every_program_takes_the_log_over_tcp() {
    let text = measured("tcp");
    for name in [
        "Postrider",
        "rsyslog, imptcp and mmnormalize",
        "rsyslog without parsing the message",
        "syslog-ng, db-parser and format-json",
        "the copy limit",
    ] {
        let row = row(&text, name);
        assert!(figure(row[0]) > 0.0 && figure(row[1]) > 0.0, "{name}: {row:?}");
    }
    assert!(text.contains("records of 12") || text.contains("records of 13"), "{text}");
    let aim = row(&text, "10 times the lines/s of rsyslog with mmnormalize, 1/12 of its CPU");
    let ratio = figure(row(&text, "rsyslog, imptcp and mmnormalize")[2]);
    assert!((figure(aim[0]) - ratio).abs() < 0.1, "{aim:?} {ratio}");
    assert_eq!(row(&text, "Kafka within 15 % of kcat"), ["not measured in this run", "–"]);
}

/// For the test below.
#[test]
#[ignore = "a part of another test"]
fn prints_what_was_measured_over_tcp() {
    std::io::stdout().write_all(measured("tcp").as_bytes()).expect("a pipe");
}

#[test]
fn a_broken_peer_is_named_and_the_others_are_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let vector = directory.path().join("vector");
    fs::write(&vector, "#!/bin/sh\necho 'cannot do that' >&2\nexit 1\n").expect("a file");
    fs::set_permissions(&vector, fs::Permissions::from_mode(0o755)).expect("permissions");
    let path = env::var("PATH").expect("a path");
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "bench_peers::prints_what_was_measured_over_tcp"])
        .env("PATH", format!("{}:{path}", directory.path().display()))
        .output()
        .expect("the bench");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    let said = "Vector, syslog and parse_regex: not measured: ";
    let reason = text.lines().find_map(|line| line.strip_prefix(said)).unwrap_or_else(|| panic!("not named: {text}"));
    assert!(reason.contains("cannot do that"), "{reason}");
    assert!(figure(row(&text, "the copy limit")[0]) > 0.0, "{text}");
}

#[test]
fn datagrams_are_lost_at_some_rate_and_every_one_is_counted() {
    let text = measured("udp");
    for name in ["Postrider", "rsyslog, imudp and mmnormalize", "rsyslog without parsing the message"] {
        let row = row(&text, name);
        assert!(figure(row[0]) >= 200.0, "{name}: {row:?}");
    }
    let (_, sum) = text.split_once("is exact: of ").expect("what became of too many datagrams");
    let numbers: Vec<u64> = sum.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let [sent, there, kernel, dropped] = numbers[..4] else { panic!("{sum}") };
    assert_eq!((sent, there + dropped), (100_000, sent - kernel));
    assert!(kernel > 0, "{sum}");
}

#[test]
fn decode_gives_the_records_in_their_order() {
    let text = measured("decode");
    assert!(figure(row(&text, "2 MB")[1]) > 0.0, "{text}");
    assert!(text.contains("The records of 2000 lines came in their order."), "{text}");
}

#[test]
fn figures_are_written_between_the_prose() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, svg) = (directory.path().join("RESULTS.md"), directory.path().join("results.svg"));
    let before =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md")).expect("the figures");
    fs::write(&file, &before).expect("a copy of them");
    let bars = vec![("Postrider", 1.0), ("another", 2.5)];
    let found = bench::found::Found { bars, ..Default::default() };
    for measured in ["the first figures", "the second figures"] {
        bench::report::write(directory.path(), measured, &found).expect("the files are written");
        let after = fs::read_to_string(&file).expect("the file");
        let (intro, rest) = before.split_once("writes from here -->\n").expect("the first comment");
        let (_, prose) = rest.split_once("<!-- to here -->\n").expect("the second comment");
        assert_eq!(after, format!("{intro}writes from here -->\n\n{measured}\n\n<!-- to here -->\n{prose}"));
    }
    let svg = fs::read_to_string(svg).expect("the chart");
    assert!(svg.contains(">Postrider</text><rect x=\"290\" y=\"46\" width=\"146\""), "{svg}");
    assert!(svg.contains(">another</text><rect x=\"290\" y=\"80\" width=\"365\""), "{svg}");
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    for arguments in [&["--only", "tpc"][..], &["--lines"], &["--fast", "1"], &["--write", "--only", "tcp"]] {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        bench::run(&arguments, &mut Vec::new()).expect_err("no part has this name, or no option");
    }
}
