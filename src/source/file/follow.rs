//! One followed file: its lines are read and handed on, and its cursor advances when they are delivered.

mod again;
mod read;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) use self::read::{Hand, Turn};

use super::content::{Input, Stamp, is_gzip};
use super::cursor::{Entry, Fingerprint, Identity};
use crate::frame::{Framer, Framing};
use crate::receipt::Outcome;
use crate::record::LineHashes;
use crate::source::outcomes::Outcomes;

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
    pub(super) entry: Entry,
    /// Number of the file, unique within the source, and larger for files that appeared later.
    pub(super) serial: u64,
    /// Serial of the file that has to be finished before this one is begun.
    pub(super) after: Option<u64>,
    /// True if two newer files of its log wait: its writer is at the second of them.
    pub(super) superseded: bool,
    /// Where the file is now.
    pub(super) place: Place,
    /// Size and time of change, as last looked up.
    pub(super) seen: Option<Stamp>,
    /// When it was last noticed to be gone.
    pub(super) gone: Instant,
    /// When the file last grew.
    pub(super) grown: Instant,
    max_frame_size: usize,
    input: Option<Input>,
    /// Stamp of the file when it was last read or opened.
    read_at: Option<Stamp>,
    /// Value of `read_at` when the file was closed. It is opened again only if its stamp has changed.
    closed: Option<Stamp>,
    framer: Framer,
    /// The bytes that are read and not handed on.
    tail: Vec<u8>,
    /// Offset in the file at which `tail` ends.
    read: u64,
    /// Offset of the first line that is not handed on completely.
    line: u64,
    /// Fingerprint of the last bytes before `line`.
    mark: Fingerprint,
    /// The lines from which later equal lines have to be told apart. `None` until the lines before the cursor are read
    /// again.
    lines: Option<LineHashes>,
    /// The lines in flight.
    pending: Outcomes<Handed>,
    /// Offset of the end of the last line that was ever handed on.
    furthest: u64,
    /// Stamp of the file when its content was last compared.
    pub(super) compared: Option<Stamp>,
    at_end: bool,
    /// True if the file is compressed and all of it is handed on.
    ended: bool,
    /// True if the file is compressed and damaged: it cannot be read to its end.
    damaged: bool,
    unreadable: bool,
    pause: Duration,
    resume: Option<Instant>,
}

/// The location of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file is at the path of its entry.
    Home,
    /// The file was rotated away to this path.
    Elsewhere(PathBuf),
    /// The file is at no known path. It may still be open.
    Gone,
}

/// Lines that were handed on together.
struct Handed {
    /// Offset of the line that follows them, and the fingerprint of the bytes before it.
    end: u64,
    mark: Fingerprint,
    /// Offset from which the lines have to be read again, to tell equal lines after `end` apart from them.
    lines_from: u64,
    lines: u64,
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
    pub(super) fn new(entry: Entry, serial: u64, max_frame_size: usize, now: Instant) -> Self {
        Self {
            serial,
            after: None,
            superseded: false,
            place: Place::Gone,
            seen: None,
            gone: now,
            grown: now,
            max_frame_size,
            input: None,
            read_at: None,
            closed: None,
            framer: Framer::new(Framing::Lf, max_frame_size),
            tail: Vec::new(),
            read: entry.offset,
            line: entry.offset,
            mark: entry.mark,
            lines: None,
            pending: Outcomes::default(),
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

    /// Returns the path at which the file can be opened.
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

    /// Returns true if all lines that were ever handed on are delivered, possibly after they were handed on again.
    pub(super) fn is_delivered(&self) -> bool {
        self.entry.offset >= self.furthest
    }

    /// Returns the number of bytes after the cursor, as far as that is known.
    pub(super) fn bytes_behind(&self) -> u64 {
        let compressed = self.location().is_none_or(is_gzip);
        self.seen.filter(|_| !compressed).map_or(0, |seen| seen.len.saturating_sub(self.entry.offset))
    }

    /// Returns true if nothing of the file was ever read or is to be skipped.
    pub(super) const fn is_unread(&self) -> bool {
        self.entry.fingerprint.is_empty() && self.furthest == 0 && self.read == 0 && !self.entry.done
    }

    /// Returns true if there may be bytes after the cursor.
    pub(super) fn is_behind(&self) -> bool {
        let compressed = self.location().is_some_and(is_gzip);
        !self.entry.done && (compressed || self.bytes_behind() > 0)
    }

    /// Returns true if there is no reason to read the file: it is gone, is read to its end, or has not changed since it
    /// was closed.
    pub(super) fn is_at_rest(&self) -> bool {
        let unchanged = self.closed.is_some() && self.closed == self.seen;
        self.ended || self.input.is_none() && (self.place == Place::Gone || unchanged) || self.is_asleep()
    }

    /// Returns true if the file is open and nothing has happened to it for a long time. Only a round looks at such a
    /// file, as at closed files.
    fn is_asleep(&self) -> bool {
        let seen = self.at_end && self.seen == self.read_at && self.seen == self.compared;
        self.input.is_some() && seen && self.place == Place::Home && self.is_settled() && !self.is_lively()
    }

    /// Returns true if the file has to be looked at in each turn. If false, it is read to its end, all of it is
    /// delivered, and nothing happens to it.
    pub(super) fn is_awake(&self) -> bool {
        self.ended || !self.is_at_rest() || !self.is_settled() || !self.is_finished() || self.is_lively()
    }

    /// Returns true if something was read of the file lately.
    pub(super) fn is_lively(&self) -> bool {
        !self.is_silent(LIVELY)
    }

    /// Returns true if nothing more can come from the file unless it is found again.
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Gone && self.input.is_none() && self.pending.is_empty()
    }

    /// Returns true if the next file of its log may be begun.
    pub(super) fn is_finished(&self) -> bool {
        let ended = self.at_end && (self.place == Place::Home || (self.line == self.read && self.is_left()));
        // A vanished file may be found under another name at the next look.
        let lost = self.is_lost() && self.gone.elapsed() >= GRACE;
        self.entry.done || ended || self.unreadable || lost
    }

    /// Returns true if the writer of a file that was rotated away writes to another file by now.
    fn is_left(&self) -> bool {
        self.superseded || self.is_silent(GRACE)
    }

    fn is_silent(&self, time: Duration) -> bool {
        self.grown.elapsed() >= time
    }

    /// Closes the file if all of it is read and delivered. It is opened again when it changes. Returns true if it was
    /// closed.
    pub(super) fn close(&mut self) -> bool {
        // The beginning of a line over the size limit is handed on already. Closing the file here would hand it on
        // again.
        let whole = self.line + self.tail.len() as u64 == self.read;
        let idle = self.at_end && whole && self.pending.is_empty() && self.input.is_some();
        if idle {
            self.input = None;
            self.rewind();
            self.at_end = true;
            // This is not `seen`: a change that was looked up since then is not read yet.
            self.closed = self.read_at;
        }
        idle
    }

    /// Rewinds to the end of the delivered lines. An open file stays open: it may have no name any more.
    fn rewind(&mut self) {
        self.input.iter_mut().for_each(Input::rewind);
        self.framer = Framer::new(Framing::Lf, self.max_frame_size);
        self.tail = Vec::new();
        (self.read, self.line, self.mark) = (self.entry.offset, self.entry.offset, self.entry.mark);
        self.lines = None;
        self.pending.clear();
        (self.at_end, self.ended, self.compared) = (false, false, None);
    }

    /// Rewinds to the end of the last delivered line and backs off. Returns the number of lines in flight, which will
    /// be handed on again.
    pub(super) fn retry(&mut self) -> u64 {
        let lines = self.pending.iter().map(|handed| handed.lines).sum();
        self.rewind();
        self.pause();
        lines
    }

    /// Closes the file and backs off. It is opened again after the pause.
    pub(super) fn back_off(&mut self, unreadable: bool) {
        (self.input, self.closed, self.at_end, self.compared) = (None, None, false, None);
        self.unreadable = unreadable;
        self.pause();
    }

    fn pause(&mut self) {
        self.resume = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// Detaches the file from the present content at its path, which is another file's. The unread rest of its own
    /// content may be found in a copy.
    pub(super) fn part(&mut self, now: Instant) {
        self.input = None;
        self.entry.identity = Identity::default();
        (self.place, self.gone) = (Place::Gone, now);
    }

    /// Advances the cursor past the lines that are delivered by now, in order. After a failure, rewinds to the cursor.
    pub(super) fn settle(&mut self) -> Settled {
        let mut settled = Settled::default();
        while let Some((Handed { end, mark, lines_from, lines }, outcome)) = self.pending.try_next() {
            if outcome == Outcome::Failed {
                settled.repeated = lines + self.retry();
                return settled;
            }
            settled.changed |= self.entry.offset != end;
            (self.entry.offset, self.entry.mark, self.entry.lines_from) = (end, mark, lines_from);
            (self.pause, self.resume) = (PAUSES[0], None);
            if self.place == Place::Gone {
                // The search begins now, when it is known which part of the file is missing.
                self.gone = Instant::now();
            }
        }
        if self.ended && self.pending.is_empty() {
            (self.ended, self.input, self.closed) = (false, None, self.read_at);
            self.entry.done = !self.damaged;
            settled.changed = true;
        }
        settled
    }
}
