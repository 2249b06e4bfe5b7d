//! Tells the program which commit it is built from, where that is known: `postrider --version` shows it.
//!
//! It reads git's files by itself, so that a build needs no git. A tarball has none of them, and its builds show no
//! commit. A debug build shows none either: with it, each commit would compile everything anew.

use std::fs;
use std::path::{Path, PathBuf};

#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("PROFILE").is_none_or(|profile| profile != "release") {
        return;
    }
    let Some(Head { commit, files }) = head(Path::new(env!("CARGO_MANIFEST_DIR"))) else { return };
    println!("cargo::rustc-env=POSTRIDER_COMMIT={commit}");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
}

/// The commit of a checkout, by its first 12 digits, and the files that change with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) commit: String,
    pub(crate) files: Vec<PathBuf>,
}

/// Returns the commit that is checked out in `directory`, if that is a repository or one of its worktrees.
pub(crate) fn head(directory: &Path) -> Option<Head> {
    let read = |path: &Path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let mut git = directory.join(".git");
    if let Some(link) = read(&git) {
        // That of a worktree is a file, which names the directory.
        git = directory.join(link.strip_prefix("gitdir: ")?);
    }
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
    let mut files = vec![git.join("HEAD")];
    let mut commit = read(&files[0])?;
    if let Some(reference) = commit.strip_prefix("ref: ").map(str::to_owned) {
        let (loose, packed) = (common.join(&reference), common.join("packed-refs"));
        let of_packed = |text: String| {
            text.lines().find_map(|line| Some(line.strip_suffix(&reference)?.strip_suffix(' ')?.to_owned()))
        };
        commit = read(&loose).or_else(|| read(&packed).and_then(of_packed))?;
        files.extend([loose, packed].into_iter().filter(|file| file.exists()));
    }
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| Head { commit: commit[..12].to_owned(), files })
}
