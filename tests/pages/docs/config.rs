//! The files of config/.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::docs::page;
use crate::docs::running::{DEADLINE, check, finish, run};
use testkit::port::Port;
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::wait::wait_for;

const FORWARD: &str = include_str!("../../../config/rsyslog-forward.conf");

/// More than rsyslog's queue holds in memory.
const MESSAGES: usize = 20_000;

/// Long enough for rsyslog to drop some messages, if it does.
const STANDS: Duration = Duration::from_secs(7);

/// Both ways of config/rsyslog-forward.conf: the first as it stands, the second with the # taken off.
fn ways() -> [String; 2] {
    let (first, second) = FORWARD.split_once("# --- Way 2").expect("two ways");
    let statement = second.split_once("\n#mail.*").expect("a statement").1;
    let statement = statement.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect::<Vec<_>>().join("\n");
    [first.to_owned(), format!("mail.*{statement}\n")]
}

#[test]
fn what_rsyslog_forwards_by_either_way_waits_for_postrider() {
    for way in ways() {
        let port = Port::reserve();
        // The key guards against a rare case: rsyslog drops if its queue in memory is full for 2 s.
        assert!(way.contains("queue.timeoutEnqueue=\"600000\""), "{way}");
        let (target, number) = ("target=\"postrider.example\"", "port=\"514\"");
        assert!(way.contains(target) && way.contains(number), "{way}");
        let way = way.replace(target, "target=\"127.0.0.1\"").replace(number, &format!("port=\"{}\"", port.number()));
        let rsyslog = Rsyslog::setup().further(&way).start();
        let texts: Vec<String> = (0..MESSAGES).map(|n| format!("number {n} of many")).collect();
        rsyslog.log("postfix/smtp[1]", texts.iter().map(String::as_str));
        wait_while_growing(&rsyslog);
        let postrider = run(&format!("[[source.tcp]]\nlisten = \"{}\"\n", port.address()));
        let numbers = wait_for(DEADLINE, "every message", || {
            let text = postrider.stdout();
            let numbers = text.lines().filter_map(|line| line.split_once("number ")?.1.split(' ').next()?.parse().ok());
            let mut numbers: Vec<usize> = numbers.collect();
            numbers.sort_unstable();
            numbers.dedup();
            (numbers.len() == MESSAGES).then_some(numbers)
        });
        assert!(numbers.into_iter().eq(0..MESSAGES));
        drop(rsyslog);
        finish(postrider);
    }
}

/// The line of FORWARD by which programs wait for a full queue, and the one that drops messages instead.
fn queues() -> [&'static str; 2] {
    let lines = FORWARD.lines().map(|line| line.trim_start().trim_start_matches('#'));
    let [wait, drop, ..] = *lines.filter(|line| line.starts_with("queue.size=")).collect::<Vec<_>>() else {
        panic!("two lines")
    };
    [wait, drop]
}

#[test]
fn a_full_disk_of_rsyslog_blocks_programs_or_drops_messages() {
    /// More than the queues hold: the main queue 100,000, and the action's as many at most.
    const MANY: usize = 250_000;
    let [wait, drop] = queues();
    let page = page::text("tcp.md");
    assert!(page.contains(&format!(" {wait}\n")) && page.contains(&format!("\n              {drop}\n```")), "{drop}");
    let [way, _] = ways();
    let forward = |queue: &str| {
        let port = Port::reserve();
        let way = way.replace("target=\"postrider.example\"", "target=\"127.0.0.1\"");
        let way = way.replace("port=\"514\"", &format!("port=\"{}\"", port.number()));
        let way = way.replace("queue.maxDiskSpace=\"1g\"", "queue.maxDiskSpace=\"1m\"").replace(wait, queue);
        (port, Rsyslog::setup().further(&way).start())
    };
    let message =
        |number: usize| format!("<22>Jan  1 00:00:00 postfix/smtp[1]: number {number} {}", "of many ".repeat(8));
    let connect = |rsyslog: &Rsyslog| {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(rsyslog.socket()).expect("rsyslogd's socket");
        socket
    };

    let (_port, rsyslog) = forward(drop);
    let socket = connect(&rsyslog);
    (0..MANY).for_each(|number| _ = socket.send(message(number).as_bytes()).expect("rsyslogd reads its socket"));
    wait_for(2 * DEADLINE, "the other log", || (rsyslog.lines(LogFile::Iso).len() == MANY).then_some(()));
    std::mem::drop(rsyslog);

    let (_port, rsyslog) = forward(wait);
    let socket = connect(&rsyslog);
    socket.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let (mut sent, mut waited) = (0, 0);
    while sent < MANY && waited < 6 {
        match socket.send(message(sent).as_bytes()) {
            Ok(_) => sent += 1,
            Err(_) => waited += 1,
        }
    }
    let written = rsyslog.lines(LogFile::Iso).len();
    assert!(waited == 6 && written < sent / 2, "{sent} sent, {written} in the other log");
}

/// Waits until all has gone through rsyslog, which has nobody to send it to, or until rsyslog stands still. It did that
/// once in seventy runs on a busy machine, with room on the disk: then the rest waits in front of its queue.
fn wait_while_growing(rsyslog: &Rsyslog) {
    let (mut lines, mut since) = (0, Instant::now());
    wait_for(2 * DEADLINE, "rsyslog to come to a stand", || {
        let now = rsyslog.lines(LogFile::Traditional).len();
        if now > lines {
            (lines, since) = (now, Instant::now());
        }
        (lines >= MESSAGES || since.elapsed() > STANDS).then_some(())
    });
}

#[test]
fn every_configuration_passes_the_check() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = Vec::new();
    for entry in fs::read_dir(directory).expect("config/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            check(&fs::read_to_string(&path).expect("a configuration"));
            checked.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    checked.sort();
    assert_eq!(checked, ["file.toml", "kafka.toml", "postrider.toml"]);
}

/// The lines of `text` with an example or a default in use: those with a key or a header directly behind the #.
fn uncommented(text: &str) -> String {
    let is_toml = |rest: &str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let line =
        |line: &'_ str| Some(line.trim_start_matches('#')).filter(|rest| is_toml(rest)).map(|rest| format!("{rest}\n"));
    text.lines().filter_map(line).collect()
}

#[test]
fn the_block_of_each_source_passes_the_check_with_all_its_keys() {
    let text = include_str!("../../../config/postrider.toml");
    let blocks: Vec<(&str, &str)> =
        text.split("\n# --- ").filter_map(|block| block.strip_prefix("source.")?.split_once(' ')).collect();
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["udp", "tcp", "relp", "unix", "file", "stdin"]);
    for (kind, block) in blocks {
        // Keys of streams are for stream sockets only.
        let block = uncommented(block).replace("kind = \"datagram\"", "kind = \"stream\"");
        let config = format!("{block}\n[[sink.stdout]]\n");
        // The files of TLS are an operator's own.
        if block.contains(".tls]") {
            let errors = postrider::config::parse(&config, "postrider.toml").expect_err("no such file").to_string();
            assert!(!errors.contains("unknown") && errors.contains("/etc/postrider/tls/"), "{kind}: {errors}");
        } else {
            check(&config);
        }
    }
}
