//! The counts of a ledger at one time. A count that is added to a ledger does not compile until it is here too.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::{ByReason, Reason, SinkLedger, SourceLedger};

/// The counts of a [`SourceLedger`] at one time. Each field is as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the ledger are documented")]
pub struct SourceCounts {
    pub received: u64,
    pub received_bytes: u64,
    pub truncated: u64,
    pub waiting: u64,
    pub dropped: ByReason,
    pub connections: u64,
    pub connections_refused: u64,
    pub connections_refused_per_peer: u64,
    pub connections_idle: u64,
    pub connections_denied: u64,
    pub proxy_errors: u64,
    pub errors: u64,
    pub kernel_drops: u64,
}

/// The counts of a [`SinkLedger`] at one time. Each field is as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the ledger are documented")]
pub struct SinkCounts {
    pub offered: u64,
    pub filtered: u64,
    pub delivered: u64,
    pub delivered_bytes: u64,
    pub dropped: ByReason,
    pub retries: u64,
    pub recovered: u64,
    pub spool_bytes: u64,
    /// Records that are neither delivered nor dropped yet.
    pub in_flight: u64,
    /// Those of the records in flight that are also on the disk of the spool.
    pub stored: u64,
    /// Records that are on the disk of the spool and nowhere else.
    pub spooled: u64,
}

impl SourceLedger {
    /// Returns the current counts.
    pub fn counts(&self) -> SourceCounts {
        let Self {
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
        } = self;
        let get = |count: &AtomicU64| count.load(Relaxed);
        // A frame counts as received before it counts as dropped or waiting: read in this order, the difference is
        // never negative.
        let (dropped, waiting) = (dropped.all(), get(waiting));
        SourceCounts {
            received: get(received),
            received_bytes: get(received_bytes),
            truncated: get(truncated),
            waiting,
            dropped,
            connections: get(connections),
            connections_refused: get(connections_refused),
            connections_refused_per_peer: get(connections_refused_per_peer),
            connections_idle: get(connections_idle),
            connections_denied: get(connections_denied),
            proxy_errors: get(proxy_errors),
            errors: get(errors),
            kernel_drops: get(kernel_drops),
        }
    }
}

impl SinkLedger {
    /// Returns the current counts. While records move, the counts may be inconsistent.
    pub fn counts(&self) -> SinkCounts {
        let Self {
            offered,
            filtered,
            delivered,
            delivered_bytes,
            dropped,
            retries,
            recovered,
            spool_bytes,
            in_flight,
            stored,
            spooled,
        } = self;
        let get = |count: &AtomicU64| count.load(Relaxed);
        let whole = |count: &AtomicI64| count.load(Relaxed).max(0).cast_unsigned();
        SinkCounts {
            offered: get(offered),
            filtered: get(filtered),
            delivered: get(delivered),
            delivered_bytes: get(delivered_bytes),
            dropped: dropped.all(),
            retries: get(retries),
            recovered: get(recovered),
            spool_bytes: get(spool_bytes),
            in_flight: whole(in_flight),
            stored: whole(stored),
            spooled: whole(spooled),
        }
    }
}

// === impl SourceCounts ===

impl SourceCounts {
    /// Returns the number of frames that were offered to every sink.
    pub fn offered(&self) -> u64 {
        self.received.saturating_sub(self.dropped.iter().sum::<u64>() + self.waiting)
    }

    /// Returns the counts of a process that ends now: the shutdown drops the frames that still wait for room.
    #[must_use]
    pub fn at_the_end(mut self) -> Self {
        self.dropped[Reason::Shutdown as usize] += std::mem::take(&mut self.waiting);
        self
    }
}

impl AddAssign for SourceCounts {
    fn add_assign(&mut self, other: Self) {
        let Self {
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
        } = other;
        self.received += received;
        self.received_bytes += received_bytes;
        self.truncated += truncated;
        self.waiting += waiting;
        add(&mut self.dropped, dropped);
        self.connections += connections;
        self.connections_refused += connections_refused;
        self.connections_refused_per_peer += connections_refused_per_peer;
        self.connections_idle += connections_idle;
        self.connections_denied += connections_denied;
        self.proxy_errors += proxy_errors;
        self.errors += errors;
        self.kernel_drops += kernel_drops;
    }
}

// === impl SinkCounts ===

impl SinkCounts {
    /// Returns true if every offered record is accounted for.
    pub fn balance(&self) -> bool {
        let resolved = self.filtered + self.delivered + self.dropped.iter().sum::<u64>();
        self.offered + self.recovered == resolved + self.in_flight + self.spooled
    }

    /// Returns how many were dropped for `reason`.
    pub const fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Returns the counts of a process that ends now: stored records in flight stay in the spool, and the others are
    /// dropped by the shutdown.
    #[must_use]
    pub fn at_the_end(mut self) -> Self {
        let stored = self.stored.min(self.in_flight);
        self.spooled += stored;
        self.dropped[Reason::Shutdown as usize] += self.in_flight - stored;
        (self.in_flight, self.stored) = (0, 0);
        self
    }
}

impl AddAssign for SinkCounts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            offered,
            filtered,
            delivered,
            delivered_bytes,
            dropped,
            retries,
            recovered,
            spool_bytes,
            in_flight,
            stored,
            spooled,
        } = other;
        self.offered += offered;
        self.filtered += filtered;
        self.delivered += delivered;
        self.delivered_bytes += delivered_bytes;
        add(&mut self.dropped, dropped);
        self.retries += retries;
        self.recovered += recovered;
        self.spool_bytes += spool_bytes;
        self.in_flight += in_flight;
        self.stored += stored;
        self.spooled += spooled;
    }
}

fn add(sums: &mut ByReason, counts: ByReason) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}
