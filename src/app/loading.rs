//! The configuration, read beside everything else: its file may be on a file system that does not answer.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use super::reload::Changes;
use super::signals::Asked;
use super::{App, Error};
use crate::config::{self, Config, LoadError};
use crate::crash::panic_point;
use crate::panics::{self, Panic};
use crate::systemd::{self, Passed};

/// The configuration, or why there is none.
type Loaded = Result<Result<Config, LoadError>, Panic>;

/// The file that is being read, if one is.
#[derive(Default)]
pub(super) struct Loading {
    reader: Option<JoinHandle<Loaded>>,
    /// What to read once more after that, because it may have changed since.
    again: Option<PathBuf>,
}

impl App {
    /// Reads the configuration for the start; `None` if a signal asks for a stop before that is done.
    pub(super) async fn first_config(&mut self) -> Result<Option<Config>, Error> {
        let Some(file) = self.file.clone() else { return Ok(Some(Config::default_run())) };
        self.loading.begin(&file);
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(signal) => {
                        tracing::info!(signal, "stopping: the configuration was still being read");
                        return Ok(None);
                    }
                    Asked::Reload => self.loading.begin(&file),
                    // There is none yet.
                    Asked::Ledger => {}
                },
                loaded = self.loading.next() => return Ok(Some(loaded??)),
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

    /// What SIGHUP asks for, once the configuration is read. An error is a defect after which nothing can go on.
    pub(super) fn reload(&mut self, loaded: Loaded) -> Result<(), Error> {
        let file = self.file.clone().unwrap_or_default();
        let file = file.display();
        match self.use_loaded(loaded)? {
            Ok(Changes { sources, sinks, settings }) => {
                let settings = settings.join(", ");
                tracing::info!(
                    %sources, %sinks, changed_settings = (!settings.is_empty()).then_some(settings),
                    "the configuration in {file} is in use"
                );
            }
            Err(errors) => {
                tracing::error!("{errors}");
                tracing::error!(
                    "the configuration in {file} is refused: the one from before goes on, and nothing has changed"
                );
            }
        }
        systemd::ready();
        Ok(())
    }

    /// The inner error is what `postrider check` prints, or what a start would.
    fn use_loaded(&mut self, loaded: Loaded) -> Result<Result<Changes, String>, Error> {
        let config = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => return Ok(Err(error.of_reload())),
            Err(panic) => return Ok(Err(Error::from(panic).to_string())),
        };
        let applied = panics::catch(AssertUnwindSafe(|| self.apply(&config, &mut Passed::default())))?;
        Ok(applied.map_err(|error| error.to_string()))
    }
}

// === impl Loading ===

impl Loading {
    /// Begins to read `file`. If that is being done already, what comes of it does not count.
    fn begin(&mut self, file: &Path) {
        let file = file.to_owned();
        if self.reader.is_some() {
            self.again = Some(file);
            return;
        }
        self.reader = Some(tokio::task::spawn_blocking(move || {
            panics::catch(|| {
                panic_point("load");
                config::load(&file)
            })
        }));
    }

    /// Waits for what is being read; for ever, if that is nothing.
    pub(super) async fn next(&mut self) -> Loaded {
        loop {
            let Some(reader) = &mut self.reader else { return pending().await };
            let loaded = reader.await;
            self.reader = None;
            match self.again.take() {
                Some(file) => self.begin(&file),
                None => {
                    return loaded.unwrap_or_else(|error| unreachable!("a thread of the runtime did not run: {error}"));
                }
            }
        }
    }
}
