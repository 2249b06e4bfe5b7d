//! Tests of the configuration as a whole, by subject.

mod admin;
mod correlate;
mod errors;
mod files;
mod hostile;
mod kafka;
mod sinks;
mod sources;
mod values;

use super::{Config, parse};

/// The errors of a text as the operator sees them.
fn errors(text: &str) -> String {
    match parse(text, "test.toml") {
        Ok(config) => panic!("no error: {config:#?}"),
        Err(found) => found.to_string(),
    }
}

fn config(text: &str) -> Config {
    parse(text, "test.toml").unwrap_or_else(|found| panic!("{found}"))
}
