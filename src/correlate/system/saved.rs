//! The joins of a mail system in a checkpoint.
//!
//! They are saved in parts, and lines are joined between two parts. A line that is joined meanwhile is in the
//! checkpoint or not; its source gives it once more after a crash, which changes nothing if it is. The order of the
//! parts makes that true: a session must not be gone that a message of a later part still needs, a message that is over
//! must be in one of the parts, and so must what it said of a message that began since.
//!
//! ```text
//! head: sessions, delivery agents ---> messages, some at a time ---> past: messages that are over, and whom they named
//! ```

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::agents::DeliveryAgent;
use super::chains::ChainOrigins;
use super::postscreen::ScreenedEntry;
use super::processes::{ProcessEntry, SESSION_AGE};
use super::{Due, JoinClock, MailJoins, MessageEntry, SETTLE, hash_of};
use crate::correlate::fields::Fields;
use crate::correlate::hash::KeyedHash;
use crate::correlate::message::JoinedMessage;
use crate::correlate::recipient::{JoinedRecipients, LoadedRecipient, SavedRecipient};
use crate::correlate::remembered::{RememberedEntry, RememberedValues};

/// All but the messages.
#[derive(Serialize)]
pub(in crate::correlate) struct SavedHead<'j> {
    hash: KeyedHash,
    clock: i64,
    screened_until: i64,
    processes: Vec<&'j ProcessEntry>,
    screened: Vec<&'j ScreenedEntry>,
    agents: Vec<&'j RememberedEntry<DeliveryAgent>>,
}

/// The same from a checkpoint.
#[derive(Deserialize)]
pub(in crate::correlate) struct LoadedHead {
    hash: KeyedHash,
    clock: i64,
    screened_until: i64,
    processes: Vec<ProcessEntry>,
    screened: Vec<ScreenedEntry>,
    agents: Vec<RememberedEntry<DeliveryAgent>>,
}

/// Facts of messages that are over: the part of a checkpoint that comes last.
#[derive(Serialize)]
pub(in crate::correlate) struct SavedPast<'j> {
    over: Vec<(u64, i64)>,
    expected: Vec<&'j RememberedEntry<ChainOrigins>>,
}

/// The same from a checkpoint.
#[derive(Deserialize)]
pub(in crate::correlate) struct LoadedPast {
    over: Vec<(u64, i64)>,
    expected: Vec<RememberedEntry<ChainOrigins>>,
}

/// A message that is remembered.
#[derive(Serialize)]
pub(in crate::correlate) struct SavedMessage<'j> {
    message: &'j JoinedMessage,
    recipients: Vec<SavedRecipient<'j>>,
    touched: i64,
    is_dirty: bool,
    in_round: bool,
    attempts_told: u16,
}

/// The same from a checkpoint.
#[derive(Deserialize)]
pub(in crate::correlate) struct LoadedMessage {
    message: JoinedMessage,
    recipients: Vec<LoadedRecipient>,
    touched: i64,
    is_dirty: bool,
    in_round: bool,
    attempts_told: u16,
}

impl MailJoins {
    /// Returns the part of a checkpoint that comes first.
    pub(in crate::correlate) fn head(&self) -> SavedHead<'_> {
        SavedHead {
            hash: self.hash,
            clock: self.clock.now,
            screened_until: self.screened_until,
            processes: self.processes.iter_from(0).map(|(_, entry)| entry).collect(),
            screened: self.screened.iter_from(0).map(|(_, entry)| entry).collect(),
            agents: self.agents.save(),
        }
    }

    /// Returns each message from the slot `first` on, with its slot.
    pub(in crate::correlate) fn messages_from(&self, first: u32) -> impl Iterator<Item = (u32, SavedMessage<'_>)> {
        self.messages.iter_from(first).map(|(slot, entry)| {
            let MessageEntry { message, touched, is_dirty, in_round, attempts_told, .. } = entry;
            let recipients = message.recipients.save(&self.patterns);
            let (touched, is_dirty, in_round, attempts_told) = (*touched, *is_dirty, *in_round, *attempts_told);
            (slot, SavedMessage { message, recipients, touched, is_dirty, in_round, attempts_told })
        })
    }

    /// Returns the part that comes last.
    pub(in crate::correlate) fn past(&self) -> SavedPast<'_> {
        SavedPast { over: self.past.iter().collect(), expected: self.expected.save() }
    }

    /// Takes the head of a checkpoint. The clock of the system goes on from where it was at the time `now`: nothing is
    /// over because the program did not run.
    pub(in crate::correlate) fn load_head(&mut self, head: LoadedHead, now: i64) {
        let LoadedHead { hash, clock, screened_until, processes, screened, agents } = head;
        (self.hash, self.screened_until) = (hash, screened_until);
        self.agents = RememberedValues::load(agents);
        self.clock = JoinClock { now: clock, read_at: now };
        for mut entry in in_order(processes, |entry| entry.touched) {
            entry.held = entry.process.held();
            self.hold(0, entry.held);
            let (identity, slot) = (entry.identity, self.processes.insert(entry).slot);
            let processes = &self.processes;
            self.by_process.insert_unique(identity, slot, |slot| processes.get(*slot).map_or(0, |one| one.identity));
        }
        for entry in in_order(screened, |entry| entry.touched) {
            self.add_screened(entry);
        }
    }

    /// Takes a message of a checkpoint.
    pub(in crate::correlate) fn load_message(&mut self, loaded: LoadedMessage) {
        let LoadedMessage { mut message, recipients, touched, is_dirty, in_round, attempts_told } = loaded;
        let hash = self.hash.of(&[message.queue_id().as_bytes()]);
        if let Some(slot) = self.find_hashed(message.queue_id(), hash) {
            // The earlier one ended while the messages were saved, and the later one got its queue id.
            if self.messages.get(slot).is_some_and(|entry| entry.message.first_seen > message.first_seen) {
                return;
            }
            self.forget(slot);
        }
        let mut texts = std::mem::take(&mut message.fields);
        message.recipients = JoinedRecipients::load(recipients, &mut texts, &mut self.patterns, self.hash);
        let spare = self.spare();
        let mut fields = Fields::default();
        texts.store(&mut fields, &mut self.pool, spare);
        message.fields = fields;
        self.insert(MessageEntry { message, held: 0, touched, is_dirty, in_round, attempts_told }, hash);
    }

    /// Takes the messages that are over, and puts everything else in order.
    pub(in crate::correlate) fn load_past(&mut self, past: LoadedPast) {
        self.expected = RememberedValues::load(past.expected);
        for (id, last_seen) in past.over {
            let is_it = |slot: &u32| hash_of(&self.messages, self.hash, *slot) == id;
            let found = self.by_id.find(id, is_it).and_then(|slot| self.messages.get(*slot));
            let Some(message) = found.map(|entry| &entry.message).filter(|one| one.first_seen <= last_seen) else {
                self.past.add(id, last_seen);
                continue;
            };
            // It ended while it was saved, and is open in the checkpoint. Its last lines come again. Those that had the
            // queue id before were over when it began.
            if !message.queued_at.is_known() {
                self.past.add(id, message.first_seen - SETTLE);
            }
        }
        let mut order: Vec<_> = self.messages.iter_from(0).map(|(slot, entry)| (entry.touched, slot)).collect();
        order.sort_unstable();
        for (_, slot) in order {
            self.messages.touch(slot);
        }
        self.find_due();
        self.measure_tables();
    }

    /// Makes the list of what has to be looked at.
    fn find_due(&mut self) {
        let Self { messages, processes, screened, due, .. } = self;
        for (slot, entry) in messages.iter_from(0) {
            let at = entry.touched + SETTLE;
            if entry.message.closed().is_some() {
                due.push(Reverse((at, Due::Message(messages.key(slot)))));
            }
            if entry.in_round {
                due.push(Reverse((at, Due::Round(messages.key(slot)))));
            }
        }
        for (slot, entry) in processes.iter_from(0).filter(|(_, entry)| !entry.process.is_empty()) {
            let key = processes.key(slot);
            due.push(Reverse((entry.touched + SESSION_AGE, Due::Silence(key))));
            if !screened.is_empty() {
                due.push(Reverse((entry.touched + SETTLE, Due::Screening(key))));
            }
            (0..entry.process.ends()).for_each(|_| due.push(Reverse((entry.touched + SETTLE, Due::Session(key)))));
        }
        for (slot, entry) in screened.iter_from(0) {
            entry.client.ends().for_each(|at| due.push(Reverse((at, Due::Screened(screened.key(slot))))));
        }
    }
}

/// Returns values in the order of a time.
fn in_order<T>(mut values: Vec<T>, time: impl Fn(&T) -> i64) -> Vec<T> {
    values.sort_by_key(time);
    values
}
