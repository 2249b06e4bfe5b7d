//! Lines whose route is refused: they go into the dead-letter file, or to the common route while that file is full.
//!
//! A sender that chooses names can fill the dead-letter file. If its lines waited for room then, they would fill the
//! queue and stop the records of all other senders. The common route keeps these lines as it keeps lines beyond
//! `max_routes`: they count as delivered when they are in it. If the path has no placeholder, or the common route
//! cannot be written either, a line waits if its sender waits for it, and is dropped if not.

use std::time::Instant;

use tracing::warn;

use super::path::{PathError, Scope};
use super::trouble::RouteDecision;
use super::work::{FileLines, LinePlace, Mark, Work};
use super::{Error, File};
use crate::sink::dead_letter::Letter;

/// Refused lines of one route for which the dead-letter file has no room.
#[derive(Debug)]
pub(super) struct Unkept {
    route: String,
    pub(super) lines: Vec<LinePlace>,
    /// Reason why the route is refused.
    reason: String,
    /// Error of the dead-letter file.
    full: String,
}

// === impl File ===

impl File {
    /// Writes a group, or refuses it where that is due. Returns the lines for which the dead-letter file has no room.
    pub(super) fn write_or_refuse(
        &mut self,
        work: &Work,
        group: &FileLines<'_>,
        stuck: bool,
        marks: &mut [Mark],
        now: Instant,
    ) -> Result<Option<Unkept>, Error> {
        let verdict = match self.troubles.verdict(&group.route, stuck, now) {
            RouteDecision::Write => match self.write_group(work, group, marks) {
                Ok(()) => {
                    self.troubles.worked(&group.route, now);
                    return Ok(None);
                }
                Err(PathError::Fatal(error)) => return Err(error),
                Err(PathError::Refused(reason)) => RouteDecision::Refuse(format!("cannot write to {reason}")),
                Err(PathError::Failed { reason, scope }) => self.troubles.failed(&group.route, &reason, scope, now),
            },
            verdict => verdict,
        };
        let RouteDecision::Refuse(reason) = verdict else { return Ok(None) };
        self.refuse(work, group, reason, marks, now)
    }

    fn refuse(
        &mut self,
        work: &Work,
        group: &FileLines<'_>,
        reason: String,
        marks: &mut [Mark],
        now: Instant,
    ) -> Result<Option<Unkept>, Error> {
        // A part of the lines may be written already.
        let mut lines: Vec<LinePlace> =
            group.lines.iter().filter(|line| marks[line.mark] == Mark::Waiting).copied().collect();
        let (done, result) = self.dead_letters.append(lines.iter().map(|line| {
            let records = &work.batches[line.batch];
            Letter { reason: &reason, records, entry: records.entries()[line.entry] }
        }));
        for line in lines.drain(..done) {
            marks[line.mark] = Mark::Refused;
        }
        match result {
            Ok(()) => {
                self.troubles.settled(&group.route);
                Ok(None)
            }
            Err(Error::Retry(full)) if self.dead_letters.is_full() => {
                Ok(Some(Unkept { route: group.route.to_string(), lines, reason, full }))
            }
            // Lines that cannot be kept wait like lines that cannot be written.
            Err(Error::Retry(reason)) => {
                self.troubles.failed(&group.route, &reason, Scope::All, now);
                Ok(None)
            }
            Err(fatal) => Err(fatal),
        }
    }

    /// Decides on refused lines for which the dead-letter file has no room, after the common route was written. Lines
    /// that still wait have no place there either.
    pub(super) fn settle(&mut self, work: &Work, unkept: &Unkept, marks: &mut [Mark], now: Instant) {
        self.count_moved(unkept, marks, now);
        // A source that waits must not be told that its line is kept; a line that no source waits for must not fill the
        // queue.
        let mut waits = false;
        for line in &unkept.lines {
            if marks[line.mark] != Mark::Waiting {
                continue;
            }
            if work.batches[line.batch].is_still_awaited() {
                waits = true;
            } else {
                marks[line.mark] = Mark::Lost;
            }
        }
        if waits {
            self.troubles.failed(&unkept.route, &unkept.full, Scope::All, now);
        } else {
            self.troubles.settled(&unkept.route);
        }
    }

    fn count_moved(&self, unkept: &Unkept, marks: &[Mark], now: Instant) {
        let records = unkept.lines.iter().filter(|line| marks[line.mark] == Mark::Written).count() as u64;
        if records == 0 {
            return;
        }
        let Some(suppressed) = self.moved_log.pass_with(records, now) else { return };
        let (sink, reason, common) = (self.name.as_str(), unkept.reason.as_str(), self.root.full(self.routes.common()));
        warn!(
            sink,
            records,
            suppressed,
            "records refused permanently: {reason}; the dead-letter file is full, so the sink writes them to {}; \
             send the dead-letter file with `postrider replay`, or rename it",
            common.display()
        );
    }
}
