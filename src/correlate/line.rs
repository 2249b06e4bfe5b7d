//! A line as the joins see it, and texts of lines that are kept to be read again.

use serde::{Deserialize, Serialize};

use super::hash::KeyedHash;
use crate::postfix;
use crate::record::{Event, Postfix, Record};
use crate::syslog::Message;
use crate::time::Timestamp;

/// A line of Postfix.
#[derive(Clone, Copy)]
pub(super) struct JoinLine<'r, 'a> {
    pub(super) record: &'r Record<'a>,
    pub(super) postfix: &'r Postfix<'a>,
    /// Time of the line in microseconds since 1970.
    pub(super) at: i64,
}

/// A time in microseconds since 1970 that may not be known. It is then the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct MaybeTime(i64);

/// Returns a time in microseconds since 1970.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.seconds().saturating_mul(1_000_000).saturating_add(i64::from(time.micros()))
}

/// Returns true if a time in microseconds may have no fraction of a second. Many logs have none, and do not tell the
/// order within a second.
pub(super) const fn is_rough(at: i64) -> bool {
    at.rem_euclid(1_000_000) == 0
}

/// Reads the event of a text that was kept of a line: a tag with the program, LF, and the text of the message.
pub(super) fn event(kept: &[u8]) -> Option<Event<'_>> {
    let (tag, text) = std::str::from_utf8(kept).ok()?.split_once('\n')?;
    let message = Message { app_name: Some(tag), msg: text, ..Message::default() };
    postfix::parse(&message).map(|postfix| postfix.event)
}

impl<'r, 'a> JoinLine<'r, 'a> {
    /// Returns the line of a record that a Postfix program wrote.
    pub(super) fn of(record: &'r Record<'a>) -> Option<Self> {
        Some(Self { record, postfix: record.postfix.as_ref()?, at: micros(record.timestamp()) })
    }

    pub(super) fn text(&self) -> &'a str {
        self.record.message.text()
    }

    /// Returns a number that differs for lines with different texts or times. Those of one process are comparable.
    pub(super) fn hash(&self, hash: KeyedHash) -> u64 {
        let daemon = self.postfix.daemon.unwrap_or_default();
        hash.of(&[&self.at.to_le_bytes(), daemon.as_bytes(), self.text().as_bytes()])
    }

    /// Returns the same number in fewer bits.
    pub(super) fn print(&self, hash: KeyedHash) -> u32 {
        self.hash(hash) as u32
    }

    /// Returns what stands in front of the text in what [`event`] reads.
    pub(super) fn tag(&self) -> [&[u8]; 4] {
        // Without a program, the reader infers it from the text once more.
        let [slash, daemon] = self.postfix.daemon.map_or(["", ""], |daemon| ["/", daemon]);
        ["postfix", slash, daemon, "\n"].map(str::as_bytes)
    }

    /// Returns true if this is the line of which `kept` was kept.
    pub(super) fn has_text(&self, kept: &[u8]) -> bool {
        kept.iter().position(|byte| *byte == b'\n').is_some_and(|end| kept[end + 1..] == *self.text().as_bytes())
    }
}

impl MaybeTime {
    pub(super) const NONE: Self = Self(i64::MIN);

    /// Returns a time. No line has the least number as its time.
    pub(super) fn of(time: Option<i64>) -> Self {
        time.map_or(Self::NONE, Self)
    }

    pub(super) fn get(self) -> Option<i64> {
        self.is_known().then_some(self.0)
    }

    pub(super) fn is_known(self) -> bool {
        self != Self::NONE
    }
}
