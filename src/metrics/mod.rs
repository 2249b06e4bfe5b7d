//! The metrics of the daemon, for Prometheus: a snapshot as text, in either of the two formats that scrapers read.
//!
//! Each metric is one row of a table (`daemon.rs`, `source.rs`, `sink.rs`, `mail.rs`). The text is made from the rows,
//! and so is the table in `docs/admin.md`. There is no second set of counters: a row reads the snapshot. The labels are
//! names in the configuration and closed sets of words; a series ends when the snapshot no longer has its source or
//! sink.

mod daemon;
mod format;
mod mail;
mod sink;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

pub use self::format::MetricsFormat;
use self::sink::SinkSeries;
use self::source::SourceSeries;
use crate::ledger::{ByReason, Reason};
use crate::mail_counts::DelayCounts;
use crate::status::Snapshot;

/// Returns the metrics of a snapshot as text.
#[expect(clippy::missing_panics_doc, reason = "a String takes everything")]
pub fn text(snapshot: Snapshot, format: MetricsFormat) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(snapshot)));
    let mut written = String::new();
    let result = match format {
        MetricsFormat::Prometheus => prometheus_text::encode(&mut written, &registry),
        MetricsFormat::OpenMetrics => text::encode(&mut written, &registry),
    };
    result.expect("a String takes everything");
    written
}

/// A snapshot that is written as metrics.
#[derive(Debug)]
struct Scrape(Snapshot);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(snapshot) = self;
        write_all(daemon::METRICS, std::slice::from_ref(snapshot), &mut encoder)?;
        write_all(source::METRICS, &series::<_, SourceSeries>(&snapshot.sources), &mut encoder)?;
        write_all(sink::METRICS, &series::<_, SinkSeries>(&snapshot.sinks), &mut encoder)?;
        write_all(mail::METRICS, std::slice::from_ref(&snapshot.mail), &mut encoder)
    }
}

/// A thing that has metrics.
trait Measured {
    /// Names of the labels that tell it from others of its type.
    const LABELS: &'static [&'static str] = &[];

    /// Returns the values of these labels.
    fn label_values(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// The sources, or the sinks, with the same labels. Together they are one series: a scraper refuses a series that it
/// finds twice.
trait PartSeries: Measured {
    /// Adds one of an earlier configuration.
    fn add(&mut self, earlier: Self);
}

/// Returns the series of sources or sinks, of which those in use come first.
fn series<'p, P: 'p, S: PartSeries + From<&'p P>>(parts: &'p [P]) -> Vec<S> {
    let mut all: Vec<S> = Vec::new();
    for new in parts.iter().map(S::from) {
        match all.iter_mut().find(|one| one.label_values() == new.label_values()) {
            Some(one) => one.add(new),
            None => all.push(new),
        }
    }
    all
}

/// A metric of things of one type.
#[derive(Debug)]
struct Metric<T> {
    /// Name without its unit, and without the ending that its type gives it.
    name: &'static str,
    unit: Option<&'static Unit>,
    value: MetricValue<T>,
    /// Meaning, as one sentence.
    help: &'static str,
}

/// Values by a label, each with the word in the label.
type ByWord<V> = Vec<(&'static str, V)>;
/// Counts by two labels, each with the words in them.
type ByTwoWords = Vec<([&'static str; 2], u64)>;

/// How the value of a metric is read. A gauge without a value has no series.
#[derive(Debug)]
enum MetricValue<T> {
    Counter(fn(&T) -> u64),
    CounterBy(&'static str, fn(&T) -> ByWord<u64>),
    CounterByTwo([&'static str; 2], fn(&T) -> ByTwoWords),
    /// Histograms of delays by their stage.
    Delays(fn(&T) -> [DelayCounts; 4]),
    Gauge(fn(&T) -> Option<u64>),
    GaugeBy(&'static str, fn(&T) -> ByWord<bool>),
    /// A gauge with a time, in seconds since 1970.
    Time(fn(&T) -> Option<Timestamp>),
    /// Texts as labels of a gauge that is always 1.
    Info(&'static [&'static str], fn(&T) -> Vec<&'static str>),
}

use MetricValue::{Counter, CounterBy, CounterByTwo, Delays, Gauge, GaugeBy, Info, Time};

impl<T> Metric<T> {
    const fn new(name: &'static str, value: MetricValue<T>, help: &'static str) -> Self {
        Self { name, unit: None, value, help }
    }

    const fn bytes(name: &'static str, value: MetricValue<T>, help: &'static str) -> Self {
        Self { name, unit: Some(&Unit::Bytes), value, help }
    }

    const fn seconds(name: &'static str, value: MetricValue<T>, help: &'static str) -> Self {
        Self { name, unit: Some(&Unit::Seconds), value, help }
    }

    const fn kind(&self) -> MetricType {
        match self.value {
            Counter(_) | CounterBy(..) | CounterByTwo(..) => MetricType::Counter,
            Delays(_) => MetricType::Histogram,
            Gauge(_) | GaugeBy(..) | Time(_) => MetricType::Gauge,
            Info(..) => MetricType::Info,
        }
    }
}

/// Writes each metric with its series, one for each of `things` at least.
fn write_all<T: Measured>(metrics: &[Metric<T>], things: &[T], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for metric in metrics {
        let Metric { name, unit, help, .. } = metric;
        let mut encoder = encoder.encode_descriptor(name, help, *unit, metric.kind())?;
        for thing in things {
            metric.write(thing, &mut encoder)?;
        }
    }
    Ok(())
}

impl<T: Measured> Metric<T> {
    fn write(&self, thing: &T, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let own: Vec<_> = T::LABELS.iter().copied().zip(thing.label_values()).collect();
        let with = |label: &'static str, word: &'static str| [&own[..], &[(label, word)]].concat();
        match self.value {
            Counter(read) => counter(encoder, &own, read(thing)),
            CounterBy(label, read) => {
                read(thing).into_iter().try_for_each(|(word, count)| counter(encoder, &with(label, word), count))
            }
            CounterByTwo([one, other], read) => read(thing)
                .into_iter()
                .try_for_each(|([a, b], count)| counter(encoder, &[&own[..], &[(one, a), (other, b)]].concat(), count)),
            Delays(read) => {
                read(thing).iter().try_for_each(|delays| histogram(encoder, &with("stage", delays.stage), delays))
            }
            Gauge(read) => read(thing).map_or(Ok(()), |value| encoder.encode_family(&own)?.encode_gauge(&value)),
            GaugeBy(label, read) => read(thing).into_iter().try_for_each(|(word, is_so)| {
                encoder.encode_family(&with(label, word))?.encode_gauge(&u64::from(is_so))
            }),
            Time(read) => read(thing)
                .map_or(Ok(()), |at| encoder.encode_family(&own)?.encode_gauge(&at.as_duration().as_secs_f64())),
            Info(labels, read) => encoder.encode_info(&labels.iter().copied().zip(read(thing)).collect::<Vec<_>>()),
        }
    }
}

fn counter(encoder: &mut MetricEncoder<'_>, labels: &Vec<(&str, &str)>, count: u64) -> fmt::Result {
    encoder.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn histogram(encoder: &mut MetricEncoder<'_>, labels: &Vec<(&str, &str)>, delays: &DelayCounts) -> fmt::Result {
    let seconds = |millis| Duration::from_millis(millis).as_secs_f64();
    let buckets = delays.buckets.map(|(limit, count)| (limit.map_or(f64::INFINITY, seconds), count));
    let (sum, count) = (seconds(delays.sum), delays.count());
    encoder.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

/// Returns the count of each reason, also of those that are zero: a series that begins with its first drop would hide
/// it from `rate()`.
fn by_reason(dropped: &ByReason) -> ByWord<u64> {
    Reason::ALL.into_iter().map(Reason::name).zip(*dropped).collect()
}

/// Joins two values, of which either may be missing.
fn both<V>(one: Option<V>, other: Option<V>, join: impl Fn(V, V) -> V) -> Option<V> {
    match (one, other) {
        (Some(one), Some(other)) => Some(join(one, other)),
        (one, other) => one.or(other),
    }
}
