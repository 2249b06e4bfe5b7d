//! A spool of a test, and which messages lie in its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Beginning of a record in a segment (`src/spool/format.rs`).
const MAGIC: &[u8] = b"\xffPR\xfe";

/// The keys of a spool in `directory`.
pub(crate) fn keys(directory: &Path, sink: &str, mode: &str) -> String {
    format!(
        "[sink.{sink}.spool]\ndirectory = \"{}\"\nmode = \"{mode}\"\nmin_free = \"0B\"\nsegment_size = \"1MiB\"\n",
        path(directory).display()
    )
}

pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("spool")
}

/// Place of each record: its file, and the offset of its beginning there.
pub(crate) type Places = BTreeMap<usize, (PathBuf, usize)>;

/// The numbered messages that lie in the files of the spool.
pub(crate) fn places(directory: &Path) -> Places {
    let files = fs::read_dir(path(directory)).into_iter().flatten().flatten().map(|entry| entry.path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.flat_map(|path| in_segment(&path)).collect()
}

fn in_segment(path: &Path) -> Places {
    // One that is delivered goes at any time.
    let bytes = fs::read(path).unwrap_or_default();
    let begin = b"\"message\":\"number ";
    let found = memchr::memmem::find_iter(&bytes, begin).filter_map(|at| {
        let digits = &bytes[at + begin.len()..];
        let digits = &digits[..memchr::memchr(b' ', digits)?];
        let record = memchr::memmem::rfind(&bytes[..at], MAGIC)?;
        Some((str::from_utf8(digits).ok()?.parse().ok()?, (path.to_owned(), record)))
    });
    found.collect()
}
