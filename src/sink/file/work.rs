//! Batches inside the sink: the fate of each of their lines, and which lines share a file.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::time::Instant;

use super::rotate;
use crate::buffer::Batch;
use crate::ledger::Reason;
use crate::sink::routes::Routes;

/// Batches in order, with a mark for each of their entries, counted over all of them.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) batches: VecDeque<Batch>,
    pub(super) marks: Vec<Mark>,
}

/// The fate of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Waiting,
    Written,
    /// The path is refused for good, and the dead-letter file has the record, if there is such a file.
    Refused,
    /// The path is refused for good, but the dead-letter file is full, and no source waits for the record.
    Lost,
}

/// The lines that one file gets in one call, in order.
pub(super) struct FileLines<'b> {
    pub(super) route: Cow<'b, str>,
    pub(super) lines: Vec<LinePlace>,
}

/// The place of a line: the batch, the entry within it, and its mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinePlace {
    pub(super) batch: usize,
    pub(super) entry: usize,
    pub(super) mark: usize,
    /// True if the line goes to the common route, because there is no place for its own.
    pub(super) diverted: bool,
}

// === impl Work ===

impl Work {
    pub(super) fn new(batches: VecDeque<Batch>) -> Self {
        let entries = batches.iter().map(|batch| batch.entries().len()).sum();
        Self { batches, marks: vec![Mark::Waiting; entries] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds later batches.
    pub(super) fn extend(&mut self, later: Self) {
        self.batches.extend(later.batches);
        self.marks.extend(later.marks);
    }

    /// Returns true if a source waits for any of the batches.
    pub(super) fn is_awaited(&self) -> bool {
        self.batches.iter().any(Batch::is_awaited)
    }

    /// Resolves each batch that has no waiting line, and returns the others.
    pub(super) fn resolve(self) -> Self {
        let mut left = Self::default();
        let mut marks = self.marks.as_slice();
        for batch in self.batches {
            let own;
            (own, marks) = marks.split_at(batch.entries().len());
            if own.contains(&Mark::Waiting) {
                left.marks.extend_from_slice(own);
                left.batches.push_back(batch);
            } else {
                resolve(batch, own);
            }
        }
        left
    }

    /// Resolves every batch and drops the waiting lines because of the stop. Returns the number of dropped records.
    /// Records that are kept elsewhere do not count.
    pub(super) fn give_up(self) -> u64 {
        let mut marks = self.marks.as_slice();
        let mut records = 0;
        for mut batch in self.batches {
            let own;
            (own, marks) = marks.split_at(batch.entries().len());
            let (waiting, bytes) = count(&batch, own, Mark::Waiting);
            batch.dropped_part(waiting, bytes, Reason::Shutdown);
            records += if batch.is_kept() { 0 } else { waiting };
            resolve(batch, own);
        }
        records
    }

    /// Returns the lines that `marks` gives as waiting, grouped by file. Most batches have few routes, and neighbours
    /// often share one.
    pub(super) fn groups<'b>(&'b self, marks: &[Mark], routes: &mut Routes, common: &'b str) -> Vec<FileLines<'b>> {
        let now = Instant::now();
        let mut groups: Vec<FileLines<'b>> = Vec::new();
        let mut by_file: HashMap<Cow<'b, str>, usize> = HashMap::new();
        // Maps each route in the records to its group, and to whether that is the common one.
        let mut by_route: HashMap<&str, (usize, bool)> = HashMap::new();
        let mut last = ("", (0, false));
        let mut mark = 0;
        for (batch_index, batch) in self.batches.iter().enumerate() {
            for (entry_index, entry) in batch.entries().iter().enumerate() {
                let mut line = LinePlace { batch: batch_index, entry: entry_index, mark, diverted: false };
                mark += 1;
                if marks[line.mark] != Mark::Waiting {
                    continue;
                }
                let route = batch.route(entry);
                if groups.is_empty() || last.0 != route {
                    let place = *by_route.entry(route).or_insert_with(|| {
                        let diverted = !routes.admit(route, now);
                        let file = rotate::live(if diverted { common } else { route });
                        let group = *by_file.entry(file.clone()).or_insert(groups.len());
                        if group == groups.len() {
                            groups.push(FileLines { route: file, lines: Vec::new() });
                        }
                        (group, diverted)
                    });
                    last = (route, place);
                }
                let (group, diverted) = last.1;
                line.diverted = diverted;
                groups[group].lines.push(line);
            }
        }
        groups
    }

    /// Returns how many lines fit into a file of `size` bytes that is rotated at `limit`; at least one.
    pub(super) fn fitting(&self, lines: &[LinePlace], size: u64, limit: Option<u64>) -> usize {
        let Some(limit) = limit else { return lines.len() };
        let mut size = size;
        let over = lines.iter().position(|line| {
            size += self.length(line) as u64;
            size > limit
        });
        over.map_or(lines.len(), |over| over.max(1))
    }

    /// Returns the bytes of lines, with neighbours joined.
    pub(super) fn slices(&self, lines: &[LinePlace]) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::new();
        let adjacent = |one: &LinePlace, next: &LinePlace| {
            let entries = self.batches[one.batch].entries();
            one.batch == next.batch && entries[one.entry].line.end == entries[next.entry].line.start
        };
        for run in lines.chunk_by(adjacent) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let batch = &self.batches[first.batch];
            slices.push(IoSlice::new(batch.lines(&batch.entries()[first.entry], &batch.entries()[last.entry])));
        }
        slices
    }

    /// Returns the number of bytes of a line.
    pub(super) fn length(&self, line: &LinePlace) -> usize {
        let batch = &self.batches[line.batch];
        batch.line(&batch.entries()[line.entry]).len()
    }

    /// Returns the route of a line as its record has it.
    pub(super) fn route(&self, line: &LinePlace) -> &str {
        let batch = &self.batches[line.batch];
        batch.route(&batch.entries()[line.entry])
    }
}

/// Resolves a batch that has no waiting line, or whose waiting lines are dropped already.
fn resolve(mut batch: Batch, marks: &[Mark]) {
    let (records, bytes) = count(&batch, marks, Mark::Lost);
    if records > 0 {
        batch.dropped_part(records, bytes, Reason::DeadLetterFull);
    }
    let (records, bytes) = count(&batch, marks, Mark::Refused);
    batch.delivered_except(records, bytes);
}

/// Returns the number of records of a batch with this mark, and the bytes of their lines.
fn count(batch: &Batch, marks: &[Mark], of: Mark) -> (u64, u64) {
    let entries = batch.entries().iter().zip(marks).filter(|(_, mark)| **mark == of);
    entries.fold((0, 0), |(records, bytes), (entry, _)| (records + 1, bytes + batch.line(entry).len() as u64))
}
