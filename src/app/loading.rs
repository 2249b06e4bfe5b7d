//! Loading a configuration: reading it and preparing what it needs, while everything else continues. Both wait for file
//! systems, which may not answer.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::prepare::{Prepared, Present};
use super::reload::Changes;
use super::signals::Asked;
use super::{App, Error, say_start};
use crate::config::{self, Config};
use crate::crash::panic_point;
use crate::panics::{self, Blocking};
use crate::systemd::{self, Passed};

/// Progress of loading the next configuration.
#[derive(Default)]
pub(super) struct Loading {
    step: Option<LoadStep>,
    /// File to read again after the current step, because it may have changed since.
    again: Option<PathBuf>,
}

enum LoadStep {
    Read(Blocking<Result<Config, Error>>),
    Prepare(Blocking<Result<Prepared, Error>>),
}

/// Result of a finished step.
pub(super) enum Done {
    Read(Box<Result<Config, Error>>),
    Prepared(Box<Result<Prepared, Error>>),
}

impl App {
    /// Puts the first configuration into use; returns false if a signal asks for a stop before that is done.
    pub(super) async fn start(&mut self, mut passed: Passed) -> Result<bool, Error> {
        let mut done = match &self.file {
            Some(file) => {
                self.loading.begin(file);
                None
            }
            None => Some(Done::Read(Box::new(Ok(Config::default_run())))),
        };
        loop {
            match done.take() {
                Some(Done::Read(config)) => {
                    let config = (*config)?;
                    say_start(&config, self.file.as_deref());
                    self.loading.prepare(config, Present::of(self), std::mem::take(&mut passed));
                }
                Some(Done::Prepared(prepared)) => {
                    self.exchange((*prepared)?);
                    self.loading.go_on();
                    return Ok(true);
                }
                None => {}
            }
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(signal) => {
                        let what = self.loading.what();
                        tracing::info!(signal, "stopping: {what}");
                        return Ok(false);
                    }
                    Asked::Reload => self.file.iter().for_each(|file| self.loading.begin(file)),
                    // There is no ledger yet.
                    Asked::Ledger => {}
                },
                step = self.loading.next() => done = Some(step),
            }
        }
    }

    /// Handles SIGHUP: does what is possible at once.
    pub(super) fn hangup(&mut self) {
        tracing::info!("SIGHUP: the sinks reopen their files");
        self.sinks.list.iter().for_each(|sink| sink.control.reopen());
        if let Some(file) = &self.file {
            systemd::reloading();
            self.loading.begin(file);
        } else {
            systemd::reloading();
            systemd::ready();
        }
    }

    /// Continues a reload after each step. An error is a defect after which the program cannot continue.
    pub(super) fn reload(&mut self, done: Done) -> Result<(), Error> {
        let prepared = match done {
            Done::Read(config) => match *config {
                Ok(config) => {
                    self.loading.prepare(config, Present::of(self), Passed::default());
                    return Ok(());
                }
                Err(error) => Err(error),
            },
            Done::Prepared(prepared) => *prepared,
        };
        let file = self.file.clone().unwrap_or_default();
        let file = file.display();
        match prepared {
            Ok(prepared) => {
                let changes = panics::catch(AssertUnwindSafe(|| self.exchange(prepared)))?;
                let Changes { sources, sinks, settings } = changes;
                let settings = settings.join(", ");
                tracing::info!(
                    %sources, %sinks, changed_settings = (!settings.is_empty()).then_some(settings),
                    "the configuration in {file} is in use"
                );
            }
            Err(error) => {
                // The text is what `postrider check` prints, or what a start would print.
                let errors = match error {
                    Error::Config(error) => error.of_reload(),
                    error => error.to_string(),
                };
                tracing::error!("{errors}");
                tracing::error!("the configuration in {file} is refused; the previous configuration stays in use");
                self.status.refused(errors);
            }
        }
        if !self.loading.go_on() {
            systemd::ready();
        }
        Ok(())
    }
}

// === impl Loading ===

impl Loading {
    /// Starts to read `file`. If a read is running already, its result is discarded and `file` is read again; if a
    /// preparation is running, `file` is read after it.
    fn begin(&mut self, file: &Path) {
        let file = file.to_owned();
        if self.step.is_some() {
            self.again = Some(file);
            return;
        }
        self.step = Some(LoadStep::Read(Blocking::start(move || {
            panic_point("load");
            Ok(config::load(&file)?)
        })));
    }

    /// Starts the requested read that had to wait; returns false if there is none.
    fn go_on(&mut self) -> bool {
        let Some(file) = self.again.take() else { return false };
        self.begin(&file);
        true
    }

    /// Starts to prepare what `config` needs.
    fn prepare(&mut self, config: Config, present: Present, passed: Passed) {
        self.step = Some(LoadStep::Prepare(Blocking::start(move || present.prepare(config, passed))));
    }

    /// Returns the current step, for the log.
    const fn what(&self) -> &'static str {
        match self.step {
            Some(LoadStep::Prepare(_)) => "the sources and sinks were not ready yet",
            Some(LoadStep::Read(_)) | None => "the configuration was still being read",
        }
    }

    /// Waits for the end of a step; waits for ever if there is none.
    pub(super) async fn next(&mut self) -> Done {
        loop {
            let done = match &mut self.step {
                None => pending().await,
                Some(LoadStep::Read(reader)) => {
                    Done::Read(Box::new(reader.end().await.unwrap_or_else(|panic| Err(panic.into()))))
                }
                Some(LoadStep::Prepare(maker)) => {
                    Done::Prepared(Box::new(maker.end().await.unwrap_or_else(|panic| Err(panic.into()))))
                }
            };
            self.step = None;
            if matches!(done, Done::Prepared(_)) || !self.go_on() {
                return done;
            }
        }
    }

    /// Drops everything, which may take a moment.
    pub(super) fn leave(self) {
        spawn_blocking(move || drop(self));
    }
}
