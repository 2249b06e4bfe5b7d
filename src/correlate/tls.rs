//! The TLS of a connection, kept beyond its line.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, KeptField};
use super::saved::{self, VocabularyWord};
use crate::record::Tls;

/// Properties of a TLS connection. The messages of a session share them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptTls {
    #[serde(with = "saved::trust")]
    trust: Option<VocabularyWord>,
    #[serde(with = "saved::direction")]
    direction: VocabularyWord,
    reused: bool,
    bits: Option<u64>,
    algorithm_bits: Option<u64>,
    texts: Fields,
}

impl KeptTls {
    pub(super) fn of(tls: &Tls<'_>) -> Self {
        let mut texts = Fields::default();
        texts.set(KeptField::Sni, tls.sni);
        texts.set(KeptField::Protocol, tls.protocol);
        texts.set(KeptField::Cipher, tls.cipher);
        texts.set(KeptField::KeyExchange, tls.key_exchange);
        texts.set(KeptField::ServerSignature, tls.server_signature);
        texts.set(KeptField::ServerDigest, tls.server_digest);
        texts.set(KeptField::ClientSignature, tls.client_signature);
        texts.set(KeptField::ClientDigest, tls.client_digest);
        let Tls { trust, direction, reused, bits, algorithm_bits, .. } = *tls;
        Self { trust, direction, reused, bits, algorithm_bits, texts }
    }

    /// Returns its memory in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.texts.held()
    }

    pub(super) fn get(&self) -> Tls<'_> {
        Tls {
            trust: self.trust,
            direction: self.direction,
            reused: self.reused,
            sni: self.texts.get(KeptField::Sni),
            protocol: self.texts.get(KeptField::Protocol),
            cipher: self.texts.get(KeptField::Cipher),
            bits: self.bits,
            algorithm_bits: self.algorithm_bits,
            key_exchange: self.texts.get(KeptField::KeyExchange),
            server_signature: self.texts.get(KeptField::ServerSignature),
            server_digest: self.texts.get(KeptField::ServerDigest),
            client_signature: self.texts.get(KeptField::ClientSignature),
            client_digest: self.texts.get(KeptField::ClientDigest),
        }
    }
}
