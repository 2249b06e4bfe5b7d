//! The way to a configuration: it is read, and what it needs is made, beside everything else. Both wait for file
//! systems, which may not answer.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::prepare::{Prepared, Present};
use super::reload::Changes;
use super::signals::Asked;
use super::{App, Error, say_start};
use crate::config::{self, Config};
use crate::crash::panic_point;
use crate::panics;
use crate::systemd::{self, Passed};

/// What is under way to the next configuration.
#[derive(Default)]
pub(super) struct Loading {
    step: Option<Step>,
    /// What to read once more after that, because it may have changed since.
    again: Option<PathBuf>,
}

enum Step {
    Read(JoinHandle<Result<Config, Error>>),
    Prepare(JoinHandle<Result<Prepared, Error>>),
}

/// A step that is over.
pub(super) enum Done {
    Read(Result<Config, Error>),
    Prepared(Result<Prepared, Error>),
}

impl App {
    /// Goes over to the first configuration; false if a signal asks for a stop before that can be done.
    pub(super) async fn start(&mut self, mut passed: Passed) -> Result<bool, Error> {
        let mut done = match &self.file {
            Some(file) => {
                self.loading.begin(file);
                None
            }
            None => Some(Done::Read(Ok(Config::default_run()))),
        };
        loop {
            match done.take() {
                Some(Done::Read(config)) => {
                    let config = config?;
                    say_start(&config, self.file.as_deref());
                    self.loading.prepare(config, self.present(), std::mem::take(&mut passed));
                }
                Some(Done::Prepared(prepared)) => {
                    self.exchange(prepared?);
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
                    // There is none yet.
                    Asked::Ledger => {}
                },
                step = self.loading.next() => done = Some(step),
            }
        }
    }

    /// What SIGHUP asks for at once.
    pub(super) fn hangup(&mut self) {
        tracing::info!("SIGHUP: the sinks open their files anew");
        self.sinks.iter().for_each(|sink| sink.control.reopen());
        if let Some(file) = &self.file {
            systemd::reloading();
            self.loading.begin(file);
        } else {
            systemd::reloading();
            systemd::ready();
        }
    }

    /// What SIGHUP asks for, after each step. An error is a defect after which nothing can go on.
    pub(super) fn reload(&mut self, done: Done) -> Result<(), Error> {
        let prepared = match done {
            Done::Read(Ok(config)) => {
                self.loading.prepare(config, self.present(), Passed::default());
                return Ok(());
            }
            Done::Read(Err(error)) => Err(error),
            Done::Prepared(prepared) => prepared,
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
                // What `postrider check` prints, or what a start would.
                let errors = match error {
                    Error::Config(error) => error.of_reload(),
                    error => error.to_string(),
                };
                tracing::error!("{errors}");
                tracing::error!(
                    "the configuration in {file} is refused: the one from before goes on, and nothing has changed"
                );
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
    /// Begins to read `file`. If that is being done already, what comes of it does not count; if it is done, `file`
    /// comes next.
    fn begin(&mut self, file: &Path) {
        let file = file.to_owned();
        if self.step.is_some() {
            self.again = Some(file);
            return;
        }
        self.step = Some(Step::Read(beside(move || {
            panic_point("load");
            Ok(config::load(&file)?)
        })));
    }

    /// Begins what was asked for meanwhile; false if that is nothing.
    fn go_on(&mut self) -> bool {
        let Some(file) = self.again.take() else { return false };
        self.begin(&file);
        true
    }

    /// Begins to make what `config` needs.
    fn prepare(&mut self, config: Config, present: Present, passed: Passed) {
        self.step = Some(Step::Prepare(beside(move || present.prepare(config, passed))));
    }

    /// Whether a new configuration refers to the places of the sources and sinks that there are.
    pub(super) const fn is_preparing(&self) -> bool {
        matches!(self.step, Some(Step::Prepare(_)))
    }

    /// What is under way, for the log.
    const fn what(&self) -> &'static str {
        match self.step {
            Some(Step::Prepare(_)) => "the sources and sinks were still being made",
            Some(Step::Read(_)) | None => "the configuration was still being read",
        }
    }

    /// Waits for the end of a step; for ever, if there is none.
    pub(super) async fn next(&mut self) -> Done {
        loop {
            let done = match &mut self.step {
                None => pending().await,
                Some(Step::Read(reader)) => Done::Read(reader.await.unwrap_or_else(|error| not_run(&error))),
                Some(Step::Prepare(maker)) => Done::Prepared(maker.await.unwrap_or_else(|error| not_run(&error))),
            };
            self.step = None;
            if matches!(done, Done::Prepared(_)) || !self.go_on() {
                return done;
            }
        }
    }

    /// Lets go of all of it, which may take a moment.
    pub(super) fn leave(self) {
        spawn_blocking(move || drop(self));
    }
}

/// Does `work` on a thread of its own.
fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> JoinHandle<Result<T, Error>> {
    spawn_blocking(move || panics::catch(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panic.into())))
}

/// A panic is caught, and nobody aborts it.
fn not_run<T>(error: &JoinError) -> T {
    unreachable!("a thread of the runtime did not run: {error}")
}
