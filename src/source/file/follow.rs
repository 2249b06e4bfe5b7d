//! One file: its lines are read and handed on, and its cursor moves when they are delivered.

mod again;
mod read;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::{self, error::TryRecvError};

pub(super) use self::read::{Hand, Turn};

use super::content::{Input, Stamp, is_gzip};
use super::cursor::{Entry, Fingerprint, Identity};
use crate::config::Links;
use crate::frame::{Framer, Framing};
use crate::receipt::Outcome;
use crate::record::LineHashes;

/// A file that was rotated away has ended when nothing was added to it for so long: its writer may not have noticed
/// yet. Where the log was rotated again since, it has.
const GRACE: Duration = Duration::from_secs(1);
/// A file is looked at in each turn when something was read of it within so long.
const LIVELY: Duration = Duration::from_secs(10);
/// The first and the longest pause after a failure; it doubles in between.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// One file.
pub(super) struct Followed {
    /// What is kept on disk.
    pub(super) entry: Entry,
    /// Unique among the files of the source, and larger for those that came later.
    pub(super) serial: u64,
    /// The file that has to be at its end before this one is begun.
    pub(super) after: Option<u64>,
    /// Two newer files of its log wait: its writer is at the second of them.
    pub(super) superseded: bool,
    /// Where it is now.
    pub(super) place: Place,
    /// Size and time of change, as last looked up.
    pub(super) seen: Option<Stamp>,
    /// Since when its place is gone.
    pub(super) gone: Instant,
    /// When it was last longer than before.
    pub(super) grown: Instant,
    max_frame_size: usize,
    pub(super) links: Links,
    input: Option<Input>,
    /// What it was when it was last read or opened.
    read_at: Option<Stamp>,
    /// What that was when it was closed: only a change is a reason to open it again.
    closed: Option<Stamp>,
    framer: Framer,
    /// What is read and not handed on.
    tail: Vec<u8>,
    /// Where `tail` ends in the file.
    read: u64,
    /// Where the first line begins that is not handed on in full.
    line: u64,
    /// The last bytes before that line.
    mark: Fingerprint,
    /// None until the lines before the cursor are read again that equal ones behind it have to be told from.
    lines: Option<LineHashes>,
    /// What was handed on and has no outcome yet, in order.
    pending: VecDeque<Handed>,
    /// Where the last line ends that was ever handed on.
    furthest: u64,
    /// What the file was when its content was last compared.
    pub(super) compared: Option<Stamp>,
    at_end: bool,
    /// It is compressed, and all of it is handed on.
    ended: bool,
    /// It is compressed, and ends before its end.
    damaged: bool,
    unreadable: bool,
    pause: Duration,
    resume: Option<Instant>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the path of its entry.
    Home,
    /// Rotated away.
    Elsewhere(PathBuf),
    /// At no path that is known; it may still be open.
    Gone,
}

/// Lines that were handed on together.
struct Handed {
    /// Where the line begins that follows them, and what stands before it.
    end: u64,
    mark: Fingerprint,
    /// From where the lines have to be read again that equal ones behind it have to be told from.
    lines_from: u64,
    lines: u64,
    outcome: oneshot::Receiver<Outcome>,
}

/// Some sink will not have what was handed on.
pub(super) struct Failed;

// === impl Followed ===

impl Followed {
    pub(super) fn new(entry: Entry, serial: u64, max_frame_size: usize, links: Links) -> Self {
        let now = Instant::now();
        Self {
            serial,
            after: None,
            superseded: false,
            place: Place::Gone,
            seen: None,
            gone: now,
            grown: now,
            max_frame_size,
            links,
            input: None,
            read_at: None,
            closed: None,
            framer: Framer::new(Framing::Lf, max_frame_size),
            tail: Vec::new(),
            read: entry.offset,
            line: entry.offset,
            mark: entry.mark,
            lines: None,
            pending: VecDeque::new(),
            furthest: entry.offset,
            compared: None,
            at_end: false,
            ended: false,
            damaged: false,
            unreadable: false,
            pause: PAUSES[0],
            resume: None,
            entry,
        }
    }

    /// The path at which it can be opened.
    pub(super) fn location(&self) -> Option<&Path> {
        match &self.place {
            Place::Home => Some(&self.entry.path),
            Place::Elsewhere(path) => Some(path),
            Place::Gone => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.input.is_some()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether everything that was handed on is delivered, now or before it was handed on again.
    pub(super) fn is_delivered(&self) -> bool {
        self.entry.offset >= self.furthest
    }

    /// How many bytes stand behind the cursor, as far as that is known.
    pub(super) fn bytes_behind(&self) -> u64 {
        let compressed = self.location().is_none_or(is_gzip);
        self.seen.filter(|_| !compressed).map_or(0, |seen| seen.len.saturating_sub(self.entry.offset))
    }

    /// Whether nothing of it was ever read or is to be skipped.
    pub(super) const fn is_unread(&self) -> bool {
        self.entry.fingerprint.is_empty() && self.furthest == 0 && self.read == 0 && !self.entry.done
    }

    /// Whether something may stand behind the cursor.
    pub(super) fn is_behind(&self) -> bool {
        let compressed = self.location().is_some_and(is_gzip);
        !self.entry.done && (compressed || self.bytes_behind() > 0)
    }

    /// Whether there is no reason to read it: it has gone, is read to its end, or has not changed since it was closed.
    pub(super) fn is_at_rest(&self) -> bool {
        let unchanged = self.closed.is_some() && self.closed == self.seen;
        self.ended || self.input.is_none() && (self.place == Place::Gone || unchanged) || self.is_asleep()
    }

    /// Whether it is open, and nothing has happened to it for long: only a round looks at it, as at those that are
    /// closed.
    fn is_asleep(&self) -> bool {
        let seen = self.at_end && self.seen == self.read_at && self.seen == self.compared;
        self.input.is_some() && seen && self.place == Place::Home && self.is_settled() && !self.is_lively()
    }

    /// Whether it has to be looked at in each turn. Otherwise it is read to its end, all of it is delivered, and
    /// nothing happens to it.
    pub(super) fn is_awake(&self) -> bool {
        self.ended || !self.is_at_rest() || !self.is_settled() || !self.is_finished() || self.is_lively()
    }

    /// Whether something was read of it lately.
    pub(super) fn is_lively(&self) -> bool {
        !self.is_silent(LIVELY)
    }

    /// Whether nothing more can come from it unless it is found again.
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Gone && self.input.is_none() && self.pending.is_empty()
    }

    /// Whether the file that follows it in its log may be begun.
    pub(super) fn is_finished(&self) -> bool {
        let ended = self.at_end && (self.place == Place::Home || (self.line == self.read && self.is_left()));
        // What has gone may be found under another name at the next look.
        let lost = self.is_lost() && self.gone.elapsed() >= GRACE;
        self.entry.done || ended || self.unreadable || lost
    }

    /// Whether the writer of a file that was rotated away writes to another one by now.
    fn is_left(&self) -> bool {
        self.superseded || self.is_silent(GRACE)
    }

    fn is_silent(&self, time: Duration) -> bool {
        self.grown.elapsed() >= time
    }

    /// Gives its descriptor back, if all is read: it is opened again when it changes.
    pub(super) fn close(&mut self) -> bool {
        // The begin of a line over the limit is handed on already; it would be once more.
        let whole = self.line + self.tail.len() as u64 == self.read;
        let idle = self.at_end && whole && self.pending.is_empty() && self.input.is_some();
        if idle {
            self.input = None;
            self.rewind();
            self.at_end = true;
            // Not what was looked up since: of that nothing is read.
            self.closed = self.read_at;
        }
        idle
    }

    /// Goes back to what is delivered. What is open stays so: it may have no name any more.
    fn rewind(&mut self) {
        self.input = self.input.take().and_then(Input::again);
        self.framer = Framer::new(Framing::Lf, self.max_frame_size);
        self.tail = Vec::new();
        (self.read, self.line, self.mark) = (self.entry.offset, self.entry.offset, self.entry.mark);
        self.lines = None;
        self.pending.clear();
        (self.at_end, self.ended, self.compared) = (false, false, None);
    }

    /// Starts again behind the last line that was delivered, after a pause. Gives how many lines were handed on since.
    pub(super) fn retry(&mut self) -> u64 {
        let lines = self.pending.iter().map(|handed| handed.lines).sum();
        self.rewind();
        self.pause();
        lines
    }

    /// Opens it again and reads on, after a pause.
    pub(super) fn back_off(&mut self, unreadable: bool) {
        (self.input, self.closed, self.at_end, self.compared) = (None, None, false, None);
        self.unreadable = unreadable;
        self.pause();
    }

    fn pause(&mut self) {
        self.resume = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// Parts with the content that is there now, which is another file's. What was not read of its own may be found in
    /// a copy.
    pub(super) fn part(&mut self) {
        self.input = None;
        self.entry.identity = Identity::default();
        (self.place, self.gone) = (Place::Gone, Instant::now());
    }

    /// Moves the cursor over what is delivered by now, in order; whether it moved, or that something has failed.
    pub(super) fn settle(&mut self) -> Result<bool, Failed> {
        let mut moved = false;
        while let Some(Handed { end, mark, lines_from, outcome, .. }) = self.pending.front_mut() {
            match outcome.try_recv() {
                Ok(Outcome::Delivered) => {
                    moved |= self.entry.offset != *end;
                    (self.entry.offset, self.entry.mark, self.entry.lines_from) = (*end, *mark, *lines_from);
                    (self.pause, self.resume) = (PAUSES[0], None);
                    self.pending.pop_front();
                    if self.place == Place::Gone {
                        // It is looked for now, and not before it is known what is missing of it.
                        self.gone = Instant::now();
                    }
                }
                Ok(Outcome::Failed) | Err(TryRecvError::Closed) => return Err(Failed),
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.ended && self.pending.is_empty() {
            (self.ended, self.input, self.closed) = (false, None, self.read_at);
            self.entry.done = !self.damaged;
            moved = true;
        }
        Ok(moved)
    }
}
