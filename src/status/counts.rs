//! The names of the counts, in the order in which they are shown.

use std::fmt::Write;

use crate::ledger::{ByReason, Reason, SinkCounts, SourceCounts};

/// A count and its name.
pub(super) type NamedCount = (&'static str, u64);

pub(super) fn of_source(counts: &SourceCounts) -> Vec<NamedCount> {
    let SourceCounts {
        received,
        received_bytes,
        truncated,
        waiting,
        dropped,
        connections,
        connections_refused,
        connections_refused_per_peer,
        connections_idle,
        connections_denied,
        proxy_errors,
        errors,
        kernel_drops,
    } = *counts;
    let mut named = vec![("received", received), ("received_bytes", received_bytes), ("truncated", truncated)];
    named.extend(by_reason(&dropped));
    named.extend([
        ("waiting", waiting),
        ("connections", connections),
        ("connections_refused", connections_refused),
        ("connections_refused_per_peer", connections_refused_per_peer),
        ("connections_idle", connections_idle),
        ("connections_denied", connections_denied),
        ("proxy_errors", proxy_errors),
        ("errors", errors),
        ("kernel_drops", kernel_drops),
    ]);
    named
}

/// Returns the counts of a sink, without those that belong to its spool.
pub(super) fn of_sink(counts: &SinkCounts) -> Vec<NamedCount> {
    let SinkCounts {
        offered,
        filtered,
        delivered,
        delivered_bytes,
        dropped,
        retries,
        recovered,
        spool_bytes: _,
        in_flight,
        stored: _,
        spooled,
    } = *counts;
    let mut named = vec![
        ("offered", offered),
        ("filtered", filtered),
        ("delivered", delivered),
        ("delivered_bytes", delivered_bytes),
    ];
    named.extend(by_reason(&dropped));
    named.extend([("in_flight", in_flight), ("recovered", recovered), ("spooled", spooled), ("retries", retries)]);
    named
}

/// Returns the sum, and the count of each reason.
fn by_reason(dropped: &ByReason) -> impl Iterator<Item = NamedCount> {
    let sum = ("dropped", dropped.iter().sum());
    std::iter::once(sum).chain(Reason::ALL.into_iter().map(Reason::count_name).zip(*dropped))
}

/// Returns the counts as ` name=N`, without those that are zero.
pub(super) fn text(named: &[NamedCount]) -> String {
    let mut text = String::new();
    for (name, count) in named.iter().filter(|(_, count)| *count > 0) {
        write!(text, " {name}={count}").expect("a String takes everything");
    }
    text
}
