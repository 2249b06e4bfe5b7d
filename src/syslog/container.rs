//! What the log drivers of containers put around a line:
//!
//! ```text
//! mail-1  | TEXT                                       Docker Compose; its colours are no text
//! [pod/mail-0/postfix] TEXT                            kubectl logs --prefix
//! 2026-11-24T02:10:35.123456789Z stdout F TEXT         Kubernetes' CRI, P for a part of a line
//! {"log":"TEXT\n","stream":"stdout","time":"2026-…"}   Docker's log files
//! ```

use serde_json::Value;

use super::{Context, Format, Message, parse_as, stamp};
use crate::byte_set::ByteSet;
use crate::flags::Flags;

/// The bytes in the name of a container.
const NAME: ByteSet = ByteSet::alphanumeric_and(b"-._");

/// How kubectl begins a prefix.
const POD: &str = "[pod/";

/// How Docker begins an entry.
const ENTRY: &str = "{\"log\":\"";

/// Docker cuts a line into entries of this size. One that is shorter and has no LF is the last of its container.
const DOCKER_PART: usize = 16 * 1024;

/// An entry of Docker's log files.
#[derive(Debug)]
pub struct DockerEntry {
    log: String,
    time: Option<String>,
}

/// The container's name that a command puts in front of a line, and the text behind it.
pub(super) fn prefix(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(POD) {
        return text[1..].split_once("] ");
    }
    let text = skip_colours(text);
    let (name, rest) = text.split_at(text.bytes().take_while(|b| NAME.has(*b)).count());
    let rest = rest.strip_prefix(' ').filter(|_| !name.is_empty())?.trim_start_matches(' ').strip_prefix('|')?;
    let rest = skip_colours(rest);
    Some((name, skip_colours(rest.strip_prefix(' ').unwrap_or(rest))))
}

/// A line of the CRI.
pub(super) fn cri<'a>(text: &'a str, context: &Context<'_>) -> Option<Message<'a>> {
    let (stamp, rest) = stamp::read(text)?;
    let message = behind_time(rest.strip_prefix(' ')?)?;
    Some(message.at(&stamp, &text[..text.len() - rest.len()], context))
}

/// What stands behind the time of a line of the CRI: the stream, tags, and the text.
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

impl DockerEntry {
    /// Reads MSG as an entry, if it is one. Where `format` doesn't say that it is, it has to begin as Docker's own do.
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

    /// The message in an entry that was MSG of `outer`.
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

/// The text without the escape sequences in front of it that set a colour.
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
            ("mail-1  | x", Some(("mail-1", "x"))),
            ("mail_1 | x", Some(("mail_1", "x"))),
            ("a.b |", Some(("a.b", ""))),
            ("\x1b[36mmail-1  | \x1b[0mx", Some(("mail-1", "x"))),
            ("\x1b[36;1mmail-1  |\x1b[0m x", Some(("mail-1", "x"))),
            ("mail-1  |  x", Some(("mail-1", " x"))),
            ("[pod/mail-0/postfix] x", Some(("pod/mail-0/postfix", "x"))),
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
            assert_eq!(prefix(text), expected, "{text:?}");
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
