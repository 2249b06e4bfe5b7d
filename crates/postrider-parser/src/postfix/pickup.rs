//! Messages that local users submit (`src/pickup/pickup.c`).
//!
//! ```text
//! uid=N from=<SENDER>[ orig_id=QUEUE-ID]
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use super::{address, queue_id};
use crate::decimal;
use crate::record::{Event, Notice, Pickup};

/// Reader of the lines of pickup.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("pickup", &[("uid=", " from="), ("uid=", ": unexpected or malformed record type ")])]],
    verbose: Verbose { shapes: &[], functions: &["pickup"] },
    ..Reader::new(Of(&["pickup"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || !line.has_queue_id {
        return None;
    }
    // Some versions write this as a warning, some without a level.
    if line.text.starts_with("message has been queued for ") && line.text.ends_with(" days") {
        return Some(Event::Notice(Notice { kind: "message_old", server: None, text: line.text }));
    }
    submission(line.text)
}

fn submission(text: &str) -> Option<Event<'_>> {
    let (uid, rest) = text.strip_prefix("uid=")?.split_once(' ')?;
    // The uid is printed with a sign: one above 2^31 is negative, and the record has none.
    let digits = uid.strip_prefix('-').unwrap_or(uid);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (from, rest) = address::split_last(rest.strip_prefix("from=")?);
    let orig_queue_id = rest.strip_prefix(" orig_id=").and_then(queue_id::read).map(|id| id.text);
    Some(Event::Pickup(Pickup { uid: decimal::whole(uid), from, orig_queue_id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn submissions() {
        let pickup = |uid, from, orig_queue_id| Some(Event::Pickup(Pickup { uid, from, orig_queue_id }));
        #[rustfmt::skip]
        let vectors = [
            ("uid=0 from=<root>", pickup(Some(0), "root", None)),
            ("uid=1000 from=<>", pickup(Some(1000), "", None)),
            ("uid=33 from=<www-data@example.com> orig_id=4FCA1803C5", pickup(Some(33), "www-data@example.com", Some("4FCA1803C5"))),
            ("uid=33 from=<ü@example.com> orig_id=3Pt2mN2VXxznjll", pickup(Some(33), "ü@example.com", Some("3Pt2mN2VXxznjll"))),
            ("uid=-2 from=<nobody>", pickup(None, "nobody", None)),
            ("uid=99999999999 from=<nobody>", pickup(Some(99_999_999_999), "nobody", None)),
            // Forged.
            (r#"uid=1 from=<"a> orig_id=4FCA1803C5"@example.com>"#, pickup(Some(1), r#""a> orig_id=4FCA1803C5"@example.com"#, None)),
            ("uid=1 from=<a> orig_id=4FCA1803C5@example.com> orig_id=5A1B2C3D4E", pickup(Some(1), "a> orig_id=4FCA1803C5@example.com", Some("5A1B2C3D4E"))),
            ("uid=1 from=<a@example.com> orig_id=not an id", pickup(Some(1), "a@example.com", None)),
            // Cut and munged.
            ("uid=1 from=<a@exam", pickup(Some(1), "a@exam", None)),
            ("uid=1 from=a@example.com orig_id=5A1B2C3D4E", pickup(Some(1), "a@example.com", Some("5A1B2C3D4E"))),
            ("uid=1 from=<a@example.com> orig_id=5A1", pickup(Some(1), "a@example.com", None)),
            ("uid=1", None),
            ("uid=1 fro", None),
            ("uid= from=<a>", None),
            ("uid=- from=<a>", None),
            ("uid=+1 from=<a>", None),
            ("uid=x from=<a>", None),
            ("", None),
            ("message has been queued for 3 days", Some(Event::Notice(Notice { kind: "message_old", server: None, text: "message has been queued for 3 days" }))),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: true, text }), expected, "{text}");
        }
        for (level, has_queue_id) in [(Some(Level::Warning), true), (None, false)] {
            assert_eq!(read(&Line { level, has_queue_id, text: "uid=0 from=<root>" }), None);
        }
    }
}
