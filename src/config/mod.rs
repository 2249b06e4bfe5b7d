//! The configuration as checked: whoever holds a [`Config`] need not check anything again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::frame::Framing;
use crate::postfix::dsn::{Class, Language};
use crate::syslog::{Facility, Severity};
use crate::template::Template;

/// Everything that `run` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The language of the texts that explain a code.
    pub language: Language,
    /// How long a stop may take, from the signal to the last flush.
    pub shutdown_timeout: Duration,
    /// Where messages come from, in the order of the file; at least one.
    pub sources: Vec<SourceConfig>,
    /// Where records go, in the order of the file; at least one.
    pub sinks: Vec<SinkConfig>,
}

/// One `[[source.KIND]]` table.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Unique among the sources; the kind, or kind-N, unless given.
    pub name: String,
    /// The zone of RFC 3164 times.
    pub zone: jiff::tz::TimeZone,
    /// The largest frame in bytes; what is over it is cut off, flagged and counted.
    pub max_frame_size: usize,
    /// The most bytes that were read from this source and are not yet delivered by every sink.
    pub max_bytes_in_flight: usize,
    /// What is particular to the kind.
    pub kind: SourceKind,
}

/// The kinds of sources.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// `[[source.udp]]`
    Udp(UdpConfig),
    /// `[[source.tcp]]`
    Tcp(TcpConfig),
    /// `[[source.unix]]`
    Unix(UnixConfig),
    /// `[[source.stdin]]`
    Stdin(StdinConfig),
}

/// `[[source.udp]]`: syslog over UDP (RFC 5426).
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// The address; `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    /// Bytes asked of the kernel for the socket's receive buffer.
    pub receive_buffer: usize,
}

/// `[[source.tcp]]`: syslog over TCP (RFC 6587).
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// The address; `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    /// What connections may do.
    pub stream: StreamConfig,
}

/// What the connections of a stream source have in common.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// How messages are told apart.
    pub framing: Framing,
    /// The most connections at a time; more are closed at once and counted.
    pub max_connections: usize,
    /// A connection that is silent for so long is closed; `None` keeps it for ever.
    pub idle_timeout: Option<Duration>,
}

/// `[[source.unix]]`: a unix domain socket.
#[derive(Clone, Debug)]
pub struct UnixConfig {
    /// Where the socket is made.
    pub path: PathBuf,
    /// Permission bits of the socket.
    pub mode: u32,
    /// `Some` for a stream socket, `None` for datagrams.
    pub stream: Option<StreamConfig>,
}

/// `[[source.stdin]]`: the standard input; when it ends, Postrider drains and leaves.
#[derive(Clone, Debug)]
pub struct StdinConfig {
    /// How messages are told apart.
    pub framing: Framing,
}

/// One `[[sink.KIND]]` table.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Unique among the sinks; the kind, or kind-N, unless given.
    pub name: String,
    /// Which records it takes.
    pub select: Select,
    /// The most bytes that wait before the sink or inside it.
    pub queue_size: usize,
    /// What is particular to the kind.
    pub kind: SinkKind,
}

/// Which records a sink takes: those that pass every criterion that is there.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// Names of events; a message of another program has none and does not pass.
    pub events: Option<Vec<&'static str>>,
    /// Status words of deliveries.
    pub status: Option<Vec<String>>,
    /// Classes of the delivery's enhanced status code.
    pub dsn_class: Option<Vec<Class>>,
    /// Facilities.
    pub facility: Option<Vec<Facility>>,
    /// The least severe severity that passes: `warning` takes `warning` to `emerg`.
    pub min_severity: Option<Severity>,
}

/// The kinds of sinks.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// `[[sink.stdout]]`
    Stdout,
    /// `[[sink.file]]`
    File(FileConfig),
    /// `[[sink.kafka]]`
    Kafka(KafkaConfig),
}

/// `[[sink.file]]`: JSON lines in files.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// The directory below which every file stays: the leading components of `path` without a placeholder.
    pub directory: PathBuf,
    /// The rest of the path, below `directory`.
    pub path: Template,
    /// Permission bits of the files.
    pub mode: u32,
    /// A file that has grown to so many bytes is rotated.
    pub rotate_size: Option<u64>,
    /// A file that is so old is rotated.
    pub rotate_age: Option<Duration>,
    /// How many rotated files are kept per path; `None` keeps all.
    pub rotate_keep: Option<usize>,
    /// Whether rotated files are compressed with gzip.
    pub gzip: bool,
    /// When data must be on disk.
    pub fsync: Fsync,
}

/// When a file sink calls fdatasync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// The kernel decides.
    Never,
    /// Before a batch counts as delivered.
    Always,
    /// At least once in this time while there is something new.
    Every(Duration),
}

/// `[[sink.kafka]]`: Apache Kafka through librdkafka.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `bootstrap.servers`.
    pub brokers: Vec<String>,
    /// The topic of a record.
    pub topic: Template,
    /// The key of a record: equal keys keep their order. A record without the fields of the key is sent without one.
    pub key: Template,
    /// Every librdkafka property, defaults and the user's own, checked by creating a client.
    pub properties: Vec<(String, String)>,
}
