//! RFC 3164, the file formats derived from it, and the variants of both found in practice: `Nov 24 02:10:35 mx1
//! postfix/smtp[123]: MSG`.

use std::net::IpAddr;

use super::between::{self, BLANKS, Between, split_blank};
use super::loose::{self, Divided};
use super::tag::{Tag, TagEnd};
use super::{Context, Message, Via, container, direct, rfc5424, stamp, words};
use crate::flags::Flags;

/// Maximum length of a hostname (RFC 5424, section 6).
const MOST_HOSTNAME: usize = 255;

/// Reads a message that begins with a time, or, if there is no time, with a TAG; `None` for any other text.
///
/// glibc's syslog(3) writes no hostname, and other senders write no time, so each part may be missing. Without PRI and
/// time, only a TAG with a process id counts.
pub(super) fn read<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    direct::rfc3164(text, context).or_else(|| the_long_way(text, has_pri, context))
}

/// Reads the message without the shortcut for the usual header.
pub(super) fn the_long_way<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    let text = text.trim_start_matches(' ');
    if let Some(message) = divide(text).and_then(|divided| loose::rfc3164(divided, context)) {
        return Some(message);
    }
    if let Some((stamp, rest)) = stamp::read(text) {
        let behind = rest.strip_prefix(BLANKS).unwrap_or(rest);
        let time = &text[..text.len() - rest.len()];
        return Some(match container::behind_time(behind) {
            Some(line) => line.at(&stamp, time, context).of_driver(),
            None => rfc5424::behind_time(behind).unwrap_or_else(|| host_and_tag(behind)).at(&stamp, time, context),
        });
    }
    if let Some(tag) = Tag::read(text).filter(|tag| tag.end != TagEnd::Cut && (has_pri || tag.is_unmistakable())) {
        return Some(with_tag(None, tag, text));
    }
    // Without a time, the words must have no hostname.
    let between = between::read(text).filter(|between| between.hostname.is_none())?;
    between.tag.is_none_or(|tag| tag.is_unmistakable()).then(|| with_words(between))
}

/// Divides a text whose header has all its parts, separated by single spaces.
fn divide(text: &str) -> Option<Divided<'_>> {
    let (stamp, rest) = text.split_at_checked(stamp_length(text.as_bytes())?)?;
    let behind = rest.strip_prefix(' ')?;
    let (hostname, rest) = behind.split_once(' ')?;
    // syslog_loose would remove the last colon of `2001:db8::`.
    let is_hostname = is_name(hostname) || is_address(hostname) && !hostname.ends_with(':');
    let is_container = matches!(hostname, "stdout" | "stderr") && container::behind_time(behind).is_some();
    if is_container || !is_hostname || stamp::is_year_or_zone(hostname) || words::is_surely_severity(hostname) {
        return None;
    }
    let tag = Tag::read(rest).filter(|tag| tag.end == TagEnd::Colon && tag.name != "-")?;
    // `MAIL:INFO` and `mail.info:` look like TAGs, and so does a repeated hostname.
    let is_word = || {
        if tag.name == hostname {
            return true;
        }
        if rest[tag.length..].starts_with(' ') {
            words::is_surely_severity(tag.name)
        } else {
            words::read(split_blank(rest).0).is_some()
        }
    };
    if tag.procid.is_none() && is_word() {
        return None;
    }
    if rest.starts_with(|c: char| c.is_ascii_digit()) && stamp::read(rest).is_some() {
        return None;
    }
    let (head, msg) = rest.split_at(tag.length);
    let simple = head.bytes().all(|b| b.is_ascii_graphic()) && !head[..head.len() - 1].contains(':');
    let header = &text[..text.len() - msg.len() - 1];
    simple.then(|| Divided { header, stamp, procid: tag.procid, msg: msg.strip_prefix(' ').unwrap_or(msg) })
}

/// Returns the length of `Nov 24 02:10:35`, or of a text that may be a time of RFC 3339.
fn stamp_length(text: &[u8]) -> Option<usize> {
    match text {
        [_, _, _, b' ', b' ' | b'0'..=b'9', b'0'..=b'9', b' ', _, _, b':', _, _, b':', _, _, b' ', ..] => Some(15),
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T', ..] => {
            memchr::memchr2(b' ', b'\t', text).filter(|end| text[*end] == b' ')
        }
        _ => None,
    }
}

/// Reads the text after the time.
fn host_and_tag(text: &str) -> Message<'_> {
    let trimmed = text.trim_start_matches(BLANKS);
    if let Some(msg) = strip_lone_colon(trimmed) {
        return Message { msg, ..Message::default() };
    }
    // Another header follows, as after the time of a log driver that knows no hostname.
    if stamp::read(trimmed).is_some() {
        return Message { msg: trimmed, ..Message::default() };
    }
    if let Some(between) = between::read(trimmed) {
        return with_words(between);
    }
    // The only text without a TAG that syslog daemons write themselves.
    if trimmed.starts_with("last message repeated ") {
        return Message { msg: trimmed, ..Message::default() };
    }
    let (word, rest) = split_blank(trimmed);
    let rest = rest.strip_prefix(BLANKS).unwrap_or(rest);
    if let Some(hostname) = hostname(word, rest, trimmed) {
        return after_hostname(Some(hostname).filter(|name| !is_nil(name)), rest);
    }
    match Tag::read(trimmed) {
        Some(tag) => with_tag(None, tag, trimmed),
        None => Message { msg: text, ..Message::default() },
    }
}

/// Returns the first word of `text` as the hostname, unless it is a TAG or part of the text. `rest` is the text after
/// it.
fn hostname<'a>(word: &'a str, rest: &str, text: &str) -> Option<&'a str> {
    let in_brackets = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    if let Some(address) = in_brackets.filter(|address| is_address(address)) {
        return Some(address);
    }
    if is_address(word) {
        return Some(word);
    }
    let tag = Tag::read(rest.trim_start_matches(BLANKS));
    if is_nil(word) {
        return tag.map(|_| word);
    }
    if let Some(name) = word.strip_suffix(':') {
        // Cisco puts a colon after the hostname, where all others put it after the TAG. Therefore an unmistakable TAG
        // must follow; `dovecot: imap-login: ` is TAG and text, and so is what the kernel says about processes.
        let surely = |tag: Tag<'_>| tag.is_unmistakable() || tag.end == TagEnd::Cut || tag.name.starts_with('%');
        let is_hostname = is_address(name) || is_name(name) && name != "kernel" && tag.is_some_and(surely);
        return is_hostname.then_some(name);
    }
    let is_hostname = is_name(word) || is_odd_name(word, text) && tag.is_some_and(|tag| tag.is_unmistakable());
    is_hostname.then_some(word)
}

/// Reads the TAG after a hostname, if there is one.
fn after_hostname<'a>(hostname: Option<&'a str>, text: &'a str) -> Message<'a> {
    let trimmed = text.trim_start_matches(BLANKS);
    // The colons in a time do not make it a TAG.
    match Tag::read(trimmed).filter(|_| stamp::read(trimmed).is_none()) {
        Some(tag) => with_tag(hostname, tag, trimmed),
        None => Message { hostname, msg: strip_lone_colon(trimmed).unwrap_or(text), ..Message::default() },
    }
}

fn with_words(between: Between<'_>) -> Message<'_> {
    let Between { hostname, relay, named, tag, text } = between;
    let via = relay.map(|relay| Box::new(Via { hostname: Some(relay), ..Via::default() }));
    let message = match tag {
        Some(tag) => with_tag(hostname, tag, text),
        None => Message { hostname, msg: text, ..Message::default() },
    };
    Message { facility: named.facility, severity: named.severity, via, ..message }
}

fn with_tag<'a>(hostname: Option<&'a str>, tag: Tag<'a>, text: &'a str) -> Message<'a> {
    let msg = &text[tag.length..];
    Message {
        hostname,
        app_name: Some(tag.name),
        procid: tag.procid,
        msg: msg.strip_prefix(' ').unwrap_or(msg),
        flags: if tag.end == TagEnd::Cut { Flags::TAG_TRUNCATED } else { Flags::empty() },
        ..Message::default()
    }
}

/// Returns the text after a TAG of which only the colon is left.
fn strip_lone_colon(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(':')?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// True if `word` consists of the characters of a hostname, including those of domains, of syslog-ng's chains
/// (`relay/mx1`, `user@mx1`) and of names that break RFC 952 (`mail_1`). A cut TAG is not a hostname; if it were, the
/// queue id after it would become the TAG.
pub(super) fn is_name(word: &str) -> bool {
    word.len() <= MOST_HOSTNAME
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | '@'))
        && word.chars().any(char::is_alphanumeric)
        && !Tag::is_cut_name(word)
}

/// True if `word` denotes a machine without a name, in RFC 5424 or on Linux.
pub(super) fn is_nil(word: &str) -> bool {
    matches!(word, "-" | "(none)")
}

/// True if `word` may be a hostname because of its position only: `[internal]mx1`, `mx1:514`. `text` begins with it.
pub(super) fn is_odd_name(word: &str, text: &str) -> bool {
    let is_tag = || Tag::read(text).is_some_and(|tag| tag.length == word.len() || tag.procid.is_some());
    (1..=MOST_HOSTNAME).contains(&word.len())
        && !word.ends_with(':')
        && !word.starts_with(['<', '{', '"'])
        && !word.contains(|c: char| c.is_control() || matches!(c, '=' | '"' | ','))
        && !Tag::is_cut_name(word)
        && !is_tag()
}

/// True for an IPv4 or IPv6 address, the latter also with its scope: `fe80::1%eth0`.
pub(super) fn is_address(word: &str) -> bool {
    let address = word.split_once('%').map_or(word, |(address, _)| address);
    word.len() <= MOST_HOSTNAME && address.parse::<IpAddr>().is_ok()
}
