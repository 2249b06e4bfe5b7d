//! Invariants of the machine. Builds with debug assertions check them after each step.

use super::item::{DeliveryState, StorageState};
use super::machine::{Life, StageMachine, TurnPhase};

impl<H> StageMachine<H> {
    /// Checks the invariants.
    ///
    /// # Panics
    ///
    /// Panics if one does not hold, which is a defect.
    pub(super) fn check(&self) {
        let waiting = self.given + self.appended;
        assert!(waiting <= self.items.len(), "{} and {} of {}", self.given, self.appended, self.items.len());
        let mut before = self.done;
        for (place, item) in self.items.iter().enumerate() {
            assert_eq!(
                item.hand == DeliveryState::Waiting,
                place >= self.given,
                "the sink has the first items: {place}"
            );
            match item.storage {
                StorageState::Memory => assert!(place < self.given || place >= waiting, "{place} is not appended"),
                StorageState::TooLarge => {
                    assert!(place < self.given, "{place} never gets to the disk, and has to be dropped");
                }
                StorageState::Appended { last } => {
                    assert!(place < waiting && last > self.spool.durable, "{place}: {last} is not on the disk");
                    assert!(self.spool.buffered > 0, "{place}: nothing is in the buffer");
                }
                StorageState::Disk { last } => {
                    assert!(place < waiting && last <= self.spool.durable, "{place}: {last} is on the disk");
                }
            }
            if let Some(last) = item.last() {
                // Above all, the cursor is before the first item that the sink does not have.
                assert!(last > before, "{place}: {last} comes before {before}");
                before = last;
                let was_given = last <= self.given_through;
                assert_eq!(was_given, place < self.given, "{place}: {last}, given up to {}", self.given_through);
            }
        }
        assert!(self.done <= self.given_through, "{} was never given", self.done);
        assert!(self.spool.is_read || self.given_through < self.spool.durable, "nothing is left to read");
        let is_last =
            matches!(self.phase, TurnPhase::CloseQueues | TurnPhase::AwaitOutcomes { .. } | TurnPhase::GiveUp);
        assert!(!is_last || !matches!(self.life, Life::Running | Life::Draining), "{:?}", self.phase);
    }
}
