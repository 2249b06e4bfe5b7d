//! The result of a message, as far as its lines tell it.

use super::{JoinedMessage, MessageEnd, SeenLines};
use crate::correlate::fields::KeptField;
use crate::correlate::line::MaybeTime;
use crate::correlate::recipient::{JoinedRecipient, RecipientStatus};
use crate::record::MessageResult;

impl JoinedMessage {
    /// Returns what became of the message, as far as it is known.
    pub(in crate::correlate) fn result(&self) -> MessageResult {
        match self.end {
            Some(MessageEnd::Deleted) => return MessageResult::Deleted,
            Some(MessageEnd::Rejected) => return MessageResult::Rejected,
            Some(MessageEnd::Discarded) => return MessageResult::Discarded,
            Some(MessageEnd::Requeued | MessageEnd::Canceled) => return MessageResult::Unknown,
            None if self.is_abandoned => return MessageResult::Unknown,
            None => {}
        }
        let count = |status| self.recipients.heads().filter(|recipient| recipient.status == status).count();
        let (sent, bounced, deferred) =
            (count(RecipientStatus::Sent), count(RecipientStatus::Bounced), count(RecipientStatus::Deferred));
        let has_expired = self.expired_at().is_known();
        if !has_expired && (deferred > 0 || sent + bounced == 0) {
            let held_at = MaybeTime::of(self.fields.as_ref().time(KeptField::HeldAt));
            return if held_at > self.moved_at { MessageResult::Held } else { MessageResult::Unknown };
        }
        match sent {
            // Without the lines of some recipients, the result for all is unknown, unless two differ and none is left.
            _ if !self.knows_recipients() && (sent == 0 || bounced == 0 || !self.seen.removed) => {
                MessageResult::Unknown
            }
            0 if has_expired => MessageResult::Expired,
            0 => MessageResult::Bounced,
            sent if sent == self.recipients.len() => MessageResult::Sent,
            _ => MessageResult::Partial,
        }
    }

    /// Returns true if an attempt for each recipient was seen.
    fn knows_recipients(&self) -> bool {
        let nrcpt = self.fields.as_ref().number(KeptField::Nrcpt);
        nrcpt.is_some_and(|nrcpt| self.recipients.counted() >= nrcpt)
    }

    /// Returns the time when the last recipient became final, if all are.
    pub(in crate::correlate) fn completed_at(&self) -> Option<i64> {
        if self.recipients.len() == 0 || !self.knows_recipients() {
            return None;
        }
        let expired_at = self.expired_at();
        let at = |recipient: &JoinedRecipient| {
            if recipient.status.is_final() { MaybeTime::of(Some(recipient.last_at)) } else { expired_at }
        };
        let is_final = self.recipients.heads().all(|recipient| at(recipient).is_known());
        self.recipients.heads().map(at).max().filter(|_| is_final).and_then(MaybeTime::get)
    }

    fn expired_at(&self) -> MaybeTime {
        MaybeTime::of(self.fields.as_ref().time(KeptField::ExpiredAt))
    }

    /// Returns true if a line that must exist was not seen.
    pub(in crate::correlate) fn is_incomplete(&self) -> bool {
        let SeenLines { opened, message_id, active, .. } = self.seen;
        let begins = opened || (message_id && self.seen.is_internal);
        match self.end {
            // It may not have got as far as cleanup.
            Some(MessageEnd::Canceled | MessageEnd::Rejected | MessageEnd::Discarded) => !begins,
            Some(MessageEnd::Deleted | MessageEnd::Requeued) => !(begins && message_id),
            // Its other lines may be missing: before 3.10, Postfix does not log that a client gave up.
            None if self.is_abandoned => true,
            None if self.closed_by.is_none() => !(begins && message_id && active),
            None => {
                let is_whole = begins && message_id && active && self.seen.removed;
                !(is_whole && self.completed_at().is_some())
            }
        }
    }
}
