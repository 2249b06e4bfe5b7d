use super::testing::{LINES, counted};
use super::*;

/// The counts that are not zero.
fn found<W>(counts: impl Iterator<Item = (W, u64)>) -> Vec<(W, u64)> {
    counts.filter(|(_, count)| *count > 0).collect()
}

fn delivered(status: &str, dsn: &str, delays: &str) -> String {
    format!(
        "postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, delay=1, delays={delays}, {dsn}status={status} (x)"
    )
}

#[test]
fn each_line_counts_where_it_belongs() {
    let counts = counted(&LINES);
    assert_eq!(found(counts.deliveries()), [(["sent", "2"], 1), (["deferred", "4"], 1)]);
    assert_eq!(found(counts.failures()), [(["deferred", "greylisted"], 1)]);
    assert_eq!(found(counts.verdicts()), [("reject", 1)]);
    assert_eq!(found(counts.sasl_failures()), [("LOGIN", 1)]);
    assert_eq!(found(counts.tls_connections()), [(["inbound", "TLSv1.3"], 1)]);
    let lines = ["postfix/smtpd[1]: connect from mail.example.net[192.0.2.10]", "sshd[1]: Failed password"];
    assert_eq!(counted(&lines), MailTotals::default().now());
}

/// The words are those of the lists, whatever a line says: else each read of a log could make new series.
#[test]
fn unknown_words_count_as_other() {
    let counts = counted(&[
        &delivered("sent", "", "1/0/0/0"),
        &delivered("bounced", "dsn=5.1.1, ", "1/0/0/0"),
        "postfix/smtpd[1]: warning: a[192.0.2.1]: SASL X-Evil-1 authentication failed: no mechanism available",
        "postfix/smtpd[1]: warning: a[192.0.2.1]: SASL plain authentication failed: x",
        "postfix/smtp[1]: Trusted TLS connection established to a[192.0.2.1]:25: TLSv9.9 with cipher X (1/1 bits)",
    ]);
    assert_eq!(found(counts.deliveries()), [(["sent", "none"], 1), (["bounced", "5"], 1)]);
    assert_eq!(found(counts.sasl_failures()), [("PLAIN", 1), ("other", 1)]);
    assert_eq!(found(counts.tls_connections()), [(["outbound", "other"], 1)]);
    assert_eq!((place(&METHODS, "x"), place(&Verdict::ACTIONS, "strip")), (METHODS.len(), 16));
}

#[test]
fn retries_do_not_count_among_the_delays() {
    let mut lines = vec![delivered("deferred", "dsn=4.4.1, ", "100000/0/30/0"); 9];
    lines.push(delivered("sent", "dsn=2.0.0, ", "0/0.01/0.011/30"));
    lines.push(delivered("bounced", "dsn=5.1.1, ", "432000/0.05/500000/99999999999999999999"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let counts = counted(&lines);
    let delays = counts.delays().map(|delays| (delays.stage, delays.count(), found(delays.buckets.into_iter())));
    let expected = [
        ("before_queue_manager", vec![(Some(10), 1), (Some(432_000_000), 1)]),
        ("in_queue_manager", vec![(Some(10), 1), (Some(50), 1)]),
        ("connection_setup", vec![(Some(50), 1), (None, 1)]),
        ("transmission", vec![(Some(30_000), 1), (None, 1)]),
    ];
    assert_eq!(delays, expected.map(|(stage, buckets)| (stage, 2, buckets)));
    let sums = counts.delays().map(|delays| delays.sum);
    assert_eq!(sums[..3], [432_000_000, 60, 500_000_011]);
    assert_eq!(sums[3], u64::MAX, "the largest number");
}

#[test]
fn causes_stand_in_the_order_of_their_list() {
    for (place, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, place, "{}", cause.name());
    }
}

#[test]
fn totals_are_the_sum_of_all_reads() {
    let totals = MailTotals::default();
    let mut tally = MailTally::default();
    totals.add(&tally);
    assert_eq!(totals.now(), counted(&[]));
    tally.add(VERDICTS);
    tally.add(VERDICTS);
    tally.sums[1] = 7;
    totals.add(&tally);
    totals.add(&tally);
    assert_eq!(found(totals.now().verdicts()), [("accept", 4)]);
    assert_eq!(totals.now().delays()[1].sum, 14);
}
