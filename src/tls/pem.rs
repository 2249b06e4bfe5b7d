//! Certificates and keys in PEM files (RFC 7468).

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;
use crate::small_file;

/// Returns the certificates in the file that `key` names; at least one.
pub(super) fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| Error::of(key, path, broken(&error)))?;
    if certificates.is_empty() {
        return Err(nothing(key, path, "certificate", "CERTIFICATE", &text));
    }
    for (index, certificate) in certificates.iter().enumerate() {
        if let Err(error) = webpki::EndEntityCert::try_from(certificate) {
            let message = format!("certificate {} of this file cannot be read: {error}", index + 1);
            return Err(Error::of(key, path, message).help("use X.509 certificates of version 3"));
        }
    }
    Ok(certificates)
}

/// Returns the first key in the file that `key` names.
pub(super) fn key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(key, path)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(found) => Ok(found),
        Err(pem::Error::NoItemsFound) if has(&text, "ENCRYPTED PRIVATE KEY") => {
            let error = Error::of(key, path, "the key is encrypted");
            Err(error.help("decrypt it with `openssl pkey`, and let only Postrider's user read it"))
        }
        Err(pem::Error::NoItemsFound) => Err(nothing(key, path, "private key", "PRIVATE KEY", &text)),
        Err(error) => Err(Error::of(key, path, broken(&error))),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    small_file::read(path).map_err(|error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let error = Error::of(key, path, format!("cannot read it: {error}"));
        if denied { error.help("let Postrider's user read it") } else { error }
    })
}

fn nothing(key: &'static str, path: &Path, wanted: &str, label: &str, text: &[u8]) -> Error {
    let other = if has(text, "PRIVATE KEY") {
        ", only a private key"
    } else if has(text, "CERTIFICATE") {
        ", only a certificate"
    } else {
        ""
    };
    let error = Error::of(key, path, format!("there is no {wanted} in this file{other}"));
    error.help(format!("use a PEM file, which has a line like -----BEGIN {label}-----"))
}

/// True if a line begins a section whose label contains `label`.
fn has(text: &[u8], label: &str) -> bool {
    String::from_utf8_lossy(text).lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label))
}

fn broken(error: &pem::Error) -> String {
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the file ends before the line -----END {}-----", line(end_marker))
        }
        pem::Error::IllegalSectionStart { line: start } => {
            format!("this line does not begin a PEM section: {}", line(start))
        }
        pem::Error::Base64Decode(_) => "the data between two PEM lines is not base64".to_owned(),
        other => other.to_string(),
    }
}
