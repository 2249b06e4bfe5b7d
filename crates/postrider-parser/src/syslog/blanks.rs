//! White space around a text, and characters at its end that stand for white space; they are not part of the text.
//!
//! ```text
//! connect from a#015              a control character as rsyslog escapes it: `#` and three octal digits
//! connect from a\x0B, \x0C, \0    white space that ASCII's own does not count, and NUL
//! connect from a\u{A0}            a no-break space, as editors and web pages leave it
//! connect from a\x1B[0m           the end of a colour, also as `#033[0m`
//! ```

use crate::byte_set::ByteSet;

/// Last bytes of everything that [`strip`] removes, except white space.
const LAST: ByteSet = ByteSet::of(b"012345m\0\x0B\xA0");

/// Possible ends of a coloured text, unescaped and as rsyslog escapes them.
const COLOURS_END: [&str; 4] = ["\u{1b}[0m", "\u{1b}[m", "#033[0m", "#033[m"];

/// Returns the text without white space around it, and without what stands for white space at its end.
#[inline]
pub(super) fn trim(text: &str) -> &str {
    let text = text.trim_ascii();
    // Nearly every text is returned here.
    if text.bytes().last().is_some_and(|last| LAST.has(last)) { trim_others(text) } else { text }
}

fn trim_others(mut text: &str) -> &str {
    while let Some(shorter) = strip(text) {
        text = shorter.trim_ascii_end();
    }
    text
}

/// Returns the text without one such ending.
fn strip(text: &str) -> Option<&str> {
    let plain = || text.strip_suffix(['\0', '\u{b}', '\u{a0}']);
    let colour = || COLOURS_END.iter().find_map(|end| text.strip_suffix(end));
    plain().or_else(|| escaped(text)).or_else(colour)
}

/// Returns the text before `#015` and similar escapes: NUL, TAB, LF, VT, FF and CR.
fn escaped(text: &str) -> Option<&str> {
    let (before, end) = text.split_at_checked(text.len().checked_sub(4)?)?;
    matches!(end, "#000" | "#011" | "#012" | "#013" | "#014" | "#015").then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_text_is_taken_away() {
        for end in [
            "",
            " ",
            "\t\r\n",
            "#015",
            "#015#012",
            "#012 ",
            " #015",
            "\u{a0}",
            "\u{a0} \u{a0}",
            "\u{b}",
            "\u{c}",
            "\0",
            "\0\0 #000",
            "\u{1b}[0m",
            "\u{1b}[m",
            "#033[0m",
            "#033[m#015",
            "#011\u{1b}[0m#013#014",
        ] {
            assert_eq!(trim(&format!(" \tremoved{end}")), "removed", "{end:?}");
            assert_eq!(trim(&format!("größe{end}")), "größe", "{end:?}");
            assert_eq!(trim(end), "", "{end:?}");
        }
    }

    #[test]
    fn what_is_text_stays() {
        for text in [
            "a#016",
            "a#15",
            "a015",
            "#01",
            "15",
            "5",
            "a 012",
            "a#0155",
            "[0m",
            "a[0m",
            "a\u{1b}[1m",
            "m",
            "form",
            "aà",
            "a#012b",
            "é015",
            "a#٠15",
        ] {
            assert_eq!(trim(text), text);
        }
    }
}
