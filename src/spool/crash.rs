//! Named places at which a test can have the process killed.

/// A step after which a crash must lose nothing. With `POSTRIDER_CRASH_AT=NAME:N` in the environment, the process kills itself
/// with SIGKILL when it comes to the place NAME for the Nth time. A release build does not look.
#[cfg(debug_assertions)]
pub(super) fn crash_point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use nix::sys::signal::{Signal, raise};

    static AT: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let at = AT.get_or_init(|| {
        let value = std::env::var("POSTRIDER_CRASH_AT").ok()?;
        let (name, count) = value.rsplit_once(':').unwrap_or((&value, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((wanted, left)) = at
        && wanted == name
        && left.fetch_sub(1, Relaxed) == 1
    {
        let _ = raise(Signal::SIGKILL);
    }
}

/// A release build does not look.
#[cfg(not(debug_assertions))]
pub(super) const fn crash_point(_name: &str) {}
