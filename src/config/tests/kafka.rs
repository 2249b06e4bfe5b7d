//! Errors of `[[sink.kafka]]`, librdkafka's properties, and the secrets among them.

use super::super::{SinkKind, parse};
use super::errors;
use super::errors::errors_in;

#[test]
fn kafka() {
    insta::assert_snapshot!(errors_in(
        "[[sink.kafka]]\nbrokers = [\"kafka1:9092\", \"kafka2:x\", \"\", \"a,b\"]\ntopic = \"mail log\"\nkey = \"{queue}\"\n\
         [sink.kafka.options]\nacks = 1\nenable.idempotence = false\n\"message.timeout.ms\" = 300_000\nbootstrap.servers = \"x:1\"\n\
         delivery.report.only.error = true\ntransactional.id = \"a\"\nlinger.ms = 5\n\"queue.buffering.max.ms\" = 6\n\
         compression.type = \"zip\"\nbatch.size = 0\nlinger.mss = 5\ndr_cb = 1\nmax.in.flight = 9"
    ));
}

#[test]
fn kafka_options_that_do_not_go_together() {
    let kafka = |options: &str| {
        let sink = "[[source.stdin]]\n[[sink.kafka]]\nbrokers = ['a:1']\ntopic = 'mail'\n[sink.kafka.options]\n";
        errors(&format!("{sink}{options}"))
    };
    insta::assert_snapshot!(
        [
            kafka("security.protocol = 'ssl'\nssl.ca.location = '/nonexistent/ca.pem'\n"),
            kafka("security.protocol = 'ssl'\nssl.certificate.location = '/nonexistent/client.pem'\n"),
            kafka("security.protocol = 'sasl_ssl'\nsasl.username = 'a'\nsasl.password = 'hunter2'\n"),
            kafka("security.protocol = 'sasl_ssl'\nsasl.mechanism = 'PLAIN'\nsasl.username = 'a'\n"),
            errors("[[source.stdin]]\n[[sink.kafka]]\nbrokers = []\ntopic = 'mail'\n"),
        ]
        .join("\n----\n")
    );
}

#[test]
fn kafka_defaults_are_overridden_under_any_name() {
    let sink = "[[sink.kafka]]\nbrokers = ['a:1']\ntopic = 'mail-{date}'\noptions = { compression.codec = 'lz4', acks = -1 }\n";
    let config = super::config(&format!("[[source.stdin]]\n{sink}"));
    let SinkKind::Kafka(kafka) = &config.sinks[0].kind else { panic!() };
    assert_eq!(kafka.properties.get("compression.codec"), Some("lz4"));
    assert_eq!(kafka.properties.get("compression.type"), None);
    assert_eq!(kafka.properties.get("acks"), Some("-1"));
    assert_eq!(kafka.properties.get("bootstrap.servers"), Some("a:1"));
}

#[test]
fn librdkafka_has_four_batches_or_two_of_the_largest_records() {
    let buffer = |options: &str| {
        let sink = "[[source.stdin]]\n[[sink.kafka]]\nbrokers = ['a:1']\ntopic = 'mail'\n[sink.kafka.options]\n";
        let config = super::config(&format!("{sink}{options}\n"));
        let SinkKind::Kafka(kafka) = &config.sinks[0].kind else { panic!() };
        kafka.properties.get("queue.buffering.max.kbytes").map(str::to_owned)
    };
    assert_eq!(buffer("").as_deref(), Some("4096"));
    assert_eq!(buffer("batch.size = 65536").as_deref(), Some("1954"));
    assert_eq!(buffer("batch.size = 4194304").as_deref(), Some("16384"));
    assert_eq!(buffer("message.max.bytes = 8388608").as_deref(), Some("16384"));
    assert_eq!(buffer("queue.buffering.max.kbytes = 100000").as_deref(), Some("100000"));
}

#[test]
fn secrets_are_not_shown() {
    let kafka = "[[source.stdin]]\n[[sink.kafka]]\nbrokers = ['a:1']\ntopic = 'mail'\n";
    for options in [
        "options.sasl.password = ['hunter2']",
        "options.sasl.pasword = 'hunter2'",
        "options = { sasl.password = 'hunter2', sasl.mechanism = 1979-01-01 }",
        "[sink.kafka.options]\nsasl.password = \"hunt\\qhunter2\"",
        "[sink.kafka.options]\nsasl.password = hunter2",
        "[sink.kafka.options]\nsecurity.protocol = 'ssl'\nssl.key.pem = '''\nhunter2\n'''",
        "[sink.kafka.options]\nssl.key.pem = '''\nhunter2\n",
        "[sink.kafka.options.ssl.key]\npem = '''\nhunter2\n''' oops",
        "[sink.kafka.options]\nsasl.password = 'a\\u0000hunter2'\nsasl.password = 'hunter2'",
        "[sink.kafka.options]\nsasl.password =\n'hunter2'",
        "[sink.kafka.options]\nsasl.password =\nhunter2",
        "[sink.kafka.options]\nsasl.password =\nhunter2 = 1",
        "[sink.kafka.options]\nsasl.password = # it is\n\nhunter2",
        "[sink.kafka.options]\nsasl.password\n= 'hunter2'",
        "[sink.kafka.options]\nsasl.password = [\n'hunter2',\n]",
        "[sink.kafka.options]\nsasl.password = {\nhunter2 = 1\n}",
        "[sink.kafka.options]\nsasl.password = \"\nhunter2\"",
        "[sink.kafka.options]\nsasl.password: hunter2",
        "[sink.kafka.options]\nsasl.password hunter2",
        "[sink.kafka.options]\nsasl.pasword = hunter2",
        "[sink.kafka.options]\nsasl.passwd =\nhunter2",
        "[sink.kafka.options]\nssl.key.pem = \"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBghunter2\nhunter2AB==\n-----END\"",
        "[sink.kafka.options]\nssl.key.pem =\n'''\nhunter2\n'''",
        "options = { sasl.password =\n'hunter2', linger.ms = 1979- }",
        "options = { sasl.password = 'hunter2'\n, linger.ms = 1979- }",
        "[sink.kafka.options.sasl.password]\nhunter2 = 1",
        "[sink.kafka.options.sasl]\npassword =\n[hunter2]",
    ] {
        let found = errors(&format!("{kafka}{options}\n"));
        assert!(!found.contains("hunter2"), "{found}");
        let debug = format!("{:?}", parse(&format!("{kafka}{options}\n"), "x").unwrap_err());
        assert!(!debug.contains("hunter2"), "{debug}");
    }
    insta::assert_snapshot!(errors(&format!(
        "{kafka}[sink.kafka.options]\nsasl.pasword = 'hunter2'\nsasl.password = [1]"
    )));
}
