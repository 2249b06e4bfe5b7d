use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::testing::{snapshot, time};
use super::*;
use crate::ledger::Reason;

const PAGE: &str = include_str!("../../docs/operation.md");

#[test]
fn a_ledger_line_has_the_counts_that_are_not_zero() {
    let mut source = snapshot().sources.remove(0);
    assert_eq!(source.ledger_line(), r#"ledger source="mail" received=9 dropped=2 dropped_denied=2 waiting=3"#);
    source.counts = source.counts.at_the_end();
    let end = r#"ledger source="mail" received=9 dropped=5 dropped_denied=2 dropped_shutdown=3"#;
    assert_eq!(source.ledger_line(), end);
    source.counts = SourceCounts { connections: 1, kernel_drops: 2, truncated: 3, ..Default::default() };
    assert_eq!(source.ledger_line(), r#"ledger source="mail" truncated=3 connections=1 kernel_drops=2"#);

    let mut sink = snapshot().sinks.remove(0);
    assert_eq!(sink.ledger_line(), r#"ledger sink="archive" offered=4 delivered=1 in_flight=3 balanced=true"#);
    (sink.counts, sink.balance) = (sink.counts.at_the_end(), Balance::Broken);
    let end = r#"ledger sink="archive" offered=4 delivered=1 dropped=1 dropped_shutdown=1 spooled=2 balanced=false"#;
    assert_eq!(sink.ledger_line(), end);
    (sink.counts, sink.balance) = (SinkCounts::default(), Balance::Unknown);
    assert_eq!(sink.ledger_line(), r#"ledger sink="archive""#);
}

#[test]
fn the_json_has_the_values_of_the_snapshot() {
    let shown = snapshot().json();
    assert_eq!((&shown["at"], &shown["phase"]), (&json!("2026-11-24T02:10:35.000000Z"), &json!("running")));
    let program = json!({ "version": "1.2.3", "commit": "abc", "pid": 7, "started_at": "2026-11-24T02:09:34.100000Z", "uptime_seconds": 60 });
    assert_eq!(shown["program"], program);
    let last = json!("2026-11-24T02:10:30.500000Z");
    let in_use = "2026-11-24T02:09:35.000000Z";
    let reload =
        json!({ "generation": 2, "refused": 1, "in_use_since": in_use, "last_at": last, "last_error": "wrong" });
    assert_eq!(shown["reload"], reload);
    let ledger = &shown["ledger"];
    assert_eq!((&ledger["balanced"], &ledger["unparsed"]), (&Value::Null, &json!(5)));
    assert_eq!((&ledger["sources"]["dropped"], &ledger["sinks"]["in_flight"]), (&json!(2), &json!(3)));
    let checkpoint =
        json!({ "path": "/var/lib/postrider/correlate.checkpoint", "written_at": last, "error": "no room" });
    assert_eq!((&shown["correlate"]["evicted"], &shown["correlate"]["checkpoint"]), (&json!(16), &checkpoint));

    let mail = &shown["mail"];
    let deferred = json!({ "status": "deferred", "cause": "greylisted", "count": 1 });
    assert_eq!((&mail["failures"], &mail["deliveries"][1]["dsn_class"]), (&json!([deferred]), &json!("4")));
    assert_eq!((&mail["delays"][2]["sum_seconds"], &mail["delays"][2]["buckets"][5]), (&json!(1.2), &json!(1)));

    let source = &shown["sources"][0];
    assert_eq!((&source["state"], &source["error"]), (&json!("failed"), &json!("away")));
    assert_eq!((&source["counts"]["dropped_denied"], &source["counts"]["dropped_lost"]), (&json!(2), &json!(0)));

    let sink = &shown["sinks"][0];
    assert_eq!(sink["queue"], json!({ "bytes": 10, "limit": 1024, "full": false }));
    assert_eq!(sink["stall"], json!({ "kind": "still", "since": last }));
    assert_eq!(sink["outage"], json!({ "since": last, "reason": "refused" }));
    assert_eq!((&sink["waiting"], &sink["balanced"]), (&json!(["mail"]), &json!(true)));
    let spool = &sink["spool"];
    assert_eq!((&spool["records"], &spool["bytes"], &spool["limit"]), (&json!(2), &json!(4096), &json!(1 << 30)));
    assert_eq!(spool["outage"], json!({ "since": last, "reason": "full" }));
}

#[test]
fn what_is_not_there_is_null() {
    let mut snapshot = snapshot();
    (snapshot.program.commit, snapshot.reload.last, snapshot.reload.in_use_since) = (None, None, None);
    snapshot.sources[0].state = SourceState::Leaving;
    let sink = &mut snapshot.sinks[0];
    (sink.state, sink.stall, sink.outage) = (SinkState::Ended, None, None);
    (sink.spool, sink.balance) = (None, Balance::Broken);
    let shown = snapshot.json();
    let null = ["/program/commit", "/reload/in_use_since", "/reload/last_at", "/reload/last_error", "/sources/0/error"];
    for pointer in null.into_iter().chain(["/sinks/0/queue", "/sinks/0/stall", "/sinks/0/outage", "/sinks/0/spool"]) {
        assert_eq!(shown.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert_eq!((&shown["sinks"][0]["state"], &shown["sinks"][0]["balanced"]), (&json!("ended"), &json!(false)));
}

#[test]
fn the_time_alone_makes_no_difference() {
    let (one, mut other) = (snapshot(), snapshot());
    other.at = time("2026-11-25T00:00:00Z");
    assert!(one.says_the_same(&other));
    other.sinks[0].counts.retries += 1;
    assert!(!one.says_the_same(&other));
}

#[test]
fn all_balances_only_if_each_does() {
    use Balance::{Broken, Holds, Unknown};
    for (one, other, both) in [
        (Holds, Holds, Holds),
        (Holds, Unknown, Unknown),
        (Unknown, Holds, Unknown),
        (Unknown, Broken, Broken),
        (Broken, Holds, Broken),
    ] {
        assert_eq!(one.and(other), both, "{one:?} {other:?}");
    }
}

/// Collects the paths of all values, each list as its first element. Counts are one value.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.contains_key("dropped") => {
            for (name, value) in fields {
                paths(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(list) if list.iter().all(Value::is_object) => paths(&list[0], &format!("{path}[]"), found),
        _ => assert!(found.insert(path.to_owned()), "{path}"),
    }
}

/// Returns the names in the first column of the table under this head.
fn documented(head: &str) -> BTreeSet<String> {
    let (_, table) =
        PAGE.split_once(&format!("| {head} | |\n|---|---|\n")).unwrap_or_else(|| panic!("no table: {head}"));
    let rows = table.lines().take_while(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").next());
    rows.flat_map(|names| names.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn the_page_lists_every_field_and_no_other() {
    let mut shown = BTreeSet::new();
    paths(&snapshot().json(), "", &mut shown);
    assert_eq!(documented("field"), shown);
}

#[test]
fn the_page_lists_every_count_and_no_other() {
    let names = |named: Vec<counts::NamedCount>| named.into_iter().map(|(name, _)| name.to_owned());
    let reasons: BTreeSet<_> = Reason::ALL.into_iter().map(|reason| reason.count_name().to_owned()).collect();
    let source: BTreeSet<_> = names(counts::of_source(&SourceCounts::default())).collect();
    let sink: BTreeSet<_> = names(counts::of_sink(&SinkCounts::default())).collect();
    assert!(source.is_superset(&reasons) && sink.is_superset(&reasons));
    assert_eq!(documented("count of a reason"), reasons);
    assert_eq!(documented("count of a source"), &source - &reasons);
    assert_eq!(documented("count of a sink"), &sink - &reasons);
}

/// The reasons of the first source and of the first sink.
fn reasons(snapshot: &Snapshot) -> [Option<String>; 2] {
    let Readiness { sources, sinks, .. } = snapshot.readiness();
    assert_eq!(snapshot.readiness().is_ready(), sources[0].reason.is_none() && sinks[0].reason.is_none());
    [sources, sinks].map(|parts| parts[0].reason.clone())
}

#[test]
fn a_daemon_is_ready_if_records_have_a_place() {
    let mut snapshot = snapshot();
    let disk = "the disk of the spool fails since 2026-11-24T02:10:30Z: full";
    assert_eq!(reasons(&snapshot), [Some("away".to_owned()), Some(disk.to_owned())]);
    snapshot.sources[0].state = SourceState::Running;
    snapshot.sinks[0].spool.as_mut().unwrap().outage = None;
    // The spool has the records that the destination does not take.
    assert_eq!(reasons(&snapshot), [None, None]);
    snapshot.sinks[0].state = SinkState::Running(Queue { bytes: 1024, limit: 1024, is_full: true });
    let blocked = "nothing leaves the sink since 2026-11-24T02:10:30Z, and its spool has no room";
    assert_eq!(reasons(&snapshot)[1].as_deref(), Some(blocked));
    snapshot.sinks[0].spool = None;
    assert_eq!(reasons(&snapshot)[1].as_deref(), Some("the destination fails since 2026-11-24T02:10:30Z: refused"));
    snapshot.sinks[0].outage = None;
    assert_eq!(reasons(&snapshot)[1].as_deref(), Some("nothing leaves the sink since 2026-11-24T02:10:30Z"));
    snapshot.sinks[0].stall.as_mut().unwrap().kind = StallKind::Full;
    assert_eq!(reasons(&snapshot), [None, None]);
}

#[test]
fn a_daemon_that_stops_is_not_ready() {
    let mut snapshot = snapshot();
    (snapshot.sources[0].state, snapshot.sinks[0].state) = (SourceState::Ended, SinkState::Ended);
    (snapshot.sinks[0].spool, snapshot.sinks[0].outage, snapshot.sinks[0].stall) = (None, None, None);
    assert!(snapshot.readiness().is_ready());
    for phase in [Phase::Stopping, Phase::Leaving, Phase::Ended] {
        assert!(!Snapshot { phase, ..snapshot.clone() }.readiness().is_ready());
    }
    let shown = Snapshot { phase: Phase::Stopping, ..snapshot }.readiness().json();
    let part = |name| json!([{ "name": name, "ready": true, "reason": null }]);
    let expected = json!({ "ready": false, "phase": "stopping", "sources": part("mail"), "sinks": part("archive") });
    assert_eq!(shown, expected);
}

#[test]
fn parts_that_a_reload_removed_do_not_count() {
    let mut snapshot = snapshot();
    (snapshot.sources[0].state, snapshot.sinks[0].state) = (SourceState::Leaving, SinkState::Leaving);
    let readiness = snapshot.readiness();
    assert!(readiness.is_ready() && readiness.sources.is_empty() && readiness.sinks.is_empty());
}

#[test]
fn the_ledger_alone_has_the_counts_of_the_whole() {
    let (whole, ledger) = (snapshot().json(), snapshot().ledger_json());
    assert_eq!((&ledger["at"], &ledger["ledger"]), (&whole["at"], &whole["ledger"]));
    for (part, key) in [("sources", "counts"), ("sinks", "counts"), ("sinks", "balanced"), ("sinks", "name")] {
        assert_eq!(ledger[part][0][key], whole[part][0][key], "{part} {key}");
    }
}
