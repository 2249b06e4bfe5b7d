//! Common facts of running sources and sinks: their identity, and whether they belong to the configuration.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Identity of a running source or sink. A configuration is prepared on another thread, while parts may end: its plan
/// names the running parts by this, which never names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartId(u64);

/// Whether a running source or sink belongs to the configuration. One that does may have a `T`.
#[derive(Debug)]
pub(super) enum PartLife<T = ()> {
    /// It is in the configuration.
    Current(T),
    /// A reload or a stop has removed it: it only ends what it has.
    Leaving,
}

/// A source or a sink of the next configuration, with its settings there.
pub(super) enum NextPart<C, N> {
    /// The running one with this identity continues.
    Kept { id: PartId, config: C },
    /// It begins.
    New { config: C, part: N },
}

/// Cancels `token` when `time` has passed.
pub(super) fn cancel_after(time: Duration, token: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        token.cancel();
    });
}

// === impl PartId ===

impl PartId {
    /// Returns an identity that no other part of this process has.
    pub(super) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

// === impl PartLife ===

impl<T> PartLife<T> {
    pub(super) const fn is_current(&self) -> bool {
        matches!(self, Self::Current(_))
    }

    /// Returns what a part of the configuration has; `None` if it is leaving.
    pub(super) const fn current(&self) -> Option<&T> {
        match self {
            Self::Current(current) => Some(current),
            Self::Leaving => None,
        }
    }

    /// Makes the part leave. Returns what it had; `None` if it was leaving already.
    pub(super) fn leave(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Leaving) {
            Self::Current(current) => Some(current),
            Self::Leaving => None,
        }
    }

    /// Returns the same without a `T`.
    pub(super) const fn plain(&self) -> PartLife {
        match self {
            Self::Current(_) => PartLife::Current(()),
            Self::Leaving => PartLife::Leaving,
        }
    }
}

// === impl NextPart ===

impl<C, N> NextPart<C, N> {
    pub(super) const fn config(&self) -> &C {
        match self {
            Self::Kept { config, .. } | Self::New { config, .. } => config,
        }
    }

    /// Returns the part if it is to begin.
    pub(super) const fn new_part(&self) -> Option<&N> {
        match self {
            Self::Kept { .. } => None,
            Self::New { part, .. } => Some(part),
        }
    }

    pub(super) const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}
