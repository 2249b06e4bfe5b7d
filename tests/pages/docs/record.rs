//! docs/record.md: its log is decoded, and its questions are asked of the records.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use postrider::schema::Dialect;

use crate::docs::page::Page;
use testkit::{python, scratch};

/// Each question has its answer by SQL, by jq, and as the page shows it.
const QUESTIONS: usize = 13;

#[test]
fn record() {
    let place = scratch::directory("record");
    let path = |name: &str| place.path().join(name);
    let mut page = Page::open("record.md");
    let [commands] = page.take(["sh"]);
    let (decode, load) = commands.split_once('\n').expect("two commands");
    assert_eq!(load, "postrider schema --format duckdb | duckdb mail.db\n");
    let sh = |script: &str| {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_postrider")).parent().expect("a directory");
        let search = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut sh = Command::new("sh");
        let output =
            sh.args(["-ec", script]).current_dir(place.path()).env("PATH", search).stderr(Stdio::inherit()).output();
        let output = output.expect("sh");
        assert!(output.status.success(), "{script}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let questions: Vec<_> = (0..QUESTIONS).map(|_| page.take(["sql", "sh", "tsv"])).collect();
    let [log] = page.take(["lines"]);
    fs::write(path("mail.log"), log).expect("a log");
    assert_eq!(sh(decode), "");
    let mut table = Dialect::DuckDb.text();
    let mut answers = String::new();
    for [sql, jq, answer] in questions {
        assert_eq!(sh(&jq), answer, "{jq}");
        let _ = writeln!(table, "-- question\n{sql};");
        let _ = write!(answers, "-- answer\n{answer}");
    }
    fs::write(path("questions.sql"), table).expect("a file");
    let arguments = [path("questions.sql"), path("postrider.jsonl")];
    if let Some(printed) = python::run("pages/docs/record.py", &arguments.each_ref().map(|path| path.as_os_str())) {
        assert_eq!(printed, answers);
    }
}
