//! The subject of a client certificate: its text (RFC 4514), and the check whether it may send.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use webpki::EndEntityCert;

/// Attributes of a name that have a short name (RFC 4514, section 3, and other common ones), by the bytes of their
/// object identifiers.
const ATTRIBUTES: [(&[u8], &str); 10] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// A name that may send: `mx1.example.com`, or `*.example.com`, whose star is one label. The comparison ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Returns the subject of a certificate as in RFC 4514: `CN=mx1.example.com,O=Example`. For an empty subject, returns
/// the first DNS name: `DNS:mx1.example.com`. `None` if there is neither.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut text = String::new();
    // The last attribute comes first (RFC 4514, section 2.1).
    for (oid, value) in attributes(certificate.subject()).into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
            Some((_, name)) => text.push_str(name),
            None => oid.iter().for_each(|byte| _ = write!(text, "{byte:02x}")),
        }
        text.push('=');
        escape(&value, &mut text);
    }
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
    let common = attributes(certificate.subject()).into_iter().filter(|(oid, _)| *oid == COMMON_NAME);
    common.map(|(_, value)| value).chain(certificate.valid_dns_names().map(str::to_owned)).collect()
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
        write!(f, "its certificate is for {}, which allowed_subjects does not name", self.0)
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
        let who = subject(end_entity).unwrap_or_else(|| "nobody".to_owned());
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

// === the DER of a name (RFC 5280, section 4.1.2.4) ===

/// Returns the attributes of an `RDNSequence` in its order, up to the first that cannot be read.
fn attributes(mut sequence: &[u8]) -> Vec<(&[u8], String)> {
    let mut all = Vec::new();
    while let Some((_, mut set, rest)) = element(sequence) {
        sequence = rest;
        while let Some((_, attribute, rest)) = element(set) {
            set = rest;
            let Some((_, oid, value)) = element(attribute) else { return all };
            let Some((tag, value, _)) = element(value) else { return all };
            all.push((oid, text(tag, value)));
        }
    }
    all
}

/// Returns the tag and the contents of the first element, and the bytes after it.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, der) = der.split_first()?;
    let (first, der) = der.split_first()?;
    let (length, der) = match first & 0x7f {
        short if short == *first => (usize::from(short), der),
        // The length of the length: a certificate is below 64 KiB.
        long @ 1..=2 => {
            let (digits, der) = der.split_at_checked(usize::from(long))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), der)
        }
        _ => return None,
    };
    let (contents, rest) = der.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

fn text(tag: u8, value: &[u8]) -> String {
    const BMP_STRING: u8 = 0x1e;
    if tag == BMP_STRING {
        let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(value).into_owned()
}

/// Escapes a value (RFC 4514, section 2.4).
fn escape(value: &str, text: &mut String) {
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
            (&[(CustomDnType(vec![2, 5, 4, 12]), "x")], &[], Some("55040c=x")),
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
    fn a_broken_name_gives_what_can_be_read() {
        let der = certificate(&[(DnType::CommonName, "mx1"), (DnType::OrganizationName, "Example")], &[]);
        let parsed = EndEntityCert::try_from(&der).unwrap();
        let name = parsed.subject();
        for end in 0..name.len() {
            assert!(attributes(&name[..end]).len() < 2, "{end}");
        }
        assert_eq!(attributes(name).len(), 2);
    }
}
