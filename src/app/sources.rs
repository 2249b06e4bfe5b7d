//! The sources that there are: those of the configuration, and those of earlier ones whose connections live on.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::task;

use super::Error;
use crate::config::{SourceConfig, SourceKind};
use crate::ledger::SourceLedger;
use crate::record::{Origin, Transport};
use crate::source::{Failed, Sockets, Stop};

/// A source and its counts.
pub(super) struct LiveSource {
    pub(super) config: SourceConfig,
    pub(super) ledger: Arc<SourceLedger>,
    pub(super) stop: Stop,
    pub(super) sockets: Sockets,
    pub(super) task: task::Id,
    /// Whether it is of the configuration as it is now.
    pub(super) is_current: bool,
    /// Whether it has ended: its input has, which only the standard input's does, or it can't go on.
    pub(super) has_ended: bool,
    /// Why it can't go on, once that is so.
    pub(super) failed: Arc<OnceLock<Arc<Failed>>>,
}

impl LiveSource {
    /// Why it can't go on, if that is so.
    pub(super) fn error(&self) -> Option<Error> {
        let reason = self.failed.get()?;
        Some(Error::Source { name: self.config.name.clone(), reason: Arc::clone(reason) })
    }
}

/// What becomes of a source that is not in the configuration any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its address has a new reader: its connections live on.
    Succeeded,
    /// It stops, as at a stop of the program.
    Stopped,
}

/// Whether `new` takes over the sockets of `old`.
pub(super) fn succeeds(old: &SourceConfig, new: &SourceConfig) -> bool {
    match (&old.kind, &new.kind) {
        (SourceKind::Udp(one), SourceKind::Udp(other)) => same_address(one.listen, other.listen, old, new),
        (SourceKind::Unix(one), SourceKind::Unix(other)) => {
            one.path == other.path && one.stream.is_some() == other.stream.is_some()
        }
        // The name is that of the cursor's file.
        (SourceKind::File(one), SourceKind::File(other)) => one.state == other.state && old.name == new.name,
        (one, other) => match (tcp_address(one), tcp_address(other)) {
            (Some(one), Some(other)) => same_address(one, other, old, new),
            _ => false,
        },
    }
}

/// Port 0 is another port each time, so there the name tells.
fn same_address(one: SocketAddr, other: SocketAddr, old: &SourceConfig, new: &SourceConfig) -> bool {
    one == other && (one.port() != 0 || old.name == new.name)
}

const fn tcp_address(source: &SourceKind) -> Option<SocketAddr> {
    match source {
        SourceKind::Tcp(tcp) => Some(tcp.listener.listen),
        SourceKind::Relp(relp) => Some(relp.listener.listen),
        SourceKind::Udp(_) | SourceKind::Unix(_) | SourceKind::File(_) | SourceKind::Stdin(_) => None,
    }
}

/// Whether `old` may have what `new` cannot bind: the same port at an address that overlaps, or the path.
pub(super) fn obstructs(old: &SourceConfig, new: &SourceConfig) -> bool {
    let same_port = |one: SocketAddr, other: SocketAddr| one.port() == other.port() && one.port() != 0;
    match (&old.kind, &new.kind) {
        (SourceKind::Udp(one), SourceKind::Udp(other)) => same_port(one.listen, other.listen),
        (SourceKind::Unix(one), SourceKind::Unix(other)) => one.path == other.path,
        (one, other) => tcp_address(one).zip(tcp_address(other)).is_some_and(|(one, other)| same_port(one, other)),
    }
}

/// What becomes of `old` when `new` takes over its sockets.
pub(super) fn fate(old: &SourceConfig, new: &SourceConfig) -> Fate {
    match (&old.kind, &new.kind) {
        // Two cannot keep one cursor.
        (SourceKind::File(_), _) => Fate::Stopped,
        // The new configuration may allow a sink that an acknowledgement cannot rely on. Their senders lose nothing.
        (SourceKind::Relp(_), kind) if !matches!(kind, SourceKind::Relp(_)) => Fate::Stopped,
        _ => Fate::Succeeded,
    }
}

pub(super) fn max_connections(source: &SourceKind) -> usize {
    match source {
        SourceKind::Tcp(tcp) => tcp.stream.max_connections,
        SourceKind::Relp(relp) => relp.session.max_connections,
        SourceKind::Unix(unix) => unix.stream.as_ref().map_or(0, |stream| stream.max_connections),
        SourceKind::Udp(_) | SourceKind::File(_) | SourceKind::Stdin(_) => 0,
    }
}

pub(super) fn origin(source: &SourceConfig) -> Origin {
    let transport = match &source.kind {
        SourceKind::Tcp(tcp) if tcp.listener.tls.is_some() => Transport::Tls,
        SourceKind::Udp(_) => Transport::Udp,
        SourceKind::Tcp(_) => Transport::Tcp,
        SourceKind::Relp(_) => Transport::Relp,
        SourceKind::Unix(_) => Transport::Unix,
        SourceKind::File(_) => Transport::File,
        SourceKind::Stdin(_) => Transport::Stdin,
    };
    Origin { name: source.name.clone(), transport, zone: source.zone.clone(), format: source.format }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The only source of a configuration.
    fn source(text: &str) -> SourceConfig {
        let text = format!("[[source.{text}\n[[sink.stdout]]\n");
        config::parse(&text, "test").unwrap().sources.remove(0)
    }

    /// What becomes of the first when the second is the new one; `None` if that has nothing to do with it.
    fn between(old: &str, new: &str) -> Option<Fate> {
        let (old, new) = (source(old), source(new));
        succeeds(&old, &new).then(|| fate(&old, &new))
    }

    #[test]
    fn a_socket_is_handed_over_at_the_same_address_only() {
        let tcp = "tcp]]\nlisten = \"127.0.0.1:514\"";
        let relp = "relp]]\nlisten = \"127.0.0.1:514\"";
        let named = "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:514\"\nmax_connections = 7";
        assert_eq!(between(tcp, named), Some(Fate::Succeeded));
        assert_eq!(between(tcp, relp), Some(Fate::Succeeded));
        assert_eq!(between(relp, tcp), Some(Fate::Stopped));
        assert_eq!(between(tcp, "tcp]]\nlisten = \"127.0.0.2:514\""), None);
        assert_eq!(between(tcp, "udp]]\nlisten = \"127.0.0.1:514\""), None);
        let any = "tcp]]\nlisten = \"127.0.0.1:0\"";
        assert_eq!(between(any, "tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = 7"), Some(Fate::Succeeded));
        assert_eq!(between(any, "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:0\""), None);
        let datagram = "unix]]\npath = \"/run/log\"";
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nmode = \"0600\""), Some(Fate::Succeeded));
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nkind = \"stream\""), None);
        let file = "file]]\npaths = [\"/var/log/mail.log\"]\nstate = \"/var/lib/postrider\"";
        assert_eq!(between(file, &file.replace("mail.log", "maillog")), Some(Fate::Stopped));
        assert_eq!(between(file, &file.replace("lib", "cache")), None);
    }

    #[test]
    fn who_is_in_the_way_is_named() {
        let obstructs = |old: &str, new: &str| obstructs(&source(old), &source(new));
        assert!(obstructs("tcp]]\nlisten = \"[::]:514\"", "relp]]\nlisten = \"127.0.0.1:514\""));
        assert!(!obstructs("tcp]]\nlisten = \"[::]:514\"", "tcp]]\nlisten = \"127.0.0.1:601\""));
        assert!(!obstructs("tcp]]\nlisten = \"127.0.0.1:0\"", "tcp]]\nlisten = \"127.0.0.1:0\""));
        assert!(!obstructs("tcp]]\nlisten = \"[::]:514\"", "udp]]\nlisten = \"[::]:514\""));
        assert!(obstructs("unix]]\npath = \"/run/log\"", "unix]]\npath = \"/run/log\"\nkind = \"stream\""));
    }
}
