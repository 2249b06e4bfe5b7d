//! A heading `// === impl NAME ===` names the type of the `impl` below it.

use std::fmt::Write as _;
use std::fs;

use crate::layers::{root, sources};

/// The names in the headings of a file whose next `impl` is about another type, with their lines.
fn wrong(text: &str) -> Vec<(usize, &str)> {
    let mut wrong = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let heading = line.trim_start().strip_prefix("// === impl ").and_then(|rest| rest.strip_suffix(" ==="));
        // A type with very many methods has several headings: `NAME: SUBJECT`.
        let Some(name) = heading.and_then(|heading| heading.split(['<', ':']).next()) else { continue };
        let block = lines[place..].iter().find(|line| line.starts_with("impl") || line.starts_with("unsafe impl"));
        let is_word = |word: &str| word == name;
        if !block.is_some_and(|block| block.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_word)) {
            wrong.push((place + 1, name));
        }
    }
    wrong
}

#[test]
fn a_heading_names_the_type_below_it() {
    let (mut headings, mut bad) = (0, String::new());
    for directory in ["src", "crates", "benches", "tests"] {
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a file of Rust");
            headings += text.matches("// === impl ").count();
            for (line, name) in wrong(&text) {
                let _ = writeln!(bad, "{}:{line}: {name}", file.display());
            }
        }
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(headings > 100, "{headings} headings are found");
}

#[test]
fn a_heading_of_another_type_is_found() {
    let text = "// === impl A ===\n\nimpl<T> A<T> {}\n// === impl B: rows ===\nimpl C for B {}\n// === impl B ===\nimpl Bc {}\n";
    assert_eq!(wrong(text), [(6, "B")]);
    assert_eq!(wrong("// === impl A ==="), [(1, "A")]);
}
