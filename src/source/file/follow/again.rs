//! Delivered lines that are read again: equal lines after the cursor have to be told apart from them, and a restart may
//! have lost what was joined of them.

use std::io::{self, Write};

use super::text::Hand;
use crate::frame::{Frame, Framer, Framing, Step};
use crate::pipeline::Arrival;
use crate::record::{LineHashes, Peer};
use crate::source::file::system::Content;
use crate::source::sizes::READ_SIZE;

/// Hashes the lines that are written to it.
pub(super) struct Again {
    pub(super) lines: LineHashes,
    again: LinesAgain,
}

/// Joins the lines that are written to it, once more.
pub(super) struct JoinAgain<'h> {
    hand: &'h dyn Hand,
    path: &'h str,
    again: LinesAgain,
}

/// Divides bytes into lines.
struct LinesAgain {
    framer: Framer,
    /// The bytes that are not divided yet, and the offset in the file where they begin.
    tail: Vec<u8>,
    begin: u64,
}

/// Returns the hashes of the lines of a file between two offsets, both at the beginning of a line.
pub(super) fn lines_again(file: &dyn Content, from: u64, to: u64, max_frame_size: usize) -> io::Result<LineHashes> {
    let mut again = Again::new(from, max_frame_size);
    copy(file, from, to, &mut again)?;
    Ok(again.lines)
}

/// Writes the bytes of a file between two offsets to `out`.
pub(super) fn copy(file: &dyn Content, from: u64, to: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut at = from;
    let mut bytes = vec![0; READ_SIZE.min(to.saturating_sub(from) as usize)];
    while at < to {
        let size = bytes.len().min((to - at) as usize);
        match file.read_at(&mut bytes[..size], at)? {
            // The file was cut. This is noticed when its content is compared.
            0 => break,
            size => {
                out.write_all(&bytes[..size])?;
                at += size as u64;
            }
        }
    }
    Ok(())
}

impl Again {
    /// The first line begins at the offset `from`.
    pub(super) fn new(from: u64, max_frame_size: usize) -> Self {
        Self { lines: LineHashes::starting_at(from), again: LinesAgain::new(from, max_frame_size) }
    }
}

impl Write for Again {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { lines, again } = self;
        again.add(bytes, |frames| {
            for (frame, at) in frames {
                // The lines have been handed on already; only the count of equal lines matters.
                let _ = lines.next(frame.bytes, *at);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'h> JoinAgain<'h> {
    /// `path` is that of the file of the lines.
    pub(super) fn new(hand: &'h dyn Hand, path: &'h str, max_frame_size: usize) -> Self {
        Self { hand, path, again: LinesAgain::new(0, max_frame_size) }
    }

    /// Joins the last line if it has no LF.
    pub(super) fn finish(mut self) {
        let Self { hand, path, again } = &mut self;
        if let Some(frame) = again.framer.finish(&again.tail) {
            hand.rejoin(&[arrival(frame, path)]);
        }
    }
}

impl Write for JoinAgain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { hand, path, again } = self;
        again.add(bytes, |frames| {
            let lines: Vec<_> = frames.iter().map(|(frame, _)| arrival(*frame, path)).collect();
            hand.rejoin(&lines);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn arrival<'l>(frame: Frame<'l>, path: &'l str) -> Arrival<'l> {
    Arrival { frame, peer: Peer::at(path), line: None }
}

impl LinesAgain {
    fn new(begin: u64, max_frame_size: usize) -> Self {
        Self { framer: Framer::new(Framing::Lf, max_frame_size), tail: Vec::new(), begin }
    }

    /// Adds bytes, and passes the lines that are complete to `use_frames`, each with its offset in the file.
    fn add(&mut self, bytes: &[u8], use_frames: impl FnOnce(&[(Frame<'_>, u64)])) {
        self.tail.extend_from_slice(bytes);
        let (mut frames, mut position) = (Vec::new(), 0);
        loop {
            match self.framer.next(&self.tail[position..]) {
                Step::Frame { frame, consumed } => {
                    let at = frame.bytes.as_ptr().addr() - self.tail.as_ptr().addr();
                    frames.push((frame, self.begin + at as u64));
                    position += consumed;
                }
                Step::More { consumed } => {
                    position += consumed;
                    break;
                }
            }
        }
        use_frames(&frames);
        self.tail.drain(..position);
        self.begin += position as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::oneshot;

    use super::*;
    use crate::receipt::Outcome;

    /// Keeps the lines that are joined.
    #[derive(Default)]
    struct Kept(RefCell<Vec<String>>);

    impl Hand for Kept {
        fn submit(&self, _: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome> {
            unreachable!("the lines are delivered")
        }

        fn rejoin(&self, lines: &[Arrival<'_>]) {
            self.0.borrow_mut().extend(lines.iter().map(|line| String::from_utf8_lossy(line.frame.bytes).into_owned()));
        }
    }

    #[test]
    fn each_line_is_joined_again_and_the_last_one_without_its_end() {
        for size in 1..12 {
            let kept = Kept::default();
            let mut again = JoinAgain::new(&kept, "/var/log/mail.log", 8192);
            for part in b"one\ntwo\n\nthree".chunks(size) {
                again.write_all(part).unwrap();
            }
            again.finish();
            let lines: Vec<_> = kept.0.take().into_iter().filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, ["one", "two", "three"], "{size}");
        }
    }
}
