//! Needs nothing but the program: its sources, sinks and commands on loopback.

mod admin;
mod bad_input;
mod checkpoint;
mod cli;
mod decode;
mod flow;
mod framing_rows;
mod joins;
mod metrics;
mod reload;
mod relp;
mod relp_rows;
mod sink_file;
mod spool_sink;
mod tls_names;
mod tls_trouble;
mod trace;
mod udp;
