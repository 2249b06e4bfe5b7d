//! Sets of paths: the paths that a template, a glob or a directory can name, and whether two sets have a path in
//! common.
//!
//! A set is a small automaton over characters. Two sets meet if some text leads through both to an end; the shortest
//! such text is the example for the operator. A set may be larger than the paths that really occur, never smaller.

use std::collections::{HashMap, VecDeque};
use std::path::{Component, Path, PathBuf};

use crate::record::Event;
use crate::syslog::{Facility, Severity};
use crate::template::{Field, Template};

/// A set of paths.
#[derive(Debug)]
pub(crate) struct Paths {
    /// Steps from each state; the first state is the beginning.
    steps: Vec<Vec<(Chars, usize)>>,
    /// True for each state in which a path may end.
    ends: Vec<bool>,
}

/// A pair of states, one in each of two sets.
type Pair = (usize, usize);

/// Characters that one step accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chars {
    One(char),
    Digit,
    /// Every character but `/`.
    Name,
    /// Every character but `/` and `.`, with which no value of a placeholder begins.
    First,
    Every,
}

/// Returns the absolute path, without `.`, `..` and doubled slashes, and with symlinks followed as far as the path
/// exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let (mut resolved, rest) = match &known {
        Some((ancestor, real)) => (real.clone(), path.strip_prefix(ancestor).unwrap_or_else(|_| Path::new(""))),
        None => (PathBuf::new(), path.as_path()),
    };
    for component in rest.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            component => resolved.push(component),
        }
    }
    resolved
}

// === impl Paths ===

impl Paths {
    fn new() -> (Self, usize) {
        (Self { steps: vec![Vec::new()], ends: vec![false] }, 0)
    }

    /// Returns the set of one path.
    pub(super) fn of(path: &Path) -> Self {
        let (mut paths, begin) = Self::new();
        let end = paths.text(begin, &resolved(path).to_string_lossy());
        paths.ends[end] = true;
        paths
    }

    /// Returns the set of a directory and everything below it.
    pub(super) fn below(directory: &Path) -> Self {
        let mut paths = Self::of(directory);
        let end = paths.ends.len() - 1;
        let inside = paths.text(end, "/");
        paths.steps[inside].push((Chars::Every, inside));
        paths.ends[inside] = true;
        paths
    }

    /// Returns the set of paths to which a file sink writes: `template` below `directory`, and the path for records
    /// that cannot have one of their own. With `rotates`, the set includes the names of rotated files.
    pub(super) fn of_sink(directory: &Path, template: &Template, rotates: bool) -> Self {
        let (mut paths, begin) = Self::new();
        let root = paths.text(begin, &resolved(directory).to_string_lossy());
        let root = if directory == Path::new("/") { root } else { paths.text(root, "/") };
        let end = template.parts().fold(root, |state, part| match part {
            Ok(literal) => paths.text(state, literal),
            Err(field) => paths.field(state, field),
        });
        let common = paths.text(root, &template.common());
        for end in [end, common] {
            paths.ends[end] = true;
            if rotates {
                paths.rotated(end);
            }
        }
        paths
    }

    /// Returns the set of paths that a glob of a followed file can match.
    pub(super) fn of_glob(pattern: &Path) -> Self {
        let is_glob = |name: &str| name.contains(['*', '?', '[']);
        let mut components = pattern.components().peekable();
        let mut plain = PathBuf::new();
        while let Some(component) = components.next_if(|component| !is_glob(&component.as_os_str().to_string_lossy())) {
            plain.push(component);
        }
        let (mut paths, begin) = Self::new();
        let mut state = paths.text(begin, resolved(&plain).to_string_lossy().trim_end_matches('/'));
        for component in components {
            state = paths.text(state, "/");
            state = paths.glob(state, &component.as_os_str().to_string_lossy());
        }
        paths.ends[state] = true;
        paths
    }

    /// Returns the shortest path in both sets, if there is any.
    pub(super) fn meets(&self, other: &Self) -> Option<String> {
        self.shortest(other, |one, two| self.ends[one] && other.ends[two])
    }

    /// Returns the shortest path in this set, if there is any, that would have to be a directory for a path in the
    /// other.
    pub(super) fn meets_above(&self, other: &Self) -> Option<String> {
        let slash = |(chars, _): &(Chars, usize)| chars.common(Chars::One('/')).is_some();
        self.shortest(other, |one, two| self.ends[one] && other.steps[two].iter().any(slash))
    }

    /// Returns the shortest text that leads through both sets to states that are `wanted`.
    fn shortest(&self, other: &Self, wanted: impl Fn(usize, usize) -> bool) -> Option<String> {
        // For each pair of states: the pair before it, and the character between them.
        let mut before: HashMap<Pair, Option<(Pair, char)>> = HashMap::from([((0, 0), None)]);
        let mut next = VecDeque::from([(0, 0)]);
        while let Some((one, two)) = next.pop_front() {
            if wanted(one, two) {
                let last = before[&(one, two)];
                let backwards = std::iter::successors(last, |(earlier, _)| before[earlier]).map(|(_, c)| c);
                let text: Vec<char> = backwards.collect();
                return Some(text.iter().rev().collect());
            }
            for (chars, after_one) in &self.steps[one] {
                for (others, after_two) in &other.steps[two] {
                    let Some(c) = chars.common(*others) else { continue };
                    let at = (*after_one, *after_two);
                    before.entry(at).or_insert_with(|| {
                        next.push_back(at);
                        Some(((one, two), c))
                    });
                }
            }
        }
        None
    }

    fn state(&mut self) -> usize {
        self.steps.push(Vec::new());
        self.ends.push(false);
        self.steps.len() - 1
    }

    fn step(&mut self, from: usize, chars: Chars) -> usize {
        let to = self.state();
        self.steps[from].push((chars, to));
        to
    }

    fn text(&mut self, from: usize, text: &str) -> usize {
        text.chars().fold(from, |state, c| self.step(state, Chars::One(c)))
    }

    /// Appends `pattern`, in which `0` stands for any digit.
    fn pattern(&mut self, from: usize, pattern: &str) -> usize {
        let chars = |c| if c == '0' { Chars::Digit } else { Chars::One(c) };
        pattern.chars().fold(from, |state, c| self.step(state, chars(c)))
    }

    fn field(&mut self, from: usize, field: Field) -> usize {
        match field {
            Field::Date | Field::ReceivedDate => self.pattern(from, "0000-00-00"),
            Field::Hour | Field::ReceivedHour => self.pattern(from, "00"),
            Field::Facility => self.one_of(from, &Facility::NAMES),
            Field::Severity => self.one_of(from, &Severity::NAMES),
            Field::Event => self.one_of(from, &Event::NAMES),
            Field::Hostname
            | Field::AppName
            | Field::Source
            | Field::Peer
            | Field::Instance
            | Field::Service
            | Field::Daemon
            | Field::QueueId
            | Field::Status => {
                let inside = self.step(from, Chars::First);
                self.steps[inside].push((Chars::Name, inside));
                inside
            }
        }
    }

    /// Appends one of the words, or the word for a missing value.
    fn one_of(&mut self, from: usize, words: &[&str]) -> usize {
        let end = self.state();
        for word in words.iter().chain(&["unknown"]) {
            let mut chars = word.chars();
            let last = chars.next_back();
            let state = self.text(from, chars.as_str());
            self.steps[state].extend(last.map(|last| (Chars::One(last), end)));
        }
        end
    }

    fn glob(&mut self, from: usize, pattern: &str) -> usize {
        let mut state = from;
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            state = match (c, rest.find(']')) {
                ('*', _) => {
                    self.steps[state].push((Chars::Name, state));
                    state
                }
                ('?', _) => self.step(state, Chars::Name),
                ('[', Some(end)) => {
                    rest = &rest[end + 1..];
                    self.step(state, Chars::Name)
                }
                (c, _) => self.step(state, Chars::One(c)),
            };
        }
        state
    }

    /// Adds the names of rotated files, with or without a number, compressed or not.
    fn rotated(&mut self, from: usize) {
        let stamp = self.pattern(from, ".00000000-000000");
        let numbered = self.pattern(stamp, "-000");
        for end in [stamp, numbered] {
            self.ends[end] = true;
            let compressed = self.text(end, ".gz");
            self.ends[compressed] = true;
        }
    }
}

// === impl Chars ===

impl Chars {
    /// Returns a character that both accept.
    fn common(self, other: Self) -> Option<char> {
        let example = match (self, other) {
            (Self::One(c), _) | (_, Self::One(c)) => c,
            (Self::Digit, _) | (_, Self::Digit) => '1',
            _ => 'x',
        };
        (self.has(example) && other.has(example)).then_some(example)
    }

    const fn has(self, c: char) -> bool {
        match self {
            Self::One(one) => one == c,
            Self::Digit => c.is_ascii_digit(),
            Self::Name => c != '/',
            Self::First => c != '/' && c != '.',
            Self::Every => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(path: &str) -> Paths {
        let (directory, template) = Template::parse(path).unwrap().split_directory().unwrap();
        Paths::of_sink(&directory, &template, false)
    }

    fn meeting(one: &Paths, other: &Paths) -> Option<String> {
        assert_eq!(one.meets(other).is_some(), other.meets(one).is_some());
        let above = one.meets_above(other).or_else(|| other.meets_above(one));
        one.meets(other).or_else(|| above.map(|path| path + "/"))
    }

    #[test]
    fn templates_meet_if_some_record_has_one_path_of_both() {
        for (one, other, expected) in [
            ("/no/{hostname}.json", "/no/undelivered.json", Some("/no/undelivered.json")),
            ("/no/{hostname}/mail.json", "/no/all/{app_name}.json", Some("/no/all/mail.json")),
            ("/no/{hostname}-{app_name}", "/no/a{status}z", Some("/no/a-z")),
            ("/no/{hostname}.json", "/no/{hostname}.log", None),
            ("/no/{hostname}.json", "/no/hosts/{hostname}.json", None),
            ("/no/{hostname}.json", "/no/.hidden.json", None),
            ("/no/{date}.json", "/no/mail.json", None),
            ("/no/{date}.json", "/no/others.json", Some("/no/others.json")),
            ("/no/{date}.json", "/no/2026-11-24.json", Some("/no/2026-11-24.json")),
            ("/no/{date}.json", "/no/{hostname}.json", Some("/no/others.json")),
            ("/no/{severity}.json", "/no/err.json", Some("/no/err.json")),
            ("/no/{severity}.json", "/no/{hour}.json", Some("/no/others.json")),
            ("/no/{event}.json", "/no/mail.json", None),
            ("/no/{hostname}/a.json", "/no/a.json", Some("/no/a.json/")),
            ("/no/{hostname}", "/no/mx1/{date}.json", Some("/no/mx1/")),
            ("/no/a.json", "/no/a.json/x/{date}", Some("/no/a.json/")),
        ] {
            assert_eq!(meeting(&sink(one), &sink(other)).as_deref(), expected, "{one} {other}");
        }
    }

    #[test]
    fn directories_and_globs_meet_what_is_in_them() {
        let below = |path: &str| Paths::below(Path::new(path));
        let glob = |pattern: &str| Paths::of_glob(Path::new(pattern));
        assert_eq!(meeting(&sink("/no/{hostname}/x"), &below("/no/spool")).as_deref(), Some("/no/spool/x"));
        assert_eq!(meeting(&sink("/no/spool/{hostname}"), &below("/no/spool")).as_deref(), Some("/no/spool/x"));
        assert_eq!(meeting(&sink("/no/{hostname}"), &below("/no/spool")).as_deref(), Some("/no/spool"));
        assert_eq!(meeting(&sink("/no/{hostname}.json"), &below("/no/spool")), None);
        assert_eq!(meeting(&sink("/no/{hostname}.log"), &glob("/no/m*.log")).as_deref(), Some("/no/m.log"));
        assert_eq!(meeting(&sink("/no/{hostname}.log"), &glob("/no/*/[a-z]?.log")).as_deref(), Some("/no/x.log/"));
        assert_eq!(meeting(&sink("/no/b/mail.log"), &glob("/no/*/[a-z]???.log")).as_deref(), Some("/no/b/mail.log"));
        assert_eq!(sink("/no/mail.log").meets(&glob("/no/*/mail.log")), None);
        let rotated = |rotates| {
            let (directory, template) = Template::parse("/no/mail.log").unwrap().split_directory().unwrap();
            Paths::of_sink(&directory, &template, rotates)
        };
        assert_eq!(meeting(&rotated(false), &glob("/no/mail.log.*")), None);
        let archive = meeting(&rotated(true), &glob("/no/mail.log.*"));
        assert_eq!(archive.as_deref(), Some("/no/mail.log.11111111-111111"));
    }

    #[test]
    fn one_directory_is_the_same_however_it_is_written() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
        let path = |rest: &str| place.path().join(rest);
        for written in ["link/no/a.json", "real/./no//a.json", "link/../real/no/a.json", "real/no/x/../a.json"] {
            assert!(Paths::of(&path(written)).meets(&Paths::of(&path("real/no/a.json"))).is_some(), "{written}");
        }
        assert_eq!(resolved(Path::new("no/such/a")), std::env::current_dir().unwrap().join("no/such/a"));
    }
}
