//! Has a line of the log become more expensive? Instructions are counted, not seconds, so that a busy machine gives the
//! same figure. The test counts those of the release program's `decode`, from the frame to the JSON.

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

/// Maximum share by which a figure may be above the recorded one: a compiler that is a little newer stays below, a
/// change that matters does not.
const TOLERANCE: f64 = 0.05;

/// Lines of the two logs whose difference is counted, so that what the program does once is not. Both are decoded by
/// one thread.
const LINES: [u32; 2] = [100, 1000];

#[test]
fn a_line_costs_no_more_instructions_than_recorded() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if std::env::consts::ARCH != "x86_64" || !cpu.contains(" avx2 ") {
        skip("the recorded instructions are those of x86_64 with AVX2, which libraries choose when they run");
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
            instructions(&program, &path, directory.path())
        });
        let found = (many - few) / f64::from(LINES[1] - LINES[0]);
        if found > recorded * (1.0 + TOLERANCE) {
            let _ = writeln!(dearer, "{what}: {found:.0} instructions for a line, recorded are {recorded:.0}");
        }
    }
    assert!(dearer.is_empty(), "{dearer}");
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

/// The instructions of a whole run.
fn instructions(program: &Path, log: &Path, directory: &Path) -> f64 {
    let profile = directory.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())]);
    let output = valgrind.arg(program).arg("decode").arg(log).output();
    let output = output.expect("valgrind; to install what tests need: ./dev setup test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = memchr::memchr_iter(b'\n', &output.stdout).count();
    let delivered = memchr::memmem::find_iter(&output.stdout, b"\"event\":\"delivery\"").count();
    assert!(records > 0 && records == delivered, "{delivered} deliveries of {records} records");
    let profile = fs::read_to_string(profile).expect("callgrind's profile");
    let totals = profile.lines().rev().find_map(|line| line.strip_prefix("totals: ")).expect("the totals");
    totals.trim().parse().expect("a number")
}
