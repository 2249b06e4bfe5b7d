//! The files in `config/` are what they say.

use std::path::Path;

use tempfile::TempDir;
use toml::de::{DeTable, DeValue};

use super::super::key::{Key, Presence, Type};
use super::super::schema::to_json;
use super::super::{Config, file, load, schema, sink, source, tls};
use super::{config, errors};

const EVERY_KEY: &str = include_str!("../../../config/postrider.toml");
const FILE: &str = include_str!("../../../config/file.toml");
const KAFKA: &str = include_str!("../../../config/kafka.toml");
const RSYSLOG: &str = include_str!("../../../config/rsyslog-forward.conf");

/// Takes `comment` from the lines that have TOML behind it.
fn uncomment(text: &str, comment: &str) -> String {
    let toml = |line: &str| {
        let word = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        line.starts_with('[') || (word.len() < line.len() && word.starts_with(" = "))
    };
    let uncommented = text.lines().map(|line| match line.strip_prefix(comment) {
        Some(rest) if toml(rest) => rest,
        _ => line,
    });
    uncommented.collect::<Vec<_>>().join("\n") + "\n"
}

/// With files of TLS that are there in place of those that `text` names, for as long as the directory lives.
fn with_tls_files(text: &str) -> (String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["mx1.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for name in ["cert", "client-ca", "key", "named-cert", "named-key"] {
        let pem = if name.ends_with("key") { &key } else { &certificate };
        std::fs::write(directory.path().join(name).with_extension("pem"), pem).unwrap();
    }
    (text.replace("/etc/postrider/tls", directory.path().to_str().unwrap()), directory)
}

/// Every key of every table, with the name of its table.
fn every_key() -> Vec<(String, Key)> {
    let mut all: Vec<(String, Key)> = file::TOP.iter().map(|key| (String::new(), *key)).collect();
    let mut add = |table: String, keys: &[Key]| all.extend(keys.iter().map(|key| (table.clone(), *key)));
    for kind in &source::SOURCES {
        add(format!("[[source.{}]]", kind.name), kind.keys);
    }
    for kind in &sink::SINKS {
        add(format!("[[sink.{}]]", kind.name), kind.keys);
    }
    add("[source.tcp.tls]".to_owned(), &tls::KEYS);
    add("[[source.tcp.tls.named]]".to_owned(), &tls::NAMED);
    add("[[source.udp]]".to_owned(), &source::COMMON);
    add("[[sink.stdout]]".to_owned(), &sink::COMMON);
    for key in &sink::COMMON {
        if let Type::Table(keys) = key.kind {
            add(format!("[sink.stdout.{}]", key.name), keys);
        }
    }
    all
}

/// The lines from the first such header on to the next other one; without a header, those before any.
fn section(table: &str) -> String {
    let mut inside = table.is_empty();
    let mut section = String::new();
    for line in EVERY_KEY.lines() {
        let bare = line.trim_start_matches(['#', ' ']);
        if bare.starts_with('[') {
            inside = !table.is_empty() && bare.starts_with(table);
        }
        if inside {
            section.push_str(line);
            section.push('\n');
        }
    }
    section
}

#[test]
fn as_it_stands_it_is_the_default() {
    assert_eq!(config(EVERY_KEY), Config::default_run());
}

#[test]
fn what_stands_behind_one_hash_is_the_default() {
    let (examples, _directory) = with_tls_files(&uncomment(EVERY_KEY, "## "));
    let everything = uncomment(&examples, "# ");
    assert_eq!(config(&everything), config(&examples));
    assert_eq!(config(&everything).sources.len(), 10);
    assert_eq!(config(&everything).sinks.len(), 3);
}

#[test]
fn every_key_is_shown() {
    for (table, key) in every_key() {
        let line = match key.presence {
            Presence::Default(default) => format!("\n# {} = {default}", key.name),
            Presence::Required(_) | Presence::Optional(_) => format!("\n## {} = ", key.name),
        };
        let shown = format!("\n{}", section(&table));
        let plain = format!("\n{} = ", key.name);
        let as_table =
            EVERY_KEY.contains(&format!(".{}]", key.name)) || matches!(key.kind, Type::Sources | Type::Sinks);
        assert!(shown.contains(&line) || shown.contains(&plain) || as_table, "{table} does not show {line}");
    }
}

#[test]
fn examples_and_defaults_are_valid_toml() {
    for (table, key) in every_key() {
        assert!(DeValue::parse(key.shown()).is_ok(), "{table} {}", key.name);
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
    assert!(found.contains("/etc/postrider/ca.pem") && found.ends_with("1 error; nothing was started"), "{found}");
}

#[test]
fn the_schema_takes_them_and_not_a_bad_one() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let json = |text: &str| to_json(&DeValue::Table(DeTable::parse(text).unwrap().into_inner()));
    let everything = uncomment(&uncomment(EVERY_KEY, "## "), "# ");
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
