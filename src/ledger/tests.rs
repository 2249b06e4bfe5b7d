use std::thread;

use proptest::prelude::*;

use super::*;
use crate::receipt::{self, Outcome, Ticket};

fn ticket<O>() -> Ticket<O> {
    Ticket { number: 0, outcomes: Arc::default(), waiter: thread::current() }
}

/// Records of which `offered` counts as many as there are.
fn ledger(records: u64) -> Arc<SinkLedger> {
    let ledger = Arc::<SinkLedger>::default();
    ledger.offered.store(records, Relaxed);
    ledger
}

/// Records that are in flight for a spool.
fn given(ledger: &Arc<SinkLedger>, records: u64) -> (InFlight, Arc<SpoolReceipt>) {
    let receipt = Arc::new(SpoolReceipt::new(ticket(), SpoolCopy::Memory { is_awaited: false }));
    let mut in_flight = ledger.enter(records, 0, None);
    assert!(in_flight.hand_on(Arc::clone(&receipt)).is_none());
    (in_flight, receipt)
}

#[track_caller]
fn check(ledger: &SinkLedger, in_flight: u64, stored: u64, spooled: u64, dropped: u64) {
    let counts = ledger.counts();
    assert!(counts.balance(), "{counts:?}");
    let found = (counts.in_flight, counts.stored, counts.spooled, counts.dropped(Reason::Shutdown));
    assert_eq!(found, (in_flight, stored, spooled, dropped));
}

#[test]
fn what_the_disk_has_too_is_spooled_when_the_sink_gives_it_back() {
    let ledger = ledger(10);
    let (mut in_flight, receipt) = given(&ledger, 10);
    check(&ledger, 10, 0, 0, 0);
    in_flight.split(2, 0).delivered();
    ledger.store(&receipt);
    ledger.store(&receipt);
    check(&ledger, 8, 8, 0, 0);
    in_flight.split(3, 0).dropped(Reason::Rejected);
    check(&ledger, 5, 5, 0, 0);
    in_flight.dropped(Reason::Shutdown);
    check(&ledger, 0, 0, 5, 0);
}

#[test]
fn records_given_back_stay_in_flight_until_the_spool_decides() {
    let ledger = ledger(10);
    let (mut in_flight, receipt) = given(&ledger, 10);
    in_flight.split(4, 0).dropped(Reason::Shutdown);
    in_flight.delivered();
    check(&ledger, 4, 0, 0, 0);
    // The next may be stored while the sink still has a part.
    ledger.store(&receipt);
    check(&ledger, 4, 4, 0, 0);
    ledger.keep_returned(4);
    check(&ledger, 0, 0, 4, 0);

    let ledger = self::ledger(5);
    drop(given(&ledger, 5));
    check(&ledger, 5, 0, 0, 0);
    ledger.store_returned(2);
    ledger.drop_returned(3, Reason::Shutdown);
    check(&ledger, 0, 0, 2, 3);
}

#[test]
fn at_the_end_nothing_is_in_flight() {
    let ledger = ledger(30);
    let (_held, receipt) = given(&ledger, 10);
    ledger.store(&receipt);
    let (_other, _) = given(&ledger, 15);
    let _plain = ledger.enter(5, 0, None);
    check(&ledger, 30, 10, 0, 0);
    let end = ledger.counts().at_the_end();
    assert!(end.balance());
    assert_eq!((end.in_flight, end.spooled, end.dropped(Reason::Shutdown)), (0, 10, 20));
}

#[test]
fn what_a_replay_keeps_is_neither_in_flight_nor_spooled() {
    let ledger = ledger(3);
    let ticket = ticket();
    let outcomes = Arc::clone(&ticket.outcomes);
    let mut in_flight = ledger.enter_replayed(3, 0, Arc::new(Receipt::of_ticket(ticket)));
    assert!(in_flight.is_kept() && in_flight.is_awaited() && in_flight.is_still_awaited());
    in_flight.split(1, 0).delivered();
    in_flight.dropped(Reason::Shutdown);
    check(&ledger, 0, 0, 0, 2);
    let outcomes: Vec<_> = outcomes.lock().unwrap().iter().map(|resolved| resolved.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed]);
}

#[test]
fn a_sink_must_be_durable_for_whoever_relies_on_it_alone() {
    let ledger = ledger(0);
    for (is_awaited, copy, is_durable) in [
        (false, SpoolCopy::Disk, true),
        (true, SpoolCopy::Memory { is_awaited: true }, true),
        (false, SpoolCopy::Memory { is_awaited: false }, false),
    ] {
        let source = is_awaited.then(|| Arc::new(Receipt::of_durable()));
        let mut in_flight = ledger.enter(0, 0, source);
        assert_eq!((in_flight.is_awaited(), in_flight.is_kept()), (is_awaited, false), "{copy:?}");
        let pending = in_flight.hand_on(Arc::new(SpoolReceipt::new(ticket(), copy)));
        assert_eq!(pending.is_some(), is_awaited, "{copy:?}");
        assert_eq!((in_flight.is_awaited(), in_flight.is_kept()), (is_durable, true), "{copy:?}");
    }
}

#[test]
fn a_part_of_no_records_fails_nothing() {
    let ledger = ledger(4);
    let (receipt, mut outcome) = receipt::receipt();
    let mut in_flight = ledger.enter(2, 0, Some(Arc::new(receipt)));
    in_flight.split(0, 0).dropped(Reason::Shutdown);
    in_flight.delivered();
    assert_eq!(outcome.try_recv(), Ok(Outcome::Delivered));

    let ticket = ticket();
    let outcomes = Arc::clone(&ticket.outcomes);
    let mut in_flight = ledger.leave_spool(2, 0, Arc::new(SpoolReceipt::new(ticket, SpoolCopy::Disk)));
    in_flight.split(0, 0).dropped(Reason::Shutdown);
    in_flight.delivered();
    let failed: Vec<_> = outcomes.lock().unwrap().iter().map(|resolved| resolved.outcome.failed).collect();
    assert_eq!(failed, [0]);
}

/// An event for records of a sink with a spool.
#[derive(Clone, Copy, Debug)]
enum LedgerStep {
    /// The sink is offered `records` records; the filter keeps `filtered` of them away.
    Offer { records: u64, filtered: u64 },
    /// A part of the oldest that are in flight is resolved.
    Resolve { records: u64, outcome: Option<Resolution> },
    /// `records` of the records on the disk are read back.
    ReadBack { records: u64 },
    /// `records` of the records on the disk are given up.
    GiveUp { records: u64 },
}

fn step() -> impl Strategy<Value = LedgerStep> {
    let outcome = prop_oneof![
        Just(None),
        Just(Some(Resolution::Delivered)),
        Just(Some(Resolution::Spooled)),
        Just(Some(Resolution::Dropped(Reason::Rejected))),
        Just(Some(Resolution::Dropped(Reason::Shutdown))),
    ];
    prop_oneof![
        (0..20_u64, 0..20_u64).prop_map(|(records, filtered)| LedgerStep::Offer { records, filtered }),
        (0..20_u64, outcome).prop_map(|(records, outcome)| LedgerStep::Resolve { records, outcome }),
        (0..20_u64).prop_map(|records| LedgerStep::ReadBack { records }),
        (0..20_u64).prop_map(|records| LedgerStep::GiveUp { records }),
    ]
}

proptest! {
    #[test]
    fn every_record_is_accounted_for_after_each_step(steps in prop::collection::vec(step(), 0..60)) {
        let ledger = Arc::<SinkLedger>::default();
        let mut held = std::collections::VecDeque::new();
        for step in steps {
            match step {
                LedgerStep::Offer { records, filtered } => {
                    let filtered = filtered.min(records);
                    ledger.offered.fetch_add(records, Relaxed);
                    ledger.filtered.fetch_add(filtered, Relaxed);
                    held.push_back((ledger.enter(records - filtered, 0, None), records - filtered));
                }
                LedgerStep::Resolve { records, outcome } => {
                    let Some((mut in_flight, all)) = held.pop_front() else { continue };
                    let records = records.min(all);
                    let mut part = in_flight.split(records, 0);
                    // Without an outcome it is lost, which counts too.
                    part.outcome = outcome;
                    drop(part);
                    held.push_front((in_flight, all - records));
                    if all == records {
                        held.pop_front();
                    }
                }
                LedgerStep::ReadBack { records } => {
                    let records = records.min(ledger.spooled());
                    let receipt = Arc::new(SpoolReceipt::new(ticket(), SpoolCopy::Disk));
                    let in_flight = ledger.leave_spool(records, 0, receipt);
                    in_flight.delivered();
                }
                LedgerStep::GiveUp { records } => ledger.drop_spooled(records.min(ledger.spooled()), Reason::SpoolFull),
            }
            let counts = ledger.counts();
            prop_assert!(counts.balance() && counts.at_the_end().balance(), "{:?}", counts);
            prop_assert_eq!(counts.in_flight, held.iter().map(|(_, records)| records).sum::<u64>());
        }
        held.clear();
        prop_assert_eq!((ledger.in_flight(), ledger.balances()), (0, true));
    }
}
