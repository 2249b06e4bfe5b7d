//! An input, read chunk by chunk: bytes, and the positions of the frames in them.
//!
//! The beginning of an input shows whether it is a log, which has a line for each message, or a capture of messages
//! sent with counts. In a log, no line is taken for a count, so its records are the same as those of a `file` source.

use std::io::{self, Read};

use super::limits::Limits;
use crate::frame::{Frame, Framer, Framing, Step};
use crate::record::{LineHash, LineHashes};
use crate::time::Timestamp;

/// One input. The worker that holds the lock reads the next chunk, so the framing and the hashes of the lines are those
/// of one stream.
pub(super) struct Input {
    text: Box<dyn Read + Send>,
    /// `None` until the beginning of the input is known.
    framer: Option<Framer>,
    frame_limit: usize,
    /// Beginning of a frame whose end has not been read yet.
    rest: Vec<u8>,
    chunk_size: usize,
    lines: LineHashes,
    chunks: u64,
    ended: bool,
}

/// Memory into which a worker reads, reused for each chunk.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    places: Vec<FramePlace>,
}

/// A frame in the bytes of its chunk.
struct FramePlace {
    start: u32,
    len: u32,
    truncated: bool,
    line: LineHash,
}

/// Information about the frames of a chunk.
pub(super) struct ChunkFrames {
    /// Number of chunks before this one in the input.
    pub(super) number: u64,
    /// Number of bytes read.
    pub(super) size: usize,
    pub(super) received_at: Timestamp,
    /// Present with the last chunk.
    pub(super) end: Option<io::Result<()>>,
}

// === impl Input ===

impl Input {
    pub(super) fn new(text: Box<dyn Read + Send>, limits: &Limits) -> Self {
        let (frame_limit, chunk_size, lines) = (limits.frame, limits.chunk, LineHashes::starting_at(0));
        Self { text, framer: None, frame_limit, rest: Vec::new(), chunk_size, lines, chunks: 0, ended: false }
    }

    /// Allocates memory for the chunks of this input.
    pub(super) fn chunk(&self) -> Chunk {
        let most_kept = Framer::new(Framing::Auto, self.frame_limit).max_buffer();
        Chunk { bytes: vec![0; most_kept + self.chunk_size], places: Vec::new() }
    }

    /// Reads the next chunk, if there is one, with a single read.
    pub(super) fn next(&mut self, chunk: &mut Chunk) -> Option<ChunkFrames> {
        if self.ended {
            return None;
        }
        let Chunk { bytes, places } = chunk;
        let kept = self.rest.len();
        bytes[..kept].copy_from_slice(&self.rest);
        let (size, end) = match self.read(&mut bytes[kept..kept + self.chunk_size]) {
            Ok(0) => (0, Some(Ok(()))),
            Ok(size) => (size, None),
            Err(error) => (0, Some(Err(error))),
        };
        let received_at = Timestamp::now();
        let bytes = &bytes[..kept + size];
        places.clear();
        self.ended = end.is_some();
        let rest = self.find_frames(bytes, places, end.as_ref().is_some_and(Result::is_err));
        self.rest.clear();
        self.rest.extend_from_slice(rest);
        let number = self.chunks;
        self.chunks += 1;
        Some(ChunkFrames { number, size, received_at, end })
    }

    /// Finds the frames in `bytes`, and returns the rest, which may be the beginning of another frame.
    fn find_frames<'b>(&mut self, bytes: &'b [u8], places: &mut Vec<FramePlace>, is_damaged: bool) -> &'b [u8] {
        if self.framer.is_none() {
            let framing = Framing::of_file(bytes, self.ended, self.frame_limit);
            self.framer = framing.map(|framing| Framer::new(framing, self.frame_limit));
        }
        let Some(framer) = &mut self.framer else { return bytes };
        let mut at = 0;
        loop {
            match framer.next(&bytes[at..]) {
                Step::Frame { frame, consumed } => {
                    places.push(FramePlace::of(frame, bytes, &mut self.lines));
                    at += consumed;
                }
                Step::More { consumed } => {
                    at += consumed;
                    break;
                }
            }
        }
        if !self.ended {
            return &bytes[at..];
        }
        // Text that was read before the damage is still useful.
        places.extend(framer.finish(&bytes[at..]).map(|frame| {
            let truncated = frame.truncated || is_damaged;
            FramePlace::of(Frame { truncated, ..frame }, bytes, &mut self.lines)
        }));
        &[]
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.text.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

// === impl Chunk ===

impl Chunk {
    pub(super) fn frames(&self) -> impl Iterator<Item = (Frame<'_>, LineHash)> {
        self.places.iter().map(|place| {
            let bytes = &self.bytes[place.start as usize..][..place.len as usize];
            (Frame { bytes, truncated: place.truncated }, place.line)
        })
    }
}

impl FramePlace {
    /// Returns the position of `frame` in `bytes`, which are far below 4 GiB.
    fn of(frame: Frame<'_>, bytes: &[u8], lines: &mut LineHashes) -> Self {
        let start = (frame.bytes.as_ptr().addr() - bytes.as_ptr().addr()) as u32;
        // Nothing is read again, so the start of a line does not matter.
        let line = lines.next(frame.bytes, 0);
        Self { start, len: frame.bytes.len() as u32, truncated: frame.truncated, line }
    }
}
