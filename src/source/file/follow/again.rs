//! Lines that are delivered, read again: those that equal lines behind the cursor have to be told from.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::frame::{Framer, Framing, Step};
use crate::record::LineHashes;
use crate::source::stream::READ_SIZE;

/// Hashes the lines that are written to it.
pub(super) struct Again {
    pub(super) lines: LineHashes,
    framer: Framer,
    /// What is not hashed yet, and where in the file it begins.
    tail: Vec<u8>,
    begin: u64,
}

/// The hashes of the lines of a file from one place to another, both at the begin of a line.
pub(super) fn lines_again(file: &File, from: u64, to: u64, max_frame_size: usize) -> io::Result<LineHashes> {
    let (mut again, mut at) = (Again::new(from, max_frame_size), from);
    let mut bytes = vec![0; READ_SIZE.min(to.saturating_sub(from) as usize)];
    while at < to {
        let size = bytes.len().min((to - at) as usize);
        match file.read_at(&mut bytes[..size], at)? {
            // It was cut, which is noticed when it is compared.
            0 => break,
            size => {
                again.write_all(&bytes[..size])?;
                at += size as u64;
            }
        }
    }
    Ok(again.lines)
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
                    // They have been handed on: only how many there are is of interest.
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
