//! Parsing of file names: the log of a file, and its generation in the log.

use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The generation of a file in its log, according to its name; the oldest is the least.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Generation {
    /// `mail.log-20261124`: a later date is newer.
    Dated(Vec<u64>),
    /// `mail.log.2`: a larger number is older. Without a number it is the newest.
    Numbered(Reverse<Vec<u64>>),
}

/// Returns true if two files belong to one log: they are in one directory, and their names differ only in the suffix of
/// a rotation. That suffix consists of digits, dots, hyphens, and .gz.
pub(super) fn same_log(a: &Path, b: &Path) -> bool {
    log_of(a) == log_of(b)
}

/// Returns the common beginning of the paths of all files of one log.
pub(super) fn log_of(path: &Path) -> &[u8] {
    log_and_suffix(path).0
}

/// Returns the path of a file without the suffix of its rotation, and the suffix without .gz.
fn log_and_suffix(path: &Path) -> (&[u8], &[u8]) {
    let path = path.as_os_str().as_bytes();
    let path = path.strip_suffix(b".gz").unwrap_or(path);
    let end = path.iter().rposition(|byte| !(byte.is_ascii_digit() || matches!(byte, b'.' | b'-')));
    path.split_at(end.map_or(0, |last| last + 1))
}

/// Returns the generation of a file, by its name.
pub(super) fn generation(path: &Path) -> Generation {
    /// Minimum number of digits of a date: the numbers of the generations of a log are shorter.
    const DATE: usize = 6;
    let (_, suffix) = log_and_suffix(path);
    let digits = || suffix.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let number = |digits: &[u8]| str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let numbers = digits().map(|digits| number(digits).unwrap_or(u64::MAX)).collect();
    if digits().any(|digits| digits.len() >= DATE) {
        return Generation::Dated(numbers);
    }
    Generation::Numbered(Reverse(numbers))
}

/// Returns true if `path` is `home` after a rotation: its name with such a suffix.
pub(super) fn is_rotated(path: &Path, home: &Path) -> bool {
    let suffix = path.as_os_str().as_bytes().strip_prefix(home.as_os_str().as_bytes()).unwrap_or_default();
    matches!(suffix.first(), Some(b'.' | b'-')) && same_log(path, home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_known_by_its_name_without_the_rotation() {
        for (other, same) in [
            ("/var/log/mail.log", true),
            ("/var/log/mail.log.1", true),
            ("/var/log/mail.log.2.gz", true),
            ("/var/log/mail.log-20261124", true),
            ("/var/log/mail.log.20261124-021035.gz", true),
            ("/var/log/mail.err", false),
            ("/var/log/mail.logs", false),
            ("/var/log/old/mail.log.1", false),
        ] {
            assert_eq!(same_log(Path::new("/var/log/mail.log"), Path::new(other)), same, "{other}");
        }
        let rotated = |path: &str| is_rotated(Path::new(path), Path::new("/var/log/mail1"));
        assert!(rotated("/var/log/mail1.1") && rotated("/var/log/mail1-20261124.gz"));
        assert!(!rotated("/var/log/mail1") && !rotated("/var/log/mail10") && !rotated("/var/log/mail2"));
    }
}
