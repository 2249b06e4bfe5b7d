//! Rules for all pages.

use std::collections::BTreeSet;
use std::fs;

use crate::docs::page;

/// The words behind fences that a test runs.
const KINDS: [&str; 18] = [
    "rsyslog",
    "syslog-ng",
    "postfix",
    "haproxy",
    "toml",
    "logrotate",
    "systemd",
    "sysctl",
    "sh",
    "log",
    "json",
    "lines",
    "sql",
    "tsv",
    "yaml",
    "promql",
    "console",
    "text",
];

/// The lines of a sender.
const SENDERS: [&str; 3] = ["rsyslog", "syslog-ng", "postfix"];

/// The pages about a source, with the senders whose lines they have.
const SOURCES: [(&str, &[&str]); 7] = [
    ("file.md", &["postfix", "rsyslog", "syslog-ng"]),
    ("relp.md", &["rsyslog"]),
    ("stdin.md", &["rsyslog", "syslog-ng", "postfix"]),
    ("tcp.md", &["rsyslog", "syslog-ng"]),
    ("tls.md", &["rsyslog", "syslog-ng"]),
    ("udp.md", &["rsyslog", "syslog-ng"]),
    ("unix.md", &["rsyslog", "syslog-ng"]),
];

/// The pages whose blocks another test runs.
const RUN_ELSEWHERE: [&str; 4] = ["dead-letter.md", "kafka.md", "relp.md", "tls.md"];

fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(page::directory()).expect("docs/");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn every_page_is_in_the_index_and_in_a_test() {
    let index = page::text("README.md");
    let links = index.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']'));
    let linked: BTreeSet<String> = links.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(linked, pages());
    for name in &linked {
        assert!(index.contains(&format!("[{name}]({name})")), "{name}");
    }
    let readme = include_str!("../../../README.md");
    assert!(readme.contains("(docs/README.md)"), "the README leads to the index");
    let tested = |name: &String| {
        let module = name.strip_suffix(".md").expect("a page");
        RUN_ELSEWHERE.contains(&name.as_str()) || include_str!("mod.rs").contains(&format!("\nmod {module};\n"))
    };
    assert!(pages().iter().all(tested), "a page without a test");
}

#[test]
fn every_block_is_of_a_kind_that_a_test_knows() {
    let index = page::text("README.md");
    for kind in KINDS {
        assert!(index.contains(&format!("`{kind}`")), "docs/README.md explains {kind}");
    }
    for name in pages() {
        for (kind, block) in page::blocks(&page::text(&name)) {
            assert!(KINDS.contains(&kind.as_str()), "docs/{name}: no test knows {kind:?}:\n{block}");
        }
    }
}

#[test]
fn the_page_of_a_source_begins_with_the_lines_of_its_senders() {
    for (name, senders) in SOURCES {
        let text = page::text(name);
        let kinds: Vec<String> = page::blocks(&text).into_iter().map(|(kind, _)| kind).collect();
        let first_of_postrider = kinds.iter().position(|kind| kind == "toml").expect("Postrider's block");
        let mut before: Vec<&str> = kinds[..first_of_postrider].iter().map(String::as_str).collect();
        assert_eq!(before.first(), senders.first(), "docs/{name}: its first block");
        before.retain(|kind| SENDERS.contains(kind));
        before.dedup();
        assert_eq!(before, senders, "{name}");
        assert_starts_briefly(name, &text);
    }
}

/// A title, a sentence or two, and the lines.
fn assert_starts_briefly(name: &str, text: &str) {
    let before = text.split_once("\n```").expect("a block").0.trim_end();
    let paragraphs: Vec<&str> = before.split("\n\n").collect();
    let [title, sentence, ..] = paragraphs[..] else { panic!("docs/{name} has no beginning") };
    let sentences = sentence.split_whitespace().filter(|word| word.ends_with('.')).count();
    assert!(title.starts_with("# ") && sentence.ends_with('.') && sentences <= 2, "docs/{name}: {before}");
    assert!(before.lines().count() <= 8, "docs/{name} says much before the first lines: {before}");
}
