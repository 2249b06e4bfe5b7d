//! Does a RELP source keep its promises while a sink is slow, away or broken, and while senders misbehave?

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use testkit::kafka::Kafka;
use testkit::pki::{BOTH, Pki};
use testkit::postrider::{Postrider, assert_clean};
use testkit::relp::{CLOSE, Client, OPEN, acknowledgements, messages, tls_keys};
use testkit::scratch;
use testkit::status::Status;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);

/// The texts of the records.
fn texts(records: &str) -> Vec<String> {
    let text = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        record["message"].as_str().expect("a message").to_owned()
    };
    records.lines().map(text).collect()
}

/// The most memory that a process has had, in MiB.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") >> 10
}

// === sinks ===

#[test]
fn a_message_that_waits_too_long_for_its_sink_ends_its_session() {
    const END: usize = 62;
    /// The most of these messages that the pipe of a standard output holds, 64 KiB.
    const IN_PIPE: usize = 16;
    let directory = scratch::directory("relp-late");
    let config = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nacknowledge_timeout = \"1500ms\"\n\
                  [[sink.stdout]]\nqueue_size = \"1MiB\"\n";
    let mut postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let address = postrider.address("relp");
    let long = |number| format!("{number} {}", "x".repeat(4096));
    let mut client = Client::open(address, None);
    let begun = Instant::now();
    client.send(&messages(2..END, long));
    let said = client.read_to_end();
    let time = begun.elapsed();
    assert!((1400..30_000).contains(&time.as_millis()), "{time:?}");
    let acknowledged = said.lines().count() - 1;
    assert!(acknowledged <= IN_PIPE, "{acknowledged} acknowledged, and none of them read");
    assert_eq!(said, acknowledgements(2..2 + acknowledged) + CLOSE);

    // The sender connects again, and sends what was not acknowledged.
    let mut output = postrider.output();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let mut client = Client::open(address, None);
    let again = END - acknowledged;
    client.send(&messages(2..again, |number| long(number + acknowledged)));
    let answers = acknowledgements(2..again);
    assert_eq!(client.read(answers.len()), answers);
    client.close(again);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let said =
        "a sink has not delivered the messages within acknowledge_timeout (1.5s); the sender must send them again";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(ended.source("relp").count("errors"), 1);
    assert_eq!(ended.source("relp").count("received") as usize, END - 2 + again - 2);
    let output = reader.join().expect("the reader").expect("text");
    let numbers =
        texts(&output).into_iter().map(|text| text[..text.find(' ').expect("a space")].parse().expect("a number"));
    assert_eq!(numbers.collect::<Vec<usize>>(), (2..END).chain(2 + acknowledged..END).collect::<Vec<_>>());
}

#[test]
fn a_reset_frees_its_place_while_the_sink_is_blocked() {
    let directory = scratch::directory("relp-reset");
    let config = "shutdown_timeout = \"2s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = 1\n\
                  [[sink.stdout]]\nqueue_size = \"64KiB\"\n";
    let postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let address = postrider.address("relp");
    postrider.narrow();
    // More than the queue holds, so that it waits for both its window and its sink.
    let mut first = Client::open(address, None);
    first.send(&messages(2..102, |_| "x".repeat(4096)));
    let waiting = |status: &Status| status.sink("stdout")["waiting"] == json!(["relp"]);
    let status = postrider.status().wait(DEADLINE, "a source that waits", waiting);
    assert_eq!(status.sink("stdout").count("delivered"), 0);
    first.reset();
    // The time that a message may wait for its sink is longer than this deadline.
    wait_until(DEADLINE, "the place of the first", || Client::connect(address).try_begin());
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert_eq!(ended.source("relp").count("errors"), 1);
}

#[test]
fn a_failed_fdatasync_ends_the_program_and_acknowledges_nothing() {
    let directory = scratch::directory("relp-unsynced");
    // Files of procfs are regular ones; this one takes every write, for the name of the process, and knows no
    // fdatasync.
    symlink("/proc/self", directory.path().join("process")).expect("a symlink");
    let config = format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}/process/comm\"\n",
        directory.path().display()
    );
    let mut postrider = Postrider::spawn(&config);
    let mut client = Client::open(postrider.address("relp"), None);
    client.send(&messages(2..12, |number| number.to_string()));
    let said = client.read_what_comes();
    assert!(said.is_empty() || said == CLOSE, "{said}");
    let ended = postrider.ended(DEADLINE);
    assert_eq!(ended.status.code(), Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot sync") && ended.stderr.contains("process/comm"), "{}", ended.stderr);
    assert_eq!(ended.sink("file").count("delivered"), 0);
}

/// Waits until 100 messages are in flight, after the first `delivered`.
#[track_caller]
fn wait_in_flight(postrider: &Postrider, delivered: u64) {
    let count = |status: &Status, field| status.sink("kafka").count(field);
    postrider.status().wait(DEADLINE, "messages in flight", |status| count(status, "offered") == delivered + 100);
    let status = postrider.status().now();
    assert_eq!((count(&status, "delivered"), count(&status, "in_flight")), (delivered, 100));
}

#[test]
fn kafka_has_what_is_acknowledged() {
    let mut kafka = Kafka::start();
    kafka.create_topic("mail", 1);
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nacknowledge_timeout = \"10m\"\n[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"mail\"\n\
         [sink.kafka.options]\nreconnect.backoff.max.ms = 1000\n",
        kafka.brokers()
    ));
    let mut client = Client::open(postrider.address("relp"), None);
    let send = |client: &mut Client, begin: usize| {
        client.send(&messages(begin..begin + 100, |number| number.to_string()));
        acknowledgements(begin..begin + 100)
    };
    let answers = send(&mut client, 2);
    assert_eq!(client.read(answers.len()), answers);
    kafka.freeze();
    let answers = send(&mut client, 102);
    wait_in_flight(&postrider, 100);
    assert_eq!(client.read_what_is_there(), "", "the broker does not answer");
    kafka.thaw();
    assert_eq!(client.read(answers.len()), answers);
    kafka.kill();
    let answers = send(&mut client, 202);
    wait_in_flight(&postrider, 200);
    let said = "no kafka broker can be reached";
    wait_until(DEADLINE, said, || postrider.stderr().contains(said));
    assert_eq!(client.read_what_is_there(), "", "the broker is not there");
    kafka.restart();
    assert_eq!(client.read(answers.len()), answers);
    client.close(302);
    assert_clean(&postrider.terminate(DEADLINE));
    let consumed = kafka.consume_all("mail", 300, DEADLINE);
    let values: Vec<String> =
        consumed.into_iter().map(|record| String::from_utf8(record.value).expect("text")).collect();
    let numbers: Vec<String> = (2..302).map(|number: usize| number.to_string()).collect();
    assert_eq!(texts(&values.join("\n")), numbers);
}

// === what a destination refuses ===

/// The messages of a host whose file is a directory.
fn refused(session: usize) -> impl Fn(usize) -> String {
    move |number| format!("refused {session}/{number} {}", "x".repeat(2000))
}

/// Sends them in one session after the other until `is_done`, and gives the texts that were acknowledged. With
/// `waits`, the sessions end without an answer once the dead-letter file is full.
fn keep_reconnecting(address: SocketAddr, waits: bool, is_done: impl Fn() -> bool) -> Vec<String> {
    /// Their records take several times what the dead-letter file and the queue of the sink hold.
    const LEAST: usize = 60;
    const EACH: Range<usize> = 2..42;
    let mut acknowledged = Vec::new();
    for session in 0.. {
        if session >= LEAST && is_done() {
            break;
        }
        let mut stranger = Client::open(address, None);
        stranger.send(&messages(EACH, refused(session)));
        let all = acknowledgements(EACH);
        let said =
            if waits { stranger.read_until_silent(Duration::from_millis(100)) } else { stranger.read(all.len()) };
        assert!(all.starts_with(&said), "{said}");
        acknowledged.extend(EACH.take(said.lines().count()).map(refused(session)));
        if session % 2 == 0 && said == all {
            stranger.close(EACH.end);
        } else {
            stranger.reset();
        }
    }
    acknowledged
}

/// A stranger, whose messages are refused, keeps coming back while the dead-letter file is full. Everything that the
/// other sender and he have an acknowledgement for is there. If the common file is refused too, he has none, and
/// holds nobody up.
fn a_stranger_fills_the_dead_letter_file(common_is_refused: bool) {
    const PART: usize = 30;
    const GOOD: Range<usize> = 2..302;
    const MOST: u64 = 1 << 20;
    let directory = scratch::directory("relp-stranger");
    let file = |name: &str| directory.path().join(name);
    fs::create_dir_all(file("out/mx1.json")).expect("a directory in the way");
    if common_is_refused {
        fs::create_dir(file("out/others.json")).expect("a directory in the way");
    }
    let mut postrider = Postrider::spawn(&format!(
        "shutdown_timeout = \"4s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\nqueue_size = \"1MiB\"\n\
         path = \"{0}/out/{{hostname}}.json\"\ndead_letter = \"{0}/dead.jsonl\"\ndead_letter_max_size = \"1MiB\"\n",
        directory.path().display()
    ));
    let address = postrider.address("relp");
    let mut acknowledged = thread::scope(|scope| {
        let good = scope.spawn(|| {
            let full = || postrider.stderr().contains("is full (dead_letter_max_size");
            wait_until(DEADLINE, "a full dead-letter file", full);
            let mut good = Client::open(address, None);
            for begin in GOOD.step_by(PART) {
                let part = begin..begin + PART;
                let frames = messages(part.clone(), |number| format!("good {number}"));
                good.send(&String::from_utf8(frames).expect("text").replace(" mx1 ", " mx2 ").into_bytes());
                let answers = acknowledgements(part);
                assert_eq!(good.read(answers.len()), answers);
            }
            good.close(GOOD.end);
        });
        keep_reconnecting(address, common_is_refused, || good.is_finished())
    });

    // There is room again.
    fs::rename(file("dead.jsonl"), file("full.jsonl")).expect("a dead-letter file");
    assert!(fs::metadata(file("full.jsonl")).expect("a file").len() <= MOST);
    let last = usize::MAX;
    let mut stranger = Client::open(address, None);
    stranger.send(&messages(2..12, refused(last)));
    let answers = acknowledgements(2..12);
    assert_eq!(stranger.read(answers.len()), answers);
    acknowledged.extend((2..12).map(refused(last)));
    stranger.close(12);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);

    let text = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
    let expected: Vec<String> = GOOD.map(|number| format!("good {number}")).collect();
    assert_eq!(texts(&text("out/mx2.json")), expected);
    let (letters, common) = (text("full.jsonl") + &text("dead.jsonl"), texts(&text("out/others.json")));
    let letters = letters.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).expect("JSON");
        letter["record"]["message"].as_str().expect("a message").to_owned()
    });
    let letters: Vec<String> = letters.collect();
    let kept: HashSet<&String> = letters.iter().chain(&common).collect();
    assert_eq!(kept.len(), letters.len() + common.len(), "none twice");
    let missing = acknowledged.iter().filter(|text| !kept.contains(text)).count();
    assert_eq!(missing, 0, "of {} acknowledged messages of the stranger", acknowledged.len());

    let count = |field: &str| ended.sink("file").count(field) as usize;
    assert_eq!(count("delivered"), GOOD.len() + common.len(), "{}", ended.stderr);
    assert_eq!(count("dropped_rejected"), letters.len(), "{}", ended.stderr);
    // Those that the sink has seen, and those whose session ended while they were in its queue.
    let [unkept, unseen] = ["dead_letter_full", "unacknowledged"].map(|reason| count(&format!("dropped_{reason}")));
    assert_eq!(count("dropped"), letters.len() + unkept + unseen, "{}", ended.stderr);
    assert_eq!(unkept > 0, common_is_refused, "{}", ended.stderr);
    assert_eq!(common.is_empty(), common_is_refused, "{}", ended.stderr);
}

/// The common file keeps what the dead-letter file has no room for.
#[test]
fn a_stranger_who_fills_the_dead_letter_file_harms_nobody() {
    a_stranger_fills_the_dead_letter_file(false);
}

#[test]
fn a_stranger_whose_records_nothing_keeps_is_not_acknowledged() {
    a_stranger_fills_the_dead_letter_file(true);
}

// === senders ===

fn config(pki: &Pki, path: &Path) -> String {
    format!(
        "[[source.relp]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nname = \"tls\"\n\
         listen = \"127.0.0.1:0\"\n[source.relp.tls]\n{}[[sink.file]]\npath = \"{}\"\n",
        tls_keys(pki),
        path.display()
    )
}

#[test]
fn many_connections_have_each_message_acknowledged_in_order() {
    const EACH_KIND: usize = 100;
    const MESSAGES: usize = 200;
    let pki = Pki::new();
    let path = pki.file("out.json");
    let mut postrider = Postrider::spawn(&config(&pki, &path));
    let (plain, tls) = (postrider.address("plain"), postrider.address("tls"));
    let client = pki.client(None, BOTH);
    let mut clients: Vec<Client> =
        (0..EACH_KIND).flat_map(|_| [Client::open(plain, None), Client::open(tls, Some(&client))]).collect();
    for part in 0..4 {
        for (n, client) in clients.iter_mut().enumerate() {
            let begin = 2 + part * MESSAGES / 4;
            client.send(&messages(begin..begin + MESSAGES / 4, |number| format!("{n}/{number}")));
        }
    }
    let answers = acknowledgements(2..2 + MESSAGES);
    for client in &mut clients {
        assert_eq!(client.read(answers.len()), answers);
    }
    for client in clients {
        client.close(2 + MESSAGES);
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let mut found = texts(&fs::read_to_string(&path).expect("the records"));
    let of = |n: usize| (2..2 + MESSAGES).map(move |number| format!("{n}/{number}"));
    let mut expected: Vec<String> = (0..2 * EACH_KIND).flat_map(of).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found == expected, "{} records, gaps or repetitions", found.len());
    for source in ["plain", "tls"] {
        assert_eq!(ended.source(source).count("connections") as usize, EACH_KIND);
        assert_eq!(ended.source(source).count("errors"), 0);
    }
}

/// A sender whose socket takes few answers, and that reads none of them: it sends until the other side ends the
/// connection.
fn send_without_reading(address: SocketAddr) -> usize {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a receive buffer");
    // By this the kernel measures the buffer of the other side, which otherwise takes 150,000 answers.
    socket.set_tcp_mss(536).expect("a segment size");
    socket.connect(&address.into()).expect("a connection");
    let mut socket = TcpStream::from(socket);
    socket.set_write_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    socket.write_all(OPEN.as_bytes()).expect("room");
    for begin in (2..).step_by(1000) {
        if let Err(error) = socket.write_all(&messages(begin..begin + 1000, |_| "unheard".to_owned())) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is still connected after {DEADLINE:?}");
            return begin;
        }
    }
    unreachable!("it ends sometime")
}

#[test]
fn senders_that_read_no_answer_are_cut_off_and_harm_nobody() {
    const UNHEARING: usize = 8;
    /// For those, all that waits for the sink, and the program itself, unoptimised.
    const MOST_MEMORY: usize = 128;
    let config = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nacknowledge_timeout = \"2s\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(config);
    let address = postrider.address("relp");
    let bad: Vec<_> = (0..UNHEARING).map(|_| thread::spawn(move || send_without_reading(address))).collect();
    let mut good = Client::open(address, None);
    let mut number = 2;
    while number < 202 || bad.iter().any(|thread| !thread.is_finished()) {
        good.send(&messages(number..number + 1, |number| format!("heard {number}")));
        let answer = acknowledgements(number..number + 1);
        assert_eq!(good.read(answer.len()), answer);
        number += 1;
    }
    good.close(number);
    for thread in bad {
        assert!(thread.join().expect("a sender") > 2, "some of its messages were taken");
    }
    let most = peak(postrider.pid());
    assert!(most < MOST_MEMORY, "{most} MiB");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let said = "the sender has not read its answers within acknowledge_timeout (2s)";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(ended.source("relp").count("errors") as usize, UNHEARING);
    let heard: Vec<String> = texts(&ended.stdout).into_iter().filter(|text| text.starts_with("heard")).collect();
    assert_eq!(heard, (2..number).map(|number| format!("heard {number}")).collect::<Vec<_>>());
}

/// Some numbers below `limit`, scattered and the same in each run.
fn scattered(count: usize, limit: usize) -> impl Iterator<Item = usize> {
    (1..=count).map(move |n| n * 2_654_435_761 % limit)
}

#[test]
fn senders_that_reset_their_connections_harm_nobody() {
    const GOOD: usize = 4;
    const MESSAGES: usize = 500;
    const RESETS: usize = 60;
    let pki = Pki::new();
    let path = pki.file("out.json");
    let mut postrider = Postrider::spawn(&config(&pki, &path));
    let (plain, tls) = (postrider.address("plain"), postrider.address("tls"));
    let client = pki.client(None, BOTH);
    let session = [OPEN.as_bytes(), &messages(2..52, |_| "reset".to_owned()), b"52 close 0\n"].concat();
    thread::scope(|scope| {
        for n in 0..GOOD {
            let client = (n % 2 == 1).then_some(&client);
            scope.spawn(move || {
                let mut sender = Client::open(if client.is_some() { tls } else { plain }, client);
                for begin in (2..2 + MESSAGES).step_by(10) {
                    sender.send(&messages(begin..begin + 10, |number| format!("good {n}/{number}")));
                    let answers = acknowledgements(begin..begin + 10);
                    assert_eq!(sender.read(answers.len()), answers);
                }
                sender.close(2 + MESSAGES);
            });
        }
        for cut in scattered(RESETS, session.len()) {
            for client in [None, Some(&client)] {
                let mut sender = match client {
                    None => Client::connect(plain),
                    Some(client) => Client::connect_tls(tls, client).expect("a TLS connection"),
                };
                // It may have ended already, if all was sent.
                let _ = sender.try_send(&session[..cut]);
                sender.reset();
            }
            // In the handshake of TLS.
            let mut socket = TcpStream::connect(tls).expect("a connection");
            socket.write_all(&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..cut % 12]).expect("room");
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
        }
    });
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let found = texts(&fs::read_to_string(&path).expect("the records"));
    let good: Vec<&String> = found.iter().filter(|text| text.starts_with("good ")).collect();
    assert_eq!(good.len(), GOOD * MESSAGES);
    assert_eq!(good.into_iter().collect::<HashSet<_>>().len(), GOOD * MESSAGES, "none twice");
    assert!(found.iter().all(|text| text == "reset" || text.starts_with("good ")), "only whole messages");
    assert_eq!(ended.source("plain").count("connections") as usize, RESETS + GOOD / 2);
    assert_eq!(ended.source("tls").count("connections") as usize, 2 * RESETS + GOOD / 2);
    // If a reset comes before anything was read, the connection is just over.
    assert!(ended.source("plain").count("errors") > 0 && ended.source("tls").count("errors") > 0);
}
