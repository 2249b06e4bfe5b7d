//! The attempts to deliver a message: which of them are equal, and what followed.

use std::collections::HashMap;

use super::bracketed;
use crate::record::{Delivery, Event};
use crate::trace::join::Joined;
use crate::trace::line::LineReader;
use crate::trace::message::TracedMessage;

/// The deliveries of a message.
#[derive(Default)]
pub(super) struct Attempts {
    /// Deliveries by the number of their line. Equal ones that follow each other are at the first of them.
    pub(super) groups: HashMap<usize, AttemptGroup>,
}

/// Equal deliveries to one or more recipients.
pub(super) struct AttemptGroup {
    pub(super) to: Vec<String>,
    /// Number of the attempt for the first of them.
    pub(super) number: u32,
    /// Time until the next attempt for the first of them, in microseconds.
    pub(super) next: Option<i64>,
}

impl Attempts {
    pub(super) fn of(joined: &Joined<'_>, reader: &LineReader, message: &TracedMessage) -> Self {
        let mut attempts = Self::default();
        // The number of attempts for each recipient, and the last one.
        let mut recipients = HashMap::<String, (u32, usize, i64)>::new();
        let mut last: Option<(usize, String)> = None;
        for number in &message.lines {
            let line = &joined.lines[*number];
            let delivery = reader.read_line(line.line, |record| match &record.postfix.as_ref()?.event {
                Event::Delivery(delivery) => Some((recipient(delivery), likeness(delivery))),
                _ => None,
            });
            let Some((to, likeness)) = delivery else { continue };
            let known = recipients.entry(to.clone()).or_default();
            let before = (known.0 > 0).then_some((known.1, known.2));
            *known = (known.0 + 1, *number, line.at);
            if let Some((group, at)) = before
                && let Some(group) = attempts.groups.get_mut(&group)
            {
                group.next = group.next.or(Some(line.at - at));
            }
            if let Some((first, _)) = last.as_ref().filter(|(_, same)| *same == likeness)
                && let Some(group) = attempts.groups.get_mut(first)
                && !group.to.contains(&to)
            {
                group.to.push(to);
                continue;
            }
            attempts.groups.insert(*number, AttemptGroup { to: vec![to], number: known.0, next: None });
            last = Some((*number, likeness));
        }
        attempts
    }
}

/// Returns the address of the recipient, with the one that the sender wrote if it is another one.
pub(super) fn recipient(delivery: &Delivery<'_>) -> String {
    match delivery.orig_to {
        Some(orig_to) => format!("{} (orig_to {})", bracketed(delivery.to), bracketed(orig_to)),
        None => bracketed(delivery.to),
    }
}

/// Returns a text that equal deliveries share.
pub(super) fn likeness(delivery: &Delivery<'_>) -> String {
    let Delivery { relay, delay, delays, dsn, status, reason, .. } = delivery;
    format!("{relay:?} {delay:?} {delays:?} {dsn:?} {status} {reason:?}")
}
