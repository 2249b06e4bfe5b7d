//! Reasons why TLS connections fail, in words for the operator.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Returns what went wrong with a connection, and which side has to act; rustls' text for errors without words of their
/// own.
pub fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the sender closed the connection in the middle of the handshake".to_owned();
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_tls(error),
        None => error.to_string(),
    }
}

fn of_tls(error: &Error) -> String {
    let words = match error {
        Error::NoCertificatesPresented => "the sender showed no certificate, and client_certificate is \"required\"",
        Error::InvalidMessage(_) => "what the sender sent is not TLS",
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::InvalidCertificate(error) => return of_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the sender speaks no version of TLS from min_version on",
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the sender offers no cipher suite that is still safe: it needs ECDHE with AES-GCM or ChaCha20-Poly1305 \
             (RFC 9662); omrelp offers those only with tls.myCert and tls.myPrivKey"
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
            format!("the sender does not trust the CA of `certificate` ({name}): give it the CA's certificate")
        }
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => format!(
            "the sender does not accept `certificate` ({name}): its own log says why, often that the name it connects to \
             is not in the certificate"
        ),
        // OpenSSL sends this alert when the program's own check of the name fails.
        Alert::InternalError => format!(
            "the sender gave up ({name}): its own log says why; syslog-ng does so if the name it connects to is not in \
             `certificate`"
        ),
        Alert::CertificateExpired => format!("`certificate` has expired, says the sender ({name})"),
        Alert::ProtocolVersion => format!("the sender wants another version of TLS ({name})"),
        _ => format!("the sender gave up: {name}"),
    }
}

/// Describes what is wrong with the sender's certificate.
fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let words = match error {
        E::UnknownIssuer => "its certificate is not signed by a CA in client_ca",
        E::Expired => "its certificate has expired",
        E::ExpiredContext { not_after, .. } => {
            return format!("its certificate expired {}", moment(not_after.as_secs()));
        }
        E::NotValidYet => "its certificate is not valid yet: compare the clocks",
        E::NotValidYetContext { not_before, .. } => {
            return format!("its certificate is not valid before {}: compare the clocks", moment(not_before.as_secs()));
        }
        E::BadSignature => "the signature of its certificate is wrong: it comes from another CA of the same name",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its certificate is not for clients: its extended key usage lacks clientAuth"
        }
        E::BadEncoding => "its certificate can't be read: it must be X.509 of version 3",
        E::Other(other) => return other.0.to_string(),
        other => return format!("its certificate is refused: {other}"),
    };
    words.to_owned()
}

fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| seconds.to_string(), |moment| moment.to_string())
}
