//! postscreen's rejects (`src/postscreen/postscreen.c`, `src/postscreen/postscreen_smtpd.c`).
//!
//! ```text
//! reject: RCPT from [A]:PORT: REPLY; from=<A>, to=<A>, proto=P, helo=<H>
//! reject: CONNECT from [A]:PORT: too many connections
//! reject: connect from [A]:PORT: all screening ports busy
//! ```
//!
//! Clients of postscreen have no name, which distinguishes its lines from those of smtpd. The reply is postscreen's own
//! or its operator's.

use super::super::reader::ProgramLines;
use super::{split_client, split_stage, tail, with_codes, with_tail};
use crate::record::Verdict;

/// Lines that postscreen alone writes.
pub(super) const LINES: &[ProgramLines] = &[ProgramLines::new(
    "postscreen",
    &[("reject: CONNECT from [", ""), ("reject: RCPT from [", ""), ("reject: connect from [", "")],
)];

/// Returns the verdict in a text.
pub(super) fn read(text: &str) -> Option<Verdict<'_>> {
    let text = text.strip_prefix("reject: ")?;
    // One line has the stage in lower case; it is the same stage.
    let (stage, text) =
        text.strip_prefix("connect from ").map(|rest| ("CONNECT", rest)).or_else(|| split_stage(text))?;
    if !text.starts_with('[') {
        return None;
    }
    let (client, text) = split_client(text);
    let (text, tail) = tail::split(text, tail::SCREEN);
    let (stage, reply) = (Some(stage), with_codes(text));
    Some(with_tail(Verdict { action: "reject", by: "postscreen", stage, client, reply, ..Verdict::default() }, &tail))
}
