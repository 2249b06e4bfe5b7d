//! All errors of a configuration file, each with its position and a hint.

use std::fmt;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::snippet::NamedText;

/// All errors of one file. Their text is meant for the operator, ready to be written to stderr.
///
/// `Debug` writes the same text, because the file itself may contain passwords. Messages and snippets never show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Box<NamedText>,
    list: Vec<Diagnostic>,
    /// Number of errors that are not in `list`.
    others: usize,
}

/// Maximum number of errors that are kept with their position. Further errors are only counted: finding suggestions for
/// a thousand wrong names would take longer than an operator waits.
const KEPT: usize = 200;

/// Maximum number of errors that are shown.
const SHOWN: usize = 50;

// === impl Diagnostics ===

impl Diagnostics {
    /// Returns an empty list for `text`, which is called `name` in the output.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { source: Box::new(NamedText::new(name, text)), list: Vec::new(), others: 0 }
    }

    /// Returns the number of errors.
    pub fn len(&self) -> usize {
        self.list.len() + self.others
    }

    /// True if there is no error.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the text of the file.
    pub(super) fn text(&self) -> &str {
        &self.source.text
    }

    /// Excludes these bytes from snippets: they may be a secret.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.source.hide(span);
    }

    /// Adds an error.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(|| diagnostic);
    }

    /// Adds an error; `diagnostic` is called only if the error is kept.
    pub(super) fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.list.len() < KEPT {
            self.list.push(diagnostic());
        } else {
            self.others += 1;
        }
    }

    /// Drops errors that only follow from syntax errors, which are the first `syntax` errors. Anything missing, or on
    /// the same line as a syntax error, is most likely something that the parser could not read.
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

    /// Sorts the errors by their position in the file; those without a position come last.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|error| error.span.as_ref().map_or(usize::MAX, |span| span.start));
    }

    fn line(&self, error: &Diagnostic) -> Option<usize> {
        error.span.as_ref().map(|span| self.source.line_number(span.start))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self.list.iter().take(SHOWN) {
            self.source.render(f, error)?;
            writeln!(f)?;
        }
        let all = self.len();
        if all > SHOWN {
            return write!(f, "{all} errors (the first {SHOWN} are shown)");
        }
        let plural = if all == 1 { "" } else { "s" };
        write!(f, "{all} error{plural}")
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}
