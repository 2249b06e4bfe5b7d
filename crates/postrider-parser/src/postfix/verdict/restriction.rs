//! smtpd's restrictions (`log_whatsup()` in `src/smtpd/smtpd_check.c`).
//!
//! ```text
//! ACTION: STAGE from CLIENT: TEXT; from=<A> to=<A> proto=P helo=<H> sasl_method=M sasl_username=U sasl_sender=S
//! ```
//!
//! A key is logged only if its value is known; the SASL keys since Postfix 3.10. `permit` is logged for the actions in
//! `smtpd_log_access_permit_actions`, with `action=A for CLASS=NAME` as its text.

use super::super::reader::ProgramLines;
use super::{VerdictStart, endpoint, split_action, split_subject, tail, text_only, with_codes, with_tail};
use crate::record::Verdict;

/// Lines that smtpd alone writes. Those of postscreen, cleanup and smtp about the same actions have longer beginnings.
pub(super) const LINES: &[ProgramLines] = &[ProgramLines::new(
    "smtpd",
    &[
        ("reject: ", " from "),
        ("reject_warning: ", " from "),
        ("hangup: ", " from "),
        ("info: ", " from "),
        ("warn: ", " from "),
        ("filter: ", " from "),
        ("hold: ", " from "),
        ("delay: ", " from "),
        ("discard: ", " from "),
        ("redirect: ", " from "),
        ("bcc: ", " from "),
        ("permit: ", " from "),
    ],
)];

/// Actions of a restriction. The flag is true if the text is a reply.
const ACTIONS: &[(&str, (&str, bool))] = &[
    ("reject", ("reject", true)),
    ("reject_warning", ("reject_warning", true)),
    ("hangup", ("hangup", false)),
    ("info", ("info", false)),
    ("warn", ("warn", false)),
    ("filter", ("filter", false)),
    ("hold", ("hold", false)),
    ("delay", ("delay", false)),
    ("discard", ("discard", false)),
    ("redirect", ("redirect", false)),
    ("bcc", ("bcc", false)),
    ("prepend", ("prepend", false)),
    ("permit", ("permit", false)),
];

/// Reply of smtpd when it does not understand a milter's answer. No restriction replies with this code.
const MILTER_FAILED: &str = "421 4.3.5 Server configuration error;";

/// Returns the verdict in a text.
pub(super) fn read(text: &str) -> Option<Verdict<'_>> {
    let ((action, is_reply), text) = split_action(text, ACTIONS)?;
    let Some(VerdictStart { stage, client, text }) = split_subject(text) else {
        return turn_refusal(text).filter(|_| action == "reject");
    };
    let by_milter = text.starts_with(MILTER_FAILED);
    let form = match stage {
        _ if by_milter => tail::FILTER,
        "HELO" | "EHLO" => tail::RESTRICTION_AT_HELO,
        _ => tail::RESTRICTION,
    };
    let (text, tail) = tail::split(text, form);
    let reply = if is_reply { with_codes(text) } else { text_only(text) };
    let by = if by_milter { "milter" } else { "restriction" };
    let trigger = if action == "filter" { filter(text) } else { None };
    Some(with_tail(Verdict { action, by, stage: Some(stage), client, reply, trigger, ..Verdict::default() }, &tail))
}

/// Returns the filter to which a message is sent: `<H>: Client host triggers FILTER TRANSPORT:DESTINATION`
/// (`check_table_result()`). The text before the last ` triggers FILTER ` may be the client's.
fn filter(text: &str) -> Option<&str> {
    const WORDS: &str = " triggers FILTER ";
    let at = memchr::memmem::rfind(text.as_bytes(), WORDS.as_bytes())?;
    Some(&text[at + WORDS.len()..]).filter(|destination| !destination.is_empty())
}

/// Reads `ETRN DOMAIN... from CLIENT`: smtpd does not relay to the domain (`permit_fast_flush_domains` in
/// `src/smtpd/smtpd.c`). The domain comes from the client, at most 100 bytes of it; the client is written by Postfix.
fn turn_refusal(text: &str) -> Option<Verdict<'_>> {
    let (domain, client) = text.strip_prefix("ETRN ")?.rsplit_once("... from ")?;
    // A client that is cut has no end.
    let client = endpoint::split(client).filter(|(_, rest)| rest.is_empty()).and_then(|(client, _)| client);
    let stage = Some("ETRN");
    Some(Verdict { action: "reject", by: "restriction", stage, client, trigger: Some(domain), ..Verdict::default() })
}
