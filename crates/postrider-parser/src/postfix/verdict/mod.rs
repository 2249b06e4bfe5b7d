//! Verdicts: every decision to accept a message, to refuse it or to treat it in another way.
//!
//! | file | author | form |
//! |---|---|---|
//! | `restriction.rs` | smtpd's restrictions | `reject: RCPT from C: REPLY; from=<> to=<> proto=P helo=<H>` |
//! | `milter.rs` | mail filters | `milter-reject: STAGE from C: REPLY; …` |
//! | `check.rs` | header and body checks | `warning: header TEXT from C; …: TEXT` |
//! | `proxy.rs` | a filter before the queue | `proxy-reject: STAGE: REPLY; …` |
//! | `screen.rs` | postscreen | `reject: RCPT from [A]:PORT: REPLY; from=<>, to=<>, …` |
//! | `tail.rs` | | the part after the last semicolon, which all of them share |
//!
//! A stranger writes much of such a line: the addresses, the name in HELO, the headers. The fields that a stranger
//! cannot choose cannot be forged either: the action, the deciding part, the stage, the client, the codes, and the
//! authenticated user. If two different messages could have given a line, its tail stays in the text.

mod check;
mod milter;
mod proxy;
mod restriction;
mod screen;
mod tail;
#[cfg(test)]
mod tests;

use self::tail::Tail;
use super::reader::Writers::Of;
use super::reader::{Line, Reader};
use super::{cause, endpoint, reply};
use crate::record::{Endpoint, Event, Reply, Verdict};

/// Reader of the verdicts of smtpd, cleanup and postscreen.
pub(super) const READER: Reader = Reader {
    lines: &[screen::LINES, restriction::LINES, milter::LINES, proxy::LINES, check::LINES],
    ..Reader::new(Of(&["smtpd", "cleanup", "postscreen"]), read)
};

/// Reader of the verdicts of smtp and lmtp.
pub(super) const OUTBOUND: Reader =
    Reader { lines: &[check::OUTBOUND_LINES], ..Reader::new(Of(&["smtp", "lmtp"]), read_outbound) };

/// Returns the verdict in a line of smtpd, cleanup or postscreen.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let text = line.text;
    screen::read(text)
        .or_else(|| restriction::read(text))
        .or_else(|| milter::read(text))
        .or_else(|| proxy::read(text))
        .or_else(|| check::read(text).filter(|_| line.has_queue_id))
        .map(|verdict| Event::Verdict(with_cause(verdict)))
}

/// Returns the verdict in a line of smtp or lmtp. These have header and body checks only, without a tail.
fn read_outbound<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || !line.has_queue_id {
        return None;
    }
    check::read_outbound(line.text).map(|verdict| Event::Verdict(with_cause(verdict)))
}

/// Adds the cause of a refusal to a verdict, if it is one.
fn with_cause(verdict: Verdict<'_>) -> Verdict<'_> {
    match cause::of_verdict(&verdict) {
        Some((cause, blocklist)) => Verdict { cause: Some(cause), blocklist, ..verdict },
        None => verdict,
    }
}

/// Beginning of most verdicts: `STAGE from CLIENT: TEXT`.
struct VerdictStart<'a> {
    stage: &'a str,
    client: Option<Endpoint<'a>>,
    text: &'a str,
}

/// Splits the stage and the client off a text; `None` if the text does not begin with a stage.
fn split_subject(text: &str) -> Option<VerdictStart<'_>> {
    let (stage, rest) = split_stage(text)?;
    let (client, text) = split_client(rest);
    Some(VerdictStart { stage, client, text })
}

/// Splits the stage and ` from ` off the front of a text. The stage is one of Postfix's own words.
fn split_stage(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(|first: char| first.is_ascii_uppercase() || first == '-') {
        return None;
    }
    text.split_once(" from ").filter(|(stage, _)| is_stage(stage))
}

/// Splits the client and `: ` off the front of a text. Neither its name, which is a valid host name, nor its address
/// contains a space.
fn split_client(text: &str) -> (Option<Endpoint<'_>>, &str) {
    let (client, text) = text.split_once(' ').unwrap_or((text, ""));
    let client = client.strip_suffix(':').unwrap_or(client);
    // A client that is cut has no closing bracket.
    (client.contains(']').then(|| endpoint::read(client)).flatten(), text)
}

/// Returns true if a text is a stage: `RCPT`, `END-OF-MESSAGE`, `DATA content` (`src/smtpd/smtpd.h`).
fn is_stage(text: &str) -> bool {
    let command = text.strip_suffix(" content").unwrap_or(text);
    !command.is_empty() && command.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

/// Returns a reply that has only a text; `None` if the text is empty.
fn text_only(text: &str) -> Option<Reply<'_>> {
    (!text.is_empty()).then(|| Reply { text, ..Reply::default() })
}

/// Returns a reply with its codes, if it has any; `None` if the text is empty.
fn with_codes(text: &str) -> Option<Reply<'_>> {
    (!text.is_empty()).then(|| reply::read_reply(text))
}

/// Splits a word of a table and `: ` off the front of a text. Returns the value of the word, and the text after it.
fn split_action<'a, T: Copy>(text: &'a str, actions: &[(&str, T)]) -> Option<(T, &'a str)> {
    let (word, rest) = text.split_at(memchr::memchr(b':', &text.as_bytes()[..text.len().min(32)])?);
    let action = actions.iter().find(|(name, _)| *name == word)?.1;
    Some((action, rest.strip_prefix(": ")?))
}

/// Adds the fields of a tail to a verdict.
fn with_tail<'a>(mut verdict: Verdict<'a>, tail: &Tail<'a>) -> Verdict<'a> {
    Tail { from: verdict.from, to: verdict.to, proto: verdict.proto, helo: verdict.helo, sasl: verdict.sasl } = *tail;
    verdict
}
