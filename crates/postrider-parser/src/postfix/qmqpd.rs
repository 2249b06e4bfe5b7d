//! Lines of qmqpd (`src/qmqpd/qmqpd.c`, `qmqpd_peer.c`). Lines that smtpd writes too are read as those of smtpd.
//!
//! ```text
//! connect from C        client=C        disconnect from C
//! C: REASON while STATE
//! C: Error: TEXT
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use super::smtpd;
use crate::record::{Cause, ConnectionLost, Event, ProtocolError, Reply, Verdict};

/// Reader of the lines of qmqpd.
pub(super) const READER: Reader = Reader {
    lines: &[&[
        ProgramLines::new("qmqpd", &[("qmqpd_peer_init: ", "")]),
        ProgramLines::at_first_space(
            "qmqpd",
            &[("]: lost connection while ", ""), ("]: read/write timeout while ", "")],
        ),
    ]],
    verbose: Verbose { shapes: &[], functions: &["qmqpd"] },
    ..Reader::new(Of(&["qmqpd"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    smtpd::connect(text)
        .or_else(|| smtpd::client_line(text))
        .or_else(|| smtpd::disconnect(text))
        .or_else(|| smtpd::hostname_mismatch(text))
        .or_else(|| ended(text))
        .or_else(|| unauthorized(text))
}

/// Steps at which a session can end (`state->where`).
const STATES: [&str; 5] = [
    "initializing client connection",
    "receiving message content",
    "receiving sender address",
    "receiving recipient address",
    "sending completion status",
];

/// Reads `C: lost connection while STATE`, and the other ends of a session. A state that is cut is left out.
fn ended(text: &str) -> Option<Event<'_>> {
    let (client, rest) = smtpd::split_client(text)?;
    let (reason, doing) = rest.strip_prefix(": ")?.split_once(" while ")?;
    let stage = STATES.contains(&doing).then_some(doing);
    let lost = |cause| Event::ConnectionLost(ConnectionLost { client, cause, stage, bytes: None });
    let broken = |kind| Event::ProtocolError(ProtocolError { client, kind, stage, text: None });
    match reason {
        "lost connection" => Some(lost(Cause::ConnectionLost)),
        "read/write timeout" => Some(lost(Cause::ConversationTimedOut)),
        "netstring format error" => Some(broken("netstring_format")),
        "netstring length exceeds storage limit" => Some(broken("netstring_length")),
        _ => None,
    }
}

/// Reads the refusal of a client that is not in `qmqpd_authorized_clients`: `C: Error: C is not authorized …`.
fn unauthorized(text: &str) -> Option<Event<'_>> {
    let (client, rest) = smtpd::split_client(text)?;
    let text = rest.strip_prefix(": ")?;
    let refused = text.starts_with("Error: ") && text.ends_with(" is not authorized to use this service");
    refused.then(|| {
        let reply = Some(Reply { text, ..Reply::default() });
        Event::Verdict(Verdict { action: "reject", by: "restriction", client, reply, ..Verdict::default() })
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::record::{Client, Connect, Disconnect, Endpoint, HostnameMismatch, Text};
    use crate::syslog::Message;

    #[test]
    fn lines() {
        let gate = Some(Endpoint { name: Some("gate.example.net"), ip: Some("2001:db8::9"), port: None, path: None });
        let lost = |cause, stage| Event::ConnectionLost(ConnectionLost { client: gate, cause, stage, bytes: None });
        let broken =
            |kind, stage| Event::ProtocolError(ProtocolError { client: gate, kind, stage: Some(stage), text: None });
        let refusal = "Error: gate.example.net[2001:db8::9] is not authorized to use this service";
        let refused = Verdict {
            action: "reject",
            by: "restriction",
            client: gate,
            reply: Some(Reply { text: refusal, ..Reply::default() }),
            ..Verdict::default()
        };
        #[rustfmt::skip]
        let vectors = [
            ("", "connect from C", Event::Connect(Connect { client: gate, local: None, server: None })),
            ("", "disconnect from C", Event::Disconnect(Disconnect { client: gate, commands: None, notes: None })),
            ("4FCA1803C5: ", "client=C", Event::Client(Client { client: gate, ..Client::default() })),
            ("4FCA1803C5: ", "C: lost connection while receiving message content", lost(Cause::ConnectionLost, Some("receiving message content"))),
            ("NOQUEUE: ", "C: lost connection while initializing client connection", lost(Cause::ConnectionLost, Some("initializing client connection"))),
            ("NOQUEUE: ", "C: read/write timeout while receiving sender address", lost(Cause::ConversationTimedOut, Some("receiving sender address"))),
            ("NOQUEUE: ", "C: netstring format error while receiving recipient address", broken("netstring_format", "receiving recipient address")),
            ("NOQUEUE: ", "C: netstring length exceeds storage limit while receiving message content", broken("netstring_length", "receiving message content")),
            ("warning: NOQUEUE: ", "C: Error: C is not authorized to use this service", Event::Verdict(refused)),
            ("warning: 4FCA1803C5: ", "C: Error: too many hops", Event::Warning(Text { text: "gate.example.net[2001:db8::9]: Error: too many hops" })),
            ("warning: ", "hostname gate.example.net does not resolve to address 2001:db8::9", Event::HostnameMismatch(HostnameMismatch { client: gate, reason: None })),
            // Cut, and not qmqpd's.
            ("NOQUEUE: ", "C: lost connection while receiving mess", lost(Cause::ConnectionLost, None)),
            ("NOQUEUE: ", "C: lost conn", Event::Other(Text { text: "gate.example.net[2001:db8::9]: lost conn" })),
            ("NOQUEUE: ", "C: bored while waiting", Event::Other(Text { text: "gate.example.net[2001:db8::9]: bored while waiting" })),
        ];
        for (before, text, expected) in vectors {
            let msg = format!("{before}{}", text.replace('C', "gate.example.net[2001:db8::9]"));
            let message = Message { app_name: Some("postfix/qmqpd"), msg: &msg, ..Message::default() };
            assert_eq!(parse(&message).map(|postfix| postfix.event), Some(expected), "{msg}");
        }
    }
}
