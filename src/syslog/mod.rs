//! The `syslog` stage: a frame's text to a [`Message`], for RFC 5424, RFC 3164 and what the wild makes of them.
//!
//! Reading is total: there is no text that it rejects, what is not header is MSG, and what is missing or wrong stands
//! in the flags. The usual headers are read directly; what else is well-formed goes through `syslog_loose`; the readers
//! beside it are for all the others:
//!
//! ```text
//! parse -> priority -> rfc5424 --+--> direct                   usual
//!                      rfc3164 --+--> loose                    well-formed
//!                                +--> stamp, moment, tag,      anything else
//!                                     between, words,
//!                                     structured_data
//! ```
//!
//! It takes time linear in the length of the text: every reader goes forward once, over a part that no other one
//! repeats more than a fixed number of times.

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

/// A sender whose time is so many seconds later than the receipt has a wrong clock or zone. Clocks that are kept by NTP
/// never are.
const AHEAD: i64 = 300;

/// The byte order mark, U+FEFF, which RFC 5424 puts in front of a MSG in UTF-8.
const BOM: char = '\u{feff}';

/// A syslog message taken apart. What could not be read is `None`, and `flags` says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// From `<PRI>`, or from a word in the header where there is none; `None` where it was above 191.
    pub facility: Option<Facility>,
    /// Likewise. The `postfix` stage may infer it from the level that Postfix wrote.
    pub severity: Option<Severity>,
    /// When the sender says it happened; `None` sets `timestamp_missing`.
    pub timestamp: Option<Timestamp>,
    /// The offset of the clock that it was read from.
    pub offset: Offset,
    /// The time as sent, where it names no moment: `Nov 31 02:10:35`, or a month in a language that is not known.
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
    /// The header around the sender's own.
    pub via: Option<Box<Via<'a>>>,
    /// MSG, whole, without one leading BOM and without a trailing line end.
    pub msg: &'a str,
    /// What `message repeated N times: [ … ]` repeats.
    pub repeated: Option<Repeated<'a>>,
    /// What was missing, inferred or damaged.
    pub flags: Flags,
}

/// How far a sender's clock is from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// Seconds east of UTC.
    pub seconds: i32,
    /// Whether the header says so, as an offset or as the name of a zone; otherwise it is that of the source's zone.
    pub is_named: bool,
}

/// `message repeated N times: [ TEXT]`, as rsyslog and syslogd reduce equal messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated<'a> {
    /// How often the text was repeated.
    pub count: u64,
    /// The text between the brackets.
    pub text: &'a str,
}

/// What a syslog relay, or the log driver of a container, put in front of the sender's own header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Via<'a> {
    /// Where it ran.
    pub hostname: Option<&'a str>,
    /// What it called itself, or the container.
    pub app_name: Option<&'a str>,
    /// When it had the message.
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

/// A time that was read, and the offset of its clock.
type Moment = (Timestamp, Offset);

/// What the parser must know besides the text, for the frames of one read.
#[derive(Clone, Debug)]
pub struct Context<'c> {
    received_at: Timestamp,
    zone: &'c jiff::tz::TimeZone,
    format: Format,
    /// The last RFC 3164 time that was read, and its moment.
    recent: Cell<Option<([u8; 15], Moment)>>,
    /// The same of RFC 3339, without fraction and offset, and its seconds since 1970 in UTC.
    recent_rfc3339: Cell<Option<([u8; 19], i64)>>,
}

impl<'c> Context<'c> {
    /// For frames that were read at `received_at`, which decides the year of RFC 3164 times; they are in `zone`.
    pub const fn new(received_at: Timestamp, zone: &'c jiff::tz::TimeZone) -> Self {
        Self { received_at, zone, format: Format::Auto, recent: Cell::new(None), recent_rfc3339: Cell::new(None) }
    }

    /// The same for frames that look like `format`.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// What the frames look like.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// When the frames were read.
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Whether a message says that it was sent so long after its receipt that a clock must be wrong.
    fn is_ahead(&self, timestamp: Timestamp) -> bool {
        timestamp.seconds() - self.received_at.seconds() > AHEAD
    }
}

/// The moment of a time that stands alone, in any form that a header may have: in the year that puts it nearest to
/// `near`, and if it names no offset, in `zone`.
pub fn moment(text: &str, near: Timestamp, zone: &jiff::tz::TimeZone) -> Option<Timestamp> {
    let (stamp, rest) = stamp::read(text)?;
    let ((moment, _), _) = stamp.resolve(&Context::new(near, zone)).filter(|_| rest.is_empty())?;
    Some(moment)
}

/// Takes a frame's text apart; it never fails.
///
/// `text` is one message without its framing. One line end (LF, CRLF or NUL) behind it, and one BOM before it, don't
/// count. That the text was cut, or was not UTF-8, is for the caller to flag.
pub fn parse<'a>(text: &'a str, context: &Context<'_>) -> Message<'a> {
    parse_as(text, context, context.format)
}

/// The same for a text that looks like `format`.
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
    // PRI is the sender's own word; others count where there is none.
    if let Some((facility, severity)) = priority {
        (message.facility, message.severity) = (Some(facility), Some(severity));
    }
    // Of two in front of a text without header, the second one is text.
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

/// Reads what follows PRI, in one of the two formats or in just one of them.
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

/// Takes one line end away. No other white space: in an octet-counted frame it is part of the message.
fn strip_line_end(text: &str) -> &str {
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\0']));
    line.unwrap_or(text)
}

/// The text up to the next SP, and what follows that SP.
fn split_word(text: &str) -> (&str, &str) {
    // A part of `text` even if it is empty: what is left of a text becomes MSG, which is a part of it.
    text.split_once(' ').unwrap_or_else(|| text.split_at(text.len()))
}

impl<'a> Message<'a> {
    /// Sets the flag `clock_ahead` if its time is after its receipt.
    fn flag_ahead(&mut self, context: &Context<'_>) {
        if self.timestamp.is_some_and(|timestamp| context.is_ahead(timestamp)) {
            self.flags |= Flags::CLOCK_AHEAD;
        }
    }

    /// The text that the next stage reads: the repeated text where there is one, else MSG, without the message id of
    /// Solaris, without white space around it and without what stands for white space behind it.
    ///
    /// rsyslog's RFC 5424 templates send the space behind a TAG as the first character of MSG.
    pub fn text(&self) -> &'a str {
        let text = match self.repeated {
            Some(repeated) => repeated.text,
            None => words::solaris(self.msg).map_or(self.msg, |(_, rest)| rest),
        };
        blanks::trim(text)
    }
}
