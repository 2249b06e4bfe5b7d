use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::*;
use crate::status::testing::{self, time};
use crate::status::{Balance, SinkState, SourceState};

/// A daemon that has everything that a snapshot can show.
fn snapshot() -> Snapshot {
    let mut snapshot = testing::snapshot();
    let counts = &mut snapshot.sources[0].counts;
    (counts.received_bytes, counts.connections) = (900, 8);
    (counts.connections_refused_per_peer, counts.proxy_errors) = (7, 6);
    snapshot
}

/// The lines of a text that hold a sample, and not a description.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn prometheus(snapshot: Snapshot) -> String {
    text(snapshot, MetricsFormat::Prometheus)
}

#[test]
fn both_formats_describe_a_metric_as_theirs_demands() {
    let snapshot = snapshot();
    let part = |format, start: &str| {
        let text = text(snapshot.clone(), format);
        let lines = text.lines().skip_while(|line| !line.starts_with(start)).map(str::to_owned);
        lines.take_while(|line| line.contains(start.trim_start_matches("# HELP "))).collect::<Vec<_>>()
    };
    let start = "# HELP postrider_source_received_bytes";
    assert_eq!(
        part(MetricsFormat::Prometheus, start),
        [
            "# HELP postrider_source_received_bytes_total Size of the messages that the source has read.",
            "# TYPE postrider_source_received_bytes_total counter",
            "postrider_source_received_bytes_total{source=\"mail\",kind=\"tcp\"} 900",
        ]
    );
    assert_eq!(
        part(MetricsFormat::OpenMetrics, start),
        [
            "# HELP postrider_source_received_bytes Size of the messages that the source has read.",
            "# TYPE postrider_source_received_bytes counter",
            "# UNIT postrider_source_received_bytes bytes",
            "postrider_source_received_bytes_total{source=\"mail\",kind=\"tcp\"} 900",
        ]
    );
    let start = "# HELP postrider_build";
    assert_eq!(
        part(MetricsFormat::Prometheus, start)[1..],
        ["# TYPE postrider_build_info gauge", "postrider_build_info{version=\"1.2.3\",commit=\"abc\"} 1"]
    );
    assert_eq!(
        part(MetricsFormat::OpenMetrics, start)[1..],
        ["# TYPE postrider_build info", "postrider_build_info{version=\"1.2.3\",commit=\"abc\"} 1"]
    );
    // One format is the other one with another frame.
    let [open, plain] =
        [MetricsFormat::OpenMetrics, MetricsFormat::Prometheus].map(|format| text(snapshot.clone(), format));
    // The limit of a bucket is 5.0 there and 5 here.
    let sorted = |text| samples(text).into_iter().filter(|line| !line.contains("_bucket{")).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&open), sorted(&plain));
    assert_eq!(samples(&open).len(), samples(&plain).len());
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("# EOF") && !plain.contains("# UNIT"));
}

#[test]
fn the_samples_have_the_values_of_the_snapshot() {
    let text = prometheus(snapshot());
    let found: BTreeSet<_> = samples(&text).into_iter().collect();
    for expected in [
        "process_start_time_seconds 1795486174.1",
        "postrider_ready 0",
        "postrider_config_last_reload_successful 0",
        "postrider_config_last_reload_success_timestamp_seconds 1795486175.0",
        "postrider_config_loads_total{result=\"accepted\"} 2",
        "postrider_config_loads_total{result=\"refused\"} 1",
        "postrider_ledger_balanced 0",
        "postrider_ledger_received_messages_total 9",
        "postrider_ledger_dropped_messages_total{reason=\"denied\"} 2",
        "postrider_ledger_delivered_records_total 1",
        "postrider_ledger_dropped_records_total{reason=\"rejected\"} 0",
        "postrider_unparsed_messages_total 5",
        "postrider_created_records_total 6",
        "postrider_correlation_open_messages 11",
        "postrider_correlation_limit_messages 12",
        "postrider_correlation_memory_bytes 13",
        "postrider_correlation_memory_limit_bytes 14",
        "postrider_correlation_systems 15",
        "postrider_correlation_evicted_messages_total 16",
        "postrider_correlation_checkpoint_timestamp_seconds 1795486230.5",
        "postrider_correlation_checkpoint_failing 1",
        "postrider_source_ready{source=\"mail\",kind=\"tcp\"} 0",
        "postrider_source_received_messages_total{source=\"mail\",kind=\"tcp\"} 9",
        "postrider_source_dropped_messages_total{source=\"mail\",kind=\"tcp\",reason=\"denied\"} 2",
        "postrider_source_dropped_messages_total{source=\"mail\",kind=\"tcp\",reason=\"lost\"} 0",
        "postrider_source_waiting_messages{source=\"mail\",kind=\"tcp\"} 3",
        "postrider_source_connections_opened_total{source=\"mail\",kind=\"tcp\"} 8",
        "postrider_source_connections_closed_total{source=\"mail\",kind=\"tcp\",reason=\"refused_per_peer\"} 7",
        "postrider_source_connections_closed_total{source=\"mail\",kind=\"tcp\",reason=\"proxy_error\"} 6",
        "postrider_sink_ready{sink=\"archive\",kind=\"file\"} 0",
        "postrider_sink_offered_records_total{sink=\"archive\",kind=\"file\"} 4",
        "postrider_sink_delivered_records_total{sink=\"archive\",kind=\"file\"} 1",
        "postrider_sink_in_flight_records{sink=\"archive\",kind=\"file\"} 3",
        "postrider_sink_unaccounted_records{sink=\"archive\",kind=\"file\"} 0",
        "postrider_sink_queue_bytes{sink=\"archive\",kind=\"file\"} 10",
        "postrider_sink_queue_limit_bytes{sink=\"archive\",kind=\"file\"} 1024",
        "postrider_sink_waiting_sources{sink=\"archive\",kind=\"file\"} 1",
        "postrider_sink_stalled{sink=\"archive\",kind=\"file\",stall=\"still\"} 1",
        "postrider_sink_stalled{sink=\"archive\",kind=\"file\",stall=\"full\"} 0",
        "postrider_sink_outage_start_timestamp_seconds{sink=\"archive\",kind=\"file\"} 1795486230.5",
        "postrider_spool_records{sink=\"archive\",kind=\"file\"} 2",
        "postrider_mail_deliveries_total{status=\"sent\",dsn_class=\"2\"} 1",
        "postrider_mail_deliveries_total{status=\"deferred\",dsn_class=\"4\"} 1",
        "postrider_mail_deliveries_total{status=\"bounced\",dsn_class=\"5\"} 0",
        "postrider_mail_delivery_failures_total{status=\"deferred\",cause=\"greylisted\"} 1",
        "postrider_mail_delivery_delay_seconds_bucket{stage=\"connection_setup\",le=\"0.5\"} 0",
        "postrider_mail_delivery_delay_seconds_bucket{stage=\"connection_setup\",le=\"5\"} 1",
        "postrider_mail_delivery_delay_seconds_bucket{stage=\"connection_setup\",le=\"+Inf\"} 1",
        "postrider_mail_delivery_delay_seconds_sum{stage=\"connection_setup\"} 1.2",
        "postrider_mail_delivery_delay_seconds_count{stage=\"transmission\"} 1",
        "postrider_mail_verdicts_total{action=\"reject\"} 1",
        "postrider_mail_sasl_failures_total{method=\"LOGIN\"} 1",
        "postrider_mail_tls_connections_total{direction=\"inbound\",protocol=\"TLSv1.3\"} 1",
        "postrider_spool_bytes{sink=\"archive\",kind=\"file\"} 4096",
        "postrider_spool_limit_bytes{sink=\"archive\",kind=\"file\"} 1073741824",
        "postrider_spool_outage_start_timestamp_seconds{sink=\"archive\",kind=\"file\"} 1795486230.5",
    ] {
        assert!(found.contains(expected), "{expected}\n{text}");
    }
    // 5.0 is what OpenMetrics demands of the limit of a bucket.
    let open = super::text(snapshot(), MetricsFormat::OpenMetrics);
    let bucket = "postrider_mail_delivery_delay_seconds_bucket{le=\"5.0\",stage=\"connection_setup\"} 1";
    assert!(samples(&open).contains(&bucket), "{open}");
}

#[test]
fn what_is_not_there_has_no_sample() {
    let mut snapshot = snapshot();
    (snapshot.correlate, snapshot.reload.last, snapshot.reload.in_use_since) = (None, None, None);
    snapshot.sources[0].state = SourceState::Leaving;
    let sink = &mut snapshot.sinks[0];
    (sink.state, sink.spool, sink.outage, sink.stall) = (SinkState::Leaving, None, None, None);
    let text = prometheus(snapshot);
    let names: BTreeSet<_> = samples(&text).into_iter().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for name in [
        "postrider_config_last_reload_successful",
        "postrider_config_last_reload_success_timestamp_seconds",
        "postrider_correlation_open_messages",
        "postrider_correlation_checkpoint_timestamp_seconds",
        "postrider_source_ready",
        "postrider_sink_ready",
        "postrider_sink_queue_bytes",
        "postrider_sink_outage_start_timestamp_seconds",
        "postrider_spool_records",
    ] {
        assert!(!names.contains(name) && text.contains(&format!("# TYPE {name} ")), "{name}: {text}");
    }
    assert!(names.contains("postrider_sink_delivered_records_total"), "{text}");
}

/// A source whose connections outlive its table in the configuration, beside its successor.
#[test]
fn parts_with_one_name_are_one_series() {
    let mut snapshot = snapshot();
    let (mut source, mut sink) = (snapshot.sources[0].clone(), snapshot.sinks[0].clone());
    (source.state, sink.state, sink.outage, sink.stall) = (SourceState::Leaving, SinkState::Leaving, None, None);
    snapshot.sources.extend([source.clone(), source.clone()]);
    source.kind = "udp";
    snapshot.sources.push(source);
    snapshot.sinks.push(sink);
    snapshot.sinks[0].outage.as_mut().unwrap().since = time("2026-11-24T02:10:31Z");
    let text = prometheus(snapshot);
    let found = samples(&text);
    let series: BTreeSet<_> = found.iter().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
    assert_eq!(series.len(), found.len(), "a series twice: {text}");
    for expected in [
        "postrider_source_received_messages_total{source=\"mail\",kind=\"tcp\"} 27",
        "postrider_source_received_messages_total{source=\"mail\",kind=\"udp\"} 9",
        "postrider_source_ready{source=\"mail\",kind=\"tcp\"} 0",
        "postrider_sink_delivered_records_total{sink=\"archive\",kind=\"file\"} 2",
        "postrider_sink_queue_bytes{sink=\"archive\",kind=\"file\"} 10",
        "postrider_sink_outage_start_timestamp_seconds{sink=\"archive\",kind=\"file\"} 1795486231.0",
    ] {
        assert!(found.contains(&expected), "{expected}\n{text}");
    }
}

#[test]
fn a_daemon_that_is_well_says_one() {
    let mut snapshot = snapshot();
    (snapshot.ledger.balance, snapshot.reload.last.as_mut().unwrap().error) = (Balance::Holds, None);
    snapshot.sources[0].state = SourceState::Running;
    snapshot.sinks[0].spool.as_mut().unwrap().outage = None;
    snapshot.sinks[0].counts.delivered += 2;
    let text = prometheus(snapshot);
    for expected in [
        "\npostrider_ready 1\n",
        "\npostrider_ledger_balanced 1\n",
        "\npostrider_config_last_reload_successful 1\n",
        "\npostrider_source_ready{source=\"mail\",kind=\"tcp\"} 1\n",
        "\npostrider_sink_ready{sink=\"archive\",kind=\"file\"} 1\n",
        "\npostrider_sink_unaccounted_records{sink=\"archive\",kind=\"file\"} 2\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn the_header_accept_chooses_the_format() {
    use MetricsFormat::{OpenMetrics, Prometheus};
    // Prometheus 2.42 and 3.
    let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
               text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
               application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
               text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, format) in [
        (&[][..], Prometheus),
        (&[""], Prometheus),
        (&["*/*"], Prometheus),
        (&["text/html"], Prometheus),
        (&["nonsense;q=x, /"], Prometheus),
        (&[old], OpenMetrics),
        (&[new], OpenMetrics),
        (&["application/openmetrics-text"], OpenMetrics),
        (&["Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8"], OpenMetrics),
        (&["application/openmetrics-text; version=0.0.1"], Prometheus),
        (&["application/openmetrics-text; version=2.0.0, */*;q=0.1"], Prometheus),
        (&["application/*"], OpenMetrics),
        (&["text/*, application/openmetrics-text;q=0.5"], Prometheus),
        (&["text/plain;q=0.4, application/openmetrics-text;q=0.41"], OpenMetrics),
        (&["text/plain, application/openmetrics-text"], Prometheus),
        (&["text/plain;q=0.1", "application/openmetrics-text;q=0.2"], OpenMetrics),
        (&["application/openmetrics-text, */*"], OpenMetrics),
        (&["application/openmetrics-text;q=0, application/*"], Prometheus),
        (&["application/openmetrics-text;q=2"], Prometheus),
        (&["*/*;q=0"], Prometheus),
    ] {
        assert_eq!(MetricsFormat::accepted(accept.iter().copied()), format, "{accept:?}");
    }
    assert_eq!(Prometheus.content_type(), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(OpenMetrics.content_type(), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

/// The rows of the page for metrics of one type.
fn rows<T: Measured>(metrics: &[Metric<T>], rows: &mut String) {
    for metric in metrics {
        let (kind, ending) = match metric.kind() {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Info => ("gauge", "_info"),
            MetricType::Histogram => ("histogram", ""),
            _ => ("gauge", ""),
        };
        let unit = metric.unit.map(Unit::as_str);
        let name = [metric.name, unit.unwrap_or_default()].join(if unit.is_some() { "_" } else { "" });
        let more = match metric.value {
            CounterBy(label, _) | GaugeBy(label, _) => vec![label],
            CounterByTwo(labels, _) => labels.to_vec(),
            Delays(_) => vec!["stage"],
            Info(labels, _) => labels.to_vec(),
            Counter(_) | Gauge(_) | Time(_) => Vec::new(),
        };
        let labels: Vec<_> = T::LABELS.iter().chain(&more).map(|label| format!("`{label}`")).collect();
        let (labels, help) = (labels.join(", "), metric.help.trim_end_matches('.'));
        writeln!(rows, "| `{name}{ending}` | {kind} | {} | {labels} | {help} |", unit.unwrap_or_default()).unwrap();
    }
}

/// `UPDATE=1` writes the table anew.
#[test]
fn the_page_lists_every_metric_as_it_is() {
    const HEAD: &str = "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
    let mut table = String::new();
    rows(daemon::METRICS, &mut table);
    rows(source::METRICS, &mut table);
    rows(sink::METRICS, &mut table);
    rows(mail::METRICS, &mut table);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(HEAD).expect("a table of metrics");
    let length = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let (documented, after) = rest.split_at(length);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, [before, HEAD, &table, after].concat()).unwrap();
    } else {
        assert_eq!(documented, table, "`UPDATE=1 cargo test -p postrider --lib -- metrics::` writes the table anew");
    }
}

#[test]
fn names_follow_the_conventions() {
    let mut table = String::new();
    rows(daemon::METRICS, &mut table);
    rows(source::METRICS, &mut table);
    rows(sink::METRICS, &mut table);
    rows(mail::METRICS, &mut table);
    let mut names = BTreeSet::new();
    for row in table.lines() {
        let [_, name, _, unit, _, meaning, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let name = name.trim_matches('`');
        assert!(name.starts_with("postrider_") || name == "process_start_time_seconds", "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && names.insert(name), "{name}");
        assert!(unit.is_empty() || name.trim_end_matches("_total").ends_with(unit), "{name}");
        assert!(meaning.starts_with(|first: char| first.is_uppercase() || first == '1'), "{name}: {meaning}");
    }
}
