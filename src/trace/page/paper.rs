//! Lines for a terminal: colours, folding, and the left margin of a time line.

use std::fmt::Write as _;
use std::iter;
use std::ops::Range;

use super::Look;
use crate::explain::fold;
use crate::shown::is_harmless;

/// Meaning of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    /// Headings and addresses.
    Strong,
    /// Text that the eye may skip.
    Faint,
    /// A success, a delay, a failure.
    Good,
    Wait,
    Bad,
    /// One of the four delays of a delivery.
    Delay(usize),
}

/// Text in pieces of several inks. Characters that a terminal obeys are escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Inked {
    text: String,
    /// The end of each piece.
    pieces: Vec<(usize, Ink)>,
}

/// Signs in the margin of a time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepMark {
    /// The line goes on.
    Rail,
    Step,
    Good,
    Wait,
    Bad,
    End,
}

/// The page, and the margin of what is nested.
pub(super) struct Paper<'o> {
    pub(super) look: Look,
    out: &'o mut String,
    /// Margin of the lines of the present message.
    margin: String,
}

/// Columns of the time, of a mark, and of a label.
const TIME: usize = 11;
const MARK: usize = 3;
const LABEL: usize = 9;
/// Columns that a text has at least, however narrow the terminal is.
const NARROWEST: usize = 20;

// === impl Inked ===

impl Inked {
    pub(super) fn new(ink: Ink, text: &str) -> Self {
        Self::default().with(ink, text)
    }

    pub(super) fn plain(text: &str) -> Self {
        Self::new(Ink::Plain, text)
    }

    /// Adds a piece.
    pub(super) fn with(mut self, ink: Ink, text: &str) -> Self {
        self.push(ink, text);
        self
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, ink: Ink, text: &str) {
        for c in text.chars() {
            match c {
                '\t' | '\n' => self.text.extend(c.escape_default()),
                c if is_harmless(c) => self.text.push(c),
                c => self.text.extend(c.escape_unicode()),
            }
        }
        self.pieces.push((self.text.len(), ink));
    }

    fn width(&self) -> usize {
        fold::width(&self.text)
    }

    /// Returns the lines of the text, each with at most this number of columns.
    fn lines(&self, columns: usize) -> Vec<Range<usize>> {
        let (mut lines, mut column, mut at) = (iter::once(0..0).collect::<Vec<_>>(), 0, 0);
        for piece in fold::pieces(&self.text) {
            let begin = at;
            at += piece.len();
            let wide = fold::width(piece);
            if column > 0 && column + wide > columns {
                column = wide - fold::width(&piece[..piece.len() - piece.trim_start().len()]);
                lines.push(at - piece.trim_start().len()..at);
            } else {
                column += wide;
                if let Some(line) = lines.last_mut() {
                    line.end = at;
                }
            }
            // A word that is longer than a line is cut.
            if column > columns {
                let from = lines.last().map_or(begin, |line| line.start);
                column = cut(&self.text, from..at, columns, &mut lines);
            }
        }
        lines
    }
}

/// Cuts the last of the lines, which is too long. Returns the width of what is left.
fn cut(text: &str, line: Range<usize>, columns: usize, lines: &mut Vec<Range<usize>>) -> usize {
    lines.pop();
    let (mut begin, mut column) = (line.start, 0);
    for (offset, c) in text[line.clone()].char_indices() {
        let wide = fold::width_of(c);
        if column + wide > columns {
            lines.push(begin..line.start + offset);
            (begin, column) = (line.start + offset, 0);
        }
        column += wide;
    }
    lines.push(begin..line.end);
    column
}

// === impl Paper ===

impl<'o> Paper<'o> {
    pub(super) const fn new(out: &'o mut String, look: Look) -> Self {
        Self { look, out, margin: String::new() }
    }

    /// Writes an empty line, with the margin of what goes on.
    pub(super) fn blank(&mut self) {
        self.folded(None, &Inked::default(), &Inked::default(), &Inked::default());
    }

    /// Writes the line between a message and one that was made from it.
    pub(super) fn connect(&mut self) {
        let (sign, ink) = self.sign(StepMark::Rail);
        self.folded(None, &Inked::default(), &Inked::default(), &Inked::new(ink, sign));
    }

    /// Writes text on its own, behind the branch of a message that is nested.
    pub(super) fn heading(&mut self, branch: Option<&str>, text: &Inked) {
        self.folded(branch, &Inked::default(), &Inked::default(), text);
    }

    /// Writes a label and text. The labels are `columns` wide.
    pub(super) fn fact(&mut self, label: &str, columns: usize, text: &Inked) {
        let head = Inked::new(Ink::Faint, &padded(&format!("  {label}"), columns));
        self.folded(None, &head, &Inked::plain(&" ".repeat(columns)), text);
    }

    /// Writes a line of the time line: a time, a mark, and text.
    pub(super) fn step(&mut self, time: &str, mark: StepMark, text: &Inked) {
        let (sign, ink) = self.sign(mark);
        let head = Inked::new(Ink::Faint, &padded(time, TIME)).with(ink, &padded(sign, MARK));
        self.folded(None, &head, &self.rail(), text);
    }

    /// Writes a label and text below a step.
    pub(super) fn detail(&mut self, label: &str, text: &Inked) {
        let columns = LABEL.max(fold::width(label) + 1);
        let head = self.rail().with(Ink::Faint, &padded(label, columns));
        let under = self.rail().with(Ink::Plain, &" ".repeat(columns));
        self.folded(None, &head, &under, text);
    }

    /// Begins a message that is nested below the present one; `is_last` if no other one follows. Returns the branch
    /// that leads to it, and the size of the margin to go back to.
    pub(super) fn begin(&mut self, is_last: bool) -> (String, usize) {
        let [branch, rail] = match (self.look.has_unicode, is_last) {
            (true, true) => ["└─ ", "   "],
            (true, false) => ["├─ ", "│  "],
            (false, true) => ["`- ", "   "],
            (false, false) => ["|- ", "|  "],
        };
        let (first, before) = (format!("{}{branch}", self.margin), self.margin.len());
        self.margin.push_str(rail);
        (first, before)
    }

    /// Ends the message that is nested.
    pub(super) fn end(&mut self, before: usize) {
        self.margin.truncate(before);
    }

    const fn sign(&self, mark: StepMark) -> (&'static str, Ink) {
        match (mark, self.look.has_unicode) {
            (StepMark::Rail, true) => ("│", Ink::Faint),
            (StepMark::Rail, false) => ("|", Ink::Faint),
            (StepMark::Step, true) => ("●", Ink::Plain),
            (StepMark::Step, false) => ("*", Ink::Plain),
            (StepMark::Good, true) => ("✓", Ink::Good),
            (StepMark::Good, false) => ("+", Ink::Good),
            (StepMark::Wait, true) => ("◌", Ink::Wait),
            (StepMark::Wait, false) => ("~", Ink::Wait),
            (StepMark::Bad, true) => ("✗", Ink::Bad),
            (StepMark::Bad, false) => ("x", Ink::Bad),
            (StepMark::End, true) => ("■", Ink::Plain),
            (StepMark::End, false) => ("#", Ink::Plain),
        }
    }

    fn rail(&self) -> Inked {
        let (sign, ink) = self.sign(StepMark::Rail);
        Inked::plain(&" ".repeat(TIME)).with(ink, &padded(sign, MARK))
    }

    /// Writes text behind `head`, and its further lines behind `under`.
    fn folded(&mut self, branch: Option<&str>, head: &Inked, under: &Inked, text: &Inked) {
        let margin = self.margin.clone();
        let columns = self.look.width.saturating_sub(fold::width(&margin) + under.width()).max(NARROWEST);
        for (number, line) in text.lines(columns).into_iter().enumerate() {
            let (margin, head) = if number == 0 { (branch.unwrap_or(&margin), head) } else { (&*margin, under) };
            let begin = self.out.len();
            self.ink(Ink::Faint, margin);
            self.inked(head, 0..head.text.len());
            self.inked(text, line);
            let end = self.out.trim_end_matches(' ').len().max(begin);
            self.out.truncate(end);
            self.out.push('\n');
        }
    }

    /// Writes a part of a text.
    fn inked(&mut self, text: &Inked, part: Range<usize>) {
        let mut from = 0;
        for (end, ink) in &text.pieces {
            let piece = from.max(part.start)..(*end).min(part.end);
            if let Some(piece) = text.text.get(piece).filter(|piece| !piece.is_empty()) {
                self.ink(*ink, piece);
            }
            from = *end;
        }
    }

    fn ink(&mut self, ink: Ink, text: &str) {
        const DELAYS: [&str; 4] = ["34", "36", "33", "35"];
        let code = match ink {
            _ if !self.look.has_colours || text.trim().is_empty() => "",
            Ink::Plain => "",
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Wait => "33",
            Ink::Bad => "31",
            Ink::Delay(number) => DELAYS[number % DELAYS.len()],
        };
        if code.is_empty() {
            self.out.push_str(text);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.out, "\u{1b}[{code}m{text}\u{1b}[0m");
        }
    }
}

/// Returns a text with spaces behind it up to this column.
fn padded(text: &str, columns: usize) -> String {
    format!("{text}{:pad$}", "", pad = columns.saturating_sub(fold::width(text)))
}
