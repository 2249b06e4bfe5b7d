//! Are standard streams that the program was not given an error, where it needs them?

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::{code, show};
use testkit::postrider::program;
use testkit::scratch;

/// Runs `postrider ARGUMENTS REDIRECTION` by a shell, in `directory`.
fn shell(directory: &Path, arguments: &str, redirection: &str) -> Output {
    Command::new("sh")
        .args(["-c", &format!("exec \"$0\" {arguments} {redirection}")])
        .arg(program())
        .current_dir(directory)
        .output()
        .expect("a shell")
}

const CLOSED: &str = "it is closed, or it is /dev/null opened for both reading and writing; use ";

#[test]
fn a_closed_standard_output_is_an_error_at_the_start() {
    let directory = scratch::directory("streams");
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
    file("stdout.toml", "[[source.stdin]]\n[[sink.stdout]]\n");
    file("file.toml", &format!("[[source.stdin]]\n[[sink.file]]\npath = \"{}/x\"\n", directory.path().display()));
    file("mail.log", "Nov 24 02:10:35 mx1 postfix/smtp[7]: hello\n");
    file("dead", "");
    fs::create_dir(directory.path().join("spool")).expect("a directory");
    let run = |arguments: &str, redirection: &str| shell(directory.path(), arguments, redirection);
    let expected = format!("cannot write to the standard output: {CLOSED}>/dev/null to discard the output\n");
    for command in [
        "decode mail.log",
        "explain 450",
        "schema",
        "completions bash",
        "spool cat spool",
        "spool ls spool",
        "spool verify spool",
        "--version",
        "run --help",
    ] {
        let output = run(command, ">&-");
        assert_eq!(show(&output), format!("exit 74\npostrider: {expected}"), "{command}");
        assert_ne!(code(&run(command, ">/dev/null")), 74, "{command}");
    }
    let output = run("run -c stdout.toml", "</dev/null >&-");
    assert_eq!(code(&output), 74);
    assert!(show(&output).ends_with(&format!("\npostrider: sink stdout: {expected}")), "{}", show(&output));
    assert!(!show(&output).contains("listening"), "{}", show(&output));
    let read_only = run("run -c stdout.toml", "</dev/null 1</dev/null");
    assert!(show(&read_only).contains("sink stdout: cannot write to the standard output: it is not open for writing"));
    // A command that needs no output, or throws it away on purpose, may run.
    for (config, redirection) in [("stdout.toml", ">/dev/null"), ("stdout.toml", ">>mail.json"), ("file.toml", ">&-")] {
        let output = run(&format!("run -c {config}"), &format!("<mail.log {redirection}"));
        assert_eq!(code(&output), 0, "{}", show(&output));
        assert!(show(&output).contains("delivered=1"), "{}", show(&output));
    }
    assert_eq!(code(&run("check -c stdout.toml", ">&-")), 0);
}

#[test]
fn a_closed_standard_input_is_an_error_where_it_is_to_be_read() {
    let directory = scratch::directory("streams");
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
    file("stdin.toml", "[[source.stdin]]\n[[sink.stdout]]\n");
    file("mail.log", "Nov 24 02:10:35 mx1 postfix/smtp[7]: hello\n");
    let run = |arguments: &str, redirection: &str| shell(directory.path(), arguments, redirection);
    let expected = format!("cannot read the standard input: {CLOSED}</dev/null for an empty input\n");
    for command in ["decode", "decode -"] {
        assert_eq!(show(&run(command, "<&-")), format!("exit 74\npostrider: {expected}"));
        assert_eq!(show(&run(command, "</dev/null")), "exit 0\n");
    }
    assert_eq!(show(&run("explain -", "<&-")), format!("exit 74\npostrider: {expected}"));
    let output = run("run -c stdin.toml", "<&-");
    assert_eq!(code(&output), 74);
    assert!(show(&output).ends_with(&format!("\npostrider: source stdin: {expected}")), "{}", show(&output));
    assert_eq!(code(&run("run -c stdin.toml", "</dev/null")), 0);
    let write_only = run("decode", "0>mail.json");
    assert_eq!(show(&write_only), "exit 74\npostrider: cannot read the standard input: it is not open for reading\n");
    // A command that reads a file needs no input.
    assert_eq!(code(&run("decode mail.log", "<&-")), 0);
}

#[test]
fn a_closed_standard_error_is_no_error() {
    let directory = scratch::directory("streams");
    fs::write(directory.path().join("stdin.toml"), "[[source.stdin]]\n[[sink.stdout]]\n").expect("a file");
    fs::write(directory.path().join("mail.log"), "Nov 24 02:10:35 mx1 postfix/smtp[7]: hello\n").expect("a file");
    let output = shell(directory.path(), "run -c stdin.toml", "<mail.log 2>&-");
    assert_eq!((code(&output), memchr::memchr_iter(b'\n', &output.stdout).count()), (0, 1));
    // The stream itself says nothing of it, and neither does what takes its number.
    assert!(output.stderr.is_empty(), "{}", show(&output));
}
