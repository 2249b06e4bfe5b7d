//! The hash by which the joins know texts and lines again.

use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// A hash function that depends on a secret.
///
/// XXH3 is specified: with the same secret, another build of the program computes the same hashes. A peer does not know
/// the secret and sees no hash, so it can't search for texts with equal hashes.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct KeyedHash {
    secret: u64,
}

impl KeyedHash {
    /// Returns a function with a secret of its own.
    pub(super) fn random() -> Self {
        // The only random number of the standard library that the system gives.
        Self { secret: RandomState::new().hash_one(()) }
    }

    /// Returns the hash of a list of texts. The division into texts counts too.
    pub(super) fn of(self, texts: &[&[u8]]) -> u64 {
        texts.iter().fold(self.secret, |seed, text| XxHash3_64::oneshot_with_seed(seed, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saved state has hashes: another version of the crate must not change them.
    #[test]
    fn hashes_with_one_secret_are_for_ever() {
        let hash = KeyedHash { secret: 0x0123_4567_89ab_cdef };
        let long = "x".repeat(300);
        let lists: [&[&[u8]]; 5] = [&[], &[b""], &[b"9A8B7C6D5E"], &[b"anna", b"@example.com"], &[long.as_bytes()]];
        let found = lists.map(|list| hash.of(list));
        let expected = [
            0x0123_4567_89ab_cdef,
            0xcc1c_a35a_1b08_9c5c,
            0x163d_4c11_1e1e_97d3,
            0x0d5c_58b6_05da_e40e,
            0xda0c_b6a3_89ee_a0ff,
        ];
        assert_eq!(found, expected, "{found:#x?}");
    }

    #[test]
    fn secrets_and_divisions_give_other_hashes() {
        let [one, other] = [KeyedHash::random(), KeyedHash::random()];
        assert_ne!(one.of(&[b"9A8B7C6D5E"]), other.of(&[b"9A8B7C6D5E"]));
        assert_ne!(one.of(&[b"anna", b"@example.com"]), one.of(&[b"anna@", b"example.com"]));
        assert_ne!(one.of(&[b"", b"anna"]), one.of(&[b"anna", b""]));
    }
}
