//! Addresses as the log prints them (`src/global/info_log_addr_form.c`).
//!
//! Since Postfix 3.5, a local part that needs quotes is quoted (`<"a b, c>"@example.com>`), so the end of the address
//! is certain. Before 3.5, and with `info_log_address_format = internal`, it is not quoted, and anything may stand
//! between the brackets.
//!
//! # Limits
//!
//! An unquoted address that contains `>, relay=` is read as a shorter address that ends there.

use super::divide;

/// Keys of a delivery record (`src/global/log_adhoc.c`): one of them follows an address.
const KEYS: [&str; 8] = ["relay=", "orig_to=", "delay=", "status=", "conn_use=", "delays=", "tls=", "dsn="];

/// Splits a text into the address that it begins with, without the brackets, and the rest from the next `, key=` on.
///
/// The address ends at the last `>` before the next key of a delivery record. Text between this `>` and the key, which
/// Postfix never writes, is part of neither. An address without brackets ends at that key.
pub(super) fn split(text: &str) -> (&str, &str) {
    let Some(inner) = text.strip_prefix('<') else {
        return text.split_at(next_key(text, 0).unwrap_or(text.len()));
    };
    let from = quoted(inner);
    let Some(first) = divide::find(&inner.as_bytes()[from..], b'>') else {
        // Cut, or munged: there is no bracket, but there may still be a key.
        return inner.split_at(next_key(inner, from).unwrap_or(inner.len()));
    };
    let first = from + first;
    // The usual case: a key follows the first bracket.
    let after = &inner.as_bytes()[first + 1..];
    if is_key(after) || is_bare_key(after) {
        return (&inner[..first], &inner[first + 1..]);
    }
    let key = next_key(inner, first).unwrap_or(inner.len());
    let between = &inner[first..key];
    let last = memchr::memrchr(b'>', between.as_bytes()).unwrap_or(0);
    (&inner[..first + last], &inner[key..])
}

/// Splits a text into the address that it begins with, without the brackets, and what follows them. No other address
/// may follow in the text.
///
/// The address ends at the last `>` of the text, whatever the address holds. If this `>` is part of the address, the
/// end of the address was cut off, and all the remaining text is address. An address without brackets ends at a space
/// or a comma.
pub(super) fn split_last(text: &str) -> (&str, &str) {
    let Some(inner) = text.strip_prefix('<') else {
        return text.split_at(memchr::memchr2(b' ', b',', text.as_bytes()).unwrap_or(text.len()));
    };
    let from = quoted(inner);
    let Some(last) = memchr::memrchr(b'>', &inner.as_bytes()[from..]) else { return (inner, "") };
    let (address, rest) = (&inner[..from + last], &inner[from + last + 1..]);
    match rest.as_bytes().first() {
        None | Some(b',' | b' ') => (address, rest),
        Some(_) => (inner, ""),
    }
}

/// Splits a text that follows a `<` into an address in external form and what follows its `>`; `None` if there is no
/// address, or if it is in internal form.
///
/// Outside a quoted local part, an address in external form holds no brackets, quotes or spaces, so it can end in one
/// place only.
pub(super) fn external(text: &str) -> Option<(&str, &str)> {
    let from = quoted(text);
    let end = from + memchr::memchr(b'>', &text.as_bytes()[from..])?;
    let plain = !text[from..end].bytes().any(|b| matches!(b, b' ' | b'<' | b'"' | b'\\'));
    plain.then(|| (&text[..end], &text[end + 1..]))
}

/// Returns the length of the quoted local part that an address begins with, or 0 if there is none. This is RFC 5321's
/// Quoted-string. It counts only if a domain or the end follows, since a quote in an unquoted address is a character
/// like any other.
fn quoted(address: &str) -> usize {
    let bytes = address.as_bytes();
    if bytes.first() != Some(&b'"') {
        return 0;
    }
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            let ends = matches!(bytes.get(at + 1), Some(b'@' | b'>'));
            return if ends { at + 1 } else { 0 };
        }
        at += 2;
    }
    0
}

/// Returns where the next `, key=` of a delivery record begins, at or after `from`.
fn next_key(text: &str, from: usize) -> Option<usize> {
    memchr::memchr_iter(b',', &text.as_bytes()[from..]).map(|at| from + at).find(|at| is_key(&text.as_bytes()[*at..]))
}

/// True if a text begins with `, key=` of a delivery record.
fn is_key(text: &[u8]) -> bool {
    text.strip_prefix(b", ").is_some_and(begins_with_key)
}

/// Like [`is_key`], but without the comma, or without the space.
fn is_bare_key(text: &[u8]) -> bool {
    matches!(text, [b' ' | b',', rest @ ..] if begins_with_key(rest))
}

fn begins_with_key(text: &[u8]) -> bool {
    KEYS.iter().any(|key| text.starts_with(key.as_bytes()))
}

/// Returns where the next `, ` begins.
pub(super) fn separator(text: &str) -> Option<usize> {
    let (bytes, mut from) = (text.as_bytes(), 0);
    loop {
        let at = from + divide::find(&bytes[from..], b',')?;
        if bytes.get(at + 1) == Some(&b' ') {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Like [`separator`], but also finds the next key in front of which the comma, or the space, is missing.
pub(super) fn loose_separator(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b',', b' ', bytes).find(|at| match bytes[*at] {
        b',' if bytes.get(at + 1) == Some(&b' ') => true,
        _ => is_bare_key(&bytes[*at..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_addresses() {
        #[rustfmt::skip]
        let vectors = [
            ("<a@example.com>, size=1", "a@example.com", ", size=1"),
            ("<a@example.com> orig_id=1", "a@example.com", " orig_id=1"),
            ("<>", "", ""),
            ("<ü@müller.example>, size=1", "ü@müller.example", ", size=1"),
            (r#"<"a>, size=9"@example.com>, size=1"#, r#""a>, size=9"@example.com"#, ", size=1"),
            ("<a>, size=9@example.com>, size=1", "a>, size=9@example.com", ", size=1"),
            ("<a>b@exam", "a>b@exam", ""),
            (r#"<"a>, size=9"@exam"#, r#""a>, size=9"@exam"#, ""),
            ("<a@exam", "a@exam", ""),
            ("a@example.com, size=1", "a@example.com", ", size=1"),
            ("", "", ""),
        ];
        for (text, address, rest) in vectors {
            assert_eq!(split_last(text), (address, rest), "{text}");
        }
    }

    #[test]
    fn addresses() {
        #[rustfmt::skip]
        let vectors = [
            ("<a@example.com>, relay=none", "a@example.com", ", relay=none"),
            ("<>, relay=none", "", ", relay=none"),
            ("<root>, orig_to=<x>, relay=none", "root", ", orig_to=<x>, relay=none"),
            ("<ü@müller.example>, relay=none", "ü@müller.example", ", relay=none"),
            ("<a@example.com>", "a@example.com", ""),
            // External form: quoted.
            (r#"<"a b"@example.com>, relay=x"#, r#""a b"@example.com"#, ", relay=x"),
            (r#"<"a>, relay=x, status=sent (ok"@example.com>, relay=y"#, r#""a>, relay=x, status=sent (ok"@example.com"#, ", relay=y"),
            (r#"<"a\"@b>, relay=x"@example.com>, relay=y"#, r#""a\"@b>, relay=x"@example.com"#, ", relay=y"),
            (r#"<"a\\"@example.com>, relay=y"#, r#""a\\"@example.com"#, ", relay=y"),
            (r#"<"a, relay=b">, relay=y"#, r#""a, relay=b""#, ", relay=y"),
            // Internal form: not quoted.
            ("<a b@example.com>, relay=y", "a b@example.com", ", relay=y"),
            ("<a>b@example.com>, relay=y", "a>b@example.com", ", relay=y"),
            ("<a>, b@example.com>, relay=y", "a>, b@example.com", ", relay=y"),
            ("<a, relay=b@example.com>, relay=y", "a, relay=b@example.com", ", relay=y"),
            (r#"<"a@example.com>, relay=y, status=bounced ("a" is unknown)"#, r#""a@example.com"#, r#", relay=y, status=bounced ("a" is unknown)"#),
            (r"<a\>, relay=y", r"a\", ", relay=y"),
            // Munged.
            ("a@example.com, relay=y", "a@example.com", ", relay=y"),
            ("a@example.com", "a@example.com", ""),
            ("<a@example.com>, tenant=7, relay=y", "a@example.com", ", relay=y"),
            ("<a@example.com, relay=y", "a@example.com", ", relay=y"),
            ("<", "", ""),
            (r#"<"\"#, r#""\"#, ""),
            ("", "", ""),
        ];
        for (text, address, rest) in vectors {
            assert_eq!(split(text), (address, rest), "{text}");
        }
    }

    #[test]
    fn external_forms() {
        #[rustfmt::skip]
        let vectors = [
            ("a@example.com> to=<b>", Some(("a@example.com", " to=<b>"))),
            (">", Some(("", ""))),
            ("root>", Some(("root", ""))),
            ("a@[192.0.2.1]>", Some(("a@[192.0.2.1]", ""))),
            ("ü@müller.example>", Some(("ü@müller.example", ""))),
            (r#""a> to=<b"@example.com> x"#, Some((r#""a> to=<b"@example.com"#, " x"))),
            (r#""a\"> to=<b"@example.com>"#, Some((r#""a\"> to=<b"@example.com"#, ""))),
            // Internal, or cut.
            ("a b@example.com>", None),
            ("a<b@example.com>", None),
            (r#"x"@example.com>"#, None),
            (r#"\"x\"@example.com>"#, None),
            (r#""a"b"@example.com>"#, None),
            (r#""a@example.com>"#, None),
            ("a@example.com", None),
            (r#""\"#, None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(external(text), expected, "{text}");
        }
    }
}
