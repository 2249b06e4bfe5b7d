//! Does every block of the pages in docs/ do what the page says, as it stands there?
//!
//! The word behind a fence says what a block is; docs/README.md has the list. Each page has one test, which takes its blocks in
//! their order and fails if one is left: senders really send, Postrider really runs, logs are really logged. The blocks of
//! docs/relp.md and docs/tls.md are run by `tests/relp.rs` and `tests/tls.rs`.

#[path = "../peers/mod.rs"]
mod peers;

mod access;
mod config;
mod file;
mod index;
mod page;
mod running;
mod spool;
mod stdin;
mod systemd;
mod tcp;
mod udp;
mod unix;
