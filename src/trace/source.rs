//! The logs of a search, which are read several times.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, process};

use crate::input;
use crate::standard;

/// Size in bytes up to which a text that can be read only once is kept in memory.
const HELD: usize = 16 << 20;

/// A log that can be read again from its beginning.
#[derive(Debug)]
pub(super) struct LogText {
    /// `None` for the standard input.
    pub(super) path: Option<PathBuf>,
    place: LogPlace,
}

#[derive(Debug)]
enum LogPlace {
    Path(PathBuf),
    Memory(Arc<[u8]>),
    /// The file of a redirection from this offset, or a copy of what came through a pipe.
    File(Arc<File>, u64),
}

/// A reader of a file that has no other reader's position.
struct Positioned {
    file: Arc<File>,
    at: u64,
}

impl LogText {
    /// Opens a log, and copies it if it is a pipe. `-` is the standard input.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let is_stdin = path == Path::new("-");
        let mut file = if is_stdin {
            standard::input()?;
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::open(path)?
        };
        let place = match (file.metadata()?.is_file(), is_stdin) {
            (true, false) => LogPlace::Path(path.to_owned()),
            (true, true) => {
                let begin = file.stream_position()?;
                LogPlace::File(Arc::new(file), begin)
            }
            (false, _) => copy(file)?,
        };
        Ok(Self { path: (!is_stdin).then(|| path.to_owned()), place })
    }

    /// Returns the name for an error.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "the standard input".to_owned(), |path| path.display().to_string())
    }

    /// Returns the text from its beginning, without its compression.
    pub(super) fn read(&self) -> io::Result<Box<dyn Read + Send>> {
        let command = "postrider trace - QUERY";
        match &self.place {
            LogPlace::Path(path) => input::text(File::open(path)?, command),
            LogPlace::Memory(bytes) => input::text(Cursor::new(Arc::clone(bytes)), command),
            LogPlace::File(file, begin) => input::text(Positioned { file: Arc::clone(file), at: *begin }, command),
        }
    }
}

/// Copies what comes through a pipe to memory, or to a file without a name if it is too much.
fn copy(mut pipe: File) -> io::Result<LogPlace> {
    let mut held = Vec::new();
    Read::by_ref(&mut pipe).take(HELD as u64).read_to_end(&mut held)?;
    if held.len() < HELD {
        return Ok(LogPlace::Memory(held.into()));
    }
    let path = env::temp_dir().join(format!("postrider-trace-{}-{:016x}", process::id(), fastrand::u64(..)));
    let cannot = |error: io::Error| {
        let text = format!("cannot copy it to {}: {error}; TMPDIR names another directory", path.display());
        io::Error::new(error.kind(), text)
    };
    let mut file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
    fs::remove_file(&path).map_err(cannot)?;
    file.write_all(&held).map_err(cannot)?;
    drop(held);
    let mut bytes = vec![0; input::READ_SIZE];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => return Ok(LogPlace::File(Arc::new(file), 0)),
            Ok(size) => file.write_all(&bytes[..size]).map_err(cannot)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.file.read_at(buffer, self.at)?;
        self.at += size as u64;
        Ok(size)
    }
}
