//! The sinks: the keys of each kind in the file, and the facts about each kind that the program needs ([`SinkFacts`]).
//! Parts that several kinds share are in `dead_letter.rs`, `select.rs` and `spool.rs`.

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

use super::file::LANGUAGE;
use super::form::{Count, List, Memory, NAME, Table, Word};
use super::key::{Keys, default, keys, optional};
use super::kind::{Kind, Section};
use super::paths::{Paths, resolved};
use super::reader::TableReader;
use super::source::MOST_MEMORY;
use crate::dsn::Language;
use crate::record::Event;
use crate::select::Select;
use crate::template::{Route, Template};

/// Every kind of sink.
pub(super) const SINKS: [Kind<SinkKind>; 3] = [stdout::KIND, file::KIND, kafka::KIND];

keys! {
    /// Keys that every sink has.
    pub(super) struct SinkKeys {
        /// Name of the sink in logs. Without this key, the name is that of the kind, such as `file`; `file-2` for its
        /// second sink.
        name: String = optional(NAME, r#""archive""#),
        /// Postfix events that the sink accepts; docs/events.md lists all of them. The sink then gets no messages of
        /// other programs. Without this key, it accepts every record.
        events: Vec<&'static str> = optional(List(Word(&Event::NAMES)), r#"["delivery"]"#),
        /// Language of the texts that explain a code. Without this key, it is the `language` at the top of the file.
        language: Language = optional(LANGUAGE, r#""ja""#),
        /// Maximum size of the records that wait for the sink or are inside it. At the limit, streams wait, and
        /// datagrams are dropped for this sink and counted.
        queue_size: usize = default(Memory(64 << 10, MOST_MEMORY), r#""16MiB""#),
        /// Filter: the sink accepts only the records that meet every condition in this table.
        filter: select::FilterKeys = optional(Table::<select::FilterKeys>::NEW, "{}"),
        /// Spool on the disk: it keeps the records that the sink does not accept at once, also over a restart. See
        /// docs/spool.md.
        spool: spool::SpoolKeys = optional(Table::<spool::SpoolKeys>::NEW, "{}"),
    }
}

keys! {
    /// Key of the sinks whose destinations a sender can influence.
    struct RouteKeys {
        /// Maximum number of different files or topics in one hour. Records beyond it go to the file or topic that has
        /// `others` in the place of every placeholder.
        max_routes: usize = default(Count(1, 1_000_000), "1000"),
    }
}

/// One `[[sink.KIND]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    /// Unique name among the sinks; the kind, or kind-N, unless given.
    pub name: String,
    /// Records that the sink accepts.
    pub select: Select,
    /// Language of the texts that explain a code, if it is not that of the whole file.
    pub language: Option<Language>,
    /// Maximum number of bytes that wait for the sink or are inside it.
    pub queue_size: usize,
    /// `[sink.KIND.spool]`: the spool in which records wait on the disk.
    pub spool: Option<SpoolConfig>,
    /// Configuration of the kind.
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

/// Facts that the program needs about a sink of any kind. For a new question, add a method here instead of a match
/// elsewhere.
pub(crate) trait SinkFacts {
    /// Returns the name of its kind in `[[sink.KIND]]`.
    fn name(&self) -> &'static str;

    /// Returns a description of its destination, which is stored with its spool.
    fn destination(&self) -> String;

    /// True if both sinks write to the same place. One of them must then have ended before the other begins: otherwise
    /// lines would be torn, or overtake each other.
    fn shares_destination(&self, other: &SinkKind) -> bool;

    /// Returns the template for a record's place in the destination.
    fn route(&self) -> Option<Route> {
        None
    }

    /// Returns the template of the key that keeps records in order.
    fn key(&self) -> Option<Template> {
        None
    }

    /// Returns the setting that makes the sink count records as delivered before they are on any disk.
    fn not_durable(&self) -> Option<NotDurable> {
        None
    }

    /// Returns the dead-letter file for records that the destination permanently refuses.
    fn dead_letter(&self) -> Option<&DeadLetterConfig> {
        None
    }

    /// Returns the files to which the sink writes its records: all paths that its key `path` can name.
    fn files(&self) -> Option<Paths> {
        None
    }

    /// Returns the minimum and maximum number of file descriptors that the sink uses, without its dead-letter file and
    /// its spool.
    fn descriptors(&self) -> (usize, usize);

    /// Returns the same sink for a replay, which writes beside the daemon's sink. It puts refused records into
    /// `dead_letter` if it has no such file itself.
    fn for_replay(&self, dead_letter: DeadLetterConfig) -> SinkKind;

    /// Returns warnings about settings that are valid, but have less effect than it seems.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A key whose value makes the sink less durable than the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDurable {
    /// The key.
    pub(crate) key: &'static str,
    /// Hint: what to write instead.
    pub(crate) help: &'static str,
}

impl SinkKind {
    /// Returns the facts about the sink.
    pub(crate) fn facts(&self) -> &dyn SinkFacts {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::File(file) => file,
            Self::Kafka(kafka) => kafka,
        }
    }
}

impl SinkConfig {
    /// Returns the part of `queue_size` in front of the spool, if there is one; the rest is between the spool and the
    /// sink.
    pub const fn input_size(&self) -> usize {
        if self.spool.is_some() { self.queue_size / 4 } else { self.queue_size }
    }

    /// True if both sinks have the same spool.
    pub(crate) fn shares_spool(&self, other: &Self) -> bool {
        let directory = |sink: &Self| sink.spool.as_ref().map(|spool| resolved(&spool.directory));
        directory(self).is_some_and(|one| directory(other) == Some(one))
    }
}

/// Reads the keys that every sink has, and then those of its kind.
pub(super) fn read(
    kind: &Kind<SinkKind>,
    derived_name: String,
    reader: &mut TableReader<'_, '_>,
) -> Option<SinkConfig> {
    let common = SinkKeys::read(reader);
    let select = select::config(common.events.value, common.filter.value, reader.found());
    let spool = common.spool.value.map(|spool| spool.config(reader.found()));
    let particular = (kind.read)(reader);
    let spool = match spool {
        Some(spool) => Some(spool?),
        None => None,
    };
    let name = common.name.value.unwrap_or(derived_name);
    Some(SinkConfig {
        name,
        select,
        language: common.language.value,
        queue_size: common.queue_size.value?,
        spool,
        kind: particular?,
    })
}
