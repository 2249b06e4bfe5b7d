//! Inputs of the commands that read logs: files or the standard input, plain or compressed with gzip, chunk by chunk.

mod chunk;

use std::io::{self, BufRead, BufReader, Read};

pub(crate) use chunk::{Chunk, ChunkFrames, Input};

use crate::gzip::GzipReader;

/// Size of one read in bytes.
pub(crate) const READ_SIZE: usize = 256 * 1024;
/// Maximum size of a line in bytes; Postfix writes at most some 2,100.
pub(crate) const LONGEST_LINE: usize = 64 * 1024;

/// RFC 1952, section 2.3.1.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Magic numbers of other compressions that logrotate may use, each with the program that decompresses them.
pub(crate) const OTHER_MAGIC: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh91AY&SY", "bzip2")];

/// Length in bytes of the longest magic number.
const LONGEST_MAGIC: usize = 10;

/// Returns the text of an input, which may be compressed with gzip. `command` is the one that reads it, for the help in
/// an error.
///
/// # Errors
///
/// The input cannot be read, or is compressed by another program.
pub(crate) fn text(input: impl Read + Send + 'static, command: &str) -> io::Result<Box<dyn Read + Send>> {
    // The buffer holds only the bytes that are checked here: all others are read directly to where they are used.
    let mut input = BufReader::with_capacity(LONGEST_MAGIC, input);
    let start = input.fill_buf()?;
    if let Some((_, name)) = OTHER_MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        let help = format!("it is compressed with {name}: decompress it first (`{name} -dc FILE | {command}`)");
        return Err(io::Error::other(help));
    }
    if start.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(GzipReader::new(BufReader::with_capacity(READ_SIZE, input))));
    }
    Ok(Box::new(input))
}
