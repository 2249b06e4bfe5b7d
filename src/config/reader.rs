//! Reads the keys of one table one by one. Errors are collected with their positions, and never stop the reading.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::key::{Choice, Key, Presence, Type};
use super::value::{self, Fault};
use crate::network::Network;
use crate::suggest;
use crate::template::Template;

/// One table that is being read.
pub(super) struct Reader<'r, 'd> {
    table: &'r DeTable<'d>,
    /// Name of the table in errors: `[[source.udp]]`; empty for the top level.
    title: String,
    keys: [&'static [Key]; 2],
    /// For a table within another table: the title and the keys of the other one.
    around: Option<(String, [&'static [Key]; 2])>,
    /// Titles of all tables of the same group, such as `[[source.tcp]]`, by kind.
    kinds: Vec<(&'static str, String)>,
    places: Places,
    taken: Vec<&'static str>,
    found: &'r mut Diagnostics,
}

/// Positions of a table and its keys in the file.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Position of the header.
    header: Range<usize>,
    /// Positions of the values in the file, by key.
    values: HashMap<String, Range<usize>>,
}

/// A duration, or one of the words that a key accepts in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Span(Duration),
    Word(&'static str),
}

/// One librdkafka property as written.
#[derive(Clone)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) key_span: Range<usize>,
    pub(super) value_span: Range<usize>,
}

// === impl Places ===

impl Places {
    /// Returns the position of a key's value, or of the table's header if the key is absent.
    pub(super) fn of(&self, key: &str) -> Range<usize> {
        self.values.get(key).unwrap_or(&self.header).clone()
    }
}

// === impl Reader: setting out and finishing ===

impl<'r, 'd> Reader<'r, 'd> {
    /// Returns a reader for a table whose header is at `header` and which has the keys of both lists.
    pub(super) fn new(
        table: &'r DeTable<'d>,
        header: Range<usize>,
        title: String,
        keys: [&'static [Key]; 2],
        found: &'r mut Diagnostics,
    ) -> Self {
        let values = table.iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect();
        let places = Places { header, values };
        Self { table, title, keys, around: None, kinds: Vec::new(), places, taken: Vec::new(), found }
    }

    /// Adds the kinds of the tables in the same group.
    pub(super) fn among(mut self, kinds: Vec<(&'static str, String)>) -> Self {
        self.kinds = kinds;
        self
    }

    /// Reports the keys that were not read, and returns the positions of the keys in the file.
    pub(super) fn finish(self) -> Places {
        let names = || self.keys.iter().flat_map(|keys| keys.iter()).map(|key| key.name);
        debug_assert!(names().all(|name| self.taken.contains(&name)), "{} leaves keys untaken", self.title);
        for (key, value) in self.table {
            let name = key.get_ref().as_ref();
            if !self.taken.contains(&name) {
                let within = self.within();
                let elsewhere = self.of_kind(value).or_else(|| self.elsewhere(name));
                self.found.push_with(|| {
                    let error = Diagnostic::at(key.span(), format!("unknown key `{name}`{within}"));
                    error.help(elsewhere.unwrap_or_else(|| meant(name, names())))
                });
            }
        }
        self.places
    }

    /// Returns a hint for `protocol = "relp"` in [[source.tcp]].
    fn of_kind(&self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let word = value.get_ref().as_str()?;
        let (_, title) = self.kinds.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(word))?;
        Some(if *title == self.title { format!("leave it out: {title} says it") } else { format!("write {title}") })
    }

    /// Returns a hint for a key that belongs to a table within this one, or to the one around it.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let has = |keys: &[Key]| keys.iter().any(|key| key.name == name);
        let inner = self.keys.iter().flat_map(|keys| keys.iter()).find_map(|key| match key.kind {
            Type::Table(keys) if has(keys) => Some(key.name),
            _ => None,
        });
        if let Some(inner) = inner {
            let title = self.title.trim_matches(['[', ']']);
            return Some(format!("write it below [{title}.{inner}]"));
        }
        let (title, keys) = self.around.as_ref()?;
        keys.iter().any(|keys| has(keys)).then(|| format!("write it below {title}, before the tables within that"))
    }

    /// Returns the location of an unknown key, to be printed after its name.
    fn within(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) }
    }

    /// True if the file contains the key.
    pub(super) fn gives(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Returns the position of a key's value.
    pub(super) fn place(&self, name: &str) -> Range<usize> {
        self.places.of(name)
    }

    /// Adds an error.
    pub(super) fn error(&mut self, error: Diagnostic) {
        self.found.push(error);
    }

    /// Excludes these bytes from snippets.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.found.hide(span);
    }

    /// True if these bytes of the file contain no line end.
    fn one_line(&self, span: Range<usize>) -> bool {
        self.found.text().get(span).is_some_and(|text| !text.contains('\n'))
    }

    /// Marks a key as read that other code reads.
    pub(super) fn passed(&mut self, name: &'static str) -> &'static str {
        self.taken.push(name);
        name
    }

    fn kind(&self, name: &'static str) -> Type {
        self.key(name).kind
    }

    fn key(&self, name: &'static str) -> Key {
        let mut keys = self.keys.iter().flat_map(|keys| keys.iter());
        *keys.find(|key| key.name == name).unwrap_or_else(|| unreachable!("{} has no key `{name}`", self.title))
    }
}

// === impl Reader: one key at a time, by type ===

/// The methods return `None` for an optional key that is absent, and after an error. A key with a default returns its
/// default after an error, so that the rest of the file can still be checked.
impl Reader<'_, '_> {
    pub(super) fn bool(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, value::bool)
    }

    pub(super) fn count(&mut self, name: &'static str) -> Option<usize> {
        let Type::Count(least, most) = self.kind(name) else { unreachable!("`{name}` is no count") };
        let count = self.take(name, |value| value::count(value, least, most))?;
        usize::try_from(count).ok()
    }

    /// Reads a count; `None` also for the word that the key accepts in its place.
    pub(super) fn count_or_word(&mut self, name: &'static str) -> Option<u64> {
        let Type::CountOr(least, most, word) = self.kind(name) else { unreachable!("`{name}` is no such count") };
        let count = self.take(name, |value| {
            if value.as_str() == Some(word) {
                return Ok(None);
            }
            let count = value::count(value, least, most).map(Some);
            count.map_err(|fault| fault.help(format!("write {least} to {most}, or \"{word}\"")))
        });
        count.flatten()
    }

    pub(super) fn size(&mut self, name: &'static str) -> Option<u64> {
        let Type::Size(least, most) = self.kind(name) else { unreachable!("`{name}` is no size") };
        self.take(name, |value| value::size(value, least, most))
    }

    /// Reads a size that must fit into memory.
    pub(super) fn memory(&mut self, name: &'static str) -> Option<usize> {
        self.size(name).and_then(|size| usize::try_from(size).ok())
    }

    pub(super) fn time(&mut self, name: &'static str) -> Option<Time> {
        let Type::Duration(words) = self.kind(name) else { unreachable!("`{name}` is no duration") };
        self.take(name, |value| {
            let word = words.iter().find(|word| value.as_str() == Some(**word));
            if let Some(word) = word {
                return Ok(Time::Word(word));
            }
            value::duration(value).map(Time::Span).map_err(|mut fault| {
                if !words.is_empty() {
                    let before = fault.help.map(|help| format!("{help}; or ")).unwrap_or_default();
                    fault.help = Some(format!("{before}write {}", quoted(words)));
                }
                fault
            })
        })
    }

    /// Reads a duration that no word replaces.
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        match self.time(name)? {
            Time::Span(duration) => Some(duration),
            Time::Word(_) => None,
        }
    }

    pub(super) fn mode(&mut self, name: &'static str) -> Option<u32> {
        self.take(name, value::mode)
    }

    pub(super) fn name(&mut self, name: &'static str) -> Option<String> {
        self.take(name, value::name)
    }

    pub(super) fn address(&mut self, name: &'static str) -> Option<SocketAddr> {
        self.take(name, value::address)
    }

    pub(super) fn zone(&mut self, name: &'static str) -> Option<jiff::tz::TimeZone> {
        self.take(name, value::zone)
    }

    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.take(name, value::path)
    }

    pub(super) fn absolute_paths(&mut self, name: &'static str) -> Option<Vec<PathBuf>> {
        self.list(name, |value| {
            let path = value::path(value)?;
            let fault =
                || Fault::new("not an absolute path").help("write it from the root on: \"/var/log/postfix.log\"");
            path.is_absolute().then_some(path).ok_or_else(fault)
        })
    }

    pub(super) fn template(&mut self, name: &'static str) -> Option<Template> {
        self.take(name, |value| {
            Template::parse(value::text(value)?).map_err(|error| Fault {
                message: error.message,
                help: Some(error.help),
                within: Some(error.offset..error.offset + error.len),
            })
        })
    }

    pub(super) fn word(&mut self, name: &'static str) -> Option<&'static str> {
        let Type::Word(words) = self.kind(name) else { unreachable!("`{name}` is no word") };
        self.take(name, |value| value::word(value, words))
    }

    /// Reads a word and returns its value.
    pub(super) fn choice<T: Copy, const N: usize>(&mut self, name: &'static str, choice: &Choice<T, N>) -> Option<T> {
        choice.value(self.word(name)?)
    }

    /// Does the same for a word that decides the meaning of other keys: returns `None` after an error, never the
    /// default.
    pub(super) fn deciding_choice<T: Copy, const N: usize>(
        &mut self,
        name: &'static str,
        choice: &Choice<T, N>,
    ) -> Option<T> {
        let before = self.found.len();
        let value = self.choice(name, choice);
        value.filter(|_| self.found.len() == before)
    }

    pub(super) fn words(&mut self, name: &'static str) -> Option<Vec<&'static str>> {
        let Type::Words(words) = self.kind(name) else { unreachable!("`{name}` is no list of words") };
        self.list(name, |value| value::word(value, words))
    }

    pub(super) fn any_words(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.list(name, |value| value::text(value).map(str::to_owned))
    }

    pub(super) fn brokers(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.list(name, value::broker)
    }

    /// Reads a list of networks; empty without the key.
    pub(super) fn networks(&mut self, name: &'static str) -> Vec<Network> {
        self.list(name, value::network).unwrap_or_default()
    }

    /// Reads the table of a key with `read`, if the key is present.
    pub(super) fn inner<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Reader<'_, '_>) -> T) -> Option<T> {
        let Type::Table(keys) = self.kind(name) else { unreachable!("`{name}` is no table") };
        let (table, header) = self.table(name)?;
        let mut inner = Reader::new(table, header, format!("`{name}`"), [keys, &[]], self.found);
        inner.around = Some((self.title.clone(), self.keys));
        let result = read(&mut inner);
        inner.finish();
        Some(result)
    }

    /// Reads every table in the array of a key with `read`, and also returns the positions of its keys.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Reader<'_, '_>) -> T,
    ) -> Vec<(T, Places)> {
        let Type::Tables(keys) = self.kind(name) else { unreachable!("`{name}` is no array of tables") };
        let Some(Ok(value)) = self.given_or_default(name) else { return Vec::new() };
        let wrong = |value: &DeValue<'_>, expected| {
            Fault::wrong_type(value, expected).help(format!("write its header with two brackets: [[….{name}]]"))
        };
        let Some(elements) = value.get_ref().as_array() else {
            self.fault(&value.span(), None, wrong(value.get_ref(), "an array of tables"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for element in elements {
            let DeValue::Table(table) = element.get_ref() else {
                self.fault(&element.span(), None, wrong(element.get_ref(), "a table"));
                continue;
            };
            let mut inner = Reader::new(table, element.span(), format!("`{name}`"), [keys, &[]], self.found);
            let result = read(&mut inner);
            all.push((result, inner.finish()));
        }
        all
    }

    /// Reads the properties in the table of a key. `a.b = 1` and `"a.b" = 1` are the same property.
    pub(super) fn properties(&mut self, name: &'static str) -> Vec<Property> {
        let mut properties = Vec::new();
        if let Some((table, _)) = self.table(name) {
            self.flatten(table, "", None, &mut properties);
        }
        properties.sort_by_key(|property| property.key_span.start);
        properties
    }
}

// === impl Reader: what those have in common ===

impl<'r, 'd> Reader<'r, 'd> {
    fn take<T>(&mut self, name: &'static str, read: impl Fn(&DeValue<'_>) -> Result<T, Fault>) -> Option<T> {
        match self.given_or_default(name)? {
            Ok(value) => self.judge(value, &read).or_else(|| read(&self.default(name)?).ok()),
            Err(default) => read(&default).ok(),
        }
    }

    fn default(&self, name: &'static str) -> Option<DeValue<'static>> {
        match self.key(name).presence {
            Presence::Default(text) => DeValue::parse(text).ok().map(Spanned::into_inner),
            Presence::Required(_) | Presence::Optional(_) => None,
        }
    }

    /// Reads a list with at least one element; reports all wrong elements.
    fn list<T>(&mut self, name: &'static str, read: impl Fn(&DeValue<'_>) -> Result<T, Fault>) -> Option<Vec<T>> {
        let value = match self.given_or_default(name)? {
            Ok(value) => value,
            Err(default) => {
                return default.as_array()?.iter().map(|element| read(element.get_ref()).ok()).collect();
            }
        };
        let Some(elements) = value.get_ref().as_array() else {
            let fault = Fault::wrong_type(value.get_ref(), "a list");
            self.fault(&value.span(), None, fault.help("write it in brackets, even if it has one element: [\"…\"]"));
            return None;
        };
        if elements.is_empty() {
            let help = match self.key(name).presence {
                Presence::Required(example) => format!("name at least one, e.g. {name} = {example}"),
                _ => format!("leave `{name}` out, or name at least one"),
            };
            self.fault(&value.span(), None, Fault::new("an empty list").help(help));
            return None;
        }
        // Read every element, so that all errors are reported, before the first wrong one ends the collection.
        let read: Vec<Option<T>> = elements.iter().map(|element| self.judge(element, &read)).collect();
        read.into_iter().collect()
    }

    /// Returns the value in the file, or else the default; `None` for a key without either.
    fn given_or_default(&mut self, name: &'static str) -> Option<Result<&'r Spanned<DeValue<'d>>, DeValue<'static>>> {
        let key = self.key(name);
        self.taken.push(name);
        if let Some(value) = self.table.get(name) {
            return Some(Ok(value));
        }
        if let Presence::Required(example) = key.presence {
            let error = Diagnostic::at(self.places.header.clone(), format!("{} has no `{name}`", self.title));
            self.error(error.help(format!("add e.g. {name} = {example}")).of_absence());
        }
        self.default(name).map(Err)
    }

    fn judge<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        read: &impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        match read(value.get_ref()) {
            Ok(result) => Some(result),
            Err(fault) => {
                self.fault(&value.span(), value.get_ref().as_str(), fault);
                None
            }
        }
    }

    /// Reports a fault of the value at `span`; `text` is the content of its string.
    fn fault(&mut self, span: &Range<usize>, text: Option<&str>, fault: Fault) {
        // Offsets within the string are offsets in the file if the string contains no escapes.
        let inner = span.start + 1..span.end.saturating_sub(1);
        let verbatim = text.is_some() && self.found.text().get(inner.clone()) == text;
        let span = match fault.within {
            Some(within) if verbatim => inner.start + within.start..inner.start + within.end,
            _ => span.clone(),
        };
        let mut error = Diagnostic::at(span, fault.message);
        error.help = fault.help;
        self.error(error);
    }

    fn table(&mut self, name: &'static str) -> Option<(&'r DeTable<'d>, Range<usize>)> {
        let value = self.given_or_default(name)?.ok()?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some((table, value.span()));
        }
        let own = format!("write its keys below [{}.{name}]", self.title.trim_matches(['[', ']']));
        self.fault(&value.span(), None, Fault::wrong_type(value.get_ref(), "a table").help(own));
        None
    }

    fn flatten(
        &mut self,
        table: &DeTable<'_>,
        prefix: &str,
        before: Option<&Range<usize>>,
        properties: &mut Vec<Property>,
    ) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            // The whole dotted key, if it is on one line.
            let from = before.map_or_else(|| key.span().start, |before| before.start);
            let whole = from..key.span().end;
            let key_span = if from <= key.span().start && self.one_line(whole.clone()) { whole } else { key.span() };
            let value_span = value.span();
            let value = match value.get_ref() {
                DeValue::Table(inner) => {
                    self.flatten(inner, &format!("{name}."), Some(&key_span), properties);
                    continue;
                }
                DeValue::String(text) => text.to_string(),
                DeValue::Boolean(value) => value.to_string(),
                DeValue::Float(value) => value.as_str().to_owned(),
                other => {
                    let Some(number) = value::integer(other) else {
                        let wanted = "a string, a number or a boolean";
                        self.fault(&value_span, None, Fault::no_integer(other, wanted, i64::MIN, i64::MAX));
                        continue;
                    };
                    number.to_string()
                }
            };
            properties.push(Property { name, value, key_span, value_span });
        }
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

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}
