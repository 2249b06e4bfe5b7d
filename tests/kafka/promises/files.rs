//! What becomes of what a file has no room for, when its sink has a spool?

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::promises::DEADLINE;
use crate::promises::spool;
use testkit::messages::{Seen, message};
use testkit::postrider::assert_clean;
use testkit::scratch;
use testkit::small_disk::SmallDisk;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const EACH: usize = 200;

fn send(mut socket: &TcpStream, numbers: Range<usize>) {
    for number in numbers {
        writeln!(socket, "{}", message(number)).expect("room");
    }
}

/// Reads a file of records.
pub(crate) fn written(path: &Path) -> Seen {
    let mut seen = Seen::default();
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().for_each(|line| seen.note(line));
    seen
}

/// The file's own disk is full: what comes is kept on that of the spool, goes to the file in its order when that has
/// room, and otherwise with the next start.
#[test]
fn what_a_file_has_no_room_for_is_in_the_spool_over_a_stop() {
    for mode in ["overflow", "always"] {
        let directory = scratch::directory("promises-files");
        let (out, stderr) = (directory.path().join("out"), directory.path().join("stderr"));
        let config = format!(
            "shutdown_timeout = \"20s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}/out.json\"\n{}",
            out.display(),
            spool::keys(directory.path(), "file", mode)
        );
        let disk = SmallDisk::spawn(&out, "2M", &config, &stderr);
        disk.fill();
        let socket = TcpStream::connect(disk.postrider.address("tcp")).expect("a connection");
        let in_spool = |last: usize| {
            wait_until(DEADLINE, "the spool", || spool::places(directory.path()).contains_key(&last));
        };
        send(&socket, 0..EACH);
        in_spool(EACH - 1);
        disk.make_room();
        wait_until(DEADLINE, "the file", || written(&disk.path.join("out.json")).records() == EACH);
        assert!(written(&disk.path.join("out.json")).order.iter().copied().eq(0..EACH), "{mode}: another order");
        disk.fill();
        send(&socket, EACH..2 * EACH);
        in_spool(2 * EACH - 1);
        disk.postrider.signal(Signal::SIGTERM);
        // Its small disk goes with the process.
        let before = written(&disk.path.join("out.json")).records();
        let ended = disk.postrider.ended(DEADLINE);
        assert_clean(&ended);
        assert!(ended.stderr.contains("the spool keeps undelivered records"), "{}", ended.stderr);
        let kept = ended.sink("file").count("spooled") as usize;
        assert_eq!(kept, 2 * EACH - before, "{mode}: {}", ended.stderr);

        let second = Unread::spawn(&config, &stderr);
        wait_until(DEADLINE, "what was kept", || written(&out.join("out.json")).records() >= kept);
        assert_clean(&second.terminate(DEADLINE));
        let seen = written(&out.join("out.json"));
        seen.judge(mode, &(before..2 * EACH).collect(), 2 * EACH, 0);
        assert!(seen.order.iter().copied().eq(before..2 * EACH), "{mode}: repetitions or another order");
    }
}
