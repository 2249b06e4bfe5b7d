//! The readers of connections and of what guards them: smtp, TLS, postscreen, dnsblog, tlsproxy, anvil, scache, verify.

use proptest::prelude::*;

use super::{Message, assert_linear, message, parse};
use crate::postfix::{Line, anvil, cache, dnsblog, postscreen, scache, smtp, tls, tlsproxy};
use crate::record::{Event, Level, Postfix};

/// Lines of each program as Postfix writes them.
const CORPORA: [&str; 8] = [
    include_str!("../../../../../tests/corpus/postfix/smtp.log"),
    include_str!("../../../../../tests/corpus/postfix/tls.log"),
    include_str!("../../../../../tests/corpus/postfix/postscreen.log"),
    include_str!("../../../../../tests/corpus/postfix/dnsblog.log"),
    include_str!("../../../../../tests/corpus/postfix/tlsproxy.log"),
    include_str!("../../../../../tests/corpus/postfix/anvil.log"),
    include_str!("../../../../../tests/corpus/postfix/scache.log"),
    include_str!("../../../../../tests/corpus/postfix/verify.log"),
];

/// The programs whose readers are tried.
const PROGRAMS: [&str; 12] = [
    "postfix",
    "postfix/smtp",
    "postfix/lmtp",
    "postfix/smtpd",
    "postfix/postscreen",
    "postfix/tlsproxy",
    "postfix/posttls-finger",
    "postfix/dnsblog",
    "postfix/anvil",
    "postfix/scache",
    "postfix/verify",
    "postfix/qmgr",
];

fn corpus() -> impl Iterator<Item = &'static str> {
    CORPORA.into_iter().flat_map(str::lines)
}

fn read<'a>(app_name: &'a str, msg: &'a str) -> Postfix<'a> {
    parse(&Message { app_name: Some(app_name), msg, ..Message::default() }).expect("a tag of Postfix")
}

#[test]
fn no_line_of_the_corpora_is_unknown() {
    let mut lines = 0;
    for line in corpus() {
        let postfix = parse(&message(line)).unwrap_or_else(|| panic!("not Postfix's: {line}"));
        assert!(!matches!(postfix.event, Event::Other(_)), "{line}");
        lines += 1;
    }
    assert!(lines >= 130, "only {lines} lines");
}

#[test]
fn a_lost_program_changes_no_event() {
    for line in corpus() {
        let known = message(line);
        let lost = Message { app_name: Some("postfix"), ..known.clone() };
        let [known, lost] = [&known, &lost].map(|message| parse(message).map(|postfix| postfix.event));
        assert_eq!(known, lost, "{line}");
    }
}

#[test]
fn a_warning_is_no_notice() {
    let readers = [
        postscreen::READER,
        dnsblog::READER,
        tlsproxy::READER,
        tls::READER,
        smtp::READER,
        anvil::READER,
        scache::READER,
        cache::READER,
    ];
    for line in corpus() {
        let msg = message(line).msg;
        let text = msg.strip_prefix("warning: ").unwrap_or(msg);
        let warning = Line { level: Some(Level::Warning), has_queue_id: false, text };
        for reader in &readers {
            let event = (reader.read)(&warning);
            assert!(matches!(event, None | Some(Event::TlsError(_))), "{text}: {event:?}");
        }
    }
}

#[test]
fn strangers_forge_nothing() {
    for line in corpus() {
        let sent = message(line).msg;
        let pipelined = format!("COMMAND PIPELINING from [198.51.100.7]:4711 after EHLO: {sent}");
        let Event::Postscreen(test) = read("postfix/postscreen", &pipelined).event else { panic!("{pipelined}") };
        assert_eq!((test.test, test.stage, test.text), ("command_pipelining", Some("EHLO"), Some(sent)), "{sent}");
        // The text of clients that smtpd quotes, whether its name is lost or not.
        let quoted = format!("improper command pipelining after EHLO from client.example.org[198.51.100.7]: {sent}");
        for program in ["postfix", "postfix/smtpd"] {
            let event = read(program, &quoted).event;
            let forged = matches!(event, Event::Tls(_) | Event::TlsError(_) | Event::AttemptFailed(_));
            assert!(!forged, "{quoted}: {event:?}");
        }
    }
}

#[test]
fn time_is_linear_in_the_length() {
    let begins = [
        "",
        "connect to ",
        "connect to mx[192.0.2.1]:25: ",
        "host mx[192.0.2.1] said: ",
        "lost connection with ",
        "Trusted TLS connection established to ",
        "Trusted TLS connection established from mx[192.0.2.1] to ",
        "Trusted TLS connection established to mx[192.0.2.1]:25: TLSv1.3 with cipher A (1/1 bits)",
        "SSL_accept error from ",
        "TLSRPT: status=failure, ",
        "mx[192.0.2.1]:25: ",
        "CONNECT from [192.0.2.1]:1 to ",
        "PREGREET 1 after 1 from [192.0.2.1]:1: ",
        "COMMAND PIPELINING from [192.0.2.1]:1 after ",
        "addr 192.0.2.1 listed by domain ",
        "statistics: max connection rate 1/60s for (",
        "statistics: domain lookup ",
        "cache btree:",
    ];
    #[rustfmt::skip]
    let nasty = [
        "[", "]", "]x", "][", ":", ": ", ",", ", ", "=", " ", "/", "(", ") ", "\"", "é", "0", "::1:", " server-", " client-",
        " key-exchange ", " server-digest ", " to ", " from ", " for ", " as ", " cleanup: ", "[1]:1: ", "a[",
    ];
    // 500 texts take some hundred milliseconds without optimization; quadratic time would take minutes.
    assert_linear(&nasty, 20, |text| {
        for begin in begins {
            let _ = read("postfix", &format!("{begin}{text}"));
        }
    });
}

/// A line of the corpora, damaged: parts of it and of another between pieces of text.
fn damaged() -> impl Strategy<Value = String> {
    let texts: Vec<&'static str> = corpus().map(|line| message(line).msg).collect();
    let text = proptest::sample::select(texts);
    (text.clone(), text, any::<[u16; 3]>(), "\\PC{0,8}|\\[|\\]|: |, |=| ").prop_map(|(one, two, cuts, piece)| {
        let at = |text: &str, cut: u16| text.floor_char_boundary(usize::from(cut) % (text.len() + 1));
        let [a, b, c] = [at(one, cuts[0]), at(one, cuts[1]), at(two, cuts[2])];
        format!("{}{piece}{}{}", &one[..a.min(b)], &one[a.max(b)..], if cuts[0] % 2 == 0 { &two[c..] } else { "" })
    })
}

proptest! {
    #[test]
    fn no_damaged_line_panics(text in damaged(), program in proptest::sample::select(PROGRAMS.to_vec())) {
        let _ = read(program, &text);
    }

    #[test]
    fn no_text_panics_any_reader(text in "\\PC{0,120}", program in proptest::sample::select(PROGRAMS.to_vec())) {
        let _ = read(program, &text);
    }

    #[test]
    fn what_a_client_sends_stays_its_text(text in "[ -~é]{0,99}[!-~é]", bytes: u64, port: u16, rank: i64) {
        let line = format!("PREGREET {bytes} after 0.11 from [2001:db8::7]:{port}: {text}");
        let Event::Postscreen(test) = read("postfix/postscreen", &line).event else { panic!("{line}") };
        prop_assert_eq!((test.bytes, test.text), (Some(bytes), Some(text.as_str())));
        prop_assert_eq!(test.client.and_then(|client| client.port), Some(port));
        let line = format!("DNSBL rank {rank} for [192.0.2.1]:{port}");
        let Event::Postscreen(test) = read("postfix/postscreen", &line).event else { panic!("{line}") };
        prop_assert_eq!(test.rank, Some(rank));
    }
}
