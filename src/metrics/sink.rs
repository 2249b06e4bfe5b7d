//! The metrics of each sink, with its queue and its spool.

use jiff::Timestamp;

use super::MetricValue::{Counter, CounterBy, Gauge, GaugeBy, Time};
use super::{Measured, Metric, PartSeries, both, by_reason};
use crate::ledger::SinkCounts;
use crate::status::{OutageStatus, Queue, SinkState, SinkStatus, SpoolStatus, StallKind, StalledSink};

/// The sinks with one name and kind: that of the configuration, and those of earlier ones that still deliver.
#[derive(Debug)]
pub(super) struct SinkSeries {
    name: String,
    kind: &'static str,
    counts: SinkCounts,
    is_ready: Option<bool>,
    /// The queue of the sink that receives records.
    queue: Option<Queue>,
    /// Number of sources that wait for room.
    waiting: usize,
    stall: Option<StallKind>,
    outage: Option<Timestamp>,
    spool: Option<SpoolSeries>,
}

/// The spool of a sink.
#[derive(Clone, Copy, Debug)]
struct SpoolSeries {
    limit: u64,
    outage: Option<Timestamp>,
}

impl From<&SinkStatus> for SinkSeries {
    fn from(sink: &SinkStatus) -> Self {
        let SinkStatus { name, kind, state, stall, outage, waiting, spool, counts, .. } = sink;
        let since = |outage: &Option<OutageStatus>| outage.as_ref().map(|outage| outage.since);
        Self {
            name: name.clone(),
            kind,
            counts: *counts,
            is_ready: sink.readiness().map(|part| part.reason.is_none()),
            queue: match *state {
                SinkState::Running(queue) => Some(queue),
                SinkState::Leaving | SinkState::Ended => None,
            },
            waiting: waiting.len(),
            stall: stall.map(|StalledSink { kind, .. }| kind),
            outage: since(outage),
            spool: spool
                .as_ref()
                .map(|SpoolStatus { limit, outage, .. }| SpoolSeries { limit: *limit, outage: since(outage) }),
        }
    }
}

impl PartSeries for SinkSeries {
    /// The queue, the stall and the spool are those of the sink in use, which comes first.
    fn add(&mut self, earlier: Self) {
        let Self { name: _, kind: _, counts, is_ready, queue, waiting, stall, outage, spool } = earlier;
        self.counts += counts;
        self.waiting = self.waiting.max(waiting);
        self.is_ready = both(self.is_ready, is_ready, |a, b| a && b);
        self.outage = both(self.outage, outage, Timestamp::min);
        (self.queue, self.stall) = (self.queue.or(queue), self.stall.or(stall));
        self.spool = self.spool.or(spool);
    }
}

impl Measured for SinkSeries {
    const LABELS: &'static [&'static str] = &["sink", "kind"];

    fn label_values(&self) -> Vec<&str> {
        vec![&self.name, self.kind]
    }
}

pub(super) const METRICS: &[Metric<SinkSeries>] = &[
    Metric::new(
        "postrider_sink_ready",
        Gauge(|of| of.is_ready.map(u64::from)),
        "1 if records leave the queue, to the destination or the spool; no series after a reload has removed the sink.",
    ),
    Metric::new(
        "postrider_sink_offered_records",
        Counter(|of| of.counts.offered),
        "Records that were passed to the filter of the sink.",
    ),
    Metric::new(
        "postrider_sink_filtered_records",
        Counter(|of| of.counts.filtered),
        "Records that the filter does not let through.",
    ),
    Metric::new(
        "postrider_sink_delivered_records",
        Counter(|of| of.counts.delivered),
        "Records that the destination has.",
    ),
    Metric::bytes(
        "postrider_sink_delivered",
        Counter(|of| of.counts.delivered_bytes),
        "Size of the records that the destination has.",
    ),
    Metric::new(
        "postrider_sink_dropped_records",
        CounterBy("reason", |of| by_reason(&of.counts.dropped)),
        "Records that the destination will never get.",
    ),
    Metric::new("postrider_sink_retries", Counter(|of| of.counts.retries), "Failed attempts that are repeated."),
    Metric::new(
        "postrider_sink_in_flight_records",
        Gauge(|of| Some(of.counts.in_flight)),
        "Records in the queue, or with the destination without an answer.",
    ),
    Metric::new(
        "postrider_sink_unaccounted_records",
        Gauge(|of| Some(of.counts.unaccounted())),
        "Records by which the counts differ: 0 while nothing moves, and small while records move.",
    ),
    Metric::bytes(
        "postrider_sink_queue",
        Gauge(|of| of.queue.map(|queue| queue.bytes as u64)),
        "Bytes in the queue, with those that the sink has taken and not delivered.",
    ),
    Metric::bytes(
        "postrider_sink_queue_limit",
        Gauge(|of| of.queue.map(|queue| queue.limit as u64)),
        "Maximum number of bytes in the queue.",
    ),
    Metric::new(
        "postrider_sink_waiting_sources",
        Gauge(|of| Some(of.waiting as u64)),
        "Sources that wait for room in the queue.",
    ),
    Metric::new(
        "postrider_sink_stalled",
        GaugeBy("stall", |of| {
            vec![("still", of.stall == Some(StallKind::Still)), ("full", of.stall == Some(StallKind::Full))]
        }),
        "1 if nothing leaves the sink (`still`), or if records arrive faster than they leave (`full`).",
    ),
    Metric::seconds(
        "postrider_sink_outage_start_timestamp",
        Time(|of| of.outage),
        "Time since when the destination fails; no series while it works.",
    ),
    Metric::new(
        "postrider_spool_records",
        Gauge(|of| of.spool.map(|_| of.counts.spooled + of.counts.stored)),
        "Records on the disk of the spool.",
    ),
    Metric::new(
        "postrider_spool_recovered_records",
        Counter(|of| of.counts.recovered),
        "Records that the spool held at the start; 0 without a spool.",
    ),
    Metric::bytes(
        "postrider_spool",
        Gauge(|of| of.spool.map(|_| of.counts.spool_bytes)),
        "Size of the spool on the disk.",
    ),
    Metric::bytes(
        "postrider_spool_limit",
        Gauge(|of| of.spool.map(|spool| spool.limit)),
        "Maximum size of the spool on the disk.",
    ),
    Metric::seconds(
        "postrider_spool_outage_start_timestamp",
        Time(|of| of.spool?.outage),
        "Time since when the disk of the spool fails; no series while it works.",
    ),
];
