//! Tests that the files in `config/` are valid and match the key tables.

use std::path::Path;

use tempfile::TempDir;
use toml::de::{DeTable, DeValue};

use super::super::file::{SINKS, SOURCES, Top};
use super::super::key::{Inner, KeyRow, Keys, Rows, rows};
use super::super::schema::to_json;
use super::super::{Config, example, load, schema};
use super::{config, errors};
use crate::template::Field;

pub(super) const EVERY_KEY: &str = include_str!("../../../config/postrider.toml");
const FILE: &str = include_str!("../../../config/file.toml");
const KAFKA: &str = include_str!("../../../config/kafka.toml");
const RSYSLOG: &str = include_str!("../../../config/rsyslog-forward.conf");

/// Takes `comment` from the lines that have a key or a header directly behind it.
pub(super) fn uncomment(text: &str, comment: &str) -> String {
    let is_toml = |rest: &str| rest.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic());
    let uncommented = text.lines().map(|line| line.strip_prefix(comment).filter(|rest| is_toml(rest)).unwrap_or(line));
    uncommented.collect::<Vec<_>>().join("\n") + "\n"
}

/// The file with all examples in use. Some keys need a word that is not the default of another.
fn examples() -> (String, TempDir) {
    let needs = [
        ("#client_certificate = \"none\"", "client_certificate = \"required\""),
        ("#kind = \"datagram\"", "kind = \"stream\""),
    ];
    let text = needs.into_iter().fold(uncomment(EVERY_KEY, "##"), |text, (default, needed)| {
        assert!(text.contains(default), "{default}");
        text.replace(default, needed)
    });
    with_secret_files(&text)
}

/// Replaces the TLS and token paths in `text` by temporary files, which live as long as the directory.
fn with_secret_files(text: &str) -> (String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["mx1.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for name in ["cert", "client-ca", "key", "named-cert", "named-key"] {
        let pem = if name.ends_with("key") { &key } else { &certificate };
        std::fs::write(directory.path().join(name).with_extension("pem"), pem).unwrap();
    }
    std::fs::write(directory.path().join("admin.token"), "0123456789abcdef").unwrap();
    let path = directory.path().to_str().unwrap();
    let text = text.replace("/etc/postrider/tls", path).replace("/etc/postrider/admin", &format!("{path}/admin"));
    (text, directory)
}

/// Adds the keys of a table and of the tables within it.
fn add(keys: Rows, all: &mut Vec<KeyRow>) {
    for key in rows(keys) {
        if let Inner::Table(keys) | Inner::Tables(keys) = key.inner {
            add(keys, all);
        }
        all.push(key);
    }
}

/// Every key of every table.
fn every_key() -> Vec<KeyRow> {
    let mut all = Vec::new();
    let kinds = SOURCES.kinds.iter().map(|kind| kind.rows).chain(SINKS.kinds.iter().map(|kind| kind.rows));
    for keys in kinds.chain([Top::rows, SOURCES.common, SINKS.common]) {
        add(keys, &mut all);
    }
    all
}

#[test]
fn the_file_with_every_key_is_generated() {
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/postrider.toml");
        std::fs::write(path, example()).unwrap();
        return;
    }
    assert!(example() == EVERY_KEY, "write it anew: UPDATE=1 cargo test --lib config::");
}

#[test]
fn unchanged_it_configures_the_default_run() {
    assert_eq!(config(EVERY_KEY), Config::default_run());
}

#[test]
fn one_hash_is_before_a_default() {
    let (examples, _directory) = examples();
    let everything = uncomment(&examples, "#");
    // A default that is written must be possible.
    let mut of_defaults = config(&examples);
    of_defaults.admin.listen.as_mut().unwrap().is_required = true;
    of_defaults.admin.socket.as_mut().unwrap().is_required = true;
    assert_eq!(config(&everything), of_defaults);
    assert_eq!(config(&everything).sources.len(), SOURCES.kinds.len());
    assert_eq!(config(&everything).sinks.len(), SINKS.kinds.len());
}

#[test]
fn every_key_is_explained_in_sentences() {
    let all = every_key();
    assert!(all.len() > 80, "{}", all.len());
    for KeyRow { name, doc, .. } in all {
        assert!(doc.starts_with(|c: char| c.is_uppercase() || c == '`') && doc.ends_with('.'), "{name}: {doc}");
        assert!(!doc.contains("  "), "{name}: {doc}");
    }
}

#[test]
fn examples_and_defaults_are_valid_toml() {
    for key in every_key() {
        assert!(DeValue::parse(key.shown()).is_ok(), "{}", key.name);
    }
}

#[test]
fn the_file_names_every_placeholder() {
    for field in Field::ALL {
        assert!(EVERY_KEY.contains(&format!("`{{{}}}`", field.name())), "{}", field.name());
    }
}

#[test]
fn the_small_files_are_valid() {
    for name in ["postrider", "file", "kafka"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/{name}.toml"));
        load(&path).unwrap();
    }
    assert_eq!(config(FILE).sinks[1].select.status.as_ref().unwrap().len(), 3);
}

#[test]
fn the_tls_and_sasl_lines_are_valid() {
    // The files that it names are not there, and librdkafka looks for them.
    let text: String = uncomment(KAFKA, "#")
        .lines()
        .filter(|line| !line.contains(".location"))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = config(&text);
    let super::super::SinkKind::Kafka(kafka) = &config.sinks[0].kind else { panic!() };
    assert_eq!(kafka.properties.get("sasl.password"), Some("secret"));
    assert!(!format!("{config:?}").contains("\"secret\""));
    let found = errors(&uncomment(KAFKA, "#"));
    assert!(found.contains("/etc/postrider/ca.pem") && found.ends_with("1 error"), "{found}");
}

#[test]
fn the_schema_takes_them_and_not_a_bad_one() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let json = |text: &str| to_json(&DeValue::Table(DeTable::parse(text).unwrap().into_inner()));
    let everything = uncomment(&uncomment(EVERY_KEY, "##"), "#");
    for text in [EVERY_KEY, FILE, KAFKA, &everything, &uncomment(KAFKA, "#")] {
        if let Err(error) = validator.validate(&json(text)) {
            panic!("{error} at {}\n{text}", error.instance_path());
        }
    }
    for bad in [
        "",
        "[[source.udp]]\nlisten = \"[::]:514\"",
        &EVERY_KEY.replace("listen", "lisen"),
        &everything.replace("\"8MiB\"", "8"),
        &everything.replace("\"8MiB\"", "\"8MB\""),
        &everything.replace("\"auto\"", "\"automatic\""),
        &everything.replace("2000", "0"),
        &everything.replace("\"0640\"", "\"rw\""),
    ] {
        assert!(!validator.is_valid(&json(bad)), "{bad}");
    }
    assert!(jsonschema::meta::is_valid(&schema()));
}

#[test]
fn the_sender_is_told_what_the_receiver_needs() {
    for line in [
        "global(parser.permitSlashInProgramName=\"on\")",
        "template=\"RSYSLOG_SyslogProtocol23Format\"",
        "TCP_Framing=\"octet-counted\"",
    ] {
        assert!(RSYSLOG.lines().any(|l| l.trim() == line), "{line}");
    }
    let open = RSYSLOG.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text: String = open.collect();
    assert_eq!(text.matches('(').count(), text.matches(')').count());
}
