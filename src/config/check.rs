//! Contradictions between tables, which no table shows alone.

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::kind::Placed;
use super::reader::Places;
use super::sink::NotDurable;
use super::{CorrelateConfig, SinkConfig, SourceConfig, WhenFull, places};
use crate::record::Event;
use crate::spool;

/// Checks all sources and sinks against each other.
pub(super) fn across(sources: &[Placed<SourceConfig>], sinks: &[Placed<SinkConfig>], found: &mut Diagnostics) {
    pairs(sources, found, |a, b| same_name("source", (&a.config.name, &a.places), (&b.config.name, &b.places)));
    pairs(sources, found, same_socket);
    pairs(sinks, found, |a, b| same_name("sink", (&a.config.name, &a.places), (&b.config.name, &b.places)));
    pairs(sinks, found, same_spool);
    places::across(sources, sinks, found);
    let of_sink = sinks.iter().flat_map(|sink| [spool_before_page_cache(sink), spool_of_another_kind(sink)]);
    let both = sinks.iter().flat_map(|sink| sources.iter().map(move |source| (source, sink)));
    let of_both = both.flat_map(|(source, sink)| {
        [
            not_durable(source, sink),
            dropped_though_acknowledged(source, sink),
            queue_too_small(source, sink),
            spool_too_small(source, sink),
        ]
    });
    of_sink.chain(of_both).flatten().for_each(|error| found.push(error));
}

/// Reports sinks that ask for events that are never made, because lines are not joined.
pub(super) fn joined(correlate: &CorrelateConfig, sinks: &[Placed<SinkConfig>], found: &mut Diagnostics) {
    if correlate.joins.is_some() {
        return;
    }
    for sink in sinks {
        let events = sink.config.select.events.iter().flatten();
        if let Some(event) = events.into_iter().find(|event| Event::JOINED.contains(event)) {
            let message = format!("the event `{event}` is made only if `enabled` in [correlate] is true");
            found.push(
                Diagnostic::at(sink.places.of("events"), message).help("set `enabled = true`, or remove the event"),
            );
        }
    }
}

/// Compares each table with those before it, and reports at most one error for it.
fn pairs<T>(
    all: &[Placed<T>],
    found: &mut Diagnostics,
    compare: impl Fn(&Placed<T>, &Placed<T>) -> Option<Diagnostic>,
) {
    for (index, later) in all.iter().enumerate() {
        if let Some(error) = all[..index].iter().find_map(|earlier| compare(earlier, later)) {
            found.push(error);
        }
    }
}

fn same_name(what: &str, (a, a_places): (&str, &Places), (b, b_places): (&str, &Places)) -> Option<Diagnostic> {
    (a == b).then(|| {
        let error = Diagnostic::at(b_places.of("name"), format!("two {what}s have the name {a}"));
        error.help("give each its own `name`").also(a_places.of("name"), "the first")
    })
}

fn same_socket(a: &Placed<SourceConfig>, b: &Placed<SourceConfig>) -> Option<Diagnostic> {
    let (key, message) = a.config.kind.facts().endpoint().conflict(b.config.kind.facts().endpoint())?;
    Some(Diagnostic::at(b.places.of(key), message).also(a.places.of(key), "bound here first"))
}

fn same_spool(a: &Placed<SinkConfig>, b: &Placed<SinkConfig>) -> Option<Diagnostic> {
    a.config.shares_spool(&b.config).then(|| {
        let error = Diagnostic::at(b.places.of("spool"), "two sinks use the same spool");
        error.help("give each its own directory").also(a.places.of("spool"), "the first")
    })
}

/// Reports a sink that is less durable than its spool.
fn spool_before_page_cache(sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    let NotDurable { key, help } = sink.config.kind.facts().not_durable().filter(|_| sink.config.spool.is_some())?;
    let error = Diagnostic::at(sink.places.of(key), "a sink with a spool must sync its records to the disk");
    Some(error.help(help).also(sink.places.of("spool"), "the spool"))
}

/// Reports a spool that belonged to a sink of another kind: its records have no path or topic, or one of another kind,
/// so the sink would reject them permanently.
fn spool_of_another_kind(sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    let (directory, kind) = (&sink.config.spool.as_ref()?.directory, sink.config.kind.facts().name());
    let owner = spool::left_by_another(directory, kind)?;
    let (path, of) = (directory.display(), owner.kind());
    let message = format!("{path} has records of a {of} sink, and a {kind} sink cannot deliver them");
    let error = Diagnostic::at(sink.places.of("spool"), message);
    Some(error.help(format!(
        "give this sink its own directory, and keep the {of} sink ({}) until its spool is empty; or save the \
         records with          `postrider spool cat {path}`, and delete them with `postrider spool rm --yes {path}`",
        owner.destination()
    )))
}

/// Reports a queue that is too small for the longest message.
fn queue_too_small(source: &Placed<SourceConfig>, sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    (sink.config.queue_size < source.config.max_frame_size).then(|| {
        let message = format!("smaller than `max_frame_size` of the source {}", source.config.name);
        let error = Diagnostic::at(sink.places.of("queue_size"), message);
        let error = error.help("the longest message must fit into every queue");
        error.also(source.places.of("max_frame_size"), "the limit")
    })
}

/// Reports a spool that is too small for the longest record: three fields may repeat a message, and each of its bytes
/// may need six bytes there.
fn spool_too_small(source: &Placed<SourceConfig>, sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    const TIMES: u64 = 32;
    let (most, longest) = (sink.config.spool.as_ref()?.max_size, source.config.max_frame_size as u64);
    (most / TIMES < longest).then(|| {
        let message = format!("the spool has no room for the longest record of the source {}", source.config.name);
        let error = Diagnostic::at(sink.places.of("spool"), message);
        let error = error.help(format!(
            "raise `max_size` to {TIMES} times the limit, {} bytes, or lower the limit",
            longest * TIMES
        ));
        error.also(source.places.of("max_frame_size"), "the limit")
    })
}

/// Reports a spool that may drop records although a source has acknowledged them.
fn dropped_though_acknowledged(source: &Placed<SourceConfig>, sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    let drops = sink.config.spool.as_ref().is_some_and(|spool| spool.when_full == WhenFull::DropOldest);
    let place = source.config.kind.facts().acknowledges_by().filter(|_| drops)?;
    let message = format!("`drop_oldest` would drop messages that the source {} has acknowledged", source.config.name);
    let error = Diagnostic::at(sink.places.of("spool"), message);
    Some(error.help("leave `when_full` out").also(source.places.of(place), "the source"))
}

/// Reports a sink that is not durable although a source acknowledges messages.
fn not_durable(source: &Placed<SourceConfig>, sink: &Placed<SinkConfig>) -> Option<Diagnostic> {
    let NotDurable { key, help } = sink.config.kind.facts().not_durable()?;
    let place = source.config.kind.facts().acknowledges_by()?;
    let message = format!("the source {} acknowledges a message only when it is on the disk", source.config.name);
    let error = Diagnostic::at(sink.places.of(key), message);
    Some(error.help(help).also(source.places.of(place), "the source"))
}
