//! Are the promises of `docs/promises.md` kept for followed files and the ways in that nobody acknowledges, while
//! Postrider dies, its disk is full, fails or gives back damage, and a destination is away or refuses?

mod fan_out;
mod files;
mod followed;
mod held;
mod kafka;
mod refused;
mod senders;
mod spool;
mod times;
mod topics;
mod ways;

use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
