//! The configuration: from a TOML file to a [`Config`], with every error of the file in one go.
//!
//! Reading has two stages. The first is TOML's own tree, with the place of every value. In the second, a `TableReader`
//! reads the keys that `keys!` declares in `source/` and `sink/`, and each table checks its values against each other.
//! The result is a [`Config`], which needs no further checks.

mod admin;
mod check;
mod correlate;
mod diagnostic;
mod diagnostics;
mod example;
mod file;
mod form;
mod key;
mod kind;
mod paths;
mod places;
mod reader;
mod schema;
mod secret;
mod sink;
mod snippet;
mod source;
mod tls;
mod unknown;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::admin::{AdminConfig, AdminEndpoint, AdminToken};
pub use self::correlate::CorrelateConfig;
pub use self::diagnostics::Diagnostics;
pub use self::example::example;
pub use self::schema::schema;
pub use self::sink::*;
pub use self::source::*;

use self::diagnostic::Diagnostic;
use crate::dsn::Language;
use crate::small_file;

/// Everything that `run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The language of the texts that explain a code.
    pub language: Language,
    /// Maximum time for a stop, from the signal to the last flush.
    pub shutdown_timeout: Duration,
    /// The joins of the lines of a message and of a session.
    pub correlate: CorrelateConfig,
    /// The admin server.
    pub admin: AdminConfig,
    /// Sources of messages, in the order of the file; at least one.
    pub sources: Vec<SourceConfig>,
    /// Sinks for records, in the order of the file; at least one.
    pub sinks: Vec<SinkConfig>,
}

/// Reason why a configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}{}", path.display(), cure(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        error: std::io::Error,
    },
    /// The file contains errors.
    #[error("{0}; the configuration is not usable")]
    Invalid(#[from] Diagnostics),
}

impl LoadError {
    /// Returns the text for a program that continues with its current configuration.
    pub fn of_reload(&self) -> String {
        match self {
            Self::Read { .. } => self.to_string(),
            Self::Invalid(found) => found.to_string(),
        }
    }

    /// Returns the text for a program that does not start.
    pub fn of_start(&self) -> String {
        match self {
            Self::Read { .. } => self.to_string(),
            Self::Invalid(found) => format!("{found}; nothing was started"),
        }
    }
}

/// Returns what to do about a file that cannot be read; empty if the error says it.
fn cure(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "; check the path, or write the file: `postrider config` prints an example",
        std::io::ErrorKind::PermissionDenied => "; let Postrider's user read it",
        std::io::ErrorKind::IsADirectory => "; name a file in it",
        _ => "",
    }
}

/// Reads and checks a file, and the PEM files that it names. Each must be a regular file of at most 1 MiB. `load` does
/// not bind, create or connect to anything.
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

/// Parses and checks a configuration; errors refer to it as `name`.
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

impl Config {
    /// Returns warnings about settings that are valid, but have less effect than it seems or will soon stop working.
    /// Each warning names its source or sink.
    pub fn warnings(&self, now: jiff::Timestamp) -> impl Iterator<Item = String> {
        let of_source = move |source: &SourceConfig| named("source", &source.name, source.kind.facts().warnings(now));
        let of_sink = |sink: &SinkConfig| named("sink", &sink.name, sink.kind.facts().warnings());
        self.sources.iter().flat_map(of_source).chain(self.sinks.iter().flat_map(of_sink))
    }

    /// Returns the configuration of `run` without a file: UDP and TCP on 127.0.0.1:5514, JSON to the standard output.
    pub fn default_run() -> Self {
        let config = parse(DEFAULT_RUN, "default");
        config.unwrap_or_else(|found| unreachable!("the default is valid, as a test shows: {found}"))
    }
}

/// The configuration of `run` without a file.
const DEFAULT_RUN: &str = r#"[[source.udp]]
listen = "127.0.0.1:5514"
[[source.tcp]]
listen = "127.0.0.1:5514"
[[sink.stdout]]
"#;

/// Puts the name of the source or sink in front of each warning.
fn named(what: &str, name: &str, warnings: Vec<String>) -> Vec<String> {
    warnings.into_iter().map(|warning| format!("{what} {name}: {warning}")).collect()
}

#[cfg(test)]
mod tests;
