//! TLS for sources (RFC 5425, with the ciphers of RFC 9662): the TLS server made from a table of the configuration and
//! its PEM files. A syslog sender reads nothing, so the server never sends anything that the sender did not ask for: no
//! session tickets.

mod identity;
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
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use self::identity::ByName;
pub use self::identity::Identity;
pub use self::reason::reason;
pub use self::subject::{Pattern, subject};

/// First bytes of a TLS stream: a record with a handshake, of any version from SSL 3.0 on (RFC 8446, section 5.1). No
/// syslog stream begins like this: 22 is a control character.
pub const HANDSHAKE: [u8; 2] = [22, 3];

/// One `[source.KIND.tls]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsConfig {
    /// Identity for a sender that asks for no name, or for a name that is not in `named`.
    pub default: Identity,
    /// Identities for senders that ask for a DNS name in one of them.
    pub named: Vec<Identity>,
    /// PEM file with the CAs of client certificates; present unless `client_certificate` is
    /// [`ClientCertificate::None`].
    pub client_ca: Option<PathBuf>,
    /// Requirement of a client certificate from a sender.
    pub client_certificate: ClientCertificate,
    /// Names in client certificates that may send; if empty, every certificate signed by a CA may.
    pub allowed_subjects: Vec<Pattern>,
    /// Minimum version of TLS.
    pub min_version: Version,
    /// Maximum time for a handshake, from the accepted connection on.
    pub handshake_timeout: Duration,
}

/// Requirement of a client certificate from a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The server does not ask for a certificate.
    None,
    /// The server asks for a certificate. The sender need not have one, but one that it shows must be valid.
    Wanted,
    /// The sender must show a certificate.
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

/// Error in a PEM file.
#[derive(Debug)]
pub struct Error {
    /// The key of the table that names the file.
    pub key: &'static str,
    /// Index of the named certificate that is wrong; `None` for a file that the table itself names.
    pub named: Option<usize>,
    /// The file.
    pub path: PathBuf,
    /// Description of the error, without the file's name.
    pub message: String,
    /// Hint: how to correct it.
    pub help: Option<String>,
}

impl TlsConfig {
    /// Returns the files that the table names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let identities = self.identities().flat_map(|identity| [&identity.certificate, &identity.key]);
        identities.chain(&self.client_ca).map(PathBuf::as_path)
    }

    /// Returns warnings about the validity of the certificates: those that have expired, are not valid yet, or end
    /// within 14 days of `now`.
    pub fn warnings(&self, now: jiff::Timestamp) -> impl Iterator<Item = String> {
        self.identities().filter_map(move |identity| identity.warning(now))
    }

    fn identities(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&self.default).chain(&self.named)
    }

    /// Reads the files and creates a server from them.
    pub fn server(&self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let resolver = Arc::new(ByName::read(&self.default, &self.named, &provider)?);
        let verifier = self.verifier(&provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(|error| Error::of("certificate", &self.default.certificate, error.to_string()))?;
        let mut server = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        // A sender never reads. If a ticket is unread in its socket when the sender closes it, the kernel sends RST
        // instead of FIN, and data still in flight is discarded. Therefore there is no resumption at all.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(server)
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
        Self { key, named: None, path: path.to_owned(), message: message.into(), help: None }
    }

    /// Returns the table of a named certificate, counted from 1, as a prefix for messages.
    pub fn table(&self) -> String {
        self.named.map(|index| format!("`named` table {}: ", index + 1)).unwrap_or_default()
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}: {}", self.table(), self.key, self.path.display(), self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Error {}
