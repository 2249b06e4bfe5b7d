//! The `frame` stage: turns bytes into [`Frame`]s (RFC 6587; the grammar of [`relp`] differs). It knows neither sockets
//! nor syslog.
//!
//! A [`Framer`] holds the state of one stream; the bytes stay in the caller's buffer and are never copied:
//!
//! ```
//! use postrider_parser::frame::{Framer, Framing, Step};
//!
//! let mut framer = Framer::new(Framing::Auto, 8192);
//! // "<14>b" is not complete: its line end may still arrive.
//! ```
//!
//! # States
//!
//! ```text
//! in           on                                      does                        then
//! -----------  --------------------------------------  --------------------------  -----------
//! Start        SP, LF, CR, NUL (auto, octet_counting)  skips it                    Start
//!              a count and the first byte after it     skips the count             Counted
//!              what may become a count                 waits                       Start
//!              anything else                           -                           Text
//! Counted      all counted bytes, within the limit     frame                       Start
//!              limit reached, count not                frame, truncated            SkipCounted
//! Text         delimiter, within the limit             frame, unless it is empty   Start
//!              delimiter, just over the limit          frame, truncated            Start
//!              limit passed, no delimiter              frame, truncated            SkipText
//! SkipCounted  the last counted byte                   -                           Start
//! SkipText     delimiter                               -                           Start
//! ```
//!
//! [`Framer::cut`] returns the received part of a message as a truncated frame, and enters the matching Skip state.
//!
//! Only Start looks for a count. The rest of a message over the limit passes through a Skip state. It is therefore
//! never taken for a message, and the next message is complete.
//!
//! # The end of the stream
//!
//! Text without its delimiter is complete. A counted message that lacks bytes is truncated. A count without any byte of
//! its message is treated as text, so that it is visible; it is truncated if the peer is known to send counts.
//!
//! # Limits
//!
//! - After a wrong count, the following bytes are text up to the next LF. A peer that sends wrong counts and never
//!   sends LF loses everything from the first message over the limit on: looking for counts within text would invent
//!   messages.
//! - In auto framing, NUL does not end a message, because messages may contain NUL. Peers that end messages with NUL
//!   alone need [`Framing::Nul`].
//! - In auto framing, a line of text that begins with a number, SP and `<` is taken for a counted message. On a
//!   connection that has already sent a count, a number and SP are enough.

use std::mem;

mod delimiter;
mod octet;
pub mod relp;
#[cfg(test)]
mod tests;

use octet::Header;

/// One message from the transport, without its length prefix or delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Bytes of the message, at most as many as the limit allows.
    pub bytes: &'b [u8],
    /// True if bytes are missing at the end: the message was over the limit, or the stream ended within it.
    pub truncated: bool,
}

impl<'b> Frame<'b> {
    /// Returns a datagram as one message (RFC 5426, section 3.1), without the line ends and NULs at its end, cut at
    /// `max` bytes.
    ///
    /// The frame is empty if the datagram contained nothing else.
    pub fn datagram(datagram: &'b [u8], max: usize) -> Self {
        Self::cut(delimiter::trim_datagram(datagram), max)
    }

    /// Returns the data of a RELP frame as one message, without the line ends and NULs at its end, which the templates
    /// of senders put there. The frame is empty if the data contained nothing else.
    #[must_use]
    pub fn trimmed(self) -> Self {
        // The missing end of a truncated frame is unknown.
        if self.truncated { self } else { Self { bytes: delimiter::trim_datagram(self.bytes), ..self } }
    }

    fn cut(message: &'b [u8], max: usize) -> Self {
        match message.get(..max) {
            Some(bytes) => Self { bytes, truncated: bytes.len() < message.len() },
            None => Self { bytes: message, truncated: false },
        }
    }
}

/// Way to find the end of each message in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Decided at the start of each frame, so that one connection may mix both kinds. SP, LF, CR and NUL before a
    /// message are skipped. `MSG-LEN SP "<"` begins a counted message; after the first counted message on a connection,
    /// `MSG-LEN SP` is enough. Any other message ends with LF; one CR before the LF, and one NUL before those, are not
    /// part of the message.
    ///
    /// MSG-LEN has one to nine digits and does not begin with 0.
    #[default]
    Auto,
    /// `MSG-LEN SP MSG` (RFC 6587, section 3.4.1). SP, LF, CR and NUL before MSG-LEN are skipped. Anything that is not
    /// a count is read up to LF, as in [`Framing::Auto`], so that its text is not lost.
    OctetCounting,
    /// Each message ends with LF, or CR LF (RFC 6587, section 3.4.2). Empty lines are skipped.
    Lf,
    /// Each message ends with NUL; one LF or CR LF before that is not part of it. Empty messages are skipped.
    Nul,
}

impl Framing {
    /// Returns the framing of a whole file, judged by its beginning `start`: octet counting if a message with a count
    /// is there, and lines otherwise. Returns `None` if more bytes are needed to decide. After the end of the file
    /// (`ended`), no more bytes can follow, and the result is never `None`.
    ///
    /// A line of text may also begin with a number and PRI, as `uniq -c` writes it, and the number may be large. The
    /// counted message must therefore be within the limit, and another counted message or the end of the file must
    /// follow it.
    pub fn of_file(start: &[u8], ended: bool, max_frame_size: usize) -> Option<Self> {
        let (header, len) = match octet::read_header(start, false) {
            Header::Count { header, len } if header.saturating_add(len) <= max_frame_size => (header, len),
            Header::Undecided if !ended => return None,
            _ => return Some(Self::Lf),
        };
        let Some(behind) = start.get(header + len..) else {
            // One message that is cut off, unless the bytes contain several lines.
            return ended.then(|| if start.contains(&b'\n') { Self::Lf } else { Self::OctetCounting });
        };
        let stray = delimiter::stray_len(Self::OctetCounting, behind);
        match octet::read_header(&behind[stray..], false) {
            Header::None => Some(Self::Lf),
            Header::Undecided if !ended && start.len() <= max_frame_size => None,
            Header::Count { .. } | Header::Undecided => Some(Self::OctetCounting),
        }
    }
}

/// Result of [`Framer::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A message, never empty. The buffer may contain more messages.
    Frame {
        /// The message, borrowed from the buffer.
        frame: Frame<'b>,
        /// Number of bytes consumed at the beginning of the buffer, at least one.
        consumed: usize,
    },
    /// No message is complete: append more bytes to the buffer.
    More {
        /// Number of bytes consumed at the beginning of the buffer. None of them is part of a message still to be
        /// returned.
        consumed: usize,
    },
}

/// Finds the messages in one stream of bytes.
///
/// The frames do not depend on how the stream is cut into reads. The time is linear in the number of bytes, even if
/// they arrive one by one. A framer never allocates, and needs at most [`max_buffer`](Self::max_buffer) bytes of buffer
/// to make progress.
#[derive(Clone, Debug)]
pub struct Framer {
    framing: Framing,
    max_frame_size: usize,
    /// True if the peer is known to send counts.
    counting: bool,
    state: FramerState,
}

/// Position in the stream at which the buffer begins.
#[derive(Clone, Copy, Debug)]
enum FramerState {
    /// Before a message.
    Start,
    /// At the first of the `len > 0` bytes of a counted message.
    Counted { len: usize },
    /// At the beginning of a delimited message, whose first `searched` bytes contain no delimiter.
    Text { searched: usize },
    /// Inside a counted message that was already returned; the next `left > 0` bytes are part of it.
    SkipCounted { left: usize },
    /// Inside a delimited message that was already returned.
    SkipText,
}

/// Result of one state. The number is that of the bytes it consumed.
enum Advance<'b> {
    Frame(Frame<'b>, usize),
    /// The state changed.
    Next(usize),
    More(usize),
}

impl Framer {
    /// Returns a framer for a new stream. Frames are cut at `max_frame_size` bytes, at least 1, which exclude the count
    /// and the line end.
    pub fn new(framing: Framing, max_frame_size: usize) -> Self {
        let max_frame_size = max_frame_size.max(1);
        Self { framing, max_frame_size, counting: framing == Framing::OctetCounting, state: FramerState::Start }
    }

    /// Returns the number of bytes that the caller's buffer must be able to hold. With a full buffer of this size,
    /// [`next`](Self::next) always consumes some.
    pub fn max_buffer(&self) -> usize {
        self.max_frame_size.saturating_add(delimiter::LINE_END_MAX).max(octet::HEADER_MAX)
    }

    /// Looks for the next message in `buf`, which must begin where the `consumed` of the last call ended.
    ///
    /// [`Step::More`] means that more bytes are needed: call `next` again after a read, or [`finish`](Self::finish) at
    /// the end of the stream.
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Step<'b> {
        let mut at = 0;
        loop {
            let rest = &buf[at..];
            let turn = match self.state {
                FramerState::Start => self.start(rest),
                FramerState::Counted { len } => self.counted(rest, len),
                FramerState::Text { searched } => self.text(rest, searched),
                FramerState::SkipCounted { left } => self.skip_counted(rest, left),
                FramerState::SkipText => self.skip_text(rest),
            };
            match turn {
                Advance::Frame(frame, used) => return Step::Frame { frame, consumed: at + used },
                Advance::Next(used) => at += used,
                Advance::More(used) => return Step::More { consumed: at + used },
            }
        }
    }

    /// Stops waiting for the rest of a message. `buf` must be the bytes that [`next`](Self::next) did not consume when
    /// it last asked for more; they are returned as the message, truncated. The rest of the message is skipped when it
    /// arrives. Returns `None` if no message has begun.
    pub fn cut<'b>(&mut self, buf: &'b [u8]) -> Option<Frame<'b>> {
        self.state = match self.state {
            _ if buf.is_empty() => return None,
            FramerState::Counted { len } if len > buf.len() => FramerState::SkipCounted { left: len - buf.len() },
            FramerState::Text { .. } => FramerState::SkipText,
            _ => return None,
        };
        Some(Frame { bytes: &buf[..buf.len().min(self.max_frame_size)], truncated: true })
    }

    /// Returns the message left at the end of the stream. `buf` must be the bytes that [`next`](Self::next) did not
    /// consume when it last asked for more. Resets the framer to its initial state.
    pub fn finish<'b>(&mut self, buf: &'b [u8]) -> Option<Frame<'b>> {
        let ended = mem::replace(self, Self::new(self.framing, self.max_frame_size));
        let frame = match ended.state {
            FramerState::Start => {
                let rest = &buf[delimiter::stray_len(ended.framing, buf)..];
                let cut_count = ended.counting && octet::read_header(rest, true) == Header::Undecided;
                let text = if cut_count { rest } else { delimiter::trim(ended.framing, rest) };
                let frame = Frame::cut(text, ended.max_frame_size);
                Frame { truncated: frame.truncated || cut_count, ..frame }
            }
            FramerState::Counted { len } => {
                let frame = Frame::cut(buf, len.min(ended.max_frame_size));
                Frame { truncated: frame.bytes.len() < len, ..frame }
            }
            FramerState::Text { .. } => Frame::cut(delimiter::trim(ended.framing, buf), ended.max_frame_size),
            FramerState::SkipCounted { .. } | FramerState::SkipText => return None,
        };
        (!frame.bytes.is_empty()).then_some(frame)
    }

    fn start<'b>(&mut self, buf: &'b [u8]) -> Advance<'b> {
        let text = FramerState::Text { searched: 0 };
        if matches!(self.framing, Framing::Lf | Framing::Nul) {
            self.state = text;
            return Advance::Next(0);
        }
        let stray = delimiter::stray_len(self.framing, buf);
        match octet::read_header(&buf[stray..], self.counting) {
            Header::Count { header, len } => {
                self.counting = true;
                self.state = FramerState::Counted { len };
                Advance::Next(stray + header)
            }
            Header::Undecided => Advance::More(stray),
            Header::None => {
                self.state = text;
                Advance::Next(stray)
            }
        }
    }

    fn counted<'b>(&mut self, buf: &'b [u8], len: usize) -> Advance<'b> {
        let wanted = len.min(self.max_frame_size);
        let Some(bytes) = buf.get(..wanted) else { return Advance::More(0) };
        let left = len - wanted;
        self.state = if left == 0 { FramerState::Start } else { FramerState::SkipCounted { left } };
        Advance::Frame(Frame { bytes, truncated: left > 0 }, wanted)
    }

    fn text<'b>(&mut self, buf: &'b [u8], searched: usize) -> Advance<'b> {
        // A message whose delimiter is not in this window is over the limit: `trim` only removes bytes from the part of
        // the window beyond the limit.
        let window = self.max_frame_size.saturating_add(delimiter::LINE_END_MAX);
        let seen = &buf[..buf.len().min(window)];
        let unsearched = seen.get(searched..).unwrap_or_default();
        if let Some(offset) = memchr::memchr(delimiter::byte(self.framing), unsearched) {
            self.state = FramerState::Start;
            let end = searched + offset;
            let frame = Frame::cut(delimiter::trim(self.framing, &seen[..end]), self.max_frame_size);
            return if frame.bytes.is_empty() { Advance::Next(end + 1) } else { Advance::Frame(frame, end + 1) };
        }
        if seen.len() < window {
            self.state = FramerState::Text { searched: seen.len() };
            return Advance::More(0);
        }
        self.state = FramerState::SkipText;
        Advance::Frame(Frame { bytes: &seen[..self.max_frame_size], truncated: true }, self.max_frame_size)
    }

    fn skip_counted<'b>(&mut self, buf: &'b [u8], left: usize) -> Advance<'b> {
        if buf.len() < left {
            self.state = FramerState::SkipCounted { left: left - buf.len() };
            return Advance::More(buf.len());
        }
        self.state = FramerState::Start;
        Advance::Next(left)
    }

    fn skip_text<'b>(&mut self, buf: &'b [u8]) -> Advance<'b> {
        let Some(end) = memchr::memchr(delimiter::byte(self.framing), buf) else { return Advance::More(buf.len()) };
        self.state = FramerState::Start;
        Advance::Next(end + 1)
    }
}
