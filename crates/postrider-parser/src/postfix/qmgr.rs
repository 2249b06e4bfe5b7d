//! Lines of the queue manager (`src/qmgr/qmgr_active.c`, `src/global/opened.c`).
//!
//! ```text
//! from=<SENDER>, size=N, nrcpt=N (queue active)
//! from=<SENDER>, status=expired|force-expired, returned to sender
//! skipped, still being delivered
//! removed
//! ```
//!
//! Warnings of qmgr stay warnings: they are advice, and name no message.

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use super::{address, status};
use crate::decimal;
use crate::record::{Event, Expired, QueueActive, Removed};

/// Reader of the lines of the queue manager.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new(
        "qmgr",
        &[
            ("from=<", "(queue active)"),
            ("from=<", ", status="),
            ("removed", ""),
            ("skipped, still being delivered", ""),
        ],
    )]],
    verbose: Verbose {
        shapes: &[
            ("done ", " queue scan"),
            ("start move queue ", " -> "),
            ("end move queue ", " -> "),
            ("wakeup ", " secs"),
            ("recipient limit ", ""),
            ("enabling VERP for sender ", ""),
            ("request: ", " ("),
            ("start sorted recipient list", ""),
            ("end sorted recipient list", ""),
        ],
        functions: &["qmgr"],
    },
    ..Reader::new(Of(&["qmgr", "nqmgr", "oqmgr"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || !line.has_queue_id {
        return None;
    }
    match line.text {
        "removed" => Some(Event::Removed(Removed { reason: None })),
        "skipped, still being delivered" => Some(Event::Skipped),
        text => sender(text),
    }
}

/// Reads the lines that begin with the sender. No stranger's text follows the sender, so it ends at the last bracket.
fn sender(text: &str) -> Option<Event<'_>> {
    let (from, rest) = address::split_last(text.strip_prefix("from=")?);
    match rest.strip_prefix(", status=") {
        Some(status) => expired(from, status),
        None => queue_active(from, rest),
    }
}

/// Reads an expired message. `force-expired` exists since Postfix 3.5. A word counts only if text follows it: a word at
/// the end may be cut.
fn expired<'a>(from: &'a str, status: &'a str) -> Option<Event<'a>> {
    if let Some((status, reason)) = status.split_once(", ") {
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        return (!status.is_empty()).then_some(Event::Expired(Expired { from, status: status::name(status), reason }));
    }
    let status = status::name(status);
    matches!(status, "expired" | "force_expired").then_some(Event::Expired(Expired { from, status, reason: None }))
}

/// Reads `queue active`. A number counts only if text follows it: a number at the end may be cut, and then it is wrong.
fn queue_active<'a>(from: &'a str, rest: &'a str) -> Option<Event<'a>> {
    const SIZE: &str = ", size=";
    let Some(values) = rest.strip_prefix(SIZE) else {
        // The line was cut inside the word. `, s` may also begin `, status=`.
        let cut = rest.len() > ", s".len() && SIZE.starts_with(rest);
        return cut.then_some(Event::QueueActive(QueueActive { from, size: None, nrcpt: None }));
    };
    // Before Postfix 1.1, the line has no number of recipients: `size=1234 (queue active)`.
    let (size, rest) = match values.split_once([',', ' ']) {
        Some((size, rest)) => (decimal::whole(size), rest.strip_prefix(' ').unwrap_or(rest)),
        None => (None, ""),
    };
    let nrcpt =
        rest.strip_prefix("nrcpt=").and_then(|rest| rest.split_once(' ')).and_then(|(nrcpt, _)| decimal::whole(nrcpt));
    Some(Event::QueueActive(QueueActive { from, size, nrcpt }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    fn event(text: &str) -> Option<Event<'_>> {
        read(&Line { level: None, has_queue_id: true, text })
    }

    #[test]
    fn senders() {
        let active = |from, size, nrcpt| Some(Event::QueueActive(QueueActive { from, size, nrcpt }));
        let expired = |from, status, reason| Some(Event::Expired(Expired { from, status, reason }));
        let returned = Some("returned to sender");
        #[rustfmt::skip]
        let vectors = [
            ("from=<a@example.com>, size=1234, nrcpt=2 (queue active)", active("a@example.com", Some(1234), Some(2))),
            ("from=<>, size=1, nrcpt=1 (queue active)", active("", Some(1), Some(1))),
            ("from=<root>, size=1, nrcpt=1 (queue active)", active("root", Some(1), Some(1))),
            ("from=<ü@müller.example>, size=1, nrcpt=1 (queue active)", active("ü@müller.example", Some(1), Some(1))),
            ("from=<a@example.com>, size=18446744073709551615, nrcpt=4294967295 (queue active)", active("a@example.com", Some(u64::MAX), Some(4_294_967_295))),
            ("from=<a@example.com>, size=18446744073709551616, nrcpt=4294967296 (queue active)", active("a@example.com", Some(u64::MAX), Some(4_294_967_296))),
            ("from=<a@example.com>, size=-1, nrcpt=+1 (queue active)", active("a@example.com", None, None)),
            ("from=<a@example.com>, status=expired, returned to sender", expired("a@example.com", "expired", returned)),
            ("from=<>, status=force-expired, returned to sender", expired("", "force_expired", returned)),
            ("from=<a@example.com>, status=unheard-of, gone", expired("a@example.com", "unheard-of", Some("gone"))),
            // Forged: quoted since Postfix 3.5, and not before.
            (r#"from=<"x>, size=9, nrcpt=9 (queue active)"@example.com>, size=1, nrcpt=2 (queue active)"#, active(r#""x>, size=9, nrcpt=9 (queue active)"@example.com"#, Some(1), Some(2))),
            (r#"from=<"\">, status=expired, x"@example.com>, size=1, nrcpt=2 (queue active)"#, active(r#""\">, status=expired, x"@example.com"#, Some(1), Some(2))),
            ("from=<x>, status=expired, y@example.com>, size=1, nrcpt=2 (queue active)", active("x>, status=expired, y@example.com", Some(1), Some(2))),
            ("from=<x>, size=9, nrcpt=9 (queue active)@example.com>, status=expired, returned to sender", expired("x>, size=9, nrcpt=9 (queue active)@example.com", "expired", returned)),
            ("from=<a@example.com>, size=1234 (queue active)", active("a@example.com", Some(1234), None)),
            // Munged.
            ("from=a@example.com, size=1 nrcpt=2 (queue active)", active("a@example.com", Some(1), Some(2))),
            ("from=a@example.com, size=1, nrcpt=2 (queue active)", active("a@example.com", Some(1), Some(2))),
            // Cut.
            ("from=<a@example.com>, size=1, nrcpt=2", active("a@example.com", Some(1), None)),
            ("from=<a@example.com>, size=12", active("a@example.com", None, None)),
            ("from=<a@example.com>, size=", active("a@example.com", None, None)),
            ("from=<a@example.com>, si", active("a@example.com", None, None)),
            ("from=<a@example.com>, status=expired", expired("a@example.com", "expired", None)),
            ("from=<a@example.com>, status=expired, ", expired("a@example.com", "expired", None)),
            ("from=<a@example.com>, status=exp", None),
            ("from=<a@example.com>, s", None),
            ("from=<a@example.com>", None),
            ("from=<a@exam", None),
            ("from=", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(event(text), expected, "{text}");
        }
    }

    #[test]
    fn the_rest() {
        assert_eq!(event("removed"), Some(Event::Removed(Removed { reason: None })));
        assert_eq!(event("skipped, still being delivered"), Some(Event::Skipped));
        assert_eq!(event("removed (canceled)"), None);
        assert_eq!(event(""), None);
        for (level, has_queue_id) in [(Some(Level::Warning), true), (None, false)] {
            assert_eq!(read(&Line { level, has_queue_id, text: "removed" }), None);
        }
    }
}
