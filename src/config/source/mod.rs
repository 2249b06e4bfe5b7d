//! The sources: the keys of each kind in the file, and the facts about each kind that the program needs
//! ([`SourceFacts`]). Parts that several kinds share are in `listener.rs` and `stream.rs`.

mod endpoint;
mod file;
mod listener;
mod relp;
mod stdin;
mod stream;
mod tcp;
mod udp;
mod unix;

pub(crate) use self::endpoint::SourceEndpoint;
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
use super::form::{Memory, NAME, Named, ZONE};
use super::key::{Keys, default, keys, optional};
use super::kind::Kind;
use super::reader::TableReader;
use crate::record::Transport;
use crate::syslog::Format;

/// Every kind of source.
pub(super) const SOURCES: [Kind<SourceKind>; 6] =
    [udp::KIND, tcp::KIND, relp::KIND, unix::KIND, file::KIND, stdin::KIND];

/// Minimum size of a message that a receiver must accept (RFC 5424, section 6.1).
const LEAST_FRAME: u32 = 480;
const MIB: u32 = 1 << 20;
/// Maximum of `max_bytes_in_flight`: more would not fit into the counters of the bytes in flight.
pub(super) const MOST_MEMORY: u32 = 2 << 30;

keys! {
    /// Keys that every source has.
    pub(super) struct SourceKeys {
        /// Name of the source in records and logs. Without this key, the name is that of the kind, such as `udp`;
        /// `udp-2` for its second source.
        name: String = optional(NAME, r#""mail""#),
        /// Time zone of RFC 3164 timestamps, which do not contain one. Without this key, the zone is that of the
        /// machine.
        timezone: jiff::tz::TimeZone = optional(ZONE, r#""Asia/Tokyo""#),
        /// Format of the messages. `auto` decides for each message. `cri` is the format of Kubernetes' log files, and
        /// `docker_json` that of Docker's; a `plain` message has no header.
        format: Format = default(Named { names: &Format::NAMES, value: Format::from_name }, r#""auto""#),
        /// Maximum size of a message. A longer one is truncated, flagged and counted.
        max_frame_size: usize = default(Memory(LEAST_FRAME, 16 * MIB), r#""64KiB""#),
        /// Maximum memory for the records of this source that at least one sink does not have yet; a record counts with
        /// the size of its JSON. At the limit, streams are not read, and datagrams are dropped for every sink. Keep it
        /// above the `queue_size` of each sink. Unfinished messages of connections may take the same amount again.
        max_bytes_in_flight: usize = default(Memory(64 << 10, MOST_MEMORY), r#""32MiB""#),
    }
}

/// One `[[source.KIND]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Unique name among the sources; the kind, or kind-N, unless given.
    pub name: String,
    /// The zone of RFC 3164 times.
    pub zone: jiff::tz::TimeZone,
    /// Format of its messages.
    pub format: Format,
    /// Maximum size of a frame in bytes; a longer one is cut, flagged and counted.
    pub max_frame_size: usize,
    /// Maximum number of bytes read from this source but not yet delivered by every sink.
    pub max_bytes_in_flight: usize,
    /// Configuration of the kind.
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

/// Facts that the program needs about a source of any kind. For a new question, add a method here instead of a match
/// elsewhere.
pub(crate) trait SourceFacts {
    /// Returns the name of its kind in `[[source.KIND]]`.
    fn name(&self) -> &'static str;

    /// Returns what the source reads from.
    fn endpoint(&self) -> SourceEndpoint<'_>;

    /// Returns the transport of its messages, as their records show it.
    fn transport(&self) -> Transport;

    /// Returns the operation that fails at startup if the endpoint is unusable, for the error message.
    fn failure(&self) -> String {
        format!("cannot listen on {} {}", self.transport().name(), self.endpoint())
    }

    /// Returns the key to which errors about acknowledgement point; `None` for a source that does not acknowledge.
    fn acknowledges_by(&self) -> Option<&'static str> {
        None
    }

    /// Returns the maximum number of connections; 0 for a source that has none.
    fn max_connections(&self) -> usize {
        0
    }

    /// Returns the patterns of the files that the source follows: its key `paths`.
    fn followed(&self) -> &[PathBuf] {
        &[]
    }

    /// Returns the maximum number of followed files that are open at a time; 0 for a source that follows none.
    fn max_open_files(&self) -> usize {
        0
    }

    /// Returns the number of file descriptors that the source needs, without its connections and its followed files.
    fn descriptors(&self) -> usize;

    /// Returns warnings about settings that are valid, but have less effect than it seems or will stop working soon
    /// after `now`.
    fn warnings(&self, _now: jiff::Timestamp) -> Vec<String> {
        Vec::new()
    }
}

impl SourceKind {
    /// Returns the facts about the source.
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

    /// True if this source may occupy what `new` needs to bind.
    pub(crate) fn obstructs(&self, new: &Self) -> bool {
        self.kind.facts().endpoint().obstructs(new.kind.facts().endpoint())
    }
}

/// Reads the keys that every source has, and then those of its kind.
pub(super) fn read(
    kind: &Kind<SourceKind>,
    derived_name: String,
    reader: &mut TableReader<'_, '_>,
) -> Option<SourceConfig> {
    let common = SourceKeys::read(reader);
    let particular = (kind.read)(reader);
    if let (Some(frame), Some(in_flight)) = (common.max_frame_size.value, common.max_bytes_in_flight.value)
        && in_flight < frame
    {
        let error = Diagnostic::at(common.max_bytes_in_flight.place, "smaller than `max_frame_size`");
        reader.found().push(error.help("the longest message must fit into it"));
    }
    Some(SourceConfig {
        name: common.name.value.unwrap_or(derived_name),
        zone: common.timezone.value.unwrap_or_else(system_zone),
        format: common.format.value?,
        max_frame_size: common.max_frame_size.value?,
        max_bytes_in_flight: common.max_bytes_in_flight.value?,
        kind: particular?,
    })
}

/// Returns the machine's zone; UTC if it has none, as in a container without /etc/localtime.
fn system_zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC)
}
