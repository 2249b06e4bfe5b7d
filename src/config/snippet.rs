//! Display of an error's position: the line, and a mark below it.

use std::fmt;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::secret;

/// Maximum number of columns in which a line is shown.
const WIDTH: usize = 100;
/// Maximum number of columns before the mark in a line that must be clipped.
const BEFORE: usize = 40;
/// Number of spaces in place of a tab, wherever the tab is, so that the mark stays below the text that it marks.
const TAB: usize = 4;

/// A text and its name.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Source {
    name: String,
    pub(super) text: String,
    /// Offset of each line.
    lines: Vec<usize>,
    /// Positions of secrets, which are never shown.
    secrets: Vec<Range<usize>>,
}

/// One line of the text.
struct Line<'t> {
    /// Line number, counted from 1.
    number: usize,
    /// Offset of the line in the text.
    start: usize,
    /// Text of the line without the line end.
    text: &'t str,
}

/// A line as shown.
struct Shown {
    text: String,
    /// Number of columns before the mark.
    before: usize,
    /// Number of columns of the mark.
    marked: usize,
}

impl Source {
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
        match &error.span {
            None => writeln!(f, "{name}: {message}")?,
            Some(span) => {
                let start = self.place(span.start);
                let line = self.line(start);
                writeln!(f, "{name}:{}:{}: {}", line.number, self.column(&line, start), message)?;
                self.snippet(f, span, error.also.as_ref())?;
            }
        }
        if let Some(help) = &error.help {
            let gutter = self.gutter(error.span.as_ref(), error.also.as_ref());
            writeln!(f, "{:gutter$} = help: {}", "", self.without_secrets(help))?;
        }
        Ok(())
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
        f: &mut fmt::Formatter<'_>,
        span: &Range<usize>,
        also: Option<&(Range<usize>, &str)>,
    ) -> fmt::Result {
        let gutter = self.gutter(Some(span), also);
        writeln!(f, "{:gutter$} |", "")?;
        if let Some((place, what)) = also {
            let number = self.marked(f, gutter, place, '-', what)?;
            if number + 1 < self.line_number(span.start) {
                writeln!(f, "{:gutter$} …", "")?;
            }
        }
        self.marked(f, gutter, span, '^', "").map(drop)
    }

    /// Writes the first line of a span with `mark` below it; returns the number of the line.
    fn marked(
        &self,
        f: &mut fmt::Formatter<'_>,
        gutter: usize,
        span: &Range<usize>,
        mark: char,
        what: &str,
    ) -> Result<usize, fmt::Error> {
        let start = self.place(span.start);
        let line = self.line(start);
        let shown = self.show(&line, start, span.end);
        writeln!(f, "{:gutter$} | {}", line.number, shown.text.trim_end())?;
        let marks: String = std::iter::repeat_n(mark, shown.marked).collect();
        let marks = format!("{:before$}{marks} {what}", "", before = shown.before);
        writeln!(f, "{:gutter$} | {}", "", marks.trim_end())?;
        Ok(line.number)
    }

    /// Returns the width of the line numbers.
    fn gutter(&self, span: Option<&Range<usize>>, also: Option<&(Range<usize>, &str)>) -> usize {
        let places = span.into_iter().chain(also.map(|(span, _)| span));
        let last = places.map(|span| self.line_number(span.start)).max().unwrap_or(1);
        // An error without a position has the same gutter as one on the first line.
        last.to_string().len()
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

    fn line(&self, offset: usize) -> Line<'_> {
        let number = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[number - 1];
        let text = self.text[start..].lines().next().unwrap_or("");
        Line { number, start, text }
    }

    /// Returns the column of a byte: the number of characters from the start of the line, counted from 1, whatever
    /// their width.
    fn column(&self, line: &Line<'_>, offset: usize) -> usize {
        let before = &self.text[line.start..offset];
        before.trim_start_matches(BOM).chars().count() + 1
    }

    fn show(&self, line: &Line<'_>, start: usize, end: usize) -> Shown {
        let line_end = line.start + line.text.len();
        let secrets = self.secrets.iter().filter(|range| range.start < line_end && range.end > line.start);
        let secret = secrets.map(|range| range.start.max(line.start)).min();
        let hidden = secret.unwrap_or(line_end);
        let mut cells = Vec::new();
        for (at, c) in self.text[line.start..hidden].char_indices() {
            push_cell(&mut cells, line.start + at, c);
        }
        if secret.is_some() {
            cells.extend(std::iter::repeat_n(Cell { at: hidden, shown: '*', width: 1 }, 3));
        }
        // A mark inside a secret marks the whole secret.
        clip(&cells, start.min(hidden), end.max(start + 1))
    }
}

/// A byte order mark, which editors hide.
const BOM: char = '\u{FEFF}';

/// One character as shown.
#[derive(Clone, Copy)]
struct Cell {
    /// Offset in the text of the character's origin.
    at: usize,
    shown: char,
    width: usize,
}

fn push_cell(cells: &mut Vec<Cell>, at: usize, c: char) {
    match c {
        BOM => {}
        '\t' => cells.extend(std::iter::repeat_n(Cell { at, shown: ' ', width: 1 }, TAB)),
        // A control character must not reach the terminal.
        c if c.is_control() => cells.push(Cell { at, shown: '\u{FFFD}', width: 1 }),
        c => cells.push(Cell { at, shown: c, width: width(c) }),
    }
}

/// Returns the number of columns of a character: 2 for those of East Asian scripts and emoji. Combining marks count as
/// 1, so a mark may be too far to the right after them.
fn width(c: char) -> usize {
    const WIDE: [(u32, u32); 9] = [
        (0x1100, 0x115F),
        (0x2E80, 0xA4CF),
        (0xAC00, 0xD7A3),
        (0xF900, 0xFAFF),
        (0xFE30, 0xFE6F),
        (0xFF00, 0xFF60),
        (0xFFE0, 0xFFE6),
        (0x1F300, 0x1F9FF),
        (0x20000, 0x3FFFD),
    ];
    let code = u32::from(c);
    if WIDE.iter().any(|&(first, last)| (first..=last).contains(&code)) { 2 } else { 1 }
}

/// Returns the part of a line around the mark, which reaches from `start` to `end`, both offsets in the text.
fn clip(cells: &[Cell], start: usize, end: usize) -> Shown {
    let columns = |cells: &[Cell]| cells.iter().map(|cell| cell.width).sum::<usize>();
    let mark = cells.iter().position(|cell| cell.at >= start).unwrap_or(cells.len());
    let mut first = 0;
    if columns(cells) > WIDTH {
        let mut before = 0;
        let near = |cell: &&Cell| {
            before += cell.width;
            before <= BEFORE
        };
        first = mark - cells[..mark].iter().rev().take_while(near).count();
    }
    let mut text = String::new();
    if first > 0 {
        text.push('…');
    }
    let before = columns(&cells[first..mark]) + usize::from(first > 0);
    let (mut used, mut marked) = (0, 0);
    for (index, cell) in cells.iter().enumerate().skip(first) {
        used += cell.width;
        if used > WIDTH {
            text.push('…');
            break;
        }
        text.push(cell.shown);
        if index >= mark && cell.at < end {
            marked += cell.width;
        }
    }
    Shown { text, before, marked: marked.max(1) }
}
