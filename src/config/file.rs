//! The file as a whole: its top level, and the tables of sources and sinks in their order.

use std::ops::Range;
use std::time::Duration;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::admin::AdminKeys;
use super::correlate::CorrelateKeys;
use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::form::{Form, Named, Span, Spot, Table};
use super::key::{Given, Inner, Keys, Rows, default, keys, optional};
use super::kind::{Kind, Placed, Section};
use super::reader::TableReader;
use super::unknown::Known;
use super::value::type_name;
use super::{Config, SinkConfig, SinkKind, SourceConfig, SourceKind, check, schema, sink, source};
use crate::dsn::Language;
use crate::suggest;

/// Form of a language.
pub(super) const LANGUAGE: Named<Language> = Named { names: &Language::NAMES, value: Language::from_name };

keys! {
    /// Keys at the top of the file.
    pub(super) struct Top {
        /// Language of the texts that explain status codes in records: English or Japanese.
        language: Language = default(LANGUAGE, r#""en""#),
        /// Maximum time for a stop: from the signal until everything that was received is delivered. After that, the
        /// rest is dropped and counted.
        shutdown_timeout: Duration = default(Span, r#""30s""#),
        /// Joins of the lines that belong to one message or one SMTP session: a record of each, and what is known of
        /// the message in each of its deliveries. See docs/correlation.md.
        correlate: CorrelateKeys = default(Table::<CorrelateKeys>::NEW, "{}"),
        /// Server that tells the state of Postrider over HTTP: `postrider health` and `postrider trace` ask it, and
        /// monitoring can. See docs/admin.md.
        admin: AdminKeys = default(Table::<AdminKeys>::NEW, "{}"),
        /// Sources of messages; at least one.
        source: Vec<Placed<SourceConfig>> = optional(SOURCES, "{}"),
        /// Sinks for records; at least one.
        sink: Vec<Placed<SinkConfig>> = optional(SINKS, "{}"),
    }
}

/// The tables of every kind of source, or of every kind of sink.
pub(super) struct KindTables<T: 'static, C> {
    /// Name in the file: `[[NAME.KIND]]`.
    pub(super) name: &'static str,
    pub(super) kinds: &'static [Kind<T>],
    /// Keys that every kind has.
    pub(super) common: Rows,
    read: fn(&Kind<T>, String, &mut TableReader<'_, '_>) -> Option<C>,
}

pub(super) const SOURCES: KindTables<SourceKind, SourceConfig> =
    KindTables { name: "source", kinds: &source::SOURCES, common: source::SourceKeys::rows, read: source::read };
pub(super) const SINKS: KindTables<SinkKind, SinkConfig> =
    KindTables { name: "sink", kinds: &sink::SINKS, common: sink::SinkKeys::rows, read: sink::read };

/// Maximum number of sources, and of sinks: each one is compared with all others.
const MOST_TABLES: usize = 1000;

/// One `[[source.KIND]]` or `[[sink.KIND]]`.
struct FoundTable<'t, 'd, T: 'static> {
    kind: &'static Kind<T>,
    /// Position among the tables of its kind, counted from 1.
    nth: usize,
    header: Range<usize>,
    table: &'t DeTable<'d>,
}

/// Reads the document. Every error is added to `found`; if there is any, the result must not be used.
pub(super) fn read(document: &DeTable<'_>, found: &mut Diagnostics) -> Option<Config> {
    let mut reader = TableReader::new(document, 0..0, Known::new(String::new(), vec![Top::rows]), found);
    let top = Top::read(&mut reader);
    reader.finish();
    for error in [SOURCES.absent(&top.source), SINKS.absent(&top.sink)].into_iter().flatten() {
        found.push(error);
    }
    let correlate = top.correlate.value.and_then(|keys| keys.config(found));
    let admin = top.admin.value.and_then(|keys| keys.config(found));
    let (sources, sinks) = (top.source.value.unwrap_or_default(), top.sink.value.unwrap_or_default());
    check::across(&sources, &sinks, found);
    if let Some(correlate) = &correlate {
        check::joined(correlate, &sinks, found);
    }

    let sources = sources.into_iter().map(|placed| placed.config).collect();
    let sinks = sinks.into_iter().map(|placed| placed.config).collect();
    Some(Config {
        language: top.language.value?,
        shutdown_timeout: top.shutdown_timeout.value?,
        correlate: correlate?,
        admin: admin?,
        sources,
        sinks,
    })
}

impl<T, C> KindTables<T, C> {
    /// Returns the error if the file has no tables of this group.
    fn absent(&self, given: &Given<Vec<Placed<C>>>) -> Option<Diagnostic> {
        (!given.is_written()).then(|| none(self.name, self.kinds[0].name))
    }
}

impl<T: 'static, C> Form for KindTables<T, C> {
    type Value = Vec<Placed<C>>;

    /// Reads every table of the group; tables with errors are omitted.
    fn read(&self, _: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<Vec<Placed<C>>> {
        let title = |kind: &Kind<T>| format!("[[{}.{}]]", self.name, kind.name);
        let found = reader.found();
        let mut all = Vec::new();
        for FoundTable { kind, nth, header, table } in tables(self.name, self.kinds, value, found) {
            let name = if nth == 1 { kind.name.to_owned() } else { format!("{}-{nth}", kind.name) };
            let kinds = self.kinds.iter().map(|kind| (kind.name, title(kind))).collect();
            let known = Known::new(title(kind), vec![self.common, kind.rows]).among(kinds);
            let mut reader = TableReader::new(table, header, known, found);
            let config = (self.read)(kind, name, &mut reader);
            let places = reader.finish();
            all.extend(config.map(|config| Placed { config, places }));
        }
        Some(all)
    }

    fn schema(&self) -> Json {
        schema::kinds(self.kinds, self.common)
    }

    fn inner(&self) -> Inner {
        Inner::Kinds
    }
}

/// Returns the tables of a group in the order of the file.
fn tables<'t, 'd, T: 'static>(
    group: &str,
    kinds: &'static [Kind<T>],
    value: &'t Spanned<DeValue<'d>>,
    found: &mut Diagnostics,
) -> Vec<FoundTable<'t, 'd, T>> {
    let names = || kinds.iter().map(|kind| kind.name);
    let mut tables = Vec::new();
    let DeValue::Table(by_kind) = value.get_ref() else {
        let message =
            format!("expected tables like [[{group}.{}]], found {}", kinds[0].name, type_name(value.get_ref()));
        found.push(
            Diagnostic::at(value.span(), message)
                .help(format!("the kinds are {}", names().collect::<Vec<_>>().join(", "))),
        );
        return tables;
    };
    for (key, value) in by_kind {
        let Some(kind) = kinds.iter().find(|kind| kind.name == key.get_ref().as_ref()) else {
            found.push_with(|| {
                let error = Diagnostic::at(key.span(), format!("unknown kind of {group} `{}`", key.get_ref()));
                error.help(suggest::help(key.get_ref(), names()))
            });
            continue;
        };
        tables.extend(of_kind(group, kind, value, found));
    }
    let empty = |value: &Spanned<DeValue<'_>>| value.get_ref().as_array().is_some_and(|array| array.is_empty());
    if by_kind.values().all(empty) {
        found.push(none(group, kinds[0].name));
    }
    tables.sort_by_key(|table: &FoundTable<'_, '_, T>| table.header.start);
    if let Some(over) = tables.get(MOST_TABLES) {
        let message = format!("{} {group}s; the maximum is {MOST_TABLES}", tables.len());
        found.push(Diagnostic::at(over.header.clone(), message).help("divide them among several processes"));
        tables.truncate(MOST_TABLES);
    }
    tables
}

fn none(group: &str, example: &str) -> Diagnostic {
    Diagnostic::absent(format!("no {group}")).help(format!("add at least one, e.g. [[{group}.{example}]]"))
}

/// Returns the tables of one kind.
fn of_kind<'t, 'd, T: 'static>(
    group: &str,
    kind: &'static Kind<T>,
    value: &'t Spanned<DeValue<'d>>,
    found: &mut Diagnostics,
) -> Vec<FoundTable<'t, 'd, T>> {
    let mut tables: Vec<FoundTable<'t, 'd, T>> = Vec::new();
    let elements = value.get_ref().as_array().map(|array| array.iter()).into_iter().flatten();
    let form = format!("write [[{group}.{}]] with two brackets", kind.name);
    if !value.get_ref().is_array() {
        let message = format!("expected an array of tables, found {}", type_name(value.get_ref()));
        found.push(Diagnostic::at(value.span(), message).help(form.clone()));
    }
    for element in elements {
        let DeValue::Table(table) = element.get_ref() else {
            let message = format!("expected a table, found {}", type_name(element.get_ref()));
            found.push(Diagnostic::at(element.span(), message).help(form.clone()));
            continue;
        };
        if let (true, Some(first)) = (kind.single, tables.first()) {
            let error = Diagnostic::at(element.span(), format!("a second {group} `{}`", kind.name));
            found.push(error.help("only one is allowed").also(first.header.clone(), "the first"));
            continue;
        }
        tables.push(FoundTable { kind, nth: tables.len() + 1, header: element.span(), table });
    }
    tables
}
