//! Starts, stops and reloads of Postfix (`src/master`, `conf/postfix-script`).
//!
//! ```text
//! master          daemon started[ -- version V[, configuration DIR]]
//!                 reload -- version V, configuration DIR               reload configuration[ DIR]   (before 2.6)
//!                 terminating on signal N
//! postfix-script  starting|stopping|refreshing|aborting the Postfix mail system
//!                 the Postfix mail system is [not ]running[: PID: N]
//! ```
//!
//! Warnings and fatal errors stay warnings and fatal errors, including those about a system that already runs.

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::decimal;
use crate::record::{Event, Lifecycle, Text};

/// Reader of the lines of master and its script.
pub(super) const READER: Reader = Reader {
    lines: &[LINES],
    verbose: Verbose {
        shapes: &[
            ("spawn command ", "; pid "),
            ("throttling command ", ""),
            ("throttle released for command ", ""),
            ("start conditional timer for ", ""),
        ],
        functions: &["master"],
    },
    ..Reader::new(Of(&["master", "postfix-script"]), read)
};

/// Lines that one program alone writes.
const LINES: &[ProgramLines] = &[
    ProgramLines::new(
        "master",
        &[
            ("daemon started -- version ", ""),
            ("reload -- version ", ""),
            ("reload configuration", ""),
            ("terminating on signal ", ""),
        ],
    ),
    ProgramLines::new(
        "postfix-script",
        &[
            ("starting the Postfix mail system", ""),
            ("stopping the Postfix mail system", ""),
            ("refreshing the Postfix mail system", ""),
            ("aborting the Postfix mail system", ""),
            ("the Postfix mail system is ", ""),
        ],
    ),
];

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || line.has_queue_id {
        return None;
    }
    let text = line.text;
    master(text).or_else(|| script(text)).or_else(|| is_dump(text).then_some(Event::Debug(Text { text })))
}

fn master(text: &str) -> Option<Event<'_>> {
    if let Some(signal) = text.strip_prefix("terminating on signal ") {
        let signal = Some(decimal::whole(signal)?);
        return Some(Event::Lifecycle(Lifecycle {
            action: "terminate",
            version: None,
            config_directory: None,
            signal,
        }));
    }
    if let Some(rest) = text.strip_prefix("daemon started") {
        return versioned("start", rest);
    }
    if let Some(directory) = text.strip_prefix("reload configuration") {
        let config_directory = directory.strip_prefix(' ').filter(|directory| !directory.is_empty());
        let whole = directory.is_empty() || directory.starts_with(' ');
        return whole.then_some(Event::Lifecycle(Lifecycle {
            action: "reload",
            version: None,
            config_directory,
            signal: None,
        }));
    }
    versioned("reload", text.strip_prefix("reload").filter(|rest| !rest.is_empty())?)
}

/// Reads what follows the action: ` -- version V, configuration DIR`, or nothing in the first versions.
fn versioned<'a>(action: &'static str, rest: &'a str) -> Option<Event<'a>> {
    let known = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    let (version, config_directory) = match rest.strip_prefix(" -- version ") {
        Some(rest) => {
            let (version, directory) = rest.split_once(", configuration ").unwrap_or((rest, ""));
            (known(version), known(directory))
        }
        None => rest.is_empty().then_some((None, None))?,
    };
    Some(Event::Lifecycle(Lifecycle { action, version, config_directory, signal: None }))
}

fn script(text: &str) -> Option<Event<'_>> {
    let action = match text {
        "starting the Postfix mail system" => "start",
        "stopping the Postfix mail system" => "stop",
        "refreshing the Postfix mail system" => "reload",
        "aborting the Postfix mail system" => "abort",
        "the Postfix mail system is not running" => "not_running",
        _ => {
            let rest = text.strip_prefix("the Postfix mail system is running")?;
            (rest.is_empty() || rest.starts_with(": PID:")).then_some("running")?
        }
    };
    Some(Event::Lifecycle(Lifecycle { action, version: None, config_directory: None, signal: None }))
}

/// True if a line is part of the dump of a service that `master -v` writes (`src/master/master_ent.c`). Only the daemon
/// tells that these words have another meaning than elsewhere.
fn is_dump(text: &str) -> bool {
    const NUMBERS: [&str; 8] = [
        "flags: ",
        "listen_fd_count: ",
        "wakeup: ",
        "max_proc: ",
        "avail_proc: ",
        "total_proc: ",
        "throttle_delay: ",
        "status_fd ",
    ];
    const WORDS: [&str; 3] = ["children: 0x", "next: 0x", "arg["];
    let number_follows = |begin: &&str| {
        text.strip_prefix(begin).is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
    };
    NUMBERS.iter().any(number_follows) || WORDS.iter().any(|begin| text.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn lifecycle() {
        let event = |action, version, config_directory, signal| {
            Some(Event::Lifecycle(Lifecycle { action, version, config_directory, signal }))
        };
        let plain = |action| event(action, None, None, None);
        let etc = Some("/etc/postfix");
        #[rustfmt::skip]
        let vectors = [
            ("daemon started -- version 3.9.0, configuration /etc/postfix", event("start", Some("3.9.0"), etc, None)),
            ("daemon started -- version 3.12-20260821, configuration /etc/postfix", event("start", Some("3.12-20260821"), etc, None)),
            ("daemon started -- version 2.3.3, configuration /srv/mail, out", event("start", Some("2.3.3"), Some("/srv/mail, out"), None)),
            ("daemon started -- version 2.1.5", event("start", Some("2.1.5"), None, None)),
            ("daemon started", plain("start")),
            ("reload -- version 3.9.0, configuration /etc/postfix", event("reload", Some("3.9.0"), etc, None)),
            ("reload configuration /etc/postfix", event("reload", None, etc, None)),
            ("reload configuration", plain("reload")),
            ("terminating on signal 15", event("terminate", None, None, Some(15))),
            ("starting the Postfix mail system", plain("start")),
            ("stopping the Postfix mail system", plain("stop")),
            ("refreshing the Postfix mail system", plain("reload")),
            ("aborting the Postfix mail system", plain("abort")),
            ("the Postfix mail system is running: PID: 1234", plain("running")),
            ("the Postfix mail system is running", plain("running")),
            ("the Postfix mail system is not running", plain("not_running")),
            // Cut.
            ("daemon started -- version ", plain("start")),
            ("daemon started -- version 3.9.0, configuration ", event("start", Some("3.9.0"), None, None)),
            ("daemon started -- vers", None),
            ("terminating on signal ", None),
            ("terminating on signal x", None),
            ("reload", None),
            ("reload configurations", None),
            ("reloaded", None),
            ("the Postfix mail system is running late", None),
            ("the Postfix mail system is", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), expected, "{text}");
            assert_eq!(read(&Line { level: Some(Level::Fatal), has_queue_id: false, text }), None, "{text}");
            assert_eq!(read(&Line { level: None, has_queue_id: true, text }), None, "{text}");
        }
    }

    #[test]
    fn dumps() {
        for text in [
            "max_proc: 100",
            "listen_fd_count: 1",
            "throttle_delay: 60",
            "children: 0x55d0",
            "arg[0]: smtpd",
            "status_fd 8 9",
        ] {
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), Some(Event::Debug(Text { text })));
        }
        assert_eq!(read(&Line { level: None, has_queue_id: false, text: "flags: up" }), None);
    }
}
