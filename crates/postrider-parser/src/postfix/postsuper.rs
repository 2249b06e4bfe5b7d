//! Actions of an administrator on the queue (`src/postsuper/postsuper.c`).
//!
//! ```text
//! QUEUE-ID: removed|requeued|placed on hold|released from hold|expired
//! Deleted|Requeued|Force-expired|Placed on hold|Released from hold|Renamed to match inode number: N message[s]
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::decimal;
use crate::record::{Event, QueueAdmin, Removed};

/// Text for one message, and its action.
const ACTIONS: [(&str, &str); 4] =
    [("requeued", "requeued"), ("placed on hold", "hold"), ("released from hold", "release"), ("expired", "expire")];

/// Beginning of a summary, and its action.
const SUMMARIES: [(&str, &str); 6] = [
    ("Deleted", "removed"),
    ("Requeued", "requeued"),
    // Postfix 3.5
    ("Force-expired", "expire"),
    ("Placed on hold", "hold"),
    ("Released from hold", "release"),
    ("Renamed to match inode number", "renamed"),
];

/// Reader of the lines of postsuper.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new(
        "postsuper",
        &[
            ("placed on hold", ""),
            ("released from hold", ""),
            ("requeued", ""),
            ("expired", ""),
            ("Deleted: ", " message"),
            ("Requeued: ", " message"),
            ("Force-expired: ", " message"),
            ("Placed on hold: ", " message"),
            ("Released from hold: ", " message"),
            ("Renamed to match inode number: ", " message"),
        ],
    )]],
    verbose: Verbose {
        shapes: &[
            ("renamed file ", " as "),
            ("removed file ", ""),
            ("remove directory ", ""),
            ("remove subdirectory ", ""),
            ("queue: ", ""),
        ],
        functions: &[],
    },
    ..Reader::new(Of(&["postsuper"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    if !line.has_queue_id {
        return summary(line.text);
    }
    if line.text == "removed" {
        return Some(Event::Removed(Removed { reason: None }));
    }
    let (_, action) = ACTIONS.iter().find(|(text, _)| *text == line.text)?;
    Some(Event::QueueAdmin(QueueAdmin { action, messages: None }))
}

fn summary(text: &str) -> Option<Event<'static>> {
    let (begin, rest) = text.split_once(": ")?;
    let (_, action) = SUMMARIES.iter().find(|(known, _)| *known == begin)?;
    let count = rest.strip_suffix(" messages").or_else(|| rest.strip_suffix(" message"))?;
    Some(Event::QueueAdmin(QueueAdmin { action, messages: Some(decimal::whole(count)?) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn messages() {
        let admin = |action| Some(Event::QueueAdmin(QueueAdmin { action, messages: None }));
        let vectors = [
            ("removed", Some(Event::Removed(Removed { reason: None }))),
            ("requeued", admin("requeued")),
            ("placed on hold", admin("hold")),
            ("released from hold", admin("release")),
            ("expired", admin("expire")),
            ("expired by", None),
            ("Deleted: 1 message", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: true, text }), expected, "{text}");
            assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: true, text }), None, "{text}");
        }
        assert_eq!(read(&Line { level: None, has_queue_id: false, text: "expired" }), None);
    }

    #[test]
    fn summaries() {
        let admin = |action, messages| Some(Event::QueueAdmin(QueueAdmin { action, messages: Some(messages) }));
        let vectors = [
            ("Deleted: 1 message", admin("removed", 1)),
            ("Deleted: 20 messages", admin("removed", 20)),
            ("Requeued: 2 messages", admin("requeued", 2)),
            ("Force-expired: 2 messages", admin("expire", 2)),
            ("Placed on hold: 2 messages", admin("hold", 2)),
            ("Released from hold: 2 messages", admin("release", 2)),
            ("Renamed to match inode number: 2 messages", admin("renamed", 2)),
            ("Deleted: many messages", None),
            ("Deleted: -1 messages", None),
            ("Deleted: 1", None),
            ("Deleted", None),
            ("Painted: 1 message", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), expected, "{text}");
        }
    }
}
