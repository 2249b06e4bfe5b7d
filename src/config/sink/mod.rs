//! The sinks: what each kind has in the file, and what it answers to the program ([`SinkFacts`]). What several kinds
//! share stands in `dead_letter.rs`, `select.rs` and `spool.rs`.

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
pub use self::stdout::StdoutConfig;

use super::key::{Key, Type};
use super::kind::Kind;
use super::paths::{Paths, resolved};
use super::reader::Reader;
use super::source::MOST_MEMORY;
use crate::record::Event;
use crate::select::Select;
use crate::template::{Route, Template};

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
    Stdout(StdoutConfig),
    /// `[[sink.file]]`
    File(FileConfig),
    /// `[[sink.kafka]]`
    Kafka(KafkaConfig),
}

/// What the program has to know of a sink, whatever its kind: a new question is a method here, not a match elsewhere.
pub(crate) trait SinkFacts {
    /// The word that stands for its kind in `[[sink.KIND]]`.
    fn name(&self) -> &'static str;

    /// Where its records go, in words: what its spool says of them.
    fn destination(&self) -> String;

    /// True if both write to the same place. Then one must have ended before the other begins: lines would be torn, or
    /// overtake each other.
    fn shares_destination(&self, other: &SinkKind) -> bool;

    /// Where in the destination a record goes.
    fn route(&self) -> Option<Route> {
        None
    }

    /// What keeps records in order.
    fn key(&self) -> Option<Template> {
        None
    }

    /// What makes it count records as delivered that are on no disk yet.
    fn not_durable(&self) -> Option<NotDurable> {
        None
    }

    /// Where it keeps what its destination refuses for good.
    fn dead_letter(&self) -> Option<&DeadLetterConfig> {
        None
    }

    /// The files that it writes its records to: all that its key `path` can name.
    fn files(&self) -> Option<Paths> {
        None
    }

    /// Least and greatest number of file descriptors that it uses, without its dead-letter file and its spool.
    fn descriptors(&self) -> (usize, usize);

    /// The same sink for a replay, which writes beside the daemon's: `dead_letter` is for what it refuses, if it has no
    /// such file itself.
    fn for_replay(&self, dead_letter: DeadLetterConfig) -> SinkKind;

    /// What is not wrong, but does less than it seems to.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A key that keeps records from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDurable {
    /// The key.
    pub(crate) key: &'static str,
    /// What to write instead.
    pub(crate) help: &'static str,
}

impl SinkKind {
    /// What is known of it.
    pub(crate) fn facts(&self) -> &dyn SinkFacts {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::File(file) => file,
            Self::Kafka(kafka) => kafka,
        }
    }
}

impl SinkConfig {
    /// The part of `queue_size` that is before the spool, where there is one: the rest is behind it, before the sink.
    pub const fn input_size(&self) -> usize {
        if self.spool.is_some() { self.queue_size / 4 } else { self.queue_size }
    }

    /// True if both have the same spool.
    pub(crate) fn shares_spool(&self, other: &Self) -> bool {
        let directory = |sink: &Self| sink.spool.as_ref().map(|spool| resolved(&spool.directory));
        directory(self).is_some_and(|one| directory(other) == Some(one))
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
