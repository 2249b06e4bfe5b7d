//! `[[sink.file]]`: JSON lines in files.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::dead_letter::{DeadLetterConfig, DeadLetterKeys};
use super::{NotDurable, RouteKeys, SinkFacts, SinkKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{BOOL, Choice, Count, MODE, Size, Span, SpanOr, TEMPLATE};
use crate::config::key::{Given, default, keys, optional, required};
use crate::config::kind::{Kind, Section};
use crate::config::paths::{Paths, resolved};
use crate::template::{Field, Route, Template};

static FSYNC: Choice<Fsync, 2> = Choice::new([("never", Fsync::Never), ("always", Fsync::Always)]);

keys! {
    /// Keys of `[[sink.file]]`.
    struct FileKeys {
        /// Path of a record's file: a directory first, then text with placeholders. Postrider gives `{peer}` and
        /// `{source}`, and `{received_date}` and `{received_hour}` in UTC: no sender can influence them. The message
        /// gives `{hostname}`, `{app_name}`, `{facility}` and `{severity}`, and `{date}` and `{hour}` in the time zone
        /// of its sender. A message of Postfix also gives `{event}`, `{instance}`, `{service}`, `{daemon}`,
        /// `{queue_id}` and `{status}`.
        path: Template = required(TEMPLATE, r#""/var/log/postrider/{hostname}.json""#),
        /// Permission bits of the files.
        mode: u32 = default(MODE, r#""0640""#),
        /// Size at which a file is rotated. Without `rotate_size` and `rotate_age`, no file is rotated.
        rotate_size: u64 = optional(Size(64 << 10, u64::MAX), r#""1GiB""#),
        /// Age at which a file is rotated.
        rotate_age: Duration = optional(Span, r#""1d""#),
        /// Maximum number of rotated files per path; the oldest are deleted. Without this key, all are kept.
        rotate_keep: usize = optional(Count(1, 1_000_000), "7"),
        /// Compression of rotated files. With a date or an hour in the path, the sink neither rotates nor compresses
        /// nor deletes the files of the past. Leave both out of the path, and set `rotate_age`.
        gzip: bool = default(BOOL, "false"),
        /// Maximum time until data is forced to the disk. `always` forces it before a record counts as delivered;
        /// `never` leaves it to the kernel.
        fsync: Fsync = default(SpanOr { span: Fsync::Every, words: &FSYNC }, r#""1s""#),
        ..routes: RouteKeys,
        ..refused: DeadLetterKeys,
    }
}

pub(super) const KIND: Kind<SinkKind> =
    Kind::of::<FileKeys>("file", "JSON lines in files, which are created as needed.");

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

impl Section for FileKeys {
    type Config = SinkKind;

    fn config(self, found: &mut Diagnostics) -> Option<SinkKind> {
        self.check_rotation(found);
        let mode = writable(self.mode, found);
        let dead_letter = self.refused.config(found);
        let (directory, path) = split(self.path.place, self.path.value?, found)?;
        Some(SinkKind::File(FileConfig {
            directory,
            path,
            max_routes: self.routes.max_routes.value?,
            mode: mode?,
            rotate_size: self.rotate_size.value,
            rotate_age: self.rotate_age.value,
            rotate_keep: self.rotate_keep.value,
            gzip: self.gzip.value?,
            fsync: self.fsync.value?,
            dead_letter,
            owner: true,
        }))
    }
}

impl FileKeys {
    /// Reports keys about rotated files without rotation.
    fn check_rotation(&self, found: &mut Diagnostics) {
        if self.rotate_size.is_written() || self.rotate_age.is_written() {
            return;
        }
        let gzip = self.gzip.written().filter(|_| self.gzip.value == Some(true));
        for (key, place) in [("rotate_keep", self.rotate_keep.written()), ("gzip", gzip)] {
            if let Some(place) = place {
                let error = Diagnostic::at(place, format!("`{key}` without rotation"));
                found.push(error.help("add `rotate_size` or `rotate_age`"));
            }
        }
    }
}

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
                "`{key}` never {what} files of earlier times, because a path with {{{time}}} is not rotated; leave \
                 {{{time}}} out, and write rotate_age = \"1d\""
            )
        };
        idle.into_iter().filter(|(_, set, _)| *set).map(warning).collect()
    }
}

/// Returns the mode; reports one without write permission: a file that is reopened must be writable.
fn writable(mode: Given<u32>, found: &mut Diagnostics) -> Option<u32> {
    let bits = mode.value?;
    if bits & 0o200 == 0 {
        let error = Diagnostic::at(mode.place, "the mode does not let the owner write");
        found.push(error.help("set the bit 0200, e.g. \"0640\""));
    }
    Some(bits)
}

/// Returns the directory below which every file stays, and the rest of the path.
fn split(place: Range<usize>, path: Template, found: &mut Diagnostics) -> Option<(PathBuf, Template)> {
    let error = if path.literals().any(|text| text.contains('\0')) {
        Some(("a path with a NUL byte", "leave it out"))
    } else if path.literals().flat_map(|text| Path::new(text).components()).any(|part| part == Component::ParentDir) {
        Some(("a path with `..`", "write the path without `..`"))
    } else if path.ends_with('/') {
        Some(("the path of a directory", "add the name of a file, e.g. {date}.json"))
    } else {
        None
    };
    if let Some((message, help)) = error {
        found.push(Diagnostic::at(place, message).help(help));
        return None;
    }
    let split = path.split_directory();
    if split.is_none() {
        let error = Diagnostic::at(place, "no directory before the first placeholder");
        found.push(error.help("begin with a directory, e.g. \"/var/log/postrider/{hostname}.json\""));
    }
    split
}
