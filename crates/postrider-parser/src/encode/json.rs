//! Writer of JSON into a buffer, with fields in the order of the calls.

use std::ops::Range;

use super::buffer::Buffer;
use super::domain;
use crate::decimal;
use crate::record::Decimal;
use crate::time::{Printer, Timestamp};

/// An object that is being written. Each field ends with a comma, and the end of the object replaces the last comma. A
/// field is therefore written in the same way at any position.
pub(super) struct Object<'o> {
    out: &'o mut Buffer,
    /// True if the texts in the object are known to need no escape, because the texts from which they were taken need
    /// none.
    plain: bool,
}

/// A constant key in the form that precedes a string, made by [`key!`].
#[derive(Clone, Copy)]
pub(super) struct JsonKey(pub(super) &'static str);

/// Returns the [`JsonKey`] of a name that needs no escape, with all characters around it.
macro_rules! key {
    ($name:literal) => {
        $crate::encode::json::JsonKey(concat!("\"", $name, "\":\""))
    };
}
pub(super) use key;

impl JsonKey {
    /// Returns the key in the form that precedes a value other than a string.
    #[inline]
    fn bare(self) -> &'static [u8] {
        &self.0.as_bytes()[..self.0.len() - 1]
    }
}

/// Appends an object with the fields that `fields` writes. The object is `plain` if no text given to [`Object::text`]
/// needs an escape.
#[inline]
pub(super) fn object(out: &mut Buffer, plain: bool, fields: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fields(&mut Object { out, plain });
    close(out);
}

/// Ends an object whose last field has ended with a comma, if it has any field.
#[inline]
fn close(out: &mut Buffer) {
    match out.last_mut() {
        Some(comma @ b',') => *comma = b'}',
        _ => out.push(b'}'),
    }
}

#[expect(clippy::inline_always, reason = "so the length of a key is known where its bytes are copied")]
impl Object<'_> {
    /// Writes a field whose value `write` appends.
    #[inline(always)]
    pub(super) fn value(&mut self, key: JsonKey, write: impl FnOnce(&mut Buffer)) {
        self.out.piece(key.bare(), b"", b"");
        write(self.out);
        self.out.push(b',');
    }

    /// Writes a field whose value is not a string.
    #[inline(always)]
    pub(super) fn bare(&mut self, key: JsonKey, value: &[u8]) {
        self.out.piece(key.bare(), value, b",");
    }

    /// Writes a field with a name from a table, which needs no escape, and a value that `write` appends.
    pub(super) fn named(&mut self, name: &'static str, write: impl FnOnce(&mut Buffer)) {
        self.out.piece(b"\"", name.as_bytes(), b"\":");
        write(self.out);
        self.out.push(b',');
    }

    /// Writes a string that needs no escape.
    #[inline(always)]
    pub(super) fn plain(&mut self, key: JsonKey, value: &str) {
        debug_assert!(!needs_escape(value), "{value:?}");
        self.bytes(key, value.as_bytes());
    }

    /// Writes the bytes of a string that needs no escape.
    #[inline(always)]
    pub(super) fn bytes(&mut self, key: JsonKey, value: &[u8]) {
        self.out.piece(key.0.as_bytes(), value, b"\",");
    }

    #[inline(always)]
    pub(super) fn text(&mut self, key: JsonKey, value: &str) {
        self.text_that(key, value, self.plain || !needs_escape(value));
    }

    /// Writes a string; `is_plain` says whether it needs no escape.
    #[inline(always)]
    pub(super) fn text_that(&mut self, key: JsonKey, value: &str, is_plain: bool) {
        if is_plain {
            self.plain(key, value);
        } else {
            self.value(key, |out| string(value, |piece| out.append(piece)));
        }
    }

    /// Writes a constant of the program, which needs no escape.
    #[inline(always)]
    pub(super) fn word(&mut self, key: JsonKey, value: &'static str) {
        self.plain(key, value);
    }

    #[inline(always)]
    pub(super) fn text_if(&mut self, key: JsonKey, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Writes an address, and as `domain` the text after its last `@`, in lower case.
    #[inline(always)]
    pub(super) fn address(&mut self, key: JsonKey, domain: JsonKey, address: &str) {
        self.text(key, address);
        if let Some((name, may_have_capitals)) = domain::of(address) {
            let start = self.out.len();
            self.text(domain, name);
            if may_have_capitals {
                // The key is in lower case, and so are escapes.
                self.out[start..].make_ascii_lowercase();
            }
        }
    }

    pub(super) fn address_if(&mut self, key: JsonKey, domain: JsonKey, address: Option<&str>) {
        if let Some(address) = address {
            self.address(key, domain, address);
        }
    }

    /// Writes a string, and returns its position. If the string is plain, its bytes are there unchanged.
    pub(super) fn placed_if(&mut self, key: JsonKey, value: Option<&str>) -> Option<Range<usize>> {
        let value = value?;
        self.text(key, value);
        let end = self.out.len() - "\",".len();
        Some(end - value.len()..end)
    }

    /// True if the text is at `place`, or if both are `None`.
    #[inline]
    pub(super) fn holds(&self, place: Option<&Range<usize>>, text: Option<&str>) -> bool {
        match (place, text) {
            (Some(place), Some(text)) => self.out[place.start..place.end] == *text.as_bytes(),
            (place, text) => place.is_none() && text.is_none(),
        }
    }

    #[inline(always)]
    pub(super) fn word_if(&mut self, key: JsonKey, value: Option<&'static str>) {
        if let Some(value) = value {
            self.word(key, value);
        }
    }

    /// Writes an integer, unless it is too large for a record.
    #[inline(always)]
    pub(super) fn number(&mut self, key: JsonKey, value: impl Into<u64>) {
        let value = value.into();
        if value <= decimal::LARGEST {
            self.bare(key, decimal::text(value).as_bytes());
        }
    }

    #[inline(always)]
    pub(super) fn number_if(&mut self, key: JsonKey, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    pub(super) fn signed_if(&mut self, key: JsonKey, value: Option<i64>) {
        let Some(value) = value else { return };
        let mut text = decimal::text(value.unsigned_abs());
        if value < 0 {
            text.push(b'-');
        }
        self.bare(key, text.as_bytes());
    }

    pub(super) fn time(&mut self, key: JsonKey, time: Timestamp) {
        self.recent_time(key, time, &mut Printer::default());
    }

    pub(super) fn time_if(&mut self, key: JsonKey, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.time(key, time);
        }
    }

    /// Writes a time whose second is often that of the time printed before it.
    #[inline(always)]
    pub(super) fn recent_time(&mut self, key: JsonKey, time: Timestamp, printer: &mut Printer) {
        self.bytes(key, printer.text(time));
    }

    #[inline(always)]
    pub(super) fn boolean(&mut self, key: JsonKey, value: bool) {
        self.bare(key, if value { b"true" } else { b"false" });
    }

    /// Writes seconds with their own digits, and always with a point: a data store that infers the type of a column
    /// from `10` would not accept `0.15` in it.
    #[inline(always)]
    pub(super) fn seconds(&mut self, key: JsonKey, seconds: Decimal<'_>) {
        let digits = seconds.as_str().as_bytes();
        if seconds.has_point() {
            self.bare(key, digits);
        } else {
            self.out.piece(key.bare(), digits, b".0,");
        }
    }

    /// Writes a whole number of seconds in the same form, unless it is too large for a record.
    pub(super) fn whole_seconds_if(&mut self, key: JsonKey, seconds: Option<u64>) {
        if let Some(seconds) = seconds.filter(|seconds| *seconds <= decimal::LARGEST) {
            self.out.piece(key.bare(), decimal::text(seconds).as_bytes(), b".0,");
        }
    }

    /// Writes the seconds from `start` to `end` with a point and without needless zeros; nothing if `end` is earlier.
    pub(super) fn duration(&mut self, key: JsonKey, start: Timestamp, end: Timestamp) {
        let Some(micros) = end.micros_since(start) else { return };
        let fraction = decimal::text(1_000_000 + micros % 1_000_000);
        // The first digit only keeps the zeros behind it.
        let mut fraction = &fraction.as_bytes()[1..];
        while let [rest @ .., b'0'] = fraction
            && !rest.is_empty()
        {
            fraction = rest;
        }
        self.value(key, |out| out.piece(decimal::text(micros / 1_000_000).as_bytes(), b".", fraction));
    }

    /// Writes the sum of seconds that fit.
    #[inline(always)]
    pub(super) fn sum(&mut self, key: JsonKey, a: Decimal<'_>, b: Decimal<'_>) {
        self.bare(key, decimal::sum(a.parts(), b.parts()).as_bytes());
    }

    #[inline(always)]
    pub(super) fn seconds_if(&mut self, key: JsonKey, seconds: Option<Decimal<'_>>) {
        if let Some(seconds) = seconds.filter(|seconds| seconds.fits()) {
            self.seconds(key, seconds);
        }
    }

    /// Writes an object inside this one; it is plain if this one is.
    #[inline(always)]
    pub(super) fn object(&mut self, key: JsonKey, fields: impl FnOnce(&mut Object<'_>)) {
        self.part(key, self.plain, fields);
    }

    /// Writes an object inside this one, whose texts come from elsewhere.
    #[inline(always)]
    pub(super) fn part(&mut self, key: JsonKey, plain: bool, fields: impl FnOnce(&mut Object<'_>)) {
        self.out.piece(key.bare(), b"", b"{");
        fields(&mut Object { out: self.out, plain });
        close(self.out);
        self.out.push(b',');
    }

    /// Writes a list of objects, whose texts come from elsewhere, unless it is empty.
    pub(super) fn objects<T>(&mut self, key: JsonKey, items: &[T], mut write: impl FnMut(&mut Object<'_>, &T)) {
        self.list(key, items, |out, item| object(out, false, |object| write(object, item)));
    }

    /// Writes a list of strings, unless it is empty.
    pub(super) fn texts<'t>(&mut self, key: JsonKey, texts: impl IntoIterator<Item = &'t &'t str>) {
        self.list(key, texts, |out, text| string(text, |piece| out.append(piece)));
    }

    fn list<T>(&mut self, key: JsonKey, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Buffer, T)) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        self.value(key, |out| {
            let mut separator = b'[';
            for item in items {
                out.push(separator);
                write(out, item);
                separator = b',';
            }
            out.push(b']');
        });
    }

    /// Writes the fields, at least one, that `write` makes from `of`. If `recent` contains fields made from the same
    /// value, they are copied instead.
    #[inline(always)]
    pub(super) fn fields<K: PartialEq>(&mut self, recent: &mut Recent<K>, of: K, write: impl FnOnce(&mut Object<'_>)) {
        if recent.of.as_ref() == Some(&of) {
            self.again(&recent.place);
        } else {
            *recent = Recent { of: Some(of), place: self.place_of(write) };
        }
    }

    /// Writes the fields, at least one, at a position that [`Object::place_of`] returned.
    #[inline(always)]
    pub(super) fn again(&mut self, place: &Range<usize>) {
        self.out.append_again(place.clone());
        self.out.push(b',');
    }

    /// Writes fields, at least one, with `write`, and returns their position.
    #[inline(always)]
    pub(super) fn place_of(&mut self, write: impl FnOnce(&mut Self)) -> Range<usize> {
        let start = self.out.len();
        write(self);
        // The last comma is not part of the fields: it becomes the end of an object.
        start..self.out.len() - 1
    }
}

/// Fields that were written last: the value from which they were made, and their position in the buffer, where the
/// bytes must not change.
pub(super) struct Recent<K> {
    of: Option<K>,
    place: Range<usize>,
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { of: None, place: 0..0 }
    }
}

/// Passes the pieces of `text`, as a JSON string, to `push`. Besides the characters that JSON requires to be escaped,
/// DEL and the C1 control characters (U+0080 to U+009F) are escaped: a terminal that shows a record must not obey the
/// record's sender.
pub fn string(text: &str, mut push: impl FnMut(&[u8])) {
    push(b"\"");
    if needs_escape(text) {
        escaped(text, &mut push);
    } else {
        push(text.as_bytes());
    }
    push(b"\"");
}

fn escaped(text: &str, push: &mut impl FnMut(&[u8])) {
    let mut done = 0;
    for (at, c) in text.char_indices() {
        if !(c.is_control() || c == '"' || c == '\\') {
            continue;
        }
        push(&text.as_bytes()[done..at]);
        done = at + c.len_utf8();
        match c {
            '"' => push(b"\\\""),
            '\\' => push(b"\\\\"),
            '\u{8}' => push(b"\\b"),
            '\u{c}' => push(b"\\f"),
            '\n' => push(b"\\n"),
            '\r' => push(b"\\r"),
            '\t' => push(b"\\t"),
            c => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                // Control characters end at U+009F.
                let code = u32::from(c) as usize;
                push(&[b'\\', b'u', b'0', b'0', HEX[code >> 4 & 15], HEX[code & 15]]);
            }
        }
    }
    push(&text.as_bytes()[done..]);
}

const DEL: u8 = 0x7f;

/// First byte of the C1 control characters.
const C1: u8 = 0xc2;

/// True if [`string`] may have to escape a part of `text`. This function looks only at bytes, so it treats all of
/// U+0080 to U+00BF, which begin with the same byte, as control characters.
pub(crate) fn needs_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.len() {
        64.. => any_block_needs_escape::<64>(bytes),
        16.. => any_block_needs_escape::<16>(bytes),
        4.. => any_block_needs_escape::<4>(bytes),
        _ => bytes.iter().any(|byte| byte_needs_escape(*byte)),
    }
}

/// Checks `N` bytes or more: all whole blocks of that length, and the last bytes.
fn any_block_needs_escape<const N: usize>(bytes: &[u8]) -> bool {
    bytes.last_chunk().is_some_and(block_needs_escape::<N>) || bytes.as_chunks().0.iter().any(block_needs_escape::<N>)
}

/// Does not stop early, so that the compiler can check all bytes at once.
fn block_needs_escape<const N: usize>(block: &[u8; N]) -> bool {
    let found = block.iter().fold(false, |found, byte| found | may_need_escape(*byte));
    found && block.iter().any(|byte| byte_needs_escape(*byte))
}

/// True for each byte that needs an escape, and for all bytes outside ASCII: this saves one comparison per block.
const fn may_need_escape(byte: u8) -> bool {
    // In ASCII, only the quote becomes 0x20, and smaller values stay smaller; other bytes are negative.
    (byte ^ 2).cast_signed() <= 0x20 || byte == b'\\' || byte == DEL
}

const fn byte_needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | DEL | C1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_at_each_place_if_it_needs_an_escape() {
        for code in 0..0x180_u32 {
            let c = char::from_u32(code).unwrap();
            let expected = c.is_control() || matches!(c, '"' | '\\' | '\u{80}'..='\u{bf}');
            for (before, after) in (0..40).map(|before| (before, 39 - before)).chain((0..16).map(|before| (before, 0)))
            {
                let text = format!("{}{c}{}", "é".repeat(before), "x".repeat(after));
                assert_eq!(needs_escape(&text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn no_control_character_stands_raw() {
        let all: String = (0..0x100).filter_map(char::from_u32).collect();
        let mut out = Vec::new();
        string(&all, |piece| out.extend_from_slice(piece));
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(char::is_control), "{out:?}");
        assert!(out.contains("\\u001b") && out.contains("~\\u007f\\u0080") && out.contains("\\u009f\u{a0}"), "{out}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), all);
    }

    proptest::proptest! {
        #[test]
        fn strings_are_as_serde_json_writes_them(text in "[^\u{7f}-\u{9f}]*") {
            let mut out = Vec::new();
            string(&text, |piece| out.extend_from_slice(piece));
            assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }

        #[test]
        fn strings_read_back(text in "[\u{0}-\u{200}]*") {
            let mut out = Vec::new();
            string(&text, |piece| out.extend_from_slice(piece));
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
