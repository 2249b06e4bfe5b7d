//! The file descriptors that peers and followed files may take. The descriptors that the sinks need are not among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// The limits that all sources share. Clones share the same limits; there are none until [`Descriptors::set`].
#[derive(Clone, Debug)]
pub struct Descriptors(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    connections: AtomicUsize,
    used: AtomicUsize,
    /// Notified when a connection has ended or the limit has changed.
    freed: Notify,
    files: AtomicUsize,
}

/// The descriptor of one connection, taken until this value is dropped.
#[derive(Debug)]
pub(super) struct Descriptor(Arc<Shares>);

impl Default for Descriptors {
    fn default() -> Self {
        let most = || AtomicUsize::new(usize::MAX);
        Self(Arc::new(Shares { connections: most(), used: AtomicUsize::new(0), freed: Notify::new(), files: most() }))
    }
}

impl Descriptors {
    /// Sets the limits: all sources together may have `connections` connections, including those that are accepted only
    /// to be closed, and each source of followed files may have `files` open files. Existing connections and open files
    /// stay.
    pub fn set(&self, connections: usize, files: usize) {
        self.0.connections.store(connections, Relaxed);
        self.0.files.store(files, Relaxed);
        self.0.freed.notify_waiters();
    }

    /// Maximum number of connections of all sources.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Relaxed)
    }

    /// Maximum number of open files of one source of followed files.
    pub(super) fn files(&self) -> usize {
        self.0.files.load(Relaxed)
    }

    /// Returns the descriptor of one more connection, if there is one.
    pub(super) fn try_take(&self) -> Option<Descriptor> {
        let limit = self.connections();
        let more = |used: usize| (used < limit).then_some(used + 1);
        self.0.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Descriptor(Arc::clone(&self.0)))
    }

    /// Waits for the descriptor of one more connection.
    pub(super) async fn take(&self) -> Descriptor {
        loop {
            let freed = self.0.freed.notified();
            if let Some(descriptor) = self.try_take() {
                return descriptor;
            }
            freed.await;
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Relaxed);
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_none_waits_until_one_is_free_or_there_are_more() {
        let descriptors = Descriptors::default();
        descriptors.set(2, 1);
        let waits = || timeout(Duration::from_secs(1), descriptors.take());
        let (one, _two) = (descriptors.take().await, descriptors.take().await);
        assert!(descriptors.try_take().is_none() && waits().await.is_err());
        drop(one);
        let _again = waits().await.unwrap();
        let other = descriptors.clone();
        let waiting = tokio::spawn(async move { other.take().await });
        tokio::task::yield_now().await;
        descriptors.set(3, 1);
        timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
        // A lower limit takes nothing away.
        descriptors.set(1, 1);
        assert!(waits().await.is_err());
    }
}
