//! The TAG of RFC 3164, section 5.3: `postfix/smtp[123]:`.

/// Length in bytes to which rsyslog's forward templates cut a TAG (`%syslogtag:1:32%`), brackets and colon included.
const CUT_AT: usize = 32;

/// A TAG in front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Text before the bracket or the colon; never empty.
    pub(super) name: &'a str,
    /// Text between the brackets; `None` without brackets, for `[]` and `[-]`, and if digits may have been cut off.
    pub(super) procid: Option<&'a str>,
    /// End of the TAG.
    pub(super) end: TagEnd,
    /// Length of the TAG in bytes, colon included.
    pub(super) length: usize,
}

/// End of a TAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagEnd {
    /// With a colon.
    Colon,
    /// With its bracket: some programs omit the colon.
    Bracket,
    /// Cut by rsyslog.
    Cut,
}

impl<'a> Tag<'a> {
    /// Reads a TAG. Its name ends at the first `:` or `[`, so nothing after those, such as a queue id, can become part
    /// of it. The exception is the address and port of a service, if another `/` follows:
    /// `postfix/[127.0.0.1]:10025/smtpd`.
    ///
    /// A word without colon and bracket is not a TAG, because it cannot be distinguished from text. The exception is a
    /// word that has exactly the length to which a longer TAG is cut.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let end = end_of_name(text);
        let end = service(&text[..end], &text[end..])
            .map_or(end, |service| end + service + end_of_name(&text[end + service..]));
        let (name, rest) = text.split_at(end);
        if name.is_empty() || name.starts_with(['<', '{', '"', ']']) {
            return None;
        }
        match rest.as_bytes().first() {
            Some(b'[') => Self::with_brackets(name, &rest[1..]),
            Some(b':') => Self::with_colon(name, &rest[1..]),
            _ => (name.len() == CUT_AT).then_some(Self { name, procid: None, end: TagEnd::Cut, length: CUT_AT }),
        }
    }

    /// True if the TAG alone shows that the text is a log line: a colon can follow any word, a process id cannot.
    pub(super) fn is_unmistakable(&self) -> bool {
        self.end == TagEnd::Colon && self.procid.is_some()
    }

    /// True if `word`, taken alone, is a TAG that rsyslog cut inside its name. The word must contain a slash, because a
    /// hostname may have the same length.
    pub(super) fn is_cut_name(word: &str) -> bool {
        word.len() == CUT_AT && word.contains('/') && !word.contains([':', '['])
    }

    fn with_brackets(name: &'a str, inner: &'a str) -> Option<Self> {
        let end = inner.bytes().position(|b| matches!(b, b']' | b' ' | b'[')).unwrap_or(inner.len());
        let (procid, rest) = inner.split_at(end);
        let length = name.len() + 1 + procid.len();
        let Some(rest) = rest.strip_prefix(']') else {
            return (length == CUT_AT).then_some(Self { name, procid: None, end: TagEnd::Cut, length });
        };
        let tag = |end, length| Self { name, procid: Some(procid).filter(|id| !matches!(*id, "" | "-")), end, length };
        let ends_here = rest.is_empty() || rest.starts_with(' ');
        if rest.starts_with(':') {
            Some(tag(TagEnd::Colon, length + 2))
        } else if ends_here && length + 1 == CUT_AT {
            Some(tag(TagEnd::Cut, CUT_AT))
        } else {
            let is_number = !procid.is_empty() && procid.bytes().all(|b| b.is_ascii_digit());
            (ends_here && is_number).then(|| tag(TagEnd::Bracket, length + 1))
        }
    }

    /// Reads a TAG without brackets. It looks like any word before a colon, so JSON, URLs, IPv6 addresses, times of day
    /// and `std::` must be excluded.
    fn with_colon(name: &'a str, after: &'a str) -> Option<Self> {
        let has_letter = name.chars().any(char::is_alphabetic);
        let plausible = if after.is_empty() || after.starts_with(' ') {
            !name.contains(['{', '}', '"', '=', '<', '>', ',', ';'])
        } else {
            !after.starts_with([':', '/'])
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        };
        (has_letter && plausible).then_some(Self { name, procid: None, end: TagEnd::Colon, length: name.len() + 1 })
    }
}

fn end_of_name(text: &str) -> usize {
    let end = text.bytes().position(|b| matches!(b, b':' | b'[' | b' ') || b.is_ascii_control());
    end.unwrap_or(text.len())
}

/// Returns the length of the rest of a service after the first part of a name: `[127.0.0.1]:10025/` after `postfix/`,
/// or `:10025/`.
fn service(name: &str, rest: &str) -> Option<usize> {
    let rest = rest.as_bytes();
    let at = match rest.first() {
        Some(b'[') if name.ends_with('/') => {
            let address = rest[1..].iter().take_while(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':')).count();
            rest[1 + address..].starts_with(b"]:").then_some(address + 3)?
        }
        Some(b':') if name.contains('/') => 1,
        _ => return None,
    };
    let digits = rest[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0 && rest.get(at + digits) == Some(&b'/')).then_some(at + digits + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_first_colon_or_bracket() {
        for (text, name, procid, end, rest) in [
            ("postfix/smtp[123]: x", "postfix/smtp", Some("123"), TagEnd::Colon, " x"),
            (
                "postfix/submission/smtpd[00123]: 4101B87FB4: x",
                "postfix/submission/smtpd",
                Some("00123"),
                TagEnd::Colon,
                " 4101B87FB4: x",
            ),
            ("postfix/smtp[123]:", "postfix/smtp", Some("123"), TagEnd::Colon, ""),
            ("10.0.0.1/smtpd[9]: x", "10.0.0.1/smtpd", Some("9"), TagEnd::Colon, " x"),
            (
                "postfix/[127.0.0.1]:10025/smtpd[9]: x",
                "postfix/[127.0.0.1]:10025/smtpd",
                Some("9"),
                TagEnd::Colon,
                " x",
            ),
            ("postfix/[::1]:25/smtpd[9]: x", "postfix/[::1]:25/smtpd", Some("9"), TagEnd::Colon, " x"),
            ("postfix/127.0.0.1:10025/smtpd[9]: x", "postfix/127.0.0.1:10025/smtpd", Some("9"), TagEnd::Colon, " x"),
            ("postfix/[x]:25/smtpd[9]: x", "postfix/", Some("x"), TagEnd::Colon, "25/smtpd[9]: x"),
            ("a/b:25x", "a/b", None, TagEnd::Colon, "25x"),
            ("root[8539]:x", "root", Some("8539"), TagEnd::Colon, "x"),
            ("root[8539] x", "root", Some("8539"), TagEnd::Bracket, " x"),
            ("app[-]: x", "app", None, TagEnd::Colon, " x"),
            ("app[]: x", "app", None, TagEnd::Colon, " x"),
            ("app[main:1]: x", "app", Some("main:1"), TagEnd::Colon, " x"),
            ("(systemd)[1]: x", "(systemd)", Some("1"), TagEnd::Colon, " x"),
            ("dovecot: imap-login: x", "dovecot", None, TagEnd::Colon, " imap-login: x"),
            ("%SYS-5-CONFIG_I: x", "%SYS-5-CONFIG_I", None, TagEnd::Colon, " x"),
            ("CEF:0|x", "CEF", None, TagEnd::Colon, "0|x"),
            ("ü: x", "ü", None, TagEnd::Colon, " x"),
        ] {
            let tag = Tag::read(text).unwrap();
            assert_eq!((tag.name, tag.procid, tag.end, &text[tag.length..]), (name, procid, end, rest), "{text}");
        }
    }

    #[test]
    fn is_cut_only_at_32_bytes() {
        for (text, name, procid, rest) in [
            ("postfix/submission/smtpd[1234567 connect", "postfix/submission/smtpd", None, " connect"),
            ("postfix/submission/smtpd[1234567", "postfix/submission/smtpd", None, ""),
            // Only the colon is lost.
            ("postfix/submission/smtpd[123456] x", "postfix/submission/smtpd", Some("123456"), " x"),
            ("postfix-out/content-filter/smtp- x", "postfix-out/content-filter/smtp-", None, " x"),
            ("postfix-mx/content-filter/smtpd[ x", "postfix-mx/content-filter/smtpd", None, " x"),
        ] {
            let tag = Tag::read(text).unwrap();
            assert_eq!(
                (tag.name, tag.procid, tag.end, &text[tag.length..]),
                (name, procid, TagEnd::Cut, rest),
                "{text}"
            );
        }
        for text in [
            "postfix/submission/smtpd[123456 x",
            "postfix/submission/smtpd[12345678 x",
            "postfix-out/content-filter/smtp x",
        ] {
            assert_eq!(Tag::read(text), None, "{text}");
        }
        // A whole one of 32 bytes.
        assert_eq!(Tag::read("postfix/submission/smtpd[12345]: x").unwrap().end, TagEnd::Colon);
    }

    #[test]
    fn is_not_found_in_other_texts() {
        for text in [
            "",
            ":",
            " ",
            "[1]: x",
            "last message repeated",
            "word",
            "{\"a\": 1}",
            "{\"a\":1}",
            "http://x",
            "std::x",
            "2001:db8::1 x",
            "10:30 x",
            "123: x",
            "<abc>[1]: x",
            "<999>app[1]: x",
            "app[1][2]: x",
            "app[1]x",
            "app[a b]: x",
            "app[x] y",
            "level=info: x",
            "a\tb: x",
        ] {
            assert_eq!(Tag::read(text), None, "{text}");
        }
    }
}
