//! Tests and cache decisions of postscreen (`src/postscreen`). C is `[ADDR]:PORT`: postscreen looks up no names.
//!
//! ```text
//! CONNECT from C to C, DISCONNECT C                          postscreen.c, postscreen_misc.c
//! PASS NEW|OLD C, ALLOWLISTED|DENYLISTED C, ALLOWLIST VETO C
//! DNSBL rank N for C                                         postscreen_early.c
//! PREGREET N after T from C: TEXT
//! HANGUP after T from C in tests before|after SMTP handshake postscreen_misc.c
//! BARE NEWLINE from C after CMD                              postscreen_smtpd.c, as are all that follow
//! COMMAND TIME|COUNT|LENGTH LIMIT from C after CMD
//! COMMAND PIPELINING from C after CMD: TEXT
//! NON-SMTP COMMAND from C after CMD: TEXT
//! DATA|BDAT without valid RCPT from C
//! ```
//!
//! The tests have the names of Postfix 3.6, even if an older version or `respectful_logging = no` writes other words.
//! Texts are the client's, escaped; they come last, so that nothing in them is read as a field. Lines that begin with
//! `reject:` are verdicts.

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::decimal;
use crate::record::{Connect, Decimal, Disconnect, Endpoint, Event, Notice, Postscreen, Text};

/// Reader of the lines of postscreen.
pub(super) const READER: Reader = Reader {
    lines: &[LINES],
    verbose: Verbose {
        shapes: &[
            ("source=", " address="),
            ("flags for ", ": "),
            ("SKIP ", " ["),
            ("DROP [", "]:"),
            ("ENFORCE [", "]:"),
            ("UNFAIL [", "]:"),
            ("UNPASS [", "]:"),
        ],
        functions: &["postscreen", "psc"],
    },
    ..Reader::new(Of(&["postscreen"]), read)
};

/// Lines that postscreen alone writes. Its clients have no name.
const LINES: &[ProgramLines] = &[ProgramLines::new(
    "postscreen",
    &[
        ("CONNECT from [", " to ["),
        ("DISCONNECT [", ""),
        ("PASS NEW [", ""),
        ("PASS OLD [", ""),
        ("ALLOWLIST", "["),
        ("DENYLISTED [", ""),
        ("WHITELIST", "["),
        ("BLACKLISTED [", ""),
        ("DNSBL rank ", " for ["),
        ("PREGREET ", " from ["),
        ("HANGUP after ", " from ["),
        ("BARE NEWLINE from [", ""),
        ("COMMAND ", " from ["),
        ("NON-SMTP COMMAND from [", ""),
        ("DATA without valid RCPT from [", ""),
        ("BDAT without valid RCPT from [", ""),
        ("entering STRESS mode ", ""),
        ("leaving STRESS mode ", ""),
        ("[", ": discarding EHLO keywords: "),
        ("[", ": replacing command \""),
    ],
)];

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let text = line.text;
    let decided = || decision(text).or_else(|| early(text)).or_else(|| breach(text)).map(Event::Postscreen);
    session(text).or_else(decided).or_else(|| notice(text)).or_else(|| debug(text))
}

/// Returns the client at the start of a text, and the text after it.
fn split_client(text: &str) -> Option<(Option<Endpoint<'_>>, &str)> {
    text.starts_with('[').then(|| endpoint::split(text)).flatten()
}

/// Returns the client that is the whole of a text.
fn client(text: &str) -> Option<Endpoint<'_>> {
    split_client(text).filter(|(_, rest)| rest.is_empty()).and_then(|(client, _)| client)
}

fn session(text: &str) -> Option<Event<'_>> {
    if let Some(gone) = text.strip_prefix("DISCONNECT ") {
        return Some(Event::Disconnect(Disconnect { client: Some(client(gone)?), commands: None, notes: None }));
    }
    let (from, rest) = split_client(text.strip_prefix("CONNECT from ")?)?;
    Some(Event::Connect(Connect { client: from, local: Some(client(rest.strip_prefix(" to ")?)?), server: None }))
}

/// Decisions with only the client in the text.
const DECISIONS: &[(&str, &str)] = &[
    ("PASS NEW ", "pass_new"),
    ("PASS OLD ", "pass_old"),
    ("ALLOWLISTED ", "allowlisted"),
    ("DENYLISTED ", "denylisted"),
    ("ALLOWLIST VETO ", "allowlist_veto"),
    ("WHITELISTED ", "allowlisted"),
    ("BLACKLISTED ", "denylisted"),
    ("WHITELIST VETO ", "allowlist_veto"),
    ("DATA without valid RCPT from ", "data_without_valid_rcpt"),
    ("BDAT without valid RCPT from ", "bdat_without_valid_rcpt"),
];

fn decision(line: &str) -> Option<Postscreen<'_>> {
    let (test, rest) = strip_any(line, DECISIONS)?;
    Some(Postscreen { client: Some(client(rest)?), test, ..Postscreen::default() })
}

/// Reads the tests before the greeting, and a client that hangs up at any time.
fn early(text: &str) -> Option<Postscreen<'_>> {
    if let Some(rest) = text.strip_prefix("DNSBL rank ") {
        let (rank, rest) = rest.split_once(" for ")?;
        return Some(Postscreen {
            client: Some(client(rest)?),
            test: "dnsbl",
            rank: integer(rank),
            ..Postscreen::default()
        });
    }
    if let Some(rest) = text.strip_prefix("PREGREET ") {
        let (bytes, rest) = rest.split_once(" after ")?;
        let (after, rest) = rest.split_once(" from ")?;
        let (client, rest) = split_client(rest)?;
        return Some(Postscreen {
            client,
            test: "pregreet",
            after: Decimal::new(after),
            text: rest.strip_prefix(": ").and_then(some),
            bytes: decimal::whole(bytes),
            ..Postscreen::default()
        });
    }
    let (after, rest) = text.strip_prefix("HANGUP after ")?.split_once(" from ")?;
    let (client, rest) = split_client(rest)?;
    // Early versions do not say in which phase.
    let stage = rest.strip_prefix(" in ").and_then(some);
    Some(Postscreen { client, test: "hangup", after: Decimal::new(after), stage, ..Postscreen::default() })
}

/// Protocol violations after the greeting. The text names the command before the violation.
const BREACHES: &[(&str, &str)] = &[
    ("BARE NEWLINE from ", "bare_newline"),
    ("COMMAND TIME LIMIT from ", "command_time_limit"),
    ("COMMAND COUNT LIMIT from ", "command_count_limit"),
    ("COMMAND LENGTH LIMIT from ", "command_length_limit"),
    ("COMMAND PIPELINING from ", "command_pipelining"),
    ("NON-SMTP COMMAND from ", "non_smtp_command"),
];

fn breach(line: &str) -> Option<Postscreen<'_>> {
    let (test, rest) = strip_any(line, BREACHES)?;
    let (client, rest) = split_client(rest)?;
    // Early versions do not name the command.
    let rest = rest.strip_prefix(" after ").unwrap_or("");
    // A command holds no space.
    let (stage, sent) = rest.split_once(": ").unwrap_or((rest, ""));
    Some(Postscreen { client, test, stage: some(stage), text: some(sent), ..Postscreen::default() })
}

fn notice(text: &str) -> Option<Event<'_>> {
    let kind = if text.starts_with("entering STRESS mode with ") {
        "stress_mode_entered"
    } else if text.starts_with("leaving STRESS mode with ") {
        "stress_mode_left"
    } else if text.starts_with("using backwards-compatible default setting ") {
        "backwards_compatible_default"
    } else if text.starts_with("table ") && text.ends_with(" has changed - finishing in the background") {
        "table_changed"
    } else {
        // Bug in Postfix: there is no colon before the port.
        let (_, port) = text.strip_prefix('[')?.split_once(']')?;
        let rest = port.trim_start_matches(':').trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = rest.strip_prefix("unknown").unwrap_or(rest);
        match rest.strip_prefix(':')? {
            rest if rest.starts_with(" discarding EHLO keywords: ") => "ehlo_keywords_discarded",
            rest if rest.starts_with(" replacing command \"") => "command_replaced",
            _ => return None,
        }
    };
    Some(Event::Notice(Notice { kind, server: None, text }))
}

/// Reads the lines that `-v` adds for each change of a session's state (`postscreen.h`), and for each line sent or
/// received.
fn debug(text: &str) -> Option<Event<'_>> {
    const STATES: [&str; 9] = ["PASS ", "FAIL ", "UNPASS ", "UNFAIL ", "DROP ", "SKIP ", "ENFORCE ", "> ", "< "];
    let rest = STATES.iter().find_map(|state| text.strip_prefix(state))?;
    let at = memchr::memchr(b'[', rest.as_bytes())?;
    // The client may come after the name of a test.
    let named = rest[..at].bytes().all(|b| b.is_ascii_lowercase() || b == b' ');
    (named && split_client(&rest[at..]).is_some()).then_some(Event::Debug(Text { text }))
}

/// Returns the name of the entry at the start of a text, and the text after it.
fn strip_any<'a>(text: &'a str, entries: &[(&str, &'static str)]) -> Option<(&'static str, &'a str)> {
    entries.iter().find_map(|(begin, name)| text.strip_prefix(begin).map(|rest| (*name, rest)))
}

/// Returns a number that may be negative; [`i64::MIN`] if it is too large for a record.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let number = decimal::whole(digits)?;
    Some(i64::try_from(number).map_or(i64::MIN, |number| sign * number))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    fn line(text: &str) -> Line<'_> {
        Line { level: None, has_queue_id: false, text }
    }

    fn peer(text: &str) -> Option<Endpoint<'_>> {
        endpoint::read(text)
    }

    #[test]
    fn every_test_is_listed_once() {
        let mut tests: Vec<_> = DECISIONS.iter().chain(BREACHES).map(|(_, test)| *test).collect();
        tests.extend(["dnsbl", "pregreet", "hangup"]);
        tests.sort_unstable();
        tests.dedup();
        let mut listed = Postscreen::TESTS;
        listed.sort_unstable();
        assert_eq!(tests, listed);
    }

    #[test]
    fn sessions() {
        let four =
            Event::Connect(Connect { client: peer("[192.0.2.1]:4711"), local: peer("[192.0.2.2]:25"), server: None });
        assert_eq!(read(&line("CONNECT from [192.0.2.1]:4711 to [192.0.2.2]:25")), Some(four));
        let six = Event::Connect(Connect {
            client: peer("[2001:db8::1]:4711"),
            local: peer("[2001:db8::2]:25"),
            server: None,
        });
        assert_eq!(read(&line("CONNECT from [2001:db8::1]:4711 to [2001:db8::2]:25")), Some(six));
        let gone = Event::Disconnect(Disconnect { client: peer("[2001:db8::1]:4711"), commands: None, notes: None });
        assert_eq!(read(&line("DISCONNECT [2001:db8::1]:4711")), Some(gone));
        // tlsproxy's.
        assert_eq!(read(&line("CONNECT from [192.0.2.1]:4711")), None);
    }

    #[test]
    fn decisions() {
        let words = [
            ("PASS NEW", "pass_new"),
            ("PASS OLD", "pass_old"),
            ("ALLOWLISTED", "allowlisted"),
            ("WHITELISTED", "allowlisted"),
            ("DENYLISTED", "denylisted"),
            ("BLACKLISTED", "denylisted"),
            ("ALLOWLIST VETO", "allowlist_veto"),
            ("WHITELIST VETO", "allowlist_veto"),
            ("DATA without valid RCPT from", "data_without_valid_rcpt"),
            ("BDAT without valid RCPT from", "bdat_without_valid_rcpt"),
        ];
        for (word, test) in words {
            for (text, client) in [
                (format!("{word} [192.0.2.1]:4711"), peer("[192.0.2.1]:4711")),
                (format!("{word} [2001:db8::1]:4711"), peer("[2001:db8::1]:4711")),
            ] {
                let expected = Postscreen { client, test, ..Postscreen::default() };
                assert_eq!(read(&line(&text)), Some(Event::Postscreen(expected)), "{text}");
            }
        }
    }

    #[test]
    fn early_tests() {
        let four = Postscreen { client: peer("[192.0.2.1]:4711"), ..Postscreen::default() };
        let six = Postscreen { client: peer("[2001:db8::1]:4711"), ..Postscreen::default() };
        let pregreet = Postscreen { test: "pregreet", after: Decimal::new("0.11"), bytes: Some(14), ..four.clone() };
        let hangup = Postscreen { test: "hangup", after: Decimal::new("2.5"), ..four.clone() };
        let before = Some("tests before SMTP handshake");
        let forged = r"EHLO x\r\nDNSBL rank 9 for [203.0.113.9]:1 after 7 from [203.0.113.9]:1: x";
        let pregreet_forged = format!("PREGREET 14 after 0.11 from [192.0.2.1]:4711: {forged}");
        #[rustfmt::skip]
        let vectors = [
            ("DNSBL rank 3 for [192.0.2.1]:4711", Postscreen { test: "dnsbl", rank: Some(3), ..four.clone() }),
            ("DNSBL rank -2 for [2001:db8::1]:4711", Postscreen { test: "dnsbl", rank: Some(-2), ..six }),
            ("DNSBL rank 99999999999 for [192.0.2.1]:4711", Postscreen { test: "dnsbl", rank: Some(99_999_999_999), ..four.clone() }),
            ("DNSBL rank 9223372036854775808 for [192.0.2.1]:4711", Postscreen { test: "dnsbl", rank: Some(i64::MIN), ..four.clone() }),
            (r"PREGREET 14 after 0.11 from [192.0.2.1]:4711: EHLO ylmf-pc\r\n", Postscreen { text: Some(r"EHLO ylmf-pc\r\n"), ..pregreet.clone() }),
            (r"PREGREET 14 after 0.11 from [192.0.2.1]:4711: größe\r\n", Postscreen { text: Some(r"größe\r\n"), ..pregreet.clone() }),
            (&pregreet_forged, Postscreen { text: Some(forged), ..pregreet.clone() }),
            ("PREGREET 14 after 0.11 from [192.0.2.1]:4711: ", pregreet.clone()),
            ("PREGREET 14 after 0.11 from [192.0.2.1]:4711", pregreet),
            ("HANGUP after 2.5 from [192.0.2.1]:4711 in tests before SMTP handshake", Postscreen { stage: before, ..hangup.clone() }),
            ("HANGUP after 2.5 from [192.0.2.1]:4711 in tests after SMTP handshake", Postscreen { stage: Some("tests after SMTP handshake"), ..hangup.clone() }),
            ("HANGUP after 2.5 from [192.0.2.1]:4711", hangup.clone()),
            ("HANGUP after x from [192.0.2.1]:4711", Postscreen { after: None, ..hangup }),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&line(text)), Some(Event::Postscreen(expected)), "{text}");
        }
    }

    #[test]
    fn breaches() {
        let of = |test, stage, text| Postscreen {
            client: peer("[2001:db8::1]:4711"),
            test,
            stage,
            text,
            ..Postscreen::default()
        };
        #[rustfmt::skip]
        let vectors = [
            ("BARE NEWLINE from [2001:db8::1]:4711 after EHLO", of("bare_newline", Some("EHLO"), None)),
            ("COMMAND TIME LIMIT from [2001:db8::1]:4711 after CONNECT", of("command_time_limit", Some("CONNECT"), None)),
            ("COMMAND TIME LIMIT from [2001:db8::1]:4711", of("command_time_limit", None, None)),
            ("COMMAND COUNT LIMIT from [2001:db8::1]:4711 after NOOP", of("command_count_limit", Some("NOOP"), None)),
            ("COMMAND LENGTH LIMIT from [2001:db8::1]:4711 after MAIL", of("command_length_limit", Some("MAIL"), None)),
            (r"COMMAND PIPELINING from [2001:db8::1]:4711 after EHLO: MAIL FROM:<x@example.com>\r\n", of("command_pipelining", Some("EHLO"), Some(r"MAIL FROM:<x@example.com>\r\n"))),
            ("COMMAND PIPELINING from [2001:db8::1]:4711 after x:: y: z", of("command_pipelining", Some("x:"), Some("y: z"))),
            ("COMMAND PIPELINING from [2001:db8::1]:4711 after EHLO", of("command_pipelining", Some("EHLO"), None)),
            ("NON-SMTP COMMAND from [2001:db8::1]:4711 after CONNECT: GET / HTTP/1.1", of("non_smtp_command", Some("CONNECT"), Some("GET / HTTP/1.1"))),
            ("NON-SMTP COMMAND from [2001:db8::1]:4711 after CONNECT: Subject: x from [203.0.113.9]:1 after y", of("non_smtp_command", Some("CONNECT"), Some("Subject: x from [203.0.113.9]:1 after y"))),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&line(text)), Some(Event::Postscreen(expected)), "{text}");
        }
    }

    #[test]
    fn notices_and_debug_output() {
        #[rustfmt::skip]
        let vectors = [
            ("entering STRESS mode with 90 connections", "stress_mode_entered"),
            ("leaving STRESS mode with 70 connections", "stress_mode_left"),
            ("using backwards-compatible default setting respectful_logging=no for client [192.0.2.1]:4711", "backwards_compatible_default"),
            ("table cidr:/etc/postfix/access has changed - finishing in the background", "table_changed"),
            ("[192.0.2.1]4711: discarding EHLO keywords: CHUNKING", "ehlo_keywords_discarded"),
            ("[2001:db8::1]:4711: discarding EHLO keywords: CHUNKING", "ehlo_keywords_discarded"),
            ("[192.0.2.1]:4711: replacing command \"x\" with \"NOOP\"", "command_replaced"),
        ];
        for (text, kind) in vectors {
            assert_eq!(read(&line(text)), Some(Event::Notice(Notice { kind, server: None, text })), "{text}");
        }
        for text in [
            "PASS pregreet test [192.0.2.1]:4711",
            "FAIL [192.0.2.1]:4711",
            "UNFAIL [192.0.2.1]:4711",
            "SKIP pregreet test [2001:db8::1]:4711",
            "> [192.0.2.1]:4711: 220-mx.example.com",
            "< [192.0.2.1]:4711: EHLO [198.51.100.7]",
        ] {
            assert_eq!(read(&line(text)), Some(Event::Debug(Text { text })), "{text}");
        }
    }

    #[test]
    fn none() {
        for text in [
            "",
            "CONNECT",
            "CONNECT from mx.example.com[192.0.2.1] to [192.0.2.2]:25",
            "CONNECT from [192.0.2.1]:4711 to ",
            "DISCONNECT mx.example.com[192.0.2.1]",
            "PASS NEW mx.example.com[192.0.2.1]:4711",
            "PASS NEW [192.0.2.1]:4711 x",
            "PASS NEW [192.0.2.1",
            "DNSBL rank 3",
            "PREGREET 14 after 0.11",
            "HANGUP after 1",
            "BARE NEWLINE from ",
            "reject: RCPT from [192.0.2.1]:4711: 550 5.7.1 no; from=<>, to=<x>, proto=ESMTP, helo=<x>",
            "reject: connect from [192.0.2.1]:4711: all screening ports busy",
        ] {
            assert_eq!(read(&line(text)), None, "{text}");
        }
        let text = "PASS NEW [192.0.2.1]:4711";
        assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: false, text }), None);
    }
}
