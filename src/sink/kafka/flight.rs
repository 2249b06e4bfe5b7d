//! The records that librdkafka has, or is to have next: what became of each, and where the handing over stands.
//!
//! It holds batches in the order in which they came. A cursor stands before the record that is handed over next; behind
//! it are records that librdkafka answers for. Records that come back without being delivered or refused for good stay,
//! and when the cursor is set back to the start, they are handed over again, in their old order. A record that was
//! refused keeps its batch open until it lies in the dead-letter file.

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use crate::buffer::{Batch, Entry, Records};
use crate::ledger::Reason;

/// Which record of which batch: what librdkafka hands back with each report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The number of the batch, counted from the start and wrapping.
    batch: u32,
    /// The index of the entry in it.
    entry: u32,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Kafka has it.
    Delivered,
    /// Kafka refused it for good.
    Refused(RDKafkaErrorCode),
    /// It has to be handed over again.
    Back,
}

/// Why records have to be handed over again.
#[derive(Clone, Debug, Default)]
pub(super) struct Again {
    /// An error that is not the record's: for the operator.
    pub(super) trouble: Option<String>,
    /// What is wrong with the topic that all wait for.
    pub(super) topic: Option<RDKafkaErrorCode>,
    /// The producer takes no more records.
    pub(super) fatal: bool,
    /// Fewer records have to go in a request, because only one of those that failed together may be at fault.
    pub(super) fewer: bool,
}

/// How many records go in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Group {
    /// As many as librdkafka's properties say.
    #[default]
    Many,
    /// Some, so that a record that is refused holds up few others.
    Some,
    /// One, so that nobody else is at fault.
    One,
}

#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Batches in order; `None` for one that is resolved while an older one is not.
    batches: VecDeque<Option<InFlight>>,
    /// The number of the first of them.
    first: u32,
    /// The next record to be handed over, as an index into `batches` and one into its entries.
    cursor: (usize, usize),
    /// Records handed over and not reported yet.
    pub(super) outstanding: usize,
    /// Whether a record was delivered since this was set to false.
    pub(super) delivered: bool,
    /// Set whenever something has come back: the cursor would pass it by.
    pub(super) again: Option<Again>,
    /// How many records go in a request now.
    pub(super) group: Group,
    /// Records that were refused and are not buried yet, in the order of the refusals.
    refused: VecDeque<(Ticket, RDKafkaErrorCode)>,
    /// Whoever waits wants to be woken when there are so many outstanding or fewer.
    pub(super) wake_at: Option<usize>,
}

#[derive(Debug)]
struct InFlight {
    batch: Batch,
    /// What is known of each entry.
    states: Vec<State>,
    /// How many are not settled.
    left: usize,
    refused_records: u64,
    refused_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to be handed over, or with librdkafka.
    Open,
    /// It was refused and is not buried yet.
    Refused,
    /// It is delivered, or refused and buried.
    Settled,
}

/// A record to be buried.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: RDKafkaErrorCode,
    pub(super) records: Arc<Records>,
    pub(super) entry: Entry,
}

// === impl Group ===

impl Group {
    /// The next smaller one.
    pub(super) fn fewer(self) -> Self {
        match self {
            Self::Many => Self::Some,
            Self::Some | Self::One => Self::One,
        }
    }

    /// The maximum, unless it is librdkafka's.
    pub(super) fn records(self) -> Option<u32> {
        match self {
            Self::Many => None,
            Self::Some => Some(64),
            Self::One => Some(1),
        }
    }
}

// === impl Ticket ===

const _: () = assert!(usize::BITS >= 64, "a ticket fits into a pointer");

impl Ticket {
    pub(super) fn to_opaque(self) -> usize {
        (self.batch as usize) << 32 | self.entry as usize
    }

    pub(super) fn from_opaque(opaque: usize) -> Self {
        // The lower half is the entry.
        Self { batch: (opaque >> 32) as u32, entry: opaque as u32 }
    }
}

// === impl Flight ===

impl Flight {
    /// Takes a batch in behind all others.
    pub(super) fn push(&mut self, batch: Batch) {
        let left = batch.entries().len();
        if left == 0 {
            return batch.delivered();
        }
        let states = vec![State::Open; left];
        self.batches.push_back(Some(InFlight { batch, states, left, refused_records: 0, refused_bytes: 0 }));
    }

    /// Whether every batch is resolved.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The record before which the cursor stands, past those that are refused or settled.
    pub(super) fn next(&mut self) -> Option<(Ticket, &Batch, Entry)> {
        loop {
            let (batch, entry) = self.cursor;
            let open = self.batches.get(batch)?.as_ref().is_some_and(|in_flight| entry < in_flight.states.len());
            if !open {
                self.cursor = (batch + 1, 0);
            } else if self.batches[batch].as_ref().is_some_and(|in_flight| in_flight.states[entry] != State::Open) {
                self.cursor.1 += 1;
            } else {
                break;
            }
        }
        let (batch, entry) = self.cursor;
        // Neither index reaches 2^32: a batch holds less than 4 GiB, and a queue fewer batches than that.
        let ticket = Ticket { batch: self.first.wrapping_add(batch as u32), entry: entry as u32 };
        let in_flight = self.batches[batch].as_ref()?;
        Some((ticket, &in_flight.batch, in_flight.batch.entries()[entry]))
    }

    /// The record before the cursor is with librdkafka now.
    pub(super) fn handed_over(&mut self) {
        self.outstanding += 1;
        self.cursor.1 += 1;
    }

    /// librdkafka reports on a record.
    pub(super) fn report(&mut self, ticket: Ticket, fate: Fate) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.delivered |= fate == Fate::Delivered;
        match fate {
            Fate::Delivered => self.settle(ticket, false),
            Fate::Refused(code) => self.refuse(ticket, code),
            Fate::Back => {}
        }
    }

    /// A record is refused for good. It has to be buried by the sink's own thread, which may wait for a disk.
    pub(super) fn refuse(&mut self, ticket: Ticket, code: RDKafkaErrorCode) {
        let index = self.index(ticket);
        let Some(Some(in_flight)) = self.batches.get_mut(index) else { return };
        let state = &mut in_flight.states[ticket.entry as usize];
        if *state == State::Open {
            *state = State::Refused;
            self.refused.push_back((ticket, code));
        }
    }

    /// Whether records have to be buried.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The first records that have to be buried, at most `most`.
    pub(super) fn refused(&self, most: usize) -> Vec<Refusal> {
        let refusal = |&(ticket, code): &(Ticket, RDKafkaErrorCode)| {
            let batch = &self.batches.get(self.index(ticket))?.as_ref()?.batch;
            Some(Refusal { code, records: batch.records(), entry: batch.entries()[ticket.entry as usize] })
        };
        // A record that is not buried keeps its batch here: none is left out.
        self.refused.iter().take(most).filter_map(refusal).collect()
    }

    /// The first `records` of those that had to be buried are.
    pub(super) fn bury(&mut self, records: usize) {
        for _ in 0..records {
            let Some((ticket, _)) = self.refused.pop_front() else { return };
            self.settle(ticket, true);
        }
    }

    /// The fate of a record is known; the last of a batch resolves the batch.
    fn settle(&mut self, ticket: Ticket, refused: bool) {
        let index = self.index(ticket);
        let Some(Some(in_flight)) = self.batches.get_mut(index) else { return };
        let entry = ticket.entry as usize;
        if std::mem::replace(&mut in_flight.states[entry], State::Settled) == State::Settled {
            return;
        }
        in_flight.left -= 1;
        if refused {
            let entry = &in_flight.batch.entries()[entry];
            in_flight.refused_records += 1;
            in_flight.refused_bytes += in_flight.batch.line(entry).len() as u64;
        }
        if in_flight.left == 0
            && let Some(in_flight) = self.batches[index].take()
        {
            in_flight.batch.delivered_except(in_flight.refused_records, in_flight.refused_bytes);
            self.shorten();
        }
    }

    /// Sets the cursor back to the start. Nothing may be outstanding.
    pub(super) fn rewind(&mut self) {
        self.cursor = (0, 0);
    }

    /// Resolves everything: what is not settled is dropped with `reason`. Gives how many records that were, without
    /// those of a spool, which keeps them.
    pub(super) fn drop_all(&mut self, reason: Reason) -> usize {
        let mut records = 0;
        for mut in_flight in self.batches.drain(..).flatten() {
            records += if in_flight.batch.is_of_spool() { 0 } else { in_flight.left };
            let states = in_flight.batch.entries().iter().zip(&in_flight.states);
            let unsettled = states.filter(|(_, state)| **state != State::Settled);
            let bytes: usize = unsettled.map(|(entry, _)| in_flight.batch.line(entry).len()).sum();
            in_flight.batch.dropped_part(in_flight.left as u64, bytes as u64, reason);
            in_flight.batch.delivered_except(in_flight.refused_records, in_flight.refused_bytes);
        }
        *self = Self::default();
        records
    }

    fn index(&self, ticket: Ticket) -> usize {
        ticket.batch.wrapping_sub(self.first) as usize
    }

    /// Forgets the resolved batches at the start.
    fn shorten(&mut self) {
        while let Some(None) = self.batches.front() {
            self.batches.pop_front();
            self.first = self.first.wrapping_add(1);
            // A cursor in a resolved batch is at its end.
            self.cursor = self.cursor.0.checked_sub(1).map_or((0, 0), |batch| (batch, self.cursor.1));
        }
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
