//! The change from one configuration to the next. The start of the program is the same change, from an empty
//! configuration.
//!
//! First everything new is prepared while the old continues (`prepare.rs`): the threads of a new sink wait, and a new
//! source is bound but does not read. On an error all of this is dropped, and nothing has changed. Then, in one step
//! that cannot fail, the pipeline is replaced and the new parts start.
//!
//! | | equal in both | only in the old, or changed |
//! |---|---|---|
//! | source | continues; the next batch takes the new pipeline | passes its sockets to the new source at its address, while its connections live on; stops if there is none |
//! | sink | continues with its queue, threads, spool and files | receives nothing more and delivers what it has; a new sink with the same destination or spool starts after that |

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::prepare::{NewSink, NewSource, NextPart, Prepared};
use super::sinks::{LiveSink, ShownRecords};
use super::sources::{LiveSource, SourceFate};
use super::stall::Stall;
use super::{App, GeneralSettings, Times, ended};
use crate::config::Config;
use crate::correlate::Correlator;
use crate::crash::panic_point;
use crate::dsn::Language;
use crate::encode::Encoder;
use crate::sink::Started;
use crate::source::Stop;

/// Maximum time that a removed sink may continue if another sink waits for its spool: the other sink delivers what is
/// left.
const SPOOL_HANDOVER: Duration = Duration::from_secs(1);

/// Changes made by a reload, with the names from the configurations.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) sources: Names,
    pub(super) sinks: Names,
    pub(super) settings: Vec<&'static str>,
}

#[derive(Default)]
pub(super) struct Names {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    kept: Vec<String>,
}

impl App {
    /// Puts the configuration of `prepared` into use.
    pub(super) fn exchange(&mut self, mut prepared: Prepared) -> Changes {
        let changes = self.changes(&prepared);
        panic_point("exchange");
        for (source, slot) in prepared.config.sources.iter().zip(&prepared.sources) {
            if let NextPart::Kept(index) = slot
                && self.sources[*index].config != *source
            {
                let source = source.name.as_str();
                tracing::info!(source, "the standard input keeps its old settings until the next start");
            }
        }
        let plan = prepared.plan;
        plan.set(&self.descriptors);
        if self.plan.replace(plan) != Some(plan) {
            plan.log();
        }
        let Config { language, shutdown_timeout, correlate, admin, .. } = prepared.config.clone();
        self.times = Times::of(shutdown_timeout);
        let joins = self.next_joins(std::mem::take(&mut prepared.joins), &correlate);
        self.settings = GeneralSettings { language, shutdown_timeout, correlate, admin };
        self.exchange_sinks((language, joins), std::mem::take(&mut prepared.sinks), &prepared.handovers);
        self.exchange_sources(std::mem::take(&mut prepared.sources), &prepared.fates);
        self.admin.exchange(std::mem::take(&mut prepared.admin));
        self.status.configured();
        changes
    }

    /// Replaces the pipeline: frames read from now on go to the sinks of the new configuration. `language` is that of
    /// sinks that do not name one.
    fn exchange_sinks(
        &mut self,
        (language, joins): (Language, Option<Arc<Correlator>>),
        slots: Vec<NextPart<NewSink>>,
        handovers: &[bool],
    ) {
        let mut old: Vec<Option<LiveSink>> = std::mem::take(&mut self.sinks).into_iter().map(Some).collect();
        for slot in slots {
            let sink = match slot {
                NextPart::Kept(index) => old[index].take(),
                NextPart::New(new) => Some(self.begin_sink(new)),
            };
            self.sinks.extend(sink);
        }
        let shape = |sink: &LiveSink| Encoder { language: sink.config.language.unwrap_or(language) };
        let outlets = self.sinks.iter().filter_map(|sink| Some((shape(sink), sink.outlet.clone()?))).collect();
        self.pipeline.replace(self.pipeline.get().succeeded_by(outlets, joins));
        let pipeline = self.pipeline.get();
        self.status.joins = pipeline.joins().cloned();
        self.status.shown.add(&pipeline);
        for sink in &mut self.sinks {
            sink.control.set_timeout(self.times.sinks);
            sink.shown.add(&pipeline);
        }
        for (sink, is_awaited) in old.into_iter().zip(handovers) {
            let Some(mut sink) = sink else { continue };
            let time = if *is_awaited { self.times.sinks.min(SPOOL_HANDOVER) } else { self.times.sinks };
            // For a sink that was removed earlier, this can only shorten its time.
            sink.control.set_timeout(time);
            sink.control.stop();
            if let Some(outlet) = sink.outlet.take() {
                after(time, outlet.queue.closing());
            }
            self.sinks.push(sink);
        }
    }

    fn begin_sink(&mut self, new: NewSink) -> LiveSink {
        let NewSink { config, ledger, control, outlet, started } = new;
        let Started { workers, destination, spool } = started;
        let threads = workers.into_iter().map(|worker| self.workers.spawn(ended(worker)).id()).collect();
        let (outlet, shown) = (Some(outlet), ShownRecords::default());
        LiveSink { config, ledger, control, outlet, destination, spool, threads, shown, stall: Stall::default() }
    }

    fn exchange_sources(&mut self, slots: Vec<NextPart<NewSource>>, fates: &[Option<SourceFate>]) {
        let mut old: Vec<Option<LiveSource>> = std::mem::take(&mut self.sources).into_iter().map(Some).collect();
        for slot in slots {
            let source = match slot {
                NextPart::Kept(index) => old[index].take(),
                NextPart::New(new) => Some(self.begin_source(new)),
            };
            self.sources.extend(source);
        }
        for (source, fate) in old.into_iter().zip(fates) {
            let Some(mut source) = source else { continue };
            // The connections of a source that was removed earlier end with the last of its successors.
            let is_orphan = || !self.sources.iter().any(|new| new.is_current && new.config.succeeds(&source.config));
            match fate {
                Some(SourceFate::Succeeded) => source.stop.listening.cancel(),
                Some(SourceFate::Stopped) => self.stop_source(&source.stop),
                None if is_orphan() && !source.stop.reading.is_cancelled() => self.stop_source(&source.stop),
                None => {}
            }
            source.is_current = false;
            self.sources.push(source);
        }
    }

    fn begin_source(&mut self, new: NewSource) -> LiveSource {
        let NewSource { config, ledger, stop, mut source } = new;
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
        LiveSource { config, ledger, stop, sockets, address, task, is_current: true, has_ended: false, failed }
    }

    /// Stops a source as at a shutdown, with the same time limit.
    fn stop_source(&self, stop: &Stop) {
        stop.reading.cancel();
        after(self.times.sources, stop.waiting.clone());
    }

    fn changes(&self, prepared: &Prepared) -> Changes {
        let config = &prepared.config;
        let sources = self.sources.iter().filter(|old| old.is_current).map(|old| old.config.name.as_str());
        let sinks = self.sinks.iter().filter(|old| old.outlet.is_some()).map(|old| old.config.name.as_str());
        let new_sources =
            config.sources.iter().map(|new| new.name.as_str()).zip(prepared.sources.iter().map(NextPart::is_kept));
        let new_sinks =
            config.sinks.iter().map(|new| new.name.as_str()).zip(prepared.sinks.iter().map(NextPart::is_kept));
        let settings = [
            ("language", config.language != self.settings.language),
            ("shutdown_timeout", config.shutdown_timeout != self.settings.shutdown_timeout),
            ("correlate", config.correlate != self.settings.correlate),
            ("admin", config.admin != self.settings.admin),
        ];
        Changes {
            sources: Names::compare(&sources.collect::<Vec<_>>(), new_sources),
            sinks: Names::compare(&sinks.collect::<Vec<_>>(), new_sinks),
            settings: settings.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect(),
        }
    }
}

fn after(time: Duration, token: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        token.cancel();
    });
}

// === impl Names ===

impl Names {
    fn compare<'n>(old: &[&str], new: impl Iterator<Item = (&'n str, bool)>) -> Self {
        let mut names = Self::default();
        let mut removed = old.to_vec();
        for (name, is_kept) in new {
            removed.retain(|old| *old != name);
            let list = match (is_kept, old.contains(&name)) {
                (true, _) => &mut names.kept,
                (false, true) => &mut names.changed,
                (false, false) => &mut names.added,
            };
            list.push(name.to_owned());
        }
        names.removed = removed.into_iter().map(str::to_owned).collect();
        names
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lists =
            [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed), ("kept", &self.kept)];
        let said: Vec<_> = lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        f.write_str(&said.join("; "))
    }
}

#[cfg(test)]
mod tests;
