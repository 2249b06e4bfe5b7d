//! Does `/metrics` have the counts of the ledger, in the format that the scraper asks for, and only for those who may
//! know them? Does it stay bounded over reloads?

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use testkit::http::{HttpAnswer, ask, get, get_unix};
use testkit::postrider::{Postrider, assert_clean};
use testkit::wait::{wait_for, wait_until};

use crate::admin::{Place, STDOUT, TCP, send, wait_listening};

const DEADLINE: Duration = Duration::from_secs(60);
const HELLO: &str = "Nov 24 02:10:35 mx1 test: hello";
/// A line that no reader of smtpd understands.
const UNPARSED: &str = "Nov 24 02:10:35 mx1 postfix/smtpd[7]: lorem ipsum dolor sit amet";
const SINCE: &str = "postrider_config_last_reload_success_timestamp_seconds";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The value of each series.
type Series = BTreeMap<String, f64>;

fn series(text: &str) -> Series {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut series = Series::new();
    for (name, value) in samples.map(|line| line.rsplit_once(' ').expect("a series and its value")) {
        let value = value.parse().unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        assert!(series.insert(name.to_owned(), value).is_none(), "{name} twice");
    }
    series
}

fn scrape(place: &Place) -> Series {
    let answer = get(place.address(), "/metrics");
    assert_eq!((answer.status, answer.header("content-type")), (200, PLAIN));
    series(&answer.body)
}

/// The counts of a part of the ledger, under the names of the metrics.
fn counts(part: &str, counts: &Value, names: &[(&str, &str)], dropped: &str) -> Series {
    let count = |name: &str| counts[name].as_f64().unwrap_or_else(|| panic!("no {name}: {counts}"));
    let mut series: Series = names.iter().map(|(name, metric)| (format!("{metric}{{{part}}}"), count(name))).collect();
    let fields = counts.as_object().expect("counts").keys();
    for reason in fields.filter_map(|field| field.strip_prefix("dropped_")) {
        let name = format!("{dropped}{{{part},reason=\"{reason}\"}}");
        series.insert(name.replace("{,", "{"), count(&format!("dropped_{reason}")));
    }
    series.into_iter().map(|(name, count)| (name.replace("{}", ""), count)).collect()
}

/// Samples that `/metrics` must have of a ledger.
fn expected(ledger: &Value) -> Series {
    let all = &ledger["ledger"];
    let received = [("received", "postrider_ledger_received_messages_total")];
    let delivered = [("delivered", "postrider_ledger_delivered_records_total")];
    let mut expected = counts("", &all["sources"], &received, "postrider_ledger_dropped_messages_total");
    expected.extend(counts("", &all["sinks"], &delivered, "postrider_ledger_dropped_records_total"));
    expected.extend(counts(
        r#"source="tcp",kind="tcp""#,
        &ledger["sources"][0]["counts"],
        &[
            ("received", "postrider_source_received_messages_total"),
            ("received_bytes", "postrider_source_received_bytes_total"),
            ("truncated", "postrider_source_truncated_messages_total"),
            ("waiting", "postrider_source_waiting_messages"),
            ("connections", "postrider_source_connections_opened_total"),
            ("errors", "postrider_source_errors_total"),
            ("kernel_drops", "postrider_source_kernel_dropped_datagrams_total"),
        ],
        "postrider_source_dropped_messages_total",
    ));
    expected.extend(counts(
        r#"sink="stdout",kind="stdout""#,
        &ledger["sinks"][0]["counts"],
        &[
            ("offered", "postrider_sink_offered_records_total"),
            ("filtered", "postrider_sink_filtered_records_total"),
            ("delivered", "postrider_sink_delivered_records_total"),
            ("delivered_bytes", "postrider_sink_delivered_bytes_total"),
            ("in_flight", "postrider_sink_in_flight_records"),
            ("retries", "postrider_sink_retries_total"),
            ("recovered", "postrider_spool_recovered_records_total"),
        ],
        "postrider_sink_dropped_records_total",
    ));
    let number = |name: &str| all[name].as_f64().expect("a number");
    expected.insert("postrider_unparsed_messages_total".into(), number("unparsed"));
    expected.insert("postrider_created_records_total".into(), number("created"));
    expected.insert("postrider_ledger_balanced".into(), f64::from(u8::from(all["balanced"] == true)));
    expected
}

#[test]
fn a_scrape_agrees_with_the_ledger() {
    let place = Place::new();
    let mut postrider = place.start(&[TCP, STDOUT].concat());
    let address = postrider.address("tcp");
    send(address, &[&[HELLO; 98][..], &[UNPARSED]].concat());
    // A sender that speaks TLS: what it begins with is dropped.
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03").expect("room");
    postrider.wait_delivered("stdout", 99, DEADLINE);
    postrider.status().wait(DEADLINE, "a drop", |status| status.source("tcp").count("dropped") == 1);
    let found = scrape(&place);
    let expected = expected(&get(place.address(), "/ledger").json());
    for (name, value) in &expected {
        assert_eq!(found.get(name), Some(value), "{name}: {found:#?}");
    }
    for (name, value) in [
        (r#"postrider_source_received_messages_total{source="tcp",kind="tcp"}"#, 100.0),
        (r#"postrider_source_dropped_messages_total{source="tcp",kind="tcp",reason="unexpected_tls"}"#, 1.0),
        (r#"postrider_sink_delivered_records_total{sink="stdout",kind="stdout"}"#, 99.0),
        (r#"postrider_sink_unaccounted_records{sink="stdout",kind="stdout"}"#, 0.0),
        ("postrider_unparsed_messages_total", 1.0),
        ("postrider_ledger_balanced", 1.0),
        ("postrider_ready", 1.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    let status = postrider.status().now();
    for (name, field) in [("process_start_time_seconds", "/program/started_at"), (SINCE, "/reload/in_use_since")] {
        let time: Timestamp = status.get(field).as_str().expect("a time").parse().expect("a time");
        assert!((found[name] - time.as_duration().as_secs_f64()).abs() < 1e-5, "{name}: {} {time}", found[name]);
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

fn with(place: &Place, method: &str, headers: &str) -> HttpAnswer {
    ask(place.address(), &format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
}

#[test]
fn the_scraper_chooses_the_format() {
    let place = Place::new();
    let _postrider = place.start(&[TCP, STDOUT].concat());
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    for (headers, content_type) in [
        ("", PLAIN),
        ("Accept: */*\r\n", PLAIN),
        ("Accept: image/png\r\n", PLAIN),
        ("Accept: \u{ff} nonsense;;q=\r\n", PLAIN),
        ("Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text;q=0.2\r\n", OPEN),
        (prometheus, OPEN),
    ] {
        let answer = with(&place, "GET", headers);
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{headers}");
        assert_eq!(answer.body.ends_with("\n# EOF\n"), content_type == OPEN, "{headers}");
        let head = with(&place, "HEAD", headers);
        assert_eq!((head.status, head.header("content-type"), head.body.as_str()), (200, content_type, ""));
        assert_ne!(head.header("content-length"), "0");
        // Both formats have the same series, but for the text of the limits of buckets.
        let plain = scrape(&place);
        let series = series(&answer.body.replace("# EOF\n", ""));
        assert_eq!(series.len(), plain.len(), "{headers}");
        assert!(
            series.keys().filter(|name| !name.contains("_bucket{")).all(|name| plain.contains_key(name)),
            "{headers}"
        );
    }
    assert_eq!(get_unix(&place.socket(), "/metrics").header("content-type"), PLAIN);
    assert_eq!(with(&place, "POST", "").status, 405);
}

#[test]
fn the_metrics_have_the_guard_of_all_paths() {
    let place = Place::new();
    fs::write(place.path("token"), "f81d4fae7dec11d0a76500a0c91e6bf6\n").expect("a file");
    let token = format!("token_file = \"{}\"\n", place.path("token").display());
    let mut postrider = Postrider::spawn(&[&place.table(), &token, TCP, STDOUT].concat());
    wait_listening(&mut postrider);
    assert_eq!(with(&place, "GET", "").status, 401);
    let bearer = "Authorization: Bearer f81d4fae7dec11d0a76500a0c91e6bf6\r\n";
    let answer = with(&place, "GET", bearer);
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.header("cache-control")),
        (200, PLAIN, "no-store")
    );
    assert_eq!(with(&place, "GET", &format!("{bearer}Origin: http://evil.example\r\n")).status, 403);
    let other = format!("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n{bearer}\r\n");
    assert_eq!(ask(place.address(), &other).status, 421);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn reloads_leave_no_series_and_no_sum_becomes_smaller() {
    const ROUNDS: u32 = 10;
    let place = Place::new();
    let parts = |round: u32| {
        let (source, sink) = (format!("{TCP}name = \"in{round}\"\n"), format!("{STDOUT}name = \"out{round}\"\n"));
        [place.table(), source, sink].concat()
    };
    let mut postrider = Postrider::spawn(&parts(0));
    let mut before = Series::new();
    let mut first = None;
    for round in 0..ROUNDS {
        if round > 0 {
            postrider.reload(&parts(round));
        }
        send(postrider.address(&format!("in{round}")), &[HELLO; 7]);
        let delivered = format!("postrider_sink_delivered_records_total{{sink=\"out{round}\",kind=\"stdout\"}}");
        let labels = ["source=\"in", "sink=\"out"];
        let is_old = |name: &str| {
            labels.iter().any(|label| name.contains(label) && !name.contains(&format!("{label}{round}\"")))
        };
        let now = wait_for(DEADLINE, "the records of the new sink alone", || {
            let now = scrape(&place);
            (now.get(&delivered) == Some(&7.0) && !now.keys().any(|name| is_old(name))).then_some(now)
        });
        let is_sum = |name: &str| name.contains("_total") && !labels.iter().any(|label| name.contains(label));
        for (name, value) in now.iter().filter(|(name, _)| is_sum(name)) {
            assert!(before.get(name).is_none_or(|old| old <= value), "{name} {value}");
        }
        let messages = f64::from(7 * (round + 1));
        assert_eq!(now["postrider_ledger_received_messages_total"], messages);
        assert_eq!(now["postrider_config_loads_total{result=\"accepted\"}"], f64::from(round + 1));
        assert_eq!(*first.get_or_insert(now.len()), now.len(), "series");
        before = now;
    }
    wait_until(DEADLINE, "all records", || {
        scrape(&place)["postrider_ledger_delivered_records_total"] == f64::from(7 * ROUNDS)
    });
    postrider.reload("[[source.tcp]]\nnonsense = 1\n");
    wait_until(DEADLINE, "a refused configuration", || {
        let now = scrape(&place);
        now["postrider_config_last_reload_successful"] == 0.0
            && now["postrider_config_loads_total{result=\"refused\"}"] == 1.0
            && now[SINCE] == before[SINCE]
    });
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Lines of a message that is deferred once, and of what clients do.
const MAIL: [&str; 5] = [
    "Nov 24 02:10:35 mx1 postfix/smtp[10]: 4FCA1803C5: to=<bob@example.com>, relay=mx.example.com[192.0.2.25]:25, \
     delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=4.7.1, status=deferred (host mx.example.com[192.0.2.25] said: 450 4.7.1 \
     <bob@example.com>: Greylisted (in reply to RCPT TO))",
    "Nov 24 02:20:37 mx1 postfix/smtp[12]: 4FCA1803C5: to=<bob@example.com>, relay=mx.example.com[192.0.2.25]:25, \
     delay=603, delays=602/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 77F3B)",
    "Nov 24 02:20:38 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from mail.example.net[192.0.2.10]: 554 5.7.1 \
     <a@example.com>: Relay access denied; from=<b@example.net> to=<a@example.com> proto=ESMTP helo=<mail.example.net>",
    "Nov 24 02:20:39 mx1 postfix/smtpd[1]: warning: mail.example.net[192.0.2.10]: SASL LOGIN authentication failed: \
     UGFzc3dvcmQ6",
    "Nov 24 02:20:40 mx1 postfix/smtp[1]: Trusted TLS connection established to mx.example.com[192.0.2.25]:25: TLSv1.2 \
     with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)",
];

#[test]
fn the_mail_is_counted_over_all_pipelines() {
    let place = Place::new();
    let joined = [TCP, STDOUT, "[correlate]\ncheckpoint = \"none\"\n"].concat();
    let apart = [TCP, STDOUT, "[correlate]\nenabled = false\n"].concat();
    let mut postrider = place.start(&joined);
    let address = postrider.address("tcp");
    for (round, total) in [(&apart, 1.0), (&joined, 2.0), (&apart, 3.0)] {
        send(address, &MAIL.repeat(10));
        let last = r#"postrider_mail_tls_connections_total{direction="outbound",protocol="TLSv1.2"}"#;
        let now = wait_for(DEADLINE, "all lines", || Some(scrape(&place)).filter(|now| now[last] == total * 10.0));
        assert_eq!(now["postrider_unparsed_messages_total"], 0.0);
        for (series, count) in [
            (r#"deliveries_total{status="sent",dsn_class="2"}"#, 1.0),
            (r#"deliveries_total{status="deferred",dsn_class="4"}"#, 1.0),
            (r#"deliveries_total{status="bounced",dsn_class="5"}"#, 0.0),
            (r#"delivery_failures_total{status="deferred",cause="greylisted"}"#, 1.0),
            (r#"delivery_delay_seconds_bucket{stage="before_queue_manager",le="300"}"#, 0.0),
            (r#"delivery_delay_seconds_bucket{stage="before_queue_manager",le="900"}"#, 1.0),
            (r#"delivery_delay_seconds_bucket{stage="transmission",le="+Inf"}"#, 1.0),
            (r#"delivery_delay_seconds_count{stage="connection_setup"}"#, 1.0),
            (r#"delivery_delay_seconds_sum{stage="before_queue_manager"}"#, 602.0),
            (r#"verdicts_total{action="reject"}"#, 1.0),
            (r#"sasl_failures_total{method="LOGIN"}"#, 1.0),
            (r#"tls_connections_total{direction="outbound",protocol="TLSv1.2"}"#, 1.0),
        ] {
            let name = format!("postrider_mail_{series}");
            assert_eq!(now.get(&name), Some(&(count * total * 10.0)), "{name}");
        }
        postrider.reload(&[&place.table(), round.as_str()].concat());
        let loads = "postrider_config_loads_total{result=\"accepted\"}";
        wait_until(DEADLINE, "a reload", || scrape(&place)[loads] == total + 1.0);
    }
    assert_clean(&postrider.terminate(DEADLINE));
}
