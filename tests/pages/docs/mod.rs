//! Does every block of the pages in docs/ do what the page says, as it stands there?
//!
//! The word behind a fence says what a block is; docs/README.md has the list. Each page has one test, which takes its
//! blocks in their order and fails if one is left: senders really send, Postrider really runs, logs are really logged.
//! The blocks of docs/relp.md, docs/tls.md, docs/dead-letter.md and docs/kafka.md are run by
//! `tests/rsyslog/relp_senders.rs`, `tests/rsyslog/tls.rs`, `tests/kafka/dead_letter.rs` and
//! `tests/kafka/promises/topics.rs`.

mod access;
mod admin;
mod causes;
mod commands;
mod config;
mod containers;
mod correlation;
mod events;
mod file;
mod headers;
mod index;
mod operation;
mod output;
mod page;
mod promises;
mod record;
mod reload;
pub(crate) mod running;
mod spool;
mod stdin;
mod systemd;
mod tcp;
mod udp;
mod unix;
