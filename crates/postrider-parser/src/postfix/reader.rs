//! Readers of events, and their declarations of the lines that they read.

use super::shape::Shape;
use crate::record::{Event, Level};

/// A line of a Postfix program, as the readers of events get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Level in front of the text.
    pub(super) level: Option<Level>,
    /// True if a queue id stood before the text; false for NOQUEUE.
    pub(super) has_queue_id: bool,
    /// Text after the level and the queue id.
    pub(super) text: &'a str,
}

/// Reads the event that a line describes; `None` if the line is not one of the reader's.
pub(super) type Read = for<'a> fn(&Line<'a>) -> Option<Event<'a>>;

/// Reader of lines, with everything that other parts of this stage must know about these lines.
pub(super) struct Reader {
    pub(super) writers: Writers,
    pub(super) read: Read,
    /// Lines that one program alone writes, by file. `infer` collects them.
    pub(super) lines: &'static [&'static [ProgramLines]],
    /// Verbose output of the programs. `debug` collects it.
    pub(super) verbose: Verbose,
}

impl Reader {
    /// Makes a reader that declares no shapes.
    pub(super) const fn new(writers: Writers, read: Read) -> Self {
        Self { writers, read, lines: &[], verbose: Verbose { shapes: &[], functions: &[] } }
    }
}

/// Programs that write the lines of a reader.
pub(super) enum Writers {
    Any,
    Of(&'static [&'static str]),
    /// Programs without shapes for their lines. Such a reader takes all lines of these programs, and no line of an
    /// unknown program.
    Only(&'static [&'static str]),
}

/// Lines that one program alone writes.
pub(super) struct ProgramLines {
    pub(super) program: &'static str,
    pub(super) place: ShapePlace,
    pub(super) shapes: &'static [Shape],
}

/// Place in a line at which its shape begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShapePlace {
    /// Start of the line.
    Start,
    /// Up to two characters before the first space. A client name usually stands before them: `]: lost connection
    /// while ` of `mx[192.0.2.1]: lost connection while …`. Neither the name nor the address of a client holds a space.
    FirstSpace,
}

impl ProgramLines {
    /// Declares lines that begin with their shape.
    pub(super) const fn new(program: &'static str, shapes: &'static [Shape]) -> Self {
        Self { program, place: ShapePlace::Start, shapes }
    }

    /// Declares lines whose shape begins at their first space.
    pub(super) const fn at_first_space(program: &'static str, shapes: &'static [Shape]) -> Self {
        Self { program, place: ShapePlace::FirstSpace, shapes }
    }
}

/// The lines that a program logs under `-v`, `debug_peer_list` and high TLS log levels.
pub(super) struct Verbose {
    /// Shapes of the lines.
    pub(super) shapes: &'static [Shape],
    /// First words of the names of functions: `qmgr` of `qmgr_active_feed: …`.
    pub(super) functions: &'static [&'static str],
}
