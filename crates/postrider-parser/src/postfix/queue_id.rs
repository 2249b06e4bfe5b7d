//! Queue ids, short and long (`src/global/mail_queue.h`, `src/global/safe_ultostr.c`).
//!
//! ```text
//! short: MICROS(5, base 16) INODE(base 16)                                   repeats
//! long:  SECONDS(6 or more, base 52) MICROS(4, base 52) "z" INODE(base 51)   does not
//! ```
//!
//! Base 52 is the digits and the consonants of both cases. Base 51 has no `z`, so the last `z` is the separator.

use super::divide;
use crate::time::Timestamp;

/// Queue id, and the creation time that a long id contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueId<'a> {
    pub(super) text: &'a str,
    pub(super) queued_at: Option<Timestamp>,
}

/// Maximum length of a queue id in Postfix itself (`VALID_HOSTNAME_LEN` in `src/global/mail_queue.c`).
const LENGTH_LIMIT: usize = 255;

/// Word in place of a queue id while a message has none.
const NONE: &str = "NOQUEUE";

/// Last second that a timestamp holds: 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Splits the queue id off the front of a text. `NOQUEUE` is split off too and gives `None`.
pub(super) fn split(text: &str) -> (Option<QueueId<'_>>, &str) {
    let head = &text.as_bytes()[..text.len().min(LENGTH_LIMIT + 2)];
    let Some(end) = divide::find(head, b':') else { return (None, text) };
    let (word, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix(": ") else { return (None, text) };
    match read(word) {
        Some(id) => (Some(id), rest),
        None if word == NONE => (None, rest),
        None => (None, text),
    }
}

/// Splits a substitute for a queue id off the front of a text: a word that Postfix cannot have written. Only the text
/// after the word can tell whether the word is a substitute.
///
/// The name of a C function is not a substitute: `-v` logs a stranger's data behind it, `reject_invalid_hostname:
/// HELO`.
pub(super) fn split_unusual(text: &str) -> Option<(QueueId<'_>, &str)> {
    let (word, rest) = text.split_once(": ")?;
    let fits = is_substitute(word) && !is_function(word);
    fits.then_some((QueueId { text: word, queued_at: None }, rest))
}

/// Substitute for a queue id that looks like the name of a C function. Postfix has no function of this name.
const PLACEHOLDER: &str = "queue_id";

/// Returns true if a text looks like the name of a C function of Postfix.
pub(super) fn is_function(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    text.contains('_') && is_name(text) && text != PLACEHOLDER
}

/// Returns true if a text is a possible substitute for a queue id. That is a word that is not a table, address or host,
/// or one or more such words in brackets or quotes.
pub(super) fn is_substitute(text: &str) -> bool {
    const BRACKETS: [(&str, &str); 7] =
        [("<", ">"), ("[", "]"), ("(", ")"), ("{{", "}}"), ("{", "}"), ("${", "}"), ("\"", "\"")];
    let inner = BRACKETS.iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    let fits = |c: char| match c {
        ' ' => inner.is_some(),
        ':' | '/' | '=' | '@' | ',' | ';' | '[' | ']' | '(' | ')' | '<' | '>' | '{' | '}' | '"' | '\'' | '`' => false,
        _ => !c.is_control(),
    };
    let word = inner.unwrap_or(text);
    !word.is_empty() && text.len() <= LENGTH_LIMIT && text != NONE && word.chars().all(fits)
}

/// Returns the queue id if the whole of `word` is one.
pub(super) fn read(word: &str) -> Option<QueueId<'_>> {
    if word.len() > LENGTH_LIMIT {
        return None;
    }
    if word.len() >= 6 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')) {
        return Some(QueueId { text: word, queued_at: None });
    }
    let (time, inode) = divide::last(word, b'z')?;
    let (seconds, micros) = time.split_at_checked(time.len().checked_sub(4)?)?;
    if seconds.len() < 6 || inode.is_empty() || inode.bytes().any(|b| digit(b) < 0) {
        return None;
    }
    // A word that only looks like an id has no valid time.
    let seconds = base_52(seconds).filter(|seconds| *seconds <= LAST_SECOND)?;
    let micros = base_52(micros).filter(|micros| *micros < 1_000_000)?;
    Some(QueueId { text: word, queued_at: Some(Timestamp::from_micros(seconds * 1_000_000 + micros)) })
}

/// Returns the value of a number in base 52; `None` also if the value is far above [`LAST_SECOND`].
fn base_52(text: &str) -> Option<i64> {
    // Maximum number of digits: the value cannot overflow.
    const MOST: usize = 10;
    let significant = if text.len() > MOST { text.trim_start_matches('0') } else { text };
    if significant.len() > MOST {
        return None;
    }
    let (mut value, mut signs) = (0, 0);
    for byte in significant.bytes() {
        let digit = digit(byte);
        value = value * 52 + digit;
        signs |= digit;
    }
    (signs >= 0).then_some(value)
}

/// Returns the value of a digit of base 52; a negative number if the byte is not a digit.
fn digit(byte: u8) -> i64 {
    const DIGITS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
    const VALUES: [i8; 256] = {
        let mut values = [-1; 256];
        let mut value = 0;
        while value < DIGITS.len() {
            values[DIGITS[value] as usize] = value as i8;
            value += 1;
        }
        values
    };
    VALUES[usize::from(byte)].into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inverse of [`base_52`], padded as `safe_ultostr()` pads.
    fn encode(mut value: u64, width: usize) -> String {
        const DIGITS: &[u8] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
        let mut digits = Vec::new();
        while value > 0 || digits.len() < width {
            digits.push(char::from(DIGITS[(value % 52) as usize]));
            value /= 52;
        }
        digits.iter().rev().collect()
    }

    proptest! {
        #[test]
        fn long_ids_carry_their_time(seconds in 0..=LAST_SECOND.unsigned_abs(), micros in 0..1_000_000_u32, inode: u64) {
            // An inode in base 51 has no `z`; any digits but that one will do.
            let inode = encode(inode, 1).replace('z', "y");
            let id = format!("{}{}z{inode}", encode(seconds, 6), encode(micros.into(), 4));
            let expected = Timestamp::from_micros(seconds.cast_signed() * 1_000_000 + i64::from(micros));
            prop_assert_eq!(read(&id), Some(QueueId { text: &id, queued_at: Some(expected) }));
        }
    }

    #[test]
    fn the_last_z_separates() {
        let id = format!("{}{}z1", encode(51, 6), encode(51, 4));
        assert_eq!(id, "00000z000zz1");
        assert_eq!(read(&id).and_then(|id| id.queued_at), Some(Timestamp::from_micros(51_000_051)));
    }

    #[test]
    fn splits_ids_from_texts() {
        let vectors = [
            ("4FCA1803C5: to=<a>", Some("4FCA1803C5"), "to=<a>"),
            ("000001: removed", Some("000001"), "removed"),
            ("3Pt2mN2VXxznjll: removed", Some("3Pt2mN2VXxznjll"), "removed"),
            ("NOQUEUE: reject: x", None, "reject: x"),
            ("4FCA1803C5: ", Some("4FCA1803C5"), ""),
            // These are no ids.
            ("4FCA1803C5:to", None, "4FCA1803C5:to"),
            ("4FCA1803C5", None, "4FCA1803C5"),
            ("00001: x", None, "00001: x"),
            ("4fca1803c5: x", None, "4fca1803c5: x"),
            ("warning: x", None, "warning: x"),
            ("statistics: max", None, "statistics: max"),
            ("connect to mx.example.com[192.0.2.1]:25: x", None, "connect to mx.example.com[192.0.2.1]:25: x"),
            ("TLSRPT: status=success", None, "TLSRPT: status=success"),
            ("Deleted: 5 messages", None, "Deleted: 5 messages"),
            ("3Pt2mN2VXxz: x", None, "3Pt2mN2VXxz: x"),
            ("Pt2mN2VXxznjll: x", None, "Pt2mN2VXxznjll: x"),
            ("3Pt2mN2VXxznjzll: x", None, "3Pt2mN2VXxznjzll: x"),
            ("3Pt2mN2VXéznjll: x", None, "3Pt2mN2VXéznjll: x"),
            (": x", None, ": x"),
            ("", None, ""),
        ];
        for (text, id, rest) in vectors {
            let (found, found_rest) = split(text);
            assert_eq!((found.map(|id| id.text), found_rest), (id, rest), "{text:?}");
        }
    }

    #[test]
    fn substitutes() {
        for word in [
            "XXXXXXXXXX",
            "<queueid>",
            "キューID",
            "queue_id",
            "[queue-id]",
            "${QUEUE_ID}",
            "4fca1803c5",
            "3Pt2mNzzzzznjll",
            "ABC",
            "***",
        ] {
            assert_eq!(read(word), None, "{word}");
            let text = format!("{word}: removed");
            let expected = QueueId { text: word, queued_at: None };
            assert_eq!(split_unusual(&text), Some((expected, "removed")), "{word}");
        }
        for text in [
            "NOQUEUE: removed",
            "table hash:/etc/aliases: removed",
            "hash:/etc/aliases: removed",
            "connect to mx[192.0.2.1]:25: removed",
            "mx[192.0.2.1]: removed",
            "private/anvil: removed",
            "a=b: removed",
            "a@example.com: removed",
            "queue id: removed",
            "dict_open 'x': removed",
            "<a: b>: removed",
            "<>: removed",
            "<: removed",
            ": removed",
            "reject_invalid_hostname: removed",
            "been_here: removed",
            "milter8_connect: removed",
            "X:removed",
            "",
        ] {
            assert_eq!(split_unusual(text), None, "{text}");
        }
        assert_eq!(split_unusual(&format!("{}: removed", "X".repeat(256))), None);
    }

    #[test]
    fn length_is_limited_as_in_postfix() {
        let longest = format!("{}: x", "A".repeat(255));
        assert_eq!(split(&longest).1, "x");
        let too_long = format!("{}: x", "A".repeat(256));
        assert_eq!(split(&too_long), (None, too_long.as_str()));
        // Six digits of seconds are the least, and any more are too large a number.
        let overflow = format!("{}0000z1: x", "z".repeat(100));
        assert_eq!(split(&overflow), (None, overflow.as_str()));
    }
}
