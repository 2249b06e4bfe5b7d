//! Does the spool keep what it has committed: through crashes that forget what was not synced, damage, and a disk that
//! fails?

mod commands;
mod damage;
mod faults;
mod killed;
mod lines;
mod properties;
mod simulated;
