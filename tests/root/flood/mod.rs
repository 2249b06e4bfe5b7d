//! Do a flood of strangers, and the lack of descriptors that it may cause, leave the others unharmed and the memory
//! bounded? Does a stop among hundreds of connections end in its time?

mod stop;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpRepair;
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use testkit::pki::{self, BOTH, Pki};
use testkit::postrider::{Postrider, assert_clean};
use testkit::process::Process;
use testkit::relp::{Client, OPEN};
use testkit::scratch;
use testkit::status::StatusFile;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);

/// A message that all is well with.
fn message(text: &str) -> String {
    format!("<13>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}")
}

/// Returns the kernel's count for a process under `key`, in bytes.
fn memory(pid: u32, key: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let size = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel counts it");
    size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// The time that a process has had of the processors.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The name, which may hold anything, ends with the last parenthesis; the times are the 14th and 15th field, of 10
    // ms each.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name")..].split(' ').collect();
    let ticks: u64 = fields[12..14].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Lets this process, and those that it starts, have at most this number of files open.
fn need_descriptors(count: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(hard >= count, "this test needs {count} open files, and {hard} are permitted: raise `ulimit -Hn`");
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count, hard).expect("a limit below the hard one");
    }
}

/// Takes what comes until the other side has closed the connection.
fn drain(socket: &mut TcpStream) {
    let mut buffer = [0; 1000];
    while matches!(socket.read(&mut buffer), Ok(1..)) {}
}

// === two thousand connections and a flood ===

/// The connection of a sender that has stalled, as far as it still exists at the sender's end.
fn stall(n: usize, plain: SocketAddr, tls: SocketAddr, hello: &[u8]) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Soon full: whoever is written to and never reads shall be noticed.
    socket.set_recv_buffer_size(1).expect("a small buffer");
    let to = if n % 8 < 5 { plain } else { tls };
    socket.connect(&to.into()).expect("a connection");
    let mut socket = TcpStream::from(socket);
    let half = message(&"never ends ".repeat(300));
    let begin: &[u8] = match n % 8 {
        // Silent, on both ports.
        0 | 5 => b"",
        // In the middle of a line, and of a message with a count.
        1 => half.as_bytes(),
        2 => b"9000 <13>1 2026-11-24T02:10:35Z mx1 app 1 - - half a frame",
        // In the middle of a count.
        3 => b"123",
        // Half open: gone without a word, as when a machine loses its power.
        4 => {
            // Only root may; without that it is one more silent sender.
            return setsockopt(&socket, TcpRepair, &1).err().map(|_| socket);
        }
        // Half of a TLS hello.
        6 => &hello[..hello.len() / 2],
        // All of it, after which nothing is read: neither certificate nor alert.
        _ => hello,
    };
    socket.write_all(begin).expect("room");
    Some(socket)
}

/// Bytes that a stranger sends.
fn bad(n: usize, hello: &[u8], noise: &[u8]) -> (bool, Vec<u8>) {
    let to_tls = n % 10 >= 8;
    let bytes = match n % 10 {
        // A TLS hello on a plain port.
        0 => hello.to_vec(),
        // The protocols of others.
        1 => b"GET / HTTP/1.1\r\nHost: logs.example.com\r\nAccept: */*\r\n\r\n".to_vec(),
        2 => b"EHLO strange.example.com\r\nMAIL FROM:<a@example.com>\r\n".to_vec(),
        // Huge counts, of which little comes, and of which much comes.
        3 => b"999999999 <13>1 - - - - - -".to_vec(),
        4 => format!("999999999 <13>{}", "x".repeat(300_000)).into(),
        // A line without an end.
        5 => vec![b'y'; 300_000],
        // High entropy, as compressed bytes have; and the shortest messages.
        6 => noise.to_vec(),
        7 => b"x\n".repeat(100),
        // Plain messages, and then gibberish in a record of TLS.
        8 => b"<13>1 2026-11-24T02:10:35Z mx1 app 1 - - plain\n".to_vec(),
        _ => [&[22, 3, 3, 1, 0][..], &noise[..256]].concat(),
    };
    (to_tls, bytes)
}

/// Bytes that look random.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// 2,000 connections, half of them stalled, and four peers that flood the source with bad ones.
#[test]
fn stalled_and_bad_connections_hold_up_none_of_a_thousand_good() {
    const GOOD: usize = 1000;
    const EACH: usize = 50;
    const STALLED: usize = 1000;
    const FLOODERS: usize = 4;
    /// docs/access.md names it.
    const MOST_MEMORY: usize = 96 << 20;
    need_descriptors(4096);
    let pki = Pki::new();
    let mut hello = Vec::new();
    pki::session(&pki.client(None, BOTH)).write_tls(&mut hello).expect("a hello");
    let noise = noise(20_000);
    let tls = pki.source("handshake_timeout = \"1h\"").replace("max_connections = 4", "max_connections = 2000");
    let config = format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{tls}[[sink.stdout]]\n");
    let mut postrider = Postrider::spawn(&config);
    let (plain, tls) = (postrider.address("tcp"), postrider.address("tls"));
    let begun = Instant::now();

    let stalled: Vec<Option<TcpStream>> = (0..STALLED).map(|n| stall(n, plain, tls, &hello)).collect();
    let flooding = AtomicBool::new(true);
    let connect = |n: usize| {
        let mut socket = TcpStream::connect(plain).expect("a connection");
        socket.write_all(message(&format!("good {n} begins\n")).as_bytes()).expect("room for a message");
        socket
    };
    let count = |part: &str| postrider.stdout().matches(part).count();
    let bad = thread::scope(|scope| {
        let flooders: Vec<_> = (0..FLOODERS)
            .map(|flooder| {
                let (flooding, hello, noise) = (&flooding, &hello, &noise);
                scope.spawn(move || {
                    let mut sent = 0;
                    // As many as there are of the others, and on until those have got through.
                    while sent < 2000 / FLOODERS || flooding.load(Relaxed) {
                        let (to_tls, bytes) = bad(flooder + sent * FLOODERS, hello, noise);
                        let mut socket = TcpStream::connect(if to_tls { tls } else { plain }).expect("a connection");
                        socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
                        // It may be closed before all is written.
                        let _ = socket.write_all(&bytes);
                        if sent % 5 == 0 {
                            // In the middle of it, and without a farewell.
                            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
                        } else {
                            let _ = socket.shutdown(Shutdown::Write);
                            drain(&mut socket);
                        }
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        let mut good: Vec<TcpStream> = (0..GOOD).map(connect).collect();
        for round in 1..EACH {
            for (n, socket) in good.iter_mut().enumerate() {
                writeln!(socket, "{}", message(&format!("good {n} round {round}"))).expect("room for a message");
            }
        }
        wait_until(4 * DEADLINE, "the messages of the good half", || count("\"message\":\"good ") == GOOD * EACH);
        flooding.store(false, Relaxed);
        flooders.into_iter().map(|flooder| flooder.join().expect("a flooder")).sum::<usize>()
    });
    let took = begun.elapsed();
    let most = memory(postrider.pid(), "VmHWM:");
    assert!(bad >= 2000, "{bad}");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    drop(stalled);
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);

    // Every message of every good connection, once and in order.
    let mut rounds: HashMap<usize, usize> = HashMap::new();
    for line in ended.stdout.lines().filter(|line| line.contains("\"message\":\"good ")) {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let words: Vec<&str> = record["message"].as_str().expect("text").split(' ').collect();
        let next = rounds.entry(words[1].parse().expect("a number")).or_default();
        assert_eq!(words.get(3).map_or(0, |round| round.parse().expect("a number")), *next, "{line}");
        *next += 1;
    }
    assert_eq!(rounds.len(), GOOD);
    assert!(rounds.values().all(|next| *next == EACH));

    for source in ["tcp", "tls"] {
        assert_eq!(ended.source(source).count("connections_refused"), 0, "{}", ended.stderr);
    }
    // A TLS hello on the plain port counts as one message that is dropped. Nothing else is.
    let hellos = ended.source("tcp").count("dropped");
    assert_eq!(ended.source("tcp").count("dropped_unexpected_tls"), hellos);
    assert!((1..=bad as u64 / 10 + FLOODERS as u64).contains(&hellos), "{hellos} of {bad}");
    assert_eq!(ended.source("tls").count("received"), 0);
    // Peers do not choose how much is logged: six kinds of lines, each once in ten seconds at most.
    let lines = ended.stderr.lines().count() as u64;
    let most_lines = 10 + 6 * (took.as_secs() / 10 + 2);
    assert!(lines <= most_lines, "{lines} lines, not {most_lines}:\n{}", ended.stderr);
}

// === unfinished messages ===

/// The memory for messages that have begun and are not whole is bounded, whatever their number and size. Those that are
/// not ended make room for others, and the others' messages arrive.
#[test]
fn endless_messages_take_bounded_memory_and_hold_up_nobody() {
    const STRANGERS: usize = 300;
    const BEGUN: usize = 250 << 10;
    /// Maximum memory in bytes, of which the source takes twice `max_bytes_in_flight`.
    const MOST_MEMORY: usize = 56 << 20;
    need_descriptors(4096);
    let limits = "listen = \"127.0.0.1:0\"\nmax_frame_size = \"256KiB\"\nmax_bytes_in_flight = \"4MiB\"\n";
    let config = format!("[[source.tcp]]\n{limits}[[source.relp]]\n{limits}[[sink.stdout]]\n");
    let mut postrider = Postrider::spawn(&config);
    let (tcp, relp) = (postrider.address("tcp"), postrider.address("relp"));
    let count = |part: &str, postrider: &Postrider| postrider.stdout().matches(part).count();

    // Lines without an end, messages with a count, and RELP frames: each lacks its last bytes.
    let begin = |n: usize| {
        let mut socket = TcpStream::connect(if n % 3 == 2 { relp } else { tcp }).expect("a connection");
        socket.set_write_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        let head = match n % 3 {
            0 => "<13>stranger ".to_owned(),
            1 => format!("{} <13>stranger ", BEGUN + 1000),
            _ => format!("{OPEN}2 syslog {} <13>stranger ", BEGUN + 1000),
        };
        let begun = [head.as_bytes(), &vec![b'x'; BEGUN]].concat();
        // A session may be closed before all is written.
        let written = socket.write_all(&begun);
        assert!(written.is_ok() || n % 3 == 2, "{written:?}");
        socket
    };
    let strangers: Vec<TcpStream> = thread::scope(|scope| {
        let threads: Vec<_> = (0..STRANGERS).map(|n| scope.spawn(move || begin(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a stranger")).collect()
    });

    // A good sender's long message over TCP is whole; over RELP it is too, in its second session if the first had to
    // end.
    let long = format!("good {}", "y".repeat(200 << 10));
    let mut good = TcpStream::connect(tcp).expect("a connection");
    for n in 0..5 {
        writeln!(good, "{}", message(&format!("short {n}"))).expect("room");
        writeln!(good, "{}", message(&long)).expect("room");
    }
    wait_until(DEADLINE, "the messages of a good sender", || {
        count("\"message\":\"good y", &postrider) == 5 && count("\"message\":\"short ", &postrider) == 5
    });
    let acknowledged = || {
        let mut session = Client::open(relp, None);
        let text = message(&long);
        let frame = format!("2 syslog {} {text}\n", text.len());
        // Closed instead, it says `serverclose`.
        session.try_send(frame.as_bytes()).is_ok() && session.read_line() == "2 rsp 6 200 OK\n"
    };
    wait_until(DEADLINE, "an acknowledgement", acknowledged);
    let most = memory(postrider.pid(), "VmHWM:");
    let ended = postrider.terminate(DEADLINE);
    drop(strangers);
    assert_clean(&ended);
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
    // A cut message is flagged and counted, and no message of a good sender is cut.
    for line in ended.stdout.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let is_stranger = record["message"].as_str().expect("text").starts_with("stranger");
        let flags = record["flags"].to_string();
        assert_eq!(flags.contains("truncated"), is_stranger, "{flags}");
    }
    assert_eq!(ended.source("tcp").count("truncated"), STRANGERS as u64 * 2 / 3, "{}", ended.stderr);
    assert_eq!(ended.source("relp").count("truncated"), 0);
    assert!(ended.stderr.contains("message cut off: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("session closed: "), "{}", ended.stderr);
}

// === descriptors ===

/// Runs the program with at most this number of descriptors.
fn with_descriptors(limit: usize, command: &str, config: &Path) -> Vec<PathBuf> {
    let nofile = format!("--nofile={limit}:{limit}");
    let arguments = [nofile.as_str(), env!("CARGO_BIN_EXE_postrider"), command, "-c"].map(PathBuf::from);
    [&arguments[..], &[config.to_owned()]].concat()
}

/// With too few descriptors for all who connect, those that are there go on, and so does the sink, which needs more of
/// them than there are. A new client waits without a poll and without filling the log, and is served when there is a
/// descriptor again.
#[test]
fn running_out_of_descriptors_harms_nobody_and_passes() {
    const LIMIT: usize = 64;
    const HOSTS: usize = 100;
    let directory = scratch::directory("descriptors");
    let file = |name: &str| directory.path().join(name);
    let config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n",
        file("out/{hostname}.json").display()
    );
    let toml = file("postrider.toml");
    fs::write(&toml, testkit::postrider::plain(&config)).expect("a configuration");
    let check = Command::new("prlimit").args(with_descriptors(LIMIT, "check", &toml)).output().expect("a check");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && said.contains("file descriptors: 2179 needed, 64 permitted here"), "{said}");
    assert!(said.contains("13 of 2000 for connections"), "{said}");
    let mut arguments = with_descriptors(LIMIT, "run", &toml);
    arguments.extend(["--status-file".into(), file(StatusFile::NAME)]);
    let mut process = Process::start("prlimit", &arguments, &file("log"));
    let status = StatusFile::new(directory.path(), process.pid());
    let mut address = |source| process.wait_ready(DEADLINE, || status.read()?.address(source));
    let (tcp, udp) = (address("tcp"), address("udp"));
    let read = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
    wait_until(DEADLINE, "a line about it", || read("log").contains("the limit of file descriptors is too low"));
    let log = read("log");
    let line =
        log.lines().find(|line| line.contains("the limit of file descriptors is too low")).expect("a line about it");
    assert!(line.contains("permitted=64 needed=2179") && line.contains(" connections=13 "), "{line}");
    let arrived = |text: &str| read("out/mx1.json").contains(&format!("\"message\":\"{text}\""));

    let mut first = TcpStream::connect(tcp).expect("a connection");
    writeln!(first, "{}", message("before")).expect("room");
    wait_until(DEADLINE, "the first message", || arrived("before"));
    let mut crowd: Vec<TcpStream> =
        (0..LIMIT).map(|_| TcpStream::connect(tcp).expect("the kernel accepts it")).collect();
    let lines = || read("log").lines().filter(|line| line.contains("no file descriptor is left")).count();
    wait_until(DEADLINE, "a line about it", || lines() == 1);
    let (begun, before) = (Instant::now(), processor_time(process.pid()));

    // A connection that is there, and datagrams, go on; the sink makes more files than there are descriptors.
    writeln!(first, "{}", message("meanwhile")).expect("room");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(message("datagram").as_bytes(), udp).expect("a datagram");
    wait_until(DEADLINE, "the others' messages", || arrived("meanwhile") && arrived("datagram"));
    for host in 0..HOSTS {
        writeln!(first, "{}", message("of many").replace("mx1", &format!("host{host}"))).expect("room");
    }
    let is_there = |host: usize| read(&format!("out/host{host}.json")).contains("of many");
    wait_until(DEADLINE, "the files of many hosts", || (0..HOSTS).all(is_there));
    let mut waiting = TcpStream::connect(tcp).expect("the kernel accepts it");
    writeln!(waiting, "{}", message("waits")).expect("room");
    let (took, spent) = (begun.elapsed(), processor_time(process.pid()).saturating_sub(before));
    assert!(spent < took / 2 + Duration::from_millis(200), "{spent:?} of {took:?}");
    assert!(!arrived("waits"));

    crowd.truncate(LIMIT / 2);
    crowd.clear();
    wait_until(DEADLINE, "the one that waited", || arrived("waits"));
    drop((first, waiting));
    process.terminate(DEADLINE);
    let log = read("log");
    assert!(!log.contains("Too many open files"), "{log}");
    let last = status.read().expect("a status file");
    let tcp = last.source("tcp");
    assert_eq!((tcp.count("received"), tcp.count("dropped")), (3 + HOSTS as u64, 0), "{log}");
    assert_eq!((last.get("/phase"), last.get("/ledger/balanced")), (&json!("ended"), &json!(true)), "{log}");
}

#[test]
fn followed_files_leave_descriptors_to_the_sink() {
    const LIMIT: usize = 64;
    const FILES: usize = 100;
    let directory = scratch::directory("followed");
    let file = |name: &str| directory.path().join(name);
    fs::create_dir(file("logs")).expect("a directory");
    for n in 0..FILES {
        let line = format!("Nov 24 02:10:35 mx1 app[1]: line {n} end\n");
        fs::write(file(&format!("logs/{n}.log")), line).expect("a file");
    }
    let config = format!(
        "[[source.file]]\npaths = [\"{}\"]\nstate = \"{}\"\nstart = \"beginning\"\n[[sink.file]]\npath = \"{}\"\n",
        file("logs/*.log").display(),
        file("state").display(),
        file("out.json").display()
    );
    fs::write(file("postrider.toml"), testkit::postrider::plain(&config)).expect("a configuration");
    let arguments = with_descriptors(LIMIT, "run", &file("postrider.toml"));
    let mut process = Process::start("prlimit", &arguments, &file("log"));
    let read = |name: &str| fs::read_to_string(file(name)).unwrap_or_default();
    wait_until(DEADLINE, "all lines", || {
        let out = read("out.json");
        (0..FILES).all(|n| out.contains(&format!("line {n} end")))
    });
    process.terminate(DEADLINE);
    let log = read("log");
    assert!(!log.contains("Too many open files"), "{log}");
    assert!(log.contains("balanced=true") && !log.contains("balanced=false"), "{log}");
}
