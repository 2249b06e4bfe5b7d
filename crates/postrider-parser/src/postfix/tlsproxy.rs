//! Connections of tlsproxy (`src/tlsproxy/tlsproxy.c`): `CONNECT from|to P`, `DISCONNECT P`. Its lines about TLS are
//! read in `tls`.
//!
//! # Limits
//!
//! A line does not tell whether a client or, since Postfix 3.4, a server disconnects: it counts as a client.

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Connect, Disconnect, Endpoint, Event};

/// Reader of the connections of tlsproxy.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("tlsproxy", &[("CONNECT from [", ""), ("CONNECT to ", "")])]],
    verbose: Verbose { shapes: &[], functions: &["tlsp", "tlsproxy"] },
    ..Reader::new(Of(&["tlsproxy"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    if let Some(client) = line.text.strip_prefix("CONNECT from ") {
        return Some(Event::Connect(Connect { client: Some(peer(client)?), local: None, server: None }));
    }
    if let Some(server) = line.text.strip_prefix("CONNECT to ") {
        return Some(Event::Connect(Connect { client: None, local: None, server: Some(peer(server)?) }));
    }
    let client = peer(line.text.strip_prefix("DISCONNECT ")?)?;
    Some(Event::Disconnect(Disconnect { client: Some(client), commands: None, notes: None }))
}

/// Returns the peer that is the whole of a text.
fn peer(text: &str) -> Option<Endpoint<'_>> {
    endpoint::split(text).filter(|(_, rest)| rest.is_empty()).and_then(|(peer, _)| peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections() {
        let read = |text| read(&Line { level: None, has_queue_id: false, text });
        let six = Some(Endpoint { ip: Some("2001:db8::7"), port: Some(4711), ..Endpoint::default() });
        let mx = Some(Endpoint { name: Some("mx.example.net"), ip: Some("192.0.2.25"), port: Some(25), path: None });
        let gone = |client| Some(Event::Disconnect(Disconnect { client, commands: None, notes: None }));
        #[rustfmt::skip]
        let vectors = [
            ("CONNECT from [2001:db8::7]:4711", Some(Event::Connect(Connect { client: six, local: None, server: None }))),
            ("CONNECT to mx.example.net[192.0.2.25]:25", Some(Event::Connect(Connect { client: None, local: None, server: mx }))),
            ("DISCONNECT [2001:db8::7]:4711", gone(six)),
            ("DISCONNECT mx.example.net[192.0.2.25]:25", gone(mx)),
            ("DISCONNECT unknown[unknown]", None),
            ("CONNECT from [192.0.2.1]:4711 to [192.0.2.2]:25", None),
            ("CONNECT from [192.0.2.1", None),
            ("DISCONNECT", None),
            ("disconnect from mx.example.net[192.0.2.25]", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
