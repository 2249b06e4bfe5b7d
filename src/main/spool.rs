//! The commands that look into a spool, and remove one.

use std::io::{self, Write};

use postrider::cli::{SpoolCommand, SpoolRm};
use postrider::spool::InspectError;
use postrider::spool::command::{self, DamageFound};

use crate::failure::{DATA, Failure, IO, USAGE, output_failure, stdout};

/// Runs one of them.
pub(crate) fn run(command: &SpoolCommand) -> Result<(), Failure> {
    match command {
        SpoolCommand::Ls(arguments) => {
            let path = arguments.directory.display();
            match command::ls(&arguments.directory, &mut stdout()?.lock()) {
                Ok(found) if found != DamageFound::default() => {
                    let message = format!(
                        "{path}: {} bytes are damaged, {} records are missing; `postrider spool verify` says where",
                        found.damaged_bytes, found.missing_records
                    );
                    Err(Failure { code: DATA, message })
                }
                Ok(_) => Ok(()),
                Err(error) => spool_failure(&error),
            }
        }
        SpoolCommand::Cat(arguments) => {
            command::cat(&arguments.directory, arguments.all, &mut stdout()?.lock(), &mut io::stderr())
                .or_else(|error| spool_failure(&error))
        }
        SpoolCommand::Verify(arguments) => {
            let path = arguments.directory.display();
            match command::verify(&arguments.directory, &mut stdout()?.lock()) {
                Ok(found) if found.damages > 0 => {
                    let message =
                        format!("{path}: {} places are damaged; {} records are whole", found.damages, found.records);
                    Err(Failure { code: DATA, message })
                }
                Ok(found) => {
                    let (records, segments) = (found.records, found.segments);
                    let _ = writeln!(io::stderr(), "{path}: no damage; segments: {segments}, records: {records}");
                    Ok(())
                }
                Err(error) => spool_failure(&error),
            }
        }
        SpoolCommand::Rm(arguments) => remove_spool(arguments),
    }
}

fn remove_spool(arguments: &SpoolRm) -> Result<(), Failure> {
    let path = arguments.directory.display();
    let removal = match command::rm(&arguments.directory, arguments.yes) {
        Ok(removal) => removal,
        Err(error) => return spool_failure(&error),
    };
    let (segments, pending, bytes) = (removal.segments, removal.pending, removal.bytes);
    if !arguments.yes {
        let message = format!(
            "postrider: {path}: nothing is deleted yet; `--yes` deletes {segments} segments with {pending} pending records, {bytes} bytes"
        );
        return Err(Failure { code: USAGE, message });
    }
    let _ = writeln!(io::stderr(), "{path}: deleted {segments} segments, {bytes} bytes");
    if !removal.left.is_empty() {
        let left = removal.left.join(", ");
        let _ = writeln!(io::stderr(), "{path}: kept files that do not belong to the spool: {left}");
    }
    Ok(())
}

fn spool_failure(error: &InspectError) -> Result<(), Failure> {
    let code = match error {
        InspectError::Output(error) => return output_failure(error),
        InspectError::NotASpool(_) => USAGE,
        InspectError::Newer { .. } | InspectError::InUse { .. } | InspectError::Io { .. } => IO,
    };
    Err(Failure { code, message: format!("postrider: {error}") })
}
