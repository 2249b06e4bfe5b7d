//! The queue id that the next server assigned, from the text of its reply to the message.
//!
//! | server | text after the codes | id |
//! |---|---|---|
//! | Postfix, Amavis, many others | `Ok: queued as 4Pt2mN2VXxzNjll` | the word after `queued as`; for Amavis, the id of the server behind it |
//! | Exim | `OK id=1r6Lxx-0001Ab-2C` | the word after `id=` |
//! | GMX, IONOS | `Requested mail action okay, completed: id=1MFtKH-1tCk0w…` | the word after `id=` |
//! | Exchange, Outlook | `<…> [InternalId=1234, Hostname=…] … Queued mail for delivery` | the number: message tracking knows it as `InternalMessageId` |
//! | Haraka | `Message Queued (5F1E….1)` | the text in the parentheses |
//! | Gmail | `OK  1700791835 a1-2b.123 - gsmtp` | the word before ` - gsmtp` |
//! | Sendmail, Proofpoint, `OpenSMTPD` | `4AO2AZ12 Message accepted for delivery` | the word before `Message accepted` |
//! | Amazon SES | `Ok 0102018c…-000000` | the only word |
//! | qmail | `ok 1700791835 qp 12345` | the number after `qp`, as qmail-send logs it |
//!
//! # Limits
//!
//! Yahoo (`ok dirdel`) gives no queue id. The session ids of Dovecot's LMTP server and the log ids of Amavis are not
//! queue ids.

use crate::byte_set::ByteSet;

/// Position of an id relative to words that mark it, in any case. The first match counts.
enum IdMark {
    After(&'static [u8]),
    Before(&'static [u8]),
}

const MARKS: &[IdMark] = &[
    IdMark::After(b"queued as "),
    IdMark::After(b"ok id="),
    IdMark::After(b"okay, completed: id="),
    IdMark::After(b"[internalid="),
    IdMark::After(b"message queued ("),
    IdMark::Before(b" - gsmtp"),
    IdMark::Before(b" message accepted for delivery"),
];

/// Returns the queue id in the text of a reply that accepted a message.
pub(super) fn find(text: &str) -> Option<&str> {
    MARKS
        .iter()
        .find_map(|mark| match mark {
            IdMark::After(words) => {
                let at = find_ignoring_case(text.as_bytes(), words)?;
                first_word(text.get(at + words.len()..)?)
            }
            IdMark::Before(words) => last_word(text.get(..find_ignoring_case(text.as_bytes(), words)?)?),
        })
        .or_else(|| after_ok(text))
}

/// Reads `Ok ID` and `ok N qp ID`.
fn after_ok(text: &str) -> Option<&str> {
    let (ok, rest) = text.split_at_checked(3)?;
    if !ok.eq_ignore_ascii_case("ok ") {
        return None;
    }
    if let Some((time, id)) = rest.split_once(" qp ") {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        return (digits(time) && digits(id)).then_some(id);
    }
    // SES ids have at least this length; anything shorter is an ordinary word.
    let looks_so = rest.len() >= 32 && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    looks_so.then_some(rest)
}

/// Bytes that end a word.
const ENDS: ByteSet = ByteSet::of(b" ,;)]>");

fn first_word(text: &str) -> Option<&str> {
    let text = text.strip_prefix('<').unwrap_or(text);
    let end = text.bytes().position(|b| ENDS.has(b)).unwrap_or(text.len());
    id(text[..end].trim_end_matches('.'))
}

fn last_word(text: &str) -> Option<&str> {
    id(text.rsplit(' ').next().unwrap_or(text))
}

/// Returns a word if it looks like an id, and not like a word of a sentence: `queued as soon as possible`.
fn id(word: &str) -> Option<&str> {
    let looks_so = word.len() >= 5 && word.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    looks_so.then_some(word)
}

/// Returns the position of `words`, which are in lower case, in `text`.
fn find_ignoring_case(text: &[u8], words: &[u8]) -> Option<usize> {
    let (&first, rest) = words.split_first()?;
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), text)
        // The first comparison is several times as fast, and nearly always enough.
        .find(|at| {
            let found = text.get(at + 1..at + words.len());
            found.is_some_and(|found| found == rest || found.eq_ignore_ascii_case(rest))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        #[rustfmt::skip]
        let vectors = [
            ("Ok: queued as 4FCA1803C5", Some("4FCA1803C5")),
            ("Ok: queued as 3Pt2mN2VXxzNjll", Some("3Pt2mN2VXxzNjll")),
            ("OK: Queued As 12345-abc.", Some("12345-abc")),
            ("queued as <4FCA1803C5>", Some("4FCA1803C5")),
            ("from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4FCA1803C5", Some("4FCA1803C5")),
            ("Ok, id=12345-01, from MTA([127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4FCA1803C5", Some("4FCA1803C5")),
            ("OK id=1r6Lxx-0001Ab-2C", Some("1r6Lxx-0001Ab-2C")),
            ("Requested mail action okay, completed: id=1MFtKH-1tCk0w0abc-00ABCD", Some("1MFtKH-1tCk0w0abc-00ABCD")),
            ("<m1@example.com> [InternalId=10647226417341, Hostname=mx.example.com] 8271 bytes in 0.1, 55 KB/sec Queued mail for delivery", Some("10647226417341")),
            ("Message Queued (5F1E2D3C-0001-4A4B-8C8D-112233445566.1)", Some("5F1E2D3C-0001-4A4B-8C8D-112233445566.1")),
            ("OK  1700791835 a1-20020a05600c21c100b0si1234567wma.123 - gsmtp", Some("a1-20020a05600c21c100b0si1234567wma.123")),
            ("4AO2AZ123456 Message accepted for delivery", Some("4AO2AZ123456")),
            ("1a2b3c4d Message accepted for delivery", Some("1a2b3c4d")),
            ("Ok 0102018c0a1b2c3d-0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f-000000", Some("0102018c0a1b2c3d-0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f-000000")),
            ("ok 1700791835 qp 12345", Some("12345")),
            ("ok dirdel", None),
            ("Ok", None),
            ("Message will be queued as soon as possible", None),
            ("queued as ", None),
            ("- gsmtp", None),
            ("Queued mail for delivery", None),
            ("<a@example.com> oJ2vLKFsyPmUYFgAAz1bXAA Saved", None),
            ("ok é", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(find(text), expected, "{text}");
        }
    }
}
