//! The delivery record, which every delivery agent and the queue manager write (`src/global/log_adhoc.c`).
//!
//! ```text
//! to=<RCPT>[, orig_to=<ORIG>], relay=RELAY[, conn_use=N], delay=T, delays=T/T/T/T[, tls=TLS], dsn=D.D.D, status=WORD (REASON)
//! ```
//!
//! The record is read as a list of `, key=value` pairs in any order, and unknown keys are skipped. Postfix 2.3 added
//! `conn_use`, `delays` and `dsn`, and Postfix 3.11 added `tls`. Each addition broke the parsers that expected a fixed
//! sequence. A comma may be missing, or the space behind it. `status` ends the list, because strangers write what
//! follows it: nothing in a reason is read as a field. If an address may have forged the end of the list, the flag
//! `status_ambiguous` says so.

use super::reader::Writers::Of;
use super::reader::{Line, Reader};
use super::{address, cause, divide, endpoint, provider, queue_id, remote_id, reply, status};
use crate::decimal;
use crate::dsn::Dsn;
use crate::record::{Decimal, Delays, Delivery, Endpoint, Event, Flags, Notice};

/// Status words that Postfix writes (`sent.c`, `bounce.c`, `defer.c`, `verify.c` and `trace.c` in `src/global`), in the
/// form of the record. Any other word counts too, but only if a reason follows: a line that is cut in the word has no
/// reason.
const STATUS_WORDS: [&str; 7] =
    ["sent", "bounced", "softbounce", "deferred", "deliverable", "undeliverable", "undeliverable_but_not_cached"];

/// Programs that write the record: the callers of `src/global/bounce.c`, `defer.c`, `sent.c`, `trace.c` and `verify.c`.
pub(super) const WRITERS: &[&str] =
    &["smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "qmgr", "nqmgr", "oqmgr", "cleanup"];

/// Kind of a delivery record that was cut.
pub(super) const CUT: &str = "delivery_cut";

/// Reader of records that were cut.
pub(super) const READER: Reader = Reader::new(Of(WRITERS), read_cut);

/// Reads a record that was cut before its status: [`read`] has found no delivery in it.
fn read_cut<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let is_cut = line.level.is_none() && line.text.starts_with("to=<");
    is_cut.then_some(Event::Notice(Notice { kind: CUT, server: None, text: line.text }))
}

/// Reads the delivery that a text without level and queue id describes into `delivery`, which must be empty. True if
/// the text begins with `to=` and has a status.
pub(super) fn read<'a>(text: &'a str, delivery: &mut Delivery<'a>, flags: &mut Flags) -> bool {
    let Some(list) = text.strip_prefix("to=") else { return false };
    if read_list(list, true, delivery, flags).is_some() {
        return true;
    }
    *delivery = Delivery::default();
    read_list(list, false, delivery, flags).is_some()
}

/// Reads the delivery in a list into `delivery`, which must be empty. If `strict`, the result is `None` also if a comma
/// or a space is missing between two pairs.
fn read_list<'a>(list: &'a str, strict: bool, delivery: &mut Delivery<'a>, flags: &mut Flags) -> Option<()> {
    let mut rest;
    (delivery.to, rest) = address::split(list);
    let mut relay = Relay::default();
    let reason = loop {
        rest = rest.strip_prefix(", ").or_else(|| rest.strip_prefix([' ', ',']).filter(|_| !strict))?;
        if let Some(orig_to) = rest.strip_prefix("orig_to=") {
            let (address, after) = address::split(orig_to);
            delivery.orig_to = Some(address);
            rest = after;
            continue;
        }
        if let Some(status) = rest.strip_prefix("status=") {
            let (word, reason) = split_status(status)?;
            delivery.status = word;
            break reason;
        }
        let end = if strict { address::separator(rest)? } else { address::loose_separator(rest)? };
        let (pair, after) = rest.split_at(end);
        rest = after;
        let is_read = match divide::first(pair, b'=').unwrap_or((pair, "")) {
            ("relay", value) => relay.set(value),
            ("conn_use", value) => {
                delivery.conn_use = decimal::whole(value).filter(|uses| *uses > 1);
                delivery.conn_use.is_some()
            }
            ("delay", value) => {
                delivery.delay = Decimal::new(value);
                delivery.delay.is_some()
            }
            ("delays", value) => {
                delivery.delays = delays(value);
                delivery.delays.is_some()
            }
            ("tls", value) => {
                delivery.tls_feature = Some(value).filter(|value| !value.is_empty());
                false
            }
            ("dsn", value) => {
                delivery.dsn = Dsn::parse(value);
                delivery.dsn.is_some()
            }
            _ => false,
        };
        // A value that was read as a whole holds no other pair.
        if strict && !is_read && address::loose_separator(pair).is_some() {
            return None;
        }
    };
    delivery.relay = relay.endpoint;
    *flags |= read_reason(delivery, reason, relay.speaker);
    if reason.is_some_and(has_second_status) {
        *flags |= Flags::STATUS_AMBIGUOUS;
    }
    Some(())
}

/// Value of `relay=`, and the author of the words in the reason.
#[derive(Default)]
struct Relay<'a> {
    endpoint: Option<Endpoint<'a>>,
    speaker: Speaker,
}

/// Author of the words in a reason.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Speaker {
    /// Postfix itself, if the line has `relay=none` or no relay. It may quote a server.
    #[default]
    Postfix,
    /// The server in `relay`, or Postfix itself.
    Server,
    /// A local agent or its command. Neither quotes a server.
    Agent,
}

impl<'a> Relay<'a> {
    /// Stores the value of `relay=`. True if the value is certain to be that of the relay alone.
    fn set(&mut self, value: &'a str) -> bool {
        if value == "none" {
            return true;
        }
        self.endpoint = endpoint::read(value);
        let service = self.endpoint.as_ref().is_some_and(endpoint::is_service);
        self.speaker = if service { Speaker::Agent } else { Speaker::Server };
        self.endpoint.is_some_and(|endpoint| endpoint.port.is_some())
    }
}

/// Returns the word after `status=`, and what follows the ` (` behind it.
fn split_status(text: &str) -> Option<(&str, Option<&str>)> {
    let end = text.bytes().position(|byte| matches!(byte, b' ' | b',')).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    let word = status::name(word);
    let reason = after.strip_prefix(" (");
    let whole = !word.is_empty() && reason.is_some();
    (whole || STATUS_WORDS.contains(&word)).then_some((word, reason))
}

/// True if the text after the first status may be the end of an address and another list with a status.
///
/// Postfix before 3.5, or with `info_log_address_format = internal`, logs addresses without quotes. An address such as
/// `x>, relay=none, dsn=2.0.0, status=sent (y@example.com` then forges a list. The first status counts, because a
/// server can write the same into the text of a reason, and nobody can tell the two apart.
fn has_second_status(reason: &str) -> bool {
    // Nearly no reason holds a `>, `, so the search for a second status nearly never runs.
    let ends = memchr::memchr_iter(b'>', reason.as_bytes()).find(|end| reason[end + 1..].starts_with(", "));
    ends.is_some_and(|end| reason[end + 1..].contains(", status="))
}

/// Reads the reason into `delivery`: its text up to the final parenthesis, and what the text says.
fn read_reason<'a>(delivery: &mut Delivery<'a>, reason: Option<&'a str>, speaker: Speaker) -> Flags {
    let Some(text) = reason else { return Flags::REASON_TRUNCATED };
    // Some relays add a space.
    let (text, flags) = match text.trim_end_matches(' ').strip_suffix(')') {
        Some(whole) => (whole, Flags::empty()),
        None => (text, Flags::REASON_TRUNCATED),
    };
    delivery.reason = Some(text).filter(|text| !text.is_empty());

    let mut own = reply::skip_via(text);
    match speaker {
        Speaker::Agent => delivery.forwarded_as = forwarded_as(text),
        Speaker::Server | Speaker::Postfix => {
            if let Some(said) = reply::read(text, speaker == Speaker::Server) {
                own = said.introduction;
                // In a protocol error, a server may answer 250 to something that is not a message.
                if said.introduction.is_empty() && said.reply.code.is_some_and(|code| code < 300) {
                    delivery.remote_queue_id = remote_id::find(said.reply.text);
                }
                let server = delivery.relay.or(said.reply.server).and_then(|server| server.name);
                let failed = said.reply.code.is_some_and(|code| code >= 400);
                delivery.reply = Some(if failed { provider::noted(said.reply, server) } else { said.reply });
            }
        }
    }
    if let Some((cause, beneath)) = cause::find(delivery, own) {
        (delivery.cause, delivery.cause_detail) = (Some(cause), beneath);
    }
    flags
}

/// Returns the queue id of the message that `src/local/forward.c` made.
fn forwarded_as(reason: &str) -> Option<&str> {
    let id = reason.strip_prefix("forwarded as ")?;
    queue_id::read(id).map(|id| id.text)
}

fn delays(text: &str) -> Option<Delays<'_>> {
    let (before_queue_manager, rest) = Decimal::split(text)?;
    let (in_queue_manager, rest) = Decimal::split(rest.strip_prefix('/')?)?;
    let (connection_setup, rest) = Decimal::split(rest.strip_prefix('/')?)?;
    let transmission = Decimal::new(rest.strip_prefix('/')?)?;
    Some(Delays { before_queue_manager, in_queue_manager, connection_setup, transmission })
}
