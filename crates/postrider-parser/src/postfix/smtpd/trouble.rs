//! Errors of clients, and problems with clients (`src/smtpd/smtpd.c`, `smtpd_peer.c`, `smtpd_sasl_glue.c`).
//!
//! ```text
//! C: SASL M authentication failed: REASON[, sasl_username=U]
//! hostname N does not resolve to address A[: WHY]
//! Connection rate limit exceeded: N from C for service S
//! improper command pipelining after STAGE from C: DATA
//! non-SMTP command from C: DATA
//! ```
//!
//! DATA, U and M come from the client. Postfix logs at most 100 bytes of a user.

use super::super::endpoint::is_ip;
use super::super::reader::ProgramLines;
use super::session::{is_stage, stage};
use super::{known, split, split_client};
use crate::decimal;
use crate::record::{
    Endpoint, Event, HostnameMismatch, ProtocolError, RateLimit, Sasl, SaslFailure, TlsError, Verdict,
};

/// Lines about trouble that smtpd alone writes.
pub(super) const LINES: &[ProgramLines] = &[
    ProgramLines::new(
        "smtpd",
        &[
            ("improper command pipelining after ", ""),
            ("bare <LF> received after ", " from "),
            ("disconnect: ", "bare <LF>"),
            ("smtpd_peer_init: ", ""),
            ("hostname ", " does not resolve to address "),
            ("non-SMTP command from ", ""),
            ("Illegal address syntax from ", " in "),
            ("Connection ", " limit exceeded: "),
            ("Message delivery request rate limit exceeded: ", ""),
            ("Recipient address rate limit exceeded: ", ""),
            ("New TLS session rate limit exceeded: ", ""),
            ("AUTH command rate limit exceeded: ", ""),
            ("abort: TLS from ", ""),
        ],
    ),
    ProgramLines::at_first_space(
        "smtpd",
        &[(": SASL ", ""), ("] sent message header instead of SMTP command", ""), ("] sent non-SMTP command", "")],
    ),
];

/// Returns the event of trouble in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    sasl_failure(text)
        .or_else(|| hostname_mismatch(text))
        .or_else(|| rate_limit(text))
        .or_else(|| protocol_error(text))
        .or_else(|| tls_error(text))
        .or_else(|| etrn(text))
}

/// Reads `C: SASL M authentication failed: REASON`, in newer versions with the user, and `C: SASL M authentication
/// aborted`.
///
/// The reason comes from the SASL server. The user comes last, and from the client: the first `, sasl_username=`
/// counts.
fn sasl_failure(text: &str) -> Option<Event<'_>> {
    let (client, rest) = split_client(text)?;
    let (method, rest) = rest.strip_prefix(": SASL ")?.split_once(' ')?;
    let failed = rest.strip_prefix("authentication failed");
    let (reason, username) = match failed {
        Some(failed) => {
            let after = failed.strip_prefix(": ").unwrap_or("");
            let (reason, username) = split(after, ", sasl_username=");
            (known(reason, "(reason unavailable)"), username.and_then(|name| known(name, "(unavailable)")))
        }
        None if rest == "authentication aborted" => (Some(rest), None),
        None => return None,
    };
    let sasl = Sasl { method: known(method, "(unavailable)"), username, sender: None };
    Some(Event::SaslFailure(SaslFailure { client, sasl, reason }))
}

/// Reads a mismatch between a client's name and its address (`smtpd_peer.c`, `qmqpd_peer.c`):
///
/// ```text
/// hostname N does not resolve to address A[: WHY]
/// A: hostname N verification failed: WHY           in older versions
/// A: address not listed for hostname N             in older versions
/// smtpd_peer_init: A: …                            in older versions still
/// ```
pub(in crate::postfix) fn hostname_mismatch(text: &str) -> Option<Event<'_>> {
    let named = ["smtpd_peer_init: ", "qmqpd_peer_init: "].iter().find_map(|function| text.strip_prefix(function));
    let text = named.unwrap_or(text);
    let (name, ip, reason) = resolves_elsewhere(text).or_else(|| not_verified(text))?;
    if name.contains(' ') || ip.contains(' ') {
        return None;
    }
    let ip = Some(ip).filter(|ip| is_ip(ip));
    let client = Endpoint { name: known(name, ""), ip, ..Endpoint::default() };
    let reason = reason.and_then(|reason| known(reason, ""));
    Some(Event::HostnameMismatch(HostnameMismatch {
        client: Some(client).filter(|client| *client != Endpoint::default()),
        reason,
    }))
}

/// Returns the name, the address and the reason, in the words of current versions.
fn resolves_elsewhere(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (name, rest) = text.strip_prefix("hostname ")?.split_once(" does not resolve to address ")?;
    let (ip, reason) = split(rest, ": ");
    Some((name, ip, reason))
}

/// Returns the name, the address and the reason, in the words of older versions.
fn not_verified(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (ip, rest) = text.split_once(": ").filter(|(ip, _)| is_ip(ip))?;
    if let Some(name) = rest.strip_prefix("address not listed for hostname ") {
        return Some((name, ip, None));
    }
    let (name, rest) = rest.strip_prefix("hostname ")?.split_once(" verification failed")?;
    Some((name, ip, rest.strip_prefix(": ")))
}

/// Limits that a client can exceed, in the words of `smtpd.c` and of the record.
const LIMITS: [(&str, &str); 6] = [
    ("Connection concurrency", "connection_concurrency"),
    ("Connection rate", "connection_rate"),
    ("Message delivery request rate", "message_rate"),
    ("Recipient address rate", "recipient_rate"),
    ("New TLS session rate", "new_tls_session_rate"),
    ("AUTH command rate", "auth_rate"),
];

/// Reads `Connection rate limit exceeded: N from C for service S`.
fn rate_limit(text: &str) -> Option<Event<'_>> {
    let (rest, limit) = LIMITS.iter().find_map(|(words, limit)| Some((text.strip_prefix(words)?, *limit)))?;
    let rest = rest.strip_prefix(" limit exceeded: ")?;
    let (value, rest) = rest.split_once(" from ")?;
    let (client, rest) = split_client(rest)?;
    let service = rest.strip_prefix(" for service ").and_then(|service| known(service, ""));
    Some(Event::RateLimit(RateLimit { client, limit, value: decimal::whole(value), limited_service: service }))
}

/// Reads a violation of the protocol by a client.
fn protocol_error(text: &str) -> Option<Event<'_>> {
    let (kind, stage, client, sent) = pipelining(text)
        .or_else(|| illegal_address(text))
        .or_else(|| non_smtp_command(text))
        .or_else(|| bdat(text))
        .or_else(|| bad_etrn(text))
        .or_else(|| bare_newline(text))?;
    Some(Event::ProtocolError(ProtocolError { client, kind, stage, text: sent }))
}

/// Violation of the protocol: the kind, the stage, the client, and the data that the client sent.
type Broken<'a> = (&'static str, Option<&'a str>, Option<Endpoint<'a>>, Option<&'a str>);

/// Reads `improper command pipelining after STAGE from C[: DATA]`; older versions log no data.
fn pipelining(text: &str) -> Option<Broken<'_>> {
    let (stage, from) = text.strip_prefix("improper command pipelining after ")?.split_once(" from ")?;
    let (client, rest) = split_client(from)?;
    is_stage(stage).then_some(("command_pipelining", Some(stage), client, sent(rest)))
}

/// Reads a line that ends without CR, under `smtpd_forbid_bare_newline` (Postfix 3.9, 3.8.4, 3.7.9, 3.6.13, 3.5.23):
///
/// ```text
/// bare <LF> received after STAGE[ (N bytes)] from C
/// disconnect: C: not allowed: bare <LF>, disconnect: not allowed: bare <LF> received from C
/// ```
fn bare_newline(text: &str) -> Option<Broken<'_>> {
    const KIND: &str = "bare_newline";
    if let Some(rest) = text.strip_prefix("bare <LF> received after ") {
        let (at, from) = rest.split_once(" from ")?;
        let (client, "") = split_client(from)? else { return None };
        let (stage, _) = stage(at)?;
        return Some((KIND, Some(stage), client, None));
    }
    let (before, after) = text.strip_prefix("disconnect: ")?.split_once("not allowed: bare <LF>")?;
    let from = after.find(" from ").map_or(before, |at| &after[at + " from ".len()..]);
    Some((KIND, None, split_client(from.trim_start_matches("from ")).and_then(|(client, _)| client), None))
}

/// Reads `Illegal address syntax from C in MAIL command: ADDRESS`.
fn illegal_address(text: &str) -> Option<Broken<'_>> {
    let (client, rest) = split_client(text.strip_prefix("Illegal address syntax from ")?)?;
    let in_command = rest.strip_prefix(" in ").and_then(|rest| rest.split_once(" command"));
    let (stage, rest) = in_command.filter(|(stage, _)| is_stage(stage)).unzip();
    Some(("illegal_address_syntax", stage, client, rest.and_then(sent)))
}

/// Reads `non-SMTP command from C: DATA`; before Postfix 2.3, `C sent message header instead of SMTP command: DATA` and
/// `C sent non-SMTP command: DATA`.
fn non_smtp_command(text: &str) -> Option<Broken<'_>> {
    const KIND: &str = "non_smtp_command";
    if let Some(from) = text.strip_prefix("non-SMTP command from ") {
        let (client, rest) = split_client(from)?;
        return Some((KIND, None, client, sent(rest)));
    }
    let (client, rest) = split_client(text)?;
    let rest = rest.strip_prefix(" sent ")?;
    let rest = rest
        .strip_prefix("message header instead of SMTP command")
        .or_else(|| rest.strip_prefix("non-SMTP command"))?;
    Some((KIND, None, client, sent(rest)))
}

/// Reads an error in a BDAT command (Postfix 3.4).
fn bdat(text: &str) -> Option<Broken<'_>> {
    let (rest, kind) = if let Some(rest) = text.strip_prefix("malformed BDAT command syntax from ") {
        (rest, "malformed_bdat")
    } else if let Some(rest) = text.strip_prefix("null BDAT request from ") {
        (rest, "null_bdat")
    } else {
        (text.strip_prefix("BDAT request from ")?, "bdat_too_large")
    };
    let (client, rest) = split_client(rest)?;
    Some((kind, Some("BDAT"), client, sent(rest)))
}

/// Reads `bad ETRN DOMAIN... from C`. The domain comes from the client, so the last ` from ` counts.
fn bad_etrn(text: &str) -> Option<Broken<'_>> {
    let (domain, client) = etrn_domain(text.strip_prefix("bad ETRN ")?)?;
    Some(("bad_etrn", Some("ETRN"), client, Some(domain)))
}

/// Reads `reject: ETRN DOMAIN... from C`, which has a form that no other verdict has (`etrn_cmd()`).
fn etrn(text: &str) -> Option<Event<'_>> {
    let (domain, client) = etrn_domain(text.strip_prefix("reject: ETRN ")?)?;
    let trigger = known(domain, "");
    Some(Event::Verdict(Verdict {
        action: "reject",
        by: "restriction",
        stage: Some("ETRN"),
        client,
        trigger,
        ..Verdict::default()
    }))
}

/// Returns the domain in `DOMAIN... from C`, and the client.
fn etrn_domain(text: &str) -> Option<(&str, Option<Endpoint<'_>>)> {
    let (domain, from) = text.rsplit_once("... from ")?;
    let (client, "") = split_client(from)? else { return None };
    Some((domain, client))
}

/// Reads a refusal to give a client TLS, or TLS that is not sufficient (`smtpd_start_tls()`, `starttls_cmd()`).
fn tls_error(text: &str) -> Option<Event<'_>> {
    if let Some(rest) = text.strip_prefix("abort: TLS from ") {
        let (peer, rest) = split_client(rest)?;
        return Some(Event::TlsError(TlsError { peer, reason: sent(rest)? }));
    }
    let begins =
        ["Refusing STARTTLS request from ", "Refusing TLS service request from ", "Wrapper-mode request dropped from "];
    let from = begins.iter().find_map(|begin| text.strip_prefix(begin))?;
    let (peer, rest) = split_client(from)?;
    // Only one of these messages gives a reason: in its second sentence.
    let why = rest.strip_prefix(" for service ").and_then(|rest| rest.split_once(". ")).map(|(_, why)| why);
    Some(Event::TlsError(TlsError { peer, reason: why.unwrap_or(text) }))
}

/// Returns the text after `: `, if it is not empty.
fn sent(text: &str) -> Option<&str> {
    known(text.strip_prefix(": ")?, "")
}
