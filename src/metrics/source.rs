//! The metrics of each source.

use super::MetricValue::{Counter, CounterBy, Gauge};
use super::{ByWord, Measured, Metric, PartSeries, both, by_reason};
use crate::ledger::SourceCounts;
use crate::status::SourceStatus;

/// The sources with one name and kind: that of the configuration, and those of earlier ones whose connections live on.
#[derive(Debug)]
pub(super) struct SourceSeries {
    name: String,
    kind: &'static str,
    counts: SourceCounts,
    is_ready: Option<bool>,
}

impl From<&SourceStatus> for SourceSeries {
    fn from(source: &SourceStatus) -> Self {
        let SourceStatus { name, kind, counts, .. } = source;
        let is_ready = source.readiness().map(|part| part.reason.is_none());
        Self { name: name.clone(), kind, counts: *counts, is_ready }
    }
}

impl PartSeries for SourceSeries {
    fn add(&mut self, earlier: Self) {
        self.counts += earlier.counts;
        self.is_ready = both(self.is_ready, earlier.is_ready, |a, b| a && b);
    }
}

impl Measured for SourceSeries {
    const LABELS: &'static [&'static str] = &["source", "kind"];

    fn label_values(&self) -> Vec<&str> {
        vec![&self.name, self.kind]
    }
}

pub(super) const METRICS: &[Metric<SourceSeries>] = &[
    Metric::new(
        "postrider_source_ready",
        Gauge(|of| of.is_ready.map(u64::from)),
        "1 if the source reads, or has come to the end of its input; no series after a reload has removed it.",
    ),
    Metric::new(
        "postrider_source_received_messages",
        Counter(|of| of.counts.received),
        "Messages that the source has read.",
    ),
    Metric::bytes(
        "postrider_source_received",
        Counter(|of| of.counts.received_bytes),
        "Size of the messages that the source has read.",
    ),
    Metric::new(
        "postrider_source_truncated_messages",
        Counter(|of| of.counts.truncated),
        "Messages that were cut at the size limit, or whose connection ended in their middle.",
    ),
    Metric::new(
        "postrider_source_dropped_messages",
        CounterBy("reason", |of| by_reason(&of.counts.dropped)),
        "Messages that reached no sink.",
    ),
    Metric::new(
        "postrider_source_waiting_messages",
        Gauge(|of| Some(of.counts.waiting)),
        "Messages that wait for room in the queue of a sink.",
    ),
    Metric::new(
        "postrider_source_kernel_dropped_datagrams",
        Counter(|of| of.counts.kernel_drops),
        "Datagrams that the kernel dropped before Postrider could read them; not among those received.",
    ),
    Metric::new(
        "postrider_source_connections_opened",
        Counter(|of| of.counts.connections),
        "Connections that the source has accepted.",
    ),
    Metric::new(
        "postrider_source_connections_closed",
        CounterBy("reason", closed),
        "Connections that Postrider closed, and not their peer.",
    ),
    Metric::new(
        "postrider_source_errors",
        Counter(|of| of.counts.errors),
        "Failed calls of accept or receive, failed connections, failed TLS handshakes, damaged compressed files.",
    ),
];

/// Returns the connections by the reason for closing them. The words are those of the ledger.
fn closed(of: &SourceSeries) -> ByWord<u64> {
    let SourceCounts {
        connections_refused,
        connections_refused_per_peer,
        connections_idle,
        connections_denied,
        proxy_errors,
        ..
    } = of.counts;
    vec![
        ("refused", connections_refused),
        ("refused_per_peer", connections_refused_per_peer),
        ("idle", connections_idle),
        ("denied", connections_denied),
        ("proxy_error", proxy_errors),
    ]
}
