//! The place of a record in the destination of a sink.

use super::Template;
use crate::record::Record;

/// Template of the place of a record in a sink's destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A path: each value is one safe component of it.
    Path(Template),
    /// A topic.
    Topic(Template),
}

impl Route {
    /// Appends the path or topic of `record`.
    pub fn render(&self, record: &Record<'_>, out: &mut String) {
        match self {
            Self::Path(template) => template.render_path(record, out),
            Self::Topic(template) => template.render_topic(record, out),
        }
    }
}
