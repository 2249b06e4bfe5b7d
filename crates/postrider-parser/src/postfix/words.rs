//! Search for many words in one text, in one pass and ignoring case.
//!
//! [`Words`] is a table that maps the first three bytes of words to the words, made at compile time. At most places of
//! a text no word begins, so a text costs one table lookup for each of its bytes, however many words there are.

/// Words to search for: those of the `N` rows of a table.
pub(super) struct Words<const N: usize> {
    /// Start of the entries of each bucket; the entries of the next bucket follow.
    starts: [u16; BUCKETS + 1],
    /// Entries of all buckets. The entries left at the end, for rows without words, are in no bucket.
    entries: [WordEntry; N],
}

#[derive(Clone, Copy)]
struct WordEntry {
    words: &'static str,
    row: u16,
}

const BUCKETS: usize = 4096;

impl<const N: usize> Words<N> {
    /// Makes a table from the words of each row that has any. The words are in lower case, and have at least three
    /// bytes.
    pub(super) const fn new(rows: &[Option<&'static str>; N]) -> Self {
        let mut starts = [0; BUCKETS + 1];
        let mut row = 0;
        while row < N {
            if let Some(words) = rows[row] {
                starts[bucket_of(words) + 1] += 1;
            }
            row += 1;
        }
        let mut bucket = 0;
        while bucket < BUCKETS {
            starts[bucket + 1] += starts[bucket];
            bucket += 1;
        }
        let mut entries = [WordEntry { words: "", row: 0 }; N];
        let mut places = starts;
        row = 0;
        while row < N {
            if let Some(words) = rows[row] {
                let place = &mut places[bucket_of(words)];
                entries[*place as usize] = WordEntry { words, row: row as u16 };
                *place += 1;
            }
            row += 1;
        }
        Self { starts, entries }
    }

    /// Returns the lowest row below `limit` whose words are in the text and that `fits` accepts. `fits` also gets the
    /// position at which the words begin.
    pub(super) fn least(&self, text: &[u8], limit: u16, fits: impl Fn(u16, usize) -> bool) -> Option<u16> {
        let mut least = limit;
        for (at, begin) in text.windows(3).enumerate() {
            let bucket = bucket([begin[0], begin[1], begin[2]]);
            let (first, end) = (self.starts[bucket], self.starts[bucket + 1]);
            for entry in &self.entries[usize::from(first)..usize::from(end)] {
                if entry.row < least && text[at..].starts_with(entry.words.as_bytes()) && fits(entry.row, at) {
                    least = entry.row;
                }
            }
        }
        (least < limit).then_some(least)
    }
}

const fn bucket_of(words: &str) -> usize {
    let words = words.as_bytes();
    bucket([words[0], words[1], words[2]])
}

/// Returns the bucket of words that begin with these bytes.
const fn bucket([a, b, c]: [u8; 3]) -> usize {
    let begin = u32::from_be_bytes([0, a, b, c]);
    // Fibonacci hashing: the upper bits of the product depend on the whole number.
    (begin.wrapping_mul(0x9E37_79B1) >> (32 - BUCKETS.ilog2())) as usize
}

/// Start of a text in the form that tables use: lower case, one piece, and without addresses, which may contain
/// anything.
///
/// Only the first 2048 bytes are kept: Postfix logs less than that.
#[expect(clippy::large_enum_variant, reason = "it is on the stack, and clearing the short one takes less time")]
pub(super) enum Folded {
    /// A text of usual length.
    Short(FoldedText<SHORT>),
    /// Any text.
    Long(FoldedText<2049>),
}

/// Room for a text of usual length, in bytes.
const SHORT: usize = 256;

/// A folded text with a space before it, in room for `N` bytes.
pub(super) struct FoldedText<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl Folded {
    /// Folds a text. If the text is that of a reply with this code, the codes at the start of its further lines are
    /// left out.
    pub(super) fn new(text: &str, code: Option<u16>) -> Self {
        // Folding never makes a text longer, and puts a space before it.
        if text.len() < SHORT {
            Self::Short(FoldedText::new(text.as_bytes(), code))
        } else {
            Self::Long(FoldedText::new(text.as_bytes(), code))
        }
    }

    /// Returns the text, with a space before it.
    pub(super) fn spaced(&self) -> &[u8] {
        match self {
            Self::Short(text) => &text.bytes[..text.length],
            Self::Long(text) => &text.bytes[..text.length],
        }
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &[u8] {
        &self.spaced()[1..]
    }
}

impl<const N: usize> FoldedText<N> {
    fn new(text: &[u8], code: Option<u16>) -> Self {
        let mut new = Self { bytes: [0; N], length: 0 };
        new.length = fold(text, code, &mut new.bytes);
        new
    }
}

/// Folds as much of a text as there is room for, with a space in front: words that begin with a space are found at the
/// beginning too. Returns the length of the result. There must be room for one byte.
fn fold(text: &[u8], code: Option<u16>, room: &mut [u8]) -> usize {
    room[0] = b' ';
    // `bracket` is the position of the open bracket, `word` that of the last word.
    let (mut length, mut bracket, mut word) = (1, None, 1);
    let mut at = 0;
    while let Some(&byte) = text.get(at)
        && let Some(place) = room.get_mut(length)
    {
        at += 1;
        *place = byte.to_ascii_lowercase();
        // Nearly all bytes are of words.
        if IS_LOCAL_PART[usize::from(byte)] {
            length += 1;
            continue;
        }
        match byte {
            b'<' => bracket = Some(length),
            // Text in brackets that contains a space is not an address but a comparison.
            b' ' => bracket = None,
            b'>' => {
                length = bracket.take().unwrap_or(length);
                room[length] = byte;
            }
            b'@' => {
                length = word;
                at += text[at..].iter().take_while(|byte| is_domain(**byte)).count();
                continue;
            }
            _ => {}
        }
        length += 1;
        word = length;
        if byte == b' '
            && let Some(code) = code
        {
            at += codes(&text[at..], code);
        }
    }
    length
}

const fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || !byte.is_ascii()
}

/// For each byte, true if it can be in the part of an address before the `@`.
static IS_LOCAL_PART: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_domain(byte as u8) || matches!(byte as u8, b'_' | b'+' | b'=');
        byte += 1;
    }
    table
};

/// Returns how many bytes the codes of a further line of a reply take: `550-5.7.1 `, `550 `.
fn codes(text: &[u8], code: u16) -> usize {
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ' | b'-', rest @ ..] = text else { return 0 };
    let number = [a, b, c].into_iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    if number != code {
        return 0;
    }
    let enhanced = rest.iter().take(12).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let is_enhanced = memchr::memchr_iter(b'.', &rest[..enhanced]).count() == 2 && rest.get(enhanced) == Some(&b' ');
    4 + if is_enhanced { enhanced + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_row_counts_wherever_it_stands() {
        const ROWS: [Option<&str>; 5] = [None, Some("blocked"), Some("user unknown"), Some("unknown"), Some("宛先")];
        let words = Words::new(&ROWS);
        let least = |text: &str| words.least(text.as_bytes(), 9, |_, _| true);
        assert_eq!(least("user unknown, blocked"), Some(1));
        assert_eq!(least("user unknown"), Some(2));
        assert_eq!(least("an unknown user"), Some(3));
        assert_eq!(least("この宛先"), Some(4));
        assert_eq!((least(""), least("un"), least("unknow")), (None, None, None));
        assert_eq!(words.least(b"unknown", 3, |_, _| true), None, "a limit is no row");
        assert_eq!(words.least(b"user unknown", 9, |row, at| row == 3 && at == 5), Some(3));
    }

    #[test]
    fn folding_drops_addresses() {
        let fold = |text: &str| String::from_utf8_lossy(Folded::new(text, None).text()).into_owned();
        assert_eq!(fold("<Spam.Trap@example.com>: User Unknown"), ">: user unknown");
        assert_eq!(fold("Spam.Trap@example.com... User Unknown"), " user unknown");
        assert_eq!(fold("mailto:spam_trap+x@blocked.example, or not"), "mailto:, or not");
        assert_eq!(fold("a < b and c > d"), "a < b and c > d");
        assert_eq!(fold("<a<b>c>"), "<a>c>");
        assert_eq!(fold("<open"), "<open");
        assert_eq!((fold("@"), fold("a@"), fold("@a"), fold("a@b@c")), Default::default());
        assert_eq!(Folded::new(&"x".repeat(5000), None).text().len(), 2048);
        assert_eq!(Folded::new("Blocked", None).spaced(), b" blocked");
    }

    #[test]
    fn folding_joins_the_lines_of_a_reply() {
        let fold = |text: &str| String::from_utf8_lossy(Folded::new(text, Some(550)).text()).into_owned();
        assert_eq!(
            fold("The account is 550-5.2.1 inactive. 550 5.2.1 x - gsmtp"),
            "the account is inactive. x - gsmtp"
        );
        assert_eq!(fold("Sender 550-verify 550 failed"), "sender verify failed");
        assert_eq!(fold("at 450 bytes, 550"), "at 450 bytes, 550");
        assert_eq!(fold("a 550 1.2.3.4 is listed"), "a 1.2.3.4 is listed");
    }
}
