//! The limits that all mail systems share.
//!
//! A system that has more than its share evicts its own oldest messages. One with less keeps them, so that a host that
//! sends many does not evict the messages of the others.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counts of all mail systems together, and their limits.
#[derive(Debug)]
pub(super) struct Budget {
    /// Maximum number of messages.
    max_messages: usize,
    /// Maximum number of bytes.
    max_memory: usize,
    systems: AtomicUsize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    evicted: AtomicU64,
}

impl Budget {
    pub(super) fn new(max_messages: usize, max_memory: usize) -> Self {
        let zero = AtomicUsize::default;
        Self {
            max_messages,
            max_memory,
            systems: zero(),
            messages: zero(),
            bytes: zero(),
            evicted: AtomicU64::default(),
        }
    }

    pub(super) fn add_system(&self) {
        self.systems.fetch_add(1, Relaxed);
    }

    pub(super) fn add_message(&self) {
        self.messages.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_message(&self) {
        self.messages.fetch_sub(1, Relaxed);
    }

    /// Notes that an object that held `before` bytes holds `after` bytes.
    pub(super) fn hold(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Relaxed);
        }
    }

    pub(super) fn count_eviction(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    /// Returns true if a limit is exceeded, and a system with `messages` and `bytes` has more than its share of it.
    pub(super) fn is_exceeded_by(&self, messages: usize, bytes: usize) -> bool {
        let systems = self.systems.load(Relaxed).max(1);
        let exceeds = |all: usize, own: usize, limit: usize| all > limit && own > limit / systems;
        exceeds(self.messages.load(Relaxed), messages, self.max_messages)
            || exceeds(self.bytes.load(Relaxed), bytes, self.max_memory)
    }

    /// Returns the number of messages that all systems hold.
    pub(super) fn messages(&self) -> usize {
        self.messages.load(Relaxed)
    }

    /// Returns the number of bytes that all systems hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Returns the number of messages that were evicted.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }
}
