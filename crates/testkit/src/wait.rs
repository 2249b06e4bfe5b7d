//! Waiting for a condition with a deadline: the only way in which a test may let time pass.

use std::thread;
use std::time::{Duration, Instant};

/// First pause between two attempts; each next one is twice as long. A test that waits a thousand times is not slower.
const SHORTEST: Duration = Duration::from_millis(1);
/// Maximum pause, which leaves the cores to the program waited for.
const LONGEST: Duration = Duration::from_millis(10);

/// Waits until `condition` holds. Panics after `deadline`, naming `what` was waited for.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Waits until `attempt` gives a value. Panics after `deadline`, naming `what` was waited for.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    wait(deadline, attempt).unwrap_or_else(|| panic!("waited {deadline:?} in vain for: {what}"))
}

/// The value that `attempt` gives within `deadline`, for a caller that has more to say than what it waited for.
pub fn wait<T>(deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    let mut pause = SHORTEST;
    loop {
        // Asked once more after the end: a busy machine may have held this thread up, not the program.
        let late = Instant::now() >= end;
        let value = attempt();
        if value.is_some() || late {
            return value;
        }
        thread::sleep(pause);
        pause = LONGEST.min(pause * 2);
    }
}
