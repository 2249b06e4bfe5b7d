//! The limits that all mail systems share.
//!
//! Each sender has the same share of a limit, and each mail system of a sender the same part of it. A system that has
//! more than its share evicts its own oldest messages. One with less keeps them: a host that sends many does not evict
//! the messages of the others.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::JoinSettings;

/// Counts of all mail systems together, and their limits.
#[derive(Debug)]
pub(super) struct Budget {
    max_messages: AtomicUsize,
    max_memory: AtomicUsize,
    max_age: AtomicI64,
    grace: AtomicI64,
    interim: AtomicBool,
    senders: AtomicUsize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    evicted: AtomicU64,
}

impl Budget {
    pub(super) fn new(settings: JoinSettings) -> Self {
        let zero = AtomicUsize::default;
        let budget = Self {
            max_messages: zero(),
            max_memory: zero(),
            max_age: AtomicI64::default(),
            grace: AtomicI64::default(),
            interim: AtomicBool::default(),
            senders: zero(),
            messages: zero(),
            bytes: zero(),
            evicted: AtomicU64::default(),
        };
        budget.set(settings);
        budget
    }

    /// Replaces the limits.
    pub(super) fn set(&self, settings: JoinSettings) {
        let JoinSettings { max_messages, max_memory, max_age, grace, interim } = settings;
        self.max_messages.store(max_messages, Relaxed);
        self.max_memory.store(max_memory, Relaxed);
        self.max_age.store(max_age, Relaxed);
        self.grace.store(grace, Relaxed);
        self.interim.store(interim, Relaxed);
    }

    /// Returns the limits.
    pub(super) fn settings(&self) -> JoinSettings {
        JoinSettings {
            max_messages: self.max_messages.load(Relaxed),
            max_memory: self.max_memory.load(Relaxed),
            max_age: self.max_age.load(Relaxed),
            grace: self.grace.load(Relaxed),
            interim: self.interim.load(Relaxed),
        }
    }

    /// Returns the time after its last line at which a message is closed, in microseconds.
    pub(super) fn max_age(&self) -> i64 {
        self.max_age.load(Relaxed)
    }

    pub(super) fn add_sender(&self) {
        self.senders.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_sender(&self) {
        self.senders.fetch_sub(1, Relaxed);
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

    pub(super) fn count_evictions(&self, messages: usize) {
        self.evicted.fetch_add(messages as u64, Relaxed);
    }

    /// Returns true if a limit is exceeded, and a system with `messages` and `bytes` has more than its share of it.
    /// `siblings` is the number of systems of its sender.
    pub(super) fn is_exceeded_by(&self, messages: usize, bytes: usize, siblings: usize) -> bool {
        let exceeds = |all: &AtomicUsize, own: usize, limit: &AtomicUsize| {
            let limit = limit.load(Relaxed);
            all.load(Relaxed) > limit && own > limit / self.senders.load(Relaxed).max(1) / siblings.max(1)
        };
        exceeds(&self.messages, messages, &self.max_messages) || exceeds(&self.bytes, bytes, &self.max_memory)
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
