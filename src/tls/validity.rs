//! Validity of a certificate (RFC 5280, section 4.1.2.5), and warnings about it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use rustls::pki_types::CertificateDer;

use super::subject::element;

/// Time before the end of a certificate from which its renewal is requested. Automatic renewal by ACME happens earlier.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Tag of the version, which precedes the serial number unless the version is 1.
const VERSION: u8 = 0xa0;

/// Returns a warning if `certificate` is not valid at `now`, or will soon expire; `None` if neither applies, or if the
/// certificate cannot be read.
pub(super) fn warning(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    let (not_before, not_after) = validity(certificate)?;
    if now < not_before {
        return Some(format!(
            "is not valid before {not_before}: compare the clocks, or put the right certificate there"
        ));
    }
    if now > not_after {
        return Some(format!("expired {not_after}: senders refuse it, so renew it"));
    }
    let left = Duration::try_from(not_after.duration_since(now)).ok()?;
    (left < RENEW_WITHIN).then(|| format!("ends {not_after}, in {} days: renew it", left.as_secs() / 86_400))
}

/// Returns the first and the last moment of validity.
fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // The serial number, the algorithm of the signature, the issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (tag, not_before, rest) = element(validity)?;
    let (end_tag, not_after, _) = element(rest)?;
    Some((moment(tag, not_before)?, moment(end_tag, not_after)?))
}

/// Reads `260824120000Z`, whose years are 1950 to 2049, or `20260824120000Z`.
fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let moment = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Offset::UTC.to_timestamp(moment).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["mx1.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_operator_is_told_before_and_after_the_end() {
        // The second ends in the year from which on the other type of time is used.
        for year in [2026, 2060] {
            let certificate = certificate((2026, 1, 1), (year, 12, 31));
            for (now, expected) in [
                ("2025-12-31T23:59:59Z".to_owned(), Some("is not valid before 2026-01-01T00:00:00Z".to_owned())),
                ("2026-01-01T00:00:00Z".to_owned(), None),
                (format!("{year}-12-17T00:00:00Z"), None),
                (format!("{year}-12-17T00:00:01Z"), Some(format!("ends {year}-12-31T00:00:00Z, in 13 days"))),
                (format!("{year}-12-31T00:00:00Z"), Some(format!("ends {year}-12-31T00:00:00Z, in 0 days"))),
                (format!("{year}-12-31T00:00:01Z"), Some(format!("expired {year}-12-31T00:00:00Z"))),
            ] {
                let warning = warning(&certificate, now.parse().unwrap());
                let expected_is_there = match (&warning, &expected) {
                    (Some(warning), Some(expected)) => warning.starts_with(expected.as_str()),
                    (warning, expected) => warning.is_none() && expected.is_none(),
                };
                assert!(expected_is_there, "{now}: {warning:?}");
            }
        }
    }

    #[test]
    fn what_can_not_be_read_gives_no_warning() {
        let whole = certificate((2020, 1, 1), (2021, 1, 1));
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(warning(&whole, now).is_some());
        for end in 0..whole.len() {
            assert_eq!(warning(&CertificateDer::from(&whole[..end]), now), None);
        }
        for (tag, text) in [(UTC_TIME, "2"), (UTC_TIME, "200101"), (GENERALIZED_TIME, "20201301000000Z"), (2, "x")] {
            assert_eq!(moment(tag, text.as_bytes()), None, "{text}");
        }
    }
}
