//! Postrider with a RELP source, and a standard output that has a spool.

use std::fs;
use std::path::{Path, PathBuf};

/// The configuration; the spool is in `directory`, and has these `keys`.
pub(crate) fn config(directory: &Path, keys: &str) -> String {
    format!(
        "shutdown_timeout = \"20s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\nqueue_size = \"64KiB\"\n\
         [sink.stdout.spool]\ndirectory = \"{}\"\n{keys}",
        path(directory).display()
    )
}

/// Keys of a spool of this mode with small segments, which leaves nothing free.
pub(crate) fn keys(mode: &str) -> String {
    format!("min_free = \"0B\"\nsegment_size = \"1MiB\"\nmode = \"{mode}\"\n")
}

pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("spool")
}

/// Its segment files, the oldest first.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path(directory)).expect("a spool").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    segments.sort_unstable();
    segments
}
