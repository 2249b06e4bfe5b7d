//! The snapshot as JSON, for the status file and the admin server. Every struct is taken apart completely, so that a
//! new field does not compile until it has a name here. Names are only ever added.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::counts::{self, NamedCount};
use super::{Attempt, Balance, CheckpointStatus, JoinStatus, Ledger, Program, Queue, Reload, Snapshot, SourceState};
use super::{OutageStatus, SinkState, SinkStatus, SourceStatus, SpoolStatus, StallKind, StalledSink};
use crate::ledger::SinkCounts;
use crate::mail_counts::{DelayCounts, MailCounts};

impl Snapshot {
    /// Returns the snapshot as JSON, with the fields that `docs/operation.md` lists.
    pub fn json(&self) -> Value {
        let Self { at, phase, program, reload, ledger, correlate, mail, sources, sinks } = self;
        json!({
            "at": time(*at),
            "phase": phase.name(),
            "program": program.json(*at),
            "reload": reload.json(),
            "ledger": ledger.json(),
            "correlate": correlate.as_ref().map(JoinStatus::json),
            "mail": of_mail(mail),
            "sources": sources.iter().map(SourceStatus::json).collect::<Value>(),
            "sinks": sinks.iter().map(SinkStatus::json).collect::<Value>(),
        })
    }
}

impl Snapshot {
    /// Returns the counts alone, as JSON: the sums, and those of each source and sink. The names are those of
    /// [`json`](Self::json).
    pub fn ledger_json(&self) -> Value {
        let source = |source: &SourceStatus| {
            let SourceStatus { name, counts, .. } = source;
            json!({ "name": name, "counts": object(counts::of_source(counts)) })
        };
        let sink = |sink: &SinkStatus| {
            let SinkStatus { name, counts, balance, .. } = sink;
            json!({ "name": name, "balanced": balance.json(), "counts": object(counts::of_sink(counts)) })
        };
        json!({
            "at": time(self.at),
            "ledger": self.ledger.json(),
            "sources": self.sources.iter().map(source).collect::<Value>(),
            "sinks": self.sinks.iter().map(sink).collect::<Value>(),
        })
    }
}

impl Program {
    fn json(&self, at: Timestamp) -> Value {
        let Self { version, commit, pid, started_at } = self;
        // The clock may have been set back since.
        let uptime = at.duration_since(*started_at).as_secs().max(0);
        json!({
            "version": version,
            "commit": commit,
            "pid": pid,
            "started_at": time(*started_at),
            "uptime_seconds": uptime,
        })
    }
}

impl Reload {
    fn json(&self) -> Value {
        let Self { generation, refused, in_use_since, last } = self;
        let at = last.as_ref().map(|Attempt { at, error: _ }| time(*at));
        let error = last.as_ref().and_then(|Attempt { at: _, error }| error.as_deref());
        json!({
            "generation": generation,
            "refused": refused,
            "in_use_since": in_use_since.map(time),
            "last_at": at,
            "last_error": error,
        })
    }
}

impl Ledger {
    fn json(&self) -> Value {
        let Self { balance, unparsed, created, sources, sinks } = self;
        json!({
            "balanced": balance.json(),
            "unparsed": unparsed,
            "created": created,
            "sources": object(counts::of_source(sources)),
            "sinks": object(counts::of_sink(sinks)),
        })
    }
}

impl JoinStatus {
    fn json(&self) -> Value {
        let Self { messages, max_messages, memory, max_memory, systems, evicted, checkpoint } = self;
        json!({
            "messages": messages,
            "max_messages": max_messages,
            "memory": memory,
            "max_memory": max_memory,
            "systems": systems,
            "evicted": evicted,
            "checkpoint": checkpoint.as_ref().map(CheckpointStatus::json),
        })
    }
}

/// Returns the counts that are not zero.
fn of_mail(mail: &MailCounts) -> Value {
    let by = |label: &str, counts: &mut dyn Iterator<Item = (&'static str, u64)>| -> Value {
        counts.filter(|(_, count)| *count > 0).map(|(word, count)| json!({ label: word, "count": count })).collect()
    };
    let by_two = |[one, other]: [&str; 2], counts: &mut dyn Iterator<Item = ([&'static str; 2], u64)>| -> Value {
        let counts = counts.filter(|(_, count)| *count > 0);
        counts.map(|([a, b], count)| json!({ one: a, other: b, "count": count })).collect()
    };
    json!({
        "deliveries": by_two(["status", "dsn_class"], &mut mail.deliveries()),
        "failures": by_two(["status", "cause"], &mut mail.failures()),
        "delays": mail.delays().iter().map(DelayCounts::json).collect::<Value>(),
        "verdicts": by("action", &mut mail.verdicts()),
        "sasl_failures": by("method", &mut mail.sasl_failures()),
        "tls_connections": by_two(["direction", "protocol"], &mut mail.tls_connections()),
    })
}

impl DelayCounts {
    fn json(&self) -> Value {
        let Self { stage, sum, buckets } = self;
        let buckets: Vec<_> = buckets.iter().map(|(_, count)| *count).collect();
        json!({ "stage": stage, "count": self.count(), "sum_seconds": Duration::from_millis(*sum).as_secs_f64(), "buckets": buckets })
    }
}

impl CheckpointStatus {
    fn json(&self) -> Value {
        let Self { path, written_at, error } = self;
        json!({ "path": path, "written_at": written_at.map(time), "error": error })
    }
}

impl Balance {
    const fn json(self) -> Option<bool> {
        match self {
            Self::Holds => Some(true),
            Self::Unknown => None,
            Self::Broken => Some(false),
        }
    }
}

impl SourceStatus {
    fn json(&self) -> Value {
        let Self { name, kind, endpoint, state, counts } = self;
        let (state, error) = match state {
            SourceState::Running => ("running", None),
            SourceState::Leaving => ("leaving", None),
            SourceState::Ended => ("ended", None),
            SourceState::Failed(reason) => ("failed", Some(reason)),
        };
        json!({
            "name": name,
            "kind": kind,
            "endpoint": endpoint,
            "state": state,
            "error": error,
            "counts": object(counts::of_source(counts)),
        })
    }
}

impl SinkStatus {
    fn json(&self) -> Value {
        let Self { name, kind, destination, state, stall, outage, waiting, spool, counts, balance } = self;
        let (state, queue) = match state {
            SinkState::Running(queue) => ("running", Some(queue.json())),
            SinkState::Leaving => ("leaving", None),
            SinkState::Ended => ("ended", None),
        };
        json!({
            "name": name,
            "kind": kind,
            "destination": destination,
            "state": state,
            "queue": queue,
            "stall": stall.map(StalledSink::json),
            "outage": outage.as_ref().map(OutageStatus::json),
            "waiting": waiting,
            "spool": spool.as_ref().map(|spool| spool.json(counts)),
            "balanced": balance.json(),
            "counts": object(counts::of_sink(counts)),
        })
    }
}

impl Queue {
    fn json(self) -> Value {
        let Self { bytes, limit, is_full } = self;
        json!({ "bytes": bytes, "limit": limit, "full": is_full })
    }
}

impl OutageStatus {
    fn json(&self) -> Value {
        let Self { since, reason } = self;
        json!({ "since": time(*since), "reason": reason })
    }
}

impl StalledSink {
    fn json(self) -> Value {
        let Self { kind, since } = self;
        let kind = match kind {
            StallKind::Still => "still",
            StallKind::Full => "full",
        };
        json!({ "kind": kind, "since": time(since) })
    }
}

impl SpoolStatus {
    fn json(&self, counts: &SinkCounts) -> Value {
        let Self { directory, mode, when_full, limit, outage } = self;
        json!({
            "directory": directory.to_string_lossy(),
            "mode": mode,
            "when_full": when_full,
            "records": counts.spooled + counts.stored,
            "bytes": counts.spool_bytes,
            "limit": limit,
            "outage": outage.as_ref().map(OutageStatus::json),
        })
    }
}

fn object(named: Vec<NamedCount>) -> Value {
    named.into_iter().map(|(name, count)| (name.to_owned(), Value::from(count))).collect()
}

/// Returns a time as the records show it.
fn time(time: Timestamp) -> String {
    format!("{time:.6}")
}
