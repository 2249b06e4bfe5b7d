//! A query: a queue id, a Message-ID, or the address of a sender or of a recipient.

use memchr::memmem::Finder;

use crate::correlate::HeldName;
use crate::record::{
    Delivery, Event, Expired, MessageId, Notification, Passing, Pickup, Postfix, QueueActive, Verdict,
};

/// Name of the messages that are sought.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    /// The text without brackets.
    text: String,
    /// Bytes that each matching line has in it, however its header or a log driver writes the text.
    needle: String,
}

impl TraceQuery {
    /// Reads a query; `None` if it is empty.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
        // The domain of an address may have letters of any case.
        let (local, _) = text.rsplit_once('@').unwrap_or((text, ""));
        let searched = if text.contains('@') { &text[..=local.len()] } else { text };
        let needle = searched.split(is_escaped).max_by_key(|run| run.len()).unwrap_or_default();
        (!text.is_empty()).then(|| Self { text: text.to_owned(), needle: needle.to_owned() })
    }

    /// Returns the text without brackets.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text to search for. Without one, each line may match.
    pub(super) fn finder(&self) -> Finder<'_> {
        Finder::new(self.needle.as_bytes())
    }

    /// Returns false if no line matches that has `behind` behind the text that was found: the domain is another one.
    pub(super) fn may_match(&self, behind: &[u8]) -> bool {
        let Some((_, domain)) = self.text.rsplit_once('@').filter(|_| self.needle.ends_with('@')) else { return true };
        let is_plain = !domain.contains(is_escaped);
        !is_plain || behind.get(..domain.len()).is_some_and(|same| same.eq_ignore_ascii_case(domain.as_bytes()))
    }

    /// Returns true if the line names what is sought. It can be one without a queue id: a refusal.
    pub(super) fn matches(&self, postfix: &Postfix<'_>) -> bool {
        let is_text = |text: Option<&str>| text == Some(&*self.text);
        let is_address = |address: Option<&str>| address.is_some_and(|address| self.is_address(address));
        is_text(postfix.queue_id)
            || match &postfix.event {
                Event::Delivery(Delivery { to, orig_to, remote_queue_id, forwarded_as, .. }) => {
                    is_address(Some(to)) || is_address(*orig_to) || is_text(*remote_queue_id) || is_text(*forwarded_as)
                }
                Event::Notification(Notification { notification_queue_id, .. }) => is_text(Some(notification_queue_id)),
                Event::MessageId(MessageId { message_id, .. }) => is_text(Some(message_id)),
                Event::QueueActive(QueueActive { from, .. })
                | Event::Pickup(Pickup { from, .. })
                | Event::Expired(Expired { from, .. }) => is_address(Some(from)),
                Event::Passing(Passing { to, .. }) => is_address(Some(to)),
                Event::Verdict(Verdict { from, to, .. }) => is_address(*from) || is_address(*to),
                _ => false,
            }
    }

    /// Returns true if a message with this name is sought.
    pub(super) fn wants(&self, name: HeldName<'_>) -> bool {
        match name {
            HeldName::Id(id) => id == self.text,
            HeldName::Address(address) => self.is_address(address),
        }
    }

    fn is_address(&self, address: &str) -> bool {
        match (self.text.rsplit_once('@'), address.rsplit_once('@')) {
            (Some((local, domain)), Some((other, of))) => local == other && domain.eq_ignore_ascii_case(of),
            _ => self.text == address,
        }
    }
}

/// Returns true if a log driver may write a character of a line as several: the formats of containers are JSON.
fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || c.is_control()
}
