//! The tag of a Postfix program in a line that was not read as one of Postfix: the line has an unknown kind of header.
//!
//! ```text
//! postfix/smtpd[123]:        anywhere; not in quotes if another program wrote the line
//! postfix/smtpd 123 -        anywhere, as in RFC 5424
//! postfix/smtpd:             these only where no other program is known to have written the line
//! postfix/smtpd[123] x       also `(123)`, and with a space in front of the bracket or behind it
//! [postfix/smtpd] x
//! "postfix/smtpd"
//! postfix[123]:              and the like
//! ```

use std::sync::LazyLock;

use memchr::memmem;

use super::divide;
use super::tag::{FOREIGN, is_postfix, is_program};
use crate::byte_set::ByteSet;
use crate::syslog::Message;

/// Maximum number of bytes before a bracket that are searched.
const LONGEST_TAG: usize = 128;

/// Bytes that a tag may contain.
const TAG: ByteSet = ByteSet::alphanumeric_and(b"-._/");

/// Bytes between a tag and its process id.
const BEFORE_PROCID: &[u8] = b" [(";

/// Finds `postfix`. Making a finder costs more than a search in a line.
static POSTFIX: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("postfix"));

/// Returns true if `text`, from which `message` was read, contains the tag of a Postfix program.
pub(super) fn has_tag(message: &Message<'_>, text: &str) -> bool {
    // Nearly no line of another program needs it.
    let is_anothers = || message.app_name.is_some_and(|name| !names_postfix(name));
    has_usual_tag(text, is_anothers) || has_other_tag(text, is_anothers)
}

/// Returns true if a text contains `syslog_name/program[123]:`, whatever `syslog_name` is.
fn has_usual_tag(text: &str, is_anothers: impl Fn() -> bool) -> bool {
    let bytes = text.as_bytes();
    let (mut seen, mut in_quotes) = (0, false);
    memchr::memchr_iter(b'[', bytes).any(|bracket| {
        let (before, behind) = (&bytes[..bracket], &bytes[bracket + 1..]);
        // The cheap check comes first. No digit is read twice, and no quote.
        let digits = count(behind, |b| b.is_ascii_digit());
        if digits == 0 || !behind[digits..].starts_with(b"]:") || !names_program(before) {
            return false;
        }
        in_quotes ^= memchr::memchr_iter(b'"', &bytes[seen..bracket]).count() % 2 == 1;
        seen = bracket;
        !(in_quotes && is_anothers())
    })
}

/// Returns true if a text ends in `syslog_name/program`.
fn names_program(text: &[u8]) -> bool {
    let last = &text[text.len().saturating_sub(LONGEST_TAG)..];
    let begin = last.iter().rposition(|b| !TAG.has(*b)).map_or(0, |at| at + 1);
    let Ok(tag) = std::str::from_utf8(&last[begin..]) else { return false };
    let tag = tag.trim_start_matches('/');
    divide::last(tag, b'/').is_some_and(|(before, program)| {
        let instance = divide::first(before, b'/').map_or(before, |(instance, _)| instance);
        is_program(program) && !FOREIGN.contains(&instance)
    })
}

/// Returns true if a text contains a tag that begins with `postfix`, in another of the forms above.
fn has_other_tag(text: &str, is_anothers: impl Fn() -> bool) -> bool {
    let bytes = text.as_bytes();
    POSTFIX.find_iter(bytes).any(|at| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        // It is part of a name or path.
        if before.is_some_and(|b| TAG.has(b)) {
            return false;
        }
        let (name, behind) = bytes[at..].split_at(count(&bytes[at..], |b| TAG.has(b)));
        std::str::from_utf8(name).is_ok_and(names_postfix)
            && match end(before, name, behind) {
                Some(TextAfterTag::OfRfc5424) => true,
                Some(TextAfterTag::OfAnyText) => !is_anothers(),
                None => false,
            }
    })
}

/// Kind of text after a tag.
enum TextAfterTag {
    /// PROCID and MSGID follow, which no ordinary text contains.
    OfRfc5424,
    /// The same bytes may follow in ordinary text.
    OfAnyText,
}

fn end(before: Option<u8>, name: &[u8], behind: &[u8]) -> Option<TextAfterTag> {
    let is_whole = name.contains(&b'/');
    let ends = match behind {
        [b':'] | [b':', b' ', ..] => is_whole,
        [b'"', ..] => is_whole && before == Some(b'"'),
        [b']', ..] => is_whole && before == Some(b'['),
        _ => {
            let gap = count(behind, |b| BEFORE_PROCID.contains(&b));
            let digits = count(&behind[gap..], |b| b.is_ascii_digit());
            match &behind[gap + digits..] {
                _ if gap == 0 || digits == 0 => false,
                [b' ', b'-', b' ', ..] if behind[..gap] == *b" " => return Some(TextAfterTag::OfRfc5424),
                [b']' | b')', ..] => behind[..gap] != *b" ",
                _ => false,
            }
        }
    };
    ends.then_some(TextAfterTag::OfAnyText)
}

/// Returns true if a name is that of a program of Postfix, or `syslog_name` alone.
fn names_postfix(name: &str) -> bool {
    let name = name.split(['(', '[']).next().unwrap_or(name);
    let (instance, program) = (divide::first(name, b'/'), divide::last(name, b'/'));
    match (instance, program) {
        (Some((instance, _)), Some((_, program))) => is_postfix(instance) && is_program(program),
        _ => is_postfix(name),
    }
}

/// Returns how many bytes at the start of `text` are `taken`.
fn count(text: &[u8], taken: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| taken(**b)).count()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn stands_in(text: &str, app_name: Option<&str>) -> bool {
        has_tag(&Message { app_name, ..Message::default() }, text)
    }

    #[test]
    fn usual_tags_anywhere_in_a_text() {
        for text in [
            "postfix/smtpd[1]:",
            "x postfix-out/smtp[12]: x",
            "[x] [1]: é192.0.2.9/submission/smtpd[123]: x",
            "a[b[postfix/smtpd[1]: x",
            "//postfix/smtpd[1]: x",
            "mx1 postfix/smtpd 123 - - x",
            "1 2026-11-24T02:10:35Z mx1 postfix 123 - -  x",
        ] {
            assert!(stands_in(text, None), "{text}");
            assert!(stands_in(text, Some("rspamd")), "{text}");
        }
        for text in [r#"{"message":"postfix/qmgr[1]: x"}"#, r#"subject "a" "Nov 24 02:10:35 mx1 postfix/qmgr[1]: x""#] {
            assert!(stands_in(text, None), "{text}");
            assert!(!stands_in(text, Some("rspamd")), "{text}");
        }
        assert!(stands_in(r#""[1]" "a" postfix/qmgr[1]: x"#, Some("rspamd")));
    }

    #[test]
    fn other_tags_where_no_program_is_known() {
        for text in [
            "postfix/smtpd:",
            "x postfix-out/smtpd: x",
            "postfix/smtpd[123] connect",
            "postfix/smtpd [123]: connect",
            "postfix/smtpd(123): connect",
            "postfix/smtpd[ 123]: connect",
            "postfix[123]: connect",
            "[postfix/submission/smtpd] connect",
            r#"{"SYSLOG_IDENTIFIER":"postfix/smtpd"}"#,
        ] {
            assert!(stands_in(text, None), "{text}");
            assert!(stands_in(text, Some("postfix/smtpd(123)")), "{text}");
            assert!(!stands_in(text, Some("rspamd")), "{text}");
        }
    }

    #[test]
    fn other_texts() {
        for text in [
            "",
            "[",
            "smtpd[1]: x",
            "/smtpd[1]: x",
            "postfix",
            "postfix: x",
            "[postfix] x",
            r#""postfix""#,
            "postfix/smtpd",
            "postfix/smtpd x",
            "postfix/smtpd[]: x",
            "postfix/smtpd[1",
            "postfix/smtpd 123 x",
            "postfix/smtpd 123] x",
            "postfix/smtpd[1-2]: x",
            "postfix/smtpd:x",
            "postfix/smtpd]",
            r#"postfix/smtpd""#,
            "/usr/lib/postfix/smtpd: symbol lookup error",
            "apostfix/smtpd: x",
            "postfixx/smtpd: x",
            "postfix/policy-spf[1]: x",
            "postfix-policyd/smtpd: x",
            "cyrus/lmtp[1]: x",
            "docker/postfix[1]: x",
            "dovecot[1]: lmtp(1): x",
        ] {
            assert!(!stands_in(text, None), "{text}");
        }
    }

    #[test]
    fn time_is_linear() {
        for unit in [
            "postfix",
            "postfix/",
            "postfix ",
            "postfix/smtpd[",
            "postfix[1]",
            "[1]:",
            "\"[1]:",
            "postfix((((",
            "a/smtpd[1]:x",
        ] {
            let text = unit.repeat(256 * 1024 / unit.len());
            let started = Instant::now();
            let _ = stands_in(&text, Some("rspamd"));
            // A few milliseconds without optimisation.
            assert!(started.elapsed() < Duration::from_secs(1), "{unit}: {:?}", started.elapsed());
        }
    }
}
