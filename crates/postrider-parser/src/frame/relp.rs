//! RELP frames (librelp's `doc/relp.md`), as a receiver reads and writes them. It knows neither sockets nor sessions.
//!
//! ```text
//! frame   = TXNR SP COMMAND SP DATALEN [SP DATA] LF
//! TXNR    = 1*9DIGIT      DATALEN = 1*9DIGIT      COMMAND = 1*32ALPHA
//! ```
//!
//! With DATALEN 0, the LF follows directly. A [`Parser`] holds the state of one connection. The bytes stay in the
//! caller's buffer, and no memory is allocated for a length that was only announced:
//!
//! ```
//! use postrider_parser::frame::relp::{Oversize, Parser, RelpStep};
//!
//! let mut parser = Parser::new(8192, Oversize::Truncate);
//! let buffer = b"2 syslog 5 <13>a\n3 sys";
//! let Ok(RelpStep::Request { request, consumed }) = parser.next(buffer) else { panic!("a whole frame is there") };
//! assert_eq!((request.txnr, request.command, request.data.bytes), (2, "syslog", &b"<13>a"[..]));
//! assert_eq!(parser.next(&buffer[consumed..]), Ok(RelpStep::More { keep: 5 }));
//! ```

use std::fmt;
use std::io::Write as _;

use super::Frame;

/// Maximum number of digits in TXNR and DATALEN.
const DIGITS_MAX: usize = 9;
/// Maximum length of COMMAND.
const COMMAND_MAX: usize = 32;
/// Maximum length of the name of an offer, and of each of its values, in bytes.
const OFFER_MAX: (usize, usize) = (32, 255);
/// Maximum length of a header, including the SP after DATALEN.
const HEADER_MAX: usize = DIGITS_MAX + 1 + COMMAND_MAX + 1 + DIGITS_MAX + 1;
/// Largest TXNR; the next one is 1.
pub const TXNR_MAX: u32 = 999_999_999;
/// Command of a message; only the data of this command may be truncated.
pub const SYSLOG: &str = "syslog";

/// Treatment of a message whose DATALEN is over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// The beginning of the message is returned as a frame, flagged as truncated; the rest is skipped.
    #[default]
    Truncate,
    /// The message is an error.
    Close,
}

/// One frame from the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// Transaction number, 0 to 999999999.
    pub txnr: u32,
    /// COMMAND: ASCII letters.
    pub command: &'b str,
    /// DATA, at most as many bytes as the limit allows.
    pub data: Frame<'b>,
}

/// Result of [`Parser::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelpStep<'b> {
    /// A complete frame. The buffer may contain more frames.
    Request {
        /// The frame, borrowed from the buffer.
        request: Request<'b>,
        /// Number of bytes consumed at the beginning of the buffer, at least one.
        consumed: usize,
    },
    /// No frame is complete: append more bytes to the buffer.
    More {
        /// Number of bytes at the beginning of the buffer that are still needed. The bytes after them belong to a
        /// message over the limit: the caller must remove them before it reads more.
        keep: usize,
    },
}

/// Reason why the bytes are not valid RELP. Nothing after them can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// TXNR or DATALEN does not begin with a digit.
    NoNumber(&'static str),
    /// TXNR or DATALEN has ten digits.
    LongNumber(&'static str),
    /// COMMAND does not begin with a letter.
    NoCommand,
    /// COMMAND has 33 letters.
    LongCommand,
    /// Another byte is in the position of a SP.
    NoSpace(&'static str),
    /// The byte after DATA, or after DATALEN 0, is not LF.
    NoTrailer,
    /// DATALEN is over the limit, in bytes.
    TooLong {
        /// DATALEN.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Finds the frames in the bytes of one connection.
///
/// The frames do not depend on how the bytes are cut into reads. A message is returned only when all of its bytes have
/// arrived, even if it is truncated: a sender does not expect a response to half a frame.
#[derive(Clone, Debug)]
pub struct Parser {
    max_data: usize,
    oversize: Oversize,
    /// Number of bytes of the first frame in the buffer that were over the limit and have been removed.
    skipped: usize,
}

/// TXNR SP COMMAND SP DATALEN, and the SP if data follows.
struct RelpHeader<'b> {
    txnr: u32,
    command: &'b str,
    len: usize,
    size: usize,
}

/// Position in a header that is being read.
struct HeaderCursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

// === impl Error ===

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber(what) => {
                write!(f, "invalid RELP frame: {what} is no number; does the sender speak RELP, and without TLS?")
            }
            Self::LongNumber(what) => write!(f, "invalid RELP frame: {what} has more than 9 digits"),
            Self::NoCommand => f.write_str("invalid RELP frame: no command behind the number"),
            Self::LongCommand => f.write_str("invalid RELP frame: a command of more than 32 letters"),
            Self::NoSpace(what) => write!(f, "invalid RELP frame: no space behind {what}"),
            Self::NoTrailer => f.write_str("invalid RELP frame: no LF where it has to end"),
            Self::TooLong { len, max } => write!(f, "{len} bytes of data are more than the limit of {max}"),
        }
    }
}

impl std::error::Error for Error {}

// === impl Parser ===

impl Parser {
    /// Returns a parser for a new connection whose frames have at most `max_data` bytes of DATA. `oversize` determines
    /// the treatment of longer messages.
    pub const fn new(max_data: usize, oversize: Oversize) -> Self {
        Self { max_data, oversize, skipped: 0 }
    }

    /// Returns the maximum number of bytes that the caller has to keep between two reads.
    pub const fn max_buffer(&self) -> usize {
        HEADER_MAX + self.max_data
    }

    /// Looks for the next frame in `buf`, which must begin where the last frame ended.
    ///
    /// After [`RelpStep::More`], more bytes are needed. After an error, the connection must be closed.
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Result<RelpStep<'b>, Error> {
        let mut cursor = HeaderCursor { bytes: buf, at: 0 };
        let Some(header) = cursor.header()? else { return Ok(RelpStep::More { keep: buf.len() }) };
        let RelpHeader { txnr, command, len, size } = header;
        let excess = len.saturating_sub(self.max_data);
        if excess > 0 && (self.oversize == Oversize::Close || command != SYSLOG) {
            return Err(Error::TooLong { len, max: self.max_data });
        }
        let kept = len - excess;
        // Position of the trailer, not counting the bytes that have been removed.
        let end = size + len - self.skipped;
        let Some(trailer) = buf.get(end) else {
            let keep = buf.len().min(size + kept);
            self.skipped += buf.len() - keep;
            return Ok(RelpStep::More { keep });
        };
        if *trailer != b'\n' {
            return Err(Error::NoTrailer);
        }
        self.skipped = 0;
        let data = Frame { bytes: &buf[size..size + kept], truncated: excess > 0 };
        Ok(RelpStep::Request { request: Request { txnr, command, data }, consumed: end + 1 })
    }
}

// === impl HeaderCursor ===

impl<'b> HeaderCursor<'b> {
    /// Reads the header; `None` if it has not arrived completely.
    fn header(&mut self) -> Result<Option<RelpHeader<'b>>, Error> {
        let Some(txnr) = self.number("the transaction number")? else { return Ok(None) };
        if !self.space("the transaction number")? {
            return Ok(None);
        }
        let Some(command) = self.command()? else { return Ok(None) };
        if !self.space("the command")? {
            return Ok(None);
        }
        let Some(len) = self.number("the data length")? else { return Ok(None) };
        if len > 0 && !self.space("the data length")? {
            return Ok(None);
        }
        Ok(Some(RelpHeader { txnr, command, len: len as usize, size: self.at }))
    }

    /// Reads a number; `None` if the byte after it has not arrived.
    fn number(&mut self, what: &'static str) -> Result<Option<u32>, Error> {
        let digits = match self.run(DIGITS_MAX, u8::is_ascii_digit) {
            Ok(Some("")) => return Err(Error::NoNumber(what)),
            Ok(Some(digits)) => digits,
            Ok(None) => return Ok(None),
            Err(()) => return Err(Error::LongNumber(what)),
        };
        // Nine digits always fit.
        Ok(digits.parse().ok())
    }

    fn command(&mut self) -> Result<Option<&'b str>, Error> {
        match self.run(COMMAND_MAX, u8::is_ascii_alphabetic) {
            Ok(Some("")) => Err(Error::NoCommand),
            Ok(command) => Ok(command),
            Err(()) => Err(Error::LongCommand),
        }
    }

    /// Reads a run of bytes that are `wanted`, which must all be ASCII. Returns `None` if the run may continue in bytes
    /// that have not arrived, and an error if the run is longer than `most`.
    fn run(&mut self, most: usize, wanted: impl Fn(&u8) -> bool) -> Result<Option<&'b str>, ()> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take(most + 1).take_while(|byte| wanted(byte)).count();
        if len > most {
            return Err(());
        }
        if len == rest.len() {
            return Ok(None);
        }
        self.at += len;
        Ok(std::str::from_utf8(&rest[..len]).ok())
    }

    /// Skips a SP; returns false if the byte has not arrived.
    fn space(&mut self, behind: &'static str) -> Result<bool, Error> {
        match self.bytes.get(self.at) {
            None => Ok(false),
            Some(b' ') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(Error::NoSpace(behind)),
        }
    }
}

/// Returns the transaction number after `txnr`.
pub const fn next_txnr(txnr: u32) -> u32 {
    if txnr >= TXNR_MAX { 1 } else { txnr + 1 }
}

/// Returns the offers in the data of `open`: names with their values, which are the text after `=`. Lines that are not
/// an offer are omitted, and so are lines over the limits of 32 bytes for the name and 255 for a value.
pub fn offers(data: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    data.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (name, values) = line.split_once('=').unwrap_or((line, ""));
        let fits = (1..=OFFER_MAX.0).contains(&name.len()) && values.split(',').all(|value| value.len() <= OFFER_MAX.1);
        fits.then_some((name, values))
    })
}

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, txnr: u32, command: &str, data: &str) {
    let space = if data.is_empty() { "" } else { " " };
    // Writing to a vector never fails.
    let _ = writeln!(out, "{txnr} {command} {}{space}{data}", data.len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u32, String, Vec<u8>, bool);

    /// Everything that a parser finds if the bytes come in reads that end at `cuts`, and the most bytes that it had
    /// kept.
    fn read(bytes: &[u8], cuts: &[usize], max: usize, oversize: Oversize) -> (Vec<Owned>, Option<Error>, usize) {
        let mut parser = Parser::new(max, oversize);
        let (mut found, mut buffer, mut most, mut start) = (Vec::new(), Vec::new(), 0, 0);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
        ends.sort_unstable();
        for end in ends {
            buffer.extend_from_slice(&bytes[start..end]);
            start = end;
            loop {
                match parser.next(&buffer) {
                    Ok(RelpStep::Request { request: Request { txnr, command, data }, consumed }) => {
                        found.push((txnr, command.to_owned(), data.bytes.to_vec(), data.truncated));
                        buffer.drain(..consumed);
                    }
                    Ok(RelpStep::More { keep }) => {
                        buffer.truncate(keep);
                        assert!(keep <= parser.max_buffer());
                        most = most.max(keep);
                        break;
                    }
                    Err(error) => return (found, Some(error), most),
                }
            }
        }
        (found, None, most)
    }

    fn error(bytes: &[u8]) -> Option<Error> {
        read(bytes, &[], 480, Oversize::Truncate).1
    }

    #[test]
    fn frames_are_read_to_their_last_byte() {
        let text =
            b"1 open 6 a=b\nc=\n2 syslog 0\n999999999 syslog 3 a\nb\n0 abcdefghijklmnopqrstuvwxyzABCDEF 0\n3 close 0";
        let (found, error, _) = read(text, &[], 480, Oversize::Truncate);
        let frame = |txnr, command: &str, data: &[u8]| (txnr, command.to_owned(), data.to_vec(), false);
        let expected = [
            frame(1, "open", b"a=b\nc="),
            frame(2, "syslog", b""),
            frame(999_999_999, "syslog", b"a\nb"),
            frame(0, "abcdefghijklmnopqrstuvwxyzABCDEF", b""),
        ];
        assert_eq!((found.as_slice(), error), (&expected[..], None), "and no frame without its LF");
    }

    #[test]
    fn what_is_no_relp_is_named() {
        let (number, length) = ("the transaction number", "the data length");
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Error::NoNumber(number)),
            (b"1234567890", Error::LongNumber(number)),
            (b"1\topen 0\n", Error::NoSpace(number)),
            (b"1 \n", Error::NoCommand),
            (b"1 1", Error::NoCommand),
            (b"1 abcdefghijklmnopqrstuvwxyzABCDEFG", Error::LongCommand),
            (b"1 open\n", Error::NoSpace("the command")),
            (b"1 open-", Error::NoSpace("the command")),
            (b"1 open x", Error::NoNumber(length)),
            (b"1 open -1 ", Error::NoNumber(length)),
            (b"1 syslog 1234567890", Error::LongNumber(length)),
            (b"1 syslog 3\nabc\n", Error::NoSpace(length)),
            (b"1 syslog 3 abcd", Error::NoTrailer),
            (b"1 syslog 3 abc\r\n", Error::NoTrailer),
            (b"1 syslog 0 ", Error::NoTrailer),
            (b"1 syslog 0\r\n", Error::NoTrailer),
            (b"1 open 481 ", Error::TooLong { len: 481, max: 480 }),
        ] {
            assert_eq!(error(bytes), Some(expected), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_message_over_the_limit_is_cut_or_an_error() {
        let text = format!("2 syslog 1000000 {}\n3 syslog 2 ok\n", "x".repeat(1_000_000));
        let reads: Vec<usize> = (0..text.len()).step_by(1000).collect();
        let (found, error, most) = read(text.as_bytes(), &reads, 480, Oversize::Truncate);
        let cut = (2, "syslog".to_owned(), vec![b'x'; 480], true);
        assert_eq!((found, error), (vec![cut, (3, "syslog".to_owned(), b"ok".to_vec(), false)], None));
        assert!(most <= 480 + HEADER_MAX, "{most}");
        let (found, error, most) = read(text.as_bytes(), &reads, 480, Oversize::Close);
        assert_eq!((found, error), (Vec::new(), Some(Error::TooLong { len: 1_000_000, max: 480 })));
        assert_eq!(most, 0, "known from the header");
    }

    #[test]
    fn offers_are_taken_apart() {
        let found: Vec<_> = offers(b"relp_version=0\ncommands=syslog,x\nalone\n=no\n\xff=1\n").collect();
        assert_eq!(found, [("relp_version", "0"), ("commands", "syslog,x"), ("alone", "")]);
        let (name, value) = ("n".repeat(32), "v".repeat(255));
        assert_eq!(offers(format!("{name}={value},{value}").as_bytes()).count(), 1);
        assert_eq!(offers(format!("n{name}={value}\n{name}=v{value}").as_bytes()).count(), 0);
    }

    #[test]
    fn numbers_wrap_and_frames_are_written() {
        assert_eq!([0, 1, 999_999_998, 999_999_999].map(next_txnr), [1, 2, 999_999_999, 1]);
        let mut out = Vec::new();
        write(&mut out, 2, "rsp", "200 OK");
        write(&mut out, 0, "serverclose", "");
        assert_eq!(out, b"2 rsp 6 200 OK\n0 serverclose 0\n");
    }

    /// Bytes that are mostly frames.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let valid = (0..=TXNR_MAX, "[a-zA-Z]{1,32}|syslog", prop::collection::vec(any::<u8>(), 0..40));
        let valid = valid.prop_map(|(txnr, command, data)| {
            let space = if data.is_empty() { "" } else { " " };
            let mut frame = format!("{txnr} {command} {}{space}", data.len()).into_bytes();
            frame.extend(data);
            frame.push(b'\n');
            frame
        });
        let almost = "[0-9]{0,3} ?[a-z]{0,3} ?[0-9]{0,2} ?[a-z]{0,9}\n?".prop_map(String::into_bytes);
        let random = prop::collection::vec(any::<u8>(), 0..60);
        prop::collection::vec(prop_oneof![8 => valid, 1 => almost, 1 => random], 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn the_cuts_between_reads_change_nothing(
            bytes in stream(),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
            max in 1_usize..50,
            close in any::<bool>(),
        ) {
            let oversize = if close { Oversize::Close } else { Oversize::Truncate };
            let (whole, error, _) = read(&bytes, &[], max, oversize);
            let (parts, parts_error, _) = read(&bytes, &cuts, max, oversize);
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(error, parts_error);
            let single: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!((whole, error), { let (a, b, _) = read(&bytes, &single, max, oversize); (a, b) });
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes, &[], 100, Oversize::Truncate);
        }
    }
}
