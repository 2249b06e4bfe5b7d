//! Notifications of non-delivery, of delay, and of delivery if the sender asks for it (`src/bounce`).
//!
//! ```text
//! sender|postmaster non-delivery|delay notification: QUEUE-ID
//! sender delivery status notification: QUEUE-ID
//! warning: [QUEUE-ID: ]sender notification failed to ADDRESS[: WHY]
//! warning: [QUEUE-ID: ]undeliverable postmaster notification discarded, …
//! ```

use super::queue_id;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Event, Level, Notice, Notification, NotificationFailed};

/// Subject of a notification, and its kind in the record.
const KINDS: [(&str, &str); 3] =
    [("non-delivery", "non_delivery"), ("delay", "delay"), ("delivery status", "delivery_status")];

/// Beginnings of the lines about a notification that failed. All of them warn that a message is lost, or that the
/// sender of a message is not told.
const FAILED: [&str; 4] = [
    // bounce_notify_service.c and related files, Postfix 3.11
    "sender notification failed",
    "postmaster notification failed",
    // bounce_notify_service.c, bounce_one_service.c, bounce_warn_service.c
    "undeliverable postmaster notification discarded",
    "postmaster notice failed while ",
];

/// Beginnings of the lines that `bounce_trace_service.c` writes when it sends nothing.
const SKIPPED: [&str; 2] =
    ["not sending trace/success notification for ", "no trace file -- not sending a notification"];

/// Reader of the lines of bounce.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new(
        "bounce",
        &[
            ("sender ", " notification: "),
            ("postmaster ", " notification: "),
            ("sender notification failed", ""),
            ("postmaster notification failed", ""),
            ("postmaster notice failed while ", ""),
            ("undeliverable postmaster notification discarded", ""),
            ("not sending trace/success notification for ", ""),
            ("no trace file -- not sending a notification", ""),
        ],
    )]],
    verbose: Verbose { shapes: &[], functions: &["bounce"] },
    ..Reader::new(Of(&["bounce", "defer", "trace"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    let begins = |words: &[&str]| words.iter().any(|words| text.starts_with(words));
    match line.level {
        None | Some(Level::Warning) if begins(&FAILED) => {
            Some(Event::NotificationFailed(NotificationFailed { status: None, reason: Some(text) }))
        }
        None if line.has_queue_id && begins(&SKIPPED) => {
            Some(Event::Notice(Notice { kind: "notification_skipped", server: None, text }))
        }
        None if line.has_queue_id => notification(text),
        _ => None,
    }
}

fn notification(text: &str) -> Option<Event<'_>> {
    let (recipient, rest) = text.split_once(' ')?;
    if !matches!(recipient, "sender" | "postmaster") {
        return None;
    }
    let (what, id) = rest.split_once(" notification: ")?;
    let (_, kind) = KINDS.iter().find(|(words, _)| *words == what)?;
    // Postfix accepts such a text as an id (`mail_queue_id_ok()`). An id that was cut can still be searched for.
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_id || queue_id::is_substitute(id)).then_some(Event::Notification(Notification {
        kind,
        recipient,
        notification_queue_id: id,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(level: Option<Level>, text: &str) -> Option<Event<'_>> {
        read(&Line { level, has_queue_id: true, text })
    }

    #[test]
    fn notifications() {
        let sent = |recipient, kind, notification_queue_id| {
            Some(Event::Notification(Notification { kind, recipient, notification_queue_id }))
        };
        #[rustfmt::skip]
        let vectors = [
            ("sender non-delivery notification: 5A1B2C3D4E", sent("sender", "non_delivery", "5A1B2C3D4E")),
            ("postmaster non-delivery notification: 3Pt2mN2VXxznjll", sent("postmaster", "non_delivery", "3Pt2mN2VXxznjll")),
            ("sender delay notification: 5A1B2C3D4E", sent("sender", "delay", "5A1B2C3D4E")),
            ("postmaster delay notification: 5A1B2C3D4E", sent("postmaster", "delay", "5A1B2C3D4E")),
            ("sender delivery status notification: 5A1B2C3D4E", sent("sender", "delivery_status", "5A1B2C3D4E")),
            ("sender delay notification: 5A1", sent("sender", "delay", "5A1")),
            ("sender delay notification: ", None),
            ("sender delay notification: 5A1B2C3D4E and more", None),
            ("sender new notification: 5A1B2C3D4E", None),
            ("nobody delay notification: 5A1B2C3D4E", None),
            ("sender delay notif", None),
            ("sender", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(event(None, text), expected, "{text}");
            assert_eq!(event(Some(Level::Warning), text), None, "{text}");
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None, "{text}");
        }
    }

    #[test]
    fn failures() {
        for text in [
            "sender notification failed to alice@example.com",
            "sender notification failed to ü@example.com: queue file write error",
            "postmaster notification failed",
            "postmaster notification failed: queue file write error",
            "undeliverable postmaster notification discarded",
            "postmaster notice failed while bouncing to postmaster@example.com",
            "postmaster notice failed while warning postmaster@example.com",
        ] {
            let failed = Some(Event::NotificationFailed(NotificationFailed { status: None, reason: Some(text) }));
            assert_eq!(event(Some(Level::Warning), text), failed);
            assert_eq!(event(None, text), failed);
            assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: false, text }), failed);
            assert_eq!(event(Some(Level::Fatal), text), None);
        }
        assert_eq!(event(Some(Level::Warning), "open deferred 4FCA1803C5: No such file or directory"), None);
    }

    #[test]
    fn skipped() {
        for text in [
            "not sending trace/success notification for double-bounce message",
            "not sending trace/success notification for single-bounce message",
            "no trace file -- not sending a notification",
        ] {
            assert_eq!(
                event(None, text),
                Some(Event::Notice(Notice { kind: "notification_skipped", server: None, text }))
            );
        }
    }
}
