//! cleanup's own lines (`src/cleanup/cleanup_message.c`, `src/cleanup/cleanup_api.c`); its checks and milters are in `verdict/`.
//!
//! ```text
//! message-id=VALUE              VALUE is the header as it came
//! resent-message-id=VALUE
//! removed (canceled|discarded)  Postfix 3.10: the client gave up, or a check or a milter discarded it
//! ```

use super::Line;
use crate::record::Event;

/// The event that a line is.
pub(super) fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || !line.has_queue_id {
        return None;
    }
    if let Some(reason) = line.text.strip_prefix("removed (") {
        return Some(Event::Removed { reason: Some(reason.strip_suffix(')').unwrap_or(reason)) });
    }
    let (resent, text) = match line.text.strip_prefix("resent-") {
        Some(rest) => (true, rest),
        None => (false, line.text),
    };
    let value = text.strip_prefix("message-id=")?;
    Some(Event::MessageId { message_id: message_id(value), resent })
}

/// The id in the value of a header: what stands in brackets after comments, or all of it where there are none.
fn message_id(value: &str) -> &str {
    let value = value.trim_matches(' ');
    let Some(id) = skip_comments(value).strip_prefix('<') else { return value };
    // The bracket that ends it is the first that a comment or nothing follows: a broken id may hold others.
    let ends = |at: &usize| matches!(id.as_bytes().get(at + 1), None | Some(b' ' | b'(' | b'\t'));
    match memchr::memchr_iter(b'>', id.as_bytes()).find(ends) {
        Some(end) => &id[..end],
        // Cut.
        None => id,
    }
}

/// What follows the comments that a value begins with; the value if one of them is not closed.
fn skip_comments(value: &str) -> &str {
    let mut depth = 0_usize;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b' ' => {}
            _ if depth > 0 => {}
            _ => return &value[at..],
        }
    }
    value
}
