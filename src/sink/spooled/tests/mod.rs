//! Random histories of a stage, its sources, its sink and its disk, with crashes after any action; and single steps.

mod history;
mod life;
mod steps;

use testkit::seeds;

use self::history::{History, Seen};

/// Number of histories.
const HISTORIES: u64 = 10_000;

/// Whatever happens: what was acknowledged is delivered, the sink gets the records in order and each once in the life
/// of a process, and the ledger balances.
#[test]
fn histories_with_crashes_lose_and_repeat_nothing() {
    let mut seen = Seen::default();
    seeds::each(HISTORIES, |random| History::new(random, &mut seen).run());
    if !seeds::is_single() {
        seen.assert_worth();
    }
}
