//! The results of the bench, and its aims.

use std::fmt::Write as _;

use super::Result;

/// The results that have an aim; none for a part that was not measured.
#[derive(Default)]
pub(crate) struct Found {
    /// The programs and their CPU time for a line, in microseconds.
    pub(crate) bars: Vec<(&'static str, f64)>,
    /// Lines a second over those of rsyslog that does the same, and its CPU time over Postrider's.
    pub(crate) rsyslog: Option<(f64, f64)>,
    /// CPU time over that of copying.
    pub(crate) copying: Option<f64>,
    /// The rate of datagrams over that of rsyslog that does the same.
    pub(crate) udp: Option<f64>,
    /// Records a second over those of kcat, and over those of the librdkafka that Postrider has.
    pub(crate) kafka: Option<(f64, f64)>,
    /// MiB at rest and under load, and KiB for an idle connection.
    pub(crate) memory: Option<(f64, f64, f64)>,
    /// Lines a second with 2,000 connections over those with 10.
    pub(crate) connections: Option<f64>,
    /// Times of ten times the input over those of the input, for `run` and `decode`.
    pub(crate) growth: Option<(f64, f64)>,
    /// Lines a second with all cores over those with one.
    pub(crate) second_core: Option<f64>,
    /// MB a second.
    pub(crate) decode: Option<f64>,
    /// CPU time and lines a second with the joins over those without.
    pub(crate) joins: Option<(f64, f64)>,
    /// The 99th percentile and the longest time without a line, in milliseconds.
    pub(crate) latency: Option<(f64, f64)>,
}

impl Found {
    /// A table of the aims, each with what was found.
    pub(crate) fn against_aims(&self) -> Result<String> {
        let rows = [
            ("10 times the lines/s of rsyslog with mmnormalize, 1/12 of its CPU", self.rsyslog.map(rsyslog)),
            (
                "at most 2.2 times the CPU of copying",
                self.copying.map(|times| (format!("{times:.1} times"), times <= 2.2)),
            ),
            (
                "UDP at twice the rate of imudp without loss",
                self.udp.map(|times| (format!("{times:.2} times"), times >= 2.0)),
            ),
            ("Kafka within 15 % of kcat", self.kafka.map(kafka)),
            (
                "12 MiB at rest, 64 MiB under load, 32 KiB for an idle connection; 2,000 connections within 20 % of 10",
                self.memory.zip(self.connections).map(memory),
            ),
            (
                "ten times the input in ten times the time; two cores 1.7 times one",
                self.growth.zip(self.second_core).map(growth),
            ),
            (
                "`decode` at 600 MB/s, in the order of the lines",
                self.decode.map(|rate| (format!("{rate:.0} MB/s, in order"), rate >= 600.0)),
            ),
            ("joins with at most 1.25 times the CPU, at 0.8 of the lines/s", self.joins.map(joins)),
            ("p99 below 10 ms under half load, no stall over 100 ms", self.latency.map(latency)),
        ];
        let mut text = "## Against what was aimed at\n\n| aim | found | met |\n|---|---|---|\n".to_owned();
        for (aim, found) in rows {
            let (found, met) = match found {
                None => ("not measured in this run".to_owned(), "–"),
                Some((found, true)) => (found, "yes"),
                Some((found, false)) => (found, "no"),
            };
            writeln!(text, "| {aim} | {found} | {met} |")?;
        }
        Ok(text)
    }
}

fn rsyslog((rate, cpu): (f64, f64)) -> (String, bool) {
    (format!("{rate:.1} times, and 1/{cpu:.1} of the CPU"), rate >= 10.0 && cpu >= 12.0)
}

fn kafka((kcat, librdkafka): (f64, f64)) -> (String, bool) {
    (format!("{kcat:.2} of its rate; {librdkafka:.2} of that of the same librdkafka alone"), kcat >= 0.85)
}

fn memory(((rest, load, idle), connections): ((f64, f64, f64), f64)) -> (String, bool) {
    (
        format!("{rest:.1} MiB, {load:.1} MiB, {idle:.1} KiB; {connections:.2} of the rate with 10"),
        rest <= 12.0 && load <= 64.0 && idle <= 32.0 && connections >= 0.8,
    )
}

/// A tenth more is noise.
fn growth(((run, decode), cores): ((f64, f64), f64)) -> (String, bool) {
    (
        format!("{run:.1} times in `run`, {decode:.1} in `decode`; {cores:.2} times"),
        run.max(decode) <= 11.0 && cores >= 1.7,
    )
}

fn joins((cpu, rate): (f64, f64)) -> (String, bool) {
    (format!("{cpu:.2} times, {rate:.2} of the lines/s"), cpu <= 1.25 && rate >= 0.8)
}

fn latency((p99, stall): (f64, f64)) -> (String, bool) {
    (format!("{p99:.1} ms, {stall:.1} ms"), p99 < 10.0 && stall <= 100.0)
}
