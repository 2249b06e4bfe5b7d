//! The joins of one mail system: one instance of Postfix on one host.
//!
//! ```text
//!            line                    removed              grace is over
//! (nothing) ------> open message -----------> closed message ---------> (nothing)
//!                     |                          ^      |
//!                     | too old, evicted         +------+ a late line: another summary
//!                     v
//!                 summary
//! ```
//!
//! A summary is made at once if the last line closes a message of which everything is known. Otherwise it is made some
//! seconds later: lines of several connections come in any order.

mod agents;
mod chains;
mod due;
mod hops;
mod limits;
mod postscreen;
mod processes;
mod query;
mod saved;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashTable;

use self::agents::DeliveryAgent;
use self::chains::ChainOrigins;
use self::due::{Due, JoinClock};
use self::postscreen::ScreenedEntry;
use self::processes::ProcessEntry;
pub(super) use self::saved::{LoadedHead, LoadedMessage, LoadedPast, SavedHead, SavedMessage, SavedPast};
use super::budget::Budget;
use super::fields::{Fields, KeptField};
use super::hash::KeyedHash;
use super::hops::{HopInbox, HopIndex};
use super::line::{JoinLine, micros};
use super::message::{JoinedMessage, MessageChange, MessageContext};
use super::outcome::Scratch;
use super::past::Past;
use super::patterns::{PatternTable, shrink};
use super::pool::BufferPool;
use super::remembered::RememberedValues;
use super::slab::Slab;
use super::systems::LogSender;
use super::uid;
use crate::record::{ClosedBy, Event, Uid};

/// Time within which lines that were written one after the other may come in another order, in microseconds.
pub(super) const SETTLE: i64 = 2_000_000;
/// Maximum number of summaries that a line makes because time demands them, and of those that limits demand.
pub(super) const BEHIND_LINE: usize = 8;

/// The joins of one mail system.
pub(super) struct MailJoins {
    /// `HOSTNAME/INSTANCE`.
    name: Box<str>,
    hash: KeyedHash,
    messages: Slab<MessageEntry>,
    pool: BufferPool,
    patterns: PatternTable,
    by_id: HashTable<u32>,
    processes: Slab<ProcessEntry>,
    by_process: HashTable<u32>,
    /// Clients of postscreen.
    screened: Slab<ScreenedEntry>,
    by_ip: HashTable<u32>,
    /// Time of the last line of a client that is forgotten.
    screened_until: i64,
    past: Past,
    /// Messages that another message names, by queue id.
    expected: RememberedValues<ChainOrigins>,
    /// Messages that went to another mail system or came from one, and what is new of them.
    hops: Arc<HopIndex>,
    inbox: Arc<HopInbox>,
    /// Delivery agents that can use TLS, by process id.
    agents: RememberedValues<DeliveryAgent>,
    /// Times at which a message or a session has to be looked at.
    due: BinaryHeap<Reverse<(i64, Due)>>,
    /// Number of them when those of what is gone were removed.
    due_fitted: usize,
    clock: JoinClock,
    budget: Arc<Budget>,
    /// Peer that sends its lines.
    sender: Arc<LogSender>,
    /// Memory that all of it holds, in bytes.
    held: usize,
    /// The part of it that is for tables and free buffers.
    held_by_tables: usize,
}

/// A message, and the state of its summary.
struct MessageEntry {
    message: JoinedMessage,
    /// Memory that it was counted with, beside that of the entry.
    held: u32,
    /// Time of its last line, by the clock of the system.
    touched: i64,
    /// True if a line has changed the message since its last summary, or that says it is open.
    is_dirty: bool,
    /// True if a summary is due after the round of attempts, with the number of attempts that the last one showed.
    in_round: bool,
    attempts_told: u16,
}

impl MailJoins {
    pub(super) fn new(name: &str, budget: Arc<Budget>, hops: Arc<HopIndex>, sender: Arc<LogSender>) -> Self {
        Self {
            name: name.into(),
            hash: KeyedHash::random(),
            messages: Slab::default(),
            pool: BufferPool::default(),
            patterns: PatternTable::default(),
            by_id: HashTable::new(),
            processes: Slab::default(),
            by_process: HashTable::new(),
            screened: Slab::default(),
            by_ip: HashTable::new(),
            screened_until: i64::MIN,
            past: Past::default(),
            expected: RememberedValues::default(),
            inbox: hops.inbox(name),
            hops,
            agents: RememberedValues::default(),
            due: BinaryHeap::new(),
            due_fitted: 0,
            clock: JoinClock::default(),
            budget,
            sender,
            held: 0,
            held_by_tables: 0,
        }
    }

    /// Joins a line with those before it, and adds what it closes to `scratch`.
    pub(super) fn join(&mut self, line: &JoinLine<'_, '_>, scratch: &mut Scratch) {
        self.clock.advance(line.at, micros(line.record.received_at));
        self.hear();
        // The line may be about a message with the queue id of one that is over by now.
        self.work(BEHIND_LINE, scratch);
        let process = self.session(line, scratch);
        self.screen(line, scratch);
        self.note_tls(line, scratch);
        if let Some(queue_id) = line.postfix.queue_id {
            self.message(line, queue_id, process, scratch);
        }
    }

    /// Returns `HOSTNAME/INSTANCE`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the peer that sends the lines.
    pub(super) const fn sender(&self) -> &Arc<LogSender> {
        &self.sender
    }

    /// Returns true if no message, no process and no client of postscreen is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.len() == 0 && self.processes.len() == 0 && self.screened.is_empty()
    }

    /// Lets the time of this machine pass, and makes what is due: at most `most` summaries.
    pub(super) fn tick(&mut self, time: i64, most: usize, scratch: &mut Scratch) {
        self.clock.pass(time);
        self.hear();
        self.work(most, scratch);
        self.keep_to_budget(most, scratch);
    }

    /// Closes everything, as far as it gives at most `most` summaries.
    pub(super) fn finish(&mut self, most: usize, scratch: &mut Scratch) {
        self.close_all(ClosedBy::Shutdown, most, scratch);
    }

    /// Evicts everything, as far as it gives at most `most` summaries.
    pub(super) fn evict_all(&mut self, most: usize, scratch: &mut Scratch) {
        let before = self.messages.len();
        self.close_all(ClosedBy::Evicted, most, scratch);
        self.budget.count_evictions(before - self.messages.len());
    }

    fn close_all(&mut self, by: ClosedBy, most: usize, scratch: &mut Scratch) {
        let has_room = |scratch: &Scratch| scratch.outcomes().len() < most;
        while has_room(scratch)
            && let Some(slot) = self.messages.oldest()
        {
            self.close(slot, by, scratch);
        }
        while has_room(scratch)
            && let Some(slot) = self.processes.oldest()
        {
            self.end_process(slot, scratch);
        }
        while has_room(scratch)
            && let Some(slot) = self.screened.oldest()
        {
            self.forget_screened(slot, scratch);
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Frees the memory of a system without messages, processes and clients.
    fn clear(&mut self) {
        (self.due, self.due_fitted) = (BinaryHeap::new(), 0);
        (self.messages, self.by_id) = (Slab::default(), HashTable::new());
        (self.processes, self.by_process) = (Slab::default(), HashTable::new());
        (self.screened, self.by_ip) = (Slab::default(), HashTable::new());
        (self.pool, self.patterns, self.past) = (BufferPool::default(), PatternTable::default(), Past::default());
        (self.expected, self.agents) = (RememberedValues::default(), RememberedValues::default());
        self.measure_tables();
    }

    // === messages ===

    fn find(&self, queue_id: &str) -> Option<u32> {
        self.find_hashed(queue_id, self.hash.of(&[queue_id.as_bytes()]))
    }

    fn find_hashed(&self, queue_id: &str, hash: u64) -> Option<u32> {
        let is_it = |slot: &u32| self.messages.get(*slot).is_some_and(|entry| entry.message.has_queue_id(queue_id));
        self.by_id.find(hash, is_it).copied()
    }

    fn known(&self, queue_id: &str, hash: u64) -> Option<(u32, &MessageEntry)> {
        let slot = self.find_hashed(queue_id, hash)?;
        Some((slot, self.messages.get(slot)?))
    }

    fn message(&mut self, line: &JoinLine<'_, '_>, queue_id: &str, process: Option<u32>, scratch: &mut Scratch) {
        if matches!(line.postfix.event, Event::Debug(_) | Event::Other(_)) {
            return;
        }
        let hash = self.hash.of(&[queue_id.as_bytes()]);
        if self.past.has(hash, line) {
            return;
        }
        let (slot, before) = match self.known(queue_id, hash) {
            Some((slot, entry)) if entry.message.is_succeeded_by(line) => {
                // Postfix gives a queue id again when the message has left the queue.
                self.close(slot, ClosedBy::Removed, scratch);
                (self.open(line, queue_id, hash, scratch), None)
            }
            Some((slot, entry)) => (slot, Some(entry.message.standing())),
            None => (self.open(line, queue_id, hash, scratch), None),
        };
        let Some(change) = self.apply(line, slot, process, scratch) else { return };
        self.messages.touch(slot);
        let Some(entry) = self.messages.get_mut(slot) else { return };
        // A parent or a child is found by the time of the first line, and by the Message-ID.
        let may_meet = matches!(line.postfix.event, Event::MessageId(_)) || before != Some(entry.message.standing());
        let is_closed = entry.message.closed().is_some();
        let is_complete = change == MessageChange::Closed && !entry.message.is_incomplete();
        let is_delivery = matches!(change, MessageChange::Delivery { .. });
        let begins_round = self.budget.settings().interim && is_delivery && !is_closed && !entry.in_round;
        entry.in_round |= begins_round;
        if is_complete {
            self.summarize(slot, scratch);
        }
        if begins_round {
            self.due.push(Reverse((self.clock.now + SETTLE, Due::Round(self.messages.key(slot)))));
        }
        if is_closed {
            self.due.push(Reverse((self.clock.now + SETTLE, Due::Message(self.messages.key(slot)))));
        }
        self.link(line, slot, scratch);
        if may_meet {
            self.meet_expectations(slot);
        }
        self.report_hop(line, slot);
    }

    /// Applies a line to its message.
    fn apply(
        &mut self,
        line: &JoinLine<'_, '_>,
        slot: u32,
        process: Option<u32>,
        scratch: &mut Scratch,
    ) -> Option<MessageChange> {
        let (clock, spare, tls) = (self.clock.now, self.spare(), self.tls_of(line));
        let entry = self.messages.get_mut(slot)?;
        let process = process.and_then(|slot| self.processes.get(slot)).map(|entry| &entry.process);
        let (hash, patterns, room) = (self.hash, &mut self.patterns, &mut scratch.room);
        let mut context = MessageContext { process, tls: tls.as_ref(), hash, patterns, room };
        scratch.texts.load(&entry.message.fields);
        let change = entry.message.apply(line, &mut scratch.texts, &mut context);
        scratch.texts.store(&mut entry.message.fields, &mut self.pool, spare);
        (entry.touched, entry.is_dirty) = (clock, true);
        match change {
            MessageChange::Known => {}
            MessageChange::Delivery { attempt, is_final } => {
                let uid = entry.uid(&self.name, &mut scratch.key);
                scratch.deliver(&entry.message, uid, attempt, is_final);
            }
            MessageChange::Closed => entry.message.close(ClosedBy::Removed, clock),
        }
        self.measure(slot);
        Some(change)
    }

    fn open(&mut self, line: &JoinLine<'_, '_>, queue_id: &str, queue_id_hash: u64, scratch: &mut Scratch) -> u32 {
        let mut message = JoinedMessage::new(line);
        scratch.texts.load(&Fields::default());
        scratch.texts.set(KeptField::QueueId, Some(queue_id));
        let spare = self.spare();
        scratch.texts.store(&mut message.fields, &mut self.pool, spare);
        let touched = self.clock.now;
        let entry = MessageEntry { message, held: 0, touched, is_dirty: true, in_round: false, attempts_told: 0 };
        self.insert(entry, queue_id_hash)
    }

    /// Adds a message as the newest.
    fn insert(&mut self, entry: MessageEntry, queue_id_hash: u64) -> u32 {
        let slot = self.messages.insert(entry).slot;
        let (messages, keyed) = (&self.messages, self.hash);
        self.by_id.insert_unique(queue_id_hash, slot, |slot| hash_of(messages, keyed, *slot));
        self.hold(0, Slab::<MessageEntry>::EACH);
        self.measure(slot);
        self.patterns.fit(self.messages.len());
        self.budget.add_message();
        slot
    }

    /// Makes the summary of a message.
    fn summarize(&mut self, slot: u32, scratch: &mut Scratch) {
        let Some(entry) = self.messages.get_mut(slot) else { return };
        entry.is_dirty = false;
        entry.message.revision += 1;
        entry.uid(&self.name, &mut scratch.key);
        scratch.summarize(&self.name, &entry.message, &self.patterns, |_| true);
    }

    /// Closes a message that may be open, and forgets it.
    fn close(&mut self, slot: u32, by: ClosedBy, scratch: &mut Scratch) {
        let clock = self.clock.now;
        let Some(entry) = self.messages.get_mut(slot) else { return };
        entry.message.close(by, clock);
        if entry.is_dirty {
            self.summarize(slot, scratch);
        }
        self.forget(slot);
    }

    fn forget(&mut self, slot: u32) {
        let Some(MessageEntry { message, held, .. }) = self.messages.remove(slot) else { return };
        let hash = self.hash.of(&[message.queue_id().as_bytes()]);
        if let Ok(place) = self.by_id.find_entry(hash, |known| *known == slot) {
            place.remove();
        }
        let (messages, keyed) = (&self.messages, self.hash);
        shrink(&mut self.by_id, |slot| hash_of(messages, keyed, *slot));
        self.past.add(hash, message.last_seen);
        message.recipients.release(&mut self.patterns);
        self.patterns.fit(self.messages.len());
        let spare = self.spare();
        message.fields.release(&mut self.pool, spare);
        self.hold(held as usize + Slab::<MessageEntry>::EACH, 0);
        self.budget.remove_message();
    }

    /// Counts the memory that a message holds now.
    fn measure(&mut self, slot: u32) {
        let Some(entry) = self.messages.get_mut(slot) else { return };
        let now = u32::try_from(entry.message.held()).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut entry.held, now);
        self.hold(before as usize, now as usize);
    }

    /// Returns the memory that free buffers may hold, in bytes.
    const fn spare(&self) -> usize {
        4096 + self.held / 32
    }

    fn hold(&mut self, before: usize, after: usize) {
        self.held = self.held + after - before;
        self.budget.hold(before, after);
    }
}

impl Drop for MailJoins {
    fn drop(&mut self) {
        self.inbox.close(&self.budget);
        self.budget.hold(self.held, 0);
    }
}

impl MessageEntry {
    fn uid(&mut self, system: &str, key: &mut Vec<u8>) -> Uid {
        if let Some(uid) = self.message.uid() {
            return uid;
        }
        uid::write_key(system, &self.message, key);
        let uid = uid::of_key(key);
        self.message.set_uid(uid);
        uid
    }
}

/// Returns the hash by which a message is found.
fn hash_of(messages: &Slab<MessageEntry>, keyed: KeyedHash, slot: u32) -> u64 {
    keyed.of(&[messages.get(slot).map_or("", |entry| entry.message.queue_id()).as_bytes()])
}
