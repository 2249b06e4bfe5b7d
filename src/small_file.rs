//! Files that people write for Postrider, each read completely: configurations, certificates, keys.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::crash::fault_point;

/// Maximum size of such a file, in bytes.
pub(crate) const MAX_SIZE: u64 = 1 << 20;

/// Returns the content of a regular file of at most [`MAX_SIZE`] bytes. Any other file could make its reader wait for
/// ever (a FIFO), or has no end (a device).
///
/// # Errors
///
/// The file cannot be read, is not a regular file, or is larger.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fault_point("small-file-read")?;
    // Without this flag, opening a FIFO would wait for its writer.
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(nix::libc::EISDIR));
    }
    if !kind.is_file() {
        return Err(io::Error::other(
            "it is a pipe or a device, not a regular file; write its content to a file first",
        ));
    }
    let mut content = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("it is larger than 1 MiB; check that it is the right file"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_a_regular_file_of_a_bearable_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let error = |path: &Path| read(path).unwrap_err().to_string();
        nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        assert!(error(&path("fifo")).starts_with("it is a pipe or a device"));
        assert!(error(Path::new("/dev/zero")).starts_with("it is a pipe or a device"));
        assert!(error(directory.path()).starts_with("Is a directory"));
        fs::write(path("most"), vec![b'#'; 1 << 20]).unwrap();
        assert_eq!(read(&path("most")).unwrap().len(), 1 << 20);
        fs::write(path("more"), vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(error(&path("more")).starts_with("it is larger than 1 MiB"));
        std::os::unix::fs::symlink(path("most"), path("link")).unwrap();
        assert!(read(&path("link")).is_ok());
    }
}
