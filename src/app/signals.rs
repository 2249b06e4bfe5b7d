//! The signals that the daemon handles.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

/// Request that a signal makes.
pub(super) enum Asked {
    Stop(&'static str),
    Reload,
    Ledger,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Returns signals that nobody sends, for tests: the real handlers would keep a signal from ending the tests.
    #[cfg(test)]
    pub(super) fn none() -> std::io::Result<Self> {
        let none = || signal(SignalKind::window_change());
        Ok(Self { terminate: none()?, interrupt: none()?, hangup: none()?, user1: none()? })
    }

    /// Waits for the next signal. A stop has priority over a reload.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => Asked::Stop("SIGTERM"),
            Some(()) = self.interrupt.recv() => Asked::Stop("SIGINT"),
            Some(()) = self.hangup.recv() => Asked::Reload,
            Some(()) = self.user1.recv() => Asked::Ledger,
            else => pending().await,
        }
    }
}
