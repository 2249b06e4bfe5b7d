//! No sentence of a comment in the code, and none of a page, begins with one of the [`WORDS`]. Such a sentence hides
//! its subject. Questions are allowed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::layers::{root, sources};

const WORDS: [&str; 6] = ["So", "Of", "Not", "Nor", "What", "Who"];

/// The first line and the text of each paragraph, without blocks of code. `prose` returns the prose of a line: empty at
/// the end of a paragraph.
fn paragraphs<'t>(text: &'t str, prose: impl Fn(&'t str) -> &'t str) -> Vec<(usize, String)> {
    let (mut paragraphs, mut in_block, mut is_open) = (Vec::<(usize, String)>::new(), false, false);
    for (number, line) in (1..).zip(text.lines().map(prose)) {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        if in_block || is_fence || line.is_empty() {
            is_open = false;
            continue;
        }
        let is_item = ["- ", "|", "#"].iter().any(|mark| line.starts_with(mark));
        match paragraphs.last_mut() {
            Some((_, paragraph)) if is_open && !is_item => paragraph.extend([" ", line]),
            _ => paragraphs.push((number, line.to_owned())),
        }
        is_open = true;
    }
    paragraphs
}

/// The prose of a line of Rust: its comment.
fn comment(line: &str) -> &str {
    let comment = line.trim_start().strip_prefix("//").map(|comment| comment.trim_start_matches(['/', '!']).trim());
    comment.unwrap_or_default()
}

/// The sentences that begin with one of the words, without questions.
fn found(paragraph: &str) -> Vec<&str> {
    let mut starts = vec![0];
    starts.extend(
        [". ", "? ", ": ", "| ", ") ", "* "]
            .iter()
            .flat_map(|end| paragraph.match_indices(end).map(|(place, _)| place + end.len())),
    );
    let sentence = |start: usize| {
        let rest = paragraph[start..].trim_start_matches(['-', '#', '*', '|', ' ']);
        let end = [". ", "? ", " | "].iter().filter_map(|end| rest.find(end).map(|place| place + 1)).min();
        &rest[..end.unwrap_or(rest.len())]
    };
    let word = |sentence: &&str| {
        let first = sentence.split(|c: char| !c.is_alphabetic() && c != '-').next();
        first.is_some_and(|first| WORDS.contains(&first))
    };
    let mut found: Vec<&str> = starts.into_iter().map(sentence).filter(word).collect();
    found.retain(|sentence| !sentence.ends_with('?'));
    found.sort_unstable_by_key(|sentence| sentence.as_ptr());
    found.dedup_by_key(|sentence| sentence.as_ptr());
    found
}

#[test]
fn no_sentence_begins_with_a_word_that_hides_its_subject() {
    let (mut read, mut bad) = (0, String::new());
    let mut look = |file: &Path, paragraphs: Vec<(usize, String)>| {
        for (number, paragraph) in paragraphs {
            read += 1;
            for sentence in found(&paragraph) {
                let _ = writeln!(bad, "{}:{number}: {sentence}", file.display());
            }
        }
    };
    for directory in ["src", "crates", "benches", "tests"] {
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files {
            look(&file, paragraphs(&fs::read_to_string(&file).expect("a file of Rust"), comment));
        }
    }
    let listed =
        |name: &str| fs::read_dir(root().join(name)).expect("a directory").map(|entry| entry.expect("an entry").path());
    let pages = [".", "docs", "benches"].iter().flat_map(|name| listed(name));
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        look(&page, paragraphs(&fs::read_to_string(&page).expect("a page"), str::trim));
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(read > 5000, "{read} paragraphs are found");
}

#[test]
fn sentences_are_found_in_each_form() {
    let cases: &[(&str, &[&str])] = &[
        ("A b. So it is. What is it? Social.", &["So it is."]),
        ("What is it", &["What is it"]),
        ("# Who it is", &["Who it is"]),
        ("- **Not** now. It is so.", &["Not** now."]),
        ("| a | Of b. | Nor c |", &["Of b.", "Nor c |"]),
        ("A b: What c. A What d.", &["What c."]),
        ("A b? Whose c, Offers, `So`. So-net d.", &[]),
    ];
    for (paragraph, expected) in cases {
        assert_eq!(found(paragraph), *expected, "{paragraph}");
    }
    let code = "/// A b.\n/// So\n/// c.\nfn d() {}\n// ```\n// So\n// ```\n// - e\n// - f\n";
    let expected = [(1, "A b. So c.".to_owned()), (8, "- e".to_owned()), (9, "- f".to_owned())];
    assert_eq!(paragraphs(code, comment), expected);
}
