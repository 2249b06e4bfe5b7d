//! What do the joins of messages and sessions cost, on a log of whole mail systems?

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::mail::{MailHeader, MailHistory};

use super::server::{timed, write};
use super::{Found, Options, Result, float, median, program};

/// Number of connections and local submissions for each history of the log. About eight lines come of each.
const ARRIVALS: u32 = 4000;

/// The same lines with the joins and without them, from the standard input to a file.
pub(crate) fn measure(options: &Options, found: &mut Found) -> Result<String> {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let (log, lines) = generate(options.lines);
    let log = write(directory.path(), "mail.log", &log)?;
    let mut text =
        format!("## {lines} lines of whole mail systems\n\n| joins | lines/s | CPU per line |\n|---|---|---|\n");
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (enabled, costs) in [false, true].into_iter().zip(&mut costs) {
            costs.push(run(directory.path(), &log, enabled)?);
        }
    }
    let mut figures = Vec::new();
    for (name, costs) in ["off", "on"].into_iter().zip(costs) {
        let (cpu, seconds): (Vec<f64>, Vec<f64>) = costs.into_iter().unzip();
        let (cpu, rate) = (median(cpu) * 1e6 / float(lines), float(lines) / median(seconds));
        writeln!(text, "| {name} | {rate:.0} | {cpu:.2} µs |")?;
        figures.push((cpu, rate));
    }
    found.joins = Some((figures[1].0 / figures[0].0, figures[1].1 / figures[0].1));
    Ok(text)
}

/// Returns at least this number of lines of several mail systems, and how many there are.
fn generate(least: usize) -> (Vec<u8>, usize) {
    let (mut log, mut lines) = (Vec::new(), 0);
    for seed in 0.. {
        if lines >= least {
            break;
        }
        let history = MailHistory::random(fastrand::Rng::with_seed(seed), ARRIVALS);
        for line in &history.lines {
            // Each history is of other hosts.
            let text =
                history.text(line, MailHeader::Rfc5424).replacen(".example.com ", &format!(".s{seed}.example "), 1);
            log.extend_from_slice(text.as_bytes());
            log.push(b'\n');
        }
        lines += history.lines.len();
    }
    (log, lines)
}

/// Returns the CPU time and the time of one run, in seconds.
fn run(directory: &Path, log: &Path, enabled: bool) -> Result<(f64, f64)> {
    let out = directory.join("out.json");
    let config = format!(
        "[correlate]\nenabled = {enabled}\n[[source.stdin]]\n[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n",
        out.display()
    );
    let config = write(directory, "postrider.toml", config.as_bytes())?;
    let mut command = Command::new(program());
    command.arg("run").arg("-c").arg(config).stdin(File::open(log)?).stdout(Stdio::null()).stderr(Stdio::null());
    let cost = timed(&mut command)?;
    std::fs::remove_file(out)?;
    Ok(cost)
}
