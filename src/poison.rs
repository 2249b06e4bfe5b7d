//! Locks that outlive a panic.

use std::sync::{LockResult, PoisonError};

/// Returns what a lock, or a wait on one, gives, also after a panic of another holder.
///
/// A panic is an error of its part, and whoever waits for that part says so (`panics.rs`). The others go on with what
/// the lock holds: no holder leaves it half changed.
pub(crate) fn ignore<G>(result: LockResult<G>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}
