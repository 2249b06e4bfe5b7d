//! Times as senders write them.

use std::time::{Duration, SystemTime};

/// The time `ago` before now, in the form of RFC 3339.
pub fn stamp(ago: Duration) -> String {
    at(SystemTime::now() - ago)
}

/// The time `ahead` of now, in the same form.
pub fn stamp_ahead(ahead: Duration) -> String {
    at(SystemTime::now() + ahead)
}

fn at(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).expect("a time of this age");
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
