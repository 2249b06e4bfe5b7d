//! The order of sinks that use the same destination or spool: after a reload, one after the other.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::Instant;

use super::Control;
use crate::poison;

/// The place of one thread behind others. Threads behind this one wait until this value is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    before: Vec<TurnWatch>,
    own: TurnWatch,
}

/// Tells whether a [`Turn`] still lasts, and waits for its end.
#[derive(Clone, Debug, Default)]
pub struct TurnWatch(Arc<Mutex<TurnState>>);

#[derive(Debug)]
enum TurnState {
    /// The turn lasts, and these threads wait for its end.
    Lasting(Vec<Thread>),
    Ended,
}

/// The turns that a new sink waits for before it begins. Its queue takes batches meanwhile.
#[derive(Debug, Default)]
pub struct Before {
    /// A reload that is not settled yet.
    pub start: Option<TurnWatch>,
    /// Sinks that write to the same destination.
    pub destination: Vec<TurnWatch>,
    /// Sinks that have the same spool.
    pub spool: Vec<TurnWatch>,
}

impl Turn {
    pub(super) fn behind<'h>(before: impl IntoIterator<Item = &'h TurnWatch>) -> Self {
        Self { before: before.into_iter().cloned().collect(), own: TurnWatch::default() }
    }

    /// Returns a handle for the threads that come behind this one.
    pub fn held(&self) -> TurnWatch {
        self.own.clone()
    }

    /// Waits until all threads before this one have ended. Returns false if the stop deadline comes first.
    pub(super) fn wait(&self, control: &Control) -> bool {
        // A stop wakes this thread: it may bring the deadline nearer. A refused reload ends its sinks in this way.
        control.enlist();
        self.before.iter().all(|turn| turn.wait(|| control.deadline()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let TurnState::Lasting(waiting) = std::mem::replace(&mut *self.own.state(), TurnState::Ended) {
            waiting.iter().for_each(Thread::unpark);
        }
    }
}

impl TurnWatch {
    /// Returns true if the turn still lasts.
    pub fn lasts(&self) -> bool {
        matches!(*self.state(), TurnState::Lasting(_))
    }

    /// Blocks the thread until the turn has ended. Returns false if `deadline` comes first.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        self.wait(|| Some(deadline))
    }

    /// Like [`TurnWatch::wait_until`], with a deadline that may change. Whoever changes it unparks this thread.
    fn wait(&self, deadline: impl Fn() -> Option<Instant>) -> bool {
        // From here on, the end of the turn unparks the thread.
        self.enlist();
        let has_ended = loop {
            let left = deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => break false,
                _ if !self.lasts() => break true,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        };
        self.delist();
        has_ended
    }

    fn enlist(&self) {
        if let TurnState::Lasting(waiting) = &mut *self.state() {
            waiting.push(thread::current());
        }
    }

    fn delist(&self) {
        if let TurnState::Lasting(waiting) = &mut *self.state() {
            let own = thread::current().id();
            waiting.retain(|thread| thread.id() != own);
        }
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        poison::ignore(self.0.lock())
    }
}

impl Default for TurnState {
    fn default() -> Self {
        Self::Lasting(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use super::*;

    /// Maximum time until a thread has done what it was told.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// Waits on another thread for all in `before`, and returns the result through a channel.
    fn waiting(before: &[&Turn], control: &Control) -> Receiver<bool> {
        let before: Vec<_> = before.iter().map(|turn| turn.held()).collect();
        let (turn, control, (result, ended)) = (Turn::behind(&before), control.clone(), sync_channel(1));
        thread::spawn(move || result.send(turn.wait(&control)));
        ended
    }

    fn count(turn: &Turn) -> usize {
        match &*turn.own.state() {
            TurnState::Lasting(waiting) => waiting.len(),
            TurnState::Ended => panic!("it has ended"),
        }
    }

    /// Waits until this number of threads wait for the end of `turn`.
    fn until_waited_for(turn: &Turn, threads: usize) {
        let until = Instant::now() + DEADLINE;
        while count(turn) != threads {
            assert!(Instant::now() < until, "{} threads wait", count(turn));
            thread::yield_now();
        }
    }

    #[test]
    fn a_turn_comes_when_all_threads_before_it_have_ended() {
        let (first, second) = (Turn::default(), Turn::default());
        let control = Control::new(DEADLINE);
        let ended = waiting(&[&first, &second], &control);
        until_waited_for(&first, 1);
        drop(first);
        until_waited_for(&second, 1);
        assert!(ended.try_recv().is_err(), "the second one lasts");
        drop(second);
        assert_eq!(ended.recv_timeout(DEADLINE), Ok(true));
        assert_eq!(waiting(&[], &control).recv_timeout(DEADLINE), Ok(true), "nobody is before it");
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_turn_that_lasts() {
        let (before, control) = (Turn::default(), Control::new(Duration::ZERO));
        let ended = waiting(&[&before], &control);
        until_waited_for(&before, 1);
        control.stop();
        assert_eq!(ended.recv_timeout(DEADLINE), Ok(false));
        // A thread that is told to end does not begin, even if its turn comes at the same time.
        let watch = before.held();
        drop(before);
        assert!(!watch.wait(|| control.deadline()));
    }

    #[test]
    fn a_wait_ends_by_its_deadline_and_leaves_nothing() {
        let turn = Turn::default();
        let watch = turn.held();
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(20);
        assert!(!watch.wait_until(deadline) && Instant::now() >= deadline);
        assert_eq!(count(&turn), 0);
        assert!(watch.lasts());
        drop(turn);
        assert!(watch.wait_until(Instant::now() + DEADLINE) && !watch.lasts());
        assert!(begun.elapsed() < DEADLINE);
    }
}
