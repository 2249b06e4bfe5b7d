//! Words of facility and severity, which syslog daemons that write no PRI put next to the hostname or after the TAG.
//!
//! ```text
//! Nov 24 02:10:35 mx1 mail.info postfix/smtp[123]: MSG                BusyBox
//! Nov 24 02:10:35 <mail.info> mx1 postfix/smtp[123]: MSG              syslogd -v of FreeBSD, also <2.6>
//! Nov 24 02:10:35 mx1 MAIL:INFO postfix/smtp[123]: MSG                AIX
//! 2026-11-24T02:10:35+01:00 INFO    postfix/smtp[123]: MSG            images of containers
//! Nov 24 02:10:35 mx1 postfix/smtp[123]: [ID 197553 mail.info] MSG    Solaris and illumos
//! <mail.info>1 2026-11-24T02:10:35Z mx1 postfix/smtp 123 - - MSG      templates with names in the place of PRI
//! ```

use super::{Facility, Severity, priority};
use crate::byte_set::ByteSet;

/// Facility and severity that a word names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedPriority {
    pub(super) facility: Option<Facility>,
    pub(super) severity: Option<Severity>,
    /// True if the word can have no other meaning: a host may be called `mail` or `info`, but not `mail.info`, `<info>`
    /// or `INFO`.
    pub(super) sure: bool,
}

impl NamedPriority {
    /// Returns what two words name together; of two facilities or two severities, the first counts.
    pub(super) fn and(self, other: Self) -> Self {
        let facility = self.facility.or(other.facility);
        Self { facility, severity: self.severity.or(other.severity), sure: self.sure | other.sure }
    }
}

/// Maximum length of such a word: `<authpriv.informational>`.
const LONGEST: usize = 24;

/// Characters between the two names.
const SEPARATORS: [char; 5] = ['.', ':', '/', '|', ','];

/// Other names of severities, as programs and templates write them.
const ALIASES: [(&str, Severity); 8] = [
    ("emergency", Severity::EMERG),
    ("panic", Severity::EMERG),
    ("critical", Severity::CRIT),
    ("fatal", Severity::CRIT),
    ("error", Severity::ERR),
    ("warn", Severity::WARNING),
    ("information", Severity::INFO),
    ("informational", Severity::INFO),
];

/// Reads PRI as [`priority::read`] does, or names in place of PRI.
pub(super) fn priority(text: &str) -> (Option<(Facility, Severity)>, &str) {
    let read = priority::read(text);
    if read.0.is_some() || !text.starts_with('<') {
        return read;
    }
    names_for_priority(text).map_or(read, |(priority, rest)| (Some(priority), rest))
}

fn names_for_priority(text: &str) -> Option<((Facility, Severity), &str)> {
    let end = text.bytes().take(LONGEST).position(|b| b == b'>')?;
    let (word, rest) = text.split_at(end + 1);
    let named = read(word).filter(|_| word[1..].starts_with(|c: char| c.is_ascii_alphabetic()))?;
    Some((named.facility.zip(named.severity)?, rest))
}

/// Reads `mail.info`, `MAIL:INFO`, `mail.6`, `info|mail`, `<mail.info>`, `<2.6>`, `<22>`, `INFO`, `info:`, `mail`, `6`,
/// `22` and similar words.
pub(super) fn read(word: &str) -> Option<NamedPriority> {
    if word.len() > LONGEST {
        return None;
    }
    let brackets = [('<', '>'), ('[', ']'), ('(', ')')];
    let inner = brackets.iter().find_map(|(open, close)| word.strip_prefix(*open)?.strip_suffix(*close));
    if word.starts_with('<')
        && let Some(named) = inner.and_then(numbers)
    {
        return Some(named);
    }
    let plain = inner.unwrap_or(word);
    // `error:` is a TAG, and so is `mail:`.
    let upper = plain.bytes().all(|b| !b.is_ascii_lowercase());
    let name = plain.strip_suffix(':').filter(|name| upper || name.contains(SEPARATORS)).unwrap_or(plain);
    if let Some((first, second)) = name.split_once(SEPARATORS) {
        // A host may be called `mail.6`.
        let digit = || severity_of_digit(second).map(|severity| (severity, false));
        let (facility, (severity, sure)) = match facility(first) {
            Some(facility) => (facility, severity(second).map(|severity| (severity, true)).or_else(digit)?),
            None => (facility(second).filter(|_| name.contains('|'))?, (severity(first)?, true)),
        };
        return Some(NamedPriority { facility: Some(facility), severity: Some(severity), sure });
    }
    if inner.is_none() && word.bytes().all(|b| b.is_ascii_digit()) {
        return number(word);
    }
    if let Some(severity) = severity(name) {
        return Some(NamedPriority {
            severity: Some(severity),
            sure: inner.is_some() || upper,
            ..NamedPriority::default()
        });
    }
    // `MAIL` may be a host.
    facility(plain).map(|facility| NamedPriority {
        facility: Some(facility),
        sure: inner.is_some(),
        ..NamedPriority::default()
    })
}

/// True if a word in the position of a hostname is certainly not a hostname, because it names a severity.
///
/// This check runs for each line, so a word that does not end like a severity is excluded at once.
pub(super) fn is_surely_severity(word: &str) -> bool {
    word.bytes().last().is_some_and(|last| LAST.has(last)) && ends_like_severity(word) && {
        read(word).is_some_and(|named| named.sure && named.severity.is_some())
    }
}

/// Last bytes of all names of severities.
const LAST: ByteSet = ByteSet::of(b"cegilnortyCEGILNORTY");

fn ends_like_severity(word: &str) -> bool {
    let Some(end) = word.as_bytes().last_chunk::<3>() else { return false };
    let ends: [&[u8; 3]; 16] = [
        b"erg", b"ncy", b"nic", b"ert", b"rit", b"cal", b"tal", b"err", b"ror", b"arn", b"ing", b"ice", b"nfo", b"ion",
        b"nal", b"bug",
    ];
    ends.iter().any(|known| known.eq_ignore_ascii_case(end))
}

/// Reads `[ID 197553 mail.info] ` in front of a text, and returns the text after it.
#[inline]
pub(super) fn solaris(text: &str) -> Option<(NamedPriority, &str)> {
    // Nearly every text is excluded here.
    if text.starts_with('[') { message_id(text) } else { None }
}

fn message_id(text: &str) -> Option<(NamedPriority, &str)> {
    let digits = text.strip_prefix(SOLARIS)?.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text[SOLARIS.len() + digits..].strip_prefix(' ').filter(|_| digits > 0)?;
    let end = rest.bytes().take(LONGEST).position(|b| b == b']')?;
    let named = read(&rest[..end]).filter(|named| named.facility.is_some() && named.severity.is_some())?;
    Some((named, &rest[end + 1..]))
}

/// Start of Solaris' message ids.
const SOLARIS: &str = "[ID ";

/// Reads `2.6` and `22`.
fn numbers(text: &str) -> Option<NamedPriority> {
    let (facility, severity) = match text.split_once('.') {
        Some((facility, severity)) => (Facility::from_code(code(facility)?)?, Severity::from_code(code(severity)?)?),
        None => priority::from_value(code(text)?)?,
    };
    Some(NamedPriority { facility: Some(facility), severity: Some(severity), sure: true })
}

/// Reads a number in a column of its own: a severity, or, if it is too large for that, PRIVAL. A host may have such a
/// name.
fn number(word: &str) -> Option<NamedPriority> {
    let (facility, severity) = match severity_of_digit(word) {
        Some(severity) => (None, severity),
        None => priority::from_value(code(word)?).map(|(facility, severity)| (Some(facility), severity))?,
    };
    Some(NamedPriority { facility, severity: Some(severity), sure: false })
}

fn severity_of_digit(text: &str) -> Option<Severity> {
    Severity::from_code(code(text).filter(|_| text.len() == 1)?)
}

fn code(digits: &str) -> Option<u8> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn facility(name: &str) -> Option<Facility> {
    Facility::NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)).and_then(|known| Facility::from_name(known))
}

fn severity(name: &str) -> Option<Severity> {
    let known = Severity::NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    known
        .and_then(|known| Severity::from_name(known))
        .or_else(|| ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, severity)| *severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(named: Option<NamedPriority>) -> String {
        let Some(NamedPriority { facility, severity, sure }) = named else { return "none".to_owned() };
        let name = |name: Option<&'static str>| name.unwrap_or("-");
        let sure = if sure { " sure" } else { "" };
        format!("{}.{}{sure}", name(facility.map(Facility::name)), name(severity.map(Severity::name)))
    }

    #[test]
    fn reads_names_and_numbers() {
        for (word, expected) in [
            ("mail.info", "mail.info sure"),
            ("MAIL:INFO", "mail.info sure"),
            ("mail:err", "mail.err sure"),
            ("local0|warn", "local0.warning sure"),
            ("<mail.info>", "mail.info sure"),
            ("[mail.notice]", "mail.notice sure"),
            ("<2.6>", "mail.info sure"),
            ("<22>", "mail.info sure"),
            ("INFO", "-.info sure"),
            ("WARNING:", "-.warning sure"),
            ("<err>", "-.err sure"),
            ("info", "-.info"),
            ("Error", "-.err"),
            ("critical", "-.crit"),
            ("mail", "mail.-"),
            ("MAIL", "mail.-"),
            ("(mail)", "mail.- sure"),
            ("mail.6", "mail.info"),
            ("Mail.Info", "mail.info sure"),
            ("info|mail", "mail.info sure"),
            ("6", "-.info"),
            ("22", "mail.info"),
        ] {
            assert_eq!(show(read(word)), expected, "{word}");
        }
        for other in [
            "",
            "<>",
            "<",
            ">",
            "mx1",
            "mail:",
            "error:",
            "MAIL:",
            "mail.",
            ".info",
            "mail.info.x",
            "mail.example",
            "2.6",
            "8.mail",
            "mail.8",
            "mail.06",
            "info.mail",
            "192",
            "4711",
            "(22)",
            "<24.1>",
            "<2.8>",
            "<192>",
            "<2.>",
            "<+2.6>",
            "<2.6",
            "info>",
            "::",
            "<mail.info.and.something.longer>",
            "é",
        ] {
            assert_eq!(show(read(other)), "none", "{other}");
        }
    }

    #[test]
    fn reads_names_in_the_place_of_pri() {
        let read = |text| {
            let (priority, rest) = priority(text);
            (priority.map(|(facility, severity)| (facility.name(), severity.name())), rest)
        };
        for text in ["<22>x", "<mail.info>x", "<MAIL.INFO>x", "<mail.6>x"] {
            assert_eq!(read(text), (Some(("mail", "info")), "x"), "{text}");
        }
        for text in
            ["", "<", "<>x", "<999>x", "<0022>x", "<2.6>x", "<abc>x", "<mail>x", "<info>x", "<mail.info", "mail.info"]
        {
            assert_eq!(read(text), (None, text), "{text}");
        }
    }

    #[test]
    fn every_severity_is_found_by_its_end() {
        let names = Severity::NAMES.iter().copied().chain(ALIASES.iter().map(|(alias, _)| *alias));
        for name in names {
            assert!(is_surely_severity(&name.to_uppercase()), "{name}");
            assert!(is_surely_severity(&format!("mail.{name}")), "{name}");
            assert!(!is_surely_severity(name), "{name}");
        }
        for host in ["", "mx1", "mail.example.info", "mail.example.org", "MAIL", "info", "mail", "LARGE"] {
            assert!(!is_surely_severity(host), "{host}");
        }
    }

    #[test]
    fn reads_message_ids_of_solaris() {
        let read = |text| solaris(text).map(|(named, rest)| (show(Some(named)), rest));
        let info = Some(("mail.info sure".to_owned(), " connect"));
        assert_eq!(read("[ID 197553 mail.info] connect"), info);
        assert_eq!(read("[ID 9999999999 mail.info] connect"), info);
        assert_eq!(read("[ID 99999999999999999999 mail.info] connect"), info);
        assert_eq!(read("[ID 1 mail.info]"), Some(("mail.info sure".to_owned(), "")));
        for other in
            ["", "[ID ", "[ID 1", "[ID mail.info] x", "[ID 1 mail] x", "[ID 1 mail.info x", "[id 1 mail.info] x"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
