//! The reasons for which records are dropped, and counts by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Makes the reasons and everything that lists them from one list: a reason cannot be missing in a count.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Reason why a record was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the order in which they are shown.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$reason),*];

            /// Returns the name used in logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// Returns the name of the count of records that were dropped for this reason: `dropped_` and the name.
            pub const fn count_name(self) -> &'static str {
                match self {
                    $(Self::$reason => concat!("dropped_", $name),)*
                }
            }
        }
    };
}

reasons! {
    /// The frame was empty.
    Empty = "empty",
    /// A TLS handshake came to a port without TLS.
    UnexpectedTls = "unexpected_tls",
    /// A datagram came from a peer that is not allowed to send.
    Denied = "denied",
    /// A datagram came from a peer that had reached its rate limit.
    RateLimited = "rate_limited",
    /// A datagram came while the sink's queue was full.
    QueueFull = "queue_full",
    /// A datagram came while the source had reached its limit of bytes in flight.
    InFlightLimit = "in_flight_limit",
    /// The destination refused the record permanently.
    Rejected = "rejected",
    /// The destination refused the record permanently, and the dead-letter file of the sink was full.
    DeadLetterFull = "dead_letter_full",
    /// The sender waited too long for an acknowledgement, and will send the record again.
    Unacknowledged = "unacknowledged",
    /// The spool was full, and evicted its oldest records.
    SpoolFull = "spool_full",
    /// The record was damaged when it was read back from the disk of the spool.
    Damaged = "damaged",
    /// The time limit of the shutdown was over.
    Shutdown = "shutdown",
    /// A code path in the program forgot the record: a defect.
    Lost = "lost",
}

/// Numbers of dropped frames or records, in the order of [`Reason::ALL`].
pub type ByReason = [u64; Reason::ALL.len()];

/// Counts of dropped frames or records by reason.
#[derive(Debug, Default)]
pub struct Dropped([AtomicU64; Reason::ALL.len()]);

impl Dropped {
    /// Adds `records` to the count of `reason`.
    pub fn add(&self, reason: Reason, records: u64) {
        self.0[reason as usize].fetch_add(records, Relaxed);
    }

    /// Returns how many were dropped for `reason`.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Relaxed)
    }

    /// Returns how many were dropped for any reason.
    pub fn total(&self) -> u64 {
        self.all().iter().sum()
    }

    /// Returns all counts.
    pub fn all(&self) -> ByReason {
        Reason::ALL.map(|reason| self.get(reason))
    }
}
