//! The order of sinks that use the same destination or spool: after a reload, one after the other.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Control;

/// Interval at which a thread checks whether the threads before it have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// The place of one thread behind others. Threads behind this one wait until this value is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    before: Vec<TurnWatch>,
    own: Arc<()>,
}

/// Tells whether a [`Turn`] still lasts.
#[derive(Clone, Debug)]
pub struct TurnWatch(Weak<()>);

/// The turns that a new sink waits for before it begins. Its queue takes batches meanwhile.
#[derive(Debug, Default)]
pub struct Before {
    /// A reload that is not settled yet.
    pub start: Option<TurnWatch>,
    /// Sinks that write to the same destination.
    pub destination: Vec<TurnWatch>,
    /// Sinks that have the same spool.
    pub spool: Vec<TurnWatch>,
}

impl Turn {
    pub(super) fn behind<'h>(before: impl IntoIterator<Item = &'h TurnWatch>) -> Self {
        Self { before: before.into_iter().cloned().collect(), own: Arc::default() }
    }

    /// Returns a handle for the threads that come behind this one.
    pub fn held(&self) -> TurnWatch {
        TurnWatch(Arc::downgrade(&self.own))
    }

    /// Waits until all threads before this one have ended. Returns false if the stop deadline comes first.
    pub(super) fn wait(&self, control: &Control) -> bool {
        // A refused reload drops its sinks when their stop deadline has passed.
        while !control.overdue() {
            if !self.before.iter().any(TurnWatch::lasts) {
                return true;
            }
            thread::park_timeout(PAUSE);
        }
        false
    }
}

impl TurnWatch {
    /// Returns true if the turn still lasts.
    pub fn lasts(&self) -> bool {
        self.0.strong_count() > 0
    }
}
