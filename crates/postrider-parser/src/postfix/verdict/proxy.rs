//! Answers of a filter before the queue (`src/smtpd/smtpd.c`, `src/smtpd/smtpd_proxy.c`).
//!
//! ```text
//! proxy-accept: STAGE: REPLY; from=<A> to=<A> proto=P helo=<H> sasl_username=<U>
//! ```

use super::super::reader::ProgramLines;
use super::{is_stage, split_action, tail, with_codes, with_tail};
use crate::record::Verdict;

/// Lines that smtpd alone writes.
pub(super) const LINES: &[ProgramLines] =
    &[ProgramLines::new("smtpd", &[("proxy-accept: ", ""), ("proxy-reject: ", "")])];

const ACTIONS: &[(&str, &str)] = &[("proxy-accept", "accept"), ("proxy-reject", "reject")];

/// Returns the verdict in a text.
pub(super) fn read(text: &str) -> Option<Verdict<'_>> {
    let (action, text) = split_action(text, ACTIONS)?;
    let (stage, text) = text.split_once(':').filter(|(stage, _)| is_stage(stage))?;
    let (text, tail) = tail::split(text.strip_prefix(' ').unwrap_or(text), tail::FILTER);
    let (stage, reply) = (Some(stage), with_codes(text));
    Some(with_tail(Verdict { action, by: "proxy", stage, reply, ..Verdict::default() }, &tail))
}
