//! What stands between the time and the TAG, where that is more than a hostname: words of facility and severity before
//! or behind it, or the hostname twice, with spaces or tabs between them.
//!
//! # Limits
//!
//! A host may be called `mail` or `info`. Where no other word is a hostname, such a name alone is taken for one, unless
//! two spaces stand behind it, as behind the words of a column.

use super::rfc3164::{is_address, is_name, is_nil, is_odd_name};
use super::stamp;
use super::tag::Tag;
use super::words::{self, Named};

/// The most words that are looked through for a TAG.
const MOST_WORDS: usize = 6;

/// What stands before a TAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between<'a> {
    /// The hostname next to the TAG: that of the sender.
    pub(super) hostname: Option<&'a str>,
    /// Another one before it, which a relay put there.
    pub(super) relay: Option<&'a str>,
    pub(super) named: Named,
    pub(super) tag: Tag<'a>,
    /// The text from the TAG on.
    pub(super) text: &'a str,
}

/// The words before a TAG, as far as they are read.
#[derive(Clone, Copy, Debug, Default)]
struct Words<'a> {
    /// The first word, if it names a facility or a severity and may be the hostname nevertheless.
    doubtful: Option<(&'a str, Named)>,
    hosts: [Option<&'a str>; 2],
    named: Named,
}

/// Reads the words before a TAG; `None` where there is no TAG behind them, or no word but one hostname.
pub(super) fn read(text: &str) -> Option<Between<'_>> {
    let mut words = Words::default();
    let mut rest = text;
    for _ in 0..=MOST_WORDS {
        // A second header.
        if stamp::read(rest).is_some() {
            return None;
        }
        let (word, after) = split_blank(rest);
        let next = after.trim_start_matches(BLANKS);
        let padded = after.len() > next.len() + 1;
        if !words.take_name(word, padded) {
            if let Some(tag) = Tag::read(rest).filter(|tag| words.lead_to(*tag)) {
                return Some(words.before(tag, rest));
            }
            if !words.take_host(word, rest) {
                return None;
            }
        }
        rest = next;
    }
    None
}

/// The text up to the next space or tab, and what follows, that one included.
pub(super) fn split_blank(text: &str) -> (&str, &str) {
    text.split_at(text.find(BLANKS).unwrap_or(text.len()))
}

/// What separates the parts of a header.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> Words<'a> {
    /// Takes a word that names a facility or a severity.
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

    /// Takes a hostname; two are the most.
    fn take_host(&mut self, word: &'a str, text: &str) -> bool {
        let is_host = word == "-" || is_name(word) || is_address(word) || is_odd_name(word, text);
        let free = self.hosts.iter_mut().find(|host| host.is_none());
        free.filter(|_| is_host).map(|host| *host = Some(word)).is_some()
    }

    fn is_empty(&self) -> bool {
        self.doubtful.is_none() && self.hosts[0].is_none() && self.named == Named::default()
    }

    /// Whether they are more than a hostname, and `tag` is the TAG behind them and not part of a text.
    fn lead_to(&self, tag: Tag<'_>) -> bool {
        let name = self.named.facility.is_some() || self.named.severity.is_some();
        let others = self.doubtful.is_some() && self.hosts[0].is_some();
        match self.hosts {
            [Some(relay), Some(host)] if !is_same_host(relay, host) => tag.is_unmistakable() && tag.name.contains('/'),
            [_, second] => (second.is_some() || name || others) && (self.named.sure || tag.is_unmistakable()),
        }
    }

    fn before(self, tag: Tag<'a>, text: &'a str) -> Between<'a> {
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

/// Whether one of two hostnames is the other one, or its first label.
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
        format!("{relay}{} {facility}.{severity} {}", hostname.unwrap_or("-"), &text[..tag.length])
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
        ] {
            let text = format!("{words} {tag} connect");
            assert_eq!(show(text.trim_start()), format!("{expected} {tag}"), "{text}");
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
            "mx1 mx1 dovecot: x",
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
