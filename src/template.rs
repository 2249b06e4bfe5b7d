//! Text with placeholders: `{hostname}/{date}.json`, as paths, topics and keys have it.

/// A template, parsed when the configuration is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Field(Field),
}

/// What a placeholder may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `{hostname}`
    Hostname,
}
