//! Lines of a session: the client that connects, the client of a message, and the end (`src/smtpd/smtpd.c`).
//!
//! ```text
//! connect from C
//! client=C[, sasl_method=M][, sasl_username=U][, sasl_sender=S][, orig_queue_id=Q][, orig_client=C]
//! lost connection after STAGE[ (N bytes)] from C
//! disconnect from C[ ehlo=1 rcpt=0/1 commands=1/2][ notes=bare_lf]
//! ```
//!
//! # Limits
//!
//! Postfix quotes neither user nor sender. An authenticated client chooses the sender, as the AUTH parameter of MAIL
//! FROM. No text after `, sasl_sender=` is therefore read as another field. If a line has both, the data of XFORWARD is
//! lost. The user begins at the first `, sasl_username=`. It ends at the first `, sasl_sender=`, or else at the last
//! `, orig_queue_id=` or `, orig_client=` with a value of the right kind. An account name that contains these words is
//! read as a shorter name.

use super::super::reader::ProgramLines;
use super::{known, split, split_client};
use crate::decimal;
use crate::record::{Cause, Client, Commands, Connect, ConnectionLost, Disconnect, Event, Sasl};

/// Lines of a session that smtpd alone writes. A few of them come from qmqpd too, which hardly anybody runs.
pub(super) const LINES: &[ProgramLines] = &[ProgramLines::new(
    "smtpd",
    &[
        ("connect from ", ""),
        ("disconnect from ", ""),
        ("client=", ""),
        ("lost connection after ", " from "),
        ("timeout after ", " from "),
        ("too many errors after ", " from "),
    ],
)];

/// Returns the event of a session in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    match text.as_bytes().first()? {
        b'c' => connect(text).or_else(|| client_line(text)),
        b'd' => disconnect(text),
        b'l' | b't' => connection_lost(text),
        _ => None,
    }
}

/// Reads `connect from C`.
pub(in crate::postfix) fn connect(text: &str) -> Option<Event<'_>> {
    let (client, rest) = split_client(text.strip_prefix("connect from ")?)?;
    rest.is_empty().then_some(Event::Connect(Connect { client, local: None, server: None }))
}

/// Reads `disconnect from C`, since Postfix 3.0 with the commands, since 3.9 with notes.
pub(in crate::postfix) fn disconnect(text: &str) -> Option<Event<'_>> {
    let (client, rest) = split_client(text.strip_prefix("disconnect from ")?)?;
    let (commands, notes) = match rest.split_once(" notes=") {
        Some((commands, notes)) => (commands, Some(notes).filter(|notes| !notes.is_empty())),
        None => (rest, None),
    };
    let commands = match commands.strip_prefix(' ') {
        Some(commands) => Some(Commands(commands)).filter(|commands| commands.iter().next().is_some()),
        None if commands.is_empty() => None,
        None => return None,
    };
    Some(Event::Disconnect(Disconnect { client, commands, notes }))
}

/// Reads `client=C`, with how the client authenticated, and the data that XFORWARD gave about the message before a
/// content filter.
pub(in crate::postfix) fn client_line(text: &str) -> Option<Event<'_>> {
    let (client, rest) = split_client(text.strip_prefix("client=")?)?;
    // Most clients neither authenticate nor pass a message on.
    if rest.is_empty() {
        return Some(Event::Client(Client { client, ..Client::default() }));
    }
    if !rest.starts_with(", ") {
        return None;
    }
    let (rest, sender) = split(rest, ", sasl_sender=");
    let (rest, orig_client) = match rest.rsplit_once(", orig_client=") {
        Some((before, value)) => match split_client(value) {
            Some((client, "")) => (before, client),
            _ => (rest, None),
        },
        None => (rest, None),
    };
    let (rest, orig_queue_id) = match rest.rsplit_once(", orig_queue_id=") {
        Some((before, id)) if !id.is_empty() && !id.contains([' ', ',']) => (before, Some(id)),
        _ => (rest, None),
    };
    let (rest, username) = split(rest, ", sasl_username=");
    let (_, method) = split(rest, ", sasl_method=");
    let method = method.map(|method| split(method, ", ").0);
    let known = |value: Option<_>| value.and_then(|value| known(value, ""));
    let sasl = Sasl { method: known(method), username: known(username), sender: known(sender) };
    Some(Event::Client(Client { client, sasl, orig_queue_id, orig_client }))
}

/// Causes of an early end of a session (`REASON_…` in `smtpd.c`).
const ENDS: [(&str, Cause); 3] = [
    ("lost connection", Cause::ConnectionLost),
    ("timeout", Cause::ConversationTimedOut),
    ("too many errors", Cause::TooManyErrors),
];

/// Reads `lost connection after STAGE[ (N bytes)] from C`.
fn connection_lost(text: &str) -> Option<Event<'_>> {
    let (rest, cause) = ENDS.iter().find_map(|(words, cause)| Some((text.strip_prefix(words)?, *cause)))?;
    let rest = rest.strip_prefix(" after ")?;
    let Some((at, from)) = rest.split_once(" from ") else {
        // The line is cut: a stage without its end may be half a word.
        return stage(rest)
            .map(|_| Event::ConnectionLost(ConnectionLost { client: None, cause, stage: None, bytes: None }));
    };
    let (client, "") = split_client(from)? else { return None };
    let (stage, bytes) = stage(at)?;
    Some(Event::ConnectionLost(ConnectionLost { client, cause, stage: Some(stage), bytes }))
}

/// Reads a stage of the protocol, `RCPT` or `DATA content`, and how many bytes of content had arrived; before Postfix
/// 2.9, `approximately`.
pub(super) fn stage(text: &str) -> Option<(&str, Option<u64>)> {
    let (stage, bytes) = match text.split_once(" (") {
        Some((stage, bytes)) => {
            let bytes = bytes.strip_prefix("approximately ").unwrap_or(bytes);
            (stage, bytes.strip_suffix(" bytes)").and_then(decimal::whole))
        }
        None => (text, None),
    };
    is_stage(stage).then_some((stage, bytes))
}

/// Returns true if a text can be the name of a command or of a state after one. None of these names comes from the
/// client.
pub(super) fn is_stage(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b' '))
}
