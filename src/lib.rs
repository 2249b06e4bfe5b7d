//! Postrider receives syslog, parses the lines of Postfix, and writes a JSON record for each syslog message, each mail
//! and each SMTP session.
//!
//! ```text
//! rsyslog, syslog-ng, Postfix, files                                         stdout, files, Kafka
//!   |                                                                                         ^
//!   v                                                                                         |
//! source --> frame --> syslog --> postfix --> correlate --> encode --> queue --> [spool] --> sink
//!            Frame     Message    Record      Record        Batch
//! ```
//!
//! The way from bytes to a record and its JSON is a crate of its own, `postrider-parser`. It does no I/O. [`correlate`]
//! joins the lines of a mail and those of an SMTP session. It adds to a delivery what earlier lines say about its mail,
//! and makes the record of a mail or session when that is over.
//!
//! The modules below stand in layers: a module imports only modules that stand above it; `tests/library/layers.rs`
//! lists which. `ARCHITECTURE.md` has the knowledge of each stage, the place of each kind of change, and the places of
//! later parts.

// From bytes to a record and its JSON.
pub use postrider_parser::{Unread, dsn, encode, flags, frame, postfix, read_block, read_frame, record, syslog, time};

// Tools. They import nothing of the crate but other tools.
mod crash;
mod gzip;
mod poison;
mod shown;
pub mod log;
pub mod network;
mod new_file;
pub mod receipt;
pub mod sockets;
pub mod standard;
mod suggest;
pub mod systemd;
mod throttle;

// The texts of logs that commands read.
mod input;

// Uses of the schema, and of lines that no reader understands.
pub mod schema;
pub mod unparsed;

// The joins of lines.
pub mod correlate;

// Counts of what the lines say of the mail.
pub mod mail_counts;

// From records to the queues and spools of the sinks.
pub mod select;
pub mod template;
pub mod ledger;
pub mod buffer;
pub mod pipeline;
pub mod spool;

// The configuration.
mod small_file;
pub mod tls;
pub mod config;

// Panics of tasks and threads.
pub mod panics;

// The ends of the flow.
pub mod source;
pub mod sink;

// The state of the daemon, as data.
pub mod status;
pub mod metrics;

// The commands.
pub mod explain;
pub mod decode;
pub mod trace;
pub mod replay;

// The admin server.
pub mod admin;

// The arguments of the program.
pub mod cli;

// The daemon.
pub mod app;
