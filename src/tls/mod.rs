//! TLS for sources (RFC 5425, with the ciphers of RFC 9662): the server that a table of the configuration and its PEM
//! files make. A syslog sender reads nothing, so nothing is ever sent to one that it did not ask for: no session
//! tickets.

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

/// How a stream of TLS begins: a record with a handshake, of any version from SSL 3.0 on (RFC 8446, section 5.1). No
/// syslog does: 22 is a control character.
pub const HANDSHAKE: [u8; 2] = [22, 3];

/// One `[source.KIND.tls]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsConfig {
    /// For a sender that asks for no name, or for none of those in `named`.
    pub default: Identity,
    /// For those that ask for a DNS name in one of them.
    pub named: Vec<Identity>,
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
    /// Which of the named certificates it is about; `None` for what the table itself names.
    pub named: Option<usize>,
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
        let identities = self.identities().flat_map(|identity| [&identity.certificate, &identity.key]);
        identities.chain(&self.client_ca).map(PathBuf::as_path)
    }

    /// What its operator has to know about the times for which the certificates are valid: which of them has expired,
    /// is not valid yet, or ends within 14 days of `now`.
    pub fn warnings(&self, now: jiff::Timestamp) -> impl Iterator<Item = String> {
        self.identities().filter_map(move |identity| identity.warning(now))
    }

    fn identities(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&self.default).chain(&self.named)
    }

    /// Reads the files and makes a server of them.
    pub fn server(&self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let resolver = Arc::new(ByName::read(&self.default, &self.named, &provider)?);
        let verifier = self.verifier(&provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(|error| Error::of("certificate", &self.default.certificate, error.to_string()))?;
        let mut server = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        // A sender never reads. A ticket that lies unread in its socket when it closes makes the kernel send RST
        // instead of FIN, and what is still on its way is thrown away. So there is no resumption at all.
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

    /// The table of a named certificate, counted from 1, as the beginning of what is said of it.
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
