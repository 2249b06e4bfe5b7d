//! The programs that Postrider meets in the field, run by the tests as their users run them: Apache Kafka, Debian's
//! rsyslog and Prometheus, syslog-ng with its loggen, and Postfix, each in a directory of its own and on loopback ports
//! of its own.
//!
//! `./dev setup test` installs them. A peer that is missing fails its test and names that command; only what Python has
//! from PyPI is done without, and the test says so.
//!
//! Everything started here ends with its value, and with the test process should that die first: see [`process`].

// A test fails by a panic.
#![allow(clippy::missing_panics_doc)]

pub mod amavis;
pub mod clock;
pub mod dns;
pub mod endless;
pub mod greylist;
pub mod http;
pub mod kafka;
pub mod loggen;
pub mod mail;
pub mod messages;
pub mod milter;
pub mod numbered;
pub mod output;
pub mod pki;
pub mod port;
pub mod postfix;
pub mod postrider;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod python;
pub mod relp;
pub mod rsyslog;
pub mod sasl;
pub mod scratch;
pub mod seeds;
pub mod server;
pub mod small_disk;
pub mod smtp;
pub mod smtp_script;
pub mod smtp_sink;
pub mod status;
pub mod syslog_ng;
mod syslogd;
pub mod unread;
pub mod wait;

use std::path::{Path, PathBuf};

/// Returns the directory into which Cargo builds, from the place of the running test in it: `PROFILE/deps/TEST`.
pub fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.ancestors().nth(3).expect("the target directory").to_owned()
}

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
