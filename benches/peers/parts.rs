//! The measurements, each giving a table in Markdown.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::contestant::{Contestant, POSTRIDER, RSYSLOG, RSYSLOG_PLAIN, SYSLOG_NG, copy_limit};
use super::server::{Cost, Server, number, take_memory, timed, write};
use super::{Found, Options, Result, float, log, median, others, program};

/// A sender that waits less than this part of the time may be what limits the rate.
const LEAST_WAITED: f64 = 0.1;

/// Every program in turn, with one connection.
pub(crate) fn tcp(options: &Options, found: &mut Found) -> Result<String> {
    let log = log::generate(options.lines);
    let first = run(&POSTRIDER, &[&log], options.lines, None)?;
    let mut contestants = vec![POSTRIDER, RSYSLOG, RSYSLOG_PLAIN, SYSLOG_NG];
    let mut failures = String::new();
    for other in others::installed() {
        match run(&other, &[&log], options.lines, None) {
            Ok(_) => contestants.push(other),
            Err(error) => writeln!(failures, "\n{}: not measured: {error}", other.name)?,
        }
    }
    contestants.push(copy_limit(first.record));
    let mut costs = vec![Vec::new(); contestants.len()];
    for _ in 0..options.rounds {
        for (contestant, costs) in contestants.iter().zip(&mut costs) {
            costs.push(run(contestant, &[&log], options.lines, None)?);
        }
    }
    let mut text = format!(
        "## {} lines over one TCP connection, records of {} bytes\n\n\
         | program | lines/s | CPU per line | lines/s of Postrider over it | its CPU over Postrider's | sender waited |\n\
         |---|---|---|---|---|---|\n",
        options.lines, first.record
    );
    let figures = |of: fn(&Cost) -> f64, costs: &[Cost]| median(costs.iter().map(of).collect());
    let (own, own_cpu) = (figures(|cost| cost.seconds, &costs[0]), figures(|cost| cost.cpu, &costs[0]));
    let mut over = Vec::new();
    for (contestant, costs) in contestants.iter().zip(&mut costs) {
        if contestant.fields.is_empty() {
            // As a limit, copying counts with its best run; the others differ by up to five times from it on a virtual
            // machine.
            costs.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
            costs.truncate(1);
        }
        let (seconds, cpu) = (figures(|cost| cost.seconds, costs), figures(|cost| cost.cpu, costs));
        let waited = figures(|cost| cost.waited, costs);
        let limit = if waited < LEAST_WAITED { ", so the sender is the limit" } else { "" };
        writeln!(
            text,
            "| {} | {:.0} | {cpu:.2} µs | {:.2} | {:.2} | {:.0} %{limit} |",
            contestant.name,
            rate(options.lines, seconds),
            seconds / own,
            cpu / own_cpu,
            waited * 100.0,
        )?;
        over.push((seconds / own, cpu / own_cpu));
        found.bars.push((contestant.name, cpu));
    }
    text.push_str(&failures);
    found.rsyslog = Some(over[1]);
    found.copying = Some(1.0 / over[over.len() - 1].1);
    Ok(text)
}

/// Does the number of connections matter, and a second core?
pub(crate) fn connections(options: &Options, found: &mut Found) -> Result<String> {
    let log = log::generate(options.lines);
    let mut text =
        "## Connections and cores\n\n| connections | cores | lines/s | CPU per line |\n|---|---|---|---|\n".to_owned();
    let mut rates = Vec::new();
    for (connections, cores) in [(1, None), (2, Some("0")), (2, None), (10, None), (2000, None)] {
        let parts = divide(&log, connections);
        let costs: Vec<Cost> =
            (0..options.rounds).map(|_| run(&POSTRIDER, &parts, options.lines, cores)).collect::<Result<_>>()?;
        let seconds = median(costs.iter().map(|cost| cost.seconds).collect());
        let cpu = median(costs.iter().map(|cost| cost.cpu).collect());
        let cores = cores.map_or("all, with the sender", |_| "one, the sender has the others");
        rates.push(rate(options.lines, seconds));
        writeln!(text, "| {connections} | {cores} | {:.0} | {cpu:.2} µs |", rate(options.lines, seconds))?;
    }
    found.second_core = Some(rates[2] / rates[1]);
    found.connections = Some(rates[4] / rates[3]);
    Ok(text)
}

/// Is ten times the input ten times the work?
pub(crate) fn growth(options: &Options, found: &mut Found) -> Result<String> {
    let mut text =
        "## Ten times the input\n\n| command | lines | seconds | CPU per line |\n|---|---|---|---|\n".to_owned();
    let mut times = Vec::new();
    for lines in [options.lines / 10, options.lines] {
        let log = log::generate(lines);
        let costs: Vec<Cost> =
            (0..options.rounds).map(|_| run(&POSTRIDER, &[&log], lines, None)).collect::<Result<_>>()?;
        let seconds = median(costs.iter().map(|cost| cost.seconds).collect());
        let cpu = median(costs.iter().map(|cost| cost.cpu).collect());
        times.push(seconds);
        writeln!(text, "| run | {lines} | {seconds:.3} | {cpu:.2} µs |")?;
    }
    for lines in [options.lines / 10, options.lines] {
        let (cpu, seconds) = decoded(&log::generate(lines), options.rounds)?;
        let each = cpu * 1e6 / float(lines);
        times.push(seconds);
        writeln!(text, "| decode | {lines} | {seconds:.3} | {each:.2} µs |")?;
    }
    found.growth = Some((times[1] / times[0], times[3] / times[2]));
    Ok(text)
}

/// How much memory does it need?
pub(crate) fn memory(options: &Options, found: &mut Found) -> Result<String> {
    const IDLE: usize = 1000;
    let mut server = Server::start(&POSTRIDER, None)?;
    thread::sleep(Duration::from_secs(1));
    let rest = server.memory("VmRSS")?;
    let sockets: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(("127.0.0.1", server.port))).collect::<std::io::Result<_>>()?;
    thread::sleep(Duration::from_secs(1));
    let idle = server.memory("VmRSS")?.saturating_sub(rest);
    drop(sockets);
    server.stop()?;
    let load = run(&POSTRIDER, &[&log::generate(options.lines)], options.lines, None)?.memory;
    let mib = |kib: u64| float(kib as usize) / 1024.0;
    let each = float(idle as usize) / float(IDLE);
    found.memory = Some((mib(rest), mib(load), each));
    Ok(format!(
        "## Memory\n\n| when | memory |\n|---|---|\n| at rest | {:.1} MiB |\n| under full load, one connection, at most | {:.1} MiB |\n\
         | for each of {IDLE} idle connections | {each:.1} KiB |\n",
        mib(rest),
        mib(load),
    ))
}

/// How fast is a file decoded?
pub(crate) fn decode(options: &Options, found: &mut Found) -> Result<String> {
    // 1 GB for a million lines.
    let log = log::generate(options.lines * 9 / 2);
    let (cpu, seconds) = decoded(&log, options.rounds)?;
    let megabytes = float(log.len()) / 1e6;
    let rate = megabytes / seconds;
    see_order(options.lines)?;
    found.decode = Some(rate);
    Ok(format!(
        "## decode\n\n| input | seconds | MB/s of input | CPU |\n|---|---|---|---|\n\
         | {megabytes:.0} MB | {seconds:.2} | {rate:.0} | {cpu:.2} s |\n\n\
         The records of {} lines came in their order.\n",
        options.lines
    ))
}

/// That `decode` gives a record for each line, in the order of the lines.
fn see_order(lines: usize) -> Result<()> {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let file = write(directory.path(), "mail.log", &log::generate(lines))?;
    let mut decode = Command::new(program());
    let mut child = decode.arg("decode").arg(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = BufReader::with_capacity(1 << 20, child.stdout.take().ok_or("no standard output")?);
    let mut count = 0;
    for record in output.split(b'\n') {
        if number(&record?) != Some(count) {
            child.kill()?;
            child.wait()?;
            return Err(format!("the record of line {count} is not in its place").into());
        }
        count += 1;
    }
    child.wait()?;
    if count == lines { Ok(()) } else { Err(format!("decode gave {count} records for {lines} lines").into()) }
}

/// The CPU time and the time that `decode` takes for a file, in seconds.
fn decoded(log: &[u8], rounds: usize) -> Result<(f64, f64)> {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let file = write(directory.path(), "mail.log", log)?;
    let runs = (0..rounds)
        .map(|_| timed(Command::new(program()).arg("decode").arg(&file).stdout(Stdio::null()).stderr(Stdio::null())))
        .collect::<Result<Vec<_>>>()?;
    let (cpu, seconds) = runs.into_iter().unzip();
    Ok((median(cpu), median(seconds)))
}

fn run(contestant: &Contestant, parts: &[&[u8]], lines: usize, cores: Option<&str>) -> Result<Cost> {
    take_memory(lines)?;
    Server::start(contestant, cores)?.measure(contestant, parts, lines)
}

/// The log in this number of parts, of whole lines.
fn divide(log: &[u8], parts: usize) -> Vec<&[u8]> {
    let mut rest = log;
    let mut divided = Vec::new();
    for left in (1..=parts).rev() {
        let target = rest.len() / left;
        let end = if left == 1 {
            rest.len()
        } else {
            memchr::memchr(b'\n', &rest[target..]).map_or(rest.len(), |at| target + at + 1)
        };
        let part;
        (part, rest) = rest.split_at(end);
        divided.push(part);
    }
    divided
}

fn rate(lines: usize, seconds: f64) -> f64 {
    float(lines) / seconds
}
