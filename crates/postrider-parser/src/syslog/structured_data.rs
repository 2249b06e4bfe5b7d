//! STRUCTURED-DATA of RFC 5424, section 6.3.

use std::borrow::Cow;

use super::StructuredElement;

/// A part of STRUCTURED-DATA as it is written in the text.
enum Part<'a> {
    /// SD-ID.
    Id(&'a str),
    /// PARAM-NAME and PARAM-VALUE, the value still escaped.
    Param(&'a str, &'a str),
}

/// Returns the length in bytes of the STRUCTURED-DATA in front of `text`: NILVALUE, or SD-ELEMENTs without a gap.
///
/// Returns `None` if STRUCTURED-DATA is not well-formed, or not followed by SP or the end. The grammar is that of the
/// RFC, except that names may be longer than 32 characters, and that a `]` in a value need not be escaped.
pub(super) fn extent(text: &str) -> Option<usize> {
    let length = if text.starts_with('-') { 1 } else { scan(text, |_| ())? };
    matches!(text.as_bytes().get(length), None | Some(b' ')).then_some(length)
}

/// Returns the elements of a text that [`extent`] measured; none for NILVALUE, and for an empty text.
pub(super) fn elements(text: &str) -> Vec<StructuredElement<'_>> {
    let mut elements: Vec<StructuredElement<'_>> = Vec::new();
    let _ = scan(text, |part| match (part, elements.last_mut()) {
        (Part::Id(id), _) => elements.push(StructuredElement { id, params: Vec::new() }),
        (Part::Param(name, value), Some(element)) => element.params.push((name, unescape(value))),
        (Part::Param(..), None) => {}
    });
    elements
}

/// Removes the backslash from `\"`, `\\` and `\]`; any other backslash is literal (section 6.3.3).
pub(super) fn unescape(value: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', value.as_bytes()) else { return Cow::Borrowed(value) };
    let mut plain = String::with_capacity(value.len());
    plain.push_str(&value[..first]);
    let mut chars = value[first..].chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&escaped @ ('"' | '\\' | ']')) if c == '\\' => {
                plain.push(escaped);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// Visits all SD-ELEMENTs and returns their length, in one pass and without looking back.
fn scan<'a>(text: &'a str, mut visit: impl FnMut(Part<'a>)) -> Option<usize> {
    let mut rest = text.strip_prefix('[')?;
    loop {
        let (id, after) = name(rest)?;
        visit(Part::Id(id));
        rest = after;
        while let Some(after) = rest.strip_prefix(' ') {
            let (key, after) = name(after)?;
            let (value, after) = quoted(after.strip_prefix("=\"")?)?;
            visit(Part::Param(key, value));
            rest = after;
        }
        rest = rest.strip_prefix(']')?;
        match rest.strip_prefix('[') {
            Some(next) => rest = next,
            None => return Some(text.len() - rest.len()),
        }
    }
}

/// Reads SD-NAME: printable ASCII without `=`, SP, `]` and `"`.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_graphic() || matches!(b, b'=' | b']' | b'"')).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Returns PARAM-VALUE up to its closing quote, and the text after the quote.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.as_bytes().get(from..)?)?;
        if text.as_bytes()[at] == b'"' {
            return Some((&text[..at], &text[at + 1..]));
        }
        // The character after a backslash is part of the value. If `from` is inside a multi-byte character, the bytes
        // there are neither a quote nor a backslash.
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_what_is_well_formed() {
        for good in [
            "-",
            "[a]",
            "[a b=\"c\"]",
            "[a b=\"\"][d@32473 e=\"f\" g=\"h\"]",
            r#"[a b="\"\\\]\n"]"#,
            "[a b=\"]\"]",
            "[a b=\"é\\é\"]",
            "[0123456789012345678901234567890123456789 b=\"c\"]",
        ] {
            assert_eq!(extent(good), Some(good.len()), "{good}");
            assert_eq!(extent(&format!("{good} [x")), Some(good.len()), "{good}");
            assert_eq!(extent(&format!("{good}x")), None, "{good}");
        }
        for bad in [
            "",
            " ",
            "[",
            "[]",
            "[ ]",
            "[a",
            "[a ",
            "[a ]",
            "[a b]",
            "[a b=]",
            "[a b=1]",
            "[a b=\"]",
            "[a b=\"\\\"]",
            "[a  b=\"c\"]",
            "[a b= \"c\"]",
            "[a b=\"c\" ]",
            "[a b=\"c\"d=\"e\"]",
            "[a b=\"c\"][",
            "[a b=\"c\"][]",
            "[é]",
            "[a =\"c\"]",
            "[a b=\"\\",
        ] {
            assert_eq!(extent(bad), None, "{bad}");
        }
    }

    #[test]
    fn unescapes_three_characters() {
        for (escaped, plain) in [
            ("", ""),
            ("plain", "plain"),
            (r#"\""#, "\""),
            (r"\\", "\\"),
            (r"\]", "]"),
            (r"\n", r"\n"),
            (r"\\n", r"\n"),
            (r#"a\\\"b"#, r#"a\"b"#),
            (r"é\é", r"é\é"),
            (r"\", r"\"),
        ] {
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
        assert!(matches!(unescape("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn keeps_the_order_and_repeated_names() {
        let read = elements(r#"[b x="1" x="2"][a][b y="\]"]"#);
        let ids: Vec<_> = read.iter().map(|element| element.id).collect();
        assert_eq!(ids, ["b", "a", "b"]);
        assert_eq!(read[0].params, [("x", "1".into()), ("x", "2".into())]);
        assert_eq!(read[1].params, []);
        assert_eq!(read[2].params, [("y", "]".into())]);
        assert_eq!(elements("-"), []);
        assert_eq!(elements(""), []);
    }
}
