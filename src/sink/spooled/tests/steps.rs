//! Single steps of the machine, without a thread, a disk and a sink.

use std::time::{Duration, Instant};

use crate::config::{SpoolMode, WhenFull};
use crate::sink::spooled::action::{
    SpoolState, StageAction, StageEvent, StageRequest, StageWait, StopState, WakeFacts,
};
use crate::sink::spooled::machine::StageMachine;

/// A machine whose batches have one record each, and a name in place of the batch.
struct Steps {
    machine: StageMachine<&'static str>,
    now: Instant,
}

/// Output of a step: the items whose sources are told, those that leave for the disk, and the request.
type Given = (Vec<&'static str>, Vec<&'static str>, Option<StageRequest>);

impl Steps {
    fn new(mode: SpoolMode) -> Self {
        let now = Instant::now();
        Self { machine: StageMachine::new(mode, WhenFull::Block, spool(0, true, 0), now), now }
    }

    fn step(&mut self, event: StageEvent<&'static str>) -> Given {
        let mut actions = Vec::new();
        let request = self.machine.step(self.now, event, &mut actions);
        let (mut told, mut spooled) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                StageAction::Acknowledge(held) => told.push(held),
                StageAction::Store { place } => told.push(*self.machine.held(place)),
                StageAction::Spool(held) => spooled.push(held),
                _ => {}
            }
        }
        (told, spooled, request)
    }

    /// Lets `names` arrive, and passes by the cursor.
    fn arrive(&mut self, names: &[&'static str]) -> Option<StageRequest> {
        for name in names {
            assert_eq!(self.step(StageEvent::Arrived { held: name, records: 1 }), (vec![], vec![], None));
        }
        self.wake()
    }

    fn wake(&mut self) -> Option<StageRequest> {
        let outside = WakeFacts { stop: StopState::No, timeout: Duration::from_secs(10), is_sink_gone: false };
        let (_, _, request) = self.step(StageEvent::Woke(outside));
        match request {
            Some(StageRequest::Advance { .. }) => self.step(StageEvent::Advanced(Ok(()))).2,
            request => request,
        }
    }

    fn appended(&mut self, last: u64, durable: u64) -> Option<StageRequest> {
        let (told, spooled, request) = self.step(StageEvent::Appended { last, spool: spool(durable, true, 100) });
        assert!(told.is_empty() && spooled.is_empty(), "nothing is safe: {told:?} {spooled:?}");
        request
    }

    fn committed(&mut self, durable: u64) -> Given {
        self.step(StageEvent::Committed { result: Ok(()), spool: spool(durable, false, 0) })
    }
}

const fn spool(durable: u64, is_read: bool, buffered: u64) -> SpoolState {
    SpoolState { durable, is_read, buffered }
}

#[test]
fn always_commits_a_group_before_the_sink_gets_it() {
    let mut steps = Steps::new(SpoolMode::Always);
    assert_eq!(steps.arrive(&["a", "b"]), Some(StageRequest::Append { place: 0 }));
    assert_eq!(steps.appended(1, 0), Some(StageRequest::Append { place: 1 }));
    assert_eq!(steps.appended(2, 0), Some(StageRequest::Commit));
    assert_eq!(steps.committed(2), (vec![], vec![], Some(StageRequest::Give { count: 2 })));
    let wait = StageRequest::Wait(StageWait::ForBatches(Duration::from_secs(1)));
    assert_eq!(steps.step(StageEvent::Given), (vec![], vec![], Some(wait)));
}

#[test]
fn a_committed_group_without_room_is_read_back() {
    let mut steps = Steps::new(SpoolMode::Always);
    steps.arrive(&["a"]);
    steps.appended(1, 0);
    assert_eq!(steps.committed(1).2, Some(StageRequest::Give { count: 1 }));
    assert_eq!(steps.step(StageEvent::NoRoom), (vec![], vec!["a"], Some(StageRequest::ReadBack { after: 0 })));
}

#[test]
fn overflow_writes_what_the_sink_keeps_for_a_second() {
    let mut steps = Steps::new(SpoolMode::Overflow);
    assert_eq!(steps.arrive(&["a"]), Some(StageRequest::Give { count: 1 }));
    assert!(matches!(steps.step(StageEvent::Given).2, Some(StageRequest::Wait(StageWait::ForBatches(_)))));
    steps.now += Duration::from_millis(999);
    assert_eq!(steps.wake(), Some(StageRequest::Wait(StageWait::ForBatches(Duration::from_millis(1)))));
    steps.now += Duration::from_millis(1);
    assert_eq!(steps.wake(), Some(StageRequest::Append { place: 0 }));
    assert_eq!(steps.appended(1, 0), Some(StageRequest::Commit));
    assert_eq!(steps.committed(1).0, ["a"]);
}

#[test]
fn the_cursor_waits_for_the_oldest_item() {
    let mut steps = Steps::new(SpoolMode::Always);
    steps.arrive(&["a", "b"]);
    steps.appended(1, 0);
    steps.appended(2, 0);
    steps.committed(2);
    steps.step(StageEvent::Given);
    let outside = WakeFacts { stop: StopState::No, timeout: Duration::from_secs(10), is_sink_gone: false };
    for (number, through) in [(1, None), (0, Some(2))] {
        steps.step(StageEvent::Resolved { number, failed: 0 });
        let (_, _, request) = steps.step(StageEvent::Woke(outside));
        let expected = through.map(|through| StageRequest::Advance { through, checkpoint: false });
        assert_eq!(request.filter(|request| matches!(request, StageRequest::Advance { .. })), expected, "{number}");
    }
}
