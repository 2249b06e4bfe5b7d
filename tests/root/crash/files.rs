//! The process kills itself at each named step between a file that is read and a file that is written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::crash::DEADLINE;
use testkit::messages::{Seen, text};
use testkit::postrider::assert_clean;
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const EACH: usize = 300;
/// More than any point needs.
const ROUNDS: usize = 12;

fn config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "[[source.file]]\npaths = [\"{directory}/mail.log\"]\nstart = \"beginning\"\nstate = \"{directory}/state\"\n\
         [[sink.file]]\npath = \"{directory}/out.json\"\n"
    )
}

fn log(directory: &Path, numbers: Range<usize>) {
    let mut file = File::options().create(true).append(true).open(directory.join("mail.log")).expect("a file");
    for number in numbers {
        writeln!(file, "Nov 24 06:00:00 mx1 test[1]: {}", text(number)).expect("room");
    }
}

fn seen(directory: &Path) -> Seen {
    let mut seen = Seen::default();
    let written = fs::read(directory.join("out.json")).unwrap_or_default();
    let whole = memchr::memrchr(b'\n', &written).map_or(0, |end| end + 1);
    String::from_utf8_lossy(&written[..whole]).lines().for_each(|line| seen.note(line));
    seen
}

/// Each point, with how often it is passed by in the first, second and third run.
const POINTS: [(&str, [usize; 3]); 4] = [
    ("before-file-fdatasync", [1, 3, 2]),
    ("after-file-fdatasync", [2, 1, 3]),
    ("before-cursor-rename", [2, 1, 1]),
    ("after-cursor-rename", [1, 2, 1]),
];

#[test]
fn every_line_of_a_file_is_there_when_the_process_dies() {
    let mut repeated = 0;
    for (point, counts) in POINTS {
        let directory = scratch::directory("crash-files");
        let directory = directory.path();
        let mut next = 0;
        for count in counts {
            let at = format!("{point}:{count}");
            let variable = ("POSTRIDER_CRASH_AT", at.as_str());
            let mut postrider = Unread::spawn_with(&config(directory), &directory.join("stderr"), variable);
            for _ in 0..ROUNDS {
                log(directory, next..next + EACH);
                next += EACH;
                wait_until(DEADLINE, "the lines, or an end", || {
                    postrider.has_ended() || seen(directory).numbers.len() == next
                });
                if postrider.has_ended() {
                    break;
                }
            }
            let ended = postrider.ended(DEADLINE);
            let signal = ended.status.signal();
            assert_eq!(signal, Some(Signal::SIGKILL as i32), "{at}: {}\n{}", ended.status, ended.stderr);
        }
        let postrider = Unread::spawn(&config(directory), &directory.join("stderr"));
        wait_until(DEADLINE, "every line", || seen(directory).numbers.len() == next);
        assert_clean(&postrider.terminate(DEADLINE));
        let seen = seen(directory);
        // A line that the process died in is ended, and comes again.
        seen.judge(point, &(0..next).collect::<BTreeSet<usize>>(), next, counts.len());
        repeated += seen.records() - next;
    }
    assert!(repeated > 0, "nothing came again, so nothing was on its way when the process died");
}
