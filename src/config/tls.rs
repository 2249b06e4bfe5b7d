//! The table `tls` of a source: its keys, and checks of the files that it names.

use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::form::{Choice, List, PATH, Plain, Span, Tables, any};
use super::key::{Given, default, keys, optional, required};
use super::kind::Section;
use super::value::{self, Fault};
use crate::tls::{ClientCertificate, Identity, Pattern, TlsConfig, Version};

static CLIENT_CERTIFICATE: Choice<ClientCertificate, 3> = Choice::new([
    ("none", ClientCertificate::None),
    ("wanted", ClientCertificate::Wanted),
    ("required", ClientCertificate::Required),
]);
static MIN_VERSION: Choice<Version, 2> = Choice::new([("1.2", Version::Tls12), ("1.3", Version::Tls13)]);

/// A name of a certificate, or a pattern for names.
const SUBJECT: Plain<Pattern> = Plain {
    parse: |value| {
        let name = value::text(value)?;
        let help = "write a CN or DNS name, e.g. \"mx1.example.com\", or \"*.example.com\"";
        Pattern::parse(name).ok_or_else(|| Fault::new(format!("\"{name}\" is not a valid certificate name")).help(help))
    },
    schema: any,
    limits: None,
};

keys! {
    /// Keys of the table `tls`.
    pub(super) struct TlsKeys {
        /// PEM file with the server's certificate, followed by the intermediate certificates up to its CA. Postrider
        /// reads the PEM files again when they change, and keeps its connections.
        certificate: PathBuf = required(PATH, r#""/etc/postrider/tls/cert.pem""#),
        /// PEM file with the key of the certificate, not encrypted.
        key: PathBuf = required(PATH, r#""/etc/postrider/tls/key.pem""#),
        /// Certificates of senders. `none` does not ask for them. `wanted` refuses a certificate that is not valid.
        /// `required` also refuses a sender without one. The last two need `client_ca`.
        client_certificate: ClientCertificate = default(&CLIENT_CERTIFICATE, r#""none""#),
        /// PEM file with the certificates of the CAs that sign the certificates of senders.
        client_ca: PathBuf = optional(PATH, r#""/etc/postrider/tls/client-ca.pem""#),
        /// CN or DNS names: a sender may send if its certificate has one of them. `*` stands for one label. Without
        /// this key, every certificate of the CAs in `client_ca` is enough.
        allowed_subjects: Vec<Pattern> = optional(List(SUBJECT), r#"["*.example.com"]"#),
        /// Minimum version of TLS.
        min_version: Version = default(&MIN_VERSION, r#""1.2""#),
        /// Maximum time for a handshake. After that, the connection is closed and counted as an error.
        handshake_timeout: Duration = default(Span, r#""10s""#),
        /// More certificates. A sender that asks for a DNS name (SNI) gets the certificate that has this name; others
        /// get the one above.
        named: Vec<NamedKeys> = optional(Tables::<NamedKeys>::NEW, "[]"),
    }
}

keys! {
    /// Keys of an additional certificate.
    pub(super) struct NamedKeys {
        /// PEM file with a certificate that contains its DNS names, followed by the intermediate certificates up to its
        /// CA.
        certificate: PathBuf = required(PATH, r#""/etc/postrider/tls/named-cert.pem""#),
        /// PEM file with the key of the certificate, not encrypted.
        key: PathBuf = required(PATH, r#""/etc/postrider/tls/named-key.pem""#),
    }
}

impl Section for TlsKeys {
    type Config = TlsConfig;

    /// Also reads the files.
    fn config(self, found: &mut Diagnostics) -> Option<TlsConfig> {
        let client_ca = self.client_ca.place.clone();
        let own = [self.certificate.place.clone(), self.key.place.clone()];
        let is_consistent = self.is_consistent(found);
        let named = self.named.value.unwrap_or_default();
        let places: Vec<_> =
            named.iter().map(|named| [named.certificate.place.clone(), named.key.place.clone()]).collect();
        let config = TlsConfig {
            default: Identity { certificate: self.certificate.value?, key: self.key.value? },
            named: named.into_iter().map(NamedKeys::identity).collect::<Option<_>>()?,
            client_ca: self.client_ca.value,
            client_certificate: *self.client_certificate.certain()?,
            allowed_subjects: subjects(self.allowed_subjects)?,
            min_version: self.min_version.value?,
            handshake_timeout: self.handshake_timeout.value?,
        };
        if let Err(error) = config.server() {
            let [certificate, key] = error.named.map_or(&own, |index| &places[index]);
            let place = match error.key {
                "client_ca" => &client_ca,
                "key" => key,
                _ => certificate,
            };
            let message = format!("{}{}: {}", error.table(), error.path.display(), error.message);
            let mut diagnostic = Diagnostic::at(place.clone(), message);
            diagnostic.help = error.help;
            found.push(diagnostic);
            return None;
        }
        is_consistent?.then_some(config)
    }
}

impl NamedKeys {
    fn identity(self) -> Option<Identity> {
        Some(Identity { certificate: self.certificate.value?, key: self.key.value? })
    }
}

impl TlsKeys {
    /// Reports keys about client certificates that contradict each other; true if there are none, `None` if
    /// `client_certificate` is wrong.
    fn is_consistent(&self, found: &mut Diagnostics) -> Option<bool> {
        let none = *self.client_certificate.certain()? == ClientCertificate::None;
        if !none && !self.client_ca.is_written() {
            let error =
                Diagnostic::at(self.client_certificate.place.clone(), "client certificates without `client_ca`");
            found.push(error.help("set `client_ca` to the file with the certificates of their CAs"));
            return Some(false);
        }
        let keys = [("client_ca", self.client_ca.written()), ("allowed_subjects", self.allowed_subjects.written())];
        let unused = keys.into_iter().find_map(|(key, place)| Some((key, place.filter(|_| none)?)));
        if let Some((key, place)) = &unused {
            let error = Diagnostic::at(place.clone(), format!("`{key}` without client certificates"));
            found.push(error.help("add client_certificate = \"required\", or \"wanted\""));
        }
        Some(unused.is_none())
    }
}

/// Returns the patterns; empty if the key is absent, and `None` after an error.
fn subjects(given: Given<Vec<Pattern>>) -> Option<Vec<Pattern>> {
    if given.is_written() { given.value } else { Some(Vec::new()) }
}
