//! The texts to explain, line by line from an input.

use std::io::{self, BufRead, Read};

/// Maximum length of a line in bytes, as for `decode`; the rest of the line is skipped.
const LONGEST: u64 = 64 * 1024;

/// Returns the lines of `input` that are not empty, each of at most 64 KiB. Bytes that are not UTF-8 are replaced.
pub fn lines(mut input: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    std::iter::from_fn(move || next(&mut input).transpose())
}

fn next(input: &mut impl BufRead) -> io::Result<Option<String>> {
    loop {
        let mut bytes = Vec::new();
        let size = input.take(LONGEST).read_until(b'\n', &mut bytes)?;
        if size == 0 {
            return Ok(None);
        }
        if !bytes.ends_with(b"\n") {
            input.skip_until(b'\n')?;
        }
        let line = String::from_utf8_lossy(&bytes);
        if !line.trim().is_empty() {
            return Ok(Some(line.trim().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_empty_ones_left_out() {
        let all = |text: &[u8]| lines(text).map(|line| line.expect("no error")).collect::<Vec<_>>();
        assert_eq!(all(b""), [""; 0]);
        assert_eq!(all(b"\n \r\na\r\n\nb c\xff"), ["a", "b c\u{fffd}"]);
        let long = "x".repeat(70_000);
        assert_eq!(
            all(format!("{long}\n{long}{long}\nb\n{long}").as_bytes()).iter().map(String::len).collect::<Vec<_>>(),
            [65_536, 65_536, 1, 65_536]
        );
        // As long as it may be, with its line end and without.
        let longest = "x".repeat(65_536);
        assert_eq!(all(format!("{}\nb\n", &longest[1..]).as_bytes()), [&longest[1..], "b"]);
        assert_eq!(all(format!("{longest}\nb\n").as_bytes()), [&longest, "b"]);
    }

    #[test]
    fn an_input_that_breaks_is_an_error() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let mut lines = lines(io::BufReader::new(b"a\n".chain(Breaks)));
        assert_eq!(lines.next().expect("a line").expect("no error"), "a");
        assert_eq!(lines.next().expect("an error").expect_err("no line").kind(), io::ErrorKind::ConnectionReset);
    }
}
