//! The commands that ask the running daemon.

use std::io::Write;
use std::path::Path;

use postrider::admin::client::AskError;
use postrider::admin::{health, trace};
use postrider::cli::{HealthArguments, TraceArguments};
use postrider::log;
use postrider::trace::{TraceOutput, TraceQuery};

use crate::failure::{Failure, NOTHING, UNAVAILABLE, output_failure, print, stdout};

/// Exit code for a daemon that is not ready.
const NOT_READY: u8 = 1;

/// Asks the daemon whether it is ready.
pub(crate) fn health(arguments: &HealthArguments) -> Result<(), Failure> {
    let reasons = health::ask(&arguments.daemon.socket).map_err(|error| unavailable(&error))?;
    if reasons.is_empty() {
        return print(b"ready\n");
    }
    let reasons: Vec<_> = reasons.iter().map(|reason| format!("not ready: {reason}")).collect();
    Err(Failure { code: NOT_READY, message: reasons.join("\n") })
}

/// Returns the failure of a command that cannot ask the daemon.
fn unavailable(error: &AskError) -> Failure {
    Failure { code: UNAVAILABLE, message: format!("postrider: {error}") }
}

/// Asks the daemon for the messages that it remembers.
pub(crate) fn trace(
    arguments: &TraceArguments,
    query: &TraceQuery,
    zone: &jiff::tz::TimeZone,
    told: TraceOutput,
) -> Result<(), Failure> {
    let (socket, last, text) = (&arguments.daemon.socket, arguments.last, query.text());
    // Somebody may have meant a file.
    let file = if Path::new(text).exists() {
        format!("; {text} is a file: write behind it what to search for, `postrider trace {text} QUERY`")
    } else {
        format!("; log files are searched with `postrider trace FILE... {text}`")
    };
    let answer = trace::ask(socket, query, last, zone.iana_name(), told).map_err(|error| {
        let Failure { code, message } = unavailable(&error);
        Failure { code, message: message + &file }
    })?;
    let mut out = stdout()?.lock();
    let page = answer.page.iter().map(String::as_bytes);
    let records = answer.messages.iter().flat_map(|record| [record.get().as_bytes(), b"\n"]);
    let written = page.chain(records).try_for_each(|part| out.write_all(part)).and_then(|()| out.flush());
    if let Err(error) = written {
        return output_failure(&error);
    }
    if answer.matching > last as usize {
        let matching = answer.matching;
        log::say(&format!("{matching} messages match; these are the last {last}, `--last` changes the number"));
    }
    if answer.cut {
        log::say("a limit of time or size has cut the answer: messages are missing in it; use a smaller `--last`");
    }
    if answer.matching == 0 {
        let searched = match answer.searched {
            1 => "the 1 message".to_owned(),
            searched => format!("the {searched} messages"),
        };
        let message = format!("no message matches {text}, among {searched} that the daemon remembers{file}");
        return Err(Failure { code: NOTHING, message });
    }
    Ok(())
}
