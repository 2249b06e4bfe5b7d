//! The reason why a delivery, or an attempt at a server, failed, as one word: [`Cause`].
//!
//! The rows in `rows/` decide, from top to bottom, and the first row that fits counts. The most specific sign comes
//! first: words are specific, an enhanced status code is often inexact, and a reply code covers many reasons. Rows on
//! words therefore come first, then those on enhanced codes, then those on reply codes. Among the words, Postfix's own
//! come before a server's, and specific ones before general ones: `User unknown` before `blocked`.
//!
//! To add a row, also add a line that only this row decides at the same place in `tests/corpus/postfix/cause.log`.
//!
//! If the queue manager has suspended a destination, the cause is [`Cause::Suspended`], whatever failed before: no
//! attempt was made for this message. The failure of an earlier message is the detail.
//!
//! # Limits
//!
//! The words are those of servers in English and a dozen other languages. Only the first 2048 bytes are searched.
//! Addresses are not searched, because they can hold anything.

mod rows;
mod verdict;

use self::rows::On::{Code, Coded, Dsn, DsnOf, Either, Last, Own, Permanent, Reply, ReplyIs, Transient};
pub(super) use self::verdict::of_verdict;
use super::reply;
use super::words::{Folded, Words};
use crate::dsn;
use crate::record::{self, Cause, Delivery};

/// Beginning of a reason if the queue manager has suspended the destination (`src/qmgr/qmgr_deliver.c`).
const SUSPENDED: &str = "delivery temporarily suspended: ";

/// Beginning of a reason if no connection was made (`src/smtp/smtp_connect.c`).
const CONNECT: &str = "connect to ";

/// Returns the cause of a delivery that failed, and the underlying cause. `own` is the part of the reason that is not
/// the server's reply.
pub(super) fn find(delivery: &Delivery<'_>, own: &str) -> Option<(Cause, Option<Cause>)> {
    let successful = delivery.dsn.is_some_and(|dsn| dsn.class() == dsn::Class::Success);
    if successful || matches!(delivery.status, "sent" | "deliverable") {
        return None;
    }
    // Copies: because nothing points into the delivery, the compiler builds it in the record and never moves it.
    let (reply, dsn) = (delivery.reply, delivery.dsn);
    let cause = |own| cause(reply.as_ref(), dsn, own);
    Some(match own.strip_prefix(SUSPENDED) {
        Some(beneath) => (Cause::Suspended, Some(cause(reply::skip_via(beneath)))),
        None => (cause(own), None),
    })
}

/// Returns the cause of an attempt that failed. `own` is the part of the text that is not the server's reply.
pub(super) fn of_attempt(reply: Option<&record::Reply<'_>>, own: &str) -> Cause {
    cause(reply, None, own)
}

/// Matcher that finds the words of the rows.
static WORDS: Words<{ rows::COUNT }> = Words::new(&rows::WORDS);

/// Index of the first row that looks for no words.
const CODES: usize = {
    let mut row = 0;
    while rows::WORDS[row].is_some() {
        row += 1;
    }
    row
};

/// Returns the cause of a failure. `dsn` is Postfix's own enhanced status code, and `own` are Postfix's own words.
fn cause(reply: Option<&record::Reply<'_>>, dsn: Option<dsn::Dsn<'_>>, own: &str) -> Cause {
    row(reply, dsn, own).map_or(Cause::Other, |row| rows::ALL[row].1)
}

/// Returns the index of the row that decides; `dsn` is Postfix's own enhanced status code.
fn row(reply: Option<&record::Reply<'_>>, dsn: Option<dsn::Dsn<'_>>, own: &str) -> Option<usize> {
    let on = |row: u16| &rows::ALL[usize::from(row)].0;
    let code = reply.and_then(|reply| reply.code);
    // Postfix gives the same code to every error of connect(), so this code tells nothing.
    let dsn = dsn.filter(|_| !own.starts_with(CONNECT));
    let dsn = reply.and_then(|reply| reply.dsn).or(dsn);

    let own = Folded::new(own, None);
    let of_own = |row, at| match on(row) {
        // If the row has no words, the search is for its beginning.
        Own(begin, "") => at == 1 && own.text().starts_with(begin.as_bytes()),
        Own(begin, _) => own.text().starts_with(begin.as_bytes()),
        Either(_) => true,
        _ => false,
    };
    let mut least = WORDS.least(own.spaced(), u16::MAX, of_own);
    if let Some(reply) = reply {
        let text = Folded::new(reply.text, reply.code);
        let of_reply = |row, _| match on(row) {
            Reply(_) | Either(_) => true,
            ReplyIs(words) => text.text() == words.as_bytes(),
            Permanent(_) | Last(_) => code.is_some_and(|code| code >= 500),
            Transient(_) => code.is_some_and(|code| (400..500).contains(&code)),
            Coded(subject, detail, _) => dsn.is_some_and(|dsn| (dsn.subject(), dsn.detail()) == (*subject, *detail)),
            _ => false,
        };
        least = WORDS.least(text.spaced(), least.unwrap_or(u16::MAX), of_reply).or(least);
    }
    let least = least.map(usize::from);
    let codes = CODES..least.unwrap_or(rows::COUNT).max(CODES);
    let of_codes = |row: &usize| match &rows::ALL[*row].0 {
        Dsn(subject, detail) => dsn.is_some_and(|dsn| (dsn.subject(), dsn.detail()) == (*subject, *detail)),
        DsnOf(class, subject, details) => {
            dsn.is_some_and(|dsn| (dsn.class(), dsn.subject()) == (*class, *subject) && details.contains(&dsn.detail()))
        }
        Code(number) => code == Some(*number),
        _ => false,
    };
    codes.into_iter().find(of_codes).or(least)
}

#[cfg(test)]
mod tests {
    use super::rows::On;
    use super::*;
    use crate::postfix::tests::message;
    use crate::record::{Event, Postfix};

    /// Each row has its line in the corpus, and decides this line: a row that an earlier one hides fails here.
    #[test]
    fn each_row_decides_its_line() {
        let corpus = include_str!("../../../../../tests/corpus/postfix/cause.log");
        let mut lines = corpus.lines();
        let mut wrong = Vec::new();
        for (on, cause) in rows::ALL {
            let line = lines.next().unwrap_or_else(|| panic!("no line for {on:?}"));
            let Some(Postfix { event: Event::Delivery(delivery), .. }) = super::super::parse(&message(line)) else {
                panic!("no delivery: {line}");
            };
            let own = delivery.reason.unwrap_or("");
            let own = &own[..delivery.reply.map_or(own.len(), |reply| own.find(reply.text).unwrap_or(0))];
            let decided = row(delivery.reply.as_ref(), delivery.dsn, own).map(|at| &rows::ALL[at].0);
            if (decided, delivery.cause) != (Some(on), Some(*cause)) {
                wrong.push(format!("{on:?}, but {decided:?} decides {line}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn words_come_before_codes() {
        let rank = |on: &On| match on {
            Dsn(..) | DsnOf(..) => 1,
            Code(_) => 2,
            Last(_) => 3,
            _ => 0,
        };
        assert!(rows::ALL.is_sorted_by_key(|(on, _)| rank(on)));
    }

    #[test]
    fn each_cause_of_a_delivery_has_a_row() {
        let deliveries = Cause::ALL.into_iter().take_while(|cause| *cause != Cause::Suspended);
        for cause in deliveries {
            assert!(rows::ALL.iter().any(|(_, other)| *other == cause), "{cause:?} has no row");
        }
    }

    #[test]
    fn words_are_as_a_folded_text_has_them() {
        for (on, _) in rows::ALL {
            let begin = if let Own(begin, _) = on { begin } else { "" };
            for words in [begin, on.words().unwrap_or("")] {
                assert_eq!(words.to_ascii_lowercase(), words);
            }
            assert!(on.words().is_none_or(|words| words.len() >= 3), "{on:?} is too short");
        }
    }

    #[test]
    fn attempts_have_the_causes_of_deliveries() {
        let greylisted = record::Reply { code: Some(450), text: "Greylisted", ..record::Reply::default() };
        assert_eq!(of_attempt(Some(&greylisted), "host mx[192.0.2.1] said: "), Cause::Greylisted);
        assert_eq!(of_attempt(None, "connect to mx[192.0.2.1]:25: Connection refused"), Cause::ConnectionRefused);
        assert_eq!(of_attempt(None, "local data error while talking to mx[192.0.2.1]"), Cause::Other);
    }

    #[test]
    fn a_suspended_delivery_has_the_cause_beneath_it() {
        let failed = Delivery { status: "deferred", ..Delivery::default() };
        let suspended = |own: &str| find(&failed, own);
        let refused = "delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused";
        assert_eq!(suspended(refused), Some((Cause::Suspended, Some(Cause::ConnectionRefused))));
        assert_eq!(suspended("delivery temporarily suspended: x"), Some((Cause::Suspended, Some(Cause::Other))));
        let reply = record::Reply { code: Some(421), text: "Too many connections", ..record::Reply::default() };
        let limited = Delivery { reply: Some(reply), ..failed.clone() };
        let own = "delivery temporarily suspended: host mx[192.0.2.1] refused to talk to me: ";
        assert_eq!(find(&limited, own), Some((Cause::Suspended, Some(Cause::RateLimited))));
    }

    #[test]
    fn fitting_none() {
        let failed = Delivery { status: "deferred", ..Delivery::default() };
        assert_eq!(find(&failed, "address resolver failure"), Some((Cause::Other, None)));
        assert_eq!(find(&Delivery { status: "sent", ..failed.clone() }, "user unknown"), None);
        let timed_out = Delivery { dsn: dsn::Dsn::parse("4.4.1"), ..failed.clone() };
        assert_eq!(find(&timed_out, "connect to mx[192.0.2.1]:25: Too many open files"), Some((Cause::Other, None)));
        assert_eq!(find(&timed_out, "x"), Some((Cause::ConnectionTimedOut, None)));
        let undeliverable = Delivery { status: "undeliverable", ..failed };
        assert_eq!(find(&undeliverable, "User unknown"), Some((Cause::UserUnknown, None)));
    }
}
