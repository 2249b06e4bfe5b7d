//! The change from one configuration to the next. The start of the program is the same change, from an empty
//! configuration.
//!
//! First everything new is prepared while the old continues (`prepare.rs`): the threads of a new sink wait, and a new
//! source is bound but does not read. On an error all of this is dropped, and nothing has changed. Then, in one step
//! that cannot fail, the pipeline is replaced and the new parts start (`sources.rs`, `sinks.rs`). Running parts that
//! the next configuration does not name leave: they end what they have.
//!
//! | | equal in both | only in the old, or changed |
//! |---|---|---|
//! | source | continues; the next batch takes the new pipeline | passes its sockets to the new source at its address, while its connections live on; stops if there is none |
//! | sink | continues with its queue, threads, spool and files | receives nothing more and delivers what it has; a new sink with the same destination or spool starts after that |

use std::sync::Arc;

use super::part::{NextPart, PartId};
use super::prepare::{NextSink, Prepared};
use super::{App, GeneralSettings, Times};
use crate::config::Config;
use crate::correlate::Correlator;
use crate::crash::panic_point;

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
    pub(super) fn exchange(&mut self, prepared: Prepared) -> Changes {
        let changes = self.changes(&prepared);
        panic_point("exchange");
        let Prepared { config, plan, sinks, sources, joins, admin: listeners, start } = prepared;
        plan.set(&self.descriptors);
        if self.plan.replace(plan) != Some(plan) {
            plan.log();
        }
        let Config { language, shutdown_timeout, correlate, admin, .. } = config;
        self.times = Times::of(shutdown_timeout);
        let tasks = &mut self.sources.tasks;
        let joins = self.ticks.exchange(joins, &correlate, (&self.pipeline, &self.checkpoint), tasks);
        self.settings = GeneralSettings { language, shutdown_timeout, correlate, admin };
        self.exchange_sinks(sinks, joins);
        self.sources.exchange(sources, self.times.sources);
        self.admin.exchange(listeners);
        self.status.configured();
        start.begin();
        changes
    }

    /// Replaces the pipeline: frames read from now on go to the sinks of the next configuration.
    fn exchange_sinks(&mut self, next: Vec<NextSink>, joins: Option<Arc<Correlator>>) {
        let handovers: Vec<PartId> =
            next.iter().filter_map(NextPart::new_part).flat_map(|new| new.takes_spool_of.iter().copied()).collect();
        let leaving = self.sinks.begin(next);
        let outlets = self.sinks.outlets(self.settings.language);
        self.pipeline.replace(self.pipeline.get().succeeded_by(outlets, joins));
        let pipeline = self.pipeline.get();
        self.status.joins = pipeline.joins().cloned();
        self.status.shown.add(&pipeline);
        for sink in &mut self.sinks.list {
            sink.control.set_timeout(self.times.sinks);
            sink.shown.add(&pipeline);
        }
        self.sinks.leave(leaving, &handovers, self.times.sinks);
    }

    fn changes(&self, prepared: &Prepared) -> Changes {
        let config = &prepared.config;
        let sources = self.sources.list.iter().filter(|old| old.life.is_current());
        let sources: Vec<_> = sources.map(|old| old.config.name.as_str()).collect();
        let sinks = self.sinks.list.iter().filter(|old| old.life.is_current());
        let sinks: Vec<_> = sinks.map(|old| old.config.name.as_str()).collect();
        let new_sources = prepared.sources.iter().map(|new| (new.config().name.as_str(), new.is_kept()));
        let new_sinks = prepared.sinks.iter().map(|new| (new.config().name.as_str(), new.is_kept()));
        let settings = [
            ("language", config.language != self.settings.language),
            ("shutdown_timeout", config.shutdown_timeout != self.settings.shutdown_timeout),
            ("correlate", config.correlate != self.settings.correlate),
            ("admin", config.admin != self.settings.admin),
        ];
        Changes {
            sources: Names::compare(&sources, new_sources),
            sinks: Names::compare(&sinks, new_sinks),
            settings: settings.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect(),
        }
    }
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
