//! The ledgers in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::sinks::{LiveSink, Shown};
use super::sources::LiveSource;
use crate::ledger::Reason;
use crate::unparsed::Unparsed;

/// What outlives sources and sinks.
pub(super) struct Totals {
    pub(super) unparsed: Arc<Unparsed>,
    /// What was shown to sinks, through all pipelines.
    pub(super) shown: Shown,
    /// What the sources have handed on that are no more.
    pub(super) ended_sources: u64,
}

impl Totals {
    /// Logs every count, and whether received = delivered + dropped + in flight holds; where it does not although nothing
    /// moves any more, that is a defect.
    pub(super) fn log(&self, sources: &[LiveSource], sinks: &[LiveSink], at_rest: bool) {
        if self.unparsed.total() > 0 {
            tracing::warn!(
                lines = %self.unparsed,
                "lines of Postfix that Postrider does not understand; `postrider decode --unparsed` prints them for a report"
            );
        }
        let mut offered = self.ended_sources;
        for source in sources {
            offered += source.ledger.offered();
            source.log();
        }
        for sink in sinks {
            sink.log(offered == self.shown.total(), at_rest);
        }
    }
}

impl LiveSource {
    /// Logs its counts.
    pub(super) fn log(&self) {
        let (name, ledger) = (self.config.name.as_str(), &self.ledger);
        tracing::info!(
            source = name,
            received = ledger.received.load(Relaxed),
            received_bytes = ledger.received_bytes.load(Relaxed),
            truncated = ledger.truncated.load(Relaxed),
            dropped = reasons(|reason| ledger.dropped.get(reason)),
            waiting = ledger.waiting.load(Relaxed),
            connections = ledger.connections.load(Relaxed),
            connections_refused = ledger.connections_refused.load(Relaxed),
            connections_idle = ledger.connections_idle.load(Relaxed),
            connections_denied = ledger.connections_denied.load(Relaxed),
            proxy_errors = ledger.proxy_errors.load(Relaxed),
            errors = ledger.errors.load(Relaxed),
            kernel_drops = ledger.kernel_drops.load(Relaxed),
            "ledger"
        );
    }
}

impl LiveSink {
    /// Logs its counts; `complete` says whether all that the sources handed on went through a pipeline.
    pub(super) fn log(&self, complete: bool, at_rest: bool) {
        let (name, ledger) = (self.config.name.as_str(), &self.ledger);
        let balanced = complete && ledger.balances() && ledger.offered.load(Relaxed) == self.shown.total();
        tracing::info!(
            sink = name,
            offered = ledger.offered.load(Relaxed),
            filtered = ledger.filtered.load(Relaxed),
            delivered = ledger.delivered.load(Relaxed),
            delivered_bytes = ledger.delivered_bytes.load(Relaxed),
            dropped = reasons(|reason| ledger.dropped.get(reason)),
            in_flight = ledger.in_flight(),
            recovered = ledger.recovered.load(Relaxed),
            spooled = ledger.spooled(),
            retries = ledger.retries.load(Relaxed),
            // Read one after the other while records move, the counts need not fit together.
            balanced = (balanced || at_rest).then_some(balanced),
            "ledger"
        );
        if !balanced && at_rest {
            tracing::error!(sink = name, "the ledger does not balance: a defect in Postrider, please report it");
        }
    }
}

/// `0`, or the counts by reason: `3 (empty 1, queue_full 2)`.
fn reasons(get: impl Fn(Reason) -> u64) -> String {
    let counts: Vec<_> = Reason::ALL.into_iter().map(|reason| (reason, get(reason))).filter(|(_, n)| *n > 0).collect();
    let total: u64 = counts.iter().map(|(_, n)| n).sum();
    let parts: Vec<_> = counts.iter().map(|(reason, n)| format!("{} {n}", reason.name())).collect();
    if parts.is_empty() { total.to_string() } else { format!("{total} ({})", parts.join(", ")) }
}
