//! Claims that a test makes about what was told.

use std::fmt::Debug;

/// A claim that does not hold.
#[derive(Debug)]
pub(super) struct Fault {
    /// The message or the session, by a name that no other has.
    pub(super) about: String,
    pub(super) field: &'static str,
    /// The values, and all that is known of the subject.
    pub(super) text: String,
}

/// Result of some claims.
pub(super) type Checked = Result<(), Fault>;

/// Claims about one message or session.
pub(super) struct Claims<'c> {
    pub(super) about: &'c str,
    /// Describes the subject.
    pub(super) what: &'c dyn Fn() -> String,
}

impl Claims<'_> {
    pub(super) fn holds(&self, field: &'static str, holds: bool) -> Checked {
        if holds { Ok(()) } else { Err(self.fault(field, "")) }
    }

    pub(super) fn equal<T: PartialEq + Debug + ?Sized>(&self, field: &'static str, told: &T, truth: &T) -> Checked {
        if told == truth { Ok(()) } else { Err(self.fault(field, &format!("{told:?} is told, and {truth:?} is true"))) }
    }

    /// A fact that is not told is not wrong.
    pub(super) fn agrees<T: PartialEq + Debug>(
        &self,
        field: &'static str,
        told: Option<&T>,
        truth: Option<&T>,
    ) -> Checked {
        if told.is_none() { Ok(()) } else { self.equal(field, &told, &truth) }
    }

    fn fault(&self, field: &'static str, difference: &str) -> Fault {
        Fault { about: self.about.to_owned(), field, text: format!("{difference}\n{}", (self.what)()) }
    }
}
