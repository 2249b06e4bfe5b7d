//! The subject of a client certificate: its text (RFC 4514), and the check whether it may send.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use webpki::EndEntityCert;
use x509_cert::attr::{AttributeTypeAndValue, AttributeValue};
use x509_cert::der::asn1::BmpString;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::{rfc3280, rfc4519};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::name::RelativeDistinguishedName;

/// Attributes of a name that have a short name (RFC 4514, section 3, and other common ones).
const ATTRIBUTES: [(ObjectIdentifier, &str); 10] = [
    (rfc4519::COMMON_NAME, "CN"),
    (rfc4519::SERIAL_NUMBER, "serialNumber"),
    (rfc4519::COUNTRY_NAME, "C"),
    (rfc4519::LOCALITY_NAME, "L"),
    (rfc4519::ST, "ST"),
    (rfc4519::STREET, "street"),
    (rfc4519::ORGANIZATION_NAME, "O"),
    (rfc4519::ORGANIZATIONAL_UNIT_NAME, "OU"),
    (rfc3280::EMAIL_ADDRESS, "emailAddress"),
    (rfc4519::DOMAIN_COMPONENT, "DC"),
];

/// A name that may send: `mx1.example.com`, or `*.example.com`, whose star is one label. The comparison ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Returns the subject of a certificate as in RFC 4514: `CN=mx1.example.com,O=Example`. For an empty subject, returns
/// the first DNS name: `DNS:mx1.example.com`. `None` if there is neither.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // The last part comes first (RFC 4514, section 2.1).
    let parts: Vec<String> = parts(&certificate).iter().rev().map(part).collect();
    let text = parts.join(",");
    if text.is_empty() {
        let name = certificate.valid_dns_names().next()?;
        return Some(format!("DNS:{name}"));
    }
    Some(text)
}

/// Returns a verifier that accepts only certificates that `verifier` accepts and that are for one of the names.
pub(super) fn only(verifier: Arc<dyn ClientCertVerifier>, allowed: Vec<Pattern>) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Only { verifier, allowed })
}

/// Returns the common names and the DNS names of a certificate.
fn names(certificate: &EndEntityCert<'_>) -> Vec<String> {
    let parts = parts(certificate);
    let attributes = parts.iter().flat_map(RelativeDistinguishedName::iter);
    let common = attributes.filter(|attribute| attribute.oid == rfc4519::COMMON_NAME);
    common.map(|name| text(&name.value)).chain(certificate.valid_dns_names().map(str::to_owned)).collect()
}

// === impl Pattern ===

impl Pattern {
    /// Parses a name; `None` if `text` is empty, or has a star anywhere but in place of its first label.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("*.").unwrap_or(text);
        (!rest.is_empty() && !rest.contains('*')).then(|| Self(text.to_owned()))
    }

    fn takes(&self, name: &str) -> bool {
        match (self.0.strip_prefix("*."), name.split_once('.')) {
            (Some(domain), Some((label, rest))) => !label.is_empty() && rest.eq_ignore_ascii_case(domain),
            (Some(_), None) => false,
            (None, _) => self.0.eq_ignore_ascii_case(name),
        }
    }
}

// === the verifier ===

/// Verifier that accepts what another verifier accepts, if the certificate is for one of the names.
#[derive(Debug)]
struct Only {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Vec<Pattern>,
}

/// Error for a certificate of the right CA whose name is not allowed.
#[derive(Debug)]
struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allowed_subjects does not list the sender's certificate ({})", self.0)
    }
}

impl std::error::Error for NotAllowed {}

impl ClientCertVerifier for Only {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let names = names(&certificate);
        if names.iter().any(|name| self.allowed.iter().any(|pattern| pattern.takes(name))) {
            return Ok(verified);
        }
        let who = subject(end_entity).unwrap_or_else(|| "no subject".to_owned());
        Err(CertificateError::Other(OtherError(Arc::new(NotAllowed(who)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

// === the parts of a name (RFC 5280, section 4.1.2.4) ===

/// Returns the parts of the subject in its order, up to the first that cannot be read.
fn parts(certificate: &EndEntityCert<'_>) -> Vec<RelativeDistinguishedName> {
    let mut parts = Vec::new();
    let Ok(mut reader) = SliceReader::new(certificate.subject()) else { return parts };
    while !reader.is_finished() {
        let Ok(part) = RelativeDistinguishedName::decode(&mut reader) else { break };
        parts.push(part);
    }
    parts
}

/// Returns the text of a part, which nearly always has one attribute.
fn part(part: &RelativeDistinguishedName) -> String {
    part.iter().map(attribute).collect::<Vec<_>>().join("+")
}

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    match ATTRIBUTES.iter().find(|(oid, _)| *oid == attribute.oid) {
        Some((_, name)) => format!("{name}={}", escape(&text(&attribute.value))),
        None => attribute.to_string(),
    }
}

fn text(value: &AttributeValue) -> String {
    match value.decode_as::<BmpString>() {
        Ok(text) => text.to_string(),
        // Every other type is a superset of ASCII, and UTF-8 is the usual one.
        Err(_) => String::from_utf8_lossy(value.value()).into_owned(),
    }
}

/// Escapes a value (RFC 4514, section 2.4).
fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let at_end = (c == ' ' && (index == 0 || index == last)) || (c == '#' && index == 0);
        if at_end || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
            text.push(c);
        } else if c == '\0' {
            text.push_str("\\00");
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(subject: &[(DnType, &str)], names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_subject_is_shown_as_in_rfc_4514() {
        use DnType::*;
        for (attributes, names, expected) in [
            (&[(OrganizationName, "Example"), (CommonName, "mx1")][..], &[][..], Some("CN=mx1,O=Example")),
            (&[(CommonName, " a+b, \\c# ")], &[], Some("CN=\\ a\\+b\\, \\\\c#\\ ")),
            (&[(CommonName, "#日本")], &[], Some("CN=\\#日本")),
            (&[], &["mx1.example.com", "mx2.example.com"], Some("DNS:mx1.example.com")),
            (&[], &[], None),
            (&[(CustomDnType(vec![2, 5, 4, 12]), "x")], &[], Some("TITLE=x")),
            (&[(CustomDnType(vec![1, 3, 6, 1, 4, 1, 32473, 1]), "x")], &[], Some("1.3.6.1.4.1.32473.1=#0c0178")),
        ] {
            assert_eq!(subject(&certificate(attributes, names)).as_deref(), expected);
        }
        assert_eq!(subject(&CertificateDer::from(vec![0x30, 0x80, 1])), None);
    }

    #[test]
    fn the_names_of_a_certificate_are_its_cn_and_its_dns_names() {
        let der = certificate(&[(DnType::CommonName, "mx1")], &["a.example", "b.example", "192.0.2.1"]);
        assert_eq!(names(&EndEntityCert::try_from(&der).unwrap()), ["mx1", "a.example", "b.example"]);
    }

    #[test]
    fn a_star_is_one_label() {
        for (pattern, name, expected) in [
            ("mx1.example.com", "MX1.example.com", true),
            ("mx1.example.com", "mx2.example.com", false),
            ("*.example.com", "mx1.Example.com", true),
            ("*.example.com", "a.mx1.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "com", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().takes(name), expected, "{pattern} {name}");
        }
        for bad in ["", "*", "*.", "mx*.example.com", "*.*.example.com"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_value_has_the_text_that_its_type_says() {
        let wide = BmpString::from_utf8("mx日").unwrap();
        let latin = AttributeValue::new(x509_cert::der::Tag::TeletexString, &b"M\xfcller"[..]).unwrap();
        assert_eq!(text(&AttributeValue::encode_from(&wide).unwrap()), "mx日");
        assert_eq!(text(&latin), "M\u{FFFD}ller");
    }

    #[test]
    fn attributes_of_one_part_are_joined_by_plus() {
        let attribute = |text: &str| text.parse::<AttributeTypeAndValue>().unwrap();
        let both = RelativeDistinguishedName::try_from(vec![attribute("O=a,b"), attribute("CN=mx1")]).unwrap();
        assert_eq!(part(&both), "CN=mx1+O=a\\,b");
    }
}
