//! Readiness: whether Postrider takes what its senders send, and has a place for it.

use serde_json::{Value, json};

use super::{OutageStatus, Phase, SinkState, SinkStatus, Snapshot, SourceState, SourceStatus, StallKind, StalledSink};

/// Whether the daemon does its work, and what keeps it from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Phase of the run. Only a daemon whose sources read is ready.
    pub phase: Phase,
    /// The sources of the configuration.
    pub sources: Vec<PartReadiness>,
    /// The sinks of the configuration.
    pub sinks: Vec<PartReadiness>,
}

/// Whether a source or a sink does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReadiness {
    /// Name in the configuration.
    pub name: String,
    /// Reason why it does not; `None` if it does.
    pub reason: Option<String>,
}

impl Snapshot {
    /// Returns whether the daemon does its work. A source does if it reads, or has come to the end of its input. A sink
    /// does if records leave its queue: to its destination, or else to its spool. Parts that a reload removed do not
    /// count.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            phase: self.phase,
            sources: self.sources.iter().filter_map(SourceStatus::readiness).collect(),
            sinks: self.sinks.iter().filter_map(SinkStatus::readiness).collect(),
        }
    }
}

impl SourceStatus {
    /// Returns whether the source does its work; `None` if a reload removed it.
    pub fn readiness(&self) -> Option<PartReadiness> {
        let does_count = self.state != SourceState::Leaving;
        does_count.then(|| PartReadiness { name: self.name.clone(), reason: of_source(self) })
    }
}

impl SinkStatus {
    /// Returns whether the sink does its work; `None` if a reload removed it.
    pub fn readiness(&self) -> Option<PartReadiness> {
        let does_count = self.state != SinkState::Leaving;
        does_count.then(|| PartReadiness { name: self.name.clone(), reason: of_sink(self) })
    }
}

impl Readiness {
    /// Returns true if everything does its work.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.sources.iter().chain(&self.sinks).all(|part| part.reason.is_none())
    }

    /// Returns it as JSON. Names are only ever added.
    pub fn json(&self) -> Value {
        let part = |part: &PartReadiness| {
            let PartReadiness { name, reason } = part;
            json!({ "name": name, "ready": reason.is_none(), "reason": reason })
        };
        json!({
            "ready": self.is_ready(),
            "phase": self.phase.name(),
            "sources": self.sources.iter().map(part).collect::<Value>(),
            "sinks": self.sinks.iter().map(part).collect::<Value>(),
        })
    }
}

fn of_source(source: &SourceStatus) -> Option<String> {
    match &source.state {
        SourceState::Failed(reason) => Some(reason.clone()),
        SourceState::Running | SourceState::Leaving | SourceState::Ended => None,
    }
}

fn of_sink(sink: &SinkStatus) -> Option<String> {
    let outage =
        |what: &str, OutageStatus { since, reason }: &OutageStatus| format!("{what} fails since {since:.0}: {reason}");
    // A queue that is full while records leave is no reason: a source that catches up always fills it.
    let still = sink.stall.filter(|stall| stall.kind == StallKind::Still).map(|StalledSink { since, .. }| since);
    match &sink.spool {
        None => {
            let found = sink.outage.as_ref().map(|found| outage("the destination", found));
            found.or_else(|| still.map(|since| format!("nothing leaves the sink since {since:.0}")))
        }
        // The spool keeps what the destination does not take, until it is full.
        Some(spool) => {
            let is_full = matches!(sink.state, SinkState::Running(queue) if queue.is_full);
            let found = spool.outage.as_ref().map(|found| outage("the disk of the spool", found));
            let blocked = still.filter(|_| is_full);
            found.or_else(|| {
                blocked.map(|since| format!("nothing leaves the sink since {since:.0}, and its spool has no room"))
            })
        }
    }
}
