//! Postrider with a RELP source, and a standard output that has a spool.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::status::number;
use testkit::unread::Unread;

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

/// Returns true if the spool cannot be written, and Postrider has received the `sent` messages of its only session, or
/// has no room for the next.
pub(crate) fn is_held_up(postrider: &Unread, sent: usize) -> bool {
    let status = postrider.status().now();
    let (sink, received) = (status.sink("stdout"), status.source("relp").count("received") as usize);
    !sink["spool"]["outage"].is_null() && (received == sent || sink["waiting"] == json!(["relp"]))
}

/// Asserts that each of the `acknowledged` messages is delivered, or on the disk.
#[track_caller]
pub(crate) fn assert_kept(postrider: &Unread, acknowledged: usize) {
    let status = postrider.status().now();
    let sink = status.sink("stdout");
    let kept = sink.count("delivered") + number(&sink["spool"], "records");
    assert!(acknowledged as u64 <= kept, "{acknowledged} are acknowledged, and {kept} are delivered or on the disk");
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
