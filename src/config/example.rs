//! `config/postrider.toml`: every key with its explanation, and its default or an example.

use std::collections::HashMap;

use super::DEFAULT_RUN;
use super::file::{KindTables, SINKS, SOURCES, Top};
use super::key::{Inner, KeyRow, Keys, Presence, rows};

const ABOUT: [&str; 4] = [
    "All keys of Postrider's configuration. `postrider config` prints this file. Without changes, it configures what \
     `postrider run` does without a file: UDP and TCP on 127.0.0.1:5514, JSON lines on the standard output.",
    "A line that begins with # and a key shows the default of the key. A line that begins with ## shows an example, for a key \
     or table without a default. Remove # or ## to use the line.",
    "A size has a unit: \"480B\", \"64KiB\", \"8MiB\", \"1GiB\" or \"1TiB\". A duration has a unit: \"500ms\", \"30s\", \"5m\", \"12h\" or \
     \"1d\". There may be several tables of one kind, except of stdin and stdout.",
    "`postrider check -c FILE` shows every error of a file. After SIGHUP, Postrider reads its file and the PEM files again, \
     and opens the files of file sinks again.",
];

/// Maximum number of columns of a comment.
const WIDTH: usize = 100;

/// A file that is being written.
struct ExampleFile {
    text: String,
    /// Table in which a key was explained, by the key's name and explanation.
    explained: HashMap<(&'static str, String), String>,
}

/// A table of the file.
struct ExampleTable<'p> {
    /// Header without brackets, such as `source.udp`.
    path: &'p str,
    /// The lines of the table that are in use; `None` if the whole table is an example.
    used: Option<&'p [&'p str]>,
}

/// Returns an annotated configuration file with every key.
pub fn example() -> String {
    let mut page = ExampleFile { text: String::new(), explained: HashMap::new() };
    for (index, paragraph) in ABOUT.iter().enumerate() {
        if index > 0 {
            page.line("#");
        }
        page.comment(paragraph);
    }
    page.keys(&ExampleTable { path: "", used: Some(&[]) }, vec![(String::new(), rows(Top::rows))]);
    page.group(&SOURCES, "Sources of messages. docs/ has a page for each, with the settings of senders.");
    page.group(&SINKS, "Sinks for records. Each sink gets every record, unless it has `events` or a `filter`.");
    page.text
}

impl ExampleFile {
    /// Writes the tables of all kinds of a group. The first one also has the keys that every kind has.
    fn group<T, C>(&mut self, group: &KindTables<T, C>, about: &str) {
        let name = group.name;
        self.line("");
        self.rule('=', &format!("{name}s"));
        self.comment(about);
        for (index, kind) in group.kinds.iter().enumerate() {
            let path = format!("{name}.{}", kind.name);
            let used = used(&path);
            self.line("");
            self.rule('-', &path);
            self.comment(kind.doc);
            self.line("");
            self.line(&format!("{}[[{path}]]", if used.is_some() { "" } else { "##" }));
            let mut lists = vec![(String::new(), rows(kind.rows))];
            if index == 0 {
                lists.push((format!("All {name}s have the following keys."), rows(group.common)));
            }
            self.keys(&ExampleTable { path: &path, used: used.as_deref() }, lists);
        }
    }

    /// Writes the keys of a table, each list with a sentence before it: first the values, then the tables within.
    fn keys(&mut self, table: &ExampleTable<'_>, lists: Vec<(String, Vec<KeyRow>)>) {
        let (mut known, mut inner) = (Vec::new(), Vec::new());
        for (about, list) in lists {
            if !about.is_empty() {
                self.line("");
                self.comment(&about);
            }
            for key in list {
                match key.inner {
                    Inner::Kinds => {}
                    Inner::Table(keys) => inner.push((key, keys, ("[", "]"))),
                    Inner::Tables(keys) => inner.push((key, keys, ("[[", "]]"))),
                    Inner::Value => match self.explained(&key) {
                        Some(title) if !key.is_required() => known.push((title, key)),
                        _ => self.value(table, &key),
                    },
                }
            }
        }
        let mut before = None;
        for (title, key) in known {
            if before.as_ref() != Some(&title) {
                self.line("");
                self.comment(&format!("Explained in {title}:"));
            }
            self.assignment(table, &key);
            before = Some(title);
        }
        for (key, keys, brackets) in inner {
            self.inner(table.path, &key, rows(keys), brackets);
        }
    }

    /// Writes a key with a value.
    fn value(&mut self, table: &ExampleTable<'_>, key: &KeyRow) {
        self.line("");
        let required = if key.is_required() { "Required." } else { "" };
        self.comment(&[key.doc.as_str(), &key.limits, required].join(" "));
        self.assignment(table, key);
        self.explain(key, table.path);
    }

    /// Writes a table within a table: all of its keys, or those that it needs if it was explained before.
    fn inner(&mut self, outer: &str, key: &KeyRow, keys: Vec<KeyRow>, (open, close): (&str, &str)) {
        let path = if outer.is_empty() { key.name.to_owned() } else { format!("{outer}.{}", key.name) };
        let header = format!("##{open}{path}{close}");
        let table = ExampleTable { path: &path, used: None };
        self.line("");
        if let Some(title) = self.explained(key) {
            self.comment(&format!("{} The keys of this table are explained in {title}; these are required.", key.doc));
            self.line(&header);
            for key in keys.iter().filter(|key| key.is_required()) {
                self.assignment(&table, key);
            }
            return;
        }
        self.comment(&key.doc);
        self.line(&header);
        self.explain(key, &path);
        self.keys(&table, vec![(String::new(), keys)]);
    }

    /// Writes a key with the value in use, its default or an example.
    fn assignment(&mut self, table: &ExampleTable<'_>, key: &KeyRow) {
        let start = format!("{} = ", key.name);
        let used = table.used.and_then(|lines| lines.iter().find(|line| line.starts_with(&start)));
        let line = match (used, key.presence) {
            (Some(line), _) => (*line).to_owned(),
            (None, Presence::Default(value)) => format!("#{start}{value}"),
            (None, Presence::Required(example) | Presence::Optional(example)) => format!("##{start}{example}"),
        };
        self.line(&line);
    }

    fn explained(&self, key: &KeyRow) -> Option<String> {
        self.explained.get(&(key.name, key.doc.clone())).cloned()
    }

    fn explain(&mut self, key: &KeyRow, path: &str) {
        let depth = path.matches('.').count();
        let title = if depth > 1 { format!("[{path}]") } else { format!("[[{path}]]") };
        self.explained.insert((key.name, key.doc.clone()), title);
    }

    /// Writes a comment in lines of at most [`WIDTH`] columns.
    fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                self.line(&line);
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    fn rule(&mut self, sign: char, title: &str) {
        let rest = sign.to_string().repeat(WIDTH.saturating_sub(title.len() + 7));
        self.line(&format!("# {sign}{sign}{sign} {title} {rest}"));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Returns the lines of a table that `postrider run` uses without a file.
fn used(path: &str) -> Option<Vec<&'static str>> {
    let mut lines = DEFAULT_RUN.lines().skip_while(|line| *line != format!("[[{path}]]"));
    lines.next()?;
    Some(lines.take_while(|line| !line.starts_with('[')).collect())
}
