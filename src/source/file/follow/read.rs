//! Reading one followed file, and handing on its lines.

use std::io::{self, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::again::{Again, lines_again};
use super::{Followed, Handed, Place};
use crate::frame::{Frame, Step};
use crate::pipeline::Arrival;
use crate::receipt::Outcome;
use crate::record::{LineHashes, Peer};
use crate::source::file::content::{Gzip, Input, append, first_bytes, has_before, is_damage, is_gzip};
use crate::source::file::cursor::{FINGERPRINT, Fingerprint};
use crate::source::file::system::{Content, System};
use crate::source::stream::{MOST_FRAMES, READ_SIZE};

/// How long a file that was rotated away must be silent until it is closed.
const CLOSE: Duration = Duration::from_secs(60);
/// Maximum length of a partial line whose buffer is shrunk between two reads.
const IDLE_SIZE: usize = 16 * 1024;

/// The result of a turn.
pub(in crate::source::file) enum Turn {
    Idle,
    Read,
    /// The file has different content than before: copytruncate, or a new file with a reused inode.
    Replaced,
    /// The file is compressed and cannot be read any further. It ends here.
    Damaged(io::Error),
}

/// The destination of lines.
pub(in crate::source::file) trait Hand {
    /// Hands on lines, and waits for room. Returns the channel on which their outcome arrives.
    fn submit(&self, lines: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome>;
}

// === impl Followed ===

impl Followed {
    /// Reads once, and hands on the complete lines.
    pub(in crate::source::file) fn turn(&mut self, system: &dyn System, hand: &dyn Hand) -> io::Result<Turn> {
        if self.is_at_rest() || self.resume.is_some_and(|resume| Instant::now() < resume) {
            return Ok(Turn::Idle);
        }
        if let Some(turn) = self.open(system)? {
            return Ok(turn);
        }
        let before = self.tail.len();
        let turn = if self.is_gzip() { self.read_gzip() } else { self.read_plain(system) };
        self.read += (self.tail.len() - before) as u64;
        match turn {
            Ok(Turn::Read) => {
                (self.at_end, self.unreadable, self.grown) = (false, false, Instant::now());
                self.hand_on(hand);
            }
            Ok(Turn::Idle) => self.reach_end(hand),
            Ok(Turn::Replaced) => self.finish_line(hand),
            Err(error) if self.is_gzip() && is_damage(&error) => return Ok(self.damage(error, system, hand)),
            Ok(Turn::Damaged(_)) | Err(_) => {}
        }
        turn
    }

    /// Opens the file while it must wait for another one. An open file stays readable even if it is renamed or removed
    /// meanwhile.
    pub(in crate::source::file) fn hold(&mut self, system: &dyn System) -> io::Result<Turn> {
        if self.resume.is_some_and(|resume| Instant::now() < resume) {
            return Ok(Turn::Idle);
        }
        Ok(self.open(system)?.unwrap_or(Turn::Idle))
    }

    fn is_gzip(&self) -> bool {
        matches!(self.input, Some(Input::Gzip(_)))
    }

    /// Opens the file, unless it is open. Returns a turn if there is nothing more to do: the file is done, or has
    /// different content.
    fn open(&mut self, system: &dyn System) -> io::Result<Option<Turn>> {
        if self.input.is_some() {
            return Ok(None);
        }
        let Some(path) = self.location() else { return Err(io::ErrorKind::NotFound.into()) };
        let is_gzip = is_gzip(path);
        let file = system.open(path)?;
        let (identity, stamp) = file.status()?;
        if identity != self.entry.identity {
            // The file was renamed since it was looked up. The next look finds it.
            return Err(io::ErrorKind::NotFound.into());
        }
        self.read_at = Some(stamp);
        if !is_gzip {
            self.input = Some(Input::Plain(file));
            return Ok(None);
        }
        let (first, _) = first_bytes(&file, true)?;
        if !self.entry.fingerprint.begins(&first) {
            return Ok(Some(Turn::Replaced));
        }
        if self.entry.done {
            self.closed = self.read_at;
            return Ok(Some(Turn::Idle));
        }
        // The file may have grown since it was begun.
        self.entry.fingerprint = Fingerprint::of(&first);
        self.damaged = false;
        self.input = Some(Input::Gzip(Box::new(Gzip::new(file))));
        Ok(None)
    }

    /// Reads the bytes that follow `tail`. The content is compared after the read: if the file was cut and rewritten in
    /// between, the bytes could be from the middle of a line.
    fn read_plain(&mut self, system: &dyn System) -> io::Result<Turn> {
        let Some(Input::Plain(file)) = &self.input else { return Ok(Turn::Idle) };
        let file = Rc::clone(file);
        let (_, stamp) = file.status()?;
        self.read_at = Some(stamp);
        if stamp.len < self.read {
            return Ok(Turn::Replaced);
        }
        if stamp.len == self.read && self.compared == Some(stamp) {
            return Ok(Turn::Idle);
        }
        if self.lines.is_none() {
            self.lines = Some(lines_again(&*file, self.entry.lines_from, self.line, self.max_frame_size)?);
        }
        let before = self.tail.len();
        if stamp.len > self.read {
            append(&mut self.tail, |room| file.read_at(room, self.read))?;
        }
        let mut head = [0; FINGERPRINT];
        let head = read_head(&*file, &mut head)?;
        if !self.entry.fingerprint.begins(head) || !has_before(&*file, self.line, &self.mark)? {
            self.tail.truncate(before);
            return Ok(Turn::Replaced);
        }
        if !self.entry.fingerprint.is_full() {
            self.entry.fingerprint = Fingerprint::of(head);
        }
        // A change within the same tick would not change the stamp.
        self.compared = Some(stamp).filter(|stamp| !stamp.is_of_now(system.time()));
        Ok(if self.tail.len() > before { Turn::Read } else { Turn::Idle })
    }

    /// Returns true if an open file no longer has the content that was read of it. Content that cannot be read counts
    /// as unchanged until it can be read.
    pub(in crate::source::file) fn is_cut(&self) -> bool {
        let Some(Input::Plain(file)) = &self.input else { return false };
        let mut head = [0; FINGERPRINT];
        let is_short = file.status().is_ok_and(|(_, stamp)| stamp.len < self.read);
        is_short
            || read_head(&**file, &mut head).is_ok_and(|head| !self.entry.fingerprint.begins(head))
            || matches!(has_before(&**file, self.line, &self.mark), Ok(false))
    }

    fn read_gzip(&mut self) -> io::Result<Turn> {
        let Some(Input::Gzip(gzip)) = &mut self.input else { return Ok(Turn::Idle) };
        if gzip.at < self.read {
            let from = if self.lines.is_none() { self.entry.lines_from } else { self.line };
            let mut again = Again::new(from, self.max_frame_size);
            if !gzip.pass(self.line, &self.mark, from, &mut again)? {
                return Ok(Turn::Replaced);
            }
            self.lines.get_or_insert(again.lines);
            gzip.skip_to(self.read)?;
            if gzip.at < self.read {
                return Ok(Turn::Replaced);
            }
        }
        let size = append(&mut self.tail, |room| gzip.decoder.read(room))?;
        gzip.at += size as u64;
        Ok(if size > 0 { Turn::Read } else { Turn::Idle })
    }

    /// Handles a read that found nothing: the file is at its end for now.
    fn reach_end(&mut self, hand: &dyn Hand) {
        (self.at_end, self.unreadable) = (true, false);
        if self.is_gzip() {
            self.end(hand);
        } else if self.place != Place::Home && self.is_left() {
            self.finish_line(hand);
            if self.is_silent(CLOSE) {
                self.close();
            }
        }
    }

    /// Handles damage in a compressed file. A young file that ends too early may still be being written, and is tried
    /// again. Any other damage is permanent, unless the file changes.
    fn damage(&mut self, error: io::Error, system: &dyn System, hand: &dyn Hand) -> Turn {
        if error.kind() == io::ErrorKind::UnexpectedEof && self.seen.is_some_and(|seen| seen.is_young(system.time())) {
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

    /// Reads the bytes just before the damage, and returns their number. A large read fails as a whole; reads of single
    /// bytes go up to the damage.
    fn salvage(&mut self) -> usize {
        self.input.iter_mut().for_each(Input::rewind);
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

    /// Marks a compressed file as read to its end. It is done when all of it is delivered.
    fn end(&mut self, hand: &dyn Hand) {
        self.finish_line(hand);
        (self.at_end, self.ended) = (true, true);
    }

    /// Hands on every complete line, and waits for room.
    fn hand_on(&mut self, hand: &dyn Hand) {
        let path = self.entry.path.to_string_lossy();
        let lines = self.lines.get_or_insert_with(|| LineHashes::starting_at(self.line));
        let mut more = true;
        while more {
            let begin = self.read - self.tail.len() as u64;
            let mut arrivals = Vec::new();
            let mut position = 0;
            while more && arrivals.len() < MOST_FRAMES {
                match self.framer.next(&self.tail[position..]) {
                    Step::Frame { frame, consumed } => {
                        arrivals.push(arrival(frame, &path, lines, &self.tail, begin));
                        position += consumed;
                    }
                    Step::More { consumed } => {
                        position += consumed;
                        more = false;
                    }
                }
            }
            // The cursor is always at the start of a line, and a line that is cut at the size limit continues after the
            // cut.
            if let Some(lf) = memchr::memrchr(b'\n', &self.tail[..position]) {
                self.line = begin + lf as u64 + 1;
                self.mark = Fingerprint::before_end(&self.tail[..=lf]);
            }
            if !arrivals.is_empty() || position > 0 {
                self.furthest = self.furthest.max(begin + position as u64);
                let (count, lines_from) = (arrivals.len() as u64, lines.begin());
                let outcome = hand.submit(arrivals);
                let (end, mark) = (self.line, self.mark);
                self.pending.push(Handed { end, mark, lines_from, lines: count }, Some(outcome));
            }
            self.tail.drain(..position);
        }
        if self.tail.len() <= IDLE_SIZE {
            self.tail.shrink_to_fit();
        }
    }

    /// Hands on the last line as it is, because nothing will be added to it.
    fn finish_line(&mut self, hand: &dyn Hand) {
        if self.line == self.read {
            return;
        }
        let path = self.entry.path.to_string_lossy();
        let lines = self.lines.get_or_insert_with(|| LineHashes::starting_at(self.line));
        let begin = self.read - self.tail.len() as u64;
        let frame = self.framer.finish(&self.tail);
        let arrivals: Vec<_> = frame.into_iter().map(|frame| arrival(frame, &path, lines, &self.tail, begin)).collect();
        let (count, lines_from) = (arrivals.len() as u64, lines.begin());
        let outcome = hand.submit(arrivals);
        (self.line, self.mark) = (self.read, Fingerprint::before_end(&self.tail));
        self.furthest = self.furthest.max(self.read);
        let (end, mark) = (self.line, self.mark);
        self.pending.push(Handed { end, mark, lines_from, lines: count }, Some(outcome));
        self.tail = Vec::new();
    }
}

/// Returns the arrival for a line in `tail`; `tail` begins at offset `begin` in the file.
fn arrival<'t>(frame: Frame<'t>, path: &'t str, lines: &mut LineHashes, tail: &[u8], begin: u64) -> Arrival<'t> {
    let at = begin + (frame.bytes.as_ptr().addr() - tail.as_ptr().addr()) as u64;
    Arrival { frame, peer: Peer::at(path), line: Some(lines.next(frame.bytes, at)) }
}

/// Reads the first bytes of a file.
fn read_head<'h>(file: &dyn Content, head: &'h mut [u8; FINGERPRINT]) -> io::Result<&'h [u8]> {
    let len = file.fill_at(head, 0)?;
    Ok(&head[..len])
}
