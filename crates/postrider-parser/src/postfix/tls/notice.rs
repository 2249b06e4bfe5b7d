//! Lines that `smtp_tls_loglevel` and similar parameters add to the summary: notices up to level 2, debug output above.
//!
//! # Limits
//!
//! At level 2, Postfix logs the reports of OpenSSL's callbacks on each step. They are debug output here: they name the
//! steps of a library, not the fate of a message.

use super::super::endpoint;
use super::super::reader::{ProgramLines, Verbose};
use super::super::shape::{self, Shape};
use crate::record::{self, Event, Text};

/// Lines that one program alone writes.
pub(super) const LINES: &[ProgramLines] = &[
    ProgramLines::new("smtpd", &[("setting up TLS connection from ", ""), ("TLS SNI ", " from ")]),
    ProgramLines::new("smtp", &[("setting up TLS connection to ", ""), ("Host offered STARTTLS: [", "")]),
];

/// The lines that `src/tls` logs at level 2 and more, and those of `tlsmgr -v` about its caches.
pub(super) const VERBOSE: Verbose = Verbose {
    shapes: &[
        ("SSL_connect:", ""),
        ("SSL_accept:", ""),
        ("SSL3 alert ", ""),
        ("read from ", " bytes => "),
        ("write to ", " bytes => "),
        ("Read ", " chars: "),
        ("Write ", " chars: "),
        ("lookup ", " session id="),
        ("put ", " session id="),
        ("delete ", " session id="),
        ("open ", " TLS cache "),
        ("close ", " TLS cache "),
        ("read ", " TLS cache entry "),
        ("write ", " TLS cache entry "),
    ],
    functions: &["tls", "tlsa", "tlsmgr", "tlsrpt"],
};

/// Kind of a line: debug output, or one of the notices.
#[derive(Clone, Copy)]
enum NoticeKind {
    Debug,
    Notice(&'static str),
}

use NoticeKind::{Debug, Notice};

/// Shapes of lines, and their kind.
const KINDS: &[(Shape, NoticeKind)] = &[
    // tls_client.c, tls_server.c
    (("setting up TLS connection to ", ""), Notice("tls_setup")),
    (("setting up TLS connection from ", ""), Notice("tls_setup")),
    (("initializing the server-side TLS engine", ""), Notice("tls_engine")),
    (("initializing the client-side TLS engine", ""), Notice("tls_engine")),
    (("starting TLS engine", ""), Notice("tls_engine")),
    (("TLS SNI ", " not matched, using default chain"), Notice("tls_sni_unmatched")),
    // Before Postfix 2.5, the line does not name the peer.
    (("Verified: subject_CN=", ""), Notice("tls_certificate")),
    (("Unverified: subject_CN=", ""), Notice("tls_certificate")),
    // smtp_proto.c, smtp_tls_note_starttls_offer
    (("Host offered STARTTLS: [", ""), Notice("starttls_offered")),
    // Postfix 3.12
    (("TLS protocol trace for ", " saved to "), Notice("tls_trace_saved")),
    // tls_misc.c, tls_info_callback(): `undefined` means neither of the two.
    (("SSL_accept:", ""), Debug),
    (("SSL_connect:", ""), Debug),
    (("undefined:", ""), Debug),
    (("SSL3 alert ", ""), Debug),
    // tls_bio_dump_cb()
    (("read from ", " bytes => "), Debug),
    (("write to ", " bytes => "), Debug),
    // tls_client.c, tls_server.c, tls_verify.c, tls_dane.c
    (("save session ", " to "), Debug),
    (("looking for session ", " in "), Debug),
    (("reloaded session ", " from "), Debug),
    (("remove session ", " cache"), Debug),
    (("subject=", ""), Debug),
    (("issuer=", ""), Debug),
    (("fingerprint=", ""), Debug),
    (("verify return:", ""), Debug),
    (("using DANE RR: ", ""), Debug),
    (("DNSSEC-signed TLSA record", ": "), Debug),
    (("digest as private-use TLSA record", ": "), Debug),
];

/// Beginnings of texts that follow `P: `, and their kind.
const OF_A_PEER: &[(&str, NoticeKind)] = &[
    ("subject_CN=", Notice("tls_certificate")),
    // Postfix 2.5 to 2.10, on the server side.
    ("Trusted: subject_CN=", Notice("tls_certificate")),
    ("Untrusted: subject_CN=", Notice("tls_certificate")),
    ("Verified: subject_CN=", Notice("tls_certificate")),
    ("Unverified: subject_CN=", Notice("tls_certificate")),
    ("TLS cipher list \"", Notice("tls_cipher_list")),
    ("re-using session with untrusted certificate", Notice("tls_session_untrusted")),
    ("Reusing old session", Debug),
    ("SNI hostname: ", Debug),
    ("depth=", Debug),
    ("Matched ", Debug),
    ("matched peername: ", Debug),
    ("save session ", Debug),
    ("looking up session ", Debug),
    ("reloaded session ", Debug),
    ("remove session ", Debug),
    ("Issuing session ticket", Debug),
    ("Decrypting session ticket", Debug),
];

/// Returns the notice or the debug output in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    let event = |kind| match kind {
        Debug => Event::Debug(Text { text }),
        Notice(kind) => Event::Notice(record::Notice { kind, server: None, text }),
    };
    if let Some((_, kind)) = KINDS.iter().find(|(shape, _)| shape::fits(*shape, text)) {
        return Some(event(*kind));
    }
    if is_dump(text) {
        return Some(event(Debug));
    }
    let (_, rest) = endpoint::split(text)?;
    // Postfix 2.x: `P CommonName NAME`.
    if rest.starts_with(" CommonName ") {
        return Some(event(Debug));
    }
    let rest = rest.strip_prefix(": ")?;
    OF_A_PEER.iter().find(|(begin, _)| rest.starts_with(begin)).map(|(_, kind)| event(*kind))
}

/// Returns true if a text is a line of a hex dump (`tls_dump_buffer()`): `0010 16 03 01 …`, or `0010 - <SPACES/NULLS>`.
fn is_dump(text: &str) -> bool {
    let is_hex = |bytes: &[u8]| bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let Some((offset, rest)) = text.split_once(' ') else { return false };
    let begins = |bytes: &[u8]| matches!(bytes, [a, b, b' ' | b'-' | b'|', ..] if is_hex(&[*a, *b]));
    matches!(offset.len(), 4..=16)
        && is_hex(offset.as_bytes())
        && (begins(rest.as_bytes()) || rest == "- <SPACES/NULLS>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices() {
        #[rustfmt::skip]
        let vectors = [
            ("setting up TLS connection to mx.example.net[192.0.2.25]:25", "tls_setup"),
            ("setting up TLS connection from mx.example.net[2001:db8::25]", "tls_setup"),
            ("initializing the server-side TLS engine", "tls_engine"),
            ("initializing the client-side TLS engine", "tls_engine"),
            ("TLS SNI bücher.example from mx.example.net[192.0.2.25] not matched, using default chain", "tls_sni_unmatched"),
            ("Verified: subject_CN=mx.example.net, issuer=Example CA", "tls_certificate"),
            ("Unverified: subject_CN=mx.example.net, issuer=Example CA", "tls_certificate"),
            ("Host offered STARTTLS: [mx.example.net]", "starttls_offered"),
            ("TLS protocol trace for mx.example.net[192.0.2.25]:25 saved to /var/lib/postfix/trace-1", "tls_trace_saved"),
            ("mx.example.net[192.0.2.25]:25: subject_CN=mx.example.net, issuer_CN=Example CA, fingerprint=AA:BB, pkey_fingerprint=CC:DD", "tls_certificate"),
            ("mx.example.net[192.0.2.25]: subject_CN=a: b, issuer=Example CA, cert fingerprint=AA:BB, pkey fingerprint=CC:DD", "tls_certificate"),
            ("mx.example.net[192.0.2.25]: Untrusted: subject_CN=a, issuer=b, fingerprint=AA:BB", "tls_certificate"),
            ("mx.example.net[192.0.2.25]: Unverified: subject_CN=a, issuer=b", "tls_certificate"),
            ("mx.example.net[2001:db8::25]:25: TLS cipher list \"aNULL:-aNULL:HIGH:@STRENGTH\"", "tls_cipher_list"),
            ("mx.example.net[192.0.2.25]:25: re-using session with untrusted certificate, look for details earlier in the log", "tls_session_untrusted"),
        ];
        for (text, kind) in vectors {
            assert_eq!(read(text), Some(Event::Notice(record::Notice { kind, server: None, text })), "{text}");
        }
    }

    #[test]
    fn debug_output() {
        for text in [
            "SSL_accept:before SSL initialization",
            "SSL_accept:error in SSLv3 read client hello C",
            "SSL_connect:SSLv3/TLS write client hello",
            "SSL_connect:before/connect initialization",
            "undefined:SSLv3/TLS read server session ticket",
            "SSL3 alert read:fatal:unknown CA",
            "read from 55D0A1B2C3D0 [55D0A1B2D0E3] (5 bytes => 5 (0x5))",
            "write to 55D0A1B2C3D0 [55D0A1B2D0E3] (517 bytes => 517 (0x205))",
            "0000 16 03 01 02 00 01 00 01|fc 03 03 8e 1f 2c 41 5a  ........ .....,AZ",
            "01f0 00 - <SPACES/NULLS>",
            "0205 - <SPACES/NULLS>",
            "save session smtp:192.0.2.25:25&l=805306559 to smtp cache",
            "looking for session smtp:192.0.2.25:25&l=805306559 in smtp cache",
            "reloaded session smtp:192.0.2.25:25&l=805306559 from smtp cache",
            "remove session smtp:192.0.2.25:25 from client cache",
            "subject=/CN=mx.example.net",
            "issuer=/CN=Example CA",
            "using DANE RR: _25._tcp.mx.example.net IN TLSA 3 1 1 AA:BB",
            "DNSSEC-signed TLSA record: _25._tcp.mx.example.net: 3 1 1 aabb",
            "mx.example.net[192.0.2.25]:25: depth=0 verify=1 subject=/CN=mx.example.net",
            "mx.example.net[192.0.2.25]:25: Matched subjectAltName: mx.example.net",
            "mx.example.net[192.0.2.25]:25: Matched DANE EE certificate at depth 0: 3 1 1 AA:BB",
            "mx.example.net[192.0.2.25]:25: matched peername: mx.example.net",
            "mx.example.net[192.0.2.25]:25 CommonName mx.example.net",
            "mx.example.net[192.0.2.25]: Issuing session ticket, key expiration: 1795489200",
            "mx.example.net[192.0.2.25]: Decrypting session ticket, key expiration: 1795489200",
            "mx.example.net[192.0.2.25]: looking up session AABB in smtpd cache",
            "mx.example.net[192.0.2.25]: save session AABB to smtpd cache",
            "mx.example.net[192.0.2.25]:25: Reusing old session (RFC 5077 session ticket)",
            "mx.example.net[192.0.2.25]:25: SNI hostname: mx.example.net",
        ] {
            assert_eq!(read(text), Some(Event::Debug(Text { text })), "{text}");
        }
    }

    #[test]
    fn none() {
        for text in [
            "",
            "TLS SNI from mx.example.net[192.0.2.25] is invalid: x",
            "mx.example.net[192.0.2.25]: SASL PLAIN authentication failed: subject_CN=x",
            "mx.example.net[192.0.2.25]: replacing command \"x\" with \"y\"",
            "mx.example.net[192.0.2.25]",
            "read from the queue",
            "save session",
            "cafe au lait",
            "0000 é3 x",
            "0000 16",
            "subject",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
