//! The text of a followed file between the reads and the receipts: offsets, the bytes that are not handed on, and the
//! lines in them.
//!
//! The offsets in a file, with what lies between them:
//!
//! ```text
//! |0| delivered |lines_from| delivered |offset| in flight |line| begun line |begin| tail |read| unread |size|
//! ```
//!
//! - `entry.lines_from` and `entry.offset`, the *cursor*, are kept on disk. After a restart, the lines between the two
//!   are read and hashed again, because later equal lines have to be told apart from them. `entry.mark` is a
//!   fingerprint of the bytes before the cursor.
//! - The cursor moves to the `end` of each [`Handed`] in turn, when that is delivered, and thereby towards `line`.
//! - `line` is the start of the first line that is not handed on completely, and `mark` a fingerprint of the bytes
//!   before it. The first part of a line over the size limit is handed on already: only then is `begin` greater than
//!   `line`.
//! - `begin` is where `tail` begins: the bytes that are read and not handed on. It is not stored.
//! - `entry.joined` is kept on disk too. The lines between it and the cursor are delivered, and may be missing in the
//!   checkpoint of the joins: after a restart they are joined once more.
//! - After a failure, `line`, `begin` and `read` go back to the cursor. `furthest` stays: it is the greatest offset up
//!   to which anything was ever handed on.

use tokio::sync::oneshot;

use crate::frame::{Frame, Framer, Framing};
use crate::pipeline::Arrival;
use crate::receipt::Outcome;
use crate::record::{LineHashes, Peer};
use crate::source::file::cursor::{CursorEntry, Fingerprint};
use crate::source::frames::next_frames;
use crate::source::outcomes::Outcomes;

/// Maximum length of a partial line whose buffer is shrunk between two reads.
const IDLE_SIZE: usize = 16 * 1024;

/// The destination of lines.
pub(in crate::source::file) trait Hand {
    /// Hands on lines, and waits for room. Returns the channel on which their outcome arrives.
    fn submit(&self, lines: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome>;

    /// Joins lines that are delivered already.
    fn rejoin(&self, lines: &[Arrival<'_>]);
}

/// The text of a file that is not delivered yet.
pub(super) struct FollowedText {
    max_frame_size: usize,
    framer: Framer,
    /// The bytes that are read and not handed on.
    pub(super) tail: Vec<u8>,
    /// Offset at which `tail` ends.
    pub(super) read: u64,
    /// Offset of the first line that is not handed on completely.
    pub(super) line: u64,
    /// Fingerprint of the last bytes before `line`.
    pub(super) mark: Fingerprint,
    /// The lines from which later equal lines have to be told apart. `None` until the lines before the cursor are read
    /// again.
    pub(super) hashes: Option<LineHashes>,
    /// Greatest offset up to which anything was ever handed on.
    furthest: u64,
    /// The lines in flight, between the cursor and `line`.
    pub(super) pending: Outcomes<Handed>,
}

/// Lines that were handed on together.
#[derive(Debug)]
pub(super) struct Handed {
    /// Offset of the line that follows them.
    pub(super) end: u64,
    /// Fingerprint of the last bytes before `end`.
    pub(super) mark: Fingerprint,
    /// Offset from which the lines have to be read again, to tell equal lines after `end` apart from them.
    pub(super) lines_from: u64,
    /// Number of the lines.
    pub(super) lines: u64,
}

impl FollowedText {
    /// Returns the text after the cursor of `entry`.
    pub(super) fn new(entry: &CursorEntry, max_frame_size: usize) -> Self {
        Self {
            max_frame_size,
            framer: Framer::new(Framing::Lf, max_frame_size),
            tail: Vec::new(),
            read: entry.offset,
            line: entry.offset,
            mark: entry.mark,
            hashes: None,
            furthest: entry.offset,
            pending: Outcomes::default(),
        }
    }

    /// Goes back to the cursor of `entry`, and forgets the lines in flight.
    pub(super) fn rewind(&mut self, entry: &CursorEntry) {
        *self = Self { furthest: self.furthest, ..Self::new(entry, self.max_frame_size) };
    }

    pub(super) const fn max_frame_size(&self) -> usize {
        self.max_frame_size
    }

    /// Returns the greatest offset up to which anything was ever handed on.
    pub(super) const fn furthest(&self) -> u64 {
        self.furthest
    }

    /// Returns the offset at which `tail` begins.
    pub(super) const fn begin(&self) -> u64 {
        self.read - self.tail.len() as u64
    }

    /// Returns true if every byte that was read belongs to a line that is handed on completely.
    pub(super) const fn is_between_lines(&self) -> bool {
        self.line == self.read
    }

    /// Returns true if no part of an incomplete line is handed on.
    pub(super) const fn is_whole(&self) -> bool {
        self.line == self.begin()
    }

    /// Adds the number of bytes by which `tail` has grown from `before` to the offset of what is read.
    pub(super) const fn grown_from(&mut self, before: usize) -> u64 {
        let size = (self.tail.len() - before) as u64;
        self.read += size;
        size
    }

    /// Hands on every complete line of the file `path`, and waits for room.
    pub(super) fn hand_on(&mut self, path: &str, hand: &dyn Hand) {
        let hashes = self.hashes.get_or_insert_with(|| LineHashes::starting_at(self.line));
        let mut more = true;
        while more {
            let begin = self.read - self.tail.len() as u64;
            let tail = &self.tail;
            let next = next_frames(&mut self.framer, tail, |frame| arrival(frame, path, hashes, tail, begin));
            let (arrivals, position) = (next.arrivals, next.consumed);
            more = next.more;
            // The cursor is always at the start of a line, and a line that is cut at the size limit continues after the
            // cut.
            if let Some(lf) = memchr::memrchr(b'\n', &self.tail[..position]) {
                self.line = begin + lf as u64 + 1;
                self.mark = Fingerprint::before_end(&self.tail[..=lf]);
            }
            if !arrivals.is_empty() || position > 0 {
                self.furthest = self.furthest.max(begin + position as u64);
                let (end, mark) = (self.line, self.mark);
                let handed = Handed { end, mark, lines_from: hashes.begin(), lines: arrivals.len() as u64 };
                self.pending.push(handed, Some(hand.submit(arrivals)));
            }
            self.tail.drain(..position);
        }
        if self.tail.len() <= IDLE_SIZE {
            self.tail.shrink_to_fit();
        }
    }

    /// Hands on the last line of the file `path` as it is, because nothing will be added to it.
    pub(super) fn finish_line(&mut self, path: &str, hand: &dyn Hand) {
        if self.is_between_lines() {
            return;
        }
        let begin = self.begin();
        let hashes = self.hashes.get_or_insert_with(|| LineHashes::starting_at(self.line));
        let frame = self.framer.finish(&self.tail);
        let arrivals: Vec<_> = frame.into_iter().map(|frame| arrival(frame, path, hashes, &self.tail, begin)).collect();
        (self.line, self.mark) = (self.read, Fingerprint::before_end(&self.tail));
        self.furthest = self.furthest.max(self.read);
        let (end, mark) = (self.line, self.mark);
        let handed = Handed { end, mark, lines_from: hashes.begin(), lines: arrivals.len() as u64 };
        self.pending.push(handed, Some(hand.submit(arrivals)));
        self.tail = Vec::new();
    }

    /// Checks the order of the offsets.
    pub(super) fn check(&self, entry: &CursorEntry) {
        let ends = std::iter::once(entry.offset).chain(self.pending.iter().map(|handed| handed.end));
        let offsets = ends.chain([self.line, self.begin(), self.read]);
        debug_assert!(offsets.is_sorted(), "the offsets of {} are out of order", entry.path.display());
        debug_assert!(self.begin() <= self.furthest, "{} was handed on beyond `furthest`", entry.path.display());
    }
}

/// Returns the arrival for a line in `tail`; `tail` begins at offset `begin` in the file.
fn arrival<'t>(frame: Frame<'t>, path: &'t str, hashes: &mut LineHashes, tail: &[u8], begin: u64) -> Arrival<'t> {
    let at = begin + (frame.bytes.as_ptr().addr() - tail.as_ptr().addr()) as u64;
    Arrival { frame, peer: Peer::at(path), line: Some(hashes.next(frame.bytes, at)) }
}
