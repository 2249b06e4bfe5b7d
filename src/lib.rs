//! Postrider receives syslog, understands what Postfix says in it, and hands on one JSON record per message.
//!
//! ```text
//! rsyslog, syslog-ng, Postfix, files             stdout, files, Kafka
//!           |                                              ^
//!           v                                              |
//!         source --> frame --> syslog --> postfix --> encode --> sink
//!                    Frame     Message    Record      Batch
//! ```
//!
//! The modules below stand in the order of that flow, and imports run one way along it. `ARCHITECTURE.md` says what each
//! stage may know and where each kind of change goes.

// The vocabulary.
mod byte_set;
mod decimal;
pub mod flags;
pub mod record;
pub mod time;

// The stages, in the order of the flow.
pub mod source;
pub mod frame;
pub mod syslog;
pub mod postfix;
pub mod select;
pub mod template;
pub mod encode;
pub mod pipeline;
pub mod buffer;
pub mod spool;
pub mod sink;

// What holds them together.
pub mod app;
pub mod cli;
pub mod config;
mod crash;
pub mod decode;
pub mod explain;
mod gzip;
pub mod ledger;
pub mod log;
pub mod net;
pub mod network;
pub mod panics;
pub mod receipt;
pub mod replay;
pub mod schema;
mod small_file;
pub mod standard;
mod suggest;
pub mod systemd;
mod throttle;
pub mod tls;
pub mod unparsed;
