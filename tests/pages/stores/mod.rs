//! Do stores that infer types, and those whose types are fixed by `postrider schema`, keep each value of a record?

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use postrider::schema::Dialect;
use serde_json::Value;
use testkit::{python, scratch};

/// A store that looks at the first records only must not have seen the first fraction: DuckDB looks at 20,480.
const WHOLE: usize = 22_000;
const RECORDS: usize = 27_000;

/// Text in front of a number in the lines of Postfix; true for a number of seconds.
const NUMBERS: [(&str, bool); 6] =
    [("delay=", true), ("delays=", true), (" after ", true), ("size=", false), ("nrcpt=", false), ("conn_use=", false)];

/// The line with other numbers, of which those of seconds are whole or not.
fn varied(line: &str, n: usize, is_whole: bool) -> String {
    let (mut varied, mut rest) = (String::new(), line);
    let next = |rest: &str| {
        let places = NUMBERS.iter().filter_map(|(name, seconds)| Some((rest.find(name)? + name.len(), *seconds)));
        places.min()
    };
    while let Some((place, is_seconds)) = next(rest) {
        varied.push_str(&rest[..place]);
        rest = &rest[place..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '/').unwrap_or(rest.len());
        let (numbers, after) = rest.split_at(end);
        // Postfix writes no number that ends with a point, and gives its numbers of recipients no leading zero.
        if numbers.split('/').all(|number| number.parse::<f64>().is_ok() && !number.ends_with('.')) {
            let other = |(place, _)| match (is_seconds, is_whole) {
                (true, false) => format!("{}.{}", n % 97, (n + place) * 13 % 89 + 1),
                _ => format!("{}", (n + place) * 7 % 100_000 + 1),
            };
            varied.push_str(&numbers.split('/').enumerate().map(other).collect::<Vec<_>>().join("/"));
        } else {
            varied.push_str(numbers);
        }
        rest = after;
    }
    varied + rest
}

/// The lines of the corpus.
fn corpus() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/postfix");
    let mut paths: Vec<_> =
        fs::read_dir(directory).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let text = |path: &std::path::PathBuf| String::from_utf8_lossy(&fs::read(path).expect("a log")).into_owned();
    paths.iter().flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn decode(log: &Path) -> String {
    let mut postrider = Command::new(env!("CARGO_BIN_EXE_postrider"));
    let Output { status, stdout, stderr } =
        postrider.args(["decode", "--timezone", "UTC"]).arg(log).output().expect("postrider runs");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// True if each number of seconds in a record is whole.
fn is_whole(record: &Value) -> bool {
    match record {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.fract() == 0.0),
        Value::Object(fields) => fields.values().all(is_whole),
        Value::Array(values) => values.iter().all(is_whole),
        _ => true,
    }
}

#[test]
fn whole_seconds_come_first_and_no_value_is_lost() {
    let place = scratch::directory("inferred");
    let lines = corpus();
    let rounds = RECORDS.div_ceil(lines.len());
    let mut log = String::new();
    for round in 0..rounds {
        let is_whole = round * lines.len() < WHOLE;
        // Each round on a day of its own.
        let day = format!("Nov {:2}", round + 1);
        for (at, line) in lines.iter().enumerate() {
            let line = line.strip_prefix("Nov 24").expect("a time");
            let _ = writeln!(log, "{day}{}", varied(line, round * lines.len() + at, is_whole));
        }
    }
    assert!(rounds < 30);
    fs::write(place.path().join("mail.log"), log).expect("a log");
    let records = decode(&place.path().join("mail.log"));
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let (whole, other): (Vec<&str>, Vec<&str>) = records.lines().partition(|line| is_whole(&parse(line)));
    assert!(whole.len() > 20_480 && other.len() > 1000, "{} and {}", whole.len(), other.len());
    assert!(whole.len() + other.len() >= 25_000, "{} and {}", whole.len(), other.len());
    let path = place.path().join("records.jsonl");
    fs::write(&path, whole.into_iter().chain(other).fold(String::new(), |text, line| text + line + "\n"))
        .expect("a file");
    let count = records.lines().count();
    if let Some(printed) = python::run("pages/stores/inferred.py", &[path.as_os_str()]) {
        assert_eq!(printed, format!("{count}\n"));
    }
}

#[test]
fn the_table_of_duckdb_takes_each_record_once() {
    let place = scratch::directory("table");
    let path = |name: &str| place.path().join(name);
    fs::write(path("mail.log"), corpus().join("\n")).expect("a log");
    let records = decode(&path("mail.log"));
    fs::write(path("records.jsonl"), &records).expect("a file");
    fs::write(path("table.sql"), Dialect::DuckDb.text()).expect("a file");
    let (sql, json) = (path("table.sql"), path("records.jsonl"));
    let arguments: [&OsStr; 2] = [sql.as_os_str(), json.as_os_str()];
    if let Some(printed) = python::run("pages/stores/table.py", &arguments) {
        assert_eq!(printed, format!("{}\n", records.lines().count()));
    }
}
