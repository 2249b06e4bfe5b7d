//! Who has a destination or a spool: after a reload, one sink after the other.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Control;

/// How often a thread looks whether those before it have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// The place of one thread behind others. Whoever comes behind it waits until this value goes.
#[derive(Debug, Default)]
pub struct Turn {
    before: Vec<Held>,
    own: Arc<()>,
}

/// Tells whether a [`Turn`] still lasts.
#[derive(Clone, Debug)]
pub struct Held(Weak<()>);

/// Whom a new sink waits for before it begins. Its queue takes batches meanwhile.
#[derive(Debug, Default)]
pub struct Before {
    /// A reload that is not settled yet.
    pub start: Option<Held>,
    /// Sinks that write to the same destination.
    pub destination: Vec<Held>,
    /// Sinks that have the same spool.
    pub spool: Vec<Held>,
}

impl Turn {
    pub(super) fn behind<'h>(before: impl IntoIterator<Item = &'h Held>) -> Self {
        Self { before: before.into_iter().cloned().collect(), own: Arc::default() }
    }

    /// For those that come behind it.
    pub fn held(&self) -> Held {
        Held(Arc::downgrade(&self.own))
    }

    /// Waits until all before it have ended; false if the time for the stop is over first.
    pub(super) fn wait(&self, control: &Control) -> bool {
        // A reload that is refused lets go of its sinks when their time is over.
        while !control.overdue() {
            if !self.before.iter().any(Held::lasts) {
                return true;
            }
            thread::park_timeout(PAUSE);
        }
        false
    }
}

impl Held {
    /// Whether it still lasts.
    pub fn lasts(&self) -> bool {
        self.0.strong_count() > 0
    }
}
