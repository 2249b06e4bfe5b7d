//! Header and body checks.
//!
//! ```text
//! ACTION: header|body|content TEXT from ORIGIN; from=<A> to=<A> proto=P helo=<H>: OPTIONAL TEXT   cleanup, of a message
//! reject: mime-error WHAT: TEXT from ORIGIN; from=<A> to=<A>                                      cleanup, of its structure
//! milter-header-ACTION: header TEXT from CLIENT; from=<A> …: OPTIONAL TEXT                        cleanup, of a milter's header
//! ACTION: header|body TEXT: OPTIONAL TEXT                                                         smtp and lmtp
//! ```
//!
//! ORIGIN is a client, `local` or `unknown`. Sources: `cleanup_act_log()` and `cleanup_mime_error_callback()` in
//! `src/cleanup/cleanup_message.c`, `cleanup_milter_hbc_log()` in `src/cleanup/cleanup_milter.c`, `smtp_hbc_logger()`
//! in `src/smtp/smtp_proto.c`.
//!
//! # Parts that a stranger can't forge
//!
//! The sender of a message writes TEXT, and may put ` from ORIGIN; from=<A>` into it. The local part of a recipient may
//! contain the same, and so may an OPTIONAL TEXT that repeats the header (`$1`). Three rules identify the true origin:
//!
//! - Postfix cuts TEXT, so the true origin begins within a known length.
//! - If one origin begins within the tail of another, neither is taken: one may be an address.
//! - TEXT comes before the true origin, so the last of several is taken. It is not taken if the same origin is also in
//!   the text before it: it may then be an echo of TEXT.
//!
//! If these rules do not decide, the whole text is the trigger, and the verdict has no client.
//!
//! # Limits
//!
//! If the OPTIONAL TEXT of a map joins separate parts of a header, a sender can make it log a tail. Without the name of
//! the program, a check of smtp is read as one of cleanup if its header contains a complete tail.

use super::super::reader::ProgramLines;
use super::super::{endpoint, reply};
use super::{Tail, split_action, tail, text_only, with_tail};
use crate::record::{Endpoint, Reply, Verdict};

/// Lines that cleanup alone writes: the lines of smtp's own checks name no origin.
pub(super) const LINES: &[ProgramLines] = &[ProgramLines::new(
    "cleanup",
    &[
        ("reject: header ", ""),
        ("reject: body ", ""),
        ("reject: content ", ""),
        ("reject: mime-error ", ""),
        ("warning: header ", " from "),
        ("warning: body ", " from "),
        ("info: header ", " from "),
        ("info: body ", " from "),
        ("prepend: header ", " from "),
        ("prepend: body ", " from "),
        ("replace: header ", " from "),
        ("replace: body ", " from "),
        ("strip: header ", " from "),
        ("strip: body ", " from "),
        ("filter: header ", ""),
        ("filter: body ", ""),
        ("pass: header ", ""),
        ("pass: body ", ""),
        ("discard: header ", ""),
        ("discard: body ", ""),
        ("discard: content ", ""),
        ("hold: header ", ""),
        ("hold: body ", ""),
        ("hold: content ", ""),
        ("delay: header ", ""),
        ("delay: body ", ""),
        ("redirect: header ", ""),
        ("redirect: body ", ""),
        ("bcc: header ", ""),
        ("bcc: body ", ""),
    ],
)];

/// Lines that smtp alone writes.
pub(super) const OUTBOUND_LINES: &[ProgramLines] = &[ProgramLines::new(
    "smtp",
    &[
        ("warning: header ", ""),
        ("warning: body ", ""),
        ("info: header ", ""),
        ("info: body ", ""),
        ("prepend: header ", ""),
        ("prepend: body ", ""),
        ("replace: header ", ""),
        ("replace: body ", ""),
        ("strip: header ", ""),
        ("strip: body ", ""),
    ],
)];

/// Maximum length of a header or line in the log of cleanup, in bytes.
const TEXT_LIMIT: usize = 200;
/// Maximum length of a header or line that a milter added, and of any in the log of smtp.
const SHORT_TEXT_LIMIT: usize = 60;
/// Maximum length of text that breaks the structure of a message.
const STRUCTURE_LIMIT: usize = 100;

/// Actions of a check. `warning` comes after the queue id here, and is not a level.
const ACTIONS: &[(&str, &str)] = &[
    ("reject", "reject"),
    ("warning", "warn"),
    ("info", "info"),
    ("filter", "filter"),
    ("pass", "pass"),
    ("discard", "discard"),
    ("hold", "hold"),
    ("delay", "delay"),
    ("prepend", "prepend"),
    ("replace", "replace"),
    ("redirect", "redirect"),
    ("bcc", "bcc"),
    ("strip", "strip"),
];

/// Checked parts of a message, and the names of their checks.
const PARTS: &[(&str, &str)] = &[("header", "header_check"), ("body", "body_check"), ("content", "mime_check")];

/// Returns the verdict of cleanup in a text.
pub(super) fn read(text: &str) -> Option<Verdict<'_>> {
    if let Some(text) = text.strip_prefix("reject: mime-error ") {
        return Some(structure(text));
    }
    if let Some(text) = ["milter-header-", "milter-body-"].iter().find_map(|begin| text.strip_prefix(begin)) {
        let (action, text) = split_action(text, ACTIONS)?;
        let (_, text) = split_part(text)?;
        return Some(of_cleanup(Verdict { action, by: "milter", ..Verdict::default() }, text, SHORT_TEXT_LIMIT));
    }
    let (action, text) = split_action(text, ACTIONS)?;
    let (by, text) = split_part(text)?;
    Some(of_cleanup(Verdict { action, by, ..Verdict::default() }, text, TEXT_LIMIT))
}

/// Returns the verdict of smtp or lmtp in a text.
pub(super) fn read_outbound(text: &str) -> Option<Verdict<'_>> {
    let (action, text) = split_action(text, ACTIONS)?;
    let (by, text) = split_part(text)?;
    let (trigger, optional) = split_optional(text, matches!(action, "replace" | "prepend"), by == "header_check");
    let trigger = Some(trigger).filter(|trigger| !trigger.is_empty());
    Some(Verdict { action, by, trigger, reply: optional.and_then(text_only), ..Verdict::default() })
}

/// Splits off the part that was checked. Returns the name of its check, and the text after it.
fn split_part(text: &str) -> Option<(&'static str, &str)> {
    let (part, text) = text.split_once(' ')?;
    let (_, by) = PARTS.iter().find(|(name, _)| *name == part)?;
    Some((by, text))
}

/// Reads the text after the checked part: `TEXT from ORIGIN; …: OPTIONAL TEXT`.
fn of_cleanup<'a>(mut verdict: Verdict<'a>, text: &'a str, limit: usize) -> Verdict<'a> {
    let Some(found) = find_origin(text, limit) else {
        verdict.trigger = Some(text).filter(|text| !text.is_empty());
        return verdict;
    };
    verdict.client = found.client;
    verdict.trigger = Some(&text[..found.at]).filter(|trigger| !trigger.is_empty());
    verdict.reply = found.optional.and_then(if verdict.action == "reject" { enhanced } else { text_only });
    with_tail(verdict, &found.tail)
}

/// Reads the refusal of a message with a broken structure: `WHAT: TEXT from ORIGIN; …`. WHAT is one of the texts of
/// `mime_state_error()`; a recipient that is not known yet is `unknown`.
fn structure(text: &str) -> Verdict<'_> {
    let (what, text) = text.split_once(": ").unwrap_or((text, ""));
    let verdict = Verdict { action: "reject", by: "mime_check", ..Verdict::default() };
    let verdict = of_cleanup(verdict, text, STRUCTURE_LIMIT);
    Verdict { reply: text_only(what), to: verdict.to.filter(|to| *to != "unknown"), ..verdict }
}

/// Returns a reply without its reply code.
fn enhanced(text: &str) -> Option<Reply<'_>> {
    match reply::split_dsn(text) {
        Some((dsn, text)) => Some(Reply { dsn: Some(dsn), text, ..Reply::default() }),
        None => text_only(text),
    }
}

/// Origin of a message: ` from ORIGIN;`, with its tail.
struct MessageOrigin<'a> {
    /// Position of the origin.
    at: usize,
    client: Option<Endpoint<'a>>,
    tail: Tail<'a>,
    optional: Option<&'a str>,
}

/// Returns the origin that Postfix wrote into a text, if it is certain.
fn find_origin(text: &str, limit: usize) -> Option<MessageOrigin<'_>> {
    let mut last: Option<(MessageOrigin<'_>, &str)> = None;
    // End of the tail of an earlier origin.
    let mut covered = 0;
    // The pattern has no space at its end: that space may be the one before the next origin.
    for at in memchr::memmem::find_iter(text.as_bytes(), b" from").take_while(|at| *at <= limit) {
        let Some((origin, after)) = split_origin(&text[at + " from".len()..]) else { continue };
        let Some((tail, optional)) = tail::read(after) else { continue };
        if at < covered {
            return None;
        }
        covered = optional.map_or(text.len(), |optional| text.len() - optional.len());
        let client = if origin.contains('[') { endpoint::read(origin) } else { None };
        last = Some((MessageOrigin { at, client, tail, optional }, &text[at + 1..text.len() - after.len()]));
    }
    let (found, words) = last?;
    // The words have no space in front: that space may be the one before OPTIONAL TEXT.
    let echo = memchr::memmem::find(&text.as_bytes()[..found.at], words.as_bytes()).is_some();
    (!echo).then_some(found)
}

/// Splits ` NAME[ADDRESS]`, ` local` or ` unknown` off a text, with the semicolon behind it.
fn split_origin(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix(' ')?;
    let end = text.bytes().position(|b| matches!(b, b';' | b' '))?;
    let (origin, rest) = (&text[..end], text[end..].strip_prefix(';')?);
    let client = || {
        let (name, address) = origin.split_once('[')?;
        let (_, port) = address.split_once(']')?;
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        (named && endpoint::skip_port(port).is_empty()).then_some(())
    };
    (matches!(origin, "local" | "unknown") || client().is_some()).then_some((origin, rest))
}

/// Splits the optional text off the end of a check of smtp: `TEXT: OPTIONAL TEXT`.
///
/// Both may contain a colon. The border is certain only if exactly one position is possible. A position is possible
/// within the length to which Postfix cuts TEXT, and after the name of a header. If the new text is a header, another
/// header must follow it. An optional text must also exist: a new line or header has one, and so has anything longer
/// than TEXT can be. Otherwise all of it is TEXT.
fn split_optional(text: &str, is_new: bool, is_header: bool) -> (&str, Option<&str>) {
    if !is_new && text.len() <= SHORT_TEXT_LIMIT {
        return (text, None);
    }
    let name = if is_header { memchr::memchr(b':', text.as_bytes()).map_or(0, |at| at + 1) } else { 0 };
    let fits = |at: &usize| !(is_new && is_header) || begins_header(&text[at + 2..]);
    let mut borders = memchr::memmem::find_iter(&text.as_bytes()[name..], b": ")
        .map(|at| name + at)
        .take_while(|at| *at <= SHORT_TEXT_LIMIT)
        .filter(fits);
    match (borders.next(), borders.next()) {
        (Some(at), None) => (&text[..at], Some(&text[at + 2..])),
        _ => (text, None),
    }
}

/// Returns true if a text begins with the name of a header and its colon (RFC 5322, section 3.6.8).
fn begins_header(text: &str) -> bool {
    let name = text.bytes().position(|b| !b.is_ascii_graphic() || b == b':');
    name.is_some_and(|end| end > 0 && text.as_bytes()[end] == b':')
}
