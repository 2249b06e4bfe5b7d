//! A page, and its blocks between fences.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

use testkit::port::Port;

/// The directory of all pages.
pub(crate) fn directory() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/docs").into()
}

/// The text of a page.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

/// The blocks of a text, each with the word behind its fence.
pub(crate) fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').expect("a block");
        let (block, after) =
            after.split_once("\n```\n").unwrap_or_else(|| panic!("no end of the block {kind}: {after}"));
        blocks.push((kind.to_owned(), format!("{block}\n")));
        rest = after;
    }
    blocks
}

/// A page whose blocks are taken one after the other. One that is left when its value goes fails the test.
pub(crate) struct Page {
    name: &'static str,
    text: String,
    blocks: VecDeque<(String, String)>,
    exchanges: Vec<(&'static str, String)>,
}

impl Page {
    pub(crate) fn open(name: &'static str) -> Self {
        let text = text(name);
        Self { name, blocks: blocks(&text).into(), text, exchanges: Vec::new() }
    }

    /// Puts the test's own address, port, path or limit in the place of an operator's, in all blocks that are taken
    /// from now on.
    pub(crate) fn exchange(&mut self, there: &'static str, here: impl Display) {
        assert!(self.text.contains(there), "docs/{} has no {there}", self.name);
        self.exchanges.retain(|(known, _)| *known != there);
        self.exchanges.push((there, here.to_string()));
    }

    /// Puts `port` in the place of port 514, as each sender and Postrider name it.
    pub(crate) fn exchange_port(&mut self, port: &Port) {
        let number = port.number();
        self.exchange("[::]:514", port.address());
        self.exchange("port=\"514\"", format!("port=\"{number}\""));
        self.exchange("port(514)", format!("port({number})"));
        self.exchange("--port 514", format!("--port {number}"));
        self.exchange(":514\n", format!(":{number}\n"));
    }

    /// Takes the next blocks, which must be of these kinds.
    #[track_caller]
    pub(crate) fn take<const N: usize>(&mut self, kinds: [&str; N]) -> [String; N] {
        kinds.map(|kind| {
            let (found, text) = self.blocks.pop_front().unwrap_or_else(|| panic!("docs/{}: no {kind} left", self.name));
            assert_eq!(found, kind, "docs/{}: {text}", self.name);
            self.exchanged(&text)
        })
    }

    /// The text with all exchanges made. No exchange changes the text of another; if two fit, the longer one counts.
    fn exchanged(&self, text: &str) -> String {
        let (mut exchanged, mut rest) = (String::new(), text);
        while let Some(next) = rest.chars().next() {
            let fitting = self.exchanges.iter().filter(|(there, _)| rest.starts_with(there));
            let (taken, given) = match fitting.max_by_key(|(there, _)| there.len()) {
                Some((there, here)) => (there.len(), here.as_str()),
                None => (next.len_utf8(), &rest[..next.len_utf8()]),
            };
            exchanged.push_str(given);
            rest = &rest[taken..];
        }
        exchanged
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A second panic would hide the first.
        assert!(
            std::thread::panicking() || self.blocks.is_empty(),
            "docs/{}: no test runs {:?}",
            self.name,
            self.blocks
        );
    }
}
