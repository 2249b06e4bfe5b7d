//! `[[sink.file]]`: JSON lines in files.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::dead_letter::{self, DEAD_LETTER, DEAD_LETTER_MAX_SIZE, DeadLetterConfig};
use super::{MAX_ROUTES, NotDurable, SinkFacts, SinkKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Key, Type};
use crate::config::kind::Kind;
use crate::config::paths::{Paths, resolved};
use crate::config::reader::{Reader, Time};
use crate::template::{Field, Route, Template};

/// `[[sink.file]]`: JSON lines in files.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    /// Directory below which every file stays: the leading components of `path` without a placeholder.
    pub directory: PathBuf,
    /// The rest of the path, below `directory`.
    pub path: Template,
    /// Maximum number of distinct paths in use; records of further ones go to a common path.
    pub max_routes: usize,
    /// Permission bits of the files.
    pub mode: u32,
    /// Size in bytes at which a file is rotated.
    pub rotate_size: Option<u64>,
    /// Age at which a file is rotated.
    pub rotate_age: Option<Duration>,
    /// Maximum number of rotated files kept per path; `None` keeps all.
    pub rotate_keep: Option<usize>,
    /// True if rotated files are compressed with gzip.
    pub gzip: bool,
    /// Time at which data must be on the disk.
    pub fsync: Fsync,
    /// Dead-letter file for records that are permanently refused.
    pub dead_letter: Option<DeadLetterConfig>,
    /// True if only this sink writes to its files, and locks them; false in a replay, which writes beside the daemon.
    pub owner: bool,
}

/// When a file sink calls fdatasync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// The kernel decides.
    Never,
    /// Before a batch counts as delivered.
    Always,
    /// At least once in this interval while there is unsynced data.
    Every(Duration),
}

pub(super) const KIND: Kind<SinkKind> = Kind {
    name: "file",
    doc: "JSON lines in files, made as needed.",
    single: false,
    keys: &[
        Key::required(
            "path",
            Type::Template,
            r#""/var/log/postrider/{hostname}.json""#,
            "Where each record goes: a directory first, then anything with placeholders.",
        ),
        MAX_ROUTES,
        Key::default("mode", Type::Mode, r#""0640""#, "Permission bits of the files."),
        Key::optional(
            "rotate_size",
            Type::Size(64 << 10, u64::MAX),
            r#""1GiB""#,
            "Rotate a file that has grown to this.",
        ),
        Key::optional("rotate_age", Type::Duration(&[]), r#""1d""#, "Rotate a file that is so old."),
        Key::optional(
            "rotate_keep",
            Type::Count(1, 1_000_000),
            "7",
            "Keep so many rotated files of each path; without it all.",
        ),
        Key::default("gzip", Type::Bool, "false", "Compress rotated files."),
        Key::default(
            "fsync",
            Type::Duration(&["never", "always"]),
            r#""1s""#,
            "Force data to the disk at least so often; `always` does it before a record counts as delivered.",
        ),
        DEAD_LETTER,
        DEAD_LETTER_MAX_SIZE,
    ],
    read: |table| {
        let (path, mode, fsync) = (table.template("path"), table.mode("mode"), table.time("fsync"));
        let (rotate_size, rotate_age) = (table.size("rotate_size"), table.duration("rotate_age"));
        let (rotate_keep, gzip) = (table.count("rotate_keep"), table.bool("gzip"));
        let (max_routes, dead_letter) = (table.count("max_routes"), dead_letter::read(table));
        check_rotation(table, gzip?);
        check_mode(table, mode?);
        let (directory, path) = split(table, path?)?;
        let fsync = match fsync? {
            Time::Word("never") => Fsync::Never,
            Time::Word(_) => Fsync::Always,
            Time::Span(duration) => Fsync::Every(duration),
        };
        let (mode, gzip) = (mode?, gzip?);
        Some(SinkKind::File(FileConfig {
            directory,
            path,
            max_routes: max_routes?,
            mode,
            rotate_size,
            rotate_age,
            rotate_keep,
            gzip,
            fsync,
            dead_letter,
            owner: true,
        }))
    },
};

impl FileConfig {
    /// Maximum number of files that are open at a time. To open another one, the sink closes a quarter of them: the
    /// least recently used.
    pub const OPEN_FILES: usize = 128;
}

impl SinkFacts for FileConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn destination(&self) -> String {
        format!("{}/{}", self.directory.display(), self.path)
    }

    fn shares_destination(&self, other: &SinkKind) -> bool {
        let SinkKind::File(other) = other else { return false };
        let (one, other) = (resolved(&self.directory), resolved(&other.directory));
        one.starts_with(&other) || other.starts_with(&one)
    }

    fn route(&self) -> Option<Route> {
        Some(Route::Path(self.path.clone()))
    }

    fn not_durable(&self) -> Option<NotDurable> {
        let help = "leave `fsync` out, or write \"1s\"";
        (self.fsync == Fsync::Never).then_some(NotDurable { key: "fsync", help })
    }

    fn dead_letter(&self) -> Option<&DeadLetterConfig> {
        self.dead_letter.as_ref()
    }

    fn files(&self) -> Option<Paths> {
        let rotates = self.rotate_size.is_some() || self.rotate_age.is_some();
        Some(Paths::of_sink(&self.directory, &self.path, rotates))
    }

    /// Counts the directory, which stays open, and directories on the way to a file and both files of a compression,
    /// which are open for a moment. With few descriptors, the sink closes files to open others.
    fn descriptors(&self) -> (usize, usize) {
        const DIRECTORIES: usize = 16;
        (DIRECTORIES, DIRECTORIES + Self::OPEN_FILES)
    }

    /// Returns a sink that syncs everything that its receipts confirm. The sink leaves rotation to the daemon, which
    /// may write to the same files.
    fn for_replay(&self, dead_letter: DeadLetterConfig) -> SinkKind {
        SinkKind::File(Self {
            dead_letter: self.dead_letter.clone().or(Some(dead_letter)),
            rotate_size: None,
            rotate_age: None,
            rotate_keep: None,
            gzip: false,
            // The routes were already admitted, or the operator names one.
            max_routes: usize::MAX,
            fsync: if self.fsync == Fsync::Never { Fsync::Always } else { self.fsync },
            owner: false,
            ..self.clone()
        })
    }

    fn warnings(&self) -> Vec<String> {
        let Some(time) = self.path.fields().find(|field| field.is_time()).map(Field::name) else { return Vec::new() };
        let idle = [("gzip", self.gzip, "compresses"), ("rotate_keep", self.rotate_keep.is_some(), "removes")];
        let warning = |(key, _, what)| {
            format!(
                "`{key}` never {what} files of the past while {{{time}}} is in the path, because nothing rotates them; \
                 leave {{{time}}} out, and write rotate_age = \"1d\""
            )
        };
        idle.into_iter().filter(|(_, set, _)| *set).map(warning).collect()
    }
}

/// Reports keys about rotated files without rotation.
fn check_rotation(table: &mut Reader<'_, '_>, gzip: bool) {
    if table.gives("rotate_size") || table.gives("rotate_age") {
        return;
    }
    for (key, set) in [("rotate_keep", table.gives("rotate_keep")), ("gzip", gzip)] {
        if set {
            let error = Diagnostic::at(table.place(key), format!("`{key}` without rotation"));
            table.error(error.help("add `rotate_size` or `rotate_age`"));
        }
    }
}

/// Reports a mode without write permission: a file that is reopened must be writable.
fn check_mode(table: &mut Reader<'_, '_>, mode: u32) {
    if mode & 0o200 == 0 {
        let error = Diagnostic::at(table.place("mode"), "the owner may not write");
        table.error(error.help("set the bit 0200, e.g. \"0640\""));
    }
}

/// Returns the directory below which every file stays, and the rest of the path.
fn split(table: &mut Reader<'_, '_>, path: Template) -> Option<(PathBuf, Template)> {
    let place = table.place("path");
    let error = if path.literals().any(|text| text.contains('\0')) {
        Some(("a path with a NUL", "leave it out"))
    } else if path.literals().flat_map(|text| Path::new(text).components()).any(|part| part == Component::ParentDir) {
        Some(("a path with `..`", "write the directory itself"))
    } else if path.ends_with('/') {
        Some(("the path of a directory", "add the name of a file, e.g. {date}.json"))
    } else {
        None
    };
    if let Some((message, help)) = error {
        table.error(Diagnostic::at(place, message).help(help));
        return None;
    }
    let split = path.split_directory();
    if split.is_none() {
        let error = Diagnostic::at(place, "a placeholder before any directory");
        table.error(error.help("begin with a directory, e.g. \"/var/log/postrider/{hostname}.json\""));
    }
    split
}
