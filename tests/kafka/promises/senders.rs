//! What is left of what nobody acknowledges, when Postrider dies, its disk fails, or the files of its spool are
//! damaged?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::promises::DEADLINE;
use crate::promises::spool::{self, Places};
use crate::promises::ways::{DATAGRAMS, PIPE, Place, all, each};
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// Fewer than any socket or pipe here holds.
const SOME: usize = 20;

/// Records delivered before stay. Nothing is torn, repeated or out of order. Only the newest are missing, which were in
/// memory, in the kernel or half in the pipe. The next run is whole.
#[test]
fn a_kill_without_a_spool_loses_only_what_is_in_memory() {
    const DELIVERED: usize = 100;
    // More than the pipe of the standard output holds, less than all buffers in between.
    const SENT: usize = DELIVERED + 60;
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let mut first = place.spawn("");
        let reader = output.read(first.output());
        let mut feed = place.connect(&mut first);
        output.open(true);
        for end in (0..=DELIVERED).step_by(SOME).skip(1) {
            feed.send(end - SOME..end).expect("room");
            wait_until(DEADLINE, "what was sent", || output.seen(|seen| seen.records() == end));
        }
        output.open(false);
        feed.send(DELIVERED..SENT).expect("nobody is told");
        first.signal(Signal::SIGKILL);
        first.ended(DEADLINE);
        output.open(true);
        reader.join().expect("the reader");
        let kept = output.seen(|seen| seen.order.clone());
        assert!(kept.is_sorted_by(|a, b| a < b), "{way:?}: repetitions or another order: {kept:?}");
        assert!(kept.iter().copied().take(DELIVERED).eq(0..DELIVERED), "{way:?}: a delivered one is gone: {kept:?}");
        // A queue that is full drops datagrams, and those that come when it is not are newer.
        let in_a_row = kept.iter().copied().eq(0..kept.len());
        assert!(in_a_row || DATAGRAMS.contains(&way), "{way:?}: what is missing is not the newest: {kept:?}");
        assert!((DELIVERED..SENT).contains(&kept.len()), "{way:?}: {} kept", kept.len());

        let mut second = place.spawn("");
        let reader = output.read(second.output());
        let mut feed = place.connect(&mut second);
        feed.send(SENT..SENT + SOME).expect("room");
        wait_until(DEADLINE, "the new ones", || output.seen(|seen| seen.numbers.contains(&(SENT + SOME - 1))));
        let ended = second.terminate(DEADLINE);
        assert_clean(&ended);
        reader.join().expect("the reader");
        assert_eq!(ended.source(place.source_name()).count("received"), SOME as u64, "{way:?}");
        output.seen(|seen| {
            seen.judge(&format!("{way:?}"), &seen.numbers, SENT + SOME, 0);
            assert!(seen.order[kept.len()..].iter().copied().eq(SENT..SENT + SOME), "{way:?}: the lost do not come");
        });
    });
}

/// Maximum number of messages sent to a first run until it ends.
const MOST: usize = 400;

/// A run with a spool that takes everything and a sink that takes nothing, which ends by itself as this variable has it
/// end. Until then, each part is in the spool's files before the next is sent. Gives the end, and the records that
/// lie in the spool.
fn dies(place: &Place, output: &Output, variable: (&str, &str)) -> (Ended, Places) {
    let keys = spool::keys(place.directory(), "stdout", "always");
    let mut postrider = Unread::spawn_with(&place.config(&keys), &place.directory().join("stderr"), variable);
    let reader = output.read(postrider.output());
    let mut feed = place.connect(&mut postrider);
    for begin in [0].into_iter().chain((PIPE..MOST).step_by(SOME)) {
        let end = if begin == 0 { PIPE } else { begin + SOME };
        // The other side may have gone.
        let _ = feed.send(begin..end);
        let last = end - 1;
        let in_spool = || spool::places(place.directory()).contains_key(&last);
        wait_until(DEADLINE, "the spool, or the end", || postrider.has_ended() || in_spool());
        if postrider.has_ended() {
            break;
        }
    }
    // A failing disk ends it in its own time.
    wait_until(DEADLINE, "the end", || postrider.has_ended());
    output.open(true);
    reader.join().expect("the reader");
    let ended = postrider.ended(DEADLINE);
    let kept = spool::places(place.directory());
    let all = output.seen(|seen| &seen.numbers | &numbers(&kept));
    assert!(!kept.is_empty(), "{:?}: nothing in the spool\n{}", place.way, ended.stderr);
    assert!(
        all.iter().copied().eq(0..all.len()),
        "{:?}: what is missing is not the newest: {all:?}\n{}",
        place.way,
        ended.stderr
    );
    (ended, kept)
}

/// The next run delivers all that is `kept`, and nothing else but what the first had delivered and what it is sent
/// itself.
fn recovers(place: &Place, output: &Output, kept: &BTreeSet<usize>) -> Ended {
    let mut second = place.spawn(&spool::keys(place.directory(), "stdout", "always"));
    let (before, delivered) = output.seen(|seen| (seen.records(), seen.numbers.clone()));
    let reader = output.read(second.output());
    let mut feed = place.connect(&mut second);
    feed.send(MOST..MOST + SOME).expect("room");
    wait_until(DEADLINE, "the new ones", || output.seen(|seen| seen.numbers.contains(&(MOST + SOME - 1))));
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    let all: BTreeSet<usize> = delivered.union(kept).copied().chain(MOST..MOST + SOME).collect();
    output.seen(|seen| {
        seen.judge(&format!("{:?}", place.way), &all, MOST + SOME, 0);
        assert_eq!(seen.numbers, all, "{:?}: what was lost does not come", place.way);
        assert!(seen.order[before..].is_sorted_by(|a, b| a < b), "{:?}: out of order, or twice", place.way);
    });
    ended
}

fn numbers(places: &Places) -> BTreeSet<usize> {
    places.keys().copied().collect()
}

/// One that was not delivered, and is not the last.
fn in_the_middle(places: &Places) -> usize {
    *places.keys().rev().nth(SOME / 2).expect("more than some")
}

fn is_killed(place: &Place, output: &Output) -> Places {
    const AT: usize = 150;
    let (ended, kept) = dies(place, output, ("POSTRIDER_CRASH_AT", &format!("after-append:{AT}")));
    assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32), "{}\n{}", ended.status, ended.stderr);
    let newest = kept.keys().next_back();
    assert!(newest < Some(&(AT - 1)), "{:?}: {newest:?} was in memory", place.way);
    kept
}

#[test]
fn a_kill_with_a_spool_loses_only_what_is_in_memory() {
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let kept = is_killed(&place, &output);
        let ended = recovers(&place, &output, &numbers(&kept));
        assert!(ended.sink("stdout").count("recovered") > SOME as u64, "{way:?}: {}", ended.stderr);
    });
}

/// The crash of a machine as a spool sees it: its last file ends somewhere behind what fdatasync was for.
#[test]
fn records_on_the_disk_are_delivered_after_a_machine_crash() {
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let kept = is_killed(&place, &output);
        let cut = in_the_middle(&kept);
        let (segment, at) = &kept[&cut];
        File::options().write(true).open(segment).and_then(|file| file.set_len(*at as u64 + 500)).expect("a cut");
        recovers(&place, &output, &numbers(&kept).range(..cut).copied().collect());
    });
}

#[test]
fn damage_in_the_spool_takes_one_record_however_it_came_in() {
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let kept = is_killed(&place, &output);
        let victim = in_the_middle(&kept);
        let (segment, at) = &kept[&victim];
        let file = File::options().write(true).open(segment).expect("a segment");
        file.write_all_at(b"XXXX", *at as u64 + 500).expect("room");
        let ended = recovers(&place, &output, &numbers(&kept).into_iter().filter(|number| *number != victim).collect());
        assert!(
            ended.stderr.contains(" dropped=1 dropped_damaged=1 ") && ended.stderr.contains("destroyed records"),
            "{}",
            ended.stderr
        );
        let quarantined = fs::read_dir(spool::path(place.directory()).join("quarantine")).expect("a directory").count();
        assert_eq!(quarantined, 1, "{way:?}: the damage is kept");
    });
}

#[test]
fn a_failing_disk_ends_the_program_and_keeps_the_spool() {
    each(&all(), |way| {
        let (place, output) = (Place::new(way), Output::default());
        let (ended, kept) = dies(&place, &output, ("POSTRIDER_FAIL_AT", "spool-fdatasync:7"));
        assert_eq!(ended.status.code(), Some(74), "{way:?}: {}\n{}", ended.status, ended.stderr);
        assert!(ended.stderr.contains("cannot sync"), "{}", ended.stderr);
        recovers(&place, &output, &numbers(&kept));
    });
}
