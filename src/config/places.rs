//! Conflicts on the disk: two tables must not use the same file, or a directory into which the other writes.
//!
//! Two owners of one file would break each other's lines, and one of them would compress and remove a file that the
//! other still writes.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::kind::Placed;
use super::paths::Paths;
use super::{SinkConfig, SourceConfig, SourceEndpoint};

/// Help text of most of these errors.
const APART: &str = "give each its own directory, e.g. \"/var/log/postrider/hosts/{hostname}.json\" and \
                     \"/var/log/postrider/all.json\"";

/// A file or directory that a table uses.
struct UsedPath {
    kind: PathUse,
    /// Description for messages.
    what: String,
    paths: Paths,
    /// Its position in the configuration file.
    span: Range<usize>,
    /// Number of its sink; `None` for a source. Files of the same sink do not conflict.
    owner: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathUse {
    /// The files of a file sink.
    Files,
    /// The dead-letter file of a sink, and the files that a replay makes of it.
    DeadLetters,
    Spool,
    /// The cursor of a source that follows files.
    Cursor,
    /// Files that such a source reads.
    Followed,
}

/// Checks every pair of places.
pub(super) fn across(sources: &[Placed<SourceConfig>], sinks: &[Placed<SinkConfig>], found: &mut Diagnostics) {
    let places: Vec<UsedPath> = sources.iter().flat_map(of_source).chain(of_sinks(sinks)).collect();
    // A cursor consists of several files, so each pair of keys is reported once.
    let mut told = Vec::new();
    for (index, later) in places.iter().enumerate() {
        let keys = |earlier: &UsedPath| (earlier.span.start, later.span.start);
        let mut earlier = places[..index].iter().filter(|earlier| !told.contains(&keys(earlier)));
        let error = earlier.find_map(|earlier| Some((keys(earlier), conflict(earlier, later)?)));
        if let Some((keys, error)) = error {
            told.push(keys);
            found.push(error);
        }
    }
}

fn of_source(source: &Placed<SourceConfig>) -> Vec<UsedPath> {
    let (name, facts) = (&source.config.name, source.config.kind.facts());
    let followed = facts.followed().iter().map(|pattern| UsedPath {
        kind: PathUse::Followed,
        what: format!("the source {name} follows it"),
        paths: Paths::of_glob(pattern),
        span: source.places.of("paths"),
        owner: None,
    });
    let state = if let SourceEndpoint::Cursor(state) = facts.endpoint() { Some(state) } else { None };
    let files = |state: &Path| ["cursor", "cursor.new", "lock"].map(|end| state.join(format!("{name}.{end}")));
    let cursor = state.into_iter().flat_map(files).map(|path| UsedPath {
        kind: PathUse::Cursor,
        what: format!("the source {name} keeps its cursor there"),
        paths: Paths::of(&path),
        span: source.places.of("state"),
        owner: None,
    });
    followed.chain(cursor).collect()
}

fn of_sinks(sinks: &[Placed<SinkConfig>]) -> impl Iterator<Item = UsedPath> + '_ {
    sinks.iter().enumerate().flat_map(|(number, sink)| {
        let (name, facts) = (&sink.config.name, sink.config.kind.facts());
        let place =
            |kind, what, paths, key| UsedPath { kind, what, paths, span: sink.places.of(key), owner: Some(number) };
        let files = facts.files().map(|paths| {
            let what = format!("the sink {name} writes its records to it");
            place(PathUse::Files, what, paths, "path")
        });
        let dead_letters = facts.dead_letter().into_iter().flat_map(|letter| letters(&letter.path)).map(|path| {
            let what = format!("the sink {name} keeps dead letters there");
            place(PathUse::DeadLetters, what, Paths::of(&path), "dead_letter")
        });
        let spool = sink.config.spool.as_ref().map(|spool| {
            let what = format!("the sink {name} has its spool there");
            place(PathUse::Spool, what, Paths::below(&spool.directory), "spool")
        });
        files.into_iter().chain(dead_letters).chain(spool).collect::<Vec<_>>()
    })
}

/// Returns the paths of a dead-letter file and of the files that `replay` creates next to it.
fn letters(path: &Path) -> [PathBuf; 3] {
    ["", ".replaying", ".damaged"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

fn conflict(earlier: &UsedPath, later: &UsedPath) -> Option<Diagnostic> {
    if !may_conflict(earlier, later) {
        return None;
    }
    let kinds = [earlier.kind, later.kind];
    let above = || {
        // A glob never treats a file as a directory.
        let matters = !kinds.contains(&PathUse::Followed);
        let path = || earlier.paths.meets_above(&later.paths).or_else(|| later.paths.meets_above(&earlier.paths));
        matters.then(path).flatten().map(|path| format!("{path} is used as a file and as a directory"))
    };
    let both = earlier.paths.meets(&later.paths).map(|path| format!("{path} is used twice"));
    let trouble = both.or_else(above)?;
    let (first, second) = if earlier.span.start <= later.span.start { (earlier, later) } else { (later, earlier) };
    let help = match kinds {
        [PathUse::Followed, _] | [_, PathUse::Followed] => {
            "Postrider would read its own output: exclude its files from `paths`"
        }
        [PathUse::Files, PathUse::Files] => APART,
        _ => "give each its own directory",
    };
    let error = Diagnostic::at(second.span.clone(), format!("{trouble}: {}", first.what));
    Some(error.help(help).also(first.span.clone(), "the first"))
}

fn may_conflict(earlier: &UsedPath, later: &UsedPath) -> bool {
    match (earlier.kind, later.kind) {
        // Sinks may share a dead-letter file. Two spools in one directory are reported as a different error.
        (PathUse::DeadLetters, PathUse::DeadLetters)
        | (PathUse::Spool | PathUse::Cursor, PathUse::Spool | PathUse::Cursor)
        | (PathUse::Followed, PathUse::Followed) => false,
        (PathUse::Files, PathUse::Files) => earlier.owner != later.owner,
        _ => true,
    }
}
