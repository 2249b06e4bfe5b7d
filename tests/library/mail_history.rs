//! Are the random histories of `testkit::mail` what they promise: repeatable, in order, and of every kind?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use fastrand::Rng;
use testkit::mail::{MailHeader, MailHistory, MailLine, MailLineKind, postfix_seconds};
use testkit::seeds;

fn texts(history: &MailHistory) -> Vec<String> {
    history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect()
}

#[test]
fn equal_seeds_give_equal_lines() {
    let lines = |seed| texts(&MailHistory::random(Rng::with_seed(seed), 50));
    let seed = seeds::seed();
    assert_eq!(lines(seed), lines(seed), "SEED={seed}");
    assert_ne!(lines(seed), lines(seed + 1), "SEED={seed}");
}

#[test]
fn a_line_has_the_header_that_rsyslog_writes() {
    let history = MailHistory::random(Rng::with_seed(1), 1);
    let line = MailLine {
        at: 1_795_489_200_000_042,
        instance: 0,
        program: "smtpd",
        pid: 42,
        body: "connect from unknown[198.51.100.1]".to_owned(),
        kind: MailLineKind::Connect,
        message: None,
        session: None,
        screening: None,
    };
    assert_eq!(
        history.text(&line, MailHeader::Rfc5424),
        "<22>1 2026-11-24T03:00:00.000042+00:00 mx1.example.com postfix/smtpd 42 - - connect from unknown[198.51.100.1]"
    );
    assert_eq!(
        history.text(&line, MailHeader::Rfc3164),
        "<22>Nov 24 03:00:00 mx1.example.com postfix/smtpd[42]: connect from unknown[198.51.100.1]"
    );
}

#[test]
fn delays_have_the_digits_that_postfix_prints() {
    // The vectors of src/util/format_tv.ref for two digits and two decimals.
    let vectors = [
        (4_999, "0"),
        (5_000, "0.01"),
        (11_000, "0.01"),
        (95_000, "0.1"),
        (115_000, "0.12"),
        (995_000, "1"),
        (1_050_000, "1.1"),
        (1_950_000, "2"),
        (9_949_999, "9.9"),
        (9_950_000, "10"),
        (10_500_000, "11"),
        (99_500_000, "100"),
        (123_456_000_000, "123456"),
        (0, "0"),
    ];
    for (micros, expected) in vectors {
        assert_eq!(postfix_seconds(micros), expected, "{micros} µs");
    }
}

#[test]
fn times_of_the_truth_are_times_of_its_lines() {
    seeds::each(100, |rng| {
        let history = MailHistory::random(rng, 60);
        assert!(history.lines.is_sorted_by_key(|line| line.at));
        for (index, message) in history.messages.iter().enumerate() {
            let lines: Vec<_> = history.lines.iter().filter(|line| line.message == Some(index)).collect();
            let [Some(first), Some(last)] = [lines.first(), lines.last()] else { panic!("no line of {message:?}") };
            assert_eq!((message.first_seen, message.last_seen), (first.at, last.at), "{message:?}");
            let is_closed = lines.iter().any(|line| line.kind == MailLineKind::Removed);
            assert_eq!(message.removed, is_closed, "{message:?}");
            let deliveries = lines.iter().filter(|line| matches!(line.kind, MailLineKind::Delivery { .. })).count();
            let attempts: usize = message.recipients.iter().map(|recipient| recipient.attempts.len()).sum();
            assert_eq!(deliveries, attempts, "{message:?}");
        }
        for (index, session) in history.sessions.iter().enumerate() {
            let time = |kind| {
                history.lines.iter().find(|one| one.session == Some(index) && one.kind == kind).map(|one| one.at)
            };
            let ends = (time(MailLineKind::Connect), time(MailLineKind::Disconnect));
            assert_eq!(ends, (Some(session.started_at), Some(session.ended_at)), "{session:?}");
        }
    });
}

#[test]
fn a_queue_id_and_a_process_have_one_use_at_a_time() {
    let mut came_back = 0;
    seeds::each(100, |rng| {
        let history = MailHistory::random(rng, 100);
        let messages = history.messages.iter();
        let lives = messages.map(|one| ((one.instance, one.queue_id.clone()), (one.first_seen, one.last_seen)));
        came_back += repeated_apart(lives);
        let sessions = history.sessions.iter();
        let uses = sessions.map(|one| ((one.instance, one.service, one.pid), (one.started_at, one.ended_at)));
        assert!(seeds::is_single() || repeated_apart(uses) > 0, "no process had a second session");
    });
    assert!(seeds::is_single() || came_back > 0, "no queue id came back");
}

/// Asserts that the times of each key are apart. Returns the number of times after the first of their key.
fn repeated_apart<K: Ord + Debug>(uses: impl Iterator<Item = (K, (i64, i64))>) -> usize {
    let mut times: BTreeMap<K, Vec<(i64, i64)>> = BTreeMap::new();
    for (key, time) in uses {
        times.entry(key).or_default().push(time);
    }
    for (key, times) in &mut times {
        times.sort_unstable();
        assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].0), "{key:?} has two uses at a time: {times:?}");
    }
    times.values().map(|times| times.len() - 1).sum()
}

/// Cases of a thousand histories: values of the truth and events of lines, after the word for their kind.
#[rustfmt::skip]
const FATES: &[&str] = &[
    "end Open", "end Held", "end Done", "end Deleted", "end Canceled", "end Rejected", "end Discarded", "end Requeued",
    "result sent", "result partial", "result bounced", "result expired", "result rejected", "result discarded",
    "result deleted", "result held", "result unknown",
    "origin Smtp", "origin Pickup", "origin Bounce", "origin Delay", "origin Success", "origin Forward",
    "origin Requeue",
    "smtp sent", "smtp deferred", "smtp bounced", "lmtp sent", "lmtp deferred", "lmtp bounced", "local sent",
    "local deferred", "local bounced", "virtual sent", "virtual deferred", "virtual bounced", "pipe sent",
    "pipe deferred", "pipe bounced", "error deferred", "error bounced", "discard sent",
    "smtpd restriction reject", "smtpd restriction hold", "smtpd restriction discard", "cleanup milter reject",
    "cleanup milter hold", "cleanup milter discard", "cleanup header_check reject", "cleanup header_check hold",
    "cleanup header_check discard", "cleanup header_check warn",
    "from another host", "from this host", "many recipients", "one address behind two", "reused connection",
    "session quit", "session connection_lost", "session timeout", "session too_many_errors",
    "line connect", "line disconnect", "line connection_lost", "line client", "line verdict", "line tls",
    "line postscreen", "line dnsbl", "pass_old", "pass_new", "allowlisted", "pregreet", "dnsbl", "hangup",
    "postscreen unknown", "postscreen connection_lost", "postscreen with TLS", "line sasl_failure", "line hostname_mismatch", "line pickup", "line message_id", "line queue_active",
    "line delivery", "line attempt_failed", "line notification", "line expired", "line removed", "line queue_admin",
];

#[test]
fn a_thousand_histories_have_every_kind_of_fate() {
    let mut seen = BTreeSet::new();
    seeds::each(1000, |rng| note_fates(&MailHistory::random(rng, 40), &mut seen));
    let missing: Vec<_> = FATES.iter().filter(|fate| !seen.contains(**fate)).collect();
    assert!(seeds::is_single() || missing.is_empty(), "no history has {missing:?}");
}

fn note_fates(history: &MailHistory, seen: &mut BTreeSet<String>) {
    for message in &history.messages {
        seen.insert(format!("end {:?}", message.end));
        seen.insert(format!("result {}", message.result().name()));
        seen.insert(format!("origin {:?}", message.origin));
        for attempt in message.recipients.iter().flat_map(|recipient| &recipient.attempts) {
            seen.insert(format!("{} {}", attempt.daemon, attempt.status.name()));
            seen.extend(attempt.conn_use.map(|_| "reused connection".to_owned()));
        }
        for verdict in &message.verdicts {
            seen.insert(format!("{} {} {}", verdict.daemon, verdict.by, verdict.action));
        }
        let host = |message: usize| &history.instances[history.messages[message].instance].hostname;
        let is_moved = |parent| *host(parent) != history.instances[message.instance].hostname;
        let moved = message.parent.map(|parent| if is_moved(parent) { "from another host" } else { "from this host" });
        seen.extend(moved.map(str::to_owned));
        let addresses: BTreeSet<_> = message.recipients.iter().map(|recipient| &recipient.to).collect();
        seen.extend((addresses.len() < message.recipients.len()).then(|| "one address behind two".to_owned()));
        seen.extend((message.recipients.len() > 10).then(|| "many recipients".to_owned()));
    }
    seen.extend(history.screenings.iter().flat_map(|one| &one.tests).map(|test| (*test).to_owned()));
    seen.extend(history.screenings.iter().filter_map(|one| one.ended_by).map(|end| format!("postscreen {end}")));
    let encrypted = history.screenings.iter().filter(|one| one.tls.is_some());
    seen.extend(encrypted.map(|_| "postscreen with TLS".to_owned()));
    seen.extend(history.sessions.iter().map(|session| format!("session {}", session.ended_by.name())));
    seen.extend(history.lines.iter().map(|line| format!("line {}", line.kind.event())));
}
