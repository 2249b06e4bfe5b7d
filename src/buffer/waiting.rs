//! The sources that wait for room in a queue.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::poison;
use crate::record::Origin;

/// The sources that wait for room in one queue, each with the number of its waiting reads. Only a read that has to
/// wait, which is slow anyway, takes the lock.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Vec<(Arc<Origin>, usize)>>);

/// A guard: the read counts as waiting until the guard is dropped.
#[derive(Debug)]
pub struct Waits<'w> {
    waiting: &'w Waiting,
    origin: &'w Arc<Origin>,
}

// === impl Waiting ===

impl Waiting {
    /// Counts a read of `origin` as waiting from now on.
    pub fn enter<'w>(&'w self, origin: &'w Arc<Origin>) -> Waits<'w> {
        let mut sources = self.sources();
        match sources.iter_mut().find(|(other, _)| Arc::ptr_eq(other, origin)) {
            Some((_, reads)) => *reads += 1,
            None => sources.push((Arc::clone(origin), 1)),
        }
        Waits { waiting: self, origin }
    }

    /// Returns the names of the waiting sources.
    pub fn names(&self) -> Vec<String> {
        self.sources().iter().map(|(origin, _)| origin.name.clone()).collect()
    }

    fn sources(&self) -> MutexGuard<'_, Vec<(Arc<Origin>, usize)>> {
        poison::ignore(self.0.lock())
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.sources().retain_mut(|(other, reads)| {
            *reads -= usize::from(Arc::ptr_eq(other, self.origin));
            *reads > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::record::Transport;

    #[test]
    fn a_source_waits_as_long_as_one_of_its_reads_does() {
        let origin = |name: &str| {
            Arc::new(Origin {
                name: name.to_owned(),
                transport: Transport::Tcp,
                zone: TimeZone::UTC,
                format: crate::syslog::Format::Auto,
            })
        };
        let (waiting, one, other) = (Waiting::default(), origin("one"), origin("other"));
        let first = waiting.enter(&one);
        let second = waiting.enter(&one);
        let third = waiting.enter(&other);
        assert_eq!(waiting.names(), ["one", "other"]);
        drop(first);
        assert_eq!(waiting.names(), ["one", "other"]);
        drop((second, third));
        assert!(waiting.names().is_empty());
    }
}
