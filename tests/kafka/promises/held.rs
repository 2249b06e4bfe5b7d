//! Who waits, what is dropped and what is kept, while the disk of a spool is full, or a destination is away?

use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use nix::sys::signal::Signal;

use crate::promises::DEADLINE;
use crate::promises::spool;
use crate::promises::ways::{DATAGRAMS, PIPE, Place, STREAMS, Way, all, each};
use testkit::messages::Seen;
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::small_disk::SmallDisk;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// More than the sockets, the queues and the small disk hold.
const MANY: usize = 8000;

/// Has the reader read on when it is dropped: a test that fails would wait for its sender otherwise.
struct Held<'o>(&'o Output);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.open(true);
    }
}

/// Sends until the sender is held up, and `is_so`; then the sink reads on, and everything comes, once and in order.
fn is_held_up(place: &Place, mut postrider: Unread, is_so: impl Fn(&Unread) -> bool) -> Ended {
    let output = Output::default();
    let reader = output.read(postrider.output());
    let mut feed = place.connect(&mut postrider);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        let held = Held(&output);
        let sender = scope.spawn(|| {
            for number in 0..MANY {
                feed.send(number..number + 1).expect("room, sooner or later");
                sent.store(number + 1, SeqCst);
            }
        });
        wait_until(DEADLINE, "the reason", || is_so(&postrider));
        postrider.status().wait_held_up(DEADLINE, place.source_name(), "stdout", || sent.load(SeqCst));
        let took_all = sender.is_finished();
        drop(held);
        assert!(!took_all, "{:?}: all was read, though nothing can take it", place.way);
    });
    wait_until(DEADLINE, "all", || output.seen(|seen| seen.records() >= MANY));
    // The end of the standard input begins a stop, which leaves what takes longer than a second in the spool.
    drop(feed);
    let ended = if place.way == Way::Stdin { postrider.ended(DEADLINE) } else { postrider.terminate(DEADLINE) };
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge(&format!("{:?}", place.way), &seen.numbers, MANY, 0);
        assert!(seen.order.iter().copied().eq(0..MANY), "{:?}: gaps, repetitions or another order", place.way);
    });
    assert_eq!(ended.sink("stdout").count("dropped"), 0, "{:?}: {}", place.way, ended.stderr);
    ended
}

#[test]
fn a_sink_that_takes_nothing_holds_streams_up_and_loses_nothing() {
    each(&STREAMS, |way| {
        let place = Place::new(way);
        is_held_up(&place, place.spawn(""), |_| true);
    });
}

/// Why a spool takes no more than some 3 MiB.
struct Lack {
    /// The size of its file system.
    disk: &'static str,
    min_free: &'static str,
    said: &'static str,
}

const NO_SPACE: Lack = Lack { disk: "3M", min_free: "0B", said: "no space left on its file system" };
const MIN_FREE: Lack = Lack { disk: "8M", min_free: "5MiB", said: "would have less than 5242880 bytes left" };

impl Lack {
    /// With these `keys` of the spool besides.
    fn spawn(&self, place: &Place, keys: &str) -> SmallDisk {
        let spool = spool::keys(place.directory(), "stdout", "overflow").replace("0B", self.min_free);
        let config = place.config(&(spool + keys));
        SmallDisk::spawn(&spool::path(place.directory()), self.disk, &config, &place.directory().join("stderr"))
    }

    fn holds_streams_up(&self) {
        each(&STREAMS, |way| {
            let place = Place::new(way);
            let disk = self.spawn(&place, "");
            is_held_up(&place, disk.postrider, |postrider| postrider.log().contains(self.said));
        });
    }
}

#[test]
fn a_full_disk_holds_streams_up_and_loses_nothing() {
    NO_SPACE.holds_streams_up();
}

#[test]
fn min_free_holds_streams_up_and_loses_nothing() {
    MIN_FREE.holds_streams_up();
}

/// With `when_full = "drop_oldest"` nobody is held up: what is missing is older than all that the spool has.
#[test]
fn min_free_gives_up_the_oldest_where_the_configuration_says_so() {
    each(&[Way::Tcp, Way::Tls, Way::UnixStream], |way| {
        let (place, output) = (Place::new(way), Output::default());
        let mut disk = MIN_FREE.spawn(&place, "when_full = \"drop_oldest\"\n");
        let reader = output.read(disk.postrider.output());
        place.connect(&mut disk.postrider).send(0..MANY).expect("nobody is held up");
        let directory = disk.path.parent().expect("the directory of the spool");
        let last = || spool::places(directory).contains_key(&(MANY - 1));
        wait_until(DEADLINE, "the last in the spool", last);
        assert!(disk.free() >= 5 << 20, "{way:?}: {} bytes are free", disk.free());
        output.open(true);
        wait_until(DEADLINE, "the last", || output.seen(|seen| seen.numbers.contains(&(MANY - 1))));
        let ended = disk.postrider.terminate(DEADLINE);
        assert_clean(&ended);
        reader.join().expect("the reader");
        let count = |field| ended.sink("stdout").count(field);
        assert_eq!(ended.source(place.source_name()).count("received"), MANY as u64, "{way:?}: {}", ended.stderr);
        assert!(count("dropped") > 0, "{way:?}: all of it had room\n{}", ended.stderr);
        assert_eq!(count("dropped_spool_full"), count("dropped"), "{way:?}: {}", ended.stderr);
        output.seen(|seen| {
            seen.judge(&format!("{way:?}"), &seen.numbers, MANY, 0);
            assert_eq!(seen.records() as u64, MANY as u64 - count("dropped"), "{way:?}: {}", ended.stderr);
            assert!(seen.order.is_sorted_by(|a, b| a < b), "{way:?}: out of order, or twice");
        });
    });
}

/// Everything behind what the pipe holds is kept on the disk, over a stop too, and comes in its order.
#[test]
fn what_a_sink_does_not_take_is_in_the_spool_over_a_stop() {
    const SENT: usize = 400;
    const SOME: usize = 20;
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let keys = spool::keys(place.directory(), "stdout", "overflow");
        let mut first = place.spawn(&keys);
        let reader = output.read(first.output());
        let mut feed = place.connect(&mut first);
        feed.send(0..PIPE).expect("room");
        for end in (PIPE..=SENT).step_by(SOME) {
            wait_until(DEADLINE, "the spool", || spool::places(place.directory()).contains_key(&(end - 1)));
            feed.send(end..SENT.min(end + SOME)).expect("room");
        }
        first.signal(Signal::SIGTERM);
        let ended = first.ended(DEADLINE);
        drop(feed);
        output.open(true);
        reader.join().expect("the reader");
        assert_eq!(ended.source(place.source_name()).count("received"), SENT as u64, "{way:?}: {}", ended.stderr);
        assert_eq!(ended.sink("stdout").count("dropped"), 0, "{way:?}: {}", ended.stderr);
        // Also what the sink has in its hands.
        let kept = spool::places(place.directory()).len();
        assert!(kept >= SENT - PIPE, "{way:?}: {kept} kept\n{}", ended.stderr);

        let mut second = place.spawn(&keys);
        let before = output.seen(Seen::records);
        let reader = output.read(second.output());
        let mut feed = place.connect(&mut second);
        feed.send(SENT..SENT + SOME).expect("room");
        wait_until(DEADLINE, "all", || output.seen(|seen| seen.numbers.len() == SENT + SOME));
        let ended = second.terminate(DEADLINE);
        assert_clean(&ended);
        reader.join().expect("the reader");
        assert!(ended.sink("stdout").count("recovered") as usize >= SENT - PIPE, "{way:?}: {}", ended.stderr);
        output.seen(|seen| {
            seen.judge(&format!("{way:?}"), &(0..SENT + SOME).collect(), SENT + SOME, 0);
            assert!(seen.order[before..].is_sorted_by(|a, b| a < b), "{way:?}: out of order, or twice");
        });
    });
}

/// Messages that come while the spool takes nothing are dropped and counted. Messages in the spool and later ones are
/// not lost.
fn drops_datagrams(lack: &Lack) {
    each(&DATAGRAMS, |way| {
        let (place, output) = (Place::new(way), Output::default());
        let mut disk = lack.spawn(&place, "");
        let reader = output.read(disk.postrider.output());
        let mut feed = place.connect(&mut disk.postrider);
        feed.send(0..MANY).expect("nobody is held up");
        wait_until(DEADLINE, "the reason", || disk.postrider.log().contains(lack.said));
        output.open(true);
        // Once the disk has room, everything comes.
        let mut sent = MANY;
        wait_until(DEADLINE, "a new one", || {
            feed.send(sent..sent + 1).expect("nobody is held up");
            sent += 1;
            output.seen(|seen| seen.numbers.range(MANY..).next().is_some())
        });
        let ended = disk.postrider.terminate(DEADLINE);
        assert_clean(&ended);
        reader.join().expect("the reader");
        let received = ended.source(place.source_name()).count("received");
        let dropped = ended.sink("stdout").count("dropped");
        assert_eq!(received + kernel_drops(&place, &ended), sent as u64, "{way:?}: {}", ended.stderr);
        // On a busy machine the kernel still holds some when the time of the stop is over.
        let offered = received - ended.source(place.source_name()).count("dropped");
        assert!(dropped > 0, "{way:?}: all of it had room\n{}", ended.stderr);
        assert!(ended.stderr.contains("queue_full"), "{way:?}: {}", ended.stderr);
        output.seen(|seen| {
            seen.judge(&format!("{way:?}"), &seen.numbers, sent, 0);
            // On a busy machine the time of the stop is over before everything is written: that stays in the spool.
            let kept = ended.sink("stdout").count("spooled");
            let came = seen.records() as u64;
            assert!(
                (offered - dropped - kept..=offered - dropped).contains(&came),
                "{way:?}: {came}: {}",
                ended.stderr
            );
            assert!(seen.order.is_sorted_by(|a, b| a < b), "{way:?}: out of order, or twice");
        });
    });
}

#[test]
fn a_full_disk_drops_datagrams_and_counts_them() {
    drops_datagrams(&NO_SPACE);
}

#[test]
fn min_free_drops_datagrams_and_counts_them() {
    drops_datagrams(&MIN_FREE);
}

/// The kernel drops no datagram of a Unix socket: it holds the sender up.
fn kernel_drops(place: &Place, ended: &Ended) -> u64 {
    if place.way == Way::Udp { ended.source(place.source_name()).count("kernel_drops") } else { 0 }
}

/// As in `postrider run | head`: it ends by itself, and counts what the reader did not take.
#[test]
fn a_closed_pipe_ends_the_program_and_the_rest_is_counted() {
    const TAKEN: usize = 20;
    each(&STREAMS, |way| {
        let place = Place::new(way);
        let mut postrider = place.spawn("");
        let mut lines = BufReader::new(postrider.output()).lines();
        let mut feed = place.connect(&mut postrider);
        feed.send(0..TAKEN).expect("room");
        for _ in 0..TAKEN {
            lines.next().expect("a line").expect("a pipe");
        }
        drop(lines);
        for number in TAKEN.. {
            // The other side goes at some time, or holds the sender up no longer than until then.
            if postrider.has_ended() || feed.send(number..number + 1).is_err() {
                break;
            }
        }
        let ended = postrider.ended(DEADLINE);
        assert_clean(&ended);
        assert!(ended.stderr.contains("the reader of the standard output has gone; stopping"), "{}", ended.stderr);
        let count = |field| ended.sink("stdout").count(field);
        assert_eq!(count("delivered"), TAKEN as u64, "{way:?}: {}", ended.stderr);
        assert!(count("dropped") > 0, "{way:?}: {}", ended.stderr);
        assert_eq!(count("offered"), count("delivered") + count("dropped"), "{way:?}: {}", ended.stderr);
    });
}
