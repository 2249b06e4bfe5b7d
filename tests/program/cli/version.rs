//! Does `--version` say what the program is?

use std::fs;
use std::path::Path;

use crate::cli::{postrider, show};

#[allow(dead_code)]
#[path = "../../../build.rs"]
mod build;

#[test]
fn the_version_has_that_of_librdkafka() {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let expected = format!("exit 0\npostrider {} (librdkafka {librdkafka})\n", env!("CARGO_PKG_VERSION"));
    for argument in ["--version", "-V"] {
        // A debug build leaves the commit out.
        assert_eq!(show(&postrider(&[argument])), expected);
    }
}

#[test]
fn a_build_knows_its_commit_without_git_or_a_repository() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let commit = |path: &str| build::head(&directory.path().join(path)).map(|head| head.commit);
    let (one, other) = ("0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98");
    fs::create_dir(directory.path().join("tarball")).expect("a directory");
    assert_eq!(commit("tarball"), None);
    write("main/.git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit("main"), None, "nothing is committed yet");
    write(
        "main/.git/packed-refs",
        &format!("# pack-refs with: peeled\n{other} refs/heads/main\n{one} refs/tags/main\n"),
    );
    assert_eq!(commit("main").as_deref(), Some("fedcba987654"));
    write("main/.git/refs/heads/main", &format!("{one}\n"));
    assert_eq!(commit("main").as_deref(), Some("0123456789ab"));
    write("main/.git/worktrees/w/HEAD", "ref: refs/heads/topic\n");
    write("main/.git/worktrees/w/commondir", "../..\n");
    write("main/.git/refs/heads/topic", &format!("{other}\n"));
    write("w/.git", &format!("gitdir: {}\n", directory.path().join("main/.git/worktrees/w").display()));
    assert_eq!(commit("w").as_deref(), Some("fedcba987654"));
    write("main/.git/HEAD", &format!("{other}\n"));
    assert_eq!(commit("main").as_deref(), Some("fedcba987654"), "a commit without a branch");
    write("main/.git/HEAD", "oops");
    assert_eq!(commit("main"), None);
    let head = build::head(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(head.is_none_or(|head| head.commit.len() == 12 && head.files.iter().all(|file| file.exists())));
}
