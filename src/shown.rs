//! Text that is safe for a terminal. A peer or a file name may hold characters that a terminal obeys, or that change
//! the order in which a line is shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` with an escape in the place of each character that must not be shown. These are control characters
/// but TAB and LF, characters that change the direction of writing, and the line separators of Unicode. With `colours`,
/// the sequences that only set a colour stay.
pub(crate) fn shown(text: &[u8], colours: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| may_be_hidden(*byte)) {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(text);
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if is_harmless(c) || (c == '\u{1b}' && colours && sets_colour(&text[at + 1..])) {
            shown.push(c);
        } else {
            // Writing to a string can't fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        }
    }
    Cow::Owned(shown.into_bytes())
}

/// The same for one event of the log: its further lines are indented, so that none of them can pass for another event.
pub(crate) fn event(text: &[u8], colours: bool) -> Cow<'_, [u8]> {
    let shown = shown(text, colours);
    let (line, end) = shown.strip_suffix(b"\n").map_or((&shown[..], &b""[..]), |line| (line, b"\n"));
    if !line.contains(&b'\n') {
        return shown;
    }
    let mut indented = Vec::with_capacity(shown.len() + 64);
    for (n, part) in line.split(|byte| *byte == b'\n').enumerate() {
        if n > 0 {
            indented.push(b'\n');
        }
        if n > 0 && !part.is_empty() {
            indented.extend_from_slice(b"    ");
        }
        indented.extend_from_slice(part);
    }
    indented.extend_from_slice(end);
    Cow::Owned(indented)
}

/// Whether a byte can belong to such a character: the control characters of ASCII, and what begins the others.
const fn may_be_hidden(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0b..=0x1f | 0x7f | 0xc2 | 0xd8 | 0xe2)
}

/// Returns true if a terminal shows `c`, and does not obey it.
pub(crate) fn is_harmless(c: char) -> bool {
    match c {
        '\t' | '\n' => true,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    }
}

/// Whether what follows ESC is a sequence that sets colours and the like: `[1;31m`.
fn sets_colour(text: &str) -> bool {
    let Some(parameters) = text.strip_prefix('[') else { return false };
    parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("größe 東京 «x»\n", "größe 東京 «x»\n"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\u{7f}"),
            ("\r\u{7}\u{8}\0", "\\u{d}\\u{7}\\u{8}\\u{0}"),
            ("gpj.\u{202e}exe\u{2066}\u{2069}\u{200f}\u{61c}", "gpj.\\u{202e}exe\\u{2066}\\u{2069}\\u{200f}\\u{61c}"),
            ("one\u{2028}two\u{2029}", "one\\u{2028}two\\u{2029}"),
        ] {
            assert_eq!(String::from_utf8_lossy(&shown(text.as_bytes(), false)), expected);
        }
        let coloured = "\u{1b}[1;31mERROR\u{1b}[0m x\u{1b}[2J\u{1b}]0;title\u{7}\n";
        let expected = "\u{1b}[1;31mERROR\u{1b}[0m x\\u{1b}[2J\\u{1b}]0;title\\u{7}\n";
        assert_eq!(String::from_utf8_lossy(&shown(coloured.as_bytes(), true)), expected);
    }

    #[test]
    fn further_lines_of_an_event_are_indented() {
        assert_eq!(&event(b"one\n", false)[..], b"one\n");
        assert_eq!(&event(b"one\ntwo\n\nthree\n", false)[..], b"one\n    two\n\n    three\n");
        assert_eq!(&event(b"one\n2026 ERROR \x1b[2J", false)[..], b"one\n    2026 ERROR \\u{1b}[2J");
    }

    #[test]
    fn the_quick_look_misses_nothing() {
        for c in ('\0'..=char::MAX).filter(|c| !is_harmless(*c)) {
            assert!(may_be_hidden(c.to_string().as_bytes()[0]), "{c:?}");
        }
    }
}
