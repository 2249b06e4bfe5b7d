//! Validity of a certificate (RFC 5280, section 4.1.2.5), and warnings about it.

use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::time::Time;

/// Time before the end of a certificate from which its renewal is requested. Automatic renewal by ACME happens earlier.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Returns a warning if `certificate` is not valid at `now`, or will soon expire; `None` if neither applies, or if the
/// certificate cannot be read.
pub(super) fn warning(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let (not_before, not_after) = (moment(validity.not_before)?, moment(validity.not_after)?);
    if now < not_before {
        return Some(format!("is not valid before {not_before}; compare the clocks, or install the right certificate"));
    }
    if now > not_after {
        return Some(format!("expired at {not_after}; renew it, senders refuse it"));
    }
    let left = Duration::try_from(not_after.duration_since(now)).ok()?;
    (left < RENEW_WITHIN).then(|| format!("expires at {not_after}, in {} days; renew it", left.as_secs() / 86_400))
}

/// Returns the moment of a time; `None` for the end of the year 9999, which stands for "never".
fn moment(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(time.to_unix_duration().as_secs().try_into().ok()?).ok()
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
                (format!("{year}-12-17T00:00:01Z"), Some(format!("expires at {year}-12-31T00:00:00Z, in 13 days"))),
                (format!("{year}-12-31T00:00:00Z"), Some(format!("expires at {year}-12-31T00:00:00Z, in 0 days"))),
                (format!("{year}-12-31T00:00:01Z"), Some(format!("expired at {year}-12-31T00:00:00Z"))),
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
    }
}
