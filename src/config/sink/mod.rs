//! The sinks: what each kind has in the file. What several kinds share stands in `dead_letter.rs`, `select.rs` and `spool.rs`.

mod dead_letter;
mod file;
mod kafka;
mod select;
mod spool;
mod stdout;

pub use self::dead_letter::DeadLetterConfig;
pub use self::file::{FileConfig, Fsync};
pub use self::kafka::{KafkaConfig, Properties};
pub use self::spool::{SpoolConfig, SpoolMode, WhenFull};

use super::key::{Key, Type};
use super::kind::Kind;
use super::reader::Reader;
use super::source::MOST_MEMORY;
use crate::record::Event;
use crate::select::Select;

/// Every kind of sink.
pub(super) const SINKS: [Kind<SinkKind>; 3] = [stdout::KIND, file::KIND, kafka::KIND];

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
    Key::optional(
        "filter",
        Type::Table(&select::FILTER),
        "{}",
        "It takes only records that fit every key of this table.",
    ),
    Key::optional(
        "spool",
        Type::Table(&spool::KEYS),
        "{}",
        "Keeps what it does not take at once on the disk, over a restart.",
    ),
];

/// What the sinks have whose destinations a sender can name.
const MAX_ROUTES: Key = Key::default(
    "max_routes",
    Type::Count(1, 1_000_000),
    "1000",
    "Maximum number of distinct files or topics in one hour; records of further ones go to that of the name `others`.",
);

/// One `[[sink.KIND]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    /// Unique among the sinks; the kind, or kind-N, unless given.
    pub name: String,
    /// Which records it takes.
    pub select: Select,
    /// The most bytes that wait before the sink or inside it.
    pub queue_size: usize,
    /// `[sink.KIND.spool]`: where records wait on the disk.
    pub spool: Option<SpoolConfig>,
    /// What is particular to the kind.
    pub kind: SinkKind,
}

/// The kinds of sinks.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    /// `[[sink.stdout]]`
    Stdout,
    /// `[[sink.file]]`
    File(FileConfig),
    /// `[[sink.kafka]]`
    Kafka(KafkaConfig),
}

impl SinkKind {
    /// The word that stands for it in `[[sink.KIND]]`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File(_) => "file",
            Self::Kafka(_) => "kafka",
        }
    }

    /// Where its records go, in words: what its spool says of them.
    pub fn destination(&self) -> String {
        match self {
            Self::Stdout => "the standard output".to_owned(),
            Self::File(file) => format!("{}/{}", file.directory.display(), file.path),
            Self::Kafka(kafka) => format!("topic {} at {}", kafka.topic, kafka.brokers.join(", ")),
        }
    }
}

impl SinkConfig {
    /// The part of `queue_size` that is before the spool, where there is one: the rest is behind it, before the sink.
    pub const fn input_size(&self) -> usize {
        if self.spool.is_some() { self.queue_size / 4 } else { self.queue_size }
    }
}

/// Reads the keys of every sink and then those of its kind.
pub(super) fn read(kind: &Kind<SinkKind>, derived_name: String, table: &mut Reader<'_, '_>) -> Option<SinkConfig> {
    let name = table.name("name").unwrap_or(derived_name);
    let select = select::read(table);
    let queue_size = table.memory("queue_size");
    let has_spool = table.gives("spool");
    let spool = table.inner("spool", spool::read).flatten();
    let particular = (kind.read)(table);
    if has_spool && spool.is_none() {
        return None;
    }
    Some(SinkConfig { name, select, queue_size: queue_size?, spool, kind: particular? })
}
