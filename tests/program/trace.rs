//! Does `trace` find what it should in any log, in bounded memory, and say what it did not find?

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use testkit::scratch;
use testkit::wait::wait;

const DEADLINE: Duration = Duration::from_secs(60);
const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/trace/bounce.log");

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("trace").args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn trace(arguments: &[&str]) -> Output {
    command(arguments).output().expect("postrider runs")
}

fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().expect("postrider runs");
    let (mut stdin, input) = (child.stdin.take().expect("a pipe"), input.to_vec());
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("an end");
    writer.join().expect("the writer");
    output
}

#[track_caller]
fn assert_said(output: &Output, code: i32, said: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.as_ref()), (Some(code), said));
}

fn text(output: &Output) -> String {
    assert_said(output, 0, "");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn a_story_is_the_same_from_a_file_and_from_a_pipe() {
    let log = fs::read(LOG).expect("a log");
    let expected = text(&trace(&["--timezone", "UTC", LOG, "anna@example.com"]));
    assert!(expected.starts_with("4jYR9Q2wTjz18T  partly sent (1 sent, 1 bounced)\n"), "{expected}");
    let arguments = ["--zone", "UTC", "-", "anna@example.com"];
    assert_eq!(text(&piped(&arguments, &log)), expected);
    let redirected = command(&arguments).stdin(File::open(LOG).expect("a log")).output();
    assert_eq!(text(&redirected.expect("postrider runs")), expected);
    // A path that is a pipe.
    let shell = format!("'{}' trace --timezone UTC <(cat {LOG}) anna@example.com", env!("CARGO_BIN_EXE_postrider"));
    let output = Command::new("bash").args(["-c", &shell]).env("LC_ALL", "C.UTF-8").output().expect("bash");
    assert_eq!(text(&output), expected);
}

#[test]
fn times_are_those_of_the_zone() {
    let output = text(&trace(&["--timezone", "Asia/Tokyo", LOG, "4jYR9Q2wTjz18T"]));
    assert!(output.contains("\n2026-11-24 │  JST\n11:10:34   ●  received from "), "{output}");
}

#[test]
fn without_unicode_the_page_is_ascii() {
    for (locale, is_ascii) in [("C", true), ("POSIX", true), ("en_US.UTF-8", false), ("ja_JP.utf8", false)] {
        let output = command(&[LOG, "4jYR9Q2wTjz18T"]).env("LC_ALL", locale).output().expect("postrider runs");
        assert_eq!(text(&output).is_ascii(), is_ascii, "{locale}");
    }
}

#[test]
fn what_is_not_found_is_said_with_the_exit_code_1() {
    let said = "no message matches nobody@example.com, in 15 lines with 2 messages\n";
    assert_said(&trace(&[LOG, "nobody@example.com"]), 1, said);
    assert_said(&trace(&["--json", LOG, "nobody@example.com"]), 1, said);
    assert_said(&piped(&["-", "x"], b"hello\n"), 1, "no message matches x, in 1 line with 0 messages\n");
}

/// Also if the standard input is a pipe: `-` reads it.
#[test]
fn a_query_alone_is_for_the_daemon() {
    let nowhere = "/nowhere/admin.sock";
    let asked = "postrider: cannot ask the daemon at /nowhere/admin.sock: No such file or directory (os error 2); start it, or \
                 name its `socket` of [admin] with `--socket`";
    let said = format!("{asked}; log files are searched with `postrider trace FILE... 4jYR9Q2wTjz18T`\n");
    assert_said(&piped(&["--socket", nowhere, "4jYR9Q2wTjz18T"], &fs::read(LOG).expect("a log")), 69, &said);
    let said = format!("{asked}; {LOG} is a file: write behind it what to search for, `postrider trace {LOG} QUERY`\n");
    assert_said(&trace(&["--socket", nowhere, LOG]), 69, &said);
}

#[test]
fn wrong_arguments_exit_with_64() {
    for arguments in
        [&[][..], &[LOG, ""], &[LOG, " <> "], &["--timezone", "Mars/Olympus", LOG, "x"], &["--last", "0", LOG, "x"]]
    {
        let output = trace(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_gives_the_exit_code_74() {
    let output = trace(&["/nowhere/mail.log", LOG, "4jYR9Q2wTjz18T"]);
    let said = "postrider: cannot read /nowhere/mail.log: No such file or directory (os error 2)\n";
    assert_said(&output, 74, said);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("4jYR9Q2wTjz18T  "));
    let directory = scratch::directory("trace");
    let path = directory.path().join("mail.log.xz");
    fs::write(&path, b"\xfd7zXZ\0...").expect("a file");
    let said = format!(
        "postrider: cannot read {}: it is compressed with xz: decompress it first (`xz -dc FILE | postrider trace - QUERY`)\n",
        path.display()
    );
    assert_said(&trace(&[path.to_str().expect("UTF-8"), "4jYR9Q2wTjz18T"]), 74, &said);
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_failure() {
    let mut child = command(&[LOG, "4jYR9Q2wTjz18T"]).spawn().expect("postrider runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_said(&output, 0, "");
}

/// Writes a log of some size around the lines of the corpus: its message is at the beginning and at the end.
fn large(path: &Path, mebibytes: usize) {
    let log = fs::read_to_string(LOG).expect("a log");
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    file.write_all(lines[..7].concat().as_bytes()).expect("room");
    let filler = format!("2026-11-24T02:10:36.0+00:00 mx1 app[7]: anna@example.org {:x<400}\n", "");
    for _ in 0..(mebibytes << 20) / filler.len() {
        file.write_all(filler.as_bytes()).expect("room");
    }
    file.write_all(lines[7..].concat().as_bytes()).expect("room");
    file.flush().expect("room");
}

fn status(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Waits for the end of a process. Returns its output, and the most memory that it was seen to have, in KiB.
fn watch(mut child: Child) -> (String, u64) {
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("UTF-8");
        text
    });
    let mut peak = 0;
    let code = wait(DEADLINE, || {
        peak = peak.max(status(child.id(), "VmHWM").unwrap_or(0));
        child.try_wait().expect("a child")
    });
    assert!(code.expect("an end").success());
    (reader.join().expect("the reader"), peak)
}

#[test]
fn a_large_log_is_searched_in_bounded_memory() {
    let directory = scratch::directory("trace");
    let path = directory.path().join("mail.log");
    large(&path, 200);
    let expected = text(&trace(&["--timezone", "UTC", LOG, "anna@example.com"]));
    let name = path.to_str().expect("UTF-8");
    let child = command(&["--timezone", "UTC", name, "anna@example.com"]).spawn().expect("postrider runs");
    let (told, peak) = watch(child);
    assert_eq!(told, expected);
    assert!(peak > 1024 && peak < 40 * 1024, "{peak} KiB");
}

/// A pipe can be read only once, so its text is copied: to the disk, not to the memory.
#[test]
fn a_large_pipe_is_copied_to_a_file_that_is_gone_afterwards() {
    let directory = scratch::directory("trace");
    let (path, copies) = (directory.path().join("mail.log"), directory.path().join("tmp"));
    fs::create_dir(&copies).expect("a directory");
    large(&path, 60);
    let expected = text(&trace(&["--timezone", "UTC", LOG, "anna@example.com"]));
    let mut cat = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().expect("cat");
    let pipe = cat.stdout.take().expect("a pipe");
    let mut command = command(&["--timezone", "UTC", "-", "anna@example.com"]);
    let child = command.env("TMPDIR", &copies).stdin(pipe).spawn().expect("postrider runs");
    let (told, peak) = watch(child);
    assert_eq!(told, expected);
    assert!(peak > 1024 && peak < 60 * 1024, "{peak} KiB");
    assert!(cat.wait().expect("cat").success());
    assert_eq!(fs::read_dir(&copies).expect("a directory").count(), 0);
}
