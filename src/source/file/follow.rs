//! One file: its lines are read and handed on, and its cursor moves when they are delivered.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::bufread::MultiGzDecoder;
use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::TryRecvError};

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
    /// What `seen` was when it was closed: only a change is a reason to open it again.
    closed: Option<Stamp>,
    framer: Framer,
    /// What is read and not handed on.
    tail: Vec<u8>,
    /// Where `tail` ends in the file.
    read: u64,
    /// Where the first line begins that is not handed on in full.
    line: u64,
    /// What was handed on: the line behind it, and where the outcome arrives.
    pending: VecDeque<(u64, oneshot::Receiver<Outcome>)>,
    at_end: bool,
    /// It is compressed, and all of it is handed on.
    ended: bool,
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

/// What tells whether a closed file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
}

enum Input {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
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

impl Stamp {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Whether a file is compressed, which its name says.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The first bytes of a file, decompressed, as many as make a fingerprint; and what the file is.
pub(super) fn head(path: &Path) -> io::Result<(Identity, Vec<u8>)> {
    let file = File::open(path)?;
    let identity = Identity::of(&file.metadata()?);
    let mut head = Vec::with_capacity(FINGERPRINT);
    if is_gzip(path) {
        gunzip(file).take(FINGERPRINT as u64).read_to_end(&mut head)?;
    } else {
        file.take(FINGERPRINT as u64).read_to_end(&mut head)?;
    }
    Ok((identity, head))
}

/// Where the last line of a file begins that has no end yet: after the last LF, if that is within `most` bytes of the end.
pub(super) fn last_line(path: &Path, most: usize) -> io::Result<u64> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut end = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(most)];
    let from = len - end.len() as u64;
    file.read_exact_at(&mut end, from)?;
    let line = memchr::memrchr(b'\n', &end).map(|lf| from + lf as u64 + 1);
    Ok(line.unwrap_or(if from == 0 { 0 } else { len }))
}

fn gunzip(file: File) -> MultiGzDecoder<BufReader<File>> {
    MultiGzDecoder::new(BufReader::with_capacity(READ_SIZE, file))
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
            closed: None,
            framer: Framer::new(Framing::Lf, max_frame_size),
            tail: Vec::new(),
            read: entry.offset,
            line: entry.offset,
            pending: VecDeque::new(),
            at_end: false,
            ended: false,
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

    /// Whether there is no reason to open it: it has gone, is read to its end, or has not changed since it was closed.
    pub(super) fn is_at_rest(&self) -> bool {
        let unchanged = self.closed.is_some() && self.closed == self.seen;
        let ended = self.ended && !self.entry.done;
        self.input.is_none() && (self.place == Place::Gone || unchanged || ended)
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
        let idle = self.at_end && self.pending.is_empty() && self.input.is_some();
        if idle {
            self.rewind();
            self.at_end = true;
            self.closed = self.seen;
        }
        idle
    }

    /// Goes back to what is delivered.
    fn rewind(&mut self) {
        self.input = None;
        self.framer = Framer::new(Framing::Lf, self.max_frame_size);
        self.tail = Vec::new();
        (self.read, self.line) = (self.entry.offset, self.entry.offset);
        self.pending.clear();
        (self.at_end, self.ended) = (false, false);
    }

    /// Starts again at the last line that was delivered, after a pause.
    pub(super) fn back_off(&mut self, unreadable: bool) {
        self.rewind();
        self.closed = None;
        self.unreadable = unreadable;
        self.resume = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// Parts with the content that was there before: this value becomes the file as it is now, which is unread, and the
    /// answer what was known of it.
    pub(super) fn replace(&mut self, serial: u64) -> Self {
        let path = self.location().unwrap_or(&self.entry.path).to_owned();
        let (identity, fingerprint) = (self.entry.identity, Fingerprint::default());
        let entry = Entry { path, identity, fingerprint, offset: 0, done: false };
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
        if self.input.is_none() && !self.open()? {
            return Ok(if self.entry.done { Turn::Idle } else { Turn::Replaced });
        }
        let before = self.tail.len();
        let turn = match &mut self.input {
            Some(Input::Plain(file)) => read_plain(file, self.read, &mut self.tail, &mut self.entry.fingerprint),
            Some(Input::Gzip(gzip)) => read_gzip(gzip, &mut self.tail),
            None => Ok(Turn::Idle),
        };
        self.read += (self.tail.len() - before) as u64;
        match turn {
            Ok(Turn::Read) => {
                (self.at_end, self.unreadable, self.grown) = (false, false, Instant::now());
                self.hand_on(hand);
            }
            Ok(Turn::Idle) => self.reach_end(hand),
            Ok(Turn::Replaced) => self.finish_line(hand),
            Err(error) if self.is_gzip() => return self.gzip_error(error, hand),
            Ok(Turn::Damaged(_)) | Err(_) => {}
        }
        turn
    }

    /// Opens it while it must wait for another one: so it stays readable, whatever is renamed or removed meanwhile.
    pub(super) fn hold(&mut self) -> io::Result<Turn> {
        if self.input.is_none() && self.resume.is_none_or(|resume| Instant::now() >= resume) {
            self.open()?;
        }
        Ok(Turn::Idle)
    }

    fn is_gzip(&self) -> bool {
        matches!(self.input, Some(Input::Gzip(_)))
    }

    /// Whether it is open now. It is not if it is done, or if its content is another one.
    fn open(&mut self) -> io::Result<bool> {
        let Some(path) = self.location() else { return Err(io::ErrorKind::NotFound.into()) };
        let file = File::open(path)?;
        if Identity::of(&file.metadata()?) != self.entry.identity {
            // Renamed since it was looked up; the next look finds it.
            return Err(io::ErrorKind::NotFound.into());
        }
        if !is_gzip(path) {
            self.input = Some(Input::Plain(file));
            return Ok(true);
        }
        let same = self.entry.fingerprint.begins(&head(path)?.1);
        self.entry.done &= same;
        if self.entry.done || !same {
            self.closed = self.seen;
            return Ok(false);
        }
        let mut gzip = gunzip(file);
        io::copy(&mut gzip.by_ref().take(self.entry.offset), &mut io::sink())?;
        self.input = Some(Input::Gzip(Box::new(gzip)));
        Ok(true)
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

    /// A compressed file that ends too early may still be being written. Other damage, and that of an old file, is for good.
    fn gzip_error(&mut self, error: io::Error, hand: &Hand<'_>) -> io::Result<Turn> {
        let modified = self.seen.and_then(|seen| seen.modified);
        let age = modified.and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        if error.kind() == io::ErrorKind::UnexpectedEof && age < CLOSE {
            return Err(error);
        }
        self.end(hand);
        Ok(Turn::Damaged(error))
    }

    /// All of a compressed file is read; it is done when it is delivered.
    fn end(&mut self, hand: &Hand<'_>) {
        self.finish_line(hand);
        self.input = None;
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
            }
            if !arrivals.is_empty() || position > 0 {
                self.pending.push_back((self.line, hand.submit(arrivals)));
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
        let arrivals = frame.into_iter().map(|frame| Arrival { frame, peer: Peer::at(&path) }).collect();
        self.pending.push_back((self.read, hand.submit(arrivals)));
        self.line = self.read;
        self.tail = Vec::new();
    }

    /// Moves the cursor over what is delivered by now, in order; whether it moved, or that something has failed.
    pub(super) fn settle(&mut self) -> Result<bool, Failed> {
        let mut moved = false;
        while let Some((end, outcome)) = self.pending.front_mut() {
            match outcome.try_recv() {
                Ok(Outcome::Delivered) => {
                    moved |= self.entry.offset != *end;
                    self.entry.offset = *end;
                    (self.pause, self.resume) = (PAUSES[0], None);
                    self.pending.pop_front();
                }
                Ok(Outcome::Failed) | Err(TryRecvError::Closed) => return Err(Failed),
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.ended && self.pending.is_empty() && !self.entry.done {
            (self.entry.done, self.closed) = (true, self.seen);
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

/// Reads what stands at `from` behind `tail`. The fingerprint is compared afterwards: were the file cut and written anew in
/// between, what was read could be from the middle of a line.
fn read_plain(file: &File, from: u64, tail: &mut Vec<u8>, fingerprint: &mut Fingerprint) -> io::Result<Turn> {
    let size = file.metadata()?.len();
    if size < from {
        return Ok(Turn::Replaced);
    }
    let before = tail.len();
    if size > from {
        let size = append(tail, |room| file.read_at(room, from))?;
        if from == 0 && fingerprint.is_empty() {
            *fingerprint = Fingerprint::of(&tail[..size]);
        }
    }
    let mut head = [0; FINGERPRINT];
    let mut len = 0;
    while len < head.len() {
        match file.read_at(&mut head[len..], len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    if !fingerprint.begins(&head[..len]) {
        tail.truncate(before);
        return Ok(Turn::Replaced);
    }
    if !fingerprint.is_full() {
        *fingerprint = Fingerprint::of(&head[..len]);
    }
    Ok(if tail.len() > before { Turn::Read } else { Turn::Idle })
}

fn read_gzip(gzip: &mut MultiGzDecoder<BufReader<File>>, tail: &mut Vec<u8>) -> io::Result<Turn> {
    Ok(if append(tail, |room| gzip.read(room))? > 0 { Turn::Read } else { Turn::Idle })
}

/// Appends one read, and gives its size; after an error nothing is appended.
fn append(tail: &mut Vec<u8>, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    let before = tail.len();
    tail.resize(before + READ_SIZE, 0);
    let result = read(&mut tail[before..]);
    tail.truncate(before + *result.as_ref().unwrap_or(&0));
    result
}
