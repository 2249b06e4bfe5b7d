//! A look at the messages, which changes nothing.

use super::MailJoins;
use crate::correlate::fields::{FieldsRef, KeptField};
use crate::correlate::message::JoinedMessage;
use crate::correlate::outcome::Scratch;
use crate::correlate::slab::SlabKey;
use crate::correlate::uid;
use crate::record::Uid;

/// Number of slots that are visited under one lock.
const PART: u32 = 256;
/// Maximum number of recipients in the copy of a message: of those that are sought, and of the others.
const RECIPIENTS: usize = 1000;

impl MailJoins {
    /// Passes some messages from the slot `first` on to `visit`, with their keys. Returns the first slot of the next
    /// part, if there is one.
    pub(in crate::correlate) fn visit(
        &self,
        first: u32,
        visit: &mut dyn FnMut(SlabKey, &JoinedMessage),
    ) -> Option<u32> {
        let end = self.messages.end();
        let next = first.saturating_add(PART).min(end);
        for slot in first..next {
            if let Some(entry) = self.messages.get(slot) {
                visit(self.messages.key(slot), &entry.message);
            }
        }
        (next < end).then_some(next)
    }

    /// Returns the id of the chain of a message, if there may be other messages in it.
    pub(in crate::correlate) fn chain(&self, key: SlabKey) -> Option<Uid> {
        let message = self.message_with(key)?;
        let has_children = message.fields.as_ref().value(KeptField::Child).is_some();
        message.trace().or_else(|| message.uid().filter(|_| has_children))
    }

    /// Adds a copy of a message to `scratch`, with at most 1,000 recipients of which `is_sought` is true, and 1,000
    /// others. Returns true if the copy has all recipients, or `None` if the message is no longer there.
    pub(in crate::correlate) fn copy(
        &self,
        key: SlabKey,
        is_sought: &dyn Fn(FieldsRef<'_>) -> bool,
        scratch: &mut Scratch,
    ) -> Option<bool> {
        let message = self.message_with(key)?;
        let uid = message.uid().unwrap_or_else(|| {
            // It is given to the message only when it is first needed, because an earlier line may still come.
            uid::write_key(&self.name, message, &mut scratch.key);
            uid::of_key(&scratch.key)
        });
        let (mut is_whole, mut rooms) = (true, [RECIPIENTS; 2]);
        scratch.summarize(&self.name, message, &self.patterns, |texts| {
            let room = &mut rooms[usize::from(is_sought(texts))];
            let is_told = *room > 0;
            *room = room.saturating_sub(1);
            is_whole &= is_told;
            is_told
        });
        scratch.identify_last(uid);
        Some(is_whole)
    }

    fn message_with(&self, key: SlabKey) -> Option<&JoinedMessage> {
        if self.messages.contains(key) { self.messages.get(key.slot).map(|entry| &entry.message) } else { None }
    }
}
