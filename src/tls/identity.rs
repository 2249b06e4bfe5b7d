//! Certificates with their keys, and the choice among them: a sender gets the one for the name that it asks for (RFC
//! 6066, section 3).

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::{Error, pem, validity};

/// A certificate of the server with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file with the server's certificate, followed by those that lead to its CA.
    pub certificate: PathBuf,
    /// PEM file with the key of the first certificate.
    pub key: PathBuf,
}

impl Identity {
    /// Reads both files.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let chain = pem::certificates("certificate", &self.certificate)?;
        let key = pem::key("key", &self.key)?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            Error::of("key", &self.key, format!("this key cannot be used: {error}"))
                .help("use RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519")
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                let certificate = self.certificate.display();
                let message = format!("the key does not belong to the first certificate in {certificate}");
                Err(Error::of("key", &self.key, message)
                    .help("put the server's own certificate before those of its CA"))
            }
            _ => Ok(certified),
        }
    }

    /// Returns a warning about the validity of the certificate, if there is one.
    pub(super) fn warning(&self, now: jiff::Timestamp) -> Option<String> {
        // A file that cannot be read is reported elsewhere.
        let chain = pem::certificates("certificate", &self.certificate).ok()?;
        let warning = validity::warning(chain.first()?, now)?;
        Some(format!("certificate {} {warning}", self.certificate.display()))
    }
}

/// The certificates of a server.
#[derive(Debug)]
pub(super) struct ByName {
    default: Arc<CertifiedKey>,
    /// Certificates by DNS name in lower case; some names begin with `*.`.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    /// Reads all certificates.
    pub(super) fn read(default: &Identity, named: &[Identity], provider: &CryptoProvider) -> Result<Self, Error> {
        let mut all = Self { default: Arc::new(default.read(provider)?), named: HashMap::new() };
        let mut owners = HashMap::new();
        for (index, identity) in named.iter().enumerate() {
            let within = |error: Error| Error { named: Some(index), ..error };
            let certified = Arc::new(identity.read(provider).map_err(within)?);
            for name in names(identity, &certified).map_err(within)? {
                if let Some(owner) = owners.insert(name.clone(), &identity.certificate) {
                    let message = format!("another table has a certificate for {name} too, {}", owner.display());
                    let error = Error::of("certificate", &identity.certificate, message);
                    return Err(within(error.help("remove one of the two, or have one issued without this name")));
                }
                all.named.insert(name, Arc::clone(&certified));
            }
        }
        Ok(all)
    }

    /// Returns the certificate for a name in lower case.
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.named.get(name).or_else(|| self.named.get(&format!("*.{}", name.split_once('.')?.1)))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has converted the name to lower case.
        let named = hello.server_name().and_then(|name| self.of(name));
        Some(Arc::clone(named.unwrap_or(&self.default)))
    }
}

/// Returns the DNS names of a certificate in lower case, each once; at least one.
fn names(identity: &Identity, certified: &CertifiedKey) -> Result<BTreeSet<String>, Error> {
    let certificate = certified.end_entity_cert().ok().and_then(|der| EndEntityCert::try_from(der).ok());
    let names: BTreeSet<String> =
        certificate.iter().flat_map(|certificate| certificate.valid_dns_names()).map(str::to_ascii_lowercase).collect();
    if names.is_empty() {
        let message = "the certificate has no DNS name, so no sender can ask for it";
        let error = Error::of("certificate", &identity.certificate, message);
        return Err(error.help("have it issued with a DNS name (subjectAltName), or make it the default of the source"));
    }
    Ok(names)
}
