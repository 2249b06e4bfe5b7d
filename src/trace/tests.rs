//! The stories of `tests/corpus/trace/`, and what must not change them.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::dsn::Language;

/// Each log, and the query for it.
const STORIES: &[(&str, &str)] = &[
    ("bounce", "4jYR9Q2wTjz18T"),
    ("greylisted", "anna@example.com"),
    ("deferred", "bob@example.com"),
    ("filter", "<CAF.report-7731@example.org>"),
    ("expired", "3F1D29A4C0"),
    ("rejected", "x@spam.example"),
    ("twice", "4FCA1803C5"),
    ("hosts", "lea@EXAMPLE.com"),
    ("damaged", "4jYX001ABCz1"),
    ("admin", "news@list.example.net"),
];

const PLAIN: Look = Look { language: Language::En, width: 80, has_colours: false, has_unicode: true };

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/trace").join(name)
}

fn trace(query: &str, told: TraceOutput) -> Trace {
    let query = TraceQuery::new(query).expect("a query");
    Trace { query, zone: TimeZone::UTC, format: Format::Auto, last: 100, told }
}

const LIMITS: TraceLimits = TraceLimits { workers: 3, last: 100, matching: 1000, memory: 1 << 20 };

/// Tells a story as on the day after the last line of the corpus.
fn tell_within(limits: TraceLimits, files: &[PathBuf], query: &str, told: TraceOutput) -> (String, TraceSummary) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let now = Timestamp::from_micros(1_795_564_800_000_000);
    let mut say = |error: &Error| errors.push(error.to_string());
    let summary = trace(query, told).tell_within(limits, now, files, &mut out, &mut say).expect("no error");
    assert_eq!(errors, Vec::<String>::new());
    (String::from_utf8(out).expect("UTF-8"), summary)
}

fn tell(files: &[PathBuf], query: &str, look: Look) -> String {
    tell_within(LIMITS, files, query, TraceOutput::Page(look)).0
}

fn records(files: &[PathBuf], query: &str) -> Vec<Value> {
    let (lines, _) = tell_within(LIMITS, files, query, TraceOutput::Records(Encoder::default()));
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The queue ids at the beginning of each story.
fn heads(text: &str) -> Vec<&str> {
    let is_head = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphanumeric()) && !line.starts_with("2026-");
    let heads = text.lines().filter(is_head).filter(|line| line.as_bytes().get(2) != Some(&b':'));
    heads.map(|line| line.split(' ').next().expect("a word")).collect()
}

/// `UPDATE=1` rewrites the expectations; review the difference.
#[test]
fn stories_are_told_as_beside_their_logs() {
    for (name, query) in STORIES {
        let files = [corpus(&format!("{name}.log"))];
        let look = |language, has_colours, has_unicode| Look { language, has_colours, has_unicode, ..PLAIN };
        let mut told = format!(
            "{}\n----\n\n{}",
            tell(&files, query, look(Language::En, false, true)),
            tell(&files, query, look(Language::Ja, false, true)),
        );
        if *name == "bounce" {
            let coloured = tell(&files, query, look(Language::En, true, false));
            told = format!("{told}\n----\n\n{}", coloured.replace('\u{1b}', "\\e"));
        }
        let path = corpus(&format!("{name}.txt"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &told).expect("a file");
        }
        let expected = fs::read_to_string(&path).expect("the expectation; UPDATE=1 writes it");
        assert_eq!(told, expected, "{name}; UPDATE=1 rewrites it");
    }
}

#[test]
fn a_message_is_found_by_all_of_its_names() {
    for (log, queries, expected) in [
        (
            "bounce",
            &["4jYR9Q2wTjz18T", "4jYR9S0zabz18V", "77F3A", "anna@example.com", "bob@example.org"][..],
            "4jYR9Q2wTjz18T",
        ),
        (
            "bounce",
            &["<20261124021034.1@example.net>", "20261124021034.1@example.net", " <ada@example.net> "],
            "4jYR9Q2wTjz18T",
        ),
        (
            "filter",
            &["sales@example.com", "sales@Example.COM", "carol@example.org", "eve@example.net"],
            "4jYMp20xRLz3k9",
        ),
        ("filter", &["4jYMp40QTwz3kB", "4jYMp40YhJz3kD", "6D2B1F"], "4jYMp20xRLz3k9"),
        ("expired", &["root@mx1.example.com", "root", "ops@down.example", "7A00B2C19D"], "3F1D29A4C0"),
        ("hosts", &["to-store@example.org", "99D0E1F2A3"], "4FCA1803C5"),
    ] {
        for query in queries {
            let text = tell(&[corpus(&format!("{log}.log"))], query, PLAIN);
            assert_eq!(heads(&text), [expected], "{query}");
        }
    }
}

#[test]
fn what_only_resembles_the_query_is_not_found() {
    for (log, query) in [
        ("bounce", "nna@example.com"),
        ("bounce", "Anna@example.com"),
        ("bounce", "anna@example.co"),
        ("bounce", "4jYR9Q2wTjz18"),
        ("bounce", "4jyr9q2wtjz18t"),
        ("bounce", "20261124021034.1@EXAMPLE.net"),
        ("bounce", "Greylisted"),
        ("rejected", "cheap-watches"),
    ] {
        let (text, summary) = tell_within(LIMITS, &[corpus(&format!("{log}.log"))], query, TraceOutput::Page(PLAIN));
        assert_eq!((text.as_str(), summary.stories), ("", 0), "{query}");
        assert!(summary.lines > 5 && summary.messages > 0, "{summary:?}");
    }
}

/// The second message with the queue id does not match, nor does the one of the other host.
#[test]
fn another_message_with_the_same_queue_id_is_not_told() {
    let text = tell(&[corpus("twice.log")], "hal@example.org", PLAIN);
    assert!(text.contains("second@example.org") && !text.contains("first@example.com"), "{text}");
    let text = tell(&[corpus("twice.log")], "gina@example.net", PLAIN);
    assert!(text.contains("first@example.com") && !text.contains("second@example.org"), "{text}");
    let text = tell(&[corpus("hosts.log")], "kim@example.org", PLAIN);
    assert!(text.contains("on-mx2@example.org") && !text.contains("to-store@example.org"), "{text}");
}

fn write(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn files_in_any_order_plain_or_compressed_tell_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, query) in STORIES {
        let log = fs::read_to_string(corpus(&format!("{name}.log"))).expect("a log");
        let expected = tell(&[corpus(&format!("{name}.log"))], query, PLAIN);
        let lines: Vec<&str> = log.split_inclusive('\n').collect();
        let time = |line: &&str| line.split(" mx").next().map(str::to_owned);
        for cut in 0..=lines.len() {
            let (old, new) = lines.split_at(cut);
            // Which of two files is the older shows by their first times.
            if old.first().map(time) == new.first().map(time) {
                continue;
            }
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            io::Write::write_all(&mut gzip, old.concat().as_bytes()).expect("room");
            let old = write(&directory, "mail.log.1.gz", &gzip.finish().expect("room"));
            let new = write(&directory, "mail.log", new.concat().as_bytes());
            assert_eq!(tell(&[new, old], query, PLAIN), expected, "{name} cut at line {cut}");
        }
    }
}

/// As `/var/log/mail.log` and `/var/log/mail.warn` have the same lines.
#[test]
fn lines_that_come_twice_are_told_once() {
    for (name, query) in STORIES {
        let file = corpus(&format!("{name}.log"));
        let once = tell(slice::from_ref(&file), query, PLAIN);
        // Refusals are counted.
        if *name != "rejected" {
            assert_eq!(tell(&[file.clone(), file], query, PLAIN), once, "{name}");
        }
    }
}

#[test]
fn no_text_of_a_stranger_reaches_the_terminal() {
    for (name, query) in STORIES {
        let text = tell(&[corpus(&format!("{name}.log"))], query, PLAIN);
        assert!(text.chars().all(|c| c == '\n' || crate::shown::is_harmless(c) && c != '\t'), "{text:?}");
    }
    let text = tell(&[corpus("damaged.log")], "olga@example.com", PLAIN);
    assert!(text.contains(r"\u{1b}[2J\u{1b}]0;owned\u{7} \u{202e}gnp.exe"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [50, 60, 80, 100, 200] {
        for (name, query) in STORIES {
            for language in [Language::En, Language::Ja] {
                let text = tell(&[corpus(&format!("{name}.log"))], query, Look { language, width, ..PLAIN });
                for line in text.lines() {
                    assert!(crate::explain::fold::width(line) <= width, "{width}: {line}");
                }
            }
        }
    }
}

#[test]
fn records_are_those_of_decode_for_the_message_and_its_lines() {
    let log = fs::read_to_string(corpus("bounce.log")).expect("a log");
    let records = records(&[corpus("bounce.log")], "4jYR9Q2wTjz18T");
    let events: Vec<_> = records.iter().map(|record| record["postfix"]["event"].as_str().expect("an event")).collect();
    let of_message = [
        "message",
        "connect",
        "client",
        "message_id",
        "queue_active",
        "disconnect",
        "delivery",
        "delivery",
        "notification",
        "queue_active",
        "delivery",
        "removed",
    ];
    let of_notice = ["message", "message_id", "queue_active", "delivery", "removed"];
    assert_eq!(events, [&of_message[..], &of_notice].concat());
    assert_eq!(records[0]["postfix"]["result"], "partial");
    assert_eq!(records[6]["postfix"]["attempt"], 1);
    assert_eq!(records[10]["postfix"]["mail"]["uid"], records[0]["postfix"]["message_uid"]);
    let mut hashes = crate::record::LineHashes::starting_at(0);
    let ids: Vec<_> = log.lines().map(|line| crate::record::NewId::Line(hashes.next(line.as_bytes(), 0))).collect();
    for record in records.iter().filter(|record| record["postfix"]["event"] != "message") {
        let text = |name: &str| record[name].as_str().expect("a text");
        let is_it = |line: &str| line.ends_with(text("message")) && line[..26] == text("timestamp")[..26];
        let place = log.lines().position(is_it);
        let time: jiff::Timestamp = record["timestamp"].as_str().expect("a time").parse().expect("a time");
        let id = ids[place.expect("a line")].of(Some(Timestamp::from_micros(time.as_microsecond())));
        assert_eq!(record["id"], id.to_string(), "{record}");
    }
}

#[test]
fn a_message_that_was_queued_again_is_told_by_its_old_id() {
    let log = "\
2026-11-24T02:00:00Z mx1 postfix/pickup[7]: 4AAAA1803C5: uid=0 from=<root@example.com>
2026-11-24T02:00:00Z mx1 postfix/cleanup[8]: 4AAAA1803C5: message-id=<again@example.com>
2026-11-24T02:00:00Z mx1 postfix/qmgr[9]: 4AAAA1803C5: from=<root@example.com>, size=500, nrcpt=1 (queue active)
2026-11-24T03:00:00Z mx1 postfix/postsuper[10]: 4AAAA1803C5: requeued
2026-11-24T03:00:01Z mx1 postfix/pickup[7]: 4BBBB1803C6: uid=0 from=<root@example.com> orig_id=4AAAA1803C5
2026-11-24T03:00:01Z mx1 postfix/cleanup[8]: 4BBBB1803C6: message-id=<again@example.com>
";
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(&directory, "mail.log", log.as_bytes());
    let text = tell(&[path], "4AAAA1803C5", PLAIN);
    assert!(text.contains("\n└─ 4BBBB1803C6  queued again  not finished\n"), "{text}");
}

/// The agent has had another connection since, about which no line of the message is.
#[test]
fn a_tls_connection_that_is_over_is_not_told() {
    let log = "\
2026-11-24T02:00:00Z mx1 postfix/smtp[7]: Trusted TLS connection established to a.example[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)
2026-11-24T02:00:01Z mx1 postfix/smtp[7]: 4AAAA1803C5: to=<a@a.example>, relay=a.example[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=4.2.0, status=deferred (host a.example[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command))
2026-11-24T03:00:00Z mx1 postfix/smtp[7]: Trusted TLS connection established to b.example[192.0.2.2]:25: TLSv1.3 with cipher X (256/256 bits)
2026-11-24T03:00:01Z mx1 postfix/smtp[7]: 4BBBB1803C6: to=<b@b.example>, relay=b.example[192.0.2.2]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)
2026-11-24T04:00:00Z mx1 postfix/smtp[7]: 4AAAA1803C5: to=<c@a.example>, relay=a.example[192.0.2.1]:25, delay=7200, delays=7199/0/0/1, dsn=2.0.0, status=sent (250 ok)
";
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(&directory, "mail.log", log.as_bytes());
    let records = records(&[path], "4AAAA1803C5");
    let events: Vec<_> = records.iter().map(|record| record["postfix"]["event"].as_str().expect("an event")).collect();
    assert_eq!(events, ["message", "tls", "delivery", "delivery"]);
    let recipients = &records[0]["postfix"]["recipients"];
    assert_eq!(recipients[0]["tls"]["protocol"], "TLSv1.3");
    assert!(recipients[1]["tls"].is_null(), "{recipients}");
}

#[test]
fn the_last_messages_are_told_if_there_are_too_many() {
    let line = |n: u32| {
        format!(
            "2026-11-24T02:{:02}:{:02}Z mx1 postfix/pickup[7]: {n:010X}: uid=0 from=<root@example.com>\n",
            n / 60,
            n % 60
        )
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(&directory, "mail.log", (0..600).map(line).collect::<String>().as_bytes());
    let limits = TraceLimits { last: 3, ..LIMITS };
    let (text, summary) = tell_within(limits, slice::from_ref(&path), "root@example.com", TraceOutput::Page(PLAIN));
    assert_eq!(heads(&text), ["0000000255", "0000000256", "0000000257"]);
    assert_eq!((summary.matching, summary.stories, summary.lines), ((600, false), 3, 600));
    let limits = TraceLimits { matching: 100, ..limits };
    let (_, summary) = tell_within(limits, slice::from_ref(&path), "root@example.com", TraceOutput::Page(PLAIN));
    assert_eq!(summary.matching, (100, true));
    let limits = TraceLimits { memory: 2000, last: 100, ..LIMITS };
    let (text, summary) = tell_within(limits, &[path], "root@example.com", TraceOutput::Page(PLAIN));
    assert!(summary.is_cut && (5..20).contains(&heads(&text).len()), "{summary:?} {text}");
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_others() {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let files = [PathBuf::from("/nowhere/mail.log"), corpus("bounce.log"), corpus("")];
    let trace = trace("4jYR9Q2wTjz18T", TraceOutput::Page(PLAIN));
    let summary = trace.tell(&files, &mut out, |error| errors.push(error.to_string())).expect("no error");
    assert_eq!((summary.stories, summary.unread), (1, 2));
    assert!(errors[0].starts_with("cannot read /nowhere/mail.log: No such file"), "{errors:?}");
    assert!(errors[1].ends_with("Is a directory (os error 21)"), "{errors:?}");
}
