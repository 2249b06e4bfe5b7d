//! What happens when there is no room for the spool?

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use crate::crash::DEADLINE;
use crate::crash::sender::{Sender, Session};
use crate::crash::spool;
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::scratch;
use testkit::small_disk::SmallDisk;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// Postrider with a small file system for the spool.
fn on_small_disk(directory: &Path, size: &str, keys: &str) -> SmallDisk {
    let config = spool::config(directory, keys);
    let disk = SmallDisk::spawn(&spool::path(directory), size, &config, &directory.join("stderr"));
    disk.postrider.address("relp");
    disk
}

/// Lets the sink read on until everything is acknowledged, and stops Postrider. Everything is there then, once.
fn end_well(what: &str, session: Session<'_>, postrider: Unread, output: &Output, reader: JoinHandle<()>) -> Ended {
    output.open(true);
    let sender = session.finish().expect("acknowledgements");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge(what, &sender.acknowledged, sender.next, 0);
        assert_eq!(seen.records(), sender.next, "none is repeated");
    });
    ended
}

/// Sends until the spool is full, which it says in these words; then the sink reads on, and everything is there.
fn holds_up(mut postrider: Unread, words: &str) -> Ended {
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(postrider.output());
    let mut session = sender.connect(postrider.address("relp")).expect("a session");
    session.deliver_until(|sent| spool::is_held_up(&postrider, sent));
    wait_until(DEADLINE, "a word about it", || postrider.log().contains(words));
    spool::assert_kept(&postrider, session.acknowledged().len());
    let ended = end_well(words, session, postrider, &output, reader);
    assert!(sender.acknowledged.len() > 300, "{} acknowledged", sender.acknowledged.len());
    assert_eq!(ended.stderr.matches("retrying until it works").count(), 1, "said once:\n{}", ended.stderr);
    assert_eq!(ended.stderr.matches("works again").count(), 1, "{}", ended.stderr);
    ended
}

#[test]
fn a_full_disk_holds_relp_up_and_loses_nothing() {
    let directory = scratch::directory("full-disk");
    let disk = on_small_disk(directory.path(), "3M", &spool::keys("overflow"));
    holds_up(disk.postrider, "no space left on its file system");
}

#[test]
fn the_limit_of_the_spool_holds_relp_up_and_loses_nothing() {
    let directory = scratch::directory("full-limit");
    let config = spool::config(directory.path(), &(spool::keys("always") + "max_size = \"4MiB\"\n"));
    holds_up(Unread::spawn(&config, &directory.path().join("stderr")), "max_size is 4194304 bytes");
}

/// A stop drops and counts messages without room, and never acknowledges them. The others come with the next start.
#[test]
fn a_stop_at_a_full_spool_loses_nothing_that_was_acknowledged() {
    for mode in ["always", "overflow"] {
        let directory = scratch::directory("full-stop");
        let keys = spool::keys(mode) + "max_size = \"4MiB\"\n";
        let config = spool::config(directory.path(), &keys).replace("\"20s\"", "\"1s\"");
        let stderr = directory.path().join("stderr");
        let mut first = Unread::spawn(&config, &stderr);
        let (mut sender, output) = (Sender::default(), Output::default());
        let reader = output.read(first.output());
        let mut session = sender.connect(first.address("relp")).expect("a session");
        session.deliver_until(|sent| spool::is_held_up(&first, sent));
        let ended = first.terminate(DEADLINE);
        drop(session);
        output.open(true);
        reader.join().expect("the reader");
        assert!(ended.sink("stdout").count("dropped") > 0, "{mode}: {}", ended.stderr);
        assert!(!ended.stderr.contains("balanced=false"), "{mode}: {}", ended.stderr);

        let mut second = Unread::spawn(&config, &stderr);
        let reader = output.read(second.output());
        let acknowledged = sender.acknowledged.clone();
        wait_until(DEADLINE, "what was acknowledged", || output.seen(|seen| acknowledged.is_subset(&seen.numbers)));
        assert!(acknowledged.len() > 1000, "{mode}: {} acknowledged", acknowledged.len());
        sender.connect(second.address("relp")).and_then(Session::finish).expect("acknowledgements");
        assert_clean(&second.terminate(DEADLINE));
        reader.join().expect("the reader");
        output.seen(|seen| seen.judge(mode, &sender.acknowledged, sender.next, 1));
    }
}

/// It takes no more than what is above `min_free`, uses what another program gives back, and stops there again: all
/// while the sink is blocked. Then the sink reads on.
#[test]
fn space_that_is_to_stay_free_stays_free() {
    const FLOOR: u64 = 6 << 20;
    /// Messages read together are written together: less than this is left above it.
    const NEARLY: u64 = FLOOR + (256 << 10);
    let directory = scratch::directory("full-floor");
    let keys = spool::keys("overflow").replace("0B", "6MiB");
    let mut disk = on_small_disk(directory.path(), "12M", &keys);
    disk.take(4 << 20);
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(disk.postrider.output());
    let mut session = sender.connect(disk.postrider.address("relp")).expect("a session");
    session.deliver_until(|sent| spool::is_held_up(&disk.postrider, sent));
    let said = || disk.postrider.log().matches("would have less than 6291456 bytes left").count();
    wait_until(DEADLINE, "a word about it", || said() == 1);
    assert!((FLOOR..NEARLY).contains(&disk.free()), "{} bytes are free", disk.free());
    let first = session.acknowledged().len();
    assert!(first > 300, "{first} acknowledged");
    disk.make_room();
    session.deliver(500).expect("acknowledgements, though the sink is blocked");
    session.deliver_until(|sent| spool::is_held_up(&disk.postrider, sent));
    assert!((FLOOR..NEARLY).contains(&disk.free()), "{} bytes are free", disk.free());
    assert!(session.acknowledged().len() > first + 1000, "{} acknowledged", session.acknowledged().len());
    let ended = end_well("min_free", session, disk.postrider, &output, reader);
    let count = |field| ended.sink("stdout").count(field);
    assert_eq!(
        (count("delivered"), count("dropped"), count("spooled")),
        (sender.next as u64, 0, 0),
        "{}",
        ended.stderr
    );
}

#[test]
fn room_that_another_program_makes_is_used() {
    let directory = scratch::directory("full-other");
    let mut disk = on_small_disk(directory.path(), "8M", &spool::keys("always"));
    disk.fill();
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(disk.postrider.output());
    let mut session = sender.connect(disk.postrider.address("relp")).expect("a session");
    session.deliver_until(|sent| spool::is_held_up(&disk.postrider, sent));
    assert_eq!(session.acknowledged().len(), 0, "nothing is on the disk");
    wait_until(DEADLINE, "a word about it", || disk.postrider.log().contains("no space left on its file system"));
    disk.make_room();
    session.deliver(500).expect("acknowledgements, though the sink is blocked");
    end_well("room", session, disk.postrider, &output, reader);
}

/// The spool is there for a sink that is behind: one that keeps up needs no disk, and what it had is not written later
/// for it.
#[test]
fn a_sink_that_keeps_up_works_beside_a_full_disk() {
    let directory = scratch::directory("full-beside");
    let mut disk = on_small_disk(directory.path(), "8M", &spool::keys("overflow"));
    disk.fill();
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(disk.postrider.output());
    let mut session = sender.connect(disk.postrider.address("relp")).expect("a session");
    session.deliver_until(|sent| spool::is_held_up(&disk.postrider, sent));
    wait_until(DEADLINE, "a word about it", || disk.postrider.log().contains("no space left on its file system"));
    output.open(true);
    session.deliver(500).expect("acknowledgements, though the disk is full");
    disk.make_room();
    output.open(false);
    session.deliver(500).expect("acknowledgements, though the sink is blocked");
    let ended = end_well("beside", session, disk.postrider, &output, reader);
    assert_eq!(ended.sink("stdout").count("delivered"), sender.next as u64);
}

/// Another program takes everything that the spool gives back to the disk.
#[test]
fn a_sink_that_comes_back_works_beside_a_disk_that_stays_full() {
    let directory = scratch::directory("full-back");
    let mut disk = on_small_disk(directory.path(), "8M", &spool::keys("overflow"));
    let (mut sender, output) = (Sender::default(), Output::default());
    let reader = output.read(disk.postrider.output());
    let mut session = sender.connect(disk.postrider.address("relp")).expect("a session");
    session.deliver(300).expect("acknowledgements by the disk");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let path = disk.path.join("filler");
        scope.spawn(|| {
            let mut file = File::create(path).expect("a file");
            while !done.load(Relaxed) {
                if !file.write(&[b'x'; 4096]).is_ok_and(|written| written > 0) {
                    thread::yield_now();
                }
            }
        });
        session.deliver_until(|sent| spool::is_held_up(&disk.postrider, sent));
        output.open(true);
        let delivered = session.deliver(1000);
        done.store(true, Relaxed);
        delivered.expect("acknowledgements, though the disk is full");
    });
    disk.make_room();
    end_well("back", session, disk.postrider, &output, reader);
}
