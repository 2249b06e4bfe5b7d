//! The end of a verdict: `;[ from=<A>][ to=<A>][ proto=P][ helo=<H>][ sasl_method=M][ sasl_username=U][
//! sasl_sender=S]`.
//!
//! The text before it may contain the same words, and so may the addresses. The beginning of the tail is certain
//! anyway:
//!
//! - The name in HELO has no space, bracket, quote or semicolon: smtpd replaces them with question marks (`neuter()` in
//!   `src/smtpd/smtpd.c`). The part from ` proto=` on is therefore read from the right. [`Helo`] lists the exceptions.
//!   A name that contains these characters anyway is read if it can begin at one position only.
//! - Addresses are in external form since Postfix 3.5: a space or a bracket occurs only within quotes, and no tail that
//!   begins within quotes ends outside of them.
//!
//! # Limits
//!
//! Before Postfix 3.5, and with `info_log_address_format = internal`, an address that contains `; from=<` looks like a
//! tail: the last one is taken. A client may choose any sender and recipient anyway, and gains nothing else by it. A
//! tail that is cut stays in the text, where it cannot be distinguished from a forged one. A tail that is cut right
//! after an address looks like that of Postfix before 2.0, which has no ` proto=`. It is taken if it is the only one.

use super::super::address;
use crate::record::Sasl;

/// Maximum number of possible tails that are tried in one line. A line with more of them was made on purpose, and has
/// no tail. The limit also keeps the time linear.
const TRIES: usize = 32;

/// Characters that smtpd replaces in the name in HELO (`NEUTER_CHARACTERS` in `src/smtpd/smtpd.c`).
const NEUTERED: &[u8] = b" <>()\\\";@";

/// Protocols that a tail may end with.
const PROTOCOLS: [&str; 4] = ["SMTP", "ESMTP", "QMQP", "LMTP"];

/// Fields of a tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) proto: Option<&'a str>,
    pub(super) helo: Option<&'a str>,
    pub(super) sasl: Sasl<'a>,
}

/// Form in which a program writes its tails.
#[derive(Clone, Copy)]
pub(super) struct TailForm {
    /// Text before each key but the first.
    separator: &'static str,
    helo: Helo,
    /// True if the user is in brackets.
    bracketed_user: bool,
    /// True if every tail has a protocol.
    always_proto: bool,
}

/// Characters that the name in HELO may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Helo {
    /// No character of [`NEUTERED`].
    Neutered,
    /// Any character but a space: postscreen takes the first word (`src/postscreen/postscreen_smtpd.c`).
    Word,
    /// Any character at all: a restriction that is checked while HELO is answered (`smtpd_delay_reject = no`) sees the
    /// name as the client sent it.
    Raw,
}

/// The tail of smtpd's restrictions (`log_whatsup()` in `src/smtpd/smtpd_check.c`).
pub(super) const RESTRICTION: TailForm =
    TailForm { separator: " ", helo: Helo::Neutered, bracketed_user: false, always_proto: true };
/// The tail of a restriction that is checked while HELO is answered.
pub(super) const RESTRICTION_AT_HELO: TailForm = TailForm { helo: Helo::Raw, ..RESTRICTION };
/// The tail of milters and of the proxy before the queue (`src/smtpd/smtpd.c`, `src/cleanup/cleanup_milter.c`). A
/// message that did not come by SMTP has no protocol.
pub(super) const FILTER: TailForm = TailForm { bracketed_user: true, always_proto: false, ..RESTRICTION };
/// The tail of postscreen (`src/postscreen/postscreen_smtpd.c`).
pub(super) const SCREEN: TailForm = TailForm { separator: ", ", helo: Helo::Word, ..RESTRICTION };

/// Splits the tail off the end of a line. If there is no tail, the whole line is text.
pub(super) fn split(text: &str, form: TailForm) -> (&str, Tail<'_>) {
    let (head, session) = split_session(text, form);
    if form.always_proto && session.proto.is_none() {
        return split_old(text, form).unwrap_or_else(|| (text, Tail::default()));
    }
    match split_envelope(head, form) {
        Some((before, from, to)) => (before, Tail { from, to, ..session }),
        None => (text, Tail::default()),
    }
}

/// Splits off the tail of Postfix before 2.0: addresses alone, in external form. It counts only if no word of the text
/// can belong to another tail, which a client might have written.
fn split_old(text: &str, form: TailForm) -> Option<(&str, Tail<'_>)> {
    let bytes = text.as_bytes();
    if form.helo == Helo::Word || memchr::memmem::find(bytes, b" proto=").is_some() {
        return None;
    }
    if let Some(before) = text.strip_suffix(';') {
        return Some((before, Tail::default()));
    }
    let mut begins = ["; from=<", "; to=<"].iter().flat_map(|key| memchr::memmem::find_iter(bytes, *key));
    let (Some(at), None) = (begins.next(), begins.next()) else { return None };
    let (from, to) = read_envelope(&text[at + 1..], form)?;
    Some((&text[..at], Tail { from, to, ..Tail::default() }))
}

/// Splits off the session: the part from ` proto=` to the end.
fn split_session(text: &str, form: TailForm) -> (&str, Tail<'_>) {
    if form.helo == Helo::Raw {
        return split_raw_session(text, form);
    }
    let session = |at| Some((&text[..at], read_session(&text[at..], form)?));
    keys_from_the_right(text, form, "proto=")
        .take(TRIES)
        .find_map(session)
        .or_else(|| only_session(text, form))
        .unwrap_or_else(|| (text, Tail::default()))
}

/// Splits off a session with invalid characters in its name in HELO, if nothing else can be the session. The name must
/// have no semicolon: with one, the true tail may be cut and follow a forged one.
fn only_session(text: &str, form: TailForm) -> Option<(&str, Tail<'_>)> {
    let mut keys = keys_from_the_right(text, form, "proto=");
    let (Some(at), None) = (keys.next(), keys.next()) else { return None };
    let session = read_session(&text[at..], TailForm { helo: Helo::Raw, ..form })?;
    session.helo.is_some_and(|helo| !helo.contains(';')).then_some((&text[..at], session))
}

/// Splits off the session where the name in HELO may contain anything, and may also be in the text: `501 5.5.2 <H>:
/// Helo command rejected: …`. The session is then the one with exactly this name; no other text contains words of the
/// client.
fn split_raw_session(text: &str, form: TailForm) -> (&str, Tail<'_>) {
    let said = super::reply::read_reply(text).text;
    let names = |helo: &str| {
        let rest = said.strip_prefix('<').and_then(|said| said.strip_prefix(helo));
        rest.is_some_and(|rest| rest.starts_with(">: "))
    };
    let mut first = None;
    for (tries, at) in memchr::memmem::find_iter(text.as_bytes(), b" proto=").enumerate() {
        if tries == TRIES {
            return (text, Tail::default());
        }
        let Some(session) = read_session(&text[at..], form) else { continue };
        if session.helo.is_some_and(names) {
            return (&text[..at], session);
        }
        first = first.or(Some((&text[..at], session)));
    }
    first.unwrap_or_else(|| (text, Tail::default()))
}

/// Returns the session that is the whole of `text`.
fn read_session(text: &str, form: TailForm) -> Option<Tail<'_>> {
    let text = text.strip_prefix(form.separator)?.strip_prefix("proto=")?;
    let (proto, rest) = split_proto(text)?;
    let (helo, rest) = match key(rest, form, "helo=<") {
        Some(name) => split_helo(name, form)?,
        None if PROTOCOLS.contains(&proto) => ("", rest),
        // The tail is cut.
        None => return None,
    };
    let sasl = if form.bracketed_user { bracketed_user(rest, form) } else { sasl(rest, form) };
    Some(Tail { proto: Some(proto), helo: known(helo), sasl: sasl?, ..Tail::default() })
}

/// Splits the protocol off the front of a text.
fn split_proto(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'-').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Splits the name in HELO and its bracket off the front of a text.
///
/// If no other bracket can follow the bracket of the name, the name ends at the last one: no user can be read from
/// within the name.
fn split_helo(text: &str, form: TailForm) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let end = match form.helo {
        Helo::Neutered if form.bracketed_user => memchr::memchr(b'>', bytes)?,
        _ => memchr::memrchr(b'>', bytes)?,
    };
    let allowed = |byte: &u8| match form.helo {
        Helo::Neutered => !NEUTERED.contains(byte),
        Helo::Word => *byte != b' ',
        Helo::Raw => true,
    };
    bytes[..end].iter().all(allowed).then(|| (&text[..end], &text[end + 1..]))
}

/// Returns how a client authenticated, if it is the whole of `text` (Postfix 3.10). The user is the account that the
/// client has proved to own; `sasl_sender` is xtext, which has no space.
fn sasl(text: &str, form: TailForm) -> Option<Sasl<'_>> {
    let mut sasl = Sasl::default();
    let mut rest = text;
    if let Some(method) = key(rest, form, "sasl_method=") {
        let (method, after) = method.split_at(memchr::memchr(b' ', method.as_bytes()).unwrap_or(method.len()));
        sasl.method = known(method);
        rest = after;
    }
    if let Some((before, sender)) = rest.rsplit_once(" sasl_sender=").filter(|(_, sender)| !sender.contains(' ')) {
        sasl.sender = known(sender);
        rest = before;
    }
    if let Some(username) = key(rest, form, "sasl_username=") {
        sasl.username = known(username);
        rest = "";
    }
    rest.is_empty().then_some(sasl)
}

/// Reads `sasl_username=<U>`, or nothing, if it is the whole of `text`.
fn bracketed_user(text: &str, form: TailForm) -> Option<Sasl<'_>> {
    if text.is_empty() {
        return Some(Sasl::default());
    }
    let username = key(text, form, "sasl_username=<")?.strip_suffix('>')?;
    Some(Sasl { username: known(username), ..Sasl::default() })
}

/// Splits the addresses and their semicolon off the end.
fn split_envelope(text: &str, form: TailForm) -> Option<(&str, Option<&str>, Option<&str>)> {
    if let Some(before) = text.strip_suffix(';') {
        return Some((before, None, None));
    }
    let inner = text.strip_suffix('>')?;
    let envelope = |at: usize| {
        let (from, to) = read_envelope(&text[at + 1..], form)?;
        Some((&text[..at], from, to))
    };
    let internal = |at: usize| {
        let (from, to) = read_internal(&inner[at + 2..], form);
        (&text[..at], from, to)
    };
    let semicolons = memchr::memmem::rfind_iter(text.as_bytes(), b"; ");
    let begins =
        |at: &usize| ["from=<", "to=<"].iter().any(|key| inner.get(at + 2..).is_some_and(|x| x.starts_with(key)));
    let mut tries = semicolons.filter(begins).take(TRIES);
    // The last one is taken if the addresses are in internal form.
    let last = tries.next()?;
    envelope(last).or_else(|| tries.find_map(envelope)).or_else(|| Some(internal(last)))
}

/// Returns the addresses in external form that are the whole of ` from=<A> to=<A>`.
fn read_envelope(text: &str, form: TailForm) -> Option<(Option<&str>, Option<&str>)> {
    let text = text.strip_prefix(' ')?;
    let (from, rest) = match text.strip_prefix("from=<") {
        Some(from) => address::external(from).map(|(from, rest)| (Some(from), rest))?,
        None => (None, text),
    };
    let rest = if from.is_some() { rest.strip_prefix(form.separator).unwrap_or(rest) } else { rest };
    let (to, rest) = match rest.strip_prefix("to=<") {
        Some(to) => address::external(to).map(|(to, rest)| (Some(to), rest))?,
        None => (None, rest),
    };
    rest.is_empty().then_some((from, to))
}

/// Returns the addresses in internal form that are the whole of `from=<A> to=<A`.
fn read_internal(text: &str, form: TailForm) -> (Option<&str>, Option<&str>) {
    let Some(from) = text.strip_prefix("from=<") else { return (None, text.strip_prefix("to=<")) };
    let border = |at: &usize| {
        let rest = &from[at + 1..];
        rest.strip_prefix(form.separator).is_some_and(|rest| rest.starts_with("to=<"))
    };
    match memchr::memrchr_iter(b'>', from.as_bytes()).find(border) {
        Some(at) => (Some(&from[..at]), Some(&from[at + 1 + form.separator.len() + "to=<".len()..])),
        None => (Some(from), None),
    }
}

/// Reads the tail of cleanup's checks at the start of a text, right after its semicolon, and the text that follows `: `
/// after the tail (`cleanup_act_log()` in `src/cleanup/cleanup_message.c`). `None` if anything else follows.
pub(super) fn read(text: &str) -> Option<(Tail<'_>, Option<&str>)> {
    let mut tail = Tail::default();
    let mut rest = text;
    if let Some(from) = rest.strip_prefix(" from=<") {
        let (from, after) = split_address(from)?;
        (tail.from, rest) = (Some(from), after);
    }
    if let Some(to) = rest.strip_prefix(" to=<") {
        let (to, after) = split_address(to)?;
        (tail.to, rest) = (Some(to), after);
    }
    if let Some(proto) = rest.strip_prefix(" proto=") {
        let (proto, after) = split_proto(proto)?;
        (tail.proto, rest) = (Some(proto), after);
    }
    if let Some(helo) = rest.strip_prefix(" helo=<") {
        let (helo, after) = split_helo(helo, FILTER)?;
        (tail.helo, rest) = (known(helo), after);
    }
    if rest.is_empty() {
        return Some((tail, None));
    }
    Some((tail, Some(rest.strip_prefix(": ")?)))
}

/// Splits an address and its bracket off a text. An address in internal form ends where a key, a text or the end
/// follows.
fn split_address(text: &str) -> Option<(&str, &str)> {
    let ends =
        |rest: &str| rest.is_empty() || [": ", " to=<", " proto=", " helo=<"].iter().any(|next| rest.starts_with(next));
    if let Some((address, rest)) = address::external(text).filter(|(_, rest)| ends(rest)) {
        return Some((address, rest));
    }
    let end = memchr::memchr_iter(b'>', text.as_bytes()).find(|at| ends(&text[at + 1..]))?;
    Some((&text[..end], &text[end + 1..]))
}

/// Returns the text after a separator and a key.
fn key<'a>(text: &'a str, form: TailForm, key: &str) -> Option<&'a str> {
    text.strip_prefix(form.separator)?.strip_prefix(key)
}

/// Returns the positions of a separator and a key, from the right.
fn keys_from_the_right<'a>(text: &'a str, form: TailForm, key: &'static str) -> impl Iterator<Item = usize> + 'a {
    let separator = form.separator;
    memchr::memmem::rfind_iter(text.as_bytes(), key.as_bytes())
        .filter(move |at| text[..*at].ends_with(separator))
        .map(move |at| at - separator.len())
}

/// Returns a value that is not empty.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
