use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use testkit::seeds;

use super::*;
use crate::ledger::SinkLedger;
use crate::sink::testing::{lines, settled};

const TOPIC: RDKafkaErrorCode = RDKafkaErrorCode::UnknownTopicOrPartition;

fn sending(group: RequestLimit) -> ClientState {
    ClientState { phase: ClientPhase::Sending, group }
}

fn backing_off(cause: BackOffCause) -> ClientState {
    ClientState { phase: ClientPhase::BackingOff(cause), group: RequestLimit::Many }
}

fn recalling(recall: Recall) -> ClientState {
    ClientState { phase: ClientPhase::Recalling(recall), group: RequestLimit::Many }
}

fn trouble(text: &str) -> BackOffCause {
    BackOffCause::Trouble(text.to_owned())
}

fn because(cause: BackOffCause) -> Recall {
    Recall { cause: Some(cause), ..Recall::default() }
}

#[test]
fn each_event_leads_to_its_state() {
    use ClientEvent::*;
    let text = |text: &str| text.to_owned();
    let fewer = Recall { fewer: true, ..Recall::default() };
    let failed = Recall { failed: true, ..because(trouble("b")) };
    let earlier = Recall { earlier: Some(trouble("a")), ..Recall::default() };
    for (before, event, after) in [
        (sending(RequestLimit::Many), Delivered, sending(RequestLimit::Many)),
        (sending(RequestLimit::One), Drained, sending(RequestLimit::One)),
        (sending(RequestLimit::One), Replaced, sending(RequestLimit::Many)),
        (sending(RequestLimit::Many), Returned, recalling(Recall::default())),
        (sending(RequestLimit::Many), RefusedTogether, recalling(fewer.clone())),
        (sending(RequestLimit::Many), TopicRefused(TOPIC), recalling(because(BackOffCause::Topic(TOPIC)))),
        (sending(RequestLimit::Many), Trouble(text("a")), recalling(because(trouble("a")))),
        (sending(RequestLimit::Many), Failed(text("b")), recalling(failed.clone())),
        (backing_off(trouble("a")), Delivered, sending(RequestLimit::Many)),
        (backing_off(trouble("a")), Drained, sending(RequestLimit::Many)),
        (backing_off(trouble("a")), Returned, recalling(earlier.clone())),
        (
            backing_off(trouble("a")),
            Trouble(text("b")),
            recalling(Recall { earlier: Some(trouble("a")), ..because(trouble("b")) }),
        ),
        (recalling(earlier.clone()), Delivered, recalling(Recall::default())),
        (recalling(earlier.clone()), Drained, recalling(Recall::default())),
        (recalling(earlier), Replaced, backing_off(trouble("a"))),
        (recalling(Recall::default()), Replaced, sending(RequestLimit::Many)),
        (recalling(fewer), Replaced, sending(RequestLimit::Some)),
        (recalling(because(trouble("a"))), Replaced, backing_off(trouble("a"))),
        (recalling(because(trouble("a"))), Returned, recalling(because(trouble("a")))),
        (recalling(because(trouble("a"))), Trouble(text("b")), recalling(because(trouble("b")))),
        (recalling(because(trouble("a"))), TopicRefused(TOPIC), recalling(because(trouble("a")))),
        (recalling(because(BackOffCause::Topic(TOPIC))), Trouble(text("a")), recalling(because(trouble("a")))),
        (recalling(because(trouble("a"))), Failed(text("b")), recalling(failed)),
        (recalling(because(trouble("a"))), RefusedTogether, recalling(Recall { fewer: true, ..because(trouble("a")) })),
    ] {
        assert_eq!(before.clone().after(event.clone()), after, "{before:?} {event:?}");
    }
}

#[test]
fn each_state_asks_for_its_next_step() {
    let flight = |open, outstanding, empty| FlightCounts { open, outstanding, empty };
    let wait = |outstanding, cause| Task::Wait { outstanding, cause };
    let failed = Recall { failed: true, ..because(trouble("a")) };
    let fewer = Recall { fewer: true, ..Recall::default() };
    let small = |phase| ClientState { phase, group: RequestLimit::Some };
    for (client, progress, task) in [
        (sending(RequestLimit::Many), flight(true, 3, false), Task::HandOver),
        (sending(RequestLimit::Many), flight(false, 3, false), Task::Take),
        (sending(RequestLimit::Some), flight(true, 3, false), Task::HandOver),
        (sending(RequestLimit::Some), flight(false, 3, false), wait(0, None)),
        (sending(RequestLimit::Some), flight(false, 0, true), Task::Replace { group: RequestLimit::Many, cause: None }),
        (backing_off(trouble("a")), flight(true, 0, false), Task::HandOver),
        (backing_off(trouble("a")), flight(false, 3, false), wait(2, Some(trouble("a")))),
        (small(ClientPhase::BackingOff(trouble("a"))), flight(false, 3, false), wait(0, Some(trouble("a")))),
        (recalling(Recall::default()), flight(true, 3, false), Task::Recall { sent: false }),
        (recalling(failed.clone()), flight(true, 3, false), Task::Recall { sent: true }),
        (
            recalling(failed),
            flight(true, 0, false),
            Task::Replace { group: RequestLimit::Many, cause: Some(trouble("a")) },
        ),
        (recalling(fewer.clone()), flight(true, 0, false), Task::Replace { group: RequestLimit::Some, cause: None }),
        (
            small(ClientPhase::Recalling(fewer)),
            flight(true, 0, false),
            Task::Replace { group: RequestLimit::One, cause: None },
        ),
    ] {
        assert_eq!(client.next(progress), task, "{client:?} {progress:?}");
    }
}

#[test]
fn each_error_is_a_refusal_or_an_event() {
    use RDKafkaErrorCode::*;
    for (code, group, is_awaited, event) in [
        (MessageSizeTooLarge, RequestLimit::Many, false, Some(ClientEvent::RefusedTogether)),
        (InvalidRecord, RequestLimit::Some, false, Some(ClientEvent::RefusedTogether)),
        (InvalidRecord, RequestLimit::One, false, None),
        (InvalidDifferentRecord, RequestLimit::One, false, Some(ClientEvent::Returned)),
        (PolicyViolation, RequestLimit::Many, false, None),
        (TOPIC, RequestLimit::Many, false, None),
        (TOPIC, RequestLimit::Many, true, Some(ClientEvent::TopicRefused(TOPIC))),
        (PurgeQueue, RequestLimit::Many, false, Some(ClientEvent::Returned)),
        (PurgeInflight, RequestLimit::Many, false, Some(ClientEvent::Returned)),
    ] {
        assert_eq!(sending(group).refusal(code, is_awaited), event, "{code} {group:?}");
    }
    let other = sending(RequestLimit::Many).refusal(InvalidRequiredAcks, false);
    assert!(
        matches!(other, Some(ClientEvent::Trouble(text)) if text.starts_with("kafka did not accept a record: Invalid"))
    );
}

#[test]
fn a_wait_ends_with_its_count_or_with_a_recall() {
    let ledger: Arc<SinkLedger> = Arc::default();
    for (or_recall, code, over) in [
        (true, Some(RDKafkaErrorCode::InvalidDifferentRecord), true),
        (false, Some(RDKafkaErrorCode::InvalidDifferentRecord), false),
        (true, None, false),
    ] {
        let mut state = State::default();
        state.flight.push(lines(&ledger, &["a", "b", "c"]));
        let tickets = [0; 3].map(|_| {
            let ticket = state.flight.next().unwrap().0;
            state.flight.handed_over();
            ticket
        });
        assert!(state.wait(ClientWait { outstanding: 1, or_recall }) && !state.wakes());
        state.report(tickets[0], code, false);
        assert_eq!(state.wakes(), over, "{or_recall} {code:?}");
        state.report(tickets[1], None, false);
        assert!(state.wakes());
        assert!(!state.wait(ClientWait { outstanding: 1, or_recall }) && !state.wakes(), "it is over");
        state.flight.drop_all(crate::ledger::Reason::Shutdown);
    }
    settled(&ledger);
}

#[test]
fn fewer_and_fewer_records_go_in_a_request() {
    let groups = [RequestLimit::Many, RequestLimit::Some, RequestLimit::One].map(|group| group.fewer().records());
    assert_eq!((RequestLimit::default().records(), groups), (None, [Some(64), Some(1), Some(1)]));
}

// === random histories ===

/// A sink's thread and a client whose broker answers at random.
struct World {
    state: State,
    ledger: Arc<SinkLedger>,
    rng: Rng,
    /// Number of records that the sink took.
    taken: usize,
    /// Records that wait in the client, and records that a broker has, as tickets and numbers.
    queued: VecDeque<(FlightTicket, usize)>,
    sent: VecDeque<(FlightTicket, usize)>,
    /// The limit of the client, and the number of the last record that it took.
    group: RequestLimit,
    last: Option<usize>,
    /// True if the producer has failed.
    failed: bool,
    /// True if the client was made after an error and has delivered nothing yet, with a record in flight.
    is_new: bool,
    delivered: BTreeSet<usize>,
    refused: BTreeSet<usize>,
    /// The records whose refusals are not in the dead-letter file yet.
    unkept: usize,
    /// The error that the operator was told last.
    told: Option<BackOffCause>,
}

/// Maximum number of records in the client.
const ROOM: usize = 6;
/// Maximum number of records that a history takes.
const RECORDS: usize = 12;

impl World {
    fn new(rng: Rng) -> Self {
        Self {
            state: State::default(),
            ledger: Arc::default(),
            rng,
            taken: 0,
            queued: VecDeque::new(),
            sent: VecDeque::new(),
            group: RequestLimit::Many,
            last: None,
            failed: false,
            is_new: false,
            delivered: BTreeSet::new(),
            refused: BTreeSet::new(),
            unkept: 0,
            told: None,
        }
    }

    /// Does the next step of the sink's thread. Returns false if the thread waits.
    fn step(&mut self) -> bool {
        if self.unkept > 0 && self.rng.u8(..) < 64 {
            // The dead-letter file cannot be written.
            return true;
        }
        self.state.settle_refused(std::mem::take(&mut self.unkept));
        self.is_new &= !self.state.flight.is_empty();
        if self.failed {
            self.state.apply(ClientEvent::Failed("failed".to_owned()));
        }
        match self.state.next() {
            Task::Take => return self.take(),
            Task::Recall { sent } => {
                assert_eq!(sent, self.failed, "a record that a broker has gets its answer, unless the producer failed");
                let purged: Vec<_> = self.queued.drain(..).collect();
                for record in purged {
                    self.report(record, Some(RDKafkaErrorCode::PurgeQueue));
                }
                let purged: Vec<_> = self.sent.drain(..if sent { self.sent.len() } else { 0 }).collect();
                for record in purged {
                    self.report(record, Some(RDKafkaErrorCode::PurgeInflight));
                }
                return self.sent.is_empty();
            }
            Task::Replace { group, cause } => {
                assert_eq!(self.queued.len() + self.sent.len(), 0, "no record is outstanding");
                // The new client cannot always be made.
                if self.rng.u8(..) < 240 {
                    (self.group, self.last, self.failed) = (group, None, false);
                    self.state.replaced();
                    self.is_new |= cause.is_some();
                    self.told = cause.or_else(|| self.told.take());
                }
            }
            Task::HandOver => return self.hand_over(),
            Task::Wait { outstanding, cause } => {
                assert!(cause.is_none() || cause == self.told, "{cause:?} {:?}", self.told);
                return self.queued.len() + self.sent.len() <= outstanding;
            }
        }
        true
    }

    fn take(&mut self) -> bool {
        assert_eq!((self.group, self.failed, self.is_new), (RequestLimit::Many, false, false));
        let count = self.rng.usize(1..4).min(RECORDS - self.taken);
        let texts: Vec<String> = (self.taken..self.taken + count).map(|number| number.to_string()).collect();
        self.state.flight.push(lines(&self.ledger, &texts.iter().map(String::as_str).collect::<Vec<_>>()));
        self.taken += count;
        count > 0
    }

    /// Hands over one record. Returns false if the client has no room.
    fn hand_over(&mut self) -> bool {
        assert!(!self.state.is_recalling());
        if self.queued.len() + self.sent.len() == ROOM {
            return false;
        }
        let (ticket, batch, entry) = self.state.flight.next().expect("a record to hand over");
        let number = str::from_utf8(batch.line(&entry)).unwrap().trim_end().parse().unwrap();
        assert!(self.last < Some(number), "{number} after {:?}", self.last);
        assert!(!self.delivered.contains(&number) && !self.refused.contains(&number), "{number} has an answer");
        self.last = Some(number);
        self.state.flight.handed_over();
        self.queued.push_back((ticket, number));
        true
    }

    /// Sends records to the broker, or has the broker answer a request with an error that may be `None`.
    fn broker(&mut self, error: Option<RDKafkaErrorCode>) {
        let most = self.group.records().map_or(ROOM, |most| most as usize);
        if self.sent.is_empty() {
            let count = self.queued.len().min(most);
            self.sent.extend(self.queued.drain(..count));
        } else if !self.failed {
            // A broker that knows which one is at fault says so.
            let named = self.rng.bool().then(|| self.rng.usize(..self.sent.len()));
            for (index, record) in std::mem::take(&mut self.sent).into_iter().enumerate() {
                let own = named.is_none_or(|named| named == index);
                let error = error.map(|code| if own { code } else { RDKafkaErrorCode::InvalidDifferentRecord });
                self.report(record, error);
            }
        }
    }

    fn report(&mut self, (ticket, number): (FlightTicket, usize), error: Option<RDKafkaErrorCode>) {
        // Even numbers are for the topic that all records wait for.
        let fate = self.state.report(ticket, error, number % 2 == 0);
        let is_new = match fate {
            Fate::Delivered => self.delivered.insert(number),
            Fate::Refused(_) => {
                self.unkept += 1;
                self.refused.insert(number)
            }
            Fate::Back => true,
        };
        assert!(is_new, "{number} has two answers");
        assert!(fate != Fate::Back || self.state.is_recalling(), "{number} would be skipped");
        let is_refused = matches!(fate, Fate::Refused(_));
        match error {
            Some(RDKafkaErrorCode::InvalidDifferentRecord) => assert!(!is_refused, "{number} is not at fault"),
            Some(RDKafkaErrorCode::InvalidRecord) => {
                assert_eq!(is_refused, self.group == RequestLimit::One, "{number}");
            }
            _ => self.is_new &= error.is_some(),
        }
    }

    fn check(&self) {
        if let ClientPhase::BackingOff(_) = self.state.client.phase {
            assert!(!self.state.flight.is_empty(), "nothing could end the back-off");
        }
        assert_eq!(self.state.flight.outstanding(), self.queued.len() + self.sent.len());
    }
}

const ERRORS: [RDKafkaErrorCode; 8] = {
    use RDKafkaErrorCode::*;
    [
        MessageSizeTooLarge,
        InvalidRecord,
        InvalidDifferentRecord,
        PolicyViolation,
        UnknownTopicOrPartition,
        TopicAuthorizationFailed,
        InvalidRequiredAcks,
        OutOfOrderSequenceNumber,
    ]
};

#[test]
fn every_history_ends_with_one_answer_a_record() {
    let (mut histories, mut told, mut refused, mut delivered) = (0, 0, 0, 0);
    seeds::each(10_000, |rng| {
        let mut world = World::new(rng);
        for _ in 0..80 {
            match world.rng.u8(..) {
                0..120 => drop(world.step()),
                120..200 => world.broker(None),
                200..245 => {
                    let error = ERRORS[world.rng.usize(..ERRORS.len())];
                    world.broker(Some(error));
                }
                _ => world.failed = true,
            }
            world.check();
        }
        // The broker is well from now on.
        let mut steps = 0;
        while world.taken < RECORDS || !world.state.flight.is_empty() || world.state.client != ClientState::default() {
            if !world.step() {
                world.broker(None);
            }
            world.check();
            steps += 1;
            assert!(steps < 1000, "{:?} {:?}", world.state, world.sent);
        }
        assert_eq!(world.delivered.len() + world.refused.len(), RECORDS);
        assert!(world.delivered.is_disjoint(&world.refused));
        assert_eq!(settled(&world.ledger), (world.delivered.len() as u64, world.refused.len() as u64));
        histories += 1;
        told += usize::from(world.told.is_some());
        (refused, delivered) = (refused + world.refused.len(), delivered + world.delivered.len());
    });
    if !seeds::is_single() {
        assert_eq!(histories, 10_000);
        let shares = (told * 100 / histories, refused * 100 / (refused + delivered));
        assert!(
            shares.0 > 50 && (5..50).contains(&shares.1),
            "too few errors or refusals to mean anything: {shares:?}"
        );
    }
}
