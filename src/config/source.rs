//! The kinds of sources, a block each. A new kind is one block and one line in [`SOURCES`].

use std::path::Path;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::key::{Key, Type};
use super::kind::Kind;
use super::reader::{Reader, Time};
use super::tls;
use super::{
    FollowConfig, Links, ListenerConfig, RelpConfig, SessionConfig, SourceConfig, SourceKind, StdinConfig,
    StreamConfig, TcpConfig, UdpConfig, UnixConfig,
};
use crate::frame::Framing;
use crate::frame::relp::Oversize;
use crate::network::Access;
use crate::syslog::Format;

/// Every kind of source.
pub(super) const SOURCES: [Kind<SourceKind>; 6] = [UDP, TCP, RELP, UNIX, FILE, STDIN];

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

const LISTEN: Key = Key::required("listen", Type::Address, r#""[::]:514""#, "Address and port; `[::]` takes IPv4 too.");

const FRAMING: Key = Key::default(
    "framing",
    Type::Word(&["auto", "octet_counting", "lf", "nul"]),
    r#""auto""#,
    "How messages are told apart (RFC 6587); `auto` decides at the start of each.",
);

const MAX_CONNECTIONS: Key = Key::default(
    "max_connections",
    Type::Count(1, 1_000_000),
    "2000",
    "More connections at a time are closed at once and counted.",
);

const MAX_CONNECTIONS_PER_PEER: Key = Key::default(
    "max_connections_per_peer",
    Type::CountOr(1, 1_000_000, "none"),
    "200",
    "Maximum number of connections of one address, or of one /64 network of IPv6; more are closed at once and counted. Behind a \
     PROXY header the address in it counts. Those of this machine itself are not limited.",
);

const IDLE_TIMEOUT: Key = Key::default(
    "idle_timeout",
    Type::Duration(&["never"]),
    r#""never""#,
    "A connection that is silent for so long is closed. A sender notices only when its next message is lost.",
);

const ALLOW: Key = Key::optional(
    "allow",
    Type::Networks,
    r#"["192.0.2.0/24", "2001:db8::/32"]"#,
    "Only peers in these networks may send; without it all may. Others are closed or dropped at once, and counted.",
);

const DENY: Key = Key::optional(
    "deny",
    Type::Networks,
    r#"["192.0.2.66"]"#,
    "Peers in these networks may not send, even if `allow` holds them.",
);

const MAX_RATE_PER_PEER: Key = Key::default(
    "max_rate_per_peer",
    Type::CountOr(1, 1_000_000, "none"),
    r#""none""#,
    "Messages per second that one peer may send, and one second's worth, at least 100, at once. Datagrams over it are \
     dropped and counted; connections are read more slowly.",
);

const PROXY_PROTOCOL: Key = Key::optional(
    "proxy_protocol",
    Type::Networks,
    r#"["10.0.0.0/8"]"#,
    "The proxies: a connection from these networks must begin with a PROXY header, version 1 or 2, and is of the peer that it \
     names; from elsewhere none is looked for.",
);

// === udp ===

const UDP: Kind<SourceKind> = Kind {
    name: "udp",
    doc: "Syslog over UDP (RFC 5426).",
    single: false,
    keys: &[
        LISTEN,
        Key::default(
            "receive_buffer",
            Type::Size(4096, 1 << 30),
            r#""8MiB""#,
            "Asked of the kernel for each worker; without root it grants at most net.core.rmem_max.",
        ),
        Key::default(
            "workers",
            Type::Count(1, 64),
            "1",
            "Sockets at the address, each read by its own task. What one sender sends from one port stays on one socket.",
        ),
        ALLOW,
        DENY,
        MAX_RATE_PER_PEER,
    ],
    read: |table| {
        let (listen, receive_buffer, workers) =
            (table.address("listen"), table.memory("receive_buffer"), table.count("workers"));
        let (access, max_rate_per_peer) = (access(table), max_rate(table));
        Some(SourceKind::Udp(UdpConfig {
            listen: listen?,
            receive_buffer: receive_buffer?,
            workers: workers?,
            access,
            max_rate_per_peer,
        }))
    },
};

// === tcp ===

const TCP: Kind<SourceKind> = Kind {
    name: "tcp",
    doc: "Syslog over TCP (RFC 6587), or over TLS (RFC 5425).",
    single: false,
    keys: &[
        LISTEN,
        FRAMING,
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        IDLE_TIMEOUT,
        ALLOW,
        DENY,
        PROXY_PROTOCOL,
        MAX_RATE_PER_PEER,
        tls::TLS,
    ],
    read: |table| {
        let (listener, stream) = (listener(table), stream(table));
        Some(SourceKind::Tcp(TcpConfig { listener: listener?, stream: stream? }))
    },
};

// === relp ===

const RELP: Kind<SourceKind> = Kind {
    name: "relp",
    doc: "Syslog over RELP, or RELP over TLS: a message is acknowledged when every sink has it durably.",
    single: false,
    keys: &[
        Key::required("listen", Type::Address, r#""[::]:20514""#, "Address and port; `[::]` takes IPv4 too."),
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        Key::default(
            "idle_timeout",
            Type::Duration(&["never"]),
            r#""never""#,
            "A connection that is silent for so long is closed; its sender opens another for its next message.",
        ),
        Key::default(
            "window",
            Type::Count(1, 65536),
            "128",
            "So many messages of one connection may wait for their acknowledgement; then it is not read.",
        ),
        Key::default(
            "acknowledge_timeout",
            Type::Duration(&[]),
            r#""80s""#,
            "A message that is not delivered so long after it was read ends its session, and is sent again; so does an answer \
             that is not read. Keep it below the sender's own `timeout`, 90 s for rsyslog.",
        ),
        Key::default(
            "oversize",
            Type::Word(&["truncate", "close"]),
            r#""truncate""#,
            "What becomes of a message over max_frame_size: `close` never acknowledges it, so its sender sends it again.",
        ),
        ALLOW,
        DENY,
        PROXY_PROTOCOL,
        MAX_RATE_PER_PEER,
        tls::TLS,
    ],
    read: |table| {
        let (listener, max_connections) = (listener(table), table.count("max_connections"));
        let (idle_timeout, window) = (idle_timeout(table), table.count("window"));
        let acknowledge_timeout = table.duration("acknowledge_timeout");
        let oversize = if table.word("oversize")? == "close" { Oversize::Close } else { Oversize::Truncate };
        let session = SessionConfig {
            max_connections: max_connections?,
            idle_timeout: idle_timeout?,
            window: window?,
            acknowledge_timeout: acknowledge_timeout?,
            oversize,
        };
        Some(SourceKind::Relp(RelpConfig { listener: listener?, session }))
    },
};

// === unix ===

const UNIX: Kind<SourceKind> = Kind {
    name: "unix",
    doc: "A unix domain socket, such as /dev/log.",
    single: false,
    keys: &[
        Key::required("path", Type::Path, r#""/run/postrider/log""#, "Where the socket is made."),
        Key::default(
            "kind",
            Type::Word(&["datagram", "stream"]),
            r#""datagram""#,
            "What syslog(3) writes to is `datagram`; the keys below are for `stream` alone.",
        ),
        Key::default("mode", Type::Mode, r#""0660""#, "Permission bits of the socket."),
        FRAMING,
        MAX_CONNECTIONS,
        IDLE_TIMEOUT,
    ],
    read: |table| {
        let (path, kind, mode, stream) =
            (table.path("path"), table.deciding_word("kind"), table.mode("mode"), stream(table));
        let path = path.filter(|path| check_length(table, path));
        let stream = if kind? == "stream" {
            Some(stream?)
        } else {
            refuse_stream_keys(table);
            None
        };
        Some(SourceKind::Unix(UnixConfig { path: path?, mode: mode?, stream }))
    },
};

/// The kernel takes no more (unix(7), `sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

fn check_length(table: &mut Reader<'_, '_>, path: &Path) -> bool {
    let long = path.as_os_str().len() > LONGEST_SOCKET_PATH;
    if long {
        let message = format!("the path of a socket has at most {LONGEST_SOCKET_PATH} bytes");
        table.error(Diagnostic::at(table.place("path"), message));
    }
    !long
}

/// One datagram is one message, and has no connection.
fn refuse_stream_keys(table: &mut Reader<'_, '_>) {
    for key in [FRAMING, MAX_CONNECTIONS, IDLE_TIMEOUT] {
        if table.gives(key.name) {
            let error = Diagnostic::at(table.place(key.name), format!("a datagram socket has no `{}`", key.name));
            table.error(error.help("leave it out, or write kind = \"stream\""));
        }
    }
}

// === file ===

const FILE: Kind<SourceKind> = Kind {
    name: "file",
    doc: "Log files that grow, such as Postfix's own maillog_file, through their rotation.",
    single: false,
    keys: &[
        Key::required(
            "paths",
            Type::Paths,
            r#"["/var/log/postfix.log"]"#,
            "Absolute paths; `*`, `?` and `[..]` match in every component. Files that end with .gz are read once.",
        ),
        Key::required(
            "state",
            Type::Path,
            r#""/var/lib/postrider""#,
            "The directory of the cursor, which says how far each file has been delivered.",
        ),
        Key::default(
            "start",
            Type::Word(&["beginning", "end"]),
            r#""end""#,
            "Where files are begun that are there when no cursor is; what appears later is read from its beginning.",
        ),
        Key::default("poll_interval", Type::Duration(&[]), r#""250ms""#, "How often files are looked for and read."),
        Key::optional(
            "follow_symlinks",
            Type::Bool,
            "false",
            "Whether links are followed; without it those in directories that only root or Postrider's user may write to.",
        ),
    ],
    read: |table| {
        let (paths, state) = (table.absolute_paths("paths"), table.path("state"));
        let (start, poll_interval) = (table.word("start"), table.duration("poll_interval"));
        let links = match table.bool("follow_symlinks") {
            Some(true) => Links::All,
            Some(false) => Links::None,
            None => Links::Trusted,
        };
        Some(SourceKind::File(FollowConfig {
            paths: paths?,
            state: state?,
            from_beginning: start? == "beginning",
            poll_interval: poll_interval?,
            links,
        }))
    },
};

// === stdin ===

const STDIN: Kind<SourceKind> = Kind {
    name: "stdin",
    doc: "The standard input; when it ends and no other source is left, Postrider delivers what it has and leaves.",
    single: true,
    keys: &[FRAMING],
    read: |table| Some(SourceKind::Stdin(StdinConfig { framing: framing(table)? })),
};

// === what they have in common ===

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

fn listener(table: &mut Reader<'_, '_>) -> Option<ListenerConfig> {
    let listen = table.address("listen");
    let (access, max_rate_per_peer) = (access(table), max_rate(table));
    let max_connections_per_peer = table.count_or_word("max_connections_per_peer");
    let max_connections_per_peer = max_connections_per_peer.and_then(|count| usize::try_from(count).ok());
    let proxy_protocol = table.networks("proxy_protocol");
    // After an error in it there is no configuration at all.
    let tls = table.inner(tls::TLS.name, tls::read).flatten();
    Some(ListenerConfig { listen: listen?, access, proxy_protocol, max_connections_per_peer, max_rate_per_peer, tls })
}

fn access(table: &mut Reader<'_, '_>) -> Access {
    Access { allow: table.networks("allow"), deny: table.networks("deny") }
}

/// `None` is no limit.
fn max_rate(table: &mut Reader<'_, '_>) -> Option<u32> {
    table.count_or_word("max_rate_per_peer").and_then(|rate| u32::try_from(rate).ok())
}

fn stream(table: &mut Reader<'_, '_>) -> Option<StreamConfig> {
    let framing = framing(table);
    let (max_connections, idle_timeout) = (table.count("max_connections"), idle_timeout(table));
    Some(StreamConfig { framing: framing?, max_connections: max_connections?, idle_timeout: idle_timeout? })
}

/// `Some(None)` for a connection that may be silent for ever.
#[allow(clippy::option_option)]
fn idle_timeout(table: &mut Reader<'_, '_>) -> Option<Option<Duration>> {
    Some(match table.time("idle_timeout")? {
        Time::Span(duration) => Some(duration),
        Time::Word(_) => None,
    })
}

fn framing(table: &mut Reader<'_, '_>) -> Option<Framing> {
    Some(match table.word("framing")? {
        "octet_counting" => Framing::OctetCounting,
        "lf" => Framing::Lf,
        "nul" => Framing::Nul,
        _ => Framing::Auto,
    })
}
