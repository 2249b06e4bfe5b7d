//! Does rsyslog's omrelp lose anything: over TLS, while Postrider is stopped and started, while it is killed?

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use testkit::pki::Pki;
use testkit::port::Port;
use testkit::postrider::{Postrider, assert_clean};
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(120);

/// Its blocks are run here as they stand there.
const PAGE: &str = include_str!("../../docs/relp.md");

/// Name of the server that its senders want to talk to.
const SERVER: &str = "postrider.example";

/// Maximum number of messages that rsyslog sends without an acknowledgement: 129 for each of the two threads of its
/// queue.
const AHEAD: usize = 2 * 129;

/// The first block of the page in `language`, below the heading.
fn block(heading: &str, language: &str) -> &'static str {
    let (_, below) = PAGE.split_once(heading).expect("the heading");
    let (_, block) = below.split_once(&format!("\n```{language}\n")).expect("a block");
    block.split_once("```").expect("the end of the block").0
}

/// The text, with this in place of that, which must be there.
fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (that, this)| {
        assert!(text.contains(that), "{that}: {text}");
        text.replace(that, this)
    })
}

/// The lines for the sender that the page begins with, for this port on this machine.
fn sender_lines(port: u16) -> String {
    replaced(
        block("# Syslog over RELP\n", "rsyslog"),
        &[("postrider.example", "127.0.0.1"), ("20514", &port.to_string())],
    )
}

/// Has rsyslog log the numbers up to `count`.
fn log(rsyslog: &Rsyslog, count: usize) {
    let texts: Vec<String> = (0..count).map(|n| format!("message number {n} of a test")).collect();
    rsyslog.log("postfix/smtp[1]", texts.iter().map(String::as_str));
}

/// The lines of a file that grows, counted without reading any twice.
struct Lines {
    file: File,
    count: usize,
}

impl Lines {
    fn of(path: &Path) -> Self {
        let file = File::options().read(true).append(true).create(true).open(path);
        Self { file: file.expect("a file for the records"), count: 0 }
    }

    fn count(&mut self) -> usize {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).expect("what is new");
        self.count += memchr::memchr_iter(b'\n', &bytes).count();
        self.count
    }
}

/// The numbers in the file.
fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let number = |line: &str| {
        let (_, rest) = line.split_once("message number ")?;
        rest.split(' ').next()?.parse().ok()
    };
    whole.lines().filter_map(number).collect()
}

fn distinct(path: &Path) -> HashSet<usize> {
    numbers(path).into_iter().collect()
}

/// Each number up to `count` is there once.
#[track_caller]
fn assert_exact(path: &Path, count: usize) {
    // The two threads of rsyslog's queue may overtake each other.
    let mut numbers = numbers(path);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..count), "gaps or repetitions");
}

fn config(address: SocketAddr, path: &Path) -> String {
    format!("[[source.relp]]\nlisten = \"{address}\"\n[[sink.file]]\npath = \"{}\"\n", path.display())
}

#[test]
fn each_message_arrives_once_over_tls() {
    const MESSAGES: usize = 100_000;
    let pki = Pki::new();
    let sender = pki.file("sender");
    fs::create_dir(&sender).expect("a directory");
    pki.put("cert.pem", "key.pem", &pki.sign(SERVER, |_| ()));
    pki.put("sender/cert.pem", "sender/key.pem", &pki.sign("mx1.example.com", |_| ()));
    for copy in [sender.join("ca.pem"), pki.file("client-ca.pem")] {
        fs::copy(pki.file("ca.pem"), copy).expect("a file");
    }
    let path = pki.file("out.json");
    let mut lines = Lines::of(&path);
    let files = pki.directory.path().to_str().expect("UTF-8");
    let source = block("## Over TLS\n", "toml");
    let source = replaced(source, &[("[::]:20515", "127.0.0.1:0"), ("/etc/postrider/tls", files)]);
    let mut postrider = Postrider::spawn(&format!("{source}[[sink.file]]\npath = \"{}\"\n", path.display()));
    let port = postrider.address("relp-tls").port().to_string();
    let action = replaced(
        block("## Over TLS\n", "rsyslog"),
        &[
            (&format!("target=\"{SERVER}\""), "target=\"127.0.0.1\""),
            ("20515", &port),
            ("/etc/rsyslog.d", sender.to_str().expect("UTF-8")),
        ],
    );
    assert!(action.contains(&format!("tls.permittedPeer=[\"{SERVER}\"]")), "{action}");
    let mut rsyslog = Rsyslog::setup().further(&action).start();
    log(&rsyslog, MESSAGES);
    wait_until(DEADLINE, "the last message", || lines.count() >= MESSAGES);
    rsyslog.stop();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_exact(&path, MESSAGES);
    assert_eq!(ended.source("relp-tls").count("received"), MESSAGES as u64);
    assert_eq!(ended.source("relp-tls").count("errors"), 0);
    let text = fs::read_to_string(&path).expect("the records");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().expect("a record")).expect("JSON");
    assert_eq!(first["source"]["tls_subject"], "O=Example,CN=mx1.example.com");
}

#[test]
fn nothing_is_lost_or_repeated_beyond_the_window_over_a_restart() {
    const MESSAGES: usize = 100_000;
    let directory = scratch::directory("relp-restart");
    let (path, port) = (directory.path().join("out.json"), Port::reserve());
    let mut lines = Lines::of(&path);
    let config = config(port.address(), &path);
    let postrider = Postrider::run(&config, &[port.address()]);
    let mut rsyslog = Rsyslog::setup().further(&sender_lines(port.number())).start();
    let received = thread::scope(|scope| {
        scope.spawn(|| log(&rsyslog, MESSAGES));
        wait_until(DEADLINE, "a third of the stream", || lines.count() > MESSAGES / 3);
        let ended = postrider.terminate(DEADLINE);
        assert_clean(&ended);
        ended.source("relp").count("received") as usize
    });
    let before = lines.count();
    assert!(before < MESSAGES, "it was stopped too late");
    assert_eq!(received, before, "a stop delivers what was read");
    let postrider = Postrider::run(&config, &[port.address()]);
    wait_until(DEADLINE, "every message", || lines.count() >= MESSAGES && distinct(&path).len() == MESSAGES);
    rsyslog.stop();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let repeated = numbers(&path).len() - MESSAGES;
    assert!(distinct(&path).into_iter().all(|number| number < MESSAGES), "none that was not sent");
    // Messages delivered before the stop were acknowledged, unless the answer came too late for the sender.
    assert!(repeated <= AHEAD, "{repeated} repeated");
    assert_eq!(received + ended.source("relp").count("received") as usize, MESSAGES + repeated);
}

#[test]
fn no_message_is_lost_when_postrider_is_killed() {
    const MESSAGES: usize = 20_000;
    /// Records that the reader of the standard output takes in each of the first runs.
    const EACH: usize = 3000;
    let directory = scratch::directory("relp-killed");
    let (path, port) = (directory.path().join("out.json"), Port::reserve());
    let mut lines = Lines::of(&path);
    let config = config(port.address(), &path) + "[[sink.stdout]]\n";
    let run = || Unread::spawn(&config, &directory.path().join("stderr"));
    let rsyslog = Rsyslog::setup().further(&sender_lines(port.number())).start();
    thread::scope(|scope| {
        scope.spawn(|| log(&rsyslog, MESSAGES));
        for _ in 0..3 {
            let mut postrider = run();
            let mut output = BufReader::new(postrider.output()).lines();
            assert_eq!(output.by_ref().take(EACH).map_while(Result::ok).count(), EACH);
            // Nobody reads on. The file has messages that the pipe has not, so that they are not acknowledged.
            postrider.status().wait(DEADLINE, "messages that only the file has", |status| {
                let [file, pipe] = ["file", "stdout"].map(|sink| status.sink(sink));
                file.count("in_flight") == 0 && file.count("delivered") > pipe.count("delivered")
            });
            // With its value goes the process, by SIGKILL.
            drop(postrider);
        }
    });
    let mut postrider = run();
    let mut output = postrider.output();
    let reader = thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    wait_until(DEADLINE, "every message", || lines.count() >= MESSAGES && distinct(&path).len() == MESSAGES);
    assert_clean(&postrider.terminate(DEADLINE));
    reader.join().expect("the reader").expect("the output");

    let records = numbers(&path);
    let found = distinct(&path);
    assert_eq!((0..MESSAGES).filter(|number| !found.contains(number)).count(), 0, "lost");
    let repeated = records.len() - MESSAGES;
    assert!(repeated >= 3, "{repeated} repeated: no kill came between a message and its acknowledgement");
    // Messages before those were acknowledged, and were not sent again.
    assert!(repeated <= 3 * AHEAD, "{repeated} repeated: also what was acknowledged");
}
