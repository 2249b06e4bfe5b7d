//! Words between the time and the TAG, or another header, if they are more than a hostname. They are words of facility
//! and severity before or after the hostname, or the hostname twice. Spaces or tabs separate them.
//!
//! # Limits
//!
//! A host may be called `mail` or `info`. If no other word is a hostname, such a name alone is read as the hostname,
//! unless two spaces stand after it, as after the words of a column.

use super::rfc3164::{is_address, is_name, is_nil, is_odd_name};
use super::tag::{Tag, TagEnd};
use super::words::{self, NamedPriority};
use super::{priority, rfc5424, stamp};

/// Maximum number of words before a TAG.
const MOST_WORDS: usize = 6;

/// Words before a TAG or another header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between<'a> {
    /// Hostname next to the TAG, which is that of the sender.
    pub(super) hostname: Option<&'a str>,
    /// Another hostname before it, which a relay put there.
    pub(super) relay: Option<&'a str>,
    pub(super) named: NamedPriority,
    /// `None` if another header follows.
    pub(super) tag: Option<Tag<'a>>,
    /// Text from the TAG or the other header on.
    pub(super) text: &'a str,
}

/// Words before a TAG that have been read.
#[derive(Clone, Copy, Debug, Default)]
struct WordsBefore<'a> {
    /// First word, if it names a facility or a severity but may still be the hostname.
    doubtful: Option<(&'a str, NamedPriority)>,
    hosts: [Option<&'a str>; 2],
    named: NamedPriority,
}

/// Reads the words before a TAG or another header; `None` if neither follows them, or if the only word is one hostname.
pub(super) fn read(text: &str) -> Option<Between<'_>> {
    let mut words = WordsBefore::default();
    let mut rest = text;
    for _ in 0..=MOST_WORDS {
        if begins_header(rest) {
            return words.lead_to_header().then(|| words.before(None, rest));
        }
        let (word, after) = split_blank(rest);
        let next = after.trim_start_matches(BLANKS);
        let padded = after.len() > next.len() + 1;
        if !words.take_name(word, padded) {
            if let Some(tag) = Tag::read(rest).filter(|tag| words.lead_to(*tag)) {
                return Some(words.before(Some(tag), rest));
            }
            if !words.take_host(word, rest) {
                return None;
            }
        }
        rest = next;
    }
    None
}

/// True if a header with a time begins here.
fn begins_header(text: &str) -> bool {
    let (_, rest) = priority::read(text);
    stamp::read(rest).is_some() || rfc5424::begins(rest)
}

/// Returns the text up to the next space or tab, and the rest, which begins with that space or tab.
pub(super) fn split_blank(text: &str) -> (&str, &str) {
    text.split_at(text.find(BLANKS).unwrap_or(text.len()))
}

/// Characters that separate the parts of a header.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> WordsBefore<'a> {
    /// Takes a word that names a facility or a severity; false for other words.
    fn take_name(&mut self, word: &'a str, padded: bool) -> bool {
        let Some(mut named) = words::read(word) else { return false };
        named.sure |= padded && named.severity.is_some();
        if !named.sure && self.is_empty() {
            self.doubtful = Some((word, named));
        } else {
            self.named = self.named.and(named);
        }
        true
    }

    /// Takes a hostname; false for any other word, and for a third hostname.
    fn take_host(&mut self, word: &'a str, text: &str) -> bool {
        // The second hostname may have the colon that belongs to a TAG. Brackets may enclose an address, or the same
        // name again.
        let is_again = |word: &&str| self.hosts == [Some(*word), None];
        let word = word.strip_suffix(':').filter(is_again).unwrap_or(word);
        let in_brackets = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        let word = in_brackets.filter(|word| is_address(word) || is_again(word)).unwrap_or(word);
        let is_number = || self.hosts[0].is_some() && word.bytes().all(|b| b.is_ascii_digit());
        let is_host = word == "-" || is_name(word) || is_address(word) || is_odd_name(word, text);
        let is_host = is_host && !is_number();
        let free = self.hosts.iter_mut().find(|host| host.is_none());
        free.filter(|_| is_host).map(|host| *host = Some(word)).is_some()
    }

    fn is_empty(&self) -> bool {
        self.doubtful.is_none() && self.hosts[0].is_none() && self.named == NamedPriority::default()
    }

    /// True if the words are more than a hostname, and `tag` is the TAG after them and not part of a text.
    fn lead_to(&self, tag: Tag<'_>) -> bool {
        let name = self.named.facility.is_some() || self.named.severity.is_some();
        let others = self.doubtful.is_some() && self.hosts[0].is_some();
        match self.hosts {
            [Some(relay), Some(host)] if is_same_host(relay, host) => {
                tag.end == TagEnd::Colon || tag.end == TagEnd::Cut && begins_like_postfix(tag.name)
            }
            [Some(relay), Some(_)] => match tag.end {
                TagEnd::Colon if tag.procid.is_some() => tag.name.contains('/') || begins_like_postfix(tag.name),
                // A text may contain such a word, too.
                TagEnd::Colon => begins_like_postfix(tag.name) && is_address(relay),
                TagEnd::Cut => begins_like_postfix(tag.name),
                TagEnd::Bracket => false,
            },
            [_, second] => (second.is_some() || name || others) && (self.named.sure || tag.is_unmistakable()),
        }
    }

    /// True if a header after the words is not part of a text.
    fn lead_to_header(&self) -> bool {
        self.named.sure && self.named.facility.is_some() && self.named.severity.is_some() && self.hosts[1].is_none()
    }

    fn before(self, tag: Option<Tag<'a>>, text: &'a str) -> Between<'a> {
        let [first, second] = self.hosts;
        let (hostname, named) = match (second.or(first), self.doubtful) {
            (None, Some((host, _))) => (Some(host), self.named),
            (host, Some((_, named))) => (host, named.and(self.named)),
            (host, None) => (host, self.named),
        };
        let relay = second.and(first).filter(|relay| !second.is_some_and(|host| is_same_host(relay, host)));
        let known = |host: &&str| !is_nil(host);
        Between { hostname: hostname.filter(known), relay: relay.filter(known), named, tag, text }
    }
}

/// True if the name in a TAG begins with the usual `syslog_name` of Postfix.
fn begins_like_postfix(name: &str) -> bool {
    name.strip_prefix("postfix").is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '-']))
}

/// True if one of two hostnames equals the other, or is its first labels.
fn is_same_host(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let is_begin = long.get(..short.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(short));
    is_begin && matches!(long.as_bytes().get(short.len()), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RELAY>HOSTNAME mail.info TAG`.
    fn show(text: &str) -> String {
        let Some(Between { hostname, relay, named, tag, text }) = read(text) else { return "none".to_owned() };
        let relay = relay.map_or_else(String::new, |relay| format!("{relay}>"));
        let facility = named.facility.map_or("-", |facility| facility.name());
        let severity = named.severity.map_or("-", |severity| severity.name());
        let behind = tag.map_or("HEADER", |tag| &text[..tag.length]);
        format!("{relay}{} {facility}.{severity} {behind}", hostname.unwrap_or("-"))
    }

    #[test]
    fn reads_words_and_hostnames_in_any_order() {
        let tag = "postfix/smtpd[123]:";
        for (words, expected) in [
            ("mx1 mail.info", "mx1 mail.info"),
            ("mx1 <2.6>", "mx1 mail.info"),
            ("<mail.info> mx1", "mx1 mail.info"),
            ("mail.info", "- mail.info"),
            ("INFO", "- -.info"),
            ("info   ", "- -.info"),
            ("info\t\t", "- -.info"),
            ("\tmx1\t MAIL:INFO\t", "mx1 mail.info"),
            ("info mx1", "mx1 -.info"),
            ("mx1 info", "mx1 -.info"),
            ("mx1 mail info", "mx1 mail.info"),
            ("mail info mx1", "mx1 mail.info"),
            // A host of this name is usual.
            ("mail info", "mail -.info"),
            ("mail mail.info", "mail mail.info"),
            ("mail mail", "mail mail.-"),
            ("mx1 mx1", "mx1 -.-"),
            ("mx1 INFO mx1", "mx1 -.info"),
            ("mx1.example.com mx1", "mx1 -.-"),
            ("192.0.2.1 mx1", "192.0.2.1>mx1 -.-"),
            ("192.0.2.1 (none) mail.info", "192.0.2.1>- mail.info"),
            ("- mail.info", "- mail.info"),
            ("mx1 mail.6", "mx1 mail.info"),
            ("mx1 6", "mx1 -.info"),
            ("mx1 22", "mx1 mail.info"),
            ("6 mx1", "mx1 -.info"),
            ("mx1 info|mail", "mx1 mail.info"),
            ("mx1 mx1:", "mx1 -.-"),
            ("mx1 [mx1]", "mx1 -.-"),
            ("[192.0.2.9] mx1", "192.0.2.9>mx1 -.-"),
        ] {
            let text = format!("{words} {tag} connect");
            assert_eq!(show(text.trim_start()), format!("{expected} {tag}"), "{text}");
        }
        for (text, expected) in [
            ("mx1 mx1 postfix: x", "mx1 -.- postfix:"),
            ("mx1 mx1 postfix/qmgr: x", "mx1 -.- postfix/qmgr:"),
            ("mx1 mx1 dovecot: x", "mx1 -.- dovecot:"),
            ("192.0.2.9 mx1 postfix[1]: x", "192.0.2.9>mx1 -.- postfix[1]:"),
            ("192.0.2.9 mx1 postfix/qmgr: x", "192.0.2.9>mx1 -.- postfix/qmgr:"),
            ("relay mx1 postfix-out[1]: x", "relay>mx1 -.- postfix-out[1]:"),
            ("relay mx1 postfix/submission/smtpd[1234567 x", "relay>mx1 -.- postfix/submission/smtpd[1234567"),
            ("mail.info: Nov 24 02:10:35 x", "- mail.info HEADER"),
            ("Mail.Info\t192.0.2.7\t1 2026-11-24T02:10:35Z x", "192.0.2.7 mail.info HEADER"),
            ("mx1 mail.info <22>Nov 24 02:10:35 x", "mx1 mail.info HEADER"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert_eq!(show("mx1 mail.info dovecot: imap-login: x"), "mx1 mail.info dovecot:");
        assert_eq!(show("mx1 INFO swss#orchagent: :- x"), "mx1 -.info swss#orchagent:");
    }

    #[test]
    fn leaves_other_texts_alone() {
        for text in [
            "",
            "postfix/smtpd[123]: x",
            "mx1 postfix/smtpd[123]: x",
            "mail postfix/smtpd[123]: x",
            "info postfix/smtpd[123]: x",
            "mx1 mail.info",
            "mx1 mail.info no tag",
            "mx1 see postfix/smtpd: x",
            "mx1 stopped sshd[1]: x",
            "mx1 mx1 dovecot[1] x",
            "mx1 mx1 a-word-of-a-text-with-32-letters x",
            "mx1 4711 postfix/smtpd[123]: x",
            "mx1 mx2: postfix/smtpd[123]: x",
            "mx1 INFO 2026-11-24 02:10:35 x",
            "mx1 Nov 24 02:10:35 x",
            "mx1 mail.info 24 Nov x",
            "mx1 info dovecot: x",
            "mx1 Started app[1]: x",
            "mx1 error: app[1]: x",
            "dovecot: imap-login[3]: x",
            "mx1 warning: connect from postfix/smtpd[123]: x",
            "a b c postfix/smtpd[123]: x",
            "a INFO INFO INFO INFO INFO INFO INFO INFO postfix/smtpd[123]: x",
        ] {
            assert_eq!(show(text), "none", "{text}");
        }
    }
}
