//! The files of config/.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::peers::port::Port;
use crate::peers::rsyslog::{LogFile, Rsyslog};
use crate::peers::wait::wait_for;
use crate::running::{DEADLINE, check, finish, run};

const FORWARD: &str = include_str!("../../config/rsyslog-forward.conf");

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
        // What it guards against is rare: rsyslog drops where its queue in memory is full for 2 s.
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

/// Waits until all has gone through rsyslog, which has nobody to send it to, or until rsyslog stands still. It did that once in
/// seventy runs on a busy machine, with room on the disk: then the rest waits in front of its queue.
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

/// What stands behind `## ` is an example, and behind `# ` a default: with both signs off, each block is a source of its own.
#[test]
fn the_block_of_each_source_in_the_full_configuration_passes_the_check_with_all_its_keys() {
    let text = include_str!("../../config/postrider.toml");
    let (_, sources) = text.split_once("# --- Sources").expect("the sources");
    let (sources, _) = sources.split_once("# --- Sinks").expect("the sinks");
    let mut blocks: Vec<(String, String)> = Vec::new();
    for line in sources.lines().skip(1) {
        let line = line.strip_prefix("## ").or_else(|| line.strip_prefix("# ")).unwrap_or(line);
        // A table within a source is part of its block.
        if let Some((kind, _)) = line.strip_prefix("[[source.").and_then(|rest| rest.split_once("]]"))
            && !kind.contains('.')
        {
            blocks.push((kind.to_owned(), String::new()));
        }
        let is_key =
            line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if let Some((_, block)) = blocks.last_mut()
            && (is_key || line.starts_with('['))
        {
            block.push_str(line);
            block.push('\n');
        }
    }
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in ["udp", "tcp", "relp", "unix", "file", "stdin"] {
        assert!(kinds.contains(&kind), "{kind} has no block: {kinds:?}");
    }
    for (kind, block) in blocks {
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
