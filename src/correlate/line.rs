//! A line as the joins see it, and lines that are kept to be read again.

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

/// A line whose event is read again when a summary is made: that is rare, and the text is shorter than its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptLine {
    /// Time of the line in microseconds since 1970.
    pub(super) at: i64,
    /// A tag with the program, LF, and the text of the message.
    text: Box<str>,
}

/// Returns a time in microseconds since 1970.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.seconds().saturating_mul(1_000_000).saturating_add(i64::from(time.micros()))
}

impl<'r, 'a> JoinLine<'r, 'a> {
    /// Returns the line of a record that a Postfix program wrote.
    pub(super) fn of(record: &'r Record<'a>) -> Option<Self> {
        Some(Self { record, postfix: record.postfix.as_ref()?, at: micros(record.timestamp()) })
    }

    /// Returns a number that differs for lines with different texts or times. Those of one process are comparable.
    pub(super) fn print(&self, hash: KeyedHash) -> u32 {
        let daemon = self.postfix.daemon.unwrap_or_default();
        hash.of(&[&self.at.to_le_bytes(), daemon.as_bytes(), self.record.message.text().as_bytes()]) as u32
    }

    pub(super) fn keep(&self) -> KeptLine {
        let text = self.record.message.text();
        // Without a program, the reader infers it from the text once more.
        let [slash, daemon] = self.postfix.daemon.map_or(["", ""], |daemon| ["/", daemon]);
        let mut kept = String::with_capacity("postfix".len() + slash.len() + daemon.len() + 1 + text.len());
        kept.extend(["postfix", slash, daemon, "\n", text]);
        KeptLine { at: self.at, text: kept.into_boxed_str() }
    }
}

impl KeptLine {
    /// Returns the memory that the line holds, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.text.len()
    }

    /// Returns true if this is the line.
    pub(super) fn is(&self, line: &JoinLine<'_, '_>) -> bool {
        self.at == line.at && self.text.split_once('\n').is_some_and(|(_, text)| text == line.record.message.text())
    }

    /// Reads the line again.
    pub(super) fn event(&self) -> Option<Event<'_>> {
        let (tag, text) = self.text.split_once('\n')?;
        let message = Message { app_name: Some(tag), msg: text, ..Message::default() };
        postfix::parse(&message).map(|postfix| postfix.event)
    }
}
