//! `ARCHITECTURE.md` is a whole map of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::layers::root;

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
}

/// Each file and folder directly in a folder of `tests/`, as the map names it. `main.rs` only lists the others, and
/// `corpus/` and `snapshots/` have data.
fn places() -> BTreeSet<String> {
    let tests = root().join("tests");
    let mut places = BTreeSet::new();
    for folder in names(&tests).into_iter().filter(|folder| folder != "corpus") {
        for name in names(&tests.join(&folder)) {
            let slash = if tests.join(&folder).join(&name).is_dir() { "/" } else { "" };
            if name != "main.rs" && name != "snapshots" {
                places.insert(format!("tests/{folder}/{name}{slash}"));
            }
        }
    }
    places
}

#[test]
fn the_map_names_every_file_of_tests_and_no_other() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let row =
        |line: &'_ str| line.strip_prefix("| `tests/")?.split_once('`').map(|(place, _)| format!("tests/{place}"));
    let mut named: BTreeSet<String> = map.lines().filter_map(row).collect();
    assert!(named.remove("tests/"), "the table of folders names tests/");
    assert_eq!(named, places(), "left: the files that ARCHITECTURE.md names; right: those that exist");
}
