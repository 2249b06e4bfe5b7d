//! The `syslog` stage: turns a frame's text into a [`Message`], for RFC 5424, RFC 3164 and the variants of both found
//! in practice.
//!
//! Reading never fails: no text is rejected. Anything that is not header is MSG, and the flags show what is missing or
//! wrong. The usual headers are read directly, and other well-formed headers by `syslog_loose`. The readers next to it
//! handle all other headers:
//!
//! ```text
//! parse -> priority -> rfc5424 --+--> direct                   usual
//!                      rfc3164 --+--> loose                    well-formed
//!                                +--> stamp, moment, tag,      anything else
//!                                     between, words,
//!                                     structured_data
//! ```
//!
//! Reading takes time linear in the length of the text: every reader moves forward once, and each part of the text is
//! read a bounded number of times.

mod between;
mod blanks;
mod container;
mod direct;
mod format;
mod loose;
mod moment;
mod nested;
mod priority;
mod repeated;
mod rfc3164;
mod rfc5424;
mod stamp;
mod structured_data;
mod tag;
#[cfg(test)]
mod tests;
mod words;

pub use container::DockerEntry;
pub use format::Format;
pub use nested::DEEPEST;
pub use priority::{Facility, Severity};

use std::cell::Cell;

use crate::decimal;
use crate::flags::Flags;
use crate::time::Timestamp;

/// Maximum number of seconds by which a sender's time may be later than the receipt; beyond it, a clock or zone must be
/// wrong. Clocks that NTP synchronises never differ that much.
const AHEAD: i64 = 300;

/// The byte order mark, U+FEFF, which RFC 5424 puts in front of a MSG in UTF-8.
const BOM: char = '\u{feff}';

/// A parsed syslog message. A part that could not be read is `None`, and `flags` says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// From `<PRI>`, or from a word in the header where there is none; `None` where it was above 191.
    pub facility: Option<Facility>,
    /// As for `facility`. The `postfix` stage may infer the severity from the level that Postfix wrote.
    pub severity: Option<Severity>,
    /// Time of the event according to the sender; `None` sets `timestamp_missing`.
    pub timestamp: Option<Timestamp>,
    /// UTC offset of the clock that gave `timestamp`.
    pub offset: Offset,
    /// The time as sent, if it denotes no moment: `Nov 31 02:10:35`, or a month in an unknown language.
    pub timestamp_text: Option<&'a str>,
    /// HOSTNAME; `None` for NILVALUE.
    pub hostname: Option<&'a str>,
    /// APP-NAME, or the name in an RFC 3164 TAG: `postfix/smtp`.
    pub app_name: Option<&'a str>,
    /// PROCID, or the text in the brackets of a TAG, as sent.
    pub procid: Option<&'a str>,
    /// MSGID; RFC 5424 only.
    pub msgid: Option<&'a str>,
    /// STRUCTURED-DATA in the order sent; RFC 5424 only.
    pub structured_data: Vec<StructuredElement<'a>>,
    /// Header that a relay or log driver put around the sender's own.
    pub via: Option<Box<Via<'a>>>,
    /// The complete MSG, without one leading BOM and without a trailing line end.
    pub msg: &'a str,
    /// Text and count in `message repeated N times: [ … ]`.
    pub repeated: Option<Repeated<'a>>,
    /// Flags for what was missing, inferred or damaged.
    pub flags: Flags,
}

/// UTC offset of a sender's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// Seconds east of UTC.
    pub seconds: i32,
    /// True if the header names the offset or a zone; otherwise the offset is that of the source's zone.
    pub is_named: bool,
}

/// `message repeated N times: [ TEXT]`, with which rsyslog and syslogd replace equal messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated<'a> {
    /// Number of repetitions of the text.
    pub count: u64,
    /// The text between the brackets.
    pub text: &'a str,
}

/// Information that a syslog relay, or the log driver of a container, put in front of the sender's own header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Via<'a> {
    /// Host of the relay or log driver.
    pub hostname: Option<&'a str>,
    /// Name that it gave itself or the container.
    pub app_name: Option<&'a str>,
    /// Time at which it received the message.
    pub timestamp: Option<Timestamp>,
}

/// One SD-ELEMENT of RFC 5424, section 6.3.
#[derive(Clone, Debug, PartialEq)]
pub struct StructuredElement<'a> {
    /// SD-ID.
    pub id: &'a str,
    /// SD-PARAMs in the order sent.
    pub params: Vec<(&'a str, std::borrow::Cow<'a, str>)>,
}

/// A moment that was read, and the UTC offset of its clock.
type Moment = (Timestamp, Offset);

/// Information besides the text that the parser needs, for the frames of one read.
#[derive(Clone, Debug)]
pub struct Context<'c> {
    received_at: Timestamp,
    zone: &'c jiff::tz::TimeZone,
    format: Format,
    /// Cache: the last RFC 3164 time that was read, and its moment.
    recent: Cell<Option<([u8; 15], Moment)>>,
    /// Cache: the last RFC 3339 time that was read, without fraction and offset, and its seconds since 1970 in UTC.
    recent_rfc3339: Cell<Option<([u8; 19], i64)>>,
}

impl<'c> Context<'c> {
    /// Returns a context for frames that were read at `received_at`, which decides the year of RFC 3164 times. Times
    /// without an offset are in `zone`.
    pub const fn new(received_at: Timestamp, zone: &'c jiff::tz::TimeZone) -> Self {
        Self { received_at, zone, format: Format::Auto, recent: Cell::new(None), recent_rfc3339: Cell::new(None) }
    }

    /// Returns the same context for frames in `format`.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Returns the format of the frames.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns the time at which the frames were read.
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// True if the time of a message is so much later than its receipt that a clock must be wrong.
    fn is_ahead(&self, timestamp: Timestamp) -> bool {
        timestamp.seconds() - self.received_at.seconds() > AHEAD
    }
}

/// Returns the moment of a text that consists only of a time, in any form that a header may have. A missing year is the
/// one that puts the moment nearest to `near`; a time without an offset is in `zone`.
pub fn moment(text: &str, near: Timestamp, zone: &jiff::tz::TimeZone) -> Option<Timestamp> {
    let (stamp, rest) = stamp::read(text)?;
    let ((moment, _), _) = stamp.resolve(&Context::new(near, zone)).filter(|_| rest.is_empty())?;
    Some(moment)
}

/// Parses a frame's text; never fails.
///
/// `text` is one message without its framing. One line end (LF, CRLF or NUL) after it, and one BOM before it, are
/// ignored. The caller has to set the flags for a text that was cut, or was not UTF-8.
pub fn parse<'a>(text: &'a str, context: &Context<'_>) -> Message<'a> {
    parse_as(text, context, context.format)
}

/// Does the same as [`parse`], for a text in `format`.
fn parse_as<'a>(text: &'a str, context: &Context<'_>, format: Format) -> Message<'a> {
    let text = strip_line_end(text);
    let start = text.strip_prefix(BOM).unwrap_or(text);
    let mut priority = None;
    let mut message = match format {
        Format::Auto | Format::Rfc5424 | Format::Rfc3164 => {
            let rest;
            (priority, rest) = words::priority(start);
            read_header(rest, priority.is_some(), format, context)
        }
        Format::Cri | Format::DockerJson | Format::Plain => {
            let line = if format == Format::Cri { container::cri(start, context) } else { None };
            line.unwrap_or_else(|| Message { msg: start, ..Message::default() })
        }
    };
    // PRI comes from the sender itself; other words count only without PRI.
    if let Some((facility, severity)) = priority {
        (message.facility, message.severity) = (Some(facility), Some(severity));
    }
    // Only one BOM is removed: if two stand before a text without header, the second one is text.
    let bom_gone = start.len() < text.len() && message.msg.len() == start.len();
    if !bom_gone {
        message.msg = message.msg.strip_prefix(BOM).unwrap_or(message.msg);
    }
    let text = match words::solaris(message.msg) {
        None => message.msg,
        Some((named, rest)) => {
            message.facility = message.facility.or(named.facility);
            message.severity = message.severity.or(named.severity);
            rest
        }
    };
    message.repeated = repeated::read(text);
    for (flag, applies) in [
        (Flags::PRI_MISSING, priority.is_none()),
        (Flags::TIMESTAMP_MISSING, message.timestamp.is_none()),
        (Flags::HOSTNAME_MISSING, message.hostname.is_none()),
        (Flags::REPEATED, message.repeated.is_some()),
        (Flags::NUMBER_OUT_OF_RANGE, message.repeated.is_some_and(|repeated| repeated.count > decimal::LARGEST)),
    ] {
        if applies {
            message.flags |= flag;
        }
    }
    message.flag_ahead(context);
    message
}

/// Reads the text after PRI, in one of the two formats, or only in the one that is configured.
#[inline]
fn read_header<'a>(text: &'a str, has_pri: bool, format: Format, context: &Context<'_>) -> Message<'a> {
    let takes = |other| format == other || format == Format::Auto;
    if takes(Format::Rfc5424)
        && let Some(message) = rfc5424::read(text, has_pri, context)
    {
        return message;
    }
    if takes(Format::Rfc3164)
        && let Some(message) = rfc3164::read(text, has_pri, context)
    {
        return message;
    }
    Message { msg: text, ..Message::default() }
}

/// Removes one line end, but no other white space: in an octet-counted frame, that is part of the message.
fn strip_line_end(text: &str) -> &str {
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\0']));
    line.unwrap_or(text)
}

/// Returns the text up to the next SP, and the text after that SP.
fn split_word(text: &str) -> (&str, &str) {
    // The remainder is a part of `text` even if it is empty, because the remainder of a text becomes MSG, which is a
    // part of the text.
    text.split_once(' ').unwrap_or_else(|| text.split_at(text.len()))
}

impl<'a> Message<'a> {
    /// Sets the flag `clock_ahead` if the time of the message is too far after its receipt.
    fn flag_ahead(&mut self, context: &Context<'_>) {
        if self.timestamp.is_some_and(|timestamp| context.is_ahead(timestamp)) {
            self.flags |= Flags::CLOCK_AHEAD;
        }
    }

    /// Returns the text that the next stage reads: the repeated text if there is one, else MSG without the message id
    /// of Solaris. White space around the text is removed, and so is anything that stands for white space at its end.
    ///
    /// rsyslog's RFC 5424 templates send the space after a TAG as the first character of MSG.
    pub fn text(&self) -> &'a str {
        let text = match self.repeated {
            Some(repeated) => repeated.text,
            None => words::solaris(self.msg).map_or(self.msg, |(_, rest)| rest),
        };
        blanks::trim(text)
    }
}
