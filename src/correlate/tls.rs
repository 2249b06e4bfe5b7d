//! The TLS of a connection, kept beyond its line.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, KeptField, text};
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
    pub(super) fn of(tls: &Tls<'_>, room: &mut Fields) -> Self {
        let texts = Fields::build(room, |texts| {
            texts.set(KeptField::Sni, tls.sni);
            texts.set(KeptField::Protocol, tls.protocol);
            texts.set(KeptField::Cipher, tls.cipher);
            texts.set(KeptField::KeyExchange, tls.key_exchange);
            texts.set(KeptField::ServerSignature, tls.server_signature);
            texts.set(KeptField::ServerDigest, tls.server_digest);
            texts.set(KeptField::ClientSignature, tls.client_signature);
            texts.set(KeptField::ClientDigest, tls.client_digest);
        });
        let Tls { trust, direction, reused, bits, algorithm_bits, .. } = *tls;
        Self { trust, direction, reused, bits, algorithm_bits, texts }
    }

    /// Returns its memory in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.texts.held()
    }

    pub(super) fn get(&self) -> Tls<'_> {
        let mut tls = Tls {
            trust: self.trust,
            direction: self.direction,
            reused: self.reused,
            sni: None,
            protocol: None,
            cipher: None,
            bits: self.bits,
            algorithm_bits: self.algorithm_bits,
            key_exchange: None,
            server_signature: None,
            server_digest: None,
            client_signature: None,
            client_digest: None,
        };
        for (field, value) in self.texts.as_ref().entries() {
            match field {
                KeptField::Sni => tls.sni = text(value),
                KeptField::Protocol => tls.protocol = text(value),
                KeptField::Cipher => tls.cipher = text(value),
                KeptField::KeyExchange => tls.key_exchange = text(value),
                KeptField::ServerSignature => tls.server_signature = text(value),
                KeptField::ServerDigest => tls.server_digest = text(value),
                KeptField::ClientSignature => tls.client_signature = text(value),
                KeptField::ClientDigest => tls.client_digest = text(value),
                _ => {}
            }
        }
        tls
    }
}
