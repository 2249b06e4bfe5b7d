//! RFC 3164, the file styles that come from it, and what the wild makes of both: `Nov 24 02:10:35 mx1 postfix/smtp[123]: MSG`.

use std::net::IpAddr;

use super::loose::{self, Divided};
use super::tag::{End, Tag};
use super::{Context, Message, direct, split_word, stamp};
use crate::flags::Flags;

/// The longest hostname that is taken for one (RFC 5424, section 6).
const MOST_HOSTNAME: usize = 255;

/// Reads a message that begins with a time, or, if there is no time, with a TAG; `None` for any other text.
///
/// glibc's syslog(3) gives no hostname, and others give no time, so each part may be missing. Without PRI and time, only a TAG
/// with a process id counts.
pub(super) fn read<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    direct::rfc3164(text, context).or_else(|| the_long_way(text, has_pri, context))
}

/// The same without the shortcut for the usual header.
pub(super) fn the_long_way<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    let text = text.trim_start_matches(' ');
    if let Some(message) = divide(text).and_then(|divided| loose::rfc3164(divided, context)) {
        return Some(message);
    }
    if let Some((stamp, rest)) = stamp::read(text) {
        let mut message = host_and_tag(rest.strip_prefix(' ').unwrap_or(rest));
        match stamp.resolve(context) {
            Some((timestamp, flags)) => {
                message.timestamp = Some(timestamp);
                message.flags |= flags;
            }
            None => message.timestamp_text = Some(&text[..text.len() - rest.len()]),
        }
        return Some(message);
    }
    let tag = Tag::read(text).filter(|tag| tag.end != End::Cut && (has_pri || tag.is_unmistakable()))?;
    Some(with_tag(None, tag, text))
}

/// Divides a text whose header has all its parts, with a single space between them.
fn divide(text: &str) -> Option<Divided<'_>> {
    let (stamp, rest) = text.split_at_checked(stamp_length(text.as_bytes())?)?;
    let rest = rest.strip_prefix(' ')?;
    let (hostname, rest) = rest.split_once(' ')?;
    // syslog_loose would take the last colon of `2001:db8::` away.
    let is_hostname = is_name(hostname) || is_address(hostname) && !hostname.ends_with(':');
    if !is_hostname || stamp::is_year_or_zone(hostname) {
        return None;
    }
    let tag = Tag::read(rest).filter(|tag| tag.end == End::Colon && tag.name != "-")?;
    let (head, msg) = rest.split_at(tag.length);
    let simple = head.bytes().all(|b| b.is_ascii_graphic()) && !head[..head.len() - 1].contains(':');
    let header = &text[..text.len() - msg.len() - 1];
    simple.then(|| Divided { header, stamp, procid: tag.procid, msg: msg.strip_prefix(' ').unwrap_or(msg) })
}

/// The length of `Nov 24 02:10:35`, or of what may be a time of RFC 3339.
fn stamp_length(text: &[u8]) -> Option<usize> {
    match text {
        [_, _, _, b' ', b' ' | b'0'..=b'9', b'0'..=b'9', b' ', _, _, b':', _, _, b':', _, _, b' ', ..] => Some(15),
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T', ..] => memchr::memchr(b' ', text),
        _ => None,
    }
}

/// Reads what follows the time.
fn host_and_tag(text: &str) -> Message<'_> {
    let trimmed = text.trim_start_matches(' ');
    if let Some(msg) = strip_lone_colon(trimmed) {
        return Message { msg, ..Message::default() };
    }
    // The one text without a TAG that syslog daemons write themselves.
    if trimmed.starts_with("last message repeated ") {
        return Message { msg: trimmed, ..Message::default() };
    }
    let (word, rest) = split_word(trimmed);
    if let Some(hostname) = hostname(word, rest) {
        return after_hostname(Some(hostname).filter(|name| *name != "-"), rest);
    }
    match Tag::read(trimmed) {
        Some(tag) => with_tag(None, tag, trimmed),
        None => Message { msg: text, ..Message::default() },
    }
}

/// The hostname that the first word is, unless it is a TAG or part of the text.
fn hostname<'a>(word: &'a str, rest: &str) -> Option<&'a str> {
    let in_brackets = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    if let Some(address) = in_brackets.filter(|address| is_address(address)) {
        return Some(address);
    }
    if is_address(word) {
        return Some(word);
    }
    let tag = Tag::read(rest.trim_start_matches(' '));
    if word == "-" {
        return tag.map(|_| word);
    }
    if let Some(name) = word.strip_suffix(':') {
        // Cisco puts a colon behind the hostname, where everybody else has it behind the TAG. So a TAG that is surely one has
        // to follow; `dovecot: imap-login: ` is TAG and text, and so is what the kernel says about processes.
        let surely = |tag: Tag<'_>| tag.is_unmistakable() || tag.end == End::Cut || tag.name.starts_with('%');
        let is_hostname = is_address(name) || is_name(name) && name != "kernel" && tag.is_some_and(surely);
        return is_hostname.then_some(name);
    }
    is_name(word).then_some(word)
}

/// Reads the TAG behind a hostname, where there is one.
fn after_hostname<'a>(hostname: Option<&'a str>, text: &'a str) -> Message<'a> {
    let trimmed = text.trim_start_matches(' ');
    match Tag::read(trimmed) {
        Some(tag) => with_tag(hostname, tag, trimmed),
        None => Message { hostname, msg: strip_lone_colon(trimmed).unwrap_or(text), ..Message::default() },
    }
}

fn with_tag<'a>(hostname: Option<&'a str>, tag: Tag<'a>, text: &'a str) -> Message<'a> {
    let msg = &text[tag.length..];
    Message {
        hostname,
        app_name: Some(tag.name),
        procid: tag.procid,
        msg: msg.strip_prefix(' ').unwrap_or(msg),
        flags: if tag.end == End::Cut { Flags::TAG_TRUNCATED } else { Flags::empty() },
        ..Message::default()
    }
}

/// What follows a TAG of which only the colon is left.
fn strip_lone_colon(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(':')?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// A hostname by its letters, with the marks of domains, of syslog-ng's chains (`relay/mx1`, `user@mx1`) and of names that
/// break RFC 952 (`mail_1`). A cut TAG is none; taken for one, it would make the queue id behind it the TAG.
fn is_name(word: &str) -> bool {
    word.len() <= MOST_HOSTNAME
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | '@'))
        && word.chars().any(char::is_alphanumeric)
        && !Tag::is_cut_name(word)
}

/// An IPv4 or IPv6 address, the latter also with its scope: `fe80::1%eth0`.
fn is_address(word: &str) -> bool {
    let address = word.split_once('%').map_or(word, |(address, _)| address);
    word.len() <= MOST_HOSTNAME && address.parse::<IpAddr>().is_ok()
}
