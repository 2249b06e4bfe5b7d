//! The running sources: those of the configuration, and those of earlier ones whose connections live on.

use std::sync::{Arc, OnceLock};

use tokio::task;

use super::Error;
use crate::config::{SourceConfig, SourceEndpoint};
use crate::ledger::SourceLedger;
use crate::record::Origin;
use crate::source::{Failed, Sockets, Stop};

/// A running source and its counts.
pub(super) struct LiveSource {
    pub(super) config: SourceConfig,
    pub(super) ledger: Arc<SourceLedger>,
    pub(super) stop: Stop,
    pub(super) sockets: Sockets,
    /// Address or path that the source reads, with the port that the kernel chose.
    pub(super) address: String,
    pub(super) task: task::Id,
    /// True if the source belongs to the current configuration.
    pub(super) is_current: bool,
    /// True if the source has ended: its input has ended, which happens only to the standard input, or it cannot
    /// continue.
    pub(super) has_ended: bool,
    /// Reason why the source cannot continue, once there is one.
    pub(super) failed: Arc<OnceLock<Arc<Failed>>>,
}

impl LiveSource {
    /// Returns the reason why the source cannot continue, if there is one.
    pub(super) fn error(&self) -> Option<Error> {
        let reason = self.failed.get()?;
        Some(Error::Source { name: self.config.name.clone(), reason: Arc::clone(reason) })
    }
}

/// Fate of a source that is no longer in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceFate {
    /// A new source reads from its address: its connections live on.
    Succeeded,
    /// The source stops, as at a shutdown of the program.
    Stopped,
}

/// Returns the fate of `old` when `new` takes over its sockets.
pub(super) fn fate(old: &SourceConfig, new: &SourceConfig) -> SourceFate {
    let acknowledges = |source: &SourceConfig| source.kind.facts().acknowledges_by().is_some();
    match old.kind.facts().endpoint() {
        // Two sources cannot keep one cursor.
        SourceEndpoint::Cursor(_) => SourceFate::Stopped,
        // The new configuration may allow a sink on which an acknowledgement cannot rely. The senders of the old source
        // lose nothing.
        _ if acknowledges(old) && !acknowledges(new) => SourceFate::Stopped,
        _ => SourceFate::Succeeded,
    }
}

pub(super) fn origin(source: &SourceConfig) -> Origin {
    Origin {
        name: source.name.clone(),
        transport: source.kind.facts().transport(),
        zone: source.zone.clone(),
        format: source.format,
    }
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

    /// Returns the fate of the old source if `new` is the new one; `None` if `new` does not concern it.
    fn between(old: &str, new: &str) -> Option<SourceFate> {
        let (old, new) = (source(old), source(new));
        new.succeeds(&old).then(|| fate(&old, &new))
    }

    #[test]
    fn a_socket_is_handed_over_at_the_same_address_only() {
        let tcp = "tcp]]\nlisten = \"127.0.0.1:514\"";
        let relp = "relp]]\nlisten = \"127.0.0.1:514\"";
        let named = "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:514\"\nmax_connections = 7";
        assert_eq!(between(tcp, named), Some(SourceFate::Succeeded));
        assert_eq!(between(tcp, relp), Some(SourceFate::Succeeded));
        assert_eq!(between(relp, tcp), Some(SourceFate::Stopped));
        assert_eq!(between(tcp, "tcp]]\nlisten = \"127.0.0.2:514\""), None);
        assert_eq!(between(tcp, "udp]]\nlisten = \"127.0.0.1:514\""), None);
        let any = "tcp]]\nlisten = \"127.0.0.1:0\"";
        assert_eq!(between(any, "tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = 7"), Some(SourceFate::Succeeded));
        assert_eq!(between(any, "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:0\""), None);
        let datagram = "unix]]\npath = \"/run/log\"";
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nmode = \"0600\""), Some(SourceFate::Succeeded));
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nkind = \"stream\""), None);
        let file = "file]]\npaths = [\"/var/log/mail.log\"]\nstate = \"/var/lib/postrider\"";
        assert_eq!(between(file, &file.replace("mail.log", "maillog")), Some(SourceFate::Stopped));
        assert_eq!(between(file, &file.replace("lib", "cache")), None);
    }
}
