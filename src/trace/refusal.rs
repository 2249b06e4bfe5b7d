//! Refusals without a queue id: no message came of them, so they are told by themselves. Equal ones are counted.

use std::collections::HashMap;

use super::line::{FoundLine, micros};
use crate::dsn::Dsn;
use crate::record::{Cause, Event, Record, Reply, Verdict};

/// Maximum number of different refusals.
const DIFFERENT: usize = 10_000;
/// Number of places that are noted of equal refusals.
const PLACES: usize = 8;

/// Refusals, by what they have in common.
#[derive(Debug, Default)]
pub(super) struct EarlyRefusals(HashMap<Box<str>, EarlyRefusal>);

/// Equal refusals.
#[derive(Debug)]
pub(super) struct EarlyRefusal {
    /// The first one.
    pub(super) line: FoundLine,
    pub(super) count: u64,
    /// Times of the first and the last one, in microseconds.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Places of the first ones: number of the log, and offset.
    pub(super) places: Vec<(usize, u64)>,
}

impl EarlyRefusals {
    /// Adds a line, if it is a verdict.
    pub(super) fn add(&mut self, record: &Record<'_>, line: FoundLine) {
        let Some(Event::Verdict(verdict)) = record.postfix.as_ref().map(|postfix| &postfix.event) else { return };
        let at = micros(record.timestamp());
        let places = vec![(line.log, line.at)];
        self.put(key(record, verdict), EarlyRefusal { line, count: 1, first: at, last: at, places });
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, refusal)| self.put(key, refusal));
    }

    /// Returns the last ones, at most `count`, in the order of their times.
    pub(super) fn into_last(self, count: usize) -> Vec<EarlyRefusal> {
        let mut refusals: Vec<_> = self.0.into_values().collect();
        refusals.sort_by_key(|refusal| (refusal.last, refusal.line.log, refusal.line.at));
        refusals.split_off(refusals.len().saturating_sub(count))
    }

    fn put(&mut self, key: Box<str>, new: EarlyRefusal) {
        let Some(known) = self.0.get_mut(&key) else {
            if self.0.len() < DIFFERENT {
                self.0.insert(key, new);
            }
            return;
        };
        known.count += new.count;
        known.last = known.last.max(new.last);
        known.places.extend(new.places);
        known.places.sort_unstable();
        known.places.truncate(PLACES);
        // Workers find them in any order.
        if (new.first, new.line.log, new.line.at) < (known.first, known.line.log, known.line.at) {
            (known.first, known.line) = (new.first, new.line);
        }
    }
}

/// Returns what equal refusals have in common. The text of a reply may have a number that counts down.
fn key(record: &Record<'_>, verdict: &Verdict<'_>) -> Box<str> {
    let reply = verdict.reply.unwrap_or_default();
    let Reply { code, dsn, .. } = reply;
    let number = code.map(|code| code.to_string());
    [
        record.message.hostname,
        verdict.client.and_then(|client| client.ip),
        verdict.from,
        verdict.to,
        Some(verdict.action),
        verdict.stage,
        number.as_deref(),
        dsn.as_ref().map(Dsn::code),
        verdict.cause.map(Cause::name),
    ]
    .map(Option::unwrap_or_default)
    .join("\n")
    .into()
}
