//! Inference of the program of a line whose tag is stripped to `postfix`, with every line of the corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;

use super::{Event, Flags, Message, parse};
use crate::postfix::reader::{ProgramLines, ShapePlace};
use crate::postfix::{READERS, infer, unrecognised};
use crate::record::Text;
use crate::syslog::{self, Context};
use crate::time::Timestamp;

/// 2026-11-24T03:00:00Z.
const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_795_489_200_000_000);

/// Lines that another program writes in the same words: their programs, the program that is inferred, and the event.
#[rustfmt::skip]
const AMBIGUOUS: &[(&[&str], &str, &str)] = &[
    // One program under several names.
    (&["defer", "trace"], "bounce", "notification"),
    (&["nqmgr"], "qmgr", "queue_active"),
    (&["oqmgr"], "qmgr", "removed"),
    (&["lmtp"], "smtp", "attempt_failed"),
    (&["lmtp", "posttls-finger"], "smtp", "tls"),
    (&["lmtp"], "smtp", "verdict"),
    (&["lmtp"], "smtp", "delivery"),
    // `relay=none`: nearly only `error` writes it, with any reason.
    (&["smtp", "lmtp", "qmgr", "cleanup", "discard", "retry"], "error", "delivery"),
    // The reason is that of the client that failed before.
    (&["qmgr"], "smtp", "delivery"),
    // qmqpd shares the lines of a session with smtpd.
    (&["qmqpd"], "smtpd", "connect"),
    (&["qmqpd"], "smtpd", "client"),
    (&["qmqpd"], "smtpd", "hostname_mismatch"),
    (&["qmqpd"], "smtpd", "disconnect"),
    (&["postsuper"], "qmgr", "removed"),
    (&["tlsproxy"], "postscreen", "disconnect"),
    // Keywords of EHLO that are discarded.
    (&["smtp"], "smtpd", "notice"),
    // The header holds a tail as cleanup writes it.
    (&["smtp"], "cleanup", "verdict"),
    // A line of qmgr in the corpus has the tag of smtp.
    (&["smtp"], "qmgr", "removed"),
];

/// Events of lines that several programs write, or that are cut before the words that tell their program.
const UNTOLD: &[&str] = &[
    "attempt_failed",
    "cache_cleanup",
    "connection_lost",
    "debug",
    "delivery",
    "disconnect",
    "hostname_mismatch",
    "notice",
    "notification_failed",
    "other",
    "protocol_error",
    "queue_active",
    "tls_error",
    "verdict",
    "warning",
];

/// Lines of other programs, as they log them.
const OTHERS: [&str; 32] = [
    "Accepted publickey for root from 192.0.2.1 port 22 ssh2: ED25519 SHA256:AAAA",
    "Failed password for invalid user admin from 192.0.2.1 port 22 ssh2",
    "Connection closed by authenticating user root 192.0.2.1 port 22 [preauth]",
    "Connection reset by 192.0.2.1 port 22 [preauth]",
    "Disconnected from user root 192.0.2.1 port 22",
    "Received disconnect from 192.0.2.1 port 22:11: disconnected by user",
    "error: kex_exchange_identification: Connection closed by remote host",
    "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
    "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
    "(CRON) info (No MTA installed, discarding output)",
    "Started Session 1 of user root.",
    "Stopping Postfix Mail Transport Agent...",
    "postfix@-.service: Deactivated successfully.",
    "Reloading.",
    "[ 1234.567890] device eth0 entered promiscuous mode",
    "TCP: request_sock_TCP: Possible SYN flooding on port 25. Sending cookies.",
    "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: (null)",
    "imap-login: Login: user=<anna@example.com>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS",
    "lmtp(anna@example.com)<1><a>: sieve: msgid=<1@example.com>: stored mail into mailbox 'INBOX'",
    "lmtp(1): Connect from local",
    "<a1b2c3>; task; rspamd_message_parse: loaded message; id: <1@example.com>",
    "(00007-01) Passed CLEAN {RelayedInbound}, [192.0.2.1]:25 <a@example.com> -> <b@example.com>, Queue-ID: 4FCA1803C5",
    "4FCA1803C5: DKIM-Signature field added (s=mail, d=example.com)",
    "4FCA1803C5: mail.example.com [192.0.2.1] not internal",
    "client @0x7f 192.0.2.1#53 (example.com): query: example.com IN MX + (192.0.2.2)",
    "resolver priming query complete",
    "Detected file rotated /var/log/mail.log",
    "[postfix] Found 192.0.2.1 - 2026-11-24 02:10:35",
    "[origin software=\"rsyslogd\" swVersion=\"8.2302.0\"] rsyslogd was HUPed",
    "pam_unix(su:session): session closed for user anna",
    "DHCPACK from 192.0.2.1 (xid=0x1)",
    "adding dns entry",
];

/// Calls `with` for each line of the corpus, with its file, number and message.
fn each_line(with: &mut dyn FnMut(&str, &str, &Message<'_>)) {
    let zone = TimeZone::UTC;
    let context = Context::new(RECEIVED_AT, &zone);
    for folder in ["field", "postfix", "syslog"] {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus")).join(folder);
        for entry in fs::read_dir(folder).expect("the corpus") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let log = fs::read(&path).expect("a log");
            for (number, line) in String::from_utf8_lossy(&log).lines().enumerate() {
                let place = format!("{}:{}", path.display(), number + 1);
                with(&place, line, &syslog::parse(line, &context));
            }
        }
    }
}

/// The program that is inferred, and the event's name.
fn inferred(message: &Message<'_>) -> (Option<String>, &'static str) {
    let lost = Message { app_name: Some("postfix"), flags: Flags::empty(), ..message.clone() };
    let postfix = parse(&lost).expect("a tag of Postfix");
    (postfix.daemon.map(str::to_owned), postfix.event.name())
}

#[test]
fn each_line_of_the_corpus_is_of_its_own_program() {
    let (mut own, mut seen) = (0, BTreeSet::new());
    each_line(&mut |place, line, message| {
        let Some(postfix) = parse(message) else { return };
        let Some(program) = postfix.daemon.filter(|_| !postfix.flags.contains(Flags::DAEMON_INFERRED)) else { return };
        match inferred(message) {
            (Some(inferred), _) if inferred == program => own += 1,
            (Some(inferred), event) => {
                let row =
                    AMBIGUOUS.iter().position(|row| row.0.contains(&program) && (row.1, row.2) == (&inferred, event));
                seen.insert(row.unwrap_or_else(|| panic!("{place}: {event} of {inferred}\n{line}")));
            }
            (None, event) => assert!(UNTOLD.contains(&event), "{place}: {event} of nobody\n{line}"),
        }
    });
    assert!(own >= 1900, "only {own} lines");
    let unseen: Vec<_> = (0..AMBIGUOUS.len()).filter(|row| !seen.contains(row)).map(|row| AMBIGUOUS[row]).collect();
    assert!(unseen.is_empty(), "no line is ambiguous as {unseen:?}");
}

#[test]
fn lines_of_other_programs_are_of_no_program() {
    let mut lines = 0;
    each_line(&mut |place, line, message| {
        // Headers that are not read stand before a tag of Postfix. Cyrus has a line that looks like one of Postfix.
        let is_ours = parse(message).is_some() || unrecognised::has_tag(message, line) || line.contains("cyrus/lmtp");
        if !is_ours {
            assert_eq!(inferred(message).0, None, "{place}: {line}");
            lines += 1;
        }
    });
    assert!(lines >= 50, "only {lines} lines");
    for msg in OTHERS {
        assert_eq!(inferred(&Message { msg, ..Message::default() }).0, None, "{msg}");
    }
}

fn declared() -> impl Iterator<Item = &'static ProgramLines> {
    READERS.iter().flat_map(|reader| reader.lines).copied().flatten()
}

#[test]
fn each_shape_is_of_the_program_that_declares_it() {
    for lines in declared() {
        for (begin, words) in lines.shapes {
            let word = if lines.place == ShapePlace::FirstSpace { "word" } else { "" };
            let text = format!("{word}{begin} {words}");
            assert_eq!(infer::daemon(&Event::Other(Text { text: &text }), &text), Some(lines.program), "{text}");
        }
    }
}

#[test]
fn no_two_programs_have_shapes_of_equal_precedence() {
    let shapes = || declared().flat_map(|lines| lines.shapes.iter().map(move |shape| (lines, *shape)));
    for (one, (begin, words)) in shapes() {
        for (other, shape) in shapes().filter(|(other, _)| other.program != one.program && other.place == one.place) {
            let is_equal = begin == shape.0 && words.len() == shape.1.len();
            assert!(!is_equal, "{begin} {words} of {} and {}", one.program, other.program);
        }
    }
}
