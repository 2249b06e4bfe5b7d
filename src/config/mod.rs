//! The configuration: from a TOML file to a [`Config`], with every error of the file in one go.
//!
//! The way has two stages. The file as written is TOML's own tree with the place of every value; a `Reader` takes its
//! keys one by one, as the tables of keys in `source.rs` and `sink.rs` describe them. Out comes a [`Config`]: whoever holds one
//! need not check anything again.

mod check;
mod diagnostic;
mod diagnostics;
mod file;
mod kafka;
mod key;
mod kind;
mod paths;
mod places;
mod properties;
mod reader;
mod schema;
mod secret;
mod sink;
mod snippet;
mod source;
mod tls;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::diagnostics::Diagnostics;
pub(crate) use self::paths::resolved;
pub use self::properties::Properties;
pub use self::schema::schema;

use self::diagnostic::Diagnostic;
use crate::dsn::Language;
use crate::frame::Framing;
use crate::frame::relp::Oversize;
use crate::network::{Access, Network};
use crate::select::Select;
use crate::small_file;
use crate::template::Template;
use crate::tls::TlsConfig;

/// Everything that `run` needs to know.
#[derive(Clone, Debug, PartialEq)]
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is wrong.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

impl LoadError {
    /// The text for a program that goes on with the configuration that it has.
    pub fn of_reload(&self) -> String {
        match self {
            Self::Read { .. } => self.to_string(),
            Self::Invalid(found) => found.listed().to_string(),
        }
    }
}

/// One `[[source.KIND]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Unique among the sources; the kind, or kind-N, unless given.
    pub name: String,
    /// The zone of RFC 3164 times.
    pub zone: jiff::tz::TimeZone,
    /// What its messages look like.
    pub format: crate::syslog::Format,
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

impl SourceKind {
    /// The word that stands for it in `[[source.KIND]]`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Udp(_) => "udp",
            Self::Tcp(_) => "tcp",
            Self::Relp(_) => "relp",
            Self::Unix(_) => "unix",
            Self::File(_) => "file",
            Self::Stdin(_) => "stdin",
        }
    }

    /// What it takes TLS with, if it does.
    pub const fn tls(&self) -> Option<&TlsConfig> {
        match self {
            Self::Tcp(tcp) => tcp.listener.tls.as_ref(),
            Self::Relp(relp) => relp.listener.tls.as_ref(),
            Self::Udp(_) | Self::Unix(_) | Self::File(_) | Self::Stdin(_) => None,
        }
    }
}

/// `[[source.udp]]`: syslog over UDP (RFC 5426).
#[derive(Clone, Debug, PartialEq)]
pub struct UdpConfig {
    /// The address; `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    /// Bytes asked of the kernel for the receive buffer of each socket.
    pub receive_buffer: usize,
    /// The sockets at the address, each read by its own task; at least one.
    pub workers: usize,
    /// Who may send.
    pub access: Access,
    /// The most messages per second that one peer may send; more are dropped and counted.
    pub max_rate_per_peer: Option<u32>,
}

/// What the sources that listen on TCP have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// The address; `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    /// Who may send.
    pub access: Access,
    /// From these a connection begins with a header of the PROXY protocol, and its peer is the one that the header names.
    pub proxy_protocol: Vec<Network>,
    /// Maximum number of connections of one peer at a time; more are closed at once and counted. `None` is no limit.
    pub max_connections_per_peer: Option<usize>,
    /// The most messages per second that one peer may send; then its connections are not read for a while.
    pub max_rate_per_peer: Option<u32>,
    /// `[source.KIND.tls]`: `None` is plain TCP.
    pub tls: Option<TlsConfig>,
}

/// `[[source.tcp]]`: syslog over TCP (RFC 6587), or over TLS (RFC 5425).
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Where it listens, and to whom.
    pub listener: ListenerConfig,
    /// What connections may do.
    pub stream: StreamConfig,
}

/// What the connections of a stream source have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// How messages are told apart.
    pub framing: Framing,
    /// The most connections at a time; more are closed at once and counted.
    pub max_connections: usize,
    /// A connection that is silent for so long is closed; `None` keeps it for ever.
    pub idle_timeout: Option<Duration>,
}

/// `[[source.relp]]`: syslog over RELP, which acknowledges each message, plain or over TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct RelpConfig {
    /// Where it listens, and to whom.
    pub listener: ListenerConfig,
    /// What sessions may do.
    pub session: SessionConfig,
}

/// What the sessions of a RELP source have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionConfig {
    /// The most connections at a time; more are closed at once and counted.
    pub max_connections: usize,
    /// A connection that is silent for so long is closed; `None` keeps it for ever.
    pub idle_timeout: Option<Duration>,
    /// The most messages of one connection that wait for their acknowledgement; then it is not read.
    pub window: usize,
    /// So long after it was read a message may wait for its delivery, and then an answer for its sender to take it; after that
    /// the session ends. Less than what the sender waits.
    pub acknowledge_timeout: Duration,
    /// What becomes of a message over `max_frame_size`.
    pub oversize: Oversize,
}

/// `[[source.unix]]`: a unix domain socket.
#[derive(Clone, Debug, PartialEq)]
pub struct UnixConfig {
    /// Where the socket is made.
    pub path: PathBuf,
    /// Permission bits of the socket.
    pub mode: u32,
    /// `Some` for a stream socket, `None` for datagrams.
    pub stream: Option<StreamConfig>,
}

/// `[[source.file]]`: log files that grow.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowConfig {
    /// Absolute paths, with globs.
    pub paths: Vec<PathBuf>,
    /// The directory of the cursor.
    pub state: PathBuf,
    /// Where files are begun that are there when no cursor is: at their beginning, or else at their end.
    pub from_beginning: bool,
    /// How often files are looked for and read.
    pub poll_interval: Duration,
    /// Which links are followed.
    pub links: Links,
}

/// Which symbolic links on the way to a file are followed, and whether a file may have several names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Those in directories that root or the user of this process has, and nobody else may write to.
    Trusted,
    /// All.
    All,
    /// None.
    None,
}

/// `[[source.stdin]]`: the standard input; when it ends and no other source is left, Postrider drains and leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinConfig {
    /// How messages are told apart.
    pub framing: Framing,
}

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

/// `[sink.KIND.spool]`: records of one sink on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its directory, of this sink alone.
    pub directory: PathBuf,
    /// Which records go to the disk.
    pub mode: SpoolMode,
    /// The most bytes of records on the disk; then the sink's queue fills.
    pub max_size: u64,
    /// The size of one file.
    pub segment_size: u64,
    /// The space that it leaves free on the file system.
    pub min_free: u64,
    /// What becomes of records when it is full.
    pub when_full: WhenFull,
}

/// What a full spool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It takes nothing: the sink's queue fills, and holds up those who can wait.
    Block,
    /// It gives up its oldest records, a file at a time.
    DropOldest,
}

/// Which records a spool writes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolMode {
    /// Those that the sink does not take at once.
    Overflow,
    /// All, before the sink has them.
    Always,
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

/// `[[sink.file]]`: JSON lines in files.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    /// The directory below which every file stays: the leading components of `path` without a placeholder.
    pub directory: PathBuf,
    /// The rest of the path, below `directory`.
    pub path: Template,
    /// Maximum number of distinct paths in use; records of further ones go to a common path.
    pub max_routes: usize,
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
    /// Where what is refused for good is kept.
    pub dead_letter: Option<DeadLetterConfig>,
    /// Whether this sink alone writes to its files, and locks them; false in a replay, which writes beside the daemon.
    pub owner: bool,
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
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaConfig {
    /// `bootstrap.servers`.
    pub brokers: Vec<String>,
    /// The topic of a record.
    pub topic: Template,
    /// Maximum number of distinct topics in one hour.
    pub max_routes: usize,
    /// The key of a record: equal keys keep their order. A record without the fields of the key is sent without one.
    pub key: Template,
    /// Every librdkafka property, defaults and the user's own, checked by creating a client.
    pub properties: Properties,
    /// Where what is refused for good is kept.
    pub dead_letter: Option<DeadLetterConfig>,
}

impl FileConfig {
    /// What is not wrong, but does less than it seems to.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let time = self.path.fields().find(|field| field.is_time());
        let idle = [("gzip", self.gzip, "compresses"), ("rotate_keep", self.rotate_keep.is_some(), "removes")];
        time.into_iter().flat_map(move |time| {
            let set = idle.into_iter().filter(|(_, set, _)| *set);
            set.map(move |(key, _, what)| {
                let time = time.name();
                format!(
                    "`{key}` never {what} files of the past while {{{time}}} is in the path, because nothing rotates them; \
                     leave {{{time}}} out, and write rotate_age = \"1d\""
                )
            })
        })
    }
}

/// `dead_letter` and `dead_letter_max_size` of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// The file, an absolute path.
    pub path: PathBuf,
    /// Maximum size of the file in bytes.
    pub max_size: u64,
}

/// Reads and checks a file, and the PEM files that it names; each is a regular file of at most 1 MiB. Nothing is bound, created
/// or connected to.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let name = path.display().to_string();
    let bytes = small_file::read(path).map_err(|error| LoadError::Read { path: path.to_owned(), error })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(&text, &name)?),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let mut found = Diagnostics::new(&name, &text);
            let place = valid..valid + char::REPLACEMENT_CHARACTER.len_utf8();
            found.push(Diagnostic::at(place, "not UTF-8").help("save the file as UTF-8"));
            Err(found.into())
        }
    }
}

/// Checks a configuration; errors call it `name`.
pub fn parse(text: &str, name: &str) -> Result<Config, Diagnostics> {
    let mut found = Diagnostics::new(name, text);
    let (document, errors) = toml::de::DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let lacks_quotes = value::lacks_quotes(text, span.start);
        let error = Diagnostic::at(span, error.message());
        found.push(if lacks_quotes { error.help("put a number with a unit in quotes, e.g. \"8MiB\"") } else { error });
    }
    let config = file::read(document.get_ref(), &mut found);
    found.drop_consequences(errors.len());
    found.sort();
    match config {
        Some(config) if found.is_empty() => Ok(config),
        _ => Err(found),
    }
}

impl SinkConfig {
    /// The part of `queue_size` that is before the spool, where there is one: the rest is behind it, before the sink.
    pub const fn input_size(&self) -> usize {
        if self.spool.is_some() { self.queue_size / 4 } else { self.queue_size }
    }
}

impl Config {
    /// What `run` does without a file: UDP and TCP on 127.0.0.1:5514, JSON to the standard output.
    pub fn default_run() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 5514));
        let text =
            format!("[[source.udp]]\nlisten = \"{listen}\"\n[[source.tcp]]\nlisten = \"{listen}\"\n[[sink.stdout]]\n");
        let config = parse(&text, "default");
        config.unwrap_or_else(|found| unreachable!("the default is valid, as a test shows: {found}"))
    }
}

#[cfg(test)]
mod tests;
