//! Does each of several sinks get the records that it asks for, where it asks for them, through renames and SIGHUP?

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::kafka::Kafka;
use testkit::postrider::{Postrider, program};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
const SOURCE: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";

fn connect(postrider: &mut Postrider) -> TcpStream {
    TcpStream::connect(postrider.address("tcp")).expect("a connection")
}

/// The whole lines of a file, also of one that is compressed.
fn lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = if path.extension().is_some_and(|extension| extension == "gz") {
        std::io::read_to_string(MultiGzDecoder::new(&bytes[..])).expect("a whole archive of text")
    } else {
        String::from_utf8(bytes).expect("UTF-8")
    };
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// All files below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(below) = directories.pop() {
        for entry in fs::read_dir(below).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The lines of all files below `directory`.
fn all_lines(directory: &Path) -> Vec<String> {
    files(directory).iter().flat_map(|path| lines(path)).collect()
}

/// Checks that the messages of all files below `directory` are `number 0` to `number N`, each once.
#[track_caller]
fn assert_each_once(directory: &Path, count: usize) {
    let mut found = messages(&all_lines(directory));
    found.sort_by_key(|message| message.split(' ').next_back().and_then(|n| n.parse::<usize>().ok()));
    assert!(found == (0..count).map(|n| format!("number {n}")).collect::<Vec<_>>(), "every line once");
}

fn messages<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let message = |line: &String| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        record["message"].as_str().expect("a text").to_owned()
    };
    lines.into_iter().map(message).collect()
}

#[track_caller]
fn end(postrider: Postrider) {
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success() && ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("balanced=false"), "{}", ended.stderr);
}

/// As logrotate does it with `postrotate kill -HUP`: rename, signal, and what was written to the old name stays there.
#[test]
fn renamed_files_are_let_go_of_at_sighup_and_nothing_is_lost() {
    const ROUNDS: usize = 5;
    const LINES: usize = 400;
    let directory = scratch::directory("sinks");
    let path = |sink: &str, name: &str| directory.path().join(sink).join(name);
    let mut postrider = Postrider::spawn(&format!(
        "{SOURCE}[[sink.file]]\nname = \"hosts\"\npath = \"{}\"\n[[sink.file]]\nname = \"all\"\npath = \"{}\"\n",
        path("hosts", "{hostname}.json").display(),
        path("all", "mail.json").display()
    ));
    let mut socket = connect(&mut postrider);
    let names = [("hosts", "mx0.json"), ("hosts", "mx1.json"), ("all", "mail.json")];
    for round in 0..ROUNDS {
        let mut text = String::new();
        for n in round * LINES..(round + 1) * LINES {
            writeln!(text, "<22>Nov 24 02:10:35 mx{} postfix/qmgr[7]: number {n}", n % 2).expect("room");
        }
        let (first, rest) = text.split_at(text.len() / 2);
        socket.write_all(first.as_bytes()).expect("room");
        wait_until(DEADLINE, "the files of this round", || names.iter().all(|(sink, name)| path(sink, name).exists()));
        // Records written meanwhile go to either file.
        for (sink, name) in names {
            fs::rename(path(sink, name), path(sink, &format!("{name}.{round}"))).expect("a file to rename");
        }
        postrider.signal(Signal::SIGHUP);
        socket.write_all(rest.as_bytes()).expect("room");
        let reopened = || postrider.stderr().matches("SIGHUP").count() > round;
        wait_until(DEADLINE, "the word of the log", reopened);
    }
    for sink in ["hosts", "all"] {
        let directory = directory.path().join(sink);
        wait_until(DEADLINE, "all lines", || all_lines(&directory).len() >= ROUNDS * LINES);
        assert_each_once(&directory, ROUNDS * LINES);
    }
    // Nobody holds what was renamed: it could be compressed and removed now.
    let renamed = |file: &Path| {
        let by_number = |end: &OsStr| end.to_string_lossy().parse::<usize>().is_ok();
        file.starts_with(directory.path()) && file.extension().is_some_and(by_number)
    };
    wait_until(DEADLINE, "no open file that was renamed", || {
        let open = fs::read_dir(format!("/proc/{}/fd", postrider.pid())).expect("its files").flatten();
        !open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|file| renamed(&file))
    });
    end(postrider);
}

#[test]
fn rotation_by_size_loses_and_repeats_no_line_for_any_host_name() {
    const LINES: usize = 3000;
    let hosts = ["mx1", "../../etc/passwd", "..", "/etc/passwd", "ホスト", ".hidden", "x\0y", &"a".repeat(300), "-"];
    let directory = scratch::directory("sinks");
    let below = directory.path().join("out");
    let mut postrider = Postrider::spawn(&format!(
        "{SOURCE}[[sink.file]]\npath = \"{0}/{{hostname}}/mail.json\"\nrotate_size = \"64KiB\"\ngzip = true\n",
        below.display()
    ));
    let mut socket = connect(&mut postrider);
    for n in 0..LINES {
        let message = format!("<22>1 2026-11-24T02:10:35Z {} a {n} - - number {n}", hosts[n % hosts.len()]);
        socket.write_all(format!("{} {message}", message.len()).as_bytes()).expect("room");
    }
    drop(socket);
    let is_gzip = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gz");
    wait_until(DEADLINE, "a compressed file", || files(&below).iter().any(is_gzip));
    end(postrider);

    assert_each_once(directory.path(), LINES);
    // One directory a host below the one of the configuration, and nothing beside it.
    let everything = files(directory.path());
    let hosts_of = |path: &PathBuf| path.strip_prefix(&below).expect("a path below it").parent().map(Path::to_owned);
    let named: HashSet<PathBuf> = everything.iter().filter_map(hosts_of).collect();
    assert_eq!(named.len(), hosts.len(), "{named:?}");
    assert!(named.iter().all(|path| path.components().count() == 1), "{named:?}");
    let rotated = everything.iter().filter(|path| !path.ends_with("mail.json")).count();
    assert!(rotated >= hosts.len(), "only {rotated} rotated files: {everything:?}");
}

/// PRI, host, tag and text of messages; below stands which sinks take which.
const MIXED: [(u8, &str, &str, &str); 8] = [
    (22, "mx1", "postfix/smtp[1]", "0000AABCDE: to=<a@b.example>, relay=none, dsn=2.0.0, status=sent (250 Ok)"),
    (22, "mx1", "postfix/smtp[1]", "0000BABCDE: to=<a@b.example>, relay=none, dsn=4.4.1, status=deferred (x)"),
    (22, "mx2", "postfix-out/smtp[1]", "0000CABCDE: to=<a@b.example>, relay=none, dsn=5.1.1, status=bounced (x)"),
    (22, "mx2", "postfix/local[1]", "0000DABCDE: to=<a@b.example>, relay=local, dsn=4.2.2, status=SOFTBOUNCE (x)"),
    (22, "mx1", "postfix/qmgr[1]", "0000AABCDE: removed"),
    (20, "mx1", "postfix/smtpd[1]", "warning: hostname x does not resolve to address 192.0.2.1"),
    (22, "mx1", "dovecot[1]", "imap-login: Login: user=<a>"),
    (11, "mx3", "kernel", "out of memory"),
];

fn send_mixed(socket: &mut TcpStream) {
    for (pri, host, tag, text) in MIXED {
        writeln!(socket, "<{pri}>Nov 24 02:10:35 {host} {tag}: {text}").expect("room");
    }
}

/// The numbers of those of [`MIXED`] that these lines hold.
fn numbers<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<usize> {
    let number = |message: &String| MIXED.iter().position(|(.., text)| text == message).expect("one of them");
    let mut numbers: Vec<usize> = messages(lines).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn each_sink_takes_what_its_events_and_filter_say() {
    #[rustfmt::skip]
    let sinks: [(&str, &[usize]); 10] = [
        ("", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("events = [\"delivery\"]", &[0, 1, 2, 3]),
        ("events = [\"delivery\", \"hostname_mismatch\"]", &[0, 1, 2, 3, 5]),
        ("events = [\"removed\"]", &[4]),
        ("filter.status = [\"deferred\", \"softbounce\"]", &[1, 3]),
        ("filter.dsn_class = [\"transient\", \"permanent\"]", &[1, 2, 3]),
        ("filter.facility = [\"mail\"]", &[0, 1, 2, 3, 4, 5, 6]),
        ("filter.min_severity = \"warning\"", &[5, 7]),
        ("filter = { min_severity = \"warning\", facility = [\"mail\"] }", &[5]),
        ("events = [\"delivery\"]\nfilter = { status = [\"deferred\"], dsn_class = [\"permanent\"] }", &[]),
    ];
    let directory = scratch::directory("sinks");
    let path = |n: usize| directory.path().join(format!("{n}.json"));
    let mut config = SOURCE.to_owned();
    for (n, (keys, _)) in sinks.iter().enumerate() {
        writeln!(config, "[[sink.file]]\nname = \"s{n}\"\npath = \"{}\"\n{keys}", path(n).display()).expect("room");
    }
    let mut postrider = Postrider::spawn(&config);
    let mut socket = connect(&mut postrider);
    send_mixed(&mut socket);
    drop(socket);
    end(postrider);
    for (n, (keys, expected)) in sinks.iter().enumerate() {
        assert_eq!(numbers(&lines(&path(n))), *expected, "{keys}");
    }
}

#[test]
fn topics_and_keys_follow_their_templates() {
    let kafka = Kafka::start();
    for topic in ["mail-postfix", "mail-postfix-out", "mail-unknown", "mx1", "mx2", "mx3", ".._.._etc"] {
        kafka.create_topic(topic, 3);
    }
    let brokers = kafka.brokers();
    let mut postrider = Postrider::spawn(&format!(
        "{SOURCE}[[sink.kafka]]\nname = \"instances\"\nbrokers = [\"{brokers}\"]\ntopic = \"mail-{{instance}}\"\n\
         [[sink.kafka]]\nname = \"hosts\"\nbrokers = [\"{brokers}\"]\ntopic = \"{{hostname}}\"\n\
         key = \"{{hostname}}/{{status}}\"\nevents = [\"delivery\"]\n"
    ));
    let mut socket = connect(&mut postrider);
    send_mixed(&mut socket);
    let text = MIXED[0].3;
    writeln!(socket, "<22>1 2026-11-24T02:10:35Z ../../etc postfix/smtp 1 - - {text}").expect("room");
    drop(socket);
    end(postrider);

    // The default key is the queue id, and a message without one has no key.
    #[rustfmt::skip]
    let expected: [(&str, &[(usize, &str)]); 6] = [
        ("mail-postfix", &[(0, "0000AABCDE"), (0, "0000AABCDE"), (1, "0000BABCDE"), (3, "0000DABCDE"), (4, "0000AABCDE"), (5, "")]),
        ("mail-postfix-out", &[(2, "0000CABCDE")]),
        ("mail-unknown", &[(6, ""), (7, "")]),
        ("mx1", &[(0, "mx1/sent"), (1, "mx1/deferred")]),
        ("mx2", &[(2, "mx2/bounced"), (3, "mx2/softbounce")]),
        (".._.._etc", &[(0, "../../etc/sent")]),
    ];
    for (topic, expected) in expected {
        let mut found: Vec<(usize, String)> = Vec::new();
        for record in kafka.consume_all(topic, expected.len(), DEADLINE) {
            let line = String::from_utf8(record.value).expect("UTF-8");
            let key = record.key.map(|key| String::from_utf8(key).expect("UTF-8"));
            assert_ne!(key.as_deref(), Some(""), "no key is not an empty key");
            let id = serde_json::from_str::<Value>(&line).expect("JSON")["id"].as_str().expect("an id").to_owned();
            assert_eq!(record.headers, [("id".to_owned(), id.into_bytes())]);
            found.push((numbers([&line])[0], key.unwrap_or_default()));
        }
        found.sort();
        let expected: Vec<(usize, String)> = expected.iter().map(|(n, key)| (*n, (*key).to_owned())).collect();
        assert_eq!(found, expected, "{topic}");
    }
}

/// The sinks of the shipped file, with a rotation that comes often.
#[test]
fn a_host_named_like_the_file_of_another_sink_takes_none_of_it() {
    const LINES: usize = 6000;
    let directory = scratch::directory("sinks");
    let shipped = include_str!("../../config/file.toml");
    let (_, sinks) = shipped.split_once("[[sink.file]]").expect("a sink");
    let sinks = format!("[[sink.file]]{sinks}")
        .replace("/var/log/postrider", &directory.path().display().to_string())
        .replace("rotate_age = \"1d\"", "rotate_size = \"64KiB\"")
        .replace("rotate_keep = 14\n", "");
    let mut postrider = Postrider::spawn(&format!("{SOURCE}{sinks}"));
    let mut socket = connect(&mut postrider);
    for n in 0..LINES {
        writeln!(
            socket,
            "<22>Nov 24 02:10:35 undelivered postfix/smtp[7]: 0000AABCDE: to=<a@b.example>, relay=none, dsn=4.4.1, \
             status=deferred (number {n})"
        )
        .expect("room");
    }
    drop(socket);
    end(postrider);
    let number = |line: &String| line.split("(number ").nth(1)?.split(')').next()?.parse::<usize>().ok();
    let mut found: Vec<usize> =
        all_lines(directory.path()).iter().map(|line| number(line).expect("a whole record")).collect();
    found.sort_unstable();
    assert!(found.iter().copied().eq((0..2 * LINES).map(|n| n / 2)), "{} records of {}", found.len(), 2 * LINES);
}

/// As a followed log file has them, or a relay that takes the PRI away.
#[test]
fn a_filter_by_severity_knows_the_level_that_postfix_wrote() {
    let config = format!("{SOURCE}[[sink.stdout]]\nfilter.min_severity = \"err\"\n");
    let mut postrider = Postrider::spawn(&config);
    let mut socket = connect(&mut postrider);
    let texts = ["connect from x", "warning: a", "error: b", "fatal: c", "panic: d"];
    for text in texts {
        writeln!(socket, "Nov 24 02:10:35 mx1 postfix/smtpd[1]: {text}").expect("room");
    }
    // A PRI counts more than the level. Nothing is known of other programs.
    writeln!(socket, "<22>Nov 24 02:10:35 mx1 postfix/smtpd[1]: fatal: info by its PRI").expect("room");
    writeln!(socket, "Nov 24 02:10:35 mx1 sshd[1]: error: x").expect("room");
    writeln!(socket, "<19>Nov 24 02:10:35 mx1 sshd[1]: the last").expect("room");
    wait_until(DEADLINE, "the last", || postrider.stdout().contains("the last"));
    let ended = postrider.terminate(DEADLINE);
    let records: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<_> = records.iter().map(|record| (&record["message"], &record["severity"])).collect();
    let expected = [("error: b", "err"), ("fatal: c", "crit"), ("panic: d", "crit"), ("the last", "err")];
    let expected = expected.map(|(text, severity)| (Value::from(text), Value::from(severity)));
    assert!(seen.iter().copied().eq(expected.iter().map(|(text, severity)| (text, severity))), "{seen:?}");
    let inferred = records.iter().map(|record| record["flags"].to_string().contains("severity_inferred"));
    assert!(inferred.eq([true, true, true, false]), "{}", ended.stdout);
}

/// A directory that not even root may write to, in which a message of a stranger lies.
#[test]
fn a_name_that_may_not_be_written_stops_no_other() {
    const HOSTS: usize = 100;
    let directory = scratch::directory("sinks");
    let (out, dead) = (directory.path().join("out"), directory.path().join("dead.jsonl"));
    fs::create_dir_all(out.join("lost+found")).expect("a directory");
    let mut unshare = Command::new("unshare");
    let script = format!("mount -t devpts devpts {}/lost+found && exec \"$@\"", out.display());
    unshare.args(["--mount", "sh", "-c", &script, "sh"]).arg(program());
    let config = format!(
        "{SOURCE}[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}/{{hostname}}/x.json\"\n\
         dead_letter = \"{}\"\n",
        out.display(),
        dead.display()
    );
    let postrider = Unread::spawn_by(unshare, &config, &directory.path().join("stderr"));
    let message = |host: &str| format!("<22>1 2026-11-24T02:10:35Z {host} postfix/qmgr 7 - - to be kept");
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.send_to(message("lost+found").as_bytes(), postrider.address("udp")).expect("room");
    let tried = || postrider.log().contains("Permission denied");
    wait_until(DEADLINE, "the first attempt", tried);
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    for host in 0..HOSTS {
        writeln!(socket, "{}", message(&format!("mx{host}"))).expect("room");
    }
    wait_until(DEADLINE, "the records of all other hosts", || all_lines(&out).len() == HOSTS);
    // A second one is not held for longer, and the first is kept when it has had its time.
    stranger.send_to(message("lost+found").as_bytes(), postrider.address("udp")).expect("room");
    wait_until(DEADLINE, "the dead letters", || lines(&dead).len() == 2);
    assert!(lines(&dead).iter().all(|letter| letter.contains("lost+found/x.json: Permission denied")));
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success() && ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("delivered={HOSTS} ")) && ended.stderr.contains("dropped_rejected=2"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_flood_of_names_makes_no_more_files_than_max_routes() {
    const NAMES: usize = 3000;
    let directory = scratch::directory("sinks");
    let mut postrider = Postrider::spawn(&format!(
        "{SOURCE}[[sink.file]]\npath = \"{}/{{peer}}/{{hostname}}.json\"\nmax_routes = 50\n",
        directory.path().display()
    ));
    let mut socket = connect(&mut postrider);
    for n in 0..NAMES {
        writeln!(socket, "<22>Nov 24 02:10:35 host{n} postfix/qmgr[7]: number {n}").expect("room");
    }
    drop(socket);
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success() && ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert!(ended.stderr.contains("more than max_routes = 50 names"), "{}", ended.stderr);
    assert_each_once(directory.path(), NAMES);
    let files = files(directory.path());
    assert_eq!(files.len(), 51, "{files:?}");
    assert_eq!(lines(&directory.path().join("others/others.json")).len(), NAMES - 50);
    assert!(directory.path().join("127.0.0.1/host0.json").exists());
}

#[test]
fn a_second_postrider_waits_for_the_file_and_loses_nothing() {
    let directory = scratch::directory("sinks");
    let path = directory.path().join("mail.json");
    let config = format!("{SOURCE}[[sink.file]]\npath = \"{}\"\n", path.display());
    let mut first = Postrider::spawn(&config);
    let mut second = Postrider::spawn(&config);
    let send = |postrider: &mut Postrider, n: usize| {
        let mut socket = connect(postrider);
        writeln!(socket, "<22>Nov 24 02:10:35 mx1 postfix/qmgr[7]: number {n}").expect("room");
    };
    send(&mut first, 0);
    wait_until(DEADLINE, "the line of the first", || lines(&path).len() == 1);
    send(&mut second, 1);
    let waits = || second.stderr().contains("another sink or process writes to it; retrying until it works");
    wait_until(DEADLINE, "the word of the second", waits);
    assert_eq!(lines(&path).len(), 1);
    end(first);
    wait_until(DEADLINE, "the line of the second", || lines(&path).len() == 2);
    end(second);
    assert_each_once(directory.path(), 2);
}
