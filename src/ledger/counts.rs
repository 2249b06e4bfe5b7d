//! The counts of a ledger at one time. A count that is added to a ledger does not compile until it is here too.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::{ByReason, Dropped, Reason, SinkLedger, SourceLedger};

/// Makes the counts of a ledger, which are read in this order, and their sum.
macro_rules! counts {
    ($(#[$doc:meta])* $counts:ident of $ledger:ident { $($(#[$about:meta])* $field:ident: $value:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields of the ledger are documented")]
        pub struct $counts {
            $($(#[$about])* pub $field: $value,)*
        }

        impl $ledger {
            /// Returns the current counts. While records move, the counts may be inconsistent.
            pub fn counts(&self) -> $counts {
                let Self { $($field),* } = self;
                $counts { $($field: $field.now()),* }
            }
        }

        impl AddAssign for $counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$field.add(other.$field);)*
            }
        }
    };
}

counts! {
    /// The counts of a [`SourceLedger`] at one time. Each field is as there.
    SourceCounts of SourceLedger {
        // A frame counts as received before it counts as dropped or waiting: if these two are read first, the
        // difference is never negative.
        dropped: ByReason,
        waiting: u64,
        received: u64,
        received_bytes: u64,
        truncated: u64,
        connections: u64,
        connections_refused: u64,
        connections_refused_per_peer: u64,
        connections_idle: u64,
        connections_denied: u64,
        proxy_errors: u64,
        errors: u64,
        kernel_drops: u64,
    }
}

counts! {
    /// The counts of a [`SinkLedger`] at one time. Each field is as there.
    SinkCounts of SinkLedger {
        offered: u64,
        filtered: u64,
        delivered: u64,
        delivered_bytes: u64,
        dropped: ByReason,
        retries: u64,
        recovered: u64,
        spool_bytes: u64,
        /// Records that are neither delivered nor dropped yet.
        in_flight: u64,
        /// Those of the records in flight that are also on the disk of the spool.
        stored: u64,
        /// Records that are on the disk of the spool and nowhere else.
        spooled: u64,
    }
}

/// Count of a ledger, which threads change.
pub(super) trait Live {
    /// Type of its value at one time.
    type Value;

    /// Returns the current value. A count that is below zero for a moment reads as zero.
    fn now(&self) -> Self::Value;
}

/// Value that can be summed.
trait Summand {
    /// Adds `other` to the value.
    fn add(&mut self, other: Self);
}

impl Live for AtomicU64 {
    type Value = u64;

    fn now(&self) -> u64 {
        self.load(Relaxed)
    }
}

impl Live for AtomicI64 {
    type Value = u64;

    fn now(&self) -> u64 {
        self.load(Relaxed).max(0).cast_unsigned()
    }
}

impl Live for Dropped {
    type Value = ByReason;

    fn now(&self) -> ByReason {
        self.all()
    }
}

impl Summand for u64 {
    fn add(&mut self, other: Self) {
        *self += other;
    }
}

impl Summand for ByReason {
    fn add(&mut self, other: Self) {
        for (sum, count) in self.iter_mut().zip(other) {
            *sum += count;
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

// === impl SinkCounts ===

impl SinkCounts {
    /// Returns true if every offered record is accounted for.
    pub fn balance(&self) -> bool {
        self.unaccounted() == 0
    }

    /// Returns the number of records by which the two sides of the ledger differ.
    pub fn unaccounted(&self) -> u64 {
        let resolved = self.filtered + self.delivered + self.dropped.iter().sum::<u64>();
        (self.offered + self.recovered).abs_diff(resolved + self.in_flight + self.spooled)
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
