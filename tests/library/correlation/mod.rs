//! Do the joins of random histories tell what really happened, whatever becomes of the lines on their way?

mod bounds;
mod checkpoints;
mod claims;
mod held;
mod late;
pub(crate) mod reader;
mod sessions;
mod story;
mod truth;
mod ways;

use fastrand::Rng;
use postrider::correlate::{Correlator, JoinProgress};
use postrider::record::{Record, RecordIds};
use postrider::time::Timestamp;
use testkit::mail::{MailHistory, MailPlan};
use testkit::seeds;

use self::ways::{LineWay, Passage};

/// Number of histories of each kind.
const HISTORIES: u64 = 2500;

/// Makes what is due at the time `now`, in microseconds since 1970, as the daemon does once a second.
pub(crate) fn tick(correlator: &Correlator, now: i64, use_record: &mut dyn FnMut(&Record<'_>)) {
    let (now, ids) = (Timestamp::from_micros(now), RecordIds::default());
    while correlator.tick(now, &mut || ids.reserve(now, 1).take(), use_record) == JoinProgress::More {}
}

/// Returns a history of some messages within this number of microseconds.
fn short_history(mut rng: Rng, duration: i64) -> MailHistory {
    let mut plan = MailPlan::random(&mut rng, 1);
    (plan.arrivals, plan.duration) = (rng.u32(1..=2), duration);
    MailHistory::new(&plan, rng)
}

/// Lets the lines of a short history come in any order, and in half of the cases, some of them twice or never.
fn try_short_history(mut rng: Rng, duration: i64) {
    let history = short_history(rng.fork(), duration);
    let mut ways = vec![LineWay::InOrder, LineWay::Shuffled];
    if rng.u8(..4) == 0 {
        ways.push(LineWay::InSeconds);
    }
    match rng.u8(..4) {
        0 => ways.push(LineWay::Repeated),
        1 => ways.push(LineWay::Withheld),
        _ => {}
    }
    Passage::new(&history).go(&ways, &mut rng);
}

#[test]
fn joins_of_mail_within_a_second_tell_what_happened() {
    seeds::each(HISTORIES, |rng| try_short_history(rng, 1_000_000));
}

#[test]
fn joins_of_mail_within_a_minute_tell_what_happened() {
    seeds::each(HISTORIES, |rng| try_short_history(rng, 60_000_000));
}

#[test]
fn joins_of_much_mail_tell_what_happened() {
    seeds::each(10, |mut rng| Passage::new(&MailHistory::random(rng.fork(), 60)).go(&LineWay::ALL, &mut rng));
}
