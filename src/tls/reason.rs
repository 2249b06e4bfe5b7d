//! Reasons why TLS connections fail, in words for the operator.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Returns what went wrong with a connection, and which side has to act; rustls' text for errors without words of their
/// own.
pub fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the sender closed the connection during the handshake".to_owned();
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_tls(error),
        None => error.to_string(),
    }
}

fn of_tls(error: &Error) -> String {
    let words = match error {
        Error::NoCertificatesPresented => "the sender sent no certificate, and client_certificate is \"required\"",
        Error::InvalidMessage(_) => "the sender sent data that is not TLS",
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::InvalidCertificate(error) => return of_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the sender supports only TLS versions below min_version",
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the sender offers no safe cipher suite; it needs ECDHE with AES-GCM or ChaCha20-Poly1305 (RFC 9662); omrelp \
             offers these only with tls.myCert and tls.myPrivKey"
        }
        other => return other.to_string(),
    };
    words.to_owned()
}

/// Describes an alert that the sender sent about this server.
fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let name = format!("{alert:?}");
    match alert {
        // A CA of the same name with another key causes the latter.
        Alert::UnknownCA | Alert::DecryptError => {
            format!(
                "the sender does not trust the CA of `certificate` ({name}); install the CA's certificate at the sender"
            )
        }
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => format!(
            "the sender does not accept `certificate` ({name}); its log has the reason, often that the name it connects to \
             is not in the certificate"
        ),
        // OpenSSL sends this alert when the program's own check of the name fails.
        Alert::InternalError => format!(
            "the sender ended the handshake ({name}); its log has the reason; syslog-ng does this if the name it connects \
             to is not in `certificate`"
        ),
        Alert::CertificateExpired => format!("the sender reports that `certificate` has expired ({name}); renew it"),
        Alert::ProtocolVersion => format!("the sender wants another version of TLS ({name})"),
        _ => format!("the sender ended the handshake: {name}"),
    }
}

/// Describes what is wrong with the sender's certificate.
fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let words = match error {
        E::UnknownIssuer => "the sender's certificate is not signed by a CA in client_ca",
        E::Expired => "the sender's certificate has expired",
        E::ExpiredContext { not_after, .. } => {
            return format!("the sender's certificate expired at {}", moment(not_after.as_secs()));
        }
        E::NotValidYet => "the sender's certificate is not valid yet; compare the clocks",
        E::NotValidYetContext { not_before, .. } => {
            return format!(
                "the sender's certificate is not valid before {}; compare the clocks",
                moment(not_before.as_secs())
            );
        }
        E::BadSignature => "the sender's certificate has a wrong signature: another CA of the same name issued it",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "the sender's certificate is not for clients: its extended key usage lacks clientAuth"
        }
        E::BadEncoding => "the sender's certificate cannot be read; it must be X.509 of version 3",
        E::Other(other) => return other.0.to_string(),
        other => return format!("the sender's certificate is refused: {other}"),
    };
    words.to_owned()
}

fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| seconds.to_string(), |moment| moment.to_string())
}
