//! Named places at which a test can kill the process, make a thread panic, or make a call fail or take long. A release
//! build has none of them.

#[cfg(debug_assertions)]
pub(crate) use debug::{crash_point, fault_point, panic_point};

#[cfg(debug_assertions)]
mod debug {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::thread;
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, raise};

    /// Place in the environment: `NAME:N` is the place NAME when it is reached for the Nth time; `NAME:N+` also each
    /// time after that.
    struct FaultPlace {
        name: String,
        count: u64,
        lasts: bool,
        come: AtomicU64,
    }

    impl FaultPlace {
        fn of(variable: &str) -> Option<Self> {
            let value = std::env::var(variable).ok()?;
            let (name, count) = value.rsplit_once(':').unwrap_or((&value, "1"));
            let (count, lasts) = count.strip_suffix('+').map_or((count, false), |count| (count, true));
            Some(Self { name: name.to_owned(), count: count.parse().ok()?, lasts, come: AtomicU64::new(0) })
        }

        fn is_now(&self, name: &str) -> bool {
            if self.name != name {
                return false;
            }
            let come = self.come.fetch_add(1, Relaxed) + 1;
            come == self.count || (self.lasts && come > self.count)
        }
    }

    /// Marks a step after which a crash must lose nothing. With `POSTRIDER_CRASH_AT=NAME:N` in the environment, the
    /// process kills itself with SIGKILL when it reaches the place NAME for the Nth time.
    pub(crate) fn crash_point(name: &str) {
        static AT: OnceLock<Option<FaultPlace>> = OnceLock::new();
        if AT.get_or_init(|| FaultPlace::of("POSTRIDER_CRASH_AT")).as_ref().is_some_and(|place| place.is_now(name)) {
            let _ = raise(Signal::SIGKILL);
        }
    }

    /// Marks a place where a defect is simulated. With `POSTRIDER_PANIC_AT=NAME:N` in the environment, the thread
    /// panics when it reaches the place NAME for the Nth time, with `NAME:N+` also each time after that.
    ///
    /// # Panics
    ///
    /// Panics at the place that the environment names.
    #[track_caller]
    pub(crate) fn panic_point(name: &str) {
        static AT: OnceLock<Option<FaultPlace>> = OnceLock::new();
        let is_now =
            AT.get_or_init(|| FaultPlace::of("POSTRIDER_PANIC_AT")).as_ref().is_some_and(|place| place.is_now(name));
        assert!(!is_now, "a defect for a test");
    }

    /// Marks a call in which a disk may fail or be slow. With `POSTRIDER_FAIL_AT=NAME:N` in the environment, the Nth
    /// call with that name fails with EIO, with `NAME:N+` also all after it. With `POSTRIDER_SLOW_AT=NAME:MS`, or
    /// several of these separated by commas, each call with that name takes MS milliseconds longer.
    ///
    /// # Errors
    ///
    /// Fails with the simulated EIO.
    pub(crate) fn fault_point(name: &str) -> io::Result<()> {
        static AT: OnceLock<Option<FaultPlace>> = OnceLock::new();
        slow_down(name);
        let fails =
            AT.get_or_init(|| FaultPlace::of("POSTRIDER_FAIL_AT")).as_ref().is_some_and(|place| place.is_now(name));
        if fails { Err(Errno::EIO.into()) } else { Ok(()) }
    }

    fn slow_down(name: &str) {
        static AT: OnceLock<String> = OnceLock::new();
        let places = AT.get_or_init(|| std::env::var("POSTRIDER_SLOW_AT").unwrap_or_default());
        let time = places.split(',').filter_map(|place| place.rsplit_once(':')).find(|(slow, _)| *slow == name);
        if let Some(time) = time.and_then(|(_, time)| time.parse().ok()) {
            thread::sleep(Duration::from_millis(time));
        }
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn crash_point(_name: &str) {}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn panic_point(_name: &str) {}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[allow(clippy::unnecessary_wraps)]
pub(crate) const fn fault_point(_name: &str) -> std::io::Result<()> {
    Ok(())
}
