//! Writing JSON into a buffer, in the order in which it is told.

use crate::decimal;

/// An object that is being written; it ends with [`Object::end`].
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a key of the program's own, which needs no escape, and gives the buffer for its value.
    pub(super) fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a key that a sender chose.
    pub(super) fn foreign_key(&mut self, key: &str) -> &mut Vec<u8> {
        self.separate();
        string(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        string(self.key(key), value);
    }

    /// For text of the program's own, which needs no escape.
    pub(super) fn word(&mut self, key: &'static str, value: &'static str) {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }

    pub(super) fn text_if(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn word_if(&mut self, key: &'static str, value: Option<&'static str>) {
        if let Some(value) = value {
            self.word(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &'static str, value: impl Into<u64>) {
        decimal::push(self.key(key), value.into(), 1);
    }

    pub(super) fn number_if(&mut self, key: &'static str, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    pub(super) fn signed_if(&mut self, key: &'static str, value: Option<i32>) {
        let Some(value) = value else { return };
        let out = self.key(key);
        if value < 0 {
            out.push(b'-');
        }
        decimal::push(out, value.unsigned_abs().into(), 1);
    }

    pub(super) fn boolean(&mut self, key: &'static str, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// For a number whose digits are kept as they are; `digits` is a valid JSON number.
    pub(super) fn digits(&mut self, key: &'static str, digits: &str) {
        self.key(key).extend_from_slice(digits.as_bytes());
    }

    pub(super) fn object(&mut self, key: &'static str) -> Object<'_> {
        Object::begin(self.key(key))
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn separate(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }
}

/// Appends `text` as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Without an early end, so that it is done in wide steps: nearly every text is plain.
    if text.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
        // Writing into a Vec does not fail.
        let _ = serde_json::to_writer(out, text);
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
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
