//! What does Postrider cost beside what its users would run instead? Every program gets the same log over one TCP connection,
//! in turn, and has to write every record of it to a file.
//!
//! ```sh
//! ./dev bench                             all of it, on a machine that does nothing else
//! ./dev bench --only tcp --lines 100000   a part of it
//! ```
//!
//! `--lines N` of the log (1,000,000), `--rounds N` of each measurement (3), `--only PART,…` of `tcp`, `udp`, `kafka`,
//! `connections`, `growth`, `latency`, `memory` and `decode`. Files lie in /dev/shm, so that no disk is measured. The figures are
//! medians.

mod contestant;
mod found;
mod kafka;
mod latency;
mod log;
mod parts;
#[path = "../../tests/peers/mod.rs"]
mod peers;
mod role;
mod server;
mod udp;

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use found::Found;

/// A measurement, which gives a table.
type Part = fn(&Options, &mut Found) -> Result<String>;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured.
struct Options {
    lines: usize,
    rounds: usize,
    only: Option<String>,
}

fn main() -> Result<()> {
    if role::play()? {
        return Ok(());
    }
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let options = options(&arguments)?;
    let parts: [(&str, Part); 8] = [
        ("tcp", parts::tcp),
        ("udp", udp::measure),
        ("kafka", kafka::measure),
        ("connections", parts::connections),
        ("growth", parts::growth),
        ("latency", latency::measure),
        ("memory", parts::memory),
        ("decode", parts::decode),
    ];
    let mut out = std::io::stdout();
    let mut found = Found::default();
    for (name, part) in parts {
        if options.only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == name)) {
            writeln!(out, "{}", part(&options, &mut found)?)?;
        }
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options { lines: 1_000_000, rounds: 3, only: None };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--lines" => options.lines = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--only" => options.only = Some(value.clone()),
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}

/// The program that is measured: that of this build, or the one that `POSTRIDER` names.
fn program() -> PathBuf {
    env::var_os("POSTRIDER").map_or_else(|| env!("CARGO_BIN_EXE_postrider").into(), PathBuf::from)
}

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
