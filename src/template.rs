//! Text with placeholders: `{hostname}/{date}.json`, for paths, topics and keys.
//!
//! A placeholder is a [`Field`] in braces; `{{` and `}}` denote the braces themselves. A template is parsed once, when
//! the configuration is read. For each record, it is rendered into a buffer of the caller, without an allocation of its
//! own.

mod route;

pub use route::Route;

use std::fmt;
use std::path::PathBuf;

use jiff::civil::DateTime;

use crate::record::Record;
use crate::suggest;

/// A template, parsed when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Literals and fields; no two literals are adjacent, and none is empty.
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Field(Field),
}

/// Field that a placeholder names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `{hostname}`: HOSTNAME, as sent.
    Hostname,
    /// `{app_name}`: APP-NAME, or the name in the TAG: `postfix/smtp`.
    AppName,
    /// `{facility}`: `mail`.
    Facility,
    /// `{severity}`: `info`.
    Severity,
    /// `{source}`: the configured name of the source.
    Source,
    /// `{peer}`: the address of the sender without the port, or, behind a trusted PROXY header, the address in that
    /// header. For a unix socket or a followed file, its path. No sender can choose it.
    Peer,
    /// `{event}`: `delivery`; Postfix only, like all that follow to `{status}`.
    Event,
    /// `{instance}`: `postfix`, `postfix-out`.
    Instance,
    /// `{service}`: `submission`.
    Service,
    /// `{daemon}`: `smtp`, `qmgr`.
    Daemon,
    /// `{queue_id}`: as logged.
    QueueId,
    /// `{status}`: the status word of a delivery.
    Status,
    /// `{date}`: YYYY-MM-DD of `timestamp`, or of `received_at` if the message had no time, by the sender's clock: the
    /// sender chooses it.
    Date,
    /// `{hour}`: 00 to 23, of the same time.
    Hour,
    /// `{received_date}`: YYYY-MM-DD of `received_at`, in UTC. No sender can choose it.
    ReceivedDate,
    /// `{received_hour}`: 00 to 23, of the same time.
    ReceivedHour,
}

/// Error in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Offset of the first wrong byte.
    pub offset: usize,
    /// Number of wrong bytes.
    pub len: usize,
    /// Description of the error.
    pub message: String,
    /// Hint: what to write instead.
    pub help: String,
}

/// Replacement for a missing value of a record, in paths and topics.
const MISSING: &str = "unknown";
/// Replacement for every value in the text for records that cannot have one of their own.
const COMMON: &str = "others";
/// Maximum size of a value in bytes in a path or topic: file names end at 255, topics at 249.
const MOST_OF_A_VALUE: usize = 128;
/// Maximum length of a topic.
const MOST_OF_A_TOPIC: usize = 249;

// === impl Template ===

/// Writes the template as in the configuration.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                TemplatePart::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                TemplatePart::Field(field) => write!(f, "{{{}}}", field.name())?,
            }
        }
        Ok(())
    }
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at + c.len_utf8()..];
            match c {
                '{' | '}' if rest.starts_with(c) => {
                    literal.push(c);
                    at += 2;
                }
                '{' => {
                    let (field, len) = placeholder(text, at)?;
                    if !literal.is_empty() {
                        parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(TemplatePart::Field(field));
                    at += len;
                }
                '}' => {
                    return Err(TemplateError::new(at, 1, "a `}` without a `{`", "write `}}` for the character `}`"));
                }
                c => {
                    literal.push(c);
                    at += c.len_utf8();
                }
            }
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Appends the text for `record`. If the record lacks a field, or has an empty one, nothing is appended and the
    /// result is false. This is right for a key, since records without a key must not all share one.
    pub fn render(&self, record: &Record<'_>, out: &mut String) -> bool {
        let start = out.len();
        for part in &self.parts {
            let mut buffer = DateBuffer::default();
            match part {
                TemplatePart::Literal(text) => out.push_str(text),
                TemplatePart::Field(field) => match field.text(record, &mut buffer) {
                    Some(text) if !text.is_empty() => out.push_str(text),
                    _ => {
                        out.truncate(start);
                        return false;
                    }
                },
            }
        }
        true
    }

    /// Appends a path for `record`. For any field text from a sender, the value stays within one path component and is
    /// neither hidden nor `.` nor `..`: `/`, control characters and a leading `.` become `_`, and long values are cut.
    /// A missing or empty value becomes `unknown`.
    pub fn render_path(&self, record: &Record<'_>, out: &mut String) {
        self.render_with(record, out, |index, c| match c {
            '/' => '_',
            '.' if index == 0 => '_',
            c if c.is_control() => '_',
            c => c,
        });
    }

    /// Appends a topic for `record`: characters that are not allowed in a topic become `_`, long values and topics are
    /// cut, and a missing or empty value becomes `unknown`.
    pub fn render_topic(&self, record: &Record<'_>, out: &mut String) {
        let start = out.len();
        self.render_with(record, out, |_, c| if is_topic_char(c) { c } else { '_' });
        // A topic is ASCII: its literals are checked when the configuration is read.
        let end = (start + MOST_OF_A_TOPIC).min(out.len());
        if out.is_char_boundary(end) {
            out.truncate(end);
        }
        // The two names that Kafka refuses.
        if matches!(&out[start..], "." | "..") {
            out.truncate(start);
            out.push('_');
        }
    }

    /// Appends the text with each character of a value replaced; `replace` gets the index of the character within its
    /// value.
    fn render_with(&self, record: &Record<'_>, out: &mut String, replace: fn(usize, char) -> char) {
        for part in &self.parts {
            let mut buffer = DateBuffer::default();
            match part {
                TemplatePart::Literal(text) => out.push_str(text),
                TemplatePart::Field(field) => {
                    let value = field.text(record, &mut buffer).filter(|text| !text.is_empty()).unwrap_or(MISSING);
                    let end = out.len() + MOST_OF_A_VALUE;
                    for (index, c) in value.chars().enumerate() {
                        let c = replace(index, c);
                        if out.len() + c.len_utf8() > end {
                            break;
                        }
                        out.push(c);
                    }
                }
            }
        }
    }

    /// True if every record gets the same text.
    pub fn is_constant(&self) -> bool {
        self.as_constant().is_some()
    }

    /// Returns the text of all records, if it is the same for all.
    pub fn as_constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TemplatePart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the text for records that cannot have one of their own: `others` replaces every field.
    pub fn common(&self) -> String {
        self.parts().map(|part| part.unwrap_or(COMMON)).collect()
    }

    /// Returns the literals (`Ok`) and the fields (`Err`) in their order.
    pub fn parts(&self) -> impl Iterator<Item = Result<&str, Field>> + '_ {
        self.parts.iter().map(|part| match part {
            TemplatePart::Literal(text) => Ok(text.as_str()),
            TemplatePart::Field(field) => Err(*field),
        })
    }

    /// Returns the fields in the order of the template.
    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Field(field) => Some(*field),
            TemplatePart::Literal(_) => None,
        })
    }

    /// Returns the text around the fields.
    pub fn literals(&self) -> impl Iterator<Item = &str> + '_ {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Literal(text) => Some(text.as_str()),
            TemplatePart::Field(_) => None,
        })
    }

    /// True if the text of every record ends with this character.
    pub fn ends_with(&self, c: char) -> bool {
        matches!(self.parts.last(), Some(TemplatePart::Literal(text)) if text.ends_with(c))
    }

    /// Splits a path template into its directory, which is the leading components without a placeholder, and the rest.
    /// Returns `None` if no such directory is written, or if it is the root: a record must not choose a name there. A
    /// constant path without a directory is in `.`.
    pub fn split_directory(mut self) -> Option<(PathBuf, Self)> {
        let constant = self.is_constant();
        let Some(TemplatePart::Literal(leading)) = self.parts.first_mut() else { return None };
        let Some(slash) = leading.rfind('/') else {
            return constant.then(|| (PathBuf::from("."), self));
        };
        let rest = leading.split_off(slash + 1);
        let directory = std::mem::replace(leading, rest);
        if self.parts.first() == Some(&TemplatePart::Literal(String::new())) {
            self.parts.remove(0);
        }
        let trimmed = directory.trim_end_matches('/');
        match trimmed {
            "" if !constant => None,
            "" => Some((PathBuf::from("/"), self)),
            _ => Some((PathBuf::from(trimmed), self)),
        }
    }
}

/// Returns the field whose placeholder starts at `at`, and the length of the placeholder.
fn placeholder(text: &str, at: usize) -> Result<(Field, usize), TemplateError> {
    let inner = &text[at + 1..];
    let names = || Field::ALL.into_iter().map(Field::name);
    let Some(len) = inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}')) else {
        return Err(TemplateError::new(at, 1, "a `{` without a `}`", "write `{{` for the character `{`"));
    };
    let name = &inner[..len];
    let field = Field::ALL.into_iter().find(|field| field.name() == name);
    let field = field.ok_or_else(|| TemplateError {
        offset: at + 1,
        len: name.len(),
        message: format!("unknown placeholder `{{{name}}}`"),
        help: suggest::help(name, names()),
    })?;
    Ok((field, len + 2))
}

/// True if a topic may contain the character.
pub fn is_topic_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

// === impl Field ===

/// Buffer for a date.
#[derive(Default)]
struct DateBuffer([u8; 10]);

impl Field {
    /// Every field, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Hostname,
        Self::AppName,
        Self::Facility,
        Self::Severity,
        Self::Source,
        Self::Peer,
        Self::Event,
        Self::Instance,
        Self::Service,
        Self::Daemon,
        Self::QueueId,
        Self::Status,
        Self::Date,
        Self::Hour,
        Self::ReceivedDate,
        Self::ReceivedHour,
    ];

    /// The name in a placeholder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::AppName => "app_name",
            Self::Facility => "facility",
            Self::Severity => "severity",
            Self::Source => "source",
            Self::Peer => "peer",
            Self::Event => "event",
            Self::Instance => "instance",
            Self::Service => "service",
            Self::Daemon => "daemon",
            Self::QueueId => "queue_id",
            Self::Status => "status",
            Self::Date => "date",
            Self::Hour => "hour",
            Self::ReceivedDate => "received_date",
            Self::ReceivedHour => "received_hour",
        }
    }

    /// True for a date or an hour: after that time, a file with the field in its path is no longer written.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Hour | Self::ReceivedDate | Self::ReceivedHour)
    }

    /// Returns the field's value in a record.
    fn text<'r>(self, record: &'r Record<'_>, buffer: &'r mut DateBuffer) -> Option<&'r str> {
        let message = &record.message;
        let postfix = record.postfix.as_ref();
        match self {
            Self::Hostname => message.hostname,
            Self::AppName => message.app_name,
            Self::Facility => message.facility.map(crate::syslog::Facility::name),
            Self::Severity => message.severity.map(crate::syslog::Severity::name),
            Self::Source => Some(&record.origin.name),
            Self::Peer => record.peer.address.map(without_port),
            Self::Event => postfix.map(|postfix| postfix.event.name()),
            Self::Instance => postfix.map(|postfix| postfix.instance),
            Self::Service => postfix.and_then(|postfix| postfix.service),
            Self::Daemon => postfix.and_then(|postfix| postfix.daemon),
            Self::QueueId => postfix.and_then(|postfix| postfix.queue_id),
            Self::Status => postfix?.event.status(),
            Self::Date => Some(buffer.date(local(record))),
            Self::Hour => Some(buffer.hour(local(record))),
            Self::ReceivedDate => Some(buffer.date(record.received_at.civil(0))),
            Self::ReceivedHour => Some(buffer.hour(record.received_at.civil(0))),
        }
    }
}

/// Returns the time of the event according to the sender, by the sender's own clock; without such a time, the time of
/// receipt in UTC.
fn local(record: &Record<'_>) -> DateTime {
    let message = &record.message;
    message.timestamp.map_or_else(|| record.received_at.civil(0), |time| time.civil(message.offset.seconds))
}

/// Returns `192.0.2.1:51234` as `192.0.2.1`, and `[2001:db8::1]:514` as `2001:db8::1`; a path is returned unchanged.
fn without_port(address: &str) -> &str {
    if address.starts_with('/') {
        return address;
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl DateBuffer {
    fn date(&mut self, date: DateTime) -> &str {
        let year = date.year().unsigned_abs();
        self.pair(0, (year / 100) as u8);
        self.pair(2, (year % 100) as u8);
        self.0[4] = b'-';
        self.pair(5, date.month().unsigned_abs());
        self.0[7] = b'-';
        self.pair(8, date.day().unsigned_abs());
        self.text(10)
    }

    fn hour(&mut self, time: DateTime) -> &str {
        self.pair(0, time.hour().unsigned_abs());
        self.text(2)
    }

    /// Writes the two digits of a number below 100.
    fn pair(&mut self, at: usize, value: u8) {
        self.0[at] = b'0' + value / 10 % 10;
        self.0[at + 1] = b'0' + value % 10;
    }

    fn text(&self, len: usize) -> &str {
        std::str::from_utf8(&self.0[..len]).expect("digits and `-` are ASCII")
    }
}

// === impl TemplateError ===

impl TemplateError {
    fn new(offset: usize, len: usize, message: &str, help: &str) -> Self {
        Self { offset, len, message: message.to_owned(), help: help.to_owned() }
    }
}

#[cfg(test)]
mod tests;
