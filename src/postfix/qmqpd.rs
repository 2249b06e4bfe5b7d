//! qmqpd's lines (`src/qmqpd/qmqpd.c`, `qmqpd_peer.c`). Those that smtpd writes too are read as smtpd's.
//!
//! ```text
//! connect from C        client=C        disconnect from C
//! C: REASON while STATE
//! C: Error: TEXT
//! ```

use super::{Line, smtpd};
use crate::record::{Cause, Event, Reply, Verdict};

/// The event that a line is.
pub(super) fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    smtpd::connect(text)
        .or_else(|| smtpd::client_line(text))
        .or_else(|| smtpd::disconnect(text))
        .or_else(|| smtpd::hostname_mismatch(text))
        .or_else(|| ended(text))
        .or_else(|| unauthorized(text))
}

/// What qmqpd is doing when a session ends (`state->where`).
const STATES: [&str; 5] = [
    "initializing client connection",
    "receiving message content",
    "receiving sender address",
    "receiving recipient address",
    "sending completion status",
];

/// `C: lost connection while STATE`, and the other ends of a session. A state that is cut is left out.
fn ended(text: &str) -> Option<Event<'_>> {
    let (client, rest) = smtpd::split_client(text)?;
    let (reason, state) = rest.strip_prefix(": ")?.split_once(" while ")?;
    let stage = Some(state).filter(|state| STATES.contains(state));
    let lost = |cause| Event::ConnectionLost { client, cause, stage, bytes: None };
    let broken = |kind| Event::ProtocolError { client, kind, stage, text: None };
    match reason {
        "lost connection" => Some(lost(Cause::ConnectionLost)),
        "read/write timeout" => Some(lost(Cause::ConversationTimedOut)),
        "netstring format error" => Some(broken("netstring_format")),
        "netstring length exceeds storage limit" => Some(broken("netstring_length")),
        _ => None,
    }
}

/// The refusal of a client that is not in `qmqpd_authorized_clients`: `C: Error: C is not authorized …`.
fn unauthorized(text: &str) -> Option<Event<'_>> {
    let (client, rest) = smtpd::split_client(text)?;
    let text = rest.strip_prefix(": ")?;
    let refused = text.starts_with("Error: ") && text.ends_with(" is not authorized to use this service");
    refused.then(|| {
        let reply = Some(Reply { text, ..Reply::default() });
        Event::Verdict(Verdict { action: "reject", by: "restriction", client, reply, ..Verdict::default() })
    })
}
