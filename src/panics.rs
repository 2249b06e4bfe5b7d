//! Panics: their message and their place, for callers that continue without the code that panicked, or shut the program
//! down in order.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, UnwindSafe};
use std::task::Poll;
use std::thread;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::log;

thread_local! {
    static HERE: RefCell<Here> = const { RefCell::new(Here { catchers: 0, place: None }) };
}

/// State of a thread.
struct Here {
    /// Number of calls of [`catch`] that are running.
    catchers: usize,
    /// Place of the panic; the [`catch`] that catches it takes this.
    place: Option<String>,
}

/// How a panic ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PanicEnd {
    /// The catcher reports the panic.
    Caught,
    Uncaught,
    /// The panic comes while another one is unwinding: Rust ends the process.
    Fatal,
}

/// Message and place of a panic, for the operator, who reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    message: String,
    /// File, line and column. `None` if the hook of [`report`] is not set.
    place: Option<String>,
}

/// Work that blocks, on a thread of its own. It continues if the value is dropped.
pub struct Blocking<T>(JoinHandle<Result<T, Panic>>);

/// Sets the panic hook of the process: an uncaught panic becomes a line of the log. A caught panic is reported by its
/// catcher.
pub fn report() {
    panic::set_hook(Box::new(hook));
}

fn hook(info: &PanicHookInfo<'_>) {
    let fate = fate(info);
    if fate != PanicEnd::Caught {
        let panic = Panic { message: message(info.payload()), place: place(info) };
        let thread = thread::current();
        log::say(&format!("postrider: the thread {} panicked: {panic}", thread.name().unwrap_or("without a name")));
    }
    // A backtrace exists if the environment asks for it: RUST_BACKTRACE=1.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        log::say(&backtrace.to_string());
    }
    if fate == PanicEnd::Fatal {
        log::finish();
    }
}

fn fate(info: &PanicHookInfo<'_>) -> PanicEnd {
    HERE.try_with(|here| here.borrow_mut().panics(place(info))).unwrap_or(PanicEnd::Uncaught)
}

fn place(info: &PanicHookInfo<'_>) -> Option<String> {
    info.location().map(ToString::to_string)
}

impl Here {
    /// Returns how a panic at `place` ends, and stores the place if it is caught.
    fn panics(&mut self, place: Option<String>) -> PanicEnd {
        if self.catchers == 0 {
            PanicEnd::Uncaught
        } else if self.place.is_some() {
            PanicEnd::Fatal
        } else {
            self.place = place;
            PanicEnd::Caught
        }
    }
}

/// Runs `work` and returns its result, or its panic.
///
/// # Errors
///
/// [`Panic`] if the code panics.
pub fn catch<T>(work: impl FnOnce() -> T + UnwindSafe) -> Result<T, Panic> {
    HERE.with_borrow_mut(|here| here.catchers += 1);
    let result = panic::catch_unwind(work);
    let place = HERE.with_borrow_mut(|here| {
        here.catchers -= 1;
        here.place.take()
    });
    result.map_err(|payload| Panic { message: message(payload.as_ref()), place })
}

/// Runs `future` and returns its result, or its panic. After a panic the future is not polled any more.
///
/// The future is boxed: an async function would hold it twice, as its argument and where it is pinned.
///
/// # Errors
///
/// [`Panic`] if the code panics.
pub fn catch_in<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Panic>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| match catch(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
}

impl<T: Send + 'static> Blocking<T> {
    /// Runs `work` on a thread of its own.
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(spawn_blocking(|| catch(AssertUnwindSafe(work))))
    }

    /// Waits for the end of the work and returns its result, or its panic. A call that is dropped can be repeated.
    ///
    /// # Errors
    ///
    /// [`Panic`] if the code panics.
    pub async fn end(&mut self) -> Result<T, Panic> {
        // The panic is caught, and nothing aborts the thread.
        (&mut self.0).await.unwrap_or_else(|error| unreachable!("a thread of the runtime did not run: {error}"))
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message").to_owned()
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Panic {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets the hook of the process, once for all tests. Uncaught panics go to the hook of the tests.
    fn with_hook() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let other = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if fate(info) != PanicEnd::Caught {
                    other(info);
                }
            }));
        });
    }

    #[test]
    fn who_catches_a_panic_knows_what_it_says_and_where_it_was() {
        with_hook();
        let line = line!() + 1;
        let panic = catch(|| panic!("no {}", "way")).unwrap_err();
        assert_eq!(panic.to_string(), format!("no way ({}:{line}:30)", file!()));
        assert_eq!(catch(|| 7), Ok(7));
        // The next one has its own place.
        let inner = catch(|| catch(|| panic!("inner")).unwrap_err()).unwrap();
        assert_eq!((inner.message.as_str(), inner.place.is_some()), ("inner", true));
        let odd = catch(|| panic::panic_any(7)).unwrap_err();
        assert_eq!(odd.message, "without a message");
    }

    #[tokio::test]
    async fn a_future_is_caught_wherever_it_panics() {
        with_hook();
        let late = async {
            tokio::task::yield_now().await;
            assert!(tokio::task::try_id().is_some(), "late");
        };
        let panic = catch_in(late).await.unwrap_err();
        assert!(panic.to_string().starts_with("late (src/panics.rs:"), "{panic}");
        assert_eq!(catch_in(async { 7 }).await, Ok(7));
    }
}
