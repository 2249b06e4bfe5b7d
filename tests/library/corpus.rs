//! Does each line of `tests/corpus/**.log` give exactly the record in the `.jsonl` beside it?
//!
//! `UPDATE=1 cargo test --test library corpus` rewrites the records; the diff is what gets reviewed. They are as
//! `decode` prints them, received at one fixed time in the zone UTC, and without `id`, which is another each time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use postrider::dsn::{Class, Language};
use postrider::encode::{Buffer, Encoder, SCHEMA};
use postrider::frame::{Frame, Framer, Framing, Step};
use postrider::read_frame;
use postrider::record::{
    Cause, ClosedBy, Event, Flags, Level, MessageResult, MessageState, Origin, Peer, Provider, RecordIds, SessionEnd,
    Transport, Verdict,
};
use postrider::syslog::{Context, Facility, Severity};
use postrider::time::Timestamp;
use serde_json::Value;

/// 2026-11-24T03:00:00Z.
const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_795_489_200_000_000);

#[test]
fn every_line_gives_its_record() {
    let validator = strict_validator();
    let update = std::env::var_os("UPDATE").is_some();
    let mut lines = 0;
    for log in logs(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))) {
        let records = records(&fs::read(&log).expect("a log"), Language::En);
        for record in &records {
            assert_valid(&validator, record);
        }
        let expected_path = log.with_extension("jsonl");
        if update {
            fs::write(&expected_path, records.concat()).expect("the expectations are writable");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        for (n, (record, expected)) in records.iter().zip(expected.split_inclusive('\n')).enumerate() {
            assert_eq!(record, expected, "\n{}:{}", log.display(), n + 1);
        }
        assert_eq!(records.len(), expected.lines().count(), "{}", log.display());
        lines += records.len();
    }
    assert!(lines > 200, "the corpus has only {lines} lines");
}

#[test]
fn the_corpus_shows_every_cause_flag_and_class() {
    let mut seen = BTreeSet::new();
    for log in logs(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))) {
        for record in records(&fs::read(&log).expect("a log"), Language::En) {
            let record: Value = serde_json::from_str(&record).expect("JSON");
            let postfix = &record["postfix"];
            let flags = record["flags"].as_array().into_iter().flatten();
            let words = [&postfix["cause"], &postfix["dsn"]["class"], &postfix["event"], &postfix["level"]];
            seen.extend(flags.chain(words).filter_map(Value::as_str).map(str::to_owned));
        }
    }
    // A line of a file cannot be over the limit; `tests/program/bad_input.rs` has those.
    let flags = Flags::ALL.iter().map(|(_, name)| *name).filter(|name| *name != "truncated");
    let causes = Cause::ALL.iter().map(|cause| cause.name());
    let classes = [Class::Success, Class::Transient, Class::Permanent].map(Class::name);
    let events = Event::NAMES.into_iter().filter(|event| !Event::JOINED.contains(event));
    let missing: Vec<&str> =
        flags.chain(causes).chain(classes).chain(events).filter(|word| !seen.contains(*word)).collect();
    assert!(missing.is_empty(), "no line of the corpus shows {missing:?}");
}

#[test]
fn the_schema_names_exactly_what_the_code_can_write() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let words = |pointer: &str| -> Vec<String> {
        let words = schema.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer}"));
        words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let same = |pointer: &str, code: Vec<&str>| assert_eq!(words(pointer), code, "{pointer}");
    same("/properties/facility/enum", Facility::NAMES.to_vec());
    same("/properties/severity/enum", Severity::NAMES.to_vec());
    same("/properties/flags/items/enum", Flags::ALL.iter().map(|(_, name)| *name).collect());
    same("/$defs/postfix/properties/cause/enum", Cause::ALL.iter().map(|cause| cause.name()).collect());
    let providers = Provider::ALL.iter().map(|provider| provider.name()).collect();
    same("/$defs/reply/properties/provider/enum", providers);
    same("/$defs/dsn/properties/class/enum", Class::ALL.iter().map(|class| class.name()).collect());
    let levels = [Level::Warning, Level::Error, Level::Fatal, Level::Panic];
    same("/$defs/postfix/properties/level/enum", levels.iter().map(|level| level.name()).collect());
    same("/$defs/postfix/properties/event/enum", Event::NAMES.to_vec());
    same("/$defs/postfix/properties/state/enum", MessageState::NAMES.to_vec());
    same("/$defs/postfix/properties/closed_by/enum", ClosedBy::ALL.iter().map(|by| by.name()).collect());
    same("/$defs/postfix/properties/ended_by/enum", SessionEnd::ALL.iter().map(|end| end.name()).collect());
    let results = MessageResult::ALL.map(MessageResult::name).join(", ");
    let result = schema["$defs"]["postfix"]["properties"]["result"]["description"].as_str().expect("a text");
    assert!(result.ends_with(&format!("Of a message: {results}.")), "{result}");
    let keys = |name: &str| -> Vec<&str> {
        let counts = schema["$defs"]["postfix"]["properties"][name]["properties"].as_object().expect("an object");
        counts.keys().map(String::as_str).collect()
    };
    assert_eq!(keys("recipient_counts"), Event::STATUS_WORDS);
    assert_eq!(keys("verdict_counts"), Verdict::ACTIONS);
    // These are promised whole, and written as the program grows.
    let promised = words("/properties/source/properties/transport/enum");
    let transports =
        [Transport::Udp, Transport::Tcp, Transport::Relp, Transport::Unix, Transport::File, Transport::Stdin];
    for transport in transports.map(Transport::name) {
        assert!(promised.iter().any(|known| known == transport), "{transport}");
    }
}

#[test]
fn japanese_texts_differ_and_nothing_else_does() {
    let log = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/postfix/delivery.log")).expect("a log");
    let mut texts = 0;
    for (en, ja) in records(&log, Language::En).iter().zip(records(&log, Language::Ja)) {
        let mut en: Value = serde_json::from_str(en).expect("JSON");
        let mut ja: Value = serde_json::from_str(&ja).expect("JSON");
        for pointer in ["/postfix/dsn/text", "/postfix/reply/dsn/text"] {
            if let (Some(en), Some(ja)) = (en.pointer_mut(pointer), ja.pointer_mut(pointer)) {
                assert_ne!(en, ja);
                texts += 1;
                *en = ja.clone();
            }
        }
        assert_eq!(en, ja);
    }
    assert!(texts > 50, "only {texts} texts");
}

/// The records of a log, each with its LF and without `id`.
fn records(log: &[u8], language: Language) -> Vec<String> {
    let origin = Origin {
        name: "decode".to_owned(),
        transport: Transport::File,
        zone: TimeZone::UTC,
        format: postrider::syslog::Format::Auto,
    };
    let context = Context::new(RECEIVED_AT, &origin.zone);
    let ids = RecordIds::default();
    let mut records = Vec::new();
    let mut record = |frame: &Frame<'_>| {
        let mut json = Buffer::default();
        let id = ids.reserve(RECEIVED_AT, 1).take();
        read_frame(frame, Peer::default(), &origin, &context, id, |record| {
            Encoder { language }.encode(record, &mut json);
        });
        let json = String::from_utf8(json.to_vec()).expect("JSON is UTF-8");
        let (head, rest) = json.split_once(',').expect("more fields than id");
        assert_eq!(head, format!("{{\"id\":\"{id}\""));
        records.push(format!("{{{rest}\n"));
    };
    let mut framer = Framer::new(Framing::Lf, 64 * 1024);
    let mut position = 0;
    while let Step::Frame { frame, consumed } = framer.next(&log[position..]) {
        record(&frame);
        position += consumed;
    }
    assert_eq!(position, log.len(), "a log ends with a line end");
    records
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            logs.extend(self::logs(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    logs
}

/// The schema admits fields of later versions; this program must not write one that the schema does not know.
pub(crate) fn strict_validator() -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    close(&mut schema);
    // Fields that these tests take out of a record.
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|field| field != "id");
    }
    jsonschema::validator_for(&schema).expect("a valid schema")
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            let is_object = object.get("type").is_some_and(|kind| kind == "object");
            if is_object && object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

pub(crate) fn assert_valid(validator: &jsonschema::Validator, record: &str) {
    let value: Value = serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record}"));
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{record}");
}
