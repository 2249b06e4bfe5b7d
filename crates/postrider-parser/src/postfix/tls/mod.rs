//! Lines about TLS of the programs that speak it (`src/tls`): smtp, lmtp, smtpd, tlsproxy and posttls-finger.
//!
//! These lines carry no queue id; they belong to the session of the process that writes them.

mod error;
mod notice;
mod report;
mod summary;

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, Reader};
use crate::record::{Endpoint, Event};

/// Reader of the lines about TLS.
pub(super) const READER: Reader = Reader {
    lines: &[error::LINES, summary::LINES, report::LINES, notice::LINES],
    verbose: notice::VERBOSE,
    ..Reader::new(Of(&["smtp", "lmtp", "smtpd", "tlsproxy", "tlsmgr", "posttls-finger"]), read)
};

/// Beginnings of the most frequent lines of smtpd. No line about TLS begins so.
const NO_TLS: [&str; 3] = ["connect from ", "disconnect from ", "client="];

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if NO_TLS.iter().any(|begin| line.text.starts_with(begin)) {
        return None;
    }
    // A failure may be logged as a warning; any other warning has no event of its own. After a queue id, a text that
    // begins with the certificate is an attempt of smtp.
    let failure = error::read(line.text).or_else(|| error::certificate(line.text).filter(|_| !line.has_queue_id));
    if failure.is_some() || line.level.is_some() {
        return failure;
    }
    summary::read(line.text).or_else(|| report::read(line.text)).or_else(|| notice::read(line.text))
}

/// Splits the peer off the front of a text, with the `: ` behind it.
///
/// Postfix 2.3 writes only the name of the peer. Names contain no space, and addresses no `: `.
fn split_peer(text: &str) -> (Option<Endpoint<'_>>, &str) {
    if let Some((peer, rest)) = endpoint::split(text)
        && let Some(rest) = after_colon(rest)
    {
        return (peer, rest);
    }
    let end = memchr::memchr_iter(b':', text.as_bytes()).find(|at| after_colon(&text[*at..]).is_some());
    let (peer, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = after_colon(rest).unwrap_or("");
    (Some(peer).filter(|peer| !peer.contains(' ')).and_then(endpoint::read), rest)
}

/// Returns the text after the colon behind a peer; an empty text if the peer is the last. Postfix 2.3 has no space
/// before the number of an error.
fn after_colon(text: &str) -> Option<&str> {
    let number = || text.strip_prefix(':').filter(|rest| rest.starts_with("num="));
    if text.is_empty() { Some(text) } else { text.strip_prefix(": ").or_else(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        let host = |name, ip, port| Some(Endpoint { name, ip, port, path: None });
        #[rustfmt::skip]
        let vectors = [
            ("mx.example.com[192.0.2.1]:25: x", host(Some("mx.example.com"), Some("192.0.2.1"), Some(25)), "x"),
            ("mx.example.com[192.0.2.1]: x: y", host(Some("mx.example.com"), Some("192.0.2.1"), None), "x: y"),
            ("[2001:db8::1]:4711: x", host(None, Some("2001:db8::1"), Some(4711)), "x"),
            ("[2001:db8::1]:4711", host(None, Some("2001:db8::1"), Some(4711)), ""),
            ("unknown[unknown]: x", None, "x"),
            ("mail.example.com: x", host(Some("mail.example.com"), None, None), "x"),
            ("no peer: x", None, "x"),
            ("", None, ""),
        ];
        for (text, peer, rest) in vectors {
            assert_eq!(split_peer(text), (peer, rest), "{text}");
        }
    }

    #[test]
    fn only_failures_may_have_a_level() {
        let level = Some(crate::record::Level::Warning);
        let read = |text| read(&Line { level, has_queue_id: false, text });
        assert!(read("TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:").is_some());
        for text in [
            "TLS SNI from mx.example.com[192.0.2.1] is invalid: x",
            "Trusted TLS connection established to mx.example.com[192.0.2.1]:25: TLSv1.3",
            "cannot load Certification Authority data, CAfile=\"/x\": disabling TLS support",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
