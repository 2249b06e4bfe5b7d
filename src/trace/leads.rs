//! The way from the messages that were found to the rest of their lines, and to the messages of their chains.
//!
//! ```text
//! a message --> the queue ids that its lines name, and its own
//!           --> the session that brought it, and the agents that delivered it: lines without a queue id
//!           --> the message whose line names it
//! ```

use std::collections::{HashMap, HashSet};

use super::chain::Story;
use super::join::Joined;
use super::message::{JoinedLine, LineRole};
use crate::correlate::CLOCK_SKEW;
use crate::record::{Client, Delivery, Event, Notification, Pickup, Postfix, Record};

/// Time around a message's line of smtpd in which the lines of its session are, in microseconds.
pub(super) const SESSION: i64 = 3600 * 1_000_000;
/// Time before a delivery in which lines without a queue id can be about it, in microseconds.
pub(super) const ATTEMPT: i64 = 600 * 1_000_000;

/// Texts to search for next.
#[derive(Debug, Default)]
pub(super) struct Leads {
    pub(super) ids: HashSet<Box<str>>,
    /// Processes by hostname, tag and process id: the text of their header, and the times of the lines that are sought.
    pub(super) processes: HashMap<Box<str>, (Box<[u8]>, ProcessTimes)>,
}

/// Times from and to, in microseconds, of which no two overlap.
#[derive(Debug, Default)]
pub(super) struct ProcessTimes(Vec<(i64, i64)>);

impl Leads {
    /// Adds what the messages of stories lead to.
    pub(super) fn follow(&mut self, joined: &Joined<'_>, stories: &[Story]) {
        let mut told = HashSet::new();
        for story in stories {
            story.each(&mut |message| _ = told.insert(message));
        }
        let mut begins = HashMap::<&str, Vec<i64>>::new();
        for number in &told {
            let message = &joined.messages[*number];
            begins.entry(message.queue_id()).or_default().push(message.first_seen);
            for line in message.lines.iter().map(|line| &joined.lines[*line]) {
                self.follow_line(line);
            }
            self.ids.insert(message.queue_id().into());
        }
        // A line of another mail system that names the message: it may be the one before.
        for line in &joined.lines {
            let Some(mention) = line.mention.as_ref().filter(|mention| !mention.is_parent) else { continue };
            let is_near = |begin: &i64| (line.at - SESSION..=line.at + CLOCK_SKEW).contains(begin);
            if let Some(id) = line.queue_id()
                && begins.get(&*mention.id).is_some_and(|begins| begins.iter().any(is_near))
            {
                self.ids.insert(id.into());
            }
        }
    }

    fn follow_line(&mut self, line: &JoinedLine<'_>) {
        self.ids.extend(line.mention.as_ref().map(|mention| mention.id.clone()).filter(|id| is_queue_id(id)));
        let around = match line.role {
            LineRole::Client => (line.at - SESSION, line.at + SESSION),
            LineRole::Delivery => (line.at - ATTEMPT, line.at),
            _ => return,
        };
        if let Some(header) = &line.header {
            let known =
                self.processes.entry(line.process.clone()).or_insert_with(|| (header.clone(), ProcessTimes::default()));
            known.1.add(around);
        }
    }
}

impl ProcessTimes {
    pub(super) fn have(&self, time: i64) -> bool {
        self.0.iter().any(|(begin, end)| (*begin..=*end).contains(&time))
    }

    /// Returns true if `time` is not before the first time, and not after the last one.
    pub(super) fn span(&self, time: i64) -> bool {
        self.0.iter().any(|(begin, _)| *begin <= time) && self.0.iter().any(|(_, end)| time <= *end)
    }

    pub(super) fn include(&self, times: &Self) -> bool {
        let is_in = |(from, to): &(i64, i64)| self.0.iter().any(|(begin, end)| begin <= from && to <= end);
        times.0.iter().all(is_in)
    }

    pub(super) fn merge(&mut self, times: Self) {
        times.0.into_iter().for_each(|time| self.add(time));
    }

    fn add(&mut self, (mut from, mut to): (i64, i64)) {
        self.0.retain(|(begin, end)| {
            let is_apart = *end < from || to < *begin;
            if !is_apart {
                (from, to) = (from.min(*begin), to.max(*end));
            }
            is_apart
        });
        self.0.push((from, to));
    }
}

/// Returns the queue id of another message of the chain that a line names.
pub(super) fn named<'a>(postfix: &Postfix<'a>) -> Option<&'a str> {
    match &postfix.event {
        Event::Delivery(Delivery { remote_queue_id, forwarded_as, .. }) => forwarded_as.or(*remote_queue_id),
        Event::Notification(Notification { notification_queue_id, .. }) => Some(notification_queue_id),
        Event::Client(Client { orig_queue_id, .. }) | Event::Pickup(Pickup { orig_queue_id, .. }) => *orig_queue_id,
        _ => None,
    }
}

/// Returns true if a line is of an agent that delivers to another server.
pub(super) fn is_agent(postfix: &Postfix<'_>) -> bool {
    matches!(postfix.daemon, Some("smtp" | "lmtp"))
}

/// Returns true if Postfix may have made a queue id. Other servers give words such as `OK`.
fn is_queue_id(text: &str) -> bool {
    (6..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Returns hostname, tag and process id, each on a line.
pub(super) fn process_name(record: &Record<'_>) -> Option<Box<str>> {
    let message = &record.message;
    Some([message.hostname.unwrap_or_default(), message.app_name?, message.procid?].join("\n").into())
}
