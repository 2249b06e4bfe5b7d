//! Python with DuckDB and pandas, from PyPI.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Runs a Python program, which must end well, and gives what it printed. `None` where its packages cannot be had,
/// which is said aloud: a machine without PyPI may have all other peers.
#[track_caller]
pub fn run(program: &str, arguments: &[&OsStr]) -> Option<String> {
    let mut python = Command::new(python()?);
    // Its own directory leads to what it imports.
    let path = crate::root().join("tests").join(program);
    let output = python.arg("-B").arg(path).args(arguments).env("TZ", "UTC").output().expect("Python runs");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {printed}{said}");
    Some(printed.into_owned())
}

/// The interpreter, fetched when it is missing.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(fetch).as_deref()
}

#[expect(clippy::print_stderr, reason = "what is not tested is said aloud")]
fn fetch() -> Option<PathBuf> {
    let target = crate::target_directory();
    let directory = target.join("peers/python");
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/python/fetch")).arg(&directory).output();
    let output = output.expect("crates/testkit/src/python/fetch can be run");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("SKIPPED: no DuckDB and pandas; to install what tests need: ./dev setup test\n{said}");
        return None;
    }
    Some(directory.join("venv/bin/python"))
}
