//! Delivered lines that are read again: equal lines after the cursor have to be told apart from them, and a restart may
//! have lost what was joined of them.

use std::io::{self, Write};

use super::text::Hand;
use crate::frame::{Framer, Framing, Step};
use crate::pipeline::Arrival;
use crate::record::{LineHashes, Peer};
use crate::source::file::system::Content;
use crate::source::stream::READ_SIZE;

/// Hashes the lines that are written to it.
pub(super) struct Again {
    pub(super) lines: LineHashes,
    framer: Framer,
    /// The bytes that are not hashed yet, and the offset in the file where they begin.
    tail: Vec<u8>,
    begin: u64,
}

/// Returns the hashes of the lines of a file between two offsets, both at the beginning of a line.
pub(super) fn lines_again(file: &dyn Content, from: u64, to: u64, max_frame_size: usize) -> io::Result<LineHashes> {
    let mut again = Again::new(from, max_frame_size);
    copy(file, from, to, &mut again)?;
    Ok(again.lines)
}

/// Joins the lines that are written to it, once more.
pub(super) struct JoinAgain<'h> {
    hand: &'h dyn Hand,
    path: &'h str,
    framer: Framer,
    tail: Vec<u8>,
}

impl<'h> JoinAgain<'h> {
    /// `path` is that of the file of the lines.
    pub(super) fn new(hand: &'h dyn Hand, path: &'h str, max_frame_size: usize) -> Self {
        Self { hand, path, framer: Framer::new(Framing::Lf, max_frame_size), tail: Vec::new() }
    }
}

impl Write for JoinAgain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tail.extend_from_slice(bytes);
        let (mut lines, mut position) = (Vec::new(), 0);
        loop {
            match self.framer.next(&self.tail[position..]) {
                Step::Frame { frame, consumed } => {
                    lines.push(Arrival { frame, peer: Peer::at(self.path), line: None });
                    position += consumed;
                }
                Step::More { consumed } => {
                    position += consumed;
                    break;
                }
            }
        }
        self.hand.rejoin(&lines);
        self.tail.drain(..position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the bytes of a file between two offsets to `to_writer`.
pub(super) fn copy(file: &dyn Content, from: u64, to: u64, to_writer: &mut dyn Write) -> io::Result<()> {
    let mut at = from;
    let mut bytes = vec![0; READ_SIZE.min(to.saturating_sub(from) as usize)];
    while at < to {
        let size = bytes.len().min((to - at) as usize);
        match file.read_at(&mut bytes[..size], at)? {
            // The file was cut. This is noticed when its content is compared.
            0 => break,
            size => {
                to_writer.write_all(&bytes[..size])?;
                at += size as u64;
            }
        }
    }
    Ok(())
}

impl Again {
    pub(super) fn new(from: u64, max_frame_size: usize) -> Self {
        let (lines, framer) = (LineHashes::starting_at(from), Framer::new(Framing::Lf, max_frame_size));
        Self { lines, framer, tail: Vec::new(), begin: from }
    }
}

impl Write for Again {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tail.extend_from_slice(bytes);
        let mut position = 0;
        loop {
            match self.framer.next(&self.tail[position..]) {
                Step::Frame { frame, consumed } => {
                    let at = frame.bytes.as_ptr().addr() - self.tail.as_ptr().addr();
                    // The lines have been handed on already; only the count of equal lines matters.
                    let _ = self.lines.next(frame.bytes, self.begin + at as u64);
                    position += consumed;
                }
                Step::More { consumed } => {
                    position += consumed;
                    break;
                }
            }
        }
        self.tail.drain(..position);
        self.begin += position as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
