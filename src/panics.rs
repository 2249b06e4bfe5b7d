//! Panics: what they say and where they happened, for those who go on without what panicked, or end the program in
//! order.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, UnwindSafe};
use std::task::Poll;
use std::thread;

use crate::log;

thread_local! {
    static HERE: RefCell<Here> = const { RefCell::new(Here { catchers: 0, place: None }) };
}

/// What is known of a thread.
struct Here {
    /// How many calls of [`catch`] are at work.
    catchers: usize,
    /// Where it panics; whoever catches it takes this.
    place: Option<String>,
}

/// What becomes of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Who catches it reports it.
    Caught,
    Uncaught,
    /// It comes while another one is on its way: Rust ends the process.
    Fatal,
}

/// What a panic says, and where it happened. For the operator, who reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    message: String,
    /// File, line and column. `None` if the hook of [`report`] is not set.
    place: Option<String>,
}

/// Sets the hook for the process: a panic that nobody catches is a line of the log. Who catches one reports it.
pub fn report() {
    panic::set_hook(Box::new(hook));
}

fn hook(info: &PanicHookInfo<'_>) {
    let fate = fate(info);
    if fate != Fate::Caught {
        let panic = Panic { message: message(info.payload()), place: place(info) };
        let thread = thread::current();
        log::say(&format!("postrider: the thread {} panicked: {panic}", thread.name().unwrap_or("without a name")));
    }
    // It is there if the environment asks for it: RUST_BACKTRACE=1.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        log::say(&backtrace.to_string());
    }
    if fate == Fate::Fatal {
        log::finish();
    }
}

fn fate(info: &PanicHookInfo<'_>) -> Fate {
    HERE.try_with(|here| here.borrow_mut().panics(place(info))).unwrap_or(Fate::Uncaught)
}

fn place(info: &PanicHookInfo<'_>) -> Option<String> {
    info.location().map(ToString::to_string)
}

impl Here {
    /// What becomes of a panic at `place`.
    fn panics(&mut self, place: Option<String>) -> Fate {
        if self.catchers == 0 {
            Fate::Uncaught
        } else if self.place.is_some() {
            Fate::Fatal
        } else {
            self.place = place;
            Fate::Caught
        }
    }
}

/// The result of `work`, or its panic.
///
/// # Errors
///
/// That one.
pub fn catch<T>(work: impl FnOnce() -> T + UnwindSafe) -> Result<T, Panic> {
    HERE.with_borrow_mut(|here| here.catchers += 1);
    let result = panic::catch_unwind(work);
    let place = HERE.with_borrow_mut(|here| {
        here.catchers -= 1;
        here.place.take()
    });
    result.map_err(|payload| Panic { message: message(payload.as_ref()), place })
}

/// The result of `future`, or its panic. After one it is not polled any more.
///
/// The future is boxed: an async function would hold it twice, as its argument and where it is pinned.
///
/// # Errors
///
/// That one.
pub fn catch_in<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Panic>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| match catch(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
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

    /// The hook is the process's, and set once for all tests. What is not caught goes to the hook of the tests.
    fn with_hook() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let other = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if fate(info) != Fate::Caught {
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
