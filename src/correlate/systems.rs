//! The mail systems whose lines are joined: one instance of Postfix on one host each.
//!
//! A peer chooses the names of hosts. Their number is therefore limited, and the peer with the most mail systems loses
//! those that were silent for the longest time.

pub(super) mod checkpoint;
mod query;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use super::budget::Budget;
use super::hops::HopIndex;
use super::line::micros;
use super::outcome::{JoinOutcome, Scratch};
use super::summary::{self, SummaryFrame};
use super::system::MailJoins;
use crate::poison;
use crate::record::{Origin, Record, RecordId};
use crate::time::Timestamp;

/// Maximum number of mail systems.
const SYSTEMS: usize = 10_000;
/// Number of mail systems that are closed together when there are too many: finding them takes a look at all.
const CLOSED: usize = 500;
/// Time after its last line at which a mail system without open messages is forgotten, in microseconds.
const SILENT: i64 = 86_400 * 1_000_000;

/// A mail system and its name.
pub(super) struct MailSystem {
    hostname: Box<str>,
    instance: Box<str>,
    sender: Arc<LogSender>,
    /// Time of this machine when the last line came, in microseconds since 1970.
    used_at: AtomicI64,
    state: Mutex<SystemState>,
}

/// The joins of a mail system.
pub(super) struct SystemState {
    pub(super) joins: MailJoins,
    /// Source of its last line.
    origin: Origin,
    /// True if the system is no longer in the list. Its lines belong to a new one.
    is_closed: bool,
}

/// A peer, or a source whose lines have no peer, that sends the lines of mail systems.
#[derive(Debug)]
pub(super) struct LogSender {
    name: Box<str>,
    /// Number of its mail systems.
    systems: AtomicUsize,
}

/// The mail systems by name, and their senders.
#[derive(Default)]
pub(super) struct Systems {
    by_name: HashMap<Box<str>, Arc<MailSystem>>,
    senders: HashMap<Box<str>, Arc<LogSender>>,
    /// Systems that left the list, and whose messages are not closed yet.
    closed: Vec<Arc<MailSystem>>,
}

impl Systems {
    /// Returns the mail system with the name `HOSTNAME/INSTANCE`.
    pub(super) fn get(&self, name: &str) -> Option<Arc<MailSystem>> {
        self.by_name.get(name).cloned()
    }

    /// Adds the mail system that wrote `record`, unless it is there. Closes others if there are too many.
    pub(super) fn add(
        &mut self,
        name: &str,
        record: &Record<'_>,
        instance: &str,
        (budget, hops): (&Arc<Budget>, &Arc<HopIndex>),
    ) -> Arc<MailSystem> {
        if let Some(system) = self.get(name) {
            return system;
        }
        if self.by_name.len() >= SYSTEMS {
            self.close_some(budget);
        }
        let sender = self.sender(sender_name(record), budget);
        sender.systems.fetch_add(1, Relaxed);
        let joins = MailJoins::new(name, Arc::clone(budget), Arc::clone(hops), Arc::clone(&sender));
        let origin = record.origin.clone();
        let system = Arc::new(MailSystem {
            hostname: record.message.hostname.unwrap_or_default().into(),
            instance: instance.into(),
            sender,
            used_at: AtomicI64::new(micros(record.received_at)),
            state: Mutex::new(SystemState { joins, origin, is_closed: false }),
        });
        self.by_name.insert(name.into(), Arc::clone(&system));
        system
    }

    /// Returns the mail systems in the list.
    pub(super) fn listed(&self) -> Vec<Arc<MailSystem>> {
        self.by_name.values().cloned().collect()
    }

    /// Returns all mail systems, those first that left the list.
    pub(super) fn all(&self) -> Vec<Arc<MailSystem>> {
        self.closed.iter().chain(self.by_name.values()).cloned().collect()
    }

    /// Returns the number of mail systems in the list.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Removes the mail systems that left the list and have nothing more, and those without open messages that were
    /// silent for long.
    pub(super) fn forget(&mut self, now: Timestamp, budget: &Budget) {
        self.closed.retain(|system| !system.state().joins.is_empty());
        let before = micros(now) - SILENT;
        let silent: Vec<_> =
            self.by_name.values().filter(|system| system.used_at.load(Relaxed) < before).cloned().collect();
        for system in silent {
            if system.state().joins.is_empty() {
                self.remove(&system, budget);
            }
        }
    }

    /// Takes the systems of the sender with the most of them from the list, those first that were silent for long.
    fn close_some(&mut self, budget: &Budget) {
        let Some(sender) = self.senders.values().max_by_key(|sender| sender.systems.load(Relaxed)).cloned() else {
            return;
        };
        let mut systems: Vec<_> =
            self.by_name.values().filter(|system| Arc::ptr_eq(&system.sender, &sender)).cloned().collect();
        systems.sort_unstable_by_key(|system| Reverse(system.used_at.load(Relaxed)));
        // Half of them at most: the others may well be in use.
        let closed = CLOSED.min(systems.len().div_ceil(2));
        for system in systems.drain(systems.len() - closed..) {
            self.remove(&system, budget);
            self.closed.push(system);
        }
    }

    fn remove(&mut self, system: &Arc<MailSystem>, budget: &Budget) {
        let mut state = system.state();
        state.is_closed = true;
        self.by_name.remove(state.joins.name());
        if system.sender.systems.fetch_sub(1, Relaxed) == 1 {
            self.senders.remove(&*system.sender.name);
            budget.remove_sender();
        }
    }

    /// Returns the sender with this name.
    fn sender(&mut self, name: &str, budget: &Budget) -> Arc<LogSender> {
        match self.senders.get(name) {
            Some(sender) => Arc::clone(sender),
            None => self.add_sender(name, budget),
        }
    }

    fn add_sender(&mut self, name: &str, budget: &Budget) -> Arc<LogSender> {
        let sender = Arc::new(LogSender { name: name.into(), systems: AtomicUsize::new(0) });
        self.senders.insert(name.into(), Arc::clone(&sender));
        budget.add_sender();
        sender
    }
}

impl LogSender {
    /// Returns the number of its mail systems.
    pub(super) fn systems(&self) -> usize {
        self.systems.load(Relaxed)
    }
}

impl MailSystem {
    /// Returns true if this system wrote `record`.
    pub(super) fn wrote(&self, record: &Record<'_>) -> bool {
        record.postfix.as_ref().is_some_and(|postfix| *postfix.instance == *self.instance)
            && record.message.hostname.unwrap_or_default() == &*self.hostname
    }

    /// Returns the joins for lines of which `last` is the last one; `None` if the system left the list.
    pub(super) fn open(&self, last: &Record<'_>) -> Option<MutexGuard<'_, SystemState>> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        if last.origin.name != state.origin.name {
            state.origin = last.origin.clone();
        }
        self.used_at.store(micros(last.received_at), Relaxed);
        Some(state)
    }

    fn state(&self) -> MutexGuard<'_, SystemState> {
        poison::ignore(self.state.lock())
    }

    /// Links the messages of the system to those of other ones. Returns true if there was news of such a link.
    pub(super) fn hear(&self) -> bool {
        self.state().joins.hear()
    }

    /// Lets `act` change the joins, and passes the records of the results to `use_record`.
    pub(super) fn each(
        &self,
        act: impl FnOnce(&mut MailJoins, bool, &mut Scratch),
        scratch: &mut Scratch,
        (now, new_id): (Timestamp, &mut dyn FnMut() -> RecordId),
        use_record: &mut dyn FnMut(&Record<'_>),
    ) {
        scratch.clear();
        let mut state = self.state();
        let is_closed = state.is_closed;
        act(&mut state.joins, is_closed, scratch);
        if scratch.outcomes().is_empty() {
            return;
        }
        let origin = state.origin.clone();
        drop(state);
        for (_, outcome) in scratch.outcomes() {
            self.make(outcome, scratch, (&origin, now, new_id()), use_record);
        }
    }

    /// Makes the record of a summary.
    pub(super) fn make(
        &self,
        outcome: &JoinOutcome,
        scratch: &Scratch,
        (origin, received_at, id): (&Origin, Timestamp, RecordId),
        use_record: &mut dyn FnMut(&Record<'_>),
    ) {
        let frame = SummaryFrame { id, received_at, origin, hostname: &self.hostname, instance: &self.instance };
        match outcome {
            JoinOutcome::Delivery(_) => {}
            JoinOutcome::Message(number) => summary::of_message(scratch.message(*number), scratch, &frame, use_record),
            JoinOutcome::Session(number) => summary::of_session(scratch.session(*number), &frame, use_record),
        }
    }
}

/// Returns the name of the peer that sent `record`: its address without the port, or else the name of the source.
fn sender_name<'r>(record: &'r Record<'_>) -> &'r str {
    let Some(address) = record.peer.address else { return &record.origin.name };
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests;
