//! Counts of Postfix lines that no reader knows: a gap in Postrider, which its operator can report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::{Event, Record};

/// Records with the event `other`, by the program that wrote them. There are as many counts as programs of Postfix at most.
#[derive(Debug, Default)]
pub struct Unparsed(Mutex<BTreeMap<String, u64>>);

impl Unparsed {
    /// Counts `record` if it is one of them, and says whether it is. The lock is taken for those alone: there should be none.
    pub fn count(&self, record: &Record<'_>) -> bool {
        let Some(postfix) = record.postfix.as_ref().filter(|postfix| matches!(postfix.event, Event::Other { .. }))
        else {
            return false;
        };
        let daemon = postfix.daemon.unwrap_or("unknown");
        let mut counts = self.counts();
        match counts.get_mut(daemon) {
            Some(count) => *count += 1,
            None => _ = counts.insert(daemon.to_owned(), 1),
        }
        true
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts().values().sum()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `cleanup 1, smtpd 2`.
impl fmt::Display for Unparsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (daemon, count)) in self.counts().iter().enumerate() {
            let separator = if n > 0 { ", " } else { "" };
            write!(f, "{separator}{daemon} {count}")?;
        }
        Ok(())
    }
}
