//! The forms that values have in a checkpoint which belong to the vocabulary: a word each, so that a list may grow.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::{ClosedBy, Postscreen, SessionEnd, Tls, Transport, Uid, Verdict};

/// A word of the vocabulary. A name of its own keeps serde from borrowing it from a checkpoint.
pub(super) type VocabularyWord = &'static str;

/// Declares the form of a type whose values are listed, each with its word.
macro_rules! listed {
    ($form:ident, $type:ty, $all:expr, $word:expr) => {
        pub(super) mod $form {
            use super::*;

            pub(in crate::correlate) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                let word: fn($type) -> &'static str = $word;
                word(*value).serialize(to)
            }

            pub(in crate::correlate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let (read, word) = (<&str>::deserialize(from)?, $word as fn($type) -> &'static str);
                let unknown = || serde::de::Error::custom(format_args!("unknown word: {read}"));
                $all.into_iter().find(|value| word(*value) == read).ok_or_else(unknown)
            }
        }
    };
}

listed!(action, VocabularyWord, Verdict::ACTIONS, |word| word);
listed!(test, VocabularyWord, Postscreen::TESTS, |word| word);
listed!(direction, VocabularyWord, Tls::DIRECTIONS, |word| word);
listed!(trust, Option<VocabularyWord>, Tls::TRUST.map(Some).into_iter().chain([None]), Option::unwrap_or_default);
listed!(transport, Transport, Transport::ALL, Transport::name);
listed!(session_end, SessionEnd, SessionEnd::ALL, SessionEnd::name);
listed!(closed_by, Option<ClosedBy>, ClosedBy::ALL.map(Some).into_iter().chain([None]), |by| by
    .map_or("", ClosedBy::name));

/// The form of an id.
pub(super) mod uid {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Uid};

    pub(in crate::correlate) fn serialize<S: Serializer>(uid: &Uid, to: S) -> Result<S::Ok, S::Error> {
        uid.0.serialize(to)
    }

    pub(in crate::correlate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uid, D::Error> {
        Ok(Uid(<[u8; 16]>::deserialize(from)?))
    }
}
