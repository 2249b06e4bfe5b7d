//! The records in flight to a destination that answers for each of them: the fate of each record, and the next one to
//! hand over.
//!
//! A flight holds batches in order of arrival. A cursor stands before the record that is handed over next; the
//! destination's client has the records before it. Records that come back, neither delivered nor refused for good, stay
//! in the flight. When the cursor is set back to the start, they are handed over again, in their old order. A refused
//! record keeps its batch open until it is in the dead-letter file.
//!
//! ```text
//!  oldest batch                              newest batch
//!  | delivered | refused | with the client | open ...   |
//!                                          ^ cursor
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::Error;
use super::dead_letter::{DeadLetters, Letter};
use crate::buffer::{Batch, Entry, Records};
use crate::ledger::Reason;

/// Maximum number of records in one write to the dead-letter file.
const REFUSALS_PER_WRITE: usize = 1000;

/// The batch and entry of a record: the client hands this back with each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlightTicket {
    /// The number of the batch, counted from the start and wrapping.
    pub(super) batch: u32,
    /// The index of the entry in the batch.
    pub(super) entry: u32,
}

/// The fate of a record; a destination that refuses one gives a reason `R`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate<R> {
    /// The destination has it.
    Delivered,
    /// The destination refused it for good.
    Refused(R),
    /// The record has to be handed over again.
    Back,
}

/// Batches in flight; `R` is the reason for which the destination refuses a record.
#[derive(Debug)]
pub(super) struct Flight<R> {
    /// Batches in order; `None` for one that is resolved while an older one is not.
    batches: VecDeque<Option<BatchInFlight>>,
    /// The number of the first batch.
    first: u32,
    /// The next record to be handed over, as an index into `batches` and one into its entries.
    cursor: (usize, usize),
    /// Number of records that were handed over and not answered yet.
    outstanding: usize,
    /// Refused records that are not in the dead-letter file yet, in the order of the refusals.
    refused: VecDeque<(FlightTicket, R)>,
}

#[derive(Debug)]
struct BatchInFlight {
    batch: Batch,
    /// The state of each entry.
    states: Vec<EntryState>,
    /// Number of entries that are not settled.
    left: usize,
    refused_records: u64,
    refused_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryState {
    /// The record is to be handed over, or the client has it.
    Open,
    /// The record was refused, and is not in the dead-letter file yet.
    Refused,
    /// The record is delivered, or refused and in the dead-letter file.
    Settled,
}

/// A refused record, for the dead-letter file.
#[derive(Debug)]
pub(super) struct RefusedRecord<R> {
    pub(super) reason: R,
    pub(super) records: Arc<Records>,
    pub(super) entry: Entry,
}

// === impl Flight ===

impl<R> Default for Flight<R> {
    fn default() -> Self {
        Self { batches: VecDeque::new(), first: 0, cursor: (0, 0), outstanding: 0, refused: VecDeque::new() }
    }
}

impl<R: Clone> Flight<R> {
    /// Appends a batch behind all others.
    pub(super) fn push(&mut self, batch: Batch) {
        let left = batch.entries().len();
        if left == 0 {
            return batch.delivered();
        }
        let states = vec![EntryState::Open; left];
        self.batches.push_back(Some(BatchInFlight { batch, states, left, refused_records: 0, refused_bytes: 0 }));
    }

    /// Returns the number of records that were handed over and not answered yet.
    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Returns true if every batch is resolved.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns the record at the cursor, after moving the cursor past records that are refused or settled.
    pub(super) fn next(&mut self) -> Option<(FlightTicket, &Batch, Entry)> {
        loop {
            let (batch, entry) = self.cursor;
            let open = self.batches.get(batch)?.as_ref().is_some_and(|in_flight| entry < in_flight.states.len());
            if !open {
                self.cursor = (batch + 1, 0);
            } else if self.batches[batch].as_ref().is_some_and(|in_flight| in_flight.states[entry] != EntryState::Open)
            {
                self.cursor.1 += 1;
            } else {
                break;
            }
        }
        let (batch, entry) = self.cursor;
        // Neither index reaches 2^32: a batch holds less than 4 GiB, and a queue fewer batches than that.
        let ticket = FlightTicket { batch: self.first.wrapping_add(batch as u32), entry: entry as u32 };
        let in_flight = self.batches[batch].as_ref()?;
        Some((ticket, &in_flight.batch, in_flight.batch.entries()[entry]))
    }

    /// Notes that the client now has the record that [`Flight::next`] returned.
    pub(super) fn handed_over(&mut self) {
        self.outstanding += 1;
        self.cursor.1 += 1;
    }

    /// Takes in the client's answer for a record.
    pub(super) fn report(&mut self, ticket: FlightTicket, fate: Fate<R>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        match fate {
            Fate::Delivered => self.settle(ticket, false),
            Fate::Refused(reason) => self.refuse(ticket, reason),
            Fate::Back => {}
        }
    }

    /// Notes that the destination refuses a record for good. The sink's own thread appends the record to the
    /// dead-letter file, because that may wait for a disk.
    pub(super) fn refuse(&mut self, ticket: FlightTicket, reason: R) {
        let index = self.index(ticket);
        let Some(Some(in_flight)) = self.batches.get_mut(index) else { return };
        let state = &mut in_flight.states[ticket.entry as usize];
        if *state == EntryState::Open {
            *state = EntryState::Refused;
            self.refused.push_back((ticket, reason));
        }
    }

    /// Returns true if refused records wait for the dead-letter file.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Returns the first refused records, at most `most`.
    pub(super) fn refused(&self, most: usize) -> Vec<RefusedRecord<R>> {
        let refusal = |(ticket, reason): &(FlightTicket, R)| {
            let (ticket, reason) = (*ticket, reason.clone());
            let batch = &self.batches.get(self.index(ticket))?.as_ref()?.batch;
            Some(RefusedRecord { reason, records: batch.records(), entry: batch.entries()[ticket.entry as usize] })
        };
        // A refused record keeps its batch here: none is left out.
        self.refused.iter().take(most).filter_map(refusal).collect()
    }

    /// Notes that the first `records` of the refused ones are in the dead-letter file.
    pub(super) fn settle_refused(&mut self, records: usize) {
        for _ in 0..records {
            let Some((ticket, _)) = self.refused.pop_front() else { return };
            self.settle(ticket, true);
        }
    }

    /// Settles a record whose fate is known; the last record of a batch resolves the batch.
    fn settle(&mut self, ticket: FlightTicket, refused: bool) {
        let index = self.index(ticket);
        let Some(Some(in_flight)) = self.batches.get_mut(index) else { return };
        let entry = ticket.entry as usize;
        if std::mem::replace(&mut in_flight.states[entry], EntryState::Settled) == EntryState::Settled {
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

    /// Sets the cursor back to the start. No record may be outstanding.
    pub(super) fn rewind(&mut self) {
        self.cursor = (0, 0);
    }

    /// Resolves every batch and drops the records that are not settled with `reason`. Returns how many records were
    /// dropped, without those that are kept elsewhere.
    pub(super) fn drop_all(&mut self, reason: Reason) -> usize {
        let mut records = 0;
        for mut in_flight in self.batches.drain(..).flatten() {
            records += if in_flight.batch.is_kept() { 0 } else { in_flight.left };
            let states = in_flight.batch.entries().iter().zip(&in_flight.states);
            let unsettled = states.filter(|(_, state)| **state != EntryState::Settled);
            let bytes: usize = unsettled.map(|(entry, _)| in_flight.batch.line(entry).len()).sum();
            in_flight.batch.dropped_part(in_flight.left as u64, bytes as u64, reason);
            in_flight.batch.delivered_except(in_flight.refused_records, in_flight.refused_bytes);
        }
        *self = Self::default();
        records
    }

    fn index(&self, ticket: FlightTicket) -> usize {
        ticket.batch.wrapping_sub(self.first) as usize
    }

    /// Removes the resolved batches at the start.
    fn shorten(&mut self) {
        while let Some(None) = self.batches.front() {
            self.batches.pop_front();
            self.first = self.first.wrapping_add(1);
            // A cursor in a resolved batch is at its end.
            self.cursor = self.cursor.0.checked_sub(1).map_or((0, 0), |batch| (batch, self.cursor.1));
        }
    }
}

/// The flight of a sink, behind the lock that the sink's thread shares with the client. Each call takes the lock.
pub(super) trait SharedFlight<R> {
    /// Returns the first refused records, at most `most`.
    fn refused(&self, most: usize) -> Vec<RefusedRecord<R>>;

    /// Notes that the first `records` of the refused ones are in the dead-letter file.
    fn settle_refused(&self, records: usize);
}

/// Appends the refused records of `flight` to the dead-letter file, and settles those that are on its disk. Passes the
/// records of each write that are in the file to `kept`, for the log.
///
/// # Errors
///
/// The file has no room, or cannot be written. The records that it does not have stay refused.
pub(super) fn keep_refused<R: fmt::Display>(
    flight: &impl SharedFlight<R>,
    dead_letters: &mut DeadLetters,
    mut kept: impl FnMut(&[RefusedRecord<R>]),
) -> Result<(), Error> {
    loop {
        let refused = flight.refused(REFUSALS_PER_WRITE);
        if refused.is_empty() {
            return Ok(());
        }
        let reasons: Vec<String> = refused.iter().map(|refusal| refusal.reason.to_string()).collect();
        let letters = refused.iter().zip(&reasons).map(|(refusal, reason)| Letter {
            reason,
            records: &refusal.records,
            entry: refusal.entry,
        });
        let (done, result) = dead_letters.append(letters);
        kept(&refused[..done]);
        dead_letters.sync()?;
        flight.settle_refused(done);
        result?;
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
