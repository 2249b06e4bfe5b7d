//! Mail filters (`check_milter_reply()` in `src/smtpd/smtpd.c`, `cleanup_milter_apply()` in
//! `src/cleanup/cleanup_milter.c`).
//!
//! ```text
//! milter-reject: STAGE from CLIENT: REPLY; from=<A> to=<A> proto=P helo=<H> sasl_username=<U>      smtpd
//! milter-reject: STAGE from CLIENT: D.D.D TEXT; from=<A> to=<A> proto=P helo=<H>                   cleanup
//! milter-hold: STAGE from CLIENT: TEXT; …
//! milter-header-ACTION: header TEXT from CLIENT; …                                                 see check.rs
//! ```
//!
//! cleanup omits the reply code. The text of a quarantined message is the filter's reason since Postfix 3.10, and
//! `milter triggers HOLD action` before.

use super::super::reader::ProgramLines;
use super::{split_action, split_subject, tail, text_only, with_codes, with_tail};
use crate::record::Verdict;

/// Lines that one program alone writes.
pub(super) const LINES: &[ProgramLines] = &[
    ProgramLines::new(
        "cleanup",
        &[
            ("milter-header-", ""),
            ("milter-body-", ""),
            ("milter-reject: END-OF-MESSAGE from ", ""),
            ("milter-hold: END-OF-MESSAGE from ", ""),
            ("milter-discard: END-OF-MESSAGE from ", ""),
        ],
    ),
    ProgramLines::new(
        "smtpd",
        &[("milter-reject: ", " from "), ("milter-hold: ", " from "), ("milter-discard: ", " from ")],
    ),
];

/// Actions of a filter. The flag is true if the text is a reply.
const ACTIONS: &[(&str, (&str, bool))] =
    &[("milter-reject", ("reject", true)), ("milter-hold", ("hold", false)), ("milter-discard", ("discard", false))];

/// Returns the verdict in a text.
pub(super) fn read(text: &str) -> Option<Verdict<'_>> {
    let ((action, is_reply), text) = split_action(text, ACTIONS)?;
    let subject = split_subject(text)?;
    let (text, tail) = tail::split(subject.text, tail::FILTER);
    let reply = if is_reply { with_codes(text) } else { text_only(text) };
    let (stage, client) = (Some(subject.stage), subject.client);
    Some(with_tail(Verdict { action, by: "milter", stage, client, reply, ..Verdict::default() }, &tail))
}
