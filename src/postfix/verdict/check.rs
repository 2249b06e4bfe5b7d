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
//! # What a stranger can't forge
//!
//! The sender of a message writes TEXT, and may put ` from ORIGIN; from=<A>` into it. So may a recipient's local part,
//! and an OPTIONAL TEXT that repeats the header (`$1`). Three things tell the true one from the others:
//!
//! - Postfix cuts TEXT, so that the true one begins within a known length.
//! - Of two of which one begins within the tail of the other, neither is taken: one may be an address.
//! - TEXT stands before the true one: of several, the last is taken, but not if its origin stands in the text before it
//!   too, since it may then be an echo of TEXT.
//!
//! Where these do not decide, the trigger has the whole of it, and nothing is said of the client.
//!
//! # Limits
//!
//! A map whose OPTIONAL TEXT puts together parts of a header that did not follow each other there can be made to log a
//! tail. Without the name of the program, a check of smtp whose header holds a whole tail is taken for one of cleanup.

use super::super::{endpoint, reply};
use super::{Tail, split_action, tail, text_only, with_tail};
use crate::record::{Endpoint, Reply, Verdict};

/// How much of a header or line cleanup logs, in bytes.
const TEXT_LIMIT: usize = 200;
/// The same of one that a milter added, and in smtp.
const SHORT_TEXT_LIMIT: usize = 60;
/// The same of what breaks the structure.
const STRUCTURE_LIMIT: usize = 100;

/// What a check does. `warning` stands after the queue id here, and has no level.
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

/// What is checked, and what such a check is called.
const PARTS: &[(&str, &str)] = &[("header", "header_check"), ("body", "body_check"), ("content", "mime_check")];

/// The verdict of cleanup in a text.
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

/// The verdict of smtp or lmtp in a text.
pub(super) fn read_outbound(text: &str) -> Option<Verdict<'_>> {
    let (action, text) = split_action(text, ACTIONS)?;
    let (by, text) = split_part(text)?;
    let (trigger, optional) = split_optional(text, matches!(action, "replace" | "prepend"), by == "header_check");
    let trigger = Some(trigger).filter(|trigger| !trigger.is_empty());
    Some(Verdict { action, by, trigger, reply: optional.and_then(text_only), ..Verdict::default() })
}

/// What is checked, and the text of it.
fn split_part(text: &str) -> Option<(&'static str, &str)> {
    let (part, text) = text.split_once(' ')?;
    let (_, by) = PARTS.iter().find(|(name, _)| *name == part)?;
    Some((by, text))
}

/// Reads what follows the part that was checked: `TEXT from ORIGIN; …: OPTIONAL TEXT`.
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

/// A message whose structure is broken: `WHAT: TEXT from ORIGIN; …`. WHAT is one of `mime_state_error()`'s own texts; a
/// recipient that is not known yet is `unknown`.
fn structure(text: &str) -> Verdict<'_> {
    let (what, text) = text.split_once(": ").unwrap_or((text, ""));
    let verdict = Verdict { action: "reject", by: "mime_check", ..Verdict::default() };
    let verdict = of_cleanup(verdict, text, STRUCTURE_LIMIT);
    Verdict { reply: text_only(what), to: verdict.to.filter(|to| *to != "unknown"), ..verdict }
}

/// A reply without its code.
fn enhanced(text: &str) -> Option<Reply<'_>> {
    match reply::split_dsn(text) {
        Some((dsn, text)) => Some(Reply { dsn: Some(dsn), text, ..Reply::default() }),
        None => text_only(text),
    }
}

/// ` from ORIGIN;` with its tail.
struct Origin<'a> {
    /// Where it begins.
    at: usize,
    client: Option<Endpoint<'a>>,
    tail: Tail<'a>,
    optional: Option<&'a str>,
}

/// The origin that Postfix wrote into a text, if that is certain.
fn find_origin(text: &str, limit: usize) -> Option<Origin<'_>> {
    let mut last: Option<(Origin<'_>, &str)> = None;
    // Up to where the tail of an earlier one goes.
    let mut covered = 0;
    // Without the space behind it, which may be the one before the next.
    for at in memchr::memmem::find_iter(text.as_bytes(), b" from").take_while(|at| *at <= limit) {
        let Some((origin, after)) = split_origin(&text[at + " from".len()..]) else { continue };
        let Some((tail, optional)) = tail::read(after) else { continue };
        if at < covered {
            return None;
        }
        covered = optional.map_or(text.len(), |optional| text.len() - optional.len());
        let client = if origin.contains('[') { endpoint::read(origin) } else { None };
        last = Some((Origin { at, client, tail, optional }, &text[at + 1..text.len() - after.len()]));
    }
    let (found, words) = last?;
    // Without the space before it, which may be the one before OPTIONAL TEXT.
    let echo = memchr::memmem::find(&text.as_bytes()[..found.at], words.as_bytes()).is_some();
    (!echo).then_some(found)
}

/// ` NAME[ADDRESS]`, ` local` or ` unknown`, and what follows its semicolon.
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

/// Takes the optional text off the end of a check of smtp: `TEXT: OPTIONAL TEXT`.
///
/// Both may hold a colon, so that the border is certain only if it can be in one place alone: within the length to
/// which Postfix cuts TEXT, after the name of a header, and before another header if that is what the text is. There
/// must be a text, too: what is new has one, and so has what is longer than TEXT can be. Else all of it is TEXT.
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

/// Whether a text begins with the name of a header and its colon (RFC 5322, section 3.6.8).
fn begins_header(text: &str) -> bool {
    let name = text.bytes().position(|b| !b.is_ascii_graphic() || b == b':');
    name.is_some_and(|end| end > 0 && text.as_bytes()[end] == b':')
}
