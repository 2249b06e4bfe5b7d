//! One followed file: its lines are read and handed on, and its cursor advances when they are delivered.

mod again;
mod phase;
mod read;
mod text;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub(super) use self::phase::Action;
use self::phase::FilePhase;
pub(super) use self::read::{Outside, TurnResult};
pub(super) use self::text::Hand;
use self::text::{FollowedText, Handed};
use super::content::{ChangeStamp, is_gzip};
use super::cursor::{CursorEntry, FileIdentity};
use crate::correlate::CheckpointProgress;
use crate::receipt::Outcome;

/// How long a file that was rotated away must be silent until it counts as ended: its writer may not have noticed the
/// rotation yet. If the log has been rotated again since then, the writer has noticed.
const GRACE: Duration = Duration::from_secs(1);
/// How long after its last growth a file is looked at in each turn.
const LIVELY: Duration = Duration::from_secs(10);
/// Minimum and maximum backoff after a failure. The backoff doubles in between.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// One followed file.
pub(super) struct Followed {
    /// The part of the state that is kept on disk.
    pub(super) entry: CursorEntry,
    /// Number of the file, unique within the source, and larger for files that appeared later.
    pub(super) serial: u64,
    /// Serial of the file that has to be finished before this one is begun.
    pub(super) after: Option<u64>,
    /// True if two newer files of its log wait: its writer is at the second of them.
    pub(super) superseded: bool,
    /// Where the file is now.
    pub(super) place: Place,
    /// Size and time of change, as last looked up.
    pub(super) seen: Option<ChangeStamp>,
    /// When the file last grew.
    pub(super) grown: Instant,
    /// Stamp of the file when its content was last compared.
    pub(super) compared: Option<ChangeStamp>,
    phase: FilePhase,
    text: FollowedText,
    /// The part that the next checkpoint of the joins will have, once it is done.
    in_next_checkpoint: Option<CheckpointedPart>,
    backoff: Backoff,
}

/// The location of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file is at the path of its entry.
    Home,
    /// The file was rotated away to this path.
    Elsewhere(PathBuf),
    /// The file is at no known path. It may still be open.
    Gone {
        /// When this was noticed. It is searched for from then on.
        since: Instant,
    },
}

/// The part of a file whose lines a checkpoint of the joins will have.
#[derive(Clone, Copy, Debug)]
struct CheckpointedPart {
    /// Number of the last checkpoint that had begun when the cursor was at `offset`. Each later one has the lines
    /// before it.
    begun: u64,
    /// The cursor of that time.
    offset: u64,
}

/// The wait after failures.
#[derive(Debug)]
struct Backoff {
    /// Duration of the next wait.
    pause: Duration,
    /// End of the current wait.
    end: Option<Instant>,
}

/// The outcomes that arrived for a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// True if the part of the state that is kept on disk has changed.
    pub(super) changed: bool,
    /// Number of lines that will be handed on again, because some sink did not take one of them.
    pub(super) repeated: u64,
}

// === impl Followed ===

impl Followed {
    /// Returns a file that is read on from the cursor in `entry`, once it is found.
    pub(super) fn new(entry: CursorEntry, serial: u64, max_frame_size: usize, now: Instant) -> Self {
        Self {
            serial,
            after: None,
            superseded: false,
            place: Place::Gone { since: now },
            seen: None,
            grown: now,
            compared: None,
            phase: FilePhase::Fresh,
            text: FollowedText::new(&entry, max_frame_size),
            in_next_checkpoint: None,
            backoff: Backoff::default(),
            entry,
        }
    }

    /// Returns the path at which the file can be opened.
    pub(super) fn location(&self) -> Option<&Path> {
        match &self.place {
            Place::Home => Some(&self.entry.path),
            Place::Elsewhere(path) => Some(path),
            Place::Gone { .. } => None,
        }
    }

    /// Returns true if the file is at no known path.
    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.place, Place::Gone { .. })
    }

    pub(super) const fn is_open(&self) -> bool {
        self.phase.open().is_some()
    }

    /// Returns the time of the last change, as last seen.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        let stamp = self.phase.open().map(|open| open.stamp).or(self.seen);
        stamp.and_then(|stamp| stamp.modified)
    }

    /// Notes how far the checkpoints of the joins are. The lines that are delivered now are joined, and are in the next
    /// one that begins. Returns true if the part of the state that is kept on disk has changed.
    pub(super) fn note_checkpoints(&mut self, progress: Option<&CheckpointProgress>) -> bool {
        let before = self.entry.joined;
        match progress {
            None => self.entry.joined = self.entry.offset,
            Some(progress) => {
                let (begun, done) = (progress.begun(), progress.done());
                if let Some(part) = self.in_next_checkpoint.take_if(|part| done > part.begun) {
                    self.entry.joined = part.offset.min(self.entry.offset);
                }
                self.in_next_checkpoint.get_or_insert(CheckpointedPart { begun, offset: self.entry.offset });
            }
        }
        self.entry.joined != before
    }

    pub(super) fn is_settled(&self) -> bool {
        self.text.pending.is_empty()
    }

    /// Returns true if all lines that were ever handed on are delivered, possibly after they were handed on again.
    pub(super) const fn is_delivered(&self) -> bool {
        self.entry.offset >= self.text.furthest()
    }

    /// Returns the number of lines in flight.
    pub(super) fn lines_in_flight(&self) -> u64 {
        self.text.pending.iter().map(|handed| handed.lines).sum()
    }

    /// Returns the number of bytes after the cursor, as far as that is known.
    pub(super) fn bytes_behind(&self) -> u64 {
        let compressed = self.location().is_none_or(is_gzip);
        self.seen.filter(|_| !compressed).map_or(0, |seen| seen.len.saturating_sub(self.entry.offset))
    }

    /// Returns true if nothing of the file was ever read or is to be skipped.
    pub(super) const fn is_unread(&self) -> bool {
        self.entry.fingerprint.is_empty() && self.text.furthest() == 0 && self.text.read == 0 && !self.entry.done
    }

    /// Returns true if there may be bytes after the cursor.
    pub(super) fn is_behind(&self) -> bool {
        let compressed = self.location().is_some_and(is_gzip);
        !self.entry.done && (compressed || self.bytes_behind() > 0)
    }

    /// Closes the file if all of it is read and delivered. It is opened again when it changes. Returns true if it was
    /// closed.
    pub(super) fn close(&mut self) -> bool {
        // The beginning of a line over the size limit is handed on already. Closing the file here would hand it on
        // again.
        let is_idle = matches!(self.phase, FilePhase::AtEnd(_)) && self.text.is_whole() && self.is_settled();
        if is_idle {
            self.phase.close();
            self.text.rewind(&self.entry);
            self.compared = None;
        }
        is_idle
    }

    /// Rewinds to the end of the last delivered line and backs off. Returns the number of lines in flight, which will
    /// be handed on again.
    fn retry(&mut self, now: Instant) -> u64 {
        let lines = self.lines_in_flight();
        self.phase.rewind();
        self.text.rewind(&self.entry);
        self.compared = None;
        self.backoff.begin(now);
        lines
    }

    /// Closes the file and backs off. It is opened again after the pause. With `unreadable`, the next file of its log
    /// does not wait for it.
    pub(super) fn back_off(&mut self, unreadable: bool, now: Instant) {
        self.phase = if unreadable { FilePhase::Unreadable } else { FilePhase::Fresh };
        self.compared = None;
        self.backoff.begin(now);
    }

    /// Detaches the file from the present content at its path, which is another file's. The unread rest of its own
    /// content may be found in a copy.
    pub(super) fn detach(&mut self, now: Instant) {
        self.phase.detach();
        self.entry.identity = FileIdentity::default();
        self.place = Place::Gone { since: now };
    }

    /// Advances the cursor past the lines that are delivered by now, in order. After a failure, rewinds to the cursor.
    pub(super) fn settle(&mut self, now: Instant) -> Settled {
        let mut settled = Settled::default();
        while let Some((Handed { end, mark, lines_from, lines }, outcome)) = self.text.pending.try_next() {
            if outcome == Outcome::Failed {
                settled.repeated = lines + self.retry(now);
                return settled;
            }
            settled.changed |= self.entry.offset != end;
            (self.entry.offset, self.entry.mark, self.entry.lines_from) = (end, mark, lines_from);
            self.backoff = Backoff::default();
            if let Place::Gone { since } = &mut self.place {
                // The search begins now, when it is known which part of the file is missing.
                *since = now;
            }
        }
        if let FilePhase::Ended { damaged, .. } = self.phase
            && self.is_settled()
        {
            self.phase.close();
            self.entry.done = !damaged;
            settled.changed = true;
        }
        self.text.check(&self.entry);
        settled
    }
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: PAUSES[0], end: None }
    }
}

impl Backoff {
    fn begin(&mut self, now: Instant) {
        self.end = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    fn lasts(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| now < end)
    }
}
