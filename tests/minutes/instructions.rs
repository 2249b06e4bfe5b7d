//! Has a line of the log become more expensive? Instructions are counted, not seconds, so that a busy machine gives the
//! same figure. One test counts those of the release program's `decode`, from the frame to the JSON. The other counts
//! those of `run` for the lines of whole messages, with the joins and without them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Appends the line with a number to a log.
type Append = fn(&mut String, u32);

/// Instructions for a line, measured on `x86_64` with Debian 12's C library. A change that makes a line
/// cheaper, or has a reason to make it dearer, writes the new figures here, and into the message of the commit.
const RECORDED: [(&str, Append, f64); 2] =
    [("a delivery as rsyslog forwards it", rfc3164, 8_170.0), ("the same in RFC 5424", rfc5424, 8_461.0)];

/// Instructions for a line of a message that one client brings and one server takes, with joins and without them: a
/// delivery has more fields with them, and each seven lines give two more records.
const RECORDED_JOINED: [(bool, f64); 2] = [(false, 7_510.0), (true, 17_240.0)];

/// Number of lines of each message.
const LINES_OF_MESSAGE: u32 = 7;

/// Maximum share by which a figure may be above the recorded one: a compiler that is a little newer stays below, a
/// change that matters does not.
const TOLERANCE: f64 = 0.05;

/// Lines of the two logs whose difference is counted, so that what the program does once is not. Both are decoded by
/// one thread.
const LINES: [u32; 2] = [100, 1000];

#[test]
fn a_line_costs_no_more_instructions_than_recorded() {
    if !can_count() {
        return;
    }
    let program = release_program();
    let directory = tempfile::tempdir().expect("a directory");
    let mut dearer = String::new();
    for (what, line, recorded) in RECORDED {
        let [few, many] = LINES.map(|lines| {
            let mut log = String::new();
            (0..lines).for_each(|number| line(&mut log, number));
            let path = directory.path().join("mail.log");
            fs::write(&path, log).expect("a log");
            instructions_of_decode(&program, &path, directory.path())
        });
        let found = (many - few) / f64::from(LINES[1] - LINES[0]);
        if found > recorded * (1.0 + TOLERANCE) {
            let _ = writeln!(dearer, "{what}: {found:.0} instructions for a line, recorded are {recorded:.0}");
        }
    }
    assert!(dearer.is_empty(), "{dearer}");
}

#[test]
fn joined_lines_cost_no_more_instructions_than_recorded() {
    if !can_count() {
        return;
    }
    let program = release_program();
    let directory = tempfile::tempdir().expect("a directory");
    let mut dearer = String::new();
    for (enabled, recorded) in RECORDED_JOINED {
        let [few, many] = LINES.map(|messages| {
            let mut log = String::new();
            (0..messages).for_each(|number| message(&mut log, number));
            let path = directory.path().join("mail.log");
            fs::write(&path, log).expect("a log");
            instructions_of_run(&program, &path, directory.path(), enabled)
        });
        let found = (many - few) / f64::from((LINES[1] - LINES[0]) * LINES_OF_MESSAGE);
        if found > recorded * (1.0 + TOLERANCE) {
            let _ = writeln!(dearer, "joins {enabled}: {found:.0} instructions for a line, recorded are {recorded:.0}");
        }
    }
    assert!(dearer.is_empty(), "{dearer}");
}

/// Returns true if the recorded instructions are those of this machine.
fn can_count() -> bool {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let can = std::env::consts::ARCH == "x86_64" && cpu.contains(" avx2 ");
    if !can {
        skip("the recorded instructions are those of x86_64 with AVX2, which libraries choose when they run");
    }
    can
}

#[expect(clippy::print_stderr, reason = "what is not tested is said aloud")]
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

fn rfc3164(log: &mut String, number: u32) {
    let _ = writeln!(log, "<22>Nov 24 02:10:{:02} mx1 postfix/smtp[{}]: {}", number / 30, 4711, delivery(number));
}

fn rfc5424(log: &mut String, number: u32) {
    let time = format!("2026-11-24T02:10:{:02}.{number:06}+00:00", number / 30);
    let _ = writeln!(log, "<22>1 {time} mx1 postfix/smtp 4711 - - {}", delivery(number));
}

fn delivery(number: u32) -> String {
    format!(
        "4jYR9Q2wTjz{number:04}: to=<user@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1.2, \
         delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9A8B7C6D5E)"
    )
}

/// The program of the release profile, built if it is not there.
pub(crate) fn release_program() -> std::path::PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--bin", "postrider", "--target-dir"]).arg(target);
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
    assert!(built.success(), "the release build failed");
    target.join("release/postrider")
}

/// The lines of a message, and of the session that brings it.
fn message(log: &mut String, number: u32) {
    let queue_id = format!("4jYR9Q2wTjz{number:04}");
    let client = format!("client{number}.example.net[198.51.100.{}]", number % 250);
    let lines = [
        ("smtpd", format!("connect from {client}")),
        ("smtpd", format!("{queue_id}: client={client}")),
        ("cleanup", format!("{queue_id}: message-id=<{number}.20261124@client.example.net>")),
        ("qmgr", format!("{queue_id}: from=<sender{number}@example.net>, size=4711, nrcpt=1 (queue active)")),
        ("smtp", delivery(number)),
        ("qmgr", format!("{queue_id}: removed")),
        ("smtpd", format!("disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")),
    ];
    assert_eq!(lines.len(), LINES_OF_MESSAGE as usize);
    for (line, (daemon, text)) in lines.into_iter().enumerate() {
        let time = format!("2026-11-24T02:{:02}:{:02}.{line:06}+00:00", number / 60, number % 60);
        let _ = writeln!(log, "<22>1 {time} mx1 postfix/{daemon} 4711 - - {text}");
    }
}

/// Returns the instructions of `postrider decode LOG`.
fn instructions_of_decode(program: &Path, log: &Path, directory: &Path) -> f64 {
    let mut decode = valgrind(program, directory);
    let output = decode.arg("decode").arg(log).output().expect(TO_INSTALL);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = memchr::memchr_iter(b'\n', &output.stdout).count();
    let delivered = memchr::memmem::find_iter(&output.stdout, b"\"event\":\"delivery\"").count();
    assert!(records > 0 && records == delivered, "{delivered} deliveries of {records} records");
    counted(directory)
}

/// Returns the instructions of `postrider run` from the standard input to a file, with the joins or without them.
fn instructions_of_run(program: &Path, log: &Path, directory: &Path, enabled: bool) -> f64 {
    let (config, out) = (directory.join("postrider.toml"), directory.join("out.json"));
    let text = format!(
        "[admin]\nlisten = \"none\"\nsocket = \"none\"\n[correlate]\nenabled = {enabled}\ncheckpoint = \"none\"\n[[source.stdin]]\n[[sink.file]]\npath = \"{}\"\n",
        out.display()
    );
    fs::write(&config, text).expect("a configuration");
    let mut run = valgrind(program, directory);
    run.arg("run").arg("-c").arg(config).stdin(fs::File::open(log).expect("the log"));
    let output = run.output().expect(TO_INSTALL);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = fs::read(&out).expect("records");
    let summaries = memchr::memmem::find_iter(&records, b"\"event\":\"message\"").count();
    let lines = memchr::memmem::find_iter(&records, b"\"event\":\"removed\"").count();
    assert!(lines > 0 && summaries == if enabled { lines } else { 0 }, "{summaries} summaries of {lines} messages");
    fs::remove_file(out).expect("records that are counted");
    counted(directory)
}

const TO_INSTALL: &str = "valgrind; to install what tests need: ./dev setup test";

fn valgrind(program: &Path, directory: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    let profile = directory.join("callgrind.out");
    valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())]).arg(program);
    valgrind
}

/// Returns the instructions of the whole run that has ended.
fn counted(directory: &Path) -> f64 {
    let profile = fs::read_to_string(directory.join("callgrind.out")).expect("callgrind's profile");
    let totals = profile.lines().rev().find_map(|line| line.strip_prefix("totals: ")).expect("the totals");
    totals.trim().parse().expect("a number")
}
