//! One error of a configuration file.

use std::ops::Range;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    /// Description of the error: lower case, no full stop.
    pub(super) message: String,
    /// Position in bytes of the text; `None` if something is missing from the whole file.
    pub(super) span: Option<Range<usize>>,
    /// A second position that is part of the error, and a label for it.
    pub(super) also: Option<(Range<usize>, &'static str)>,
    /// Hint: what to write instead.
    pub(super) help: Option<String>,
    /// True if the error reports that something is missing. Such an error means nothing in a file with broken syntax.
    pub(super) absence: bool,
}

impl Diagnostic {
    /// Returns an error at a position.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), also: None, help: None, absence: false }
    }

    /// Returns an error of the whole file: something is missing.
    pub(super) fn absent(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, also: None, help: None, absence: true }
    }

    /// Adds a hint.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second position with its label.
    pub(super) fn also(mut self, span: Range<usize>, what: &'static str) -> Self {
        self.also = Some((span, what));
        self
    }

    /// Marks the error as one that means nothing in a file with broken syntax.
    pub(super) fn of_absence(mut self) -> Self {
        self.absence = true;
        self
    }
}
