//! The kinds of sinks, a block each. A new kind is one block and one line in [`SINKS`].

use std::path::{Component, Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::kafka;
use super::key::{Key, Type};
use super::kind::Kind;
use super::reader::{Reader, Time};
use super::source::MOST_MEMORY;
use super::value::print_size;
use super::{
    DeadLetterConfig, FileConfig, Fsync, KafkaConfig, Select, SinkConfig, SinkKind, SpoolConfig, SpoolMode, WhenFull,
};
use crate::dsn::Class;
use crate::record::Event;
use crate::syslog::{Facility, Severity};
use crate::template::{Template, is_topic_char};

/// Every kind of sink.
pub(super) const SINKS: [Kind<SinkKind>; 3] = [STDOUT, FILE, KAFKA];

/// What every sink has.
pub(super) const COMMON: [Key; 5] = [
    Key::optional("name", Type::Name, r#""archive""#, "Its name in logs; without it the kind, or kind-N."),
    Key::optional(
        "events",
        Type::Words(&Event::NAMES),
        r#"["delivery"]"#,
        "It takes only these Postfix events, and no messages of other programs.",
    ),
    Key::default(
        "queue_size",
        Type::Size(64 << 10, MOST_MEMORY),
        r#""16MiB""#,
        "At most so much waits for it or is inside it; when it is full, streams wait and datagrams are dropped for it.",
    ),
    Key::optional("filter", Type::Table(&FILTER), "{}", "It takes only records that fit every key of this table."),
    Key::optional(
        "spool",
        Type::Table(&SPOOL),
        "{}",
        "Keeps what it does not take at once on the disk, over a restart.",
    ),
];

const SPOOL: [Key; 6] = [
    Key::required(
        "directory",
        Type::Path,
        r#""/var/lib/postrider/spool/kafka""#,
        "Where its files are; each spool has one of its own.",
    ),
    Key::default(
        "mode",
        Type::Word(&["overflow", "always"]),
        r#""overflow""#,
        "The disk is for what the sink does not take at once, or for every record before the sink has it.",
    ),
    Key::default(
        "max_size",
        Type::Size(4 << 20, u64::MAX),
        r#""4GiB""#,
        "At most so much on the disk; then the sink's queue fills.",
    ),
    Key::default(
        "segment_size",
        Type::Size(1 << 20, 1 << 30),
        r#""32MiB""#,
        "The size of a file; it is deleted whole.",
    ),
    Key::default(
        "min_free",
        Type::Size(0, u64::MAX),
        r#""512MiB""#,
        "It leaves so much of the file system free, as if it were full then.",
    ),
    Key::default(
        "when_full",
        Type::Word(&["block", "drop_oldest"]),
        r#""block""#,
        "A full spool takes nothing, so that streams wait and datagrams are dropped; or it drops its oldest file.",
    ),
];

const FILTER: [Key; 4] = [
    Key::optional(
        "status",
        Type::Words(&Event::STATUS_WORDS),
        r#"["deferred", "bounced"]"#,
        "Status words of deliveries.",
    ),
    Key::optional("dsn_class", Type::Words(&CLASSES), r#"["transient", "permanent"]"#, "Classes of the status code."),
    Key::optional("facility", Type::Words(&Facility::NAMES), r#"["mail"]"#, "Facilities."),
    Key::optional("min_severity", Type::Word(&Severity::NAMES), r#""warning""#, "This severity and the worse ones."),
];

/// What the sinks have whose destination may refuse a record.
const DEAD_LETTER: Key = Key::optional(
    "dead_letter",
    Type::Path,
    r#""/var/lib/postrider/dead-letter.jsonl""#,
    "Records that the destination refuses for good are appended to this file, for `postrider replay`; without it they are gone.",
);

/// What the sinks have whose destinations a sender can name.
const MAX_ROUTES: Key = Key::default(
    "max_routes",
    Type::Count(1, 1_000_000),
    "1000",
    "Maximum number of distinct files or topics in one hour; records of further ones go to that of the name `others`.",
);

const DEAD_LETTER_MAX_SIZE: Key = Key::default(
    "dead_letter_max_size",
    Type::Size(1 << 20, u64::MAX),
    r#""1GiB""#,
    "Maximum size of that file; what is refused beyond it waits if its sender waits, and is dropped and counted if not.",
);

const CLASSES: [&str; 3] = [Class::ALL[0].name(), Class::ALL[1].name(), Class::ALL[2].name()];

// === stdout ===

const STDOUT: Kind<SinkKind> = Kind {
    name: "stdout",
    doc: "JSON lines on the standard output.",
    single: true,
    keys: &[],
    read: |_| Some(SinkKind::Stdout),
};

// === file ===

const FILE: Kind<SinkKind> = Kind {
    name: "file",
    doc: "JSON lines in files, made as needed.",
    single: false,
    keys: &[
        Key::required(
            "path",
            Type::Template,
            r#""/var/log/postrider/{hostname}.json""#,
            "Where each record goes: a directory first, then anything with placeholders.",
        ),
        MAX_ROUTES,
        Key::default("mode", Type::Mode, r#""0640""#, "Permission bits of the files."),
        Key::optional(
            "rotate_size",
            Type::Size(64 << 10, u64::MAX),
            r#""1GiB""#,
            "Rotate a file that has grown to this.",
        ),
        Key::optional("rotate_age", Type::Duration(&[]), r#""1d""#, "Rotate a file that is so old."),
        Key::optional(
            "rotate_keep",
            Type::Count(1, 1_000_000),
            "7",
            "Keep so many rotated files of each path; without it all.",
        ),
        Key::default("gzip", Type::Bool, "false", "Compress rotated files."),
        Key::default(
            "fsync",
            Type::Duration(&["never", "always"]),
            r#""1s""#,
            "Force data to the disk at least so often; `always` does it before a record counts as delivered.",
        ),
        DEAD_LETTER,
        DEAD_LETTER_MAX_SIZE,
    ],
    read: |table| {
        let (path, mode, fsync) = (table.template("path"), table.mode("mode"), table.time("fsync"));
        let (rotate_size, rotate_age) = (table.size("rotate_size"), table.duration("rotate_age"));
        let (rotate_keep, gzip) = (table.count("rotate_keep"), table.bool("gzip"));
        let (max_routes, dead_letter) = (table.count("max_routes"), dead_letter(table));
        check_rotation(table, gzip?);
        check_mode(table, mode?);
        let (directory, path) = split(table, path?)?;
        let fsync = match fsync? {
            Time::Word("never") => Fsync::Never,
            Time::Word(_) => Fsync::Always,
            Time::Span(duration) => Fsync::Every(duration),
        };
        let (mode, gzip) = (mode?, gzip?);
        Some(SinkKind::File(FileConfig {
            directory,
            path,
            max_routes: max_routes?,
            mode,
            rotate_size,
            rotate_age,
            rotate_keep,
            gzip,
            fsync,
            dead_letter,
            owner: true,
        }))
    },
};

/// What concerns rotated files needs rotation.
fn check_rotation(table: &mut Reader<'_, '_>, gzip: bool) {
    if table.gives("rotate_size") || table.gives("rotate_age") {
        return;
    }
    for (key, set) in [("rotate_keep", table.gives("rotate_keep")), ("gzip", gzip)] {
        if set {
            let error = Diagnostic::at(table.place(key), format!("`{key}` without rotation"));
            table.error(error.help("add `rotate_size` or `rotate_age`"));
        }
    }
}

/// A file that is reopened must be writable.
fn check_mode(table: &mut Reader<'_, '_>, mode: u32) {
    if mode & 0o200 == 0 {
        let error = Diagnostic::at(table.place("mode"), "the owner may not write");
        table.error(error.help("set the bit 0200, e.g. \"0640\""));
    }
}

/// The directory below which every file stays, and the rest.
fn split(table: &mut Reader<'_, '_>, path: Template) -> Option<(PathBuf, Template)> {
    let place = table.place("path");
    let error = if path.literals().any(|text| text.contains('\0')) {
        Some(("a path with a NUL", "leave it out"))
    } else if path.literals().flat_map(|text| Path::new(text).components()).any(|part| part == Component::ParentDir) {
        Some(("a path with `..`", "write the directory itself"))
    } else if path.ends_with('/') {
        Some(("the path of a directory", "add the name of a file, e.g. {date}.json"))
    } else {
        None
    };
    if let Some((message, help)) = error {
        table.error(Diagnostic::at(place, message).help(help));
        return None;
    }
    let split = path.split_directory();
    if split.is_none() {
        let error = Diagnostic::at(place, "a placeholder before any directory");
        table.error(error.help("begin with a directory, e.g. \"/var/log/postrider/{hostname}.json\""));
    }
    split
}

// === kafka ===

const KAFKA: Kind<SinkKind> = Kind {
    name: "kafka",
    doc: "Apache Kafka.",
    single: false,
    keys: &[
        Key::required(
            "brokers",
            Type::Brokers,
            r#"["127.0.0.1:9092"]"#,
            "Where the cluster is asked for all its brokers.",
        ),
        Key::required("topic", Type::Template, r#""mail""#, "The topic of each record; it may have placeholders."),
        MAX_ROUTES,
        Key::default(
            "key",
            Type::Template,
            r#""{queue_id}""#,
            "Records of one key share a partition and keep their order; a record without these fields has no key.",
        ),
        Key::optional("options", Type::Properties, "{}", "Properties of librdkafka, over Postrider's own."),
        DEAD_LETTER,
        DEAD_LETTER_MAX_SIZE,
    ],
    read: |table| {
        let (brokers, topic, key) = (table.brokers("brokers"), table.template("topic"), table.template("key"));
        let (max_routes, dead_letter) = (table.count("max_routes"), dead_letter(table));
        let options = table.properties("options");
        let properties = kafka::properties(brokers.as_deref().unwrap_or_default(), &options, table);
        check_topic(table, topic.as_ref()?);
        Some(SinkKind::Kafka(KafkaConfig {
            brokers: brokers?,
            topic: topic?,
            max_routes: max_routes?,
            key: key?,
            properties,
            dead_letter,
        }))
    },
};

/// What Kafka takes as the name of a topic.
fn check_topic(table: &mut Reader<'_, '_>, topic: &Template) {
    let constant = topic.as_constant();
    let illegal = topic.literals().flat_map(str::chars).find(|c| !is_topic_char(*c));
    let message = match (illegal, constant) {
        (Some(c), _) => format!("a topic cannot have {c:?}"),
        (None, Some("." | "..")) => "not a topic".to_owned(),
        (None, Some(topic)) if topic.len() > 249 => format!("a topic of {} characters", topic.len()),
        _ => return,
    };
    let error = Diagnostic::at(table.place("topic"), message);
    table.error(error.help("use 1 to 249 of the characters A-Z a-z 0-9 . _ -"));
}

// === what they have in common ===

/// Reads the keys of every sink and then those of its kind.
pub(super) fn read(kind: &Kind<SinkKind>, derived_name: String, table: &mut Reader<'_, '_>) -> Option<SinkConfig> {
    let name = table.name("name").unwrap_or(derived_name);
    let select = select(table);
    let queue_size = table.memory("queue_size");
    let has_spool = table.gives("spool");
    let spool = table.inner("spool", spool).flatten();
    let particular = (kind.read)(table);
    if has_spool && spool.is_none() {
        return None;
    }
    Some(SinkConfig { name, select, queue_size: queue_size?, spool, kind: particular? })
}

fn spool(table: &mut Reader<'_, '_>) -> Option<SpoolConfig> {
    let (directory, mode) = (table.path("directory"), table.word("mode"));
    let (max_size, segment_size) = (table.size("max_size"), table.size("segment_size"));
    let (min_free, when_full) = (table.size("min_free"), table.word("when_full"));
    let mode = if mode? == "always" { SpoolMode::Always } else { SpoolMode::Overflow };
    let config = SpoolConfig {
        directory: directory?,
        mode,
        max_size: max_size?,
        segment_size: segment_size?,
        min_free: min_free?,
        when_full: if when_full? == "drop_oldest" { WhenFull::DropOldest } else { WhenFull::Block },
    };
    if config.max_size / 4 < config.segment_size {
        let error = Diagnostic::at(table.place("max_size"), "room for less than four files of `segment_size`");
        let (most, least) = (print_size(config.max_size / 4), print_size(config.segment_size.saturating_mul(4)));
        let help = format!("write {least} or more for `max_size`, or {most} or less for `segment_size`");
        table.error(error.help(help));
    }
    Some(config)
}

/// A replay is started in another directory than the daemon.
fn dead_letter(table: &mut Reader<'_, '_>) -> Option<DeadLetterConfig> {
    let (path, max_size) = (table.path("dead_letter"), table.size("dead_letter_max_size"));
    if table.gives("dead_letter_max_size") && !table.gives("dead_letter") {
        let error = Diagnostic::at(table.place("dead_letter_max_size"), "`dead_letter_max_size` without `dead_letter`");
        table.error(error.help("add `dead_letter`, or leave it out"));
    }
    let (path, max_size) = (path?, max_size?);
    let error = if !path.is_absolute() {
        ("not an absolute path", "write it from the root on: \"/var/lib/postrider/dead-letter.jsonl\"")
    } else if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        ("the path of a directory", "add the name of a file, e.g. dead-letter.jsonl")
    } else {
        return Some(DeadLetterConfig { path, max_size });
    };
    table.error(Diagnostic::at(table.place("dead_letter"), error.0).help(error.1));
    None
}

fn select(table: &mut Reader<'_, '_>) -> Select {
    let events = table.words("events");
    let filter = table.inner("filter", |filter| {
        let (status, classes) = (filter.words("status"), filter.words("dsn_class"));
        let (facilities, severity) = (filter.words("facility"), filter.word("min_severity"));
        if let Some(events) = &events
            && !events.contains(&"delivery")
        {
            for key in ["status", "dsn_class"] {
                if !filter.gives(key) {
                    continue;
                }
                let message = format!("`{key}` is of deliveries, and `events` leaves them out");
                let error = Diagnostic::at(filter.place(key), message);
                filter.error(error.help("nothing would pass: add \"delivery\" to `events`"));
            }
        }
        Select {
            events: None,
            status,
            dsn_class: classes.map(|names| names.into_iter().filter_map(Class::from_name).collect()),
            facility: facilities.map(|names| names.into_iter().filter_map(Facility::from_name).collect()),
            min_severity: severity.and_then(Severity::from_name),
        }
    });
    Select { events, ..filter.unwrap_or_default() }
}
