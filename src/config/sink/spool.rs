//! `[sink.KIND.spool]`: records of one sink on the disk.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Choice, Key, Type};
use crate::config::reader::Reader;
use crate::config::value::print_size;

static MODE: Choice<SpoolMode, 2> = Choice::new([("overflow", SpoolMode::Overflow), ("always", SpoolMode::Always)]);
static WHEN_FULL: Choice<WhenFull, 2> =
    Choice::new([("block", WhenFull::Block), ("drop_oldest", WhenFull::DropOldest)]);

pub(super) const KEYS: [Key; 6] = [
    Key::required(
        "directory",
        Type::Path,
        r#""/var/lib/postrider/spool/kafka""#,
        "Where its files are; each spool has one of its own.",
    ),
    Key::default(
        "mode",
        Type::Word(MODE.words()),
        r#""overflow""#,
        "The disk is for what the sink does not take at once, or for every record before the sink has it.",
    ),
    Key::default(
        "max_size",
        Type::Size(4 << 20, u64::MAX),
        r#""4GiB""#,
        "At most so much on the disk; then the sink's queue fills.",
    ),
    Key::default(
        "segment_size",
        Type::Size(1 << 20, 1 << 30),
        r#""32MiB""#,
        "The size of a file; it is deleted whole.",
    ),
    Key::default(
        "min_free",
        Type::Size(0, u64::MAX),
        r#""512MiB""#,
        "It leaves so much of the file system free, as if it were full then.",
    ),
    Key::default(
        "when_full",
        Type::Word(WHEN_FULL.words()),
        r#""block""#,
        "A full spool takes nothing, so that streams wait and datagrams are dropped; or it drops its oldest file.",
    ),
];

/// `[sink.KIND.spool]`: records of one sink on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Directory, which no other sink may use.
    pub directory: PathBuf,
    /// Records that go to the disk.
    pub mode: SpoolMode,
    /// Maximum number of bytes of records on the disk; at the limit, the sink's queue fills.
    pub max_size: u64,
    /// Size of one file.
    pub segment_size: u64,
    /// Space that the spool leaves free on the file system.
    pub min_free: u64,
    /// Behaviour when the spool is full.
    pub when_full: WhenFull,
}

/// Records that a spool writes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolMode {
    /// Records that the sink does not accept at once.
    Overflow,
    /// All records, before the sink gets them.
    Always,
}

/// Behaviour of a full spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The spool accepts nothing: the sink's queue fills, which delays all sources that can wait.
    Block,
    /// The spool drops its oldest records, one file at a time.
    DropOldest,
}

pub(super) fn read(table: &mut Reader<'_, '_>) -> Option<SpoolConfig> {
    let (directory, mode) = (table.path("directory"), table.choice("mode", &MODE));
    let (max_size, segment_size) = (table.size("max_size"), table.size("segment_size"));
    let (min_free, when_full) = (table.size("min_free"), table.choice("when_full", &WHEN_FULL));
    let config = SpoolConfig {
        directory: directory?,
        mode: mode?,
        max_size: max_size?,
        segment_size: segment_size?,
        min_free: min_free?,
        when_full: when_full?,
    };
    if config.max_size / 4 < config.segment_size {
        let error = Diagnostic::at(table.place("max_size"), "room for less than four files of `segment_size`");
        let (most, least) = (print_size(config.max_size / 4), print_size(config.segment_size.saturating_mul(4)));
        let help = format!("write {least} or more for `max_size`, or {most} or less for `segment_size`");
        table.error(error.help(help));
    }
    Some(config)
}
