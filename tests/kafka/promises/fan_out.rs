//! Is a record acknowledged only when every sink that takes it has it, whichever of them is the last?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::promises::DEADLINE;
use crate::promises::files::written;
use crate::promises::followed::Followed;
use crate::promises::ways::PIPE;
use testkit::messages::{Seen, text};
use testkit::output::Output;
use testkit::postrider::assert_clean;
use testkit::relp::{CLOSE, Client, acknowledgements, messages};
use testkit::scratch;
use testkit::small_disk::SmallDisk;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// As many as are acknowledged before a sink is stuck, and are in its pipe.
const FIRST: usize = 5;
/// In all: more than the pipe holds, fewer than a session may have waiting.
const SENT: usize = 2 * PIPE;
const RELP: &str = "shutdown_timeout = \"1s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n";

/// RELP before a file and a standard output, whose reader waits.
struct Fan {
    postrider: Unread,
    client: Client,
    directory: TempDir,
}

impl Fan {
    fn new() -> Self {
        let directory = scratch::directory("promises-fan-out");
        let config = config(RELP, directory.path());
        let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
        let client = Client::open(postrider.address("relp"), None);
        Self { postrider, client, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("out.json")
    }

    /// Sends everything, until the file has all and the pipe is full. Gives how many are acknowledged by then, the
    /// first ones.
    fn fill(&mut self) -> usize {
        self.client.send(&messages(2..2 + FIRST, |number| text(number - 2)));
        let answers = acknowledgements(2..2 + FIRST);
        assert_eq!(self.client.read(answers.len()), answers);
        self.client.send(&messages(2 + FIRST..2 + SENT, |number| text(number - 2)));
        wait_until(DEADLINE, "the file", || written(&self.file()).records() == SENT);
        let acknowledged = read_until_stuck(&self.postrider, "stdout", &mut self.client);
        assert!(acknowledged < PIPE, "{acknowledged} are acknowledged, and the pipe does not hold so many");
        acknowledged
    }
}

/// Waits until everything is offered to the sink and nothing leaves it any more. Reads the acknowledgements behind the
/// first: of what the sink has delivered, and no more. Returns the number of delivered records.
#[track_caller]
fn read_until_stuck(postrider: &Unread, sink: &str, client: &mut Client) -> usize {
    let status = postrider.status().wait(DEADLINE, "a sink that is stuck", |status| {
        let sink = status.sink(sink);
        sink["stall"]["kind"] == "still" && sink.count("offered") == SENT as u64
    });
    let delivered = status.sink(sink).count("delivered") as usize;
    assert_eq!(status.sink(sink).count("in_flight") as usize, SENT - delivered, "{status:?}");
    let answers = acknowledgements(2 + FIRST..2 + delivered);
    assert_eq!(client.read(answers.len()), answers);
    assert_eq!(client.read_what_is_there(), "", "acknowledged, and {sink} does not have it");
    delivered
}

fn config(source: &str, directory: &Path) -> String {
    format!("{source}[[sink.stdout]]\n[[sink.file]]\npath = \"{}/out.json\"\n", directory.display())
}

#[track_caller]
fn has_each_once_in_order(seen: &Seen, sink: &str) {
    seen.judge(sink, &(0..SENT).collect(), SENT, 0);
    assert!(seen.order.iter().copied().eq(0..SENT), "{sink}: repetitions or another order");
}

#[test]
fn what_one_sink_has_is_acknowledged_when_the_other_has_it() {
    let mut fan = Fan::new();
    let acknowledged = fan.fill();
    let output = Output::default();
    let reader = output.read(fan.postrider.output());
    output.open(true);
    let answers = acknowledgements(2 + acknowledged..2 + SENT);
    assert_eq!(fan.client.read(answers.len()), answers);
    fan.client.close(2 + SENT);
    let ended = fan.postrider.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| has_each_once_in_order(seen, "stdout"));
    has_each_once_in_order(&written(&fan.directory.path().join("out.json")), "file");
    assert_eq!(ended.source("relp").count("received") as usize, SENT, "{}", ended.stderr);
    assert_eq!(["stdout", "file"].map(|sink| ended.sink(sink).count("delivered") as usize), [SENT; 2]);
}

/// The same with the file behind: its disk is full.
#[test]
fn a_record_in_a_pipe_is_acknowledged_when_the_file_has_it_too() {
    let directory = scratch::directory("promises-fan-out");
    let out = directory.path().join("out");
    let config = config(RELP, &out);
    let mut disk = SmallDisk::spawn(&out, "2M", &config, &directory.path().join("stderr"));
    let output = Output::default();
    let reader = output.read(disk.postrider.output());
    output.open(true);
    let mut client = Client::open(disk.postrider.address("relp"), None);
    client.send(&messages(2..2 + FIRST, |number| text(number - 2)));
    let answers = acknowledgements(2..2 + FIRST);
    assert_eq!(client.read(answers.len()), answers);
    disk.fill();
    client.send(&messages(2 + FIRST..2 + SENT, |number| text(number - 2)));
    wait_until(DEADLINE, "the pipe", || output.seen(Seen::records) == SENT);
    let acknowledged = read_until_stuck(&disk.postrider, "file", &mut client);
    let in_file = written(&disk.path.join("out.json")).numbers;
    assert!(in_file.len() < SENT, "the disk is not full");
    let missing: Vec<usize> = (0..acknowledged).filter(|number| !in_file.contains(number)).collect();
    assert!(missing.is_empty(), "acknowledged, and not in the file: {missing:?}");
    disk.make_room();
    let answers = acknowledgements(2 + acknowledged..2 + SENT);
    assert_eq!(client.read(answers.len()), answers);
    client.close(2 + SENT);
    // The small disk goes with the process.
    has_each_once_in_order(&written(&disk.path.join("out.json")), "file");
    assert_clean(&disk.postrider.terminate(DEADLINE));
    reader.join().expect("the reader");
    output.seen(|seen| has_each_once_in_order(seen, "stdout"));
}

#[test]
fn a_kill_with_one_sink_stuck_loses_no_acknowledged_record() {
    let mut fan = Fan::new();
    let acknowledged: BTreeSet<usize> = (0..fan.fill()).collect();
    let output = Output::default();
    let reader = output.read(fan.postrider.output());
    fan.postrider.signal(Signal::SIGKILL);
    let file = fan.file();
    fan.postrider.ended(DEADLINE);
    output.open(true);
    reader.join().expect("the reader");
    output.seen(|seen| {
        seen.judge("stdout", &acknowledged, SENT, 0);
        assert!(seen.records() < SENT, "nothing was stuck");
    });
    written(&file).judge("file", &acknowledged, SENT, 0);
}

/// The time for a stop goes by while one sink takes nothing: the cursor has not passed what that sink has not, though
/// the other has it.
#[test]
fn a_cursor_stays_before_what_one_of_two_sinks_has_not() {
    let place = Followed::new();
    let config = config(&place.source(), place.path());
    place.write(0..SENT);
    let file = place.path().join("out.json");
    let mut first = place.spawn(&config);
    wait_until(DEADLINE, "the file", || written(&file).records() == SENT);
    let output = Output::default();
    let reader = output.read(first.output());
    let ended = first.terminate(DEADLINE);
    output.open(true);
    reader.join().expect("the reader");
    let passed = place.passed();
    let had = output.seen(Seen::records);
    assert!(passed <= had && had < SENT, "the cursor has passed {passed} of {SENT} lines, and stdout has {had}");
    assert!(ended.stderr.contains("the next run will re-read the undelivered lines"), "{}", ended.stderr);

    fs::remove_file(&file).expect("the file");
    let mut second = place.spawn(&config);
    let reader = output.read(second.output());
    wait_until(DEADLINE, "the cursor", || place.passed() == SENT);
    assert_clean(&second.terminate(DEADLINE));
    reader.join().expect("the reader");
    output.seen(|seen| seen.judge("stdout", &(0..SENT).collect(), SENT, 0));
    let again = written(&file);
    assert!(again.order.iter().copied().eq(passed..SENT), "the second run begins where the cursor was, {passed}");
}

/// Takes the stuck standard output out of the configuration. It has the time for a stop; what it has not by then fails.
fn remove_stdout(postrider: &Unread, source: &str, directory: &Path) {
    let file = directory.join("out.json");
    let config = format!("{source}[[sink.file]]\npath = \"{}\"\n", file.display());
    fs::write(directory.join("postrider.toml"), testkit::postrider::plain(&config)).expect("a configuration");
    postrider.signal(Signal::SIGHUP);
}

/// Although the other sink has them.
#[test]
fn records_that_a_removed_sink_did_not_take_stay_unacknowledged() {
    let mut fan = Fan::new();
    let acknowledged = fan.fill();
    remove_stdout(&fan.postrider, RELP, fan.directory.path());
    // The sender is to send the rest again, which the end of the session tells it.
    assert_eq!(fan.client.read_to_end(), CLOSE);
    let mut client = Client::open(fan.postrider.address("relp"), None);
    let rest = 2..2 + SENT - acknowledged;
    client.send(&messages(rest.clone(), |number| text(number - 2 + acknowledged)));
    let answers = acknowledgements(rest);
    assert_eq!(client.read(answers.len()), answers);
    let again = written(&fan.file());
    assert!(again.order.iter().copied().eq((0..SENT).chain(acknowledged..SENT)), "what was failed came again, once");
}

/// Although the other sink has them.
#[test]
fn records_that_a_removed_sink_did_not_take_are_read_again() {
    let place = Followed::new();
    let source = place.source();
    place.write(0..SENT);
    let file = place.path().join("out.json");
    let postrider = place.spawn(&config(&source, place.path()));
    wait_until(DEADLINE, "the file", || written(&file).records() == SENT);
    remove_stdout(&postrider, &source, place.path());
    wait_until(DEADLINE, "the cursor", || place.passed() == SENT);
    let again = written(&file);
    let first = again.order[SENT];
    assert!(first < PIPE && again.order.iter().copied().eq((0..SENT).chain(first..SENT)), "{first} and on came again");
    wait_until(DEADLINE, "a word about it", || postrider.log().contains("a sink did not take some lines"));
}
