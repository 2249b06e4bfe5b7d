//! The command `decode`: log files to JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use jiff::tz::TimeZone;

use crate::encode::Encoder;
use crate::frame::{Frame, Framer, Framing, Step};
use crate::pipeline;
use crate::syslog::Context;
use crate::record::{Flags, Origin, Peer, RecordIds, Transport};
use crate::time::Timestamp;
use crate::unparsed::Unparsed;

/// Read at a time. The memory that `decode` needs is this, one frame, and their records, whatever the size of the file.
const READ_SIZE: usize = 256 * 1024;

/// The largest line in bytes; Postfix writes at most some 2,100.
const MAX_FRAME_SIZE: usize = 64 * 1024;

/// How to decode.
#[derive(Debug)]
pub struct Decoder {
    /// Writes the records.
    pub encoder: Encoder,
    /// The zone of times that carry none.
    pub zone: TimeZone,
    /// Whether to print, as they are, just the Postfix lines that no reader knows.
    pub unparsed: bool,
}

/// What was decoded.
#[derive(Debug, Default)]
pub struct Summary {
    /// Lines that gave a record.
    pub records: u64,
    /// Records without a readable time, cut off, or with bytes that are not UTF-8.
    pub damaged: u64,
    /// Postfix lines that no reader knows.
    pub unparsed: Unparsed,
}

/// Why decoding ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Input {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The output cannot be written; the kind is `BrokenPipe` when its reader has gone.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

const DAMAGE: [Flags; 3] = [Flags::TIMESTAMP_MISSING, Flags::TRUNCATED, Flags::INVALID_UTF8];

impl Decoder {
    /// Decodes `files` in their order, `-` or none being the standard input, to `out`.
    pub fn decode(&self, files: &[PathBuf], out: &mut impl Write) -> Result<Summary, Error> {
        let stdin = [PathBuf::from("-")];
        let mut summary = Summary::default();
        for path in if files.is_empty() { &stdin } else { files } {
            if path == Path::new("-") {
                self.decode_from(io::stdin().lock(), None, out, &mut summary)?;
            } else {
                let file = File::open(path).map_err(|error| input_error(Some(path), error))?;
                self.decode_from(file, Some(path), out, &mut summary)?;
            }
        }
        Ok(summary)
    }

    fn decode_from(
        &self,
        input: impl Read,
        path: Option<&Path>,
        out: &mut impl Write,
        summary: &mut Summary,
    ) -> Result<(), Error> {
        let mut input = BufReader::with_capacity(READ_SIZE, input);
        let start = input.fill_buf().map_err(|error| input_error(path, error))?;
        if let Some((_, name)) = OTHER_MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
            let help =
                format!("it is compressed with {name}: decompress it first (`{name} -dc FILE | postrider decode`)");
            return Err(input_error(path, io::Error::other(help)));
        }
        let transport = if path.is_some() { Transport::File } else { Transport::Stdin };
        let origin = Origin { name: "decode".to_owned(), transport, zone: self.zone.clone() };
        let peer = path.map(|path| path.to_string_lossy().into_owned());
        let mut stream = Stream { decoder: self, origin, peer, ids: RecordIds::default(), lines: Vec::new(), summary };
        let result = if start.starts_with(&GZIP_MAGIC) {
            stream.decode(MultiGzDecoder::new(input), out)
        } else {
            stream.decode(input, out)
        };
        result.map_err(|error| match error {
            Failed::Input(error) => input_error(path, error),
            Failed::Output(error) => Error::Output(error),
        })
    }
}

/// RFC 1952, section 2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How files begin that logrotate may have compressed too, and what reads them.
const OTHER_MAGIC: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh91AY&SY", "bzip2")];

fn input_error(path: Option<&Path>, error: io::Error) -> Error {
    let path = path.map_or_else(|| "the standard input".to_owned(), |path| path.display().to_string());
    Error::Input { path, error }
}

enum Failed {
    Input(io::Error),
    Output(io::Error),
}

/// One input on its way to JSON lines.
struct Stream<'d> {
    decoder: &'d Decoder,
    origin: Origin,
    peer: Option<String>,
    ids: RecordIds,
    lines: Vec<u8>,
    summary: &'d mut Summary,
}

impl Stream<'_> {
    fn decode(&mut self, mut input: impl Read, out: &mut impl Write) -> Result<(), Failed> {
        let mut framer = Framer::new(Framing::Auto, MAX_FRAME_SIZE);
        let mut buffer = vec![0; framer.max_buffer() + READ_SIZE];
        let mut filled = 0;
        loop {
            let end = match input.read(&mut buffer[filled..]) {
                Ok(0) => Some(Ok(())),
                Ok(size) => {
                    filled += size;
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
                Err(error) => Some(Err(Failed::Input(error))),
            };
            let consumed = self.frames(&mut framer, &buffer[..filled]);
            buffer.copy_within(consumed..filled, 0);
            filled -= consumed;
            // What was read before the damage is still worth having.
            if let Some(end) = &end
                && let Some(mut frame) = framer.finish(&buffer[..filled])
            {
                frame.truncated |= end.is_err();
                self.frame(&frame, Timestamp::now());
            }
            self.write(out)?;
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Encodes every whole frame of `buffer`, and gives how many bytes those were.
    fn frames(&mut self, framer: &mut Framer, buffer: &[u8]) -> usize {
        let received_at = Timestamp::now();
        let mut position = 0;
        loop {
            match framer.next(&buffer[position..]) {
                Step::Frame { frame, consumed } => {
                    self.frame(&frame, received_at);
                    position += consumed;
                }
                Step::More { consumed } => return position + consumed,
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, received_at: Timestamp) {
        let id = self.ids.reserve(received_at, 1).take();
        let (decoder, summary, lines) = (self.decoder, &mut *self.summary, &mut self.lines);
        let peer = Peer { address: self.peer.as_deref(), tls_subject: None };
        pipeline::read_frame(frame, peer, &self.origin, &Context::new(received_at, &self.origin.zone), id, |record| {
            summary.records += 1;
            summary.damaged += u64::from(DAMAGE.iter().any(|damage| record.flags.contains(*damage)));
            let unparsed = summary.unparsed.count(record);
            if !decoder.unparsed {
                decoder.encoder.encode(record, lines);
            } else if unparsed {
                lines.extend_from_slice(frame.bytes);
            } else {
                return;
            }
            lines.push(b'\n');
        });
    }

    fn write(&mut self, out: &mut impl Write) -> Result<(), Failed> {
        out.write_all(&self.lines).and_then(|()| out.flush()).map_err(Failed::Output)?;
        self.lines.clear();
        Ok(())
    }
}
