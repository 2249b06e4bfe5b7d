//! The programs that Postrider meets in the field, run by the tests as their users run them: Apache Kafka, Debian's
//! rsyslog, syslog-ng with its loggen, and Postfix, each in a directory of its own and on loopback ports of its own.
//!
//! `./dev setup test` installs them. A peer that is missing fails its test and names that command; only what Python has
//! from PyPI is done without, and the test says so.
//!
//! Everything started here ends with its value, and with the test process should that die first: see [`process`].

// Every test binary compiles this module for itself, and uses the part that it needs.
#![allow(dead_code)]

pub(crate) mod clock;
pub(crate) mod dns;
pub(crate) mod kafka;
pub(crate) mod loggen;
pub(crate) mod milter;
pub(crate) mod numbered;
pub(crate) mod pki;
pub(crate) mod port;
pub(crate) mod postfix;
pub(crate) mod postrider;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod relp;
pub(crate) mod rsyslog;
pub(crate) mod sasl;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod small_disk;
pub(crate) mod smtp;
pub(crate) mod smtp_script;
pub(crate) mod smtp_sink;
pub(crate) mod syslog_ng;
pub(crate) mod unread;
pub(crate) mod wait;
