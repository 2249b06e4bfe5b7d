//! Single steps of the machine, without a thread, a disk and a sink.

use std::time::{Duration, Instant};

use crate::config::{SpoolMode, WhenFull};
use crate::sink::spooled::action::{Action, Event, Outside, Request, SpoolState, Stop, Wait};
use crate::sink::spooled::machine::Machine;

/// A machine whose batches have one record each, and a name in place of the batch.
struct Steps {
    machine: Machine<&'static str>,
    now: Instant,
}

/// What a step gives: the items whose sources are told, those that leave for the disk, and the request.
type Given = (Vec<&'static str>, Vec<&'static str>, Option<Request>);

impl Steps {
    fn new(mode: SpoolMode) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(mode, WhenFull::Block, spool(0, true, 0), now), now }
    }

    fn step(&mut self, event: Event<&'static str>) -> Given {
        let mut actions = Vec::new();
        let request = self.machine.step(self.now, event, &mut actions);
        let (mut told, mut spooled) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Pay(held) => told.push(held),
                Action::Store { place } => told.push(*self.machine.held(place)),
                Action::Spool(held) => spooled.push(held),
                _ => {}
            }
        }
        (told, spooled, request)
    }

    /// Lets `names` arrive, and passes by the cursor.
    fn arrive(&mut self, names: &[&'static str]) -> Option<Request> {
        for name in names {
            assert_eq!(self.step(Event::Arrived { held: name, records: 1 }), (vec![], vec![], None));
        }
        self.wake()
    }

    fn wake(&mut self) -> Option<Request> {
        let outside = Outside { stop: Stop::No, timeout: Duration::from_secs(10), is_sink_gone: false };
        let (_, _, request) = self.step(Event::Woke(outside));
        match request {
            Some(Request::Advance { .. }) => self.step(Event::Advanced(Ok(()))).2,
            request => request,
        }
    }

    fn appended(&mut self, last: u64, durable: u64) -> Option<Request> {
        let (told, spooled, request) = self.step(Event::Appended { last, spool: spool(durable, true, 100) });
        assert!(told.is_empty() && spooled.is_empty(), "nothing is safe: {told:?} {spooled:?}");
        request
    }

    fn committed(&mut self, durable: u64) -> Given {
        self.step(Event::Committed { result: Ok(()), spool: spool(durable, false, 0) })
    }
}

const fn spool(durable: u64, is_read: bool, buffered: u64) -> SpoolState {
    SpoolState { durable, is_read, buffered }
}

#[test]
fn always_commits_a_group_before_the_sink_gets_it() {
    let mut steps = Steps::new(SpoolMode::Always);
    assert_eq!(steps.arrive(&["a", "b"]), Some(Request::Append { place: 0 }));
    assert_eq!(steps.appended(1, 0), Some(Request::Append { place: 1 }));
    assert_eq!(steps.appended(2, 0), Some(Request::Commit));
    assert_eq!(steps.committed(2), (vec![], vec![], Some(Request::Give { count: 2 })));
    let wait = Request::Wait(Wait::ForBatches(Duration::from_secs(1)));
    assert_eq!(steps.step(Event::Given), (vec![], vec![], Some(wait)));
}

#[test]
fn a_committed_group_without_room_is_read_back() {
    let mut steps = Steps::new(SpoolMode::Always);
    steps.arrive(&["a"]);
    steps.appended(1, 0);
    assert_eq!(steps.committed(1).2, Some(Request::Give { count: 1 }));
    assert_eq!(steps.step(Event::NoRoom), (vec![], vec!["a"], Some(Request::ReadBack { after: 0 })));
}

#[test]
fn overflow_writes_what_the_sink_keeps_for_a_second() {
    let mut steps = Steps::new(SpoolMode::Overflow);
    assert_eq!(steps.arrive(&["a"]), Some(Request::Give { count: 1 }));
    assert!(matches!(steps.step(Event::Given).2, Some(Request::Wait(Wait::ForBatches(_)))));
    steps.now += Duration::from_millis(999);
    assert_eq!(steps.wake(), Some(Request::Wait(Wait::ForBatches(Duration::from_millis(1)))));
    steps.now += Duration::from_millis(1);
    assert_eq!(steps.wake(), Some(Request::Append { place: 0 }));
    assert_eq!(steps.appended(1, 0), Some(Request::Commit));
    assert_eq!(steps.committed(1).0, ["a"]);
}

#[test]
fn the_cursor_waits_for_the_oldest_item() {
    let mut steps = Steps::new(SpoolMode::Always);
    steps.arrive(&["a", "b"]);
    steps.appended(1, 0);
    steps.appended(2, 0);
    steps.committed(2);
    steps.step(Event::Given);
    let outside = Outside { stop: Stop::No, timeout: Duration::from_secs(10), is_sink_gone: false };
    for (number, through) in [(1, None), (0, Some(2))] {
        steps.step(Event::Resolved { number, failed: 0 });
        let (_, _, request) = steps.step(Event::Woke(outside));
        let expected = through.map(|through| Request::Advance { through, checkpoint: false });
        assert_eq!(request.filter(|request| matches!(request, Request::Advance { .. })), expected, "{number}");
    }
}
