//! What is wrong with a configuration file: all of it, each with its place and a hint.

use std::fmt;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::snippet::Source;

/// Every error of one file. Its text is what the operator reads, ready to be written to stderr.
///
/// `Debug` gives the same text: the file itself may hold passwords, which no message and no snippet shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Box<Source>,
    list: Vec<Diagnostic>,
    /// How many there are besides `list`.
    others: usize,
}

/// Maximum number of errors that are kept with their place. Further ones are only counted: to look for what was meant
/// by a thousand wrong names takes longer than an operator waits.
const KEPT: usize = 200;

/// Maximum number of errors that are shown.
const SHOWN: usize = 50;

/// The errors and their number, to be written.
pub(super) struct Listed<'d>(&'d Diagnostics);

// === impl Diagnostics ===

impl Diagnostics {
    /// No error yet in `text`, which is called `name` when errors are shown.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { source: Box::new(Source::new(name, text)), list: Vec::new(), others: 0 }
    }

    /// How many errors there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.others
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &str {
        &self.source.text
    }

    /// Shows no snippet of these bytes: they may be a secret.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.source.hide(span);
    }

    /// Adds an error.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(|| diagnostic);
    }

    /// Adds an error that is made only if it is kept.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.list.len() < KEPT {
            self.list.push(diagnostic());
        } else {
            self.others += 1;
        }
    }

    /// Drops what follows from errors of syntax alone: the first `syntax` errors are such. What is on the same line as
    /// one of them, or missing, is most likely what the parser could not read.
    pub(super) fn drop_consequences(&mut self, syntax: usize) {
        let lines: Vec<usize> = self.list.iter().take(syntax).filter_map(|error| self.line(error)).collect();
        if lines.is_empty() {
            return;
        }
        let mut index = 0;
        let source = &self.source;
        self.list.retain(|error| {
            let line = error.span.as_ref().map(|span| source.line_number(span.start));
            let follows = error.absence || line.is_none_or(|line| lines.contains(&line));
            index += 1;
            index <= syntax || !follows
        });
    }

    /// Puts the errors in the order of the file; those without a place come last.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|error| error.span.as_ref().map_or(usize::MAX, |span| span.start));
    }

    /// All errors and their number, without what they mean for the program.
    pub(super) const fn listed(&self) -> Listed<'_> {
        Listed(self)
    }

    fn line(&self, error: &Diagnostic) -> Option<usize> {
        error.span.as_ref().map(|span| self.source.line_number(span.start))
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Diagnostics { source, list, .. }) = self;
        for error in list.iter().take(SHOWN) {
            source.render(f, error)?;
            writeln!(f)?;
        }
        let all = self.0.len();
        if all > SHOWN {
            return write!(f, "{all} errors, of which the first {SHOWN} are shown");
        }
        let plural = if all == 1 { "" } else { "s" };
        write!(f, "{all} error{plural}")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; nothing was started", self.listed())
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}
