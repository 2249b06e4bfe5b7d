//! `[sink.KIND.spool]`: records of one sink on the disk.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{Choice, PATH, Size};
use crate::config::key::{default, keys, required};
use crate::config::kind::Section;
use crate::config::value::print_size;

static MODE: Choice<SpoolMode, 2> =
    Choice::new([(SpoolMode::Overflow.name(), SpoolMode::Overflow), (SpoolMode::Always.name(), SpoolMode::Always)]);
static WHEN_FULL: Choice<WhenFull, 2> =
    Choice::new([(WhenFull::Block.name(), WhenFull::Block), (WhenFull::DropOldest.name(), WhenFull::DropOldest)]);

keys! {
    /// Keys of `[sink.KIND.spool]`.
    pub(in crate::config) struct SpoolKeys {
        /// Directory of the spool, which no other sink may use.
        directory: PathBuf = required(PATH, r#""/var/lib/postrider/spool/archive""#),
        /// Records that go to the disk: with `overflow`, those that the sink does not accept at once; with `always`,
        /// every record, before the sink gets it.
        mode: SpoolMode = default(&MODE, r#""overflow""#),
        /// Maximum size of the records on the disk; at least four times `segment_size`.
        max_size: u64 = default(Size(4 << 20, u64::MAX), r#""4GiB""#),
        /// Size of one file. The spool deletes whole files.
        segment_size: u64 = default(Size(1 << 20, 1 << 30), r#""32MiB""#),
        /// Space that the spool leaves free on the file system. The spool counts as full when less is free.
        min_free: u64 = default(Size(0, u64::MAX), r#""512MiB""#),
        /// Behaviour of a full spool. `block` accepts nothing: the queue of the sink fills, streams wait, and datagrams
        /// are dropped for this sink and counted. `drop_oldest` deletes the oldest file and counts its records as
        /// dropped.
        when_full: WhenFull = default(&WHEN_FULL, r#""block""#),
    }
}

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

impl SpoolMode {
    /// Returns the word in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Always => "always",
        }
    }
}

impl WhenFull {
    /// Returns the word in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop_oldest",
        }
    }
}

impl Section for SpoolKeys {
    type Config = SpoolConfig;

    fn config(self, found: &mut Diagnostics) -> Option<SpoolConfig> {
        let config = SpoolConfig {
            directory: self.directory.value?,
            mode: self.mode.value?,
            max_size: self.max_size.value?,
            segment_size: self.segment_size.value?,
            min_free: self.min_free.value?,
            when_full: self.when_full.value?,
        };
        if config.max_size / 4 < config.segment_size {
            let error = Diagnostic::at(self.max_size.place, "`max_size` is less than four times `segment_size`");
            let (most, least) = (print_size(config.max_size / 4), print_size(config.segment_size.saturating_mul(4)));
            let help = format!("write {least} or more for `max_size`, or {most} or less for `segment_size`");
            found.push(error.help(help));
        }
        Some(config)
    }
}
