//! The `syslog` stage: a frame's text to a [`Message`], for RFC 5424, RFC 3164 and what the wild makes of them.

use crate::record::Flags;
use crate::time::Timestamp;

/// A syslog message taken apart. What could not be read is `None`, and `flags` says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// From `<PRI>`; `None` where there was none or it was above 191.
    pub facility: Option<Facility>,
    /// From `<PRI>`, likewise.
    pub severity: Option<Severity>,
    /// When the sender says it happened; `None` sets `timestamp_missing`.
    pub timestamp: Option<Timestamp>,
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
    /// MSG, whole, without one leading BOM and without a trailing line end.
    pub msg: &'a str,
    /// What `message repeated N times: [ … ]` repeats.
    pub repeated: Option<Repeated<'a>>,
    /// What was missing, inferred or damaged.
    pub flags: Flags,
}

/// `message repeated N times: [ TEXT]`, as rsyslog and syslogd reduce equal messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated<'a> {
    /// How often the text was repeated.
    pub count: u32,
    /// The text between the brackets.
    pub text: &'a str,
}

/// One SD-ELEMENT of RFC 5424, section 6.3.
#[derive(Clone, Debug, PartialEq)]
pub struct StructuredElement<'a> {
    /// SD-ID.
    pub id: &'a str,
    /// SD-PARAMs in the order sent.
    pub params: Vec<(&'a str, std::borrow::Cow<'a, str>)>,
}

/// The facility of a `<PRI>`, 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// The severity of a `<PRI>`, 0 (emergency) to 7 (debug).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

/// What the parser must know besides the text.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// When the frame was read: decides the year of RFC 3164 times.
    pub received_at: Timestamp,
    /// The zone of RFC 3164 times.
    pub zone: &'c jiff::tz::TimeZone,
}

impl<'a> Message<'a> {
    /// The text that the next stage reads: the repeated text where there is one, else MSG.
    pub fn text(&self) -> &'a str {
        self.repeated.map_or(self.msg, |repeated| repeated.text)
    }
}
