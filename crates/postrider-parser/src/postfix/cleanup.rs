//! Lines of cleanup's own (`src/cleanup/cleanup_message.c`, `src/cleanup/cleanup_api.c`). The lines of its checks and
//! milters are read in `verdict/`.
//!
//! ```text
//! message-id=VALUE              VALUE is the header as it came
//! resent-message-id=VALUE
//! removed (canceled|discarded)  Postfix 3.10: the client gave up, or a check or a milter discarded it
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Event, MessageId, Removed};

/// Reader of cleanup's own lines.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("cleanup", &[("message-id=", ""), ("resent-message-id=", ""), ("removed (", "")])]],
    verbose: Verbose {
        shapes: &[
            ("open incoming/", ""),
            ("cleanup flags = ", ""),
            ("before ", ": cleanup flags = "),
            ("after ", ": cleanup flags = "),
            ("masquerade: ", " -> "),
            ("garbage in ", " header"),
        ],
        functions: &["cleanup"],
    },
    ..Reader::new(Of(&["cleanup"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || !line.has_queue_id {
        return None;
    }
    if let Some(reason) = line.text.strip_prefix("removed (") {
        return Some(Event::Removed(Removed { reason: Some(reason.strip_suffix(')').unwrap_or(reason)) }));
    }
    let (resent, text) = match line.text.strip_prefix("resent-") {
        Some(rest) => (true, rest),
        None => (false, line.text),
    };
    let value = text.strip_prefix("message-id=")?;
    Some(Event::MessageId(MessageId { message_id: message_id(value), resent }))
}

/// Returns the id in the value of a header: the text in brackets after any comments, or the whole value if it has no
/// brackets there.
fn message_id(value: &str) -> &str {
    let value = value.trim_matches(' ');
    let Some(id) = skip_comments(value).strip_prefix('<') else { return value };
    // The id ends at the first bracket that a comment, a space, a tab or nothing follows: a broken id may hold other
    // brackets.
    let ends = |at: &usize| matches!(id.as_bytes().get(at + 1), None | Some(b' ' | b'(' | b'\t'));
    match memchr::memchr_iter(b'>', id.as_bytes()).find(ends) {
        Some(end) => &id[..end],
        // Cut.
        None => id,
    }
}

/// Returns what follows the comments that a value begins with; the whole value if one of them is not closed.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::postfix::parse;
    use crate::syslog::Message;

    fn event<'a>(app_name: &'a str, msg: &'a str) -> Event<'a> {
        let message = Message { app_name: Some(app_name), msg, ..Message::default() };
        parse(&message).expect("a tag of Postfix").event
    }

    #[test]
    fn message_ids() {
        #[rustfmt::skip]
        let vectors = [
            ("<20261124021035.4FCA1803C5@mx.example.com>", "20261124021035.4FCA1803C5@mx.example.com"),
            ("<>", ""),
            ("", ""),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
            ("<ü@bücher.example>", "ü@bücher.example"),
            // Comments.
            ("<a@example.com> (added by postmaster@example.com)", "a@example.com"),
            ("<a@example.com>(x)", "a@example.com"),
            ("(a (nested) <comment>) <a@example.com>", "a@example.com"),
            ("  <a@example.com> ", "a@example.com"),
            // None at all, or broken.
            ("a@example.com", "a@example.com"),
            ("id <a@example.com>", "id <a@example.com>"),
            ("1234", "1234"),
            ("<a>b@example.com>", "a>b@example.com"),
            ("<a b@example.com> <c@example.com>", "a b@example.com"),
            ("<a@example.com>; from=<b>", "a@example.com>; from=<b"),
            (")<a@example.com>", ")<a@example.com>"),
            ("(<a@example.com>", "(<a@example.com>"),
            ("(only a comment)", "(only a comment)"),
            // Cut.
            ("<a@example.c", "a@example.c"),
            ("<", ""),
        ];
        for (value, message_id) in vectors {
            for app_name in ["postfix/cleanup", "postfix-out/cleanup", "postfix"] {
                for (key, resent) in [("message-id", false), ("resent-message-id", true)] {
                    let line = format!("4FCA1803C5: {key}={value}");
                    assert_eq!(event(app_name, &line), Event::MessageId(MessageId { message_id, resent }), "{line}");
                }
            }
        }
    }

    #[test]
    fn removed() {
        for (text, reason) in
            [("removed (canceled)", "canceled"), ("removed (discarded)", "discarded"), ("removed (can", "can")]
        {
            for app_name in ["postfix/cleanup", "postfix"] {
                assert_eq!(
                    event(app_name, &format!("3Pt2mN2VXxzNjll: {text}")),
                    Event::Removed(Removed { reason: Some(reason) })
                );
            }
        }
    }

    #[test]
    fn not_cleanups() {
        for text in [
            "message-id=<a@x>",
            "warning: 4FCA1803C5: message-id=<a@x>",
            "4FCA1803C5: message-ids=<a@x>",
            "removed (x)",
        ] {
            assert!(!matches!(event("postfix/cleanup", text), Event::MessageId(_) | Event::Removed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_an_id(value in "[<>() a-z@é\"]{0,30}|\\PC{0,40}", id in "[!-;=?-~é]{0,30}") {
            let line = format!("4FCA1803C5: message-id={value}");
            let is_id = matches!(event("postfix/cleanup", &line), Event::MessageId(MessageId { resent: false, .. }));
            prop_assert!(is_id, "{}", line);
            let line = format!("4FCA1803C5: message-id=<{id}>");
            prop_assert_eq!(event("postfix/cleanup", &line), Event::MessageId(MessageId { message_id: &id, resent: false }));
        }
    }
}
