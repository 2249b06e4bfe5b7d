//! Display of an error's position: the line, and a mark below it.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::diagnostic::Diagnostic;
use super::secret;

/// Maximum number of columns in which a line is shown.
const WIDTH: usize = 100;
/// Maximum number of characters with a mark below them: a marked text is not clipped.
const MARKED: usize = 80;

/// A text and its name.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct NamedText {
    name: String,
    pub(super) text: String,
    /// Offset of each line.
    lines: Vec<usize>,
    /// Positions of secrets, which are never shown.
    secrets: Vec<Range<usize>>,
}

/// One line of the text.
struct SnippetLine<'t> {
    /// Line number, counted from 1.
    number: usize,
    /// Offset of the line in the text.
    start: usize,
    /// Text of the line without the line end.
    text: &'t str,
}

/// The lines of a snippet as shown, without secrets.
struct ShownLines {
    text: String,
    /// Number of the first line.
    first: usize,
    /// Each line's place in `text`, and the offset in the file's text up to which it is shown.
    lines: Vec<(Range<usize>, usize)>,
}

impl NamedText {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|lf| lf + 1)).collect();
        Self { name: name.to_owned(), text: text.to_owned(), lines, secrets: secret::ranges(text) }
    }

    /// Treats these bytes as a secret.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    /// Returns the number of the line that contains a byte, counted from 1.
    pub(super) fn line_number(&self, offset: usize) -> usize {
        self.line(self.place(offset)).number
    }

    /// Writes an error with its snippet and its hint.
    pub(super) fn render(&self, f: &mut fmt::Formatter<'_>, error: &Diagnostic) -> fmt::Result {
        let name = &self.name;
        let message = self.without_secrets(&error.message);
        let mut report = Group::with_level(Level::ERROR);
        match &error.span {
            None => writeln!(f, "{name}: {message}")?,
            Some(span) => {
                let start = self.place(span.start);
                let line = self.line(start);
                writeln!(f, "{name}:{}:{}: {}", line.number, self.column(&line, start), message)?;
                report = report.element(self.snippet(span, error.also.as_ref()));
            }
        }
        if let Some(help) = &error.help {
            report = report.element(Level::HELP.message(self.without_secrets(help)));
        }
        if report.is_empty() {
            return Ok(());
        }
        writeln!(f, "{}", Renderer::plain().term_width(WIDTH).render(&[report]))
    }

    /// Removes quotations of secrets from a message: with broken syntax, part of a secret may be taken for a key.
    fn without_secrets(&self, message: &str) -> String {
        let ends = |c: char| matches!(c, '`' | '"' | '.');
        let mut shown = String::new();
        for piece in message.split_inclusive(ends) {
            let text = piece.trim_end_matches(ends);
            let is_secret = text.len() > 2 && self.is_in_secret(text);
            shown.push_str(if is_secret { "***" } else { text });
            shown.push_str(&piece[text.len()..]);
        }
        shown
    }

    /// True if a secret contains this text.
    fn is_in_secret(&self, text: &str) -> bool {
        self.secrets.iter().any(|range| self.text[range.clone()].contains(text))
    }

    fn snippet(
        &self,
        span: &Range<usize>,
        also: Option<&(Range<usize>, &'static str)>,
    ) -> Snippet<'static, annotate_snippets::Annotation<'static>> {
        let other = also.map_or(span.start, |(other, _)| other.start);
        let shown = self.show(span.start.min(other), span.start.max(other));
        let also = also.map(|(other, what)| AnnotationKind::Context.span(self.mark(&shown, other)).label(*what));
        let mark = AnnotationKind::Primary.span(self.mark(&shown, span));
        Snippet::source(shown.text).line_start(shown.first).annotation(mark).annotations(also)
    }

    /// Returns the offset of a byte that can be shown: offsets after the end of the last line that is not blank become
    /// that end.
    fn place(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.trim_end().len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn line(&self, offset: usize) -> SnippetLine<'_> {
        let number = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[number - 1];
        let text = self.text[start..].lines().next().unwrap_or("");
        SnippetLine { number, start, text }
    }

    /// Returns the column of a byte: the number of characters from the start of the line, counted from 1, whatever
    /// their width.
    fn column(&self, line: &SnippetLine<'_>, offset: usize) -> usize {
        let before = &self.text[line.start..offset];
        before.trim_start_matches(BOM).chars().count() + 1
    }

    /// Returns the lines from that of one offset to that of another.
    fn show(&self, from: usize, to: usize) -> ShownLines {
        let (first, last) = (self.line_number(from), self.line_number(to));
        let mut shown = ShownLines { text: String::new(), first, lines: Vec::new() };
        for start in &self.lines[first - 1..last] {
            let line = self.line(*start);
            let end = line.start + line.text.len();
            let secrets = self.secrets.iter().filter(|range| range.start < end && range.end > line.start);
            let secret = secrets.map(|range| range.start.max(line.start)).min();
            let visible = secret.unwrap_or(end);
            let at = shown.text.len();
            shown.text.push_str(self.text[line.start..visible].trim_start_matches(BOM));
            shown.text.push_str(if secret.is_some() { "***" } else { "" });
            shown.lines.push((at..shown.text.len(), visible));
            shown.text.push('\n');
        }
        shown
    }

    /// Returns the place of a span's first line in what is shown. A span inside a secret becomes the whole secret.
    fn mark(&self, shown: &ShownLines, span: &Range<usize>) -> Range<usize> {
        let start = self.place(span.start);
        let line = self.line(start);
        let (place, visible) = &shown.lines[line.number - shown.first];
        let length = |end: usize| self.text[line.start..end.min(*visible)].trim_start_matches(BOM).len();
        let from = place.start + length(start);
        let to = if span.end > *visible { place.end } else { place.start + length(self.place(span.end).max(start)) };
        let marked = &shown.text[from..to];
        from..from + marked.char_indices().nth(MARKED).map_or(marked.len(), |(end, _)| end)
    }
}

/// A byte order mark, which editors hide.
const BOM: char = '\u{FEFF}';
