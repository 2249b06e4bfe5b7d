//! A finished log, its records, and tables of what they must be.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::pflogsumm::assert_counted;
use testkit::postfix::Postfix;
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::wait::{wait, wait_until};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The tag of the line that ends a log.
const END: &str = "end-of-log[1]";

/// A part of the log's lines, the event of each such line (`*` for any), and fields that it must have: see [`differs`].
pub(crate) type Row = (&'static str, &'static str, Value);

/// All lines of a log with the record of each.
pub(crate) struct Log {
    lines: Vec<(String, Value)>,
}

/// Waits until the log has lines with each of `parts`.
#[track_caller]
pub(crate) fn wait_logged(rsyslog: &Rsyslog, parts: &[&str]) {
    let mut missing = parts.to_vec();
    let all = wait(DEADLINE, || {
        let lines = rsyslog.lines(LogFile::Traditional);
        missing.retain(|part| !lines.iter().any(|line| matches(line, part)));
        missing.is_empty().then_some(())
    });
    let log = rsyslog.lines(LogFile::Traditional);
    assert!(all.is_some(), "waited {DEADLINE:?} in vain for {missing:#?} in the log:\n{}", log.join("\n"));
}

/// Ends Postfix, and gives all that it logged by way of rsyslog.
pub(crate) fn finish(postfix: Postfix, rsyslog: &Rsyslog) -> Log {
    drop(postfix);
    // The socket keeps the order: behind this line there is nothing.
    rsyslog.log(END, ["all has been logged"]);
    let lines = |file| -> Option<Vec<String>> {
        let mut lines = rsyslog.lines(file);
        let end = lines.pop()?;
        end.contains(&format!("{END}: ")).then_some(lines)
    };
    for file in [LogFile::Traditional, LogFile::Iso] {
        wait_until(DEADLINE, "the end of the log", || lines(file).is_some());
    }
    if let Some(directory) = std::env::var_os("KEEP_LOGS") {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let kept = Path::new(&directory).join(test).with_extension("log");
        fs::copy(rsyslog.file(LogFile::Iso), kept).expect("the directory of KEEP_LOGS");
    }
    let mut log = Log::decode(&rsyslog.file(LogFile::Traditional));
    log.lines.pop();
    // The same of the other format, but for the times.
    let mut iso = Log::decode(&rsyslog.file(LogFile::Iso));
    iso.lines.pop();
    let events = |log: &Log| -> Vec<Value> { log.lines.iter().map(|(_, record)| record["postfix"].clone()).collect() };
    assert_eq!(events(&log), events(&iso));
    assert_counted(&log.texts(), &iso.texts());
    log
}

impl Log {
    /// Has `postrider decode` read the file.
    pub(crate) fn decode(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a log");
        let output = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args([PathBuf::from("decode"), "--strict".into(), path.to_owned()])
            .output()
            .expect("postrider runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", output.status);
        let records = String::from_utf8(output.stdout).expect("UTF-8");
        let records: Vec<Value> =
            records.lines().map(|record| serde_json::from_str(record).expect("a JSON object per line")).collect();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), records.len(), "one record for each line");
        for (line, record) in lines.iter().zip(&records) {
            let message = record["message"].as_str().expect("a message");
            assert!(line.ends_with(&format!("]: {message}")), "{line}\n{record}");
        }
        Self { lines: lines.into_iter().zip(records).collect() }
    }

    fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|(line, _)| line.clone()).collect()
    }

    /// Every line is an event of Postfix other than `other`, and those that hold the text of a row are as it says.
    #[track_caller]
    pub(crate) fn expect(&self, rows: &[Row]) {
        let mut faults = String::new();
        for (line, record) in &self.lines {
            if record["postfix"]["event"].as_str().is_none_or(|event| event == "other") {
                writeln!(faults, "no event: {line}").expect("a String takes all");
            }
        }
        for (part, event, fields) in rows {
            let mut found = self.lines.iter().filter(|(line, _)| matches(line, part)).peekable();
            if found.peek().is_none() {
                writeln!(faults, "no line of the log has {part:?}").expect("a String takes all");
            }
            for (line, record) in found {
                let postfix = &record["postfix"];
                if *event != "*" && postfix["event"] != *event {
                    writeln!(faults, "not {event} but {}: {line}", postfix["event"]).expect("a String takes all");
                } else if let Some(difference) = differs(fields, postfix, event) {
                    writeln!(faults, "{difference}\n  in {line}\n  -> {postfix}").expect("a String takes all");
                }
            }
        }
        if !faults.is_empty() {
            let log: String = self.lines.iter().flat_map(|(line, _)| [line, "\n"]).collect();
            panic!("{faults}\nof the log:\n{log}");
        }
    }
}

/// True if `line` holds `pattern`, in which a `*` stands for any text.
fn matches(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// Returns the place at which `actual` differs from `expected`. An object has at least its fields, null stands for a
/// field that is left out, and "*" for any value. An array has as many elements.
pub(crate) fn differs(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(fields), _) => {
            fields.iter().find_map(|(name, expected)| differs(expected, &actual[name], &format!("{path}.{name}")))
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(place, (expected, actual))| differs(expected, actual, &format!("{path}[{place}]")))
        }
        (Value::String(any), _) if any == "*" && !actual.is_null() => None,
        _ if expected == actual => None,
        _ => Some(format!("{path} is {actual}, not {expected}")),
    }
}
