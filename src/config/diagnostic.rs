//! One error of a configuration file.

use std::ops::Range;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    /// What is wrong: lower case, no full stop.
    pub(super) message: String,
    /// Where, in bytes of the text; `None` for what is not there at all.
    pub(super) span: Option<Range<usize>>,
    /// A second place that belongs to it, and what is there.
    pub(super) also: Option<(Range<usize>, &'static str)>,
    /// What to write instead.
    pub(super) help: Option<String>,
    /// Whether it says that something is not there. Such an error means nothing in a file with broken syntax.
    pub(super) absence: bool,
}

impl Diagnostic {
    /// An error at a place.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), also: None, help: None, absence: false }
    }

    /// An error of the file as a whole: something is not there.
    pub(super) fn absent(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, also: None, help: None, absence: true }
    }

    /// With a hint.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a second place, and what is there.
    pub(super) fn also(mut self, span: Range<usize>, what: &'static str) -> Self {
        self.also = Some((span, what));
        self
    }

    /// As one that means nothing in a file with broken syntax.
    pub(super) fn of_absence(mut self) -> Self {
        self.absence = true;
        self
    }
}
