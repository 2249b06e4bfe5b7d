//! The stories: messages of one chain, each under the one from which it was made.

use std::collections::HashMap;

use super::join::Joined;
use super::message::{Made, Mention, TracedMessage};
use crate::correlate::CLOCK_SKEW;

/// A message with those that were made from it.
#[derive(Debug)]
pub(super) struct Story {
    /// Number of the message.
    pub(super) message: usize,
    /// How it was made from the one above it.
    pub(super) made: Option<Made>,
    pub(super) children: Vec<Self>,
}

/// Returns the stories with a message that matches, in the order of their first lines.
pub(super) fn stories(joined: &Joined<'_>) -> Vec<Story> {
    let Joined { messages, .. } = joined;
    let mut children = vec![Vec::new(); messages.len()];
    let parents = parents(joined);
    for (number, parent) in parents.iter().enumerate() {
        if let Some((parent, made)) = parent {
            children[*parent].push((number, *made));
        }
    }
    for children in &mut children {
        children.sort_by_key(|(number, _)| messages[*number].first_seen);
    }
    let mut roots: Vec<usize> = (0..messages.len()).filter(|number| parents[*number].is_none()).collect();
    roots.sort_by_key(|root| (messages[*root].first_seen, messages[*root].lines.first().copied()));
    let story = |root| Story::new(root, None, &children);
    roots.into_iter().map(story).filter(|story| story.has(&|message| messages[message].is_sought)).collect()
}

/// Returns the message from which each was made, if one was.
fn parents(joined: &Joined<'_>) -> Vec<Option<(usize, Option<Made>)>> {
    let Joined { messages, lines } = joined;
    let by_uid: HashMap<_, _> = messages.iter().enumerate().map(|(number, message)| (message.uid, number)).collect();
    // Lines that name a message that was made from theirs, by its queue id.
    let mut mentions = HashMap::<&str, Vec<(usize, i64, Made)>>::new();
    for line in lines {
        if let (Some(number), Some(Mention { id, made, is_parent: false })) = (line.message, &line.mention) {
            mentions.entry(id).or_default().push((number, line.at, *made));
        }
    }
    let mut parents: Vec<Option<(usize, Option<Made>)>> = vec![None; messages.len()];
    for (number, message) in messages.iter().enumerate() {
        let mentions = mentions.get(message.queue_id()).map_or(&[][..], Vec::as_slice);
        let known = message.parent.and_then(|parent| by_uid.get(&parent)).copied();
        let parent = match known {
            Some(parent) => {
                let made = mentions.iter().find(|(by, ..)| *by == parent).map(|(.., made)| *made);
                Some((parent, made.or_else(|| own_mention(joined, message, messages[parent].queue_id()))))
            }
            None => next_hop(message, mentions, messages),
        };
        // A circle would have no beginning.
        parents[number] = parent.filter(|(parent, _)| !leads_to(&parents, *parent, number));
    }
    parents
}

/// Returns how a message was made from the one with the queue id `parent`, as its own line says.
fn own_mention(joined: &Joined<'_>, message: &TracedMessage, parent: &str) -> Option<Made> {
    let mut mentions = message.lines.iter().filter_map(|line| joined.lines[*line].mention.as_ref());
    mentions.find(|mention| mention.is_parent && *mention.id == *parent).map(|mention| mention.made)
}

/// Returns the message of another mail system that was handed over as this one: the same mail at the right time. The
/// joins may not know it: one of the two was over by its own clock before the other one's line came.
fn next_hop(
    message: &TracedMessage,
    mentions: &[(usize, i64, Made)],
    messages: &[TracedMessage],
) -> Option<(usize, Option<Made>)> {
    let is_hop = |(by, at, made): &&(usize, i64, Made)| {
        let other = &messages[*by];
        let is_same = other.message_id.is_some() && other.message_id == message.message_id;
        let is_then = (other.first_seen - CLOCK_SKEW..=*at + CLOCK_SKEW).contains(&message.first_seen);
        *made == Made::Hop && other.key != message.key && is_same && is_then
    };
    mentions.iter().find(is_hop).map(|(by, _, made)| (*by, Some(*made)))
}

/// Returns true if `from` was made from `to`, or is it.
fn leads_to(parents: &[Option<(usize, Option<Made>)>], from: usize, to: usize) -> bool {
    let mut at = Some(from);
    while let Some(number) = at {
        if number == to {
            return true;
        }
        at = parents[number].map(|(parent, _)| parent);
    }
    false
}

impl Story {
    fn new(message: usize, made: Option<Made>, children: &[Vec<(usize, Option<Made>)>]) -> Self {
        let own = children[message].iter().map(|(child, made)| Self::new(*child, *made, children)).collect();
        Self { message, made, children: own }
    }

    /// Passes the numbers of all messages to `use_message`.
    pub(super) fn each(&self, use_message: &mut impl FnMut(usize)) {
        use_message(self.message);
        self.children.iter().for_each(|child| child.each(use_message));
    }

    fn has(&self, is_sought: &impl Fn(usize) -> bool) -> bool {
        is_sought(self.message) || self.children.iter().any(|child| child.has(is_sought))
    }
}
