//! An input, read chunk by chunk: bytes, and the positions of the frames in them.
//!
//! The beginning of an input shows whether it is a log, which has a line for each message, or a capture of messages
//! sent with counts. In a log, no line is taken for a count, so its records are the same as those of a `file` source.

use std::io::{self, Read};

use crate::frame::{Frame, Framer, Framing, Step};
use crate::record::{LineHash, LineHashes};
use crate::time::Timestamp;

/// One input. The worker that holds the lock reads the next chunk, so the framing and the hashes of the lines are those
/// of one stream.
pub(crate) struct Input {
    text: Box<dyn Read + Send>,
    /// `None` until the beginning of the input is known.
    framer: Option<Framer>,
    frame_limit: usize,
    /// Beginning of a frame whose end has not been read yet.
    rest: Vec<u8>,
    chunk_size: usize,
    /// `None` if the lines need no hashes.
    lines: Option<LineHashes>,
    /// Offset in the text of the first byte of the next chunk.
    offset: u64,
    chunks: u64,
    ended: bool,
}

/// Memory into which a worker reads, reused for each chunk.
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    places: Vec<FramePlace>,
}

/// A frame in the bytes of its chunk.
struct FramePlace {
    start: u32,
    len: u32,
    truncated: bool,
    line: LineHash,
    /// True if the hash depends on no other line.
    is_alone: bool,
}

/// Information about the frames of a chunk.
pub(crate) struct ChunkFrames {
    /// Number of chunks before this one in the input.
    pub(crate) number: u64,
    /// Offset in the text of the first byte of the chunk.
    pub(crate) offset: u64,
    /// Number of bytes read.
    pub(crate) size: usize,
    pub(crate) received_at: Timestamp,
    /// Present with the last chunk.
    pub(crate) end: Option<io::Result<()>>,
}

// === impl Input ===

impl Input {
    pub(crate) fn new(text: Box<dyn Read + Send>, frame_limit: usize, chunk_size: usize) -> Self {
        let lines = Some(LineHashes::starting_at(0));
        Self { lines, ..Self::unhashed(text, frame_limit, chunk_size) }
    }

    /// Returns the offset in the text of the first byte of the next chunk.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns an input whose lines get no hashes: zeros stand in their places.
    pub(crate) fn unhashed(text: Box<dyn Read + Send>, frame_limit: usize, chunk_size: usize) -> Self {
        let rest = Vec::new();
        Self { text, framer: None, frame_limit, rest, chunk_size, lines: None, offset: 0, chunks: 0, ended: false }
    }

    /// Reads the next chunk, if there is one, with a single read.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Option<ChunkFrames> {
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
        let (number, offset) = (self.chunks, self.offset);
        self.chunks += 1;
        self.offset += (kept + size - self.rest.len()) as u64;
        Some(ChunkFrames { number, offset, size, received_at, end })
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
    /// Allocates memory for the chunks of inputs with these limits.
    pub(crate) fn new(frame_limit: usize, chunk_size: usize) -> Self {
        let most_kept = Framer::new(Framing::Auto, frame_limit).max_buffer();
        Self { bytes: vec![0; most_kept + chunk_size], places: Vec::new() }
    }

    /// Returns the bytes of all frames, and those between them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.places.last().map_or(0, |place| place.start as usize + place.len as usize)]
    }

    /// Returns the number of frames.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the number of the frame with the byte at `at`.
    pub(crate) fn find(&self, at: usize) -> Option<usize> {
        let number = self.places.partition_point(|place| place.start as usize <= at).checked_sub(1)?;
        let place = &self.places[number];
        (at < place.start as usize + place.len as usize).then_some(number)
    }

    /// Returns a frame, its hash, and the place of its first byte.
    pub(crate) fn frame(&self, number: usize) -> (Frame<'_>, LineHash, usize) {
        let place = &self.places[number];
        let (start, len) = (place.start as usize, place.len as usize);
        (Frame { bytes: &self.bytes[start..start + len], truncated: place.truncated }, place.line, start)
    }

    /// Returns the numbers of the frames whose hash depends on other lines.
    pub(crate) fn dependent(&self) -> impl Iterator<Item = usize> {
        self.places.iter().enumerate().filter(|(_, place)| !place.is_alone).map(|(number, _)| number)
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = (Frame<'_>, LineHash)> {
        (0..self.len()).map(|number| {
            let (frame, line, _) = self.frame(number);
            (frame, line)
        })
    }
}

impl FramePlace {
    /// Returns the position of `frame` in `bytes`, which are far below 4 GiB.
    fn of(frame: Frame<'_>, bytes: &[u8], lines: &mut Option<LineHashes>) -> Self {
        let start = (frame.bytes.as_ptr().addr() - bytes.as_ptr().addr()) as u32;
        // Nothing is read again, so the start of a line does not matter.
        let (line, is_alone) = match lines {
            Some(lines) => (lines.next(frame.bytes, 0), lines.is_alone()),
            None => (LineHash(0), true),
        };
        Self { start, len: frame.bytes.len() as u32, truncated: frame.truncated, line, is_alone }
    }
}
