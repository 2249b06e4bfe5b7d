use super::*;
use crate::ledger::SinkLedger;
use crate::sink::testing::{lines, settled};

fn hand_over(flight: &mut Flight<&str>) -> Vec<(FlightTicket, String)> {
    let mut handed = Vec::new();
    while let Some((ticket, batch, entry)) = flight.next() {
        let text = String::from_utf8_lossy(batch.line(&entry)).trim_end().to_owned();
        handed.push((ticket, text));
        flight.handed_over();
    }
    handed
}

const REFUSED: Fate<&str> = Fate::Refused("too large");

fn texts(handed: &[(FlightTicket, String)]) -> Vec<&str> {
    handed.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn what_came_back_is_handed_over_again_in_order() {
    let ledger: Arc<SinkLedger> = Arc::default();
    let mut flight = Flight { first: u32::MAX, ..Flight::default() };
    flight.push(lines(&ledger, &["a", "b", "c"]));
    flight.push(lines(&ledger, &["d"]));
    flight.push(lines(&ledger, &[]));
    flight.push(lines(&ledger, &["e", "f"]));
    let handed = hand_over(&mut flight);
    assert_eq!(texts(&handed), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(flight.outstanding(), 6);
    for (ticket, text) in &handed {
        let fate = match text.as_str() {
            "a" | "d" => Fate::Delivered,
            "e" => REFUSED,
            _ => Fate::Back,
        };
        flight.report(*ticket, fate);
    }
    assert_eq!(flight.outstanding(), 0);
    flight.rewind();
    let handed = hand_over(&mut flight);
    assert_eq!(texts(&handed), ["b", "c", "f"]);
    for (ticket, _) in handed {
        flight.report(ticket, Fate::Delivered);
    }
    assert!(!flight.is_empty(), "a refused record holds its batch until it is in the dead-letter file");
    assert_eq!(ledger.delivered.load(std::sync::atomic::Ordering::Relaxed), 4);
    flight.settle_refused(1);
    assert!(flight.is_empty());
    assert_eq!(settled(&ledger), (5, 1));
}

#[test]
fn the_cursor_keeps_its_place_while_batches_before_it_go() {
    let ledger: Arc<SinkLedger> = Arc::default();
    let mut flight = Flight::default();
    flight.push(lines(&ledger, &["a"]));
    flight.push(lines(&ledger, &["b", "c"]));
    let (a, ..) = flight.next().unwrap();
    flight.handed_over();
    let (b, ..) = flight.next().unwrap();
    flight.handed_over();
    flight.report(a, Fate::Delivered);
    let (c, batch, entry) = flight.next().unwrap();
    assert_eq!(batch.line(&entry), b"c\n");
    flight.handed_over();
    flight.report(c, Fate::Delivered);
    flight.report(b, Fate::Delivered);
    assert!(flight.is_empty() && flight.next().is_none());
    flight.push(lines(&ledger, &["d"]));
    assert_eq!(texts(&hand_over(&mut flight)), ["d"]);
    assert_eq!(flight.drop_all(Reason::Shutdown), 1);
    assert_eq!(settled(&ledger), (3, 1));
}

#[test]
fn at_the_end_only_records_without_a_fate_are_dropped() {
    let ledger: Arc<SinkLedger> = Arc::default();
    let mut flight = Flight::default();
    flight.push(lines(&ledger, &["delivered", "refused", "left"]));
    flight.push(lines(&ledger, &["left too"]));
    let handed = hand_over(&mut flight);
    flight.report(handed[0].0, Fate::Delivered);
    flight.report(handed[1].0, REFUSED);
    flight.settle_refused(1);
    assert_eq!(flight.drop_all(Reason::Shutdown), 2);
    assert_eq!(settled(&ledger), (1, 3));
    assert_eq!(ledger.dropped.get(Reason::Shutdown), 2);
    assert_eq!(ledger.dropped.get(Reason::Rejected), 1);
}

#[test]
fn refusals_are_settled_in_order_and_once() {
    let ledger: Arc<SinkLedger> = Arc::default();
    let mut flight = Flight::default();
    flight.push(lines(&ledger, &["a", "b"]));
    flight.push(lines(&ledger, &["c"]));
    let handed = hand_over(&mut flight);
    for (ticket, _) in handed.iter().rev() {
        flight.report(*ticket, REFUSED);
        flight.refuse(*ticket, "too late");
    }
    let texts = |refused: Vec<RefusedRecord<&str>>| -> Vec<Vec<u8>> {
        refused.iter().map(|refusal| refusal.records.line(&refusal.entry).to_vec()).collect()
    };
    assert_eq!(texts(flight.refused(2)), [b"c\n", b"b\n"]);
    flight.settle_refused(1);
    assert_eq!(texts(flight.refused(9)), [b"b\n", b"a\n"]);
    assert_eq!(flight.refused(1)[0].reason, "too large");
    // At the end, a refusal that is not settled counts as dropped by the stop: its sender sends it again.
    assert_eq!(flight.drop_all(Reason::Shutdown), 2);
    assert!(!flight.has_refused());
    assert_eq!((ledger.dropped.get(Reason::Rejected), settled(&ledger)), (1, (0, 3)));
}
