//! Writing JSON into a buffer, in the order in which it is told.

use std::mem;

use crate::decimal;

/// An object that is being written; it ends with [`Object::end`].
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
    /// Whether it is known of the texts in it that they need no escape, because what they are parts of needs none.
    plain: bool,
}

/// A key of the program's own as it stands in an object before a string, made by [`key!`].
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) &'static str);

/// The [`Key`] of a name that needs no escape, with all that stands around it.
macro_rules! key {
    ($name:literal) => {
        $crate::encode::json::Key(concat!(",\"", $name, "\":\""))
    };
}
pub(super) use key;

#[expect(clippy::inline_always, reason = "so the length of a key is known where its bytes are copied")]
impl<'o> Object<'o> {
    /// Opens an object. It is `plain` if none of the texts that will be given to [`Object::text`] needs an escape.
    #[inline]
    pub(super) fn begin(out: &'o mut Vec<u8>, plain: bool) -> Self {
        out.push(b'{');
        Self { out, empty: true, plain }
    }

    /// Writes a key and gives the buffer for its value.
    #[inline(always)]
    pub(super) fn key(&mut self, key: Key) -> &mut Vec<u8> {
        let from = usize::from(mem::take(&mut self.empty));
        self.out.extend_from_slice(&key.0.as_bytes()[from..key.0.len() - 1]);
        self.out
    }

    /// Writes a key and a string that needs no escape.
    #[inline(always)]
    pub(super) fn plain(&mut self, key: Key, value: &str) {
        debug_assert!(!needs_escape(value), "{value:?}");
        let from = usize::from(mem::take(&mut self.empty));
        self.out.extend_from_slice(&key.0.as_bytes()[from..]);
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Writes a key that a sender chose.
    pub(super) fn foreign_key(&mut self, key: &str) -> &mut Vec<u8> {
        if !mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        string(self.out, key);
        self.out.push(b':');
        self.out
    }

    #[inline(always)]
    pub(super) fn text(&mut self, key: Key, value: &str) {
        if self.plain || !needs_escape(value) {
            self.plain(key, value);
        } else {
            string(self.key(key), value);
        }
    }

    /// For text of the program's own, which needs no escape.
    #[inline(always)]
    pub(super) fn word(&mut self, key: Key, value: &'static str) {
        self.plain(key, value);
    }

    #[inline(always)]
    pub(super) fn text_if(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    #[inline(always)]
    pub(super) fn word_if(&mut self, key: Key, value: Option<&'static str>) {
        if let Some(value) = value {
            self.word(key, value);
        }
    }

    #[inline(always)]
    pub(super) fn number(&mut self, key: Key, value: impl Into<u64>) {
        decimal::push(self.key(key), value.into(), 1);
    }

    #[inline(always)]
    pub(super) fn number_if(&mut self, key: Key, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    pub(super) fn signed_if(&mut self, key: Key, value: Option<i32>) {
        let Some(value) = value else { return };
        let out = self.key(key);
        if value < 0 {
            out.push(b'-');
        }
        decimal::push(out, value.unsigned_abs().into(), 1);
    }

    #[inline(always)]
    pub(super) fn boolean(&mut self, key: Key, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// For a number whose digits are kept as they are; `digits` is a valid JSON number.
    #[inline(always)]
    pub(super) fn digits(&mut self, key: Key, digits: &str) {
        self.key(key).extend_from_slice(digits.as_bytes());
    }

    /// Opens an object in this one, as plain as this one is.
    #[inline(always)]
    pub(super) fn object(&mut self, key: Key) -> Object<'_> {
        let plain = self.plain;
        Object::begin(self.key(key), plain)
    }

    #[inline]
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends `text` as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    if needs_escape(text) {
        // Writing into a Vec does not fail.
        let _ = serde_json::to_writer(out, text);
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

/// Whether a JSON string has to write any of `text` in another way.
pub(super) fn needs_escape(text: &str) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    let (words, rest) = text.as_bytes().as_chunks();
    // Eight bytes at a time, and without an early end: nearly every text is plain. A byte borrows from its highest bit where it
    // is smaller than what is taken from it, and was small itself; beyond the lowest such byte that may be wrong, but not whether
    // there is one.
    let found = words.iter().fold(0, |found, word| {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ QUOTES, word ^ BACKSLASHES);
        let small = word.wrapping_sub(ONES * 0x20) & !word;
        found | small | quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash
    });
    found & ONES << 7 != 0 || rest.iter().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn strings_are_as_serde_json_writes_them(text: String) {
            let mut out = Vec::new();
            string(&mut out, &text);
            assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }
}
