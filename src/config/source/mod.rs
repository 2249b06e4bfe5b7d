//! The sources: what each kind has in the file, and what it answers to the program ([`SourceFacts`]). What several
//! kinds share stands in `listener.rs` and `stream.rs`.

mod endpoint;
mod file;
mod listener;
mod relp;
mod stdin;
mod stream;
mod tcp;
mod udp;
mod unix;

pub(crate) use self::endpoint::Endpoint;
pub use self::file::{FollowConfig, Links};
pub use self::listener::ListenerConfig;
pub use self::relp::{RelpConfig, SessionConfig};
pub use self::stdin::StdinConfig;
pub use self::stream::StreamConfig;
pub use self::tcp::TcpConfig;
pub use self::udp::UdpConfig;
pub use self::unix::UnixConfig;

use std::path::PathBuf;

use super::diagnostic::Diagnostic;
use super::key::{Key, Type};
use super::kind::Kind;
use super::reader::Reader;
use crate::record::Transport;
use crate::syslog::Format;

/// Every kind of source.
pub(super) const SOURCES: [Kind<SourceKind>; 6] =
    [udp::KIND, tcp::KIND, relp::KIND, unix::KIND, file::KIND, stdin::KIND];

/// The least that a receiver must take (RFC 5424, section 6.1).
const LEAST_FRAME: u64 = 480;
const MIB: u64 = 1 << 20;
/// More would not fit into the counters of the room in flight.
pub(super) const MOST_MEMORY: u64 = 2 << 30;

/// What every source has.
pub(super) const COMMON: [Key; 5] = [
    Key::optional("name", Type::Name, r#""mail""#, "Its name in records and logs; without it the kind, or kind-N."),
    Key::optional(
        "timezone",
        Type::Zone,
        r#""Asia/Tokyo""#,
        "The zone of RFC 3164 times, which carry none; without it the machine's.",
    ),
    Key::default(
        "format",
        Type::Word(&Format::NAMES),
        r#""auto""#,
        "What its messages look like, where guessing is wrong: `cri` is Kubernetes', `docker_json` Docker's log files, and `plain` has no header.",
    ),
    Key::default(
        "max_frame_size",
        Type::Size(LEAST_FRAME, 16 * MIB),
        r#""64KiB""#,
        "A longer message is cut off here, flagged and counted.",
    ),
    Key::default(
        "max_bytes_in_flight",
        Type::Size(64 << 10, MOST_MEMORY),
        r#""32MiB""#,
        "Maximum memory for records that some sink does not have yet, counted as JSON. Then streams are not read, and datagrams are \
         dropped for every sink. Connections hold at most as much again of what is not read to its end.",
    ),
];

/// One `[[source.KIND]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Unique among the sources; the kind, or kind-N, unless given.
    pub name: String,
    /// The zone of RFC 3164 times.
    pub zone: jiff::tz::TimeZone,
    /// What its messages look like.
    pub format: Format,
    /// The largest frame in bytes; what is over it is cut off, flagged and counted.
    pub max_frame_size: usize,
    /// The most bytes that were read from this source and are not yet delivered by every sink.
    pub max_bytes_in_flight: usize,
    /// What is particular to the kind.
    pub kind: SourceKind,
}

/// The kinds of sources.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// `[[source.udp]]`
    Udp(UdpConfig),
    /// `[[source.tcp]]`
    Tcp(TcpConfig),
    /// `[[source.relp]]`
    Relp(RelpConfig),
    /// `[[source.unix]]`
    Unix(UnixConfig),
    /// `[[source.file]]`
    File(FollowConfig),
    /// `[[source.stdin]]`
    Stdin(StdinConfig),
}

/// What the program has to know of a source, whatever its kind: a new question is a method here, not a match elsewhere.
pub(crate) trait SourceFacts {
    /// The word that stands for its kind in `[[source.KIND]]`.
    fn name(&self) -> &'static str;

    /// What it reads from.
    fn endpoint(&self) -> Endpoint<'_>;

    /// How its messages arrive, as their records show it.
    fn transport(&self) -> Transport;

    /// What a start cannot do when the endpoint cannot be used, for the error.
    fn failure(&self) -> String;

    /// The key that says most of a source that acknowledges; `None` for one that does not.
    fn acknowledges_by(&self) -> Option<&'static str> {
        None
    }

    /// Maximum number of connections; 0 for a source that has none.
    fn max_connections(&self) -> usize {
        0
    }

    /// The files that it follows, as patterns: its key `paths`.
    fn followed(&self) -> &[PathBuf] {
        &[]
    }

    /// Maximum number of followed files that are open at a time; 0 for a source that follows none.
    fn max_open_files(&self) -> usize {
        0
    }

    /// Number of file descriptors that it needs, without its connections and its followed files.
    fn descriptors(&self) -> usize;

    /// What is not wrong, but does less than it seems to, or will not do for long after `now`.
    fn warnings(&self, _now: jiff::Timestamp) -> Vec<String> {
        Vec::new()
    }
}

impl SourceKind {
    /// What is known of it.
    pub(crate) fn facts(&self) -> &dyn SourceFacts {
        match self {
            Self::Udp(udp) => udp,
            Self::Tcp(tcp) => tcp,
            Self::Relp(relp) => relp,
            Self::Unix(unix) => unix,
            Self::File(file) => file,
            Self::Stdin(stdin) => stdin,
        }
    }
}

impl SourceConfig {
    /// True if this source takes over the sockets of `old`, or its cursor.
    pub(crate) fn succeeds(&self, old: &Self) -> bool {
        self.kind.facts().endpoint().succeeds(old.kind.facts().endpoint(), self.name == old.name)
    }

    /// True if this source may have what `new` cannot bind.
    pub(crate) fn obstructs(&self, new: &Self) -> bool {
        self.kind.facts().endpoint().obstructs(new.kind.facts().endpoint())
    }
}

/// Reads the keys of every source and then those of its kind.
pub(super) fn read(kind: &Kind<SourceKind>, derived_name: String, table: &mut Reader<'_, '_>) -> Option<SourceConfig> {
    let name = table.name("name").unwrap_or(derived_name);
    let zone = table.zone("timezone").unwrap_or_else(system_zone);
    let format = table.word("format").and_then(Format::from_name);
    let (max_frame_size, max_bytes_in_flight) = (table.memory("max_frame_size"), table.memory("max_bytes_in_flight"));
    let particular = (kind.read)(table);
    if let (Some(frame), Some(in_flight)) = (max_frame_size, max_bytes_in_flight)
        && in_flight < frame
    {
        let error = Diagnostic::at(table.place("max_bytes_in_flight"), "smaller than `max_frame_size`");
        table.error(error.help("a message that may be read must have room"));
    }
    Some(SourceConfig {
        name,
        zone,
        format: format?,
        max_frame_size: max_frame_size?,
        max_bytes_in_flight: max_bytes_in_flight?,
        kind: particular?,
    })
}

/// The machine's zone; UTC where it has none, as in a container without /etc/localtime.
fn system_zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC)
}
