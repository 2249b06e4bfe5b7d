//! TLS for sources (RFC 5425, with the ciphers of RFC 9662): the server that a table of the configuration and its PEM files
//! make. A syslog sender reads nothing, so nothing is ever sent to one that it did not ask for: no session tickets.

mod pem;
mod reason;
mod subject;
mod validity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use self::reason::reason;
pub use self::subject::{Pattern, subject};

/// One `[source.KIND.tls]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, and then those that lead to its CA.
    pub certificate: PathBuf,
    /// PEM file: the key of the first certificate.
    pub key: PathBuf,
    /// PEM file: the CAs of client certificates; there unless `client_certificate` is [`ClientCertificate::None`].
    pub client_ca: Option<PathBuf>,
    /// Whether a sender must show a certificate.
    pub client_certificate: ClientCertificate,
    /// Who may send, of those with a client certificate; without any, all whom a CA has signed.
    pub allowed_subjects: Vec<Pattern>,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// So long may a handshake take, from the accepted connection on.
    pub handshake_timeout: Duration,
}

/// Whether a sender must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It is not asked for one.
    None,
    /// It is asked for one, and may have none; one that it shows must be good.
    Wanted,
    /// It must show one.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];

/// What is wrong with a PEM file.
#[derive(Debug)]
pub struct Error {
    /// The key of the table that names the file.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong, without the file's name.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl TlsConfig {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    /// What its operator has to know about the time for which the certificate is valid: that it has expired, is not valid yet, or
    /// ends within 14 days of `now`.
    pub fn warning(&self, now: jiff::Timestamp) -> Option<String> {
        // What can't be read is an error elsewhere.
        let chain = pem::certificates("certificate", &self.certificate).ok()?;
        let warning = validity::warning(chain.first()?, now)?;
        Some(format!("certificate {} {warning}", self.certificate.display()))
    }

    /// Reads the files and makes a server of them.
    pub fn server(&self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = self.certified_key(&provider)?;
        let verifier = self.verifier(&provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(|error| Error::of("certificate", &self.certificate, error.to_string()))?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut server = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        // A sender never reads. A ticket that lies unread in its socket when it closes makes the kernel send RST instead of
        // FIN, and what is still on its way is thrown away. So there is no resumption at all.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(server)
    }

    fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let chain = pem::certificates("certificate", &self.certificate)?;
        let key = pem::key("key", &self.key)?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            Error::of("key", &self.key, format!("not a key that can be used: {error}"))
                .help("use RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519")
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                let certificate = self.certificate.display();
                let message = format!("it is not the key of the first certificate in {certificate}");
                Err(Error::of("key", &self.key, message)
                    .help("put the server's own certificate before those of its CA"))
            }
            _ => Ok(certified),
        }
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let Some(path) = self.client_ca.as_ref().filter(|_| self.client_certificate != ClientCertificate::None) else {
            return Ok(Arc::new(NoClientAuth));
        };
        let refused = |error: &dyn fmt::Display| Error::of("client_ca", path, format!("not a CA certificate: {error}"));
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates("client_ca", path)? {
            roots.add(certificate).map_err(|error| refused(&error))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_certificate {
            ClientCertificate::Required => builder,
            ClientCertificate::Wanted | ClientCertificate::None => builder.allow_unauthenticated(),
        };
        let verifier = builder.build().map_err(|error| refused(&error))?;
        if self.allowed_subjects.is_empty() {
            return Ok(verifier);
        }
        Ok(subject::only(verifier, self.allowed_subjects.clone()))
    }
}

impl Version {
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => ONLY_TLS13,
        }
    }
}

// === impl Error ===

impl Error {
    fn of(key: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self { key, path: path.to_owned(), message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.key, self.path.display(), self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Error {}
