//! The stories of the messages that a running daemon remembers: from what the joins know of them, without their lines.

use std::collections::HashMap;
use std::time::Instant;

use jiff::tz::TimeZone;

use super::chain::{self, Story};
use super::join::Joined;
use super::message::{Made, TracedMessage};
use super::page::StoryPage;
use super::{TraceOutput, TraceQuery};
use crate::correlate::{Correlator, HeldLimits, HeldMessages};
use crate::encode::{Buffer, Encoder};
use crate::record::{Event, MessageSummary, Record, RecordIds};
use crate::time::Timestamp;

/// Settings for a trace without lines.
#[derive(Debug)]
pub struct HeldTrace {
    /// Name of the messages that are sought.
    pub query: TraceQuery,
    /// Zone of the times on a page.
    pub zone: TimeZone,
    /// Maximum number of messages that are told: the last ones.
    pub last: usize,
    /// The output.
    pub told: TraceOutput,
    /// Time at which the search ends, with what it has found.
    pub until: Instant,
    /// Size of the output at which no further story is added, in bytes. The output may be larger by a story, which is
    /// limited too: its messages are copies of at most a sixth of this size in all, and of one message more, with 2,000
    /// recipients at most.
    pub bytes: usize,
}

/// Maximum size of a record, as a multiple of the copy from which it is made: five as a rule.
const GROWTH: usize = 6;

/// The stories that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldStories {
    /// The records of the messages, each one line; for a page, the stories.
    pub parts: Vec<Vec<u8>>,
    /// Number of messages that match.
    pub matching: usize,
    /// Number of messages that were searched.
    pub searched: usize,
    /// True if a limit has ended the search, or left stories or recipients out.
    pub is_cut: bool,
}

/// Messages that a daemon remembers.
pub(super) struct HeldFacts {
    held: HeldMessages,
    ids: RecordIds,
    now: Timestamp,
}

/// A message that another one names, and how it was made from that.
type NamedLinks = HashMap<(usize, Box<str>), Made>;

impl HeldTrace {
    /// Tells the stories of the messages that `joins` remember.
    pub fn tell(&self, joins: &Correlator) -> HeldStories {
        let limits = HeldLimits { last: self.last, bytes: self.bytes / GROWTH, until: self.until };
        let held = joins.held(&|name| self.query.wants(name), limits);
        let facts = HeldFacts { held, ids: RecordIds::default(), now: Timestamp::now() };
        let encoder = match self.told {
            TraceOutput::Page(_) => None,
            TraceOutput::Records(encoder) => Some(encoder),
        };
        let (joined, links) = facts.join(encoder);
        let mut stories = chain::stories(&joined);
        for story in &mut stories {
            name_children(story, &joined, &links);
        }
        let HeldMessages { matching, searched, mut is_cut, .. } = facts.held;
        let (mut parts, mut size) = (Vec::new(), 0);
        for story in &stories {
            if size >= self.bytes {
                is_cut = true;
                break;
            }
            let before = parts.len();
            match self.told {
                TraceOutput::Page(look) => {
                    let mut text = String::new();
                    StoryPage::of_held(&joined, &facts, &self.zone, look, &mut text).story(story);
                    parts.push(text.into_bytes());
                }
                TraceOutput::Records(_) => {
                    story.each(&mut |message| parts.push(joined.messages[message].json.to_vec()));
                }
            }
            size += parts[before..].iter().map(Vec::len).sum::<usize>();
        }
        HeldStories { parts, matching, searched, is_cut }
    }
}

impl HeldFacts {
    /// Passes what is known of the message with this number to `use_summary`.
    pub(super) fn read(&self, message: usize, mut use_summary: impl FnMut(&Record<'_>, &MessageSummary<'_>)) {
        let id = self.ids.reserve(self.now, 1).take();
        self.held.read(message, id, self.now, &mut |record| {
            if let Some(Event::Message(summary)) = record.postfix.as_ref().map(|postfix| &postfix.event) {
                use_summary(record, summary);
            }
        });
    }

    /// Returns the messages under their numbers, and whom they name.
    fn join(&self, encoder: Option<Encoder>) -> (Joined<'static>, NamedLinks) {
        let (mut joined, mut links) = (Joined::default(), NamedLinks::new());
        for number in 0..self.held.len() {
            self.read(number, |record, summary| {
                let mut json = Buffer::default();
                if let Some(encoder) = encoder {
                    encoder.writer(&mut json).line(record);
                }
                let (hostname, postfix) = (record.message.hostname.unwrap_or_default(), record.postfix.as_ref());
                let (instance, queue_id) = postfix.map_or(("", None), |postfix| (postfix.instance, postfix.queue_id));
                let key = [hostname, instance, queue_id.unwrap_or_default()].join("/").into();
                let mut message = TracedMessage::new(summary, hostname, key, json[..].into());
                message.is_sought = self.held.is_sought(number);
                joined.messages.push(message);
                for recipient in summary.recipients {
                    let delivery = &recipient.delivery;
                    let named = [(delivery.forwarded_as, Made::Forward), (delivery.remote_queue_id, Made::Hop)];
                    links.extend(named.into_iter().filter_map(|(id, made)| Some(((number, id?.into()), made))));
                }
            });
        }
        (joined, links)
    }
}

/// Says of each child of a story how it was made, as far as its parent's deliveries and its sender tell that.
fn name_children(story: &mut Story, joined: &Joined<'_>, links: &NamedLinks) {
    for child in &mut story.children {
        let message = &joined.messages[child.message];
        let by_delivery = links.get(&(story.message, message.queue_id().into())).copied();
        let is_notice = || message.from.as_deref().is_some_and(str::is_empty);
        child.made = by_delivery.or_else(|| is_notice().then_some(Made::Notice("")));
        name_children(child, joined, links);
    }
}

#[cfg(test)]
mod tests;
