//! The thread between the queue and the worker of a sink that has a spool.
//!
//! ```text
//! queue --> this thread --> queue of the sink --> worker
//!               |   ^
//!               v   |
//!              spool
//! ```
//!
//! In mode **always**, every batch goes to the disk first, and then to the sink.
//!
//! In mode **overflow**, a batch goes to the sink at once, and to the disk only when the sink is behind. A sink is
//! behind if its queue has no room, or if its oldest batch in flight is older than `BEHIND`. The batches in flight then
//! go to the disk first, and all later batches behind them: the order on the disk is the order of arrival. This lasts
//! until the sink has been given everything that is on the disk.
//!
//! A source that waits for a receipt gets it when its records are on the disk or the sink has them, whichever comes
//! first. The spool's cursor passes a batch when the sink has it and all batches before it.
//!
//! The thread decides nothing. It tells a step machine what happened, and carries out what that decides:
//!
//! ```text
//!          events: a batch came, an outcome, a wake-up, the answer to a request
//!   +-------+ ----------------------------------------------------------------> +---------+
//!   | Stage |                                                                   | Machine |
//!   +-------+ <---------------------------------------------------------------- +---------+
//!          actions: acknowledge, store, ...  and one request: commit, give, read back, wait, ...
//! ```
//!
//! | file | subject |
//! |---|---|
//! | `item.rs` | the states of a batch, with a picture |
//! | `action.rs` | what goes into a step and what comes out of it |
//! | `machine.rs`, `answers.rs` | the state, and what each event changes |
//! | `next.rs` | the decisions |
//! | `check.rs` | what holds after each step |
//! | `stage.rs`, `held.rs`, `chunk.rs` | the thread, the batches that it holds, the records that it reads back |
//! | `entrance.rs`, `spooling.rs` | the start; the log lines about a sink that is behind |
//!
//! Records that the sink has not delivered by the stop deadline go to the disk too; the next start begins with them.
//! The stop ends early when everything is on the disk and the sink is away: it has delivered nothing for `AWAY`.

mod action;
mod answers;
#[cfg(debug_assertions)]
mod check;
mod chunk;
mod entrance;
mod held;
mod item;
mod machine;
mod next;
mod spooling;
mod stage;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use self::entrance::Entrance;

/// Maximum number of batches that share one fdatasync.
const BATCHES_PER_COMMIT: usize = 256;
/// Maximum number of bytes that wait for the disk: the stage writes them before it takes more, because memory holds a
/// copy of them.
const BYTES_PER_COMMIT: u64 = 8 << 20;
/// Interval at which the cursor is written while the sink takes nothing, so that it records which records were durable.
const CURSOR_EVERY: Duration = Duration::from_secs(10);
/// Number of bytes that are read back from the disk at a time.
const CHUNK: usize = 256 << 10;
/// Age of the oldest undelivered batch from which the sink is behind.
const BEHIND: Duration = Duration::from_secs(1);
/// Time without a delivery, during a stop, after which the sink is away and the stop does not wait for it. A quarter of
/// the time of a stop applies if that is less. A broker whose answers take two seconds is not away.
const AWAY: Duration = Duration::from_secs(3);
/// Maximum time between two checks of the sink and the clock.
const TICK: Duration = Duration::from_secs(1);
/// Maximum time between two checks while the sink is behind: room in its queue does not wake this thread.
const TICK_BEHIND: Duration = Duration::from_millis(10);

/// Maximum time to wait for the last outcomes after the stop deadline.
const LAST_OUTCOMES: Duration = Duration::from_millis(200);
/// Maximum time that a sender which already has room may take to use it when the stage ends.
const LAST_SENDERS: Duration = Duration::from_secs(1);

const GIVEN_UP: &str = "the spool is full, and drops its oldest records";
