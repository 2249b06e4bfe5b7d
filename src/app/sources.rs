//! The running sources: those of the configuration, and those of earlier ones whose connections live on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::{self, JoinSet};

use super::Error;
use super::part::{NextPart, PartId, PartLife, cancel_after};
use super::prepare::{NewSource, NextSource};
use crate::config::{SourceConfig, SourceEndpoint};
use crate::ledger::SourceLedger;
use crate::record::Origin;
use crate::source::{Failed, Sockets, Stop};

/// The running sources and their tasks.
#[derive(Default)]
pub(super) struct Sources {
    /// Those of the configuration come first, in its order.
    pub(super) list: Vec<LiveSource>,
    /// The tasks of the sources, and those that hand on joined records, as sources do (`joins.rs`).
    pub(super) tasks: JoinSet<()>,
}

/// A running source and its counts.
pub(super) struct LiveSource {
    pub(super) id: PartId,
    pub(super) config: SourceConfig,
    pub(super) ledger: Arc<SourceLedger>,
    pub(super) stop: Stop,
    pub(super) sockets: Sockets,
    /// Address or path that the source reads, with the port that the kernel chose.
    pub(super) address: String,
    pub(super) task: task::Id,
    pub(super) life: PartLife,
    /// True if the source has ended: its input has ended, which happens only to the standard input, or it cannot
    /// continue.
    pub(super) has_ended: bool,
    /// Reason why the source cannot continue, once there is one.
    pub(super) failed: Arc<OnceLock<Arc<Failed>>>,
}

impl Sources {
    /// Begins the new sources of the next configuration, and makes those leave that it does not keep. They stop as at a
    /// shutdown, within `time`; the connections of one that has a successor live on.
    pub(super) fn exchange(&mut self, next: Vec<NextSource>, time: Duration) {
        let (mut old, mut succeeded) = (std::mem::take(&mut self.list), Vec::new());
        for part in next {
            let source = match part {
                NextPart::Kept { id, config } => {
                    let kept = old.iter().position(|source| source.id == id);
                    let kept = kept.unwrap_or_else(|| unreachable!("only a source that is leaving is ever removed"));
                    old.remove(kept).keep(&config)
                }
                NextPart::New { config, part: new } => {
                    succeeded.extend(new.succeeds);
                    self.start(config, new)
                }
            };
            self.list.push(source);
        }
        for mut source in old {
            // The connections of a source that was removed earlier end with the last of its successors.
            let is_orphan =
                || !self.list.iter().any(|new| new.life.is_current() && new.config.succeeds(&source.config));
            match source.life {
                PartLife::Current(()) if succeeded.contains(&source.id) => source.stop.listening.cancel(),
                PartLife::Current(()) => stop(&source.stop, time),
                PartLife::Leaving if is_orphan() && !source.stop.reading.is_cancelled() => stop(&source.stop, time),
                PartLife::Leaving => {}
            }
            source.life = PartLife::Leaving;
            self.list.push(source);
        }
    }

    fn start(&mut self, config: SourceConfig, new: NewSource) -> LiveSource {
        let NewSource { ledger, stop, mut source, succeeds: _ } = new;
        source.adapt();
        let (sockets, address) = (source.sockets(), source.address());
        tracing::info!(source = source.name(), address, "listening");
        let failed = Arc::<OnceLock<_>>::default();
        let report = Arc::clone(&failed);
        let run = async move {
            if let Err(error) = source.run().await {
                // The error is set once, and read when the task has ended.
                let _ = report.set(Arc::new(error));
            }
        };
        let task = self.tasks.spawn(run).id();
        let (id, life) = (PartId::unique(), PartLife::Current(()));
        LiveSource { id, config, ledger, stop, sockets, address, task, life, has_ended: false, failed }
    }

    /// Handles the end of the task `id`. A source ends by itself only if its input ends, or if it cannot continue.
    pub(super) fn ended(&mut self, id: task::Id) -> Result<(), Error> {
        let Some(source) = self.list.iter_mut().find(|source| source.task == id) else { return Ok(()) };
        source.has_ended = true;
        source.error().map_or(Ok(()), |error| {
            tracing::error!("{error}; stopping");
            Err(error)
        })
    }

    /// Returns true if no source of the configuration runs.
    pub(super) fn have_ended(&self) -> bool {
        self.list.iter().all(|source| source.has_ended || !source.life.is_current())
    }
}

/// Stops a source as at a shutdown, within `time`.
fn stop(stop: &Stop, time: Duration) {
    stop.reading.cancel();
    cancel_after(time, stop.waiting.clone());
}

impl LiveSource {
    /// Returns the reason why the source cannot continue, if there is one.
    pub(super) fn error(&self) -> Option<Error> {
        let reason = self.failed.get()?;
        Some(Error::Source { name: self.config.name.clone(), reason: Arc::clone(reason) })
    }

    /// Continues as the source of the next configuration with these settings. There is only one standard input, and it
    /// is like a connection: it continues with the settings with which it began.
    fn keep(self, next: &SourceConfig) -> Self {
        if self.config != *next {
            let source = next.name.as_str();
            tracing::info!(source, "the standard input keeps its old settings until the next start");
        }
        self
    }
}

/// Returns true if the connections of `old` live on when `new` takes over its sockets.
pub(super) fn passes_connections(old: &SourceConfig, new: &SourceConfig) -> bool {
    let acknowledges = |source: &SourceConfig| source.kind.facts().acknowledges_by().is_some();
    match old.kind.facts().endpoint() {
        // Two sources cannot keep one cursor.
        SourceEndpoint::Cursor(_) => false,
        // The new configuration may allow a sink on which an acknowledgement cannot rely. The senders of the old source
        // lose nothing.
        _ => !acknowledges(old) || acknowledges(new),
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

    /// Whether `new` takes over the sockets of `old`: then, whether its connections live on.
    fn between(old: &str, new: &str) -> Option<bool> {
        let (old, new) = (source(old), source(new));
        new.succeeds(&old).then(|| passes_connections(&old, &new))
    }

    #[test]
    fn a_socket_is_handed_over_at_the_same_address_only() {
        let tcp = "tcp]]\nlisten = \"127.0.0.1:514\"";
        let relp = "relp]]\nlisten = \"127.0.0.1:514\"";
        let named = "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:514\"\nmax_connections = 7";
        assert_eq!(between(tcp, named), Some(true));
        assert_eq!(between(tcp, relp), Some(true));
        assert_eq!(between(relp, tcp), Some(false));
        assert_eq!(between(tcp, "tcp]]\nlisten = \"127.0.0.2:514\""), None);
        assert_eq!(between(tcp, "udp]]\nlisten = \"127.0.0.1:514\""), None);
        let any = "tcp]]\nlisten = \"127.0.0.1:0\"";
        assert_eq!(between(any, "tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = 7"), Some(true));
        assert_eq!(between(any, "tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:0\""), None);
        let datagram = "unix]]\npath = \"/run/log\"";
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nmode = \"0600\""), Some(true));
        assert_eq!(between(datagram, "unix]]\npath = \"/run/log\"\nkind = \"stream\""), None);
        let file = "file]]\npaths = [\"/var/log/mail.log\"]\nstate = \"/var/lib/postrider\"";
        assert_eq!(between(file, &file.replace("mail.log", "maillog")), Some(false));
        assert_eq!(between(file, &file.replace("lib", "cache")), None);
    }
}
