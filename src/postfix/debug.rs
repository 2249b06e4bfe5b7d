//! Verbose output.

use super::Line;
use crate::record::Event;

/// The event that a line is.
pub(super) fn read<'a>(_line: &Line<'a>) -> Option<Event<'a>> {
    None
}
