//! Lines of smtpd that are not verdicts: sessions, and errors in them (`src/smtpd`).
//!
//! ```text
//! connect from C                  session.rs
//! client=C, sasl_method=PLAIN     session.rs
//! C: SASL PLAIN authentication …  trouble.rs
//! discarding EHLO keywords: DSN   here: nothing in it but its text
//!
//! C = NAME[ADDR][:PORT]           each of the three may be `unknown`
//! ```
//!
//! Data from a client comes last in every line, or has a known end, and is never searched for a field.

mod session;
mod trouble;

pub(super) use session::{client_line, connect, disconnect};
pub(super) use trouble::hostname_mismatch;

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Endpoint, Event, Notice};

/// Reader of the lines of smtpd that are not verdicts.
pub(super) const READER: Reader = Reader {
    lines: &[session::LINES, trouble::LINES, LINES],
    verbose: Verbose {
        shapes: &[
            (">>> ", " <<<"),
            ("fsspace: ", "block size "),
            ("mapping DSN status ", " into "),
            ("Relaying allowed for certified client: ", ""),
        ],
        functions: &["check", "permit", "rbl", "reject", "smtpd", "xclient", "xforward"],
    },
    ..Reader::new(Of(&["smtpd"]), read)
};

/// Lines that smtpd alone writes.
const LINES: &[ProgramLines] = &[
    // smtp writes these words too, but seldom.
    ProgramLines::new("smtpd", &[("discarding EHLO keywords", ""), ("reply filter ", ": ")]),
    ProgramLines::at_first_space("smtpd", &[(": replacing command \"", "")]),
];

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    session::read(text).or_else(|| trouble::read(text)).or_else(|| notice(line))
}

/// Beginnings of lines without fields: only their kind is read (`smtpd.c`, `smtpd_check.c`, and the log callback of
/// `src/xsasl/xsasl_cyrus_log.c`).
const NOTICES: [(&str, &str); 6] = [
    ("discarding EHLO keywords: ", "ehlo_keywords_discarded"),
    ("reply filter in: ", "reply_filtered"),
    ("reply filter out: ", "reply_filtered"),
    ("mapping DSN status ", "dsn_mapped"),
    ("SASL authentication ", "sasl_library"),
    ("using backwards-compatible default setting ", "backwards_compatible_default"),
];

/// Reads one of [`NOTICES`], or `C: replacing command "x" with "y"`. A line with a level is not a notice.
fn notice<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    if line.level.is_some() {
        return None;
    }
    let known = NOTICES.iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, kind)| *kind);
    let replaced = || split_client(text).is_some_and(|(_, rest)| rest.starts_with(": replacing command "));
    let kind = known.or_else(|| replaced().then_some("command_replaced"))?;
    Some(Event::Notice(Notice { kind, server: None, text }))
}

/// Splits the client off the front of a text: `NAME[ADDR]`, with `:PORT` under `smtpd_client_port_logging`
/// (`SMTPD_BUILD_NAMADDRPORT` in `smtpd.h`). The inner `None` means that nothing is known of the client.
///
/// If the client is cut at the end of the text, only its complete parts count: half an address may be another address.
pub(super) fn split_client(text: &str) -> Option<(Option<Endpoint<'_>>, &str)> {
    let end = text.find(|c: char| !in_name(c)).unwrap_or(text.len());
    if end == text.len() {
        return Some((None, ""));
    }
    let address = text[end..].strip_prefix('[')?;
    let length = address.find(|c: char| !in_name(c)).unwrap_or(address.len());
    if length == address.len() {
        return Some((endpoint::read(&text[..end]), ""));
    }
    let rest = endpoint::skip_port(address[length..].strip_prefix(']')?);
    Some((endpoint::read(&text[..text.len() - rest.len()]), rest))
}

/// Returns true if a host name or an address may contain the character. That includes the characters of Postfix's
/// `valid_hostname()`, of IP addresses with their zones, and those that a relay writes in place of a character that it
/// rejects.
fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%' | '?' | '*') || !c.is_ascii()
}

/// Splits a text at the first `key`; returns the whole text and `None` if there is no `key`.
fn split<'a>(text: &'a str, key: &str) -> (&'a str, Option<&'a str>) {
    text.split_once(key).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Returns a text unless it is empty or the words for an unknown value.
fn known<'a>(text: &'a str, unknown: &str) -> Option<&'a str> {
    Some(text).filter(|text| !text.is_empty() && *text != unknown)
}

#[cfg(test)]
mod tests;
