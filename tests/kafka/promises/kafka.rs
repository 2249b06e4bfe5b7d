//! What becomes of what Kafka has not taken, when the disk of its spool is full or fails, or a reload changes the sink?

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::SockRef;
use tempfile::TempDir;

use crate::promises::DEADLINE;
use crate::promises::spool;
use testkit::kafka::Kafka;
use testkit::messages::{Seen, message};
use testkit::postrider::{Ended, assert_clean, count, ledgers, program};
use testkit::scratch;
use testkit::small_disk::SmallDisk;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const TOPIC: &str = "mail";
/// A start of the broker comes before.
const LONG: Duration = Duration::from_secs(120);
const SOME: usize = 100;

/// A broker with a topic of one partition, and a directory for the spool.
struct Place {
    kafka: Kafka,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let kafka = Kafka::start();
        kafka.create_topic(TOPIC, 1);
        Self { kafka, directory: scratch::directory("promises-kafka") }
    }

    /// From TCP to the topic. A stop waits for the broker.
    fn config(&self, more: &str) -> String {
        format!(
            "shutdown_timeout = \"100s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n\
             [[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"{TOPIC}\"\nqueue_size = \"1MiB\"\n{more}\
             [sink.kafka.options]\nreconnect.backoff.max.ms = 200\n",
            self.kafka.brokers()
        )
    }

    fn spool(&self, mode: &str) -> String {
        self.config(&spool::keys(self.directory.path(), "kafka", mode))
    }

    /// Returns all records of the broker once there are `count`.
    fn consumed(&self, count: usize) -> Seen {
        let mut seen = Seen::default();
        for record in self.kafka.consume_all(TOPIC, count, LONG) {
            seen.note(str::from_utf8(&record.value).expect("UTF-8"));
        }
        seen
    }
}

/// A connection that itself holds little of what is sent.
fn connect(postrider: &Unread) -> TcpStream {
    let socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    SockRef::from(&socket).set_send_buffer_size(64 << 10).expect("an option of a socket");
    socket
}

fn send(mut socket: &TcpStream, numbers: Range<usize>) -> std::io::Result<()> {
    numbers.map(message).try_for_each(|message| socket.write_all(format!("{message}\n").as_bytes()))
}

#[test]
fn a_full_disk_with_the_broker_away_blocks_senders_without_loss() {
    /// More than the small disk, the memory and the sockets hold.
    const MANY: usize = 8000;
    let mut place = Place::new();
    place.kafka.kill();
    let (directory, stderr) = (spool::path(place.directory.path()), place.directory.path().join("stderr"));
    let disk = SmallDisk::spawn(&directory, "3M", &place.spool("overflow"), &stderr);
    let socket = connect(&disk.postrider);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MANY {
                send(&socket, number..number + 1).expect("room, sooner or later");
                sent.store(number + 1, SeqCst);
            }
        });
        let full = || disk.postrider.log().contains("no space left on its file system");
        wait_until(DEADLINE, "the reason", full);
        disk.postrider.status().wait_held_up(DEADLINE, "tcp", "kafka", || sent.load(SeqCst));
        assert!(sent.load(SeqCst) < MANY, "all was read, though nothing can take it");
        place.kafka.restart();
        wait_until(LONG, "a sender that goes on", || sent.load(SeqCst) == MANY);
    });
    drop(socket);
    let seen = place.consumed(MANY);
    let ended = disk.postrider.terminate(LONG);
    assert_clean(&ended);
    assert_eq!(ended.sink("kafka").count("delivered"), MANY as u64, "{}", ended.stderr);
    seen.judge("kafka", &(0..MANY).collect(), MANY, 0);
    assert!(seen.order.iter().copied().eq(0..MANY), "repetitions or another order");
}

/// The program ends. Records in the spool arrive with the next start.
#[test]
fn a_failing_disk_with_the_broker_away_loses_no_spooled_record() {
    /// More than are sent before the disk fails.
    const MOST: usize = 2000;
    for mode in ["always", "overflow"] {
        let mut place = Place::new();
        place.kafka.kill();
        let (config, stderr) = (place.spool(mode), place.directory.path().join("stderr"));
        // The sink has this time to get rid of what it has.
        let impatient = config.replacen("\"100s\"", "\"1s\"", 1);
        let mut postrider = Unread::spawn_with(&impatient, &stderr, ("POSTRIDER_FAIL_AT", "spool-fdatasync:4"));
        let socket = connect(&postrider);
        for begin in (0..MOST).step_by(SOME) {
            // The other side may have gone.
            let _ = send(&socket, begin..begin + SOME);
            let last = begin + SOME - 1;
            let in_spool = || spool::places(place.directory.path()).contains_key(&last);
            wait_until(DEADLINE, "the spool, or the end", || postrider.has_ended() || in_spool());
            if postrider.has_ended() {
                break;
            }
        }
        let ended = postrider.ended(DEADLINE);
        assert_eq!(ended.status.code(), Some(74), "{mode}: {}\n{}", ended.status, ended.stderr);
        assert!(ended.stderr.contains("cannot sync"), "{}", ended.stderr);
        let kept: BTreeSet<usize> = spool::places(place.directory.path()).into_keys().collect();
        assert!(!kept.is_empty() && kept.iter().copied().eq(0..kept.len()), "{mode}: {kept:?}");

        let second = Unread::spawn(&config, &stderr);
        place.kafka.restart();
        let seen = place.consumed(kept.len());
        assert_clean(&second.terminate(LONG));
        seen.judge(mode, &kept, kept.len(), 0);
        assert!(seen.order.iter().copied().eq(0..kept.len()), "{mode}: repetitions or another order");
    }
}

/// Others are refused, by `check` and at the start.
#[test]
fn a_record_is_delivered_once_all_in_sync_replicas_have_it() {
    for few in ["1", "0"] {
        let directory = scratch::directory("promises-acks");
        let file = directory.path().join("postrider.toml");
        let sink = "[[source.stdin]]\n[[sink.kafka]]\nbrokers = [\"127.0.0.1:9\"]\ntopic = \"mail\"\n";
        fs::write(&file, format!("{sink}[sink.kafka.options]\nacks = {few}\n")).expect("a configuration");
        for command in ["check", "run"] {
            let mut program = Command::new(program());
            let ended = program.args([command, "-c"]).arg(&file).stdin(Stdio::null()).output().expect("postrider runs");
            let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
            assert!(!ended.status.success(), "{command} takes acks = {few}: {said}");
            assert!(said.contains("`acks` must be `all`"), "{said}");
        }
    }
}

/// Ends the reload of `config`, which changes the sink.
fn reload(postrider: &Unread, place: &Place, config: &str) {
    fs::write(place.directory.path().join("postrider.toml"), testkit::postrider::plain(config))
        .expect("a configuration");
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the end of a reload", || postrider.log().contains(" is in use"));
    assert!(postrider.log().contains("sinks=changed kafka"), "{}", postrider.log());
}

/// The sum of a number over the ledgers of both sinks.
fn sum(ended: &Ended, field: &str) -> u64 {
    let ledgers: Vec<&str> = ledgers(&ended.stderr, "sink=\"kafka\"").collect();
    assert_eq!(ledgers.len(), 2, "{}", ended.stderr);
    ledgers.into_iter().map(|line| count(line, field)).sum()
}

/// A broker that answers nothing at the time of the reload: what the old sink has comes first, and all of it once.
#[test]
fn a_changed_kafka_sink_drains_before_the_next_begins() {
    for spool in [None, Some("overflow"), Some("always")] {
        let place = Place::new();
        let config = spool.map_or_else(|| place.config(""), |mode| place.spool(mode));
        let postrider = Unread::spawn(&config, &place.directory.path().join("stderr"));
        let socket = connect(&postrider);
        send(&socket, 0..SOME).expect("room");
        assert_eq!(place.consumed(SOME).records(), SOME);
        place.kafka.freeze();
        send(&socket, SOME..2 * SOME).expect("room");
        reload(&postrider, &place, &format!("{config}linger.ms = 20\n"));
        send(&socket, 2 * SOME..3 * SOME).expect("room");
        place.kafka.thaw();
        let seen = place.consumed(3 * SOME);
        drop(socket);
        let ended = postrider.terminate(LONG);
        assert_clean(&ended);
        seen.judge(&format!("{spool:?}"), &(0..3 * SOME).collect(), 3 * SOME, 0);
        assert!(
            seen.order.iter().copied().eq(0..3 * SOME),
            "{spool:?}: repetitions or another order: {:?}",
            seen.order
        );
        assert_eq!(sum(&ended, "delivered"), 3 * SOME as u64, "{spool:?}: {}", ended.stderr);
        assert_eq!(sum(&ended, "dropped"), 0, "{spool:?}: {}", ended.stderr);
    }
}
