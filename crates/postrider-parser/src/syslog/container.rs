//! Prefixes and formats that the log drivers of containers put around a line:
//!
//! ```text
//! mail-1  | TEXT                                       Docker Compose; its colours are no text
//! mail.1.abc@node1    | TEXT                           Docker Swarm
//! [pod/mail-0/postfix] TEXT                            kubectl logs --prefix
//! 2026-11-24T02:10:35.123456789Z stdout F TEXT         Kubernetes' CRI, P for a part of a line
//! {"log":"TEXT\n","stream":"stdout","time":"2026-…"}   Docker's log files
//! ```

use serde_json::Value;

use super::stamp::{self, Stamp};
use super::{Context, Format, Message, Via, parse_as};
use crate::byte_set::ByteSet;
use crate::flags::Flags;

/// Bytes in the name of a container, including those for `@` and a node after it.
const NAME: ByteSet = ByteSet::alphanumeric_and(b"-._@");

/// Start of a prefix that kubectl writes.
const POD: &str = "[pod/";

/// Start of an entry that Docker writes.
const ENTRY: &str = "{\"log\":\"";

/// Size of the entries into which Docker cuts a line. A shorter entry without LF is the last of its container.
const DOCKER_PART: usize = 16 * 1024;

/// An entry of Docker's log files.
#[derive(Clone, Debug)]
pub struct DockerEntry {
    log: String,
    time: Option<String>,
}

/// Prefix that a command puts in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix<'a> {
    /// The container's name.
    pub(super) name: &'a str,
    /// Text after the prefix.
    pub(super) text: &'a str,
    /// True if the prefix cannot be part of a text: `a | b` may be one.
    pub(super) sure: bool,
}

/// Reads the prefix of a line.
pub(super) fn prefix(text: &str) -> Option<Prefix<'_>> {
    if text.starts_with(POD) {
        return text[1..].split_once("] ").map(|(name, text)| Prefix { name, text, sure: true });
    }
    let plain = skip_colours(text);
    let (name, rest) = plain.split_at(plain.bytes().take_while(|b| NAME.has(*b)).count());
    let behind = rest.trim_start_matches(' ');
    let spaces = rest.len() - behind.len();
    let behind = skip_colours(behind.strip_prefix('|').filter(|_| !name.is_empty() && spaces > 0)?);
    // The command pads the name to the length of the longest name, with at least two spaces.
    let sure = spaces > 1 || plain.len() < text.len();
    Some(Prefix { name, text: skip_colours(behind.strip_prefix(' ').unwrap_or(behind)), sure })
}

/// True if a program's name is that of a container, as Docker's log driver writes it: `docker/NAME`, or the short id.
pub(super) fn is_container(app_name: &str) -> bool {
    let is_id = || app_name.len() == 12 && app_name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    app_name.starts_with("docker/") || is_id()
}

/// Reads the time in front of a text if Docker or Kubernetes wrote it, which write UTC as `Z`. rsyslog writes `+00:00`.
pub(super) fn time(text: &str) -> Option<(Stamp<'_>, &str)> {
    let (stamp, rest) = stamp::read(text)?;
    text[..text.len() - rest.len()].ends_with('Z').then_some((stamp, rest))
}

/// Reads a line of the CRI.
pub(super) fn cri<'a>(text: &'a str, context: &Context<'_>) -> Option<Message<'a>> {
    let (stamp, rest) = stamp::read(text)?;
    let message = behind_time(rest.strip_prefix(' ')?)?;
    Some(message.at(&stamp, &text[..text.len() - rest.len()], context).of_driver())
}

/// Reads the text after the time of a line of the CRI: the stream, tags, and the text.
pub(super) fn behind_time(text: &str) -> Option<Message<'_>> {
    let rest = text.strip_prefix("stdout ").or_else(|| text.strip_prefix("stderr "))?;
    let (tags, text) = rest.split_once(' ').unwrap_or_else(|| rest.split_at(rest.len()));
    let flags = match tags.split(':').next() {
        Some("F") => Flags::empty(),
        // A part of a line.
        Some("P") => Flags::TRUNCATED,
        _ => return None,
    };
    Some(Message { msg: text, flags, ..Message::default() })
}

impl Message<'_> {
    /// Marks the message's time as that of a log driver.
    pub(super) fn of_driver(mut self) -> Self {
        let timestamp = self.timestamp;
        self.via = timestamp.is_some().then(|| Box::new(Via { timestamp, ..Via::default() }));
        self
    }
}

impl DockerEntry {
    /// Reads MSG as an entry, if it is one. Unless `format` is that of Docker, the entry must begin as Docker's own do.
    pub fn read(message: &Message<'_>, format: Format) -> Option<Self> {
        let wanted = match format {
            Format::DockerJson => message.msg.starts_with('{'),
            Format::Plain => false,
            Format::Auto => message.msg.starts_with(ENTRY),
            Format::Rfc5424 | Format::Rfc3164 | Format::Cri => message.msg.starts_with(ENTRY) && message.has_header(),
        };
        let Value::Object(mut fields) = serde_json::from_str(Some(message.msg).filter(|_| wanted)?).ok()? else {
            return None;
        };
        let mut text = |key| match fields.get_mut(key) {
            Some(Value::String(text)) => Some(std::mem::take(text)),
            _ => None,
        };
        Some(Self { log: text("log")?, time: text("time") })
    }

    /// Returns the message in an entry that was MSG of `outer`.
    pub fn message<'a>(&'a self, outer: &Message<'a>, context: &Context<'_>) -> Message<'a> {
        let time = self.time.as_deref().and_then(stamp::read).and_then(|(stamp, _)| stamp.resolve(context));
        let mut message = parse_as(&self.log, context, Format::Auto);
        if self.log.len() >= DOCKER_PART && !self.log.ends_with('\n') {
            message.flags |= Flags::TRUNCATED;
        }
        let (timestamp, offset) = match time {
            Some(((timestamp, offset), _)) => (Some(timestamp), offset),
            None => (outer.timestamp, outer.offset),
        };
        message.inside(Message { timestamp, offset, ..outer.clone() })
    }
}

/// Returns the text without the escape sequences for colours in front of it.
fn skip_colours(mut text: &str) -> &str {
    while let Some(rest) = text.strip_prefix("\x1b[") {
        let parameters = rest.bytes().take_while(|b| matches!(b, b' '..=b'?')).count();
        match rest.as_bytes().get(parameters) {
            Some(b'@'..=b'~') => text = &rest[parameters + 1..],
            _ => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_lines() {
        for (text, expected) in [
            ("mail-1  | x", Some(("mail-1", "x", true))),
            ("mail_1 | x", Some(("mail_1", "x", false))),
            ("a.b |", Some(("a.b", "", false))),
            ("\x1b[36mmail-1 | \x1b[0mx", Some(("mail-1", "x", true))),
            ("\x1b[36;1mmail-1  |\x1b[0m x", Some(("mail-1", "x", true))),
            ("mail-1  |  x", Some(("mail-1", " x", true))),
            ("mail.1.abc@node1    | x", Some(("mail.1.abc@node1", "x", true))),
            ("[pod/mail-0/postfix] x", Some(("pod/mail-0/postfix", "x", true))),
            ("[pod/mail-0", None),
            ("[x] x", None),
            ("", None),
            ("|", None),
            (" | x", None),
            ("mail-1| x", None),
            ("mail 1 | x", None),
            ("mail-1 x", None),
            ("\x1b[36", None),
            ("\x1b[é | x", None),
        ] {
            let read = prefix(text).map(|Prefix { name, text, sure }| (name, text, sure));
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn lines_of_the_cri() {
        for (text, expected) in [
            ("stdout F x", Some(("x", false))),
            ("stderr P x y", Some(("x y", true))),
            ("stdout F:tag  x", Some((" x", false))),
            ("stdout F", Some(("", false))),
            ("stdout", None),
            ("stdout  F x", None),
            ("stdin F x", None),
            ("stdout x y", None),
        ] {
            let read = behind_time(text).map(|message| (message.msg, message.flags.contains(Flags::TRUNCATED)));
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
