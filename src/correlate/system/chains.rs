//! Chains of messages: notices, forwards, what a content filter gives back, and what `postsuper -r` makes.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Due, MailJoins, SETTLE};
use crate::correlate::fields::KeptField;
use crate::correlate::line::{JoinLine, MaybeTime};
use crate::correlate::message::JoinedMessage;
use crate::correlate::outcome::Scratch;
use crate::correlate::remembered::PointsToMemory;
use crate::correlate::saved;
use crate::record::{Client, Delivery, Endpoint, Event, Notification, Pickup, Uid};

/// Number of messages that are remembered because another one names them.
const EXPECTED: usize = 10_000;
/// Number of messages that may name one queue id before a message with it is found.
const NAMED: usize = 8;

/// The messages that named another one, each of which it may have been made from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::correlate) struct ChainOrigins(Vec<ChainOrigin>);

/// The message from which another one was made.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::correlate) struct ChainOrigin {
    pub(in crate::correlate) queue_id: Box<str>,
    #[serde(with = "saved::uid")]
    pub(in crate::correlate) uid: Uid,
    #[serde(with = "saved::uid")]
    pub(in crate::correlate) trace: Uid,
    /// True if the other one is of the same instance. Postfix made it itself: a notice, a forward, or the same message
    /// after `postsuper -r`.
    pub(in crate::correlate) is_certain: bool,
    /// Time of the first line of the other one if it was found. Its lines may come again after a crash, and find this
    /// message no more.
    met: MaybeTime,
    /// Time of its first line, and of the line that names the other one: that one had its first line between them.
    pub(in crate::correlate) first_seen: i64,
    pub(in crate::correlate) at: i64,
}

impl MailJoins {
    /// Links a message to those that were made from it, and to the one from which it was made, if the line shows them.
    pub(super) fn link(&mut self, line: &JoinLine<'_, '_>, slot: u32, scratch: &mut Scratch) {
        match &line.postfix.event {
            Event::Notification(Notification { notification_queue_id: child, .. })
            | Event::Delivery(Delivery { forwarded_as: Some(child), .. }) => {
                self.add_child(line.at, slot, child, true, scratch);
            }
            // A content filter gives a message back on this host.
            Event::Delivery(Delivery { remote_queue_id: Some(child), relay: Some(relay), .. }) if is_local(relay) => {
                self.add_child(line.at, slot, child, false, scratch);
            }
            event @ (Event::Client(Client { orig_queue_id: Some(parent), .. })
            | Event::Pickup(Pickup { orig_queue_id: Some(parent), .. })) => {
                let parent = self.find(parent);
                // Another message may have that queue id by now.
                let is_it = |message: &JoinedMessage| match event {
                    Event::Client(_) => message.first_seen <= line.at && !message.was_over(line.at),
                    _ => message.is_requeued(),
                };
                if let Some(parent) = parent
                    && self.messages.get(parent).is_some_and(|entry| is_it(&entry.message))
                    && let Some(id) = line.postfix.queue_id
                {
                    self.add_child(line.at, parent, id, true, scratch);
                }
            }
            _ => {}
        }
    }

    /// Notes that a message was made from the one in `slot`, as a line of the time `at` says.
    fn add_child(&mut self, at: i64, slot: u32, child: &str, is_certain: bool, scratch: &mut Scratch) {
        let Some(entry) = self.messages.get_mut(slot) else { return };
        let uid = entry.uid(&self.name, &mut scratch.key);
        if entry.message.fields.get(KeptField::QueueId) == Some(child) {
            return;
        }
        entry.message.fields.add(KeptField::Child, child);
        let first_seen = entry.message.first_seen;
        let (trace, queue_id) = (entry.message.trace().unwrap_or(uid), entry.message.fields.get(KeptField::QueueId));
        let queue_id = queue_id.unwrap_or_default().into();
        self.changed(slot);
        let origin = ChainOrigin { queue_id, uid, trace, is_certain, met: MaybeTime::NONE, first_seen, at };
        let id = self.hash.of(&[child.as_bytes()]);
        self.expected.change(id, self.clock.now, EXPECTED, |origins| origins.add(origin));
        if let Some(slot) = self.find(child) {
            self.meet_expectations(slot);
        }
    }

    /// Links the message in `slot` to the one that named it, and those that it named to itself, as far as their lines
    /// have come.
    pub(super) fn meet_expectations(&mut self, slot: u32) {
        if self.expected.is_empty() {
            return;
        }
        let Some(entry) = self.messages.get(slot) else { return };
        let fields = entry.message.fields.as_ref();
        let ids = fields.all(KeptField::QueueId).chain(fields.all(KeptField::Child));
        let ids = ids.map(|id| (id, self.hash.of(&[id.as_bytes()])));
        let found = ids.filter(|(_, hash)| self.expected.contains(*hash));
        let found: Vec<_> = found.filter_map(|(id, hash)| Some((self.find_hashed(id, hash)?, hash))).collect();
        for (child, hash) in found {
            let origins = self.expected.get(hash).map_or(&[][..], |origins| &origins.0);
            let Some(place) = origins.iter().position(|origin| self.is_child(child, origin)) else { continue };
            let Some(entry) = self.messages.get_mut(child) else { continue };
            let ChainOrigin { queue_id, uid, trace, is_certain, .. } = &origins[place];
            let is_known = entry.message.parent() == Some(*uid);
            let was_vague = *is_certain && entry.message.made_by_postfix();
            if is_known && !was_vague {
                continue;
            }
            if !is_known {
                entry.message.made_from(queue_id, *uid, *trace);
            }
            let met = MaybeTime::of(Some(entry.message.first_seen));
            self.expected.change(hash, self.clock.now, EXPECTED, |origins| origins.0[place].met = met);
            self.changed(child);
            self.trace_children(child);
        }
    }

    /// Notes the oldest message of the chain of a message that named another one.
    pub(super) fn expect_trace(&mut self, child: &str, parent: Uid, trace: Uid) {
        let id = self.hash.of(&[child.as_bytes()]);
        if self.expected.contains(id) {
            self.expected.change(id, self.clock.now, EXPECTED, |origins| {
                origins.0.iter_mut().filter(|origin| origin.uid == parent).for_each(|origin| origin.trace = trace);
            });
        }
    }

    /// Returns true if the message in `child` was made from `origin`.
    fn is_child(&self, child: u32, origin: &ChainOrigin) -> bool {
        let Some(child) = self.messages.get(child).map(|entry| &entry.message) else { return false };
        let parent = self.find(&origin.queue_id).and_then(|slot| self.messages.get(slot)).map(|entry| &entry.message);
        let parent = parent.filter(|parent| parent.uid() == Some(origin.uid));
        // The queue id that a content filter gives back may be one of another instance. The same message has the same
        // Message-ID.
        let message_id = child.fields.get(KeptField::MessageId);
        let has_same =
            || message_id.is_some() && parent.and_then(|one| one.fields.get(KeptField::MessageId)) == message_id;
        // Earlier lines of the parent may have come since.
        let begun = parent.map_or(origin.first_seen, |parent| parent.first_seen);
        match origin.met.get() {
            // The lines of an earlier message with its queue id may come again too.
            Some(met) => (child.first_seen - met).abs() <= SETTLE,
            None => (origin.is_certain || has_same()) && child.is_of(begun, origin.at),
        }
    }

    /// Notes that a message has changed: if it is closed, another summary is due.
    pub(super) fn changed(&mut self, slot: u32) {
        let clock = self.clock.now;
        let Some(entry) = self.messages.get_mut(slot) else { return };
        entry.is_dirty = true;
        let is_closed = entry.message.closed().is_some();
        self.measure(slot);
        if is_closed {
            self.due.push(Reverse((clock + SETTLE, Due::Message(self.messages.key(slot)))));
        }
    }
}

impl ChainOrigins {
    fn add(&mut self, new: ChainOrigin) {
        if let Some(known) = self.0.iter_mut().find(|origin| origin.uid == new.uid) {
            known.is_certain |= new.is_certain;
            if new.at > known.at {
                // It may name another one by now: Postfix gives a queue id again.
                (known.at, known.met) = (new.at, MaybeTime::NONE);
            }
        } else if self.0.len() < NAMED {
            // There is seldom another one.
            self.0.reserve_exact(1);
            self.0.push(new);
        }
    }
}

impl PointsToMemory for ChainOrigins {
    fn held(&self) -> usize {
        let queue_ids = self.0.iter().map(|origin| origin.queue_id.len());
        self.0.capacity() * size_of::<ChainOrigin>() + queue_ids.sum::<usize>()
    }
}

/// Returns true if a relay is on this host.
fn is_local(relay: &Endpoint<'_>) -> bool {
    let address = relay.ip.and_then(|ip| ip.parse::<std::net::IpAddr>().ok());
    relay.path.is_some() || address.is_some_and(|address| address.is_loopback())
}
