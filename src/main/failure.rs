//! The failure of a command, with its exit code, and the standard output of all commands.

use std::io::{self, Write};
use std::process::ExitCode;

use postrider::{log, standard};

/// Exit code of a search that found nothing.
pub(crate) const NOTHING: u8 = 1;
/// Exit codes of sysexits.h that Postrider uses.
pub(crate) const USAGE: u8 = 64;
pub(crate) const DATA: u8 = 65;
pub(crate) const UNAVAILABLE: u8 = 69;
pub(crate) const IO: u8 = 74;
pub(crate) const CONFIGURATION: u8 = 78;

/// Failure of a command: the message for the standard error, and the exit code.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    /// Says the message, if there is one, and returns the exit code.
    pub(crate) fn exit(&self) -> ExitCode {
        let message = self.message.trim_end();
        if !message.is_empty() {
            log::say(message);
        }
        ExitCode::from(self.code)
    }
}

/// Writes `text` to the standard output.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = stdout()?.lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).or_else(|error| output_failure(&error))
}

/// Returns the standard output, which the program must have been given.
pub(crate) fn stdout() -> Result<io::Stdout, Failure> {
    match standard::output() {
        Ok(()) => Ok(io::stdout()),
        Err(error) => {
            let message = format!("postrider: cannot write to the standard output: {error}");
            Err(Failure { code: IO, message })
        }
    }
}

/// Returns the failure of an output. A reader that closes the pipe early is no failure.
pub(crate) fn output_failure(error: &io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure { code: IO, message: format!("postrider: cannot write to the standard output: {error}") })
}
