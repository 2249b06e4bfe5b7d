//! Is what a destination refuses kept before its sender is answered, and does `replay` send it once, whatever comes
//! between?

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::kafka::Kafka;
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);
const PAGE: &str = include_str!("../../docs/dead-letter.md");

/// A RELP sender with an open session.
struct Client(TcpStream);

impl Client {
    fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        let mut client = Self(socket);
        client.0.write_all(b"1 open 30 relp_version=0\ncommands=syslog\n").expect("room");
        client.read_until("commands=syslog\n");
        client
    }

    fn send(&mut self, number: usize, message: &str) {
        let frame = format!("{number} syslog {} {message}\n", message.len());
        self.0.write_all(frame.as_bytes()).expect("room");
    }

    #[track_caller]
    fn acknowledged(&mut self, number: usize) {
        self.read_until(&format!("{number} rsp 6 200 OK\n"));
    }

    fn read_until(&mut self, end: &str) {
        let mut said = Vec::new();
        while !said.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.0
                .read_exact(&mut byte)
                .unwrap_or_else(|error| panic!("{error} before {end:?}: {}", said.escape_ascii()));
            said.push(byte[0]);
        }
    }
}

fn replay(arguments: &[&str]) -> Output {
    spawn_replay(arguments).wait_with_output().expect("an end")
}

fn spawn_replay(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("replay").args(arguments).env("POSTRIDER_LOG", "warn").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("postrider runs")
}

/// The exit code and the last lines of the standard error.
#[track_caller]
fn assert_ends(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{words:?}: {stderr}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

fn letters(path: &Path) -> Vec<Value> {
    lines(path)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The record of a line as its bytes stand there.
fn record_of(line: &str) -> &str {
    line.split_once(",\"record\":").expect("a record").1.strip_suffix('}').expect("the end of the line")
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

/// The blocks of the page between fences of a kind.
fn blocks(kind: &str) -> Vec<&'static str> {
    let parts = PAGE.split("\n```").skip(1).step_by(2);
    parts.filter_map(|part| part.split_once('\n')).filter(|(fence, _)| *fence == kind).map(|(_, text)| text).collect()
}

fn removed(n: usize, padding: usize) -> String {
    format!("<22>Nov 24 02:10:35 mx1 postfix/qmgr[7]: 4jYR9Q2wTjz{n:03}: removed {}", "x".repeat(padding))
}

/// The page's commands, on a broker with a topic that takes no large records.
#[test]
fn records_that_kafka_refused_arrive_once_the_topic_takes_them() {
    let kafka = Kafka::start();
    for topic in ["mail", "mail-large"] {
        kafka.create_topic(topic, 2);
    }
    kafka.set("mail", "max.message.bytes", "2000");
    let directory = scratch::directory("dead-letter");
    let path = directory.path().join("dead-letter.jsonl");
    let [sink] = blocks("toml")[..] else { panic!("one configuration") };
    let (port, file) = ("127.0.0.1:9092", "/var/lib/postrider/dead-letter.jsonl");
    assert!(sink.contains(port) && sink.contains(file));
    let sink = sink.replace(port, &kafka.brokers()).replace(file, text(&path));
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{sink}\n[sink.kafka.options]\ncompression.type = \"none\"\n"
    ));
    let mut client = Client::open(postrider.address("relp"));
    for (number, padding) in [(2, 0), (3, 5000), (4, 0)] {
        client.send(number, &removed(number, padding));
    }
    (2..5).for_each(|number| client.acknowledged(number));

    // Its sender has let go of it: it is in the file.
    let kept = lines(&path);
    let letter = &letters(&path)[0];
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (&letter["sink"], &letter["route"], &letter["key"]),
        (&"kafka".into(), &"mail".into(), &"4jYR9Q2wTjz003".into())
    );
    assert_eq!(letter["reason"], "MessageSizeTooLarge (Broker: Message size too large)");
    assert_eq!(letter["id"], letter["record"]["id"]);
    assert!(letter["record"]["message"].as_str().expect("a text").len() > 5000);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o7777, 0o600);
    let shown: Value = serde_json::from_str(blocks("json")[0]).expect("JSON");
    assert_eq!(shown["reason"], letter["reason"]);
    assert!(letter.as_object().expect("an object").keys().eq(shown.as_object().expect("an object").keys()));
    let log = postrider.stderr();
    assert!(log.contains("refused permanently: MessageSizeTooLarge") && log.contains(text(&path)), "{log}");

    let config = postrider.config_file();
    let run = |block: &str| {
        let daemon = "sudo -u postrider postrider";
        let block = block.replace(daemon, env!("CARGO_BIN_EXE_postrider")).replace(file, text(&path));
        let block = block.replace("/etc/postrider/postrider.toml", text(&config));
        Command::new("sh").args(["-c", &block]).output().expect("sh")
    };
    let [look, again, elsewhere] = blocks("sh")[..] else { panic!("three blocks of commands") };
    let looked = String::from_utf8(run(look).stdout).expect("UTF-8");
    let words: Vec<&str> = looked.split_whitespace().take(2).collect();
    assert_eq!(words, ["1", "1"], "one record, one of a reason: {looked}");
    assert!(looked.contains("MessageSizeTooLarge"), "{looked}");

    // Nothing has changed yet: it is refused again, and kept with the new time.
    assert_ends(&run(again), 65, &["0 delivered, 1 refused again, 0 damaged"]);
    let twice = lines(&path);
    assert_eq!(twice.len(), 1);
    assert_ne!(twice[0], kept[0], "the time of the refusal");
    assert_eq!(record_of(&twice[0]), record_of(&kept[0]), "byte for byte");
    assert!(!beside(&path, ".replaying").exists());

    kafka.set("mail", "max.message.bytes", "100000");
    assert_ends(&run(again), 0, &["1 delivered, 0 refused again, 0 damaged"]);
    assert!(!path.exists() && !beside(&path, ".replaying").exists());
    assert_ends(&run(again), 74, &["cannot read", text(&path), "No such file"]);
    let mut records = kafka.consume_all("mail", 3, DEADLINE);
    assert_eq!(records.len(), 3);
    records.retain(|record| record.value.len() > 5000);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, record_of(&kept[0]).as_bytes());
    assert_eq!(records[0].key.as_deref(), Some(&b"4jYR9Q2wTjz003"[..]));
    assert_eq!(records[0].headers, [("id".to_owned(), letter["id"].as_str().expect("an id").as_bytes().to_vec())]);
    assert_eq!(records[0].timestamp, letter["timestamp_ms"].as_i64());

    // Another topic, by the operator.
    fs::write(&path, format!("{}\n", kept[0])).expect("a file");
    assert_ends(&run(elsewhere), 0, &["1 delivered, 0 refused again, 0 damaged"]);
    let records = kafka.consume_all("mail-large", 1, DEADLINE);
    assert_eq!((records.len(), records[0].value.as_slice()), (1, record_of(&kept[0]).as_bytes()));

    // The daemon is still at it.
    kafka.set("mail", "max.message.bytes", "2000");
    client.send(5, &removed(5, 5000));
    client.acknowledged(5);
    assert_eq!(letters(&path)[0]["key"], "4jYR9Q2wTjz005");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.sink("kafka").count("delivered"), 2);
    assert_eq!(ended.sink("kafka").count("dropped_rejected"), 2, "{}", ended.stderr);
}

/// A daemon whose file sink is refused one path of two.
fn with_refused_path(directory: &Path, source: &str) -> Postrider {
    fs::create_dir_all(directory.join("out/mx1.json")).expect("a directory in the way");
    Postrider::spawn(&format!(
        "shutdown_timeout = \"2s\"\n[[source.{source}]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\nname = \"hosts\"\n\
         path = \"{0}/out/{{hostname}}.json\"\ndead_letter = \"{0}/dead.jsonl\"\n",
        directory.display()
    ))
}

#[test]
fn a_refused_path_is_replayed_while_the_daemon_goes_on_refusing() {
    const LINES: usize = 600;
    let directory = scratch::directory("dead-letter");
    let (path, out) = (directory.path().join("dead.jsonl"), directory.path().join("out"));
    let mut postrider = with_refused_path(directory.path(), "tcp");
    let config = postrider.config_file();
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    let mut send = |numbers: std::ops::Range<usize>| {
        let text = numbers.fold(String::new(), |mut text, n| {
            writeln!(text, "<22>Nov 24 02:10:35 mx{} app[7]: number {n}", n % 2 + 1).expect("room");
            text
        });
        socket.write_all(text.as_bytes()).expect("room");
    };
    send(0..LINES / 3);
    wait_until(DEADLINE, "the first refusals", || lines(&path).len() == LINES / 6);
    // Refused again, while new ones come: each is in the file once.
    let replay_one = spawn_replay(&["-c", text(&config), text(&path)]);
    send(LINES / 3..LINES * 2 / 3);
    let output = replay_one.wait_with_output().expect("an end");
    assert_ends(&output, 65, &["0 delivered, "]);
    wait_until(DEADLINE, "all refusals", || lines(&path).len() == LINES / 3);
    let reason = format!("cannot write to {:?}: it is a directory", text(&out.join("mx1.json")));
    assert!(letters(&path).iter().all(|letter| letter["reason"] == reason.as_str() && letter["route"] == "mx1.json"));

    // The reason goes; somebody has damaged the file.
    fs::remove_dir(out.join("mx1.json")).expect("an empty directory");
    let whole = fs::read_to_string(&path).expect("a file");
    fs::write(&path, format!("{}\n{{\"sink\":\"hosts\"}}\n\n{whole}{{\"torn", whole.lines().next().expect("a line")))
        .expect("a file");
    let output = replay(&["-c", text(&config), text(&path)]);
    let count = format!("{} delivered, 0 refused again, 2 damaged", LINES / 3 + 1);
    let moved = beside(&path, ".damaged");
    let first = format!("{}, line 2: the key \"id\" is missing; moved to {}", path.display(), moved.display());
    assert_ends(&output, 65, &[&count, &first, &format!("line {}: not a JSON object", LINES / 3 + 4)]);
    assert_eq!(lines(&beside(&path, ".damaged")), ["{\"sink\":\"hosts\"}", "{\"torn"]);
    assert!(!path.exists() && !beside(&path, ".replaying").exists());
    send(LINES * 2 / 3..LINES);
    wait_until(DEADLINE, "the daemon's own lines", || lines(&out.join("mx1.json")).len() == LINES / 2 + 1);
    let mut written = lines(&out.join("mx1.json"));
    written.sort();
    written.dedup();
    assert_eq!(written.len(), LINES / 2, "the repeated one has its id");
    assert!(whole.lines().all(|line| written.binary_search(&record_of(line).to_owned()).is_ok()), "byte for byte");
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.sink("hosts").count("delivered"), (LINES / 2 + LINES / 6) as u64);
    assert_eq!(ended.sink("hosts").count("dropped_rejected"), (LINES / 3) as u64, "{}", ended.stderr);
}

#[test]
fn a_kill_between_refusal_and_resolution_loses_nothing() {
    let directory = scratch::directory("dead-letter");
    let path = directory.path().join("dead.jsonl");
    let mut postrider = with_refused_path(directory.path(), "relp");
    // The holder of the lock keeps the daemon at that point.
    let lock = |path: &Path| {
        let file = fs::File::options().append(true).create(true).open(path).expect("a file");
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).expect("a lock")
    };
    for round in [1, 2] {
        let held = lock(&path);
        let mut client = Client::open(postrider.address("relp"));
        client.send(2, &removed(round, 0));
        let said = "another process has locked it";
        wait_until(DEADLINE, said, || postrider.stderr().contains(said));
        assert_eq!(lines(&path).len(), 0);
        client.0.set_nonblocking(true).expect("a socket");
        assert!(client.0.read(&mut [0]).is_err(), "nothing is acknowledged");
        postrider.kill();
        drop(held);
        postrider = with_refused_path(directory.path(), "relp");
    }
    // Its sender still has it.
    let mut client = Client::open(postrider.address("relp"));
    client.send(2, &removed(7, 0));
    client.acknowledged(2);
    postrider.kill();
    assert_eq!(letters(&path).len(), 1);
    assert!(letters(&path)[0]["record"]["message"].as_str().expect("a text").starts_with("4jYR9Q2wTjz007"));
    // The kill leaves a part of a line, which is no line.
    fs::write(&path, format!("{}\n{{\"refu", lines(&path)[0])).expect("a file");
    let mut postrider = with_refused_path(directory.path(), "relp");
    let mut client = Client::open(postrider.address("relp"));
    client.send(2, &removed(8, 0));
    client.acknowledged(2);
    drop(client);
    assert_clean(&postrider.terminate(DEADLINE));
    let found = lines(&path);
    assert_eq!((found.len(), found[1].as_str()), (3, "{\"refu"));
    assert!(found[2].contains("4jYR9Q2wTjz008"));
}

/// A line of a dead-letter file.
fn line(n: usize, sink: &str, route: &str) -> String {
    format!(
        "{{\"refused_at\":\"2026-11-24T02:10:36Z\",\"sink\":\"{sink}\",\"reason\":\"why\",\"route\":\"{route}\",\
         \"id\":\"019ab2c4-5d40-7a31-8d1e-{n:012x}\",\"timestamp_ms\":1795486235000,\"record\":{{\"n\":{n}}}}}\n"
    )
}

/// The numbers of [`line`]s that a file sink has written.
fn numbers(path: &Path) -> Vec<usize> {
    let number = |record: &Value| usize::try_from(record["n"].as_u64().expect("a number")).expect("a small number");
    letters(path).iter().map(number).collect()
}

/// A configuration with a file sink and a Kafka that nobody can reach.
fn unreachable(directory: &Path) -> PathBuf {
    let path = directory.join("postrider.toml");
    let config = format!(
        "shutdown_timeout = \"1s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:1\"\n[[sink.file]]\nname = \"archive\"\n\
         path = \"{}/out/all.json\"\nfsync = \"never\"\n[[sink.kafka]]\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"mail\"\n",
        directory.display()
    );
    fs::write(&path, config).expect("a file");
    path
}

#[test]
fn an_interrupted_replay_goes_on_where_it_was() {
    const LINES: usize = 3000;
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let directory = scratch::directory("dead-letter");
        let (path, out) = (directory.path().join("dead.jsonl"), directory.path().join("out/all.json"));
        let config = unreachable(directory.path());
        let all: String = (0..LINES)
            .map(|n| if n % 3 == 0 { line(n, "kafka", "mail") } else { line(n, "archive", "all.json") })
            .collect();
        fs::write(&path, all).expect("a file");
        let mut child = spawn_replay(&["-c", text(&config), text(&path)]);
        let replaying = beside(&path, ".replaying");
        let marked = || lines(&replaying).iter().filter(|line| line.starts_with('#')).count();
        wait_until(DEADLINE, "what can be delivered", || marked() == LINES / 3 * 2);
        // Another one keeps away.
        assert_ends(&replay(&["-c", text(&config), text(&path)]), 74, &["another replay uses it"]);
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a signal");
        if signal == Signal::SIGINT {
            let output = child.wait_with_output().expect("an end");
            assert_ends(&output, 74, &["interrupted", text(&replaying), "2000 delivered, 0 refused again, 0 damaged"]);
            // The file keeps the others.
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!told.contains("dropped"), "{told}");
        } else {
            child.wait().expect("an end");
        }
        // The daemon has gone on meanwhile.
        fs::write(&path, line(LINES, "archive", "all.json")).expect("a file");
        let output = replay(&["-c", text(&config), "--sink", "archive", "--route", "all.json", text(&replaying)]);
        assert_ends(&output, 0, &["1001 delivered, 0 refused again, 0 damaged"]);
        let mut found = numbers(&out);
        assert_eq!(found.last(), Some(&LINES), "the older ones first");
        found.sort_unstable();
        assert!(found.into_iter().eq(0..=LINES), "each once");
        assert!(!path.exists() && !replaying.exists());
    }
}

#[test]
fn a_configuration_without_the_sink_changes_nothing() {
    let directory = scratch::directory("dead-letter");
    let path = directory.path().join("dead.jsonl");
    let config = unreachable(directory.path());
    let all = format!("{}#{}{}", line(1, "archive", "all.json"), line(2, "gone", "x"), line(3, "old-name", "all.json"));
    fs::write(&path, &all).expect("a file");
    let place = format!("{}, line 3: the configuration has no sink \"old-name\", but archive, kafka", path.display());
    assert_ends(&replay(&["-c", text(&config), text(&path)]), 78, &[&place, "--sink"]);
    assert_ends(&replay(&["-c", text(&config), "--sink", "new", text(&path)]), 78, &["no sink \"new\""]);
    assert_ends(&replay(&["-c", "/nonexistent.toml", text(&path)]), 78, &["/nonexistent.toml"]);
    assert_eq!(fs::read_to_string(&path).expect("a file"), all);
    // Without a configuration there is the standard output.
    let output = replay(&["--sink", "stdout", text(&path)]);
    assert_ends(&output, 0, &["2 delivered, 0 refused again, 0 damaged"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"n\":1}\n{\"n\":3}\n");
}

/// A sink without a dead-letter file of its own keeps in FILE what it refuses again.
#[test]
fn what_is_refused_again_is_never_lost() {
    let directory = scratch::directory("dead-letter");
    let path = directory.path().join("dead.jsonl");
    let config = unreachable(directory.path());
    fs::write(&path, line(1, "archive", "../etc/passwd") + &line(2, "archive", "all.json")).expect("a file");
    assert_ends(&replay(&["-c", text(&config), text(&path)]), 65, &["1 delivered, 1 refused again, 0 damaged"]);
    let kept = letters(&path);
    assert_eq!((kept.len(), &kept[0]["record"]["n"]), (1, &1.into()));
    assert!(kept[0]["reason"].as_str().expect("a text").contains("a component of it is empty, '.' or '..'"));
}

#[test]
fn a_replay_streams_in_constant_memory() {
    let peak = |count: usize| {
        let directory = scratch::directory("dead-letter");
        let path = directory.path().join("dead.jsonl");
        let config = unreachable(directory.path());
        // The last line waits for a Kafka that is not there, and so holds the process for a look at it.
        let text_of = |n| if n + 1 == count { line(n, "kafka", "mail") } else { line(n, "archive", "all.json") };
        fs::write(&path, (0..count).map(text_of).collect::<String>()).expect("a file");
        let mut child = spawn_replay(&["-c", text(&config), text(&path)]);
        let out = directory.path().join("out/all.json");
        let written = || fs::read(&out).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count());
        wait_until(DEADLINE, "all but one", || written() == count - 1);
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak").to_owned();
        child.kill().expect("a process");
        child.wait().expect("an end");
        peak.trim().split(' ').next().expect("a number").parse::<u64>().expect("a number")
    };
    let (small, large) = (peak(10_000), peak(60_000));
    assert!(large < small + 8192, "{small} KiB for 10,000 lines, {large} KiB for 60,000");
}

#[test]
fn without_the_key_the_log_says_that_the_record_is_gone() {
    let directory = scratch::directory("dead-letter");
    fs::create_dir_all(directory.path().join("out/mx1.json")).expect("a directory in the way");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}/out/{{hostname}}.json\"\n",
        directory.path().display()
    ));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    writeln!(socket, "{}", removed(1, 0)).expect("room");
    let said = wait_for(DEADLINE, "the word of the log", || {
        postrider.stderr().lines().find(|line| line.contains("refused permanently")).map(str::to_owned)
    });
    assert!(said.contains("the record is dropped") && said.contains("`dead_letter`"), "{said}");
    drop(socket);
    assert_clean(&postrider.terminate(DEADLINE));
}
