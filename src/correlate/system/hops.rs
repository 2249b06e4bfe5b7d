//! Hops of the messages of a mail system: to another system, and from another one.

use std::sync::Arc;

use super::MailJoins;
use crate::correlate::fields::KeptField;
use crate::correlate::hops::{HopNews, HopParent, HopReport};
use crate::correlate::line::JoinLine;
use crate::correlate::recipient::RecipientStatus;
use crate::record::{Delivery, Event, Uid};

/// Minimum and maximum length of a Postfix queue id, in bytes.
const QUEUE_ID: std::ops::RangeInclusive<usize> = 6..=32;

impl MailJoins {
    /// Reports what a line shows of a hop of the message in `slot`.
    pub(super) fn report_hop(&mut self, line: &JoinLine<'_, '_>, slot: u32) {
        match &line.postfix.event {
            Event::MessageId(_) => {
                self.report_target(slot);
                self.report_deliveries(slot);
            }
            Event::Delivery(Delivery { remote_queue_id: Some(child), status, .. }) if is_sent(status, child) => {
                self.report_source(slot, child, line.at);
            }
            _ => return,
        }
        self.hear();
    }

    /// Reports that the message may be one that another mail system sent.
    fn report_target(&self, slot: u32) {
        let Some(message) = self.messages.get(slot).map(|entry| &entry.message) else { return };
        if let Some(message_id) = message.fields.get(KeptField::MessageId)
            && message.may_come_from_a_client()
        {
            let (name, first_seen) = ((message.queue_id(), message_id), message.first_seen);
            self.hops.add_target(name, &self.inbox, first_seen, self.clock.now);
        }
    }

    /// Reports a delivery to a server that gave the message this queue id. A message without a Message-ID cannot be
    /// known again.
    fn report_source(&self, slot: u32, child: &str, at: i64) {
        let Some(message) = self.messages.get(slot).map(|entry| &entry.message) else { return };
        let (Some(message_id), Some(uid)) = (message.fields.get(KeptField::MessageId), message.uid()) else { return };
        let (queue_id, trace, first_seen) = (message.queue_id(), message.trace().unwrap_or(uid), message.first_seen);
        let report = HopReport { inbox: &self.inbox, queue_id, child, uid, trace, first_seen, at };
        self.hops.add_source(message_id, report, self.clock.now);
    }

    /// Reports the last delivery to each recipient.
    fn report_deliveries(&self, slot: u32) {
        let Some(message) = self.messages.get(slot).map(|entry| &entry.message) else { return };
        for (recipient, texts) in message.recipients.iter(message.fields.as_ref()) {
            if let Some(child) = texts.get(KeptField::RemoteId)
                && recipient.status == RecipientStatus::Sent
                && is_queue_id(child)
            {
                self.report_source(slot, child, recipient.last_at);
            }
        }
    }

    /// Links messages to those of other systems, as far as there is news. Returns true if there was.
    pub(in crate::correlate) fn hear(&mut self) -> bool {
        let had_news = self.inbox.has_news();
        while self.inbox.has_news() {
            let inbox = Arc::clone(&self.inbox);
            for news in inbox.take(&self.budget) {
                match news {
                    HopNews::Parent { child, first_seen, parent } => self.hear_of_parent(&child, first_seen, &parent),
                    HopNews::Child { child, parent } => self.hear_of_child(&child, &parent),
                }
            }
        }
        had_news
    }

    fn hear_of_parent(&mut self, child: &str, first_seen: i64, parent: &HopParent) {
        let Some(slot) = self.find(child) else { return };
        let Some(message) = self.messages.get_mut(slot).map(|entry| &mut entry.message) else { return };
        let HopParent { queue_id, uid, trace } = parent;
        // The queue id may be that of another message by now.
        let is_it = (message.first_seen..=message.last_seen).contains(&first_seen);
        let has_other = message.parent().is_some_and(|known| known != *uid);
        let is_circle = message.uid().is_some_and(|own| own == *uid || own == *trace);
        let is_known = message.parent() == Some(*uid) && message.trace() == Some(*trace);
        if is_it && !has_other && !is_circle && !is_known {
            message.made_from(queue_id, *uid, *trace);
            self.changed(slot);
            self.trace_children(slot);
        }
    }

    fn hear_of_child(&mut self, child: &str, parent: &HopParent) {
        let Some(slot) = self.find(&parent.queue_id) else { return };
        let Some(message) = self.messages.get_mut(slot).map(|entry| &mut entry.message) else { return };
        let is_known = message.fields.as_ref().all(KeptField::Child).any(|known| known == child);
        if message.uid() == Some(parent.uid) && !is_known {
            message.fields.add(KeptField::Child, child);
            self.changed(slot);
        }
    }

    /// Copies the oldest message of the chain to the messages made from `slot`.
    pub(super) fn trace_children(&mut self, slot: u32) {
        let mut slots = vec![slot];
        while let Some(slot) = slots.pop() {
            let Some(message) = self.messages.get(slot).map(|entry| &entry.message) else { continue };
            let (Some(uid), Some(trace)) = (message.uid(), message.trace()) else { continue };
            let children: Vec<Box<str>> = message.fields.as_ref().all(KeptField::Child).map(Into::into).collect();
            for child in children {
                slots.extend(self.trace_child(&child, uid, trace));
            }
            self.report_deliveries(slot);
        }
    }

    /// Sets the oldest message of the chain. Returns the slot if that changed and the message was made from `parent`.
    fn trace_child(&mut self, child: &str, parent: Uid, trace: Uid) -> Option<u32> {
        self.expect_trace(child, parent, trace);
        let slot = self.find(child)?;
        let message = &mut self.messages.get_mut(slot)?.message;
        let is_other = message.parent() == Some(parent) && message.trace() != Some(trace);
        if !is_other || message.uid() == Some(trace) {
            return None;
        }
        message.trace_to(trace);
        self.changed(slot);
        Some(slot)
    }
}

/// Returns true if a delivery with this status handed the message over to a Postfix that gave it this queue id.
fn is_sent(status: &str, child: &str) -> bool {
    RecipientStatus::of(status) == RecipientStatus::Sent && is_queue_id(child)
}

/// Returns true if Postfix may have made a queue id. Other servers give other texts.
fn is_queue_id(text: &str) -> bool {
    QUEUE_ID.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}
