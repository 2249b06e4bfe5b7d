//! The state of the client, which the sink's thread and librdkafka's polling thread both change, under one lock.
//!
//! ```text
//!            a record comes back              all reports are in, no error
//!  Sending ----------------------> Recalling ------------------------------> Sending
//!     ^                             ^    |
//!     |                             |    | all reports are in, after an error
//!     | a record is delivered,      |    v
//!     +-- or none is left -------- BackingOff
//! ```
//!
//! Records that come back have to be handed over again in their old order. Therefore the sink recalls them all: it
//! hands over no more, purges the records that librdkafka has, and waits for the reports on them. Then it replaces the
//! client and starts again at the oldest record.

use rdkafka::error::RDKafkaErrorCode;

use super::blame::{Blame, blame};
use crate::buffer::{Batch, Entry};
use crate::ledger::Reason;
use crate::sink::flight::{Fate, Flight, FlightTicket, RefusedRecord};

/// The records in flight, the state of the client, and the wait of the sink's thread.
#[derive(Debug, Default)]
pub(super) struct State {
    flight: Flight<RDKafkaErrorCode>,
    client: ClientState,
    /// The wait of the sink's thread, while it waits.
    waiting: Option<ClientWait>,
}

/// The state of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientState {
    phase: ClientPhase,
    /// Limit on the records in one request. While it is small, the sink takes no new records.
    group: RequestLimit,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ClientPhase {
    /// The client takes records.
    #[default]
    Sending,
    /// The client was replaced after an error. It takes the records in flight, but the sink takes no new ones until one
    /// is delivered.
    BackingOff(BackOffCause),
    /// The client takes no records. The sink waits for the reports on those that it has.
    Recalling(Recall),
}

/// Reasons to recall the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Recall {
    /// The error after which the sink backs off, if there was one.
    cause: Option<BackOffCause>,
    /// The error after which the sink backs off already.
    earlier: Option<BackOffCause>,
    /// True if the producer has failed: it takes no more records, and a record at a broker gets no answer.
    failed: bool,
    /// True if fewer records have to go in a request, because only one of those that failed together may be at fault.
    fewer: bool,
}

/// An error after which the sink backs off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BackOffCause {
    /// An error that is not the record's fault, in words for the operator.
    Trouble(String),
    /// The error of the topic that all records wait for.
    Topic(RDKafkaErrorCode),
}

/// An event that changes the state of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientEvent {
    /// Kafka has acknowledged a record.
    Delivered,
    /// No record is in flight.
    Drained,
    /// A record has come back through no fault of its own: another one is at fault, or it was purged.
    Returned,
    /// A record has come back because one of its request is at fault.
    RefusedTogether,
    /// Kafka refuses the topic that all records wait for.
    TopicRefused(RDKafkaErrorCode),
    /// A record has come back after an error, in words for the operator.
    Trouble(String),
    /// The producer has failed as a whole, in words for the operator.
    Failed(String),
    /// The client was replaced by a new one.
    Replaced,
}

/// The next step of the sink's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Purge the records that librdkafka has, with `sent` also those that a broker has, and wait for all reports.
    Recall { sent: bool },
    /// Replace the client by one with this limit; after an error, back off. No record is outstanding.
    Replace { group: RequestLimit, cause: Option<BackOffCause> },
    /// Hand over records.
    HandOver,
    /// Wait until at most `outstanding` records are with librdkafka. `cause` is the error after which the sink backs
    /// off.
    Wait { outstanding: usize, cause: Option<BackOffCause> },
    /// Take new records.
    Take,
}

/// Counts of the flight that decide the next step.
#[derive(Clone, Copy, Debug)]
struct FlightCounts {
    /// True if a record is to be handed over.
    open: bool,
    /// Number of records that were handed over and not answered yet.
    outstanding: usize,
    /// True if every record has an answer.
    empty: bool,
}

/// A wait of the sink's thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientWait {
    /// Number of outstanding records at or below which the wait ends.
    pub(super) outstanding: usize,
    /// True if the wait also ends when a record has come back.
    pub(super) or_recall: bool,
}

/// Limit on the records in one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RequestLimit {
    /// The limit that librdkafka's properties set.
    #[default]
    Many,
    /// A small number, so that a refused record holds up few others.
    Some,
    /// One, so that no other record can be at fault.
    One,
}

// === impl State ===

impl State {
    /// Returns the next step of the sink's thread.
    pub(super) fn next(&mut self) -> Task {
        let open = self.flight.next().is_some();
        let (outstanding, empty) = (self.flight.outstanding(), self.flight.is_empty());
        self.client.next(FlightCounts { open, outstanding, empty })
    }

    /// Changes the state of the client.
    pub(super) fn apply(&mut self, event: ClientEvent) {
        self.client = std::mem::take(&mut self.client).after(event);
        if self.flight.is_empty() {
            self.client = std::mem::take(&mut self.client).after(ClientEvent::Drained);
        }
    }

    /// Takes in the report on a record: `error` is `None` for a delivered one; `is_awaited` tells whether all records
    /// wait for its topic. Returns the fate of the record.
    pub(super) fn report(
        &mut self,
        ticket: FlightTicket,
        error: Option<RDKafkaErrorCode>,
        is_awaited: bool,
    ) -> Fate<RDKafkaErrorCode> {
        let (fate, event) = error.map_or((Fate::Delivered, Some(ClientEvent::Delivered)), |code| {
            let event = self.client.refusal(code, is_awaited);
            (if event.is_some() { Fate::Back } else { Fate::Refused(code) }, event)
        });
        self.flight.report(ticket, fate);
        if let Some(event) = event {
            self.apply(event);
        }
        fate
    }

    /// Takes a batch from the sink.
    pub(super) fn push(&mut self, batch: Batch) {
        self.flight.push(batch);
    }

    /// Returns the next record to be handed over.
    pub(super) fn next_record(&mut self) -> Option<(FlightTicket, &Batch, Entry)> {
        self.flight.next()
    }

    /// Notes that the client now has the record that [`State::next_record`] returned.
    pub(super) fn handed_over(&mut self) {
        self.flight.handed_over();
    }

    /// Notes that a record is refused for good before the client has it.
    pub(super) fn refuse(&mut self, ticket: FlightTicket, code: RDKafkaErrorCode) {
        self.flight.refuse(ticket, code);
    }

    /// Returns the number of records that were handed over and not answered yet.
    pub(super) const fn outstanding(&self) -> usize {
        self.flight.outstanding()
    }

    /// Returns true if no record is in flight.
    pub(super) fn is_drained(&self) -> bool {
        self.flight.is_empty()
    }

    /// Returns true if refused records wait for the dead-letter file.
    pub(super) fn has_refused(&self) -> bool {
        self.flight.has_refused()
    }

    /// Returns the first refused records, at most `most`.
    pub(super) fn refused(&self, most: usize) -> Vec<RefusedRecord<RDKafkaErrorCode>> {
        self.flight.refused(most)
    }

    /// Drops the records in flight with `reason`. Returns how many were dropped, without those that are kept elsewhere.
    pub(super) fn drop_all(&mut self, reason: Reason) -> usize {
        self.flight.drop_all(reason)
    }

    /// Notes that the first `records` of the refused ones are in the dead-letter file.
    pub(super) fn settle_refused(&mut self, records: usize) {
        self.flight.settle_refused(records);
        if self.flight.is_empty() {
            self.apply(ClientEvent::Drained);
        }
    }

    /// Notes that the client was replaced. Records are handed over from the oldest on.
    pub(super) fn replaced(&mut self) {
        self.flight.rewind();
        self.apply(ClientEvent::Replaced);
    }

    /// True if no record may be handed over.
    pub(super) fn is_recalling(&self) -> bool {
        matches!(self.client.phase, ClientPhase::Recalling(_))
    }

    /// Returns the limit on the records in one request.
    pub(super) const fn group(&self) -> RequestLimit {
        self.client.group
    }

    /// Notes that the sink's thread waits, unless the wait is over already.
    pub(super) fn wait(&mut self, wait: ClientWait) -> bool {
        self.waiting = Some(wait).filter(|wait| !self.is_over(*wait));
        self.waiting.is_some()
    }

    /// Notes that the sink's thread waits no more.
    pub(super) fn wait_no_more(&mut self) {
        self.waiting = None;
    }

    /// True if the sink's thread has to be woken.
    pub(super) fn wakes(&self) -> bool {
        self.waiting.is_some_and(|wait| self.is_over(wait))
    }

    fn is_over(&self, wait: ClientWait) -> bool {
        self.flight.outstanding() <= wait.outstanding || (wait.or_recall && self.is_recalling())
    }
}

// === impl ClientState ===

impl ClientState {
    /// Returns the state after an event.
    fn after(self, event: ClientEvent) -> Self {
        let Self { phase, group } = self;
        match (event, phase) {
            (ClientEvent::Delivered | ClientEvent::Drained, ClientPhase::Sending | ClientPhase::BackingOff(_)) => {
                Self { phase: ClientPhase::Sending, group }
            }
            (ClientEvent::Delivered | ClientEvent::Drained, ClientPhase::Recalling(recall)) => {
                Self { phase: ClientPhase::Recalling(Recall { earlier: None, ..recall }), group }
            }
            (ClientEvent::Replaced, ClientPhase::Recalling(recall)) => Self {
                group: recall.group(group),
                phase: recall.cause.or(recall.earlier).map_or(ClientPhase::Sending, ClientPhase::BackingOff),
            },
            (ClientEvent::Replaced, phase) => Self { phase, group: RequestLimit::Many },
            (event, ClientPhase::Recalling(recall)) => Self { phase: ClientPhase::Recalling(recall.and(event)), group },
            (event, ClientPhase::BackingOff(cause)) => {
                let recall = Recall { earlier: Some(cause), ..Recall::default() };
                Self { phase: ClientPhase::Recalling(recall.and(event)), group }
            }
            (event, ClientPhase::Sending) => {
                Self { phase: ClientPhase::Recalling(Recall::default().and(event)), group }
            }
        }
    }

    /// Returns the next step of the sink's thread.
    fn next(&self, flight: FlightCounts) -> Task {
        match &self.phase {
            ClientPhase::Recalling(recall) if flight.outstanding > 0 => Task::Recall { sent: recall.failed },
            ClientPhase::Recalling(recall) => {
                Task::Replace { group: recall.group(self.group), cause: recall.cause.clone() }
            }
            ClientPhase::Sending | ClientPhase::BackingOff(_) if flight.open => Task::HandOver,
            ClientPhase::Sending | ClientPhase::BackingOff(_) if self.group != RequestLimit::Many && flight.empty => {
                Task::Replace { group: RequestLimit::Many, cause: None }
            }
            ClientPhase::Sending if self.group != RequestLimit::Many => Task::Wait { outstanding: 0, cause: None },
            ClientPhase::Sending => Task::Take,
            ClientPhase::BackingOff(cause) => {
                let outstanding =
                    if self.group == RequestLimit::Many { flight.outstanding.saturating_sub(1) } else { 0 };
                Task::Wait { outstanding, cause: Some(cause.clone()) }
            }
        }
    }

    /// Returns the event of a record's error; `None` if Kafka refuses the record for good.
    fn refusal(&self, code: RDKafkaErrorCode, is_awaited: bool) -> Option<ClientEvent> {
        match blame(code) {
            Blame::Topic if is_awaited => Some(ClientEvent::TopicRefused(code)),
            Blame::OneOfThem if self.group != RequestLimit::One => Some(ClientEvent::RefusedTogether),
            Blame::OneOfThem | Blame::Record | Blame::Topic => None,
            Blame::Another => Some(ClientEvent::Returned),
            // Records are purged by the sink in a recall, and by librdkafka when the producer fails.
            Blame::Nobody if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
                Some(ClientEvent::Returned)
            }
            Blame::Nobody => Some(ClientEvent::Trouble(format!("kafka did not accept a record: {code}"))),
        }
    }
}

// === impl Recall ===

impl Recall {
    /// Adds the reason that an event gives.
    fn and(mut self, event: ClientEvent) -> Self {
        match event {
            ClientEvent::RefusedTogether => self.fewer = true,
            // A topic is refused to a client that has no other trouble.
            ClientEvent::TopicRefused(_) if matches!(self.cause, Some(BackOffCause::Trouble(_))) => {}
            ClientEvent::TopicRefused(code) => self.cause = Some(BackOffCause::Topic(code)),
            ClientEvent::Trouble(text) => self.cause = Some(BackOffCause::Trouble(text)),
            ClientEvent::Failed(text) => (self.failed, self.cause) = (true, Some(BackOffCause::Trouble(text))),
            ClientEvent::Returned | ClientEvent::Delivered | ClientEvent::Drained | ClientEvent::Replaced => {}
        }
        self
    }

    /// Returns the limit of the next client after one with the limit `group`.
    fn group(&self, group: RequestLimit) -> RequestLimit {
        if self.fewer { group.fewer() } else { group }
    }
}

// === impl RequestLimit ===

impl RequestLimit {
    /// Returns the next smaller group.
    fn fewer(self) -> Self {
        match self {
            Self::Many => Self::Some,
            Self::Some | Self::One => Self::One,
        }
    }

    /// Returns the maximum number of records; `None` if librdkafka's properties set it.
    pub(super) fn records(self) -> Option<u32> {
        match self {
            Self::Many => None,
            Self::Some => Some(64),
            Self::One => Some(1),
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
