//! One open file: it ends with a whole line whenever nothing is being written.

use std::fs::Metadata;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Instant, SystemTime};

use super::path::{DeviceInode, FileHandle};
use crate::crash::{crash_point, fault_point};

/// An open file and what is known of it. Postrider is taken to be its only writer.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: FileHandle,
    pub(super) identity: DeviceInode,
    /// Size of the file in bytes.
    pub(super) size: u64,
    /// Time when the file was created; if the file system does not record that, when it was last written before it was
    /// opened.
    pub(super) born: SystemTime,
    /// True if data was written after the last fdatasync.
    pub(super) dirty: bool,
    /// Maximum size in bytes: the file is rotated before it grows beyond this.
    pub(super) limit: Option<u64>,
    /// Value of the sink's counter when the file was last used.
    pub(super) used: u64,
    /// Earliest time at which a failed rotation is tried again.
    pub(super) no_rotation_before: Option<Instant>,
    /// False for a device, which is neither truncated nor synced nor rotated.
    pub(super) regular: bool,
    /// Number of bytes of an incomplete line at the end that could not be removed.
    torn: u64,
}

// === impl OpenFile ===

impl OpenFile {
    /// Takes over a file that was opened to read and append. The last line has no line end if a machine or a process
    /// died while writing it. `new` then adds one, so that the next record does not become a part of it.
    pub(super) fn new(file: FileHandle) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut open = Self {
            identity: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            born: born(&metadata),
            dirty: false,
            limit: None,
            used: 0,
            no_rotation_before: None,
            regular: metadata.is_file(),
            torn: 0,
            file,
        };
        let mut last = [0];
        if open.regular && open.size > 0 && open.file.read_at(&mut last, open.size - 1)? == 1 && last != *b"\n" {
            (&*open.file).write_all(b"\n")?;
            open.size += 1;
            open.dirty = true;
        }
        Ok(open)
    }

    /// Appends slices that together are lines of these lengths. Returns the number of lines that are now in the file,
    /// whole, and the error if those are not all. Removes the part of the next line that was written.
    pub(super) fn append(
        &mut self,
        slices: &mut [IoSlice<'_>],
        lengths: impl Iterator<Item = usize>,
    ) -> (usize, io::Result<()>) {
        if let Err(error) = fault_point("file-write").and_then(|()| self.take_back_torn()) {
            return (0, Err(error));
        }
        let (written, result) = write_slices(&mut &*self.file, slices);
        let (lines, bytes) = whole_lines(lengths, written);
        self.dirty |= self.regular && written > 0;
        self.size += bytes as u64;
        self.torn = if self.regular { (written - bytes) as u64 } else { 0 };
        let taken_back = self.take_back_torn();
        (lines, result.and(taken_back))
    }

    /// Syncs all written data to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            crash_point("before-file-fdatasync");
            fault_point("file-fdatasync")?;
            self.file.sync_data()?;
            crash_point("after-file-fdatasync");
            self.dirty = false;
        }
        Ok(())
    }

    /// Reads the size again: another program may have truncated the file (logrotate's copytruncate).
    pub(super) fn refresh(&mut self) {
        if let Ok(metadata) = self.file.metadata() {
            self.size = metadata.len();
        }
    }

    /// Removes the incomplete line at the end. Counts from the current end of the file: another program may have
    /// truncated it.
    fn take_back_torn(&mut self) -> io::Result<()> {
        if self.torn > 0 {
            let size = self.file.metadata()?.len();
            self.file.set_len(size.saturating_sub(self.torn))?;
            self.torn = 0;
        }
        Ok(())
    }
}

fn born(metadata: &Metadata) -> SystemTime {
    metadata.created().or_else(|_| metadata.modified()).unwrap_or_else(|_| SystemTime::now())
}

/// Writes all slices. Returns how many bytes were written before an error.
fn write_slices(out: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while !slices.is_empty() {
        match out.write_vectored(slices) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(bytes) => {
                written += bytes;
                IoSlice::advance_slices(&mut slices, bytes);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Returns how many lines of these lengths lie whole within `bytes`, and how many bytes those lines have.
fn whole_lines(lengths: impl Iterator<Item = usize>, bytes: usize) -> (usize, usize) {
    let (mut lines, mut whole) = (0, 0);
    for length in lengths {
        if whole + length > bytes {
            break;
        }
        lines += 1;
        whole += length;
    }
    (lines, whole)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Takes `room` bytes, three at a time, and then fails.
    struct Small {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3).min(self.room - self.taken.len());
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn counts_what_was_written_before_the_error() {
        for room in 0..=12 {
            let mut small = Small { room, taken: Vec::new() };
            let mut slices = [IoSlice::new(b"one\ntwo\n"), IoSlice::new(b"last")];
            let (written, result) = write_slices(&mut small, &mut slices);
            assert_eq!((written, result.is_ok()), (room, room == 12));
            assert_eq!(small.taken, b"one\ntwo\nlast"[..room]);
        }
    }

    #[test]
    fn only_whole_lines_count() {
        let lines = |bytes| whole_lines([4, 4, 6].into_iter(), bytes);
        assert_eq!(lines(0), (0, 0));
        assert_eq!(lines(3), (0, 0));
        assert_eq!(lines(4), (1, 4));
        assert_eq!(lines(13), (2, 8));
        assert_eq!(lines(14), (3, 14));
    }

    #[test]
    fn a_line_without_an_end_gets_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.json");
        for (before, after) in [("", ""), ("whole\n", "whole\n"), ("whole\nto", "whole\nto\n")] {
            fs::write(&path, before).unwrap();
            let file = fs::OpenOptions::new().read(true).append(true).open(&path).unwrap();
            let open = OpenFile::new(FileHandle::Shared(file)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
            assert_eq!(open.size, after.len() as u64);
        }
    }
}
