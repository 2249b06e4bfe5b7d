//! Results for a TLS report (RFC 8460), since Postfix 3.10 (`src/tls/tlsrpt_wrapper.c`).
//!
//! ```text
//! TLSRPT: status=success, domain=D, receiving_mx=N[A]
//! TLSRPT: status=failure, domain=D, receiving_mx=N[A], failure_type=T[, failure_reason=R]
//! ```

use super::super::endpoint;
use super::super::reader::ProgramLines;
use crate::record::{Endpoint, Event, TlsReport};

/// Lines that smtp alone writes.
pub(super) const LINES: &[ProgramLines] = &[ProgramLines::new("smtp", &[("TLSRPT: ", "")])];

/// Returns the result in a text.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    let mut rest = text.strip_prefix("TLSRPT: ")?;
    let (mut status, mut domain, mut failure_type, mut reason) = (None, None, None, None);
    let mut server: Option<Endpoint<'_>> = None;
    while !rest.is_empty() {
        // The reason comes last, and may contain anything.
        if let Some(value) = rest.strip_prefix("failure_reason=") {
            reason = some(value);
            break;
        }
        let (pair, after) = rest.split_once(", ").unwrap_or((rest, ""));
        rest = after;
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("status", value) => status = some(value),
            ("domain", value) => domain = some(value),
            ("receiving_mx", value) => server = endpoint::read(value),
            ("failure_type", value) => failure_type = some(value),
            _ => {}
        }
    }
    Some(Event::TlsReport(TlsReport { status: status?, domain, server, failure_type, reason }))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let mx = |ip| Some(Endpoint { name: Some("mx.example.net"), ip: Some(ip), ..Endpoint::default() });
        #[rustfmt::skip]
        let vectors = [
            ("TLSRPT: status=success, domain=example.net, receiving_mx=mx.example.net[192.0.2.25]", "success", Some("example.net"), mx("192.0.2.25"), None, None),
            ("TLSRPT: status=failure, domain=example.net, receiving_mx=mx.example.net[2001:db8::25], failure_type=starttls_not_supported", "failure", Some("example.net"), mx("2001:db8::25"), Some("starttls_not_supported"), None),
            ("TLSRPT: status=failure, domain=example.net, receiving_mx=mx.example.net[192.0.2.25], failure_type=validation_failure, failure_reason=self-signed, status=success", "failure", Some("example.net"), mx("192.0.2.25"), Some("validation_failure"), Some("self-signed, status=success")),
            // A report on a policy, before a server is known.
            ("TLSRPT: status=failure, domain=bücher.example, receiving_mx=, failure_type=sts_policy_fetch_error, failure_reason=", "failure", Some("bücher.example"), None, Some("sts_policy_fetch_error"), None),
            ("TLSRPT: status=failure, new=1, x, dom", "failure", None, None, None, None),
        ];
        for (text, status, domain, server, failure_type, reason) in vectors {
            assert_eq!(
                read(text),
                Some(Event::TlsReport(TlsReport { status, domain, server, failure_type, reason })),
                "{text}"
            );
        }
        for text in ["", "TLSRPT: ", "TLSRPT: status=", "TLSRPT: domain=example.net", "TLSRPT:status=success"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
