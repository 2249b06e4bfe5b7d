//! The standard input and output, and a check that the program was given them.
//!
//! If one of the descriptors 0, 1 and 2 is closed, Rust's runtime opens `/dev/null` in its place before `main`, for
//! reading and writing. Records would vanish there and count as delivered. A shell's `>/dev/null` and `</dev/null` open
//! it for one of the two only. Therefore a `/dev/null` that is open for both counts as closed. Some programs open it
//! like this on purpose (Python's `subprocess.DEVNULL`); the error says what to write instead.
//!
//! A closed standard error is no error: it means that nobody wants the log.

use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat, major, minor};

/// Device number of `/dev/null` on Linux.
const NULL: (u64, u64) = (1, 3);

/// Checks that the standard input can be read.
///
/// # Errors
///
/// Fails if the standard input is closed, or is not open for reading.
pub fn input() -> io::Result<()> {
    judge(io::stdin(), OFlag::O_RDONLY, "it is not open for reading", "</dev/null for an empty input")
}

/// Checks that the standard output can be written to.
///
/// # Errors
///
/// Fails if the standard output is closed, or is not open for writing.
pub fn output() -> io::Result<()> {
    judge(io::stdout(), OFlag::O_WRONLY, "it is not open for writing", ">/dev/null to discard the output")
}

fn judge(stream: impl AsFd, wanted: OFlag, other: &str, help: &str) -> io::Result<()> {
    let mode = OFlag::from_bits_retain(fcntl(&stream, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
    if mode == OFlag::O_RDWR && is_null(&stream)? {
        let text = format!("it is closed, or it is /dev/null opened for both reading and writing; use {help}");
        return Err(io::Error::other(text));
    }
    if mode != OFlag::O_RDWR && mode != wanted {
        return Err(io::Error::other(other));
    }
    Ok(())
}

fn is_null(stream: impl AsFd) -> io::Result<bool> {
    let stat = fstat(stream)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    Ok(kind == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == NULL)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_descriptor_is_judged_by_what_it_is_open_for() {
        let open = |path: &str, read, write| File::options().read(read).write(write).open(path).unwrap();
        let judge = |file: File| judge(file, OFlag::O_WRONLY, "other", "help").map_err(|error| error.to_string());
        assert_eq!(judge(open("/dev/null", false, true)), Ok(()));
        let closed = "it is closed, or it is /dev/null opened for both reading and writing; use help";
        assert_eq!(judge(open("/dev/null", true, true)), Err(closed.to_owned()));
        assert_eq!(judge(open("/dev/null", true, false)), Err("other".to_owned()));
        // As a terminal is, and a socket.
        assert_eq!(judge(open("/dev/zero", true, true)), Ok(()));
        assert_eq!(judge(open("/dev/full", false, true)), Ok(()));
    }
}
