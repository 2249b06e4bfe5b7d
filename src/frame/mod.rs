//! The `frame` stage: bytes to [`Frame`]s (RFC 6587; [`relp`] has another grammar). It knows neither sockets nor
//! syslog.
//!
//! A [`Framer`] holds the state of one stream; the bytes stay in the caller's buffer and are never copied:
//!
//! ```
//! use postrider::frame::{Framer, Framing, Step};
//!
//! let mut framer = Framer::new(Framing::Auto, 8192);
//! // "<14>b" is not over: its line end may still come.
//! let buffer = b"5 <13>a<14>b";
//! let Step::Frame { frame, consumed } = framer.next(buffer) else { panic!("a counted frame is there") };
//! assert_eq!(frame.bytes, b"<13>a");
//! assert_eq!(framer.next(&buffer[consumed..]), Step::More { consumed: 0 });
//! // The peer closes.
//! let last = framer.finish(&buffer[consumed..]).expect("text is left");
//! assert_eq!((last.bytes, last.truncated), (&b"<14>b"[..], false));
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
//! [`Framer::cut`] gives what there is of a message as a truncated frame, and goes to its Skip state.
//!
//! Only Start ever looks for a count. The tail of a message over the limit goes through a Skip state, so it is never
//! taken for a message, and the message after it is whole.
//!
//! # The end of the stream
//!
//! Text without its delimiter is whole. A counted message that lacks bytes is truncated. A count without any byte of
//! its message is text, so that it is seen; it is truncated if the peer is known to count.
//!
//! # Limits
//!
//! - Where a count was wrong, what follows is text up to the next LF. A peer that counts wrong and never sends LF loses
//!   everything from the first message over the limit on: reading counts from within text would invent messages.
//! - In auto framing NUL ends no message, because messages may hold NUL. Peers that end messages with NUL alone need
//!   [`Framing::Nul`].
//! - In auto framing a line of text that begins with a number, SP and `<` is taken for a counted message; on a
//!   connection that has sent a count, a number and SP are enough.

use std::mem;

mod delimiter;
mod octet;
pub mod relp;
#[cfg(test)]
mod tests;

use octet::Header;

/// One message as the transport framed it: without its length prefix or delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// The bytes, at most the limit.
    pub bytes: &'b [u8],
    /// Whether bytes are missing at its end: it was over the limit, or the stream ended inside of it.
    pub truncated: bool,
}

impl<'b> Frame<'b> {
    /// A datagram, which is one message (RFC 5426, section 3.1): all of it but the line ends and NULs at its end, cut
    /// at `max` bytes.
    ///
    /// The frame is empty if nothing else was in it.
    pub fn datagram(datagram: &'b [u8], max: usize) -> Self {
        Self::cut(delimiter::trim_datagram(datagram), max)
    }

    /// The data of a RELP frame, which is one message: all of it but the line ends and NULs at its end, which senders
    /// put there by their templates. The frame is empty if nothing else was in it.
    #[must_use]
    pub fn trimmed(self) -> Self {
        // What is missing at the end of a truncated one is not known.
        if self.truncated { self } else { Self { bytes: delimiter::trim_datagram(self.bytes), ..self } }
    }

    fn cut(message: &'b [u8], max: usize) -> Self {
        match message.get(..max) {
            Some(bytes) => Self { bytes, truncated: bytes.len() < message.len() },
            None => Self { bytes: message, truncated: false },
        }
    }
}

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Decided at each frame start, so that one connection may mix both kinds. SP, LF, CR and NUL before a message are
    /// skipped. `MSG-LEN SP "<"` begins a counted message; after the first one on a connection, `MSG-LEN SP` does. All
    /// else ends with LF; one CR before that, and one NUL before those, are not part of the message.
    ///
    /// MSG-LEN has one to nine digits and does not begin with 0.
    #[default]
    Auto,
    /// `MSG-LEN SP MSG` (RFC 6587, section 3.4.1). SP, LF, CR and NUL before MSG-LEN are skipped. What is no count is
    /// taken as in [`Framing::Auto`], up to LF, so that its text is not lost.
    OctetCounting,
    /// Each message ends with LF, or CR LF (RFC 6587, section 3.4.2). Empty lines are skipped.
    Lf,
    /// Each message ends with NUL; one LF or CR LF before that is not part of it. Empty messages are skipped.
    Nul,
}

impl Framing {
    /// How the messages of a whole file are told apart, by its beginning `start`: by counts, if a message with a count
    /// is there, and as lines otherwise. `None` if it takes more bytes to know, of which there are none once it has
    /// `ended`.
    ///
    /// A line may begin with a number and PRI too, as `uniq -c` writes it, and its number may be a large one. So the
    /// message has to be within the limit, and the next one with its count has to follow, or the end.
    pub fn of_file(start: &[u8], ended: bool, max_frame_size: usize) -> Option<Self> {
        let (header, len) = match octet::read_header(start, false) {
            Header::Count { header, len } if header.saturating_add(len) <= max_frame_size => (header, len),
            Header::Undecided if !ended => return None,
            _ => return Some(Self::Lf),
        };
        let Some(behind) = start.get(header + len..) else {
            // Cut off, unless it has several lines.
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

/// What [`Framer::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A message, never empty. There may be more in the buffer.
    Frame {
        /// The message, which lies in the buffer.
        frame: Frame<'b>,
        /// How many bytes at the begin of the buffer are done with, at least one.
        consumed: usize,
    },
    /// No message is complete: read more behind what the buffer holds.
    More {
        /// How many bytes at the begin of the buffer are done with, none of them part of a message that is still to
        /// come.
        consumed: usize,
    },
}

/// Finds the messages in one stream of bytes.
///
/// The frames are the same however the stream is cut into reads. It takes time linear in the bytes even if they come
/// one by one, never allocates, and needs no more than [`max_buffer`](Self::max_buffer) bytes to go on.
#[derive(Clone, Debug)]
pub struct Framer {
    framing: Framing,
    max_frame_size: usize,
    /// Whether the peer is known to send counts.
    counting: bool,
    state: State,
}

/// Where in the stream the buffer begins.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a message.
    Start,
    /// At the first of the `len > 0` bytes of a counted message.
    Counted { len: usize },
    /// At the begin of a delimited message; its first `searched` bytes hold no delimiter.
    Text { searched: usize },
    /// In a counted message that was given out; the next `left > 0` bytes are part of it.
    SkipCounted { left: usize },
    /// In a delimited message that was given out.
    SkipText,
}

/// What one state made of the buffer. The number is how many bytes it consumed.
enum Turn<'b> {
    Frame(Frame<'b>, usize),
    /// The state changed.
    Next(usize),
    More(usize),
}

impl Framer {
    /// A framer for a new stream, whose frames are cut at `max_frame_size` bytes, at least 1, without the count or the
    /// line end.
    pub fn new(framing: Framing, max_frame_size: usize) -> Self {
        let max_frame_size = max_frame_size.max(1);
        Self { framing, max_frame_size, counting: framing == Framing::OctetCounting, state: State::Start }
    }

    /// How many bytes the caller's buffer must be able to hold: with that many, [`next`](Self::next) always consumes
    /// some.
    pub fn max_buffer(&self) -> usize {
        self.max_frame_size.saturating_add(delimiter::LINE_END_MAX).max(octet::HEADER_MAX)
    }

    /// Looks for the next message in `buf`, which begins where the last call's `consumed` ended.
    ///
    /// [`Step::More`] says that only more bytes can help: call it again after a read, and [`finish`](Self::finish) at
    /// the end of the stream.
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Step<'b> {
        let mut at = 0;
        loop {
            let rest = &buf[at..];
            let turn = match self.state {
                State::Start => self.start(rest),
                State::Counted { len } => self.counted(rest, len),
                State::Text { searched } => self.text(rest, searched),
                State::SkipCounted { left } => self.skip_counted(rest, left),
                State::SkipText => self.skip_text(rest),
            };
            match turn {
                Turn::Frame(frame, used) => return Step::Frame { frame, consumed: at + used },
                Turn::Next(used) => at += used,
                Turn::More(used) => return Step::More { consumed: at + used },
            }
        }
    }

    /// Gives up waiting for the rest of a message: `buf` is what [`next`](Self::next) did not consume when it last
    /// asked for more, and is given as the message, truncated. The rest is skipped when it comes. `None` if no message
    /// has begun.
    pub fn cut<'b>(&mut self, buf: &'b [u8]) -> Option<Frame<'b>> {
        self.state = match self.state {
            _ if buf.is_empty() => return None,
            State::Counted { len } if len > buf.len() => State::SkipCounted { left: len - buf.len() },
            State::Text { .. } => State::SkipText,
            _ => return None,
        };
        Some(Frame { bytes: &buf[..buf.len().min(self.max_frame_size)], truncated: true })
    }

    /// What is left at the end of the stream: `buf` is what [`next`](Self::next) did not consume when it last asked for
    /// more. Afterwards the framer is as new.
    pub fn finish<'b>(&mut self, buf: &'b [u8]) -> Option<Frame<'b>> {
        let ended = mem::replace(self, Self::new(self.framing, self.max_frame_size));
        let frame = match ended.state {
            State::Start => {
                let rest = &buf[delimiter::stray_len(ended.framing, buf)..];
                let cut_count = ended.counting && octet::read_header(rest, true) == Header::Undecided;
                let text = if cut_count { rest } else { delimiter::trim(ended.framing, rest) };
                let frame = Frame::cut(text, ended.max_frame_size);
                Frame { truncated: frame.truncated || cut_count, ..frame }
            }
            State::Counted { len } => {
                let frame = Frame::cut(buf, len.min(ended.max_frame_size));
                Frame { truncated: frame.bytes.len() < len, ..frame }
            }
            State::Text { .. } => Frame::cut(delimiter::trim(ended.framing, buf), ended.max_frame_size),
            State::SkipCounted { .. } | State::SkipText => return None,
        };
        (!frame.bytes.is_empty()).then_some(frame)
    }

    fn start<'b>(&mut self, buf: &'b [u8]) -> Turn<'b> {
        let text = State::Text { searched: 0 };
        if matches!(self.framing, Framing::Lf | Framing::Nul) {
            self.state = text;
            return Turn::Next(0);
        }
        let stray = delimiter::stray_len(self.framing, buf);
        match octet::read_header(&buf[stray..], self.counting) {
            Header::Count { header, len } => {
                self.counting = true;
                self.state = State::Counted { len };
                Turn::Next(stray + header)
            }
            Header::Undecided => Turn::More(stray),
            Header::None => {
                self.state = text;
                Turn::Next(stray)
            }
        }
    }

    fn counted<'b>(&mut self, buf: &'b [u8], len: usize) -> Turn<'b> {
        let wanted = len.min(self.max_frame_size);
        let Some(bytes) = buf.get(..wanted) else { return Turn::More(0) };
        let left = len - wanted;
        self.state = if left == 0 { State::Start } else { State::SkipCounted { left } };
        Turn::Frame(Frame { bytes, truncated: left > 0 }, wanted)
    }

    fn text<'b>(&mut self, buf: &'b [u8], searched: usize) -> Turn<'b> {
        // A message whose delimiter is not in this window is over the limit: what `trim` takes off is always within the
        // bytes that the window has beyond the limit.
        let window = self.max_frame_size.saturating_add(delimiter::LINE_END_MAX);
        let seen = &buf[..buf.len().min(window)];
        let unsearched = seen.get(searched..).unwrap_or_default();
        if let Some(offset) = memchr::memchr(delimiter::byte(self.framing), unsearched) {
            self.state = State::Start;
            let end = searched + offset;
            let frame = Frame::cut(delimiter::trim(self.framing, &seen[..end]), self.max_frame_size);
            return if frame.bytes.is_empty() { Turn::Next(end + 1) } else { Turn::Frame(frame, end + 1) };
        }
        if seen.len() < window {
            self.state = State::Text { searched: seen.len() };
            return Turn::More(0);
        }
        self.state = State::SkipText;
        Turn::Frame(Frame { bytes: &seen[..self.max_frame_size], truncated: true }, self.max_frame_size)
    }

    fn skip_counted<'b>(&mut self, buf: &'b [u8], left: usize) -> Turn<'b> {
        if buf.len() < left {
            self.state = State::SkipCounted { left: left - buf.len() };
            return Turn::More(buf.len());
        }
        self.state = State::Start;
        Turn::Next(left)
    }

    fn skip_text<'b>(&mut self, buf: &'b [u8]) -> Turn<'b> {
        let Some(end) = memchr::memchr(delimiter::byte(self.framing), buf) else { return Turn::More(buf.len()) };
        self.state = State::Start;
        Turn::Next(end + 1)
    }
}
