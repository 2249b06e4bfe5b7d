//! Does every line that a real Postfix writes give its event, with the values that the line has?
//!
//! Each test runs a Postfix in scenarios of one subject. All of its log is decoded: each line gives one record, and
//! none is `other`. Tables then say, for lines of the log, which event each is and what it carries.
//!
//! `KEEP_LOGS=DIRECTORY cargo test --test postfix scenarios` leaves the logs there, to be looked at.

// A scenario is a list of what happens, and a table of what is logged: cut in two, neither would be read without the
// other.
#![allow(clippy::too_many_lines)]

mod administration;
mod checks;
mod deliveries;
mod joins;
mod log;
mod names;
mod postscreen;
mod remote;
mod sessions;
mod summaries;
mod tls;
