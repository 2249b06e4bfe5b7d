//! Compressed files as found in practice: several gzip members in one file, and zeros after a member, which tar and
//! tapes leave to fill their blocks.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// First byte of a member (RFC 1952, section 2.3.1).
const ID1: u8 = 0x1f;

/// Reader of the contents of all members of a file.
pub(crate) struct GzipReader<R> {
    /// Current member; `None` only during the change to the next one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(input)) }
    }

    /// Moves to the next member. Returns false if there is none.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(input) = self.member.as_mut().map(GzDecoder::get_mut) else { return Ok(false) };
        loop {
            let bytes = input.fill_buf()?;
            let (size, zeros) = (bytes.len(), bytes.iter().take_while(|byte| **byte == 0).count());
            match bytes.get(zeros) {
                None if size == 0 => return Ok(false),
                None | Some(&ID1) => {}
                Some(_) => {
                    let text = "other data follows the compressed data";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
            input.consume(zeros);
            if zeros < size {
                break;
            }
        }
        self.member = self.member.take().map(|member| GzDecoder::new(member.into_inner()));
        Ok(true)
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let size = self.member.as_mut().map_or(Ok(0), |member| member.read(out))?;
            if size > 0 || out.is_empty() || !self.next_member()? {
                return Ok(size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns the text that is read and the result. Both are the same for any size of the pieces of the file.
    fn read(bytes: &[u8]) -> (String, Result<(), io::ErrorKind>) {
        let read = |piece| {
            let mut text = Vec::new();
            let result = GzipReader::new(BufReader::with_capacity(piece, bytes)).read_to_end(&mut text);
            (String::from_utf8(text).unwrap(), result.map(drop).map_err(|error| error.kind()))
        };
        assert_eq!(read(1), read(4096));
        assert_eq!(read(7), read(4096));
        read(4096)
    }

    #[test]
    fn members_follow_each_other_and_zeros_are_nothing() {
        let (one, two) = (gzip("one\n"), gzip("two\n"));
        let zeros = vec![0; 10_000];
        let both = ("one\ntwo\n".to_owned(), Ok(()));
        assert_eq!(read(&[&one[..], &two].concat()), both);
        assert_eq!(read(&[&one[..], &two, &zeros].concat()), both);
        assert_eq!(read(&[&one[..], &zeros, &two, &zeros[..1]].concat()), both);
        assert_eq!(read(&[&one[..], &gzip(""), &two].concat()), both);
    }

    #[test]
    fn damaged_or_cut_gzip_is_an_error_after_its_readable_part() {
        let (one, two) = (gzip("one\n"), gzip("two\n"));
        let first = |kind| ("one\n".to_owned(), Err(kind));
        assert_eq!(read(&[&one[..], b"oops"].concat()), first(io::ErrorKind::InvalidData));
        assert_eq!(read(&[&one[..], &[0; 512], b"oops"].concat()), first(io::ErrorKind::InvalidData));
        assert_eq!(read(&[&one[..], &two[..5]].concat()), first(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(&one[..one.len() - 1]), first(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(b""), (String::new(), Err(io::ErrorKind::UnexpectedEof)));
    }
}
