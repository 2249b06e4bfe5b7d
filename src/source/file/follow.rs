//! One file: its lines are read and handed on, and its cursor moves when they are delivered.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::content::{Gzip, Input, Stamp, append, first_bytes, has_before, is_damage, is_gzip};
use super::cursor::{Entry, FINGERPRINT, Fingerprint, Identity};
use crate::frame::{Framer, Framing, Step};
use crate::pipeline::Arrival;
use crate::receipt::{Outcome, receipt};
use crate::record::Peer;
use crate::source::Intake;
use crate::source::stream::{MOST_FRAMES, READ_SIZE};

/// A file that was rotated away has ended when nothing was added to it for so long: its writer may not have noticed yet.
const GRACE: Duration = Duration::from_secs(1);
/// And it is closed when nothing was added for so long.
const CLOSE: Duration = Duration::from_secs(60);
/// The first and the longest pause after a failure; it doubles in between.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];
/// A partial line that is no longer keeps nothing else between two reads.
const IDLE_SIZE: usize = 16 * 1024;

/// One file.
pub(super) struct Followed {
    /// What is kept on disk.
    pub(super) entry: Entry,
    /// Unique among the files of the source, and larger for those that came later.
    pub(super) serial: u64,
    /// The file that has to be at its end before this one is begun.
    pub(super) after: Option<u64>,
    /// Where it is now.
    pub(super) place: Place,
    /// Size and time of change, as last looked up.
    pub(super) seen: Option<Stamp>,
    /// Since when its place is gone.
    pub(super) gone: Instant,
    /// When it was last longer than before.
    pub(super) grown: Instant,
    max_frame_size: usize,
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
    /// What was handed on and has no outcome yet, in order.
    pending: VecDeque<Handed>,
    /// Where the last line ends that was ever handed on.
    furthest: u64,
    /// What the file was when its content was last compared.
    compared: Option<Stamp>,
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
    lines: u64,
    outcome: oneshot::Receiver<Outcome>,
}

/// What a turn did.
pub(super) enum Turn {
    Idle,
    Read,
    /// The file has other content than before: copytruncate, or a new file with an old inode.
    Replaced,
    /// A compressed file that cannot be read further; it ends here.
    Damaged(io::Error),
}

/// Where lines go.
pub(super) struct Hand<'i> {
    pub(super) intake: &'i Intake,
    pub(super) runtime: &'i Handle,
}

// === impl Followed: what it is ===

impl Followed {
    pub(super) fn new(entry: Entry, serial: u64, max_frame_size: usize) -> Self {
        let now = Instant::now();
        Self {
            serial,
            after: None,
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

    /// Whether there is no reason to read it: it has gone, is read to its end, or has not changed since it was closed.
    pub(super) fn is_at_rest(&self) -> bool {
        let unchanged = self.closed.is_some() && self.closed == self.seen;
        self.ended || self.input.is_none() && (self.place == Place::Gone || unchanged)
    }

    /// Whether nothing more can come from it unless it is found again.
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Gone && self.input.is_none() && self.pending.is_empty()
    }

    /// Whether the file that follows it in its log may be begun.
    pub(super) fn is_finished(&self) -> bool {
        let ended = self.at_end && (self.place == Place::Home || (self.line == self.read && self.is_silent(GRACE)));
        // What has gone may be found under another name at the next look.
        let lost = self.place == Place::Gone && self.input.is_none() && self.gone.elapsed() >= GRACE;
        self.entry.done || ended || self.unreadable || lost
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

    /// Parts with the content that was there before: this value becomes the file as it is now, which is unread, and the
    /// answer what was known of it.
    pub(super) fn replace(&mut self, serial: u64) -> Self {
        let path = self.location().unwrap_or(&self.entry.path).to_owned();
        let (identity, fingerprint) = (self.entry.identity, Fingerprint::default());
        let entry = Entry { path, identity, fingerprint, offset: 0, mark: Fingerprint::default(), done: false };
        let mut fresh = Self::new(entry, serial, self.max_frame_size);
        (fresh.place, fresh.seen) = (Place::Home, self.seen);
        let mut old = std::mem::replace(self, fresh);
        old.input = None;
        old.entry.identity = Identity::default();
        (old.place, old.gone) = (Place::Gone, Instant::now());
        old
    }
}

// === impl Followed: reading ===

impl Followed {
    /// Reads once, and hands on the whole lines.
    pub(super) fn turn(&mut self, hand: &Hand<'_>) -> io::Result<Turn> {
        if self.is_at_rest() || self.resume.is_some_and(|resume| Instant::now() < resume) {
            return Ok(Turn::Idle);
        }
        if let Some(turn) = self.open()? {
            return Ok(turn);
        }
        let before = self.tail.len();
        let turn = if self.is_gzip() { self.read_gzip() } else { self.read_plain() };
        self.read += (self.tail.len() - before) as u64;
        match turn {
            Ok(Turn::Read) => {
                (self.at_end, self.unreadable, self.grown) = (false, false, Instant::now());
                self.hand_on(hand);
            }
            Ok(Turn::Idle) => self.reach_end(hand),
            Ok(Turn::Replaced) => self.finish_line(hand),
            Err(error) if self.is_gzip() && is_damage(&error) => return Ok(self.damage(error, hand)),
            Ok(Turn::Damaged(_)) | Err(_) => {}
        }
        turn
    }

    /// Opens it while it must wait for another one: so it stays readable, whatever is renamed or removed meanwhile.
    pub(super) fn hold(&mut self) -> io::Result<Turn> {
        if self.resume.is_some_and(|resume| Instant::now() < resume) {
            return Ok(Turn::Idle);
        }
        Ok(self.open()?.unwrap_or(Turn::Idle))
    }

    fn is_gzip(&self) -> bool {
        matches!(self.input, Some(Input::Gzip(_)))
    }

    /// Opens it, unless it is open. A turn where that was all: it is done, or its content is another one.
    fn open(&mut self) -> io::Result<Option<Turn>> {
        if self.input.is_some() {
            return Ok(None);
        }
        let Some(path) = self.location() else { return Err(io::ErrorKind::NotFound.into()) };
        let is_gzip = is_gzip(path);
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if Identity::of(&metadata) != self.entry.identity {
            // Renamed since it was looked up; the next look finds it.
            return Err(io::ErrorKind::NotFound.into());
        }
        self.read_at = Some(Stamp::of(&metadata));
        if !is_gzip {
            self.input = Some(Input::Plain(file));
            return Ok(None);
        }
        let (first, _) = first_bytes(&mut file, true)?;
        if !self.entry.fingerprint.begins(&first) {
            return Ok(Some(Turn::Replaced));
        }
        if self.entry.done {
            self.closed = self.read_at;
            return Ok(Some(Turn::Idle));
        }
        // It may have been longer since it was begun.
        self.entry.fingerprint = Fingerprint::of(&first);
        self.damaged = false;
        self.input = Some(Input::Gzip(Box::new(Gzip::new(file))));
        Ok(None)
    }

    /// Reads what stands behind `tail`. The content is compared afterwards: were the file cut and written anew in between,
    /// what was read could be from the middle of a line.
    fn read_plain(&mut self) -> io::Result<Turn> {
        let Some(Input::Plain(file)) = &self.input else { return Ok(Turn::Idle) };
        let stamp = Stamp::of(&file.metadata()?);
        self.read_at = Some(stamp);
        if stamp.len < self.read {
            return Ok(Turn::Replaced);
        }
        if stamp.len == self.read && self.compared == Some(stamp) {
            return Ok(Turn::Idle);
        }
        let before = self.tail.len();
        if stamp.len > self.read {
            append(&mut self.tail, |room| file.read_at(room, self.read))?;
        }
        let mut head = [0; FINGERPRINT];
        let mut len = 0;
        while len < head.len() {
            match file.read_at(&mut head[len..], len as u64)? {
                0 => break,
                more => len += more,
            }
        }
        if !self.entry.fingerprint.begins(&head[..len]) || !has_before(file, self.line, &self.mark)? {
            self.tail.truncate(before);
            return Ok(Turn::Replaced);
        }
        if !self.entry.fingerprint.is_full() {
            self.entry.fingerprint = Fingerprint::of(&head[..len]);
        }
        // A change within the same tick would leave the stamp as it is.
        self.compared = Some(stamp).filter(|stamp| !stamp.is_of_now());
        Ok(if self.tail.len() > before { Turn::Read } else { Turn::Idle })
    }

    fn read_gzip(&mut self) -> io::Result<Turn> {
        let Some(Input::Gzip(gzip)) = &mut self.input else { return Ok(Turn::Idle) };
        if gzip.at < self.read {
            if !gzip.pass(self.line, &self.mark)? {
                return Ok(Turn::Replaced);
            }
            gzip.skip_to(self.read)?;
            if gzip.at < self.read {
                return Ok(Turn::Replaced);
            }
        }
        let size = append(&mut self.tail, |room| gzip.decoder.read(room))?;
        gzip.at += size as u64;
        Ok(if size > 0 { Turn::Read } else { Turn::Idle })
    }

    /// Nothing is there to read now.
    fn reach_end(&mut self, hand: &Hand<'_>) {
        (self.at_end, self.unreadable) = (true, false);
        if self.is_gzip() {
            self.end(hand);
        } else if self.place != Place::Home && self.is_silent(GRACE) {
            self.finish_line(hand);
            if self.is_silent(CLOSE) {
                self.close();
            }
        }
    }

    /// A compressed file that ends too early may still be being written. Other damage, and that of an old file, is for good,
    /// unless the file changes.
    fn damage(&mut self, error: io::Error, hand: &Hand<'_>) -> Turn {
        if error.kind() == io::ErrorKind::UnexpectedEof && self.seen.is_some_and(|seen| seen.is_young()) {
            self.back_off(false);
            return Turn::Idle;
        }
        if self.salvage() > 0 {
            self.hand_on(hand);
        }
        self.end(hand);
        self.damaged = true;
        Turn::Damaged(error)
    }

    /// Takes what stands close before the damage: a large read fails as a whole, those of a byte go up to it.
    fn salvage(&mut self) -> usize {
        self.input = self.input.take().and_then(Input::again);
        let Some(Input::Gzip(gzip)) = &mut self.input else { return 0 };
        let before = self.tail.len();
        if gzip.skip_to(self.read).is_ok() && gzip.at == self.read {
            let mut byte = [0];
            while self.tail.len() - before < READ_SIZE && matches!(gzip.decoder.read(&mut byte), Ok(1)) {
                self.tail.push(byte[0]);
            }
        }
        let size = self.tail.len() - before;
        self.read += size as u64;
        size
    }

    /// All of a compressed file is read; it is done when it is delivered.
    fn end(&mut self, hand: &Hand<'_>) {
        self.finish_line(hand);
        (self.at_end, self.ended) = (true, true);
    }

    /// Hands on every whole line, and waits for room.
    fn hand_on(&mut self, hand: &Hand<'_>) {
        let path = self.entry.path.to_string_lossy();
        let mut more = true;
        while more {
            let mut arrivals = Vec::new();
            let mut position = 0;
            while more && arrivals.len() < MOST_FRAMES {
                match self.framer.next(&self.tail[position..]) {
                    Step::Frame { frame, consumed } => {
                        arrivals.push(Arrival { frame, peer: Peer::at(&path) });
                        position += consumed;
                    }
                    Step::More { consumed } => {
                        position += consumed;
                        more = false;
                    }
                }
            }
            // The cursor only ever stands at the start of a line: a line that is cut at the limit has a rest.
            if let Some(lf) = memchr::memrchr(b'\n', &self.tail[..position]) {
                self.line = self.read - self.tail.len() as u64 + lf as u64 + 1;
                self.mark = Fingerprint::before_end(&self.tail[..=lf]);
            }
            if !arrivals.is_empty() || position > 0 {
                self.furthest = self.furthest.max(self.read - (self.tail.len() - position) as u64);
                let lines = arrivals.len() as u64;
                let outcome = hand.submit(arrivals);
                self.pending.push_back(Handed { end: self.line, mark: self.mark, lines, outcome });
            }
            self.tail.drain(..position);
        }
        if self.tail.len() <= IDLE_SIZE {
            self.tail.shrink_to_fit();
        }
    }

    /// Nothing will be added to the last line: it is handed on as it is.
    fn finish_line(&mut self, hand: &Hand<'_>) {
        if self.line == self.read {
            return;
        }
        let path = self.entry.path.to_string_lossy();
        let frame = self.framer.finish(&self.tail);
        let arrivals: Vec<_> = frame.into_iter().map(|frame| Arrival { frame, peer: Peer::at(&path) }).collect();
        let lines = arrivals.len() as u64;
        let outcome = hand.submit(arrivals);
        (self.line, self.mark) = (self.read, Fingerprint::before_end(&self.tail));
        self.furthest = self.furthest.max(self.read);
        self.pending.push_back(Handed { end: self.line, mark: self.mark, lines, outcome });
        self.tail = Vec::new();
    }

    /// Moves the cursor over what is delivered by now, in order; whether it moved, or that something has failed.
    pub(super) fn settle(&mut self) -> Result<bool, Failed> {
        let mut moved = false;
        while let Some(Handed { end, mark, outcome, .. }) = self.pending.front_mut() {
            match outcome.try_recv() {
                Ok(Outcome::Delivered) => {
                    moved |= self.entry.offset != *end;
                    (self.entry.offset, self.entry.mark) = (*end, *mark);
                    (self.pause, self.resume) = (PAUSES[0], None);
                    self.pending.pop_front();
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

/// Some sink will not have what was handed on.
pub(super) struct Failed;

impl Hand<'_> {
    fn submit(&self, arrivals: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome> {
        let (receipt, outcome) = receipt();
        self.runtime.block_on(self.intake.submit_for(arrivals, Some(receipt)));
        outcome
    }
}
