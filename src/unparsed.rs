//! Counts of Postfix lines that are not understood: a gap in Postrider, which its operator can report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use crate::poison;
use crate::record::{Event, Flags, Record};

/// Under this name lines are counted in which the tag of a Postfix program stands where no header is recognised.
const NO_HEADER: &str = "unrecognised header";

/// Records with the event `other`, by the program that wrote them, and those whose header is not recognised. There are
/// as many counts as programs of Postfix, and one, at most.
#[derive(Debug, Default)]
pub struct Unparsed(Mutex<BTreeMap<String, u64>>);

impl Unparsed {
    /// Counts `record` if it is one of them, and says whether it is. The lock is taken for those alone: there should be
    /// none.
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

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts().values().sum()
    }

    /// How many of them have a header that is not recognised.
    pub fn headers(&self) -> u64 {
        self.counts().get(NO_HEADER).copied().unwrap_or(0)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        poison::ignore(self.0.lock())
    }
}

/// `cleanup 1, smtpd 2, unrecognised header 1`.
impl fmt::Display for Unparsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (daemon, count)) in self.counts().iter().enumerate() {
            let separator = if n > 0 { ", " } else { "" };
            write!(f, "{separator}{daemon} {count}")?;
        }
        Ok(())
    }
}
