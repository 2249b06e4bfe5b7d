//! The sources that wait for room in a queue.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::poison;

/// The names of the sources that wait for room in one queue, each with the number of its waiting reads. Only a read
/// that has to wait, which is slow anyway, takes the lock.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Vec<(Arc<str>, usize)>>);

/// A guard: the read counts as waiting until the guard is dropped.
#[derive(Debug)]
pub struct Waits<'w> {
    waiting: &'w Waiting,
    source: &'w Arc<str>,
}

// === impl Waiting ===

impl Waiting {
    /// Counts a read of `source` as waiting from now on. Two sources may have the same name, but not the same value.
    pub fn enter<'w>(&'w self, source: &'w Arc<str>) -> Waits<'w> {
        let mut sources = self.sources();
        match sources.iter_mut().find(|(other, _)| Arc::ptr_eq(other, source)) {
            Some((_, reads)) => *reads += 1,
            None => sources.push((Arc::clone(source), 1)),
        }
        Waits { waiting: self, source }
    }

    /// Returns the names of the waiting sources.
    pub fn names(&self) -> Vec<String> {
        self.sources().iter().map(|(source, _)| source.to_string()).collect()
    }

    fn sources(&self) -> MutexGuard<'_, Vec<(Arc<str>, usize)>> {
        poison::ignore(self.0.lock())
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.sources().retain_mut(|(other, reads)| {
            *reads -= usize::from(Arc::ptr_eq(other, self.source));
            *reads > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_waits_as_long_as_one_of_its_reads_does() {
        let (waiting, one, other) = (Waiting::default(), Arc::from("one"), Arc::from("other"));
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
