//! `docs/promises.md`: each cell says which test holds it, or why there is nothing to test, and those tests exist.

use std::fs;

use crate::docs::page;

/// Returns the text of the file `tests/PLACE.rs`, or of the files in the folder `tests/PLACE`.
fn sources(place: &str) -> String {
    let path = testkit::root().join("tests").join(place);
    if let Ok(text) = fs::read_to_string(path.with_extension("rs")) {
        return text;
    }
    let files = fs::read_dir(&path).unwrap_or_else(|error| panic!("tests/{place}: {error}"));
    let paths = files.map(|entry| entry.expect("an entry").path());
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| fs::read_to_string(path).expect("a file of Rust")).collect()
}

/// The tests that a cell names, each with the file or folder below `tests/`.
fn named(cell: &str) -> Vec<(&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once(": ").filter(|(place, _)| place.contains('/'))).collect()
}

#[test]
fn every_cell_names_an_existing_test_or_says_why_none_exists() {
    let text = page::text("promises.md");
    let mut tests = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| failure ")) {
        for cell in row.trim_matches('|').split(" | ").skip(1) {
            let named = named(cell);
            assert!(!named.is_empty() || cell.starts_with("Nothing to test: "), "no word about a test: {cell}");
            for (file, name) in named {
                assert!(sources(file).contains(&format!("fn {name}(")), "tests/{file} has no {name}");
                tests += 1;
            }
        }
    }
    assert!(tests > 100, "{tests} tests are named");
}
