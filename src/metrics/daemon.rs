//! The metrics of the daemon as a whole.

use super::MetricValue::{Counter, CounterBy, Gauge, Info, Time};
use super::{Measured, Metric, by_reason};
use crate::status::{Attempt, Balance, CheckpointStatus, JoinStatus, Program, Snapshot};

impl Measured for Snapshot {}

/// Returns a value of the joins; none while lines are not joined.
macro_rules! joins {
    ($joins:ident => $value:expr) => {
        |of: &Snapshot| of.correlate.as_ref().map(|$joins: &JoinStatus| $value as u64)
    };
}

pub(super) const METRICS: &[Metric<Snapshot>] = &[
    Metric::new(
        "postrider_build",
        Info(&["version", "commit"], build),
        "Version of Postrider, and its commit if that is known.",
    ),
    Metric::seconds("process_start_time", Time(|of| Some(of.program.started_at)), "Time of the start."),
    Metric::new(
        "postrider_ready",
        Gauge(|of| Some(of.readiness().is_ready().into())),
        "1 if `/ready` answers with 200.",
    ),
    Metric::new(
        "postrider_config_last_reload_successful",
        Gauge(|of| of.reload.last.as_ref().map(|Attempt { error, .. }| error.is_none().into())),
        "1 if the last configuration that was read is in use, 0 if it was refused.",
    ),
    Metric::seconds(
        "postrider_config_last_reload_success_timestamp",
        Time(|of| of.reload.in_use_since),
        "Time since when the configuration is in use.",
    ),
    Metric::new(
        "postrider_config_loads",
        CounterBy("result", |of| vec![("accepted", of.reload.generation), ("refused", of.reload.refused)]),
        "Configurations that were read, with that of the start.",
    ),
    Metric::new(
        "postrider_ledger_balanced",
        Gauge(|of| Some((of.ledger.balance == Balance::Holds).into())),
        "1 if all counts agree. 0 if they were read while records moved: it must be 1 again when nothing moves.",
    ),
    Metric::new(
        "postrider_ledger_received_messages",
        Counter(|of| of.ledger.sources.received),
        "Messages that all sources have read, with those that a reload has removed.",
    ),
    Metric::new(
        "postrider_ledger_dropped_messages",
        CounterBy("reason", |of| by_reason(&of.ledger.sources.dropped)),
        "Messages that all sources have dropped, with those that a reload has removed.",
    ),
    Metric::new(
        "postrider_ledger_delivered_records",
        Counter(|of| of.ledger.sinks.delivered),
        "Records that all sinks have delivered, with those that a reload has removed.",
    ),
    Metric::new(
        "postrider_ledger_dropped_records",
        CounterBy("reason", |of| by_reason(&of.ledger.sinks.dropped)),
        "Records that all sinks have dropped, with those that a reload has removed.",
    ),
    Metric::new(
        "postrider_unparsed_messages",
        Counter(|of| of.ledger.unparsed),
        "Lines of Postfix that Postrider does not understand; `postrider decode --unparsed` shows them.",
    ),
    Metric::new(
        "postrider_created_records",
        Counter(|of| of.ledger.created),
        "Records of messages and sessions, which Postrider has made from several lines.",
    ),
    Metric::new(
        "postrider_correlation_open_messages",
        Gauge(joins!(of => of.messages)),
        "Messages that the joins remember.",
    ),
    Metric::new(
        "postrider_correlation_limit_messages",
        Gauge(joins!(of => of.max_messages)),
        "Maximum number of messages that the joins remember.",
    ),
    Metric::bytes(
        "postrider_correlation_memory",
        Gauge(joins!(of => of.memory)),
        "Memory of the joins for messages and sessions.",
    ),
    Metric::bytes(
        "postrider_correlation_memory_limit",
        Gauge(joins!(of => of.max_memory)),
        "Maximum memory of the joins for messages and sessions.",
    ),
    Metric::new(
        "postrider_correlation_systems",
        Gauge(joins!(of => of.systems)),
        "Mail systems whose lines are joined: instances of Postfix on a host.",
    ),
    Metric::new(
        "postrider_correlation_evicted_messages",
        Counter(|of| of.correlate.as_ref().map_or(0, |joins| joins.evicted)),
        "Messages that were closed before their end, because a limit was reached.",
    ),
    Metric::seconds(
        "postrider_correlation_checkpoint_timestamp",
        Time(|of| checkpoint(of)?.written_at),
        "Time of the last checkpoint that this process has written.",
    ),
    Metric::new(
        "postrider_correlation_checkpoint_failing",
        Gauge(|of| Some(checkpoint(of)?.error.is_some().into())),
        "1 if the checkpoint cannot be written.",
    ),
];

fn build(of: &Snapshot) -> Vec<&'static str> {
    let Program { version, commit, .. } = of.program;
    vec![version, commit.unwrap_or_default()]
}

fn checkpoint(of: &Snapshot) -> Option<&CheckpointStatus> {
    of.correlate.as_ref()?.checkpoint.as_ref()
}
