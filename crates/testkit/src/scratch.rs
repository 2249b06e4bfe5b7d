//! Directories for what a peer reads and writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "postrider-test-";

/// A new directory that goes with its value. It lies in the system's directory for temporary files, because a Unix
/// socket's path must be short, and anyone may enter it, because Postfix does not stay root.
pub fn directory(name: &str) -> TempDir {
    let parent = std::env::temp_dir();
    sweep(&parent);
    let directory = tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-{name}-", std::process::id()))
        .tempdir_in(&parent)
        .expect("a directory for temporary files");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("permissions of a new directory");
    directory
}

/// Removes what test processes left that are no more: a killed one could not, and a `static` is never dropped.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another test process may be sweeping too; what it removes first is no loss.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
