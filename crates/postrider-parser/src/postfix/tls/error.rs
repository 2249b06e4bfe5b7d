//! TLS failures: of handshakes and of certificates, and OpenSSL's messages about them.
//!
//! ```text
//! SSL_accept error from P: -1|lost connection|STRERROR               tls_server.c
//! SSL_connect error to P: -1|lost connection|STRERROR                tls_client.c
//! [CA|client|server ]certificate verification failed for P: WHY      tls_verify.c
//! certificate peer name verification failed for P: WHY               tls_client.c before Postfix 2.5
//! TLS handshake failed for service=S peer=P                          tlsproxy.c
//! ciphertext read/write timeout|error for P                          tlsproxy.c
//! warning: TLS library problem: error:…                              tls_misc.c, after the first two
//! ```
//!
//! The reason is the text after the peer. If there is none, or only a number without meaning, the reason is the text
//! before the peer.

use super::super::endpoint;
use super::super::reader::ProgramLines;
use super::split_peer;
use crate::record::{Event, TlsError};

/// Lines that one program alone writes.
pub(super) const LINES: &[ProgramLines] = &[
    ProgramLines::new("smtpd", &[("SSL_accept error from ", "")]),
    ProgramLines::new("smtp", &[("SSL_connect error to ", "")]),
    // The clients of tlsproxy have no name.
    ProgramLines::new(
        "tlsproxy",
        &[
            ("SSL_accept error from [", ""),
            ("TLS handshake failed for service=", ""),
            ("ciphertext read/write ", " for "),
        ],
    ),
];

/// Failures, and the word between the failure and the peer.
const FAILURES: &[(&str, &str)] = &[
    ("SSL_accept error", " from "),
    ("SSL_connect error", " to "),
    ("SSL_set_fd error", " to "),
    ("certificate verification failed", " for "),
    ("CA certificate verification failed", " for "),
    ("client certificate verification failed", " for "),
    ("server certificate verification failed", " for "),
    ("certificate peer name verification failed", " for "),
    ("Peer certificate verification failed", " for "),
    ("Server certificate verification failed", " for "),
    ("ciphertext read/write timeout", " for "),
    ("ciphertext read/write error", " for "),
    ("deadlock on ciphertext stream", " for "),
];

/// Beginnings of lines with a reason, but without a peer.
const UNNAMED: &[&str] = &[
    "TLS library problem: ",
    // tls_verify.c before Postfix 2.5
    "verify error:",
    // tls_bio_ops.c before Postfix 2.8
    "network_biopair_interop: ",
    // The TLS patch before Postfix 2.2
    "Peer verification: ",
];

/// Beginnings of lines about a bad certificate that name no peer (`tls_client.c` and `smtp_proto.c` before Postfix
/// 2.5).
const CERTIFICATE: [&str; 4] = ["Peer certificate", "Server certificate", "Client certificate", "CommonName mis-match"];

/// Returns the failure in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    failure(text).or_else(|| handshake(text)).or_else(|| queued_error(text)).or_else(|| {
        let reason = UNNAMED.iter().find_map(|begin| text.strip_prefix(begin))?;
        Some(Event::TlsError(TlsError { peer: None, reason: if reason.is_empty() { text } else { reason } }))
    })
}

/// Returns the failure of a certificate, in older words: the reason is the whole text.
pub(super) fn certificate(text: &str) -> Option<Event<'_>> {
    let begins = CERTIFICATE.iter().any(|begin| text.starts_with(begin));
    begins.then_some(Event::TlsError(TlsError { peer: None, reason: text }))
}

/// Reads an entry of OpenSSL's error queue: `[PID:]error:14094418:SSL routines:…`, since OpenSSL 3 with a thread
/// instead of the PID.
fn queued_error(text: &str) -> Option<Event<'_>> {
    let is_hex = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_hexdigit());
    let rest = match text.strip_prefix("error:") {
        Some(rest) => rest,
        None => text.split_once(":error:").filter(|(thread, _)| thread.len() <= 32 && is_hex(thread))?.1,
    };
    let (code, _) = rest.split_once(':')?;
    (code.len() == 8 && is_hex(code)).then_some(Event::TlsError(TlsError { peer: None, reason: text }))
}

fn failure(text: &str) -> Option<Event<'_>> {
    FAILURES.iter().find_map(|(what, before)| {
        let (peer, why) = split_peer(text.strip_prefix(what)?.strip_prefix(before)?);
        let number = why.strip_prefix('-').unwrap_or(why);
        let says_nothing = number.bytes().all(|b| b.is_ascii_digit());
        Some(Event::TlsError(TlsError { peer, reason: if says_nothing { &text[..what.len()] } else { why } }))
    })
}

fn handshake(text: &str) -> Option<Event<'_>> {
    const WHAT: &str = "TLS handshake failed";
    let rest = text.strip_prefix(WHAT)?.strip_prefix(" for service=")?;
    let (_, peer) = rest.split_once(" peer=")?;
    Some(Event::TlsError(TlsError { peer: endpoint::read(peer), reason: &text[..WHAT.len()] }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Endpoint;

    #[test]
    fn failures() {
        let host = |port| Some(Endpoint { name: Some("mx.example.net"), ip: Some("192.0.2.25"), port, path: None });
        let six = Some(Endpoint { ip: Some("2001:db8::7"), port: Some(4711), ..Endpoint::default() });
        let named = Some(Endpoint { name: Some("mx.example.net"), ..Endpoint::default() });
        #[rustfmt::skip]
        let vectors = [
            ("SSL_accept error from mx.example.net[192.0.2.25]: -1", host(None), "SSL_accept error"),
            ("SSL_accept error from mx.example.net[192.0.2.25]: 0", host(None), "SSL_accept error"),
            ("SSL_accept error from mx.example.net[192.0.2.25]:4711: lost connection", host(Some(4711)), "lost connection"),
            ("SSL_accept error from mx.example.net[192.0.2.25]: Connection timed out", host(None), "Connection timed out"),
            ("SSL_accept error from [2001:db8::7]:4711: Connection reset by peer", six, "Connection reset by peer"),
            ("SSL_accept error from unknown[unknown]: lost connection", None, "lost connection"),
            ("SSL_connect error to mx.example.net[192.0.2.25]:25: -1", host(Some(25)), "SSL_connect error"),
            ("SSL_connect error to mx.example.net[192.0.2.25]:25: Connection reset by peer", host(Some(25)), "Connection reset by peer"),
            ("SSL_connect error to mx.example.net: -1", named, "SSL_connect error"),
            ("certificate verification failed for mx.example.net[192.0.2.25]:25: untrusted issuer /C=DE/O=Bücher: GmbH/CN=CA", host(Some(25)), "untrusted issuer /C=DE/O=Bücher: GmbH/CN=CA"),
            ("certificate verification failed for mx.example.net[192.0.2.25]:25: self-signed certificate", host(Some(25)), "self-signed certificate"),
            ("certificate verification failed for mx.example.net[192.0.2.25]:25: not trusted by local or TLSA policy", host(Some(25)), "not trusted by local or TLSA policy"),
            ("certificate verification failed for mx.example.net: num=19:self signed certificate in certificate chain", named, "num=19:self signed certificate in certificate chain"),
            ("certificate verification failed for mx.example.net:num=20:unable to get local issuer certificate: x", named, "num=20:unable to get local issuer certificate: x"),
            ("certificate verification failed for mx.example.net[192.0.2.25]:num=18:self signed certificate", host(None), "num=18:self signed certificate"),
            ("server certificate verification failed for mx.example.net[192.0.2.25]:25: certificate has expired", host(Some(25)), "certificate has expired"),
            ("client certificate verification failed for mx.example.net[192.0.2.25]: num=26:unsupported certificate purpose", host(None), "num=26:unsupported certificate purpose"),
            ("CA certificate verification failed for mx.example.net[192.0.2.25]:25: certificate not yet valid", host(Some(25)), "certificate not yet valid"),
            ("certificate peer name verification failed for mx.example.net: CommonName mismatch: other.example.net", named, "CommonName mismatch: other.example.net"),
            ("TLS handshake failed for service=smtpd peer=[2001:db8::7]:4711", six, "TLS handshake failed"),
            ("TLS handshake failed for service=tlsproxy peer=mx.example.net[192.0.2.25]:25", host(Some(25)), "TLS handshake failed"),
            ("ciphertext read/write timeout for [2001:db8::7]:4711", six, "ciphertext read/write timeout"),
            ("TLS library problem: error:0A000126:SSL routines::unexpected eof while reading:../ssl/record/rec_layer_s3.c:309:", None, "error:0A000126:SSL routines::unexpected eof while reading:../ssl/record/rec_layer_s3.c:309:"),
            ("TLS library problem: 4711:error:14094410:SSL routines:SSL3_READ_BYTES:sslv3 alert handshake failure:s3_pkt.c:1102:SSL alert number 40:", None, "4711:error:14094410:SSL routines:SSL3_READ_BYTES:sslv3 alert handshake failure:s3_pkt.c:1102:SSL alert number 40:"),
            ("verify error:num=18:self signed certificate", None, "num=18:self signed certificate"),
            ("network_biopair_interop: error reading 11 bytes from the network: Connection reset by peer", None, "error reading 11 bytes from the network: Connection reset by peer"),
            ("4711:error:14094418:SSL routines:SSL3_READ_BYTES:tlsv1 alert unknown ca:s3_pkt.c:1108:SSL alert number 48:", None, "4711:error:14094418:SSL routines:SSL3_READ_BYTES:tlsv1 alert unknown ca:s3_pkt.c:1108:SSL alert number 48:"),
            ("error:0A000126:SSL routines::unexpected eof while reading", None, "error:0A000126:SSL routines::unexpected eof while reading"),
            ("00DA1F2C3B7F0000:error:0A0000C1:SSL routines::no shared cipher:x.c:1:", None, "00DA1F2C3B7F0000:error:0A0000C1:SSL routines::no shared cipher:x.c:1:"),
            // Cut.
            ("SSL_accept error from mx.example.net[192.0.2.25]", host(None), "SSL_accept error"),
            ("SSL_accept error from ", None, "SSL_accept error"),
            ("TLS library problem: ", None, "TLS library problem: "),
        ];
        for (text, peer, reason) in vectors {
            assert_eq!(read(text), Some(Event::TlsError(TlsError { peer, reason })), "{text}");
        }
    }

    #[test]
    fn certificates() {
        for text in [
            "Peer certificate could not be verified",
            "Server certificate could not be verified",
            "CommonName mis-match: mx.example.net",
        ] {
            assert_eq!(certificate(text), Some(Event::TlsError(TlsError { peer: None, reason: text })), "{text}");
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(certificate("certificate"), None);
    }

    #[test]
    fn none() {
        for text in [
            "",
            "SSL_accept error",
            "error:xyz:SSL routines",
            "x:error:14094418:SSL routines",
            "4711:error:14094418",
            "SSL_accept:error in SSLv3 read client hello C",
            "certificate verification failed",
            "TLS handshake failed for service=smtpd",
            "lost connection after STARTTLS from mx.example.net[192.0.2.25]",
            "mx.example.net[192.0.2.25]: SSL_accept error from evil[203.0.113.9]: -1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
