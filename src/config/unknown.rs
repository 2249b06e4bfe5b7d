//! Unknown keys, and hints at the key that was meant.

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::diagnostic::Diagnostic;
use super::key::{Inner, KeyRow, Rows, rows};
use crate::suggest;

/// Known keys of a table, and the tables around it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Name of the table in errors: `[[source.udp]]`; empty for the top level.
    title: String,
    rows: Vec<Rows>,
    /// The table around this one.
    around: Option<Box<Self>>,
    /// Titles of all tables of the same group, such as `[[source.tcp]]`, by kind.
    kinds: Vec<(&'static str, String)>,
}

impl Known {
    /// Returns a table with these keys.
    pub(super) fn new(title: String, rows: Vec<Rows>) -> Self {
        Self { title, rows, around: None, kinds: Vec::new() }
    }

    /// Adds the kinds of the tables in the same group.
    pub(super) fn among(mut self, kinds: Vec<(&'static str, String)>) -> Self {
        self.kinds = kinds;
        self
    }

    /// Returns the table of the key `name` within this one.
    pub(super) fn within(&self, name: &str, rows: Rows) -> Self {
        Self { around: Some(Box::new(self.clone())), ..Self::new(format!("`{name}`"), vec![rows]) }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Returns the error for an unknown key.
    pub(super) fn unknown(&self, key: &Spanned<DeString<'_>>, value: &DeValue<'_>) -> Diagnostic {
        let name = key.get_ref().as_ref();
        let within = if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) };
        let error = Diagnostic::at(key.span(), format!("unknown key `{name}`{within}"));
        let elsewhere = self.of_kind(value).or_else(|| self.elsewhere(name));
        error.help(elsewhere.unwrap_or_else(|| {
            let rows = self.rows();
            meant(name, rows.iter().map(|row| row.name))
        }))
    }

    fn rows(&self) -> Vec<KeyRow> {
        self.rows.iter().flat_map(|of| rows(*of)).collect()
    }

    /// Returns a hint for `protocol = "relp"` in [[source.tcp]].
    fn of_kind(&self, value: &DeValue<'_>) -> Option<String> {
        let word = value.as_str()?;
        let (_, title) = self.kinds.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(word))?;
        let is_own = *title == self.title;
        Some(if is_own { format!("leave it out: {title} already says it") } else { format!("write {title}") })
    }

    /// Returns a hint for a key that belongs to a table within this one, or to the one around it.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let has = |rows: Vec<KeyRow>| rows.iter().any(|row| row.name == name);
        let inner = self.rows().into_iter().find_map(|row| match row.inner {
            Inner::Table(keys) if has(rows(keys)) => Some(row.name),
            _ => None,
        });
        if let Some(inner) = inner {
            let title = self.title.trim_matches(['[', ']']);
            return Some(format!("write it below [{title}.{inner}]"));
        }
        let around = self.around.as_ref()?;
        has(around.rows()).then(|| format!("write it below {}, before its inner tables", around.title))
    }
}

/// Names that other programs use for a key, each with the key.
const OTHER_WORDS: [(&str, &str); 27] = [
    ("input", "source"),
    ("inputs", "source"),
    ("sources", "source"),
    ("receiver", "source"),
    ("output", "sink"),
    ("outputs", "sink"),
    ("sinks", "sink"),
    ("destination", "sink"),
    ("port", "listen"),
    ("host", "listen"),
    ("bind", "listen"),
    ("address", "listen"),
    ("ip", "listen"),
    ("file", "path"),
    ("filename", "path"),
    ("file", "paths"),
    ("files", "paths"),
    ("path", "paths"),
    ("include", "paths"),
    ("servers", "brokers"),
    ("bootstrap_servers", "brokers"),
    ("bootstrap.servers", "brokers"),
    ("hosts", "brokers"),
    ("compress", "gzip"),
    ("zone", "timezone"),
    ("time_zone", "timezone"),
    ("tz", "timezone"),
];

/// Returns a hint at the intended key: the key for another program's name, or one with a similar name.
fn meant<'n>(word: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let mut others = OTHER_WORDS.iter().filter(|(other, _)| *other == word);
    match others.find(|(_, key)| names.clone().any(|name| name == *key)) {
        Some((_, key @ ("source" | "sink"))) => format!("write its tables as [[{key}.KIND]]"),
        Some((_, key)) => format!("did you mean `{key}`?"),
        None => suggest::help(word, names),
    }
}
