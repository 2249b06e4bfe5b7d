//! Iterates over the messages of a mail system in parts, with one lock for each part.

use super::{MailSystem, Origin};
use crate::correlate::fields::FieldsRef;
use crate::correlate::message::JoinedMessage;
use crate::correlate::outcome::Scratch;
use crate::correlate::slab::SlabKey;
use crate::record::Uid;

impl MailSystem {
    /// Passes some messages from the slot `first` on to `visit`, with their keys. Returns the first slot of the next
    /// part, if there may be more.
    pub(in crate::correlate) fn visit(
        &self,
        first: u32,
        visit: &mut dyn FnMut(SlabKey, &JoinedMessage),
    ) -> Option<u32> {
        self.state().joins.visit(first, visit)
    }

    /// Returns the id of the chain of a message, if there may be other messages in it.
    pub(in crate::correlate) fn chain(&self, key: SlabKey) -> Option<Uid> {
        self.state().joins.chain(key)
    }

    /// Adds a copy of a message to `scratch`. Returns the source of the last line of the system, and the result of
    /// [`MailJoins::copy`](crate::correlate::system::MailJoins::copy).
    pub(in crate::correlate) fn copy(
        &self,
        key: SlabKey,
        is_sought: &dyn Fn(FieldsRef<'_>) -> bool,
        scratch: &mut Scratch,
    ) -> Option<(Origin, bool)> {
        let state = self.state();
        let is_whole = state.joins.copy(key, is_sought, scratch)?;
        Some((state.origin.clone(), is_whole))
    }
}
