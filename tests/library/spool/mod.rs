//! Does the spool keep what it has committed: through crashes that forget what was not synced, damage, and a disk that
//! fails?

mod commands;
mod damage;
mod faults;
mod killed;
mod lines;
mod properties;
#[path = "../../../src/spool/simulated.rs"]
mod simulated;

// The simulated disk takes these from the module that it stands in.
use postrider::spool::{Mode, Storage};
