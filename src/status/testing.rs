//! A snapshot for tests.

use super::*;
use crate::ledger::{ByReason, Reason};
use crate::mail_counts;

/// Reads a time.
pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dropped(reason: Reason, records: u64) -> ByReason {
    let mut dropped = ByReason::default();
    dropped[reason as usize] = records;
    dropped
}

/// A daemon that has everything that a snapshot can show.
pub(crate) fn snapshot() -> Snapshot {
    let source = SourceCounts { received: 9, dropped: dropped(Reason::Denied, 2), waiting: 3, ..Default::default() };
    let sink =
        SinkCounts { offered: 4, delivered: 1, in_flight: 3, stored: 2, spool_bytes: 4096, ..Default::default() };
    let since = time("2026-11-24T02:10:30.5Z");
    Snapshot {
        at: time("2026-11-24T02:10:35Z"),
        phase: Phase::Running,
        program: Program { version: "1.2.3", commit: Some("abc"), pid: 7, started_at: time("2026-11-24T02:09:34.1Z") },
        reload: Reload {
            generation: 2,
            refused: 1,
            in_use_since: Some(time("2026-11-24T02:09:35Z")),
            last: Some(Attempt { at: since, error: Some("wrong".into()) }),
        },
        ledger: Ledger { balance: Balance::Unknown, unparsed: 5, created: 6, sources: source, sinks: sink },
        correlate: Some(JoinStatus {
            messages: 11,
            max_messages: 12,
            memory: 13,
            max_memory: 14,
            systems: 15,
            evicted: 16,
            checkpoint: Some(CheckpointStatus {
                path: "/var/lib/postrider/correlate.checkpoint".into(),
                written_at: Some(since),
                error: Some("no room".into()),
            }),
        }),
        mail: mail_counts::testing::counted(&mail_counts::testing::LINES),
        sources: vec![SourceStatus {
            name: "mail".into(),
            kind: "tcp",
            endpoint: "tcp 127.0.0.1:514".into(),
            state: SourceState::Failed("away".into()),
            counts: source,
        }],
        sinks: vec![SinkStatus {
            name: "archive".into(),
            kind: "file",
            destination: "/var/log/mail.json".into(),
            state: SinkState::Running(Queue { bytes: 10, limit: 1024, is_full: false }),
            stall: Some(StalledSink { kind: StallKind::Still, since }),
            outage: Some(OutageStatus { since, reason: "refused".into() }),
            waiting: vec!["mail".into()],
            spool: Some(SpoolStatus {
                directory: "/var/spool/archive".into(),
                mode: "overflow",
                when_full: "block",
                limit: 1 << 30,
                outage: Some(OutageStatus { since, reason: "full".into() }),
            }),
            counts: sink,
            balance: Balance::Holds,
        }],
    }
}
