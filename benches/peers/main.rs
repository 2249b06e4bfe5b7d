//! What does Postrider cost beside what its users would run instead? Every program gets the same log, in turn, and has
//! to write every record of it to a file, or to Kafka.
//!
//! ```sh
//! ./dev bench                             all of it, on a machine that does nothing else
//! ./dev bench --only tcp --lines 100000   a part of it
//! ./dev bench --write                     all of it, into RESULTS.md and results.svg
//! ```
//!
//! `--lines N` of the log (1,000,000), `--rounds N` of each measurement (3), `--only PART,…` of `tcp`, `udp`, `kafka`,
//! `connections`, `growth`, `latency`, `memory`, `decode` and `joins`. Files lie in /dev/shm, so that no disk is
//! measured. The figures are medians; of copying it is the best run, as that is a limit.
//!
//! Vector and Fluent Bit take part over TCP where they are on PATH.

mod contestant;
pub(crate) mod found;
mod joins;
mod kafka;
mod latency;
mod log;
mod others;
mod parts;
pub(crate) mod report;
mod role;
mod sender;
mod server;
mod udp;

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use found::Found;

/// A measurement, which gives a table.
type Part = fn(&Options, &mut Found) -> Result<String>;

const PARTS: [(&str, Part); 9] = [
    ("tcp", parts::tcp),
    ("udp", udp::measure),
    ("kafka", kafka::measure),
    ("connections", parts::connections),
    ("growth", parts::growth),
    ("latency", latency::measure),
    ("memory", parts::memory),
    ("decode", parts::decode),
    ("joins", joins::measure),
];

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The selection of measurements.
struct Options {
    lines: usize,
    rounds: usize,
    /// Parts, where it is not all of them.
    only: Vec<String>,
    /// Whether the figures are published.
    write: bool,
}

fn main() -> Result<()> {
    if play()? {
        return Ok(());
    }
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    run(&arguments, &mut std::io::stdout())
}

/// Plays the role that this process was started for, if it was.
pub(crate) fn play() -> Result<bool> {
    role::play()
}

/// Measures what the arguments say.
pub(crate) fn run(arguments: &[String], out: &mut impl Write) -> Result<()> {
    let options = options(arguments)?;
    let mut measured = report::circumstances(arguments)?;
    writeln!(out, "{measured}")?;
    let mut found = Found::default();
    for (_, part) in PARTS.iter().filter(|(name, _)| options.only.is_empty() || options.only.iter().any(|o| o == name))
    {
        let table = part(&options, &mut found)?;
        writeln!(out, "{table}")?;
        write!(measured, "\n{table}")?;
    }
    let table = found.against_aims()?;
    writeln!(out, "{table}")?;
    write!(measured, "\n{table}")?;
    if options.write {
        report::write(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches")), &measured, &found)?;
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options { lines: 1_000_000, rounds: 3, only: Vec::new(), write: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--write" {
            options.write = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--lines" => options.lines = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    if let Some(unknown) = options.only.iter().find(|only| PARTS.iter().all(|(name, _)| name != only)) {
        return Err(format!("unknown part {unknown}").into());
    }
    if options.write && !options.only.is_empty() {
        return Err("--write is for all parts: what --only leaves out would be lost".into());
    }
    Ok(options)
}

/// The program that is measured: that of this build, or the one that `POSTRIDER` names.
fn program() -> PathBuf {
    env::var_os("POSTRIDER").map_or_else(|| env!("CARGO_BIN_EXE_postrider").into(), PathBuf::from)
}

/// A command whose program finds its own libraries: cargo names the directories of those that it has built, and kcat
/// would take the librdkafka there.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
