//! Counts of Postfix lines that are not understood: each one is a gap in Postrider, which the operator can report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use crate::poison;
use crate::record::{Event, Flags, Record};

/// Name under which lines are counted that have the tag of a Postfix program, but no recognised header.
const NO_HEADER: &str = "unrecognised header";

/// Counts of records with the event `other`, by the program that wrote them, and of records whose header is not
/// recognised. There are at most as many counts as programs of Postfix, plus one.
#[derive(Debug, Default)]
pub struct Unparsed(Mutex<BTreeMap<String, u64>>);

impl Unparsed {
    /// Counts `record` if it was not understood, and returns true then. The lock is taken only for such records: there
    /// should be none.
    pub fn count(&self, record: &Record<'_>) -> bool {
        let name = match &record.postfix {
            Some(postfix) if matches!(postfix.event, Event::Other(_)) => postfix.daemon.unwrap_or("unknown"),
            None if record.flags.contains(Flags::HEADER_UNRECOGNISED) => NO_HEADER,
            _ => return false,
        };
        let mut counts = self.counts();
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => _ = counts.insert(name.to_owned(), 1),
        }
        true
    }

    /// Returns how many records were not understood.
    pub fn total(&self) -> u64 {
        self.counts().values().sum()
    }

    /// Returns how many of these records have a header that is not recognised.
    pub fn headers(&self) -> u64 {
        self.counts().get(NO_HEADER).copied().unwrap_or(0)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        poison::ignore(self.0.lock())
    }
}

/// Writes the counts as `cleanup 1, smtpd 2, unrecognised header 1`.
impl fmt::Display for Unparsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (daemon, count)) in self.counts().iter().enumerate() {
            let separator = if n > 0 { ", " } else { "" };
            write!(f, "{separator}{daemon} {count}")?;
        }
        Ok(())
    }
}
