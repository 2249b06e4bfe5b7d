//! Do the commands, their help, their errors and their exit codes look as they should?

mod log;
mod panics;
mod reading;
mod status;
mod streams;
mod version;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

fn postrider(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postrider")).args(arguments).stdin(Stdio::null()).output().expect("postrider runs")
}

/// Output of a command, with its exit code.
fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("exit {}\n{}{}", output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

#[test]
fn help() {
    insta::assert_snapshot!("help", show(&postrider(&["--help"])));
    for command in ["run", "check", "health", "config", "decode", "trace", "replay", "explain", "schema", "completions"]
    {
        insta::assert_snapshot!(format!("help_{command}"), show(&postrider(&[command, "--help"])));
    }
    insta::assert_snapshot!("help_spool", show(&postrider(&["spool", "--help"])));
    for command in ["ls", "cat", "verify", "rm"] {
        insta::assert_snapshot!(format!("help_spool_{command}"), show(&postrider(&["spool", command, "--help"])));
    }
}

#[test]
fn usage_errors_exit_with_64() {
    insta::assert_snapshot!("usage", show(&postrider(&["ran"])));
    for arguments in [
        &["explain"][..],
        &["explain", "hello"],
        &["explain", "--lang", "fr", "450"],
        &["decode", "--timezone", "Mars/Olympus"],
        &["completions", "cobol"],
        &["spool"],
        &["spool", "cat"],
        &["spool", "rm", "/tmp"],
        &["replay"],
        &[],
    ] {
        let output = postrider(arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {}", show(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_file_without_its_option_is_given_the_option() {
    for command in ["run", "check"] {
        let output = postrider(&[command, "/etc/postrider.toml"]);
        assert_eq!(code(&output), 64, "{}", show(&output));
        let tip =
            format!("  tip: to name the configuration file, write `postrider {command} -c /etc/postrider.toml`\n");
        assert!(show(&output).contains(&tip), "{}", show(&output));
        let output = postrider(&[command, "--confg", "x"]);
        assert!(code(&output) == 64 && !show(&output).contains("to name"), "{}", show(&output));
    }
}

#[test]
fn explain_prints_codes_in_both_languages() {
    let en = postrider(&["explain", "4.7.1", "450"]);
    assert_eq!(code(&en), 0);
    let en = String::from_utf8(en.stdout).expect("UTF-8");
    assert!(en.contains("4.7.1") && en.contains("transient") && en.contains("\n\n450"), "{en}");
    let of_provider = postrider(&["explain", "google", "4.7.28", "4.7.1"]);
    let of_provider = String::from_utf8(of_provider.stdout).expect("UTF-8");
    assert!(of_provider.starts_with("google 4.7.28\n") && of_provider.contains("\n\n4.7.1\n"), "{of_provider}");
    let ja = postrider(&["explain", "4.7.1", "--lang", "ja"]);
    assert!(String::from_utf8(ja.stdout).expect("UTF-8").contains("配送"));
}

#[test]
fn explain_takes_lines_from_its_standard_input() {
    let explain =
        |arguments: &[&str], input: &str| run_with_input(&[&["explain"], arguments].concat(), input.as_bytes());
    let deferred = "Nov 24 02:15:07 mx1 postfix/smtp[7]: 4FCA1803C5: to=<u@example.com>, relay=none, dsn=4.4.1, \
        status=deferred (connect to mx[192.0.2.1]:25: Connection refused)";
    let foreign = "Nov 24 02:10:35 mx1 dovecot: imap-login: Login: user=<anna@example.com>";
    let text = |arguments: &[&str]| String::from_utf8(postrider(arguments).stdout).expect("UTF-8");
    let expected = format!("{}\n{}", text(&["explain", deferred]), text(&["explain", "4.7.1"]));
    for arguments in [&["-"][..], &[]] {
        let output = explain(arguments, &format!("{deferred}\n\n4.7.1\n"));
        assert_eq!(show(&output), format!("exit 0\n{expected}"));
    }
    let japanese = explain(&["--lang", "ja"], "greylisted");
    assert_eq!(String::from_utf8_lossy(&japanese.stdout), text(&["explain", "--lang", "ja", "greylisted"]));

    let output = explain(&[], &format!("{foreign}\n{deferred}\ngreylist\n4.7.1\n"));
    assert_eq!((code(&output), String::from_utf8_lossy(&output.stdout).as_ref()), (65, expected.as_str()));
    let said = String::from_utf8_lossy(&output.stderr);
    let begin = format!(
        "postrider: 2 of 4 lines cannot be explained; the first error: cannot explain {foreign:?}: not a known code, "
    );
    assert!(said.starts_with(&begin), "{said}");
    let nothing = show(&explain(&["-"], "\n"));
    assert!(nothing.starts_with("exit 64\npostrider: nothing to explain: "), "{nothing}");
}

#[test]
fn explain_answers_for_each_argument() {
    let text = |arguments: &[&str]| show(&postrider(arguments)).replace("exit 0\n", "");
    let both = format!("{}\n{}", text(&["explain", "google"]), text(&["explain", "rate_limited"]));
    assert_eq!(show(&postrider(&["explain", "google", "rate_limited"])), format!("exit 0\n{both}"));
    let expected = "exit 64\npostrider: cannot explain \"gogle\": did you mean `google`?\n";
    assert_eq!(show(&postrider(&["explain", "gogle", "4.7.28"])), expected);
}

#[test]
fn schema_prints_the_schemas() {
    let record: Value = serde_json::from_slice(&postrider(&["schema"]).stdout).expect("JSON");
    assert_eq!(record["$id"], "urn:postrider:record:1");
    let config: Value = serde_json::from_slice(&postrider(&["schema", "--config"]).stdout).expect("JSON");
    assert!(config.pointer("/properties/source").is_some(), "{config:#}");
    jsonschema::validator_for(&config).expect("a valid schema");
    for (name, begin) in [
        ("json-schema", "{\n  \"$schema\""),
        ("clickhouse", "-- Records of Postrider"),
        ("duckdb", "-- Records of Postrider"),
        ("elasticsearch", "{\n  \"index_patterns\""),
        ("bigquery", "[\n  {\n    \"name\": \"id\""),
    ] {
        let printed = String::from_utf8(postrider(&["schema", "--format", name]).stdout).expect("UTF-8");
        assert!(printed.starts_with(begin), "{name}: {printed}");
    }
    assert_eq!(code(&postrider(&["schema", "--config", "--format", "duckdb"])), 64);
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(postrider(&["completions", shell]).stdout).expect("UTF-8");
        assert!(
            ["config", "decode", "replay", "explain", "strict"].iter().all(|word| script.contains(word)),
            "{shell}"
        );
    }
}

#[test]
fn check_shows_every_error_and_exits_with_78() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bad.toml");
    fs::write(
        &path,
        "language = \"fr\"\n[[source.tcp]]\nlisten = \"0.0.0.0:51x\"\nframeing = \"lf\"\n[[sink.stdout]]\n",
    )
    .expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .current_dir(directory.path())
        .args(["check", "-c", "bad.toml"])
        .output()
        .expect("postrider runs");
    insta::assert_snapshot!("check", show(&output));
    // The same errors, with another consequence.
    let run = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .current_dir(directory.path())
        .args(["run", "-c", "bad.toml"])
        .output()
        .expect("postrider runs");
    assert_eq!(show(&run), show(&output).replace("the configuration is not usable", "nothing was started"));

    let missing = postrider(&["check", "-c", "/nonexistent/postrider.toml"]);
    assert_eq!(code(&missing), 78);
    assert!(show(&missing).contains("/nonexistent/postrider.toml"), "{}", show(&missing));
}

#[test]
fn check_accepts_what_is_shipped() {
    for name in ["postrider.toml", "file.toml", "kafka.toml"] {
        let path = format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"));
        let output = postrider(&["check", "-c", &path]);
        assert_eq!(code(&output), 0, "{}", show(&output));
    }
    let output = postrider(&["check", "-c", concat!(env!("CARGO_MANIFEST_DIR"), "/docker/postrider.toml")]);
    assert_eq!(code(&output), 0, "{}", show(&output));
    assert!(show(&output).contains("no errors; sources: 2, sinks: 2"), "{}", show(&output));
    assert_eq!(code(&postrider(&["check"])), 0);
}

#[test]
fn config_prints_the_file_with_every_key() {
    let output = postrider(&["config"]);
    assert_eq!(code(&output), 0);
    assert_eq!(String::from_utf8_lossy(&output.stdout), include_str!("../../../config/postrider.toml"));
}

#[test]
fn run_says_what_it_cannot_listen_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("postrider.toml");
    fs::write(&path, format!("[[source.tcp]]\nlisten = \"{address}\"\n[[sink.stdout]]\n")).expect("a file");
    let output = postrider(&["run", "-c", path.to_str().expect("UTF-8")]);
    assert_eq!(code(&output), 74, "{}", show(&output));
    let expected =
        format!("postrider: source tcp: cannot listen on tcp {address}: Address already in use (os error 98)");
    assert!(show(&output).contains(&expected), "{}", show(&output));
}

#[test]
fn run_refuses_a_log_level_that_would_hide_its_log() {
    let run = |level: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(["run", "-c", "stdin.toml"]).env("POSTRIDER_LOG", level).stdin(Stdio::null());
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("stdin.toml"), "[[source.stdin]]\n[[sink.stdout]]\n").expect("a file");
        command.current_dir(directory.path()).output().expect("postrider runs")
    };
    let expected =
        "exit 64\npostrider: POSTRIDER_LOG is \"verbose\"; write one of off, error, warn, info, debug, trace\n";
    assert_eq!(show(&run("verbose")), expected);
    assert!(show(&run("DEBUG")).contains("balanced=true"));
    assert_eq!(show(&run("error")), "exit 0\n");
}

#[test]
fn run_says_what_a_unix_socket_lacks() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, path) = (directory.path().join("postrider.toml"), directory.path().join("missing/log"));
    fs::write(&config, format!("[[source.unix]]\npath = \"{}\"\n[[sink.stdout]]\n", path.display())).expect("a file");
    let output = postrider(&["run", "-c", config.to_str().expect("UTF-8")]);
    assert_eq!(code(&output), 74, "{}", show(&output));
    let expected = format!("cannot listen on unix {}: No such file or directory", path.display());
    assert!(show(&output).contains(&expected), "{}", show(&output));
    assert!(show(&output).contains("; create its directory first"), "{}", show(&output));
}

const LINE: &str = "Nov 24 02:10:35 mx1 postfix/smtp[7]: 4jYR9Q2wTjz18T: to=<anna@example.com>, \
    relay=mx.example.com[192.0.2.25]:25, delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok)\n";

fn decode(arguments: &[&str], input: &[u8]) -> Output {
    run_with_input(&[&["decode"], arguments].concat(), input)
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postrider runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("an end");
    writer.join().expect("the writer");
    output
}

fn records(output: &Output) -> Vec<Value> {
    assert_eq!(code(output), 0, "{}", show(output));
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn decode_reads_files_standard_input_and_gzip_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(path("mail.log"), LINE.replace("anna", "first")).expect("a file");
    // As logrotate leaves them, and as two that were joined.
    let gzip = |name: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(LINE.replace("anna", name).as_bytes()).expect("room");
        encoder.finish().expect("room")
    };
    fs::write(path("mail.log.2.gz"), [gzip("second"), gzip("third")].concat()).expect("a file");
    let counted = format!("<22>{}", LINE.replace("anna", "fourth").trim_end());
    let input = format!("{} {counted}{} {counted}", counted.len(), counted.len());
    let output = decode(&[&path("mail.log"), &path("mail.log.2.gz"), "-"], input.as_bytes());
    let to: Vec<String> = records(&output)
        .iter()
        .map(|record| record["postfix"]["to"].as_str().expect("an address").to_owned())
        .collect();
    assert_eq!(to, ["first", "second", "third", "fourth", "fourth"].map(|name| format!("{name}@example.com")));
    let first = &records(&output)[0];
    assert_eq!(first["source"]["peer"], path("mail.log"));
    assert_eq!(first["source"]["transport"], "file");
    assert_eq!(first["postfix"]["delays"]["connection_setup"], 0.4);
}

#[test]
fn decode_takes_a_time_zone_and_a_language() {
    let output = decode(&["--timezone", "Asia/Tokyo", "--lang", "ja"], LINE.as_bytes());
    let record = &records(&output)[0];
    let timestamp = record["timestamp"].as_str().expect("a time");
    assert!(timestamp.ends_with("-11-23T17:10:35.000000Z"), "{timestamp}");
    assert!(!record["postfix"]["dsn"]["text"].as_str().expect("a text").is_ascii());
}

#[test]
fn decode_strict_exits_with_65_after_printing_everything() {
    let input = format!("{LINE}no header\n{LINE}");
    assert_eq!(records(&decode(&[], input.as_bytes())).len(), 3);
    let output = decode(&["--strict"], input.as_bytes());
    assert_eq!(code(&output), 65);
    assert_eq!(memchr::memchr_iter(b'\n', &output.stdout).count(), 3);
    assert!(show(&output).contains("1 of 3 lines have no readable time"), "{}", show(&output));
    assert_eq!(code(&decode(&["--strict"], LINE.as_bytes())), 0);
}

#[test]
fn decode_names_a_file_that_it_cannot_read() {
    let output = decode(&["/nonexistent/mail.log"], b"");
    assert_eq!(code(&output), 74);
    assert!(show(&output).contains("cannot read /nonexistent/mail.log: No such file"), "{}", show(&output));

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mail.log.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(LINE.repeat(1000).as_bytes()).expect("room");
    let whole = encoder.finish().expect("room");
    fs::write(&path, &whole[..whole.len() - 20]).expect("a file");
    let output = decode(&[path.to_str().expect("UTF-8")], b"");
    assert_eq!(code(&output), 74, "a cut archive is no success");
    assert!(memchr::memchr_iter(b'\n', &output.stdout).count() > 900, "what could be read is printed");
}

#[test]
fn decode_goes_on_behind_a_file_that_it_cannot_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let gzip = |name: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(LINE.replace("anna", name).as_bytes()).expect("room");
        encoder.finish().expect("room")
    };
    let cut = gzip("cut");
    fs::write(path("1.gz"), &cut[..cut.len() - 4]).expect("a file");
    fs::write(path("3.gz"), b"\x1f\x8bnothing of gzip").expect("a file");
    // As a tape leaves it.
    fs::write(path("4.gz"), [gzip("padded"), vec![0; 20_000]].concat()).expect("a file");
    fs::write(path("5.log"), LINE.replace("anna", "plain")).expect("a file");
    let output = decode(&[&path("1.gz"), &path("2.gz"), &path("3.gz"), &path("4.gz"), &path("5.log")], b"");
    assert_eq!(code(&output), 74, "{}", show(&output));
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let names = ["cut", "padded", "plain"];
    assert_eq!(text.lines().count(), names.len(), "{text}");
    assert!(text.lines().zip(names).all(|(line, name)| line.contains(name)), "{text}");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    let said: Vec<&str> = stderr.lines().collect();
    assert_eq!(said.len(), 4, "{stderr}");
    for (line, name) in said.iter().zip(["1.gz", "2.gz", "3.gz"]) {
        assert!(line.starts_with(&format!("postrider: cannot read {}: ", path(name))), "{line}");
    }
    assert_eq!(said[3], "postrider: 3 of 5 files could not be read completely");
    // Zeros alone are no damage.
    assert_eq!(code(&decode(&[&path("4.gz"), &path("5.log")], b"")), 0);
}

/// Such a file has no line, but would give a record.
#[test]
fn decode_refuses_what_it_cannot_decompress() {
    let compressed: [(&[u8], &str); 3] =
        [(b"\xfd7zXZ\0\0\x04", "xz"), (b"\x28\xb5\x2f\xfd\x04\x58", "zstd"), (b"BZh91AY&SY\0\0", "bzip2")];
    for (bytes, name) in compressed {
        let output = decode(&[], bytes);
        let help = format!("it is compressed with {name}: decompress it first (`{name} -dc FILE | postrider decode`)");
        assert_eq!(show(&output), format!("exit 74\npostrider: cannot read the standard input: {help}\n"));
    }
    assert_eq!(records(&decode(&[], b"BZh is how this line begins\n")).len(), 1);
}

#[test]
fn decode_ends_quietly_when_its_reader_has_seen_enough() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .arg("decode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postrider runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || while stdin.write_all(LINE.repeat(100).as_bytes()).is_ok() {});
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("a record");
    drop(stdout);
    writer.join().expect("the writer ends with the reader");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(show(&output), "exit 0\n");
}

#[test]
fn decode_takes_a_format_at_its_word() {
    let line = "Nov 24 02:10:35 mx1 app[7]: x\n";
    for (format, message) in [("auto", "x"), ("rfc3164", "x"), ("rfc5424", line.trim_end()), ("plain", line.trim_end())]
    {
        let output = decode(&["--format", format], line.as_bytes());
        assert_eq!(code(&output), 0);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("\"message\":\"{message}\"")), "{format}: {text}");
    }
}

#[test]
fn decode_unparsed_prints_the_lines_that_are_not_understood() {
    let strange = "Nov 24 02:10:35 mx1 postfix/smtp[7]: no Postfix ever wrote this\n";
    let foreign = "Nov 24 02:10:35 mx1 dovecot: imap-login: Login: user=<anna@example.com>\n";
    let output = decode(&["--unparsed"], format!("{LINE}{strange}{foreign}{strange}").as_bytes());
    assert_eq!(code(&output), 0);
    assert_eq!(String::from_utf8_lossy(&output.stdout), strange.repeat(2));
    let expected = "2 of 4 lines are from Postfix, but not understood (smtp 2); please report them\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);

    // A header that nobody thought of.
    let odd = "at=1795486235 host=mx1 text='postfix-out/smtp[7]: 4FCA1803C5: removed'\n";
    let output = decode(&["--unparsed"], format!("{LINE}{odd}{strange}{foreign}").as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{odd}{strange}"));
    let expected =
        "2 of 4 lines are from Postfix, but not understood (smtp 1, unrecognised header 1); please report them\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);

    let output = decode(&["--unparsed"], format!("{LINE}{foreign}").as_bytes());
    assert_eq!(show(&output), "exit 0\n2 lines; all lines of Postfix are understood\n");
}

#[test]
fn decode_says_that_lines_of_postfix_are_not_understood() {
    let strange = "Nov 24 02:10:35 mx1 postfix/smtp[7]: no Postfix ever wrote this\n";
    let foreign = "Nov 24 02:10:35 mx1 dovecot: imap-login: Login: user=<anna@example.com>\n";
    let cri = "2026-11-24T02:10:36.123456789Z stdout F ";
    let removed = "Nov 24 02:10:35 mx1 postfix/qmgr[7]: 4FCA1803C5: removed\n";
    for (arguments, text, records, said) in [
        (&[][..], format!("{LINE}{foreign}"), 2, ""),
        (
            &[],
            format!("{LINE}{strange}{foreign}"),
            3,
            "1 of 3 lines are from Postfix, but not understood (smtp 1); `--unparsed` prints them\n",
        ),
        (
            &["--format", "cri"],
            format!("{removed}{removed}{foreign}"),
            3,
            "2 of 3 lines are from Postfix, but not understood (unrecognised header 2); check that \
             `--format cri` is right for the file\n",
        ),
        (&["--format", "cri"], format!("{cri}{removed}"), 1, ""),
        (
            &["--format", "cri"],
            format!("{cri}{strange}"),
            1,
            "1 of 1 lines are from Postfix, but not understood (smtp 1); `--unparsed` prints them\n",
        ),
    ] {
        let output = decode(arguments, text.as_bytes());
        assert_eq!((code(&output), memchr::memchr_iter(b'\n', &output.stdout).count()), (0, records));
        assert_eq!(String::from_utf8_lossy(&output.stderr), said, "{arguments:?} {text}");
    }
}
