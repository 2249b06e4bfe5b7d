//! The TLS summary line (`tls_log_summary()` in `src/tls/tls_misc.c`).
//!
//! ```text
//! [TRUST ]TLS connection established|reused to|from PEER[ to SNI]: PROTO with cipher CIPHER (USE/ALG bits)
//!   [ key-exchange KX[ (GROUP)]]
//!   [ server-signature SIG[ (PARAMETERS)][ server-digest D]][ client-signature SIG[ (PARAMETERS)][ client-digest D]]
//! ```
//!
//! Postfix 2.5 added the trust, 3.4 the reuse and everything after the cipher, 3.9 raw public keys among the
//! parameters. ` to SNI` is logged on the server side only.

use memchr::memmem;

use super::super::endpoint;
use super::super::reader::ProgramLines;
use super::split_peer;
use crate::decimal;
use crate::record::{Endpoint, Event, Tls, TlsSummary};

/// Lines that one program alone writes: connections come from clients, and go to servers.
pub(super) const LINES: &[ProgramLines] = &[
    ProgramLines::new("smtpd", &[("TLS connection established from ", "")]),
    ProgramLines::at_first_space("smtpd", &[(" TLS connection established from ", "")]),
    // The clients of tlsproxy have no name.
    ProgramLines::new("tlsproxy", &[("TLS connection established from [", "")]),
    ProgramLines::at_first_space("tlsproxy", &[(" TLS connection established from [", "")]),
    ProgramLines::new("smtp", &[("TLS connection established to ", "")]),
    ProgramLines::at_first_space(
        "smtp",
        &[(" TLS connection established to ", ""), (" TLS connection reused to ", "")],
    ),
];

/// Levels of trust in the peer, in the words of `tls_log_summary()` and of the record.
const TRUST: [(&str, &str); 4] =
    [("Anonymous ", "anonymous"), ("Untrusted ", "untrusted"), ("Trusted ", "trusted"), ("Verified ", "verified")];

/// Returns the summary in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    let trusted = TRUST.into_iter().find_map(|(words, trust)| Some((trust, text.strip_prefix(words)?)));
    let (trust, rest) = trusted.map_or((None, text), |(trust, rest)| (Some(trust), rest));
    let rest = rest.strip_prefix("TLS connection ")?;
    let (reused, rest) = match rest.strip_prefix("established ") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix("reused ")?),
    };
    let (direction, rest) = match rest.strip_prefix("to ") {
        Some(rest) => ("outbound", rest),
        None => ("inbound", rest.strip_prefix("from ")?),
    };
    let (peer, sni, rest) = split_ends(rest);
    let mut tls = Tls { trust, direction, reused, sni, ..Tls::default() };
    let rest = read_cipher(&mut tls, rest);
    read_details(&mut tls, rest);
    Some(Event::Tls(TlsSummary { peer, tls }))
}

/// Returns the peer, the server name that it asked for, and the text after them.
fn split_ends(text: &str) -> (Option<Endpoint<'_>>, Option<&str>, &str) {
    if let Some((peer, rest)) = endpoint::split(text)
        && let Some(rest) = rest.strip_prefix(" to ")
    {
        let (sni, rest) = rest.split_once(": ").unwrap_or((rest, ""));
        return (peer, some(sni), rest);
    }
    let (peer, rest) = split_peer(text);
    (peer, None, rest)
}

/// Reads `PROTO with cipher CIPHER (USE/ALG bits)`; returns the text after it.
fn read_cipher<'a>(tls: &mut Tls<'a>, text: &'a str) -> &'a str {
    let (protocol, rest) = text.split_once(' ').unwrap_or((text, ""));
    tls.protocol = some(protocol);
    let Some(rest) = rest.strip_prefix("with cipher ") else { return rest };
    let (cipher, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    tls.cipher = some(cipher);
    let Some((bits, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(" bits)")) else { return rest };
    if let Some((used, algorithm)) = bits.split_once('/') {
        tls.bits = decimal::whole(used);
        tls.algorithm_bits = decimal::whole(algorithm);
    }
    after
}

/// Reads the details that Postfix 3.4 added: pairs of a word and a value. A value ends at the next word.
fn read_details<'a>(tls: &mut Tls<'a>, text: &'a str) {
    const WORDS: [&str; 5] =
        [" key-exchange ", " server-signature ", " server-digest ", " client-signature ", " client-digest "];
    let mut rest = text;
    while let Some(word) = WORDS.into_iter().find(|word| rest.starts_with(word)) {
        let after = &rest[word.len()..];
        let ends = [" server-", " client-"].map(|next| memmem::find(after.as_bytes(), next.as_bytes()));
        let end = ends.into_iter().flatten().min().unwrap_or(after.len());
        let field = match word {
            " key-exchange " => &mut tls.key_exchange,
            " server-signature " => &mut tls.server_signature,
            " server-digest " => &mut tls.server_digest,
            " client-signature " => &mut tls.client_signature,
            _ => &mut tls.client_digest,
        };
        if field.is_some() {
            // No word occurs twice: the rest belongs to no summary, however long it is.
            return;
        }
        *field = some(&after[..end]);
        rest = &after[end..];
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn summary(text: &str) -> (Option<Endpoint<'_>>, Tls<'_>) {
        match read(text) {
            Some(Event::Tls(TlsSummary { peer, tls })) => (peer, tls),
            other => panic!("{text}: {other:?}"),
        }
    }

    const MX: Endpoint<'_> =
        Endpoint { name: Some("mx.example.net"), ip: Some("192.0.2.25"), port: Some(25), path: None };

    #[test]
    fn every_beginning() {
        let short = Tls {
            direction: "outbound",
            protocol: Some("TLSv1.2"),
            cipher: Some("ECDHE-RSA-AES256-GCM-SHA384"),
            bits: Some(128),
            algorithm_bits: Some(256),
            ..Tls::default()
        };
        let client = Endpoint { port: None, ..MX };
        let inbound = Tls { direction: "inbound", ..short };
        let named = Endpoint { name: Some("mx.example.net"), ..Endpoint::default() };
        let socket = Endpoint { path: Some("private/lmtp"), ..named };
        let submit = Endpoint { ip: Some("2001:db8::7"), port: Some(4711), ..Endpoint::default() };
        #[rustfmt::skip]
        let vectors = [
            ("Anonymous TLS connection established to mx.example.net[192.0.2.25]:25", Some(MX), Tls { trust: Some("anonymous"), ..short }),
            ("Untrusted TLS connection established to mx.example.net[192.0.2.25]:25", Some(MX), Tls { trust: Some("untrusted"), ..short }),
            ("Trusted TLS connection reused to mx.example.net[192.0.2.25]:25", Some(MX), Tls { trust: Some("trusted"), reused: true, ..short }),
            ("Verified TLS connection established to mx.example.net[private/lmtp]", Some(socket), Tls { trust: Some("verified"), ..short }),
            ("Anonymous TLS connection established from mx.example.net[192.0.2.25]", Some(client), Tls { trust: Some("anonymous"), ..inbound }),
            ("Anonymous TLS connection established from mx.example.net[192.0.2.25]:25 to mail.example.com", Some(MX), Tls { trust: Some("anonymous"), sni: Some("mail.example.com"), ..inbound }),
            ("Anonymous TLS connection established from [2001:db8::7]:4711 to bücher.example", Some(submit), Tls { trust: Some("anonymous"), sni: Some("bücher.example"), ..inbound }),
            ("Anonymous TLS connection established from unknown[unknown]", None, Tls { trust: Some("anonymous"), ..inbound }),
            // Before 2.5.
            ("TLS connection established to mx.example.net", Some(named), short),
            ("TLS connection established from mx.example.net[192.0.2.25]", Some(client), inbound),
        ];
        for (begin, peer, tls) in vectors {
            let text = format!("{begin}: TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (128/256 bits)");
            assert_eq!(summary(&text), (peer, tls), "{text}");
        }
    }

    #[test]
    fn every_ending() {
        // key exchange, server's signature and digest, client's signature and digest
        #[rustfmt::skip]
        let vectors = [
            ("", ["", "", "", "", ""]),
            (" key-exchange X25519", ["X25519", "", "", "", ""]),
            (" key-exchange ECDHE (P-256) server-signature RSA-PSS (2048 bits) server-digest SHA256", ["ECDHE (P-256)", "RSA-PSS (2048 bits)", "SHA256", "", ""]),
            (" key-exchange DHE (2048 bits) server-signature RSA (4096 bits)", ["DHE (2048 bits)", "RSA (4096 bits)", "", "", ""]),
            (" key-exchange X25519MLKEM768 server-signature ECDSA (prime256v1) server-digest SHA256 client-signature RSA-PSS (2048 bits) client-digest SHA512", ["X25519MLKEM768", "ECDSA (prime256v1)", "SHA256", "RSA-PSS (2048 bits)", "SHA512"]),
            (" key-exchange X25519 server-signature ED25519 client-signature ECDSA (P-384)", ["X25519", "ED25519", "", "ECDSA (P-384)", ""]),
            (" server-signature RSA (2048 bit raw public key) server-digest SHA256", ["", "RSA (2048 bit raw public key)", "SHA256", "", ""]),
            (" server-signature ECDSA (prime256v1 raw public key) client-signature ED25519 (raw public key)", ["", "ECDSA (prime256v1 raw public key)", "", "ED25519 (raw public key)", ""]),
            // Cut, or not Postfix's.
            (" key-exchange X25519 server-sig", ["X25519", "", "", "", ""]),
            (" key-exchange ", ["", "", "", "", ""]),
            (" key-exchange A key-exchange B", ["A key-exchange B", "", "", "", ""]),
            (" server-digest A server-digest B client-digest C", ["", "", "A", "", ""]),
            (" x", ["", "", "", "", ""]),
        ];
        for (end, expected) in vectors {
            let text = format!(
                "Trusted TLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits){end}"
            );
            let (peer, tls) = summary(&text);
            let found =
                [tls.key_exchange, tls.server_signature, tls.server_digest, tls.client_signature, tls.client_digest];
            assert_eq!(found.map(|word| word.unwrap_or("")), expected, "{text}");
            assert_eq!((peer, tls.bits, tls.algorithm_bits), (Some(MX), Some(256), Some(256)), "{text}");
        }
    }

    #[test]
    fn cut_anywhere() {
        let whole = "Trusted TLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3 with cipher \
                     TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519";
        let fixed = "Trusted TLS connection established to ".len();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]).is_some(), end >= fixed, "{}", &whole[..end]);
        }
        let (peer, tls) =
            summary("Trusted TLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3 with ci");
        assert_eq!((peer, tls.protocol, tls.cipher), (Some(MX), Some("TLSv1.3"), None));
        let (_, tls) = summary(
            "Trusted TLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3 with cipher A (+1/ bits)",
        );
        assert_eq!((tls.cipher, tls.bits, tls.algorithm_bits), (Some("A"), None, None));
    }

    #[test]
    fn none() {
        for text in [
            "",
            "Trusted",
            "Trusted ",
            "TrustedTLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3",
            "Trusting TLS connection established to mx.example.net[192.0.2.25]:25: TLSv1.3",
            "Trusted TLS connection dropped to mx.example.net[192.0.2.25]:25: TLSv1.3",
            "Trusted TLS connection established with mx.example.net[192.0.2.25]:25: TLSv1.3",
            "setting up TLS connection to mx.example.net[192.0.2.25]:25",
            "improper command pipelining after EHLO from x[192.0.2.1]: Trusted TLS connection established to a: b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
