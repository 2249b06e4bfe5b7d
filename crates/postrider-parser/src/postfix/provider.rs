//! The provider of the server or filter that refuses, and the provider's own code for the reason.
//!
//! The last labels of the server's name identify the provider, or words that only one provider writes: a link to its
//! pages, the name of its block list. Each provider prints its codes in its own way; [`code`] knows these ways. The
//! meanings of the codes are for people: they are in `explain/providers/`.
//!
//! To add one, add a variant of [`Provider`], a row here, and a line in `tests/corpus/postfix/provider.log`.

use std::cmp::Ordering;

use super::words::{Folded, Words};
use crate::record::{Provider, Reply};

/// Last labels of servers' names, sorted.
#[rustfmt::skip]
const SERVERS: &[(&str, Provider)] = &[
    ("163.com", Provider::Netease),
    ("1and1.com", Provider::Ionos),
    ("1und1.de", Provider::Ionos),
    ("amazonaws.com", Provider::Amazon),
    ("amazonses.com", Provider::Amazon),
    ("aol.com", Provider::Yahoo),
    ("apple.com", Provider::Apple),
    ("aruba.it", Provider::Aruba),
    ("au.com", Provider::Kddi),
    ("awsapps.com", Provider::Amazon),
    ("barracudanetworks.com", Provider::Barracuda),
    ("biglobe.ne.jp", Provider::Biglobe),
    ("cloudflare.net", Provider::Cloudflare),
    ("comcast.net", Provider::Comcast),
    ("docomo.ne.jp", Provider::Docomo),
    ("ezweb.ne.jp", Provider::Kddi),
    ("free.fr", Provider::Free),
    ("gmx.com", Provider::Gmx),
    ("gmx.net", Provider::Gmx),
    ("google.com", Provider::Google),
    ("googlemail.com", Provider::Google),
    ("hornetsecurity.com", Provider::Hornetsecurity),
    ("hotmail.com", Provider::Microsoft),
    ("icloud.com", Provider::Apple),
    ("ionos.co.uk", Provider::Ionos),
    ("ionos.com", Provider::Ionos),
    ("ionos.de", Provider::Ionos),
    ("ionos.es", Provider::Ionos),
    ("ionos.fr", Provider::Ionos),
    ("ionos.it", Provider::Ionos),
    ("iphmx.com", Provider::Cisco),
    ("kundenserver.de", Provider::Ionos),
    ("laposte.net", Provider::Laposte),
    ("libero.it", Provider::Libero),
    ("live.com", Provider::Microsoft),
    ("mail.com", Provider::Gmx),
    ("mail.ru", Provider::MailRu),
    ("me.com", Provider::Apple),
    ("messagelabs.com", Provider::Symantec),
    ("mimecast.com", Provider::Mimecast),
    ("msn.com", Provider::Microsoft),
    ("mx.microsoft", Provider::Microsoft),
    ("naver.com", Provider::Naver),
    ("netease.com", Provider::Netease),
    ("nifty.com", Provider::Nifty),
    ("ocn.ad.jp", Provider::Ocn),
    ("ocn.ne.jp", Provider::Ocn),
    ("office365.us", Provider::Microsoft),
    ("orange.fr", Provider::Orange),
    ("outlook.com", Provider::Microsoft),
    ("ovh.ca", Provider::Ovh),
    ("ovh.net", Provider::Ovh),
    ("perfora.net", Provider::Ionos),
    ("ppe-hosted.com", Provider::Proofpoint),
    ("pphosted.com", Provider::Proofpoint),
    ("psmtp.com", Provider::Google),
    ("qq.com", Provider::Qq),
    ("rzone.de", Provider::Strato),
    ("sfr.fr", Provider::Sfr),
    ("so-net.ne.jp", Provider::SoNet),
    ("softbank.jp", Provider::Softbank),
    ("softbank.ne.jp", Provider::Softbank),
    ("strato.de", Provider::Strato),
    ("t-online.de", Provider::TOnline),
    ("trendmicro.co.jp", Provider::TrendMicro),
    ("trendmicro.com", Provider::TrendMicro),
    ("trendmicro.eu", Provider::TrendMicro),
    ("vodafone.ne.jp", Provider::Softbank),
    ("wanadoo.fr", Provider::Orange),
    ("web.de", Provider::Gmx),
    ("yahoo.co.jp", Provider::YahooJapan),
    ("yahoo.com", Provider::Yahoo),
    ("yahoodns.net", Provider::Yahoo),
    ("yandex.net", Provider::Yandex),
    ("yandex.ru", Provider::Yandex),
    ("ymobile.ne.jp", Provider::Softbank),
    ("zoho.com", Provider::Zoho),
    ("zoho.eu", Provider::Zoho),
];

/// Words of a reply, in lower case. The first match counts.
#[rustfmt::skip]
const WORDS: &[(&str, Provider)] = &[
    (" gsmtp", Provider::Google),
    ("support.google.com", Provider::Google),
    ("protection.outlook.com", Provider::Microsoft),
    ("postmaster.live.com", Provider::Microsoft),
    ("mail.live.com", Provider::Microsoft),
    ("sender.office.com", Provider::Microsoft),
    ("microsoft.com/", Provider::Microsoft),
    ("aka.ms/", Provider::Microsoft),
    ("yahooinc.com", Provider::Yahoo),
    ("postmaster.yahoo", Provider::Yahoo),
    ("help.yahoo.com", Provider::Yahoo),
    ("[tss0", Provider::Yahoo),
    ("support.apple.com", Provider::Apple),
    ("postmaster.t-online.de", Provider::TOnline),
    ("(nowl)", Provider::TOnline),
    ("postmaster.gmx", Provider::Gmx),
    ("postmaster.web.de", Provider::Gmx),
    ("nemesis esmtp service", Provider::Gmx),
    ("postmaster.1and1", Provider::Ionos),
    ("postmaster.ionos", Provider::Ionos),
    ("ofr_", Provider::Orange),
    (" ofr0", Provider::Orange),
    (" ofr2", Provider::Orange),
    ("postmaster.free.fr", Provider::Free),
    ("help.mail.ru", Provider::MailRu),
    ("yandex.ru/", Provider::Yandex),
    ("ya.cc/", Provider::Yandex),
    ("mail.qq.com", Provider::Qq),
    ("mail.163.com", Provider::Netease),
    ("postmaster.comcast.net", Provider::Comcast),
    ("spamhaus.org", Provider::Spamhaus),
    ("spamcop.net", Provider::Spamcop),
    ("barracudacentral", Provider::Barracuda),
    ("barracudanetworks", Provider::Barracuda),
    ("barracuda reputation", Provider::Barracuda),
    ("uceprotect", Provider::Uceprotect),
    ("abusix", Provider::Abusix),
    ("senderscore", Provider::Validity),
    ("sender score", Provider::Validity),
    ("cloudmark", Provider::Cloudmark),
    ("senderbase", Provider::Cisco),
    ("talosintelligence", Provider::Cisco),
    ("ironport", Provider::Cisco),
    ("proofpoint", Provider::Proofpoint),
    ("mimecast", Provider::Mimecast),
    ("messagelabs", Provider::Symantec),
    ("symanteccloud", Provider::Symantec),
    ("sms.symantec.com", Provider::Symantec),
    ("trendmicro", Provider::TrendMicro),
    ("trend micro", Provider::TrendMicro),
    ("hornetsecurity", Provider::Hornetsecurity),
    ("antispameurope", Provider::Hornetsecurity),
];

/// Table that finds the words.
static TABLE: Words<{ WORDS.len() }> = Words::new(&{
    let mut words = [None; WORDS.len()];
    let mut row = 0;
    while row < WORDS.len() {
        words[row] = Some(WORDS[row].0);
        row += 1;
    }
    words
});

/// Returns the reply with its provider if it refuses, as far as the server's name or the words of the reply identify
/// one.
pub(super) fn noted<'a>(reply: Reply<'a>, server: Option<&str>) -> Reply<'a> {
    if reply.code.is_none_or(|code| code < 400) {
        return reply;
    }
    let provider = server.and_then(of_server).or_else(|| of_words(&reply));
    let provider_code = provider.and_then(|provider| code(provider, &reply));
    Reply { provider, provider_code, ..reply }
}

/// Returns the provider of the server with this name.
fn of_server(name: &str) -> Option<Provider> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'.', name.as_bytes()).map(|at| at + 1));
    starts.map(|start| &name[start..]).find_map(|labels| {
        let row = SERVERS.binary_search_by(|(suffix, _)| compare(suffix, labels)).ok()?;
        Some(SERVERS[row].1)
    })
}

/// Compares a text in lower case with one in any case.
fn compare(lower: &str, any: &str) -> Ordering {
    lower.bytes().cmp(any.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn of_words(reply: &Reply<'_>) -> Option<Provider> {
    let text = Folded::new(reply.text, reply.code);
    let row = TABLE.least(text.spaced(), u16::MAX, |_, _| true)?;
    Some(WORDS[usize::from(row)].1)
}

/// Returns the provider's own code in a reply, as the provider prints it.
fn code<'a>(provider: Provider, reply: &Reply<'a>) -> Option<&'a str> {
    let text = reply.text;
    match provider {
        Provider::Google => reply.dsn.map(|dsn| dsn.code()),
        Provider::Microsoft => microsoft(text).or_else(|| reply.dsn.map(|dsn| dsn.code())),
        // `[TSS04]`, `[CS01]`
        Provider::Yahoo | Provider::Apple => within(text, b'[', b']', |code| {
            (3..=8).contains(&code.len()) && code.starts_with(|c: char| c.is_ascii_uppercase()) && is_upper(code)
        }),
        // `(NOWL)`, at the end
        Provider::TOnline => {
            let (_, code) = text.trim_end().strip_suffix(')')?.rsplit_once('(')?;
            ((2..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
        }
        // `https://postmaster.gmx.net/en/case?c=hi&i=ip`
        Provider::Gmx | Provider::Ionos => {
            ["?c=", "&c="].iter().find_map(|key| leading(after(text, key)?, |byte| byte.is_ascii_alphanumeric()))
        }
        // `OFR_506`, also in lower case; `OFR204_416`, `LPN007_510`
        Provider::Orange => underscored(text, "OFR").or_else(|| underscored(text, "ofr")),
        Provider::Laposte => underscored(text, "LPN"),
        // `DT:SPM`, at the beginning
        Provider::Netease => {
            let code = text.get(..6).filter(|code| code.as_bytes()[2] == b':')?;
            let letters = code.bytes().filter(u8::is_ascii_uppercase).count();
            (letters == 5).then_some(code)
        }
        // `https://community.mimecast.com/docs/DOC-1369#550`
        Provider::Mimecast => leading(after(text, "#")?, |byte| byte.is_ascii_digit())
            .filter(|code| code.len() == 3 && code.starts_with(['4', '5'])),
        // `http://postmaster.comcast.net/smtp-error-codes.php#BL000001`
        Provider::Comcast => leading(after(text, "#")?, |byte| byte.is_ascii_alphanumeric()).filter(|code| {
            matches!(code.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z', digits @ ..]
                if digits.len() == 6 && digits.iter().all(u8::is_ascii_digit))
        }),
        Provider::Spamhaus => spamhaus(text),
        _ => None,
    }
}

/// Returns a code of Microsoft: `AS(201806281)`, `(S3150)`, `(AS761)`, or `SC-001` at the beginning.
fn microsoft(text: &str) -> Option<&str> {
    let numbered = |code: &str| {
        let digits = code.strip_prefix("AS").or_else(|| code.strip_prefix('S'));
        digits.is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let called = || {
        let at = memchr::memmem::find(text.as_bytes(), b"AS(")?;
        let digits = leading(&text[at + 3..], |byte| byte.is_ascii_digit())?;
        let end = at + 3 + digits.len();
        text[end..].starts_with(')').then(|| &text[at..=end])
    };
    let begun = || {
        let code = text.get(..6)?;
        matches!(code.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z', b'-', digits @ ..] if digits.iter().all(u8::is_ascii_digit))
            .then_some(code)
    };
    called().or_else(|| within(text, b'(', b')', numbered)).or_else(begun)
}

/// Returns the first code that begins with these letters and continues with letters, digits and `_`.
fn underscored<'a>(text: &'a str, letters: &str) -> Option<&'a str> {
    let at = memchr::memmem::find(text.as_bytes(), letters.as_bytes())?;
    let code = leading(&text[at..], |byte| byte.is_ascii_alphanumeric() || byte == b'_')?;
    (code.len() > letters.len()).then_some(code)
}

/// Returns the block list named in a reply: `zen.spamhaus.org`, `https://www.spamhaus.org/pbl/query/PBL000000`.
fn spamhaus(text: &str) -> Option<&str> {
    const DOMAIN: &str = "spamhaus.org";
    const LISTS: [&str; 7] = ["zen", "sbl", "css", "xbl", "pbl", "dbl", "zrd"];
    memchr::memmem::find_iter(text.as_bytes(), DOMAIN).find_map(|at| {
        let (before, after) = (&text[..at], &text[at + DOMAIN.len()..]);
        let label = before.strip_suffix('.').and_then(|before| before.get(before.len().checked_sub(3)?..));
        let path = after.strip_prefix('/').and_then(|after| after.get(..3));
        [label, path].into_iter().flatten().find(|list| LISTS.contains(list))
    })
}

/// Returns the first text between two brackets that `fits` accepts.
fn within(text: &str, open: u8, close: u8, fits: impl Fn(&str) -> bool) -> Option<&str> {
    memchr::memchr_iter(open, text.as_bytes()).find_map(|at| {
        let inner = &text[at + 1..];
        // Codes are short, so the search for the end is short too.
        let end = inner.bytes().take(20).position(|byte| byte == close)?;
        Some(&inner[..end]).filter(|code| fits(code))
    })
}

fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let at = memchr::memmem::find(text.as_bytes(), words.as_bytes())?;
    Some(&text[at + words.len()..])
}

/// Returns the leading bytes of a text that `fits` accepts, at most 20; `None` if there are none.
fn leading(text: &str, fits: impl Fn(u8) -> bool) -> Option<&str> {
    let length = text.bytes().take(20).take_while(|byte| fits(*byte)).count();
    (length > 0).then(|| &text[..length])
}

fn is_upper(code: &str) -> bool {
    code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Dsn;
    use crate::postfix::tests::message;
    use crate::record::{Event, Postfix};

    fn of<'a>(server: &str, code: u16, dsn: &'a str, text: &'a str) -> Option<(&'static str, Option<&'a str>)> {
        let reply = Reply { code: Some(code), dsn: Dsn::parse(dsn), text, ..Reply::default() };
        let reply = noted(reply, Some(server));
        reply.provider.map(|provider| (provider.name(), reply.provider_code))
    }

    #[test]
    fn servers_are_known_by_whole_labels() {
        assert!(SERVERS.is_sorted_by_key(|(suffix, _)| suffix));
        assert_eq!(of_server("gmail-smtp-in.l.google.com"), Some(Provider::Google));
        assert_eq!(of_server("ASPMX.L.GOOGLE.COM."), Some(Provider::Google));
        assert_eq!(of_server("google.com"), Some(Provider::Google));
        for other in
            ["", ".", "com", "notgoogle.com", "google.com.example.org", "mail.example.com", "google", "é.google.comé"]
        {
            assert_eq!(of_server(other), None, "{other}");
        }
    }

    #[test]
    fn who_accepts_is_not_asked_for() {
        assert_eq!(of("mx.google.com", 250, "2.0.0", "OK - gsmtp"), None);
        assert_eq!(of("mx.example.com", 550, "", "no"), None);
        assert_eq!(of("mx.google.com", 550, "", "no"), Some(("google", None)));
    }

    #[test]
    fn each_prints_codes_in_its_own_way() {
        #[rustfmt::skip]
        let vectors = [
            ("mx.google.com", "4.7.28", "x - gsmtp", Some("4.7.28")),
            ("x.mail.protection.outlook.com", "5.4.1", "Access denied. AS(201806281) [x]", Some("AS(201806281)")),
            ("hotmail-com.olc.protection.outlook.com", "5.7.1", "on our block list (S3150).", Some("S3150")),
            ("hotmail-com.olc.protection.outlook.com", "4.7.500", "Server busy (of [192.0.2.1]) (AS761)", Some("AS761")),
            ("hotmail-com.olc.protection.outlook.com", "", "SC-001 (BAY) Unfortunately", Some("SC-001")),
            ("x.mail.protection.outlook.com", "5.7.606", "Access denied, banned sending IP", Some("5.7.606")),
            ("x.mail.protection.outlook.com", "", "SÉ-0 AS(1 (S) ()", None),
            ("mta5.am0.yahoodns.net", "4.7.0", "[TSS04] Messages", Some("TSS04")),
            ("mta5.am0.yahoodns.net", "4.7.0", "[192.0.2.1] [tss04] [TSS0000000000004]", None),
            ("mx01.mail.icloud.com", "5.7.1", "[HME1] Message rejected", Some("HME1")),
            ("mx00.t-online.de", "", "IP=192.0.2.1 (Ask) (NOWL)", Some("NOWL")),
            ("mx00.t-online.de", "", "a (b) c", None),
            ("mx00.gmx.net", "", "visit https://postmaster.gmx.net/en/case?c=hi&i=ip&v=192.0.2.1", Some("hi")),
            ("mx00.gmx.net", "", "visit https://postmaster.gmx.net/en/error-messages?ip=192.0.2.1&c=rdns", Some("rdns")),
            ("smtp-in.orange.fr", "", "Service refuse. OFR_506 [506]", Some("OFR_506")),
            ("smtp-in.orange.fr", "", "Mail rejete. ofr_506 [506]", Some("ofr_506")),
            ("smtp-in.orange.fr", "5.1.1", "Invalid recipient. OFR204_416 [416]", Some("OFR204_416")),
            ("smtp-in.orange.fr", "", "OFR", None),
            ("smtpz4.laposte.net", "5.5.0", "Service refused, please try later. LPN007_510", Some("LPN007_510")),
            ("mx1.mxge.comcast.net", "", "see http://postmaster.comcast.net/smtp-error-codes.php#BL000001", Some("BL000001")),
            ("mx1.mxge.comcast.net", "", "see http://postmaster.comcast.net/smtp-error-codes.php#BL00000", None),
            ("mx1.mxge.comcast.net", "", "see #bl000001", None),
            ("163mx01.mxmail.netease.com", "", "DT:SPM 163 mx12", Some("DT:SPM")),
            ("163mx01.mxmail.netease.com", "", "DT:éx", None),
            ("eu-smtp-inbound-1.mimecast.com", "", "x - https://community.mimecast.com/docs/DOC-1369#451 [a]", Some("451")),
            ("eu-smtp-inbound-1.mimecast.com", "", "x - https://community.mimecast.com/docs/DOC-1369#123 [a]", None),
            ("mx.example.com", "", "blocked using zen.spamhaus.org", Some("zen")),
            ("mx.example.com", "", "see https://www.spamhaus.org/pbl/query/PBL1", Some("pbl")),
            ("mx.example.com", "", "see https://www.spamhaus.org/query/ip/192.0.2.1", None),
            ("mx.docomo.ne.jp", "5.1.1", "Unknown user", None),
        ];
        for (server, dsn, text, code) in vectors {
            let found = of(server, 550, dsn, text).unwrap_or_else(|| panic!("nobody's: {server}"));
            assert_eq!(found.1, code, "{server}: {text}");
        }
    }

    /// Each row has a line in the corpus that only it decides.
    #[test]
    fn the_corpus_shows_each_row() {
        let mut servers: Vec<_> = SERVERS.to_vec();
        let mut words: Vec<_> = WORDS.to_vec();
        for line in include_str!("../../../../tests/corpus/postfix/provider.log").lines() {
            let Some(Postfix { event: Event::Delivery(delivery), .. }) = super::super::parse(&message(line)) else {
                panic!("no delivery: {line}");
            };
            let reply = delivery.reply.unwrap_or_else(|| panic!("no reply: {line}"));
            assert!(reply.provider.is_some(), "nobody's: {line}");
            let name = delivery.relay.and_then(|relay| relay.name).unwrap_or("");
            if of_server(name).is_some() {
                servers.retain(|(suffix, _)| !name.ends_with(&format!(".{suffix}")));
            } else {
                let text = Folded::new(reply.text, reply.code);
                let row = TABLE.least(text.spaced(), u16::MAX, |_, _| true).expect("a row");
                words.retain(|row_words| *row_words != WORDS[usize::from(row)]);
            }
        }
        assert_eq!((servers, words), (vec![], vec![]));
    }
}
