//! Needs nothing but the library: parsers, framing, the spool under a simulated disk, the rules of the code.

mod allocations;
mod correlation;
mod corpus;
mod framing;
mod fuzz;
mod headings;
mod hops;
mod join_costs;
mod joined;
mod joins;
mod layers;
mod licences;
mod mail_history;
mod mail_lines;
mod map;
mod rust_version;
mod sentences;
mod spool;
mod trace;
