//! The file as a whole: its top level, and the tables of sources and sinks in their order.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::key::{Key, Type};
use super::kind::{Kind, Placed};
use super::reader::Reader;
use super::value::type_name;
use super::{Config, check, sink, source};
use crate::dsn::Language;
use crate::suggest;

/// The keys at the top of the file.
pub(super) const TOP: [Key; 4] = [
    Key::default("language", Type::Word(&Language::NAMES), r#""en""#, "The language of the texts that explain a code."),
    Key::default(
        "shutdown_timeout",
        Type::Duration(&[]),
        r#""30s""#,
        "How long a stop may take to deliver what is still here.",
    ),
    Key::optional("source", Type::Sources, "{}", "Where messages come from; at least one."),
    Key::optional("sink", Type::Sinks, "{}", "Where records go; at least one."),
];

/// Maximum number of sources, and of sinks: each one is compared with all others.
const MOST_TABLES: usize = 1000;

/// One `[[source.KIND]]` or `[[sink.KIND]]`.
struct Found<'t, 'd, T: 'static> {
    kind: &'static Kind<T>,
    /// Position among the tables of its kind, counted from 1.
    nth: usize,
    header: Range<usize>,
    table: &'t DeTable<'d>,
}

/// Reads the document. Every error is added to `found`; if there is any, the result must not be used.
pub(super) fn read(document: &DeTable<'_>, found: &mut Diagnostics) -> Option<Config> {
    let mut top = Reader::new(document, 0..0, String::new(), [&TOP, &[]], found);
    let language = top.word("language").and_then(Language::from_name);
    let shutdown_timeout = top.duration("shutdown_timeout");
    let (sources, sinks) = (document.get(top.passed("source")), document.get(top.passed("sink")));
    top.finish();

    let sources = read_kinds("source", &source::SOURCES, &source::COMMON, sources, source::read, found);
    let sinks = read_kinds("sink", &sink::SINKS, &sink::COMMON, sinks, sink::read, found);
    check::across(&sources, &sinks, found);

    let sources = sources.into_iter().map(|placed| placed.config).collect();
    let sinks = sinks.into_iter().map(|placed| placed.config).collect();
    Some(Config { language: language?, shutdown_timeout: shutdown_timeout?, sources, sinks })
}

/// Reads every table of a group; tables with errors are omitted.
fn read_kinds<T: 'static, C>(
    group: &'static str,
    kinds: &'static [Kind<T>],
    common: &'static [Key],
    value: Option<&Spanned<DeValue<'_>>>,
    read: fn(&Kind<T>, String, &mut Reader<'_, '_>) -> Option<C>,
    found: &mut Diagnostics,
) -> Vec<Placed<C>> {
    let mut all = Vec::new();
    for Found { kind, nth, header, table } in tables(group, kinds, value, found) {
        let name = if nth == 1 { kind.name.to_owned() } else { format!("{}-{nth}", kind.name) };
        let title = format!("[[{group}.{}]]", kind.name);
        let kinds = kinds.iter().map(|kind| (kind.name, format!("[[{group}.{}]]", kind.name))).collect();
        let mut reader = Reader::new(table, header, title, [common, kind.keys], found).among(kinds);
        let config = read(kind, name, &mut reader);
        let places = reader.finish();
        all.extend(config.map(|config| Placed { config, places }));
    }
    all
}

/// Returns the tables of a group in the order of the file.
fn tables<'t, 'd, T: 'static>(
    group: &str,
    kinds: &'static [Kind<T>],
    value: Option<&'t Spanned<DeValue<'d>>>,
    found: &mut Diagnostics,
) -> Vec<Found<'t, 'd, T>> {
    let names = || kinds.iter().map(|kind| kind.name);
    let mut tables = Vec::new();
    let Some(value) = value else {
        found.push(none(group, kinds[0].name));
        return tables;
    };
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
    tables.sort_by_key(|table: &Found<'_, '_, T>| table.header.start);
    if let Some(over) = tables.get(MOST_TABLES) {
        let message = format!("{} {group}s, and at most {MOST_TABLES} can be", tables.len());
        found.push(Diagnostic::at(over.header.clone(), message).help("share them out among several processes"));
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
) -> Vec<Found<'t, 'd, T>> {
    let mut tables: Vec<Found<'t, 'd, T>> = Vec::new();
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
            found.push(error.help("there is only one").also(first.header.clone(), "the first"));
            continue;
        }
        tables.push(Found { kind, nth: tables.len() + 1, header: element.span(), table });
    }
    tables
}
