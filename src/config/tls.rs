//! The table `tls` of a source: its keys, and checks of the files that it names.

use super::diagnostic::Diagnostic;
use super::key::{Choice, Key, Type};
use super::reader::Reader;
use crate::tls::{ClientCertificate, Identity, Pattern, TlsConfig, Version};

static CLIENT_CERTIFICATE: Choice<ClientCertificate, 3> = Choice::new([
    ("none", ClientCertificate::None),
    ("wanted", ClientCertificate::Wanted),
    ("required", ClientCertificate::Required),
]);
static MIN_VERSION: Choice<Version, 2> = Choice::new([("1.2", Version::Tls12), ("1.3", Version::Tls13)]);

/// Key of the table.
pub(super) const TLS: Key =
    Key::optional("tls", Type::Table(&KEYS), "{}", "Takes TLS instead of plain TCP (RFC 5425, RFC 9662).");

pub(super) const KEYS: [Key; 8] = [
    Key::required(
        "certificate",
        Type::Path,
        r#""/etc/postrider/tls/cert.pem""#,
        "PEM file: the server's certificate, then those that lead to its CA. Read again when it changes.",
    ),
    Key::required(
        "key",
        Type::Path,
        r#""/etc/postrider/tls/key.pem""#,
        "PEM file: the key of that certificate, not encrypted. Read again when it changes.",
    ),
    Key::optional(
        "client_ca",
        Type::Path,
        r#""/etc/postrider/tls/client-ca.pem""#,
        "PEM file: the CAs that sign the certificates of senders. Read again when it changes.",
    ),
    Key::default(
        "client_certificate",
        Type::Word(CLIENT_CERTIFICATE.words()),
        r#""none""#,
        "Whether a sender must show a certificate; one that it shows must be good. The latter two need `client_ca`.",
    ),
    Key::optional(
        "allowed_subjects",
        Type::AnyWords,
        r#"["*.example.com"]"#,
        "Only certificates with one of these as CN or DNS name may send; a star is one label.",
    ),
    Key::default(
        "min_version",
        Type::Word(MIN_VERSION.words()),
        r#""1.2""#,
        "The oldest version of TLS that is spoken.",
    ),
    Key::default(
        "handshake_timeout",
        Type::Duration(&[]),
        r#""10s""#,
        "A connection whose handshake takes longer is closed and counted as an error.",
    ),
    Key::optional(
        "named",
        Type::Tables(&NAMED),
        "[]",
        "More certificates: a sender that asks for a DNS name in one of them (SNI) gets that one.",
    ),
];

/// Keys of an additional certificate.
pub(super) const NAMED: [Key; 2] = [
    Key::required(
        "certificate",
        Type::Path,
        r#""/etc/postrider/tls/named-cert.pem""#,
        "PEM file: a certificate with the DNS names it is for, then those that lead to its CA. Read again when it changes.",
    ),
    Key::required(
        "key",
        Type::Path,
        r#""/etc/postrider/tls/named-key.pem""#,
        "PEM file: the key of that certificate, not encrypted. Read again when it changes.",
    ),
];

/// Reads the table and its files; `None` after an error.
pub(super) fn read(table: &mut Reader<'_, '_>) -> Option<TlsConfig> {
    let (default, client_ca) = (identity(table), table.path("client_ca"));
    let (named, places): (Vec<_>, Vec<_>) = table.tables("named", identity).into_iter().unzip();
    let client_certificate = table.deciding_choice("client_certificate", &CLIENT_CERTIFICATE);
    let allowed_subjects = allowed_subjects(table);
    let min_version = table.choice("min_version", &MIN_VERSION);
    let handshake_timeout = table.duration("handshake_timeout");
    let consistent = fits(client_certificate?, table);
    let config = TlsConfig {
        default: default?,
        named: named.into_iter().collect::<Option<_>>()?,
        client_ca,
        client_certificate: client_certificate?,
        allowed_subjects: allowed_subjects?,
        min_version: min_version?,
        handshake_timeout: handshake_timeout?,
    };
    if let Err(error) = config.server() {
        let place = error.named.map_or_else(|| table.place(error.key), |index| places[index].of(error.key));
        let message = format!("{}{}: {}", error.table(), error.path.display(), error.message);
        let mut found = Diagnostic::at(place, message);
        found.help = error.help;
        table.error(found);
        return None;
    }
    consistent.then_some(config)
}

fn identity(table: &mut Reader<'_, '_>) -> Option<Identity> {
    // Both are read, even if the first is wrong.
    let (certificate, key) = (table.path("certificate"), table.path("key"));
    Some(Identity { certificate: certificate?, key: key? })
}

fn allowed_subjects(table: &mut Reader<'_, '_>) -> Option<Vec<Pattern>> {
    if !table.gives("allowed_subjects") {
        table.passed("allowed_subjects");
        return Some(Vec::new());
    }
    let mut patterns = Vec::new();
    for name in table.any_words("allowed_subjects")? {
        let Some(pattern) = Pattern::parse(&name) else {
            let error =
                Diagnostic::at(table.place("allowed_subjects"), format!("\"{name}\" is no name of a certificate"));
            table.error(error.help("write a CN or DNS name, e.g. \"mx1.example.com\", or \"*.example.com\""));
            return None;
        };
        patterns.push(pattern);
    }
    Some(patterns)
}

/// Reports keys about client certificates that contradict each other; true if there are none.
fn fits(client_certificate: ClientCertificate, table: &mut Reader<'_, '_>) -> bool {
    let none = client_certificate == ClientCertificate::None;
    if !none && !table.gives("client_ca") {
        let error = Diagnostic::at(table.place("client_certificate"), "client certificates without `client_ca`");
        table.error(error.help("name the file with the certificates of their CAs as `client_ca`"));
        return false;
    }
    let unused = ["client_ca", "allowed_subjects"].into_iter().find(|key| none && table.gives(key));
    if let Some(key) = unused {
        let error = Diagnostic::at(table.place(key), format!("`{key}` without client certificates"));
        table.error(error.help("add client_certificate = \"required\", or \"wanted\""));
    }
    unused.is_none()
}
