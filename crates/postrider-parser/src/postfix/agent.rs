//! Lines of delivery agents other than their deliveries (`src/local`, `src/virtual`, `src/pipe`,
//! `src/global/deliver_pass.c`).
//!
//! ```text
//! passing <RECIPIENT> to transport=TRANSPORT       Postfix 3.6
//! ```
//!
//! The deliveries themselves are read before these lines. Everything else that these programs write is a warning, or
//! verbose output that `-v` adds. Verbose words that mean something only for these programs are read here.

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Event, Passing, Text};

/// Reader of the lines of delivery agents that are not deliveries.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("local", &[("passing <", "> to transport=")])]],
    verbose: Verbose {
        shapes: &[
            ("spool_uid/gid ", ""),
            ("forward delivered=", " recip="),
            ("PUSH boundary ", ""),
            ("POP boundary ", ""),
        ],
        functions: &["biff", "deliver", "delivered", "forward", "local", "mailbox", "maildir", "pipe", "virtual"],
    },
    ..Reader::new(Of(&["local", "virtual", "pipe", "error", "retry", "discard"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    match line.level {
        None if line.has_queue_id => passing(line.text),
        None => is_dump(line.text).then_some(Event::Debug(Text { text: line.text })),
        Some(_) => None,
    }
}

/// Reads a `passing` line. The transport is a name of main.cf and ends the line; the recipient before it can hold
/// anything.
fn passing(text: &str) -> Option<Event<'_>> {
    const TO: &str = "> to transport=";
    let rest = text.strip_prefix("passing <")?;
    let (to, transport) = rest.split_at(memchr::memmem::rfind(rest.as_bytes(), TO.as_bytes())?);
    let transport = &transport[TO.len()..];
    (!transport.is_empty()).then_some(Event::Passing(Passing { to, transport }))
}

/// True if a line is part of the dump of a delivery's state that `local -v` and `virtual -v` write
/// (`src/local/local_expand.c`, `deliver_attr_dump()`).
fn is_dump(text: &str) -> bool {
    const NAMES: [&str; 20] = [
        "level",
        "path",
        "fp",
        "queue_name",
        "queue_id",
        "offset",
        "sender",
        "recipient",
        "domain",
        "local",
        "user",
        "extension",
        "unmatched",
        "owner",
        "delivered",
        "relay",
        "exp_type",
        "exp_from",
        "why",
        "recipient count",
    ];
    let name = text.split_once(": ").map(|(name, _)| name);
    name.is_some_and(|name| NAMES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn passed_on() {
        let passing = |to, transport| Some(Event::Passing(Passing { to, transport }));
        #[rustfmt::skip]
        let vectors = [
            ("passing <bob@example.com> to transport=lmtp", passing("bob@example.com", "lmtp")),
            ("passing <bob> to transport=lmtp:unix:private/dovecot-lmtp", passing("bob", "lmtp:unix:private/dovecot-lmtp")),
            ("passing <ü@example.com> to transport=lmtp", passing("ü@example.com", "lmtp")),
            // Forged, quoted and not.
            (r#"passing <"x> to transport=evil"@example.com> to transport=lmtp"#, passing(r#""x> to transport=evil"@example.com"#, "lmtp")),
            ("passing <x> to transport=evil@example.com> to transport=lmtp", passing("x> to transport=evil@example.com", "lmtp")),
            // Cut.
            ("passing <bob@example.com> to transport=", None),
            ("passing <bob@example.com> to trans", None),
            ("passing <bob@exam", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: true, text }), expected, "{text}");
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None, "{text}");
            assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: true, text }), None, "{text}");
        }
    }

    #[test]
    fn dumps() {
        for text in ["level: 1", "recipient: bob@example.com", "why: ", "unmatched: +x", "recipient count: 2"] {
            assert_eq!(
                read(&Line { level: None, has_queue_id: false, text }),
                Some(Event::Debug(Text { text })),
                "{text}"
            );
        }
        for text in ["recipient", "levels: 1", "a recipient: bob@example.com", ""] {
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None, "{text}");
        }
    }
}
