//! Do the senders that users have deliver each of 100,000 numbered messages exactly once?
//!
//! Each test runs a real sender against a Postrider of its own, which writes to a file: every number has to be there
//! once, with the fields that the sender gave it, and the ledger has to agree. The tests run one at a
//! time, because each keeps two cores busy. RELP, which survives a restart in between, has tests of its own.

mod collector;
mod logger;
mod loggen;
mod rsyslog;
mod syslog_ng;

/// Number of messages of each sender.
const COUNT: usize = 100_000;
