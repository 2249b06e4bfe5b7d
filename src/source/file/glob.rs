//! Globs: `*`, `?` and `[..]` in any component of a path.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::system::{Listed, System};

/// Adds every path that `pattern` may match to `found`, sorted. For a path without a glob, it does not check whether a
/// file is there. As in a shell, a glob matches a name that begins with a dot only if the glob begins with a dot
/// itself. `fail` is called with directories that cannot be read, except missing ones. `note` is called with each
/// directory that decides the result, before anything is looked up in it.
pub(super) fn expand(
    system: &dyn System,
    pattern: &Path,
    found: &mut Vec<PathBuf>,
    note: &mut impl FnMut(&Path),
    fail: &mut impl FnMut(&Path, &io::Error),
) {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            for path in &mut paths {
                path.push(component);
            }
            continue;
        };
        if !is_glob(name.as_bytes()) {
            for path in &mut paths {
                path.push(name);
            }
            continue;
        }
        let mut next = Vec::new();
        for directory in &paths {
            note(directory);
            match names(system, directory, name) {
                Ok(names) => next.extend(names),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => fail(directory, &error),
            }
        }
        next.sort();
        paths = next;
    }
    let mut last = None;
    for directory in paths.iter().map(|path| path.parent()).filter(|_| !is_glob_at_end(pattern)) {
        if directory != last {
            directory.into_iter().for_each(&mut *note);
            last = directory;
        }
    }
    found.append(&mut paths);
}

/// Returns the entries of `directory` that match.
fn names(system: &dyn System, directory: &Path, pattern: &OsStr) -> io::Result<Vec<PathBuf>> {
    let mut fitting = Vec::new();
    for Listed { path, .. } in system.list(directory)? {
        if path.file_name().is_some_and(|name| matches(pattern.as_bytes(), name.as_bytes())) {
            fitting.push(path);
        }
    }
    Ok(fitting)
}

fn is_glob_at_end(pattern: &Path) -> bool {
    pattern.file_name().is_some_and(|name| is_glob(name.as_bytes()))
}

fn is_glob(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Returns true if one component matches. The time is at most proportional to the product of the lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    // The position of the last star, and how much of the name it has matched so far.
    let mut star = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p + 1, n));
            p += 1;
        } else if n == name.len() {
            return p == pattern.len();
        } else if let Some(len) = pattern.get(p..).and_then(|rest| one(rest, name[n])) {
            p += len;
            n += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            (p, n) = (after, taken + 1);
        } else {
            return false;
        }
    }
}

/// Returns the length of the element at the start of `pattern` that matches one byte, if it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match class(pattern) {
            Some((set, negated, len)) => (in_set(set, byte) != negated).then_some(len),
            None => (byte == b'[').then_some(1),
        },
        literal => (literal == byte).then_some(1),
    }
}

/// Returns the set within `[..]` at the start of `pattern`, whether the set is negated, and the length of the whole.
fn class(pattern: &[u8]) -> Option<(&[u8], bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = 1 + usize::from(negated);
    // A bracket that comes first is a member.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    Some((&pattern[start..end], negated, end + 1))
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    while let Some((&first, rest)) = set.split_first() {
        if let [b'-', last, rest @ ..] = rest {
            if (first..=*last).contains(&byte) {
                return true;
            }
            set = rest;
        } else {
            if first == byte {
                return true;
            }
            set = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Links;
    use crate::source::file::system::Machine;

    #[test]
    fn a_component_fits_or_does_not() {
        for (pattern, name, fits) in [
            ("mail.log", "mail.log", true),
            ("mail.log", "mail.log.1", false),
            ("mail.log*", "mail.log", true),
            ("mail.log*", "mail.log.1.gz", true),
            ("*.gz", "mail.log.1.gz", true),
            ("*.gz", "mail.log.gz.1", false),
            ("*a*b*c", "xaxbxxbc", true),
            ("*a*b*c", "xaxbxxb", false),
            ("**", "", true),
            ("mail.log.?", "mail.log.1", true),
            ("mail.log.?", "mail.log.10", false),
            ("mail.log.[0-9]", "mail.log.7", true),
            ("mail.log.[0-9]", "mail.log.x", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[a-]x", "-x", true),
            ("[x", "[x", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        let stars = "*a".repeat(30);
        assert!(!matches(stars.as_bytes(), "a".repeat(5000).as_bytes()[..29].as_ref()));
    }

    #[test]
    fn globs_stand_in_any_component() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/mail.log", "b/mail.log", "b/other", "c"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = Vec::new();
        expand(
            &Machine::new(Links::All),
            &root.path().join("*/mail.*"),
            &mut found,
            &mut |_| {},
            &mut |path, error| panic!("{} {error}", path.display()),
        );
        assert_eq!(found, [root.path().join("a/mail.log"), root.path().join("b/mail.log")]);
    }
}
