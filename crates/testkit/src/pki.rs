//! Certificates for tests of TLS, and a client that uses them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use super::scratch;

/// No read of a client takes longer.
const READ: Duration = Duration::from_secs(60);

/// The versions of TLS that a client may speak.
pub const BOTH: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;

/// A connection of a client.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A CA, and a directory with what it signed.
pub struct Pki {
    /// CA itself, with its key.
    pub ca: CertifiedIssuer<'static, KeyPair>,
    /// Directory with the PEM files. It is removed when the value is dropped.
    pub directory: TempDir,
}

/// A certificate and its key in PEM.
pub struct Identity {
    /// Certificate in PEM.
    pub certificate: String,
    /// Private key in PEM.
    pub key: String,
}

impl Default for Pki {
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each CA has a name of its own: its key is random.
        let key = key();
        params.distinguished_name.push(DnType::CommonName, format!("CA {:?}", &key.public_key_raw()[1..9]));
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let pki = Self { ca, directory: scratch::directory("tls") };
        fs::write(pki.file("ca.pem"), pki.ca.pem()).expect("a file");
        pki.renew();
        pki
    }
}

impl Pki {
    /// A CA with a certificate for the server: `cert.pem`, `key.pem`, and the CA's `ca.pem`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the path of a file of this name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a new certificate for the server in place of the old, as a client of ACME does.
    pub fn renew(&self) {
        self.put("cert.pem", "key.pem", &self.sign("mx1.example.com", |_| ()));
    }

    /// Writes an identity to the files with these names. Each file is replaced in one step.
    pub fn put(&self, certificate: &str, key: &str, identity: &Identity) {
        for (name, pem) in [(key, &identity.key), (certificate, &identity.certificate)] {
            let new = self.file("new");
            fs::write(&new, pem).expect("a file");
            fs::rename(new, self.file(name)).expect("a file");
        }
    }

    /// A certificate for `name`, as `change` wants it.
    pub fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([name.to_owned(), "localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = key();
        let certificate = params.signed_by(&key, &self.ca).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The source, with more keys in its table of TLS.
    pub fn source(&self, more: &str) -> String {
        let (certificate, key) = (self.file("cert.pem"), self.file("key.pem"));
        format!(
            "[[source.tcp]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\nmax_connections = 4\n[source.tcp.tls]\n\
             certificate = \"{}\"\nkey = \"{}\"\n{more}\n",
            certificate.display(),
            key.display()
        )
    }

    /// The keys that ask for certificates of this CA.
    pub fn clients(&self, how: &str) -> String {
        format!("client_ca = \"{}\"\nclient_certificate = \"{how}\"", self.file("ca.pem").display())
    }

    /// A client that trusts the CA.
    pub fn client(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.expect("versions").with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("an identity")
            }
        })
    }
}

/// ECDSA on P-256, which is quick, and which every peer here knows.
fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// A session that has said nothing yet.
pub fn session(client: &Arc<ClientConfig>) -> ClientConnection {
    session_with(client, "mx1.example.com")
}

/// The same with a server of another name, or an address, which no sender asks for.
pub fn session_with(client: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(Arc::clone(client), name).expect("a session")
}

/// A connection whose handshake has ended.
pub fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<Stream> {
    shake_hands(TcpStream::connect(address)?, client)
}

/// The same on a connection that is there.
pub fn shake_hands(socket: TcpStream, client: &Arc<ClientConfig>) -> io::Result<Stream> {
    shake_hands_in(session(client), socket)
}

/// The same in a session that is there too.
pub fn shake_hands_in(session: ClientConnection, socket: TcpStream) -> io::Result<Stream> {
    socket.set_read_timeout(Some(READ))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Ends the client's side, and gives what the server said in all: nothing.
pub fn finish(mut stream: Stream) -> Vec<u8> {
    stream.conn.send_close_notify();
    stream.flush().expect("an end");
    let mut said = Vec::new();
    // `Ok` only if the server ends with a close_notify of its own.
    stream.read_to_end(&mut said).expect("close_notify of the server");
    said
}
