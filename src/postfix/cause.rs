//! Why a delivery, or an attempt at a server, failed, as one word: [`Cause`].
//!
//! [`ROWS`] decides, from top to bottom, and the first row that fits counts. Its order follows from how much each sign
//! means: words are specific, an enhanced status code is often only near, a reply code covers half a dozen reasons. So
//! rows on words come first, then those on enhanced codes, then those on reply codes. Among the words, Postfix's own come
//! before a server's, and narrow ones before wide ones: `User unknown` before `blocked`.
//!
//! To add one, add a row here and a line that only it decides at the same place in `tests/corpus/postfix/cause.log`.
//!
//! Destinations that the queue manager has given up for now are [`Cause::Suspended`], whatever failed before: no attempt
//! was made for this message, and what failed for an earlier one stands in that one's record, and in this one's reason.
//!
//! # Limits
//!
//! Words are English. Only the first 2048 bytes are searched, which is more than Postfix logs. Addresses in `<>` are not
//! searched, for they hold anything.

use super::dsn;
use crate::record::{self, Cause, Delivery};
use On::{Code, Coded, Dsn, Either, Own, Permanent, Reply, ReplyIs};

/// Where a row finds what it looks for. Words are in lower case.
#[derive(Debug, PartialEq)]
enum On {
    /// Postfix's own words begin with the first and hold the second.
    Own(&'static str, &'static str),
    /// A server's words hold it.
    Reply(&'static str),
    /// A server's words are it.
    ReplyIs(&'static str),
    /// A server's words hold it, and its code begins with 5.
    Permanent(&'static str),
    /// A server's words hold it, and its enhanced status code has this subject and detail.
    Coded(u16, u16, &'static str),
    /// Anybody's words hold it: those of a local agent or its command may be either.
    Either(&'static str),
    /// The server's enhanced status code has this subject and detail, else Postfix's.
    Dsn(u16, u16),
    /// The server's reply code.
    Code(u16),
}

#[rustfmt::skip]
const ROWS: &[(On, Cause)] = &[
    (Own("delivery temporarily suspended", ""), Cause::Suspended),

    // smtp_connect.c, smtp_trouble.c
    (Own("connect to ", ": connection refused"), Cause::ConnectionRefused),
    (Own("connect to ", " timed out"), Cause::ConnectionTimedOut),
    (Own("connect to ", ": no route to host"), Cause::NetworkUnreachable),
    (Own("connect to ", ": network is unreachable"), Cause::NetworkUnreachable),
    (Own("connect to ", ": network is down"), Cause::NetworkUnreachable),
    (Own("connect to ", ": host is down"), Cause::NetworkUnreachable),
    (Own("connect to ", ": connection reset"), Cause::ConnectionLost),
    (Own("connect to ", ": server dropped connection"), Cause::ConnectionLost),
    // The socket of a local server: it is not running, or not set up.
    (Own("connect to ", ": no such file or directory"), Cause::TransportUnavailable),
    (Own("connect to ", ": permission denied"), Cause::TransportUnavailable),
    (Own("lost connection with ", ""), Cause::ConnectionLost),
    (Own("conversation with ", " timed out"), Cause::ConversationTimedOut),

    // smtp_addr.c, dns_lookup.c. "Try again" is how a resolver reports that nobody answered.
    (Own("", "host not found, try again"), Cause::DnsError),
    (Own("", ": host not found"), Cause::HostNotFound),
    (Own("", ": host found but no data record"), Cause::HostNotFound),
    (Own("unable to look up host ", "not known"), Cause::HostNotFound),
    (Own("unable to look up host ", "no address associated"), Cause::HostNotFound),
    (Own("unable to look up host ", ""), Cause::DnsError),
    (Own("", "name service error for "), Cause::DnsError),
    (Own("unable to find primary relay for ", ""), Cause::DnsError),
    (Own("tlsa lookup error", ""), Cause::DnsError),
    (Own("domain ", "does not accept mail (nullmx)"), Cause::NullMx),
    (Own("mail for ", " loops back to myself"), Cause::MailLoop),

    // smtp_proto.c, smtp_tls_policy.c, smtp_sasl_glue.c
    (Own("message size ", " exceeds size limit"), Cause::MessageTooLarge),
    (Own("", "server certificate not "), Cause::TlsUntrusted),
    (Own("", "certificate verification failed"), Cause::TlsUntrusted),
    (Own("tls is required", ""), Cause::TlsRequired),
    (Own("sender requested requiretls", ""), Cause::TlsRequired),
    (Own("cannot start tls", ""), Cause::TlsRequired),
    (Own("sasl ", ""), Cause::SaslFailed),

    // qmgr_deliver.c, qmgr_error.c; local, virtual, pipe, cleanup
    (Own("mail transport unavailable", ""), Cause::TransportUnavailable),
    (Own("unknown mail transport error", ""), Cause::TransportUnavailable),
    (Own("deferred transport", ""), Cause::TransportUnavailable),
    (Own("unknown user", ""), Cause::UserUnknown),
    (Own("mail forwarding loop", ""), Cause::MailLoop),
    (Own("alias database loop", ""), Cause::MailLoop),
    (Own("too many hops", ""), Cause::MailLoop),
    (Own("", "message file too big"), Cause::MessageTooLarge),
    (Own("", "disk quota exceeded"), Cause::MailboxFull),
    (Own("", "file too large"), Cause::MailboxFull),

    // Postgrey, SQLgrey, milter-greylist, Rspamd, Exim
    (Either("greylist"), Cause::Greylisted),
    (Either("graylist"), Cause::Greylisted),
    (Either("grey list"), Cause::Greylisted),
    (ReplyIs("try again later"), Cause::Greylisted),

    // Before "too many": hops are no rate.
    (Reply("too many hops"), Cause::MailLoop),
    (Reply("hop count exceeded"), Cause::MailLoop),
    (Reply("mail loop"), Cause::MailLoop),
    (Reply("routing loop"), Cause::MailLoop),
    (Reply("loop detected"), Cause::MailLoop),
    (Reply("loops back"), Cause::MailLoop),

    // Gmail, Outlook, Yahoo, Postfix, Exim
    (Reply("rate limit"), Cause::RateLimited),
    (Reply("ratelimit"), Cause::RateLimited),
    (Reply("unusual rate"), Cause::RateLimited),
    (Reply("receiving mail at a rate"), Cause::RateLimited),
    (Reply("receiving mail too quickly"), Cause::RateLimited),
    (Reply("sending rate"), Cause::RateLimited),
    (Reply("throttl"), Cause::RateLimited),
    (Reply("try again later, closing connection"), Cause::RateLimited),
    (Reply("server busy"), Cause::RateLimited),
    (Reply("unexpected volume"), Cause::RateLimited),
    (Reply("too many messages"), Cause::RateLimited),
    (Reply("too many connections"), Cause::RateLimited),
    (Reply("too many concurrent"), Cause::RateLimited),
    (Reply("too many recipients"), Cause::RateLimited),
    (Reply("too much mail"), Cause::RateLimited),
    (Reply("connection limit"), Cause::RateLimited),
    (Reply("hourly limit"), Cause::RateLimited),
    (Reply("daily limit"), Cause::RateLimited),

    // Dovecot, Gmail, Outlook, Exim, qmail
    (Either("quota exceeded"), Cause::MailboxFull),
    (Either("over quota"), Cause::MailboxFull),
    (Either("overquota"), Cause::MailboxFull),
    (Either("storage quota"), Cause::MailboxFull),
    (Either("exceeded quota"), Cause::MailboxFull),
    (Either("exceeded storage"), Cause::MailboxFull),
    (Either("exceeded its storage"), Cause::MailboxFull),
    (Either("out of storage"), Cause::MailboxFull),
    (Either("mailbox full"), Cause::MailboxFull),
    (Either("mailbox is full"), Cause::MailboxFull),
    (Either("mailbox for user is full"), Cause::MailboxFull),

    (Either("message too large"), Cause::MessageTooLarge),
    (Either("message too big"), Cause::MessageTooLarge),
    (Either("size limit"), Cause::MessageTooLarge),
    (Either("message size exceeds"), Cause::MessageTooLarge),
    (Either("exceeds maximum"), Cause::MessageTooLarge),

    // Postfix, Gmail, Outlook, Yahoo, Exim, qmail and vpopmail
    (Either("user unknown"), Cause::UserUnknown),
    (Reply("unknown user"), Cause::UserUnknown),
    (Either("recipient unknown"), Cause::UserUnknown),
    (Either("unknown recipient"), Cause::UserUnknown),
    (Reply("unknown local part"), Cause::UserUnknown),
    (Either("user not found"), Cause::UserUnknown),
    (Either("recipient not found"), Cause::UserUnknown),
    (Reply("recipientnotfound"), Cause::UserUnknown),
    (Either("mailbox not found"), Cause::UserUnknown),
    (Either("no such user"), Cause::UserUnknown),
    (Either("no such recipient"), Cause::UserUnknown),
    (Either("no such mailbox"), Cause::UserUnknown),
    (Reply("no mailbox here by that name"), Cause::UserUnknown),
    (Reply("invalid recipient"), Cause::UserUnknown),
    (Reply("invalid mailbox"), Cause::UserUnknown),
    (Reply("user doesn't exist"), Cause::UserUnknown),
    (Reply("user doesn't have a"), Cause::UserUnknown),
    (Reply("tried to reach does not exist"), Cause::UserUnknown),
    (Reply("user does not exist"), Cause::UserUnknown),
    (Reply("mailbox does not exist"), Cause::UserUnknown),
    (Reply("undeliverable address"), Cause::UserUnknown),
    (Reply("unrouteable address"), Cause::UserUnknown),
    (Reply("unroutable address"), Cause::UserUnknown),
    // RFC 5321, section 4.2.3: of 450 this is a mailbox that is busy.
    (Permanent("mailbox unavailable"), Cause::UserUnknown),
    // How Exchange Online refuses a recipient that its directory lacks; other servers mean a policy.
    (Coded(4, 1, "access denied"), Cause::UserUnknown),

    (Reply("null mx"), Cause::NullMx),
    (Reply("nullmx"), Cause::NullMx),

    (Reply("issue a starttls"), Cause::TlsRequired),
    (Reply("starttls is required"), Cause::TlsRequired),
    (Reply("tls required"), Cause::TlsRequired),
    (Reply("tls is required"), Cause::TlsRequired),
    (Reply("encryption required"), Cause::TlsRequired),
    (Reply("authentication required"), Cause::SaslFailed),

    // What Postfix says to a client before it hangs up.
    (Reply("timeout exceeded"), Cause::ConversationTimedOut),

    // Wide words: any of the above may stand beside them. Amavis, Rspamd, Gmail, Outlook, Yahoo, block lists
    (Reply("spam"), Cause::SpamOrPolicy),
    (Reply("blocked"), Cause::SpamOrPolicy),
    (Reply("block list"), Cause::SpamOrPolicy),
    (Reply("blocklist"), Cause::SpamOrPolicy),
    (Reply("blacklist"), Cause::SpamOrPolicy),
    (Reply("denylist"), Cause::SpamOrPolicy),
    (Reply("unsolicited"), Cause::SpamOrPolicy),
    (Reply("reputation"), Cause::SpamOrPolicy),
    (Reply("policy"), Cause::SpamOrPolicy),
    (Reply("policies"), Cause::SpamOrPolicy),
    (Reply("dmarc"), Cause::SpamOrPolicy),
    (Reply("dkim"), Cause::SpamOrPolicy),
    (Reply("spf "), Cause::SpamOrPolicy),
    (Reply("virus"), Cause::SpamOrPolicy),
    (Reply("malware"), Cause::SpamOrPolicy),
    (Reply("infected"), Cause::SpamOrPolicy),
    (Reply("banned"), Cause::SpamOrPolicy),
    (Reply("content rejected"), Cause::SpamOrPolicy),
    (Reply("access denied"), Cause::SpamOrPolicy),
    (Reply("relaying denied"), Cause::SpamOrPolicy),
    (Reply("list of allowed rcpthosts"), Cause::SpamOrPolicy),
    (Reply("client host rejected"), Cause::SpamOrPolicy),
    (Reply("helo command rejected"), Cause::SpamOrPolicy),
    (Reply("reverse dns"), Cause::SpamOrPolicy),
    (Reply("ptr record"), Cause::SpamOrPolicy),
    (Reply("ptr resource record"), Cause::SpamOrPolicy),
    (Reply("address is not verified"), Cause::SpamOrPolicy),

    (Dsn(1, 1), Cause::UserUnknown),
    (Dsn(1, 2), Cause::HostNotFound),
    (Dsn(1, 6), Cause::UserUnknown),
    (Dsn(1, 10), Cause::NullMx),
    (Dsn(2, 2), Cause::MailboxFull),
    (Dsn(2, 3), Cause::MessageTooLarge),
    (Dsn(3, 4), Cause::MessageTooLarge),
    (Dsn(4, 2), Cause::ConnectionLost),
    (Dsn(4, 6), Cause::MailLoop),
    (Dsn(7, 1), Cause::SpamOrPolicy),
    (Dsn(7, 7), Cause::SpamOrPolicy),
    (Dsn(7, 8), Cause::SaslFailed),
    (Dsn(7, 9), Cause::SaslFailed),
    (Dsn(7, 10), Cause::TlsRequired),
    (Dsn(7, 20), Cause::SpamOrPolicy),
    (Dsn(7, 21), Cause::SpamOrPolicy),
    (Dsn(7, 22), Cause::SpamOrPolicy),
    (Dsn(7, 23), Cause::SpamOrPolicy),
    (Dsn(7, 24), Cause::SpamOrPolicy),
    (Dsn(7, 25), Cause::SpamOrPolicy),
    (Dsn(7, 26), Cause::SpamOrPolicy),
    (Dsn(7, 28), Cause::RateLimited),
    (Dsn(7, 29), Cause::SpamOrPolicy),
    (Dsn(7, 30), Cause::TlsRequired),

    (Code(530), Cause::SaslFailed),
    (Code(534), Cause::SaslFailed),
    (Code(535), Cause::SaslFailed),
    (Code(521), Cause::NullMx),
    (Code(551), Cause::UserUnknown),
    (Code(552), Cause::MailboxFull),
    (Code(556), Cause::NullMx),
];

/// The cause of a delivery that failed; `own` are the words of the reason that are not the server's reply.
pub(super) fn find(delivery: &Delivery<'_>, own: &str) -> Option<Cause> {
    let successful = delivery.dsn.is_some_and(|dsn| dsn.class() == dsn::Class::Success);
    if successful || matches!(delivery.status, "sent" | "deliverable") {
        return None;
    }
    // A copy: as nothing points into the delivery, the compiler builds it in the record and moves it nowhere.
    let reply = delivery.reply;
    row(reply.as_ref(), delivery.dsn, own).map(|at| ROWS[at].1)
}

/// The cause of an attempt that failed; `own` are the words that are not the server's reply.
pub(super) fn of_attempt(reply: Option<&record::Reply<'_>>, own: &str) -> Option<Cause> {
    row(reply, None, own).map(|at| ROWS[at].1)
}

/// Which row decides; `dsn` is Postfix's own enhanced status code.
fn row(reply: Option<&record::Reply<'_>>, dsn: Option<dsn::Dsn<'_>>, own: &str) -> Option<usize> {
    let own = &Folded::new(own);
    let text = &Folded::new(reply.map_or("", |reply| reply.text));
    let code = reply.and_then(|reply| reply.code);
    let dsn = reply.and_then(|reply| reply.dsn).or(dsn).map(|dsn| (dsn.subject(), dsn.detail()));
    ROWS.iter().position(|(on, _)| match *on {
        Own(begin, words) => own.text().starts_with(begin.as_bytes()) && own.holds(words),
        Reply(words) => text.holds(words),
        ReplyIs(words) => text.text() == words.as_bytes(),
        Permanent(words) => code.is_some_and(|code| code >= 500) && text.holds(words),
        Either(words) => text.holds(words) || own.holds(words),
        Coded(subject, detail, words) => dsn == Some((subject, detail)) && text.holds(words),
        Dsn(subject, detail) => dsn == Some((subject, detail)),
        Code(number) => code == Some(number),
    })
}

/// The start of a text in lower case and without what stands in `<>`, so that many rows can search it fast.
struct Folded {
    bytes: [u8; 2048],
    length: usize,
}

impl Folded {
    fn new(text: &str) -> Self {
        let mut folded = Self { bytes: [0; 2048], length: 0 };
        let mut bracket = None;
        for &byte in text.as_bytes().iter().take(folded.bytes.len()) {
            match byte {
                b'<' => bracket = Some(folded.length),
                // What holds a space is no address but a comparison.
                b' ' => bracket = None,
                b'>' => folded.length = bracket.take().unwrap_or(folded.length),
                _ => {}
            }
            folded.bytes[folded.length] = byte.to_ascii_lowercase();
            folded.length += 1;
        }
        folded
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn holds(&self, words: &str) -> bool {
        words.is_empty() || memchr::memmem::find(self.text(), words.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::tests::message;
    use crate::record::{Event, Postfix};

    /// Each row has its line in the corpus, and decides it: a row that an earlier one hides fails here.
    #[test]
    fn each_row_decides_its_line() {
        let corpus = include_str!("../../tests/corpus/postfix/cause.log");
        let mut lines = corpus.lines();
        for (at, (on, cause)) in ROWS.iter().enumerate() {
            let line = lines.next().unwrap_or_else(|| panic!("no line for {on:?}"));
            let Some(Postfix { event: Event::Delivery(delivery), .. }) = super::super::parse(&message(line)) else {
                panic!("no delivery: {line}");
            };
            let own = delivery.reason.unwrap_or("");
            let own = &own[..delivery.reply.map_or(own.len(), |reply| own.find(reply.text).unwrap_or(0))];
            let decided = row(delivery.reply.as_ref(), delivery.dsn, own).map(|at| &ROWS[at].0);
            assert_eq!((decided, delivery.cause), (Some(&ROWS[at].0), Some(*cause)), "{line}");
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn words_come_before_codes() {
        let rank = |on: &On| match on {
            Dsn(..) => 1,
            Code(_) => 2,
            _ => 0,
        };
        assert!(ROWS.is_sorted_by_key(|(on, _)| rank(on)));
        // Only smtpd has clients that make errors.
        for cause in Cause::ALL.into_iter().filter(|cause| *cause != Cause::TooManyErrors) {
            assert!(ROWS.iter().any(|(_, other)| *other == cause), "{cause:?} has no row");
        }
    }

    #[test]
    fn words_are_in_lower_case() {
        for (on, _) in ROWS {
            let (Own(_, words) | Reply(words) | ReplyIs(words) | Permanent(words) | Coded(_, _, words) | Either(words)) =
                on
            else {
                continue;
            };
            assert_eq!(words.to_ascii_lowercase(), *words);
            if let Own(begin, _) = on {
                assert_eq!(begin.to_ascii_lowercase(), *begin);
            }
        }
    }

    #[test]
    fn folding_drops_addresses() {
        let fold = |text: &str| String::from_utf8_lossy(Folded::new(text).text()).into_owned();
        assert_eq!(fold("<Spam.Trap@example.com>: User Unknown"), ">: user unknown");
        assert_eq!(fold("a < b and c > d"), "a < b and c > d");
        assert_eq!(fold("<a<b>c>"), "<a>c>");
        assert_eq!(fold("<open"), "<open");
        assert_eq!(Folded::new(&"x".repeat(5000)).text().len(), 2048);
    }

    #[test]
    fn attempts_have_the_causes_of_deliveries() {
        let greylisted = record::Reply { code: Some(450), text: "Greylisted", ..record::Reply::default() };
        assert_eq!(of_attempt(Some(&greylisted), "host mx[192.0.2.1] said: "), Some(Cause::Greylisted));
        assert_eq!(of_attempt(None, "connect to mx[192.0.2.1]:25: Connection refused"), Some(Cause::ConnectionRefused));
        assert_eq!(of_attempt(None, "local data error while talking to mx[192.0.2.1]"), None);
    }

    #[test]
    fn fitting_none() {
        let failed = Delivery { status: "deferred", ..Delivery::default() };
        assert_eq!(find(&failed, "address resolver failure"), None);
        assert_eq!(find(&Delivery { status: "sent", ..failed.clone() }, "user unknown"), None);
        assert_eq!(find(&Delivery { status: "undeliverable", ..failed }, "User unknown"), Some(Cause::UserUnknown));
    }
}
