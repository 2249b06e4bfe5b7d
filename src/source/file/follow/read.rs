//! The I/O of one followed file: opening and reading it.

use std::io::{self, Read};
use std::time::Instant;

use super::Followed;
use super::again::{Again, JoinAgain, copy, lines_again};
use super::phase::{Action, AtEnd, FilePhase, Open};
use super::text::Hand;
use crate::source::file::content::{FollowedInput, Gzip, append, first_bytes, has_before, is_damage, is_gzip};
use crate::source::file::cursor::{FINGERPRINT, Fingerprint};
use crate::source::file::system::{Content, System};
use crate::source::file::turns::OpenFiles;
use crate::source::sizes::READ_SIZE;

/// The result of a turn.
pub(in crate::source::file) enum TurnResult {
    Idle,
    Read,
    /// The file has different content than before: copytruncate, or a new file with a reused inode.
    Replaced,
    /// The file is compressed and cannot be read any further. It ends here.
    Damaged(io::Error),
}

/// The surroundings of a file.
#[derive(Clone, Copy)]
pub(in crate::source::file) struct Outside<'o> {
    pub(in crate::source::file) system: &'o dyn System,
    pub(in crate::source::file) hand: &'o dyn Hand,
    pub(in crate::source::file) open_files: &'o OpenFiles,
}

/// Result of a read.
enum ReadContent {
    /// Bytes, which are in the tail now.
    Bytes,
    Nothing,
    /// Different content than before.
    Different,
}

// === impl Followed ===

impl Followed {
    /// Opens the file if it is not open, reads once, and hands on the complete lines. A file that waits for another one
    /// is only opened: an open file stays readable even if it is renamed or removed meanwhile.
    pub(in crate::source::file) fn turn(&mut self, outside: Outside<'_>) -> io::Result<TurnResult> {
        let now = outside.system.now();
        if self.next(now) == Action::Open
            && let Some(turn) = self.open(outside)?
        {
            return Ok(turn);
        }
        let turn = match self.next(now) {
            Action::Read => self.read(outside, now),
            Action::FinishLine => {
                self.finish_line(outside.hand);
                Ok(TurnResult::Read)
            }
            Action::Rest | Action::BackOff | Action::Wait | Action::Open => Ok(TurnResult::Idle),
        };
        self.text.check(&self.entry);
        turn
    }

    fn read(&mut self, outside: Outside<'_>, now: Instant) -> io::Result<TurnResult> {
        let before = self.text.tail.len();
        let found = if self.phase.is_gzip() { self.read_gzip() } else { self.read_plain(outside.system) };
        self.text.grown_from(before);
        match found {
            Ok(ReadContent::Bytes) => {
                self.phase.read();
                self.grown = now;
                self.hand_on(outside.hand);
                Ok(TurnResult::Read)
            }
            Ok(ReadContent::Nothing) => {
                self.phase.reached_end();
                self.reach_end(outside.hand, now);
                Ok(TurnResult::Idle)
            }
            Ok(ReadContent::Different) => Ok(TurnResult::Replaced),
            Err(error) if self.phase.is_gzip() && is_damage(&error) => Ok(self.damage(error, outside, now)),
            Err(error) => Err(error),
        }
    }

    /// Opens the file. Returns a turn if there is nothing more to do: the file is done, or has different content.
    fn open(&mut self, outside: Outside<'_>) -> io::Result<Option<TurnResult>> {
        let Some(path) = self.location() else { return Err(io::ErrorKind::NotFound.into()) };
        let is_gzip = is_gzip(path);
        let file = outside.system.open(path)?;
        let (identity, stamp) = file.status()?;
        if identity != self.entry.identity {
            // The file was renamed since it was looked up. The next look finds it.
            return Err(io::ErrorKind::NotFound.into());
        }
        let slot = outside.open_files.slot();
        if !is_gzip {
            self.phase.opened(Open { input: FollowedInput::Plain(file), stamp, _slot: slot });
            return Ok(None);
        }
        let (first, _) = first_bytes(&file, true)?;
        if !self.entry.fingerprint.begins(&first) {
            return Ok(Some(TurnResult::Replaced));
        }
        if self.entry.done {
            self.phase = FilePhase::Closed { stamp };
            return Ok(Some(TurnResult::Idle));
        }
        // The file may have grown since it was begun.
        self.entry.fingerprint = Fingerprint::of(&first);
        self.phase.opened(Open { input: FollowedInput::Gzip(Box::new(Gzip::new(file))), stamp, _slot: slot });
        Ok(None)
    }

    /// Reads the bytes that follow the tail. The content is compared after the read: if the file was cut and rewritten
    /// in between, the bytes could be from the middle of a line.
    fn read_plain(&mut self, system: &dyn System) -> io::Result<ReadContent> {
        let Some(Open { input: FollowedInput::Plain(file), stamp: read_at, .. }) = self.phase.open_mut() else {
            return Ok(ReadContent::Nothing);
        };
        let text = &mut self.text;
        let (_, stamp) = file.status()?;
        *read_at = stamp;
        if stamp.len < text.read {
            return Ok(ReadContent::Different);
        }
        if stamp.len == text.read && self.compared == Some(stamp) {
            return Ok(ReadContent::Nothing);
        }
        if text.hashes.is_none() {
            text.hashes = Some(lines_again(&**file, self.entry.lines_from, text.line, text.max_frame_size())?);
        }
        let before = text.tail.len();
        if stamp.len > text.read {
            append(&mut text.tail, |room| file.read_at(room, text.read))?;
        }
        let mut head = [0; FINGERPRINT];
        let head = read_head(&**file, &mut head)?;
        if !self.entry.fingerprint.begins(head) || !has_before(&**file, text.line, &text.mark)? {
            text.tail.truncate(before);
            return Ok(ReadContent::Different);
        }
        if !self.entry.fingerprint.is_full() {
            self.entry.fingerprint = Fingerprint::of(head);
        }
        // A change within the same tick would not change the stamp.
        self.compared = Some(stamp).filter(|stamp| !stamp.is_of_now(system.time()));
        Ok(if text.tail.len() > before { ReadContent::Bytes } else { ReadContent::Nothing })
    }

    /// Joins the delivered lines once more that may be missing in the checkpoint.
    pub(in crate::source::file) fn rejoin(&self, system: &dyn System, hand: &dyn Hand) -> io::Result<()> {
        let (from, to) = (self.entry.joined, self.entry.offset);
        let Some(path) = self.location().filter(|_| from < to) else { return Ok(()) };
        let (file, name) = (system.open(path)?, self.entry.path.to_string_lossy());
        let mut again = JoinAgain::new(hand, &name, self.text.max_frame_size());
        if is_gzip(path) {
            Gzip::new(file).pass(to, &self.entry.mark, from, &mut again)?;
        } else if has_before(&*file, to, &self.entry.mark)? {
            copy(&*file, from, to, &mut again)?;
        }
        again.finish();
        Ok(())
    }

    /// Returns true if an open file no longer has the content that was read of it. Content that cannot be read counts
    /// as unchanged until it can be read.
    pub(in crate::source::file) fn is_cut(&self) -> bool {
        let Some(Open { input: FollowedInput::Plain(file), .. }) = self.phase.open() else { return false };
        let mut head = [0; FINGERPRINT];
        let is_short = file.status().is_ok_and(|(_, stamp)| stamp.len < self.text.read);
        is_short
            || read_head(&**file, &mut head).is_ok_and(|head| !self.entry.fingerprint.begins(head))
            || matches!(has_before(&**file, self.text.line, &self.text.mark), Ok(false))
    }

    fn read_gzip(&mut self) -> io::Result<ReadContent> {
        let Some(Open { input: FollowedInput::Gzip(gzip), .. }) = self.phase.open_mut() else {
            return Ok(ReadContent::Nothing);
        };
        let text = &mut self.text;
        if gzip.at < text.read {
            let from = if text.hashes.is_none() { self.entry.lines_from } else { text.line };
            let mut again = Again::new(from, text.max_frame_size());
            if !gzip.pass(text.line, &text.mark, from, &mut again)? {
                return Ok(ReadContent::Different);
            }
            text.hashes.get_or_insert(again.lines);
            gzip.skip_to(text.read)?;
            if gzip.at < text.read {
                return Ok(ReadContent::Different);
            }
        }
        let size = append(&mut text.tail, |room| gzip.decoder.read(room))?;
        gzip.at += size as u64;
        Ok(if size > 0 { ReadContent::Bytes } else { ReadContent::Nothing })
    }

    /// Handles a read that found nothing: the file is at its end for now.
    fn reach_end(&mut self, hand: &dyn Hand, now: Instant) {
        match self.at_end(now) {
            AtEnd::Stay => {}
            AtEnd::FinishLine => self.finish_line(hand),
            AtEnd::Close => {
                self.finish_line(hand);
                self.close();
            }
            AtEnd::End => {
                self.finish_line(hand);
                self.phase.ended(false);
            }
        }
    }

    /// Handles damage in a compressed file. A young file that ends too early may still be being written, and is tried
    /// again. Any other damage is permanent, unless the file changes.
    fn damage(&mut self, error: io::Error, outside: Outside<'_>, now: Instant) -> TurnResult {
        let is_young = self.seen.is_some_and(|seen| seen.is_young(outside.system.time()));
        if error.kind() == io::ErrorKind::UnexpectedEof && is_young {
            self.back_off(false, now);
            return TurnResult::Idle;
        }
        if self.salvage() > 0 {
            self.hand_on(outside.hand);
        }
        self.finish_line(outside.hand);
        self.phase.ended(true);
        TurnResult::Damaged(error)
    }

    /// Reads the bytes just before the damage, and returns their number. A large read fails as a whole; reads of single
    /// bytes go up to the damage.
    fn salvage(&mut self) -> u64 {
        let Some(open) = self.phase.open_mut() else { return 0 };
        open.input.rewind();
        let FollowedInput::Gzip(gzip) = &mut open.input else { return 0 };
        let text = &mut self.text;
        let before = text.tail.len();
        if gzip.skip_to(text.read).is_ok() && gzip.at == text.read {
            let mut byte = [0];
            while text.tail.len() - before < READ_SIZE && matches!(gzip.decoder.read(&mut byte), Ok(1)) {
                text.tail.push(byte[0]);
            }
        }
        text.grown_from(before)
    }

    fn hand_on(&mut self, hand: &dyn Hand) {
        self.text.hand_on(&self.entry.path.to_string_lossy(), hand);
    }

    fn finish_line(&mut self, hand: &dyn Hand) {
        self.text.finish_line(&self.entry.path.to_string_lossy(), hand);
    }
}

/// Reads the first bytes of a file.
fn read_head<'h>(file: &dyn Content, head: &'h mut [u8; FINGERPRINT]) -> io::Result<&'h [u8]> {
    let len = file.fill_at(head, 0)?;
    Ok(&head[..len])
}
